// Package authenticator is the entity authenticator: a second factor, by which a user shows that it is they besides by
// their password.
package authenticator

import (
	"context"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// The kinds of authenticators.
const (
	TOTP    = "totp"    // an app that shows a code every 30 seconds (RFC 6238)
	Passkey = "passkey" // a key that a device keeps (WebAuthn)
)

// Authenticator is a second factor of a user.
type Authenticator struct {
	ID                    ulid.ULID
	Kind, Name            string
	User                  ulid.ULID
	CreatedAt, LastUsedAt time.Time

	Secret   string // of an app, in base32
	LastStep int64  // the time step of the latest code that was taken: neither it nor an earlier one is taken again

	Credential string   // the id of a passkey, in base64url
	PublicKey  string   // of it, as COSE in base64url
	SignCount  int64    // how many signatures it says that it has made; 0 if it does not count
	Synced     bool     // it may be on several devices (WebAuthn: backup eligible)
	Transports []string // how it is reached
}

// Schema is the entity authenticator.
var Schema = resource.Schema[Authenticator]{
	Name: "authenticator", Plural: "authenticators",
	Doc: "A second factor of a user: an app that shows codes, or a passkey. Users set theirs up themselves, at /account/security.",
	ID:  func(a *Authenticator) *ulid.ULID { return &a.ID },
	Attributes: []resource.Attribute[Authenticator]{
		resource.Attr("kind", func(a *Authenticator) *string { return &a.Kind }).OneOf(TOTP, Passkey).ReadOnly().Filter(resource.Eq),
		resource.Attr("name", func(a *Authenticator) *string { return &a.Name }).ReadOnly().Confidential().Doc("What the user calls it."),
		resource.Attr("created_at", func(a *Authenticator) *time.Time { return &a.CreatedAt }).Created(),
		resource.Attr("last_used_at", func(a *Authenticator) *time.Time { return &a.LastUsedAt }).Nullable().ReadOnly().Quiet(),
		resource.Attr("secret", func(a *Authenticator) *string { return &a.Secret }).Nullable().Secret().Hidden(),
		resource.Attr("last_step", func(a *Authenticator) *int64 { return &a.LastStep }).Hidden().Quiet(),
		resource.Attr("credential", func(a *Authenticator) *string { return &a.Credential }).Nullable().Unique().Hidden(),
		resource.Attr("public_key", func(a *Authenticator) *string { return &a.PublicKey }).Nullable().Hidden(),
		resource.Attr("sign_count", func(a *Authenticator) *int64 { return &a.SignCount }).Hidden().Quiet(),
		resource.Attr("synced", func(a *Authenticator) *bool { return &a.Synced }).Hidden(),
		resource.Attr("transports", func(a *Authenticator) *[]string { return &a.Transports }).Hidden(),
	},
	References: []resource.Reference[Authenticator]{
		resource.ToOne("user", "user", func(a *Authenticator) *ulid.ULID { return &a.User }).ReadOnly().OnDelete(resource.Cascade).Inverse("authenticators"),
	},
	Sorts: [][]string{{"created_at"}},
}

// Rights are the permissions of a user.
type Rights func(ctx context.Context, user ulid.ULID) ([]auth.Permission, error)

// Type serves authenticators out of a store. Remove deletes one, and sees to what follows. New ones come from the page
// where users set them up.
func Type(authenticators resource.Store[Authenticator], remove func(ctx context.Context, id ulid.ULID) error, rights Rights) resource.Type[Authenticator] {
	return resource.Type[Authenticator]{
		Schema: Schema, List: authenticators.List, Get: authenticators.Get, Delete: remove, Checks: []resource.Check[Authenticator]{rights.protection},
	}
}

// protection keeps callers from making it easier to sign in as somebody who may do more than they. It holds for a token
// of the user's own too that may do less.
func (r Rights) protection(tx *resource.Tx, before, _ *Authenticator) error {
	rights, err := r(tx, before.User)
	if err != nil {
		return err
	}
	return resource.NoMore(tx.Principal, rights, "relationships", "user")
}
