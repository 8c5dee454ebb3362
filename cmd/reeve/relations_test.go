package main

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reeve/auth"
	"reeve/fixtures"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/client"
	"reeve/resource/group"
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
			if diff := cmp.Diff(want, ids); diff != "" || dig(got, "meta", "count") != float64(len(want)) {
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
		} {
			s.do(status, "GET", path, nil)
		}
	})
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
		c, err := readConfiguration("", environment(uri), nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := openCurrent(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.close)
		if err := fixtures.Generate(t.Context(), a.database, a.stores(), 300, func(int) {}); err != nil {
			t.Fatal(err)
		}
		var users, sessions, groups int
		registry := &resource.Registry{}
		err = registry.Register(user.Type(asked[user.User]{a.users, &users}), session.Type(asked[session.Session]{a.sessions, &sessions}),
			group.Type(asked[group.Group]{a.groups, &groups}, a.groups.Linkage("members")), token.Type(a.tokens), client.Type(a.clients))
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
