package conformance

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// memberName is what the standard allows as the name of a member.
var memberName = regexp.MustCompile(`^[a-zA-Z0-9\x{80}-\x{10FFFF}]([a-zA-Z0-9\x{80}-\x{10FFFF} _-]*[a-zA-Z0-9\x{80}-\x{10FFFF}])?$`)

var languageTag = regexp.MustCompile(`^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*$`)

var structure = []Check{
	{"B1", Must, "Top Level", "a document is an object with data, errors or meta", func(t *trial) {
		for _, a := range t.survey() {
			if len(a.body) == 0 {
				continue
			}
			_, data := a.document["data"]
			extended := false
			for name := range a.document {
				extended = extended || strings.Contains(name, ":")
			}
			t.holds(data || extended || a.document["errors"] != nil || a.document["meta"] != nil, "%s", a)
		}
	}},
	{"B2", Must, "Top Level", "data and errors exclude each other, and included needs data", func(t *trial) {
		for _, a := range t.survey() {
			_, data := a.document["data"]
			_, errors := a.document["errors"]
			_, included := a.document["included"]
			t.holds(!(data && errors) && (data || !included), "%s", a)
		}
	}},
	{"B3", Must, "Top Level", "a document has no other members than those of the standard", func(t *trial) {
		standard := []string{"data", "errors", "meta", "jsonapi", "links", "included"}
		for _, a := range t.survey() {
			for name := range a.document {
				t.holds(slices.Contains(standard, name) || beyond(name), "%q: %s", name, a)
			}
		}
	}},
	{"B4", Must, "Document Structure", "members that a document cannot have are ignored, and not kept", func(t *trial) {
		document := t.fresh(t.Item)
		document["foreign"] = "foreign"
		object(document["data"])["foreign"] = "foreign"
		a := t.post(t.Item.Path, document)
		t.must(a.status == http.StatusCreated, "%s", a)
		again := t.get(t.Item.Path + "/" + text(at(a.document, "data", "id")))
		t.holds(again.status == http.StatusOK && !strings.Contains(string(a.body)+string(again.body), "foreign"), "%s", again)
	}},
	{"B5", Must, "Top Level", "one resource is an object, a collection an array, however many there are", func(t *trial) {
		list, ids := t.shelf(1)
		one := t.get(t.Item.Path + "/" + ids[0])
		t.holds(object(one.document["data"]) != nil, "one: %s", one)
		for filter, n := range map[string]int{list: 1, with(t.Item.Path, t.Item.Filter, word()): 0} {
			a := t.get(filter)
			items, ok := a.document["data"].([]any)
			t.holds(ok && len(items) == n, "a collection of %d: %s", n, a)
		}
	}},
	{"B6", Must, "Resource Objects", "every resource has a type and an id, as strings", func(t *trial) {
		for _, a := range t.survey() {
			for _, r := range a.resources() {
				t.holds(text(r["type"]) != "" && text(r["id"]) != "", "%v: %s", r["id"], a)
			}
		}
	}},
	{"B7", Must, "Identification", "type and id name one resource, always the same, and types are member names", func(t *trial) {
		selves := map[[2]string]string{}
		for _, a := range t.survey() {
			listed := map[[2]string]bool{}
			for _, r := range a.list() {
				key := [2]string{text(at(r, "type")), text(at(r, "id"))}
				t.holds(!listed[key] && memberName.MatchString(key[0]), "%v: %s", key, a)
				listed[key] = true
			}
			for _, r := range a.resources() {
				key, self := [2]string{text(r["type"]), text(r["id"])}, href(at(r, "links", "self"))
				if before, known := selves[key]; known && self != "" {
					t.holds(self == before, "%v is at %q and at %q", key, self, before)
				}
				selves[key] = self
			}
		}
	}},
	{"B8", Must, "Resource Objects", "attributes, relationships, links and meta are objects", func(t *trial) {
		for _, a := range t.survey() {
			for _, r := range a.resources() {
				for _, name := range []string{"attributes", "relationships", "links", "meta"} {
					if member, there := r[name]; there {
						t.holds(object(member) != nil, "%s of %v: %s", name, r["id"], a)
					}
				}
			}
		}
	}},
	{"B9", Must, "Fields", "attributes and relationships share their names, of which type and id are none", func(t *trial) {
		for _, a := range t.survey() {
			for _, r := range a.resources() {
				fields := []string{"type", "id"}
				for name := range object(r["attributes"]) {
					t.holds(!slices.Contains(fields, name), "%q: %s", name, a)
					fields = append(fields, name)
				}
				for name := range object(r["relationships"]) {
					t.holds(!slices.Contains(fields, name), "%q: %s", name, a)
				}
			}
		}
	}},
	{"B10", Should, "Attributes", "a foreign key is no attribute", func(t *trial) {
		for _, a := range t.survey() {
			for _, r := range a.resources() {
				for name := range object(r["relationships"]) {
					for _, key := range []string{name + "_id", name + "-id", name + "Id", name + "ID"} {
						_, there := object(r["attributes"])[key]
						t.holds(!there, "attribute %q: %s", key, a)
					}
				}
			}
		}
	}},
	{"B11", Must, "Relationships", "a relationship has links, data or meta, and links have self or related", func(t *trial) {
		t.eachRelationship(func(a *answer, name string, r members) {
			_, data := r["data"]
			_, linked := r["links"]
			t.holds(data || linked || object(r["meta"]) != nil, "%s: %s", name, a)
			if linked {
				t.holds(at(r, "links", "self") != nil || at(r, "links", "related") != nil, "links of %s: %s", name, a)
			}
		})
	}},
	{"B12", Must, "Resource Linkage", "linkage is null, an identifier, or an array of identifiers", func(t *trial) {
		identifier := func(v any) bool {
			return text(at(v, "type")) != "" && (text(at(v, "id")) != "" || text(at(v, "lid")) != "")
		}
		t.eachRelationship(func(a *answer, name string, r members) {
			data, there := r["data"]
			if !there || data == nil {
				return
			}
			if items, many := data.([]any); many {
				for _, item := range items {
					t.holds(identifier(item), "%s: %s", name, a)
				}
				return
			}
			t.holds(identifier(data), "%s: %s", name, a)
		})
		for _, r := range t.given() {
			a := t.get(t.create(r.Owner).linkage(r.Name))
			data, err := json.Marshal(a.document["data"])
			t.holds(a.ok() && err == nil && string(data) == r.none(), "%s without any: %s", r.Name, a)
		}
	}},
	{"B13", Must, "Related Resource Links", "a related link is the same and works, whatever is related", func(t *trial) {
		for _, r := range t.given() {
			owner := t.create(r.Owner)
			before := owner.related(r.Name)
			if before == "" {
				continue
			}
			t.holds(t.get(before).status == http.StatusOK, "%s of nothing: %s", r.Name, t.get(before))
			a := t.patch(owner.linkage(r.Name), t.naming(r, 1)[r.Name])
			t.must(a.ok(), "%s", a)
			after := href(at(t.get(owner.path()).document, "data", "relationships", r.Name, "links", "related"))
			t.holds(after == before && t.get(after).status == http.StatusOK, "%s was at %q, is at %q", r.Name, before, after)
		}
	}},
	{"B14", Must, "Links", "a link is a URI reference, an object with one, or null", func(t *trial) {
		links(t.survey(), func(a *answer, name string, link any) {
			if link == nil {
				return
			}
			if o := object(link); o != nil {
				if language, there := o["hreflang"].(string); there {
					t.holds(languageTag.MatchString(language), "hreflang %q: %s", language, a)
				}
				if rel, there := o["rel"]; there {
					t.holds(text(rel) != "", "rel %v: %s", rel, a)
				}
			}
			_, err := url.Parse(href(link))
			t.holds(err == nil && href(link) != "", "%s is %v: %s", name, link, a)
		})
	}},
	{"B15", Should, "Top Level", "links.self is the request, and an object with its type where something is applied", func(t *trial) {
		fields := "fields[" + t.Item.Type + "]"
		a := t.get(with(t.Item.Path, fields, t.Item.Text))
		self, err := url.Parse(a.link("self"))
		t.holds(err == nil && self.Query().Get(fields) == t.Item.Text, "self is %v of %s", at(a.document, "links", "self"), a)
		if t.Cursor {
			a := t.get(with(t.Item.Path, "page[size]", "2"))
			t.holds(strings.Contains(text(at(a.document, "links", "self", "type")), CursorProfile), "self is %v of %s", at(a.document, "links", "self"), a)
		}
	}},
	{"B16", Must, "Resource Links", "links.self of a resource answers with that resource", func(t *trial) {
		followed := 0
		for _, a := range t.survey() {
			for _, r := range a.resources() {
				if self := href(at(r, "links", "self")); self != "" && a.method == http.MethodGet && followed < 25 {
					followed++
					b := t.get(self)
					t.holds(at(b.document, "data", "id") == r["id"] && at(b.document, "data", "type") == r["type"], "%s is not %v", b, r["id"])
				}
			}
		}
	}},
	{"B17", Must, "JSON:API Object", "jsonapi is an object", func(t *trial) {
		for _, a := range t.survey() {
			about, there := a.document["jsonapi"]
			t.holds(!there || object(about) != nil, "%s", a)
			for name, v := range object(about) {
				ok := name == "version" && text(v) != "" || (name == "ext" || name == "profile") && array(v) != nil || name == "meta" && object(v) != nil
				t.holds(ok || beyond(name), "jsonapi.%s: %s", name, a)
			}
		}
	}},
	{"B18", Must, "Member Names", "names are of letters, digits, hyphens, underscores and spaces", func(t *trial) {
		all(t.survey(), func(a *answer, path []string, v any) {
			if len(path) > 0 && path[len(path)-1] != "[]" {
				name := path[len(path)-1]
				t.holds(memberName.MatchString(name) || len(path) == 1 && beyond(name), "%q: %s", name, a)
			}
		})
	}},
	{"B19", Must, "Member Names", "names differ by case", func(t *trial) {
		made := t.create(t.Item)
		shouted := strings.ToUpper(t.Item.Nullable)
		t.needs(shouted != t.Item.Nullable, "attribute that can be set to any text")
		t.patch(made.path(), made.document(members{shouted: "shouted"}))
		a := t.get(made.path())
		t.holds(a.status == http.StatusOK && at(a.document, "data", "attributes", t.Item.Nullable) == made.attribute(t.Item.Nullable), "%s", a)
	}},
	{"B20", Must, "@-Members", "@-members of a request are ignored", func(t *trial) {
		document := t.fresh(t.Item)
		document["@foreign"] = 1
		data := object(document["data"])
		data["@foreign"] = 1
		object(data["attributes"])["@foreign"] = 1
		data["relationships"] = members{"@foreign": 1}
		a := t.post(t.Item.Path, document)
		t.must(a.status == http.StatusCreated, "%s", a)
		again := t.get(t.Item.Path + "/" + text(at(a.document, "data", "id")))
		t.holds(again.status == http.StatusOK && !strings.Contains(string(a.body)+string(again.body), "@foreign"), "%s", again)
	}},
	{"B21", Must, "Meta Information", "meta is an object wherever it stands", func(t *trial) {
		named(t.survey(), "meta", func(a *answer, v any) {
			t.holds(object(v) != nil, "%s", a)
		})
	}},
	{"B22", Must, "Identification", "a lid is a string, and the same wherever its resource stands", func(t *trial) {
		document := t.fresh(t.Item)
		object(document["data"])["lid"] = "first"
		a := t.post(t.Item.Path, document)
		lid, there := object(at(a.document, "data"))["lid"]
		t.holds(a.status == http.StatusCreated && (!there || lid == "first"), "%s", a)
		named(t.survey(), "lid", func(a *answer, v any) {
			t.holds(text(v) != "", "%s", a)
		})
	}},
}

// eachRelationship calls visit for every relationship that the survey shows.
func (t *trial) eachRelationship(visit func(a *answer, name string, r members)) {
	for _, a := range t.survey() {
		for _, r := range a.resources() {
			for name, v := range object(r["relationships"]) {
				if t.holds(object(v) != nil, "relationship %s is no object: %s", name, a) {
					visit(a, name, object(v))
				}
			}
		}
	}
}
