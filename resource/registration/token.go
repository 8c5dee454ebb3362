// Package registration is what the module registration has: tokens with which people register accounts for themselves,
// and the two steps in which they do.
package registration

import (
	"context"
	"errors"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// Token is what lets people register. It is no secret before administrators.
type Token struct {
	ID                    ulid.ULID
	Token                 string
	UsesAllowed           *int64 // nil for any number
	Pending, Completed    int64
	CreatedAt, LastUsedAt time.Time
	ExpiresAt, RevokedAt  time.Time
	length                int64 // of a token that is to be made, never stored
}

// How long a token is that is made, unless it says otherwise, and at most.
const (
	defaultLength = 16
	maxLength     = 64
)

func revokedAt(t *Token) *time.Time { return &t.RevokedAt }

var (
	revoked = resource.NotNull("revoked_at")
	expired = resource.Past("expires_at")
	used    = resource.Holds("completed", resource.Greater, int64(0))
	// A use that is pending is taken. None allowed is none, unlike in Synapse, whose registration takes 0 for any number.
	valid = resource.All{
		resource.Not{Condition: revoked}, resource.Not{Condition: expired},
		resource.Any{resource.IsNull("uses_allowed"), resource.Compare{
			Attribute: "uses_allowed", Op: resource.Greater, Operand: resource.Sum{"pending", "completed"}}},
	}
)

// Schema is the entity registration-token.
var Schema = resource.Schema[Token]{
	Name: "registration-token", Plural: "registration-tokens",
	Doc: "What lets people register accounts for themselves, so many times and so long as it says.",
	ID:  func(t *Token) *ulid.ULID { return &t.ID },
	Attributes: []resource.Attribute[Token]{
		resource.Attr("token", func(t *Token) *string { return &t.Token }, resource.Matches(`^[A-Za-z0-9._~-]+$`, "must be one or more of A-Z a-z 0-9 . _ ~ -")).
			MaxLength(maxLength).Fixed().Unique().Confidential().Filter(resource.Eq).Example("listen-billy").Doc("Made up if a creation gives none."),
		resource.Input("length", func(t *Token) *int64 { return &t.length }, checkLength).Fixed().
			Doc("How long a token is to be that is made up: 16 characters unless given, 64 at most."),
		resource.State[Token]("valid", valid).Doc("Whether the token lets somebody register now: it is neither revoked nor expired, and not all of its uses are taken."),
		resource.Attr("uses_allowed", func(t *Token) **int64 { return &t.UsesAllowed }, checkUses).Example(100).Doc("Null for any number; 0 for none."),
		resource.Attr("pending", func(t *Token) *int64 { return &t.Pending }).ReadOnly().Quiet().Doc("How many registrations have begun, and may still be completed."),
		resource.Attr("completed", func(t *Token) *int64 { return &t.Completed }).ReadOnly().Quiet().Doc("How many accounts have been registered."),
		resource.Attr("created_at", func(t *Token) *time.Time { return &t.CreatedAt }).Created(),
		resource.Attr("last_used_at", func(t *Token) *time.Time { return &t.LastUsedAt }).Nullable().ReadOnly().Quiet().Doc("When an account was last registered."),
		resource.Attr("expires_at", func(t *Token) *time.Time { return &t.ExpiresAt }).Nullable().Filter(resource.Greater, resource.Less),
		resource.Attr("revoked_at", revokedAt).Nullable().ReadOnly(),
	},
	Sorts: [][]string{{"created_at"}, {"expires_at"}},
	Filters: []resource.Filter{
		{Name: "used", Doc: "Whether an account has been registered.", Values: map[string]resource.Condition{"true": used, "false": resource.Not{Condition: used}}},
		{Name: "revoked", Values: map[string]resource.Condition{"true": revoked, "false": resource.Not{Condition: revoked}}},
		{Name: "expired", Values: map[string]resource.Condition{"true": expired, "false": resource.Not{Condition: expired}}},
	},
}

func checkLength(_ context.Context, n int64) (int64, error) {
	if n < 1 || n > maxLength {
		return 0, errors.New("must be from 1 to 64")
	}
	return n, nil
}

func checkUses(n *int64) error {
	if n != nil && *n < 0 {
		return errors.New("must not be negative")
	}
	return nil
}

// Type serves tokens out of a store.
func Type(tokens resource.Store[Token]) resource.Type[Token] {
	return resource.Type[Token]{
		Schema: Schema, Lookups: []string{"token"}, Checks: []resource.Check[Token]{check},
		List: tokens.List, Get: tokens.Get, Update: tokens.Update, Delete: tokens.Delete,
		Create: func(ctx context.Context, rows ...*Token) error {
			for _, t := range rows {
				if t.Token != "" {
					continue
				}
				if err := t.make(ctx, tokens); err != nil {
					return err
				}
			}
			return tokens.Create(ctx, rows...)
		},
		Actions: []resource.Action[Token]{
			resource.Change("revoke", tokens.Update, resource.End(revokedAt, "the token is revoked already")).
				Doc("Let nobody register with the token any more, nor complete what they have begun."),
			resource.Change("unrevoke", tokens.Update, resource.Unstamp(revokedAt)).Doc("Let people register with the token again."),
		},
	}
}

// tries is how often a token is made up that there is already, which only short ones are.
const tries = 4

// make makes a token up that there is not yet.
func (t *Token) make(ctx context.Context, tokens resource.Store[Token]) error {
	if t.length == 0 {
		t.length = defaultLength
	}
	for range tries {
		t.Token = auth.Random(int(t.length))
		if other, err := resource.Only(ctx, tokens.List, "token", t.Token); other == nil {
			return err
		}
	}
	return resource.Errorf(resource.Conflict, "hardly a token of this length is left; ask for a longer one").At("attributes", "length")
}

func check(tx *resource.Tx, before, after *Token) error {
	if after == nil {
		return nil
	}
	var problems resource.Errors
	if after.length != 0 && after.Token != "" {
		problems = append(problems, resource.Errorf(resource.Invalid, "length is that of a token that is made up, and token gives one").At("attributes", "length"))
	}
	renewed := before == nil || !before.ExpiresAt.Equal(after.ExpiresAt)
	if renewed && !after.ExpiresAt.IsZero() && !after.ExpiresAt.After(tx.Now) {
		problems = append(problems, resource.Errorf(resource.Invalid, "expires_at must not be in the past").At("attributes", "expires_at"))
	}
	if problems == nil {
		return nil
	}
	return problems
}
