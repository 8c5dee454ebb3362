package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/fixtures"
	"reeve/resource/passwordlink"
)

// linkDocument is the document that makes a link for a user.
func linkDocument(user string, attributes map[string]any) map[string]any {
	all := map[string]any{"purpose": passwordlink.Reset}
	for name, value := range attributes {
		all[name] = value
	}
	return resourceDocument("password-link", "", all, map[string]any{"user": toOne("user", user)})
}

// link makes a link for a user, and answers its id, and where it leads to on this server.
func (s *server) link(user string) (id, address string) {
	s.Helper()
	made := s.do(201, "POST", "password-links", linkDocument(user, nil))
	return idOf(made), s.here(dig(made, "data", "attributes", "url"))
}

// here is where a link leads to on this server, which does not know its own port.
func (s *server) here(link any) string {
	s.Helper()
	u, err := url.Parse(fmt.Sprint(link))
	if err != nil || u.Path != passwordlink.Path || u.Query().Get("token") == "" {
		s.Fatalf("the link is %v: %v", link, err)
	}
	return s.bases[0] + u.Path + "?" + u.RawQuery
}

// accepts sends a user's name and password, and reports whether they are right.
func (s *server) accepts(name, password string) bool {
	s.Helper()
	as := *s
	as.user = name + ":" + password
	return as.send("GET", "/api/admin/v1/me", nil).StatusCode == 200
}

// works reports whether a link shows its form. One that does not work says the same as one that never was.
func (b *browser) works(address string) bool {
	b.Helper()
	v := b.visit(address)
	if v.StatusCode == 200 && strings.Contains(v.text, `name="password"`) {
		return true
	}
	never := b.visit(b.bases[0] + passwordlink.Path + "?token=" + auth.NewToken(auth.LinkToken))
	if v.StatusCode != 404 || v.text != never.text || never.StatusCode != 404 {
		b.Errorf("a link that does not work: %d %s, not %s", v.StatusCode, v.text, never.text)
	}
	return false
}

