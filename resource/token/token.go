// Package token is the entity token: a personal API token of a user.
package token

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// Token is a personal API token. What it allows is what its scopes and its user's own rights have in common.
type Token struct {
	ID                               ulid.ULID
	Name                             string
	User                             ulid.ULID
	Session                          ulid.ULID // in which the token is used; zero once that is forgotten
	Scopes                           []string
	CreatedAt, LastUsedAt, ExpiresAt time.Time
	RevokedAt                        time.Time
	Hash                             string // of the token, see [Hash]
	Token                            string // set where it is made, never stored
}

var (
	revoked = resource.NotNull("revoked_at")
	expired = resource.Past("expires_at")
)

func revokedAt(t *Token) *time.Time { return &t.RevokedAt }

// Schema is the entity token.
var Schema = resource.Schema[Token]{
	Name: "token", Plural: "tokens",
	Doc: "A personal API token of a user, who may be a service account: a user without a password. The token itself is shown once, where it is made.",
	ID:  func(t *Token) *ulid.ULID { return &t.ID },
	Attributes: []resource.Attribute[Token]{
		resource.Attr("name", func(t *Token) *string { return &t.Name }).Required().Confidential().Example("nightly report"),
		resource.Attr("scopes", func(t *Token) *[]string { return &t.Scopes }, validScopes).Required().Fixed().
			Example([]string{"urn:reeve:user:read"}).Doc("`urn:mas:admin` for everything, `urn:reeve:<type>:<verb>` for less."),
		resource.Attr("created_at", func(t *Token) *time.Time { return &t.CreatedAt }).Created(),
		resource.Attr("last_used_at", func(t *Token) *time.Time { return &t.LastUsedAt }).Nullable().ReadOnly().Quiet(),
		resource.Attr("expires_at", func(t *Token) *time.Time { return &t.ExpiresAt }).Nullable().Fixed().Filter(resource.Greater, resource.Less),
		resource.Attr("revoked_at", revokedAt).Nullable().ReadOnly(),
		resource.Attr("hash", func(t *Token) *string { return &t.Hash }).Unique().Hidden(),
		resource.Once("token", func(t *Token) *string { return &t.Token }).Nullable(),
	},
	References: []resource.Reference[Token]{
		resource.ToOne("user", "user", func(t *Token) *ulid.ULID { return &t.User }).Required().Fixed().OnDelete(resource.Cascade).Inverse("tokens"),
		resource.ToOne("session", "session", func(t *Token) *ulid.ULID { return &t.Session }).Nullable().ReadOnly().OnDelete(resource.Clear).
			Doc("The session that the use of the token is: each ends with the other."),
	},
	Sorts: [][]string{{"created_at"}, {"expires_at"}},
	Filters: []resource.Filter{
		{Name: "status", Values: map[string]resource.Condition{
			"active": resource.All{resource.Not{Condition: revoked}, resource.Not{Condition: expired}}, "revoked": revoked, "expired": expired}},
		{Name: "revoked", Values: map[string]resource.Condition{"true": revoked, "false": resource.Not{Condition: revoked}}},
		{Name: "expires", Doc: "Whether the token has a time of expiry.", Values: map[string]resource.Condition{
			"true": resource.NotNull("expires_at"), "false": resource.IsNull("expires_at")}},
	},
}

// Rights are the permissions of a user.
type Rights func(ctx context.Context, user ulid.ULID) ([]auth.Permission, error)

// Sessions are those that the use of tokens is. Open opens those of new tokens, in the transaction that writes them. Hold
// has whoever else writes to a session wait for the end of the transaction; one that is gone is held by nobody.
type Sessions struct {
	Open func(ctx context.Context, rows ...*Token) error
	Hold func(ctx context.Context, session ulid.ULID) error
}

