package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/oauth2"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/activity"
	"reeve/resource/session"
)

// current are the sessions that are marked as the caller's, when a token asks for those that meet a filter.
func (s *server) current(c credential, filter string) (ids []string) {
	s.Helper()
	page := s.send("GET", "/api/admin/v1/sessions?page[first]=1000&"+filter, nil, "Authorization: "+c.header)
	for i := range idsOf(page.document) {
		if dig(page.document, "data", i, "attributes", "current") == true {
			ids = append(ids, dig(page.document, "data", i, "id").(string))
		}
	}
	return ids
}

// sessionOf is the session of a personal token.
func (s *server) sessionOf(c credential) string {
	s.Helper()
	return fmt.Sprint(dig(s.get("tokens/"+c.id), "data", "relationships", "session", "data", "id"))
}

// TestActivity sees that requests are noted in the user, the session and the token that they belong to, soon or when
// the server stops, and that nobody is told.
func TestActivity(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+example)
		c, access := s.personalToken("report"), s.accessToken()
		s.warm(c, 200)
		flush := func() {
			t.Helper()
			if err := s.app.activity.Flush(t.Context(), activity.Interval); err != nil {
				t.Fatal(err)
			}
		}
		flush()
		events, begun := s.events(), time.Now()
		of := s.sessionOf(c)
		version := func(a answer) string { version, _, _ := strings.Cut(a.Header.Get("ETag"), "."); return version }
		before := version(s.send("GET", "/api/admin/v1/sessions/"+of, nil))
		for range 3 {
			if a := s.send("GET", "/api/admin/v1/me", nil, "Authorization: "+c.header, "User-Agent: report/1.0 \xff"); a.StatusCode != 200 {
				t.Fatalf("%d %s", a.StatusCode, a.text)
			}
			s.ask(access)
		}
		flush() // within the minute
		if n := s.count("SELECT count(*) FROM sessions WHERE user_agent = 'report/1.0 '"); n != 0 {
			t.Error("activity is written twice within a minute")
		}
		if err := s.app.activity.Flush(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		noted := s.send("GET", "/api/admin/v1/sessions/"+of, nil)
		for name, want := range map[string]any{"last_active_ip": "127.0.0.1", "user_agent": "report/1.0 ", "kind": "personal", "secure": false, "current": false} {
			if got := dig(noted.document, "data", "attributes", name); got != want {
				t.Errorf("the session's %s is %v, not %v", name, got, want)
			}
		}
		for path, name := range map[string]string{
			"sessions/" + of: "last_active_at", "sessions/" + access.id: "last_active_at", "users/" + c.owner: "last_active_at", "tokens/" + c.id: "last_used_at",
		} {
			text := fmt.Sprint(dig(s.get(path), "data", "attributes", name))
			if at, err := time.Parse(time.RFC3339Nano, text); err != nil || at.Before(begun.Add(-time.Second)) || at.After(time.Now()) {
				t.Errorf("%s of %s is %s", name, path, text)
			}
		}
		if s.events() != events || version(noted) != before {
			t.Error("an activity left an event, or changed a version")
		}
	})
}

// TestActivityOnStop sees that what is not written yet is written when the server stops.
func TestActivityOnStop(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		var owner string
		t.Run("serving", func(t *testing.T) {
			s := start(t, uri, everything)
			c := s.personalToken("report")
			owner = c.owner
			s.ask(c)
		})
		s := newTestServer(t, uri)
		if n := s.count("SELECT count(*) FROM users WHERE username = 'report' AND last_active_at IS NOT NULL"); n != 1 {
			t.Errorf("the activity of %s is lost", owner)
		}
	})
}

