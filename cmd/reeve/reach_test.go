package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"reeve/auth"
	"reeve/fixtures"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/group"
	"reeve/resource/session"
	"reeve/resource/user"
)

// estate is the demo's data, as the tests of what callers reach know it.
type estate struct {
	*rapid.T
	app      *app
	context  context.Context
	users    []user.User
	sessions []session.Session
	groups   []group.Group
	members  map[ulid.ULID][]ulid.ULID // of each group

	who *auth.Principal
}

func everyRow[T any](ctx context.Context, t *testing.T, store resource.Store[T]) []T {
	t.Helper()
	page, err := store.List(ctx, resource.Query{Window: pagination.First(pagination.MaxSize), Count: pagination.CountNone})
	if err != nil {
		t.Fatal(err)
	}
	return page.Rows
}

// readable is whether somebody may read a resource, worked out once more from what permissions say.
func readable(permissions []auth.Permission, typ, key string, names ...string) bool {
	return slices.ContainsFunc(permissions, func(p auth.Permission) bool {
		beginning, open := strings.CutSuffix(p.Target, "*")
		return (p.Type == "*" || p.Type == typ) && (p.Verb == "*" || p.Verb == "read") &&
			(p.Target == "" || slices.Contains(names, p.Target) || key != "" && (p.Target == key || open && !strings.Contains(p.Target, "/") && strings.HasPrefix(key, beginning)) ||
				open && slices.ContainsFunc(names, func(name string) bool { return strings.Contains(p.Target, "/") && strings.HasPrefix(name, beginning) }))
	})
}

// visible are the resources of a type that the caller may read.
func (e *estate) visible(typ string) []ulid.ULID {
	ids := []ulid.ULID{}
	see := func(id ulid.ULID, key string, names ...string) {
		if readable(e.who.Permissions, typ, key, names...) {
			ids = append(ids, id)
		}
	}
	switch typ {
	case "user":
		for _, u := range e.users {
			see(u.ID, u.Username, "users/"+u.ID.String())
		}
	case "session":
		for _, s := range e.sessions {
			see(s.ID, "", "sessions/"+s.ID.String(), "users/"+s.User.String())
		}
	case "group":
		for _, g := range e.groups {
			see(g.ID, g.Key, "groups/"+g.ID.String())
		}
	}
	return sortedIDs(ids)
}

func sortedIDs(ids []ulid.ULID) []ulid.ULID {
	slices.SortFunc(ids, ulid.ULID.Compare)
	return ids
}

func (e *estate) do(op resource.Operation) (resource.Result, error) {
	op.Principal = e.who
	results, err := e.app.engine.Do(e.context, op)
	if err != nil {
		return resource.Result{}, err
	}
	return results[0], nil
}

// ids are those of resources in an answer.
func ids(r resource.Resources) []ulid.ULID {
	ids := []ulid.ULID{}
	for i := range r.Len() {
		ids = append(ids, r.ID(i))
	}
	return ids
}

// list is a list that the caller asks for, and its total. What they may read nothing of is Forbidden, and empty here.
func (e *estate) list(op resource.Operation) []ulid.ULID {
	op.Window = pagination.First(pagination.MaxSize)
	result, err := e.do(op)
	if resource.Is(err, resource.Forbidden) {
		return []ulid.ULID{}
	}
	if err != nil {
		e.Fatalf("%+v by %v: %v", op, e.who.Permissions, err)
	}
	got := result.Linked
	if result.Resources != nil {
		got = ids(result.Resources)
	}
	if got == nil {
		got = []ulid.ULID{}
	}
	if result.Page.Total != int64(len(got)) {
		e.Errorf("%s %s %s by %v: %d, and a total of %d", op.Verb, op.Type, op.Relationship, e.who.Permissions, len(got), result.Page.Total)
	}
	return sortedIDs(got)
}

func (e *estate) want(what string, want, got []ulid.ULID) {
	if diff := cmp.Diff(want, got); diff != "" {
		e.Errorf("%s by %v (-want +got):\n%s", what, e.who.Permissions, diff)
	}
}

// among are the ids that are in both of two lists.
func among(ids, others []ulid.ULID) []ulid.ULID {
	return slices.DeleteFunc(slices.Clone(ids), func(id ulid.ULID) bool { return !slices.Contains(others, id) })
}

