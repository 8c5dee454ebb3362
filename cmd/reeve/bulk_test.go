package main

import (
	"fmt"
	"strings"
	"testing"
)

// users creates users by name and returns their ids.
func (s *server) users(names ...string) []string {
	s.Helper()
	ids := make([]string, len(names))
	for i, name := range names {
		ids[i] = idOf(s.do(201, "POST", "users", userDocument(name)))
	}
	return ids
}

// byIDs is a filter by ids.
func byIDs(ids ...string) string { return "filter[id]=" + strings.Join(ids, "&filter[id]=") }

// TestBulk does something with several users at once: with all, or with none.
func TestBulk(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		ids := s.users("billy", "montana", "lily")
		administrator := idOf(s.get("users/by-username/" + strings.Split(s.user, ":")[0]))
		for _, refused := range []struct {
			query string
			want  string
		}{
			{byIDs(ids...) + "&max_affected=2", "409 [too_many_affected]"},
			{byIDs(append(ids, administrator)...), "409 [conflict]"}, // nobody locks themselves out
			{byIDs(make([]string, 1001)...), "400 [invalid_parameter filter[id]]"},
			{byIDs(ids...) + "&max_affected=-1", "400 [invalid_parameter max_affected]"},
			{byIDs(ids...) + "&page[first]=2", "400 [unknown_parameter page[first]]"},
			{"max_affected=2", "400 [invalid_parameter filter]"},
		} {
			events := s.events()
			a := s.send("POST", "/api/admin/v1/users/lock?"+refused.query, nil)
			if got := fmt.Sprint(a.StatusCode, failuresIn(t, a)); got != refused.want {
				t.Errorf("%.100s: %s, want %s: %s", refused.query, got, refused.want, a.text)
			}
			if detail := fmt.Sprint(dig(a.document, "errors", 0, "detail")); refused.want == "409 [conflict]" && !strings.Contains(detail, administrator) {
				t.Errorf("it does not say which user is meant: %s", detail)
			}
			if s.events() != events {
				t.Errorf("%.100s: something was written", refused.query)
			}
		}
		for _, done := range []struct {
			query    string
			affected float64
		}{
			{byIDs(ids[:2]...) + "&max_affected=2", 2},
			{byIDs(ids...) + "&max_affected=1", 1}, // the others are locked
			{byIDs(ids...) + "&max_affected=1", 0},
		} {
			events := s.events()
			if n := dig(s.do(200, "POST", "users/lock?"+done.query, nil), "meta", "affected"); n != done.affected || s.events() != events+int(done.affected) {
				t.Errorf("%s: %v are affected, and there are %d more events", done.query, n, s.events()-events)
			}
		}
	})
}

// TestConcurrentBulk has somebody change what an action on a filter is about to be done to: it is done to what meets the
// filter when its turn has come.
func TestConcurrentBulk(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		ids := s.users("billy", "montana", "lily")
		db := s.hand()
		defer db.Close()
		other, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		begin := "BEGIN"
		if strings.HasPrefix(uri, "sqlite:") {
			begin = "BEGIN IMMEDIATE"
		}
		for _, text := range []string{begin, "DELETE FROM users WHERE username = 'billy'", "UPDATE users SET can_request_admin = TRUE WHERE username = 'lily'"} {
			if _, err := other.ExecContext(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan answer)
		go func() {
			a, err := s.try("POST", "/api/admin/v1/users/lock?filter[can_request_admin]=false&"+byIDs(ids...), nil)
			if err != nil {
				t.Error(err)
			}
			done <- a
		}()
		if strings.HasPrefix(uri, "postgres") { // of SQLite nobody can tell who waits
			const waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
			eventually(t, patience, "somebody waits", func() bool { return s.count(waiting) > 0 })
		}
		if _, err := other.ExecContext(t.Context(), "COMMIT"); err != nil {
			t.Fatal(err)
		}
		if a := <-done; a.StatusCode != 200 || dig(a.document, "meta", "affected") != 1.0 {
			t.Errorf("%d %s", statusOf(a), a.text)
		}
		if n := s.count("SELECT count(*) FROM users WHERE username = 'lily' AND locked_at IS NULL"); n != 1 {
			t.Error("who had become an administrator is locked")
		}
	})
}
