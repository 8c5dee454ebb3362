package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
	"github.com/pquerna/otp/totp"
	"golang.org/x/oauth2"

	"reeve/auth"
	"reeve/auth/factor"
	"reeve/auth/oauth"
	"reeve/fixtures"
	"reeve/pagination"
	"reeve/resource"
)

// phone is an app that shows codes.
type phone struct {
	*testing.T
	secret string
}

// code is what the phone shows now, or some steps of 30 seconds later. One step off is taken too; none is taken twice, nor
// one before another that was taken.
func (p phone) code(steps int) string {
	p.Helper()
	code, err := totp.GenerateCode(p.secret, time.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		p.Fatal(err)
	}
	return code
}

// settled waits for a moment at which the steps of 30 seconds do not change for a while, if they are about to.
func settled(t *testing.T) {
	t.Helper()
	if left := 30 - time.Now().Unix()%30; left < 10 {
		time.Sleep(time.Duration(left) * time.Second)
	}
}

// enrol gives a user a phone past the pages, and returns the recovery codes.
func (a *app) enrol(t *testing.T, id string) (p phone, recovery []string) {
	t.Helper()
	p = phone{t, factor.NewSecret()}
	who := &auth.Principal{Type: "user", ID: ulid.MustParse(id), Name: "somebody"}
	recovery, err := a.factors.AddApp(context.Background(), who, "App", p.secret, p.code(-1))
	if err != nil {
		t.Fatal(err)
	}
	return p, recovery
}

// setUp adds a phone on the page for that, and returns the recovery codes that are shown.
func (b *browser) setUp(v view) (p phone, recovery []string, shown view) {
	b.Helper()
	secret := regexp.MustCompile(`name="secret" value="([A-Z2-7]{32})"`).FindStringSubmatch(v.text)
	if v.StatusCode != 200 || secret == nil || !strings.Contains(v.text, "<svg") {
		b.Fatalf("no page to set up a phone: %d %s", v.StatusCode, v.text)
	}
	p = phone{b.T, secret[1]}
	wrong := b.submit(v, "do", "add-app", "name", "Phone", "secret", p.secret, "code", "000000")
	if wrong.StatusCode != 422 || !strings.Contains(wrong.text, p.secret) {
		b.Errorf("a wrong first code: %d", wrong.StatusCode)
	}
	shown = b.submit(v, "do", "add-app", "name", "Phone", "secret", p.secret, "code", p.code(-1))
	for _, found := range regexp.MustCompile(`<code>([A-Z2-7-]{19})</code>`).FindAllStringSubmatch(shown.text, -1) {
		recovery = append(recovery, found[1])
	}
	return p, recovery, shown
}

// by signs somebody in, as far as their password goes.
func (b *browser) by(who *server, path string) view {
	b.Helper()
	name, password, _ := strings.Cut(who.user, ":")
	return b.submit(b.visit(b.bases[0]+path), "do", "sign-in", "username", name, "password", password)
}

// signedIn reports whether a browser has the cookie of somebody who is signed in.
func (b *browser) signedIn() bool {
	r, err := http.NewRequest(http.MethodGet, b.bases[0], nil)
	if err != nil {
		b.Fatal(err)
	}
	return slices.ContainsFunc(b.jar.Cookies(r.URL), func(c *http.Cookie) bool { return c.Name == "reeve" })
}

// methods are those of an ID token.
func methods(t *testing.T, token *oauth2.Token) (amr []string) {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(fmt.Sprint(token.Extra("id_token")), ".")[1])
	var claims struct {
		AMR  []string `json:"amr"`
		Time int64    `json:"auth_time"`
	}
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	if err != nil || time.Since(time.Unix(claims.Time, 0)) > time.Minute {
		t.Errorf("the ID token has %+v, %v", claims, err)
	}
	return claims.AMR
}

const securityPage = "/account/security"

