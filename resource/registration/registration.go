package registration

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
)

const (
	// Window is how long a registration that has begun can be completed.
	Window = 15 * time.Minute
	// batch is how many registrations a transaction has lapse, so that it keeps nobody waiting for long.
	batch = 100
)

// Pending is a registration that has begun. It has one of the uses of its token.
type Pending struct {
	ID        ulid.ULID
	Token     ulid.ULID // zero if it took none
	Hash      string    // of what it is completed with
	ExpiresAt time.Time
}

// PendingSchema is no entity: nobody lists what people have begun. It ends with its token.
var PendingSchema = resource.Schema[Pending]{
	Name: "registration", Plural: "registrations", Uncounted: true, Doc: "A registration that has begun.",
	ID: func(p *Pending) *ulid.ULID { return &p.ID },
	Attributes: []resource.Attribute[Pending]{
		resource.Attr("hash", func(p *Pending) *string { return &p.Hash }).Unique(),
		resource.Attr("expires_at", func(p *Pending) *time.Time { return &p.ExpiresAt }).Filter(resource.Less),
	},
	References: []resource.Reference[Pending]{
		resource.ToOne("token", Schema.Name, func(p *Pending) *ulid.ULID { return &p.Token }).Nullable().OnDelete(resource.Cascade),
	},
}

// Database is what a [Registrar] needs of the database, as the storage's Outbox has it.
type Database interface {
	Transact(ctx context.Context, fn func(ctx context.Context) error) error
	Record(ctx context.Context, events ...*resource.Event) error
}

// Config is what a [Registrar] works with.
type Config struct {
	Database Database
	Tokens   resource.Store[Token]
	Pending  resource.Store[Pending]
	// Account prepares the account of a new user, which may be slow; create then makes it, in the transaction that its
	// context holds, as often as that is undone.
	Account func(ctx context.Context, who *auth.Principal, password string) (create func(ctx context.Context) error, err error)
	Limiter *auth.Limiter
	Enabled func() bool
	// TokenRequired says whether it takes a token to register.
	TokenRequired func() bool
	Clock         func() time.Time
}

// Registrar lets people register, in two steps: the first takes a use of a token, the second makes the account. Whoever
// knows a token learns by the second which usernames are taken, as they must, since the name is theirs to choose; how
// often they may try is limited by their address.
type Registrar struct{ config Config }

// New makes a registrar.
func New(c Config) *Registrar { return &Registrar{c} }

var (
	errClosed  = resource.Errorf(resource.Forbidden, "nobody can register here just now")
	errInvalid = resource.Errorf(resource.Forbidden, "the token lets nobody register").At("attributes", "token")
	errGone    = resource.Errorf(resource.NotFound, "the registration has not begun, or has ended").At("attributes", "registration")
)

type beginning struct{ token string }

var beginArguments = []resource.Attribute[beginning]{
	resource.Attr("token", func(b *beginning) *string { return &b.token }),
}

// Begin is the first step, with the token, if it takes one. Its meta are the registration, with which the second step is
// done, and when that expires. It is Forbidden if nobody can register, or not with that token: nothing tells whether there
// is such a token.
func (r *Registrar) Begin(ctx context.Context, body resource.Body) (resource.Meta, error) {
	if !r.config.Enabled() {
		return nil, errClosed
	}
	in, err := resource.Arguments(ctx, beginArguments, body)
	if err != nil {
		return nil, err
	}
	_, given := body.Attributes["token"]
	if !given && r.config.TokenRequired() {
		return nil, resource.Errorf(resource.Required, "it takes a token to register").At("attributes", "token")
	}
	giveBack, err := r.config.Limiter.Reserve(ctx, auth.AccountAttempt, "", ulid.ULID{})
	if err != nil {
		return nil, err
	}
	secret, now := auth.NewToken(auth.RegistrationToken), resource.Cut(r.config.Clock())
	p := &Pending{ID: ulid.Make(), Hash: hash(secret), ExpiresAt: now.Add(Window)}
	usable := func(t *Token) bool { return Schema.Match(valid, t, resource.Env{Now: now}) }
	if given {
		t, err := resource.Only(ctx, r.config.Tokens.List, "token", in.token)
		if err == nil && (t == nil || !usable(t)) { // who comes too late waits for nobody
			err = errInvalid
		}
		if err != nil {
			return nil, err
		}
		p.Token = t.ID
	}
	err = r.config.Database.Transact(ctx, func(ctx context.Context) error {
		var changes json.RawMessage
		if given {
			_, err := r.config.Tokens.Update(ctx, p.Token, func(t *Token) error {
				if !usable(t) {
					return errInvalid
				}
				before := *t
				t.Pending++
				changes = Schema.Changes(&before, t)
				return nil
			})
			if resource.Is(err, resource.NotFound) {
				err = errInvalid
			}
			if err != nil {
				return err
			}
		}
		if err := r.config.Pending.Create(ctx, p); err != nil {
			return err
		}
		return r.record(ctx, now, &auth.Principal{}, "begin", p, changes)
	})
	if err != nil {
		return nil, err
	}
	if given { // how often somebody registers without one is limited, whether or not it fails
		giveBack()
	}
	return resource.Meta{"registration": secret, "expires_at": p.ExpiresAt}, nil
}

