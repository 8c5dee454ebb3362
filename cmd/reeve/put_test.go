package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

// put creates or changes a resource by its name.
func (s *server) put(path, typ string, attributes map[string]any, headers ...string) answer {
	s.Helper()
	return s.send("PUT", "/api/admin/v1/"+path, resourceDocument(typ, "", attributes, nil), headers...)
}

func TestPut(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		made := s.put("users/by-username/rumfoord", "user", map[string]any{"display_name": "Winston", "email": "w@example.com", "password": "so-it-goes-1969"})
		id := idOf(made.document)
		if made.StatusCode != 201 || made.Header.Get("Location") != "/api/admin/v1/users/"+id || dig(made.document, "data", "attributes", "username") != "rumfoord" {
			t.Fatalf("%d %v %s", made.StatusCode, made.Header, made.text)
		}
		changed := s.put("users/by-username/rumfoord", "user", map[string]any{"username": "rumfoord", "email": nil})
		if got := dig(changed.document, "data", "attributes"); changed.StatusCode != 200 || idOf(changed.document) != id || dig(got, "display_name") != "Winston" || dig(got, "email") != nil {
			t.Errorf("%d %s", changed.StatusCode, changed.text)
		}
		if made.Header.Get("ETag") == changed.Header.Get("ETag") || changed.Header.Get("Location") != "" {
			t.Errorf("%v %v", made.Header, changed.Header)
		}
		events := s.get("events?filter[target]=" + id + "&sort=at")
		if count := dig(events, "meta", "count"); count != 2.0 || dig(events, "data", 0, "attributes", "verb") != "create" || dig(events, "data", 1, "attributes", "verb") != "update" {
			t.Errorf("events: %v", events)
		}

		for _, test := range []struct {
			about, path, typ string
			attributes       map[string]any
			headers          []string
			status           int
			code, pointer    any
		}{
			{"another version", "users/by-username/rumfoord", "user", map[string]any{"email": "x@example.com"}, []string{"If-Match: " + made.Header.Get("ETag")}, 412, "precondition_failed", nil},
			{"a version of what is not there", "users/by-username/nobody", "user", map[string]any{}, []string{"If-Match: *"}, 412, "precondition_failed", nil},
			{"what is there, only if it is not", "users/by-username/rumfoord", "user", map[string]any{"email": "x@example.com"}, []string{"If-None-Match: *"}, 412, "precondition_failed", nil},
			{"another name", "users/by-username/rumfoord", "user", map[string]any{"username": "winston"}, nil, 409, "type_mismatch", "/data/attributes/username"},
			{"another type", "users/by-username/rumfoord", "group", map[string]any{}, nil, 409, "type_mismatch", "/data/type"},
			{"no name", "users/by-username/_x", "user", map[string]any{}, nil, 422, "invalid", "/data/attributes"},
			{"what only a creation gives", "users/by-username/rumfoord", "user", map[string]any{"registered_ip": "203.0.113.9"}, nil, 403, "read_only", "/data/attributes/registered_ip"},
			{"what is wrong in two ways", "users/by-username/rumfoord", "user", map[string]any{"email": "nowhere", "password": 1}, nil, 422, "invalid", "/data/attributes/email"},
			{"what breaks a rule", "users/by-username/nobody", "user", map[string]any{"email": "nowhere"}, nil, 422, "invalid", "/data/attributes/email"},
			{"what another has", "users/by-username/nobody", "user", map[string]any{"email": "quentin@example.com"}, nil, 409, "taken", "/data/attributes/email"},
			{"what is missing", "groups/by-key/nothing", "group", map[string]any{}, nil, 422, "required", "/data/attributes"},
			{"what is not created", "clients/by-name/x", "client", nil, nil, 404, "not_found", nil},
			{"what is not put", "settings/by-name/server.name", "setting", map[string]any{"value": "x"}, nil, 405, "method_not_allowed", nil},
			{"by an id", "users/" + id, "user", nil, nil, 405, "method_not_allowed", nil},
		} {
			if test.about == "what another has" {
				s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": "other", "email": "quentin@example.com"}, nil))
			}
			a := s.put(test.path, test.typ, test.attributes, test.headers...)
			if got := dig(a.document, "errors", 0); a.StatusCode != test.status || dig(got, "code") != test.code || dig(got, "source", "pointer") != test.pointer {
				t.Errorf("%s: %d %s", test.about, a.StatusCode, a.text)
			}
		}
		if a := s.send("GET", "/api/admin/v1/users/by-username/nobody", nil); a.StatusCode != 404 {
			t.Errorf("nobody: %d", a.StatusCode)
		}
		body := resourceDocument("user", id, map[string]any{"email": "again@example.com"}, nil)
		if a := s.send("PUT", "/api/admin/v1/users/by-username/rumfoord", body, "If-Match: "+changed.Header.Get("ETag")); a.StatusCode != 200 {
			t.Errorf("with its id and its version: %d %s", a.StatusCode, a.text)
		}
		if a := s.put("users/by-username/winston", "user", map[string]any{}, "If-None-Match: *"); a.StatusCode != 201 {
			t.Errorf("only if it is not there: %d %s", a.StatusCode, a.text)
		}
		if a := s.send("PUT", "/api/admin/v1/users/by-username/new", body); a.StatusCode != 403 || dig(a.document, "errors", 0, "code") != "client_generated_id" {
			t.Errorf("with another's id: %d %s", a.StatusCode, a.text)
		}
		// Whatever form the name has, it is the one in which it is kept.
		for path, status := range map[string]int{"203.0.113.77%2F24": 201, "203.0.113.0%2F24": 200} {
			s.do(201, "PUT", "allowed-addresses/by-address/127.0.0.1", resourceDocument("allowed-address", "", map[string]any{}, nil))
			if status == 200 {
				s.do(201, "PUT", "allowed-addresses/by-address/203.0.113.9%2F24", resourceDocument("allowed-address", "", map[string]any{}, nil))
			}
			if a := s.put("allowed-addresses/by-address/"+path, "allowed-address", map[string]any{"comment": "Office"}); a.StatusCode != status {
				t.Errorf("%s: %d %s", path, a.StatusCode, a.text)
			}
			s.do(204, "DELETE", "allowed-addresses/by-address/203.0.113.1%2F24", nil)
			s.do(204, "DELETE", "allowed-addresses/by-address/::ffff:127.0.0.1", nil)
		}

		// It needs both permissions.
		for i, test := range []struct {
			permissions []string
			there, new  int
		}{
			{[]string{"user:create", "user:read"}, 403, 403}, {[]string{"user:update", "user:read"}, 403, 403}, {[]string{"user:update", "user:create"}, 200, 201},
			{[]string{"user:update@users/" + id, "user:create", "user:read"}, 200, 201}, {[]string{"user:update", "user:create@else*"}, 200, 403},
		} {
			_, as := s.person(fmt.Sprint("putter-", i), s.newRole(fmt.Sprint("putter-", i), test.permissions...))
			for path, want := range map[string]int{"rumfoord": test.there, fmt.Sprint("put-by-", i): test.new} {
				if a := as.put("users/by-username/"+path, "user", map[string]any{"display_name": fmt.Sprint("Put by ", i)}); a.StatusCode != want {
					t.Errorf("%v on %s: %d, not %d: %s", test.permissions, path, a.StatusCode, want, a.text)
				}
			}
		}
	})
}

