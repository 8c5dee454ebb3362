// Package httpapi is the JSON:API front: it turns HTTP requests into operations of the engine, and their results
// into documents. It names no type: whatever the registry holds is served.
//
// The order of its checks is: who asks, what the path names, whether that has the method, what the answer may be,
// the query, the body; then the engine's, of which the permission is the first.
package httpapi

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/document"
	"reeve/resource/idempotency"
)

// Base is the path below which everything is served.
const Base = "/api/admin/v1"

// Config is what the front needs.
type Config struct {
	Engine *resource.Engine
	// Authenticate says who asks. A nil principal and Unauthenticated are answered with 401; other errors as
	// what they are.
	Authenticate func(r *http.Request) (*auth.Principal, error)
	Challenges   func() []string     // the values of WWW-Authenticate in a 401 (RFC 9110, section 11.6.1); default Bearer
	Prefix       string              // stands before Base in links: "" or "/estate". Requests come without it
	Answers      *idempotency.Keeper // of every POST with an Idempotency-Key; nil: none is kept
	Log          *slog.Logger        // one line a request; default slog.Default()
	// Observe is told of every request that was answered, with its context; nil: nobody is.
	Observe func(context.Context, Observation)
	// Patience is how long a body may take to arrive, and of an export or an import each piece, either way; default 30 s.
	Patience time.Duration
}

// patience is [Config.Patience] by default.
const patience = 30 * time.Second

// Observation is a request that was answered.
type Observation struct {
	Route    string // the template of its path, as /api/admin/v1/{type}/{id}; empty if nothing is at the path
	Type     string // whose path it is, plural; empty if it is none's
	Method   string
	Status   int
	Bytes    int // of the answer's body, before it is compressed
	Duration time.Duration
	Stream   bool // it was answered for as long as the client listened
}

// New serves the JSON:API below [Base]. Every failure there is an error document, that of an unknown path too.
// The header X-Request-Id of a request is kept, or made; it is in the answer, its errors and the log.
func New(c Config) http.Handler {
	h := &handler{
		engine: c.Engine, authenticate: c.Authenticate, challenges: c.Challenges,
		base: c.Prefix + Base, answers: c.Answers, log: c.Log, observe: c.Observe, patience: cmp.Or(c.Patience, patience), routes: routes(),
	}
	if h.challenges == nil {
		h.challenges = bearer
	}
	if h.log == nil {
		h.log = slog.Default()
	}
	return h
}

func bearer() []string { return []string{"Bearer"} }

type handler struct {
	engine       *resource.Engine
	authenticate func(r *http.Request) (*auth.Principal, error)
	challenges   func() []string
	base         string
	answers      *idempotency.Keeper
	log          *slog.Logger
	observe      func(context.Context, Observation)
	patience     time.Duration
	routes       *mux.Router
}

// buffers holds the bodies of answers between requests.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxPooled is how large a buffer may be to be kept.
const maxPooled = 1 << 20

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin, id := time.Now(), RequestID(r)
	media, unacceptable := negotiate(r.Header.Values("Accept"), extension(r))
	buffer := buffers.Get().(*[]byte)

	principal, a, err := h.serve((*buffer)[:0], w, r, id, media, unacceptable)
	if err != nil {
		a = h.fail((*buffer)[:0], r, id, a, err)
	}
	if a.stream != nil && a.stream.begun {
		a.stream.end(a.body)
	} else {
		h.write(w, media, id, a)
	}

	if a.body != nil {
		*buffer = a.body
	}
	if cap(*buffer) <= maxPooled {
		buffers.Put(buffer)
	}
	seen := Observation{Route: a.at.route, Method: r.Method, Status: a.status, Bytes: len(a.body), Duration: time.Since(begin)}
	if a.at.about != nil {
		seen.Type = a.at.about.Plural
	}
	if a.stream != nil && a.stream.begun {
		seen.Bytes = a.stream.bytes
	}
	if h.observe != nil {
		h.observe(r.Context(), seen)
	}
	line := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.String("route", seen.Route), slog.Int("status", a.status),
		slog.Int("bytes", seen.Bytes), slog.Duration("duration", seen.Duration), slog.String("request", id),
	}
	if principal != nil {
		line = append(line, slog.String("principal", principal.Name))
	}
	h.log.LogAttrs(r.Context(), slog.LevelInfo, "request", line...)
}

