package httpapi

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"

	"reeve/auth"
	"reeve/resource/idempotency"
)

// idempotencyKey is the key of a POST that may be repeated, else empty: other methods may be repeated anyway. Several
// headers are none of one key (RFC 9110, section 5.3). The error is InvalidHeader.
func idempotencyKey(r *http.Request) (string, error) {
	headers := r.Header.Values(idempotency.Header)
	if r.Method != http.MethodPost || len(headers) == 0 {
		return "", nil
	}
	key := strings.Join(headers, ", ")
	return key, idempotency.CheckKey(key)
}

// fingerprint is a hash of what makes a request this one: not of who asks, and not of what its client would like the
// answer to look like.
func fingerprint(r *http.Request, body []byte) []byte {
	hash := sha256.New()
	fmt.Fprintf(hash, "%q %q %q %q ", r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Get("Content-Type"))
	hash.Write(body)
	return hash.Sum(nil)
}

// once has run carry a principal's request out, unless that was done before: then it answers what was answered then.
// Without a key, run is all there is. Media is the type of the body of its answer.
func (h *handler) once(
	ctx context.Context, principal *auth.Principal, r idempotency.Request, media string, run func(ctx context.Context) (answer, error),
) (answer, error) {
	if r.Key == "" || h.answers == nil {
		return run(ctx)
	}
	r.Principal = principal
	kept, replay, err := h.answers.Do(ctx, r, func(ctx context.Context) (idempotency.Answer, error) {
		a, err := run(ctx)
		return idempotency.Answer{Status: a.status, ContentType: media, Location: a.location, ETag: a.etag, Body: a.body}, err
	})
	return answer{
		status: kept.Status, media: kept.ContentType, location: kept.Location, etag: kept.ETag, body: kept.Body, replay: replay,
	}, err
}
