package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const atomicType = `application/vnd.api+json;ext="https://jsonapi.org/ext/atomic"`

// operation is an operation object, of its code and its other members by turns.
func operation(code string, members ...any) map[string]any {
	op := map[string]any{"op": code}
	for i := 0; i < len(members); i += 2 {
		op[members[i].(string)] = members[i+1]
	}
	return op
}

// operate sends several operations at once.
func (s *server) operate(ops ...map[string]any) answer {
	s.Helper()
	return s.send("POST", "/api/admin/v1/operations", map[string]any{"atomic:operations": ops}, "Content-Type: "+atomicType)
}

func newUser(name string) map[string]any {
	return map[string]any{"type": "user", "attributes": map[string]any{"username": name}}
}

func named(typ, id string) map[string]any { return map[string]any{"type": typ, "id": id} }

func local(typ, lid string) map[string]any { return map[string]any{"type": typ, "lid": lid} }

// with is an object with more members.
func with(object map[string]any, members ...any) map[string]any {
	for i := 0; i < len(members); i += 2 {
		object[members[i].(string)] = members[i+1]
	}
	return object
}

// TestOperations creates what refers to what is created beside it, and does everything that a document can ask for.
func TestOperations(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		empty := "groups/" + idOf(s.get("groups/by-key/empty"))
		events := s.events()
		a := s.operate(
			operation("add", "data", with(newUser("anna"), "lid", "a")),
			operation("add", "href", "users", "data", with(newUser("ben"), "lid", "b")),
			operation("add", "data", map[string]any{"type": "group", "lid": "g", "attributes": map[string]any{"name": "Readers"},
				"relationships": map[string]any{"members": map[string]any{"data": []any{local("user", "a"), named("user", quentin)}}}}),
			operation("add", "ref", with(local("group", "g"), "relationship", "members"), "data", []any{local("user", "b"), local("user", "a")}),
			operation("remove", "ref", with(local("group", "g"), "relationship", "members"), "data", []any{named("user", quentin)}),
			operation("update", "data", with(local("user", "a"), "attributes", map[string]any{"display_name": "Anna"})),
			operation("update", "ref", named("user", quentin), "data", with(named("user", quentin), "attributes", map[string]any{"display_name": "Q"})),
			operation("add", "href", "/api/admin/v1/users/"+strings.ToLower(quentin)+"/lock"),
			operation("add", "href", "sessions/finish?filter[user]="+quentin),
			operation("update", "href", empty+"/relationships/members", "data", []any{local("user", "a")}),
			operation("add", "data", with(newUser("gone"), "lid", "z")),
			operation("remove", "ref", local("user", "z")),
		)
		if a.StatusCode != 200 || a.Header.Get("Content-Type") != atomicType {
			t.Fatalf("%d %q %s", a.StatusCode, a.Header.Get("Content-Type"), a.text)
		}
		results, _ := a.document["atomic:results"].([]any)
		if len(results) != 12 {
			t.Fatalf("%d results", len(results))
		}
		for i, members := range []string{"data", "data", "data", "", "", "data", "data", "data", "meta", "", "data", ""} {
			var got []string
			for name := range results[i].(map[string]any) {
				got = append(got, name)
			}
			if slices.Sort(got); strings.Join(got, " ") != members {
				t.Errorf("result %d has %q, not %q", i, got, members)
			}
		}
		anna, group := fmt.Sprint(dig(results, 0, "data", "id")), fmt.Sprint(dig(results, 2, "data", "id"))
		if dig(results, 0, "data", "attributes", "display_name") != nil || dig(results, 5, "data", "attributes", "display_name") != "Anna" {
			t.Error("a result does not show the resource as the operation left it")
		}
		if self := dig(results, 0, "data", "links", "self"); self != "/api/admin/v1/users/"+anna {
			t.Errorf("self %v", self)
		}
		if got := dig(s.get("users/"+anna), "data", "attributes", "display_name"); got != "Anna" {
			t.Errorf("display_name %v", got)
		}
		for path, want := range map[string]int{"groups/" + group: 2, empty: 1} {
			if got := dig(s.get(path+"/relationships/members"), "meta", "count"); got != float64(want) {
				t.Errorf("%s has %v members, not %d", path, got, want)
			}
		}
		if dig(s.get("users/"+quentin), "data", "attributes", "locked_at") == nil {
			t.Error("not locked")
		}
		if a := s.send("GET", "/api/admin/v1/users/by-username/gone", nil); a.StatusCode != 404 {
			t.Errorf("what was removed again: %d", a.StatusCode)
		}
		finished := dig(results, 8, "meta", "affected").(float64)
		contacts := s.count("SELECT count(*) FROM events WHERE target_type = 'contact' AND request = '" + a.Header.Get("X-Request-Id") + "'")
		if got, want := s.events()-events-contacts, 12+int(finished)-1; got != want { // the action on all has an event a session
			t.Errorf("%d events, not %d", got, want)
		}
		if n := s.count("SELECT count(*) FROM events WHERE request = '" + a.Header.Get("X-Request-Id") + "'"); n != s.events()-events {
			t.Errorf("%d events name the request", n)
		}
		repeated := map[string]any{"atomic:operations": []any{operation("add", "data", newUser("once"))}}
		first := s.send("POST", "/api/admin/v1/operations", repeated, "Content-Type: "+atomicType, "Idempotency-Key: k")
		again := s.send("POST", "/api/admin/v1/operations", repeated, "Content-Type: "+atomicType, "Idempotency-Key: k")
		if first.StatusCode != 200 || again.StatusCode != 200 || string(first.text) != string(again.text) || again.Header.Get("Content-Type") != atomicType {
			t.Errorf("repeated: %d %s, then %d %s", first.StatusCode, first.text, again.StatusCode, again.text)
		}
		if a := s.operate(operation("remove", "ref", named("user", anna)), operation("remove", "href", "groups/"+group)); a.StatusCode != 204 || len(a.text) > 0 {
			t.Errorf("nothing to tell: %d %s", a.StatusCode, a.text)
		}
		s.sound()
	})
}