// permission is one of many on a few resources.
func (e *estate) permission() *rapid.Generator[auth.Permission] {
	targets := []string{"", "users/*", "sessions/*", "groups/*", "k*", "support", "hedy", "s*", "nobody", "modules/*"}
	for _, i := range []int{0, 9, 12, 20} {
		targets = append(targets, "users/"+e.users[i].ID.String())
	}
	targets = append(targets, "sessions/"+e.sessions[3].ID.String(), "groups/"+e.groups[0].ID.String())
	return rapid.Custom(func(t *rapid.T) auth.Permission {
		return auth.Permission{
			Type: rapid.SampledFrom([]string{"user", "session", "group", "*"}).Draw(t, "type"), Verb: rapid.SampledFrom([]string{"read", "unlock", "finish"}).Draw(t, "verb"),
			Target: rapid.SampledFrom(targets).Draw(t, "target"),
		}
	})
}

var errUndo = errors.New("undo")

// TestReach has callers with random permissions ask for everything: lists, totals, includes, what is related, linkage,
// exports and actions on filters show and do exactly what they may, one by one.
func TestReach(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		a := opened(t, uri)
		if err := fixtures.Demo(t.Context(), a.database, a.stores()); err != nil {
			t.Fatal(err)
		}
		e := estate{app: a, context: t.Context(), members: map[ulid.ULID][]ulid.ULID{}}
		e.users, e.sessions, e.groups = everyRow(t.Context(), t, a.users), everyRow(t.Context(), t, a.sessions), everyRow(t.Context(), t, a.groups)
		for _, g := range e.groups {
			page, err := a.groups.Linkage("members").List(t.Context(), g.ID, resource.Query{Window: pagination.First(pagination.MaxSize), Count: pagination.CountNone})
			if err != nil {
				t.Fatal(err)
			}
			e.members[g.ID] = page.Rows
		}
		rapid.Check(t, func(t *rapid.T) {
			e.T = t
			e.who = &auth.Principal{Type: "user", ID: ulid.Make(), Name: "somebody", Permissions: rapid.SliceOfN(e.permission(), 0, 4).Draw(t, "permissions")}
			e.check()
		})
	})
}

func (e *estate) check() {
	visible := map[string][]ulid.ULID{}
	everything := map[string][]ulid.ULID{}
	for _, u := range e.users {
		everything["user"] = append(everything["user"], u.ID)
	}
	for _, s := range e.sessions {
		everything["session"] = append(everything["session"], s.ID)
	}
	for _, g := range e.groups {
		everything["group"] = append(everything["group"], g.ID)
	}
	for typ, all := range everything {
		visible[typ] = e.visible(typ)
		got := []ulid.ULID{}
		for _, id := range all {
			_, err := e.do(resource.Operation{Verb: resource.Get, Type: typ, ID: id})
			switch {
			case err == nil:
				got = append(got, id)
			case len(visible[typ]) > 0 && !resource.Is(err, resource.NotFound), !resource.Is(err, resource.NotFound, resource.Forbidden):
				e.Errorf("get %s by %v: %v", typ, e.who.Permissions, err)
			}
		}
		e.want("get "+typ, visible[typ], sortedIDs(got))
		e.want("list "+typ, visible[typ], e.list(resource.Operation{Verb: resource.List, Type: typ}))
		e.want("export "+typ, visible[typ], e.exported(typ))
	}
	sessionsOf := map[ulid.ULID][]ulid.ULID{}
	for _, s := range e.sessions {
		sessionsOf[s.User] = append(sessionsOf[s.User], s.ID)
	}
	for _, u := range visible["user"] {
		want := among(visible["session"], sessionsOf[u])
		for _, verb := range []string{resource.Related, resource.Linked} {
			e.want(verb+" sessions", want, e.list(resource.Operation{Verb: verb, Type: "user", ID: u, Relationship: "sessions"}))
		}
	}
	for _, g := range visible["group"] {
		want := among(visible["user"], e.members[g])
		for _, verb := range []string{resource.Related, resource.Linked} {
			e.want(verb+" members", want, e.list(resource.Operation{Verb: verb, Type: "group", ID: g, Relationship: "members"}))
		}
	}
	e.included(visible, sessionsOf)
	e.unlock()
}

