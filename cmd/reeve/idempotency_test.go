package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"reeve/auth"
	"reeve/fixtures"
	"reeve/resource/idempotency"
)

// once sends a POST below the API's base with an idempotency key.
func (s *server) once(key, path string, body any, headers ...string) answer {
	s.Helper()
	return s.send("POST", "/api/admin/v1/"+path, body, append(headers, "Idempotency-Key: "+key)...)
}

// same reports whether two answers are the same, byte for byte.
func same(a, b answer) bool {
	for _, header := range []string{"Content-Type", "Location", "ETag"} {
		if a.Header.Get(header) != b.Header.Get(header) {
			return false
		}
	}
	return a.StatusCode == b.StatusCode && bytes.Equal(a.text, b.text)
}

// replayed sends a request once more and wants the answer of the first.
func (s *server) replayed(first answer, key, path string, body any, headers ...string) {
	s.Helper()
	events := s.events()
	again := s.once(key, path, body, headers...)
	if !same(first, again) || again.Header.Get("Idempotency-Replayed") != "true" {
		s.Errorf("%s: %d %s %v; again: %d %s %v", path, first.StatusCode, first.text, first.Header, again.StatusCode, again.text, again.Header)
	}
	if again.Header.Get("X-Request-Id") == first.Header.Get("X-Request-Id") {
		s.Errorf("%s: the second request has the id of the first", path)
	}
	if s.events() != events {
		s.Errorf("%s: it was carried out again", path)
	}
}

// TestIdempotency repeats requests of every kind with their key, on the same node and on one that was started since.
func TestIdempotency(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		group := idOf(s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"key": "night", "name": "Night"}, nil)))
		requests := []struct {
			path    string
			body    any
			status  int
			headers []string
		}{
			{"users", resourceDocument("user", "", map[string]any{"username": "billy"}, nil), 201, nil},
			{"users", resourceDocument("user", "", map[string]any{"username": "montana"}, nil), 201, []string{"Accept: application/json"}},
			{"users/" + quentin + "/lock", nil, 200, nil},
			{"users/by-username/quentin/unlock", nil, 200, nil},
			{"users/" + quentin + "/set-password", map[string]any{"password": "it was a dark and stormy night"}, 204, nil},
			{"sessions/finish?filter[user]=" + quentin, nil, 200, nil},
			{"groups/" + group + "/relationships/members", map[string]any{"data": []any{map[string]any{"type": "user", "id": quentin}}}, 204, nil},
			{"operations", map[string]any{"atomic:operations": []any{map[string]any{"op": "add", "data": resourceDocument("user", "", map[string]any{"username": "lily"}, nil)["data"]}}},
				200, []string{"Content-Type: " + atomicType, "Accept: " + atomicType}},
		}
		first := make([]answer, len(requests))
		for i, r := range requests {
			key := fmt.Sprint("key-", i)
			first[i] = s.once(key, r.path, r.body, r.headers...)
			if first[i].StatusCode != r.status || first[i].Header.Get("Idempotency-Replayed") != "" {
				t.Fatalf("%s: %d %s", r.path, first[i].StatusCode, first[i].text)
			}
			s.replayed(first[i], key, r.path, r.body, r.headers...)
		}
		later := s.another(everything)
		for i, r := range requests {
			later.replayed(first[i], fmt.Sprint("key-", i), r.path, r.body, r.headers...)
		}
		// However the answer should look this time, it is what it was.
		s.replayed(first[0], "key-0", "users", requests[0].body, "Accept: application/json")

		refused := func(a answer, status int, failure string) {
			t.Helper()
			if a.StatusCode != status || fmt.Sprint(failuresIn(t, a)) != "["+failure+"]" {
				t.Errorf("%d %s, want %s", a.StatusCode, a.text, failure)
			}
		}
		const reused = "key_reused Idempotency-Key"
		events := s.events()
		refused(s.once("key-0", "users", requests[1].body), 422, reused)
		refused(s.once("key-0", "groups", resourceDocument("group", "", map[string]any{"key": "x", "name": "x"}, nil)), 422, reused)
		refused(s.once("key-0", "users", requests[0].body, "Content-Type: application/json"), 422, reused)
		refused(s.once("key-5", "sessions/finish?filter[user]="+group, nil), 422, reused)
		for _, key := range []string{"a b", "schlüssel", strings.Repeat("k", 256), "\t"} {
			refused(s.once(key, "users", requests[0].body), 400, "invalid_header Idempotency-Key")
		}
		if s.events() != events {
			t.Error("something was written")
		}
		if a := s.once(strings.Repeat("~", 255), "users/"+quentin+"/lock", nil); a.StatusCode != 200 {
			t.Errorf("the longest key: %d %s", a.StatusCode, a.text)
		}
		if a := s.send("GET", "/api/admin/v1/users/"+quentin, nil, "Idempotency-Key: key-0"); a.StatusCode != 200 || a.Header.Get("Idempotency-Replayed") != "" {
			t.Errorf("GET with a key: %d %v", a.StatusCode, a.Header)
		}
	})
}

