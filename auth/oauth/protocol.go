package oauth

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/client"
)

// protocol is the [Server] as the library calls it.
type protocol struct {
	op.UnimplementedServer
	server *Server
}

// clientKey is where the context of a request has the client that sends it, as a *client.Client.
type clientKey struct{}

// VerifyClient hands the library the client that [Server.authenticate] found.
func (p *protocol) VerifyClient(ctx context.Context, _ *op.Request[op.ClientCredentials]) (op.Client, error) {
	return opClient{ctx.Value(clientKey{}).(*client.Client)}, nil
}

// ClientCredentialsExchange gives a client a token of its own (RFC 6749, 4.4).
func (p *protocol) ClientCredentialsExchange(
	ctx context.Context, r *op.ClientRequest[oidc.ClientCredentialsRequest],
) (*op.Response, error) {
	c := r.Client.(opClient).Client
	scopes, err := grantedScopes(c, r.Data.Scope)
	if err != nil {
		return nil, err
	}
	g := &grant{client: c, scopes: scopes}
	response, err := p.server.begin(ctx, g, func(context.Context) error { return nil })
	if err != nil {
		return nil, internal(err)
	}
	return op.NewResponse(response), nil
}

// grantedScopes are the scopes that a client gets for itself of those that it asks for: all, or the request
// fails (RFC 6749, 5.2). Only clients that may administrate get any. One that asks for none gets a token without
// any: it says who the client is, and allows nothing else.
func grantedScopes(c *client.Client, asked []string) ([]string, error) {
	granted := []string{}
	for _, scope := range asked {
		if scope == "" || slices.Contains(granted, scope) {
			continue
		}
		if _, known := auth.ParseScope(scope); !known || !c.Admin {
			return nil, oidc.ErrInvalidScope().WithDescription("the client may not have one of the scopes")
		}
		granted = append(granted, scope)
	}
	return granted, nil
}

// Revocation ends a token (RFC 7009). A token that is none, or not active, is no failure.
func (p *protocol) Revocation(ctx context.Context, r *op.ClientRequest[oidc.RevocationRequest]) (*op.Response, error) {
	if err := p.server.revoke(ctx, r.Client.(opClient).Client, r.Data.Token); err != nil {
		return nil, err
	}
	return op.NewResponse(nil), nil
}

// Introspect tells what a token stands for (RFC 7662) to any client that has a secret: whoever has the token
// could use it as well. All that is not active is told in the same way.
func (p *protocol) Introspect(ctx context.Context, r *op.Request[op.IntrospectionRequest]) (*op.Response, error) {
	text := r.Data.Token
	var response *oidc.IntrospectionResponse
	var err error
	switch prefix, _ := auth.CheckToken(text); prefix {
	case auth.AccessToken:
		response, err = p.server.introspectAccess(ctx, auth.HashToken(text))
	case auth.RefreshToken:
		response, err = p.server.introspectRefresh(ctx, text)
	default:
		err = auth.ErrInvalid
	}
	if errors.Is(err, auth.ErrInvalid) {
		return op.NewResponse(&oidc.IntrospectionResponse{}), nil
	}
	if err != nil {
		return nil, internal(err)
	}
	response.Active, response.Issuer = true, p.server.config.Issuer
	return op.NewResponse(response), nil
}

// introspectAccess is what an access token stands for. It returns auth.ErrInvalid if it stands for nothing.
func (s *Server) introspectAccess(ctx context.Context, hash []byte) (*oidc.IntrospectionResponse, error) {
	token, c, err := s.active(ctx, hash)
	if err != nil {
		return nil, err
	}
	who, err := s.bearer(ctx, token, c)
	if err != nil {
		return nil, err
	}
	response := introspection(who, c, token.Scopes, token.CreatedAt, token.ExpiresAt)
	response.TokenType = oidc.BearerToken
	return response, nil
}

