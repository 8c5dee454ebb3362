package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"reeve/fixtures"
)

// TestFailures sees that every failure is an error document with the right status, code and place, and that none
// of it changes anything.
func TestFailures(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		quentin := "users/01J3G5W8MRMBJ93ZYEGX2BN6NK"
		user := func(members string) string { return `{"data":{"type":"user",` + members + `}}` }
		for _, test := range []struct {
			name, method, path string
			body               any
			headers            []string
			status             int
			want               []string // code, and pointer, parameter or header of each error
		}{
			{"nobody", "GET", "users", nil, []string{"Authorization: "}, 401, []string{"unauthenticated"}},
			{"wrong password", "GET", "users", nil, []string{"Authorization: Basic a2lsZ29yZS10cm91dDp3cm9uZw=="}, 401, []string{"unauthenticated"}},
			{"unknown user", "GET", "users", nil, []string{"Authorization: Basic bm9ib2R5Ondyb25n"}, 401, []string{"unauthenticated"}},
			{"no token", "GET", "users", nil, []string{"Authorization: Bearer x"}, 401, []string{"unauthenticated"}},
			{"nobody at an unknown path", "GET", "nothing", nil, []string{"Authorization: "}, 401, []string{"unauthenticated"}},
			{"unknown type", "GET", "nothing", nil, nil, 404, []string{"not_found"}},
			{"unknown path", "GET", "users/01J3G5W8MRMBJ93ZYEGX2BN6NK/a/b/c", nil, nil, 404, []string{"not_found"}},
			{"trailing slash", "GET", "users/", nil, nil, 404, []string{"not_found"}},
			{"two slashes", "GET", "/users", nil, nil, 404, []string{"not_found"}},
			{"dots", "GET", "groups/../users", nil, nil, 404, []string{"not_found"}},
			{"wrong method", "PUT", "users", nil, nil, 405, []string{"method_not_allowed"}},
			{"unserved verb", "POST", "sessions", `{}`, nil, 405, []string{"method_not_allowed"}},
			{"unserved deletion", "DELETE", "modules/01J3G5W8MRMBJ93ZYEGX2BN6NK", nil, nil, 405, []string{"method_not_allowed"}},
			{"unserved update", "PATCH", "sessions/01J3G5W8MRMBJ93ZYEGX2BN6NK", `{}`, nil, 403, []string{"read_only"}},
			{"GET of an action", "GET", quentin + "/lock", nil, nil, 405, []string{"method_not_allowed"}},
			{"unknown action", "POST", quentin + "/dance", nil, nil, 404, []string{"not_found"}},
			{"bad ULID", "GET", "users/01J3G5W8MRMBJ93ZYEGX2BN6NI", nil, nil, 404, []string{"not_found"}},
			{"short ULID", "GET", "users/1", nil, nil, 404, []string{"not_found"}},
			{"NUL in a path", "GET", "users/%00", nil, nil, 404, []string{"not_found"}},
			{"unknown id", "GET", "users/01J3G5W8MRMBJ93ZYEGX2BN6NZ", nil, nil, 404, []string{"not_found"}},
			{"unknown name", "GET", "users/by-username/nobody", nil, nil, 404, []string{"not_found"}},
			{"unknown lookup", "GET", "users/by-email/x", nil, nil, 404, []string{"not_found"}},

			{"unknown filter", "GET", "users?filter[uzer]=1", nil, nil, 400, []string{"unknown_parameter filter[uzer]"}},
			{"unknown qualifier", "GET", "users?filter[created_at][near]=1", nil, nil, 400, []string{"unknown_parameter filter[created_at][near]"}},
			{"unknown parameter", "GET", "users?limit=3", nil, nil, 400, []string{"unknown_parameter limit"}},
			{"unknown page parameter", "GET", "users?page[number]=3", nil, nil, 400, []string{"unknown_parameter page[number]"}},
			{"parameter of a resource", "GET", quentin + "?page[first]=1", nil, nil, 400, []string{"unknown_parameter page[first]"}},
			{"filter value", "GET", "users?filter[status]=away", nil, nil, 400, []string{"invalid_parameter filter[status]"}},
			{"filter time", "GET", "users?filter[created_at][after]=yesterday", nil, nil, 400, []string{"invalid_parameter filter[created_at][after]"}},
			{"filter NUL", "GET", "users?filter[search]=a%00", nil, nil, 400, []string{"invalid_parameter filter[search]"}},
			{"filter UTF-8", "GET", "users?filter[search]=a%ff", nil, nil, 400, []string{"invalid_parameter filter[search]"}},
			{"first and last", "GET", "users?page[first]=1&page[last]=1", nil, nil, 400, []string{"invalid_parameter page[first]", "invalid_parameter page[last]"}},
			{"page of 0", "GET", "users?page[first]=0", nil, nil, 400, []string{"invalid_parameter page[first]"}},
			{"page of -1", "GET", "users?page[first]=-1", nil, nil, 400, []string{"invalid_parameter page[first]"}},
			{"page of x", "GET", "users?page[last]=x", nil, nil, 400, []string{"invalid_parameter page[last]"}},
			{"page of 1001", "GET", "users?page[first]=1001", nil, nil, 400, []string{"invalid_parameter page[first]"}},
			{"page of 99999999999999999999", "GET", "users?page[first]=99999999999999999999", nil, nil, 400, []string{"invalid_parameter page[first]"}},
			{"bad cursor", "GET", "users?page[after]=x", nil, nil, 400, []string{"invalid_parameter page[after]"}},
			{"bad count", "GET", "users?count=maybe", nil, nil, 400, []string{"invalid_parameter count"}},
			{"several", "GET", "users?count=maybe&filter[uzer]=1&page[first]=0", nil, nil, 400,
				[]string{"invalid_parameter count", "invalid_parameter page[first]", "unknown_parameter filter[uzer]"}},

			{"not acceptable", "GET", "users", nil, []string{"Accept: text/html"}, 406, []string{"not_acceptable Accept"}},
			{"Accept with parameters", "GET", "users", nil, []string{"Accept: application/vnd.api+json; charset=utf-8"}, 406, []string{"not_acceptable Accept"}},
			{"Content-Type with parameters", "POST", "users", user(`"attributes":{}`), []string{"Content-Type: application/vnd.api+json; charset=utf-8"}, 415, []string{"unsupported_media_type Content-Type"}},
			{"Content-Type of a form", "POST", "users", "a=b", []string{"Content-Type: application/x-www-form-urlencoded"}, 415, []string{"unsupported_media_type Content-Type"}},

			{"empty body", "POST", "users", "", nil, 400, []string{"malformed_document"}},
			{"not JSON", "POST", "users", "so it goes", nil, 400, []string{"malformed_document"}},
			{"an array", "POST", "users", "[]", nil, 400, []string{"malformed_document"}},
			{"10 MB", "POST", "users", `{"data":"` + strings.Repeat("x", 10<<20) + `"}`, nil, 413, []string{"payload_too_large"}},
			{"deeply nested", "POST", "users", strings.Repeat(`{"data":`, 10_000), nil, 400, []string{"malformed_document"}},
			{"duplicate keys", "POST", "users", user(`"attributes":{"username":"a","username":"b"}`), nil, 400, []string{"malformed_document /data/attributes/username"}},
			{"NUL", "POST", "users", user(`"attributes":{"username":"a\u0000"}`), nil, 400, []string{"malformed_document /data/attributes/username"}},
			{"trailing", "POST", "users", user(`"attributes":{"username":"a"}`) + "x", nil, 400, []string{"malformed_document"}},
			{"attributes of a wrong type", "POST", "users", user(`"attributes":[]`), nil, 400, []string{"malformed_document /data/attributes"}},
			{"data of a wrong type", "POST", "users", `{"data":[]}`, nil, 400, []string{"malformed_document /data"}},
			{"no data", "POST", "users", `{}`, nil, 400, []string{"malformed_document"}},
			{"no type", "POST", "users", `{"data":{"attributes":{"username":"a"}}}`, nil, 400, []string{"malformed_document /data"}},
			{"another type", "POST", "users", `{"data":{"type":"group","attributes":{"username":"a"}}}`, nil, 409, []string{"type_mismatch /data/type"}},
			{"a client's id", "POST", "users", user(`"id":"01J3G5W8MRMBJ93ZYEGX2BN6NZ","attributes":{"username":"a"}`), nil, 403, []string{"client_generated_id /data/id"}},
			{"missing attributes", "POST", "users", user(`"id":null`), nil, 400, []string{"malformed_document /data/id"}},
			{"missing member", "POST", "users", user(`"attributes":{}`), nil, 422, []string{"required /data/attributes"}},
			{"no attributes", "POST", "users", `{"data":{"type":"user"}}`, nil, 422, []string{"required /data"}},
			{"several mistakes", "POST", "users", user(`"attributes":{"username":5,"email":"x","display_name":true,"password":""}`), nil, 422,
				[]string{"invalid /data/attributes/display_name", "invalid /data/attributes/email", "invalid /data/attributes/password", "invalid /data/attributes/username"}},
			{"mistakes of the document and of the type", "POST", "users", user(`"id":"01J3G5W8MRMBJ93ZYEGX2BN6NZ","attributes":{"username":5,"nope":1},"relationships":{"y":{}}`), nil, 400,
				[]string{"malformed_document /data/relationships/y", "client_generated_id /data/id", "unknown_member /data/attributes/nope", "invalid /data/attributes/username"}},
			{"empty where null clears", "POST", "users", user(`"attributes":{"username":"","display_name":""}`), nil, 422,
				[]string{"invalid /data/attributes/display_name", "invalid /data/attributes/username"}},
			{"no address", "POST", "users", user(`"attributes":{"username":"a","registered_ip":"here"}`), nil, 422, []string{"invalid /data/attributes/registered_ip"}},
			{"expiry in the year 1", "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "x", "scopes": []string{}, "expires_at": "0001-01-01T00:00:00Z"},
				map[string]any{"user": toOne("user", "01J3G5W8MRMBJ93ZYEGX2BN6NK")}), nil, 422, []string{"invalid /data/attributes/expires_at"}},
			{"a long scope", "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "x", "scopes": []string{"urn:reeve:user:" + strings.Repeat("x", 300)}},
				map[string]any{"user": toOne("user", "01J3G5W8MRMBJ93ZYEGX2BN6NK")}), nil, 422, []string{"invalid /data/attributes/scopes"}},
			{"unknown attribute", "POST", "users", user(`"attributes":{"username":"a","shoe_size":9}`), nil, 422, []string{"unknown_member /data/attributes/shoe_size"}},
			{"read-only attribute", "POST", "users", user(`"attributes":{"username":"a","can_request_admin":true}`), nil, 403, []string{"read_only /data/attributes/can_request_admin"}},
			{"mixed mistakes", "POST", "users", user(`"attributes":{"username":7,"can_request_admin":true}`), nil, 400,
				[]string{"read_only /data/attributes/can_request_admin", "invalid /data/attributes/username"}},
			{"a name that is taken", "POST", "users", user(`"attributes":{"username":"quentin"}`), nil, 409, []string{"taken /data/attributes/username"}},
			{"upper case name", "POST", "users", user(`"attributes":{"username":"Quentin"}`), nil, 422, []string{"invalid /data/attributes/username"}},
			{"long name", "POST", "users", user(`"attributes":{"username":"` + strings.Repeat("a", 256) + `"}`), nil, 422, []string{"invalid /data/attributes/username"}},
			{"another id", "PATCH", quentin, user(`"id":"01J2KDPHTZYW3TAT1SKVAD63SQ","attributes":{}`), nil, 409, []string{"type_mismatch /data/id"}},
			{"null", "PATCH", quentin, user(`"id":"01J3G5W8MRMBJ93ZYEGX2BN6NK","attributes":{"username":null}`), nil, 403, []string{"read_only /data/attributes/username"}},
			{"missing argument", "POST", quentin + "/set-admin", `{}`, nil, 422, []string{"required"}},
			{"wrong argument", "POST", quentin + "/set-admin", `{"admin":"yes"}`, nil, 422, []string{"invalid /admin"}},
			{"argument in a document", "POST", quentin + "/set-admin", `{"data":{"attributes":{"admin":1}}}`, nil, 422, []string{"invalid /data/attributes/admin"}},
			{"arguments for another type", "POST", quentin + "/lock", `{"data":{"type":"session"}}`, nil, 409, []string{"type_mismatch /data/type"}},
			{"arguments for another resource", "POST", quentin + "/lock", `{"data":{"type":"user","id":"01J2KDPHTZYW3TAT1SKVAD63SQ"}}`, nil, 409, []string{"type_mismatch /data/id"}},
			{"unknown argument", "POST", quentin + "/lock", `{"why":"so"}`, nil, 422, []string{"unknown_member /why"}},
			{"missing reference", "POST", "tokens", `{"data":{"type":"token","attributes":{"name":"x","scopes":[]}}}`, nil, 422, []string{"required /data"}},
			{"reference to nothing", "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "x", "scopes": []string{}},
				map[string]any{"user": toOne("user", "01J3G5W8MRMBJ93ZYEGX2BN6NZ")}), nil, 404, []string{"not_found /data/relationships/user"}},
			{"reference to another type", "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "x", "scopes": []string{}},
				map[string]any{"user": toOne("group", "01J3G5W8MRMBJ93ZYEGX2BN6NK")}), nil, 409, []string{"type_mismatch /data/relationships/user"}},
			{"unknown scope", "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "x", "scopes": []string{"everything"}},
				map[string]any{"user": toOne("user", "01J3G5W8MRMBJ93ZYEGX2BN6NK")}), nil, 422, []string{"invalid /data/attributes/scopes"}},
			{"oneself", "POST", "users/by-username/kilgore-trout/lock", nil, nil, 409, []string{"conflict"}},
			{"oneself deleted", "DELETE", "users/01J2KDPHTZYW3TAT1SKVAD63SQ", nil, nil, 409, []string{"conflict"}},
			{"an action on a filter without one", "POST", "sessions/finish", nil, nil, 400, []string{"invalid_parameter filter"}},
		} {
			t.Run(test.name, func(t *testing.T) {
				s := *s
				s.T = t
				events := s.events()
				if slices.ContainsFunc(test.headers, func(header string) bool { return strings.Contains(header, ": Basic") }) {
					events++ // of a sign-in that failed
				}
				a := s.send(test.method, "/api/admin/v1/"+test.path, test.body, test.headers...)
				if a.StatusCode != test.status {
					t.Fatalf("status %d, not %d: %s", a.StatusCode, test.status, a.text)
				}
				if got := failuresIn(t, a); !slices.Equal(got, test.want) {
					t.Errorf("errors %q, not %q", got, test.want)
				}
				if test.status == 401 && a.Header.Get("WWW-Authenticate") == "" {
					t.Error("no WWW-Authenticate")
				}
				if test.status == 405 && a.Header.Get("Allow") == "" {
					t.Error("no Allow")
				}
				if n := s.events(); n != events {
					t.Errorf("there are %d events, not %d", n, events)
				}
			})
		}
		outside := s.send("GET", "/nothing", nil)
		if outside.StatusCode != 404 || len(failuresIn(t, outside)) != 1 {
			t.Errorf("outside of the API: %d %s", outside.StatusCode, outside.text)
		}
	})
}

