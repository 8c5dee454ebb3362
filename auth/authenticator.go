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

// The two ways in which a request fails to say who sends it; both are 401. Why credentials are not valid (they
// are unknown, wrong, expired, revoked) is nothing that their sender needs to learn.
var (
	ErrMissing = errors.New("the request has no credentials")
	ErrInvalid = errors.New("the credentials of the request are not valid")
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

// TokenLookup finds whom a token of some prefix stands for, by its hash. It returns ErrInvalid for a token that
// is unknown, expired or revoked, or whose owner may not sign in.
type TokenLookup func(ctx context.Context, prefix string, hash []byte) (*Principal, error)

// PasswordLookup finds an account and the hash of its password. It returns an empty hash for an account that is
// unknown, has no password, or may not sign in: then it takes as long as with a wrong password.
type PasswordLookup func(ctx context.Context, username string) (hash string, principal *Principal, err error)

// Authenticator finds out who sends a request. It is safe for concurrent use.
type Authenticator struct {
	tokens    TokenLookup
	passwords PasswordLookup
	clock     func() time.Time
	verified  *verified
}

// NewAuthenticator authenticates by tokens, and by passwords unless that lookup is nil.
func NewAuthenticator(tokens TokenLookup, passwords PasswordLookup, clock func() time.Time) *Authenticator {
	return &Authenticator{tokens: tokens, passwords: passwords, clock: clock, verified: newVerified()}
}

// Challenges are the values of WWW-Authenticate that go with a 401.
func (a *Authenticator) Challenges() []string {
	challenges := []string{`Bearer realm="reeve"`}
	if a.passwords != nil {
		challenges = append(challenges, `Basic realm="reeve", charset="UTF-8"`)
	}
	return challenges
}

// Authenticate finds out whom an Authorization header stands for. It returns ErrMissing, ErrInvalid, or the
// error of a lookup.
func (a *Authenticator) Authenticate(ctx context.Context, header string) (*Principal, error) {
	credentials, err := ParseAuthorization(header)
	switch {
	case err != nil:
		return nil, err
	case credentials.Token != "":
		return a.byToken(ctx, credentials.Token)
	case a.passwords != nil:
		return a.byPassword(ctx, credentials)
	}
	return nil, ErrInvalid
}

func (a *Authenticator) byToken(ctx context.Context, token string) (*Principal, error) {
	prefix, ok := CheckToken(token)
	if !ok {
		return nil, ErrInvalid
	}
	return a.tokens(ctx, prefix, HashToken(token))
}

func (a *Authenticator) byPassword(ctx context.Context, c Credentials) (*Principal, error) {
	hash, principal, err := a.passwords(ctx, c.Username)
	if err != nil {
		return nil, err
	}
	key := a.verified.key(c.Username, hash, c.Password)
	if a.verified.has(key, a.clock()) {
		return principal, nil
	}
	match, err := VerifyPassword(hash, c.Password)
	if err != nil {
		return nil, err
	}
	if !match {
		return nil, ErrInvalid
	}
	a.verified.add(key, a.clock())
	return principal, nil
}