// TestOperationsFail sees where the failures of operations are said to be, and that they change nothing.
func TestOperationsFail(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		ops := func(list ...map[string]any) any { return map[string]any{"atomic:operations": list} }
		fine := operation("add", "data", newUser("fine"))
		empty := "groups/" + idOf(s.get("groups/by-key/empty"))
		const nobody = "01J3G5W8MRMBJ93ZYEGX2BN6NZ"
		many := make([]map[string]any, 1001)
		for i := range many {
			many[i] = fine
		}
		for _, test := range []struct {
			name    string
			body    any
			headers []string
			status  int
			want    []string
		}{
			{"without the extension", ops(fine), []string{"Content-Type: application/vnd.api+json"}, 415, []string{"unsupported_media_type Content-Type"}},
			{"as plain JSON", ops(fine), []string{"Content-Type: application/json"}, 415, []string{"unsupported_media_type Content-Type"}},
			{"with another extension too", ops(fine), []string{`Content-Type: application/vnd.api+json; ext="https://jsonapi.org/ext/atomic https://example.com/x"`}, 415, []string{"unsupported_media_type Content-Type"}},
			{"another extension wanted", ops(fine), []string{`Accept: application/vnd.api+json; ext="https://example.com/x"`}, 406, []string{"not_acceptable Accept"}},
			{"nobody", ops(fine), []string{"Authorization: "}, 401, []string{"unauthenticated"}},

			{"no document", "", nil, 400, []string{"malformed_document"}},
			{"data", `{"data":null}`, nil, 400, []string{"malformed_document /data", "malformed_document"}},
			{"results", `{"atomic:operations":[{"op":"remove","href":"users/` + nobody + `"}],"atomic:results":[]}`, nil, 400, []string{"malformed_document /atomic:results"}},
			{"no array", `{"atomic:operations":{}}`, nil, 400, []string{"malformed_document /atomic:operations"}},
			{"no operation", `{"atomic:operations":[]}`, nil, 400, []string{"malformed_document /atomic:operations"}},
			{"too many", ops(many...), nil, 413, []string{"payload_too_large /atomic:operations"}},
			{"more than 10 MiB", `{"atomic:operations":"` + strings.Repeat("x", 10<<20) + `"}`, nil, 413, []string{"payload_too_large"}},
			{"a member twice", `{"atomic:operations":[{"op":"add","op":"add"}]}`, nil, 400, []string{"malformed_document /atomic:operations/0/op"}},
			{"all that is malformed", `{"atomic:operations":[1,{},{"op":"get"},{"op":"add"},{"op":"remove"},{"op":"update","data":{"type":"user"}},
				{"op":"remove","href":"users","ref":{}},{"op":"add","ref":{"type":"user","id":"` + nobody + `"}},{"op":"remove","ref":{"type":"user","id":"` + nobody + `","lid":"x"}}]}`, nil, 400,
				[]string{"malformed_document /atomic:operations/0", "malformed_document /atomic:operations/1", "malformed_document /atomic:operations/2/op",
					"malformed_document /atomic:operations/3", "malformed_document /atomic:operations/4", "malformed_document /atomic:operations/5/data",
					"malformed_document /atomic:operations/6", "malformed_document /atomic:operations/7/ref", "malformed_document /atomic:operations/8/ref"}},
			{"a local id that nobody gave", ops(operation("update", "data", local("user", "x")), operation("add", "data", with(newUser("x"), "lid", "x")), operation("remove", "ref", local("group", "x"))), nil, 404,
				[]string{"not_found /atomic:operations/0/data/lid", "not_found /atomic:operations/2/ref/lid"}},
			{"a local id in its own operation", ops(operation("add", "data", map[string]any{"type": "group", "lid": "g", "attributes": map[string]any{"name": "G"},
				"relationships": map[string]any{"members": map[string]any{"data": []any{local("group", "g")}}}})), nil, 404,
				[]string{"not_found /atomic:operations/0/data/relationships/members/data/0/lid"}},
			{"a local id twice", ops(operation("add", "data", with(newUser("x"), "lid", "x")), operation("add", "data", with(newUser("y"), "lid", "x"))), nil, 400,
				[]string{"malformed_document /atomic:operations/1/data/lid"}},
			{"unknown places", ops(operation("remove", "href", "/users/"+nobody), operation("remove", "href", "nothing/"+nobody), operation("remove", "href", "users/x"), operation("add", "href", "operations"),
				operation("remove", "href", "https://example.com/api/admin/v1/users/"+nobody), operation("remove", "ref", named("nothing", nobody)), operation("remove", "ref", named("user", "x")),
				operation("add", "ref", with(named("group", nobody), "relationship", "friends"), "data", []any{})), nil, 404,
				[]string{"not_found /atomic:operations/6/ref/id", "not_found /atomic:operations/0/href", "not_found /atomic:operations/1/href", "not_found /atomic:operations/2/href", "not_found /atomic:operations/3/href",
					"not_found /atomic:operations/4/href", "not_found /atomic:operations/5", "not_found /atomic:operations/7/ref/relationship"}},
			{"a query", ops(operation("add", "href", "users?page[first]=1", "data", newUser("x")), operation("add", "href", "sessions/finish")), nil, 400,
				[]string{"unknown_parameter /atomic:operations/0/href", "invalid_parameter /atomic:operations/1/href"}},
			{"what is not served", ops(operation("add", "data", map[string]any{"type": "session"}), operation("remove", "href", "users"),
				operation("update", "data", named("session", nobody))), nil, 403,
				[]string{"read_only /atomic:operations/0", "read_only /atomic:operations/1", "read_only /atomic:operations/2"}},
			{"another type and id than the place", ops(operation("add", "href", "groups", "data", newUser("x")), operation("update", "ref", named("user", quentin), "data", named("user", nobody))), nil, 409,
				[]string{"type_mismatch /atomic:operations/0/data/type", "type_mismatch /atomic:operations/1/data/id"}},
			{"a client's id", ops(operation("add", "data", with(newUser("x"), "id", nobody))), nil, 403, []string{"client_generated_id /atomic:operations/0/data/id"}},
			{"no linkage", ops(operation("add", "ref", with(named("group", nobody), "relationship", "members")), operation("update", "ref", with(named("group", nobody), "relationship", "members"), "data", nil)), nil, 400,
				[]string{"malformed_document /atomic:operations/0", "malformed_document /atomic:operations/1/data"}},
			{"values", ops(fine, operation("add", "data", map[string]any{"type": "user", "attributes": map[string]any{"username": 1, "nope": 2}}), fine, operation("add", "data", map[string]any{"type": "user"})), nil, 422,
				[]string{"unknown_member /atomic:operations/1/data/attributes/nope", "invalid /atomic:operations/1/data/attributes/username", "required /atomic:operations/3/data"}},
			{"the document and values", ops(operation("add", "data", newUser("X")), operation("add", "data", map[string]any{"type": "user", "attributes": 1})), nil, 400,
				[]string{"malformed_document /atomic:operations/1/data/attributes", "invalid /atomic:operations/0/data/attributes/username"}},
			{"taken", ops(fine, operation("add", "data", newUser("other")), operation("add", "data", newUser("quentin"))), nil, 409, []string{"taken /atomic:operations/2/data/attributes/username"}},
			{"taken by each other", ops(operation("add", "data", newUser("same")), fine, operation("add", "data", newUser("same"))), nil, 409, []string{"taken /atomic:operations/2/data/attributes/username"}},
			{"nobody to remove", ops(fine, operation("remove", "ref", named("user", nobody))), nil, 404, []string{"not_found /atomic:operations/1"}},
			{"nobody to link", ops(fine, operation("add", "href", empty+"/relationships/members", "data", []any{named("user", quentin), named("user", nobody)})), nil, 404,
				[]string{"not_found /atomic:operations/1/data/1"}},
			{"oneself", ops(fine, operation("add", "href", "users/by-username/kilgore-trout/lock")), nil, 409, []string{"conflict /atomic:operations/1"}},
		} {
			t.Run(test.name, func(t *testing.T) {
				s := *s
				s.T = t
				events, users := s.events(), s.count("SELECT count(*) FROM users")
				a := s.send("POST", "/api/admin/v1/operations", test.body, append([]string{"Content-Type: " + atomicType}, test.headers...)...)
				if a.StatusCode != test.status {
					t.Fatalf("status %d, not %d: %s", a.StatusCode, test.status, a.text)
				}
				if got := failuresIn(t, a); !slices.Equal(got, test.want) {
					t.Errorf("errors %q, not %q", got, test.want)
				}
				if s.events() != events || s.count("SELECT count(*) FROM users") != users {
					t.Error("it left something behind")
				}
			})
		}
	})
}

