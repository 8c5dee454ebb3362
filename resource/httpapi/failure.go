package httpapi

import (
	"log/slog"
	"net/http"
)

// Failure answers every request with an error document: for what a server refuses outside of the API. A 401 has some
// challenges; Bearer, if there are none.
func Failure(err error, challenges ...string) http.Handler {
	h := &handler{log: slog.Default(), challenges: bearer}
	if challenges != nil {
		h.challenges = func() []string { return challenges }
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		media, _ := negotiate(r.Header.Values("Accept"), "") // a failure is told in any case
		id := RequestID(r)
		h.write(w, media, id, h.fail(nil, r, id, answer{}, err))
	})
}
