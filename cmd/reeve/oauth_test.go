package main

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"reeve/auth"
	"reeve/fixtures"
)

// The two clients of the document's examples for its page, and one without a secret.
const seedClients = `
clients:
  - client_id: 01J44Q10GR4AMTFZEEF936DTCM
    client_auth_method: client_secret_post
    client_secret: wie9oh2EekeeDeithei9Eipaeh2sohte
    redirect_uris: [https://mas.example.com/api/doc/oauth2-redirect]
  - client_id: 01J44QC8BCY7FCFM7WGHQGKMTJ
    client_auth_method: client_secret_basic
    client_secret: eequie6Oth4Ip2InahT5zuQu8OuPohLi
    redirect_uris: ["https://scripts.example.com/back?kept=1"]
  - client_id: terminal
    client_auth_method: none
    redirect_uris: ["http://127.0.0.1/back", "com.example.terminal:/back"]
policy:
  data:
    admin_clients: [01J44QC8BCY7FCFM7WGHQGKMTJ]
`

var (
	pageClient     = oauth2.Config{ClientID: "01J44Q10GR4AMTFZEEF936DTCM", ClientSecret: "wie9oh2EekeeDeithei9Eipaeh2sohte", RedirectURL: "https://mas.example.com/api/doc/oauth2-redirect", Endpoint: oauth2.Endpoint{AuthStyle: oauth2.AuthStyleInParams}}
	scriptsClient  = oauth2.Config{ClientID: "01J44QC8BCY7FCFM7WGHQGKMTJ", ClientSecret: "eequie6Oth4Ip2InahT5zuQu8OuPohLi", RedirectURL: "https://scripts.example.com/back?kept=1", Endpoint: oauth2.Endpoint{AuthStyle: oauth2.AuthStyleInHeader}}
	terminalClient = oauth2.Config{ClientID: "terminal", RedirectURL: "http://127.0.0.1:43210/back", Endpoint: oauth2.Endpoint{AuthStyle: oauth2.AuthStyleInParams}}
)

// oauthClient is a client of the server that was not written here, asking for scopes.
func (s *server) oauthClient(c oauth2.Config, scopes ...string) *oauth2.Config {
	c.Endpoint.AuthURL, c.Endpoint.TokenURL, c.Endpoint.DeviceAuthURL = s.bases[0]+"/authorize", s.bases[0]+"/oauth2/token", s.bases[0]+"/oauth2/device"
	c.Scopes = scopes
	return &c
}

// browser is somebody's browser. It follows redirects within the server by itself.
type browser struct {
	*server
	*http.Client
	jar http.CookieJar
}

func (s *server) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.Fatal(err)
	}
	origin := strings.TrimPrefix(s.bases[0], "http://")
	return &browser{s, &http.Client{Jar: jar, Transport: s.client.Transport, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host == origin {
			return nil
		}
		return http.ErrUseLastResponse
	}}, jar}
}

// view is what a browser shows, or where it was sent away to.
type view struct {
	*http.Response
	text string
	away *url.URL // nil if it stayed
}

// visit opens an address of the server; submit sends the page's form.
func (b *browser) visit(address string) view {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, address, nil)
	if err != nil {
		b.Fatal(err)
	}
	return b.load(r)
}

func (b *browser) submit(v view, fields ...string) view {
	b.Helper()
	form := url.Values{}
	if token := formToken(v); token != "" {
		form.Set("token", token)
	}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, v.Request.URL.String(), strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", b.bases[0])
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.load(r)
}

// formToken is what the forms of a page have besides what people fill in; empty if they have nothing.
func formToken(v view) string {
	found := regexp.MustCompile(`name="token" value="([^"]*)"`).FindStringSubmatch(v.text)
	if found == nil {
		return ""
	}
	return html.UnescapeString(found[1])
}

func (b *browser) load(r *http.Request) view {
	b.Helper()
	response, err := b.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.Fatal(err)
	}
	v := view{Response: response, text: string(text)}
	if response.StatusCode == http.StatusSeeOther {
		if v.away, err = response.Location(); err != nil {
			b.Fatal(err)
		}
	}
	return v
}

// signIn signs the demo's administrator in.
func (b *browser) signIn(v view) view {
	b.Helper()
	return b.submit(v, "do", "sign-in", "username", fixtures.DemoAdministrator, "password", fixtures.DemoPassword)
}

