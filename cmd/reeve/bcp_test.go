package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"reeve/auth"
	"reeve/fixtures"
)

// bestPractice is RFC 9700, the security best current practice of OAuth 2.0, as far as it is about authorization servers:
// a test for each clause. Two of its recommendations are not followed: access tokens are not bound to a key of their
// client (2.2.1), and clients that have a secret show it, instead of signing by a key (2.5). Requests that nobody is to be
// asked about (prompt=none) are answered to clients that registered themselves too, as OpenID has it (4.11.2).
var bestPractice = []struct {
	clause string
	test   func(t *testing.T, s *server)
}{
	{"2.1 redirect URIs are compared exactly", testRedirects},
	{"2.1.1 PKCE is required, by S256", testChallenges},
	{"2.1.1 a code is for whoever has the verifier", testVerifiers},
	{"2.1.2 there are no tokens in the answer of the authorization endpoint", testNoImplicit},
	{"2.2.2 refresh tokens are good for one time", testRefreshReuse},
	{"2.3 a token is for what it was granted", testNarrowRefresh},
	{"2.4 passwords are for the server alone", testNoPasswordGrant},
	{"2.6 the metadata tell what clients need, and pages of other sites do not reach the authorization endpoint", testCrossOrigin},
	{"4.2 nothing tells other sites of the code, which is good for one time", testCodeReplay},
	{"4.3 tokens do not stand in URLs", testTokensInURLs},
	{"4.4 the answer names who gives it", testMixUp},
	{"4.5 a code of one client is for no other", testCodeInjection},
	{"4.7 no other site sends the forms", testForgedForms},
	{"4.8 PKCE cannot be left out afterwards", testDowngrade},
	{"4.11 the server redirects to clients only", testOpenRedirect},
	{"4.12 forms are not sent on", testSeeOther},
	{"4.13 who says that it is a proxy is not believed", testForwarded},
	{"4.14 refresh tokens end with the session, the password and the account", testRefreshEnds},
	{"4.15 no client can have the id of a user", testClientIDs},
	{"4.16 no other site shows the pages", testFraming},
}

func TestBestCurrentPractice(t *testing.T) {
	s := start(t, sqliteURI(t), everything+seedClients)
	for _, practice := range bestPractice {
		t.Run(practice.clause, func(t *testing.T) {
			here := *s
			here.T = t
			practice.test(t, &here)
		})
	}
}

// verifier is a code verifier for tests that need no other.
const verifier = "a-code-verifier-of-at-least-43-characters-for-tests"

// asking has the user be asked though they have been before.
var asking = oauth2.SetAuthURLParam("prompt", "consent")

// code has the demo's administrator give a client a code.
func (s *server) code(c *oauth2.Config) string {
	return s.browser().consent(c, oauth2.S256ChallengeOption(verifier)).Query().Get("code")
}

// authorize asks for a client's code with other parameters, signs the demo's administrator in if they are asked to, and
// returns where the browser is sent; nil if nowhere.
func (s *server) authorize(c *oauth2.Config, parameters ...string) (*url.URL, view) {
	s.Helper()
	u, err := url.Parse(c.AuthCodeURL("x", oauth2.S256ChallengeOption(verifier)))
	if err != nil {
		s.Fatal(err)
	}
	query := u.Query()
	for i := 0; i < len(parameters); i += 2 {
		if query.Del(parameters[i]); parameters[i+1] != "" {
			query.Set(parameters[i], parameters[i+1])
		}
	}
	u.RawQuery = query.Encode()
	b := s.browser()
	v := b.visit(u.String())
	if strings.Contains(v.text, `name="password"`) {
		v = b.signIn(v)
	}
	return v.away, v
}

// post sends a form of the public client.
func (s *server) post(path string, form url.Values) answer {
	s.Helper()
	form.Set("client_id", "terminal")
	return s.send("POST", path, form.Encode(), "Authorization: ", "Content-Type: application/x-www-form-urlencoded")
}

func (s *server) lists(token string) int {
	s.Helper()
	return s.send("GET", "/api/admin/v1/users?page[first]=1", nil, "Authorization: Bearer "+token).StatusCode
}

