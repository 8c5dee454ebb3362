package conformance

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// survey is what the server says on a walk through everything that it serves, in good order and not: the checks of
// what all documents must be look at it. It is made once.
func (t *trial) survey() []*answer {
	if t.seen != nil {
		return t.seen
	}
	t.seen = append(t.successes(), t.refusals()...)
	return t.seen
}

// successes are answers to requests that a server ought to grant.
func (t *trial) successes() []*answer {
	s := t.Item
	creation := t.post(s.Path, t.fresh(s))
	t.must(creation.status == http.StatusCreated, "a creation failed: %s", creation)
	made := &thing{object(creation.document["data"]), s}
	seen := []*answer{
		creation, t.get(made.path()), t.get(s.Path),
		t.patch(made.path(), made.document(members{s.Nullable: "surveyed"})),
		t.delete(t.create(s).path(), nil),
	}
	for _, a := range seen[1:3] {
		t.must(a.status == http.StatusOK, "%s", a)
	}
	if s.Filter != "" {
		seen = append(seen, t.get(with(s.Path, s.Filter, word())), t.get(with(s.Path, s.Filter, "a b", "fields["+s.Type+"]", s.Text)))
	}
	for _, sort := range t.Sorts {
		seen = append(seen, t.get(with(s.Path, "sort", sort)))
	}
	if t.PageSize != "" {
		t.create(s)
		t.create(s)
		page := t.get(with(s.Path, t.PageSize, "1"))
		seen = append(seen, page, t.get(page.link("next")))
	}
	for _, r := range t.given() {
		empty, full := t.create(r.Owner), t.create(r.Owner, t.naming(r, 1))
		for _, owner := range []*thing{empty, full} {
			seen = append(seen, t.get(owner.path()), t.get(owner.linkage(r.Name)))
			if related := owner.related(r.Name); related != "" {
				seen = append(seen, t.get(related))
			}
		}
		seen = append(seen, t.get(r.Owner.Path), t.get(r.Related.Path), t.patch(full.linkage(r.Name), t.naming(r, 2)[r.Name]))
	}
	if t.ToMany.Name != "" {
		seen = append(seen, t.get(with(t.ToMany.Owner.Path, "include", t.ToMany.Name)))
	}
	if t.Nested != "" {
		seen = append(seen, t.get(with(t.ToMany.Owner.Path, "include", t.Nested)))
	}
	if t.Operations != "" {
		seen = append(seen, t.operate(members{"op": "add", "data": t.fresh(s)["data"]}))
	}
	return seen
}

// naming is a relationship with as many resources as it takes, at most n.
func (t *trial) naming(r Relationship, n int) members {
	if !r.many {
		_, identifier := t.related(r)
		return linkages(r.Name, identifier)
	}
	var identifiers []any
	for range n {
		_, identifier := t.related(r)
		identifiers = append(identifiers, identifier)
	}
	return linkages(r.Name, identifiers)
}

// refusals are answers to requests that a server ought to refuse, or need not understand.
func (t *trial) refusals() []*answer {
	s := t.Item
	gone := text(t.gone(s)["id"])
	made := t.create(s)
	refused := []*answer{
		t.get(s.Path + "/" + gone),
		t.get("no-such-type"),
		t.get(s.Path + "/" + gone + "/no/such/path"),
		t.send(http.MethodPut, s.Path, nil),
		t.get(with(s.Path, "no_such_parameter", "1")),
		t.get(with(s.Path, "filter[no_such_filter]", "1")),
		t.get(with(s.Path, "sort", "no_such_field")),
		t.get(with(s.Path, "include", "no_such_path")),
		t.get(s.Path, "Accept", MediaType+"; charset=utf-8"),
		t.post(s.Path, t.fresh(s), "Content-Type", MediaType+"; charset=utf-8"),
		t.post(s.Path, "{"),
		t.post(s.Path, members{"data": []any{}}),
		t.post(s.Path, members{"data": members{"type": "no-such-type"}}),
		t.patch(made.path(), t.fresh(s)),
		t.post(s.Path, members{"data": members{"type": s.Type, "id": gone, "attributes": t.wrong(s)}}),
	}
	for name, value := range s.Invalid {
		document := t.fresh(s)
		object(at(document, "data", "attributes"))[name] = value
		refused = append(refused, t.post(s.Path, document))
	}
	if s.Required != "" {
		refused = append(refused, t.post(s.Path, members{"data": members{"type": s.Type, "attributes": members{}}}))
	}
	if s.Unique != "" {
		document := t.fresh(s)
		object(at(document, "data", "attributes"))[s.Unique] = made.attribute(s.Unique)
		refused = append(refused, t.post(s.Path, document))
	}
	if t.Cursor {
		refused = append(refused, t.get(with(s.Path, "page[size]", "0")), t.get(with(s.Path, "page[size]", "1000000000")))
	}
	if t.NoUpdate != "" {
		refused = append(refused, t.patch(t.NoUpdate, members{"data": members{}}))
	}
	if t.NoLink != "" {
		refused = append(refused, t.patch(t.NoLink, members{"data": nil}))
	}
	if t.Operations != "" {
		refused = append(refused, t.operate(members{"op": "add", "data": members{"type": s.Type, "attributes": t.wrong(s)}}))
	}
	if len(t.Header) > 0 {
		var without []string
		for name := range maps.Keys(t.Header) {
			without = append(without, name, "")
		}
		refused = append(refused, t.get(s.Path, without...))
	}
	return refused
}

// wrong are attributes that cannot be created.
func (t *trial) wrong(s Sample) members {
	attributes := s.Attributes(word())
	maps.Copy(attributes, s.Invalid)
	delete(attributes, s.Required)
	return attributes
}

// all calls visit for every value of the answers' documents, with its path.
func all(answers []*answer, visit func(a *answer, path []string, v any)) {
	var walk func(a *answer, path []string, v any)
	walk = func(a *answer, path []string, v any) {
		visit(a, path, v)
		for name, member := range object(v) {
			walk(a, append(slices.Clone(path), name), member)
		}
		for _, item := range array(v) {
			walk(a, append(slices.Clone(path), "[]"), item)
		}
	}
	for _, a := range answers {
		if a.document != nil {
			walk(a, nil, a.document)
		}
	}
}

// named calls visit for every member of a name that the standard defines, wherever in the answers it stands; not
// those within attributes, which are the server's own.
func named(answers []*answer, name string, visit func(a *answer, v any)) {
	all(answers, func(a *answer, path []string, v any) {
		if len(path) > 0 && path[len(path)-1] == name && !slices.Contains(path[:len(path)-1], "attributes") && !slices.Contains(path[:len(path)-1], "relationships") {
			visit(a, v)
		}
	})
}

// links calls visit for every link in the answers.
func links(answers []*answer, visit func(a *answer, name string, link any)) {
	all(answers, func(a *answer, path []string, v any) {
		if n := len(path); n > 1 && path[n-2] == "links" && !slices.Contains(path, "attributes") {
			visit(a, path[n-1], v)
		}
	})
}

// reported calls visit for every error object in the answers.
func reported(answers []*answer, visit func(a *answer, e members)) {
	for _, a := range answers {
		for _, e := range array(a.document["errors"]) {
			visit(a, object(e))
		}
	}
}

// beyond is the member name of an extension or an @-member: those are not the standard's.
func beyond(name string) bool { return strings.Contains(name, ":") || strings.HasPrefix(name, "@") }
