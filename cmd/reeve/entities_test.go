package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const quentin = "01J3G5W8MRMBJ93ZYEGX2BN6NK"

func TestUsers(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		created := s.send("POST", "/api/admin/v1/users", resourceDocument("user", "", map[string]any{
			"username": "montana", "display_name": "Montana Wildhack", "email": "montana@example.com", "password": "tralfamadore", "registered_ip": "192.0.2.7"}, nil))
		if created.StatusCode != http.StatusCreated || created.Header.Get("Location") != dig(created.document, "data", "links", "self") {
			t.Fatalf("%d %q %s", created.StatusCode, created.Header.Get("Location"), created.text)
		}
		id := idOf(created.document)
		if strings.Contains(string(created.text), "password") || strings.Contains(string(created.text), "argon2") {
			t.Errorf("the password shows: %s", created.text)
		}
		got := s.get("users/by-username/montana")
		if idOf(got) != id || dig(got, "data", "attributes", "registered_ip") != "192.0.2.7" || dig(got, "links", "self") != "/api/admin/v1/users/"+id {
			t.Errorf("by-username: %v", got)
		}
		if lower := s.get("users/" + strings.ToLower(id)); idOf(lower) != id {
			t.Errorf("a lower-case id gives %v", lower)
		}
		patched := s.do(200, "PATCH", "users/"+id, resourceDocument("user", id, map[string]any{"display_name": nil}, nil))
		if dig(patched, "data", "attributes", "display_name") != nil || dig(patched, "data", "attributes", "email") != "montana@example.com" {
			t.Errorf("patched: %v", patched)
		}

		// A state that is set already is 200 and changes nothing.
		locked := s.do(200, "POST", "users/"+id+"/lock", nil)
		events := s.events()
		if again := s.do(200, "POST", "users/"+id+"/lock", nil); dig(again, "data", "attributes", "locked_at") != dig(locked, "data", "attributes", "locked_at") {
			t.Error("a second lock moved locked_at")
		}
		if s.events() != events {
			t.Error("a second lock left an event")
		}
		s.do(200, "POST", "users/"+id+"/unlock", nil)

		// An administrator's rights come and go with set-admin, from the next request on.
		montana := *s
		montana.user = "montana:tralfamadore"
		if a := montana.send("GET", "/api/admin/v1/users", nil); a.StatusCode != 403 {
			t.Errorf("a user who is no administrator: %d", a.StatusCode)
		}
		s.do(200, "POST", "users/"+id+"/set-admin", map[string]any{"admin": true})
		montana.get("users")
		if me := montana.get("me"); dig(me, "data", "attributes", "name") != "montana" || dig(me, "data", "relationships", "principal", "data", "id") != id {
			t.Errorf("me: %v", me)
		}
		s.do(204, "POST", "users/"+id+"/set-password", map[string]any{"password": "slaughterhouse five"})
		if a := montana.send("GET", "/api/admin/v1/users", nil); a.StatusCode != 401 {
			t.Errorf("the old password still works: %d", a.StatusCode)
		}
		montana.user = "montana:slaughterhouse five"
		montana.get("users")
		s.do(200, "POST", "users/"+id+"/lock", nil)
		if a := montana.send("GET", "/api/admin/v1/users", nil); a.StatusCode != 401 {
			t.Errorf("a locked administrator: %d", a.StatusCode)
		}
		s.do(200, "POST", "users/"+id+"/unlock", nil)
		s.do(204, "DELETE", "users/"+id, nil)
		if a := s.send("GET", "/api/admin/v1/users/"+id, nil); a.StatusCode != 404 {
			t.Errorf("a deleted user: %d", a.StatusCode)
		}

		// Counts and states.
		for parameters, where := range map[string]string{
			"filter[status]=active": "locked_at IS NULL AND deactivated_at IS NULL", "filter[status]=locked": "locked_at IS NOT NULL",
			"filter[status]=deactivated": "deactivated_at IS NOT NULL", "filter[can_request_admin]=true": "can_request_admin = TRUE",
			"filter[can_request_admin]=false&filter[status]=locked": "can_request_admin = FALSE AND locked_at IS NOT NULL",
			"filter[search]=AD":           "username LIKE '%ad%' OR lower(display_name) LIKE '%ad%' OR lower(email) LIKE '%ad%'",
			"filter[username][prefix]=ka": "username LIKE 'ka%'",
		} {
			page := s.get("users?page[first]=1000&" + parameters)
			want := s.count("SELECT count(*) FROM users WHERE " + where)
			if n := len(idsOf(page)); n != want || n == 0 || dig(page, "meta", "count") != float64(n) {
				t.Errorf("%s: %d rows, count %v, want %d", parameters, n, dig(page, "meta", "count"), want)
			}
		}
		after := s.get("users?page[first]=1000&filter[created_at][after]=2024-07-12T12:11:46.911578Z&filter[created_at][before]=2024-07-23T16:13:04.024378Z")
		if dig(after, "meta", "count") != 0.0 {
			t.Errorf("time bounds are not strict: %v", after)
		}
		only := s.get("users?count=only")
		if _, has := only["data"]; has || dig(only, "meta", "count") == nil {
			t.Errorf("count=only: %v", only)
		}
		if without := s.get("users?count=false"); without["meta"] != nil {
			t.Errorf("count=false: %v", without["meta"])
		}
	})
}