func testRedirects(t *testing.T, s *server) {
	for _, c := range []struct {
		client oauth2.Config
		uri    string
		taken  bool
	}{
		{pageClient, pageClient.RedirectURL, true},
		{pageClient, "", false},
		{pageClient, pageClient.RedirectURL + "/", false},
		{pageClient, pageClient.RedirectURL + "?x", false},
		{pageClient, pageClient.RedirectURL + "/../x", false},
		{pageClient, pageClient.RedirectURL + "#x", false},
		{pageClient, strings.ToUpper(pageClient.RedirectURL), false},
		{pageClient, strings.Replace(pageClient.RedirectURL, "https", "http", 1), false},
		{pageClient, strings.Replace(pageClient.RedirectURL, "mas.", "mas.example.com@evil.", 1), false},
		{pageClient, strings.Replace(pageClient.RedirectURL, ".com/", ".com:443/", 1), false},
		{pageClient, strings.Replace(pageClient.RedirectURL, "/doc/", "/%64oc/", 1), false},
		{pageClient, scriptsClient.RedirectURL, false},
		{terminalClient, "http://127.0.0.1/back", true},
		{terminalClient, "http://127.0.0.1:1/back", true},
		{terminalClient, "com.example.terminal:/back", true},
		{terminalClient, "http://127.0.0.1:1/other", false},
		{terminalClient, "http://127.0.0.2:1/back", false},
		{terminalClient, "http://localhost:1/back", false},
		{terminalClient, "https://127.0.0.1/back", false},
		{terminalClient, "http://127.0.0.1:1@evil.example.com/back", false},
		{terminalClient, "http://user@127.0.0.1:1/back", false},
		{terminalClient, "com.example.terminal://evil/back", false},
	} {
		away, v := s.authorize(s.oauthClient(c.client), "redirect_uri", c.uri)
		if away != nil || (v.StatusCode == 200) != c.taken || !c.taken && v.StatusCode != 400 {
			t.Errorf("%s with %q: %d, to %s", c.client.ClientID, c.uri, v.StatusCode, away)
		}
	}
}

func testChallenges(t *testing.T, s *server) {
	for _, parameters := range [][]string{
		{"code_challenge", ""}, {"code_challenge", "", "code_challenge_method", ""}, {"code_challenge_method", ""}, {"code_challenge_method", "plain"},
		{"code_challenge_method", "s256"}, {"code_challenge", "short"}, {"code_challenge", strings.Repeat("!", 43)}, {"code_challenge", strings.Repeat("A", 44)},
	} {
		for _, c := range []oauth2.Config{pageClient, terminalClient} {
			if away, v := s.authorize(s.oauthClient(c), parameters...); away == nil || away.Query().Get("error") != "invalid_request" {
				t.Errorf("%s with %q: %d, to %s", c.ClientID, parameters, v.StatusCode, away)
			}
		}
	}
}

func testVerifiers(t *testing.T, s *server) {
	c := s.oauthClient(terminalClient)
	code := s.code(c)
	for _, wrong := range []string{"", "short", verifier + "x", oauth2.S256ChallengeFromVerifier(verifier), strings.Repeat("x", 200)} {
		if _, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(wrong)); errorCode(err) != "invalid_grant" {
			t.Errorf("verifier %q: %v", wrong, err)
		}
	}
	if _, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier)); err != nil {
		t.Error(err)
	}
}

func testNoImplicit(t *testing.T, s *server) {
	for _, responseType := range []string{"token", "id_token", "id_token token", "code token", "code id_token", "none"} {
		if away, v := s.authorize(s.oauthClient(pageClient), "response_type", responseType); away == nil || away.Query().Get("error") != "unsupported_response_type" || away.Fragment != "" {
			t.Errorf("%s: %d, to %s", responseType, v.StatusCode, away)
		}
	}
	for _, parameters := range [][]string{{"response_type", ""}, {"response_mode", "fragment"}, {"response_mode", "form_post"}, {"max_age", "x"}, {"prompt", "none login"}} {
		if away, v := s.authorize(s.oauthClient(pageClient), parameters...); away == nil || away.Query().Get("error") != "invalid_request" || away.Fragment != "" {
			t.Errorf("%q: %d, to %s", parameters, v.StatusCode, away)
		}
	}
}