// TestSecondFactor has a user set up a phone, and sign in with it, and without it.
func TestSecondFactor(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		settled(t)
		s := start(t, uri, everything+seedClients+"auth: {sign_in: {per_account: 100}}\n")
		id, montana := s.person("montana", builtIn("support"))
		b := s.browser()
		if v := b.by(montana, securityPage); v.StatusCode != 200 || !b.signedIn() || strings.Contains(v.text, `value="remove"`) {
			t.Fatalf("somebody without a second factor: %d %s", v.StatusCode, v.text)
		}
		if token := b.tokensOf(s.oauthClient(terminalClient, "openid")); !slices.Equal(methods(t, token), []string{"pwd"}) {
			t.Errorf("by password alone: %v", methods(t, token))
		}
		other := s.browser()
		other.by(montana, securityPage)
		p, recovery, shown := b.setUp(b.visit(s.bases[0] + securityPage + "?add="))
		if shown.StatusCode != 200 || len(recovery) != 10 || shown.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("set up: %d %s", shown.StatusCode, shown.text)
		}
		if v := b.visit(s.bases[0] + securityPage); !strings.Contains(v.text, "Phone") || !strings.Contains(v.text, "10 recovery codes") {
			t.Errorf("the page of somebody who has a phone: %d %s", v.StatusCode, v.text)
		}
		if v := other.visit(s.bases[0] + securityPage); !strings.Contains(v.text, `name="password"`) {
			t.Error("a browser in which nobody has shown the second factor is still signed in")
		}

		// What administrators see.
		list := s.get("authenticators?filter[user]=" + id)
		factorID := fmt.Sprint(dig(list, "data", 0, "id"))
		if dig(list, "meta", "count") != 1.0 || dig(list, "data", 0, "attributes", "kind") != "totp" || dig(s.get("users/"+id), "data", "attributes", "second_factor") != true {
			t.Errorf("the authenticators are %v", list)
		}
		if n := dig(s.get("users?count=only&filter[second_factor]=true"), "meta", "count"); n != 1.0 {
			t.Errorf("%v users have a second factor", n)
		}

		// The password alone.
		a := montana.send("GET", "/api/admin/v1/me", nil)
		if a.StatusCode != 401 || dig(a.document, "errors", 0, "code") != "unauthenticated" || dig(a.document, "errors", 0, "detail") != auth.ErrSecondFactor.Error() {
			t.Errorf("Basic: %d %s", a.StatusCode, a.text)
		}
		if a := s.send("GET", "/api/admin/v1/me", nil, "Authorization: "+basicHeader("montana", "wrong")); a.StatusCode != 401 || dig(a.document, "errors", 0, "detail") != auth.ErrInvalid.Error() {
			t.Errorf("Basic with a wrong password: %d %s", a.StatusCode, a.text)
		}
		token := s.do(201, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "x", "scopes": []string{"urn:mas:admin"}}, map[string]any{"user": toOne("user", id)}))
		if a := s.send("GET", "/api/admin/v1/users", nil, "Authorization: Bearer "+fmt.Sprint(dig(token, "data", "attributes", "token"))); a.StatusCode != 200 {
			t.Errorf("a token: %d", a.StatusCode)
		}

		// Nothing leads past the second factor.
		b = s.browser()
		c := s.oauthClient(terminalClient, "openid")
		v := b.by(montana, securityPage)
		if v.StatusCode != 200 || !strings.Contains(v.text, `name="code"`) || b.signedIn() {
			t.Fatalf("after the password: %d %s", v.StatusCode, v.text)
		}
		for _, path := range []string{securityPage, securityPage + "?add=", "/device?user_code=BBBB-BBBB", strings.TrimPrefix(c.AuthCodeURL("x", oauth2.S256ChallengeOption(verifier)), s.bases[0])} {
			at := b.visit(s.bases[0] + path)
			if !strings.Contains(at.text, `name="code" autocomplete="one-time-code" autocapitalize`) {
				t.Errorf("%s: %d %s", path, at.StatusCode, at.text)
			}
			for _, do := range []string{"allow", "deny", "remove", "renew", "add-app"} {
				if done := b.submit(at, "do", do, "authenticator", factorID, "name", "x", "secret", p.secret, "code", p.code(0)); done.away != nil || b.signedIn() || !strings.Contains(done.text, "one-time-code") {
					t.Errorf("%s at %s: %d to %v %s", do, path, done.StatusCode, done.away, done.text)
				}
			}
		}
		if refused := b.visit(c.AuthCodeURL("x", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("prompt", "none"))); refused.away == nil || refused.away.Query().Get("error") != "login_required" {
			t.Errorf("prompt=none: %d", refused.StatusCode)
		}
		forged := v
		forged.text = ""
		if done := b.submit(forged, "do", "code", "code", p.code(0)); done.StatusCode != 403 || b.signedIn() {
			t.Errorf("a form of another site: %d", done.StatusCode)
		}
		for _, wrong := range []string{p.code(-1), "000000", "12345", "AAAA-AAAA-AAAA-AAAA", ""} {
			if done := b.submit(v, "do", "code", "code", wrong); done.StatusCode != 401 || b.signedIn() {
				t.Errorf("the code %q: %d", wrong, done.StatusCode)
			}
		}
		if done := b.submit(v, "do", "code", "code", p.code(0)[:3]+" "+p.code(0)[3:]); done.StatusCode != 200 || !b.signedIn() {
			t.Fatalf("the right code: %d %s", done.StatusCode, done.text)
		}
		if token := b.tokensOf(c); !slices.Equal(methods(t, token), []string{"pwd", "otp"}) {
			t.Errorf("with a second factor: %v", methods(t, token))
		}

		// Each code is good for one time: of many who come at once, one is let in.
		for _, code := range []string{recovery[0], p.code(1)} {
			var in sync.WaitGroup
			browsers, views := make([]*browser, 4), make([]view, 4)
			for i := range browsers {
				browsers[i] = s.browser()
				views[i] = browsers[i].by(montana, securityPage)
			}
			statuses := make([]int, len(browsers))
			for i := range browsers {
				in.Go(func() {
					statuses[i] = browsers[i].submit(views[i], "do", "code", "code", strings.ToLower(code)).StatusCode
				})
			}
			in.Wait()
			slices.Sort(statuses)
			if !slices.Equal(statuses, []int{200, 401, 401, 401}) {
				t.Errorf("four with the code %s: %v", code, statuses)
			}
		}
		// One pending sign-in is good for one browser, whatever it shows.
		one := s.browser()
		v = one.by(montana, securityPage)
		twin := &browser{s, &http.Client{Jar: s.browser().jar, Transport: s.client.Transport}, nil}
		twin.Jar.SetCookies(v.Request.URL, one.jar.Cookies(v.Request.URL))
		if done := one.submit(v, "do", "code", "code", recovery[1]); done.StatusCode != 200 || !one.signedIn() {
			t.Errorf("a recovery code: %d", done.StatusCode)
		}
		if done := twin.submit(v, "do", "code", "code", recovery[2]); !strings.Contains(done.text, `name="password"`) {
			t.Errorf("a pending sign-in that has ended: %d %s", done.StatusCode, done.text)
		}

		// What ends a pending sign-in.
		for name, end := range map[string]func(){
			"time": func() {
				for _, pending := range s.pending() {
					if _, err := s.app.pending.Update(t.Context(), pending.ID, func(p *oauth.Pending) error { p.ExpiresAt = time.Now(); return nil }); err != nil {
						t.Error(err)
					}
				}
			},
			"lock": func() { s.do(200, "POST", "users/"+id+"/lock", nil) },
			"password": func() {
				s.do(204, "POST", "users/"+id+"/set-password", map[string]any{"password": "so-it-goes-on-1970"})
			},
		} {
			b := s.browser()
			v := b.by(montana, securityPage)
			end()
			if done := b.submit(v, "do", "code", "code", recovery[3]); b.signedIn() || !strings.Contains(done.text, `name="password"`) {
				t.Errorf("%s: %d %s", name, done.StatusCode, done.text)
			}
			s.do(200, "POST", "users/"+id+"/unlock", nil)
			s.do(204, "POST", "users/"+id+"/set-password", map[string]any{"password": "so-it-goes-on-1969"})
		}

		// Help for who has lost the phone.
		_, support := s.person("billy", builtIn("support"))
		helper := s.newRole("helper", "authenticator:*")
		_, weak := s.person("eliot", helper)
		if a := support.send("DELETE", "/api/admin/v1/authenticators/"+factorID, nil); a.StatusCode != 403 {
			t.Errorf("who may not remove authenticators: %d", a.StatusCode)
		}
		if a := weak.send("DELETE", "/api/admin/v1/authenticators/"+factorID, nil); a.StatusCode != 403 {
			t.Errorf("who may do less than the user: %d", a.StatusCode)
		}
		s.do(204, "DELETE", "authenticators/"+factorID, nil)
		if a := montana.send("GET", "/api/admin/v1/me", nil); a.StatusCode != 200 || dig(s.get("users/"+id), "data", "attributes", "second_factor") != false {
			t.Errorf("without the phone: %d", a.StatusCode)
		}
		if n := s.count("SELECT count(*) FROM recovery_codes"); n != 0 {
			t.Errorf("%d recovery codes are left", n)
		}
		for verb, n := range map[string]int{"second-factor-failed": 11, "use-recovery-code": 2, "renew-recovery-codes": 0} {
			if got := dig(s.get("events?count=only&filter[verb]="+verb+"&filter[actor]="+id+"&filter[target]="+id), "meta", "count"); got != float64(n) {
				t.Errorf("%v events %s", got, verb)
			}
		}
		want := []string{
			"delete by kilgore-trout: map[kind:map[from:totp] last_step:map[] last_used_at:map[] name:map[] secret:map[] transports:map[] user:map[from:map[id:" + id + " type:user]]]",
			"create by montana: map[kind:map[to:totp] last_step:map[] last_used_at:map[] name:map[] secret:map[] transports:map[] user:map[to:map[id:" + id + " type:user]]]",
		}
		got := s.trail("filter[target]=" + factorID)
		for i := range got {
			got[i] = regexp.MustCompile(` created_at:map\[[^]]*\]|created_at:map\[[^]]*\] `).ReplaceAllString(got[i], "")
			got[i] = regexp.MustCompile(`last_used_at:map\[[^]]*\]`).ReplaceAllString(got[i], "last_used_at:map[]")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// pending are the sign-ins whose second factor is to come.
func (s *server) pending() []oauth.Pending {
	s.Helper()
	page, err := s.app.pending.List(s.Context(), resource.Query{Window: pagination.First(100), Count: pagination.CountNone})
	if err != nil {
		s.Fatal(err)
	}
	return page.Rows
}

// tokensOf has a client get tokens in the name of who is signed in.
func (b *browser) tokensOf(c *oauth2.Config) *oauth2.Token {
	b.Helper()
	away := b.submit(b.visit(c.AuthCodeURL("x", oauth2.S256ChallengeOption(verifier))), "do", "allow").away
	if away == nil {
		b.Fatal("the client got no answer")
	}
	token, err := c.Exchange(b.Context(), away.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		b.Fatal(err)
	}
	return token
}

// TestSecondFactorRequired leads who must have a second factor through setting one up.
func TestSecondFactorRequired(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		settled(t)
		before := start(t, uri, everything+seedClients)
		signedIn := before.browser()
		signedIn.by(before, securityPage)
		_, montana := before.person("montana")
		_, deputy := before.person("deputy", builtIn("admin"))
		s := before.another(everything + seedClients + "auth: {second_factor: {required: administrators}}\n")
		montana.bases, deputy.bases, signedIn.bases = s.bases, s.bases, s.bases
		if a := montana.send("GET", "/api/admin/v1/me", nil); a.StatusCode != 200 {
			t.Errorf("who is no administrator: %d", a.StatusCode)
		}
		for _, who := range []*server{s, deputy} {
			if a := who.send("GET", "/api/admin/v1/me", nil); a.StatusCode != 401 || dig(a.document, "errors", 0, "detail") != auth.ErrSecondFactor.Error() {
				t.Errorf("an administrator: %d %s", a.StatusCode, a.text)
			}
		}
		if v := signedIn.visit(s.bases[0] + securityPage); !strings.Contains(v.text, `name="password"`) {
			t.Error("a browser is signed in by password alone")
		}
		b, c := s.browser(), s.oauthClient(terminalClient, "openid", auth.AdminScope)
		address := c.AuthCodeURL("x", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("prompt", "login"))
		v := b.by(s, strings.TrimPrefix(address, s.bases[0]))
		for _, do := range []string{"allow", "code", "passkey", "remove"} {
			if done := b.submit(v, "do", do, "code", "AAAA-AAAA-AAAA-AAAA"); done.away != nil || b.signedIn() {
				t.Errorf("%s without a second factor: %d", do, done.StatusCode)
			}
		}
		p, recovery, shown := b.setUp(v)
		if len(recovery) != 10 || !b.signedIn() {
			t.Fatalf("set up: %d %s", shown.StatusCode, shown.text)
		}
		onward := regexp.MustCompile(`href="(\?[^"]*)"`).FindStringSubmatch(shown.text)
		consent := b.visit(s.bases[0] + "/authorize" + html.UnescapeString(onward[1]))
		if !strings.Contains(consent.text, `value="allow"`) {
			t.Errorf("onward leads to %d %s", consent.StatusCode, consent.text)
		}
		if token := b.tokensOf(c); !slices.Equal(methods(t, token), []string{"pwd", "otp"}) || s.lists(token.AccessToken) != 200 {
			t.Errorf("the administrator's token: %v", methods(t, token))
		}
		// Signing in again, since the client wants that.
		again := b.by(s, strings.TrimPrefix(address, s.bases[0]))
		if !strings.Contains(again.text, `name="code"`) {
			t.Fatalf("prompt=login: %d %s", again.StatusCode, again.text)
		}
		if done := b.submit(again, "do", "code", "code", p.code(0)); !strings.Contains(done.text, `value="allow"`) {
			t.Errorf("signed in again: %d %s", done.StatusCode, done.text)
		}

		// Seeing to it on the page.
		page := b.visit(s.bases[0] + securityPage)
		renewed := b.submit(page, "do", "renew")
		if strings.Contains(renewed.text, recovery[0]) || strings.Count(renewed.text, "<li><code>") != 10 {
			t.Errorf("new recovery codes: %d %s", renewed.StatusCode, renewed.text)
		}
		elsewhere := s.browser()
		if done := elsewhere.submit(elsewhere.by(s, securityPage), "do", "code", "code", recovery[0]); done.StatusCode != 401 {
			t.Errorf("a recovery code before the last: %d", done.StatusCode)
		}
		// Somebody else's authenticator is not theirs to remove.
		foreign, _ := s.app.enrolled(t, "montana")
		b.submit(page, "do", "remove", "authenticator", foreign)
		if n := s.count("SELECT count(*) FROM authenticators"); n != 2 {
			t.Errorf("%d authenticators", n)
		}
		// The command line helps the last administrator.
		configuration, err := readConfiguration(written(t, everything), environment(uri), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := (resetSecondFactor{fixtures.DemoAdministrator}).Run(t.Context(), configuration); err != nil {
			t.Fatal(err)
		}
		if v := s.browser().by(s, securityPage); !strings.Contains(v.text, `value="add-app"`) {
			t.Errorf("after the reset: %d %s", v.StatusCode, v.text)
		}
		if n := s.count("SELECT count(*) FROM authenticators"); n != 1 {
			t.Errorf("%d authenticators", n)
		}
	})
}