// TestPutPassword replaces the password of a user who is there: as set-password does, together with what else is given.
func TestPutPassword(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		id, token := s.entered("chrono")
		basic := func(password string) string {
			return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("chrono:"+password))
		}
		signsIn := func(password string) bool {
			return s.send("GET", "/api/admin/v1/me", nil, basic(password)).StatusCode == 200
		}
		const path, first, second = "users/by-username/chrono", "poo-tee-weet 1969", "poo-tee-weet 1970"
		made := s.put(path, "user", map[string]any{"password": first})
		if made.StatusCode != 200 || !signsIn(first) {
			t.Fatalf("%d %s", made.StatusCode, made.text)
		}
		stream := s.listen("", basic(first)).ready()
		tag := "If-Match: " + s.send("GET", "/api/admin/v1/"+path, nil).Header.Get("ETag")
		refused := s.put(path, "user", map[string]any{"password": "chrono", "display_name": "C"}, tag)
		if refused.StatusCode != 422 || dig(refused.document, "errors", 0, "source", "pointer") != "/data/attributes/password" {
			t.Errorf("a weak password: %d %s", refused.StatusCode, refused.text)
		}
		_, as := s.person("putter", s.newRole("putter", "user:update", "user:create", "user:read"))
		before := s.events()
		if a := as.put(path, "user", map[string]any{"password": second, "display_name": "C"}); a.StatusCode != 403 {
			t.Errorf("without the permission for set-password: %d %s", a.StatusCode, a.text)
		}
		if n := s.events() - before; n != 0 || !signsIn(first) {
			t.Errorf("what is refused left %d events", n)
		}
		if a := as.put("users/by-username/synclastic", "user", map[string]any{"password": second}); a.StatusCode != 201 {
			t.Errorf("a new user needs no such permission: %d %s", a.StatusCode, a.text)
		}

		replaced := s.put(path, "user", map[string]any{"password": second, "display_name": "Chrono"}, tag)
		if replaced.StatusCode != 200 || idOf(replaced.document) != id || dig(replaced.document, "data", "attributes", "display_name") != "Chrono" {
			t.Errorf("%d %s", replaced.StatusCode, replaced.text)
		}
		if signsIn(first) || !signsIn(second) {
			t.Error("the password is the former one")
		}
		stream.ended(20 * time.Second)
		if a := s.send("GET", "/api/admin/v1/me", nil, token); a.StatusCode != 200 {
			t.Errorf("the personal token: %d", a.StatusCode)
		}
		verbs := attributes(s.get("events?filter[verb]=create&filter[verb]=update&filter[verb]=set-password&filter[target]="+id), "verb")
		if want := []any{"create", "set-password", "set-password", "update"}; !slices.Equal(verbs, want) {
			t.Errorf("the trail has %v, not %v", verbs, want)
		}
	})
}

// TestConcurrentPut has many put the same at once, on two nodes: one creates it, and the others change it.
func TestConcurrentPut(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		nodes := []*server{s, s.another(everything)}
		for round := range 5 {
			name, statuses := fmt.Sprint("twin-", round), make(chan int)
			const callers = 8
			for i := range callers {
				go func() {
					a, err := nodes[i%2].try("PUT", "/api/admin/v1/users/by-username/"+name, resourceDocument("user", "", map[string]any{"display_name": fmt.Sprint(i)}, nil))
					if err != nil {
						t.Error(err)
						statuses <- 0
						return
					}
					statuses <- a.StatusCode
				}()
			}
			count := map[int]int{}
			for range callers {
				count[<-statuses]++
			}
			if count[http.StatusCreated] != 1 || count[http.StatusOK] != callers-1 {
				t.Errorf("%v", count)
			}
		}
	})
}