// TestFinish sees that a session and its personal token end with one another, and what of a user's sessions ends when.
func TestFinish(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		if strings.HasPrefix(uri, "postgres") {
			uri += "&deadlock_timeout=1min" // so that nothing resolves one
		}
		s := start(t, uri, everything+example)
		now := time.Now()
		state := func(c credential) string {
			return fmt.Sprint(dig(s.get("sessions/"+s.sessionOf(c)), "data", "attributes", "finished_at") != nil, " ",
				dig(s.get("tokens/"+c.id), "data", "attributes", "revoked_at") != nil, " ", s.ask(c))
		}
		c := s.personalToken("first")
		s.warm(c, 200)
		if got := s.current(c, "filter[user]="+c.owner); !slices.Equal(got, []string{s.sessionOf(c)}) {
			t.Errorf("the current session is %v", got)
		}
		s.do(200, "POST", "sessions/"+s.sessionOf(c)+"/finish", nil)
		if got := state(c); got != "true true 401" {
			t.Errorf("finished: %s", got)
		}
		s.do(409, "POST", "tokens/"+c.id+"/revoke", nil)
		c = s.personalToken("second")
		s.warm(c, 200)
		s.do(200, "POST", "tokens/"+c.id+"/revoke", nil)
		if got := state(c); got != "true true 401" {
			t.Errorf("revoked: %s", got)
		}
		s.do(409, "POST", "sessions/"+s.sessionOf(c)+"/finish", nil)
		// Both ways at once, again and again: each token is revoked once, and nobody waits for ever.
		for i := range 10 {
			c := s.personalToken(fmt.Sprintf("both-%d", i))
			path, done := "sessions/"+s.sessionOf(c)+"/finish", make(chan int, 2)
			for _, path := range []string{path, "tokens/" + c.id + "/revoke"} {
				go func() {
					a, err := s.try("POST", "/api/admin/v1/"+path, nil)
					if err != nil {
						t.Error(err)
						done <- 0
						return
					}
					done <- a.StatusCode
				}()
			}
			statuses := []int{<-done, <-done}
			if slices.Sort(statuses); !slices.Equal(statuses, []int{200, 409}) || state(c) != "true true 401" {
				t.Errorf("both at once: %v, %s", statuses, state(c))
			}
		}

		// Of a user's sessions: those of sign-ins, then of tokens, but not the caller's.
		c = s.personalToken("third")
		s.warm(c, 200)
		add := func(kinds ...string) (ids []string) {
			t.Helper()
			for _, kind := range kinds {
				row := &session.Session{ID: resource.NamedID("session", fmt.Sprint(kind, time.Now().UnixNano())), Kind: kind, CreatedAt: now}
				row.User = ulid.MustParse(c.owner)
				if err := s.app.sessions.Create(t.Context(), row); err != nil {
					t.Fatal(err)
				}
				ids = append(ids, row.ID.String())
			}
			return ids
		}
		active := func(want int) {
			t.Helper()
			if got := dig(s.get("sessions?count=only&filter[status]=active&filter[user]="+c.owner), "meta", "count"); got != float64(want) {
				t.Errorf("%v sessions are active, not %d", got, want)
			}
		}
		finish := func(arguments map[string]any, want int, headers ...string) {
			t.Helper()
			a := s.send("POST", "/api/admin/v1/users/"+c.owner+"/finish-sessions", arguments, headers...)
			if a.StatusCode != 200 || dig(a.document, "meta", "finished") != float64(want) {
				t.Errorf("finish-sessions: %d %s, not %d", a.StatusCode, a.text, want)
			}
		}
		add("browser", "oauth2", "compat", "stream")
		finish(map[string]any{}, 4)
		active(1)
		add("browser")
		finish(map[string]any{"tokens": true, "except_current": true}, 1, "Authorization: "+c.header)
		if status := s.ask(c); status != 200 {
			t.Errorf("the caller's own token: %d", status)
		}
		add("browser", "oauth2")
		s.do(204, "POST", "users/"+c.owner+"/set-password", map[string]any{"password": "slaughterhouse five", "finish_sessions": false})
		active(3)
		s.do(200, "POST", "users/"+c.owner+"/lock", nil)
		active(3)
		if status := s.ask(c); status != 401 {
			t.Errorf("locked: %d", status)
		}
		s.do(200, "POST", "users/"+c.owner+"/unlock", nil)
		if status := s.ask(c); status != 200 {
			t.Errorf("unlocked: %d", status)
		}
		s.do(204, "POST", "users/"+c.owner+"/set-password", map[string]any{"password": "slaughterhouse five"})
		active(1)
		finish(map[string]any{"tokens": true}, 1)
		if got := state(c); got != "true true 401" {
			t.Errorf("with its tokens: %s", got)
		}
		finish(map[string]any{"tokens": true}, 0)
		c = s.personalToken("fourth")
		add("browser", "oauth2")
		s.do(200, "POST", "users/"+c.owner+"/deactivate", nil)
		active(0)
		if got := state(c); got != "true true 401" {
			t.Errorf("deactivated: %s", got)
		}
		// An access token's session is current too, and takes its token along.
		access := s.accessToken()
		if got := s.current(access, "filter[status]=active&filter[client]="+exampleClient); !slices.Equal(got, []string{access.id}) {
			t.Errorf("the current session is %v", got)
		}
	})
}

