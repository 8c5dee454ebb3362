package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"reeve/auth"
	"reeve/fixtures"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/client"
	"reeve/resource/group"
	"reeve/resource/role"
	"reeve/resource/session"
	"reeve/resource/token"
	"reeve/resource/user"
)

// TestRelated reads what is related to a resource, from both ends, and what lists include of it.
func TestRelated(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		hedy, ivan := idOf(s.get("users/by-username/hedy")), idOf(s.get("users/by-username/ivan"))
		members := []any{map[string]any{"type": "user", "id": hedy}, map[string]any{"type": "user", "id": ivan}}
		one := idOf(s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"name": "One"}, map[string]any{"members": map[string]any{"data": members}})))
		two := idOf(s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"name": "Two"}, map[string]any{"members": map[string]any{"data": members[:1]}})))
		sessions := idsOf(s.get("sessions?page[first]=1000&filter[user]=" + hedy))
		for path, want := range map[string][]string{
			"groups/" + one + "/members":                                  {hedy, ivan},
			"groups/" + one + "/members?filter[username]=ivan":            {ivan},
			"groups/" + one + "/members?sort=-username":                   {ivan, hedy},
			"groups/" + two + "/members?page[first]=1":                    {hedy},
			"users/" + hedy + "/groups?filter[name]=One":                  {one},
			"users/" + hedy + "/groups?filter[name]=Two&filter[name]=One": {one, two},
			"users/" + ivan + "/groups?filter[name][prefix]=O":            {one},
			"users/" + hedy + "/sessions?page[first]=1000":                sessions,
			"users/" + hedy + "/relationships/sessions?page[first]=1000":  sessions,
			"groups?filter[member]=" + hedy + "&filter[name]=Two":         {two},
		} {
			got := s.get(path)
			ids := idsOf(got)
			slices.Sort(ids)
			want = slices.Clone(want)
			slices.Sort(want)
			if diff := gocmp.Diff(want, ids); diff != "" || dig(got, "meta", "count") != float64(len(want)) {
				t.Errorf("%s: count %v (-want +got):\n%s", path, dig(got, "meta", "count"), diff)
			}
		}
		page := s.get("users?include=sessions,groups&filter[id]=" + hedy + "&filter[id]=" + ivan)
		included := map[string]int{}
		all, _ := page["included"].([]any)
		for _, item := range all {
			included[fmt.Sprint(dig(item, "type"), " ", dig(item, "id"))]++
		}
		for id, n := range included {
			if n != 1 {
				t.Errorf("%s is included %d times", id, n)
			}
		}
		for _, id := range []string{"group " + one, "group " + two, "session " + sessions[0]} {
			if included[id] == 0 {
				t.Errorf("%s is not included", id)
			}
		}
		for path, status := range map[string]int{
			"users/" + hedy + "/nothing": 404, "users/01J44RKQYM4G3TNVANTMTDYTX6/groups": 404,
			"users/" + hedy + "/groups?filter[nothing]=1": 400, "users?include=nothing": 400,
			"me/nothing": 404, "me/relationships/nothing": 404, "me/relationships": 404, "me/principal?include=groups": 400,
		} {
			s.do(status, "GET", path, nil)
		}
		me := s.get("me")
		kilgore := dig(me, "data", "relationships", "principal", "data")
		for path, want := range map[string]any{"me/principal": dig(kilgore, "id"), "me/session": nil} {
			got := s.get(path)
			if dig(got, "data", "id") != want || dig(got, "links", "self") != "/api/admin/v1/"+path {
				t.Errorf("%s is %v", path, got)
			}
		}
		if got := dig(s.get("me/relationships/principal"), "data"); !gocmp.Equal(got, kilgore) {
			t.Errorf("the caller is linked to %v, not to %v", got, kilgore)
		}
	})
}

// TestIncluded goes along paths of relationships from lists and from single resources. Whatever is included is named by
// what it was reached from (full linkage, JSON:API 1.1, "Compound Documents"), and nothing is that its caller may not read.
func TestIncluded(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		hedy := idOf(s.get("users/by-username/hedy"))
		s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"name": "One"},
			map[string]any{"members": map[string]any{"data": []any{map[string]any{"type": "user", "id": hedy}}}}))
		made := s.do(201, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "some", "scopes": []string{"urn:reeve:user:read", "urn:reeve:group:read"}},
			map[string]any{"user": toOne("user", quentin)}))
		some := "Authorization: Bearer " + fmt.Sprint(dig(made, "data", "attributes", "token"))
		for _, c := range []struct {
			path, header string
			types        []string
		}{
			{"users/" + hedy + "?include=sessions", "", []string{"session"}},
			{"users/" + hedy + "?include=groups,sessions", "", []string{"group", "session"}},
			{"users/by-username/hedy?include=groups.members.sessions", "", []string{"group", "session"}},
			{"sessions?filter[user]=" + hedy + "&include=user.groups", "", []string{"group", "user"}},
			{"groups?include=members.sessions.user", "", []string{"session", "user"}},
			{"groups?include=members&fields[group]=name,members", "", []string{"user"}},
			{"users/" + hedy + "/groups?include=members", "", []string{"user"}},
			{"users/" + hedy + "?include=sessions", some, nil},
			{"users/" + hedy + "?include=sessions.client,groups.members,tokens", some, []string{"group"}},
			{"groups?include=members.sessions.user", some, []string{"user"}},
		} {
			a := s.send("GET", "/api/admin/v1/"+c.path, nil, cmp.Or(c.header, "Accept: application/vnd.api+json"))
			if a.StatusCode != 200 {
				t.Errorf("%s: %d %s", c.path, a.StatusCode, a.text)
				continue
			}
			types := map[string]bool{}
			included, _ := a.document["included"].([]any)
			for _, item := range included {
				types[fmt.Sprint(dig(item, "type"))] = true
			}
			if got := slices.Sorted(maps.Keys(types)); !slices.Equal(got, c.types) {
				t.Errorf("%s includes %v, not %v", c.path, got, c.types)
			}
			for _, fault := range unlinked(a.document) {
				t.Errorf("%s: %s", c.path, fault)
			}
		}
	})
}

