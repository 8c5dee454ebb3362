package main

import (
	"bytes"
	"strings"
	"testing"

	"reeve/auth"
)

// TestWeakPasswords gives passwords that are easy to guess in every way in which one can be set: each is refused, at its
// place, without a word of it, and changes nothing; unless whoever may set it says that it shall not matter.
func TestWeakPasswords(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		_, as := s.person("eliot")
		id := idOf(s.get("users/by-username/eliot"))
		s.do(200, "PATCH", "users/"+id, resourceDocument("user", id, map[string]any{"display_name": "Eliot Rosewater", "email": "eliot@rosewater.example"}, nil))
		events := s.events()
		for _, weak := range []string{"tr0ut", "superman", "Elephant1", "RosewaterEliot", "Eliot@Rosewater.Example", "qwertyuiop", strings.Repeat("long ", auth.MaxPasswordBytes/5) + "enough"} {
			argument := map[string]any{"password": weak}
			account := map[string]any{"username": "eliot2", "display_name": "Eliot Rosewater", "email": "eliot@rosewater.example", "password": weak}
			for _, c := range []struct {
				who     *server
				path    string
				body    any
				pointer string
			}{
				{s, "users", resourceDocument("user", "", account, nil), "/data/attributes/password"},
				{s, "users/" + id + "/set-password", argument, "/password"},
				{s, "users/" + id + "/set-password", map[string]any{"data": map[string]any{"attributes": argument}}, "/data/attributes/password"},
				{as, "users/" + id + "/change-password", map[string]any{"current_password": "so-it-goes-on-1969", "password": weak}, "/password"},
			} {
				a := c.who.send("POST", "/api/admin/v1/"+c.path, c.body)
				if a.StatusCode != 422 || dig(a.document, "errors", 0, "code") != "invalid" || dig(a.document, "errors", 0, "source", "pointer") != c.pointer || dig(a.document, "errors", 1) != nil {
					t.Errorf("POST %s with %.20q: %d %s", c.path, weak, a.StatusCode, a.text)
				}
				if bytes.Contains(a.text, []byte(weak)) {
					t.Errorf("POST %s repeats %.20q: %s", c.path, weak, a.text)
				}
			}
		}
		if now := s.events(); now != events {
			t.Errorf("what was refused left %d events", now-events)
		}
		as.get("me") // by the same password

		// Nobody sets it for themselves, past the check.
		if a := as.send("POST", "/api/admin/v1/users/"+id+"/change-password", map[string]any{
			"current_password": "so-it-goes-on-1969", "password": "superman", "skip_password_check": true}); a.StatusCode != 422 || dig(a.document, "errors", 0, "code") != "unknown_member" {
			t.Errorf("change-password past the check: %d %s", a.StatusCode, a.text)
		}
		s.do(204, "POST", "users/"+id+"/set-password", map[string]any{"password": "superman", "skip_password_check": true})
		as.user = "eliot:superman"
		as.get("me")
		s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": "eliot2", "password": "superman", "skip_password_check": true}, nil))
		reports := s.imports("users",
			`{"data":{"type":"user","attributes":{"username":"eliot3","password":"superman"}}}`,
			`{"data":{"type":"user","attributes":{"username":"eliot4","password":"superman","skip_password_check":true}}}`)
		if dig(reports[0], "errors", 0, "code") != "invalid" || dig(reports[0], "errors", 0, "source", "pointer") != "/data/attributes/password" || dig(reports[1], "id") == nil {
			t.Errorf("the import: %v", reports)
		}
		as.user = "eliot4:superman"
		as.get("me")

		lax := s.another(everything + "\nauth: {passwords: {minimum_score: 0, minimum_length: 4}}\n")
		lax.do(204, "POST", "users/"+id+"/set-password", map[string]any{"password": "pool"})
		lax.do(422, "POST", "users/"+id+"/set-password", map[string]any{"password": "tub"})
	})
}