// TestSecondFactorLimited tries out codes until no more are taken, not even the right one.
func TestSecondFactorLimited(t *testing.T) {
	s := start(t, sqliteURI(t), everything+"auth: {sign_in: {per_account: 3, window: 1h}}\n")
	id, montana := s.person("montana")
	p, recovery := s.app.enrol(t, id)
	for _, c := range []struct {
		code   string
		status int
	}{{"000000", 401}, {recovery[0], 200}, {"000000", 401}, {"AAAA-AAAA-AAAA-AAAA", 401}, {recovery[1], 429}, {p.code(0), 429}} {
		b := s.browser()
		v := b.submit(b.by(montana, securityPage), "do", "code", "code", c.code)
		if v.StatusCode != c.status || b.signedIn() != (c.status == 200) || (v.Header.Get("Retry-After") != "") != (c.status == 429) {
			t.Errorf("%s: %d %v", c.code, v.StatusCode, v.Header)
		}
	}
}

// enrolled gives a user a phone past the pages, and returns the id of the authenticator.
func (a *app) enrolled(t *testing.T, username string) (id string, p phone) {
	t.Helper()
	account, err := a.password(t.Context(), username)
	if err != nil || account.Hash == "" {
		t.Fatal(username, err)
	}
	p, _ = a.enrol(t, account.Principal.ID.String())
	held, err := a.factors.Of(t.Context(), account.Principal.ID)
	if err != nil {
		t.Fatal(err)
	}
	return held[len(held)-1].ID.String(), p
}