// TestEnding sees that what belongs to a user ends with them, in the same transaction.
func TestEnding(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		ids := map[string]string{}
		for _, name := range []string{"hedy", "ivan"} {
			ids[name] = idOf(s.get("users/by-username/" + name))
			s.do(201, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": name, "scopes": []string{"urn:reeve:user:read"}},
				map[string]any{"user": toOne("user", ids[name])}))
			if len(idsOf(s.get("sessions?filter[status]=active&filter[user]="+ids[name]))) == 0 {
				t.Fatalf("%s has no sessions", name)
			}
		}
		s.do(200, "POST", "users/"+ids["hedy"]+"/deactivate", nil)
		for _, list := range []string{"sessions?filter[status]=active&filter[user]=", "tokens?filter[status]=active&filter[user]="} {
			if n := len(idsOf(s.get(list + ids["hedy"]))); n != 0 {
				t.Errorf("deactivated, with %d of %s", n, list)
			}
		}
		if n := s.count("SELECT count(*) FROM events WHERE cause_id IS NOT NULL AND verb IN ('finish', 'revoke')"); n < 2 {
			t.Errorf("%d events name the deactivation as their cause", n)
		}
		s.do(204, "DELETE", "users/"+ids["ivan"], nil)
		for _, list := range []string{"sessions?filter[user]=", "tokens?filter[user]="} {
			if n := len(idsOf(s.get(list + ids["ivan"]))); n != 0 {
				t.Errorf("deleted, with %d of %s", n, list)
			}
		}
		if all := s.get("sessions"); int(dig(all, "meta", "count").(float64)) != s.count("SELECT count(*) FROM sessions") {
			t.Error("a cascade is not counted")
		}
	})
}

func TestLastAdministrator(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		s.do(200, "POST", "users/"+quentin+"/set-admin", map[string]any{"admin": false})
		// The one that is left cannot go, whoever asks.
		secret := s.do(201, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "x", "scopes": []string{"urn:mas:admin"}},
			map[string]any{"user": toOne("user", "01J2KDPHTZYW3TAT1SKVAD63SQ")}))
		byToken := *s
		byToken.user = ""
		bearer := "Authorization: Bearer " + dig(secret, "data", "attributes", "token").(string)
		for _, action := range []string{"lock", "deactivate"} {
			if a := byToken.send("POST", "/api/admin/v1/users/by-username/kilgore-trout/"+action, nil, bearer); a.StatusCode != 409 {
				t.Errorf("%s: %d", action, a.StatusCode)
			}
		}
	})
}

// TestConcurrentDemotions has two administrators demote each other at the same moment, again and again: one always
// stays.
func TestConcurrentDemotions(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		kilgore := "01J2KDPHTZYW3TAT1SKVAD63SQ"
		for range 20 {
			done := make(chan int, 2)
			for _, id := range []string{quentin, kilgore} {
				go func() {
					done <- s.asSystem("set-admin", id, map[string]any{"admin": false})
				}()
			}
			first, second := <-done, <-done
			if n := s.count("SELECT count(*) FROM users WHERE can_request_admin = TRUE AND locked_at IS NULL AND deactivated_at IS NULL"); n != 1 {
				t.Fatalf("%d administrators are left (%d, %d)", n, first, second)
			}
			for _, id := range []string{quentin, kilgore} {
				s.asSystem("set-admin", id, map[string]any{"admin": true})
			}
		}
	})
}