// Type serves tokens out of a store.
func Type(tokens resource.Store[Token], sessions Sessions, rights Rights) resource.Type[Token] {
	return resource.Type[Token]{
		Schema: Schema, List: tokens.List, Get: tokens.Get, Checks: []resource.Check[Token]{check, rights.impersonation},
		Create: func(ctx context.Context, rows ...*Token) error {
			for _, t := range rows {
				t.renew()
			}
			if err := sessions.Open(ctx, rows...); err != nil {
				return err
			}
			return tokens.Create(ctx, rows...)
		},
		Actions: []resource.Action[Token]{
			resource.Change("revoke", sessions.first(tokens), resource.End(revokedAt, "the token is revoked already")).Then(finishSession).
				Doc("End the token; it is refused from the next request on."),
			resource.Command("regenerate", tokens.Update, regenerateArguments, regenerate).Issuing().
				Doc("Make the token anew. The former is refused from the next request on; the new one stands in the answer, and nowhere else."),
		},
	}
}

// Hash is how the hash of a token is stored.
func Hash(sum []byte) string { return hex.EncodeToString(sum) }

// renew makes the token itself.
func (t *Token) renew() {
	t.Token = auth.NewToken(auth.PersonalToken)
	t.Hash = Hash(auth.HashToken(t.Token))
}

var regenerateArguments = []resource.Attribute[Token]{
	resource.Attr("expires_at", func(t *Token) *time.Time { return &t.ExpiresAt }).Nullable().
		Doc("When the new token expires; as the former does, if not given."),
}

func regenerate(_ *resource.Tx, t, in *Token) error {
	if !t.RevokedAt.IsZero() {
		return resource.Errorf(resource.Ended, "the token is revoked")
	}
	if !in.ExpiresAt.IsZero() {
		t.ExpiresAt = in.ExpiresAt
	}
	t.renew()
	return nil
}

// first changes a token once its session is held: in this order, as whoever finishes that, lest two wait for one another.
func (s Sessions) first(tokens resource.Store[Token]) resource.UpdateFunc[Token] {
	return func(ctx context.Context, id ulid.ULID, change func(*Token) error) (*Token, error) {
		t, err := tokens.Get(ctx, id)
		if err == nil && t.Session != (ulid.ULID{}) {
			err = s.Hold(ctx, t.Session)
		}
		if err != nil {
			return nil, err
		}
		return tokens.Update(ctx, id, change)
	}
}

// finishSession ends the session that a token's use is.
func finishSession(tx *resource.Tx, t *Token) error {
	if t.Session == (ulid.ULID{}) {
		return nil
	}
	_, err := tx.Do(resource.OnAll("finish", "session", resource.FilterBy("id", t.Session.String()), resource.FilterBy("status", "active")))
	return err
}

// Usable reports whether the token is neither revoked nor expired.
func (t *Token) Usable(now time.Time) bool {
	return t.RevokedAt.IsZero() && (t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt))
}

// check keeps a caller from making a token that may do more than the caller, or has expired.
func check(tx *resource.Tx, before, after *Token) error {
	if before != nil && before.Hash == after.Hash {
		return nil
	}
	if !after.ExpiresAt.IsZero() && !after.ExpiresAt.After(tx.Now) {
		return resource.Errorf(resource.Invalid, "expires_at must not be in the past").At("attributes", "expires_at")
	}
	return resource.NoMore(tx.Principal, auth.ScopePermissions(after.Scopes), "attributes", "scopes")
}

// impersonation keeps callers from acting as somebody who may do more than they: nobody learns a token of such a user.
func (r Rights) impersonation(tx *resource.Tx, before, after *Token) error {
	if after == nil || before != nil && before.Hash == after.Hash || tx.Principal.ID == after.User {
		return nil
	}
	rights, err := r(tx, after.User)
	if err != nil {
		return err
	}
	return resource.NoMore(tx.Principal, rights, "relationships", "user")
}

func validScopes(scopes []string) error {
	for _, scope := range scopes {
		if _, ok := auth.ParseScope(scope); !ok {
			return fmt.Errorf("has the unknown scope %q", scope)
		}
	}
	return nil
}
