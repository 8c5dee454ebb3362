package oauth

import (
	"context"
	"errors"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/oklog/ulid/v2"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"reeve/auth"
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
	token, err := p.server.issue(ctx, c, ulid.ULID{}, scopes)
	if err != nil {
		return nil, internal(err)
	}
	return op.NewResponse(&oidc.AccessTokenResponse{
		AccessToken: token, TokenType: oidc.BearerToken,
		ExpiresIn: uint64(p.server.config.Lifetime.Seconds()), Scope: scopes,
	}), nil
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
	response := &oidc.IntrospectionResponse{}
	prefix, ok := auth.CheckToken(r.Data.Token)
	if !ok || prefix != auth.AccessToken {
		return op.NewResponse(response), nil
	}
	token, c, err := p.server.active(ctx, auth.HashToken(r.Data.Token))
	if errors.Is(err, auth.ErrInvalid) {
		return op.NewResponse(response), nil
	}
	if err != nil {
		return nil, internal(err)
	}
	return op.NewResponse(&oidc.IntrospectionResponse{
		Active: true, TokenType: oidc.BearerToken, Issuer: p.server.config.Issuer, Scope: token.Scopes,
		ClientID: c.ClientID, Subject: c.ID.String(),
		Expiration: oidc.FromTime(token.ExpiresAt), IssuedAt: oidc.FromTime(token.CreatedAt),
	}), nil
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

// Discovery is the metadata of the server (RFC 8414). It names what works, nothing else.
func (p *protocol) Discovery(context.Context, *op.Request[struct{}]) (*op.Response, error) {
	endpoints, issuer := &p.server.endpoints, p.server.config.Issuer
	withSecret := []oidc.AuthMethod{oidc.AuthMethodBasic, oidc.AuthMethodPost}
	return op.NewResponse(&oidc.DiscoveryConfiguration{
		Issuer:                                 issuer,
		TokenEndpoint:                          endpoints.Token.Absolute(issuer),
		RevocationEndpoint:                     endpoints.Revocation.Absolute(issuer),
		IntrospectionEndpoint:                  endpoints.Introspection.Absolute(issuer),
		JwksURI:                                endpoints.JwksURI.Absolute(issuer),
		GrantTypesSupported:                    grants,
		ScopesSupported:                        []string{auth.AdminScope},
		TokenEndpointAuthMethodsSupported:      withSecret,
		RevocationEndpointAuthMethodsSupported: append(withSecret, oidc.AuthMethodNone),
		IntrospectionEndpointAuthMethodsSupported: withSecret,
	}), nil
}