// consent has a client get a code from the demo's administrator, and returns where the browser was sent.
func (b *browser) consent(c *oauth2.Config, options ...oauth2.AuthCodeOption) *url.URL {
	b.Helper()
	v := b.visit(c.AuthCodeURL("a state&", options...))
	if strings.Contains(v.text, `name="password"`) {
		v = b.signIn(v)
	}
	if strings.Contains(v.text, `value="allow"`) {
		v = b.submit(v, "do", "allow")
	}
	if v.away == nil {
		b.Fatalf("no answer to the client: %d %s", v.StatusCode, v.text)
	}
	if v.away.Query().Get("state") != "a state&" || v.away.Query().Get("iss") != b.issuer() {
		b.Errorf("the answer is %s", v.away)
	}
	return v.away
}

// issuer is who the server says it is.
func (s *server) issuer() string {
	s.Helper()
	return fmt.Sprint(s.send("GET", "/.well-known/openid-configuration", nil).document["issuer"])
}

// tokens goes through the whole authorization code grant.
func (b *browser) tokens(c *oauth2.Config, options ...oauth2.AuthCodeOption) *oauth2.Token {
	b.Helper()
	verifier := oauth2.GenerateVerifier()
	away := b.consent(c, append(options, oauth2.S256ChallengeOption(verifier))...)
	token, err := c.Exchange(b.Context(), away.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		b.Fatal(err)
	}
	return token
}

// TestAuthorizationCode goes from the sign-in page to a listed user, refreshes, and looks at what it left behind.
func TestAuthorizationCode(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+seedClients)
		for _, c := range []oauth2.Config{pageClient, scriptsClient, terminalClient} {
			b, config := s.browser(), s.oauthClient(c, auth.AdminScope, "openid", "profile")
			verifier := oauth2.GenerateVerifier()
			page := b.visit(config.AuthCodeURL("x", oauth2.S256ChallengeOption(verifier)))
			if page.StatusCode != 200 || page.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("the sign-in page: %d %v", page.StatusCode, page.Header)
			}
			if wrong := b.submit(page, "do", "sign-in", "username", fixtures.DemoAdministrator, "password", "wrong"); wrong.StatusCode != 401 || len(b.jar.Cookies(wrong.Request.URL)) != 0 {
				t.Fatalf("a wrong password: %d", wrong.StatusCode)
			}
			token := b.tokens(config, oauth2.SetAuthURLParam("nonce", "a nonce"))
			if token.Extra("scope") != "urn:mas:admin openid profile" || token.RefreshToken == "" || token.ExpiresIn != 300 {
				t.Errorf("%s got %+v", c.ClientID, token)
			}
			checkIDToken(s, fmt.Sprint(token.Extra("id_token")), c.ClientID, "a nonce")
			ask := func(token *oauth2.Token) (users int) {
				a := s.send("GET", "/api/admin/v1/users?page[first]=1", nil, "Authorization: "+token.Type()+" "+token.AccessToken)
				count, _ := dig(a.document, "meta", "count").(float64)
				return int(count)
			}
			if ask(token) == 0 {
				t.Fatal("the token lists no users")
			}
			me := s.send("GET", "/api/admin/v1/me", nil, "Authorization: Bearer "+token.AccessToken)
			if dig(me.document, "data", "attributes", "name") != fixtures.DemoAdministrator {
				t.Errorf("the token stands for %s", me.text)
			}
			session := s.get("sessions/" + fmt.Sprint(dig(me.document, "data", "relationships", "session", "data", "id")))
			if dig(session, "data", "attributes", "kind") != "oauth2" || dig(session, "data", "relationships", "user", "data") == nil || dig(session, "data", "relationships", "client", "data") == nil {
				t.Errorf("the session is %v", session)
			}
			if info := s.send("GET", "/oauth2/userinfo", nil, "Authorization: Bearer "+token.AccessToken); info.StatusCode != 200 ||
				info.document["preferred_username"] != fixtures.DemoAdministrator || info.document["sub"] != dig(me.document, "data", "relationships", "principal", "data", "id") {
				t.Errorf("userinfo: %d %s", info.StatusCode, info.text)
			}

			expired := *token
			expired.Expiry = time.Now().Add(-time.Hour)
			next, err := config.TokenSource(t.Context(), &expired).Token()
			if err != nil || next.AccessToken == token.AccessToken || next.RefreshToken == token.RefreshToken || ask(next) == 0 || ask(token) == 0 {
				t.Fatalf("refreshed: %+v, %v", next, err)
			}
			s.do(200, "POST", "sessions/"+idOf(session)+"/finish", nil)
			if ask(next)+ask(token) != 0 {
				t.Error("the tokens of a session that has ended work")
			}
			if _, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: next.RefreshToken}).Token(); errorCode(err) != "invalid_grant" {
				t.Errorf("the refresh token of a session that has ended: %v", err)
			}
		}
		// Somebody who has signed in is not asked again, but for consent.
		b := s.browser()
		b.tokens(s.oauthClient(pageClient))
		if again := b.visit(s.oauthClient(terminalClient).AuthCodeURL("x", oauth2.S256ChallengeOption("y"))); again.StatusCode != 200 || strings.Contains(again.text, `name="password"`) {
			t.Errorf("a second client: %d %s", again.StatusCode, again.text)
		}
		for verb, n := range map[string]int{"sign-in": 4, "sign-in-failed": 3, "consent": 4} {
			if got := s.count(fmt.Sprintf("SELECT count(*) FROM %s WHERE verb = '%s'", s.table("events"), verb)); got != n {
				t.Errorf("%d events %s", got, verb)
			}
		}
	})
}