// TestManyTargets names more resources in one relationship than a statement takes.
func TestManyTargets(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		members := "groups/" + idOf(s.get("groups/by-key/empty")) + "/relationships/members"
		var unknown, known []any
		for range 2500 {
			unknown = append(unknown, map[string]any{"type": "user", "id": ulid.Make().String()})
		}
		if a := s.send("PATCH", "/api/admin/v1/"+members, map[string]any{"data": unknown}); a.StatusCode != 404 || failuresIn(t, a)[1] != "not_found /data/1" {
			t.Errorf("unknown members: %d %.200s", a.StatusCode, a.text)
		}
		if err := fixtures.Generate(t.Context(), s.app.database, s.app.stores(), 2500, func(int) {}); err != nil {
			t.Fatal(err)
		}
		for path := "/api/admin/v1/users?page[first]=1000"; path != ""; {
			page := s.send("GET", path, nil).document
			for _, id := range idsOf(page) {
				known = append(known, map[string]any{"type": "user", "id": id})
			}
			path, _ = dig(page, "links", "next").(string)
		}
		s.do(204, "PATCH", members, map[string]any{"data": known})
		if count := dig(s.get(members), "meta", "count"); count != float64(len(known)) {
			t.Errorf("%v members, not %d", count, len(known))
		}
	})
}

