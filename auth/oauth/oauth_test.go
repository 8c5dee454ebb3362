package oauth_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/oklog/ulid/v2"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"reeve/auth"
	"reeve/auth/oauth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/client"
	"reeve/resource/event"
	"reeve/resource/role"
	"reeve/resource/session"
	"reeve/resource/user"
	"reeve/storage"
	"reeve/storage/sqlite"
)

// The clients of all tests: two that may administrate, one for each way to send a secret, one that may not, and
// one without a secret.
var (
	scripts = client.Static{ClientID: "01J44RKQYM4G3TNVANTMTDYTX6", AuthMethod: client.SecretBasic, Secret: "phoo8ahneir3ohY2eigh4xuu6Oodaewi"}
	poster  = client.Static{ClientID: "poster", AuthMethod: client.SecretPost, Secret: "wie9oh2EekeeDeithei9Eipaeh2sohte"}
	odd     = client.Static{ClientID: "an odd: client%", AuthMethod: client.SecretBasic, Secret: "a+b %41:c&d=é f/g?"}
	public  = client.Static{ClientID: "public", AuthMethod: client.Public, RedirectURIs: []string{"http://127.0.0.1/"}}

	statics = []client.Static{scripts, poster, odd, public}
	admins  = []string{scripts.ClientID, poster.ClientID}
)

// logged is what all tests log.
var logged lockedBuffer

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	os.Exit(m.Run())
}

// world is an authorization server on a database of its own, and its clock.
type world struct {
	*httptest.Server
	oauth    *oauth.Server
	config   oauth.Config
	sessions resource.Store[session.Session]
	now      time.Time
	dir      string // of the files of its database
}

// newWorld starts a world on SQLite. With change the configuration of its server is another.
func newWorld(t *testing.T, change ...func(*oauth.Config)) *world {
	t.Helper()
	dir := t.TempDir()
	w := newWorldOn(t, sqlite.Dialect{}, "sqlite://"+filepath.Join(dir, "oauth.db"), change...)
	w.dir = dir
	return w
}

func newWorldOn(t *testing.T, dialect storage.Dialect, uri string, change ...func(*oauth.Config)) *world {
	t.Helper()
	w := &world{now: time.Date(2024, 7, 12, 12, 11, 46, 911578000, time.UTC)}
	db, err := storage.Open(t.Context(), dialect, uri, storage.Options{MasterKey: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if w.config.Database, err = storage.NewOutbox(db, event.Schema); err != nil {
		t.Fatal(err)
	}
	table(t, db, role.Schema)
	w.config.Users = table(t, db, user.Schema)
	w.config.Clients = table(t, db, client.Schema)
	w.sessions = table(t, db, session.Schema)
	w.config.Codes = table(t, db, oauth.CodeSchema)
	w.config.Refreshes = table(t, db, oauth.RefreshSchema)
	w.config.Browsers = table(t, db, oauth.BrowserSchema)
	w.config.Pending = table(t, db, oauth.PendingSchema)
	w.config.Devices = table(t, db, oauth.DeviceSchema)
	w.config.Consents = table(t, db, oauth.ConsentSchema)
	w.config.Tokens = table(t, db, oauth.TokenSchema)
	w.config.Keys = table(t, db, oauth.KeySchema)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.config.Clock = func() time.Time { return w.now }
	w.config.NewSession = func(ctx context.Context, _ *auth.Principal, client, user ulid.ULID) (ulid.ULID, error) {
		s := &session.Session{ID: ulid.Make(), Kind: session.OAuth2, Client: client, User: user, CreatedAt: w.now}
		return s.ID, w.sessions.Create(ctx, s)
	}
	w.config.SessionActive = func(ctx context.Context, id ulid.ULID) (bool, error) {
		s, err := w.sessions.Get(ctx, id)
		return err == nil && s.FinishedAt.IsZero(), err
	}
	w.config.EndSession = func(ctx context.Context, id ulid.ULID) error { return w.finish(ctx, id) }
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.oauth.ServeHTTP(rw, r) }))
	t.Cleanup(w.Close)
	w.config.Issuer = w.URL
	w.configure(t, admins, statics...)
	for _, change := range change {
		change(&w.config)
	}
	if w.oauth, err = oauth.New(w.config); err != nil {
		t.Fatal(err)
	}
	return w
}

