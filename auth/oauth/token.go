package oauth

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/client"
)

// issue makes a token and its session, and returns the token itself, which is kept nowhere.
func (s *Server) issue(ctx context.Context, c *client.Client, user ulid.ULID, scopes []string) (string, error) {
	token := auth.NewToken(auth.AccessToken)
	now := resource.Cut(s.config.Clock())
	row := &AccessToken{
		ID: ulid.Make(), Hash: hex.EncodeToString(auth.HashToken(token)), Client: c.ID, User: user, Scopes: scopes,
		CreatedAt: now, ExpiresAt: now.Add(s.config.Lifetime),
	}
	err := s.config.Database.Transact(ctx, func(ctx context.Context) (err error) {
		if s.config.NewSession != nil {
			if row.Session, err = s.config.NewSession(ctx, c.ID, user); err != nil {
				return err
			}
		}
		return s.config.Tokens.Create(ctx, row)
	})
	return token, err
}

// Principal finds whom an access token stands for, by its hash, and when it expires: it is an [auth.TokenLookup] for
// the prefix auth.AccessToken. It returns auth.ErrInvalid for a token that is unknown, expired or revoked, or whose
// session has ended.
func (s *Server) Principal(ctx context.Context, hash []byte) (*auth.Principal, time.Time, error) {
	token, c, err := s.active(ctx, hash)
	if err != nil {
		return nil, time.Time{}, err
	}
	principal := &auth.Principal{Type: client.Schema.Name, ID: c.ID, Name: c.Name, Session: token.Session, Client: c.ID}
	if c.Admin { // it may have been taken from the client since
		principal.Permissions = auth.ScopePermissions(token.Scopes)
	}
	return principal, token.ExpiresAt, nil
}

// active finds a token that can be used, and its client. It returns auth.ErrInvalid for any other.
func (s *Server) active(ctx context.Context, hash []byte) (*AccessToken, *client.Client, error) {
	token, err := s.find(ctx, hash)
	if err != nil {
		return nil, nil, err
	}
	if token == nil || !token.RevokedAt.IsZero() || !s.config.Clock().Before(token.ExpiresAt) {
		return nil, nil, auth.ErrInvalid
	}
	if s.config.SessionActive != nil && token.Session != (ulid.ULID{}) {
		active, err := s.config.SessionActive(ctx, token.Session)
		if err != nil {
			return nil, nil, err
		}
		if !active {
			return nil, nil, auth.ErrInvalid
		}
	}
	c, err := s.config.Clients.Get(ctx, token.Client)
	if resource.Is(err, resource.NotFound) {
		return nil, nil, auth.ErrInvalid
	}
	return token, c, err
}

// find is the token with a hash, nil if there is none.
func (s *Server) find(ctx context.Context, hash []byte) (*AccessToken, error) {
	page, err := s.config.Tokens.List(ctx, resource.Query{
		Where: resource.Equal("hash", hex.EncodeToString(hash)), Window: pagination.First(1), Count: pagination.CountNone,
	})
	if err != nil || len(page.Rows) == 0 {
		return nil, err
	}
	return &page.Rows[0], nil
}

// revoke ends a token of a client, and the session that it is the token of. What is no token, or has ended, is
// left alone (RFC 7009, 2.2).
func (s *Server) revoke(ctx context.Context, c *client.Client, text string) error {
	prefix, ok := auth.CheckToken(text)
	if !ok || prefix != auth.AccessToken {
		return nil
	}
	token, err := s.find(ctx, auth.HashToken(text))
	if err != nil {
		return internal(err)
	}
	if token == nil {
		return nil
	}
	if token.Client != c.ID { // RFC 7009, 2.1, with the word that RFC 6749, 5.2, has for it
		return oidc.ErrInvalidGrant().WithDescription("the token was issued to another client")
	}
	now := resource.Cut(s.config.Clock())
	err = s.config.Database.Transact(ctx, func(ctx context.Context) error {
		_, err := s.config.Tokens.Update(ctx, token.ID, func(t *AccessToken) error {
			if t.RevokedAt.IsZero() {
				t.RevokedAt = now
			}
			return nil
		})
		if err != nil {
			return err
		}
		return s.endSession(ctx, token)
	})
	if err != nil && !resource.Is(err, resource.NotFound) { // pruned meanwhile: it has ended
		return internal(err)
	}
	return nil
}

func (s *Server) endSession(ctx context.Context, token *AccessToken) error {
	if s.config.EndSession == nil || token.Session == (ulid.ULID{}) {
		return nil
	}
	return s.config.EndSession(ctx, token.Session)
}

// Prune removes the tokens that have expired, and ends their sessions. It returns how many they were.
func (s *Server) Prune(ctx context.Context) (removed int, err error) {
	for {
		page, err := s.config.Tokens.List(ctx, resource.Query{
			Where:  resource.Holds("expires_at", resource.Less, resource.Cut(s.config.Clock())),
			Window: pagination.First(100), Count: pagination.CountNone,
		})
		if err != nil || len(page.Rows) == 0 {
			return removed, err
		}
		err = s.config.Database.Transact(ctx, func(ctx context.Context) error {
			for i := range page.Rows {
				token := &page.Rows[i]
				err := s.config.Tokens.Delete(ctx, token.ID)
				if resource.Is(err, resource.NotFound) { // another node was faster
					continue
				}
				if err == nil {
					err = s.endSession(ctx, token)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return removed, err
		}
		removed += len(page.Rows)
	}
}