func (e *estate) exported(typ string) []ulid.ULID {
	got := []ulid.ULID{}
	err := e.app.engine.Export(e.context, resource.Operation{Verb: resource.List, Type: typ, Principal: e.who}, func(page resource.Result) error {
		got = append(got, ids(page.Resources)...)
		return nil
	})
	if err != nil && !resource.Is(err, resource.Forbidden) {
		e.Fatal(err)
	}
	return sortedIDs(got)
}

// included goes along every path from users, from groups and from sessions.
func (e *estate) included(visible map[string][]ulid.ULID, sessionsOf map[ulid.ULID][]ulid.ULID) {
	groupsOf := map[ulid.ULID][]ulid.ULID{}
	for g, members := range e.members {
		for _, u := range members {
			groupsOf[u] = append(groupsOf[u], g)
		}
	}
	userOf := map[ulid.ULID][]ulid.ULID{}
	for u, sessions := range sessionsOf {
		for _, s := range sessions {
			userOf[s] = []ulid.ULID{u}
		}
	}
	for _, c := range []struct {
		from, path, to string
		edges          map[ulid.ULID][]ulid.ULID
	}{
		{"user", "sessions", "session", sessionsOf}, {"user", "groups", "group", groupsOf},
		{"session", "user", "user", userOf}, {"group", "members", "user", e.members},
	} {
		if len(visible[c.from]) == 0 {
			continue
		}
		result, err := e.do(resource.Operation{Verb: resource.List, Type: c.from, Include: []string{c.path}, Window: pagination.First(pagination.MaxSize)})
		if err != nil {
			e.Fatal(err)
		}
		want, got := map[ulid.ULID]bool{}, map[ulid.ULID]bool{}
		for _, from := range visible[c.from] {
			for _, to := range among(visible[c.to], c.edges[from]) {
				want[to] = true
			}
		}
		for _, some := range result.Included {
			for _, id := range ids(some) {
				got[id] = true
			}
		}
		e.want(c.from+" with "+c.path, sortedIDs(slices.AppendSeq([]ulid.ULID{}, maps.Keys(want))), sortedIDs(slices.AppendSeq([]ulid.ULID{}, maps.Keys(got))))
	}
}

// refusal is how the caller is refused to unlock a user who is not among those that they may: as if the user were not
// there, if they cannot read it, but for callers who may unlock nobody.
func (e *estate) refusal(id ulid.ULID) resource.Code {
	unlocks := func(p auth.Permission) bool {
		path, _, isPath := strings.Cut(p.Target, "/")
		return p.Verb == "unlock" && (p.Type == "user" || p.Type == "*") && (!isPath || path == "users")
	}
	if slices.Contains(e.visible("user"), id) || !slices.ContainsFunc(e.who.Permissions, unlocks) {
		return resource.Forbidden
	}
	return resource.NotFound
}

// unlock unlocks users one by one, and all at once: the same ones.
func (e *estate) unlock() {
	undo := func(do func(ctx context.Context) error) {
		err := e.app.database.Transact(e.context, func(ctx context.Context) error {
			if err := do(ctx); err != nil {
				return err
			}
			return errUndo
		})
		if !errors.Is(err, errUndo) {
			e.Fatal(err)
		}
	}
	action := resource.Operation{Verb: "unlock", Type: "user", Principal: e.who}
	one := 0
	for _, u := range e.users {
		if u.LockedAt.IsZero() {
			continue
		}
		undo(func(ctx context.Context) error {
			op := action
			op.ID = u.ID
			_, err := e.app.engine.Do(ctx, op)
			switch {
			case err == nil:
				one++
			case !resource.Is(err, e.refusal(u.ID)):
				e.Errorf("unlock by %v: %v", e.who.Permissions, err)
			}
			return nil
		})
	}
	undo(func(ctx context.Context) error {
		op := action
		op.Filters = []resource.FilterArgument{resource.FilterBy("status", "locked")}
		results, err := e.app.engine.Do(ctx, op)
		switch {
		case err == nil && results[0].Affected != one:
			e.Errorf("unlock by %v: %d at once, %d one by one", e.who.Permissions, results[0].Affected, one)
		case err != nil && (one > 0 || !resource.Is(err, resource.Forbidden)):
			e.Errorf("unlock at once by %v: %v", e.who.Permissions, err)
		}
		return nil
	})
}
