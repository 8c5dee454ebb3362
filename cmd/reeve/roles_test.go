package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
	"golang.org/x/oauth2"

	"reeve/auth"
	"reeve/fixtures"
	"reeve/resource"
	"reeve/resource/role"
)

// newRole makes a role.
func (s *server) newRole(name string, permissions ...string) string {
	s.Helper()
	return idOf(s.do(201, "POST", "roles", resourceDocument("role", "", map[string]any{"name": name, "permissions": permissions}, nil)))
}

// toMany is a relationship to resources of one type.
func toMany(typ string, ids ...string) map[string]any {
	data := []any{}
	for _, id := range ids {
		data = append(data, map[string]any{"type": typ, "id": id})
	}
	return map[string]any{"data": data}
}

func builtIn(name string) string { return resource.NamedID("role", name).String() }

// person makes a user with roles, and answers the id and the server as they see it.
func (s *server) person(name string, roles ...string) (string, *server) {
	s.Helper()
	const password = "so-it-goes-on-1969"
	id := idOf(s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": name, "password": password},
		map[string]any{"roles": toMany("role", roles...)})))
	as := *s
	as.user = name + ":" + password
	return id, &as
}

// permissions are the effective ones of the caller.
func (s *server) permissions() []string {
	s.Helper()
	var all []string
	for _, p := range dig(s.get("me"), "data", "attributes", "permissions").([]any) {
		all = append(all, fmt.Sprint(p))
	}
	slices.Sort(all)
	return all
}

func TestRoles(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		made := s.do(201, "POST", "roles", resourceDocument("role", "", map[string]any{"name": "helpdesk", "permissions": []string{
			"user:read", "users:create", "users.password:write@global.users:*", "user:create", "setting:read@auth.*",
		}}, nil))
		want := []any{"user:read", "user:create", "user:set-password@users/*", "setting:read@auth.*"}
		if diff := cmp.Diff(want, dig(made, "data", "attributes", "permissions")); diff != "" {
			t.Error(diff)
		}
		for _, wrong := range []string{"user", "user:shave", "user:lock@users/17", "user:lock@users/" + strings.Repeat("a", 400), "User:lock"} {
			failed := s.do(422, "POST", "roles", resourceDocument("role", "", map[string]any{"name": "wrong", "permissions": []string{wrong}}, nil))
			if pointer := dig(failed, "errors", 0, "source", "pointer"); pointer != "/data/attributes/permissions" {
				t.Errorf("%s: %v", wrong, pointer)
			}
		}
		for _, name := range []string{role.Admin, role.Support, role.Auditor} {
			s.do(409, "PATCH", "roles/by-name/"+name, resourceDocument("role", builtIn(name), map[string]any{"doc": "x"}, nil))
			s.do(409, "DELETE", "roles/"+builtIn(name), nil)
		}

		// By themselves, by groups, and both.
		helpdesk := idOf(made)
		id, someone := s.person("someone")
		everybody := someone.permissions()
		someone.do(403, "GET", "users", nil)
		s.do(204, "POST", "users/"+id+"/relationships/roles", toMany("role", helpdesk))
		someone.get("users")
		night := s.newRole("night", "user:lock")
		shift := idOf(s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"name": "Night shift"},
			map[string]any{"roles": toMany("role", night), "members": toMany("user", id)})))
		all := []string{"setting:read@auth.*", "user:create", "user:lock", "user:read", "user:set-password@users/*"}
		if diff := cmp.Diff(slices.Sorted(slices.Values(append(all, everybody...))), someone.permissions()); diff != "" {
			t.Error(diff)
		}
		if got := idsOf(s.get("roles/" + helpdesk + "/users")); !slices.Equal(got, []string{id}) {
			t.Errorf("users with the role: %v", got)
		}
		if got := idsOf(s.get("roles/" + night + "/groups")); !slices.Equal(got, []string{shift}) {
			t.Errorf("groups with the role: %v", got)
		}
		s.do(204, "DELETE", "groups/"+shift, nil)
		s.do(200, "PATCH", "roles/"+helpdesk, resourceDocument("role", helpdesk, map[string]any{"permissions": []string{"user:get"}}, nil))
		if got := someone.permissions(); !slices.Equal(got, slices.Sorted(slices.Values(append(everybody, "user:get")))) {
			t.Errorf("after the change: %v", got)
		}
		s.do(204, "DELETE", "roles/"+helpdesk, nil)
		if diff := cmp.Diff(everybody, someone.permissions()); diff != "" {
			t.Errorf("without a role: %s", diff)
		}
		id, support := s.person("supporter", builtIn(role.Support))
		support.do(200, "POST", "users/"+id+"/unlock", nil)
		support.do(403, "POST", "users/"+id+"/deactivate", nil)

		named := s.get("permissions?filter[name]=user:set-password")
		if diff := cmp.Diff([]any{"users.password:update", "users.password:write"}, dig(named, "data", 0, "attributes", "aliases")); diff != "" {
			t.Error(diff)
		}
	})
}