// introspectRefresh is what a refresh token stands for, if it is the newest of its family.
func (s *Server) introspectRefresh(ctx context.Context, text string) (*oidc.IntrospectionResponse, error) {
	token, err := s.findRefresh(ctx, text)
	if err != nil {
		return nil, err
	}
	if token == nil || token.Hash != hashed(text) || !s.config.Clock().Before(token.ExpiresAt) {
		return nil, auth.ErrInvalid
	}
	if err := s.goesOn(ctx, token.Session); err != nil {
		return nil, err
	}
	who, err := s.subject(ctx, token.User, token.Client, token.Session, token.Scopes)
	if err != nil {
		return nil, err
	}
	c, err := s.config.Clients.Get(ctx, token.Client)
	if resource.Is(err, resource.NotFound) {
		return nil, auth.ErrInvalid
	}
	if err != nil {
		return nil, err
	}
	return introspection(who, c, token.Scopes, token.CreatedAt, token.ExpiresAt), nil
}

func introspection(who *auth.Principal, c *client.Client, scopes []string, issued, expires time.Time) *oidc.IntrospectionResponse {
	response := &oidc.IntrospectionResponse{
		Scope: scopes, ClientID: c.ClientID, Subject: who.ID.String(), IssuedAt: oidc.FromTime(issued), Expiration: oidc.FromTime(expires),
	}
	if who.ID != c.ID {
		response.Username = who.Name
	}
	return response
}

// Keys are the public halves of the keys (RFC 7517).
func (p *protocol) Keys(ctx context.Context, _ *op.Request[struct{}]) (*op.Response, error) {
	keys, err := p.server.keys(ctx)
	if err != nil {
		return nil, internal(err)
	}
	set := &jose.JSONWebKeySet{}
	for _, key := range keys {
		private, err := key.parse()
		if err != nil {
			return nil, internal(err)
		}
		set.Keys = append(set.Keys, jose.JSONWebKey{
			KeyID: key.ID.String(), Algorithm: string(jose.RS256), Use: oidc.KeyUseSignature, Key: private.Public(),
		})
	}
	return op.NewResponse(set), nil
}

// metadata is what clients read first: RFC 8414, OpenID Connect Discovery 1.0, and RFC 9207.
type metadata struct {
	oidc.DiscoveryConfiguration
	AnswersWithIssuer bool `json:"authorization_response_iss_parameter_supported"`
}

// Discovery is the metadata of the server (RFC 8414). It names what works, nothing else.
func (p *protocol) Discovery(context.Context, *op.Request[struct{}]) (*op.Response, error) {
	endpoint := func(path string) string { return p.server.config.Issuer + path }
	withSecret := []oidc.AuthMethod{oidc.AuthMethodBasic, oidc.AuthMethodPost}
	all := append(withSecret, oidc.AuthMethodNone)
	return op.NewResponse(&metadata{oidc.DiscoveryConfiguration{
		Issuer:                                    p.server.config.Issuer,
		AuthorizationEndpoint:                     endpoint(authorizePath),
		DeviceAuthorizationEndpoint:               endpoint(deviceAuthorizationPath),
		TokenEndpoint:                             endpoint(tokenPath),
		RevocationEndpoint:                        endpoint(revocationPath),
		IntrospectionEndpoint:                     endpoint(introspectionPath),
		RegistrationEndpoint:                      endpoint(registrationPath),
		UserinfoEndpoint:                          endpoint(userinfoPath),
		JwksURI:                                   endpoint(keysPath),
		GrantTypesSupported:                       grants,
		ResponseTypesSupported:                    []string{string(oidc.ResponseTypeCode)},
		ResponseModesSupported:                    []string{string(oidc.ResponseModeQuery)},
		CodeChallengeMethodsSupported:             []oidc.CodeChallengeMethod{oidc.CodeChallengeMethodS256},
		ScopesSupported:                           []string{auth.AdminScope, oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, oidc.ScopeOfflineAccess},
		ClaimsSupported:                           []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "amr", "nonce", "preferred_username", "name", "email"},
		SubjectTypesSupported:                     []string{"public"},
		IDTokenSigningAlgValuesSupported:          []string{string(jose.RS256)},
		TokenEndpointAuthMethodsSupported:         all,
		RevocationEndpointAuthMethodsSupported:    all,
		IntrospectionEndpointAuthMethodsSupported: withSecret,
	}, true}), nil
}
