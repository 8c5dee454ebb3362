package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/client"
)

// registration is what a client says of itself, and what it is answered (RFC 7591, 2 and 3.2.1). What else it says is
// ignored.
type registration struct {
	ClientID      string   `json:"client_id,omitempty"`
	ClientSecret  string   `json:"client_secret,omitempty"`
	IssuedAt      int64    `json:"client_id_issued_at,omitempty"`
	ExpiresAt     *int64   `json:"client_secret_expires_at,omitempty"` // 0 is never; there with a secret
	Name          string   `json:"client_name,omitempty"`
	RedirectURIs  []string `json:"redirect_uris,omitempty"`
	AuthMethod    string   `json:"token_endpoint_auth_method"`
	GrantTypes    []string `json:"grant_types"`
	ResponseTypes []string `json:"response_types"`
}

// The bounds of what a client may say of itself.
const (
	maxRedirects = 20
	maxName      = 100 // characters
)

// secretPrefix begins the secrets of clients that register themselves.
const secretPrefix = "rvs"

// serveRegistration takes in a client that registers itself (RFC 7591, 3). It may ask users for anything, and for
// nothing itself.
func (s *Server) serveRegistration(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	if r.Method != http.MethodPost {
		refuseMethod(w, r, "POST")
		return
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		fail(w, r, invalid(http.StatusUnsupportedMediaType, "the body must be application/json"))
		return
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		fail(w, r, invalid(http.StatusRequestEntityTooLarge, "the body is too large"))
		return
	}
	asked := &registration{}
	if err != nil || !utf8.Valid(text) || json.Unmarshal(text, asked) != nil {
		fail(w, r, &oidc.Error{ErrorType: "invalid_client_metadata", Description: "the body is no JSON object of client metadata"})
		return
	}
	answer, err := s.register(r.Context(), asked)
	if err != nil {
		fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, answer)
}

// register keeps a client. The error is one for the client.
func (s *Server) register(ctx context.Context, asked *registration) (*registration, error) {
	if err := asked.complete(); err != nil {
		return nil, err
	}
	if _, err := s.config.Limiter.Reserve(ctx, auth.RegistrationAttempt, "", ulid.ULID{}); err != nil {
		return nil, internal(err)
	}
	now := resource.Cut(s.config.Clock())
	id := ulid.Make()
	c := &client.Client{
		ID: id, ClientID: id.String(), Name: asked.Name, AuthMethod: asked.AuthMethod, RedirectURIs: asked.RedirectURIs,
		GrantTypes: asked.GrantTypes, CreatedAt: now,
	}
	answer := *asked
	answer.ClientID, answer.IssuedAt, answer.ClientSecret, answer.ExpiresAt = c.ClientID, now.Unix(), "", nil
	if c.Name == "" {
		c.Name = c.ClientID
	}
	if c.AuthMethod != client.Public {
		answer.ClientSecret, answer.ExpiresAt = auth.NewToken(secretPrefix), new(int64)
		c.SetSecret(answer.ClientSecret)
	}
	err := s.config.Database.Transact(ctx, func(ctx context.Context) error {
		if err := s.config.Clients.Create(ctx, c); err != nil {
			return err
		}
		return s.record(ctx, clientPrincipal(c), resource.Create, client.Schema.Name, c.ID)
	})
	if err != nil {
		return nil, internal(err)
	}
	return &answer, nil
}

// complete checks the metadata and fills in what RFC 7591, 2, says of what is missing.
func (r *registration) complete() error {
	wrong := func(format string, args ...any) error {
		return &oidc.Error{ErrorType: "invalid_client_metadata", Description: fmt.Sprintf(format, args...)}
	}
	if r.AuthMethod == "" {
		r.AuthMethod = client.SecretBasic
	}
	if len(r.GrantTypes) == 0 {
		r.GrantTypes = []string{client.AuthorizationCode}
	}
	if len(r.ResponseTypes) == 0 && slices.Contains(r.GrantTypes, client.AuthorizationCode) {
		r.ResponseTypes = []string{string(oidc.ResponseTypeCode)}
	}
	if r.ResponseTypes == nil {
		r.ResponseTypes = []string{}
	}
	if r.RedirectURIs == nil {
		r.RedirectURIs = []string{}
	}
	switch {
	case !slices.Contains([]string{client.SecretBasic, client.SecretPost, client.Public}, r.AuthMethod):
		return wrong("there is no token_endpoint_auth_method %q", r.AuthMethod)
	case utf8.RuneCountInString(r.Name) > maxName || strings.ContainsFunc(r.Name, unicode.IsControl):
		return wrong("client_name has more than %d characters, or some that are no text", maxName)
	case r.AuthMethod == client.Public && slices.Contains(r.GrantTypes, client.ClientCredentials):
		return wrong("client_credentials is for clients that have a secret")
	case slices.ContainsFunc(r.ResponseTypes, func(t string) bool { return t != string(oidc.ResponseTypeCode) }):
		return wrong("the only response type is code")
	case (len(r.ResponseTypes) > 0) != slices.Contains(r.GrantTypes, client.AuthorizationCode):
		return wrong("the response type code and the grant type authorization_code go together")
	}
	for i, grant := range r.GrantTypes {
		if !slices.Contains(grants, oidc.GrantType(grant)) || slices.Contains(r.GrantTypes[:i], grant) {
			return wrong("there is no grant type %q, or it is given twice", grant)
		}
	}
	if slices.Contains(r.GrantTypes, client.AuthorizationCode) && len(r.RedirectURIs) == 0 || len(r.RedirectURIs) > maxRedirects {
		return &oidc.Error{ErrorType: "invalid_redirect_uri", Description: fmt.Sprintf("there must be 1 to %d redirect URIs", maxRedirects)}
	}
	for _, uri := range r.RedirectURIs {
		if err := client.CheckRedirect(uri); err != nil {
			return &oidc.Error{ErrorType: "invalid_redirect_uri", Description: "a redirect URI " + err.Error()}
		}
	}
	return nil
}

// writeJSON answers with a document.
func writeJSON(w http.ResponseWriter, status int, document any) {
	text, err := json.Marshal(document)
	if err != nil {
		panic(err) // it is made of texts and numbers
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(text); err != nil {
		slog.Debug("oauth: an answer was not read", "error", err)
	}
}
