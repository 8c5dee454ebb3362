package main

import (
	"context"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/session"
	"reeve/resource/token"
)

// openSessions opens the sessions that the use of new personal tokens is.
func (a *app) openSessions(ctx context.Context, tokens ...*token.Token) error {
	sessions := make([]*session.Session, len(tokens))
	for i, t := range tokens {
		t.Session = ulid.Make()
		sessions[i] = &session.Session{ID: t.Session, Kind: session.Personal, User: t.User, CreatedAt: t.CreatedAt}
	}
	return a.sessions.Create(ctx, sessions...)
}

// holdSession has whoever else writes to a session wait for the end of the transaction. One that is gone is held by nobody.
func (a *app) holdSession(ctx context.Context, id ulid.ULID) error {
	_, err := a.sessions.Update(ctx, id, func(*session.Session) error { return nil })
	if resource.Is(err, resource.NotFound) {
		return nil
	}
	return err
}

// finishExpired finishes the sessions of the personal tokens that have expired since it was asked last.
func (a *app) finishExpired() func(ctx context.Context, now time.Time) (finished int, err error) {
	var since time.Time
	return func(ctx context.Context, now time.Time) (finished int, err error) {
		query := resource.Query{Window: pagination.First(pagination.MaxSize), Count: pagination.CountNone, Fields: []string{"session"}, Now: now, Where: resource.All{
			resource.Holds("expires_at", resource.AtLeast, since), resource.Holds("expires_at", resource.AtMost, now), resource.NotNull("session")}}
		for {
			page, err := a.tokens.List(ctx, query)
			if err != nil {
				return finished, err
			}
			if len(page.Rows) == 0 {
				since = now
				return finished, nil
			}
			ids := make([]string, len(page.Rows))
			for i := range page.Rows {
				ids[i] = page.Rows[i].Session.String()
			}
			finish := resource.OnAll("finish", session.Schema.Name, resource.FilterBy("id", ids...), resource.FilterBy("status", "active"))
			finish.Principal = auth.System
			done, err := a.engine.Do(ctx, finish)
			if err != nil {
				return finished, err
			}
			finished += done[0].Affected
			query.Window = query.Window.Next(pagination.At(page.Rows[len(page.Rows)-1].ID))
		}
	}
}
