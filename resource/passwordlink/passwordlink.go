// Package passwordlink is the entity password-link: a link with which a user sets a password, once.
package passwordlink

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// What a link is for.
const (
	Invitation = "invitation" // the first password of a new user
	Reset      = "reset"      // another password of one who has lost theirs
)

// How long a link is good, unless it says otherwise, and at most.
const (
	lifetime    = 72 * time.Hour
	maxLifetime = 30 * 24 * time.Hour
)

// Path is that of the page, below the public base, with the token as the parameter token.
const Path = "/password"

// Link is a link with which a user sets a password.
type Link struct {
	ID                           ulid.ULID
	Purpose                      string
	User                         ulid.ULID
	CreatedAt, ExpiresAt, UsedAt time.Time
	Hash                         string // of the token in the link
	URL                          string // set where it is made, never stored
}

var (
	used    = resource.NotNull("used_at")
	expired = resource.All{resource.IsNull("used_at"), resource.Past("expires_at")}
	active  = resource.All{resource.IsNull("used_at"), resource.Not{Condition: resource.Past("expires_at")}}
)

// Schema is the entity password-link.
var Schema = resource.Schema[Link]{
	Name: "password-link", Plural: "password-links",
	Doc: "A link with which a user sets a password, once: an invitation or a reset. The link itself is shown once, where it is made. It ends with the next one of the user, when the password is set in another way, and when the user is deactivated.",
	ID:  func(l *Link) *ulid.ULID { return &l.ID },
	Attributes: []resource.Attribute[Link]{
		resource.Attr("purpose", func(l *Link) *string { return &l.Purpose }).OneOf(Invitation, Reset).Required().Fixed().Filter(resource.Eq).Example(Invitation),
		resource.Attr("created_at", func(l *Link) *time.Time { return &l.CreatedAt }).Created(),
		resource.Attr("expires_at", func(l *Link) *time.Time { return &l.ExpiresAt }).Fixed().Filter(resource.Greater, resource.Less).
			Doc("72 hours after the creation unless given, 30 days at most."),
		resource.Attr("used_at", func(l *Link) *time.Time { return &l.UsedAt }).Nullable().ReadOnly(),
		resource.Attr("hash", func(l *Link) *string { return &l.Hash }).Unique().Hidden(),
		resource.Once("url", func(l *Link) *string { return &l.URL }).Nullable(),
	},
	References: []resource.Reference[Link]{
		resource.ToOne("user", "user", func(l *Link) *ulid.ULID { return &l.User }).Required().Fixed().OnDelete(resource.Cascade),
	},
	Filters: []resource.Filter{
		{Name: "status", Values: map[string]resource.Condition{"active": active, "used": used, "expired": expired}},
	},
}

// Rights are the permissions of a user who can get a link, whom it holds against other writers. It is a Conflict about one
// who cannot.
type Rights func(ctx context.Context, user ulid.ULID) ([]auth.Permission, error)

// Type serves links out of a store. The base is the URL of the page that they lead to.
func Type(links resource.Store[Link], rights Rights, base string) resource.Type[Link] {
	return resource.Type[Link]{
		Schema: Schema, List: links.List, Get: links.Get, Delete: links.Delete, Checks: []resource.Check[Link]{lasting, rights.recipient, alone},
		Create: func(ctx context.Context, rows ...*Link) error {
			for _, l := range rows {
				token := auth.NewToken(auth.LinkToken)
				l.Hash, l.URL = Hash(token), base+Path+"?token="+token
				if l.ExpiresAt.IsZero() {
					l.ExpiresAt = l.CreatedAt.Add(lifetime)
				}
			}
			return links.Create(ctx, rows...)
		},
		Actions: []resource.Action[Link]{
			resource.Change("expire", links.Update, expire).Doc("End the link now. It stays to be looked at."),
		},
	}
}

// Hash is how the token of a link is stored.
func Hash(token string) string { return hex.EncodeToString(auth.HashToken(token)) }

// Usable reports whether the link has neither been used nor expired.
func (l *Link) Usable(now time.Time) bool { return l.UsedAt.IsZero() && now.Before(l.ExpiresAt) }

func expire(tx *resource.Tx, l *Link) error {
	if !l.Usable(tx.Now) {
		return resource.Errorf(resource.Ended, "the link has been used or has expired")
	}
	l.ExpiresAt = tx.Now
	return nil
}

// lasting bounds how long a new link is good.
func lasting(tx *resource.Tx, before, after *Link) error {
	if before != nil || after.ExpiresAt.IsZero() {
		return nil
	}
	if !after.ExpiresAt.After(tx.Now) || after.ExpiresAt.After(tx.Now.Add(maxLifetime)) {
		return resource.Errorf(resource.Invalid, "expires_at must be within the next 30 days").At("attributes", "expires_at")
	}
	return nil
}

// recipient keeps callers from signing in as somebody who may do more than they: nobody gets a link of such a user.
func (r Rights) recipient(tx *resource.Tx, before, after *Link) error {
	if before != nil {
		return nil
	}
	rights, err := r(tx, after.User)
	if err != nil || tx.Principal.ID == after.User {
		return err
	}
	return resource.NoMore(tx.Principal, rights, "relationships", "user")
}

// alone ends the links of a user before there is another one.
func alone(tx *resource.Tx, before, after *Link) error {
	if before != nil {
		return nil
	}
	_, err := tx.Do(resource.OnAll("expire", Schema.Name, resource.FilterBy("user", after.User.String()), resource.FilterBy("status", "active")))
	return err
}