func table[T any](t *testing.T, db *storage.DB, schema resource.Schema[T]) *storage.Table[T] {
	t.Helper()
	table, err := storage.NewTable(db, schema)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func (w *world) configure(t *testing.T, admins []string, statics ...client.Static) {
	t.Helper()
	if err := client.Configure(t.Context(), w.config.Database, w.config.Clients, w.now, statics, admins); err != nil {
		t.Fatal(err)
	}
}

func (w *world) finish(ctx context.Context, id ulid.ULID) error {
	_, err := w.sessions.Update(ctx, id, func(s *session.Session) error {
		if s.FinishedAt.IsZero() {
			s.FinishedAt = w.now
		}
		return nil
	})
	return err
}

// token gets a token by a client that was not written here.
func (w *world) token(t *testing.T, c client.Static, scopes ...string) *oauth2.Token {
	t.Helper()
	config := clientcredentials.Config{ClientID: c.ClientID, ClientSecret: c.Secret, TokenURL: w.URL + "/oauth2/token", Scopes: scopes, AuthStyle: oauth2.AuthStyleInHeader}
	if c.AuthMethod == client.SecretPost {
		config.AuthStyle = oauth2.AuthStyleInParams
	}
	token, err := config.Token(t.Context())
	if err != nil {
		t.Fatalf("%s gets no token: %v", c.ClientID, err)
	}
	return token
}

// principal is whom a token stands for.
func (w *world) principal(t *testing.T, token string) (*auth.Principal, error) {
	t.Helper()
	lookup := func(ctx context.Context, prefix string, hash []byte) (*auth.Principal, time.Time, error) {
		if prefix != auth.AccessToken {
			return nil, time.Time{}, auth.ErrInvalid
		}
		return w.oauth.Principal(ctx, hash)
	}
	authenticator := auth.NewAuthenticator(auth.Lookups{Token: lookup}, w.config.Clock)
	return authenticator.Authenticate(t.Context(), "Bearer "+token)
}

// answer is what the server answers, its body read as JSON.
type answer struct {
	*http.Response
	text string
	body map[string]any
}

// post sends a form, with Basic credentials if a client with a secret for that is given.
func (w *world) post(t *testing.T, path string, as client.Static, form string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+path, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if as.AuthMethod == client.SecretBasic {
		r.SetBasicAuth(url.QueryEscape(as.ClientID), url.QueryEscape(as.Secret))
	}
	return w.send(t, r)
}

func (w *world) get(t *testing.T, path string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.send(t, r)
}

func (w *world) send(t *testing.T, r *http.Request) answer {
	t.Helper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{Response: response, text: string(text)}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &a.body); err != nil {
			t.Fatalf("%s %s answers %q: %v", r.Method, r.URL, text, err)
		}
	}
	return a
}

func TestSchemas(t *testing.T) {
	if err := errors.Join(
		oauth.CodeSchema.Verify(), oauth.TokenSchema.Verify(), oauth.RefreshSchema.Verify(), oauth.BrowserSchema.Verify(), oauth.PendingSchema.Verify(),
		oauth.DeviceSchema.Verify(), oauth.KeySchema.Verify(),
	); err != nil {
		t.Error(err)
	}
}

func TestClientCredentials(t *testing.T) {
	w := newWorld(t)
	for _, c := range []client.Static{scripts, poster, odd} {
		var scopes []string
		var permissions []auth.Permission
		if c.ClientID != odd.ClientID {
			scopes, permissions = []string{auth.AdminScope}, []auth.Permission{{Type: auth.Any, Verb: auth.Any}}
		}
		token := w.token(t, c, scopes...)
		principal, err := w.principal(t, token.AccessToken)
		if err != nil {
			t.Fatal(err)
		}
		if principal.Type != "client" || principal.ID != client.ID(c.ClientID) || principal.Name != c.ClientID ||
			!slices.Equal(principal.Permissions, permissions) {
			t.Errorf("the token of %s stands for %+v", c.ClientID, principal)
		}
		s, err := w.sessions.Get(t.Context(), principal.Session)
		if err != nil || s.Client != principal.ID || s.User != (ulid.ULID{}) {
			t.Errorf("the session of the token is %+v, %v", s, err)
		}
	}
}