// TestEscalation has somebody who administers users, groups, roles and tokens, but may not do everything, try to get
// more.
func TestEscalation(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		own := []string{"user:*", "group:*", "role:*", "token:*", "session:read"}
		id, deputy := s.person("deputy", s.newRole("deputy", own...))
		lesser, _ := s.person("lesser", s.newRole("reader", "session:read"))
		greater, _ := s.person("greater", builtIn(role.Auditor))
		deputies := s.newRole("deputies", "user:lock")
		mighty := idOf(s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"name": "Mighty"}, map[string]any{"roles": toMany("role", builtIn(role.Admin))})))
		humble := idOf(s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"name": "Humble"}, nil)))
		newToken := func(user string, scopes ...string) any {
			return resourceDocument("token", "", map[string]any{"name": "x", "scopes": scopes}, map[string]any{"user": toOne("user", user)})
		}
		password := map[string]any{"password": "a whole new password 7"}
		admin := idOf(s.get("users/by-username/kilgore-trout"))
		for _, c := range []struct {
			status       int
			method, path string
			body         any
			pointer      string
		}{
			{403, "POST", "roles", resourceDocument("role", "", map[string]any{"name": "all", "permissions": []string{"*:*"}}, nil), "/data/attributes/permissions"},
			{403, "POST", "roles", resourceDocument("role", "", map[string]any{"name": "all", "permissions": []string{"user:lock", "session:finish@users/" + lesser}}, nil), "/data/attributes/permissions"},
			{201, "POST", "roles", resourceDocument("role", "", map[string]any{"name": "less", "permissions": []string{"user:lock@users/*", "session:list"}}, nil), ""},
			{403, "PATCH", "roles/" + deputies, resourceDocument("role", deputies, map[string]any{"permissions": []string{"user:lock", "client:read"}}, nil), "/data/attributes/permissions"},
			{200, "PATCH", "roles/" + deputies, resourceDocument("role", deputies, map[string]any{"permissions": []string{"user:lock", "user:unlock"}}, nil), ""},
			{403, "POST", "users/" + id + "/relationships/roles", toMany("role", builtIn(role.Auditor)), "/data"},
			{403, "PATCH", "users/" + lesser + "/relationships/roles", toMany("role", deputies, builtIn(role.Admin)), "/data"},
			{204, "PATCH", "users/" + lesser + "/relationships/roles", toMany("role", deputies), ""},
			{204, "PATCH", "users/" + greater + "/relationships/roles", toMany("role", builtIn(role.Auditor), deputies), ""}, // had it before
			{403, "POST", "users", resourceDocument("user", "", map[string]any{"username": "puppet"}, map[string]any{"roles": toMany("role", builtIn(role.Admin))}), "/data/relationships/roles"},
			{403, "PATCH", "groups/" + humble + "/relationships/roles", toMany("role", builtIn(role.Support)), "/data"},
			{204, "PATCH", "groups/" + humble + "/relationships/roles", toMany("role", deputies), ""},
			{204, "POST", "groups/" + humble + "/relationships/members", toMany("user", id), ""},
			{403, "POST", "groups/" + mighty + "/relationships/members", toMany("user", id), "/data"},
			{403, "PATCH", "groups/" + mighty + "/relationships/members", toMany("user", id), "/data"},
			{204, "DELETE", "groups/" + mighty + "/relationships/members", toMany("user", id), ""},
			{403, "POST", "users/" + id + "/set-admin", map[string]any{"admin": true}, "/admin"},
			{403, "POST", "users/" + greater + "/set-password", password, "/password"},
			{403, "POST", "users/" + admin + "/set-password", password, "/password"},
			{204, "POST", "users/" + lesser + "/set-password", password, ""},
			{403, "POST", "tokens", newToken(admin, "urn:reeve:user:read"), "/data/relationships/user"},
			{403, "POST", "tokens", newToken(greater, "urn:reeve:user:read"), "/data/relationships/user"},
			{403, "POST", "tokens", newToken(lesser, "urn:reeve:client:read"), "/data/attributes/scopes"},
			{201, "POST", "tokens", newToken(lesser, "urn:reeve:user:read"), ""},
			{201, "POST", "tokens", newToken(id, "urn:reeve:user:*"), ""},
		} {
			before := deputy.permissions()
			a := deputy.send(c.method, "/api/admin/v1/"+c.path, c.body)
			if a.StatusCode != c.status {
				t.Errorf("%s %s %v: %d %s", c.method, c.path, c.body, a.StatusCode, a.text)
				continue
			}
			if c.status != http.StatusForbidden {
				continue
			}
			if pointer := dig(a.document, "errors", 0, "source", "pointer"); pointer != c.pointer || dig(a.document, "errors", 0, "code") != "forbidden" {
				t.Errorf("%s %s: %s", c.method, c.path, a.text)
			}
			if after := deputy.permissions(); !slices.Equal(before, after) {
				t.Errorf("%s %s was refused, and changed %v to %v", c.method, c.path, before, after)
			}
		}
		var none []string
		if got := dig(s.get("groups/"+mighty+"/relationships/members"), "data"); !cmp.Equal(got, []any{}) {
			t.Errorf("members %v, not %v", got, none)
		}
	})
}