// TestConcurrentAuthenticators adds and removes authenticators of one user at once: User.SecondFactor is right in the end.
func TestConcurrentAuthenticators(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		id, _ := s.person("montana")
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() { s.app.enrol(t, id) })
		}
		group.Wait()
		held, err := s.app.factors.Of(t.Context(), ulid.MustParse(id))
		if err != nil || len(held) != 8 {
			t.Fatal(len(held), err)
		}
		if n := s.count("SELECT count(*) FROM recovery_codes"); n != 10 {
			t.Errorf("%d recovery codes", n)
		}
		for i := range held {
			group.Go(func() {
				if a, err := s.try("DELETE", "/api/admin/v1/authenticators/"+held[i].ID.String(), nil); err != nil || a.StatusCode != 204 {
					t.Error(a.StatusCode, err)
				}
			})
		}
		group.Wait()
		if dig(s.get("users/"+id), "data", "attributes", "second_factor") != false || s.count("SELECT count(*) FROM recovery_codes") != 0 {
			t.Error("something is left of the authenticators")
		}
		for range factor.Max {
			s.app.enrol(t, id)
		}
		who := &auth.Principal{Type: "user", ID: ulid.MustParse(id), Name: "montana"}
		p := phone{t, factor.NewSecret()}
		if _, err := s.app.factors.AddApp(t.Context(), who, "One more", p.secret, p.code(0)); err != factor.ErrFull {
			t.Errorf("one too many: %v", err)
		}
	})
}

// TestPasskeys has Chromium set up a passkey of a virtual authenticator, and sign in by it. REEVE_SCREENSHOTS is a folder
// for what it shows.
func TestPasskeys(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		settled(t)
		configuration := atKnownPort(t)
		base := "http://localhost:" + regexp.MustCompile(`127\.0\.0\.1:([0-9]+)`).FindStringSubmatch(configuration)[1] // an address has no passkeys
		s := start(t, uri, strings.Replace(configuration, "http:\n", "http:\n  public_base: "+base+"\n", 1))
		s.person("montana")
		done := runScript(t, "passkey.js", "REEVE_URL="+base)
		want := map[string]any{
			"codes": 10.0, "again": "This device has a passkey of yours already.", "signedIn": true, "cancelled": true, "replayed": 401.0,
			"copied": true, "withoutScript": true, "problems": []any{},
		}
		if diff := cmp.Diff(want, done); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if n := s.count("SELECT count(*) FROM events WHERE verb = 'second-factor-failed'"); n != 2 {
			t.Errorf("%d attempts failed", n)
		}
	})
}