// TestSeed sends what the example of the seed mas-admin-api.txt does with curl.
func TestSeed(t *testing.T) {
	w := newWorld(t)
	r := httptest.NewRequest(http.MethodPost, "/oauth2/token", strings.NewReader("grant_type=client_credentials&scope=urn:mas:admin"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(scripts.ClientID, scripts.Secret)
	rec := httptest.NewRecorder()
	w.oauth.ServeHTTP(rec, r)
	var body map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil || rec.Code != http.StatusOK {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	if _, ok := auth.CheckToken(body["access_token"].(string)); !ok {
		t.Errorf("the token is %v", body["access_token"])
	}
	delete(body, "access_token")
	want := map[string]any{"token_type": "Bearer", "expires_in": 300.0, "scope": "urn:mas:admin"}
	if len(body) != len(want) || body["token_type"] != want["token_type"] || body["expires_in"] != want["expires_in"] || body["scope"] != want["scope"] {
		t.Errorf("the answer has besides the token %v", body)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "Pragma": "no-cache", "Content-Type": "application/json", "WWW-Authenticate": ""} {
		if got := rec.Header().Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
}

func TestScopes(t *testing.T) {
	w := newWorld(t)
	for asked, want := range map[string]string{
		"":                    "",
		"urn:mas:admin":       "urn:mas:admin",
		"urn:reeve:user:read": "urn:reeve:user:read",
		"urn:reeve:user:*  urn:reeve:user:* urn:mas:admin": "urn:reeve:user:* urn:mas:admin",
	} {
		got := w.post(t, "/oauth2/token", scripts, url.Values{"grant_type": {"client_credentials"}, "scope": {asked}}.Encode())
		if scope, _ := got.body["scope"].(string); got.StatusCode != http.StatusOK || scope != want {
			t.Errorf("scope %q: %d %v", asked, got.StatusCode, got.body["scope"])
		}
	}
	for _, asked := range []string{"openid", "urn:mas:admin openid", "urn:mas:Admin", "urn:reeve:user", "urn:reeve:user:\x00", "urn:matrix:client:api:*"} {
		got := w.post(t, "/oauth2/token", scripts, url.Values{"grant_type": {"client_credentials"}, "scope": {asked}}.Encode())
		if got.StatusCode != http.StatusBadRequest || got.body["error"] != "invalid_scope" {
			t.Errorf("scope %q: %d %v", asked, got.StatusCode, got.text)
		}
	}
	for _, asked := range []string{"urn:mas:admin", "urn:reeve:user:read"} {
		got := w.post(t, "/oauth2/token", odd, url.Values{"grant_type": {"client_credentials"}, "scope": {asked}}.Encode())
		if got.StatusCode != http.StatusBadRequest || got.body["error"] != "invalid_scope" {
			t.Errorf("scope %q of a client that is no administrator: %d %v", asked, got.StatusCode, got.text)
		}
	}
	principal, err := w.principal(t, w.token(t, scripts, "urn:reeve:user:read").AccessToken)
	if err != nil || !principal.May("user", "list") || principal.May("user", "lock") || principal.May("session", "list") {
		t.Errorf("a token with a narrow scope stands for %+v, %v", principal, err)
	}
}

// TestRefuses sends what must be refused to the three endpoints where clients authenticate.
func TestRefuses(t *testing.T) {
	w := newWorld(t)
	wrong, unknown, empty, lower := scripts, scripts, scripts, scripts
	wrong.Secret, unknown.ClientID, empty.Secret, lower.ClientID = poster.Secret, "unknown", "", strings.ToLower(scripts.ClientID)
	byPost := client.Static{AuthMethod: client.SecretPost}
	const grant = "grant_type=client_credentials"
	asPoster := "&client_id=poster&client_secret=" + poster.Secret
	for _, c := range []struct {
		name   string
		as     client.Static
		form   string
		status int
		code   string
	}{
		{"no credentials", byPost, grant, 401, "invalid_client"},
		{"wrong secret", wrong, grant, 401, "invalid_client"},
		{"unknown client", unknown, grant, 401, "invalid_client"},
		{"empty secret", empty, grant, 401, "invalid_client"},
		{"client_id in lower case", lower, grant, 401, "invalid_client"},
		{"wrong secret in the form", byPost, grant + "&client_id=poster&client_secret=x", 401, "invalid_client"},
		{"the form for a client of Basic", byPost, grant + "&client_id=" + scripts.ClientID + "&client_secret=" + scripts.Secret, 401, "invalid_client"},
		{"Basic for a client of the form", client.Static{ClientID: "poster", Secret: poster.Secret, AuthMethod: client.SecretBasic}, grant, 401, "invalid_client"},
		{"no secret for a client that has one", byPost, grant + "&client_id=poster", 401, "invalid_client"},
		{"a secret for a client without one", byPost, grant + "&client_id=public&client_secret=x", 401, "invalid_client"},
		{"Basic for a client without a secret", client.Static{ClientID: "public", AuthMethod: client.SecretBasic}, grant, 401, "invalid_client"},
		{"a hash as the secret", byPost, grant + "&client_id=poster&client_secret=" + hex.EncodeToString(auth.HashToken(poster.Secret)), 401, "invalid_client"},
		{"NUL as the client", byPost, grant + "&client_id=%00&client_secret=%ff", 401, "invalid_client"},
		{"two ways", scripts, grant + asPoster, 400, "invalid_request"},
		{"a parameter twice", byPost, grant + "&" + grant + asPoster, 400, "invalid_request"},
		{"a broken form", byPost, "grant_type=%zz" + asPoster, 400, "invalid_request"},
		{"a form too large", byPost, grant + asPoster + "&x=" + strings.Repeat("x", 1<<20), 413, "invalid_request"},
	} {
		for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
			checkError(t, path+" "+c.name, w.post(t, path, c.as, c.form+"&token=x"), c.status, c.code)
		}
	}
	for _, c := range []struct {
		name, path string
		as         client.Static
		form       string
		status     int
		code       string
	}{
		{"no grant", "/oauth2/token", scripts, "", 400, "invalid_request"},
		{"a grant that the client may not use", "/oauth2/token", client.Static{}, grant + "&client_id=public", 400, "unauthorized_client"},
		{"no token", "/oauth2/introspect", scripts, "", 400, "invalid_request"},
		{"no token", "/oauth2/revoke", scripts, "", 400, "invalid_request"},
		{"a client without a secret", "/oauth2/introspect", client.Static{}, "token=x&client_id=public", 401, "invalid_client"},
	} {
		checkError(t, c.path+" "+c.name, w.post(t, c.path, c.as, c.form), c.status, c.code)
	}
	for _, grant := range []string{
		"password", "implicit",
		"urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange", "\x00",
	} {
		got := w.post(t, "/oauth2/token", scripts, url.Values{"grant_type": {grant}, "code": {"x"}, "redirect_uri": {"x"}, "assertion": {"x"}}.Encode())
		checkError(t, grant, got, 400, "unsupported_grant_type")
	}

	// Credentials and parameters in a URL do not count.
	query := "?" + grant + asPoster
	checkError(t, "credentials in the query", w.post(t, "/oauth2/token"+query, client.Static{}, ""), 401, "invalid_client")
	checkError(t, "the grant in the query", w.post(t, "/oauth2/token?"+grant, scripts, ""), 400, "invalid_request")

	// A Basic header whose parts are not form-urlencoded.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+"/oauth2/token", strings.NewReader(grant))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(scripts.ClientID, "%zz")
	checkError(t, "a broken Basic header", w.send(t, r), 401, "invalid_client")
}

// checkError checks an error of the endpoints where clients authenticate.
func checkError(t *testing.T, name string, got answer, status int, code string) {
	t.Helper()
	if got.StatusCode != status || got.body["error"] != code {
		t.Errorf("%s: %d %s", name, got.StatusCode, got.text)
	}
	if challenge := got.Header.Get("WWW-Authenticate"); strings.HasPrefix(challenge, "Basic ") != (status == 401) {
		t.Errorf("%s: the challenge is %q", name, challenge)
	}
	if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: the header is %v", name, got.Header)
	}
}

func TestPathsAndMethods(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/oauth2/token", 405, "POST"}, {"OPTIONS", "/oauth2/revoke", 405, "POST"}, {"PUT", "/oauth2/introspect", 405, "POST"},
		{"POST", "/oauth2/keys.json", 405, "GET, HEAD"}, {"DELETE", "/.well-known/openid-configuration", 405, "GET, HEAD"},
		{"GET", "/oauth2/device", 405, "POST"}, {"GET", "/oauth2/registration", 405, "POST"}, {"PUT", "/oauth2/userinfo", 405, "GET, POST"}, {"GET", "/healthz", 404, ""},
		{"GET", "/ready", 404, ""}, {"POST", "/oauth2/token/", 404, ""}, {"GET", "/", 404, ""},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, w.URL+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := w.send(t, r)
		if got.StatusCode != c.status || got.Header.Get("Allow") != c.allow || got.body["error"] != "invalid_request" {
			t.Errorf("%s %s: %d %v %s", c.method, c.path, got.StatusCode, got.Header, got.text)
		}
	}
	for _, path := range slices.Concat(oauth.Paths, oauth.DiscoveryPaths) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, w.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.send(t, r); got.StatusCode == http.StatusNotFound {
			t.Errorf("nothing is at %s", path)
		}
	}
}

