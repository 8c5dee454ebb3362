package oauth

import (
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// AccessToken is a token that the server gave out.
type AccessToken struct {
	ID        ulid.ULID
	Hash      string // of the token: SHA-256, in hexadecimal
	Client    ulid.ULID
	User      ulid.ULID // zero if the token is the client's own
	Session   ulid.ULID // zero if there are no sessions
	Scopes    []string
	CreatedAt time.Time
	ExpiresAt time.Time
	RevokedAt time.Time // zero if it is not
}

// TokenSchema is how access tokens are kept. It is not registered: nobody lists them.
var TokenSchema = resource.Schema[AccessToken]{
	Name: "access-token", Plural: "access-tokens",
	Doc: "A token that the authorization server gave out.",
	ID:  func(t *AccessToken) *ulid.ULID { return &t.ID },
	Attributes: []resource.Attribute[AccessToken]{
		resource.Attr("hash", func(t *AccessToken) *string { return &t.Hash }).Unique().Hidden(),
		resource.Attr("scopes", func(t *AccessToken) *[]string { return &t.Scopes }),
		resource.Attr("created_at", func(t *AccessToken) *time.Time { return &t.CreatedAt }).Created(),
		resource.Attr("expires_at", func(t *AccessToken) *time.Time { return &t.ExpiresAt }).Filter(resource.Less),
		resource.Attr("revoked_at", func(t *AccessToken) *time.Time { return &t.RevokedAt }).Nullable(),
	},
	References: []resource.Reference[AccessToken]{
		resource.ToOne("client", "client", func(t *AccessToken) *ulid.ULID { return &t.Client }).OnDelete(resource.Cascade),
		resource.ToOne("user", "user", func(t *AccessToken) *ulid.ULID { return &t.User }).Nullable().
			OnDelete(resource.Cascade),
		resource.ToOne("session", "session", func(t *AccessToken) *ulid.ULID { return &t.Session }).Nullable().
			OnDelete(resource.Cascade),
	},
}

// Key is a key that the server signs with.
type Key struct {
	ID        ulid.ULID
	Private   string // PKCS #8, PEM
	CreatedAt time.Time
}

// KeySchema is how keys are kept. It is not registered.
var KeySchema = resource.Schema[Key]{
	Name: "signing-key", Plural: "signing-keys",
	Doc: "A key that the authorization server signs with.",
	ID:  func(k *Key) *ulid.ULID { return &k.ID },
	Attributes: []resource.Attribute[Key]{
		resource.Attr("private", func(k *Key) *string { return &k.Private }).Secret(),
		resource.Attr("created_at", func(k *Key) *time.Time { return &k.CreatedAt }).Created(),
	},
}
