package oauth

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"

	"github.com/oklog/ulid/v2"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/client"
	"reeve/resource/session"
)

// errUsed is what whoever comes second finds.
var errUsed = errors.New("oauth: it has been used")

// CodeExchange gives a client the first tokens for a code (RFC 6749, 4.1.3). A code that comes a second time has been
// stolen by one of the two: the tokens of the first end (RFC 6749, 4.1.2).
func (p *protocol) CodeExchange(ctx context.Context, r *op.ClientRequest[oidc.AccessTokenRequest]) (*op.Response, error) {
	s, c := p.server, r.Client.(opClient).Client
	invalidGrant := oidc.ErrInvalidGrant().WithDescription("the code is not valid, or not for this client, redirect_uri or code_verifier")
	if prefix, ok := auth.CheckToken(r.Data.Code); !ok || prefix != auth.AuthorizationCode {
		return nil, invalidGrant
	}
	code, err := resource.Only(ctx, s.config.Codes.List, "hash", hashed(r.Data.Code))
	switch {
	case err != nil:
		return nil, internal(err)
	case code == nil:
		return nil, invalidGrant
	case code.used():
		return nil, s.replayed(ctx, c, code, invalidGrant)
	case code.Client != c.ID || !s.config.Clock().Before(code.ExpiresAt) || code.RedirectURI != r.Data.RedirectURI || !code.verify(r.Data.CodeVerifier):
		return nil, invalidGrant
	}
	g, err := s.grantOf(ctx, c, code.User, code.Scopes)
	if err != nil {
		return nil, err
	}
	g.nonce, g.signedInAt, g.methods = code.Nonce, code.SignedInAt, code.Methods
	response, err := s.begin(ctx, g, func(ctx context.Context) error {
		if err := s.goesOn(ctx, code.Browser); err != nil {
			return err
		}
		_, err := s.config.Codes.Update(ctx, code.ID, func(code *Code) error {
			if code.used() {
				return errUsed
			}
			code.Session = g.session
			return nil
		})
		return err
	})
	if errors.Is(err, errUsed) {
		if code, err = s.config.Codes.Get(ctx, code.ID); err != nil {
			return nil, internal(err)
		}
		return nil, s.replayed(ctx, c, code, invalidGrant)
	}
	if errors.Is(err, auth.ErrInvalid) {
		return nil, invalidGrant
	}
	if err != nil {
		return nil, internal(err)
	}
	return op.NewResponse(response), nil
}

func (c *Code) used() bool { return !isZero(c.Session) }

// verify reports whether whoever exchanges the code is who asked for it (RFC 7636, 4.6).
func (c *Code) verify(verifier string) bool {
	if len(verifier) < 43 || len(verifier) > 128 { // RFC 7636, 4.1
		return false
	}
	return subtle.ConstantTimeCompare([]byte(oidc.NewSHACodeChallenge(verifier)), []byte(c.Challenge)) == 1
}

// replayed ends what a code was exchanged for.
func (s *Server) replayed(ctx context.Context, c *client.Client, code *Code, refused error) error {
	if err := s.stolen(ctx, c, "replay-code", code.Session); err != nil {
		return internal(err)
	}
	return refused
}

// RefreshToken gives a client its next tokens (RFC 6749, 6). Each refresh token is good for one time. One that comes a
// second time has been stolen by one of the two: the whole family ends (RFC 9700, 4.14.2).
func (p *protocol) RefreshToken(ctx context.Context, r *op.ClientRequest[oidc.RefreshTokenRequest]) (*op.Response, error) {
	s, c := p.server, r.Client.(opClient).Client
	invalidGrant := oidc.ErrInvalidGrant().WithDescription("the refresh token is not valid, or not this client's")
	token, err := s.findRefresh(ctx, r.Data.RefreshToken)
	if err != nil {
		return nil, internal(err)
	}
	if token == nil || token.Client != c.ID {
		return nil, invalidGrant
	}
	active, err := s.usable(ctx, token)
	if err != nil {
		return nil, internal(err)
	}
	if !active {
		return nil, invalidGrant
	}
	reused := func() error {
		if err := s.stolen(ctx, c, "reuse-refresh-token", token.Session); err != nil {
			return internal(err)
		}
		return invalidGrant
	}
	if token.Hash != hashed(r.Data.RefreshToken) {
		return nil, reused()
	}
	scopes := token.Scopes
	if asked := splitScopes(r.Data.Scopes.String()); len(asked) > 0 {
		if slices.ContainsFunc(asked, func(scope string) bool { return !slices.Contains(token.Scopes, scope) }) {
			return nil, oidc.ErrInvalidScope().WithDescription("the refresh token is not for one of the scopes")
		}
		scopes = asked
	}
	g, err := s.grantOf(ctx, c, token.User, scopes)
	if err != nil {
		return nil, err
	}
	g.session, g.refresh = token.Session, token.ID
	next, response := auth.NextToken(r.Data.RefreshToken), s.response(g)
	response.RefreshToken = next
	now := resource.Cut(s.config.Clock())
	err = s.config.Database.Transact(ctx, func(ctx context.Context) (err error) {
		_, err = s.config.Refreshes.Update(ctx, token.ID, func(t *RefreshToken) error {
			if t.Hash != token.Hash {
				return errUsed
			}
			t.Hash, t.ExpiresAt = hashed(next), now.Add(s.config.RefreshLifetime)
			return nil
		})
		if err == nil {
			response.AccessToken, err = s.issue(ctx, g)
		}
		return err
	})
	switch {
	case errors.Is(err, errUsed):
		return nil, reused()
	case resource.Is(err, resource.NotFound): // it was pruned meanwhile
		return nil, invalidGrant
	case err != nil:
		return nil, internal(err)
	}
	return op.NewResponse(response), nil
}

// findRefresh is the family of a refresh token, nil if there is none.
func (s *Server) findRefresh(ctx context.Context, text string) (*RefreshToken, error) {
	if prefix, ok := auth.CheckToken(text); !ok || prefix != auth.RefreshToken {
		return nil, nil
	}
	return resource.Only(ctx, s.config.Refreshes.List, "family", hexadecimal(auth.HashFamily(text)))
}

// usable reports whether a family of refresh tokens has neither expired nor ended.
func (s *Server) usable(ctx context.Context, token *RefreshToken) (bool, error) {
	if !s.config.Clock().Before(token.ExpiresAt) {
		return false, nil
	}
	return s.config.SessionActive(ctx, token.Session)
}

// stolen ends a session of a client, one of whose secrets somebody else has too.
func (s *Server) stolen(ctx context.Context, c *client.Client, verb string, id ulid.ULID) error {
	return s.config.Database.Transact(ctx, func(ctx context.Context) error {
		if err := s.record(ctx, clientPrincipal(c), verb, session.Schema.Name, id); err != nil {
			return err
		}
		return s.config.EndSession(ctx, id)
	})
}