func TestTokenEnds(t *testing.T) {
	w := newWorld(t)
	works := func(name, token string, want bool) {
		t.Helper()
		_, err := w.principal(t, token)
		if want && err != nil || !want && !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		got := w.post(t, "/oauth2/introspect", scripts, "token="+token)
		if got.StatusCode != http.StatusOK || got.body["active"] != want || !want && len(got.body) != 1 {
			t.Errorf("%s: introspection answers %s", name, got.text)
		}
	}
	expires := w.token(t, scripts, auth.AdminScope).AccessToken
	w.now = w.now.Add(5*time.Minute - time.Microsecond)
	works("just before it expires", expires, true)
	w.now = w.now.Add(time.Microsecond)
	works("expired", expires, false)

	finished := w.token(t, scripts).AccessToken
	principal, err := w.principal(t, finished)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.finish(t.Context(), principal.Session); err != nil {
		t.Fatal(err)
	}
	works("session finished", finished, false)

	revoked, other := w.token(t, scripts).AccessToken, w.token(t, scripts).AccessToken
	principal, err = w.principal(t, revoked)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.post(t, "/oauth2/revoke", scripts, "token="+revoked); got.StatusCode != http.StatusOK || got.text != "" {
		t.Errorf("revocation answers %d %q", got.StatusCode, got.text)
	}
	works("revoked", revoked, false)
	works("another", other, true)
	if s, err := w.sessions.Get(t.Context(), principal.Session); err != nil || !s.FinishedAt.Equal(w.now) {
		t.Errorf("the session of a revoked token is %+v, %v", s, err)
	}
	works("unknown", auth.NewToken(auth.AccessToken), false)
	works("of another kind", auth.NewToken(auth.PersonalToken), false)
	works("mistyped", other+"x", false)

	w.configure(t, nil, statics...)
	if principal, err := w.principal(t, w.token(t, scripts).AccessToken); err != nil || len(principal.Permissions) != 0 {
		t.Errorf("a token of a client that may not administrate stands for %+v, %v", principal, err)
	}
	gone := w.token(t, poster).AccessToken
	works("client there", gone, true)
	w.configure(t, admins[:1], scripts)
	works("client gone", gone, false)
}

