package httpapi

import (
	"net/http"
	"strings"
	"time"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/document"
)

// stream is an answer that is written while it is worked out, line by line. Until its first line an error is
// answered as any other; then one more line says that it failed.
type stream struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	patience   time.Duration
	id         string // of the request
	begun      bool
	bytes      int // that were sent
}

func (h *handler) stream(w http.ResponseWriter, id string) *stream {
	return &stream{w: w, controller: http.NewResponseController(w), patience: h.patience, id: id}
}

// send writes whole lines. A client that takes too long to receive them is gone.
func (s *stream) send(lines []byte) error {
	if !s.begun {
		s.begun = true
		header(s.w, s.id)
		s.w.Header().Set("Content-Type", document.LinesType)
		s.w.WriteHeader(http.StatusOK)
	}
	_ = s.controller.SetWriteDeadline(time.Now().Add(s.patience)) // what has no deadlines is no connection
	n, err := s.w.Write(lines)
	if s.bytes += n; err != nil {
		return err
	}
	return s.controller.Flush()
}

// end ends the stream with the document of its failure, if it failed.
func (s *stream) end(failure []byte) {
	if len(failure) > 0 {
		_ = s.send(append(failure, '\n')) // a client that is gone hears of nothing any more
	}
	_ = s.controller.SetWriteDeadline(time.Time{}) // the connection may serve other requests
}

// exports reports whether a list is to be answered line by line: the header Accept prefers that to a document.
func exports(r *http.Request) bool {
	ranges := parseAccept(strings.Join(r.Header.Values("Accept"), ","))
	lines := quality(ranges, document.LinesType)
	if lines.media != document.LinesType || lines.q == 0 {
		return false
	}
	for _, media := range []string{document.MediaType, plainJSON} {
		if other := quality(ranges, media); other.q > lines.q || other.q == lines.q && other.media == media {
			return false
		}
	}
	return true
}

// export answers all rows of a list, each as the resource object that a page has of it, without its cursor.
func (h *handler) export(s *stream, r *http.Request, at place, principal *auth.Principal) error {
	req, err := h.read(s.w, r, at, resource.List)
	if err != nil {
		return err
	}
	if err := req.query.whole(); err != nil {
		return err
	}
	op := req.operationsFor(principal, s.id)[0]
	if r.Method == http.MethodHead {
		if _, err := h.engine.Prepare(r.Context(), op); err != nil {
			return err
		}
		return s.send(nil)
	}
	var lines []byte
	return h.engine.Export(r.Context(), op, func(page resource.Result) error {
		lines = document.AppendLines(lines[:0], h.base, &page)
		return s.send(lines)
	})
}

// ReadList reads a list that is exported otherwise than by a request, as a client names it: its path below [Base], and its
// query, users?filter[status]=active. The operation has no principal yet. The errors are those of the request.
func ReadList(registry *resource.Registry, list string) (resource.Operation, error) {
	path, raw, _ := strings.Cut(list, "?")
	about := registry.Describe(path)
	if about == nil || about.Singleton {
		return resource.Operation{}, resource.Errorf(resource.NotFound, "there is no list %q", path)
	}
	req := &request{place: place{kind: collection, about: about}, operation: resource.Operation{Verb: resource.List, Type: about.Name}}
	err := req.readQuery(raw)
	if err == nil {
		err = req.query.whole()
	}
	return req.operation, err
}

// whole reports the parameters that ask for less, or more, than all rows of a list.
func (q *query) whole() error {
	var problems resource.Errors
	for _, p := range q.parameters {
		if strings.HasPrefix(p.name, "page[") || p.name == "count" || p.name == "include" {
			problems = append(problems, resource.Errorf(resource.UnknownParameter, "an export has no %s", p.name).About(p.name))
		}
	}
	if problems == nil {
		return nil
	}
	return problems
}