// serve works out the answer. A panic on the way becomes an error. With an error, the answer tells what is known
// of its headers.
func (h *handler) serve(dst []byte, w http.ResponseWriter, r *http.Request, id, media string, unacceptable error) (
	principal *auth.Principal, a answer, err error,
) {
	defer recovered(&err)
	if principal, err = h.authenticate(r); err != nil {
		return nil, a, err
	}
	if principal == nil {
		return nil, a, resource.Errorf(resource.Unauthenticated, "this needs credentials")
	}
	at, err := h.locate(r)
	if err != nil {
		return principal, a, err
	}
	a.at, a.allow = at, at.allow()
	if r.Method == http.MethodOptions {
		a.status = http.StatusNoContent
		return principal, a, nil
	}
	verb, err := at.verb(r.Method)
	if err != nil {
		return principal, a, err
	}
	if verb == resource.List && exports(r) {
		a.status, a.stream = http.StatusOK, h.stream(w, id)
		return principal, a, h.export(a.stream, r, at, principal)
	}
	if verb == resource.Create && imports(r) {
		a.status, a.stream = http.StatusOK, h.stream(w, id)
		return principal, a, h.importLines(a.stream, r, at, principal)
	}
	if unacceptable != nil {
		return principal, a, unacceptable
	}
	req, err := h.read(w, r, at, verb)
	prepared, unprepared := h.engine.Prepare(r.Context(), req.operationsFor(principal, id)...)
	switch {
	case err != nil:
		return principal, a, req.complete(err, unprepared)
	case unprepared != nil:
		return principal, a, req.locate(unprepared)
	}
	rendered, err := h.once(r.Context(), principal, req.repeat, media, func(ctx context.Context) (answer, error) {
		results, err := prepared.Do(ctx)
		if err != nil {
			return answer{}, req.locate(err)
		}
		return render(dst, h.base, req, results)
	})
	if err != nil {
		return principal, a, err
	}
	if (verb == resource.Get || verb == resource.Related) && rendered.etag != "" {
		if tag := unchanged(r.Header.Values("If-None-Match"), rendered.etag); tag != "" {
			rendered.status, rendered.etag, rendered.body = http.StatusNotModified, tag, rendered.body[:0]
		}
	}
	rendered.at = at
	return principal, rendered, nil
}

// recovered is deferred by what must not panic: then its error says so.
func recovered(err *error) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p)
	default:
		*err = fmt.Errorf("httpapi: panic: %v\n%s", p, debug.Stack())
	}
}

// write sends the answer.
func (h *handler) write(w http.ResponseWriter, media, id string, a answer) {
	header := header(w, id)
	if a.location != "" {
		header.Set("Location", a.location)
	}
	if a.etag != "" {
		header.Set("ETag", a.etag)
	}
	if a.replay {
		header.Set("Idempotency-Replayed", "true")
	}
	if a.status == http.StatusUnauthorized {
		header["Www-Authenticate"] = h.challenges()
	}
	if a.after > 0 {
		header.Set("Retry-After", strconv.Itoa(a.after))
	}
	if a.allow != "" && (a.status == http.StatusMethodNotAllowed || a.status == http.StatusNoContent) {
		header.Set("Allow", a.allow)
	}
	if len(a.body) > 0 {
		media = cmp.Or(a.media, media)
		if a.profile && media == document.MediaType {
			media = document.ProfileType
		}
		header.Set("Content-Type", media)
		header.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a client that is gone hears of nothing any more
}

// header sets what every answer has.
func header(w http.ResponseWriter, id string) http.Header {
	header := w.Header()
	header.Add("Vary", "Accept") // besides what others vary by
	header.Set("Cache-Control", "no-store")
	header.Set("X-Request-Id", id)
	return header
}

// RequestID is the header X-Request-Id if that is 1 to 128 visible ASCII characters, else a new ULID.
func RequestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if len(id) == 0 || len(id) > 128 {
		return ulid.Make().String()
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' {
			return ulid.Make().String()
		}
	}
	return id
}

// maxErrors is how many errors a document shows: a body of 1 MiB has room for many mistakes.
const maxErrors = 100

// fail turns any error into an answer. What is no [resource.Error] is logged, and shown without its text.
func (h *handler) fail(dst []byte, r *http.Request, id string, a answer, err error) answer {
	failures := resource.AllErrors(err)
	switch {
	case r.Context().Err() != nil && resource.Is(err, resource.Internal):
		// The client has gone or the server stops: no fault of the server's.
		failures = resource.Errors{{Code: resource.Unavailable}}
	case resource.Is(err, resource.Internal):
		h.log.LogAttrs(r.Context(), slog.LevelError, "request failed",
			slog.String("request", id), slog.Any("error", err))
		failures = resource.Errors{{Code: resource.Internal}}
	}
	a.status = failures.Status()
	a.after = failures.RetryAfter()
	a.body = document.AppendErrors(dst, id, failures[:min(len(failures), maxErrors)])
	return a
}
