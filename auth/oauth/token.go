package oauth

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/client"
)

// grant is what a client gets tokens for.
type grant struct {
	client     *client.Client
	user       *auth.Principal // with all of their rights; nil if the tokens are the client's own
	scopes     []string
	session    ulid.ULID
	refresh    ulid.ULID // zero if there are no refresh tokens
	nonce      string
	signedInAt time.Time
	methods    []string // by which the user signed in
}

// grantOf is what a user has let a client do, as far as they still may. The error is one for the client.
func (s *Server) grantOf(ctx context.Context, c *client.Client, user ulid.ULID, scopes []string) (*grant, error) {
	who, err := s.config.Subject(ctx, user, []string{auth.AdminScope})
	if errors.Is(err, auth.ErrInvalid) {
		return nil, oidc.ErrInvalidGrant().WithDescription("the user may not sign in")
	}
	if err != nil {
		return nil, internal(err)
	}
	granted, _ := grantable(who, scopes)
	through := *who
	through.Client = c.ID
	return &grant{client: c, user: &through, scopes: granted}, nil
}

// begin opens a session and makes its first tokens, in one transaction with what else there is to do. That comes last,
// when whoever ends all sessions of the user waits for this one, or has ended them before.
func (s *Server) begin(ctx context.Context, g *grant, also func(ctx context.Context) error) (*oidc.AccessTokenResponse, error) {
	response := s.response(g)
	if slices.Contains(g.scopes, oidc.ScopeOpenID) {
		var err error
		if response.IDToken, err = s.idToken(ctx, g); err != nil {
			return nil, err
		}
	}
	now := resource.Cut(s.config.Clock())
	err := s.config.Database.Transact(ctx, func(ctx context.Context) (err error) {
		actor, user := clientPrincipal(g.client), ulid.ULID{}
		if g.user != nil {
			actor, user = g.user, g.user.ID
		}
		if g.session, err = s.config.NewSession(ctx, actor, g.client.ID, user); err != nil {
			return err
		}
		if g.user != nil && slices.Contains(g.client.GrantTypes, client.RefreshToken) {
			text := auth.NewToken(auth.RefreshToken)
			t := &RefreshToken{
				ID: ulid.Make(), Family: hexadecimal(auth.HashFamily(text)), Hash: hashed(text), Client: g.client.ID, User: user,
				Session: g.session, Scopes: g.scopes, CreatedAt: now, ExpiresAt: now.Add(s.config.RefreshLifetime),
			}
			if err := s.config.Refreshes.Create(ctx, t); err != nil {
				return err
			}
			g.refresh, response.RefreshToken = t.ID, text
		}
		if response.AccessToken, err = s.issue(ctx, g); err != nil {
			return err
		}
		return also(ctx)
	})
	return response, err
}

// response is what a client is told, but for its tokens.
func (s *Server) response(g *grant) *oidc.AccessTokenResponse {
	return &oidc.AccessTokenResponse{TokenType: oidc.BearerToken, ExpiresIn: uint64(s.config.Lifetime.Seconds()), Scope: g.scopes}
}

// issue makes an access token, and returns the token itself, which is kept nowhere.
func (s *Server) issue(ctx context.Context, g *grant) (string, error) {
	token, now := auth.NewToken(auth.AccessToken), resource.Cut(s.config.Clock())
	row := &AccessToken{
		ID: ulid.Make(), Hash: hashed(token), Client: g.client.ID, Session: g.session, Refresh: g.refresh, Scopes: g.scopes,
		CreatedAt: now, ExpiresAt: now.Add(s.config.Lifetime),
	}
	if g.user != nil {
		row.User = g.user.ID
	}
	return token, s.config.Tokens.Create(ctx, row)
}

// Principal finds whom an access token stands for, by its hash, and when it expires: it is an [auth.TokenLookup] for
// the prefix auth.AccessToken. It returns auth.ErrInvalid for a token that is unknown, expired or revoked, or whose
// session has ended, or whose user may not sign in.
func (s *Server) Principal(ctx context.Context, hash []byte) (*auth.Principal, time.Time, error) {
	token, c, err := s.active(ctx, hash)
	if err != nil {
		return nil, time.Time{}, err
	}
	who, err := s.bearer(ctx, token, c)
	return who, token.ExpiresAt, err
}

// bearer is whom an active token of a client stands for. It returns auth.ErrInvalid if its user may not sign in.
func (s *Server) bearer(ctx context.Context, token *AccessToken, c *client.Client) (*auth.Principal, error) {
	if !isZero(token.User) {
		return s.subject(ctx, token.User, token.Client, token.Session, token.Scopes)
	}
	principal := clientPrincipal(c)
	principal.Session = token.Session
	if c.Admin { // it may have been taken from the client since
		principal.Permissions = auth.ScopePermissions(token.Scopes)
	}
	return principal, nil
}

// subject is a user in a session that is going on, acting through a client or, if that is zero, with a browser, with
// what the scopes and the user's own rights have in common. It returns auth.ErrInvalid if the user may not sign in.
func (s *Server) subject(ctx context.Context, user, client, session ulid.ULID, scopes []string) (*auth.Principal, error) {
	who, err := s.config.Subject(ctx, user, scopes)
	if err != nil {
		return nil, err
	}
	within := *who
	within.Client, within.Session = client, session
	return &within, nil
}