func testRefreshReuse(t *testing.T, s *server) {
	c := s.oauthClient(terminalClient, auth.AdminScope)
	first := s.browser().tokens(c)
	refresh := func(token string) (*oauth2.Token, error) {
		return c.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token}).Token()
	}
	second, err := refresh(first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	third, err := refresh(second.RefreshToken)
	if err != nil || s.lists(third.AccessToken) != 200 {
		t.Fatal(err)
	}
	if _, err := refresh(first.RefreshToken); errorCode(err) != "invalid_grant" {
		t.Errorf("a former token: %v", err)
	}
	if _, err := refresh(third.RefreshToken); errorCode(err) != "invalid_grant" {
		t.Errorf("the newest token, after a former one came again: %v", err)
	}
	for _, token := range []*oauth2.Token{first, second, third} {
		if status := s.lists(token.AccessToken); status != 401 {
			t.Errorf("an access token of the family: %d", status)
		}
	}
	if s.count("SELECT count(*) FROM events WHERE verb = 'reuse-refresh-token'") != 1 {
		t.Error("no event tells of it")
	}
}

func testNarrowRefresh(t *testing.T, s *server) {
	c := s.oauthClient(terminalClient, "urn:reeve:user:read", "urn:reeve:session:read")
	token := s.browser().tokens(c)
	refresh := func(token, scope string) answer {
		return s.post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "scope": {scope}})
	}
	if a := refresh(token.RefreshToken, auth.AdminScope); a.document["error"] != "invalid_scope" {
		t.Errorf("more than was granted: %s", a.text)
	}
	narrow := refresh(token.RefreshToken, "urn:reeve:session:read")
	if narrow.document["scope"] != "urn:reeve:session:read" || s.lists(fmt.Sprint(narrow.document["access_token"])) != 403 {
		t.Errorf("less than was granted: %s", narrow.text)
	}
	if again := refresh(fmt.Sprint(narrow.document["refresh_token"]), ""); again.document["scope"] != "urn:reeve:user:read urn:reeve:session:read" {
		t.Errorf("all again: %s", again.text)
	}
	if a := s.send("POST", "/api/admin/v1/users", resourceDocument("user", "", map[string]any{"username": "x"}, nil), "Authorization: Bearer "+token.AccessToken); a.StatusCode != 403 {
		t.Errorf("a token for reading writes: %d", a.StatusCode)
	}
}

func testNoPasswordGrant(t *testing.T, s *server) {
	a := s.post("/oauth2/token", url.Values{"grant_type": {"password"}, "username": {fixtures.DemoAdministrator}, "password": {fixtures.DemoPassword}})
	if a.document["error"] != "unsupported_grant_type" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}

func testCrossOrigin(t *testing.T, s *server) {
	for path, want := range map[string]string{
		"/oauth2/token": "*", "/oauth2/revoke": "*", "/oauth2/userinfo": "*", "/oauth2/keys.json": "*", "/oauth2/registration": "*",
		"/.well-known/oauth-authorization-server": "*", "/authorize": "", "/device": "", "/api/admin/v1/users": "",
	} {
		a := s.send("GET", path, nil, "Origin: https://evil.example.com", "Authorization: ")
		if a.Header.Get("Access-Control-Allow-Origin") != want || a.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %v", path, a.Header)
		}
	}
	metadata := s.send("GET", "/.well-known/oauth-authorization-server", nil).document
	if fmt.Sprint(metadata["code_challenge_methods_supported"]) != "[S256]" || metadata["authorization_response_iss_parameter_supported"] != true {
		t.Errorf("the metadata are %v", metadata)
	}
}

func testCodeReplay(t *testing.T, s *server) {
	c := s.oauthClient(pageClient, auth.AdminScope)
	away, v := s.authorize(c)
	if away != nil || v.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%v", v.Header)
	}
	code := s.code(c)
	token, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	if err != nil || s.lists(token.AccessToken) != 200 {
		t.Fatal(err)
	}
	if _, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier)); errorCode(err) != "invalid_grant" {
		t.Errorf("a code that was used: %v", err)
	}
	if status := s.lists(token.AccessToken); status != 401 {
		t.Errorf("the token of a code that was used twice: %d", status)
	}
	if _, err := c.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token(); errorCode(err) != "invalid_grant" {
		t.Errorf("the refresh token of a code that was used twice: %v", err)
	}
	if s.count("SELECT count(*) FROM events WHERE verb = 'replay-code'") != 1 {
		t.Error("no event tells of it")
	}
}