// TestEverybody has a user without any role see and end what is their own, and change their password; of others they see
// nothing.
func TestEverybody(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+seedClients)
		id, self := s.person("valencia")
		about := "@users/" + id
		want := []string{"authenticator:read" + about, "session:finish" + about, "session:read" + about, "token:read" + about, "token:revoke" + about, "user:change-password" + about, "user:finish-sessions" + about}
		if diff := cmp.Diff(want, self.permissions()); diff != "" {
			t.Error(diff)
		}
		token := func(user string) string {
			return idOf(s.do(201, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "x", "scopes": []string{"urn:reeve:user:read"}}, map[string]any{"user": toOne("user", user)})))
		}
		own, other := token(id), token(quentin)
		session := func(token string) string { return s.sessionOf(credential{id: token}) }
		if page := self.get("tokens"); !slices.Equal(idsOf(page), []string{own}) || dig(page, "meta", "count") != 1.0 {
			t.Errorf("tokens: %v", page)
		}
		if page := self.get("sessions"); !slices.Equal(idsOf(page), []string{session(own)}) || dig(page, "meta", "count") != 1.0 {
			t.Errorf("sessions: %v", page)
		}
		s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"name": "Readers"},
			map[string]any{"roles": toMany("role", s.newRole("self-reader", "user:read@users/self")), "members": toMany("user", id, quentin)}))
		if got := idsOf(self.get("users")); !slices.Equal(got, []string{id}) {
			t.Errorf("by a role about oneself they see %v", got)
		}
		self.do(404, "POST", "sessions/"+session(other)+"/finish", nil)
		self.do(404, "POST", "tokens/"+other+"/revoke", nil)
		self.do(404, "POST", "users/by-username/quentin/finish-sessions", nil)
		self.do(404, "GET", "users/"+quentin, nil)
		self.do(403, "POST", "users/"+id+"/set-password", map[string]any{"password": "a whole new password 7"})
		self.do(403, "POST", "tokens/"+own+"/regenerate", nil)
		self.do(403, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "x", "scopes": []string{}}, map[string]any{"user": toOne("user", id)}))
		if done := self.do(200, "POST", "tokens/revoke?filter[status]=active", nil); dig(done, "meta", "affected") != 1.0 {
			t.Errorf("all their tokens: %v", done)
		}

		// A client that acts for them needs the scope for it.
		_, former, _ := strings.Cut(self.user, ":")
		tokens := func(scope string) *oauth2.Token {
			c, b := s.oauthClient(pageClient, scope), s.browser()
			page := b.submit(b.visit(c.AuthCodeURL("x", oauth2.S256ChallengeOption(verifier))), "do", "sign-in", "username", "valencia", "password", former)
			token, err := c.Exchange(t.Context(), b.submit(page, "do", "allow").away.Query().Get("code"), oauth2.VerifierOption(verifier))
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		as := func(token *oauth2.Token) string { return "Authorization: Bearer " + token.AccessToken }
		reading, changing := tokens("urn:reeve:session:read"), tokens("urn:reeve:user:change-password")
		if page := s.send("GET", "/api/admin/v1/sessions?filter[status]=active&filter[kind]=oauth2", nil, as(reading)); dig(page.document, "meta", "count") != 2.0 {
			t.Errorf("sessions by a token: %s", page.text)
		}
		finish := "/api/admin/v1/sessions/finish?filter[status]=active"
		if a := s.send("POST", finish, nil, as(reading)); a.StatusCode != 403 {
			t.Errorf("finished by a token for reading: %d", a.StatusCode)
		}

		path := "/api/admin/v1/users/" + id + "/change-password"
		change := func(current string) map[string]any {
			return map[string]any{"current_password": current, "password": "a whole new password 7"}
		}
		if a := s.send("POST", path, change(former), as(reading)); a.StatusCode != 403 {
			t.Errorf("a password changed by a token for reading: %d", a.StatusCode)
		}
		s.do(403, "POST", "users/"+id+"/change-password", change(fixtures.DemoPassword)) // an administrator's own, about somebody else
		wrong := self.do(422, "POST", "users/"+id+"/change-password", change("not it at all"))
		if dig(wrong, "errors", 0, "source", "pointer") != "/current_password" || len(s.trail("filter[verb]=sign-in-failed&filter[target]="+id)) != 1 {
			t.Errorf("a wrong password: %v", wrong)
		}
		if a := s.send("POST", path, change(former), as(changing), "Idempotency-Key: once"); a.StatusCode != 204 {
			t.Fatalf("changed: %d %s", a.StatusCode, a.text)
		}
		if a := s.send("POST", path, change(former), as(changing), "Idempotency-Key: once"); a.StatusCode != 204 || a.Header.Get("Idempotency-Replayed") == "" {
			t.Errorf("once more: %d %s", a.StatusCode, a.text)
		}
		if before, after := s.lists(reading.AccessToken), s.send("GET", "/api/admin/v1/me", nil, as(changing)).StatusCode; before != 401 || after != 200 {
			t.Errorf("the other session gets %d, the one that changed the password %d", before, after)
		}
		if a := self.send("GET", "/api/admin/v1/me", nil); a.StatusCode != 401 {
			t.Errorf("the former password: %d", a.StatusCode)
		}
		self.user = "valencia:a whole new password 7"
		if done := self.do(200, "POST", "users/by-username/valencia/finish-sessions", nil); dig(done, "meta", "finished") != 1.0 { // the browsers went with the password
			t.Errorf("finished: %v", done)
		}
	})
}

