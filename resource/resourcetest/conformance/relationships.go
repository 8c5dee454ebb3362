package conformance

import (
	"net/http"
	"sync"
)

var relationships = []Check{
	{"H1", Must, "Updating To-One Relationships", "PATCH names another resource, and null none", func(t *trial) {
		r := t.ToOne
		_, identifier := t.related(r)
		owner := t.create(r.Owner)
		for _, data := range []any{identifier, nil} {
			a := t.patch(owner.linkage(r.Name), members{"data": data})
			t.holds(a.ok(), "%s", a)
			shown := t.get(owner.linkage(r.Name))
			t.holds(shown.ok() && same(shown.document["data"], data), "%s", shown)
		}
	}},
	{"H2", Must, "Updating To-Many Relationships", "PATCH replaces all, or nothing", func(t *trial) {
		owner, first, second := t.team()
		for _, data := range [][]any{{second}, {first, second}, {}} {
			a := t.patch(owner.linkage(t.ToMany.Name), members{"data": data})
			shown := t.get(owner.linkage(t.ToMany.Name))
			t.holds(a.ok() && sameSet(shown.ids(), idsOf(data)) || a.refused(http.StatusForbidden) && sameSet(shown.ids(), []string{text(first["id"])}), "%s: %s", a, shown)
		}
		t.patch(owner.linkage(t.ToMany.Name), members{"data": []any{first}})
		a := t.patch(owner.linkage(t.ToMany.Name), members{"data": []any{second, t.gone(t.ToMany.Related)}})
		shown := t.get(owner.linkage(t.ToMany.Name))
		t.holds(a.status >= 400 && a.refused(a.status) && sameSet(shown.ids(), idsOf([]any{first})), "with one that is gone: %s: %s", a, shown)
	}},
	{"H3", Must, "Updating To-Many Relationships", "POST adds what is not there yet", func(t *trial) {
		owner, first, second := t.team()
		for range 2 {
			a := t.post(owner.linkage(t.ToMany.Name), members{"data": []any{first, second}})
			shown := t.get(owner.linkage(t.ToMany.Name))
			t.holds(a.ok() && sameSet(shown.ids(), idsOf([]any{first, second})), "%s: %s", a, shown)
		}
	}},
	{"H4", Must, "Updating To-Many Relationships", "DELETE removes what is there, or nothing with 403", func(t *trial) {
		owner, first, second := t.team()
		for range 2 {
			a := t.delete(owner.linkage(t.ToMany.Name), members{"data": []any{first, second}})
			shown := t.get(owner.linkage(t.ToMany.Name))
			t.holds(a.ok() && len(shown.ids()) == 0 || a.refused(http.StatusForbidden) && len(shown.ids()) == 1, "%s: %s", a, shown)
		}
	}},
	{"H5", Must, "Updating To-Many Relationships", "data is an array of identifiers, else 400", func(t *trial) {
		owner, first, second := t.team()
		for _, method := range []string{http.MethodPost, http.MethodPatch, http.MethodDelete} {
			for _, body := range []any{
				members{}, members{"data": second}, members{"data": nil}, members{"data": []any{text(second["id"])}},
				members{"data": []any{members{"type": second["type"]}}}, members{"data": []any{members{"id": second["id"]}}},
			} {
				a := t.send(method, owner.linkage(t.ToMany.Name), body)
				t.holds(a.refused(http.StatusBadRequest), "%v: %s", body, a)
			}
		}
		shown := t.get(owner.linkage(t.ToMany.Name))
		t.holds(sameSet(shown.ids(), idsOf([]any{first})), "%s", shown)
	}},
	{"H6", Must, "Updating Relationships: Responses", "a success is 200 with linkage or meta, 202, or 204", func(t *trial) {
		owner, _, second := t.team()
		for _, method := range []string{http.MethodPost, http.MethodDelete, http.MethodPatch} {
			a := t.send(method, owner.linkage(t.ToMany.Name), members{"data": []any{second}})
			t.holds(a.status == http.StatusOK && a.document != nil || a.status == http.StatusAccepted || a.status == http.StatusNoContent && len(a.body) == 0, "%s", a)
			shown := t.get(owner.linkage(t.ToMany.Name))
			if items, there := a.document["data"].([]any); there {
				t.holds(sameSet(idsOf(items), shown.ids()), "%s, but then %s", a, shown)
			}
		}
	}},
	{"H7", Must, "Updating Relationships: 403 Forbidden", "an update that is not served is 403", func(t *trial) {
		t.needs(t.NoLink != "", "relationship that cannot be written")
		before := t.get(t.NoLink)
		t.must(before.ok(), "%s", before)
		a := t.patch(t.NoLink, members{"data": before.document["data"]})
		t.holds(a.refused(http.StatusForbidden), "%s", a)
	}},
	{"H8", Must, "Updating To-Many Relationships", "many who add the same at once all succeed, and add it once", func(t *trial) {
		owner, first, second := t.team()
		answers := make([]*answer, 8)
		var all sync.WaitGroup
		for i := range answers {
			own := &trial{visit: t.visit}
			all.Go(func() {
				answers[i] = own.attempt(func() *answer {
					return own.post(owner.linkage(t.ToMany.Name), members{"data": []any{second}})
				})
			})
		}
		all.Wait()
		for _, a := range answers {
			if t.holds(a != nil, "no answer") {
				t.holds(a.ok(), "%s", a)
			}
		}
		shown := t.get(owner.linkage(t.ToMany.Name))
		t.holds(sameSet(shown.ids(), idsOf([]any{first, second})), "%s", shown)
	}},
}

// team is a resource with one related to it, that one's identifier, and that of one more.
func (t *trial) team() (owner *thing, first, second members) {
	r := t.ToMany
	_, first = t.related(r)
	_, second = t.related(r)
	return t.create(r.Owner, linkages(r.Name, []any{first})), first, second
}

// attempt is the answer to a request on a goroutine of its own, nil if there was none.
func (t *trial) attempt(request func() *answer) (a *answer) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(ending); !ok {
				panic(p)
			}
		}
	}()
	return request()
}
