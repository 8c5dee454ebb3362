package httpapi

import (
	"log/slog"
	"net/http"
)

// Failure answers every request with an error document: for what a server refuses outside of the API.
func Failure(err error) http.Handler {
	h := &handler{log: slog.Default(), challenges: bearer}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		media, _ := negotiate(r.Header.Values("Accept"), "") // a failure is told in any case
		id := RequestID(r)
		h.write(w, media, id, h.fail(nil, r, id, answer{}, err))
	})
}