// TestOperationsMedia sees how the extension is negotiated.
func TestOperationsMedia(t *testing.T) {
	s := start(t, "sqlite://"+t.TempDir()+"/reeve.db", everything)
	for i, test := range []struct {
		accept, contentType, media string
		status                     int
	}{
		{"", atomicType, atomicType, 200},
		{"*/*", `application/vnd.api+json; profile="https://example.com/p"; ext="https://jsonapi.org/ext/atomic"`, atomicType, 200},
		{"application/vnd.api+json", atomicType, atomicType, 200},
		{atomicType, atomicType, atomicType, 200},
		{`application/vnd.api+json;ext="https://example.com/x", ` + atomicType, atomicType, atomicType, 200},
		{"application/json", atomicType, "application/json", 200},
		{"application/vnd.api+json; charset=utf-8", atomicType, atomicType, 406},
	} {
		body := map[string]any{"atomic:operations": []any{operation("add", "data", newUser(fmt.Sprint("m", i)))}}
		a := s.send("POST", "/api/admin/v1/operations", body, "Accept: "+test.accept, "Content-Type: "+test.contentType)
		if a.StatusCode != test.status || a.Header.Get("Content-Type") != test.media || !slices.Contains(a.Header.Values("Vary"), "Accept") {
			t.Errorf("Accept %s: %d %q", test.accept, a.StatusCode, a.Header.Get("Content-Type"))
		}
	}
	if a := s.send("GET", "/api/admin/v1/users", nil, "Accept: "+atomicType); a.StatusCode != 406 {
		t.Errorf("a list with the extension: %d", a.StatusCode)
	}
	for method, want := range map[string]int{"GET": 405, "PATCH": 405, "DELETE": 405, "OPTIONS": 204} {
		if a := s.send(method, "/api/admin/v1/operations", nil); a.StatusCode != want || a.Header.Get("Allow") != "POST, OPTIONS" {
			t.Errorf("%s: %d %q", method, a.StatusCode, a.Header.Get("Allow"))
		}
	}
}