// TestAdminTaken takes the right to administrate from a client that has a token.
func TestAdminTaken(t *testing.T) {
	w := newWorld(t)
	token := w.token(t, scripts, auth.AdminScope).AccessToken
	if principal, err := w.principal(t, token); err != nil || !principal.May("user", "lock") {
		t.Fatalf("%+v, %v", principal, err)
	}
	w.configure(t, nil, statics...)
	if principal, err := w.principal(t, token); err != nil || principal.May("user", "lock") {
		t.Errorf("%+v, %v", principal, err)
	}
}

func TestRevoke(t *testing.T) {
	w := newWorld(t)
	token := w.token(t, scripts).AccessToken
	for _, c := range []struct {
		name   string
		as     client.Static
		form   string
		status int
		code   any
	}{
		{"another client's", client.Static{}, "token=" + token + "&client_id=public", 400, "invalid_grant"},
		{"what is none", scripts, "token=x", 200, nil},
		{"an unknown one", scripts, "token=" + auth.NewToken(auth.AccessToken), 200, nil},
		{"one's own, with a wrong hint", scripts, "token_type_hint=refresh_token&token=" + token, 200, nil},
		{"one that is revoked", scripts, "token=" + token, 200, nil},
	} {
		if _, err := w.principal(t, token); (err == nil) != (c.name != "one that is revoked") {
			t.Errorf("before revoking %s: %v", c.name, err)
		}
		if got := w.post(t, "/oauth2/revoke", c.as, c.form); got.StatusCode != c.status || got.body["error"] != c.code {
			t.Errorf("revoking %s: %d %s", c.name, got.StatusCode, got.text)
		}
	}
	if _, err := w.principal(t, token); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("a revoked token: %v", err)
	}
}

