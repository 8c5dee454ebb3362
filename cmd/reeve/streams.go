package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/auth/oauth"
	"reeve/resource"
	"reeve/resource/contact"
	"reeve/resource/httpapi"
	"reeve/resource/session"
	"reeve/resource/stream"
	"reeve/resource/user"
)

// newStreams serves the live streams.
func (a *app) newStreams(c *configuration, authorization *oauth.Server) *stream.Server {
	authenticator := a.authenticator(c, authorization, nil)
	return stream.New(stream.Config{
		Engine: a.engine, Outbox: a.database, Events: a.database.Events().List, Mail: a.mail(),
		Owners: map[string]stream.Owners{contact.Schema.Name: func(ctx context.Context, events []resource.Event) (map[ulid.ULID]ulid.ULID, error) {
			return contact.Owners(ctx, a.contacts, events)
		}},
		Base:         c.prefix() + httpapi.Base,
		Authenticate: a.authenticate(authenticator),
		Failure:      func(err error) http.Handler { return httpapi.Failure(err, authenticator.Challenges()...) },
		Open:         a.openStream, Active: a.sessionActive, Close: a.finish,
		Heartbeat: func() time.Duration { return streamHeartbeat.In(c) }, Patience: func() time.Duration { return streamPatience.In(c) }, Log: a.log,
	})
}

// openStream opens the session of a stream, by which its user is connected.
func (a *app) openStream(ctx context.Context, who *auth.Principal, name string) (ulid.ULID, error) {
	s := &session.Session{ID: ulid.Make(), Kind: session.Stream, User: who.ID, Resource: name}
	if name == "" {
		s.Resource = strings.ToLower(s.ID.String()[ulid.EncodedSize-8:])
	}
	return s.ID, a.database.Transact(ctx, func(ctx context.Context) error {
		if err := a.presence.Opened(ctx, s.ID, who.ID); err != nil {
			return err
		}
		return a.beginSession(ctx, who, s)
	})
}

// sessionEnded follows from the end of a session, in the transaction that finishes it.
func (a *app) sessionEnded(tx *resource.Tx, s *session.Session) error {
	if s.Kind == session.Stream {
		return a.presence.Closed(tx, s.ID, s.User)
	}
	return oauth.Forget(a.consents, a.sessions)(tx, s)
}

// connect holds the row of a user and notes what open then answers: whether a stream of theirs is open. A user who is
// gone needs no note.
func (a *app) connect(ctx context.Context, id ulid.ULID, open func() (bool, error)) error {
	_, err := a.users.Update(ctx, id, func(u *user.User) (err error) {
		u.Connected, err = open()
		return err
	})
	if resource.Is(err, resource.NotFound) {
		return nil
	}
	return err
}

// plain keeps an answer that goes piece by piece from being compressed, which would cost each stream a compressor.
func plain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(gzhttp.HeaderNoCompression, "1")
		next.ServeHTTP(w, r)
	})
}
