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

// finishing is which personal tokens have been looked at since they expired.
type finishing struct {
	Since, Until time.Time // when they expired: all up to Since, and since then those up to After
	After        ulid.ULID
}

// finishExpired finishes the sessions of some personal tokens that have expired since it was asked last. It answers how
// many tokens those were: none when there are no more.
func (a *app) finishExpired(ctx context.Context, now time.Time, at *finishing) (looked int, err error) {
	if at.Until.IsZero() {
		at.Until = now
	}
	page, err := a.tokens.List(ctx, resource.Query{
		Where: resource.All{
			resource.Holds("expires_at", resource.AtLeast, at.Since), resource.Holds("expires_at", resource.AtMost, at.Until), resource.NotNull("session")},
		Window: pagination.First(pruned).Next(pagination.At(at.After)), Count: pagination.CountNone, Fields: []string{"session"},
	})
	if err != nil {
		return 0, err
	}
	if len(page.Rows) == 0 {
		*at = finishing{Since: at.Until}
		return 0, nil
	}
	ids := make([]string, len(page.Rows))
	for i := range page.Rows {
		ids[i] = page.Rows[i].Session.String()
	}
	at.After = page.Rows[len(page.Rows)-1].ID
	finish := resource.OnAll("finish", session.Schema.Name, resource.FilterBy("id", ids...), resource.FilterBy("status", "active"))
	finish.Principal = auth.System
	_, err = a.engine.Do(ctx, finish)
	return len(ids), err
}
