// Package oauth is the authorization server: it gives clients access tokens (OAuth 2.0, RFC 6749) and says what
// a token stands for.
//
// Clients get tokens of their own (client credentials), or in the name of users who have signed in on its pages:
// by authorization code with PKCE (RFC 7636), or for a device (RFC 8628). It serves refreshing, revocation (RFC 7009),
// introspection (RFC 7662), registration (RFC 7591), its keys and its metadata (RFC 8414), and is an OpenID provider.
// It follows the security best current practice, RFC 9700.
//
// Tokens are opaque and kept as hashes. The endpoints where clients authenticate are those of zitadel/oidc, through its
// [op.Server]: a grant is one method of it, those that are not here answer unsupported_grant_type.
package oauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"reeve/auth"
	"reeve/auth/factor"
	"reeve/resource"
	"reeve/resource/client"
	"reeve/resource/passwordlink"
	"reeve/resource/user"
)

// Config is what the authorization server works with.
type Config struct {
	Issuer   string // the URL of the server as clients see it, without the paths below; see [Exposed]
	Database resource.Transactor
	Clients  resource.Store[client.Client]
	Users    resource.Store[user.User]
	Links    resource.Store[passwordlink.Link]

	Codes     resource.Store[Code]
	Tokens    resource.Store[AccessToken]
	Refreshes resource.Store[RefreshToken]
	Browsers  resource.Store[Browser]
	Pending   resource.Store[Pending]
	Devices   resource.Store[Device]
	Consents  resource.Store[Consent]
	Keys      resource.Store[Key]

	// Factors are the second factors of users: of those for whom Principal.SecondFactor says so one is asked for, or they
	// have to set one up.
	Factors *factor.Factors

	// SignIn finds out whom a name and a password stand for, and by which stored hash. It returns auth.ErrInvalid if they
	// are nobody's, and leaves the event of that.
	SignIn func(ctx context.Context, username, password string) (who *auth.Principal, hash string, err error)
	// Limiter bounds how many user codes of devices may be tried, and how many clients may register. It may be nil.
	Limiter *auth.Limiter
	// Subject is a user, with what some scopes and the user's own rights have in common. It returns auth.ErrInvalid if
	// the user is gone or may not sign in.
	Subject func(ctx context.Context, user ulid.ULID, scopes []string) (*auth.Principal, error)

	// SetPassword prepares to set the password of a user, in their own name; then set does it in the transaction of its
	// context. Both return Invalid for a password that is not taken.
	SetPassword func(ctx context.Context, u *user.User, password string) (set func(ctx context.Context) error, err error)

	// Seen notes a request of the browser in which somebody has signed in. It may be nil.
	Seen func(ctx context.Context, who *auth.Principal)

	// NewSession opens a session, in the transaction that writes its first token: of a client, of a user through a
	// client, or, if the client is zero, of a user with a browser.
	NewSession func(ctx context.Context, actor *auth.Principal, client, user ulid.ULID) (session ulid.ULID, err error)
	// SessionActive reports whether a session has not ended; the tokens of one that has are refused.
	SessionActive func(ctx context.Context, session ulid.ULID) (bool, error)
	// EndSession ends the session of a token that is revoked or expired, in the transaction that revokes or
	// removes the token. It leaves a session that has ended or is gone.
	EndSession func(ctx context.Context, session ulid.ULID) error

	Lifetime        time.Duration    // of an access token; five minutes if zero
	RefreshLifetime time.Duration    // of a refresh token that is not used; thirty days if zero
	Clock           func() time.Time // time.Now if nil
}

// The paths that a [Server] serves, below the issuer. Programs of any origin may ask at the first two lists, without
// credentials of the browser (CORS); not so at the pages, which people look at (RFC 9700, 2.6).
var (
	DiscoveryPaths = []string{oidc.DiscoveryEndpoint, metadataPath}
	Paths          = []string{tokenPath, deviceAuthorizationPath, revocationPath, introspectionPath, registrationPath, userinfoPath, keysPath}
	PagePaths      = []string{authorizePath, devicePath, securityPath, scriptPath, passwordlink.Path}
)

const (
	authorizePath = "/authorize"
	devicePath    = "/device"
	securityPath  = "/account/security"
	scriptPath    = "/account/passkey.js"

	tokenPath               = "/oauth2/token"
	deviceAuthorizationPath = "/oauth2/device"
	registrationPath        = "/oauth2/registration"
	userinfoPath            = "/oauth2/userinfo"
	revocationPath          = "/oauth2/revoke"
	introspectionPath       = "/oauth2/introspect"
	keysPath                = "/oauth2/keys.json"
	metadataPath            = "/.well-known/oauth-authorization-server"
)

// grants are the grant types that are served.
var grants = []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken, oidc.GrantTypeClientCredentials, oidc.GrantTypeDeviceCode}

// Server is the authorization server: an http.Handler for [Paths] and [DiscoveryPaths], and the judge of the
// tokens that it gave out.
type Server struct {
	config    Config
	endpoints op.Endpoints
	protocol  http.Handler
	site      *factor.Site // nil if there are no passkeys
	prefix    string       // of paths, as browsers see them
}

