package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The ways in which a request fails to say who sends it; all are 401. Why credentials are not valid (they
// are unknown, wrong, expired, revoked) is nothing that their sender needs to learn. Only who knows the password hears of
// the second factor.
var (
	ErrMissing      = errors.New("the request has no credentials")
	ErrInvalid      = errors.New("the credentials of the request are not valid")
	ErrSecondFactor = errors.New("name and password are not enough for this user, who signs in with a second factor, set up at /account/security; use a token")
)

// Credentials are what an Authorization header gives: a token, or a name and a password.
type Credentials struct {
	Token              string
	Username, Password string
}

// ParseAuthorization reads an Authorization header of the scheme Bearer (RFC 6750, 2.1) or Basic (RFC 7617).
// An empty header is ErrMissing, anything else ErrInvalid.
func ParseAuthorization(header string) (Credentials, error) {
	if header == "" {
		return Credentials{}, ErrMissing
	}
	scheme, rest, _ := strings.Cut(header, " ")
	rest = strings.Trim(rest, " ")
	switch strings.ToLower(scheme) {
	case "bearer":
		if rest != "" {
			return Credentials{Token: rest}, nil
		}
	case "basic":
		decoded, err := base64.StdEncoding.DecodeString(rest)
		username, password, found := strings.Cut(string(decoded), ":")
		if err == nil && found && username != "" && printable(string(decoded)) {
			return Credentials{Username: username, Password: password}, nil
		}
	}
	return Credentials{}, ErrInvalid
}

// printable reports whether a text is UTF-8 without control characters (RFC 7617, 2).
func printable(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, unicode.IsControl) < 0
}

// TokenLookup finds whom a token of some prefix stands for, by its hash, and when it expires; zero is never. It
// returns ErrInvalid for a token that is unknown, expired or revoked, or whose owner may not sign in.
type TokenLookup func(ctx context.Context, prefix string, hash []byte) (who *Principal, expires time.Time, err error)

// Lookups are where an [Authenticator] looks credentials up.
type Lookups struct {
	Token     TokenLookup
	Passwords func() *Passwords // of those who send their name and password with each request; nil if nobody may just now

	// Generation is a number that rises with whatever may alter what Token answers, unless it is not known just now.
	// While it is the same a token is not looked up again; for a minute at most. If nil, each token is looked up.
	Generation func() (n uint64, known bool)
}

// How long a token that was looked up is remembered, and how many are at most.
const (
	tokenFor = time.Minute
	tokenMax = 4096
)

// Authenticator finds out who sends a request. It is safe for concurrent use.
type Authenticator struct {
	lookups Lookups
	clock   func() time.Time
	tokens  *cache[bearer]
}

// bearer is whom a token stood for in some generation.
type bearer struct {
	principal  *Principal
	generation uint64
}

// NewAuthenticator authenticates by tokens, and by passwords while there are some.
func NewAuthenticator(lookups Lookups, clock func() time.Time) *Authenticator {
	if lookups.Passwords == nil {
		lookups.Passwords = func() *Passwords { return nil }
	}
	return &Authenticator{lookups: lookups, clock: clock, tokens: newCache[bearer](tokenMax)}
}

// Challenges are the values of WWW-Authenticate that go with a 401 just now.
func (a *Authenticator) Challenges() []string {
	challenges := []string{`Bearer realm="reeve"`}
	if a.lookups.Passwords() != nil {
		challenges = append(challenges, `Basic realm="reeve", charset="UTF-8"`)
	}
	return challenges
}

// Authenticate finds out whom an Authorization header stands for. It returns ErrMissing, ErrInvalid, ErrSecondFactor for
// the right password of somebody who needs more, or the error of a lookup.
func (a *Authenticator) Authenticate(ctx context.Context, header string) (*Principal, error) {
	credentials, err := ParseAuthorization(header)
	switch {
	case err != nil:
		return nil, err
	case credentials.Token != "":
		return a.byToken(ctx, credentials.Token)
	}
	if passwords := a.lookups.Passwords(); passwords != nil {
		who, _, err := passwords.SignIn(ctx, credentials.Username, credentials.Password)
		if err == nil && who.SecondFactor {
			err = ErrSecondFactor
		}
		return who, err
	}
	return nil, ErrInvalid
}

func (a *Authenticator) byToken(ctx context.Context, token string) (*Principal, error) {
	prefix, ok := CheckToken(token)
	if !ok {
		return nil, ErrInvalid
	}
	hash := HashToken(token)
	var generation uint64
	known := false
	if a.lookups.Generation != nil {
		generation, known = a.lookups.Generation() // asked first, so that what changes during the lookup raises it
	}
	key, now := cacheKey(hash), a.clock()
	if known {
		if b, found := a.tokens.get(key, now); found && b.generation == generation {
			return b.principal, nil
		}
	}
	principal, expires, err := a.lookups.Token(ctx, prefix, hash)
	if err != nil {
		return nil, err
	}
	if known {
		until := now.Add(tokenFor)
		if !expires.IsZero() && expires.Before(until) {
			until = expires
		}
		a.tokens.put(key, bearer{principal, generation}, until)
	}
	return principal, nil
}
