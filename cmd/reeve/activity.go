package main

import (
	"context"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/activity"
	"reeve/resource/session"
	"reeve/resource/token"
	"reeve/resource/user"
	"reeve/storage"
)

// newActivity notes the activity of users, sessions and personal tokens in their tables.
func (a *app) newActivity() *activity.Log {
	return activity.New(activity.Config{Database: a.database, Resting: a.readOnly.Load, Log: a.log, Writers: map[string]activity.Writer{
		user.Schema.Name: writer(a.users, func(u *user.User) *time.Time { return &u.LastActiveAt }, nil),
		session.Schema.Name: writer(a.sessions, func(s *session.Session) *time.Time { return &s.LastActiveAt },
			func(s *session.Session, seen activity.Sighting) { s.Seen(seen.At, seen.From) }),
		token.Schema.Name: writer(a.tokens, func(t *token.Token) *time.Time { return &t.LastUsedAt }, nil),
	}})
}

// writer notes a sighting in a row: its time and, unless it is nil, what further notes.
func writer[T any](table *storage.Table[T], last func(*T) *time.Time, further func(*T, activity.Sighting)) activity.Writer {
	return func(ctx context.Context, id ulid.ULID, seen activity.Sighting, before time.Time) (time.Time, error) {
		row, err := table.Update(ctx, id, func(row *T) error {
			if at := last(row); !at.After(before) && seen.At.After(*at) {
				*at = seen.At
				if further != nil {
					further(row, seen)
				}
			}
			return nil
		})
		if err != nil {
			return time.Time{}, err
		}
		return *last(row), nil
	}
}

// saw notes a request of a user, with the session and the token that it belongs to.
func (a *app) saw(ctx context.Context, who *auth.Principal) {
	a.activity.Saw(auth.OriginOf(ctx), resource.Identifier{Type: who.Type, ID: who.ID},
		resource.Identifier{Type: session.Schema.Name, ID: who.Session}, resource.Identifier{Type: token.Schema.Name, ID: who.Token})
}