// TestIncludesAreBounded sees that no question brings along more than a server can hold.
func TestIncludesAreBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+"modules: {enabled: []}\n")
		if err := fixtures.Generate(t.Context(), s.app.database, s.app.stores(), 1000, func(int) {}); err != nil {
			t.Fatal(err)
		}
		var members []any
		for _, id := range idsOf(s.get("users?page[last]=1000&filter[status]=active")) {
			members = append(members, map[string]any{"type": "user", "id": id})
		}
		for i := range 12 {
			s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"name": fmt.Sprint(i)}, map[string]any{"members": map[string]any{"data": members}}))
		}
		s.get("users?page[last]=1000&include=groups&fields[user]=groups")
		a := s.send("GET", "/api/admin/v1/users?page[last]=1000&include=groups,sessions.user.groups,sessions.user.sessions.user.groups", nil)
		if fmt.Sprint(failuresIn(t, a)) != "[invalid_parameter include]" {
			t.Errorf("%d %.200s", a.StatusCode, a.text)
		}
	})
}

// unlinked is what a document includes though nothing names it, or twice.
func unlinked(document map[string]any) (faults []string) {
	identify := func(item any) string { return fmt.Sprint(dig(item, "type"), " ", dig(item, "id")) }
	primary, several := document["data"].([]any)
	if !several {
		primary = []any{document["data"]}
	}
	included, _ := document["included"].([]any)
	all := map[string]any{}
	for _, item := range slices.Concat(primary, included) {
		if all[identify(item)] != nil {
			faults = append(faults, identify(item)+" stands there twice")
		}
		all[identify(item)] = item
	}
	reached := map[string]bool{}
	var reach func(item any)
	reach = func(item any) {
		if item == nil || reached[identify(item)] {
			return
		}
		reached[identify(item)] = true
		relationships, _ := dig(item, "relationships").(map[string]any)
		for _, relationship := range relationships {
			targets, many := dig(relationship, "data").([]any)
			if target := dig(relationship, "data"); !many && target != nil {
				targets = []any{target}
			}
			for _, target := range targets {
				reach(all[identify(target)])
			}
		}
	}
	for _, item := range primary {
		reach(item)
	}
	for id := range all {
		if !reached[id] {
			faults = append(faults, "nothing names "+id)
		}
	}
	return faults
}

// asked is a store that counts the lists that it is asked for. What is related is listed in one statement.
type asked[T any] struct {
	resource.Store[T]
	lists *int
}

func (a asked[T]) List(ctx context.Context, q resource.Query) (resource.Page[T], error) {
	*a.lists++
	return a.Store.List(ctx, q)
}

// TestIncludesAskOnce sees that what 100 users include is one question for each path, however many are related.
func TestIncludesAskOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		a := opened(t, uri)
		if err := fixtures.Generate(t.Context(), a.database, a.stores(), 300, func(int) {}); err != nil {
			t.Fatal(err)
		}
		var users, sessions, groups int
		registry := &resource.Registry{}
		err := registry.Register(user.Type(asked[user.User]{a.users, &users}, a.users.Linkage("roles"), user.Rules{}), session.Type(asked[session.Session]{a.sessions, &sessions}, a.sessionEnded),
			group.Type(asked[group.Group]{a.groups, &groups}, a.groups.Linkage("members"), a.groups.Linkage("roles"), nil, a.waiting), token.Type(a.tokens, token.Sessions{Open: a.openSessions, Hold: a.holdSession}, a.rightsOf), role.Type(a.roles, registry), client.Type(a.clients))
		if err != nil {
			t.Fatal(err)
		}
		engine := resource.NewEngine(registry, a.database, time.Now)
		results, err := engine.Do(t.Context(), resource.Operation{
			Verb: resource.List, Type: "user", Principal: auth.System, Window: pagination.First(100), Include: []string{"sessions", "groups"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := results[0].Resources.Len(); n != 100 || len(results[0].Included) != 2 {
			t.Errorf("%d users, %d lists are included", n, len(results[0].Included))
		}
		if users != 1 || sessions != 1 || groups != 1 {
			t.Errorf("%d lists of users, %d of sessions, %d of groups", users, sessions, groups)
		}
	})
}