// TestConsent sees when a user is asked whether a client may have what it wants, and when not again.
func TestConsent(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+seedClients)
		registered := s.register(201, map[string]any{"redirect_uris": []string{"https://x.example.com/"}})
		dynamic := oauth2.Config{ClientID: fmt.Sprint(registered["client_id"]), ClientSecret: fmt.Sprint(registered["client_secret"]), RedirectURL: "https://x.example.com/"}
		b := s.browser()
		b.tokens(s.oauthClient(scriptsClient)) // and so it is signed in
		ask := func(c oauth2.Config, options ...string) (view, *oauth2.Config) {
			t.Helper()
			config := s.oauthClient(c, "openid", "urn:reeve:user:read")
			parameters := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier)}
			for i := 0; i < len(options); i += 2 {
				parameters = append(parameters, oauth2.SetAuthURLParam(options[i], options[i+1]))
			}
			return b.visit(config.AuthCodeURL("x", parameters...)), config
		}
		allow := func(c oauth2.Config, options ...string) *oauth2.Token {
			t.Helper()
			page, config := ask(c, options...)
			if page.away == nil {
				page = b.submit(page, "do", "allow")
			}
			token, err := config.Exchange(t.Context(), page.away.Query().Get("code"), oauth2.VerifierOption(verifier))
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		// isAsked is whether the user is; then a client that wants nobody to be asked is told.
		isAsked := func(what string, want bool, c oauth2.Config, options ...string) {
			t.Helper()
			page, _ := ask(c, options...)
			if got := strings.Contains(page.text, `value="allow"`); got != want || !got && page.away.Query().Get("code") == "" {
				t.Errorf("%s: asked %v, %d", what, got, page.StatusCode)
			}
			silent, _ := ask(c, append(options, "prompt", "none")...)
			if got := silent.away.Query(); want != (got.Get("error") == "consent_required") || want == (got.Get("code") != "") {
				t.Errorf("%s: silently %s", what, silent.away)
			}
		}
		for name, c := range map[string]oauth2.Config{"static": pageClient, "registered": dynamic} {
			isAsked(name+", at first", true, c)
			page, _ := ask(c)
			b.submit(page, "do", "deny")
			isAsked(name+", denied", true, c)
			allow(c)
			isAsked(name+", allowed", false, c)
			isAsked(name+", less", false, c, "scope", "openid")
			isAsked(name+", more", true, c, "scope", "openid urn:reeve:user:read urn:reeve:user:lock")
			if page, _ := ask(c, "prompt", "consent"); page.away != nil {
				t.Errorf("%s: not asked again though the client wants that", name)
			}
			page, _ = ask(c, "prompt", "login consent")
			if page = b.signIn(page); page.away != nil {
				t.Errorf("%s: not asked again after signing in", name)
			}
			allow(c, "scope", "openid urn:reeve:user:lock")
			isAsked(name+", together", false, c, "scope", "openid urn:reeve:user:read urn:reeve:user:lock")
		}
		if silent, _ := ask(pageClient, "prompt", "none", "max_age", "0"); silent.away.Query().Get("error") != "login_required" {
			t.Errorf("an old sign-in: %s", silent.away)
		}
		allow(terminalClient)
		isAsked("a program on the user's machine", true, terminalClient)

		// What ends by itself, or by the client, changes nothing; what somebody ends does.
		revoke := func(c oauth2.Config, token *oauth2.Token) {
			t.Helper()
			a := s.send("POST", "/oauth2/revoke", url.Values{"token": {token.AccessToken}, "client_id": {c.ClientID}, "client_secret": {c.ClientSecret}}.Encode(), "Authorization: ", "Content-Type: application/x-www-form-urlencoded")
			if a.StatusCode != 200 {
				t.Fatalf("%d %s", a.StatusCode, a.text)
			}
		}
		of := "sessions/finish?filter[status]=active&filter[client]=" + pageClient.ClientID
		s.do(200, "POST", of, nil)
		isAsked("all sessions ended", true, pageClient)
		token := allow(pageClient)
		revoke(pageClient, token)
		isAsked("signed out at the client", false, pageClient)
		one, two := allow(pageClient), allow(pageClient)
		session := func(token *oauth2.Token) string {
			me := s.send("GET", "/api/admin/v1/me", nil, "Authorization: Bearer "+token.AccessToken)
			return fmt.Sprint(dig(me.document, "data", "relationships", "session", "data", "id"))
		}
		first, last := session(one), session(two)
		s.do(200, "POST", "sessions/"+first+"/finish", nil)
		isAsked("one session of two ended", false, pageClient)
		s.do(200, "POST", "sessions/"+last+"/finish", nil)
		isAsked("the last session ended", true, pageClient)
		s.do(204, "DELETE", "clients/"+dynamic.ClientID, nil)
		if n := s.count("SELECT count(*) FROM consents"); n != 2 { // of the scripts, and of the terminal, which has to ask all the same
			t.Errorf("%d consents are left", n)
		}
	})
}

