package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"reeve/resource/session"
	"reeve/resource/token"
)

// trail are the events that a query answers, the latest first, as verb, actor and changes.
func (s *server) trail(query string) (events []string) {
	s.Helper()
	page := s.get("events?sort=-at&page[first]=100&" + query)
	for i := range idsOf(page) {
		attributes := dig(page, "data", i, "attributes")
		events = append(events, fmt.Sprint(dig(attributes, "verb"), " by ", dig(attributes, "actor_name"), ": ", dig(attributes, "changes")))
	}
	return events
}

// TestTrail sees that every write can be found in the trail, by who did what to which resource when, with what it
// changed and nothing that is secret.
func TestTrail(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+example)
		begin := time.Now()
		id := idOf(s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": "montana", "email": "m@example.com", "password": "tralfamadore"}, nil)))
		s.do(200, "PATCH", "users/"+id, resourceDocument("user", id, map[string]any{"email": nil, "display_name": "Montana"}, nil))
		s.do(204, "POST", "users/"+id+"/set-password", map[string]any{"password": "slaughterhouse five"})
		writers := idOf(s.get("groups/by-key/writers"))
		s.do(204, "POST", "groups/"+writers+"/relationships/members", map[string]any{"data": []any{map[string]any{"type": "user", "id": id}}})
		token := s.do(201, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "report", "scopes": []string{"urn:reeve:user:read"}},
			map[string]any{"user": toOne("user", id)}))
		access := s.accessToken()
		locked := s.send("POST", "/api/admin/v1/users/"+id+"/lock", nil, "Authorization: "+access.header, "X-Request-Id: the-lock")
		if locked.StatusCode != 200 {
			t.Fatalf("lock: %d %s", locked.StatusCode, locked.text)
		}
		s.do(204, "DELETE", "users/"+id, nil)

		at := dig(locked.document, "data", "attributes", "locked_at")
		identifier := fmt.Sprintf("map[id:%s type:user]", id)
		want := []string{
			fmt.Sprintf("delete by kilgore-trout: map[display_name:map[from:Montana] locked_at:map[from:%s] password_hash:map[] username:map[from:montana]]", at),
			fmt.Sprintf("lock by %s: map[locked_at:map[from:<nil> to:%s]]", exampleClient, at),
			"set-password by kilgore-trout: map[password_hash:map[]]",
			"update by kilgore-trout: map[display_name:map[from:<nil> to:Montana] email:map[from:m@example.com to:<nil>]]",
			"create by kilgore-trout: map[email:map[to:m@example.com] password_hash:map[] username:map[to:montana]]",
		}
		got := s.trail("filter[target]=" + id)
		if i := strings.Index(got[0], "created_at:"); i > 0 { // which no test knows
			got[0] = got[0][:i] + got[0][i+strings.IndexByte(got[0][i:], ']')+2:]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		for query, want := range map[string][]string{
			"filter[request]=the-lock":                           want[1:2],
			"filter[verb]=set-password":                          want[2:3],
			"filter[verb]=link&filter[target_type]=group":        {fmt.Sprintf("link by kilgore-trout: map[members:map[added:[%s] removed:[]]]", identifier)},
			"filter[actor_type]=client&filter[target_type]=user": want[1:2],
			"filter[actor]=" + id:                                nil,
			"filter[at][before]=" + begin.UTC().Format(time.RFC3339Nano) + "&filter[target_type]=user": nil,
		} {
			if diff := cmp.Diff(want, s.trail(query)); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", query, diff)
			}
		}
		byTarget := s.get("events?filter[target]=" + idOf(token) + "&include=actor")
		if text := fmt.Sprint(dig(byTarget, "data", 0, "attributes", "changes")); !strings.Contains(text, "hash:map[]") || strings.Contains(text, "token:") {
			t.Errorf("a token's creation changed %s", text)
		}

		// What the trail says of the request.
		event := s.get("events?filter[request]=the-lock")
		for member, want := range map[string]string{"client": exampleClient, "session": access.id, "target": id} {
			if got := dig(event, "data", 0, "relationships", member, "data", "id"); got != want {
				t.Errorf("the %s is %v, not %s", member, got, want)
			}
		}
		if address := dig(event, "data", 0, "attributes", "address"); address != "127.0.0.1" {
			t.Errorf("the address is %v", address)
		}

		// It is in the order of the commits, once they are stamped, and nobody can write to it.
		s.stamped()
		page := s.get("events?sort=position&page[first]=1000")
		var positions []float64
		for i := range idsOf(page) {
			positions = append(positions, dig(page, "data", i, "attributes", "position").(float64))
		}
		if len(positions) != s.events() || !slices.IsSorted(positions) {
			t.Errorf("positions %v", positions)
		}
		one := "events/" + dig(page, "data", 0, "id").(string)
		s.get(one)
		for method, status := range map[string]int{"PATCH": 403, "DELETE": 405} {
			s.do(status, method, one, map[string]any{"data": map[string]any{"type": "event", "id": dig(page, "data", 0, "id")}})
		}
		s.do(405, "POST", "events", resourceDocument("event", "", map[string]any{}, nil))
		secrets := s.count("SELECT count(*) FROM events WHERE CAST(changes AS text) LIKE '%argon2%' OR CAST(changes AS text) LIKE '%tralfamadore%' OR CAST(changes AS text) LIKE '%slaughterhouse%'")
		if secrets != 0 {
			t.Errorf("%d events hold secrets", secrets)
		}
	})
}