func TestSessions(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		all := s.get("sessions?page[first]=1000")
		var active string
		for i := range idsOf(all) {
			if dig(all, "data", i, "attributes", "finished_at") == nil {
				active = dig(all, "data", i, "id").(string)
				break
			}
		}
		finished := s.do(200, "POST", "sessions/"+active+"/finish", nil)
		if dig(finished, "data", "attributes", "finished_at") == nil {
			t.Errorf("finished: %v", finished)
		}
		s.do(409, "POST", "sessions/"+active+"/finish", nil)
		for _, parameters := range []string{
			"filter[status]=active", "filter[status]=finished", "filter[kind]=browser", "filter[kind]=oauth2&filter[kind]=compat",
			"filter[status]=finished&filter[kind]=browser", "filter[created_at][after]=2024-09-01T00:00:00Z", "filter[last_active_at][before]=2024-09-01T00:00:00Z",
		} {
			page := s.get("sessions?page[first]=1000&" + parameters)
			if n := len(idsOf(page)); n == 0 || dig(page, "meta", "count") != float64(n) {
				t.Errorf("%s: %d rows, count %v", parameters, n, dig(page, "meta", "count"))
			}
		}
		user := dig(finished, "data", "relationships", "user", "data", "id").(string)
		active = fmt.Sprint(dig(s.get("sessions?filter[status]=active&filter[user]="+user), "meta", "count"))
		ended := s.do(200, "POST", "sessions/finish?filter[user]="+user, nil) // one has ended already
		if fmt.Sprint(dig(ended, "meta", "affected")) != active || dig(s.get("sessions?filter[status]=active&filter[user]="+user), "meta", "count") != 0.0 {
			t.Errorf("finishing all: %v", ended)
		}
	})
}

func TestTokens(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		create := func(scopes []string, expires any) map[string]any {
			return s.do(201, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "script", "scopes": scopes, "expires_at": expires},
				map[string]any{"user": toOne("user", quentin)}))
		}
		use := func(token map[string]any, method, path string) int {
			s := *s
			s.user = ""
			return s.send(method, "/api/admin/v1/"+path, nil, "Authorization: Bearer "+dig(token, "data", "attributes", "token").(string)).StatusCode
		}
		full := create([]string{"urn:mas:admin"}, nil)
		read := create([]string{"urn:reeve:user:read", "urn:reeve:session:finish"}, time.Now().Add(time.Hour))
		for _, test := range []struct {
			token        map[string]any
			method, path string
			status       int
		}{
			{full, "GET", "groups", 200}, {read, "GET", "users", 200}, {read, "GET", "users/" + quentin, 200}, {read, "GET", "groups", 403},
			{read, "POST", "users/" + quentin + "/lock", 403}, {read, "GET", "me", 200}, {read, "GET", "version", 200},
		} {
			if status := use(test.token, test.method, test.path); status != test.status {
				t.Errorf("%s %s: %d, not %d", test.method, test.path, status, test.status)
			}
		}
		if _, shown := dig(s.get("tokens/"+idOf(full)), "data", "attributes").(map[string]any)["token"]; shown {
			t.Error("a token is shown twice")
		}
		secret := dig(full, "data", "attributes", "token").(string)
		if n := s.count(fmt.Sprintf("SELECT count(*) FROM tokens WHERE hash = '%s'", secret)); n != 0 {
			t.Error("a token is stored in the clear")
		}
		// Nobody makes a token that may do more than they.
		weak := *s
		weak.user = ""
		bearer := "Authorization: Bearer " + dig(create([]string{"urn:reeve:token:create"}, nil), "data", "attributes", "token").(string)
		if a := weak.send("POST", "/api/admin/v1/tokens", resourceDocument("token", "", map[string]any{"name": "more", "scopes": []string{"urn:mas:admin"}},
			map[string]any{"user": toOne("user", quentin)}), bearer); a.StatusCode != 403 {
			t.Errorf("a token for more than its maker may: %d %s", a.StatusCode, a.text)
		}
		// Its user's rights bound it, and revocation ends it, from the next request on.
		s.do(200, "POST", "users/"+quentin+"/set-admin", map[string]any{"admin": false})
		if status := use(full, "GET", "groups"); status != 403 {
			t.Errorf("a token of somebody who is no administrator: %d", status)
		}
		s.do(200, "POST", "users/"+quentin+"/set-admin", map[string]any{"admin": true})
		s.do(200, "POST", "tokens/"+idOf(full)+"/revoke", nil)
		if status := use(full, "GET", "groups"); status != 401 {
			t.Errorf("a revoked token: %d", status)
		}
		s.do(409, "POST", "tokens/"+idOf(full)+"/revoke", nil)
		s.do(200, "POST", "users/"+quentin+"/lock", nil)
		if status := use(read, "GET", "users"); status != 401 {
			t.Errorf("a token of a locked user: %d", status)
		}
		for parameters, want := range map[string]float64{"filter[status]=revoked": 1, "filter[status]=active": 2, "filter[expires]=true": 1, "filter[status]=expired": 0,
			"filter[user]=" + quentin: 3, "filter[expires_at][after]=2024-01-01T00:00:00Z": 1} {
			if got := dig(s.get("tokens?"+parameters), "meta", "count"); got != want {
				t.Errorf("%s: %v, not %v", parameters, got, want)
			}
		}
	})
}