func TestIntrospect(t *testing.T) {
	w := newWorld(t)
	token := w.token(t, scripts, "urn:reeve:user:read", "urn:reeve:session:read").AccessToken
	got := w.post(t, "/oauth2/introspect", odd, "token="+token)
	want := map[string]any{
		"active": true, "scope": "urn:reeve:user:read urn:reeve:session:read", "client_id": scripts.ClientID, "token_type": "Bearer",
		"iss": w.URL, "sub": scripts.ClientID, "iat": float64(w.now.Unix()), "exp": float64(w.now.Add(5 * time.Minute).Unix()),
	}
	for name, value := range want {
		if got.body[name] != value {
			t.Errorf("%s is %v", name, got.body[name])
		}
	}
	if len(got.body) != len(want) {
		t.Errorf("introspection answers %s", got.text)
	}
}

func TestPrune(t *testing.T) {
	w := newWorld(t)
	var sessions []ulid.ULID
	for range 130 {
		principal, err := w.principal(t, w.token(t, odd).AccessToken)
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, principal.Session)
	}
	w.now = w.now.Add(4 * time.Minute)
	kept := w.token(t, odd).AccessToken
	if n, err := w.oauth.Prune(t.Context()); n != 0 || err != nil {
		t.Errorf("Prune removes %d tokens that are valid, %v", n, err)
	}
	w.now = w.now.Add(2 * time.Minute)
	for _, want := range []int{100, 30, 0} {
		if n, err := w.oauth.Prune(t.Context()); n != want || err != nil {
			t.Errorf("Prune = %d, %v", n, err)
		}
	}
	page, err := w.config.Tokens.List(t.Context(), resource.Query{Window: pagination.First(1)})
	if err != nil || page.Total != 1 {
		t.Errorf("%d tokens are left, %v", page.Total, err)
	}
	if _, err := w.principal(t, kept); err != nil {
		t.Error(err)
	}
	for _, id := range sessions {
		if s, err := w.sessions.Get(t.Context(), id); err != nil || s.FinishedAt.IsZero() {
			t.Fatalf("the session of an expired token is %+v, %v", s, err)
		}
	}
}

// TestKeys asks two servers on one database for their keys at once: they have one, and show its public half.
func TestKeys(t *testing.T) { checkKeys(t, newWorld(t)) }

func checkKeys(t *testing.T, w *world) {
	t.Helper()
	second, err := oauth.New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	texts := make([]string, 4)
	var wg sync.WaitGroup
	for i := range texts {
		wg.Go(func() {
			rec := httptest.NewRecorder()
			[]http.Handler{w.oauth, second}[i%2].ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/oauth2/keys.json", nil))
			texts[i] = rec.Body.String()
		})
	}
	wg.Wait()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(texts[0]), &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("the keys are %s, %v", texts[0], err)
	}
	key := set.Keys[0]
	if !key.IsPublic() || !key.Valid() || key.Use != "sig" || key.Algorithm != "RS256" || key.KeyID == "" {
		t.Errorf("the key is %s", texts[0])
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("the servers have different keys: %s and %s", texts[0], text)
		}
	}
}