// table is the name of a table as SQL has it.
func (s *server) table(plural string) string { return `"` + strings.ReplaceAll(plural, "-", "_") + `"` }

// errorCode is the error member of an answer of the authorization server.
func errorCode(err error) string {
	if refused, ok := err.(*oauth2.RetrieveError); ok {
		return refused.ErrorCode
	}
	return fmt.Sprint(err)
}

// checkIDToken verifies an ID token by the keys that the server shows.
func checkIDToken(s *server, text, clientID, nonce string) {
	s.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(s.send("GET", "/oauth2/keys.json", nil).text, &set); err != nil {
		s.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		s.Fatal(err)
	}
	var registered jwt.Claims
	var claims map[string]any
	if err := parsed.Claims(set, &registered, &claims); err != nil {
		s.Fatal(err)
	}
	if err := registered.Validate(jwt.Expected{Issuer: s.issuer(), AnyAudience: jwt.Audience{clientID}, Time: time.Now()}); err != nil {
		s.Error(err)
	}
	signedIn, _ := claims["auth_time"].(float64)
	if nonce != "" && claims["nonce"] != nonce || claims["preferred_username"] != fixtures.DemoAdministrator || time.Since(time.Unix(int64(signedIn), 0)) > time.Minute {
		s.Errorf("the claims are %v", claims)
	}
}