func TestGroups(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		group := s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"name": "Readers"},
			map[string]any{"members": map[string]any{"data": []any{map[string]any{"type": "user", "id": quentin}}}}))
		id := idOf(group)
		if key := dig(group, "data", "attributes", "key"); key != strings.ToLower(id) {
			t.Errorf("the key is %v", key)
		}
		members := "groups/" + id + "/relationships/members"
		link := func(ids ...string) map[string]any {
			data := []any{}
			for _, id := range ids {
				data = append(data, map[string]any{"type": "user", "id": id})
			}
			return map[string]any{"data": data}
		}
		kilgore := "01J2KDPHTZYW3TAT1SKVAD63SQ"
		expect := func(want ...string) {
			t.Helper()
			page := s.get(members)
			if got := idsOf(page); !slices.Equal(got, want) || dig(page, "meta", "count") != float64(len(want)) {
				t.Errorf("members %v of %v, not %v", got, dig(page, "meta", "count"), want)
			}
		}
		expect(quentin)
		s.do(204, "POST", members, link(kilgore, quentin))
		s.do(204, "POST", members, link(kilgore))
		expect(kilgore, quentin)
		s.do(204, "DELETE", members, link(kilgore))
		s.do(204, "DELETE", members, link(kilgore))
		expect(quentin)
		s.do(204, "PATCH", members, link())
		expect()
		s.do(204, "PATCH", members, link(kilgore, quentin))
		s.do(404, "POST", members, link("01J3G5W8MRMBJ93ZYEGX2BN6NZ"))
		expect(kilgore, quentin)
		all := s.get("groups/by-key/support")
		users := s.get("groups/" + idOf(all) + "/relationships/members?page[first]=3")
		if next, ok := dig(users, "links", "next").(string); !ok || len(idsOf(s.send("GET", next, nil).document)) == 0 {
			t.Errorf("linkage has no next page: %v", users["links"])
		}
		if of := idsOf(s.get("groups?filter[member]=" + quentin)); !slices.Contains(of, id) {
			t.Errorf("quentin is in %v", of)
		}
		// A deleted user is a member no more.
		s.do(204, "DELETE", "users/"+quentin, nil)
		expect(kilgore)
		s.do(204, "DELETE", "groups/"+id, nil)
		if n := s.count("SELECT count(*) FROM users WHERE username = 'kilgore-trout'"); n != 1 {
			t.Error("a group took its members along")
		}
	})
}

func TestModulesAndTypes(t *testing.T) {
	s := start(t, "sqlite://"+t.TempDir()+"/reeve.db", everything)
	core := s.get("modules/by-name/core")
	if dig(core, "data", "attributes", "loaded") != true || dig(core, "data", "attributes", "core") != true {
		t.Errorf("core: %v", core)
	}
	if n := len(idsOf(s.get("modules?filter[loaded]=true"))); n == 0 {
		t.Error("no module is loaded")
	}
	types := s.get("types?page[first]=1000")
	names := map[string]bool{}
	for i := range idsOf(types) {
		names[dig(types, "data", i, "attributes", "name").(string)] = true
	}
	for _, name := range []string{"user", "session", "token", "group", "module", "type", "client", "me", "version"} {
		if !names[name] {
			t.Errorf("type %s is not among %v", name, slices.Collect(maps.Keys(names)))
		}
	}
	user := s.get("types/by-name/user")
	if permissions := fmt.Sprint(dig(user, "data", "attributes", "permissions")); !strings.Contains(permissions, "user:set-admin") {
		t.Errorf("permissions: %s", permissions)
	}
	if version := s.get("version"); dig(version, "data", "attributes", "go") == "" {
		t.Errorf("version: %v", version)
	}
}

// TestSignInLeavesEvents sees that what is written past the engine is in the trail too.
func TestSignInLeavesEvents(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+example)
		events := func(verb, typ string) int {
			return s.count(fmt.Sprintf("SELECT count(*) FROM events WHERE verb = '%s' AND target_type = '%s'", verb, typ))
		}
		if events("create", "client") != 1 {
			t.Error("a client of the configuration left no event")
		}
		form, client := "Content-Type: application/x-www-form-urlencoded", "Authorization: Basic MDFKNDRSS1FZTTRHM1ROVkFOVE1URFlUWDY6cGhvbzhhaG5laXIzb2hZMmVpZ2g0eHV1Nk9vZGFld2k="
		a := s.send("POST", "/oauth2/token", "grant_type=client_credentials&scope=urn:mas:admin", form, client)
		if a.StatusCode != 200 || events("create", "session") != 1 {
			t.Fatalf("%d %s, and %d events", a.StatusCode, a.text, events("create", "session"))
		}
		if a := s.send("POST", "/oauth2/revoke", "token="+a.document["access_token"].(string), form, client); a.StatusCode != 200 || events("finish", "session") != 1 {
			t.Errorf("%d %s, and %d events", a.StatusCode, a.text, events("finish", "session"))
		}
	})
}
