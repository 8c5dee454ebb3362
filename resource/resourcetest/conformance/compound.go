package conformance

import (
	"net/http"
	"slices"
)

var compound = []Check{
	{"C1", Must, "Compound Documents", "what is included stands in one array", func(t *trial) {
		a, _, ids := t.included()
		items, ok := a.document["included"].([]any)
		t.holds(ok && len(items) >= len(ids), "%s", a)
		for _, item := range items {
			t.holds(object(item)["attributes"] != nil || object(item)["relationships"] != nil, "no resource: %s", a)
		}
	}},
	{"C2", Must, "Compound Documents", "whatever is included is linked from the primary data", func(t *trial) {
		a, _, _ := t.included()
		t.linked(a)
		if t.Nested != "" {
			t.linked(t.get(with(t.ToMany.Owner.Path, "include", t.Nested)))
		}
	}},
	{"C3", Must, "Compound Documents", "no resource stands in a document twice", func(t *trial) {
		r := t.ToMany
		_, shared := t.related(r)
		for range 2 {
			t.create(r.Owner, linkages(r.Name, []any{shared}))
		}
		list := t.get(with(r.Owner.Path, "include", r.Name))
		single, _, _ := t.included()
		for _, a := range []*answer{list, single} {
			t.must(a.status == http.StatusOK, "%s", a)
			seen := map[[2]string]bool{}
			for _, item := range append(a.list(), array(a.document["included"])...) {
				key := [2]string{text(at(item, "type")), text(at(item, "id"))}
				t.holds(!seen[key], "%v: %s", key, a)
				seen[key] = true
			}
		}
	}},
	{"C4", Must, "Inclusion of Related Resources", "a place without include refuses it with 400", func(t *trial) {
		t.needs(t.Plain != "", "collection without include")
		a := t.get(with(t.Plain, "include", t.ToMany.Name))
		t.holds(a.refused(http.StatusBadRequest), "%s", a)
	}},
	{"C5", Must, "Inclusion of Related Resources", "included is there even if empty, and holds nothing else", func(t *trial) {
		r := t.ToMany
		t.needs(r.Name != "", "to-many relationship")
		a := t.get(with(t.create(r.Owner).path(), "include", r.Name))
		items, ok := a.document["included"].([]any)
		t.holds(ok && len(items) == 0, "%s", a)
		a, _, wanted := t.included()
		t.holds(sameSet(idsOf(array(a.document["included"])), wanted), "%v: %s", wanted, a)
	}},
	{"C6", Must, "Inclusion of Related Resources", "an unknown path is 400 and names the parameter", func(t *trial) {
		r := t.ToMany
		t.needs(r.Name != "", "to-many relationship")
		for _, path := range []string{"no_such", r.Name + ",no_such", r.Name + ".no_such", "." + r.Name} {
			a := t.get(with(r.Owner.Path, "include", path))
			t.holds(a.refused(http.StatusBadRequest) && slices.Contains(a.parameters(), "include"), "%s", a)
		}
	}},
	{"C7", Must, "Inclusion of Related Resources", "an empty include returns no related resources", func(t *trial) {
		a, owner, _ := t.included()
		t.must(a.status == http.StatusOK, "%s", a)
		a = t.get(with(owner.path(), "include", ""))
		t.holds(a.status == http.StatusOK && len(array(a.document["included"])) == 0, "%s", a)
	}},
	{"C8", Should, "Inclusion of Related Resources", "a path of several steps returns those on the way", func(t *trial) {
		t.needs(t.Nested != "", "include path of several steps")
		_, owner, wanted := t.included()
		a := t.get(with(owner.path(), "include", t.Nested))
		ids := idsOf(array(a.document["included"]))
		for _, id := range wanted {
			t.holds(slices.Contains(ids, id), "without %s: %s", id, a)
		}
	}},
	{"C9", May, "Inclusion of Related Resources", "include at relationships and on writes works, or is 400", func(t *trial) {
		r := t.ToMany
		_, identifier := t.related(r)
		document := t.fresh(r.Owner)
		object(document["data"])["relationships"] = linkages(r.Name, []any{identifier})
		created := t.post(with(r.Owner.Path, "include", r.Name), document)
		owner := t.create(r.Owner, linkages(r.Name, []any{identifier}))
		for _, a := range []*answer{created, t.get(with(owner.linkage(r.Name), "include", r.Name))} {
			included := idsOf(array(a.document["included"]))
			t.holds(a.ok() && slices.Contains(included, text(identifier["id"])) || a.refused(http.StatusBadRequest), "%s", a)
		}
	}},
}

// included is the answer to a request for an owner with its related resources, the owner, and their ids.
func (t *trial) included() (a *answer, owner *thing, ids []string) {
	r := t.ToMany
	t.needs(r.Name != "", "to-many relationship")
	owner = t.create(r.Owner, t.naming(r, 2))
	ids = t.get(owner.linkage(r.Name)).ids()
	t.must(len(ids) == 2, "the relationship %s names %v", r.Name, ids)
	return t.get(with(owner.path(), "include", r.Name)), owner, ids
}

// linked holds every included resource to being named by the primary data, or by another that is.
func (t *trial) linked(a *answer) {
	t.must(a.status == http.StatusOK, "%s", a)
	included := map[[2]string]members{}
	for _, item := range array(a.document["included"]) {
		included[[2]string{text(at(item, "type")), text(at(item, "id"))}] = object(item)
	}
	reached := map[[2]string]bool{}
	pending := a.list()
	for len(pending) > 0 {
		r := object(pending[0])
		pending = pending[1:]
		for _, relationship := range object(r["relationships"]) {
			targets := array(at(relationship, "data"))
			if one := at(relationship, "data"); object(one) != nil {
				targets = []any{one}
			}
			for _, target := range targets {
				key := [2]string{text(at(target, "type")), text(at(target, "id"))}
				if next := included[key]; next != nil && !reached[key] {
					pending = append(pending, next)
				}
				reached[key] = true
			}
		}
	}
	for key := range included {
		t.holds(reached[key], "nothing names %v: %s", key, a)
	}
}