func testTokensInURLs(t *testing.T, s *server) {
	token := s.browser().tokens(s.oauthClient(terminalClient, auth.AdminScope, "openid"))
	if a := s.send("GET", "/oauth2/userinfo?access_token="+token.AccessToken, nil, "Authorization: "); a.StatusCode != 401 || a.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("userinfo: %d", a.StatusCode)
	}
	if a := s.send("GET", "/api/admin/v1/users?access_token="+token.AccessToken, nil, "Authorization: "); a.StatusCode < 400 {
		t.Errorf("the API: %d", a.StatusCode)
	}
	if a := s.send("POST", "/oauth2/token?grant_type=refresh_token&client_id=terminal&refresh_token="+token.RefreshToken, "", "Authorization: ", "Content-Type: application/x-www-form-urlencoded"); a.StatusCode == 200 {
		t.Errorf("refreshing: %d", a.StatusCode)
	}
}

func testMixUp(t *testing.T, s *server) {
	c := s.oauthClient(scriptsClient)
	if away := s.browser().consent(c, oauth2.S256ChallengeOption(verifier)); away.Query().Get("iss") != s.issuer() || away.Query().Get("kept") != "1" {
		t.Errorf("the answer is %s", away)
	}
	if away, _ := s.authorize(c, "scope", "unknown"); away == nil || away.Query().Get("error") != "invalid_scope" || away.Query().Get("iss") != s.issuer() || away.Query().Get("state") != "x" {
		t.Errorf("the refusal is %s", away)
	}
}

func testCodeInjection(t *testing.T, s *server) {
	code := s.code(s.oauthClient(pageClient))
	for _, thief := range []oauth2.Config{scriptsClient, terminalClient} {
		for _, uri := range []string{thief.RedirectURL, pageClient.RedirectURL} {
			c := s.oauthClient(thief)
			c.RedirectURL = uri
			if _, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier)); errorCode(err) != "invalid_grant" {
				t.Errorf("%s has the code of another: %v", c.ClientID, err)
			}
		}
	}
	other := s.oauthClient(pageClient)
	other.RedirectURL += "?x"
	if _, err := other.Exchange(t.Context(), code, oauth2.VerifierOption(verifier)); errorCode(err) != "invalid_grant" {
		t.Errorf("another redirect URI: %v", err)
	}
	token := s.browser().tokens(s.oauthClient(pageClient))
	if _, err := s.oauthClient(scriptsClient).TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token(); errorCode(err) != "invalid_grant" {
		t.Errorf("the refresh token of another: %v", err)
	}
}

func testForgedForms(t *testing.T, s *server) {
	b, c := s.browser(), s.oauthClient(pageClient, auth.AdminScope)
	address := c.AuthCodeURL("x", oauth2.S256ChallengeOption(verifier), asking)
	signIn := url.Values{"do": {"sign-in"}, "username": {fixtures.DemoAdministrator}, "password": {fixtures.DemoPassword}}
	send := func(form url.Values, headers ...string) view {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, header := range headers {
			name, value, _ := strings.Cut(header, ": ")
			r.Header.Set(name, value)
		}
		return b.load(r)
	}
	elsewhere := [][]string{{"Sec-Fetch-Site: cross-site"}, {"Sec-Fetch-Site: same-site"}, {"Origin: https://evil.example.com"}, {"Origin: null"}}
	for _, headers := range elsewhere { // somebody is to be signed in as somebody else
		if v := send(signIn, headers...); v.StatusCode != 403 || len(b.jar.Cookies(v.Request.URL)) != 0 {
			t.Errorf("a sign-in form with %q: %d", headers, v.StatusCode)
		}
	}
	page := b.signIn(b.visit(address))
	token := formToken(page)
	for _, headers := range elsewhere {
		if v := send(url.Values{"do": {"allow"}, "token": {token}}, headers...); v.StatusCode != 403 || v.away != nil {
			t.Errorf("consent with %q: %d", headers, v.StatusCode)
		}
	}
	other := s.browser()
	for _, token := range []string{"", token[1:], formToken(other.signIn(other.visit(address)))} {
		if v := send(url.Values{"do": {"allow"}, "token": {token}}); v.StatusCode != 403 || v.away != nil {
			t.Errorf("consent with the token %q: %d", token, v.StatusCode)
		}
		if v := send(url.Values{"do": {"sign-out"}, "token": {token}}); v.StatusCode != 403 {
			t.Errorf("signing out with the token %q: %d", token, v.StatusCode)
		}
	}
	// A client may send its request as a form: that is none of the server's, and nothing is decided by it.
	if v := send(url.Values{"client_id": {"x"}}, elsewhere[0]...); v.StatusCode != 400 || v.away != nil {
		t.Errorf("the request of a client, as a form: %d", v.StatusCode)
	}
	if v := b.submit(page, "do", "allow"); v.away == nil || v.away.Query().Get("code") == "" {
		t.Errorf("the form itself: %d", v.StatusCode)
	}
	for _, cookie := range page.Request.Response.Cookies() {
		if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" {
			t.Errorf("the cookie is %v", cookie)
		}
	}
}