// TestPasswordLink has a user set a password with a link: once, and not by looking at it.
func TestPasswordLink(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		id := idOf(s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": "wanda"}, nil)))
		made := s.do(201, "POST", "password-links", linkDocument(id, map[string]any{"purpose": "invitation"}))
		link, address := idOf(made), s.here(dig(made, "data", "attributes", "url"))
		attributes := dig(s.get("password-links/"+link), "data", "attributes").(map[string]any)
		created, _ := time.Parse(time.RFC3339, fmt.Sprint(attributes["created_at"]))
		expires, _ := time.Parse(time.RFC3339, fmt.Sprint(attributes["expires_at"]))
		if attributes["url"] != nil || attributes["used_at"] != nil || expires.Sub(created) != 72*time.Hour {
			t.Errorf("the link is %v", attributes)
		}

		b := s.browser()
		var page view
		for range 3 {
			page = b.visit(address)
			if page.StatusCode != 200 || !strings.Contains(page.text, "wanda") || !strings.Contains(page.text, `autocomplete="new-password"`) {
				t.Fatalf("the page: %d %s", page.StatusCode, page.text)
			}
		}
		for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"} {
			if got := page.Header.Get(name); got != want {
				t.Errorf("%s is %q", name, got)
			}
		}
		if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "form-action 'self'") {
			t.Errorf("the policy is %q", policy)
		}

		events := s.events()
		for name, fields := range map[string][]string{
			"weak":     {"password", "superman", "again", "superman"},
			"one's":    {"password", "Wanda1234", "again", "Wanda1234"},
			"too long": {"password", strings.Repeat("long ", 300), "again", strings.Repeat("long ", 300)},
			"none":     {"password", "", "again", ""},
			"two":      {"password", "poo-tee-weet 1969", "again", "poo-tee-weet 1970"},
		} {
			v := b.submit(page, append(fields, "do", "set")...)
			if v.StatusCode != 422 || !strings.Contains(v.text, `role="alert"`) || !strings.Contains(v.text, `name="again"`) || fields[1] != "" && strings.Contains(v.text, fields[1]) {
				t.Errorf("%s: %d %s", name, v.StatusCode, v.text)
			}
		}
		if v := b.submit(page, "password", "poo-tee-weet\x001969", "again", "poo-tee-weet\x001969", "do", "set"); v.StatusCode != 400 {
			t.Errorf("NUL: %d", v.StatusCode)
		}
		forged, err := http.NewRequestWithContext(t.Context(), "POST", address, strings.NewReader("do=set&password=poo-tee-weet+1969&again=poo-tee-weet+1969"))
		if err != nil {
			t.Fatal(err)
		}
		forged.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		forged.Header.Set("Sec-Fetch-Site", "cross-site")
		if v := b.load(forged); v.StatusCode != 403 {
			t.Errorf("from another site: %d", v.StatusCode)
		}
		if now := s.events(); now != events || !b.works(address) {
			t.Errorf("what was refused left %d events, or used the link", now-events)
		}

		if v := b.submit(page, "password", "poo-tee-weet 1969", "again", "poo-tee-weet 1969", "do", "set"); v.StatusCode != 200 || strings.Contains(v.text, `name="password"`) {
			t.Fatalf("the password is not set: %d %s", v.StatusCode, v.text)
		}
		if !s.accepts("wanda", "poo-tee-weet 1969") {
			t.Error("the new password does not sign in")
		}
		if again := b.submit(page, "password", "poo-tee-weet 1970", "again", "poo-tee-weet 1970", "do", "set"); again.StatusCode != 404 || b.works(address) || s.accepts("wanda", "poo-tee-weet 1970") {
			t.Errorf("the link works twice: %d", again.StatusCode)
		}
		if used := s.get("password-links?filter[status]=used&filter[user]=" + id); dig(used, "data", 0, "id") != link || dig(used, "data", 0, "attributes", "used_at") == nil {
			t.Errorf("the used links are %v", used)
		}
		if diff := cmp.Diff([]string{"use by wanda: <nil>"}, s.trail("filter[verb]=use&filter[target]="+link)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if diff := cmp.Diff([]string{"set-password by wanda: map[password_hash:map[]]"}, s.trail("filter[verb]=set-password&filter[target]="+id)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		use, set := s.get("events?filter[verb]=use"), s.get("events?filter[verb]=set-password")
		if request := dig(use, "data", 0, "attributes", "request"); request == nil || request != dig(set, "data", 0, "attributes", "request") {
			t.Errorf("the requests of the two events are %v and %v", request, dig(set, "data", 0, "attributes", "request"))
		}
		for _, table := range []string{"password_links", "events"} {
			if n := s.count("SELECT count(*) FROM " + table + " AS t WHERE CAST(t." + map[string]string{"password_links": "hash", "events": "changes"}[table] + " AS text) LIKE '%rvl%'"); n > 0 {
				t.Errorf("%d rows of %s have the token", n, table)
			}
		}
	})
}

// TestPasswordLinkOnce has several make links of a user at once: one of them is good. Then several use it at once, with
// passwords of their own: one of them is it.
func TestPasswordLinkOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		id, _ := s.person("wanda")
		const callers = 6
		var statuses [callers]int
		var addresses [callers]string
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				made, err := s.try("POST", "/api/admin/v1/password-links", linkDocument(id, nil))
				if err != nil || made.StatusCode != 201 {
					t.Errorf("making one of several: %v, %v", made.Response, err)
					return
				}
				addresses[i] = fmt.Sprint(dig(made.document, "data", "attributes", "url"))
			})
		}
		all.Wait()
		if n := dig(s.get("password-links?filter[status]=active&filter[user]="+id), "meta", "count"); n != 1.0 || t.Failed() {
			t.Fatalf("of links that were made at once %v are good", n)
		}
		var address string
		for _, a := range addresses {
			if s.browser().works(s.here(a)) {
				address = s.here(a)
			}
		}
		password := func(i int) string { return fmt.Sprint("poo-tee-weet number ", i) }
		pages, browsers := [callers]view{}, [callers]*browser{}
		for i := range callers {
			browsers[i] = s.browser()
			pages[i] = browsers[i].visit(address)
		}
		for i := range callers {
			all.Go(func() {
				r, err := http.NewRequestWithContext(t.Context(), "POST", address, strings.NewReader(url.Values{"do": {"set"}, "password": {password(i)}, "again": {password(i)}}.Encode()))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Origin", s.bases[0])
				answer, err := browsers[i].Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				defer answer.Body.Close()
				statuses[i] = answer.StatusCode
			})
		}
		all.Wait()
		winner := slices.Index(statuses[:], 200)
		if winner < 0 || !s.accepts("wanda", password(winner)) {
			t.Fatalf("the answers are %v", statuses)
		}
		for i, status := range statuses {
			if i != winner && status != 404 {
				t.Errorf("the answers are %v", statuses)
			}
		}
	})
}