// TestIdempotentFailures sees that only success is kept: what failed is carried out when it is asked for again.
func TestIdempotentFailures(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		billy := func(more ...string) map[string]any {
			attributes := map[string]any{"username": "billy"}
			for _, name := range more {
				attributes[name] = "x"
			}
			return resourceDocument("user", "", attributes, nil)
		}
		other := idOf(s.do(201, "POST", "users", billy()))
		for _, c := range []struct {
			body   any
			status int
		}{{`{"data":`, 400}, {billy("wings"), 422}, {billy(), 409}} {
			if a := s.once("key", "users", c.body); a.StatusCode != c.status {
				t.Errorf("%v: %d %s", c.body, a.StatusCode, a.text)
			}
		}
		if n := s.count("SELECT count(*) FROM idempotency_records"); n != 0 {
			t.Errorf("%d records", n)
		}
		s.do(204, "DELETE", "users/"+other, nil)
		if a := s.once("key", "users", billy()); a.StatusCode != 201 || a.Header.Get("Idempotency-Replayed") != "" {
			t.Errorf("the same again, now possible: %d %s", a.StatusCode, a.text)
		}
	})
}

// TestIdempotencyByPrincipal sees that nobody gets an answer that is another's, or that they no longer may get.
func TestIdempotencyByPrincipal(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		one, two := s.personalToken("one"), s.personalToken("two")
		lock := "users/" + quentin + "/lock"
		first := s.once("key", lock, nil, "Authorization: "+one.header)
		s.replayed(first, "key", lock, nil, "Authorization: "+one.header)
		if a := s.once("key", lock, nil, "Authorization: "+two.header); a.StatusCode != 200 || a.Header.Get("Idempotency-Replayed") != "" {
			t.Errorf("another principal: %d %s", a.StatusCode, a.text)
		}
		s.do(200, "POST", "users/"+one.owner+"/set-admin", map[string]any{"admin": false})
		if a := s.once("key", lock, nil, "Authorization: "+one.header); a.StatusCode != 403 {
			t.Errorf("without the permission: %d %s", a.StatusCode, a.text)
		}
	})
}

// TestIdempotentSecret creates a token: its replay shows the secret once more, the database shows neither that nor the
// key.
func TestIdempotentSecret(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		const key = "6e1dc3f4-2ab5-4d0c-8a71-9a8b86b9c7d0"
		body := resourceDocument("token", "", map[string]any{"name": "nightly", "scopes": []string{auth.AdminScope}},
			map[string]any{"user": toOne("user", quentin)})
		first := s.once(key, "tokens", body)
		secret := fmt.Sprint(dig(first.document, "data", "attributes", "token"))
		if first.StatusCode != 201 || len(secret) < 20 {
			t.Fatalf("%d %s", first.StatusCode, first.text)
		}
		s.replayed(first, key, "tokens", body)
		db := s.hand()
		defer db.Close()
		var record, id string
		cast := "CAST(id AS text)"
		if strings.HasPrefix(uri, "sqlite:") {
			cast = "hex(id)"
		}
		if err := db.QueryRow("SELECT "+cast+", sealed FROM idempotency_records").Scan(&id, &record); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{secret, key, hex.EncodeToString([]byte(key)), "nightly"} {
			if strings.Contains(record, text) || strings.Contains(id, text) {
				t.Errorf("the database shows %q: %s %s", text, id, record)
			}
		}
		dump := s.count("SELECT count(*) FROM events WHERE request = '" + key + "'")
		if dump != 0 {
			t.Error("an event shows the key")
		}
	})
}

