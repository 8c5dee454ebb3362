package main

import (
	"testing"
)

// TestReadOnly has one node begin the maintenance: no node writes, all of them read, and another one ends it. A node that
// stops meanwhile stops well.
func TestReadOnly(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		nodes := []*server{s}
		if !s.app.database.Embedded() {
			nodes = append(nodes, s.another(everything))
		}
		id := idOf(s.get("settings/by-name/maintenance.read_only"))
		set := func(by *server, on bool, status int) {
			t.Helper()
			by.do(200, "PATCH", "settings/"+id, resourceDocument("setting", id, map[string]any{"value": on}, nil))
			for _, n := range nodes {
				eventually(t, patience, "every node knows", func() bool {
					return n.send("POST", "/api/admin/v1/server/reload", nil).StatusCode == status
				})
			}
		}
		last := nodes[len(nodes)-1]
		set(s, true, 503)
		for _, n := range nodes {
			a := n.send("POST", "/api/admin/v1/users", resourceDocument("user", "", map[string]any{"username": "valencia"}, nil))
			if code := dig(a.document, "errors", 0, "code"); a.StatusCode != 503 || code != "maintenance" || a.Header.Get("Retry-After") != "30" {
				t.Errorf("%d %v, Retry-After %q", a.StatusCode, code, a.Header.Get("Retry-After"))
			}
			n.get("users")
			other := idOf(n.get("settings/by-name/server.name"))
			n.do(503, "PATCH", "settings/"+other, resourceDocument("setting", other, map[string]any{"value": "other"}, nil))
			if a := n.send("GET", "/api/stream", nil); a.StatusCode != 503 {
				t.Errorf("a stream: %d", a.StatusCode)
			}
		}
		if n := s.count("SELECT count(*) FROM users WHERE username = 'valencia'"); n != 0 {
			t.Error("it is written")
		}
		set(last, false, 200)
		last.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": "valencia"}, nil))
		set(last, true, 503) // the nodes stop so
	})
}
