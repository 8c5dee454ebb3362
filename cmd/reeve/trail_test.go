package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
		s.do(204, "POST", "users/"+id+"/set-password", map[string]any{"password": "slaughterhouse"})
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
		for late := time.Now().Add(20 * time.Second); s.count("SELECT count(*) FROM events WHERE position IS NULL") > 0; {
			if time.Now().After(late) {
				t.Fatal("there are events without a position")
			}
		}
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
