package oauth

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/oklog/ulid/v2"
	"github.com/zitadel/oidc/v3/pkg/crypto"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"reeve/auth"
	"reeve/resource"
)

// idTokenLifetime is how long a client may take to read an ID token.
const idTokenLifetime = 5 * time.Minute

// idToken tells a client who has signed in, and when (OpenID Connect Core, 2).
func (s *Server) idToken(ctx context.Context, g *grant) (string, error) {
	keys, err := s.keys(ctx)
	if err != nil {
		return "", err
	}
	key := &keys[len(keys)-1]
	private, err := key.parse()
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: private, KeyID: key.ID.String()}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	now := s.config.Clock()
	claims := &oidc.IDTokenClaims{TokenClaims: oidc.TokenClaims{
		Issuer: s.config.Issuer, Subject: g.user.ID.String(), Audience: oidc.Audience{g.client.ClientID}, AuthorizedParty: g.client.ClientID,
		IssuedAt: oidc.FromTime(now), Expiration: oidc.FromTime(now.Add(idTokenLifetime)), AuthTime: oidc.FromTime(g.signedInAt), Nonce: g.nonce,
		AuthenticationMethodsReferences: g.methods,
	}}
	info, err := s.claims(ctx, g.user.ID, g.scopes)
	if err != nil {
		return "", err
	}
	claims.SetUserInfo(info)
	return crypto.Sign(claims, signer)
}

// claims are what the scopes allow to be told of a user.
func (s *Server) claims(ctx context.Context, id ulid.ULID, scopes []string) (*oidc.UserInfo, error) {
	u, err := s.config.Users.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	info := &oidc.UserInfo{Subject: id.String()}
	if slices.Contains(scopes, oidc.ScopeProfile) {
		info.PreferredUsername, info.Name = u.Username, u.DisplayName
	}
	if slices.Contains(scopes, oidc.ScopeEmail) {
		info.Email = u.Email
	}
	return info, nil
}

// serveUserinfo tells a client who the user of its access token is (OpenID Connect Core, 5.3). The token comes in the
// header alone: URLs are logged, and forms are for nothing here (RFC 9700, 4.3.2).
func (s *Server) serveUserinfo(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		refuseMethod(w, r, "GET, POST")
		return
	}
	challenge := func(status int, parameters string, err *oidc.Error) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="reeve"`+parameters)
		fail(w, r, op.NewStatusError(err, status))
	}
	credentials, err := auth.ParseAuthorization(r.Header.Get("Authorization"))
	if err != nil || credentials.Token == "" {
		challenge(http.StatusUnauthorized, "", &oidc.Error{ErrorType: "invalid_token", Description: "the request has no access token"})
		return
	}
	info, err := s.userinfo(r.Context(), credentials.Token)
	switch {
	case errors.Is(err, auth.ErrInvalid): // RFC 6750, 3.1
		challenge(http.StatusUnauthorized, `, error="invalid_token"`, &oidc.Error{ErrorType: "invalid_token"})
	case errors.Is(err, errNoScope):
		challenge(http.StatusForbidden, `, error="insufficient_scope", scope="openid"`, &oidc.Error{ErrorType: "insufficient_scope"})
	case err != nil:
		fail(w, r, internal(err))
	default:
		writeJSON(w, http.StatusOK, info)
	}
}

// errNoScope is an access token that is not for asking who its user is.
var errNoScope = errors.New("oauth: the token has not the scope openid")

func (s *Server) userinfo(ctx context.Context, text string) (*oidc.UserInfo, error) {
	if prefix, ok := auth.CheckToken(text); !ok || prefix != auth.AccessToken {
		return nil, auth.ErrInvalid
	}
	token, c, err := s.active(ctx, auth.HashToken(text))
	if err != nil {
		return nil, err
	}
	if _, err := s.bearer(ctx, token, c); err != nil {
		return nil, err
	}
	if isZero(token.User) || !slices.Contains(token.Scopes, oidc.ScopeOpenID) {
		return nil, errNoScope
	}
	info, err := s.claims(ctx, token.User, token.Scopes)
	if resource.Is(err, resource.NotFound) {
		return nil, auth.ErrInvalid
	}
	return info, err
}