// failuresIn are the errors of a document, each as its code and its place.
func failuresIn(t *testing.T, a answer) (failures []string) {
	t.Helper()
	list, _ := a.document["errors"].([]any)
	for _, item := range list {
		place := ""
		for _, source := range []string{"pointer", "parameter", "header"} {
			if at, ok := dig(item, "source", source).(string); ok {
				place += " " + at
			}
		}
		failures = append(failures, fmt.Sprint(dig(item, "code"), place))
		if dig(item, "title") == nil || dig(item, "status") == nil || dig(item, "id") != a.Header.Get("X-Request-Id") {
			t.Errorf("an error without title, status or the request's id: %v", item)
		}
	}
	media := "application/vnd.api+json"
	if strings.HasSuffix(a.Request.URL.Path, "/operations") {
		media += `;ext="https://jsonapi.org/ext/atomic"`
	}
	if a.Header.Get("Content-Type") != media {
		t.Errorf("Content-Type %q", a.Header.Get("Content-Type"))
	}
	return failures
}

// events is how many events there are.
func (s *server) events() int {
	s.Helper()
	return s.count("SELECT count(*) FROM events")
}

// TestMethods sees which methods Allow names.
func TestMethods(t *testing.T) {
	s := start(t, "sqlite://"+t.TempDir()+"/reeve.db", everything)
	for path, want := range map[string]string{
		"users": "GET, HEAD, POST, OPTIONS", "users/01J3G5W8MRMBJ93ZYEGX2BN6NK": "GET, HEAD, PATCH, DELETE, OPTIONS",
		"users/01J3G5W8MRMBJ93ZYEGX2BN6NK/lock": "POST, OPTIONS", "sessions": "GET, HEAD, OPTIONS", "me": "GET, HEAD, OPTIONS",
		"groups/01J3G5W8MRMBJ93ZYEGX2BN6NK/relationships/members": "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
	} {
		a := s.send("OPTIONS", "/api/admin/v1/"+path, nil)
		if a.StatusCode != http.StatusNoContent || a.Header.Get("Allow") != want {
			t.Errorf("%s: %d %q", path, a.StatusCode, a.Header.Get("Allow"))
		}
	}
}