func testDowngrade(t *testing.T, s *server) {
	c := s.oauthClient(pageClient)
	code := s.code(c)
	if _, err := c.Exchange(t.Context(), code); errorCode(err) != "invalid_grant" {
		t.Errorf("no verifier: %v", err)
	}
}

func testOpenRedirect(t *testing.T, s *server) {
	for _, parameters := range [][]string{
		{"client_id", "nobody"}, {"client_id", ""}, {"client_id", strings.ToLower(pageClient.ClientID)}, {"redirect_uri", "https://evil.example.com/"}, {"redirect_uri", "//evil.example.com"},
		{"client_id", "x\x00"}, {"state", "x\x00"},
	} {
		if away, v := s.authorize(s.oauthClient(pageClient), append(parameters, "response_type", "broken")...); away != nil || v.StatusCode != 400 {
			t.Errorf("%q: %d, to %s", parameters, v.StatusCode, away)
		}
	}
	twice := s.oauthClient(pageClient).AuthCodeURL("x", oauth2.S256ChallengeOption(verifier)) + "&redirect_uri=" + url.QueryEscape("https://evil.example.com/")
	if v := s.browser().visit(twice); v.away != nil || v.StatusCode != 400 {
		t.Errorf("two redirect URIs: %d, to %s", v.StatusCode, v.away)
	}
	// A mistake sends nobody on who has not signed in, and to a client that anybody may have registered nobody at all.
	broken := oauth2.SetAuthURLParam("response_type", "broken")
	address := s.oauthClient(pageClient).AuthCodeURL("x", oauth2.S256ChallengeOption(verifier), broken)
	b := s.browser()
	if v := b.visit(address); v.away != nil || !strings.Contains(v.text, `name="password"`) {
		t.Errorf("a mistake, before anybody has signed in: %d, to %s", v.StatusCode, v.away)
	} else if v = b.signIn(v); v.away == nil || v.away.Query().Get("error") != "unsupported_response_type" {
		t.Errorf("a mistake, after signing in: %d, to %s", v.StatusCode, v.away)
	}
	registered := s.register(201, map[string]any{"redirect_uris": []string{"https://evil.example.com/"}})
	evil := oauth2.Config{ClientID: fmt.Sprint(registered["client_id"]), RedirectURL: "https://evil.example.com/"}
	if v := b.visit(s.oauthClient(evil).AuthCodeURL("x", oauth2.S256ChallengeOption(verifier), broken)); v.away != nil || v.StatusCode != 400 {
		t.Errorf("a mistake of a client that registered itself: %d, to %s", v.StatusCode, v.away)
	}
	if away, _ := s.authorize(s.oauthClient(pageClient), "prompt", "none"); away == nil || away.Query().Get("error") != "login_required" {
		t.Errorf("nobody is to be asked: %s", away)
	}
	if v := s.browser().visit(s.bases[0] + "/authorize//evil.example.com?x"); v.away != nil || v.StatusCode != 404 {
		t.Errorf("another path: %d, to %s", v.StatusCode, v.away)
	}
}

func testSeeOther(t *testing.T, s *server) {
	b := s.browser()
	page := b.signIn(b.visit(s.oauthClient(pageClient).AuthCodeURL("x", oauth2.S256ChallengeOption(verifier), asking)))
	if page.Request.Response == nil || page.Request.Response.StatusCode != http.StatusSeeOther {
		t.Error("after signing in")
	}
	if v := b.submit(page, "do", "deny"); v.StatusCode != http.StatusSeeOther || v.away.Query().Get("error") != "access_denied" {
		t.Errorf("after consent: %d", v.StatusCode)
	}
}