// TestOneself sees that nobody locks themselves out by mistake, and the last administrator not at all.
func TestOneself(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		id, other := s.person("other", builtIn(role.Support))
		other.do(409, "POST", "users/"+id+"/lock", nil)
		other.do(409, "POST", "users/"+id+"/lock?force=false", nil)
		other.do(400, "POST", "users/"+id+"/lock?force=perhaps", nil)
		other.do(400, "GET", "users/"+id+"?force=true", nil)
		other.do(200, "POST", "users/"+id+"/lock?force=true", nil)
		me := idOf(s.get("users/by-username/kilgore-trout"))
		for _, write := range []struct {
			method, path string
			body         any
		}{
			{"DELETE", "users/" + me, nil}, {"POST", "users/" + me + "/lock", nil}, {"POST", "users/" + me + "/deactivate", nil},
			{"POST", "users/" + me + "/set-admin", map[string]any{"admin": false}},
		} {
			s.do(409, write.method, write.path, write.body)
		}
		s.do(200, "POST", "users/by-username/quentin/lock", nil)
		s.do(409, "POST", "users/"+me+"/lock?force=true", nil)
		s.do(409, "DELETE", "users/"+me+"?force=true", nil)
		s.do(200, "POST", "users/by-username/quentin/unlock", nil)
		s.do(204, "DELETE", "users/"+me+"?force=true", nil)
		if a := s.send("GET", "/api/admin/v1/me", nil); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("a deleted user: %d", a.StatusCode)
		}
	})
}