// TestRegenerate sees that a token made anew takes the place of the former at once, and can do no more than its maker.
func TestRegenerate(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		c := s.personalToken("service")
		s.warm(c, 200)
		made := s.do(200, "POST", "tokens/"+c.id+"/regenerate", nil)
		next := credential{header: "Bearer " + fmt.Sprint(dig(made, "data", "attributes", "token"))}
		if before, after := s.ask(c), s.ask(next); before != 401 || after != 200 {
			t.Errorf("the former token gets %d, the next one %d", before, after)
		}
		if got := s.current(next, "filter[user]="+c.owner); !slices.Equal(got, []string{s.sessionOf(c)}) {
			t.Errorf("the current session is %v", got)
		}
		expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
		made = s.do(200, "POST", "tokens/"+c.id+"/regenerate", map[string]any{"expires_at": expires.Format(time.RFC3339)})
		if got := dig(made, "data", "attributes", "expires_at"); got != expires.Format("2006-01-02T15:04:05.000000Z") {
			t.Errorf("it expires at %v", got)
		}
		last := credential{header: "Bearer " + fmt.Sprint(dig(made, "data", "attributes", "token"))}
		s.do(422, "POST", "tokens/"+c.id+"/regenerate", map[string]any{"expires_at": "2020-01-01T00:00:00Z"})
		s.do(404, "POST", "tokens/regenerate?filter[user]="+c.owner, nil)
		weak := s.do(201, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "weak", "scopes": []string{"urn:reeve:token:regenerate"}},
			map[string]any{"user": toOne("user", c.owner)}))
		if a := s.send("POST", "/api/admin/v1/tokens/"+c.id+"/regenerate", nil, "Authorization: Bearer "+dig(weak, "data", "attributes", "token").(string)); a.StatusCode != http.StatusForbidden {
			t.Errorf("a token for more than its maker may: %d %s", a.StatusCode, a.text)
		}
		if status := s.ask(last); status != 200 {
			t.Errorf("what was refused took the token away: %d", status)
		}
		if text := fmt.Sprint(s.get("events?filter[verb]=regenerate")); !strings.Contains(text, "hash:map[]") || strings.Contains(text, strings.TrimPrefix(last.header, "Bearer ")) {
			t.Errorf("the trail says %s", text)
		}
		s.do(200, "POST", "tokens/"+c.id+"/revoke", nil)
		s.do(409, "POST", "tokens/"+c.id+"/regenerate", nil)
	})
}