func testForwarded(t *testing.T, s *server) {
	a := s.send("POST", "/oauth2/token", "grant_type=client_credentials", "Content-Type: application/x-www-form-urlencoded", "X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https",
		"Authorization: "+basicHeader(scriptsClient.ClientID, scriptsClient.ClientSecret))
	if a.StatusCode != 200 {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	if n := s.count("SELECT count(*) FROM sessions WHERE last_active_ip = '203.0.113.7'"); n != 0 {
		t.Error("the session has the address that the client made up")
	}
}

func testRefreshEnds(t *testing.T, s *server) {
	id := idOf(s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": "valencia", "password": "merble-1967"}, nil)))
	c := s.oauthClient(terminalClient)
	b := s.browser()
	for name, end := range map[string]func(token *oauth2.Token){
		"password": func(*oauth2.Token) {
			s.do(204, "POST", "users/"+id+"/set-password", map[string]any{"password": "merble-1967"})
		},
		"revoked": func(token *oauth2.Token) {
			s.post("/oauth2/revoke", url.Values{"token": {token.AccessToken}})
		},
		"deactivated": func(*oauth2.Token) {
			s.do(200, "POST", "users/"+id+"/deactivate", nil)
			s.do(200, "POST", "users/"+id+"/reactivate", nil)
		},
	} {
		page := b.visit(c.AuthCodeURL("x", oauth2.S256ChallengeOption(verifier)))
		if strings.Contains(page.text, `name="password"`) {
			page = b.submit(page, "do", "sign-in", "username", "valencia", "password", "merble-1967")
		}
		token, err := c.Exchange(t.Context(), b.submit(page, "do", "allow").away.Query().Get("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatal(err)
		}
		end(token)
		if _, err := c.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token(); errorCode(err) != "invalid_grant" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func testClientIDs(t *testing.T, s *server) {
	made := s.register(201, map[string]any{"client_id": quentin, "redirect_uris": []string{"https://x.example.com/"}})
	if made["client_id"] == quentin {
		t.Error("a client has the id that it asked for")
	}
}

func testFraming(t *testing.T, s *server) {
	b := s.browser()
	signIn := b.visit(s.oauthClient(pageClient).AuthCodeURL("x", oauth2.S256ChallengeOption(verifier), asking))
	consent := b.signIn(signIn)
	for name, v := range map[string]view{
		"sign-in": signIn, "consent": consent, "device": b.visit(s.bases[0] + "/device"), "refusal": b.visit(s.bases[0] + "/authorize"),
	} {
		policy := v.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "frame-ancestors 'none'") || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") ||
			v.Header.Get("X-Frame-Options") != "DENY" || v.Header.Get("Cache-Control") != "no-store" || strings.Contains(v.text, "<script") {
			t.Errorf("%s: %v", name, v.Header)
		}
	}
}

// TestTwoAtOnce exchanges one code, and refreshes by one token, many times at once: one gets tokens, and they end, since
// the others had the secret too.
func TestTwoAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+seedClients)
		here := s.oauthClient(terminalClient, auth.AdminScope)
		there := s.another(everything+seedClients).oauthClient(terminalClient, auth.AdminScope)
		there.RedirectURL = here.RedirectURL
		code := s.code(here)
		token := s.browser().tokens(here)
		for name, use := range map[string]func(c *oauth2.Config) (*oauth2.Token, error){
			"code": func(c *oauth2.Config) (*oauth2.Token, error) {
				return c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
			},
			"refresh token": func(c *oauth2.Config) (*oauth2.Token, error) {
				return c.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
			},
		} {
			var all sync.WaitGroup
			tokens := make([]*oauth2.Token, 12)
			for i := range tokens {
				all.Go(func() {
					got, err := use([]*oauth2.Config{here, there}[i%2])
					if err != nil && errorCode(err) != "invalid_grant" {
						t.Errorf("%s: %v", name, err)
					}
					tokens[i] = got
				})
			}
			all.Wait()
			got := 0
			for _, token := range tokens {
				if token == nil {
					continue
				}
				got++
				late := time.Now().Add(patience) // the other node ended it, perhaps
				for s.lists(token.AccessToken) != 401 {
					if time.Now().After(late) {
						t.Errorf("%s: the tokens live on", name)
						break
					}
				}
			}
			if got != 1 {
				t.Errorf("%s: %d got tokens", name, got)
			}
		}
	})
}
