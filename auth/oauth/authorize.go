package oauth

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/client"
)

// codeLifetime is how long a client may take to exchange its code. RFC 6749, 4.1.2, has ten minutes at most; a client
// takes a second.
const codeLifetime = time.Minute

// request is what a client asks a user for, by way of the browser (RFC 6749, 4.1.1).
type request struct {
	client             *client.Client
	redirectURI, state string
	scopes             []string
	challenge, nonce   string
	prompt             []string
	maxAge             time.Duration // since the user signed in; negative if any will do
	loginHint          string
}

// refusal is an answer to the client: one of the errors of RFC 6749, 4.1.2.1, or OpenID Connect Core, 3.1.2.6.
type refusal struct{ code, description string }

// authorize serves the authorization endpoint: it has the user sign in, asks whether the client may have what it wants,
// and sends the browser back to the client with a code. Nobody is sent on before they have signed in, lest a link to this
// server lead to a site that pretends to be it (RFC 9700, 4.11.2); but where nobody is to be asked, which OpenID has.
func (v *visit) authorize() error {
	query := v.r.URL.Query()
	request, err := v.readRequest(v.r.Context(), query)
	if err != nil {
		return err
	}
	wrong := request.read(query)
	if wrong != nil && !request.client.Static { // anybody can have a site of theirs registered
		return invalid(http.StatusBadRequest, "the program that sent you here has made a mistake: "+wrong.description)
	}
	again := wrong == nil && (slices.Contains(request.prompt, oidc.PromptLogin) || slices.Contains(request.prompt, oidc.PromptSelectAccount) ||
		request.maxAge >= 0 && (v.browser == nil || v.config.Clock().Sub(v.browser.CreatedAt) > request.maxAge))
	silent := wrong == nil && slices.Contains(request.prompt, oidc.PromptNone)
	if silent && (v.browser == nil || again) {
		v.refuse(request, &refusal{"login_required", "the user has to sign in"})
		return nil
	}
	if ok, err := v.signedIn(again, page{Client: request.client, Username: request.loginHint}); !ok {
		return err
	}
	if wrong != nil {
		v.refuse(request, wrong)
		return nil
	}
	granted, refused := grantable(v.user, request.scopes)
	may := len(granted) > 0 || len(refused) == 0
	agreed, err := v.agreed(request, granted)
	if err != nil {
		return err
	}
	switch do := v.do(); {
	case silent && !(agreed && may):
		v.refuse(request, &refusal{"consent_required", "the user has to be asked"})
		return nil
	case do == "allow" && may:
		return v.allow(request, granted)
	case do == "" && agreed && may:
		return v.grant(request, granted, func(context.Context) error { return nil })
	case do != "":
		if err := v.noted(v.r.Context(), "deny", request.client); err != nil {
			return err
		}
		v.refuse(request, &refusal{"access_denied", "the user does not allow it"})
		return nil
	}
	return v.show(http.StatusOK, "consent", page{
		Title: "Allow " + request.client.Name + "?", Client: request.client, Destination: destination(request.redirectURI),
		Granted: sentences(granted), Refused: sentences(refused), Grantable: may, leaves: true,
	})
}

// readRequest finds the client and where the browser is to go back to. Unless both are right, the browser is sent
// nowhere (RFC 9700, 4.11).
func (v *visit) readRequest(ctx context.Context, query url.Values) (*request, error) {
	for _, name := range []string{"client_id", "redirect_uri"} {
		if len(query[name]) != 1 || query.Get(name) == "" {
			return nil, invalid(http.StatusBadRequest, "the program that sent you here must say once which "+name+" it has")
		}
	}
	id, uri := query.Get("client_id"), query.Get("redirect_uri")
	c, err := v.config.Clients.Get(ctx, client.ID(id))
	if err != nil && !resource.Is(err, resource.NotFound) {
		return nil, err
	}
	if err != nil || c.ClientID != id {
		return nil, invalid(http.StatusBadRequest, "the program that sent you here is not known")
	}
	if !c.AllowsRedirect(uri) {
		return nil, invalid(http.StatusBadRequest, "the program that sent you here wants you back at a place that is not one of its own")
	}
	return &request{client: c, redirectURI: uri, maxAge: -1}, nil
}

// maxText is how long the parameters may be that are kept, or sent back.
const maxText = 2048

