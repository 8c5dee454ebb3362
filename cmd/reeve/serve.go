package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"golang.org/x/sync/errgroup"

	"reeve/auth"
	"reeve/auth/oauth"
	"reeve/resource"
	"reeve/resource/httpapi"
	"reeve/resource/openapi"
	"reeve/resource/stream"
	"reeve/resource/version"
)

// grace is how much longer than the database's timeout requests in flight may take to end after the server has been
// told to stop, so that only what waits for its client is cut.
const grace = 5 * time.Second

// serve is the command reeve serve.
type serve struct{}

func (serve) Run(ctx context.Context, c *configuration) error {
	a, err := openCurrent(ctx, c)
	if err != nil {
		return err
	}
	defer a.close()
	return a.serve(ctx, c, func(line string) { fmt.Fprintln(os.Stdout, line) })
}

// serve serves until the context ends, and then lets the requests in flight end. It announces where it listens.
func (a *app) serve(ctx context.Context, c *configuration, announce func(line string)) error {
	c.Pin()
	if err := a.configure(ctx, c); err != nil {
		return err
	}
	if err := a.guard.Load(ctx); err != nil {
		return err
	}
	if err := a.presence.Join(ctx); err != nil {
		return err
	}
	authorization, err := a.authorizationServer(c)
	if err != nil {
		return err
	}
	a.authorization = authorization
	if oauth.Exposed(c.publicBase()) {
		a.log.Warn("tokens and passwords travel in the clear: serve TLS, or name the https address in http.public_base", "issuer", c.publicBase())
	}
	defer maintenanceReadOnly.Follow(c.Store, a.readOnly.Store)()
	streams := a.newStreams(c, authorization)
	served := a.mounts(c, authorization, a.authenticator(c, authorization, a.database.Generation), streams)
	tracing := a.newTracing(c)
	type endpoint struct {
		server   *http.Server
		listener net.Listener
	}
	var endpoints []endpoint
	var places []string
	for _, l := range httpListeners.In(c) {
		server := newServer(a.traced(tracing, l.handler(c, served, a.rest)))
		server.RegisterOnShutdown(streams.Stop)
		listeners, err := a.listen(&l)
		if err != nil {
			return err
		}
		for _, listener := range listeners {
			endpoints = append(endpoints, endpoint{server, listener})
			places = append(places, l.url(listener))
		}
	}
	announce("Reeve listens on " + strings.Join(places, ", "))

	// The workers outlive the requests, whose events they are to see.
	working, rest := context.WithCancel(context.WithoutCancel(ctx))
	defer rest()
	var workers errgroup.Group
	workers.Go(func() error { return a.database.Run(working) })
	workers.Go(func() error { return a.database.Watch(working) })
	workers.Go(func() error { return a.activity.Run(working) })
	workers.Go(func() error { return a.limiter.Run(working) })
	workers.Go(func() error { return a.settings.Run(working) })
	workers.Go(func() error { return a.guard.Run(working) })
	workers.Go(func() error { return a.reloadOn(working) })
	// A node takes leave once the sessions of its streams are finished, and its modules hold nothing any more.
	present, leave := context.WithCancel(context.WithoutCancel(ctx))
	workers.Go(func() error {
		defer leave()
		var holders errgroup.Group
		holders.Go(func() error { return streams.Run(working) })
		holders.Go(func() error { return a.modules.Run(working) })
		return holders.Wait()
	})
	workers.Go(func() error { return a.presence.Run(a.database.Maintain(present)) }) // a node that is silent is taken for dead

	serving, ctx := errgroup.WithContext(ctx)
	for _, e := range endpoints {
		serving.Go(func() error {
			if err := e.server.Serve(e.listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		serving.Go(func() error {
			<-ctx.Done()
			return stop(e.server, databaseTimeout.In(c)+grace)
		})
	}
	err = serving.Wait()
	rest()
	err = errors.Join(err, workers.Wait())
	if tracing != nil {
		flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if lost := tracing.Shutdown(flushing); lost != nil {
			a.log.WarnContext(ctx, "the last spans are lost", "error", lost)
		}
	}
	return err
}

// stop takes no more connections, lets the requests in flight end, and cuts those that do not.
func stop(server *http.Server, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("requests had not ended %s after the stop: %w", grace, err), server.Close())
	}
	return nil
}

// mounts are the paths of each resource that a listener can name.
func (a *app) mounts(c *configuration, authorization *oauth.Server, authenticator *auth.Authenticator, streams http.Handler) mounts {
	api := httpapi.New(httpapi.Config{
		Engine: a.engine, Authenticate: a.authenticate(authenticator), Challenges: authenticator.Challenges, Prefix: c.prefix(),
		Answers: a.answers, Log: a.log, Observe: a.observe,
	})
	info := func() openapi.Info {
		return openapi.Info{
			Version: version.Current().Version, Base: strings.TrimSuffix(c.publicBase(), c.prefix()), Prefix: c.prefix(),
			TokenURL: c.publicBase() + "/oauth2/token", AuthorizationURL: c.publicBase() + "/authorize", Basic: authBasicEnabled.In(c),
		}
	}
	configured := func(next http.Handler) http.Handler { return configuredOrigins(next, c) }
	admin := func(next http.Handler) http.Handler { return a.guarded(configured(next)) }
	return mounts{
		serveAdminAPI: func(r *mux.Router) {
			r.PathPrefix(httpapi.Base).Handler(admin(api))
			r.Path(openapi.SpecPath).Handler(admin(reads(openapi.Handler(a.engine.Registry(), info))))
			page := a.guarded(reads(openapi.UI(info())))
			r.Path(strings.TrimSuffix(openapi.UIPath, "/")).Handler(page) // it redirects
			r.PathPrefix(openapi.UIPath).Handler(page)
		},
		serveOAuth: func(r *mux.Router) {
			for _, path := range oauth.PagePaths {
				r.Path(path).Handler(a.logged(authorization))
			}
			for _, path := range oauth.Paths {
				r.Path(path).Handler(crossOrigin(a.logged(authorization), anyOrigin))
			}
		},
		serveDiscovery: func(r *mux.Router) {
			for _, path := range oauth.DiscoveryPaths {
				r.Path(path).Handler(crossOrigin(a.logged(authorization), anyOrigin))
			}
		},
		serveUserAPI: func(r *mux.Router) { r.Path(stream.Path).Handler(configured(a.logged(plain(streams)))) },
		serveHealth: func(r *mux.Router) {
			r.Path("/health").Handler(reads(a.health(true)))
			r.Path("/health/ready").Handler(reads(a.health(true)))
			r.Path("/health/live").Handler(reads(a.health(false)))
		},
		servePrometheus: func(r *mux.Router) { r.Path("/metrics").Handler(reads(a.metrics.handler())) },
	}
}

// rest serves what no resource of a listener has: the routes of modules, and beyond them nothing.
func (a *app) rest(resources []string) http.Handler {
	nothing := httpapi.Failure(resource.Errorf(resource.NotFound, "nothing is served at this path"))
	return a.logged(a.modules.Serve(resources, nothing))
}

// reads lets only GET and HEAD through.
func reads(next http.Handler) http.Handler {
	refusal := httpapi.Failure(resource.Errorf(resource.MethodNotAllowed, "this path serves GET and HEAD"))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			refusal.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// health answers 200 while the process lives and, asked for readiness, the database answers; else 503.
func (a *app) health(ready bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if ready {
			ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
			defer cancel()
			if err := a.database.Ping(ctx); err != nil {
				a.log.Warn("not ready", "error", err)
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusServiceUnavailable)
				fmt.Fprintln(w, `{"status":"fail"}`)
				return
			}
		}
		fmt.Fprintln(w, `{"status":"pass"}`)
	})
}
