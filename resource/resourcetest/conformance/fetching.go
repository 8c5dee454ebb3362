package conformance

import (
	"encoding/json"
	"net/http"
)

var fetching = []Check{
	{"D1", Must, "Fetching Resources", "every self and related link can be fetched", func(t *trial) {
		t.follow(func(place string) { a := t.get(place); t.holds(a.status == http.StatusOK, "%s", a) },
			func(path []string) bool {
				n := len(path)
				return path[n-1] == "related" || path[n-1] == "self" && (n < 4 || path[n-4] != "relationships")
			})
	}},
	{"D2", Must, "Fetching Resources", "a success is 200, and a collection an array", func(t *trial) {
		a := t.get(t.Item.Path)
		_, ok := a.document["data"].([]any)
		t.holds(a.status == http.StatusOK && ok, "%s", a)
		one := t.get(t.create(t.Item).path())
		t.holds(one.status == http.StatusOK, "%s", one)
	}},
	{"D3", Must, "Fetching Resources: Responses", "a missing resource is 404, an empty to-one 200 with null", func(t *trial) {
		a := t.get(t.Item.Path + "/" + text(t.gone(t.Item)["id"]))
		t.holds(a.refused(http.StatusNotFound), "%s", a)
		if t.ToOne.Name == "" {
			return
		}
		related := t.create(t.ToOne.Owner).related(t.ToOne.Name)
		t.must(related != "", "%s has no related link", t.ToOne.Name)
		a = t.get(related)
		data, there := a.document["data"]
		t.holds(a.status == http.StatusOK && there && data == nil, "%s", a)
	}},
	{"D4", Must, "Fetching Relationships", "every relationship's self link answers with its linkage", func(t *trial) {
		t.follow(func(place string) { a := t.get(place); t.holds(a.status == http.StatusOK, "%s", a) },
			func(path []string) bool {
				n := len(path)
				return path[n-1] == "self" && n >= 4 && path[n-4] == "relationships"
			})
		for _, r := range t.given() {
			owner := t.create(r.Owner, t.naming(r, 2))
			for _, item := range t.get(owner.linkage(r.Name)).list() {
				t.holds(at(item, "type") == r.Related.Type && at(item, "id") != nil && at(item, "attributes") == nil, "%s: %v", r.Name, item)
			}
			shown, there := object(at(t.get(owner.path()).document, "data", "relationships", r.Name))["data"]
			if there {
				a, err := json.Marshal(shown)
				b, err2 := json.Marshal(t.get(owner.linkage(r.Name)).document["data"])
				t.holds(err == nil && err2 == nil && string(a) == string(b), "%s is %s and %s", r.Name, a, b)
			}
		}
	}},
	{"D5", Must, "Fetching Relationships: Responses", "a relationship that is not there is 404, an empty one 200", func(t *trial) {
		for _, r := range t.given() {
			gone := thing{t.gone(r.Owner), r.Owner}
			a := t.get(gone.linkage(r.Name))
			t.holds(a.refused(http.StatusNotFound), "of nobody: %s", a)
			owner := t.create(r.Owner)
			a = t.get(owner.linkage("no_such"))
			t.holds(a.refused(http.StatusNotFound), "unknown: %s", a)
			a = t.get(owner.linkage(r.Name))
			t.holds(a.status == http.StatusOK && len(a.list()) == 0, "empty: %s", a)
		}
	}},
	{"D6", Must, "Fetching Resources", "HEAD and conditions are those of HTTP", func(t *trial) {
		path := t.create(t.Item).path()
		get, head := t.get(path), t.send(http.MethodHead, path, nil)
		t.holds(get.status == http.StatusOK && head.status == get.status && len(head.body) == 0, "%s", head)
		for _, name := range []string{"Content-Type", "ETag", "Content-Length"} {
			t.holds(head.header.Get(name) == get.header.Get(name) || head.header.Get(name) == "", "%s is %q, not %q", name, head.header.Get(name), get.header.Get(name))
		}
		if tag := get.header.Get("ETag"); tag != "" {
			a := t.get(path, "If-None-Match", tag)
			t.holds(a.status == http.StatusNotModified && len(a.body) == 0, "%s", a)
		}
	}},
}

// follow calls visit once for each link of the survey whose path in its document is one of those wanted, up to 40.
func (t *trial) follow(visit func(place string), wanted func(path []string) bool) {
	known := map[string]bool{}
	all(t.survey(), func(a *answer, path []string, v any) {
		if len(path) < 2 || path[len(path)-2] != "links" || a.status >= 400 || a.method == http.MethodPost || !wanted(path) {
			return
		}
		if place := href(v); place != "" && !known[place] && len(known) < 40 {
			known[place] = true
			visit(place)
		}
	})
}