func TestDiscovery(t *testing.T) {
	w := newWorld(t)
	got, same := w.get(t, "/.well-known/openid-configuration"), w.get(t, "/.well-known/oauth-authorization-server")
	if got.StatusCode != http.StatusOK || got.text != same.text {
		t.Errorf("the two documents are %q and %q", got.text, same.text)
	}
	want := `{
		"issuer": "ISSUER", "authorization_endpoint": "ISSUER/authorize", "device_authorization_endpoint": "ISSUER/oauth2/device",
		"token_endpoint": "ISSUER/oauth2/token", "introspection_endpoint": "ISSUER/oauth2/introspect",
		"revocation_endpoint": "ISSUER/oauth2/revoke", "registration_endpoint": "ISSUER/oauth2/registration",
		"userinfo_endpoint": "ISSUER/oauth2/userinfo", "jwks_uri": "ISSUER/oauth2/keys.json",
		"scopes_supported": ["urn:mas:admin", "openid", "profile", "email", "offline_access"],
		"response_types_supported": ["code"], "response_modes_supported": ["query"],
		"grant_types_supported": ["authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:device_code"],
		"subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
		"token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
		"revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
		"introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
		"claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "amr", "nonce", "preferred_username", "name", "email"],
		"code_challenge_methods_supported": ["S256"], "authorization_response_iss_parameter_supported": true,
		"request_uri_parameter_supported": false
	}`
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(strings.ReplaceAll(want, "ISSUER", w.URL))); err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := errors.Join(json.Unmarshal(compact.Bytes(), &a), json.Unmarshal([]byte(got.text), &b)); err != nil {
		t.Fatal(err)
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	if !bytes.Equal(x, y) {
		t.Errorf("the metadata are %s\nwant %s", y, x)
	}
}

func TestIssuer(t *testing.T) {
	for issuer, ok := range map[string]bool{
		"https://reeve.example.com": true, "https://reeve.example.com/estate/": true, "http://127.0.0.1:8080": true,
		"http://localhost": true, "http://[::1]:8080/": true, "": false, "reeve.example.com": false, "http://reeve.example.com": true,
		"https://reeve.example.com?x=y": false, "https://reeve.example.com/#x": false, "ftp://localhost": false, "http://%zz": false,
	} {
		if _, err := oauth.New(oauth.Config{Issuer: issuer}); (err == nil) != ok {
			t.Errorf("issuer %q: %v", issuer, err)
		}
	}
	for issuer, exposed := range map[string]bool{
		"https://reeve.example.com": false, "http://127.0.0.1:8080": false, "http://localhost": false, "http://[::1]": false, "http://reeve.example.com": true,
	} {
		if oauth.Exposed(issuer) != exposed {
			t.Errorf("issuer %q", issuer)
		}
	}
}

// failing is a store of a database that is gone or broken.
type failing[T any] struct {
	resource.Store[T]
	err error
}

func (f failing[T]) Get(context.Context, ulid.ULID) (*T, error) { return nil, f.err }
func (f failing[T]) List(context.Context, resource.Query) (resource.Page[T], error) {
	return resource.Page[T]{}, f.err
}
func (f failing[T]) Create(context.Context, ...*T) error { return f.err }