// TestFailedSignIn sees that an attempt with a wrong password is in the trail, of whom it was about if that is known,
// and that what was typed is not.
func TestFailedSignIn(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		locked := idsOf(s.get("users?filter[status]=locked&page[first]=1"))[0]
		name := dig(s.get("users/"+locked), "data", "attributes", "username").(string)
		for user, target := range map[string]any{
			"quentin:wrong-horse": quentin, name + ":wrong-horse": locked, "nobody-here:wrong-horse": nil,
		} {
			other := *s
			other.user = user
			a := other.send("GET", "/api/admin/v1/users", nil, "X-Request-Id: "+strings.Split(user, ":")[0])
			if a.StatusCode != 401 {
				t.Errorf("%s: %d", user, a.StatusCode)
			}
			if target == nil {
				continue
			}
			page := s.get("events?filter[verb]=sign-in-failed&filter[request]=" + a.Header.Get("X-Request-Id"))
			if got := dig(page, "data", 0, "relationships", "target", "data", "id"); got != target || dig(page, "meta", "count") != 1.0 {
				t.Errorf("%s: the event is about %v, not %v", user, got, target)
			}
			if actor := dig(page, "data", 0, "relationships", "actor", "data"); actor != nil || dig(page, "data", 0, "attributes", "address") != "127.0.0.1" {
				t.Errorf("%s: %v", user, page)
			}
		}
		if n := s.count("SELECT count(*) FROM events WHERE verb = 'sign-in-failed'"); n != 3 {
			t.Errorf("%d events, not 3", n)
		}
		if n := s.count("SELECT count(*) FROM events WHERE actor_name LIKE '%nobody%' OR CAST(changes AS text) LIKE '%horse%'"); n != 0 {
			t.Error("what was typed is in the trail")
		}
	})
}

// TestKept sees that what is older than it is to be kept goes, that the trail goes on where it was, and that the
// sessions of tokens that have expired finish.
func TestKept(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		c := s.personalToken("report")
		expiring := idOf(s.do(201, "POST", "tokens", resourceDocument("token", "", map[string]any{
			"name": "expiring", "scopes": []string{"urn:reeve:user:read"}, "expires_at": time.Now().Add(time.Hour)},
			map[string]any{"user": toOne("user", c.owner)})))
		var at finishing
		finish := func(want int) {
			t.Helper()
			if n, err := s.app.finishExpired(t.Context(), time.Now(), &at); err != nil || n != want {
				t.Errorf("%d sessions finished, not %d: %v", n, want, err)
			}
		}
		finish(0)
		if _, err := s.app.tokens.Update(t.Context(), ulid.MustParse(expiring), func(row *token.Token) error {
			row.ExpiresAt = time.Now()
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		finish(1)
		finish(0)
		if state := dig(s.get("tokens/"+expiring), "data", "attributes", "revoked_at"); state != nil {
			t.Errorf("a token that expired was revoked at %v", state)
		}
		if state := dig(s.get("sessions/"+s.sessionOf(credential{id: expiring})), "data", "attributes", "finished_at"); state == nil {
			t.Error("the session of a token that expired goes on")
		}
		if state := dig(s.get("sessions/"+s.sessionOf(c)), "data", "attributes", "finished_at"); state != nil {
			t.Errorf("the session of a token that does not expire finished at %v", state)
		}

		finished := s.count("SELECT count(*) FROM sessions WHERE finished_at IS NOT NULL")
		all := s.count("SELECT count(*) FROM sessions")
		later := time.Now().Add(time.Hour)
		if n, err := s.app.sessions.Prune(t.Context(), session.FinishedBefore(later), later, 1000); err != nil || n != finished || s.count("SELECT count(*) FROM sessions") != all-finished {
			t.Errorf("%d sessions of %d pruned, not %d: %v", n, all, finished, err)
		}
		if of := s.sessionOf(credential{id: expiring}); of != "<nil>" {
			t.Errorf("a token has the session %s, which is gone", of)
		}

		s.stamped()
		events, last := s.events(), s.count("SELECT max(position) FROM events")
		if n, err := s.app.database.Prune(t.Context(), time.Now().Add(-time.Hour), 1000); err != nil || n != 0 {
			t.Errorf("%d events of this hour are pruned: %v", n, err)
		}
		if n, err := s.app.database.Prune(t.Context(), later, 1000); err != nil || n != events-1 {
			t.Errorf("%d events of %d are pruned: %v", n, events, err)
		}
		s.do(200, "POST", "users/"+quentin+"/lock", nil)
		s.stamped()
		if got := s.count("SELECT max(position) FROM events"); got != last+1 {
			t.Errorf("after position %d comes %d", last, got)
		}
	})
}

// stamped waits until every event has its position.
func (s *server) stamped() {
	s.Helper()
	eventually(s.T, patience, "all events have positions", func() bool { return s.count("SELECT count(*) FROM events WHERE position IS NULL") == 0 })
}
