package oauth

import (
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Everything here that is a secret of somebody else is kept as its SHA-256, in hexadecimal. None of the schemas is
// registered: nobody lists them.

// Code is an authorization code: what a client gets from a user's consent, and exchanges for its first tokens.
type Code struct {
	ID          ulid.ULID
	Hash        string
	Client      ulid.ULID
	User        ulid.ULID
	Browser     ulid.ULID // the session in which the user gave it; it is good for nothing once that has ended
	Session     ulid.ULID // of the tokens that it was exchanged for; zero if it was not
	Scopes      []string
	RedirectURI string
	Challenge   string // RFC 7636, by S256
	Nonce       string // OpenID Connect; empty if none
	SignedInAt  time.Time
	Methods     []string // by which the user signed in
	CreatedAt   time.Time
	ExpiresAt   time.Time
}

// CodeSchema is how authorization codes are kept.
var CodeSchema = resource.Schema[Code]{
	Name: "authorization-code", Plural: "authorization-codes", Uncounted: true,
	Doc: "What a client exchanges for its first tokens.",
	ID:  func(c *Code) *ulid.ULID { return &c.ID },
	Attributes: []resource.Attribute[Code]{
		resource.Attr("hash", func(c *Code) *string { return &c.Hash }).Unique().Hidden(),
		resource.Attr("scopes", func(c *Code) *[]string { return &c.Scopes }),
		resource.Attr("redirect_uri", func(c *Code) *string { return &c.RedirectURI }),
		resource.Attr("challenge", func(c *Code) *string { return &c.Challenge }),
		resource.Attr("nonce", func(c *Code) *string { return &c.Nonce }).Nullable(),
		resource.Attr("signed_in_at", func(c *Code) *time.Time { return &c.SignedInAt }),
		resource.Attr("methods", func(c *Code) *[]string { return &c.Methods }),
		resource.Attr("created_at", func(c *Code) *time.Time { return &c.CreatedAt }).Created(),
		resource.Attr("expires_at", func(c *Code) *time.Time { return &c.ExpiresAt }).Filter(resource.Less),
	},
	References: []resource.Reference[Code]{
		resource.ToOne("client", "client", func(c *Code) *ulid.ULID { return &c.Client }).OnDelete(resource.Cascade),
		resource.ToOne("user", "user", func(c *Code) *ulid.ULID { return &c.User }).OnDelete(resource.Cascade),
		resource.ToOne("browser", "session", func(c *Code) *ulid.ULID { return &c.Browser }).OnDelete(resource.Cascade),
		resource.ToOne("session", "session", func(c *Code) *ulid.ULID { return &c.Session }).Nullable().
			OnDelete(resource.Cascade),
	},
}

// Consent is what a user has let a client do, so that they are not asked again. It is forgotten with either of them, and
// with the last session of the client that somebody ends.
type Consent struct {
	ID        ulid.ULID // see [consentID]
	Client    ulid.ULID
	User      ulid.ULID
	Scopes    []string
	CreatedAt time.Time
}

// ConsentSchema is how consents are kept.
var ConsentSchema = resource.Schema[Consent]{
	Name: "consent", Plural: "consents", Uncounted: true,
	Doc: "What a user has let a client do.",
	ID:  func(c *Consent) *ulid.ULID { return &c.ID },
	Attributes: []resource.Attribute[Consent]{
		resource.Attr("scopes", func(c *Consent) *[]string { return &c.Scopes }),
		resource.Attr("created_at", func(c *Consent) *time.Time { return &c.CreatedAt }).Created(),
	},
	References: []resource.Reference[Consent]{
		resource.ToOne("client", "client", func(c *Consent) *ulid.ULID { return &c.Client }).OnDelete(resource.Cascade),
		resource.ToOne("user", "user", func(c *Consent) *ulid.ULID { return &c.User }).OnDelete(resource.Cascade),
	},
}

// AccessToken is a token that the server gave out.
type AccessToken struct {
	ID        ulid.ULID
	Hash      string
	Client    ulid.ULID
	User      ulid.ULID // zero if the token is the client's own
	Session   ulid.ULID
	Refresh   ulid.ULID // the refresh token that it came with or from; zero if none
	Scopes    []string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// TokenSchema is how access tokens are kept.
var TokenSchema = resource.Schema[AccessToken]{
	Name: "access-token", Plural: "access-tokens", Uncounted: true,
	Doc: "A token that the authorization server gave out.",
	ID:  func(t *AccessToken) *ulid.ULID { return &t.ID },
	Attributes: []resource.Attribute[AccessToken]{
		resource.Attr("hash", func(t *AccessToken) *string { return &t.Hash }).Unique().Hidden(),
		resource.Attr("scopes", func(t *AccessToken) *[]string { return &t.Scopes }),
		resource.Attr("created_at", func(t *AccessToken) *time.Time { return &t.CreatedAt }).Created(),
		resource.Attr("expires_at", func(t *AccessToken) *time.Time { return &t.ExpiresAt }).Filter(resource.Less),
	},
	References: []resource.Reference[AccessToken]{
		resource.ToOne("client", "client", func(t *AccessToken) *ulid.ULID { return &t.Client }).OnDelete(resource.Cascade),
		resource.ToOne("user", "user", func(t *AccessToken) *ulid.ULID { return &t.User }).Nullable().
			OnDelete(resource.Cascade),
		resource.ToOne("session", "session", func(t *AccessToken) *ulid.ULID { return &t.Session }).OnDelete(resource.Cascade),
		resource.ToOne("refresh", "refresh-token", func(t *AccessToken) *ulid.ULID { return &t.Refresh }).Nullable().
			OnDelete(resource.Cascade),
	},
}

// RefreshToken is a family of refresh tokens, of which the newest is good for the next access token. A former one says
// that two have the same token, and ends the session. A session has one family at most.
type RefreshToken struct {
	ID        ulid.ULID
	Family    string // see [auth.HashFamily]
	Hash      string // of the newest
	Client    ulid.ULID
	User      ulid.ULID
	Session   ulid.ULID
	Scopes    []string
	CreatedAt time.Time // of the family
	ExpiresAt time.Time // of the newest
}

// RefreshSchema is how refresh tokens are kept.
var RefreshSchema = resource.Schema[RefreshToken]{
	Name: "refresh-token", Plural: "refresh-tokens", Uncounted: true,
	Doc: "What a client exchanges for its next tokens.",
	ID:  func(t *RefreshToken) *ulid.ULID { return &t.ID },
	Attributes: []resource.Attribute[RefreshToken]{
		resource.Attr("family", func(t *RefreshToken) *string { return &t.Family }).Unique().Hidden(),
		resource.Attr("hash", func(t *RefreshToken) *string { return &t.Hash }).Hidden(),
		resource.Attr("scopes", func(t *RefreshToken) *[]string { return &t.Scopes }),
		resource.Attr("created_at", func(t *RefreshToken) *time.Time { return &t.CreatedAt }).Created(),
		resource.Attr("expires_at", func(t *RefreshToken) *time.Time { return &t.ExpiresAt }).Filter(resource.Less),
	},
	References: []resource.Reference[RefreshToken]{
		resource.ToOne("client", "client", func(t *RefreshToken) *ulid.ULID { return &t.Client }).OnDelete(resource.Cascade),
		resource.ToOne("user", "user", func(t *RefreshToken) *ulid.ULID { return &t.User }).OnDelete(resource.Cascade),
		resource.ToOne("session", "session", func(t *RefreshToken) *ulid.ULID { return &t.Session }).OnDelete(resource.Cascade),
	},
}

// Browser is a browser in which a user has signed in.
type Browser struct {
	ID        ulid.ULID
	Hash      string // of its cookie
	User      ulid.ULID
	Session   ulid.ULID
	Methods   []string  // by which the user signed in, as the claim amr has them (RFC 8176)
	Challenge string    // for the next passkey that the user makes
	CreatedAt time.Time // when the user signed in
	ExpiresAt time.Time
}

// BrowserSchema is how browsers are kept.
var BrowserSchema = resource.Schema[Browser]{
	Name: "browser", Plural: "browsers", Uncounted: true,
	Doc: "A browser in which a user has signed in.",
	ID:  func(b *Browser) *ulid.ULID { return &b.ID },
	Attributes: []resource.Attribute[Browser]{
		resource.Attr("hash", func(b *Browser) *string { return &b.Hash }).Unique().Hidden(),
		resource.Attr("methods", func(b *Browser) *[]string { return &b.Methods }),
		resource.Attr("challenge", func(b *Browser) *string { return &b.Challenge }).Hidden(),
		resource.Attr("created_at", func(b *Browser) *time.Time { return &b.CreatedAt }).Created(),
		resource.Attr("expires_at", func(b *Browser) *time.Time { return &b.ExpiresAt }).Filter(resource.Less),
	},
	References: []resource.Reference[Browser]{
		resource.ToOne("user", "user", func(b *Browser) *ulid.ULID { return &b.User }).OnDelete(resource.Cascade),
		resource.ToOne("session", "session", func(b *Browser) *ulid.ULID { return &b.Session }).OnDelete(resource.Cascade),
	},
}

// Pending is a browser in which somebody has given the right password and has still to show a second factor, or to set one
// up. It ends when they are signed in.
type Pending struct {
	ID        ulid.ULID
	Hash      string // of its cookie
	User      ulid.ULID
	Password  string // SHA-256 of the stored hash of the password, which must still be the same in the end
	Challenge string // for the passkey
	CreatedAt time.Time
	ExpiresAt time.Time
}

// PendingSchema is how browsers are kept in which a second factor is still to come.
var PendingSchema = resource.Schema[Pending]{
	Name: "pending-sign-in", Plural: "pending-sign-ins", Uncounted: true,
	Doc: "A sign-in whose second factor is still to come.",
	ID:  func(p *Pending) *ulid.ULID { return &p.ID },
	Attributes: []resource.Attribute[Pending]{
		resource.Attr("hash", func(p *Pending) *string { return &p.Hash }).Unique().Hidden(),
		resource.Attr("password", func(p *Pending) *string { return &p.Password }).Hidden(),
		resource.Attr("challenge", func(p *Pending) *string { return &p.Challenge }).Hidden(),
		resource.Attr("created_at", func(p *Pending) *time.Time { return &p.CreatedAt }).Created(),
		resource.Attr("expires_at", func(p *Pending) *time.Time { return &p.ExpiresAt }).Filter(resource.Less),
	},
	References: []resource.Reference[Pending]{
		resource.ToOne("user", "user", func(p *Pending) *ulid.ULID { return &p.User }).OnDelete(resource.Cascade),
	},
}

// Device is a device that waits for a user to let it in (RFC 8628).
type Device struct {
	ID         ulid.ULID
	Hash       string // of its device code
	UserCode   string // hash of what the user types in
	Client     ulid.ULID
	User       ulid.ULID // who decided; zero before that
	Browser    ulid.ULID // the session in which they did, likewise; that it was allowed is good for nothing once that has ended
	Scopes     []string  // those asked for, and those granted once it is allowed
	Allowed    bool
	SignedInAt time.Time // of the user, once it is decided
	Methods    []string  // by which the user signed in, likewise
	Interval   int64     // seconds between two questions
	AskedAt    time.Time
	CreatedAt  time.Time
	ExpiresAt  time.Time
}

// DeviceSchema is how devices are kept.
var DeviceSchema = resource.Schema[Device]{
	Name: "device", Plural: "devices", Uncounted: true,
	Doc: "A device that waits for a user to let it in.",
	ID:  func(d *Device) *ulid.ULID { return &d.ID },
	Attributes: []resource.Attribute[Device]{
		resource.Attr("hash", func(d *Device) *string { return &d.Hash }).Unique().Hidden(),
		resource.Attr("user_code", func(d *Device) *string { return &d.UserCode }).Unique().Hidden(),
		resource.Attr("scopes", func(d *Device) *[]string { return &d.Scopes }),
		resource.Attr("allowed", func(d *Device) *bool { return &d.Allowed }),
		resource.Attr("signed_in_at", func(d *Device) *time.Time { return &d.SignedInAt }).Nullable(),
		resource.Attr("methods", func(d *Device) *[]string { return &d.Methods }),
		resource.Attr("interval", func(d *Device) *int64 { return &d.Interval }),
		resource.Attr("asked_at", func(d *Device) *time.Time { return &d.AskedAt }).Nullable(),
		resource.Attr("created_at", func(d *Device) *time.Time { return &d.CreatedAt }).Created(),
		resource.Attr("expires_at", func(d *Device) *time.Time { return &d.ExpiresAt }).Filter(resource.Less),
	},
	References: []resource.Reference[Device]{
		resource.ToOne("client", "client", func(d *Device) *ulid.ULID { return &d.Client }).OnDelete(resource.Cascade),
		resource.ToOne("user", "user", func(d *Device) *ulid.ULID { return &d.User }).Nullable().OnDelete(resource.Cascade),
		resource.ToOne("browser", "session", func(d *Device) *ulid.ULID { return &d.Browser }).Nullable().OnDelete(resource.Cascade),
	},
}

// Key is a key that the server signs with.
type Key struct {
	ID        ulid.ULID
	Private   string // PKCS #8, PEM
	CreatedAt time.Time
}

// KeySchema is how keys are kept.
var KeySchema = resource.Schema[Key]{
	Name: "signing-key", Plural: "signing-keys", Uncounted: true,
	Doc: "A key that the authorization server signs with.",
	ID:  func(k *Key) *ulid.ULID { return &k.ID },
	Attributes: []resource.Attribute[Key]{
		resource.Attr("private", func(k *Key) *string { return &k.Private }).Secret(),
		resource.Attr("created_at", func(k *Key) *time.Time { return &k.CreatedAt }).Created(),
	},
}
