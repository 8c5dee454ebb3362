package conformance

import (
	"net/http"
)

var updating = []Check{
	{"G1", Must, "Updating Resources", "an update is one resource object with type and id, else 400", func(t *trial) {
		made := t.create(t.Item)
		change := members{t.Item.Nullable: "changed"}
		for _, body := range []any{
			members{"data": members{"type": t.Item.Type, "attributes": change}},
			members{"data": members{"id": made.id(), "attributes": change}},
			members{"data": []any{made.document(change)["data"]}}, members{},
		} {
			a := t.patch(made.path(), body)
			t.holds(a.refused(http.StatusBadRequest), "%v: %s", body, a)
		}
		t.unchanged(made)
	}},
	{"G2", Must, "Updating a Resource's Attributes", "what is left out keeps its value, and null clears", func(t *trial) {
		made := t.create(t.Item)
		for _, value := range []any{"changed", nil} {
			a := t.patch(made.path(), made.document(members{t.Item.Nullable: value}))
			t.must(a.ok(), "%s", a)
			shown := t.get(made.path())
			t.holds(at(shown.document, "data", "attributes", t.Item.Nullable) == value, "%v: %s", value, shown)
			t.holds(at(shown.document, "data", "attributes", t.Item.Text) == made.attribute(t.Item.Text), "%s", shown)
		}
		for _, r := range t.given() {
			owner := t.create(r.Owner, t.naming(r, 2))
			before := t.get(owner.linkage(r.Name))
			a := t.patch(owner.path(), owner.document(members{r.Owner.Nullable: "changed"}))
			t.must(a.ok(), "%s", a)
			after := t.get(owner.linkage(r.Name))
			t.holds(len(before.list()) > 0 && same(before.document["data"], after.document["data"]), "%s became %s", before, after)
		}
	}},
	{"G3", Must, "Updating a Resource's Relationships", "a relationship needs data, and a to-many is replaced or refused", func(t *trial) {
		for _, r := range t.given() {
			owner := t.create(r.Owner, t.naming(r, 2))
			before := t.get(owner.linkage(r.Name))
			update := owner.document(nil)
			data := object(update["data"])
			delete(data, "attributes")
			data["relationships"] = members{r.Name: members{}}
			a := t.patch(owner.path(), update)
			t.holds(a.status >= 400 && a.refused(a.status), "without data: %s", a)
			data["relationships"] = t.naming(r, 1)
			wanted := idsOf(asList(at(data, "relationships", r.Name, "data")))
			a = t.patch(owner.path(), update)
			after := t.get(owner.linkage(r.Name))
			t.holds(a.ok() && sameSet(after.ids(), wanted) || a.refused(http.StatusForbidden) && same(after.document["data"], before.document["data"]), "%s became %s", a, after)
		}
	}},
	{"G4", Must, "Updating Resources", "an update that fails changes nothing", func(t *trial) {
		made := t.create(t.Item)
		t.needs(len(t.Item.Invalid) > 0, "value that is refused")
		for name, value := range t.Item.Invalid {
			a := t.patch(made.path(), made.document(members{t.Item.Nullable: "changed", name: value}))
			t.holds(a.status >= 400 && a.refused(a.status), "%s", a)
		}
		t.unchanged(made)
		for _, r := range t.given() {
			owner := t.create(r.Owner)
			update := owner.document(members{r.Owner.Nullable: "changed"})
			var missing any = t.gone(r.Related)
			if r.many {
				missing = []any{missing}
			}
			object(update["data"])["relationships"] = linkages(r.Name, missing)
			a := t.patch(owner.path(), update)
			t.holds(a.status >= 400 && a.refused(a.status), "%s", a)
			t.unchanged(owner)
		}
	}},
	{"G5", Must, "Updating Resources: 200 OK", "an update is 200 with what the resource is then, or 204", func(t *trial) {
		made := t.create(t.Item)
		a := t.patch(made.path(), made.document(members{t.Item.Nullable: "changed"}))
		shown := t.get(made.path())
		t.holds(at(shown.document, "data", "attributes", t.Item.Nullable) == "changed", "%s", shown)
		data, there := a.document["data"]
		t.holds(a.status == http.StatusOK && (!there || same(at(data, "attributes"), at(shown.document, "data", "attributes"))) ||
			a.status == http.StatusNoContent && len(a.body) == 0, "%s, but then %s", a, shown)
	}},
	{"G6", Must, "Updating Resources: 202 Accepted", "200 and 204 are not said before it is done", func(t *trial) {
		made := t.create(t.Item)
		a := t.patch(made.path(), made.document(members{t.Item.Nullable: "changed"}))
		if a.status == http.StatusOK || a.status == http.StatusNoContent {
			shown := t.get(made.path())
			t.holds(at(shown.document, "data", "attributes", t.Item.Nullable) == "changed", "%s", shown)
			return
		}
		t.holds(a.status == http.StatusAccepted, "%s", a)
	}},
	{"G7", Must, "Updating Resources: 403 Forbidden", "an update that is not served is 403", func(t *trial) {
		t.needs(t.NoUpdate != "", "resource that cannot be updated")
		r := t.get(t.NoUpdate)
		t.must(r.ok(), "%s", r)
		a := t.patch(t.NoUpdate, members{"data": members{"type": at(r.document, "data", "type"), "id": at(r.document, "data", "id"), "attributes": members{}}})
		t.holds(a.refused(http.StatusForbidden), "%s", a)
	}},
	{"G8", Must, "Updating Resources: 404 Not Found", "a resource that is not there, itself or related, is 404", func(t *trial) {
		gone := thing{t.gone(t.Item), t.Item}
		a := t.patch(gone.path(), gone.document(members{t.Item.Nullable: "changed"}))
		t.holds(a.refused(http.StatusNotFound), "%s", a)
		for _, r := range t.given() {
			owner := t.create(r.Owner)
			update := owner.document(members{})
			var missing any = t.gone(r.Related)
			if r.many {
				missing = []any{missing}
			}
			object(update["data"])["relationships"] = linkages(r.Name, missing)
			a := t.patch(owner.path(), update)
			t.holds(a.refused(http.StatusNotFound), "%s", a)
		}
	}},
	{"G9", Must, "Updating Resources: 409 Conflict", "another type or id than that of the URL is 409", func(t *trial) {
		made, other := t.create(t.Item), t.create(t.Item)
		a := t.patch(made.path(), other.document(members{t.Item.Nullable: "changed"}))
		t.holds(a.refused(http.StatusConflict), "%s", a)
		document := made.document(members{t.Item.Nullable: "changed"})
		object(document["data"])["type"] = "no-such-type"
		a = t.patch(made.path(), document)
		t.holds(a.refused(http.StatusConflict), "%s", a)
		t.unchanged(made)
		t.unchanged(other)
	}},
	{"G10", May, "Updating Resources: 409 Conflict", "a value that another resource has is refused, with 409 unless nobody may write it", func(t *trial) {
		for _, s := range []Sample{t.Item, t.ToOne.Owner, t.ToMany.Related} {
			if s.Unique == "" {
				continue
			}
			made, other := t.create(s), t.create(s)
			a := t.patch(made.path(), made.document(members{s.Unique: other.attribute(s.Unique)}))
			t.holds(a.refused(http.StatusConflict) || a.refused(http.StatusForbidden), "%s", a)
			t.unchanged(made)
		}
	}},
	{"G11", Must, "Deleting Resources: Responses", "a deletion is 204, 202, or 200 with meta alone", func(t *trial) {
		made := t.create(t.Item)
		a := t.delete(made.path(), nil)
		_, data := a.document["data"]
		t.holds(a.status == http.StatusNoContent && len(a.body) == 0 || a.status == http.StatusAccepted || a.status == http.StatusOK && !data, "%s", a)
		if a.status != http.StatusAccepted {
			b := t.get(made.path())
			t.holds(b.refused(http.StatusNotFound), "%s", b)
		}
	}},
	{"G12", Should, "Deleting Resources: 404 Not Found", "the deletion of what is not there is 404", func(t *trial) {
		gone := thing{t.gone(t.Item), t.Item}
		a := t.delete(gone.path(), nil)
		t.holds(a.refused(http.StatusNotFound), "%s", a)
	}},
}

// unchanged holds a resource to being what it was when it was created.
func (t *trial) unchanged(r *thing) {
	a := t.get(r.path())
	t.holds(a.ok() && same(at(a.document, "data", "attributes"), at(r.resource, "attributes")), "%v became %s", r.resource, a)
}

// asList is linkage as an array.
func asList(data any) []any {
	switch data := data.(type) {
	case nil:
		return nil
	case []any:
		return data
	}
	return []any{data}
}