// TestOperationsUndone has each of 20 operations fail in turn, in the transaction: what went before is undone.
func TestOperationsUndone(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		victim := idOf(s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": "victim"}, nil)))
		var ops []map[string]any
		for i := range 4 {
			user, group := fmt.Sprint("u", i), fmt.Sprint("g", i)
			ops = append(ops,
				operation("add", "data", with(newUser(user), "lid", user)),
				operation("add", "data", map[string]any{"type": "group", "lid": group, "attributes": map[string]any{"name": group},
					"relationships": map[string]any{"members": map[string]any{"data": []any{local("user", user), named("user", victim)}}}}),
				operation("add", "ref", with(local("group", group), "relationship", "members"), "data", []any{named("user", quentin)}),
				operation("update", "data", with(local("user", user), "attributes", map[string]any{"display_name": "New"})),
				operation("add", "href", "users/"+quentin+"/"+[]string{"lock", "unlock"}[i%2]),
			)
		}
		tables := []string{"users", "groups", "groups_members", "sessions", "events"}
		state := func() string {
			var b strings.Builder
			for _, table := range tables {
				fmt.Fprint(&b, table, " ", s.count("SELECT count(*) FROM "+table), " ")
			}
			return b.String() + string(s.send("GET", "/api/admin/v1/users/"+quentin, nil).text)
		}
		before := state()
		for i := range len(ops) + 1 {
			broken := slices.Insert(slices.Clone(ops), i, operation("remove", "ref", named("group", victim)))[:len(ops)]
			if i == len(ops) {
				broken = append(broken[:i-1:i-1], operation("add", "data", newUser("quentin")))
			}
			a := s.operate(broken...)
			want := fmt.Sprint("/atomic:operations/", min(i, len(ops)-1))
			if a.StatusCode != 404 && a.StatusCode != 409 || !strings.HasPrefix(fmt.Sprint(dig(a.document, "errors", 0, "source", "pointer")), want) {
				t.Fatalf("failing at %d: %d %s", i, a.StatusCode, a.text)
			}
			if after := state(); after != before {
				t.Fatalf("failing at %d left something behind:\n%s\n%s", i, before, after)
			}
		}
		s.sound()
		if a := s.operate(ops...); a.StatusCode != 200 {
			t.Errorf("without a failure: %d %s", a.StatusCode, a.text)
		}
		s.sound()
	})
}