// begun has whoever has signed in with a browser let a program and a device in. What is returned exchanges the one's code,
// and has the other ask for its token.
func (s *server) begun(b *browser) (code, device func() error) {
	s.Helper()
	c := s.oauthClient(terminalClient, auth.AdminScope)
	text := b.consent(c, oauth2.S256ChallengeOption(verifier)).Query().Get("code")
	waiting, err := c.DeviceAuth(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	if v := b.submit(b.visit(s.bases[0]+"/device?user_code="+waiting.UserCode), "do", "allow"); v.StatusCode != 200 {
		s.Fatalf("letting a device in: %d %s", v.StatusCode, v.text)
	}
	waiting.Interval = 1
	return func() error {
			_, err := c.Exchange(s.Context(), text, oauth2.VerifierOption(verifier))
			return err
		}, func() error {
			_, err := c.DeviceAccessToken(s.Context(), waiting)
			return err
		}
}

// TestSignedInEnds sees what becomes of a user's browser, access token and refresh token, remembered by the node, and of a code and
// a device that the user has let in, when their sessions or their account end, or are locked.
func TestSignedInEnds(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+seedClients)
		for action, arguments := range map[string]any{
			"finish-sessions": map[string]any{}, "set-password": map[string]any{"password": "slaughterhouse five"}, "deactivate": nil, "lock": nil,
		} {
			name := "montana-" + action
			id := idOf(s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": name, "password": "tralfamadore"}, nil)))
			s.do(200, "POST", "users/"+id+"/set-admin", map[string]any{"admin": true})
			b, config := s.browser(), s.oauthClient(pageClient, auth.AdminScope)
			authorize := config.AuthCodeURL("x", oauth2.S256ChallengeOption("y"))
			b.submit(b.visit(authorize), "do", "sign-in", "username", name, "password", "tralfamadore")
			token := b.tokens(config)
			code, device := s.begun(b)
			c := credential{header: "Bearer " + token.AccessToken, owner: id}
			s.warm(c, 200)
			if kinds := s.get("sessions?filter[status]=active&filter[kind]=browser&filter[user]=" + id); dig(kinds, "meta", "count") != 1.0 {
				t.Errorf("%s: %v", action, kinds["meta"])
			}
			byPassword := func() int {
				return s.send("GET", "/api/admin/v1/me", nil, "Authorization: "+basicHeader(name, "tralfamadore")).StatusCode
			}
			if status := byPassword(); status != 200 { // and so it is remembered
				t.Fatalf("by the password: %d", status)
			}
			a := s.send("POST", "/api/admin/v1/users/"+id+"/"+action, arguments)
			if status := s.ask(c); a.StatusCode/100 != 2 || status != 401 {
				t.Errorf("%s: %d, then %d", action, a.StatusCode, status)
			}
			if status := byPassword(); (status == 401) != (action != "finish-sessions") {
				t.Errorf("%s: by the password %d", action, status)
			}
			if v := b.visit(authorize); !strings.Contains(v.text, `name="password"`) {
				t.Errorf("%s: the browser is signed in still", action)
			}
			if action == "lock" {
				if _, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token(); errorCode(err) != "invalid_grant" {
					t.Errorf("somebody who is locked refreshes: %v", err)
				}
				s.do(200, "POST", "users/"+id+"/unlock", nil)
				if next, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token(); err != nil || byPassword() != 200 {
					t.Errorf("unlocked: %v, %v", next, err)
				}
				if err := code(); err != nil {
					t.Errorf("unlocked: the code: %v", err)
				}
				if err := device(); err != nil {
					t.Errorf("unlocked: the device: %v", err)
				}
				if v := b.visit(authorize); s.ask(c) != 200 || strings.Contains(v.text, `name="password"`) {
					t.Errorf("%s ended something", action)
				}
				continue
			}
			if _, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token(); errorCode(err) != "invalid_grant" {
				t.Errorf("%s: the refresh token: %v", action, err)
			}
			if action == "deactivate" {
				s.do(200, "POST", "users/"+id+"/reactivate", nil)
			}
			for what, exchange := range map[string]func() error{"a code": code, "a device that was let in": device} {
				if err := exchange(); errorCode(err) != "invalid_grant" {
					t.Errorf("%s outlives %s: %v", what, action, err)
				}
			}
		}
	})
}

// TestSignInMeetsNewPassword has a password set while others sign in by the former: none of them stays signed in.
func TestSignInMeetsNewPassword(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+seedClients+"auth: {sign_in: {per_account: 0, per_address: 0}}\n")
		id := idOf(s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": "montana", "password": "poo-tee-weet 1969 0"}, nil)))
		address := s.oauthClient(pageClient).AuthCodeURL("x", oauth2.S256ChallengeOption(verifier))
		for i := range 8 {
			var all sync.WaitGroup
			for range 4 {
				b := s.browser()
				page := b.visit(address)
				all.Go(func() {
					b.submit(page, "do", "sign-in", "username", "montana", "password", fmt.Sprint("poo-tee-weet 1969 ", i))
				})
			}
			s.do(204, "POST", "users/"+id+"/set-password", map[string]any{"password": fmt.Sprint("poo-tee-weet 1969 ", i+1)})
			all.Wait()
			if n := dig(s.get("sessions?count=only&filter[status]=active&filter[user]="+id), "meta", "count"); n != 0.0 {
				t.Fatalf("%v sessions outlive the password", n)
			}
		}
	})
}