type completion struct{ registration, username, password string }

var completeArguments = []resource.Attribute[completion]{
	resource.Attr("registration", func(c *completion) *string { return &c.registration }).Required(),
	resource.Attr("username", func(c *completion) *string { return &c.username }).Required(),
	resource.Attr("password", func(c *completion) *string { return &c.password }).Required().MaxLength(auth.MaxPasswordBytes),
}

// Complete is the second step, with the registration, a username and a password. Its meta are the new user's id and name.
// It is NotFound if the registration has lapsed, is completed already, or its token is revoked or gone. What a creation of
// a user refuses, as a name that is taken, can be mended and tried again.
func (r *Registrar) Complete(ctx context.Context, body resource.Body) (resource.Meta, error) {
	if !r.config.Enabled() {
		return nil, errClosed
	}
	in, err := resource.Arguments(ctx, completeArguments, body)
	if err != nil {
		return nil, err
	}
	if prefix, ok := auth.CheckToken(in.registration); !ok || prefix != auth.RegistrationToken {
		return nil, errGone
	}
	giveBack, err := r.config.Limiter.Reserve(ctx, auth.AccountAttempt, "", ulid.ULID{})
	if err != nil {
		return nil, err
	}
	now := resource.Cut(r.config.Clock())
	p, err := resource.Only(ctx, r.config.Pending.List, "hash", hash(in.registration))
	switch {
	case err != nil:
		return nil, err
	case p == nil || !now.Before(p.ExpiresAt):
		return nil, errGone
	}
	who := &auth.Principal{Type: "user", ID: ulid.Make(), Name: in.username}
	create, err := r.config.Account(ctx, who, in.password)
	if err != nil {
		return nil, err
	}
	err = r.config.Database.Transact(ctx, func(ctx context.Context) error {
		ended, err := r.end(ctx, now, who, "complete", p, func(t *Token) {
			t.Completed++
			t.LastUsedAt = now
		})
		if err == nil && !ended {
			err = errGone
		}
		if err != nil {
			return err
		}
		return create(ctx)
	})
	if err != nil {
		return nil, err
	}
	giveBack()
	return resource.Meta{"id": who.ID.String(), "username": in.username}, nil
}

// Lapse ends some of the registrations that were not completed in time: each gives the use that it has back to its token,
// once, however many nodes do this. It answers how many it ended: none when there are no more.
func (r *Registrar) Lapse(ctx context.Context, now time.Time) (lapsed int, err error) {
	query := resource.Query{Where: resource.Past("expires_at"), Window: pagination.First(batch), Count: pagination.CountNone, Now: now}
	page, err := r.config.Pending.List(ctx, query)
	if err != nil || len(page.Rows) == 0 {
		return 0, err
	}
	// By their tokens, so that nobody who holds one waits for who waits for it.
	slices.SortFunc(page.Rows, func(a, b Pending) int { return a.Token.Compare(b.Token) })
	err = r.config.Database.Transact(ctx, func(ctx context.Context) error {
		lapsed = 0
		for i := range page.Rows {
			ended, err := r.end(ctx, now, auth.System, "lapse", &page.Rows[i], nil)
			if err != nil {
				return err
			}
			if ended {
				lapsed++
			}
		}
		return nil
	})
	return lapsed, err
}

// end removes a registration, and takes it from those that are pending with its token, which more changes further. It
// reports false if the registration has ended otherwise. What is completed must not be revoked. The token is held first,
// as whoever removes one does, lest two wait for one another.
func (r *Registrar) end(ctx context.Context, now time.Time, who *auth.Principal, verb string, p *Pending, complete func(*Token)) (ended bool, err error) {
	var changes json.RawMessage
	remove := func() (bool, error) {
		err := r.config.Pending.Delete(ctx, p.ID)
		if resource.Is(err, resource.NotFound) {
			return false, nil
		}
		return err == nil, err
	}
	if p.Token == (ulid.ULID{}) {
		ended, err = remove()
	} else {
		_, err = r.config.Tokens.Update(ctx, p.Token, func(t *Token) (err error) {
			if complete != nil && !t.RevokedAt.IsZero() {
				return nil
			}
			if ended, err = remove(); !ended {
				return err
			}
			before := *t
			t.Pending--
			if complete != nil {
				complete(t)
			}
			changes = Schema.Changes(&before, t)
			return nil
		})
		if resource.Is(err, resource.NotFound) { // with the token
			return false, nil
		}
	}
	if err != nil || !ended {
		return false, err
	}
	return true, r.record(ctx, now, who, verb, p, changes)
}

// record notes what became of a registration: an event of its token or, if it took none, of itself.
func (r *Registrar) record(ctx context.Context, now time.Time, who *auth.Principal, verb string, p *Pending, changes json.RawMessage) error {
	target := resource.Identifier{Type: Schema.Name, ID: p.Token}
	if p.Token == (ulid.ULID{}) {
		target = resource.Identifier{Type: PendingSchema.Name, ID: p.ID}
	}
	event := resource.NewEvent(ctx, now, who, verb, target)
	event.Changes = changes
	return r.config.Database.Record(ctx, event)
}

// hash is how what a registration is completed with is stored.
func hash(secret string) string { return hex.EncodeToString(auth.HashToken(secret)) }
