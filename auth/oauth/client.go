package oauth

import (
	"net/http"
	"net/url"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"reeve/resource"
	"reeve/resource/client"
)

// errClient is what everybody gets who does not prove to be a client, whatever the reason.
var errClient = op.NewStatusError(oidc.ErrInvalidClient(), http.StatusUnauthorized)

// authenticate finds the client that sends a form. It must use the method that it is registered with, and no
// second one (RFC 6749, 2.3).
func (s *Server) authenticate(r *http.Request) (*client.Client, error) {
	id, secret, method, err := credentials(r)
	if err != nil {
		return nil, err
	}
	c, err := s.config.Clients.Get(r.Context(), client.ID(id))
	if resource.Is(err, resource.NotFound) {
		return nil, errClient
	}
	if err != nil {
		return nil, internal(err)
	}
	if c.ClientID != id || c.AuthMethod != method {
		return nil, errClient
	}
	if method == client.Public {
		if r.URL.Path == introspectionPath { // RFC 7662, 2.1: the endpoint is protected
			return nil, errClient
		}
		return c, nil
	}
	if !c.VerifySecret(secret) {
		return nil, errClient
	}
	return c, nil
}

// credentials are those that a client sends, and the method by which it does.
func credentials(r *http.Request) (id, secret, method string, err error) {
	id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	name, password, basic := r.BasicAuth()
	switch {
	case basic && secret != "":
		return "", "", "", invalid(http.StatusBadRequest, "the client authenticates in two ways")
	case basic:
		// RFC 6749, 2.3.1: both parts are form-urlencoded before they are joined.
		if id, err = url.QueryUnescape(name); err != nil {
			return "", "", "", errClient
		}
		if secret, err = url.QueryUnescape(password); err != nil {
			return "", "", "", errClient
		}
		return id, secret, client.SecretBasic, nil
	case secret != "":
		return id, secret, client.SecretPost, nil
	}
	return id, "", client.Public, nil
}

// opClient is a client as the library sees it. Its requests were authenticated by the [Server] already.
type opClient struct{ *client.Client }

func (c opClient) GetID() string                        { return c.ClientID }
func (c opClient) RedirectURIs() []string               { return c.Client.RedirectURIs }
func (c opClient) PostLogoutRedirectURIs() []string     { return nil }
func (c opClient) AuthMethod() oidc.AuthMethod          { return oidc.AuthMethod(c.Client.AuthMethod) }
func (c opClient) ResponseTypes() []oidc.ResponseType   { return nil }
func (c opClient) LoginURL(string) string               { return "" }
func (c opClient) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeBearer }
func (c opClient) IDTokenLifetime() time.Duration       { return 0 }
func (c opClient) DevMode() bool                        { return false }
func (c opClient) IsScopeAllowed(string) bool           { return false }
func (c opClient) IDTokenUserinfoClaimsAssertion() bool { return false }
func (c opClient) ClockSkew() time.Duration             { return 0 }

func (c opClient) ApplicationType() op.ApplicationType {
	if c.Client.AuthMethod == client.Public {
		return op.ApplicationTypeNative
	}
	return op.ApplicationTypeWeb
}

func (c opClient) GrantTypes() []oidc.GrantType {
	types := make([]oidc.GrantType, len(c.Client.GrantTypes))
	for i, grant := range c.Client.GrantTypes {
		types[i] = oidc.GrantType(grant)
	}
	return types
}

func (c opClient) RestrictAdditionalIdTokenScopes() func([]string) []string     { return sameScopes }
func (c opClient) RestrictAdditionalAccessTokenScopes() func([]string) []string { return sameScopes }

func sameScopes(scopes []string) []string { return scopes }