// TestDeviceGrant lets a device in, and another one not.
func TestDeviceGrant(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+seedClients)
		b, config := s.browser(), s.oauthClient(terminalClient, auth.AdminScope, "openid")
		other := s.register(201, map[string]any{"redirect_uris": []string{"https://x.example.com/"}, "token_endpoint_auth_method": "none"})
		if _, err := s.oauthClient(oauth2.Config{ClientID: fmt.Sprint(other["client_id"])}).DeviceAuth(t.Context()); errorCode(err) != "unauthorized_client" {
			t.Errorf("a client that is no device: %v", err)
		}
		for _, do := range []string{"allow", "deny"} {
			device, err := config.DeviceAuth(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ask := func() (string, string) {
				a := s.send("POST", "/oauth2/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {"terminal"}, "device_code": {device.DeviceCode}}.Encode(),
					"Authorization: ", "Content-Type: application/x-www-form-urlencoded")
				return fmt.Sprint(a.document["error"]), fmt.Sprint(a.document["access_token"])
			}
			first, _ := ask()
			if second, _ := ask(); first != "authorization_pending" || second != "slow_down" {
				t.Errorf("before anybody decides: %s, %s", first, second)
			}
			page := b.visit(s.bases[0] + "/device")
			if strings.Contains(page.text, `name="password"`) {
				page = b.signIn(page)
			}
			if !strings.Contains(page.text, `name="user_code"`) {
				t.Fatalf("the page for a code: %s", page.text)
			}
			if unknown := b.visit(s.bases[0] + "/device?user_code=BBBB-BBBB"); unknown.StatusCode != 404 {
				t.Errorf("an unknown code: %d", unknown.StatusCode)
			}
			// People type as they like.
			page = b.visit(s.bases[0] + "/device?user_code=" + url.QueryEscape(" "+strings.ToLower(strings.ReplaceAll(device.UserCode, "-", " "))))
			if !strings.Contains(page.text, device.UserCode) || !strings.Contains(page.text, "terminal") {
				t.Fatalf("the page to decide on: %s", page.text)
			}
			decided := b.submit(page, "do", do)
			if decided.StatusCode != 200 {
				t.Fatalf("%s: %d %s", do, decided.StatusCode, decided.text)
			}
			if again := b.submit(page, "do", "allow"); again.StatusCode != 404 {
				t.Errorf("a second decision: %d", again.StatusCode)
			}
			device.Interval = 1
			token, err := config.DeviceAccessToken(t.Context(), device)
			if do == "deny" {
				if errorCode(err) != "access_denied" {
					t.Errorf("denied: %v", err)
				}
				continue
			}
			if err != nil || token.RefreshToken == "" || token.Extra("scope") != "urn:mas:admin openid" {
				t.Fatalf("allowed: %+v, %v", token, err)
			}
			if a := s.send("GET", "/api/admin/v1/users", nil, "Authorization: Bearer "+token.AccessToken); a.StatusCode != 200 {
				t.Errorf("the token of a device: %d", a.StatusCode)
			}
			if again, _ := ask(); again != "invalid_grant" {
				t.Errorf("a device code that was used: %s", again)
			}
		}
		code := s.browser().consent(s.oauthClient(terminalClient), oauth2.S256ChallengeOption("x")).Query().Get("code")
		if a := s.send("POST", "/oauth2/token", "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=terminal&device_code="+code, "Authorization: ", "Content-Type: application/x-www-form-urlencoded"); a.document["error"] != "invalid_grant" {
			t.Errorf("a code of another kind: %s", a.text)
		}
	})
}

// register has a client register itself.
func (s *server) register(status int, metadata map[string]any) map[string]any {
	s.Helper()
	a := s.send("POST", "/oauth2/registration", metadata, "Authorization: ", "Content-Type: application/json")
	if a.StatusCode != status || a.Header.Get("Cache-Control") != "no-store" {
		s.Fatalf("registering %v: %d %s", metadata, a.StatusCode, a.text)
	}
	return a.document
}