// TestOperationsPermission sees that each operation needs its own permission, and that one that lacks it hides what
// else is wrong.
func TestOperationsPermission(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		made := s.do(201, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "narrow", "scopes": []string{"urn:reeve:user:create"}},
			map[string]any{"user": toOne("user", idOf(s.get("users/by-username/kilgore-trout")))}))
		narrow := "Authorization: Bearer " + fmt.Sprint(dig(made, "data", "attributes", "token"))
		events, users := s.events(), s.count("SELECT count(*) FROM users")
		body, err := json.Marshal(map[string]any{"atomic:operations": []any{
			operation("add", "data", newUser("one")), operation("add", "data", newUser("NOT A NAME")), operation("remove", "ref", named("user", quentin)),
		}})
		if err != nil {
			t.Fatal(err)
		}
		a := s.send("POST", "/api/admin/v1/operations", string(body), "Content-Type: "+atomicType, narrow)
		if got := failuresIn(t, a); a.StatusCode != http.StatusForbidden || !slices.Equal(got, []string{"forbidden /atomic:operations/2"}) {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
		if s.events() != events || s.count("SELECT count(*) FROM users") != users {
			t.Error("it left something behind")
		}
		body, err = json.Marshal(map[string]any{"atomic:operations": []any{operation("add", "data", newUser("one"))}})
		if err != nil {
			t.Fatal(err)
		}
		if a := s.send("POST", "/api/admin/v1/operations", string(body), "Content-Type: "+atomicType, narrow); a.StatusCode != 200 {
			t.Errorf("what is allowed: %d %s", a.StatusCode, a.text)
		}
	})
}
