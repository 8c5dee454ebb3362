package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
	"github.com/klauspost/compress/gzhttp"
	"github.com/rs/cors"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/httpapi"
)

// mounts says which paths each resource of a listener serves. What a listener does not name is 404 there.
type mounts map[string]func(*mux.Router)

// handler serves the resources that a listener names, under the base path. What none of them has goes to rest.
func (l *listenerConfiguration) handler(c *configuration, served mounts, rest func(resources []string) http.Handler) http.Handler {
	// The paths of a router that is asked for its encoded path, uncleaned, are what the client sent.
	router := mux.NewRouter().SkipClean(true).UseEncodedPath()
	for _, name := range l.names() {
		served[name](router)
	}
	router.NotFoundHandler = rest(l.names())
	var handler http.Handler = router
	if base := c.basePath(); base != "" {
		handler = under(base, handler)
	}
	if l.RequireTLS {
		handler = requireTLS(handler)
	}
	compress, err := gzhttp.NewWrapper(gzhttp.SuffixETag(httpapi.GzipSuffix))
	if err != nil {
		panic(err) // the option is wrong
	}
	return withOrigin(func() []auth.Network { return httpTrustedProxies.In(c) }, compress(handler))
}

// anyOrigin are all origins, for what asks for no more than a page could send by itself.
var anyOrigin = []string{"*"}

// crossOrigin lets the pages of some origins, none if there are none, use what is served. Browsers send no credentials
// along by themselves (CORS).
func crossOrigin(next http.Handler, origins []string) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins, AllowedMethods: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"},
		AllowedHeaders: []string{"Authorization", "Accept", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID", "X-Request-Id"},
		ExposedHeaders: []string{"ETag", "Idempotency-Replayed", "Location", "X-Request-Id", "Retry-After", "WWW-Authenticate"},
	}).Handler(next)
}

// configuredOrigins is crossOrigin for the origins of http.cors_origins.
func configuredOrigins(next http.Handler, c *configuration) http.Handler {
	var current atomic.Pointer[http.Handler]
	httpCORSOrigins.Follow(c.Store, func(origins []string) {
		handler := crossOrigin(next, origins)
		current.Store(&handler)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*current.Load()).ServeHTTP(w, r) })
}

// under serves what is below a path, and nothing else.
func under(base string, next http.Handler) http.Handler {
	stripped := http.StripPrefix(base, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.EscapedPath(), base+"/") {
			httpapi.Failure(resource.Errorf(resource.NotFound, "everything is served under %s", base)).ServeHTTP(w, r)
			return
		}
		stripped.ServeHTTP(w, r)
	})
}

// guarded refuses what does not come from an allowed address.
func (a *app) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if from := auth.OriginOf(r.Context()).Address.Addr(); !a.guard.Allows(from) {
			httpapi.Failure(resource.Errorf(resource.Forbidden, "the admin API cannot be used from %s", from)).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// requireTLS refuses what did not come over TLS: what it carried has been readable on its way.
func requireTLS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !auth.OriginOf(r.Context()).Secure {
			httpapi.Failure(resource.Errorf(resource.Forbidden, "this listener takes requests over TLS only")).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// withOrigin notes where each request comes from. X-Forwarded-For and X-Forwarded-Proto count only from trusted
// proxies: the client is the last address that no trusted proxy has.
func withOrigin(proxies func() []auth.Network, next http.Handler) http.Handler {
	trusted := func(address netip.Addr) bool {
		return slices.ContainsFunc(proxies(), func(network auth.Network) bool { return network.Contains(address) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			peer = netip.AddrPort{} // not a TCP connection
		}
		client := netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
		secure := r.TLS != nil
		if trusted(client.Addr()) {
			secure = secure || r.Header.Get("X-Forwarded-Proto") == "https"
			hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
			for _, hop := range slices.Backward(hops) {
				address, err := netip.ParseAddr(strings.TrimSpace(hop))
				if err != nil {
					break
				}
				client = netip.AddrPortFrom(address.Unmap(), 0)
				if !trusted(client.Addr()) {
					break
				}
			}
		}
		id := httpapi.RequestID(r)
		r.Header.Set("X-Request-Id", id) // it is the same for whoever asks
		agent := r.UserAgent()
		agent = strings.ToValidUTF8(agent[:min(len(agent), auth.MaxUserAgent)], "")
		origin := auth.Origin{Address: client, Secure: secure, UserAgent: agent, Request: id}
		next.ServeHTTP(w, r.WithContext(auth.WithOrigin(r.Context(), origin)))
	})
}

// listen opens the binds of a listener, over TLS if it has a certificate.
func (a *app) listen(l *listenerConfiguration) (listeners []net.Listener, err error) {
	var config *tls.Config
	if l.TLS.CertificateFile != "" {
		c := &certificate{listener: l.Name, files: l.TLS}
		renew, err := c.read()
		if err != nil {
			return nil, err
		}
		renew()
		a.certified = append(a.certified, c)
		config = c.config()
	}
	for i := range l.Binds {
		address, err := l.address(i)
		if err != nil {
			return nil, err
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return nil, err
		}
		if config != nil {
			listener = tls.NewListener(listener, config)
		}
		listeners = append(listeners, listener)
	}
	return listeners, nil
}

// url is where a bind is reached, and what is served there.
func (l *listenerConfiguration) url(listener net.Listener) string {
	scheme := "http"
	if l.TLS.CertificateFile != "" {
		scheme = "https"
	}
	return fmt.Sprintf("%s://%s (%s)", scheme, listener.Addr(), strings.Join(l.names(), ", "))
}

// names are those of the resources.
func (l *listenerConfiguration) names() []string {
	var names []string
	for _, r := range l.Resources {
		names = append(names, r.Name)
	}
	return names
}

// newServer limits what a connection may cost: a client that sends its headers slowly, or none, is dropped.
func newServer(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
}
