package main

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/role"
	"reeve/resource/token"
)

// caller is one who asks for everything: the permissions that are declared for them, nil if nobody knows them.
type caller struct {
	name, header string
	permissions  []string
}

// callers are nobody, somebody whose token has expired, and some who may do more and more.
func (s *server) callers() []caller {
	s.Helper()
	admin := ulid.MustParse(idOf(s.get("users/by-username/kilgore-trout")))
	expired := auth.NewToken(auth.PersonalToken)
	err := s.app.tokens.Create(s.Context(), &token.Token{ID: ulid.Make(), Name: "expired", User: admin, Scopes: []string{auth.AdminScope},
		CreatedAt: time.Now().Add(-time.Hour), ExpiresAt: time.Now().Add(-time.Minute), Hash: token.Hash(auth.HashToken(expired))})
	if err != nil {
		s.Fatal(err)
	}
	bearer := func(user string, scopes ...string) string {
		made := s.do(201, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "matrix", "scopes": scopes}, map[string]any{"user": toOne("user", user)}))
		return "Bearer " + fmt.Sprint(dig(made, "data", "attributes", "token"))
	}
	all := []caller{{name: "nobody"}, {name: "expired", header: "Bearer " + expired}}
	of := func(name string) (permissions []string) {
		for _, p := range dig(s.get("roles/by-name/"+name), "data", "attributes", "permissions").([]any) {
			permissions = append(permissions, strings.TrimSuffix(fmt.Sprint(p), "@"+auth.Oneself))
		}
		return permissions
	}
	everybody := of(role.User)
	none, _ := s.person("user")
	all = append(all, caller{"user", bearer(none, auth.AdminScope), everybody})
	for _, name := range []string{role.Auditor, role.Support} {
		id, _ := s.person(name, builtIn(name))
		all = append(all, caller{name, bearer(id, auth.AdminScope), append(of(name), everybody...)})
	}
	scoped := []string{"user:lock", "session:*", "group:update", "group:get", "user:list"}
	var scopes []string
	for _, p := range scoped {
		scopes = append(scopes, "urn:reeve:"+p)
	}
	return append(all, caller{"scoped", bearer(admin.String(), scopes...), scoped}, caller{"admin", bearer(admin.String(), auth.AdminScope), []string{"*:*"}})
}

// expect is what a caller is to get: 401, 403, or 0 for anything else.
func (c *caller) expect(needs []string) int {
	if c.permissions == nil {
		return http.StatusUnauthorized
	}
	for _, need := range needs {
		typ, verb, _ := strings.Cut(need, ":")
		enough := []string{need, typ + ":*", "*:" + verb, "*:*"}
		if verb == "list" || verb == "get" {
			enough = append(enough, typ+":read", "*:read")
		}
		if !slices.ContainsFunc(enough, func(p string) bool { return slices.Contains(c.permissions, p) }) {
			return http.StatusForbidden
		}
	}
	return 0
}

// got is the same of an answer.
func (a *answer) got() int {
	switch {
	case a.StatusCode == http.StatusUnauthorized:
		return http.StatusUnauthorized
	case a.StatusCode == http.StatusForbidden && dig(a.document, "errors", 0, "code") == "forbidden":
		return http.StatusForbidden
	}
	return 0
}

func isCreate(permission string) bool { return strings.HasSuffix(permission, ":"+resource.Create) }

var inBraces = regexp.MustCompile(`\{[^}]*\}`)

// TestMatrix has every caller ask for every operation in the OpenAPI document, about resources that are not there. Each
// gets what the permissions say that the document names.
func TestMatrix(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		callers := s.callers()
		spec := s.send("GET", "/api/spec.json", nil).document
		named, cells := map[string]bool{}, map[int]int{}
		for path, item := range spec["paths"].(map[string]any) {
			for method, operation := range item.(map[string]any) {
				if method == "parameters" {
					continue
				}
				var needs []string
				some, _ := dig(operation, "x-permissions").([]any)
				for _, p := range some {
					needs = append(needs, fmt.Sprint(p))
					named[fmt.Sprint(p)] = true
				}
				const nothing = "01J2KDPHTZYW3TAT1SKVAD63SR"
				target := inBraces.ReplaceAllString(path, nothing)
				var body any
				switch {
				case strings.Contains(path, "/relationships/"):
					body = map[string]any{"data": []any{}}
				case dig(operation, "requestBody") != nil && (method == "patch" || slices.ContainsFunc(needs, isCreate)):
					body = resourceDocument(fmt.Sprint(dig(operation, "tags", 0)), "", map[string]any{}, nil)
				case method == "post" && !strings.Contains(path, "{") && strings.Contains(fmt.Sprint(dig(operation, "parameters")), "filter[id]"):
					target += "?filter[id]=" + nothing
				}
				for i := range callers {
					c := &callers[i]
					a := s.send(strings.ToUpper(method), target, body, "Authorization: "+c.header)
					want := c.expect(needs)
					if got := a.got(); got != want || a.StatusCode >= 500 {
						t.Errorf("%s: %s %s, which needs %v: %d, not %d: %s", c.name, method, path, needs, a.StatusCode, want, a.text)
					}
					cells[want]++
				}
			}
		}
		if cells[401] == 0 || cells[403] == 0 || cells[0] == 0 {
			t.Errorf("cells: %v", cells)
		}
		for _, p := range dig(s.get("permissions?page[first]=1000"), "data").([]any) {
			name := fmt.Sprint(dig(p, "attributes", "name"))
			if !named[name] && !strings.HasSuffix(name, ":read") {
				t.Errorf("no operation needs %s", name)
			}
		}
	})
}