// TestPasswordLinkEnds ends links in every way but by their use.
func TestPasswordLinkEnds(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+seedClients)
		id, as := s.person("wanda")
		b := s.browser()
		gone := func(how, address string, end func()) {
			t.Helper()
			if !b.works(address) {
				t.Errorf("before %s: it does not work", how)
			}
			end()
			if b.works(address) {
				t.Errorf("%s: it works still", how)
			}
		}
		link, address := s.link(id)
		var next string
		gone("another link", address, func() { _, next = s.link(id) })
		if status := dig(s.get("password-links?filter[status]=expired"), "data", 0, "id"); status != link {
			t.Errorf("the expired one is %v", status)
		}
		gone("set-password", next, func() {
			s.do(204, "POST", "users/"+id+"/set-password", map[string]any{"password": "so-it-goes-on-1970"})
		})
		as.user = "wanda:so-it-goes-on-1970"
		_, address = s.link(id)
		gone("change-password", address, func() {
			as.do(204, "POST", "users/"+id+"/change-password", map[string]any{"current_password": "so-it-goes-on-1970", "password": "so-it-goes-on-1971"})
		})
		link, address = s.link(id)
		gone("expire", address, func() { s.do(200, "POST", "password-links/"+link+"/expire", nil) })
		s.do(409, "POST", "password-links/"+link+"/expire", nil)
		link, address = s.link(id)
		gone("DELETE", address, func() { s.do(204, "DELETE", "password-links/"+link, nil) })
		link, address = s.link(id)
		gone("its time", address, func() {
			_, err := s.app.links.Update(t.Context(), ulid.MustParse(link), func(l *passwordlink.Link) error {
				l.ExpiresAt = time.Now().Add(-time.Second)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})

		// A locked user stays locked; the link waits.
		_, address = s.link(id)
		gone("lock", address, func() { s.do(200, "POST", "users/"+id+"/lock", nil) })
		s.do(200, "POST", "users/"+id+"/unlock", nil)
		gone("deactivate", address, func() { s.do(200, "POST", "users/"+id+"/deactivate", nil) })
		if refused := s.do(409, "POST", "password-links", linkDocument(id, nil)); dig(refused, "errors", 0, "source", "pointer") != "/data/relationships/user" {
			t.Errorf("a link for somebody deactivated: %v", refused)
		}
		s.do(200, "POST", "users/"+id+"/reactivate", nil)
		if b.works(address) {
			t.Error("reactivate gives a link back")
		}
		link, address = s.link(id)
		gone("the user's end", address, func() { s.do(204, "DELETE", "users/"+id, nil) })
		s.do(404, "GET", "password-links/"+link, nil)

		// Their sessions end with the use of a link.
		id, _ = s.person("wanda")
		theirs := s.browser()
		theirs.submit(theirs.visit(s.bases[0]+"/device"), "do", "sign-in", "username", "wanda", "password", "so-it-goes-on-1969")
		if !strings.Contains(theirs.visit(s.bases[0]+"/device").text, "wanda") {
			t.Fatal("nobody is signed in")
		}
		_, address = s.link(id)
		if v := theirs.submit(theirs.visit(address), "password", "poo-tee-weet 1969", "again", "poo-tee-weet 1969", "do", "set"); v.StatusCode != 200 {
			t.Fatalf("with a link in a browser that is signed in: %d %s", v.StatusCode, v.text)
		}
		if strings.Contains(theirs.visit(s.bases[0]+"/device").text, "wanda") {
			t.Error("the session goes on")
		}
	})
}