// TestRegistration registers clients, uses one of each kind, and deletes one.
func TestRegistration(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+seedClients)
		b := s.browser()
		for _, method := range []string{"client_secret_basic", "client_secret_post", "none"} {
			made := s.register(201, map[string]any{
				"client_name": "Dashboard", "redirect_uris": []string{"https://dashboard.example.com/back"}, "token_endpoint_auth_method": method,
				"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"}, "tos_uri": "https://x",
			})
			id, secret := fmt.Sprint(made["client_id"]), made["client_secret"]
			if (secret == nil) != (method == "none") || made["token_endpoint_auth_method"] != method || made["client_id_issued_at"] == nil {
				t.Errorf("registered: %v", made)
			}
			config := oauth2.Config{ClientID: id, RedirectURL: "https://dashboard.example.com/back", Endpoint: oauth2.Endpoint{AuthStyle: oauth2.AuthStyleInParams}}
			if secret != nil {
				config.ClientSecret = fmt.Sprint(secret)
			}
			if method == "client_secret_basic" {
				config.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
			}
			token := b.tokens(s.oauthClient(config, auth.AdminScope))
			if a := s.send("GET", "/api/admin/v1/users", nil, "Authorization: Bearer "+token.AccessToken); a.StatusCode != 200 {
				t.Errorf("a token for a client that registered itself: %d", a.StatusCode)
			}
			shown := s.get("clients/" + id)
			if dig(shown, "data", "attributes", "name") != "Dashboard" || dig(shown, "data", "attributes", "is_static") != false || secret != nil && strings.Contains(fmt.Sprint(shown), fmt.Sprint(secret)) {
				t.Errorf("the client is %v", shown)
			}
			s.do(204, "DELETE", "clients/"+id, nil)
			if a := s.send("GET", "/api/admin/v1/users", nil, "Authorization: Bearer "+token.AccessToken); a.StatusCode != 401 {
				t.Errorf("a token of a client that is gone: %d", a.StatusCode)
			}
		}
		if a := s.send("DELETE", "/api/admin/v1/clients/"+pageClient.ClientID, nil); a.StatusCode != 403 {
			t.Errorf("deleting a client of the configuration: %d %s", a.StatusCode, a.text)
		}

		// What is left out is what RFC 7591, 2, says.
		least := s.register(201, map[string]any{"redirect_uris": []string{"https://x.example.com"}})
		if least["token_endpoint_auth_method"] != "client_secret_basic" || fmt.Sprint(least["grant_types"]) != "[authorization_code]" || fmt.Sprint(least["response_types"]) != "[code]" || least["client_secret_expires_at"] != 0.0 {
			t.Errorf("the least: %v", least)
		}
		device := s.register(201, map[string]any{"token_endpoint_auth_method": "none", "grant_types": []string{"urn:ietf:params:oauth:grant-type:device_code"}})
		if _, err := s.oauthClient(oauth2.Config{ClientID: fmt.Sprint(device["client_id"])}).DeviceAuth(t.Context()); err != nil {
			t.Error(err)
		}
		// A client of its own may ask for nothing in its own name.
		own := s.register(201, map[string]any{"grant_types": []string{"client_credentials"}})
		if a := s.send("POST", "/oauth2/token", "grant_type=client_credentials&scope=urn:mas:admin", "Content-Type: application/x-www-form-urlencoded",
			"Authorization: "+basicHeader(fmt.Sprint(own["client_id"]), fmt.Sprint(own["client_secret"]))); a.document["error"] != "invalid_scope" {
			t.Errorf("a client that registered itself as an administrator: %s", a.text)
		}
		clients := dig(s.get("clients?count=only"), "meta", "count")
		for _, c := range []struct {
			code     string
			metadata map[string]any
		}{
			{"invalid_redirect_uri", map[string]any{}},
			{"invalid_redirect_uri", map[string]any{"redirect_uris": []string{"http://example.com/back"}}},
			{"invalid_redirect_uri", map[string]any{"redirect_uris": []string{"https://example.com/#x"}}},
			{"invalid_redirect_uri", map[string]any{"redirect_uris": []string{"https://user@example.com/"}}},
			{"invalid_redirect_uri", map[string]any{"redirect_uris": []string{"javascript:alert(1)"}}},
			{"invalid_redirect_uri", map[string]any{"redirect_uris": []string{"/back"}}},
			{"invalid_redirect_uri", map[string]any{"redirect_uris": slices.Repeat([]string{"https://example.com/"}, 21)}},
			{"invalid_client_metadata", map[string]any{"redirect_uris": "https://example.com/"}},
			{"invalid_client_metadata", map[string]any{"token_endpoint_auth_method": "private_key_jwt"}},
			{"invalid_client_metadata", map[string]any{"grant_types": []string{"password"}}},
			{"invalid_client_metadata", map[string]any{"grant_types": []string{"refresh_token"}, "response_types": []string{"code"}}},
			{"invalid_client_metadata", map[string]any{"response_types": []string{"token"}}},
			{"invalid_client_metadata", map[string]any{"token_endpoint_auth_method": "none", "grant_types": []string{"client_credentials"}}},
			{"invalid_client_metadata", map[string]any{"client_name": strings.Repeat("x", 101)}},
			{"invalid_client_metadata", map[string]any{"client_name": "x\x00"}},
		} {
			if got := s.register(400, c.metadata); got["error"] != c.code {
				t.Errorf("%v: %v", c.metadata, got)
			}
		}
		if now := dig(s.get("clients?count=only"), "meta", "count"); now != clients {
			t.Errorf("%v clients became %v", clients, now)
		}
		if a := s.send("POST", "/oauth2/registration", `{}`, "Content-Type: text/plain"); a.StatusCode != 415 {
			t.Errorf("another media type: %d", a.StatusCode)
		}
	})
}