// New makes an authorization server. It reads and writes nothing yet.
func New(config Config) (*Server, error) {
	if err := op.ValidateIssuer(config.Issuer, true); err != nil {
		return nil, fmt.Errorf("oauth: issuer %q: %w", config.Issuer, err)
	}
	if config.Lifetime == 0 {
		config.Lifetime = 5 * time.Minute
	}
	if config.RefreshLifetime == 0 {
		config.RefreshLifetime = 30 * 24 * time.Hour
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	s := &Server{config: config, endpoints: op.Endpoints{
		Token:               op.NewEndpoint(tokenPath),
		DeviceAuthorization: op.NewEndpoint(deviceAuthorizationPath),
		Revocation:          op.NewEndpoint(revocationPath),
		Introspection:       op.NewEndpoint(introspectionPath),
		JwksURI:             op.NewEndpoint(keysPath),
	}}
	issuer, err := url.Parse(config.Issuer)
	if err != nil {
		return nil, fmt.Errorf("oauth: issuer: %w", err)
	}
	s.prefix = issuer.Path
	if s.site, err = factor.NewSite(issuerName, issuer); err != nil {
		return nil, err
	}
	// Without options of its own the library lets any origin send credentials; the front decides about origins.
	s.protocol = op.RegisterServer(&protocol{server: s}, s.endpoints, op.WithServerCORSOptions(nil))
	return s, nil
}

// Exposed reports whether tokens travel in the clear to an issuer that others than this machine reach. RFC 8414,
// section 2, wants https; a network of one's own may do without.
func Exposed(issuer string) bool {
	u, err := url.Parse(issuer)
	return err == nil && u.Scheme != "https" && u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback()
}

// ServeHTTP answers a request for one of the paths. Every failure is a JSON object with the member error (RFC
// 6749, 5.2), on pages another page.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case authorizePath, devicePath, securityPath, passwordlink.Path:
		s.servePage(w, r)
	case scriptPath:
		serveScript(w, r)
	case tokenPath, deviceAuthorizationPath, revocationPath, introspectionPath:
		s.serveClient(w, r)
	case registrationPath:
		s.serveRegistration(w, r)
	case userinfoPath:
		s.serveUserinfo(w, r)
	case keysPath, oidc.DiscoveryEndpoint, metadataPath:
		s.servePublic(w, r)
	default:
		fail(w, r, invalid(http.StatusNotFound, "there is nothing at this path"))
	}
}

// servePublic serves documents that anybody may read.
func (s *Server) servePublic(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuseMethod(w, r, "GET, HEAD")
		return
	}
	if r.URL.Path == metadataPath { // RFC 8414 and OpenID Connect have one document under two names
		r = r.Clone(r.Context())
		r.URL.Path = oidc.DiscoveryEndpoint
	}
	s.protocol.ServeHTTP(w, r)
}

// serveClient serves the endpoints where a client authenticates itself. The library's own way there accepts
// more than the standards do, so this comes first: it reads the form and finds the client.
func (s *Server) serveClient(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	if r.Method != http.MethodPost {
		refuseMethod(w, r, "POST")
		return
	}
	if err := readForm(w, r); err != nil {
		fail(w, r, err)
		return
	}
	c, err := s.authenticate(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	if r.URL.Path == tokenPath {
		if grant := oidc.GrantType(r.PostForm.Get("grant_type")); grant != "" && !slices.Contains(grants, grant) {
			fail(w, r, oidc.ErrUnsupportedGrantType())
			return
		}
	}
	s.protocol.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), clientKey{}, c)))
}

// noStore keeps caches from keeping the answer (RFC 6749, 5.1, asks for both).
func noStore(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
}

// maxForm is how many bytes the form of a request may have.
const maxForm = 64 << 10

// readForm reads the form that a client sends. What stands in the query is left out, since URLs are logged
// (RFC 6749, 2.3.1).
func readForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	err := r.ParseForm()
	r.Form = r.PostForm
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return invalid(http.StatusRequestEntityTooLarge, "the form is too large")
	}
	if err != nil {
		return invalid(http.StatusBadRequest, "the form is malformed")
	}
	for _, values := range r.PostForm {
		if len(values) > 1 { // RFC 6749, 3.2
			return invalid(http.StatusBadRequest, "a parameter is given twice")
		}
	}
	return nil
}

// refuseMethod answers a request whose method the path does not serve.
func refuseMethod(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	fail(w, r, invalid(http.StatusMethodNotAllowed, "the methods here are "+allow))
}

// fail answers an error. A client that is not who it says is told how to say it (RFC 6749, 5.2).
func fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errClient) {
		w.Header().Set("WWW-Authenticate", `Basic realm="reeve", charset="UTF-8"`)
	}
	retryAfter(w, err)
	if broken := new(requestError); errors.As(err, &broken) {
		err = op.NewStatusError(oidc.ErrInvalidRequest().WithDescription("%s", broken.description), broken.status)
	}
	op.WriteError(w, r, err, nil)
}

// retryAfter says when to try again (RFC 9110, 10.2.3).
func retryAfter(w http.ResponseWriter, err error) {
	if seconds := resource.AllErrors(err).RetryAfter(); seconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
}

// requestError is a request that breaks the protocol.
type requestError struct {
	status      int
	description string
}

func (e *requestError) Error() string { return e.description }

func invalid(status int, description string) error { return &requestError{status, description} }

// internal turns an error of a store into one for a client: its text goes to the log alone.
func internal(err error) error {
	if resource.Is(err, resource.Unavailable, resource.Maintenance) {
		unavailable := &oidc.Error{ErrorType: "temporarily_unavailable", Parent: err}
		return op.NewStatusError(unavailable, http.StatusServiceUnavailable)
	}
	if resource.Is(err, resource.TooManyRequests) {
		limited := &oidc.Error{ErrorType: "too_many_requests", Description: "wait a while, then try again", Parent: err}
		return op.NewStatusError(limited, http.StatusTooManyRequests)
	}
	return oidc.ErrServerError().WithParent(err)
}