// read reads what the client asks for.
func (r *request) read(query url.Values) *refusal {
	r.state, r.nonce, r.loginHint, r.challenge = query.Get("state"), query.Get("nonce"), query.Get("login_hint"), query.Get("code_challenge")
	for name, values := range query {
		if len(values) > 1 || len(values[0]) > maxText {
			return &refusal{"invalid_request", name + " is given twice, or too long"}
		}
	}
	switch {
	case query.Get("response_type") == "":
		return &refusal{"invalid_request", "response_type is missing"}
	case query.Get("response_type") != string(oidc.ResponseTypeCode):
		return &refusal{"unsupported_response_type", "the only response_type is code"}
	case !slices.Contains(r.client.GrantTypes, client.AuthorizationCode):
		return &refusal{"unauthorized_client", "the client is not registered for authorization codes"}
	case query.Has("request"):
		return &refusal{"request_not_supported", "request objects are not supported"}
	case query.Has("request_uri"):
		return &refusal{"request_uri_not_supported", "request objects are not supported"}
	case query.Has("response_mode") && query.Get("response_mode") != string(oidc.ResponseModeQuery):
		return &refusal{"invalid_request", "the only response_mode is query"}
	case r.challenge == "":
		return &refusal{"invalid_request", "code_challenge is missing (RFC 7636)"}
	case query.Get("code_challenge_method") != string(oidc.CodeChallengeMethodS256):
		return &refusal{"invalid_request", "the only code_challenge_method is S256"}
	}
	if hash, err := base64.RawURLEncoding.Strict().DecodeString(r.challenge); err != nil || len(hash) != 32 {
		return &refusal{"invalid_request", "code_challenge is no SHA-256 in base64url"}
	}
	if age := query.Get("max_age"); age != "" {
		seconds, err := strconv.ParseUint(age, 10, 31)
		if err != nil {
			return &refusal{"invalid_request", "max_age must be a number of seconds"}
		}
		r.maxAge = time.Duration(seconds) * time.Second
	}
	r.prompt = strings.Fields(query.Get("prompt"))
	if slices.Contains(r.prompt, oidc.PromptNone) && len(r.prompt) > 1 {
		return &refusal{"invalid_request", "prompt is none and something else"}
	}
	if r.scopes = splitScopes(query.Get("scope")); !known(r.scopes) {
		return &refusal{"invalid_scope", "there is no such scope"}
	}
	return nil
}

// allow gives the client a code, and remembers that the user has been asked.
func (v *visit) allow(request *request, scopes []string) error {
	return v.grant(request, scopes, func(ctx context.Context) error {
		if err := v.remember(ctx, v.browser.User, request.client.ID, scopes); err != nil {
			return err
		}
		return v.noted(ctx, "consent", request.client)
	})
}

// grant gives the client a code, in one transaction with what else there is to do.
func (v *visit) grant(request *request, scopes []string, also func(ctx context.Context) error) error {
	text, now := auth.NewToken(auth.AuthorizationCode), resource.Cut(v.config.Clock())
	code := &Code{
		ID: ulid.Make(), Hash: hashed(text), Client: request.client.ID, User: v.browser.User, Browser: v.browser.Session, Scopes: scopes, RedirectURI: request.redirectURI,
		Challenge: request.challenge, Nonce: request.nonce, SignedInAt: v.browser.CreatedAt, Methods: v.browser.Methods, CreatedAt: now, ExpiresAt: now.Add(codeLifetime),
	}
	err := v.config.Database.Transact(v.r.Context(), func(ctx context.Context) error {
		if err := v.config.Codes.Create(ctx, code); err != nil {
			return err
		}
		return also(ctx)
	})
	if err != nil {
		return err
	}
	v.answer(request, url.Values{"code": {text}})
	return nil
}

// noted leaves an event of what the user decided about a client.
func (v *visit) noted(ctx context.Context, verb string, c *client.Client) error {
	return v.record(ctx, v.user, verb, client.Schema.Name, c.ID)
}

func (v *visit) refuse(request *request, refused *refusal) {
	v.answer(request, url.Values{"error": {refused.code}, "error_description": {refused.description}})
}

// answer sends the browser back to the client, with its state and with who answers (RFC 9207).
func (v *visit) answer(request *request, answer url.Values) {
	if request.state != "" {
		answer.Set("state", request.state)
	}
	answer.Set("iss", v.config.Issuer)
	mark := "?"
	if strings.Contains(request.redirectURI, "?") {
		mark = "&"
	}
	v.redirect(request.redirectURI + mark + answer.Encode())
}

// destination is what people need to know of a redirect URI.
func destination(uri string) string {
	u, err := url.Parse(uri)
	switch {
	case err != nil: // it was parsed when the client was registered
		return uri
	case u.Scheme == "http":
		return "a program on this machine"
	case u.Scheme != "https":
		return "the program that opens " + u.Scheme + ": links"
	}
	return u.Host
}