func basicHeader(name, password string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(name, password)
	return r.Header.Get("Authorization")
}

// TestIntrospectAndRevokeRefresh looks at refresh tokens from outside.
func TestIntrospectAndRevokeRefresh(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+seedClients)
		form := func(path, form string, headers ...string) map[string]any {
			return s.send("POST", path, form, append([]string{"Content-Type: application/x-www-form-urlencoded",
				"Authorization: " + basicHeader(scriptsClient.ClientID, scriptsClient.ClientSecret)}, headers...)...).document
		}
		token := s.browser().tokens(s.oauthClient(terminalClient, auth.AdminScope))
		for _, text := range []string{token.AccessToken, token.RefreshToken} {
			got := form("/oauth2/introspect", "token="+text)
			if got["active"] != true || got["username"] != fixtures.DemoAdministrator || got["client_id"] != "terminal" || got["scope"] != auth.AdminScope {
				t.Errorf("introspection: %v", got)
			}
		}
		if got := form("/oauth2/revoke", "token="+token.RefreshToken); got["error"] != "invalid_grant" {
			t.Errorf("another client revokes: %v", got)
		}
		if got := form("/oauth2/revoke", "client_id=terminal&token="+token.RefreshToken, "Authorization: "); got != nil {
			t.Errorf("revoked: %v", got)
		}
		for _, text := range []string{token.AccessToken, token.RefreshToken} {
			if got := form("/oauth2/introspect", "token="+text); got["active"] != false || len(got) != 1 {
				t.Errorf("introspection of what was revoked: %v", got)
			}
		}
	})
}

// TestOnlyWhatTheUserMay has a user without rights consent, and takes the rights from one who has.
func TestOnlyWhatTheUserMay(t *testing.T) {
	s := start(t, sqliteURI(t), everything+seedClients)
	id := idOf(s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": "montana", "password": "tralfamadore"}, nil)))
	b := s.browser()
	page := b.visit(s.oauthClient(pageClient, auth.AdminScope).AuthCodeURL("x", oauth2.S256ChallengeOption("y")))
	page = b.submit(page, "do", "sign-in", "username", "montana", "password", "tralfamadore")
	if page.StatusCode != 200 || strings.Contains(page.text, `value="allow"`) {
		t.Fatalf("somebody who may not administrate: %d %s", page.StatusCode, page.text)
	}
	if answer := b.submit(page, "do", "allow"); answer.away == nil || answer.away.Query().Get("error") != "access_denied" {
		t.Errorf("allowed all the same: %d", answer.StatusCode)
	}
	config := s.oauthClient(pageClient, auth.AdminScope, "openid", "urn:reeve:user:read")
	token := func() *oauth2.Token {
		verifier := oauth2.GenerateVerifier()
		page := b.visit(config.AuthCodeURL("x", oauth2.S256ChallengeOption(verifier)))
		token, err := config.Exchange(t.Context(), b.submit(page, "do", "allow").away.Query().Get("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	if got := token(); got.Extra("scope") != "openid" {
		t.Errorf("the scopes are %v", got.Extra("scope"))
	}
	s.do(200, "POST", "users/"+id+"/set-admin", map[string]any{"admin": true})
	got := token()
	ask := func(token *oauth2.Token) int {
		return s.send("GET", "/api/admin/v1/users", nil, "Authorization: Bearer "+token.AccessToken).StatusCode
	}
	if got.Extra("scope") != "urn:mas:admin openid urn:reeve:user:read" || ask(got) != 200 {
		t.Errorf("the scopes are %v", got.Extra("scope"))
	}
	s.do(200, "POST", "users/"+id+"/set-admin", map[string]any{"admin": false})
	if status := ask(got); status != 403 {
		t.Errorf("a token whose user is no administrator any more: %d", status)
	}
	next, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: got.RefreshToken}).Token()
	if err != nil || next.Extra("scope") != "openid" || ask(next) != 403 {
		t.Errorf("refreshed: %v, %v", next, err)
	}
	s.do(200, "POST", "users/"+id+"/lock", nil)
	if _, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: next.RefreshToken}).Token(); errorCode(err) != "invalid_grant" || ask(next) != 401 {
		t.Errorf("somebody who is locked refreshes: %v", err)
	}
	if page := b.visit(config.AuthCodeURL("x", oauth2.S256ChallengeOption("y"))); !strings.Contains(page.text, `name="password"`) {
		t.Error("the browser of somebody who is locked is still signed in")
	}
	s.do(200, "POST", "users/"+id+"/unlock", nil)
	if _, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: next.RefreshToken}).Token(); err != nil {
		t.Errorf("unlocked: %v", err)
	}
}

