package conformance

import (
	"net/http"
	"slices"
	"strings"
)

var creating = []Check{
	{"F1", Must, "Creating Resources", "a creation is one resource object with its type, else 400", func(t *trial) {
		attributes := object(at(t.fresh(t.Item), "data", "attributes"))
		for _, body := range []any{
			members{}, members{"data": nil}, members{"data": []any{t.fresh(t.Item)["data"]}},
			members{"data": members{"attributes": attributes}}, members{"data": members{"type": 7, "attributes": attributes}},
		} {
			a := t.post(t.Item.Path, body)
			t.holds(a.refused(http.StatusBadRequest), "%v: %s", body, a)
		}
	}},
	{"F2", Must, "Creating Resources", "a relationship without data is refused", func(t *trial) {
		for _, r := range t.given() {
			document := t.fresh(r.Owner)
			object(document["data"])["relationships"] = members{r.Name: members{"meta": members{}}}
			a := t.post(r.Owner.Path, document)
			t.holds(a.status >= 400 && a.status < 500 && a.refused(a.status), "%s", a)
		}
	}},
	{"F3", Must, "Creating Resources", "a creation that fails leaves nothing behind", func(t *trial) {
		r := t.ToMany
		t.needs(r.Name != "" && r.Owner.Filter != "", "to-many relationship of what a filter finds")
		_, there := t.related(r)
		document := t.fresh(r.Owner)
		name := word()
		object(at(document, "data", "attributes"))[r.Owner.Text] = name
		object(document["data"])["relationships"] = linkages(r.Name, []any{there, t.gone(r.Related)})
		a := t.post(r.Owner.Path, document)
		t.must(a.status >= 400, "%s", a)
		a = t.get(with(r.Owner.Path, r.Owner.Filter, name))
		t.holds(a.status == http.StatusOK && len(a.ids()) == 0, "%s", a)
		object(document["data"])["relationships"] = linkages(r.Name, []any{there})
		a = t.post(r.Owner.Path, document)
		t.holds(a.status == http.StatusCreated, "the same without the mistake: %s", a)
	}},
	{"F4", Must, "Creating Resources: 201 Created", "what gets its id from the server is 201 with the resource", func(t *trial) {
		document := t.fresh(t.Item)
		a := t.post(t.Item.Path, document)
		given, shown := object(at(document, "data", "attributes")), object(at(a.document, "data", "attributes"))
		t.holds(a.status == http.StatusCreated && text(at(a.document, "data", "id")) != "" && at(a.document, "data", "type") == t.Item.Type, "%s", a)
		t.holds(shown[t.Item.Text] == given[t.Item.Text], "%v became %s", given, a)
	}},
	{"F5", Should, "Creating Resources: 201 Created", "Location says where the new resource is", func(t *trial) {
		a := t.post(t.Item.Path, t.fresh(t.Item))
		location := a.header.Get("Location")
		t.must(location != "", "no Location: %s", a)
		t.holds(slices.Equal(t.get(location).ids(), a.ids()), "%s is not %s", location, a)
	}},
	{"F6", Must, "Creating Resources: 201 Created", "links.self of the new resource is its Location", func(t *trial) {
		a := t.post(t.Item.Path, t.fresh(t.Item))
		self, location := href(at(a.document, "data", "links", "self")), a.header.Get("Location")
		if self != "" && location != "" {
			t.holds(self == location, "%q and %q", self, location)
		}
	}},
	{"F7", Must, "Creating Resources: 202 Accepted", "201 is not said before the resource is there", func(t *trial) {
		a := t.post(t.Item.Path, t.fresh(t.Item))
		if a.status == http.StatusCreated {
			b := t.get(t.Item.Path + "/" + text(at(a.document, "data", "id")))
			t.holds(b.status == http.StatusOK, "%s", b)
			return
		}
		t.holds(a.status == http.StatusAccepted, "%s", a)
	}},
	{"F8", Must, "Creating Resources: 204 No Content", "a success is 201 with a document, 202, or 204 without", func(t *trial) {
		a := t.post(t.Item.Path, t.fresh(t.Item))
		t.holds(a.status == http.StatusCreated && object(a.document["data"]) != nil || a.status == http.StatusAccepted ||
			a.status == http.StatusNoContent && len(a.body) == 0, "%s", a)
	}},
	{"F9", Must, "Client-Generated IDs", "a client's own id is 403, or taken once", func(t *trial) {
		document := t.fresh(t.Item)
		object(document["data"])["id"] = text(t.gone(t.Item)["id"])
		a := t.post(t.Item.Path, document)
		if a.ok() {
			again := t.fresh(t.Item)
			object(again["data"])["id"] = at(document, "data", "id")
			b := t.post(t.Item.Path, again)
			t.holds(b.refused(http.StatusConflict), "%s", b)
			return
		}
		t.holds(a.refused(http.StatusForbidden), "%s", a)
	}},
	{"F10", Must, "Creating Resources: 409 Conflict", "a type that the collection does not hold is 409", func(t *trial) {
		document := t.fresh(t.Item)
		object(document["data"])["type"] = "no-such-type"
		a := t.post(t.Item.Path, document)
		t.holds(a.refused(http.StatusConflict), "%s", a)
	}},
	{"F11", Must, "Creating Resources: 404 Not Found", "a related resource that is not there is 404", func(t *trial) {
		for _, r := range t.given() {
			var missing any = t.gone(r.Related)
			if r.many {
				missing = []any{missing}
			}
			document := t.fresh(r.Owner)
			object(document["data"])["relationships"] = linkages(r.Name, missing)
			a := t.post(r.Owner.Path, document)
			t.holds(a.refused(http.StatusNotFound), "%s", a)
		}
	}},
	{"F12", Should, "Creating Resources: 409 Conflict", "a conflict says what it is about", func(t *trial) {
		document := t.fresh(t.Item)
		object(document["data"])["type"] = "no-such-type"
		a := t.post(t.Item.Path, document)
		t.holds(a.refused(http.StatusConflict) && slices.Equal(a.pointers(), []string{"/data/type"}), "%s", a)
		if s := t.Item; s.Unique != "" {
			document := t.fresh(s)
			object(at(document, "data", "attributes"))[s.Unique] = t.create(s).attribute(s.Unique)
			a := t.post(s.Path, document)
			t.holds(a.refused(http.StatusConflict) && slices.Equal(a.pointers(), []string{"/data/attributes/" + s.Unique}), "%s", a)
		}
	}},
	{"F13", May, "Creating Resources: 403 Forbidden", "a creation that is not served is refused", func(t *trial) {
		t.needs(t.NoCreate != "", "collection that creates nothing")
		a := t.post(t.NoCreate, t.fresh(t.Item))
		t.holds((a.status == http.StatusForbidden || a.status == http.StatusMethodNotAllowed) && a.refused(a.status), "%s", a)
		if a.status == http.StatusMethodNotAllowed {
			t.holds(a.header.Get("Allow") != "" && !strings.Contains(a.header.Get("Allow"), http.MethodPost), "Allow %q", a.header.Get("Allow"))
		}
	}},
}