// goesOn returns auth.ErrInvalid for a session that has ended.
func (s *Server) goesOn(ctx context.Context, session ulid.ULID) error {
	active, err := s.config.SessionActive(ctx, session)
	if err == nil && !active {
		err = auth.ErrInvalid
	}
	return err
}

// clientPrincipal is a client itself, which may do nothing yet.
func clientPrincipal(c *client.Client) *auth.Principal {
	return &auth.Principal{Type: client.Schema.Name, ID: c.ID, Name: c.Name, Client: c.ID}
}

// active finds a token that can be used, and its client. It returns auth.ErrInvalid for any other.
func (s *Server) active(ctx context.Context, hash []byte) (*AccessToken, *client.Client, error) {
	token, err := resource.Only(ctx, s.config.Tokens.List, "hash", hexadecimal(hash))
	if err != nil {
		return nil, nil, err
	}
	if token == nil || !s.config.Clock().Before(token.ExpiresAt) {
		return nil, nil, auth.ErrInvalid
	}
	if err := s.goesOn(ctx, token.Session); err != nil {
		return nil, nil, err
	}
	c, err := s.config.Clients.Get(ctx, token.Client)
	if resource.Is(err, resource.NotFound) {
		return nil, nil, auth.ErrInvalid
	}
	return token, c, err
}

// revoke ends a token of a client, and the session that it is a token of, so that all of that session's tokens end.
// What is no token, or has ended, is left alone (RFC 7009, 2.2).
func (s *Server) revoke(ctx context.Context, c *client.Client, text string) error {
	var owner, session ulid.ULID
	switch prefix, _ := auth.CheckToken(text); prefix {
	case auth.AccessToken:
		token, err := resource.Only(ctx, s.config.Tokens.List, "hash", hashed(text))
		if err != nil {
			return internal(err)
		}
		if token != nil {
			owner, session = token.Client, token.Session
		}
	case auth.RefreshToken:
		token, err := s.findRefresh(ctx, text)
		if err != nil {
			return internal(err)
		}
		if token != nil {
			owner, session = token.Client, token.Session
		}
	}
	if isZero(session) {
		return nil
	}
	if owner != c.ID { // RFC 7009, 2.1, with the word that RFC 6749, 5.2, has for it
		return oidc.ErrInvalidGrant().WithDescription("the token was issued to another client")
	}
	if err := s.config.EndSession(ctx, session); err != nil {
		return internal(err)
	}
	return nil
}

// Prune removes some of what has expired, and ends the sessions that nothing can go on. It returns how many rows it
// removed: none when there are no more.
func (s *Server) Prune(ctx context.Context) (removed int, err error) {
	now := resource.Cut(s.config.Clock())
	add := func(n int, failed error) { removed, err = removed+n, errors.Join(err, failed) }
	// A code is remembered for as long as its tokens may be in use, so that its replay ends them.
	add(prune(ctx, s, s.config.Codes, now.Add(-s.config.RefreshLifetime), func(c *Code) (id, ends ulid.ULID) { return c.ID, ends }))
	add(prune(ctx, s, s.config.Devices, now, func(d *Device) (id, ends ulid.ULID) { return d.ID, ends }))
	add(prune(ctx, s, s.config.Browsers, now, func(b *Browser) (id, ends ulid.ULID) { return b.ID, b.Session }))
	add(prune(ctx, s, s.config.Pending, now, func(p *Pending) (id, ends ulid.ULID) { return p.ID, ends }))
	add(prune(ctx, s, s.config.Refreshes, now, func(t *RefreshToken) (id, ends ulid.ULID) { return t.ID, t.Session }))
	add(prune(ctx, s, s.config.Tokens, now, func(t *AccessToken) (id, ends ulid.ULID) {
		if isZero(t.Refresh) {
			ends = t.Session
		}
		return t.ID, ends
	}))
	return removed, err
}

// prune removes the first 100 rows that expired before a time, and ends the sessions that end with them.
func prune[T any](ctx context.Context, s *Server, rows resource.Store[T], before time.Time, of func(*T) (id, ends ulid.ULID)) (removed int, err error) {
	page, err := rows.List(ctx, resource.Query{
		Where: resource.Holds("expires_at", resource.Less, before), Window: pagination.First(100), Count: pagination.CountNone,
	})
	if err != nil || len(page.Rows) == 0 {
		return 0, err
	}
	err = s.config.Database.Transact(ctx, func(ctx context.Context) error {
		for i := range page.Rows {
			id, ends := of(&page.Rows[i])
			err := rows.Delete(ctx, id)
			if resource.Is(err, resource.NotFound) { // another node was faster
				continue
			}
			if err == nil && !isZero(ends) {
				err = s.config.EndSession(ctx, ends)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(page.Rows), nil
}

// record leaves an event of what does not go through the engine.
func (s *Server) record(ctx context.Context, actor *auth.Principal, verb, typ string, id ulid.ULID) error {
	return s.config.Database.Record(ctx, resource.NewEvent(ctx, resource.Cut(s.config.Clock()), actor, verb, resource.Identifier{Type: typ, ID: id}))
}

func hashed(token string) string { return hexadecimal(auth.HashToken(token)) }

func hexadecimal(hash []byte) string { return hex.EncodeToString(hash) }

func isZero(id ulid.ULID) bool { return id == ulid.ULID{} }