// TestLastAdministratorByRole has the last one who may do everything be so by the role of a group: nobody takes that away,
// by whichever way, and nobody their own by mistake.
func TestLastAdministratorByRole(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		id, last := s.person("eliot")
		everybody := idOf(s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"name": "Foundation"},
			map[string]any{"roles": toMany("role", builtIn(role.Admin)), "members": toMany("user", id)})))
		kilgore := idOf(s.get("users/by-username/kilgore-trout"))
		for _, administrator := range []string{kilgore, quentin} {
			last.do(200, "POST", "users/"+administrator+"/set-admin", map[string]any{"admin": false})
		}
		group, admin := "groups/"+everybody, toMany("role", builtIn(role.Admin))
		refused := func(force string) {
			t.Helper()
			for _, write := range []struct {
				method, path string
				body         any
			}{
				{"DELETE", group + "/relationships/members", toMany("user", id)},
				{"PATCH", group + "/relationships/members", toMany("user")},
				{"DELETE", group + "/relationships/roles", admin},
				{"PATCH", group + "/relationships/roles", toMany("role", builtIn(role.Support))},
				{"PATCH", group, resourceDocument("group", everybody, map[string]any{}, map[string]any{"members": toMany("user")})},
				{"DELETE", group, nil},
				{"DELETE", "users/" + id, nil}, {"POST", "users/" + id + "/lock", nil}, {"POST", "users/" + id + "/deactivate", nil},
			} {
				if a := last.send(write.method, "/api/admin/v1/"+write.path+force, write.body); a.StatusCode != 409 || dig(a.document, "errors", 0, "code") != "conflict" {
					t.Errorf("%s %s%s: %d %s", write.method, write.path, force, a.StatusCode, a.text)
				}
			}
			if got := last.permissions(); !slices.Equal(got, []string{"*:*"}) {
				t.Fatalf("they may %v", got)
			}
		}
		refused("?force=true")
		last.do(204, "POST", "users/"+quentin+"/relationships/roles", admin)
		refused("")
		// Whoever is none, or stays one, is not asked.
		last.do(204, "PATCH", group+"/relationships/members", toMany("user", id, kilgore))
		last.do(204, "DELETE", group+"/relationships/members", toMany("user", kilgore))
		last.do(204, "POST", "users/"+id+"/relationships/roles", admin)
		last.do(204, "DELETE", "users/"+id+"/relationships/roles", admin)
		last.do(409, "DELETE", group+"/relationships/members", toMany("user", id))
		last.do(204, "DELETE", group+"/relationships/members?force=true", toMany("user", id))
		last.do(403, "GET", "users", nil)

		// Two who take the role from one another at the same moment: one stays.
		for range 10 {
			done := make(chan bool, 2)
			of := []string{id, quentin}
			for i, user := range of {
				if _, err := s.app.users.Linkage("roles").Add(t.Context(), ulid.MustParse(user), ulid.MustParse(builtIn(role.Admin))); err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					continue
				}
				for _, user := range of {
					go func() {
						_, err := s.app.engine.Do(t.Context(), resource.Operation{Verb: resource.Unlink, Type: "user", ID: ulid.MustParse(user), Relationship: "roles",
							Principal: auth.System, Body: resource.Body{Relationships: map[string][]resource.Identifier{"roles": {{Type: "role", ID: ulid.MustParse(builtIn(role.Admin))}}}}})
						if err != nil && !resource.Is(err, resource.Conflict) {
							t.Error(err)
						}
						done <- err == nil
					}()
				}
			}
			if first, second := <-done, <-done; first == second {
				t.Errorf("both: %v", first)
			}
		}
	})
}

// TestTargets has somebody whose permissions are about one user read and write: what they cannot read is not there,
// what they can and may not change is 403, and what they make must be about that user too.
func TestTargets(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		hedy, ivan := idOf(s.get("users/by-username/hedy")), idOf(s.get("users/by-username/ivan"))
		about := "@users/" + hedy
		id, keeper := s.person("keeper", s.newRole("keeper", "user:read"+about, "user:lock"+about, "session:read"+about, "token:create"+about, "token:read"+about))
		newToken := func(user string) any {
			return resourceDocument("token", "", map[string]any{"name": "x", "scopes": []string{}}, map[string]any{"user": toOne("user", user)})
		}
		if page := keeper.get("users"); !slices.Equal(idsOf(page), []string{hedy}) || dig(page, "meta", "count") != 1.0 {
			t.Errorf("users: %v", page)
		}
		keeper.do(404, "GET", "users/"+ivan, nil)
		keeper.do(404, "GET", "users/by-username/ivan", nil)
		keeper.do(404, "GET", "users/"+ivan+"/sessions", nil)
		keeper.do(404, "POST", "users/"+ivan+"/lock", nil)
		keeper.do(404, "POST", "users/by-username/ivan/lock", nil)
		keeper.do(403, "POST", "users/"+hedy+"/unlock", nil)
		keeper.do(403, "GET", "groups", nil)
		keeper.do(403, "POST", "users", resourceDocument("user", "", map[string]any{"username": "anew"}, nil))
		keeper.do(200, "POST", "users/"+hedy+"/lock", nil)
		keeper.do(200, "POST", "users/"+hedy+"/lock", nil)
		keeper.do(201, "POST", "tokens", newToken(hedy))
		keeper.do(403, "POST", "tokens", newToken(ivan))
		if got := idsOf(s.get("users/" + ivan + "/tokens")); len(got) != 0 {
			t.Errorf("tokens of somebody else: %v", got)
		}
		s.do(204, "POST", "users/"+id+"/relationships/roles", toMany("role", s.newRole("reader", "user:read")))
		keeper.do(200, "GET", "users/"+ivan, nil)
		keeper.do(403, "POST", "users/"+ivan+"/lock", nil)
	})
}
