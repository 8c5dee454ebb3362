package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonapi"
	"github.com/oklog/ulid/v2"

	"reeve/resource"
	"reeve/resource/document"
	"reeve/resource/resourcetest"
)

const base = "/api/admin/v1"

type (
	scenario = resourcetest.Scenario
	failure  = resourcetest.Failure
	failures = []resourcetest.Failure
	answer   = resourcetest.Answer
	header   = map[string]string
)

func one(code resource.Code) failures { return failures{{Code: code}} }

func pointed(code resource.Code, pointer string) failures {
	return failures{{Code: code, Pointer: pointer}}
}

func about(code resource.Code, parameters ...string) failures {
	var all failures
	for _, parameter := range parameters {
		all = append(all, failure{Code: code, Parameter: parameter})
	}
	return all
}

// wantHeader checks a header of the answer.
func wantHeader(name, want string) func(*testing.T, answer) {
	return func(t *testing.T, a answer) {
		t.Helper()
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// wantBody checks the whole body.
func wantBody(format string, args ...any) func(*testing.T, answer) {
	return func(t *testing.T, a answer) {
		t.Helper()
		if diff := cmp.Diff(fmt.Sprintf(format, args...), string(a.Body)); diff != "" {
			t.Errorf("body (-want +got):\n%s", diff)
		}
	}
}

func TestAuthentication(t *testing.T) {
	e := newEstate(t, "")
	id := e.add(t, "bob")[0].String()
	challenged := func(t *testing.T, a answer) {
		want := []string{`Bearer realm="reeve"`, `Basic realm="reeve"`}
		if diff := cmp.Diff(want, a.Header.Values("WWW-Authenticate")); diff != "" {
			t.Error(diff)
		}
	}
	nobody := header{"Authorization": ""}
	guest := header{"Authorization": "Bearer guest"}
	e.Run(t,
		scenario{Name: "nobody", URL: base + "/users", Header: nobody, Status: 401, Errors: one(resource.Unauthenticated), Check: challenged},
		scenario{Name: "nobody at an unknown path", URL: base + "/nowhere", Header: nobody, Status: 401, Errors: one(resource.Unauthenticated)},
		scenario{Name: "nobody with a wrong method", Method: "PUT", URL: base + "/users?x=1", Header: nobody, Status: 401,
			Errors: one(resource.Unauthenticated)},
		scenario{Name: "expired", URL: base + "/users", Header: header{"Authorization": "Bearer expired"}, Status: 401,
			Errors: one(resource.Unauthenticated), Check: challenged},
		scenario{Name: "too many", URL: base + "/users", Header: header{"Authorization": "Bearer many"}, Status: 429,
			Errors: one(resource.TooManyRequests), Check: wantHeader("Retry-After", "1")},
		scenario{Name: "broken", URL: base + "/users", Header: header{"Authorization": "Bearer broken"}, Status: 500,
			Errors: one(resource.Internal)},
		scenario{Name: "guest lists", URL: base + "/users", Header: guest, Status: 403, Errors: one(resource.Forbidden)},
		scenario{Name: "guest acts", Method: "POST", URL: base + "/users/" + id + "/lock", Header: guest, Status: 403,
			Errors: one(resource.Forbidden)},
	)
}

func TestPaths(t *testing.T) {
	e := newEstate(t, "")
	ids := e.add(t, "bob", "a/b c", "by-x")
	id := ids[0].String()
	g := e.Do(t, scenario{Method: "POST", URL: base + "/groups", Status: 201,
		Body: `{"data":{"type":"group","attributes":{"key":"staff","first_name":"Ann"}}}`}).At("data", "id").(string)
	isUser := func(i int) func(*testing.T, answer) {
		return func(t *testing.T, a answer) {
			if got := a.At("data", "id"); got != ids[i].String() {
				t.Errorf("got %v", got)
			}
			if got, want := a.Link("self"), base+"/users/"+ids[i].String(); got != want {
				t.Errorf("self is %s, want %s", got, want)
			}
		}
	}
	nothing := func(name, method, path string) scenario {
		return scenario{Name: name, Method: method, URL: base + path, Status: 404, Errors: one(resource.NotFound)}
	}
	refused := func(method, path, allow string) scenario {
		return scenario{Name: method + " " + path, Method: method, URL: base + path, Status: 405,
			Errors: one(resource.MethodNotAllowed), Check: wantHeader("Allow", allow)}
	}
	readOnly := func(method, path string) scenario {
		return scenario{Name: method + " " + path, Method: method, URL: base + path, Status: 403, Errors: one(resource.ReadOnly)}
	}
	e.Run(t,
		scenario{Name: "by id", URL: base + "/users/" + id, Status: 200, Check: isUser(0)},
		scenario{Name: "lower case", URL: base + "/users/" + strings.ToLower(id), Status: 200, Check: isUser(0)},
		scenario{Name: "by key", URL: base + "/users/by-username/bob", Status: 200, Check: isUser(0)},
		scenario{Name: "by key, encoded", URL: base + "/users/by-username/a%2Fb%20c", Status: 200, Check: isUser(1)},
		scenario{Name: "by key with hyphens", URL: base + "/groups/by-first-name/Ann", Status: 200},
		scenario{Name: "act by key", Method: "POST", URL: base + "/users/by-username/bob/lock", Status: 200, Check: isUser(0)},
		scenario{Name: "singleton", URL: base + "/server", Status: 200, Check: func(t *testing.T, a answer) {
			if a.At("data", "links", "self") != base+"/server" || a.Link("self") != base+"/server" {
				t.Errorf("%s", a.Body)
			}
		}},
		nothing("the base", "GET", ""),
		nothing("the base with a slash", "GET", "/"),
		nothing("unknown type", "GET", "/nowhere"),
		nothing("singular", "GET", "/user"),
		nothing("trailing slash", "GET", "/users/"),
		nothing("double slash", "GET", "//users"),
		nothing("dots", "GET", "/users/../users"),
		nothing("id that is none", "GET", "/users/1"),
		nothing("id that is none, deleted", "DELETE", "/users/zzzzzzzzzzzzzzzzzzzzzzzzzz"),
		nothing("unknown id", "GET", "/users/01J2KDPHTZYW3TAT1SKVAD63SQ"),
		nothing("zero id", "GET", "/users/00000000000000000000000000"),
		nothing("zero id, action", "POST", "/users/00000000000000000000000000/lock"),
		nothing("unknown id, action", "POST", "/users/01J2KDPHTZYW3TAT1SKVAD63SQ/lock"),
		nothing("unknown action", "POST", "/users/"+id+"/shave"),
		nothing("unknown collection action", "POST", "/users/shave"),
		nothing("collection action on one", "POST", "/users/"+id+"/call-all"),
		nothing("too long", "GET", "/users/"+id+"/lock/more/still"),
		nothing("unknown lookup", "GET", "/users/by-shoe-size/42"),
		nothing("lookup with underscore", "GET", "/groups/by-first_name/Ann"),
		nothing("unknown key", "GET", "/users/by-username/nobody"),
		nothing("key with NUL", "GET", "/users/by-username/a%00"),
		nothing("key with broken UTF-8", "GET", "/users/by-username/%ff"),
		nothing("act by unknown key", "POST", "/users/by-username/nobody/lock"),
		nothing("unknown relationship", "GET", "/groups/"+g+"/relationships/enemies"),
		nothing("relationship of nothing", "GET", "/groups/01J2KDPHTZYW3TAT1SKVAD63SQ/relationships/members"),
		nothing("plural of a singleton", "GET", "/servers"),
		nothing("below a singleton", "GET", "/server/"+id),
		nothing("type without collection", "GET", "/faults"),
		nothing("action on a filter of a type without list", "POST", "/faults/mend"),
		refused("PUT", "/users", "GET, HEAD, POST, OPTIONS"),
		refused("DELETE", "/users", "GET, HEAD, POST, OPTIONS"),
		refused("PATCH", "/users", "GET, HEAD, POST, OPTIONS"),
		refused("PUT", "/users/"+id, "GET, HEAD, PATCH, DELETE, OPTIONS"),
		refused("POST", "/users/"+id, "GET, HEAD, PATCH, DELETE, OPTIONS"),
		refused("TRACE", "/users/"+id, "GET, HEAD, PATCH, DELETE, OPTIONS"),
		refused("GET", "/users/"+id+"/lock", "POST, OPTIONS"),
		refused("PATCH", "/users/"+id+"/lock", "POST, OPTIONS"),
		refused("GET", "/users/call-all", "POST, OPTIONS"),
		refused("GET", "/users/lock", "POST, OPTIONS"),
		refused("DELETE", "/server", "GET, HEAD, PATCH, OPTIONS"),
		refused("GET", "/server/restart", "POST, OPTIONS"),
		refused("DELETE", "/faults/"+id, "GET, HEAD, OPTIONS"),
		refused("PUT", "/groups/"+g+"/relationships/members", "GET, HEAD, POST, PATCH, DELETE, OPTIONS"),
		readOnly("PATCH", "/faults/"+id),
		readOnly("PATCH", "/groups/"+g+"/relationships/founder"),
		readOnly("POST", "/groups/"+g+"/relationships/owner"),
		scenario{Name: "OPTIONS", Method: "OPTIONS", URL: base + "/users", Status: 204, Check: wantHeader("Allow", "GET, HEAD, POST, OPTIONS")},
		scenario{Name: "HEAD", Method: "HEAD", URL: base + "/users", Status: 200},
		scenario{Name: "HEAD of nothing", Method: "HEAD", URL: base + "/users/1", Status: 404},
	)
}

func TestNegotiation(t *testing.T) {
	e := newEstate(t, "")
	const vnd, plain = "application/vnd.api+json", "application/json"
	accepted := func(accept, media string) scenario {
		return scenario{Name: accept, URL: base + "/users", Header: header{"Accept": accept}, Status: 200,
			Check: wantHeader("Content-Type", media)}
	}
	refused := func(accept string) scenario {
		return scenario{Name: accept, URL: base + "/users", Header: header{"Accept": accept}, Status: 406,
			Errors: failures{{Code: resource.NotAcceptable, Header: "Accept"}}, Check: wantHeader("Content-Type", vnd)}
	}
	e.Run(t,
		accepted("", vnd),
		accepted("*/*", vnd),
		accepted("application/*", vnd),
		accepted(vnd, vnd),
		accepted("Application/VND.api+JSON", vnd),
		accepted(plain, plain),
		accepted(plain+"; charset=utf-8", plain),
		accepted(plain+", */*", plain),
		accepted("application/json, text/plain, */*", plain),
		accepted(plain+", "+vnd, vnd),
		accepted(plain+";q=0.9, "+vnd+";q=0.8", plain),
		accepted(plain+";q=0.8, "+vnd+";q=0.9", vnd),
		accepted(vnd+";q=0, */*", plain),
		accepted(plain+";q=0, */*;q=0.1", vnd),
		accepted("text/html, */*;q=0.1", vnd),
		accepted(vnd+`; charset=utf-8, `+vnd, vnd),
		accepted(vnd+`; profile="https://example.com/unknown https://example.com/other"`, vnd),
		accepted(vnd+`; profile="https://example.com/unknown `+document.CursorProfile+`"`, document.ProfileType),
		accepted(vnd+`; profile="`+document.CursorProfile+`"; charset=utf-8, `+vnd, vnd),
		accepted(vnd+`; profile="`+document.CursorProfile+`"; q=0, `+plain, plain),
		accepted(vnd+`; ext="https://example.com/a,b", `+vnd, vnd),
		accepted(`text/html;level="1,2\"", `+plain, plain),
		refused(vnd+"; charset=utf-8"),
		refused(vnd+"; charset=utf-8, */*"),
		refused(vnd+`; ext="https://example.com/unknown"`),
		refused("text/html"),
		refused("*/*;q=0"),
		refused(vnd+";q=0"),
		refused(plain+";q=0, "+vnd+";q=0, */*"),
		refused("nonsense"),
		refused(plain+";q=2"),
	)
	posted := func(contentType string, status int, errors failures) scenario {
		return scenario{Name: "POST " + contentType, Method: "POST", URL: base + "/users", Header: header{"Content-Type": contentType},
			Body: `{}`, Status: status, Errors: errors}
	}
	unsupported := failures{{Code: resource.UnsupportedMediaType, Header: "Content-Type"}}
	read := one(resource.MalformedDocument)
	e.Run(t,
		posted(vnd, 400, read),
		posted(plain, 400, read),
		posted(plain+"; charset=UTF-8", 400, read),
		posted(vnd+`; profile="https://example.com/unknown"`, 400, read),
		posted("", 415, unsupported),
		posted(plain+"; charset=latin1", 415, unsupported),
		posted(vnd+"; charset=utf-8", 415, unsupported),
		posted(vnd+`; ext="https://example.com/unknown"`, 415, unsupported),
		posted(vnd+`; ext="https://example.com/unknown"; profile="https://example.com"`, 415, unsupported),
		posted("application/x-www-form-urlencoded", 415, unsupported),
		posted("nonsense/", 415, unsupported),
		scenario{Name: "errors as asked for", URL: base + "/nowhere", Header: header{"Accept": plain}, Status: 404,
			Errors: one(resource.NotFound), Check: wantHeader("Content-Type", plain)},
		scenario{Name: "406 before 415", Method: "POST", URL: base + "/users", Status: 406, Body: "x",
			Header: header{"Accept": "text/html", "Content-Type": "text/html"},
			Errors: failures{{Code: resource.NotAcceptable, Header: "Accept"}}},
		scenario{Name: "405 before 406", Method: "PUT", URL: base + "/users", Status: 405, Header: header{"Accept": "text/html"},
			Errors: one(resource.MethodNotAllowed)},
		scenario{Name: "415 before the query", Method: "POST", URL: base + "/users?x=1", Status: 415, Body: "x",
			Header: header{"Content-Type": "text/html"}, Errors: unsupported},
		scenario{Name: "the query before the body", Method: "POST", URL: base + "/users?x=1", Status: 400, Body: "x",
			Errors: about(resource.UnknownParameter, "x")},
		scenario{Name: "no body, no media type", Method: "POST", URL: base + "/users/call-all", Header: header{"Content-Type": "text/html"},
			Status: 422, Errors: one(resource.Required)},
	)
}

func TestQuery(t *testing.T) {
	e := newEstate(t, "")
	e.addSeed(t)
	id := "01J3G5W8MRMBJ93ZYEGX2BN6NK"
	list := func(query string, names ...string) scenario {
		return scenario{Name: query, URL: base + "/users?" + query, Status: 200, Check: func(t *testing.T, a answer) {
			var got []string
			for _, object := range a.Data(t) {
				got = append(got, object["attributes"].(map[string]any)["username"].(string))
			}
			if diff := cmp.Diff(names, got); diff != "" {
				t.Error(diff)
			}
		}}
	}
	invalid := func(query string, parameters ...string) scenario {
		return scenario{Name: query, URL: base + "/users?" + query, Status: 400, Errors: about(resource.InvalidParameter, parameters...)}
	}
	unknown := func(path string, parameters ...string) scenario {
		return scenario{Name: path, URL: base + path, Status: 400, Errors: about(resource.UnknownParameter, parameters...)}
	}
	e.Run(t,
		list("", "kilgore-trout", "quentin", "locked", "plain"),
		list("&", "kilgore-trout", "quentin", "locked", "plain"),
		list("filter[status]=locked", "locked"),
		list("filter%5Bstatus%5D=locked", "locked"),
		list("filter%5bstatus%5d=locked&", "locked"),
		list("filter[username]=locked&filter[username]=plain", "locked", "plain"),
		list("filter[username]=locked&filter[username]=plain&filter[status]=locked", "locked"),
		list("filter[username][contains]=o", "kilgore-trout", "locked"),
		list("filter[username][contains]=a+b"),
		list("filter[created_at][after]=2024-07-23T16:13:05Z", "plain"),
		list("filter[created_at][after]=2024-07-23T18:13:05%2B02:00", "plain"),
		list("page[first]=2", "kilgore-trout", "quentin"),
		list("page[last]=2", "locked", "plain"),
		list("page[after]="+id, "locked", "plain"),
		list("page[after]="+strings.ToLower(id), "locked", "plain"),
		list("page[before]="+id, "kilgore-trout"),
		list("page[after]=01J3G5W8MRMBJ93ZYEGX2BN6NJ&page[before]=01J3G5W8MRMBJ93ZYEGX2BN6NN&page[last]=1", "locked"),
		list("page[first]=1000", "kilgore-trout", "quentin", "locked", "plain"),
		invalid("page[first]=0", "page[first]"),
		invalid("page[first]=-1", "page[first]"),
		invalid("page[first]=%2B1", "page[first]"),
		invalid("page[first]=x", "page[first]"),
		invalid("page[first]=1001", "page[first]"),
		invalid("page[first]=99999999999999999999", "page[first]"),
		invalid("page[first]=", "page[first]"),
		invalid("page[first]", "page[first]"),
		invalid("page[last]=1.5", "page[last]"),
		invalid("page[first]=1&page[last]=1", "page[first]", "page[last]"),
		invalid("page[first]=1&page[first]=1", "page[first]"),
		invalid("page[after]=", "page[after]"),
		invalid("page[after]=x", "page[after]"),
		invalid("page[before]=x&page[after]=y", "page[before]", "page[after]"),
		invalid("page[count]=maybe", "page[count]"),
		invalid("page[count]=true&count=true", "count"),
		invalid("include=x", "include"),
		invalid("include=groups.x", "include"),
		invalid("fields[user]=x", "fields[user]"),
		invalid("fields[user]=password", "fields[user]"),
		invalid("count=maybe", "count"),
		invalid("count=", "count"),
		invalid("count=true&count=true", "count"),
		invalid("filter[status]=", "filter[status]"),
		invalid("filter[status]=odd&filter[status]=active&filter[can_request_admin]=1", "filter[status]", "filter[can_request_admin]"),
		invalid("filter[created_at][after]=yesterday", "filter[created_at][after]"),
		invalid("filter[username]=%zz", "filter[username]"),
		invalid("filter[username]=%ff", "filter[username]"),
		invalid("filter[username]=%00", "filter[username]"),
		invalid("%zz=1", "%zz"),
		invalid("%ff=1", "%ff"),
		list(strings.Repeat("filter[username]=plain&", 1000), "plain"),
		invalid(strings.Repeat("filter[username]=a&", 1001), "filter[username]"),
		invalid(strings.Repeat("filter[username][contains]=a&", 101), "filter[username][contains]"),
		list("sort=username", "kilgore-trout", "locked", "plain", "quentin"),
		list("sort=-username&page[first]=2", "quentin", "plain"),
		list("sort=-username&page[last]=2", "locked", "kilgore-trout"),
		list("sort=locked_at,-username", "quentin", "plain", "kilgore-trout", "locked"),
		list("sort=-locked_at,username&filter[can_request_admin]=true", "locked", "kilgore-trout", "quentin"),
		list("sort=-id", "plain", "locked", "quentin", "kilgore-trout"),
		list("sort=-id&page[after]="+id, "kilgore-trout"),
		invalid("sort=username&page[after]="+id, "page[after]"),
		invalid("sort=username&page[after]=WyJ1c2VybmFtZSJd", "page[after]"),
		list("page[size]=2", "kilgore-trout", "quentin"),
		list("page[size]=2&page[after]="+id, "locked", "plain"),
		list("page[size]=1&page[before]="+id, "kilgore-trout"),
		list("page[size]=2&page[before]=", "locked", "plain"),
		list("page[size]=3&sort=-username&page[before]=", "plain", "locked", "kilgore-trout"),
		invalid("page[size]=0", "page[size]"),
		invalid("page[size]=%2B1", "page[size]"),
		invalid("page[size]=1001", "page[size]"),
		invalid("page[size]=99999999999999999999", "page[size]"),
		invalid("page[size]=1&page[first]=1", "page[size]", "page[first]"),
		invalid("page[last]=1&page[size]=1", "page[last]", "page[size]"),
		invalid("page[size]=1&page[after]="+id+"&page[before]="+id, "page[before]"),
		invalid("page[before]=", "page[before]"),
		unknown("/users?colour=red", "colour"),
		unknown("/users?page=10", "page"),
		scenario{Name: "no such sort", URL: base + "/users?sort=created_at", Status: 400, Errors: about(resource.UnsupportedSort, "sort")},
		scenario{Name: "half a sort", URL: base + "/users?sort=locked_at", Status: 400, Errors: about(resource.UnsupportedSort, "sort")},
		unknown("/users?fields[uzer]=x", "fields[uzer]"),
		unknown("/users?fields=x", "fields"),
		unknown("/users/"+id+"?sort=username", "sort"),
		unknown("/users?filter[uzer]=x", "filter[uzer]"),
		unknown("/users?filter[status][after]=x", "filter[status][after]"),
		unknown("/users?filter[status][]=x", "filter[status][]"),
		unknown("/users?filter[]=x", "filter[]"),
		unknown("/users?filter=x", "filter"),
		unknown("/users?filter[a][b][c]=x", "filter[a][b][c]"),
		unknown("/users?filter.status=x", "filter.status"),
		unknown("/users?PAGE[first]=1", "PAGE[first]"),
		unknown("/users/"+id+"?count=true", "count"),
		unknown("/users/"+id+"?page[first]=1", "page[first]"),
		unknown("/users/"+id+"?filter[status]=active", "filter[status]"),
		unknown("/server?x", "x"),
		scenario{Name: "all at once", URL: base + "/users?page[first]=0&colour=red&filter[uzer]=x&count=2", Status: 400,
			Errors: failures{
				{Code: resource.InvalidParameter, Parameter: "page[first]"},
				{Code: resource.UnknownParameter, Parameter: "colour"},
				{Code: resource.InvalidParameter, Parameter: "count"},
				{Code: resource.UnknownParameter, Parameter: "filter[uzer]"},
			}},
		scenario{Name: "all at once, sorted", URL: base + "/users?page[after]=x&page[first]=0&sort=x&include=y&fields[user]=z", Status: 400,
			Errors: failures{
				{Code: resource.InvalidParameter, Parameter: "page[first]"},
				{Code: resource.UnsupportedSort, Parameter: "sort"},
				{Code: resource.InvalidParameter, Parameter: "include"},
				{Code: resource.InvalidParameter, Parameter: "fields[user]"},
			}},
		scenario{Name: "count=false", URL: base + "/users?count=false&page[first]=1", Status: 200, Check: func(t *testing.T, a answer) {
			if a.At("meta") != nil || len(a.Data(t)) != 1 {
				t.Errorf("%s", a.Body)
			}
		}},
		scenario{Name: "count=only", URL: base + "/users?filter[status]=active&count=only", Status: 200,
			Check: wantBody(`{"meta":{"count":3},"links":{"self":"%s/users?filter[status]=active&count=only"}}`, base)},
		scenario{Name: "unknown parameter of an action", Method: "POST", URL: base + "/users/" + id + "/lock?force=1", Status: 400,
			Errors: about(resource.UnknownParameter, "force")},
	)
}

func TestLinks(t *testing.T) {
	const prefix = "/estate"
	e := newEstate(t, prefix)
	e.addSeed(t)
	const path = prefix + base + "/users"
	ids := []string{
		"01J2KDPHTZYW3TAT1SKVAD63SQ", "01J3G5W8MRMBJ93ZYEGX2BN6NK", "01J3G5W8MRMBJ93ZYEGX2BN6NM", "01J3G5W8MRMBJ93ZYEGX2BN6NN",
	}
	for query, want := range map[string]map[string]string{
		"": {"self": "", "first": "?page[first]=10", "last": "?page[last]=10"},
		"?count=false": {
			"self": "?count=false", "first": "?count=false&page[first]=10", "last": "?count=false&page[last]=10",
		},
		"?page[first]=2": {
			"self": "?page[first]=2", "first": "?page[first]=2", "last": "?page[last]=2", "next": "?page[first]=2&page[after]=" + ids[1],
		},
		"?page[last]=2": {
			"self": "?page[last]=2", "first": "?page[first]=2", "last": "?page[last]=2", "prev": "?page[last]=2&page[before]=" + ids[2],
		},
		"?page[after]=" + ids[0] + "&count=true&page[first]=2": {
			"self":  "?page[after]=" + ids[0] + "&count=true&page[first]=2",
			"first": "?page[first]=2&count=true", "last": "?page[last]=2&count=true",
			"next": "?page[first]=2&page[after]=" + ids[2] + "&count=true",
			"prev": "?page[last]=2&page[before]=" + ids[1] + "&count=true",
		},
		"?page%5Bfirst%5D=1&filter%5Busername%5D%5Bcontains%5D=": {
			"self":  "?page[first]=1&filter[username][contains]=",
			"first": "?page[first]=1&filter[username][contains]=", "last": "?page[last]=1&filter[username][contains]=",
			"next": "?page[first]=1&page[after]=" + ids[0] + "&filter[username][contains]=",
		},
		"?filter[username]=a+b%26%C3%A9=%2B%23%25%5B": {
			"self":  "?filter[username]=a%20b%26%C3%A9%3D%2B%23%25%5B",
			"first": "?filter[username]=a%20b%26%C3%A9%3D%2B%23%25%5B&page[first]=10",
			"last":  "?filter[username]=a%20b%26%C3%A9%3D%2B%23%25%5B&page[last]=10",
		},
		"?page[after]=" + ids[3]: {
			"self": "?page[after]=" + ids[3], "first": "?page[first]=10", "last": "?page[last]=10",
			"prev": "?page[last]=10&page[before]=01J3G5W8MRMBJ93ZYEGX2BN6NP",
		},
	} {
		t.Run(query, func(t *testing.T) {
			a := e.Get(t, base+"/users"+query)
			got := map[string]string{}
			for name, link := range a.At("links").(map[string]any) {
				var ok bool
				if got[name], ok = strings.CutPrefix(link.(string), path); !ok {
					t.Errorf("%s is %q", name, link)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			// Every link can be followed, and what it leads to calls itself so.
			for name, link := range a.At("links").(map[string]any) {
				followed := e.Get(t, strings.TrimPrefix(link.(string), prefix))
				if followed.Link("self") != link {
					t.Errorf("%s leads to %q, not %q", name, followed.Link("self"), link)
				}
				if name == "self" && string(followed.Body) != string(a.Body) {
					t.Errorf("self leads to another page: %s", followed.Body)
				}
			}
			for _, object := range a.Data(t) {
				self := object["links"].(map[string]any)["self"].(string)
				if got := e.Get(t, strings.TrimPrefix(self, prefix)); got.At("data", "id") != object["id"] {
					t.Errorf("%s leads to %v", self, got.At("data", "id"))
				}
			}
		})
	}
}

// TestWalk follows next and prev through a list.
func TestWalk(t *testing.T) {
	e := newEstate(t, "")
	var names []string
	for i := range 57 {
		names = append(names, fmt.Sprintf("user-%02d", i))
	}
	var want []string
	for _, id := range e.add(t, names...) {
		want = append(want, id.String())
	}
	for _, size := range []int{1, 7, 57, 100} {
		for link, start := range map[string]string{"next": "first", "prev": "last"} {
			var got []string
			for url := fmt.Sprintf("%s/users?page[%s]=%d", base, start, size); url != ""; {
				a := e.Get(t, url)
				if link == "next" {
					got = append(got, a.IDs(t)...)
				} else {
					got = append(a.IDs(t), got...)
				}
				url = a.Link(link)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s by %d: %s", link, size, diff)
			}
		}
	}
}

func TestWrites(t *testing.T) {
	e := newEstate(t, "/estate")
	ids := e.add(t, "bob", "alice")
	bob, alice := ids[0].String(), ids[1].String()
	created := e.Do(t, scenario{Method: "POST", URL: base + "/groups", Status: 201, Body: fmt.Sprintf(
		`{"jsonapi":{"version":"1.1"},"@x":1,"meta":{},"links":{},"included":[],"data":{"type":"group",
		"attributes":{"@context":1,"key":"staff","size":9007199254740993},
		"relationships":{"owner":{"data":{"type":"user","id":"%s"}},"members":{"data":[{"type":"user","id":"%s"}]}}}}`, bob, alice),
		Check: func(t *testing.T, a answer) {
			id := a.At("data", "id")
			wantBody(`{"data":{"type":"group","id":"%[1]s","attributes":{"key":"staff","first_name":null,"size":9007199254740993,`+
				`"note":null,"ticket":"ticket-staff"},"relationships":{"owner":{"data":{"type":"user","id":"%[2]s"},`+
				`"links":{"self":"%[3]s/%[1]s/relationships/owner","related":"%[3]s/%[1]s/owner"}},`+
				`"founder":{"data":{"type":"user","id":"%[2]s"},"links":{"related":"%[3]s/%[1]s/founder"}},`+
				`"members":{"links":{"self":"%[3]s/%[1]s/relationships/members","related":"%[3]s/%[1]s/members"}}},`+
				`"links":{"self":"%[3]s/%[1]s"}},"links":{"self":"%[3]s/%[1]s"}}`, id, bob, "/estate"+base+"/groups")(t, a)
			wantHeader("Location", "/estate"+base+"/groups/"+id.(string))(t, a)
		}})
	id := created.At("data", "id").(string)
	path := base + "/groups/" + id
	patch := func(name, body string, status int, errors failures) scenario {
		return scenario{Name: name, Method: "PATCH", URL: path, Body: body, Status: status, Errors: errors}
	}
	e.Run(t,
		scenario{Name: "shown once", URL: path, Status: 200, Check: func(t *testing.T, a answer) {
			if strings.Contains(string(a.Body), "ticket") {
				t.Errorf("%s", a.Body)
			}
		}},
		patch("change", fmt.Sprintf(`{"data":{"type":"group","id":"%s","attributes":{"note":"n","size":2}}}`, strings.ToLower(id)), 200, nil),
		scenario{Name: "absent is untouched, null clears", Method: "PATCH", URL: path, Status: 200,
			Body: fmt.Sprintf(`{"data":{"type":"group","id":"%s","attributes":{"note":null},"relationships":{"owner":{"data":null}}}}`, id),
			Check: func(t *testing.T, a answer) {
				if a.At("data", "attributes", "note") != nil || fmt.Sprint(a.At("data", "attributes", "size")) != "2" ||
					a.At("data", "relationships", "owner", "data") != nil {
					t.Errorf("%s", a.Body)
				}
			}},
		scenario{Name: "by key without id", Method: "PATCH", URL: base + "/groups/by-key/staff", Status: 200,
			Body: `{"data":{"type":"group","attributes":{"size":3}}}`},
		scenario{Name: "by key with its id", Method: "PATCH", URL: base + "/groups/by-key/staff", Status: 200,
			Body: fmt.Sprintf(`{"data":{"type":"group","id":"%s","attributes":{"size":3}}}`, id)},
		scenario{Name: "by key with another id", Method: "PATCH", URL: base + "/groups/by-key/staff", Status: 409,
			Body:   fmt.Sprintf(`{"data":{"type":"group","id":"%s","attributes":{"size":3}}}`, bob),
			Errors: pointed(resource.TypeMismatch, "/data/id")},
		scenario{Name: "singleton", Method: "PATCH", URL: base + "/server", Status: 200,
			Body: `{"data":{"type":"server","attributes":{"name":"manor"}}}`},
		scenario{Name: "singleton with another id", Method: "PATCH", URL: base + "/server", Status: 409,
			Body:   fmt.Sprintf(`{"data":{"type":"server","id":"%s"}}`, bob),
			Errors: pointed(resource.TypeMismatch, "/data/id")},
		scenario{Name: "singleton acts", Method: "POST", URL: base + "/server/restart", Status: 204},
		patch("no id", `{"data":{"type":"group","attributes":{}}}`, 400, pointed(resource.MalformedDocument, "/data")),
		patch("id that is none", `{"data":{"type":"group","id":"x"}}`, 409, pointed(resource.TypeMismatch, "/data/id")),
		patch("another id", fmt.Sprintf(`{"data":{"type":"group","id":"%s"}}`, bob), 409, pointed(resource.TypeMismatch, "/data/id")),
		patch("another type", fmt.Sprintf(`{"data":{"type":"user","id":"%s"}}`, id), 409, pointed(resource.TypeMismatch, "/data/type")),
		patch("several mistakes", fmt.Sprintf(`{"data":{"type":"group","id":"%s","attributes":{"key":null,"size":"x","a/b":1,"ticket":"t"},
			"relationships":{"founder":{"data":null},"enemy":{"data":null},"owner":{"data":{"type":"group","id":"%s"}}}}}`, id, id), 400,
			failures{
				{Code: resource.UnknownMember, Pointer: "/data/attributes/a~1b"},
				{Code: resource.Invalid, Pointer: "/data/attributes/key"},
				{Code: resource.Invalid, Pointer: "/data/attributes/size"},
				{Code: resource.ReadOnly, Pointer: "/data/attributes/ticket"},
				{Code: resource.UnknownMember, Pointer: "/data/relationships/enemy"},
				{Code: resource.ReadOnly, Pointer: "/data/relationships/founder"},
				{Code: resource.TypeMismatch, Pointer: "/data/relationships/owner"},
			}),
		patch("nobody there", fmt.Sprintf(`{"data":{"type":"group","id":"%s","relationships":{"owner":{"data":
			{"type":"user","id":"01J2KDPHTZYW3TAT1SKVAD63SQ"}}}}}`, id), 404, pointed(resource.NotFound, "/data/relationships/owner")),
		patch("id of nobody", fmt.Sprintf(`{"data":{"type":"group","id":"%s","relationships":{"owner":{"data":
			{"type":"user","id":"bob"}}}}}`, id), 404, pointed(resource.NotFound, "/data/relationships/owner/data/id")),
		scenario{Name: "client id", Method: "POST", URL: base + "/groups", Status: 403, Errors: pointed(resource.ClientID, "/data/id"),
			Body: fmt.Sprintf(`{"data":{"type":"group","id":"%s","attributes":{"key":"x"}}}`, bob)},
		scenario{Name: "another type", Method: "POST", URL: base + "/groups", Status: 409, Errors: pointed(resource.TypeMismatch, "/data/type"),
			Body: `{"data":{"type":"groups","attributes":{"key":"x"}}}`},
		scenario{Name: "missing attribute", Method: "POST", URL: base + "/groups", Status: 422,
			Errors: pointed(resource.Required, "/data/attributes"), Body: `{"data":{"type":"group","attributes":{}}}`},
		scenario{Name: "missing attributes", Method: "POST", URL: base + "/groups", Status: 422,
			Errors: pointed(resource.Required, "/data"), Body: `{"data":{"type":"group"}}`},
		scenario{Name: "taken", Method: "POST", URL: base + "/groups", Status: 409, Errors: pointed(resource.Taken, "/data/attributes/key"),
			Body: `{"data":{"type":"group","attributes":{"key":"staff"}}}`},
		scenario{Name: "fixed", Method: "PATCH", URL: base + "/users/" + bob, Status: 403,
			Errors: pointed(resource.ReadOnly, "/data/attributes/username"),
			Body:   fmt.Sprintf(`{"data":{"type":"user","id":"%s","attributes":{"username":"rob"}}}`, bob)},
		scenario{Name: "delete", Method: "DELETE", URL: path, Status: 204, Body: "this is not looked at"},
		scenario{Name: "deleted", Method: "DELETE", URL: path, Status: 404, Errors: one(resource.NotFound)},
	)
}

func TestBodies(t *testing.T) {
	e := newEstate(t, "")
	post := func(name, body string, errors failures) scenario {
		return scenario{Name: name, Method: "POST", URL: base + "/groups", Body: body, Status: 400, Errors: errors}
	}
	malformed := func(name, body string, pointers ...string) scenario {
		var all failures
		for _, pointer := range pointers {
			all = append(all, failure{Code: resource.MalformedDocument, Pointer: pointer})
		}
		return post(name, body, all)
	}
	e.Run(t,
		malformed("empty", "", ""),
		malformed("white space", " ", ""),
		malformed("not JSON", "{", ""),
		malformed("array", "[]", ""),
		malformed("null", "null", ""),
		malformed("without data", `{"meta":{}}`, ""),
		malformed("trailing bytes", `{"data":{"type":"group","attributes":{"key":"x"}}} x`, ""),
		malformed("data null", `{"data":null}`, "/data"),
		malformed("data array", `{"data":[]}`, "/data"),
		malformed("no type", `{"data":{}}`, "/data"),
		malformed("several shapes", `{"data":{"type":1,"id":2,"attributes":[],"relationships":{"a":1,"b":{},
			"c":{"data":{"type":"user"}},"members":{"data":null},"owner":{"data":[]}}}}`,
			"/data/type", "/data/id", "/data/attributes", "/data/relationships/a", "/data/relationships/b",
			"/data/relationships/c/data", "/data/relationships/members/data", "/data/relationships/owner/data"),
		malformed("relationships array", `{"data":{"type":"group","relationships":[]}}`, "/data/relationships"),
		malformed("duplicate and NUL", `{"data":{"type":"group","type":"group","attributes":{"key":"a\u0000"}}}`,
			"/data/type", "/data/attributes/key"),
		malformed("raw NUL", "{\"data\":\"a\x00\"}", ""),
		malformed("broken UTF-8", "{\"data\":\"a\xff\"}", "/data"),
		malformed("lone surrogate", `{"data":"\ud800"}`, "/data"),
		malformed("deep", strings.Repeat(`{"data":`, 33)+"1"+strings.Repeat("}", 33), strings.Repeat("/data", 32)),
		malformed("deepest", strings.Repeat("[", 1<<20), ""),
		scenario{Name: "1 MiB", Method: "POST", URL: base + "/groups", Status: 422, Errors: pointed(resource.Required, "/data"),
			Body: `{"data":{"type":"group"}` + strings.Repeat(" ", 1<<20-25) + "}"},
		scenario{Name: "1 MiB and a byte", Method: "POST", URL: base + "/groups", Status: 413, Errors: one(resource.PayloadTooLarge),
			Body: `{"data":{"type":"group"}` + strings.Repeat(" ", 1<<20-24) + "}"},
		scenario{Name: "10 MB", Method: "POST", URL: base + "/users/call-all", Status: 413, Errors: one(resource.PayloadTooLarge),
			Body: strings.Repeat("[", 10_000_000)},
	)
	t.Run("many mistakes", func(t *testing.T) {
		var members []string
		for i := range 10_000 {
			members = append(members, fmt.Sprintf(`"a%d":1`, i))
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", base+"/groups", strings.NewReader(`{"data":{"type":"group","attributes":{`+strings.Join(members, ",")+`}}}`))
		r.Header.Set("Content-Type", jsonapi.MediaType)
		r.Header.Set("Authorization", "Bearer admin")
		e.Handler.ServeHTTP(w, r)
		if w.Code != 422 || w.Body.Len() > 100_000 {
			t.Errorf("%d with %d bytes", w.Code, w.Body.Len())
		}
	})
}

func TestActions(t *testing.T) {
	e := newEstate(t, "")
	ids := e.add(t, "bob", "alice", "carol")
	path := base + "/users/" + ids[0].String()
	post := func(name, url, body string, status int, errors failures, check func(*testing.T, answer)) scenario {
		return scenario{Name: name, Method: "POST", URL: url, Body: body, Status: status, Errors: errors, Check: check}
	}
	locked := func(t *testing.T, a answer) {
		if a.At("data", "attributes", "locked_at") != "2024-08-01T12:00:00.000000Z" || a.Link("self") != path {
			t.Errorf("%s", a.Body)
		}
	}
	said := wantBody(`{"meta":{"said":"ho","times":2}}`)
	e.Run(t,
		post("change", path+"/lock", "", 200, nil, locked),
		post("change again", path+"/lock", "", 200, nil, locked),
		post("with nothing in an object", path+"/lock", "{}", 200, nil, locked),
		post("unlock", path+"/unlock", "", 200, nil, nil),
		post("state", path+"/unlock", "", 409, one(resource.Conflict), nil),
		post("state, with a body", path+"/unlock", `{"data":{"type":"user"}}`, 409, pointed(resource.Conflict, "/data"), nil),
		post("arguments bare", path+"/call", `{"text":"ho","times":2}`, 200, nil, said),
		post("arguments in a document", path+"/call", `{"data":{"attributes":{"text":"ho","times":2}}}`, 200, nil, said),
		post("no body", path+"/call", "", 422, one(resource.Required), nil),
		post("nothing, bare", path+"/call", "{}", 422, one(resource.Required), nil),
		post("nothing in a document", path+"/call", `{"data":{"attributes":{}}}`, 422, pointed(resource.Required, "/data/attributes"), nil),
		post("nothing in data", path+"/call", `{"data":{}}`, 422, pointed(resource.Required, "/data"), nil),
		post("mistakes, bare", path+"/call", `{"text":1,"a~b":2}`, 422,
			failures{{Code: resource.UnknownMember, Pointer: "/a~0b"}, {Code: resource.Invalid, Pointer: "/text"}}, nil),
		post("mistakes in a document", path+"/call", `{"data":{"attributes":{"text":1,"x":2}}}`, 422,
			failures{{Code: resource.Invalid, Pointer: "/data/attributes/text"}, {Code: resource.UnknownMember, Pointer: "/data/attributes/x"}}, nil),
		post("not JSON", path+"/call", `x`, 400, one(resource.MalformedDocument), nil),
		post("array", path+"/call", `[]`, 400, one(resource.MalformedDocument), nil),
		post("nothing to say", path+"/forget", "", 204, nil, nil),
		post("collection", base+"/users/call-all", `{"text":"ho"}`, 200, nil, wantBody(`{"meta":{"said":"ho"}}`)),
		post("without a filter", base+"/users/lock", "", 400, about(resource.InvalidParameter, "filter"), nil),
		post("unknown filter", base+"/users/lock?filter[uzer]=x", "", 400, about(resource.UnknownParameter, "filter[uzer]"), nil),
		post("paged", base+"/users/lock?filter[status]=active&page[first]=1", "", 400, about(resource.UnknownParameter, "page[first]"), nil),
		post("on a filter", base+"/users/lock?filter[username]=alice&filter[username]=carol", "", 200, nil, wantBody(`{"meta":{"affected":2}}`)),
		post("on a filter that none meets", base+"/users/lock?filter[username]=nobody", "", 200, nil, wantBody(`{"meta":{"affected":0}}`)),
		scenario{Name: "the filter was heeded", URL: base + "/users?filter[status]=locked", Status: 200, Check: func(t *testing.T, a answer) {
			if got := a.IDs(t); !slices.Equal(got, []string{ids[1].String(), ids[2].String()}) {
				t.Errorf("locked are %v", got)
			}
		}},
	)
}

func TestRelationships(t *testing.T) {
	e := newEstate(t, "")
	ids := e.add(t, "bob", "alice", "carol")
	id := e.Do(t, scenario{Method: "POST", URL: base + "/groups", Status: 201,
		Body: `{"data":{"type":"group","attributes":{"key":"staff"}}}`}).At("data", "id").(string)
	path := base + "/groups/" + id + "/relationships/"
	identifier := func(i int) string { return fmt.Sprintf(`{"type":"user","id":"%s"}`, ids[i]) }
	linkage := func(indexes ...int) string {
		var all []string
		for _, i := range indexes {
			all = append(all, identifier(i))
		}
		return `{"data":[` + strings.Join(all, ",") + `]}`
	}
	write := func(method, name, body string, status int, errors failures) scenario {
		return scenario{Name: method + " " + name + " " + body, Method: method, URL: path + name, Body: body, Status: status, Errors: errors}
	}
	members := func(indexes ...int) scenario {
		return scenario{Name: "then", URL: path + "members", Status: 200, Check: func(t *testing.T, a answer) {
			self := path + "members"
			inner := strings.TrimSuffix(strings.TrimPrefix(linkage(indexes...), `{"data":`), "}")
			wantBody(`{"meta":{"count":%d},"data":%s,"links":{"self":"%s","first":"%s?page[first]=10","last":"%s?page[last]=10"}}`,
				len(indexes), inner, self, self, self)(t, a)
		}}
	}
	owner := func(target string) scenario {
		return scenario{Name: "then", URL: path + "owner", Status: 200,
			Check: wantBody(`{"data":%s,"links":{"self":"%s"}}`, target, path+"owner")}
	}
	malformed := resource.MalformedDocument
	e.Run(t,
		members(),
		write("POST", "members", linkage(0, 1), 204, nil), members(0, 1),
		write("POST", "members", linkage(1, 2, 2), 204, nil), members(0, 1, 2),
		scenario{Name: "paged", URL: path + "members?page[first]=1", Status: 200, Check: func(t *testing.T, a answer) {
			if a.Link("next") != path+"members?page[first]=1&page[after]="+ids[0].String() || a.Link("prev") != "" {
				t.Errorf("%s", a.Body)
			}
		}},
		scenario{Name: "counted", URL: path + "members?count=only", Status: 200,
			Check: wantBody(`{"meta":{"count":3},"links":{"self":"%smembers?count=only"}}`, path)},
		scenario{Name: "filtered", URL: path + "members?filter[key]=x", Status: 400, Errors: about(resource.UnknownParameter, "filter[key]")},
		write("DELETE", "members", linkage(0), 204, nil), members(1, 2),
		write("DELETE", "members", linkage(0), 204, nil), members(1, 2),
		write("PATCH", "members", linkage(0), 204, nil), members(0),
		write("PATCH", "members", linkage(), 204, nil), members(),
		write("POST", "members", "", 400, one(malformed)),
		write("POST", "members", "{}", 400, one(malformed)),
		write("POST", "members", `{"data":`+identifier(0)+`}`, 400, pointed(malformed, "/data")),
		write("PATCH", "members", `{"data":null}`, 400, pointed(malformed, "/data")),
		write("PATCH", "members", `{"data":[1,{"id":"x"},{"type":"user"},`+identifier(0)+`]}`, 400,
			failures{{Code: malformed, Pointer: "/data/0"}, {Code: malformed, Pointer: "/data/1"}, {Code: malformed, Pointer: "/data/2"}}),
		write("POST", "members", `{"data":[{"type":"group","id":"`+id+`"}]}`, 409, pointed(resource.TypeMismatch, "/data/0")),
		write("POST", "members", `{"data":[{"type":"user","id":"`+id+`"}]}`, 404, pointed(resource.NotFound, "/data/0")),
		write("POST", "members", `{"data":[{"type":"user","id":"bob"}]}`, 404, pointed(resource.NotFound, "/data/0/id")),
		members(),
		owner("null"),
		write("PATCH", "owner", `{"data":`+identifier(1)+`}`, 204, nil), owner(identifier(1)),
		write("PATCH", "owner", linkage(0), 400, pointed(malformed, "/data")), owner(identifier(1)),
		write("PATCH", "owner", `{"data":null}`, 204, nil), owner("null"),
		write("PATCH", "founder", `{"data":null}`, 403, one(resource.ReadOnly)),
	)
}

func TestFaults(t *testing.T) {
	e := newEstate(t, "")
	fault := func(last byte) string { return base + "/faults/" + ulid.ULID{0: 1, 15: last}.String() }
	e.Run(t,
		scenario{Name: "panic", URL: fault(0), Status: 500, Errors: one(resource.Internal)},
		scenario{Name: "foreign error", URL: fault(1), Status: 500, Errors: one(resource.Internal)},
		scenario{Name: "foreign error of an action", Method: "POST", URL: fault(1) + "/mend", Body: "{}", Status: 500, Errors: one(resource.Internal)},
		scenario{Name: "unavailable", URL: fault(2), Status: 503, Errors: one(resource.Unavailable)},
		scenario{Name: "no total", URL: base + "/groups?page[first]=" + fmt.Sprint(uncounted), Status: 200, Check: func(t *testing.T, a answer) {
			if a.At("meta", "count") != nil || a.At("meta", "count_omitted") != "too many to count" || a.At("data") == nil {
				t.Errorf("%s", a.Body)
			}
		}},
	)
	if got := strings.Count(e.log.String(), secret); got != 3 {
		t.Errorf("the log tells of %d faults, not 3:\n%s", got, e.log.String())
	}
	for _, path := range []string{fault(0), fault(1)} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Authorization", "Bearer admin")
		w := httptest.NewRecorder()
		e.Handler.ServeHTTP(w, r)
		if strings.Contains(w.Body.String(), secret) {
			t.Errorf("the client is told: %s", w.Body)
		}
	}
	t.Run("abort", func(t *testing.T) {
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("ErrAbortHandler was swallowed")
			}
		}()
		r := httptest.NewRequest("GET", fault(3), nil)
		r.Header.Set("Authorization", "Bearer admin")
		e.Handler.ServeHTTP(httptest.NewRecorder(), r)
	})
}

func TestRequestIDAndLog(t *testing.T) {
	e := newEstate(t, "")
	id := e.add(t, "bob")[0]
	for sent, kept := range map[string]bool{
		"abc-123": true, strings.Repeat("x", 128): true, strings.Repeat("x", 129): false, "a b": false, "é": false, "": false,
	} {
		a := e.Do(t, scenario{URL: base + "/users/nobody?access_token=s3cret", Header: header{"X-Request-Id": sent}, Status: 404,
			Errors: one(resource.NotFound)})
		if got := a.Header.Get("X-Request-Id"); (got == sent) != kept {
			t.Errorf("%q became %q", sent, got)
		}
		if got := a.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("Cache-Control is %q", got)
		}
	}
	e.log.Reset()
	e.Do(t, scenario{Method: "POST", URL: base + "/users/" + id.String() + "/lock", Header: header{"X-Request-Id": "r1"}, Status: 200})
	line := e.log.String()
	for _, want := range []string{"method=POST", "path=" + base + "/users/" + id.String() + "/lock", "status=200", "duration=", "request=r1", "principal=quentin"} {
		if !strings.Contains(line, want) {
			t.Errorf("the log has no %s: %s", want, line)
		}
	}
	if len(e.events) != 1 || e.events[0].Request != "r1" || e.events[0].Verb != "lock" {
		t.Errorf("events: %+v", e.events)
	}
	e.log.Reset()
	e.Do(t, scenario{URL: base + "/users?filter[username]=s3cret", Status: 200})
	if line := e.log.String(); strings.Contains(line, "s3cret") || strings.Contains(line, "Bearer") || strings.Count(line, "\n") != 1 {
		t.Errorf("the log: %s", line)
	}
}

// TestUnregister takes a type away while it is served.
func TestUnregister(t *testing.T) {
	e := newEstate(t, "")
	e.Get(t, base+"/groups")
	e.registry.Unregister("group")
	e.Do(t, scenario{URL: base + "/groups", Status: 404, Errors: one(resource.NotFound)})
	e.Get(t, base+"/users")
}

// TestClient reads answers with google/jsonapi's own decoder.
func TestClient(t *testing.T) {
	e := newEstate(t, "")
	e.addSeed(t)
	type account struct {
		ID       string `jsonapi:"primary,user"`
		Username string `jsonapi:"attr,username"`
		Admin    bool   `jsonapi:"attr,can_request_admin"`
	}
	a := e.Get(t, base+"/users")
	accounts, err := jsonapi.UnmarshalManyPayload(strings.NewReader(string(a.Body)), reflect.TypeFor[*account]())
	if err != nil {
		t.Fatal(err)
	}
	var got []account
	for _, v := range accounts {
		got = append(got, *v.(*account))
	}
	want := []account{
		{"01J2KDPHTZYW3TAT1SKVAD63SQ", "kilgore-trout", true}, {"01J3G5W8MRMBJ93ZYEGX2BN6NK", "quentin", true},
		{"01J3G5W8MRMBJ93ZYEGX2BN6NM", "locked", true}, {"01J3G5W8MRMBJ93ZYEGX2BN6NN", "plain", false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestServer speaks real HTTP: what net/http does by itself (redirects, HEAD, chunked bodies) is part of the answer.
func TestServer(t *testing.T) {
	e := newEstate(t, "")
	e.addSeed(t)
	server := httptest.NewServer(e.Handler)
	defer server.Close()
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, test := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", base + "/users", "", 200},
		{"HEAD", base + "/users", "", 200},
		{"GET", base + "//users", "", 404},
		{"GET", base + "/users/", "", 404},
		{"GET", base + "/x/../users", "", 404},
		{"GET", base + "/users/by-username/a%2Fb", "", 404},
		{"POST", base + "/users/call-all", "", 422},
		{"POST", base + "/users/call-all", `{"text":"x"}`, 200},
	} {
		// A body of unknown length is sent in chunks.
		r, err := http.NewRequest(test.method, server.URL+test.path, struct{ *strings.Reader }{strings.NewReader(test.body)})
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer admin")
		if test.body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
		if response.StatusCode != test.status {
			t.Errorf("%s %s: %d, want %d", test.method, test.path, response.StatusCode, test.status)
		}
		if response.ContentLength <= 0 && test.method == "HEAD" {
			t.Errorf("HEAD has the length %d", response.ContentLength)
		}
	}
}

// BenchmarkList is a list of 100 users without the store.
func BenchmarkList(b *testing.B) {
	page := resource.Page[user]{Total: 1000, Next: true}
	for i := range 100 {
		page.Rows = append(page.Rows, user{ID: ulid.Make(), Username: fmt.Sprintf("user-%03d", i), CreatedAt: time.Now()})
	}
	e := newEstate(b, "")
	e.registry.Unregister("user", "group")
	if err := e.registry.Register(resource.Type[user]{
		Schema: users, List: func(context.Context, resource.Query) (resource.Page[user], error) { return page, nil },
	}); err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest("GET", base+"/users?filter[status]=active&page[first]=100", nil)
	r.Header.Set("Authorization", "Bearer admin")
	b.ReportAllocs()
	for b.Loop() {
		e.Handler.ServeHTTP(discard{http.Header{}}, r)
	}
}

// discard is a ResponseWriter that costs nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header            { return d.header }
func (d discard) Write(text []byte) (int, error) { return len(text), nil }
func (d discard) WriteHeader(int)                {}
