package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestErase deletes a user who has left as much behind as one can: soon no column of the database says anything of them
// any more, and the trail is whole: the events are there, at their places, and say that something is erased.
func TestErase(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+"\ndatabase: {timeout: 3s}\n")
		const password = "a-trafalmadorian-zoo-7"
		id := idOf(s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{
			"username": "montana-w", "display_name": "Montana Wildhack", "email": "wildhack@films.example", "password": password, "registered_ip": "203.0.113.177",
		}, nil)))
		other := s.users("valencia")[0]
		s.do(200, "PATCH", "users/"+id, resourceDocument("user", id, map[string]any{"display_name": "Montana Wildhack-Pilgrim"}, nil))
		s.do(200, "POST", "users/"+id+"/set-admin", map[string]any{"admin": true})
		s.do(201, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "wildhack laptop", "scopes": []string{"urn:reeve:me:read"}}, map[string]any{"user": toOne("user", id)}))
		s.do(201, "POST", "contacts", resourceDocument("contact", "", map[string]any{"name": "Miss Wildhack"}, map[string]any{"user": toOne("user", other), "contact": toOne("user", id)}))
		s.do(201, "POST", "password-links", resourceDocument("password-link", "", map[string]any{"purpose": "reset"}, map[string]any{"user": toOne("user", id)}))
		s.do(201, "POST", "messages", resourceDocument("message", "", map[string]any{"body": "Dear Miss Wildhack", "to": []string{"montana-w"}}, nil))
		s.do(201, "POST", "messages", resourceDocument("message", "", map[string]any{"body": "Dear both", "to": []string{"montana-w", "valencia"}}, nil))
		key := "Idempotency-Key: wildhack-1"
		if a := s.send("PATCH", "/api/admin/v1/users/"+id, resourceDocument("user", id, map[string]any{"email": "montana@wildhack.example"}, nil), key); a.StatusCode != 200 {
			t.Fatal(a.StatusCode)
		}
		// What she does herself, and what fails in her name.
		her := *s
		her.user = "montana-w:" + password
		agent := "User-Agent: Wildhack/1.0"
		made := her.send("POST", "/api/admin/v1/users", userDocument("by-montana"), agent)
		if made.StatusCode != 201 {
			t.Fatal(made.StatusCode, string(made.text))
		}
		if a := s.signIn("montana-w", "wrong"); a.StatusCode != 401 {
			t.Fatal(a.StatusCode)
		}
		l := her.listen("?resource=wildhack-phone", agent)
		l.close()
		eventually(t, patience, "the session is there", func() bool {
			return s.count("SELECT count(*) FROM events WHERE target_type = 'session' AND verb = 'create'") > 0
		})

		s.do(204, "DELETE", "users/"+id+"?force=true", nil)
		s.stamped()
		trail := func() (events []string) {
			page := s.get("events?sort=position&page[first]=1000")
			for i := range idsOf(page) {
				event := dig(page, "data", i)
				attributes := dig(event, "attributes")
				if target := dig(event, "relationships", "target", "data"); dig(target, "type") != "job" {
					events = append(events, fmt.Sprint(dig(event, "id"), dig(attributes, "position"), dig(attributes, "at"), dig(attributes, "verb"), target, dig(event, "relationships", "actor", "data")))
				}
			}
			return events
		}
		before := trail()
		s.erased("wildhack", "montana", "203.0.113.177")
		after := trail()
		if len(after) != len(before) || !slices.Equal(after, before) {
			t.Errorf("the trail was\n%s\nand is\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
		}
		got := s.trail("filter[target]=" + id + "&filter[verb]=update")
		if want := "update by kilgore-trout: map[email:map[erased:true]]"; got[0] != want {
			t.Errorf("%s, not %s", got[0], want)
		}
		if got := s.trail("filter[target]=" + idOf(made.document)); got[0] != "create by <nil>: map[username:map[to:by-montana]]" {
			t.Error(got)
		}
		if n := s.count("SELECT count(*) FROM messages"); n != 1 {
			t.Errorf("%d messages", n)
		}
		s.sound()
	})
}

// erased waits until no column holds one of some texts, nor an event the address of who is nobody any more.
func (s *server) erased(texts ...string) {
	s.Helper()
	var left []string
	for late := time.Now().Add(2 * time.Minute); time.Now().Before(late); time.Sleep(500 * time.Millisecond) {
		s.becomes(s.queue("erase"), "done")
		if left = s.holding(s.Context(), texts...); len(left) == 0 {
			break
		}
	}
	if len(left) > 0 {
		s.Fatal("it is left in", left)
	}
	if n := s.count("SELECT count(*) FROM events WHERE address IS NOT NULL AND (actor_id IS NULL OR actor_id NOT IN (SELECT id FROM users))"); n != 0 {
		s.Errorf("%d events still have an address", n)
	}
}

// holding are the columns of the database that hold one of some texts, in any case.
func (s *server) holding(ctx context.Context, texts ...string) (columns []string) {
	s.Helper()
	db := s.hand()
	defer db.Close()
	list := "SELECT s.name, c.name FROM sqlite_schema AS s, pragma_table_info(s.name) AS c WHERE s.type = 'table'"
	if strings.HasPrefix(s.uri, "postgres") {
		list = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
	}
	rows, err := db.QueryContext(ctx, list)
	if err != nil {
		s.Fatal(err)
	}
	var all [][2]string
	for rows.Next() {
		var c [2]string
		if err := rows.Scan(&c[0], &c[1]); err != nil {
			s.Fatal(err)
		}
		all = append(all, c)
	}
	if err := rows.Err(); err != nil || len(all) < 100 {
		s.Fatal(err, all)
	}
	for _, c := range all {
		for _, text := range texts {
			// by-montana is somebody else.
			query := fmt.Sprintf(`SELECT count(*) FROM %q WHERE lower(replace(CAST(%q AS text), 'by-montana', '')) LIKE '%%%s%%'`, c[0], c[1], text)
			var n int
			if err := db.QueryRowContext(ctx, query).Scan(&n); err != nil {
				s.Fatal(err)
			}
			if n > 0 {
				columns = append(columns, c[0]+"."+c[1]+": "+text)
			}
		}
	}
	return columns
}