// TestConcurrentTwins sends one request 64 times at once, to two nodes: it is carried out once.
func TestConcurrentTwins(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		nodes := []*server{s, s.another(everything)}
		users, events := s.count("SELECT count(*) FROM users"), s.events()
		answers := make([]answer, 64)
		var wait sync.WaitGroup
		for i := range answers {
			wait.Go(func() {
				var err error
				answers[i], err = nodes[i%len(nodes)].try("POST", "/api/admin/v1/users",
					resourceDocument("user", "", map[string]any{"username": "billy"}, nil), "Idempotency-Key: key")
				if err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if t.Failed() {
			return
		}
		first := 0
		for _, a := range answers {
			if a.Header.Get("Idempotency-Replayed") == "" {
				first++
			}
			if a.StatusCode != 201 || !same(a, answers[0]) {
				t.Errorf("%d %s", a.StatusCode, a.text)
			}
		}
		if first != 1 || s.count("SELECT count(*) FROM users") != users+1 || s.events() != events+1 {
			t.Errorf("%d were no replay, %d users, %d events", first, s.count("SELECT count(*) FROM users")-users, s.events()-events)
		}
	})
}

// hold has writes to quentin wait, until it is released.
func (s *server) hold() (release func()) {
	s.Helper()
	db := s.hand()
	conn, err := db.Conn(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	statements := []string{"BEGIN", "SELECT id FROM users WHERE username = 'quentin' FOR UPDATE"}
	if strings.HasPrefix(s.uri, "sqlite:") {
		statements = []string{"BEGIN IMMEDIATE"}
	}
	for _, statement := range statements {
		if _, err := conn.ExecContext(s.Context(), statement); err != nil {
			s.Fatal(err)
		}
	}
	return sync.OnceFunc(func() {
		defer db.Close()
		defer conn.Close()
		if _, err := conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
			s.Error(err)
		}
	})
}

// twins sends a request so many times at once, and gives its answers as they come.
func (s *server) twins(n int, key, path string) <-chan answer {
	answers := make(chan answer, n)
	for range n {
		go func() {
			a, err := s.try("POST", "/api/admin/v1/"+path, nil, "Idempotency-Key: "+key)
			if err != nil {
				s.Error(err)
			}
			answers <- a
		}()
	}
	return answers
}

// TestConcurrentTwinsHoldNothing has many twins wait for one that the database keeps waiting. That one has a connection,
// another one, on PostgreSQL, gives events their positions, and the last serves whoever else asks.
func TestConcurrentTwinsHoldNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+"database: {max_connections: 3}")
		s.get("users") // the password is verified, and remembered
		release := s.hold()
		defer release()
		answers := s.twins(32, "key", "users/"+quentin+"/lock")
		for range 50 {
			s.get("groups")
		}
		if n := len(answers); n != 0 {
			t.Errorf("%d of the twins did not wait", n)
		}
		release()
		first := 0
		for range cap(answers) {
			a := <-answers
			if a.Response == nil || a.StatusCode != 200 {
				t.Fatalf("%d %s", statusOf(a), a.text)
			}
			if a.Header.Get("Idempotency-Replayed") == "" {
				first++
			}
		}
		if first != 1 {
			t.Errorf("it was carried out %d times", first)
		}
	})
}

// TestIdempotencyInProgress asks for what takes longer than anybody has patience for: that is 409, to be tried again,
// and what it was is not lost.
func TestIdempotencyInProgress(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := node(t, uri, everything, func(ctx context.Context, a *app) error {
			a.answers = idempotency.New(idempotency.Config{Database: a.database, Records: a.records, Patience: 50 * time.Millisecond})
			return fixtures.Demo(ctx, a.database, a.stores())
		})
		release := s.hold()
		defer release()
		path := "users/" + quentin + "/lock"
		answers := s.twins(2, "key", path)
		a := <-answers
		if a.Response == nil || a.StatusCode != 409 || a.Header.Get("Retry-After") == "" ||
			fmt.Sprint(failuresIn(t, a)) != "[in_progress Idempotency-Key]" {
			t.Errorf("%d %s", statusOf(a), a.text)
		}
		release()
		if a = <-answers; a.Response == nil || a.StatusCode != 200 {
			t.Fatalf("%d %s", statusOf(a), a.text)
		}
		s.replayed(a, "key", path, nil)
	})
}

// TestIdempotentOperations repeats the largest request that there is.
func TestIdempotentOperations(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		var operations []any
		for i := range 1000 {
			operations = append(operations, map[string]any{"op": "add", "data": resourceDocument("group", "", map[string]any{"name": fmt.Sprint("Group ", i)}, nil)["data"]})
		}
		body, media := map[string]any{"atomic:operations": operations}, "Content-Type: "+atomicType
		first := s.once("key", "operations", body, media)
		if first.StatusCode != 200 || len(dig(first.document, "atomic:results").([]any)) != 1000 {
			t.Fatalf("%d %.500s", first.StatusCode, first.text)
		}
		s.replayed(first, "key", "operations", body, media)
	})
}