// TestDatabaseFails checks that clients learn nothing of what went wrong inside, and that it is no 401.
func TestDatabaseFails(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{errors.New("relation secret_table does not exist"), 500, "server_error"},
		{resource.Errorf(resource.Unavailable, "secret_table is gone"), 503, "temporarily_unavailable"},
	} {
		clients := newWorld(t, func(config *oauth.Config) { config.Clients = failing[client.Client]{config.Clients, c.err} })
		tokens := newWorld(t, func(config *oauth.Config) { config.Tokens = failing[oauth.AccessToken]{config.Tokens, c.err} })
		keys := newWorld(t, func(config *oauth.Config) { config.Keys = failing[oauth.Key]{config.Keys, c.err} })
		for name, got := range map[string]answer{
			"clients":            clients.post(t, "/oauth2/token", scripts, "grant_type=client_credentials"),
			"tokens":             tokens.post(t, "/oauth2/token", scripts, "grant_type=client_credentials"),
			"tokens, introspect": tokens.post(t, "/oauth2/introspect", scripts, "token="+auth.NewToken(auth.AccessToken)),
			"tokens, revoke":     tokens.post(t, "/oauth2/revoke", scripts, "token="+auth.NewToken(auth.AccessToken)),
			"keys":               keys.get(t, "/oauth2/keys.json"),
		} {
			if got.StatusCode != c.status || got.body["error"] != c.code || strings.Contains(got.text, "secret_table") {
				t.Errorf("%s: %d %s", name, got.StatusCode, got.text)
			}
		}
		if page, err := tokens.sessions.List(t.Context(), resource.Query{Window: pagination.First(1)}); err != nil || page.Total != 0 {
			t.Errorf("%d sessions of tokens that could not be written, %v", page.Total, err)
		}
		if _, _, err := tokens.oauth.Principal(t.Context(), auth.HashToken("x")); !errors.Is(err, c.err) {
			t.Errorf("Principal: %v", err)
		}
		if _, err := tokens.oauth.Prune(t.Context()); !errors.Is(err, c.err) {
			t.Errorf("Prune: %v", err)
		}
	}
}

// TestSessionFails has the session of a token fail: then there is no token either.
func TestSessionFails(t *testing.T) {
	w := newWorld(t, func(c *oauth.Config) {
		c.NewSession = func(context.Context, *auth.Principal, ulid.ULID, ulid.ULID) (ulid.ULID, error) {
			return ulid.ULID{}, errors.New("no")
		}
	})
	if got := w.post(t, "/oauth2/token", scripts, "grant_type=client_credentials"); got.StatusCode != 500 || got.body["access_token"] != nil {
		t.Errorf("%d %s", got.StatusCode, got.text)
	}
	page, err := w.config.Tokens.List(t.Context(), resource.Query{Window: pagination.First(1)})
	if err != nil || page.Total != 0 {
		t.Errorf("%d tokens were written, %v", page.Total, err)
	}
}

// TestNothingSecretIsKept looks for secrets in the log and in the files of the database, after tokens were got,
// refused, introspected and revoked.
func TestNothingSecretIsKept(t *testing.T) {
	w := newWorld(t)
	wrong := scripts
	wrong.Secret = "a-secret-that-is-wrong"
	token := w.token(t, poster, auth.AdminScope).AccessToken
	w.get(t, "/oauth2/keys.json")
	for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
		for _, as := range []client.Static{scripts, wrong, odd} {
			w.post(t, path, as, "grant_type=client_credentials&token="+token)
			w.post(t, path, as, "grant_type=client_credentials&scope=urn:x&token="+token+"&client_secret="+poster.Secret)
		}
	}
	keys, err := w.config.Keys.List(t.Context(), resource.Query{Window: pagination.First(1)})
	if err != nil || len(keys.Rows) != 1 {
		t.Fatalf("%d keys, %v", len(keys.Rows), err)
	}
	private := strings.Split(keys.Rows[0].Private, "\n")[1]

	places := map[string]string{"the log": logged.String()}
	files, err := os.ReadDir(w.dir)
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(w.dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		places["the database"] += string(text)
	}
	if !strings.Contains(places["the log"], "invalid_client") || !strings.Contains(places["the database"], hex.EncodeToString(auth.HashToken(token))) {
		t.Fatal("the log lacks the refused clients, or the database the hash of a token")
	}
	for name, place := range places {
		for _, secret := range []string{scripts.Secret, poster.Secret, odd.Secret, url.QueryEscape(odd.Secret), wrong.Secret, token, private} {
			if strings.Contains(place, secret) {
				t.Errorf("%s has the secret %q", name, secret)
			}
		}
	}
}

// lockedBuffer is a buffer that several goroutines write.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
