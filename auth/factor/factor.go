// Package factor keeps the second factors of users: apps that show codes (TOTP), passkeys, and recovery codes. It takes
// each proof once.
package factor

import (
	"context"
	"errors"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/authenticator"
	"reeve/resource/user"
)

// ErrWrong is a proof that proves nothing: it is wrong, or has been used.
var ErrWrong = errors.New("factor: this is not right, or has been used")

// Max is how many authenticators a user may have.
const Max = 10

// ErrFull is one authenticator too many.
var ErrFull = errors.New("factor: the user has as many authenticators as there may be")

// How somebody has signed in, as the claim amr has it (RFC 8176, 2).
const (
	Password = "pwd"
	OneTime  = "otp" // a code of an app, or a recovery code
	Hardware = "hwk" // a passkey that stays on its device
	Software = "swk" // a passkey that may be on several
)

// Config is what [Factors] work with.
type Config struct {
	Database       resource.Transactor
	Users          resource.Store[user.User]
	Authenticators resource.Store[authenticator.Authenticator]
	RecoveryCodes  resource.Store[RecoveryCode]
	Clock          func() time.Time
}

// Factors are the second factors of users. User.SecondFactor tells of each user whether there are any. Whatever is done
// with those of a user is done while the row of the user is held, so that of two at once one comes second.
type Factors struct{ config Config }

// New keeps second factors.
func New(c Config) *Factors { return &Factors{c} }

// Of are the authenticators of a user, the oldest first.
func (f *Factors) Of(ctx context.Context, user ulid.ULID) ([]authenticator.Authenticator, error) {
	page, err := f.config.Authenticators.List(ctx, resource.Query{
		Where: resource.Equal("user", user), Window: pagination.First(Max), Count: pagination.CountNone,
	})
	return page.Rows, err
}

// hold does something with the authenticators of a user while nobody else does.
func (f *Factors) hold(ctx context.Context, id ulid.ULID, do func(ctx context.Context, u *user.User, held []authenticator.Authenticator) error) error {
	return f.config.Database.Transact(ctx, func(ctx context.Context) error {
		_, err := f.config.Users.Update(ctx, id, func(u *user.User) error {
			held, err := f.Of(ctx, id)
			if err != nil {
				return err
			}
			return do(ctx, u, held)
		})
		return err
	})
}

// add gives a user an authenticator, and recovery codes with the first one: they are shown now, or never.
func (f *Factors) add(ctx context.Context, who *auth.Principal, a *authenticator.Authenticator) (codes []string, err error) {
	a.ID, a.User, a.CreatedAt = ulid.Make(), who.ID, resource.Cut(f.config.Clock())
	a.LastUsedAt = a.CreatedAt
	if a.Transports == nil {
		a.Transports = []string{}
	}
	err = f.hold(ctx, who.ID, func(ctx context.Context, u *user.User, held []authenticator.Authenticator) error {
		if len(held) >= Max {
			return ErrFull
		}
		if err := f.config.Authenticators.Create(ctx, a); err != nil {
			return err
		}
		if u.SecondFactor = true; len(held) == 0 {
			if codes, err = f.renew(ctx, who.ID); err != nil {
				return err
			}
		}
		event := f.event(ctx, who, resource.Create, resource.Identifier{Type: authenticator.Schema.Name, ID: a.ID})
		event.Changes = authenticator.Schema.Changes(nil, a)
		return f.config.Database.Record(ctx, event)
	})
	return codes, err
}

// Remove takes an authenticator away from its user, and with the last one the recovery codes. It returns NotFound if there
// is none.
func (f *Factors) Remove(ctx context.Context, id ulid.ULID) error {
	a, err := f.config.Authenticators.Get(ctx, id)
	if err != nil {
		return err
	}
	return f.hold(ctx, a.User, func(ctx context.Context, u *user.User, held []authenticator.Authenticator) error {
		if err := f.config.Authenticators.Delete(ctx, id); err != nil || len(held) > 1 {
			return err
		}
		u.SecondFactor = false
		return f.void(ctx, a.User)
	})
}

// RemoveOwn is Remove by the user themselves, with its event. Of somebody else's it returns NotFound.
func (f *Factors) RemoveOwn(ctx context.Context, who *auth.Principal, id ulid.ULID) error {
	a, err := f.config.Authenticators.Get(ctx, id)
	if err != nil {
		return err
	}
	if a.User != who.ID {
		return resource.Errorf(resource.NotFound, "%s has no authenticator %s", who.Name, id)
	}
	return f.config.Database.Transact(ctx, func(ctx context.Context) error {
		if err := f.Remove(ctx, id); err != nil {
			return err
		}
		event := f.event(ctx, who, resource.Delete, resource.Identifier{Type: authenticator.Schema.Name, ID: id})
		event.Changes = authenticator.Schema.Changes(a, nil)
		return f.config.Database.Record(ctx, event)
	})
}

// used notes the use of an authenticator, and what else its proof changed.
func (f *Factors) used(ctx context.Context, id ulid.ULID, change func(a *authenticator.Authenticator)) error {
	_, err := f.config.Authenticators.Update(ctx, id, func(a *authenticator.Authenticator) error {
		a.LastUsedAt = resource.Cut(f.config.Clock())
		change(a)
		return nil
	})
	return err
}

func (f *Factors) event(ctx context.Context, who *auth.Principal, verb string, target resource.Identifier) *resource.Event {
	return resource.NewEvent(ctx, resource.Cut(f.config.Clock()), who, verb, target)
}