// TestScopeOfSupport has somebody with a role of few permissions let a client in: not for everything, but for whatever
// they may do.
func TestScopeOfSupport(t *testing.T) {
	s := start(t, sqliteURI(t), everything+seedClients)
	id := idOf(s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": "montana", "password": "tralfamadore"}, nil)))
	role := idOf(s.do(201, "POST", "roles", resourceDocument("role", "", map[string]any{"name": "one-user", "permissions": []string{"user:read@users/" + id}}, nil)))
	s.do(204, "POST", "users/"+id+"/relationships/roles", map[string]any{"data": []any{map[string]any{"type": "role", "id": role}}})
	b, c := s.browser(), s.oauthClient(pageClient, auth.AdminScope, "urn:reeve:*:*", "urn:reeve:group:read")
	page := b.submit(b.visit(c.AuthCodeURL("x", oauth2.S256ChallengeOption(verifier))), "do", "sign-in", "username", "montana", "password", "tralfamadore")
	token, err := c.Exchange(t.Context(), b.submit(page, "do", "allow").away.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil || token.Extra("scope") != "urn:reeve:*:*" {
		t.Fatalf("%+v, %v", token, err)
	}
	list := s.send("GET", "/api/admin/v1/users", nil, "Authorization: Bearer "+token.AccessToken)
	if dig(list.document, "meta", "count") != 1.0 || dig(list.document, "data", 0, "id") != id {
		t.Errorf("the token lists %s", list.text)
	}
	if a := s.send("GET", "/api/admin/v1/groups", nil, "Authorization: Bearer "+token.AccessToken); a.StatusCode != 403 {
		t.Errorf("groups: %d", a.StatusCode)
	}
}

// atKnownPort is the configuration of a server on a free port that it knows beforehand, with the seed's clients for its
// own page.
func atKnownPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(everything, "127.0.0.1:0", address, 1) + strings.Replace(seedClients, "https://mas.example.com/", "http://"+address+"/", 1)
}

// TestSwaggerPage has Chromium go from the page's button Authorize to listed users. REEVE_SCREENSHOTS is a folder for
// what it shows.
func TestSwaggerPage(t *testing.T) {
	t.Parallel()
	s := start(t, sqliteURI(t), atKnownPort(t))
	done := runScript(t, "swagger.js", "REEVE_URL="+s.bases[0])
	for _, grant := range []string{"authorizationCode", "clientCredentials"} {
		if dig(done, grant, "status") != "200" || dig(done, grant, "usernames", 0) == nil {
			t.Errorf("%s: %v", grant, done[grant])
		}
	}
	if done["wrong"] == nil || done["unknownDevice"] == nil || fmt.Sprint(done["problems"]) != "[]" {
		t.Errorf("the page: %v", done)
	}
}

// TestOpenIDClient has a certified client library go through every grant.
func TestOpenIDClient(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, atKnownPort(t))
		done := runScript(t, "openid.js", "REEVE_URL="+s.bases[0])
		for name, want := range map[string]any{
			"pkce": true, "name": fixtures.DemoAdministrator, "scope": "openid profile email offline_access urn:mas:admin",
			"mixedUp": "OAUTH_INVALID_RESPONSE", "listed": 200.0, "refreshed": 200.0, "introspected": true, "revoked": false, "device": 200.0,
			"clientCredentials": 200.0,
		} {
			if done[name] != want {
				t.Errorf("%s: %v", name, done[name])
			}
		}
	})
}