// TestPasswordLinkRights makes links that their makers may not make.
func TestPasswordLinkRights(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		admin := idOf(s.get("users/by-username/" + fixtures.DemoAdministrator))
		id, _ := s.person("wanda")
		now := time.Now()
		for name, c := range map[string]struct {
			attributes map[string]any
			status     int
			pointer    string
		}{
			"30 days":    {map[string]any{"expires_at": now.Add(30*24*time.Hour - time.Minute).Format(time.RFC3339)}, 201, ""},
			"longer":     {map[string]any{"expires_at": now.Add(30*24*time.Hour + time.Minute).Format(time.RFC3339)}, 422, "/data/attributes/expires_at"},
			"past":       {map[string]any{"expires_at": now.Add(-time.Minute).Format(time.RFC3339)}, 422, "/data/attributes/expires_at"},
			"never":      {map[string]any{"expires_at": nil}, 422, "/data/attributes/expires_at"},
			"no purpose": {map[string]any{"purpose": "fun"}, 422, "/data/attributes/purpose"},
			"a url":      {map[string]any{"url": "https://example.com/"}, 403, "/data/attributes/url"},
		} {
			a := s.send("POST", "/api/admin/v1/password-links", linkDocument(id, c.attributes))
			if pointer, _ := dig(a.document, "errors", 0, "source", "pointer").(string); a.StatusCode != c.status || pointer != c.pointer {
				t.Errorf("%s: %d %s", name, a.StatusCode, a.text)
			}
		}
		s.do(201, "POST", "roles", resourceDocument("role", "", map[string]any{"name": "reception", "permissions": []string{"password-link:create", "user:set-password"}}, nil))
		_, as := s.person("reception", idOf(s.get("roles/by-name/reception")))
		as.do(201, "POST", "password-links", linkDocument(id, nil))
		if refused := as.do(403, "POST", "password-links", linkDocument(admin, nil)); dig(refused, "errors", 0, "source", "pointer") != "/data/relationships/user" {
			t.Errorf("a link for an administrator: %v", refused)
		}
		if n := s.count("SELECT count(*) FROM password_links"); n != 2 {
			t.Errorf("there are %d links", n)
		}
		_, nobody := s.person("nobody")
		nobody.do(403, "POST", "password-links", linkDocument(id, nil))
		nobody.do(403, "GET", "password-links", nil)
	})
}

// command is the program as a child that runs a command over a database.
func command(t *testing.T, uri string, arguments ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0], arguments...)
	cmd.Env = append(append(os.Environ(), asProgram+"=1"), environment(uri)...)
	return cmd
}

// TestInvite makes a link on the command line.
func TestInvite(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": "wanda"}, nil))
		for _, purpose := range []string{"invitation", "reset"} {
			out, err := command(t, uri, "user", "invite", "wanda", "--for", "1h").Output()
			if err != nil {
				t.Fatal(err)
			}
			b := s.browser()
			v := b.visit(s.here(strings.TrimSpace(string(out))))
			if v = b.submit(v, "password", "poo-tee-weet "+purpose, "again", "poo-tee-weet "+purpose, "do", "set"); v.StatusCode != 200 || !s.accepts("wanda", "poo-tee-weet "+purpose) {
				t.Errorf("%s: %d %s", purpose, v.StatusCode, v.text)
			}
			if dig(s.get("password-links?filter[purpose]="+purpose), "data", 0, "attributes", "used_at") == nil {
				t.Errorf("no %s was used", purpose)
			}
		}
		if err := command(t, uri, "user", "invite", "nobody").Run(); err == nil {
			t.Error("nobody is invited")
		}
	})
}

// TestPasswordLinkPage has a real browser set a password with a link.
func TestPasswordLinkPage(t *testing.T) {
	s := start(t, sqliteURI(t), everything)
	id := idOf(s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": "wanda", "display_name": "Wanda June"}, nil)))
	_, address := s.link(id)
	done := runScript(t, "password.js", "REEVE_LINK="+address)
	want := map[string]any{"username": "wanda", "differ": true, "weak": true, "set": "Your password is set", "wrong": true, "signedIn": true, "dead": "This link does not work", "problems": []any{}}
	if diff := cmp.Diff(want, done); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestPasswordLinkLimit tries out tokens of links.
func TestPasswordLinkLimit(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+"\nauth: {sign_in: {per_address: 3}}\n")
		id, _ := s.person("wanda")
		_, address := s.link(id)
		b := s.browser()
		for range 5 { // what works is no attempt
			if v := b.visit(address); v.StatusCode != 200 {
				t.Fatalf("the link: %d", v.StatusCode)
			}
		}
		var statuses []int
		var last view
		for range 4 {
			last = b.visit(s.bases[0] + passwordlink.Path + "?token=" + auth.NewToken(auth.LinkToken))
			statuses = append(statuses, last.StatusCode)
		}
		if !slices.Equal(statuses, []int{404, 404, 404, 429}) || last.Header.Get("Retry-After") == "" {
			t.Errorf("the answers are %v, the last one with %v", statuses, last.Header)
		}
		s.get("users") // which is another kind of attempt
	})
}
