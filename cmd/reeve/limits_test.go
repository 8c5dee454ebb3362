package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"reeve/resource"
)

// day has a window so long that no test meets its end, but for one at midnight.
const day = "auth: {sign_in: {per_account: 4, per_address: 12, window: 24h}}\n"

// signIn tries to sign in by Basic.
func (s *server) signIn(name, password string) answer {
	s.Helper()
	as := *s
	as.user = name + ":" + password
	return as.send("GET", "/api/admin/v1/me", nil)
}

// limited checks that an answer is that to an attempt too many.
func (s *server) limited(what string, a answer) {
	s.Helper()
	seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if a.StatusCode != 429 || dig(a.document, "errors", 0, "code") != string(resource.TooManyRequests) || err != nil || seconds < 1 || seconds > 24*60*60 {
		s.Errorf("%s: %d %s, again after %q", what, a.StatusCode, a.text, a.Header.Get("Retry-After"))
	}
}

// refused waits until so many refused attempts are counted.
func (s *server) refused(n int) {
	s.Helper()
	for late := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		counted := s.count("SELECT COALESCE(sum(refused), 0) FROM attempt_tallies")
		if counted == n {
			return
		}
		if time.Now().After(late) {
			s.Fatalf("%d refused attempts are counted, not %d", counted, n)
		}
	}
}

// TestSignInIsLimited has an account guessed at on two nodes: then it is refused on both, by Basic and on the page, as one
// is that nobody has; who is signed in stays so, and others are let in, until there are too many from one address.
func TestSignInIsLimited(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		one := start(t, uri, everything+seedClients+day)
		two := one.another(everything + seedClients + day)
		token := one.personalToken("owner")
		one.person("owned")
		for _, name := range []string{"owned", "nobody"} {
			for i := range 4 {
				node := []*server{one, two}[i%2]
				if a := node.signIn(name, "wrong-horse"); a.StatusCode != 401 {
					t.Errorf("attempt %d on %s: %d", i, name, a.StatusCode)
				}
			}
			one.limited(name, one.signIn(name, "so-it-goes-on-1969"))
			two.limited(name+" on the other node", two.signIn(name, "so-it-goes-on-1969"))
		}
		b := one.browser()
		page := b.submit(b.visit(one.oauthClient(pageClient, "openid").AuthCodeURL("x", oauth2.S256ChallengeOption("x"))),
			"do", "sign-in", "username", "owned", "password", "so-it-goes-on-1969")
		if page.StatusCode != 429 || page.Header.Get("Retry-After") == "" {
			t.Errorf("the page: %d", page.StatusCode)
		}
		if one.ask(token) != 200 || two.ask(token) != 200 {
			t.Error("a token is refused")
		}
		for range 20 { // as the administrator, who is the caller in these tests
			if a := two.send("GET", "/api/admin/v1/me", nil); a.StatusCode != 200 {
				t.Errorf("another account: %d", a.StatusCode)
			}
		}

		// The address has failed eight times; four more are too many.
		for i := range 4 {
			if a := one.signIn(fmt.Sprint("nobody-", i), "wrong-horse"); a.StatusCode != 401 {
				t.Errorf("attempt %d from the address: %d", i, a.StatusCode)
			}
		}
		one.limited("the address", one.signIn("nobody-5", "wrong-horse"))
		two.limited("the address on the other node", two.signIn("nobody-6", "wrong-horse"))
		if a := one.send("GET", "/api/admin/v1/me", nil); a.StatusCode != 200 {
			t.Errorf("who has just signed in from there: %d", a.StatusCode)
		}
		if one.ask(token) != 200 {
			t.Error("a token is refused from the address")
		}

		// Each node has refused some; the trail has one event for each account, and for the address.
		one.refused(3 + 2 + 2)
		if n, err := one.app.attempts.Close(t.Context(), time.Now().AddDate(0, 0, 2)); err != nil || n != 3 {
			t.Errorf("%d events: %v", n, err)
		}
		owned := idsOf(one.get("users?filter[username]=owned"))[0]
		got := map[string]bool{}
		trail := one.get("events?filter[verb]=sign-in-refused")
		for i := range idsOf(trail) {
			event := dig(trail, "data", i)
			got[fmt.Sprintf("%v from %v: %v", dig(event, "relationships", "target", "data", "id"), dig(event, "attributes", "address"), dig(event, "attributes", "count"))] = true
		}
		for _, want := range []string{owned + " from <nil>: 3", "<nil> from <nil>: 2", "<nil> from 127.0.0.1: 2"} {
			if !got[want] {
				t.Errorf("there is no event %q in %v", want, got)
			}
		}
	})
}

// TestTriesAreLimited guesses at the codes of devices, and registers clients, until there have been too many.
func TestTriesAreLimited(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+seedClients+day)
		b := s.browser()
		page := b.signIn(b.visit(s.bases[0] + "/device"))
		device, err := s.oauthClient(terminalClient, "openid").DeviceAuth(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		guess := func(code string, status int) {
			t.Helper()
			if page = b.visit(s.bases[0] + "/device?user_code=" + code); page.StatusCode != status {
				t.Errorf("%s: %d", code, page.StatusCode)
			}
		}
		for range 6 {
			guess(device.UserCode, 200)
		}
		for _, letter := range "BCDF" {
			guess(strings.Repeat(string(letter), 8), 404)
		}
		guess(device.UserCode, 429)
		if page.Header.Get("Retry-After") == "" {
			t.Error("the page does not say when to try again")
		}

		metadata := map[string]any{"redirect_uris": []string{"https://x.example.com/"}}
		s.register(400, map[string]any{"redirect_uris": []string{"nowhere"}}) // which is no attempt
		for range 12 {
			s.register(201, metadata)
		}
		a := s.send("POST", "/oauth2/registration", metadata, "Authorization: ", "Content-Type: application/json")
		if a.StatusCode != 429 || a.document["error"] != string(resource.TooManyRequests) || a.Header.Get("Retry-After") == "" {
			t.Errorf("one client more: %d %s", a.StatusCode, a.text)
		}
		if a := s.signIn("quentin", "wrong-horse"); a.StatusCode != 401 {
			t.Errorf("what else is tried: %d", a.StatusCode)
		}
	})
}
