package auth

import (
	"context"
	"time"
)

// PasswordLookup finds an account and the hash of its password. It returns an empty hash for an account that is
// unknown, has no password, or may not sign in: then it takes as long as with a wrong password. The principal is nil for
// one that is unknown.
type PasswordLookup func(ctx context.Context, username string) (hash string, principal *Principal, err error)

// RehashFunc keeps another hash of the same password, as long as the former is the one that is kept. It is called when
// somebody has signed in whose hash is of a former or a foreign kind. What goes wrong with it is its own concern: the
// password was right.
type RehashFunc func(ctx context.Context, who *Principal, former, renewed string)

// FailedFunc is told of an attempt with a wrong name or password. Who is the account of that name, nil if there is none.
type FailedFunc func(ctx context.Context, who *Principal)

// Passwords signs accounts in by name and password. It is safe for concurrent use.
type Passwords struct {
	lookup   PasswordLookup
	rehash   RehashFunc
	failed   FailedFunc
	clock    func() time.Time
	verified *verified
}

// NewPasswords signs in the accounts that lookup finds. Without rehash, nil, hashes stay as they are; failed may be nil
// too.
func NewPasswords(lookup PasswordLookup, rehash RehashFunc, failed FailedFunc, clock func() time.Time) *Passwords {
	return &Passwords{lookup, rehash, failed, clock, newVerified()}
}

// SignIn finds out whom a name and a password stand for. It returns ErrInvalid if they are nobody's, or the error of
// the lookup. What was right is remembered for a minute, so that not each request of a script costs a hash.
func (p *Passwords) SignIn(ctx context.Context, username, password string) (*Principal, error) {
	if !printable(username) {
		username = "" // nobody's name, and nothing to ask a database for
	}
	hash, principal, err := p.lookup(ctx, username)
	if err != nil {
		return nil, err
	}
	key := p.verified.key(username, hash, password)
	if p.verified.has(key, p.clock()) {
		return principal, nil
	}
	match, err := VerifyPassword(hash, password)
	if err != nil {
		return nil, err
	}
	if !match {
		if p.failed != nil {
			p.failed(ctx, principal)
		}
		return nil, ErrInvalid
	}
	p.verified.add(key, p.clock())
	if p.rehash == nil || isCurrent(hash) {
		return principal, nil
	}
	renewed, err := newHash(password)
	if err != nil {
		return nil, err
	}
	p.rehash(ctx, principal, hash, renewed)
	p.verified.add(p.verified.key(username, renewed, password), p.clock())
	return principal, nil
}
