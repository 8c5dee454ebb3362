package httpapi

import (
	"context"
	"log/slog"
	"net/http"

	"reeve/resource"
	"reeve/resource/document"
)

// Post serves POST at a path past the engine, to whoever asks: the body is read as the arguments of an action, and the
// answer is a document with the meta that run returns, or with its failures. Pointers of these are as of an action.
func Post(status int, run func(ctx context.Context, arguments resource.Body) (resource.Meta, error)) http.Handler {
	h := &handler{log: slog.Default(), challenges: bearer, patience: patience}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := RequestID(r)
		media, unacceptable := negotiate(r.Header.Values("Accept"), "")
		a := answer{status: status, allow: http.MethodPost}
		meta, err := h.post(w, r, unacceptable, run)
		if err == nil {
			a.body, err = document.AppendMeta(nil, meta)
		}
		if err != nil {
			a = h.fail(nil, r, id, a, err)
		}
		h.write(w, media, id, a)
	})
}

func (h *handler) post(
	w http.ResponseWriter, r *http.Request, unacceptable error, run func(context.Context, resource.Body) (resource.Meta, error),
) (meta resource.Meta, err error) {
	defer recovered(&err)
	if r.Method != http.MethodPost {
		return nil, resource.Errorf(resource.MethodNotAllowed, "this path serves POST")
	}
	if unacceptable != nil {
		return nil, unacceptable
	}
	text, unread := h.readBody(w, r, maxBody)
	if len(text) > 0 || unread != nil {
		if err := checkContentType(r.Header.Get("Content-Type"), ""); err != nil {
			return nil, err
		}
	}
	if unread != nil {
		return nil, unread
	}
	for name := range r.URL.Query() {
		return nil, resource.Errorf(resource.UnknownParameter, "this takes no query parameters").About(name)
	}
	arguments, err := document.ReadArguments(text)
	if err != nil {
		return nil, err
	}
	req := &request{form: whole, operation: resource.Operation{Body: arguments.Body}}
	switch {
	case len(text) == 0:
		req.form = absent
	case arguments.Body.Bare:
		req.form = bare
	}
	if meta, err = run(r.Context(), arguments.Body); err != nil {
		return nil, req.locate(err)
	}
	return meta, nil
}
