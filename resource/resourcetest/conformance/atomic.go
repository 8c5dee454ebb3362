package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

var atomic = []Check{
	{"K1", Must, "Atomic Operations", "operations are taken by POST, and with the extension named alone", func(t *trial) {
		t.needs(t.Operations != "", "operations")
		list, ids := t.shelf(1)
		body := members{"atomic:operations": []any{members{"op": "remove", "ref": members{"type": t.Item.Type, "id": ids[0]}}}}
		a := t.post(t.Operations, body)
		t.holds(a.refused(http.StatusUnsupportedMediaType), "without the extension: %s", a)
		a = t.send(http.MethodPatch, t.Operations, body, "Content-Type", atomicMedia, "Accept", atomicMedia)
		t.holds(a.status >= 400 && a.refused(a.status), "by PATCH: %s", a)
		t.holds(slices.Equal(t.get(list).ids(), ids), "%s", t.get(list))
		a = t.operate(t.addition(""))
		t.holds(a.ok() && a.applies("ext", AtomicExt), "Content-Type %q: %s", a.header.Get("Content-Type"), a)
	}},
	{"K2", Must, "Document Structure", "operations and results stand alone, without data, included or each other", func(t *trial) {
		a := t.operate(t.addition(""))
		_, data := a.document["data"]
		_, included := a.document["included"]
		_, operations := a.document["atomic:operations"]
		t.holds(array(a.document["atomic:results"]) != nil && !data && !included && !operations, "%s", a)
		for name, value := range map[string]any{"data": []any{}, "included": []any{}, "atomic:results": []any{}} {
			a := t.operations(members{"atomic:operations": []any{t.addition("")}, name: value})
			t.holds(a.refused(http.StatusBadRequest), "with %s: %s", name, a)
		}
		a = t.operate(t.addition("no-such-type"))
		_, results := a.document["atomic:results"]
		t.holds(a.status >= 400 && !results, "%s", a)
	}},
	{"K3", Must, "Operation Objects", "an operation has a known op, and ref or href, not both", func(t *trial) {
		made := t.create(t.Item)
		ref := made.identifier()
		for _, operation := range []members{
			{"op": "replace", "ref": ref, "data": made.document(members{})["data"]}, {"ref": ref}, {"op": 7, "ref": ref},
			{"op": "remove", "ref": ref, "href": "/" + made.path()}, {"op": "remove", "ref": members{"id": made.id()}},
			{"op": "remove", "ref": members{"type": t.Item.Type}}, {"op": "remove", "ref": members{"type": t.Item.Type, "id": made.id(), "lid": "a"}}, {"op": "remove"},
		} {
			a := t.operate(operation)
			t.holds(a.refused(http.StatusBadRequest), "%v: %s", operation, a)
		}
		t.holds(t.get(made.path()).ok(), "%s", t.get(made.path()))
		for _, how := range []members{{"ref": ref}, {"href": t.get(made.path()).link("self")}} {
			how["op"], how["data"] = "update", made.document(members{t.Item.Nullable: fmt.Sprint(len(how))})["data"]
			a := t.operate(how)
			t.holds(a.ok(), "%v: %s", how, a)
		}
	}},
	{"K4", Must, "Processing", "operations run in their order, and one that fails undoes all", func(t *trial) {
		s := t.Item
		t.needs(s.Filter != "", "filter")
		made := t.create(s)
		change := func(value string) members {
			return members{"op": "update", "data": made.document(members{s.Nullable: value})["data"]}
		}
		a := t.operate(change("first"), change("second"), change("third"))
		shown := t.get(made.path())
		t.holds(a.ok() && at(shown.document, "data", "attributes", s.Nullable) == "third", "%s: %s", a, shown)
		name := word()
		for position := range 4 {
			var operations []any
			for i := range 4 {
				operation := t.addition("")
				object(at(operation, "data", "attributes"))[s.Text] = name
				if i == position {
					operation = members{"op": "remove", "ref": t.gone(s)}
				}
				operations = append(operations, operation)
			}
			a := t.operations(members{"atomic:operations": append(operations, change("fourth"))})
			t.holds(a.status >= 400 && a.refused(a.status), "%s", a)
			left := t.get(with(s.Path, s.Filter, name))
			t.holds(left.ok() && len(left.ids()) == 0, "a failure at %d left %s", position, left)
			now := t.get(made.path())
			t.holds(at(now.document, "data", "attributes", s.Nullable) == "third", "%s", now)
		}
	}},
	{"K5", Must, "Responses", "200 has a result for each operation, in order; 204 only where none has any", func(t *trial) {
		made := t.create(t.Item)
		first, last := t.addition(""), t.addition("")
		a := t.operate(first, members{"op": "remove", "ref": made.identifier()}, last)
		results := array(a.document["atomic:results"])
		t.must(a.status == http.StatusOK && len(results) == 3, "%s", a)
		for i, operation := range map[int]members{0: first, 2: last} {
			t.holds(at(results[i], "data", "attributes", t.Item.Required) == at(operation, "data", "attributes", t.Item.Required), "%d: %s", i, a)
		}
		a = t.operate(members{"op": "remove", "ref": t.create(t.Item).identifier()})
		t.holds(a.status == http.StatusNoContent && len(a.body) == 0 || a.status == http.StatusOK && len(array(a.document["atomic:results"])) == 1, "%s", a)
	}},
	{"K6", Must, "Adding Resources", "add answers the new resource, and remove no data", func(t *trial) {
		a := t.operate(t.addition(""))
		data := at(a.document, "atomic:results", 0, "data")
		t.must(text(at(data, "id")) != "", "%s", a)
		made := &thing{object(data), t.Item}
		t.unchanged(made)
		a = t.operate(members{"op": "update", "data": made.document(members{t.Item.Nullable: "changed"})["data"]})
		if data := at(a.document, "atomic:results", 0, "data"); data != nil {
			t.holds(same(at(data, "attributes"), at(t.get(made.path()).document, "data", "attributes")), "%s", a)
		}
		a = t.operate(members{"op": "remove", "ref": made.identifier()}, t.addition(""))
		first := object(at(a.document, "atomic:results", 0))
		t.holds(a.status == http.StatusOK && first != nil && first["data"] == nil, "%s", a)
		t.holds(t.get(made.path()).status == http.StatusNotFound, "%s", t.get(made.path()))
	}},
	{"K7", Must, "Processing Errors", "what is malformed is 400, what cannot be done 4xx", func(t *trial) {
		for _, body := range []any{"{", members{}, members{"atomic:operations": members{}}, members{"atomic:operations": []any{7}}} {
			a := t.operations(body)
			t.holds(a.refused(http.StatusBadRequest), "%v: %s", body, a)
		}
		operation := t.addition("")
		object(operation["data"])["attributes"] = t.wrong(t.Item)
		a := t.operate(operation)
		t.holds(a.status >= 400 && a.status < 500 && a.refused(a.status), "%s", a)
	}},
	{"K8", Should, "Error Objects", "an error points into its operation", func(t *trial) {
		t.needs(len(t.Item.Invalid) > 0, "value that is refused")
		for name, value := range t.Item.Invalid {
			operation := t.addition("")
			object(at(operation, "data", "attributes"))[name] = value
			a := t.operate(t.addition(""), operation)
			t.holds(slices.Equal(a.pointers(), []string{"/atomic:operations/1/data/attributes/" + name}), "%s", a)
		}
		a := t.operate(t.addition(""), members{"op": "remove", "ref": t.gone(t.Item)})
		t.holds(len(a.pointers()) == 1 && strings.HasPrefix(a.pointers()[0], "/atomic:operations/1"), "%s", a)
	}},
	{"K9", Must, "Local Identities", "a lid can be used behind its operation, and an unknown one fails", func(t *trial) {
		r := t.ToMany
		t.needs(t.Operations != "" && r.Name != "", "operations and to-many relationship")
		related := members{"op": "add", "data": members{"type": r.Related.Type, "lid": "one", "attributes": r.Related.Attributes(word())}}
		owner := members{"op": "add", "data": members{"type": r.Owner.Type, "lid": "two", "attributes": r.Owner.Attributes(word()),
			"relationships": linkages(r.Name, []any{members{"type": r.Related.Type, "lid": "one"}})}}
		change := members{"op": "update", "ref": members{"type": r.Owner.Type, "lid": "two"},
			"data": members{"type": r.Owner.Type, "lid": "two", "attributes": members{r.Owner.Nullable: "changed"}}}
		a := t.operate(related, owner, change)
		t.must(a.ok(), "%s", a)
		made := &thing{members{"id": at(a.document, "atomic:results", 1, "data", "id")}, r.Owner}
		shown := t.get(made.linkage(r.Name))
		t.holds(slices.Equal(shown.ids(), []string{text(at(a.document, "atomic:results", 0, "data", "id"))}), "%s", shown)
		now := t.get(made.path())
		t.holds(at(now.document, "data", "attributes", r.Owner.Nullable) == "changed", "%s", now)
		for _, operations := range [][]any{{owner, related}, {members{"op": "remove", "ref": members{"type": r.Owner.Type, "lid": "three"}}}} {
			a := t.operate(operations...)
			t.holds(a.status >= 400 && a.status < 500 && a.refused(a.status), "%s", a)
		}
	}},
	{"K10", Must, "Updating Relationships", "relationships are written by ref.relationship", func(t *trial) {
		t.needs(t.Operations != "" && len(t.given()) > 0, "operations and relationships")
		ref := func(owner *thing, name string) members {
			ref := owner.identifier()
			ref["relationship"] = name
			return ref
		}
		if r := t.ToOne; r.Name != "" {
			_, identifier := t.related(r)
			owner := t.create(r.Owner)
			for _, data := range []any{identifier, nil} {
				a := t.operate(members{"op": "update", "ref": ref(owner, r.Name), "data": data})
				shown := t.get(owner.linkage(r.Name))
				t.holds(a.ok() && same(shown.document["data"], data), "%s: %s", a, shown)
			}
		}
		if r := t.ToMany; r.Name != "" {
			owner, first, second := t.team()
			for _, step := range []struct {
				op         string
				data, want []any
			}{
				{"add", []any{second}, []any{first, second}}, {"remove", []any{first}, []any{second}}, {"update", []any{first}, []any{first}},
			} {
				a := t.operate(members{"op": step.op, "ref": ref(owner, r.Name), "data": step.data})
				shown := t.get(owner.linkage(r.Name))
				t.holds(a.ok() && sameSet(shown.ids(), idsOf(step.want)), "%s: %s", a, shown)
			}
		}
	}},
}

const atomicMedia = MediaType + `; ext="` + AtomicExt + `"`

// operate sends operations.
func (t *trial) operate(operations ...any) *answer {
	return t.operations(members{"atomic:operations": operations})
}

// operations sends the body of a request for operations.
func (t *trial) operations(body any) *answer {
	t.needs(t.Operations != "", "operations")
	return t.post(t.Operations, body, "Content-Type", atomicMedia, "Accept", atomicMedia)
}

// addition is an operation that creates an item, or something of another type.
func (t *trial) addition(typ string) members {
	data := object(t.fresh(t.Item)["data"])
	if typ != "" {
		data["type"] = typ
	}
	return members{"op": "add", "data": data}
}
