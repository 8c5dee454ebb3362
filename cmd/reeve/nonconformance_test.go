package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"reeve/resource/resourcetest/conformance"
)

type object = map[string]any

// spoiler makes the program a server that does something wrong.
type spoiler struct {
	name   string
	before func(r *http.Request)                             // may be nil
	after  func(r *http.Request, a *http.Response, d object) // may be nil; d is nil if the answer has no document
	fail   string                                            // the numbers of the checks that must see it
}

// spoiling puts a spoiler between a client and its server.
type spoiling struct {
	http.RoundTripper
	spoiler
}

func (s spoiling) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.before != nil {
		r = r.Clone(r.Context())
		s.before(r)
	}
	a, err := s.RoundTripper.RoundTrip(r)
	if err != nil || s.after == nil {
		return a, err
	}
	raw, err := io.ReadAll(a.Body)
	if err != nil {
		return nil, err
	}
	var document object
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if decoder.Decode(&document) != nil {
		document = nil
	}
	s.after(r, a, document)
	if document != nil {
		if raw, err = json.Marshal(document); err != nil {
			return nil, err
		}
	}
	a.Body, a.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	return a, nil
}

// each calls do for every object of a document.
func each(v any, do func(o object)) {
	switch v := v.(type) {
	case object:
		for _, member := range v {
			each(member, do)
		}
		do(v)
	case []any:
		for _, item := range v {
			each(item, do)
		}
	}
}

// resources has a spoiler change every resource object.
func resources(do func(r object)) func(*http.Request, *http.Response, object) {
	return func(_ *http.Request, _ *http.Response, d object) {
		each(d, func(o object) {
			if o["attributes"] != nil && o["type"] != nil {
				do(o)
			}
		})
	}
}

// wrongs has a spoiler change every error.
func wrongs(do func(e object)) func(*http.Request, *http.Response, object) {
	return func(_ *http.Request, _ *http.Response, d object) {
		errors, _ := d["errors"].([]any)
		for _, e := range errors {
			do(e.(object))
		}
	}
}

// document has a spoiler change every document.
func document(do func(d object)) func(*http.Request, *http.Response, object) {
	return func(_ *http.Request, _ *http.Response, d object) {
		if d != nil {
			do(d)
		}
	}
}

// headers has a spoiler change the header of every answer.
func headers(do func(h http.Header)) func(*http.Request, *http.Response, object) {
	return func(_ *http.Request, a *http.Response, _ object) { do(a.Header) }
}

// status has a spoiler answer one status instead of another.
func status(from, to int) func(*http.Request, *http.Response, object) {
	return func(_ *http.Request, a *http.Response, _ object) {
		if a.StatusCode == from {
			a.StatusCode = to
		}
	}
}

// swallow has a spoiler read where it ought to write.
func swallow(method, path string) func(r *http.Request) {
	return func(r *http.Request) {
		if r.Method == method && strings.Contains(r.URL.Path, path) {
			r.Method, r.Body, r.ContentLength = http.MethodGet, nil, 0
		}
	}
}

// forget has a spoiler not hear of the parameters whose names begin so.
func forget(prefix string) func(r *http.Request) {
	return func(r *http.Request) {
		query := r.URL.Query()
		maps.DeleteFunc(query, func(name string, _ []string) bool { return strings.HasPrefix(name, prefix) })
		r.URL.RawQuery = query.Encode()
	}
}

// upon has a spoiler act on some methods alone.
func upon(method string, do func(*http.Request, *http.Response, object)) func(*http.Request, *http.Response, object) {
	return func(r *http.Request, a *http.Response, d object) {
		if r.Method == method {
			do(r, a, d)
		}
	}
}

// rewrite has a spoiler change the documents that are sent.
func rewrite(do func(r *http.Request, d object)) func(r *http.Request) {
	return func(r *http.Request) {
		if r.Body == nil {
			return
		}
		raw, err := io.ReadAll(r.Body)
		var d object
		if err == nil && json.Unmarshal(raw, &d) == nil && d != nil {
			do(r, d)
			if raw, err = json.Marshal(d); err != nil {
				panic(err)
			}
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	}
}

func links(d object) object { links, _ := d["links"].(object); return links }

func turned(items []any) { slices.Reverse(items) }

var counter int

var spoilers = []spoiler{
	{"a charset", nil, headers(func(h http.Header) { h.Set("Content-Type", h.Get("Content-Type")+"; charset=utf-8") }), "A2 A3 A15"},
	{"another media type", nil, headers(func(h http.Header) { h.Set("Content-Type", "application/json") }), "A1 A8 A11 A13 J1 K1"},
	{"no Vary", nil, headers(func(h http.Header) { h.Del("Vary") }), "A12"},
	{"Accept unread", func(r *http.Request) { r.Header.Set("Accept", conformance.MediaType) }, nil, "A7 A9 A11 A13"},
	{"Content-Type unread", func(r *http.Request) {
		if r.Header.Get("Content-Type") != "" {
			r.Header.Set("Content-Type", conformance.MediaType)
		}
	}, nil, "A4 A5 A14"},
	{"profiles refused", func(r *http.Request) {
		for _, name := range []string{"Accept", "Content-Type"} {
			r.Header.Set(name, strings.ReplaceAll(r.Header.Get(name), "profile=", "charset="))
		}
	}, nil, "A6 A10 A11 A14"},
	{"other types beside ours refused", func(r *http.Request) {
		if strings.Contains(r.Header.Get("Accept"), ",") {
			r.Header.Set("Accept", "text/plain")
		}
	}, nil, "A8 A9 A13"},
	{"jsonapi negotiates", rewrite(func(r *http.Request, d object) {
		if d["jsonapi"] != nil {
			r.Header.Set("Content-Type", conformance.MediaType+`; ext="https://unknown.example"`)
		}
	}), nil, "A15"},

	{"a document of nothing", nil, document(func(d object) { clear(d) }), "B1"},
	{"data everywhere", nil, document(func(d object) {
		if d["data"] == nil {
			d["data"] = object{}
		}
	}), "B2"},
	{"a foreign member", nil, document(func(d object) { d["foreign"] = 1 }), "B3"},
	{"foreign members refused", rewrite(func(r *http.Request, d object) {
		if d["foreign"] != nil {
			d["data"] = nil
		}
	}), nil, "B4"},
	{"one instead of many", nil, document(func(d object) {
		if items, ok := d["data"].([]any); ok && len(items) == 1 {
			d["data"] = items[0]
		}
	}), "B5"},
	{"numeric ids", nil, upon("GET", resources(func(r object) { r["id"] = 7 })), "B6 F5"},
	{"types with signs", nil, upon("GET", resources(func(r object) { r["type"] = "a+b" })), "B7"},
	{"attributes in an array", nil, upon("GET", resources(func(r object) { r["attributes"] = []any{} })), "B8"},
	{"an attribute id", nil, resources(func(r object) { r["attributes"].(object)["id"] = 1 }), "B9"},
	{"a foreign key", nil, resources(func(r object) {
		relationships, _ := r["relationships"].(object)
		for name := range relationships {
			r["attributes"].(object)[name+"_id"] = 1
		}
	}), "B10"},
	{"relationships of nothing", nil, resources(func(r object) {
		relationships, _ := r["relationships"].(object)
		for name := range relationships {
			relationships[name] = object{}
		}
	}), "B11"},
	{"linkage of text", nil, document(func(d object) {
		each(d, func(o object) {
			if _, linked := o["data"]; linked && o["attributes"] == nil && d["included"] == nil {
				o["data"] = "somebody"
			}
		})
	}), "B12 D4"},
	{"related links of one's own", nil, upon("GET", document(func(d object) {
		each(d, func(o object) {
			if related, ok := o["related"].(string); ok {
				counter++
				o["related"] = fmt.Sprintf("%s?page[first]=%d", related, counter%9+1)
			}
		})
	})), "B13"},
	{"links of numbers", nil, document(func(d object) {
		if links(d) != nil {
			links(d)["self"] = 7
		}
	}), "B14 B15"},
	{"wrong self links", nil, resources(func(r object) { links(r)["self"] = "/api/admin/v1/version" }), "B16 F6"},
	{"jsonapi of text", nil, document(func(d object) { d["jsonapi"] = "1.1" }), "B17"},
	{"names with signs", nil, resources(func(r object) { r["attributes"].(object)["a+b"] = 1 }), "B18"},
	{"names in any case", rewrite(func(_ *http.Request, d object) {
		attributes, _ := dig(d, "data", "attributes").(object)
		for name, value := range maps.Clone(attributes) {
			delete(attributes, name)
			attributes[strings.ToLower(name)] = value
		}
	}), nil, "B19"},
	{"@-members refused", rewrite(func(_ *http.Request, d object) {
		if d["@foreign"] != nil {
			d["data"] = nil
		}
	}), nil, "B20"},
	{"meta in an array", nil, document(func(d object) {
		if d["meta"] != nil {
			d["meta"] = []any{}
		}
	}), "B21"},
	{"numeric lids", nil, resources(func(r object) { r["lid"] = 7 }), "B22"},

	{"nothing included", nil, document(func(d object) { delete(d, "included") }), "C1 C5 C8"},
	{"a stranger included", nil, document(func(d object) {
		if items, ok := d["included"].([]any); ok {
			d["included"] = append(items, object{"type": "user", "id": "stranger", "attributes": object{}})
		}
	}), "C2 C5"},
	{"included twice", nil, document(func(d object) {
		if items, ok := d["included"].([]any); ok {
			d["included"] = append(items, items...)
		}
	}), "C3"},
	{"included regardless", func(r *http.Request) {
		if query := r.URL.Query(); query.Has("include") && query.Get("include") == "" {
			query.Set("include", "members")
			r.URL.RawQuery = query.Encode()
		}
	}, nil, "C7"},
	{"include unheard", forget("include"), nil, "C1 C4 C6 C9"},

	{"self links that lead nowhere", nil, document(func(d object) {
		each(d, func(o object) {
			for _, name := range []string{"self", "related"} {
				if place, ok := o[name].(string); ok {
					o[name] = place + "/nowhere"
				}
			}
		})
	}), "D1 D4"},
	{"success is 203", nil, status(200, 203), "D1 D2 D4 D5"},
	{"404 is 400", nil, status(404, 400), "D3 D5 F11 G8 G12"},
	{"nothing is nothing to show", nil, document(func(d object) {
		if data, there := d["data"]; there && data == nil {
			delete(d, "data")
			d["meta"] = object{}
		}
	}), "D3"},
	{"304 is 200", nil, status(304, 200), "D6"},

	{"fields unheard", forget("fields"), nil, "E1 E2 E3 B15"},
	{"relationships are no fields", nil, resources(func(r object) { r["relationships"] = object{"members": object{"meta": object{}}} }), "E1 E2 E3"},
	{"sort unheard", forget("sort"), nil, "E4 E5 J3"},
	{"pages unheard", forget("page"), nil, "E6 E7 J1 J4 J5 J6 J7 J10 J14 J15"},
	{"pages in other parameters", nil, document(func(d object) {
		if next, ok := links(d)["next"].(string); ok {
			links(d)["next"] = strings.ReplaceAll(next, "page[", "side[")
		}
	}), "E6 E8 E9"},
	{"pages of resources, not of linkage", nil, document(func(d object) {
		if next, ok := links(d)["next"].(string); ok {
			links(d)["next"] = strings.Replace(next, "/relationships", "", 1)
		}
	}), "E10"},
	{"filters unheard", forget("filter"), nil, "E12 E13 E14 E16"},
	{"unknown parameters unheard", func(r *http.Request) {
		query := r.URL.Query()
		maps.DeleteFunc(query, func(name string, _ []string) bool { return !strings.Contains(name, "[") })
		r.URL.RawQuery = query.Encode()
	}, nil, "E11 E12"},
	{"extensions' parameters unheard", forget("foreign:"), nil, "E17"},
	{"links with brackets", nil, document(func(d object) {
		if links(d) != nil {
			links(d)["self"] = "/api/admin/v1/groups?page[first]=1"
		}
	}), "E15"},
	{"plus is plus", func(r *http.Request) { r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "+", "%2B") }, nil, "E16"},
	{"encoded brackets are no brackets", func(r *http.Request) { r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "%5B", "%5B%5B") }, nil, "E14"},
	{"lists turned around", nil, document(func(d object) {
		if items, ok := d["data"].([]any); ok {
			turned(items)
		}
	}), "E4 E8 J6 J18"},

	{"400 is 422", nil, status(400, 422), "F1 G1 H5 C6 E5 E12 J3 J4 J5 J7 K3 K7"},
	{"relationships without data taken", rewrite(func(_ *http.Request, d object) {
		relationships, _ := dig(d, "data", "relationships").(object)
		maps.DeleteFunc(relationships, func(_ string, r any) bool { return dig(r, "data") == nil })
	}), nil, "F2 G3"},
	{"what is not there left out", rewrite(func(r *http.Request, d object) {
		if members, ok := dig(d, "data", "relationships", "members", "data").([]any); ok && len(members) == 2 && r.Method == "POST" {
			dig(d, "data", "relationships", "members").(object)["data"] = members[:1]
		}
	}), nil, "F3"},
	{"another resource created", nil, upon("POST", resources(func(r object) { r["type"] = "other" })), "F4"},
	{"no Location", nil, headers(func(h http.Header) { h.Del("Location") }), "F5"},
	{"Location elsewhere", nil, headers(func(h http.Header) { h.Set("Location", "/api/admin/v1/version") }), "F5 F6"},
	{"creation is 200", nil, status(201, 200), "F4 F7 F8"},
	{"ids of clients unseen", rewrite(func(r *http.Request, d object) {
		if data, ok := d["data"].(object); ok && r.Method == "POST" && strings.HasSuffix(r.URL.Path, "/groups") {
			delete(data, "id")
		}
	}), nil, "F9"},
	{"409 is 422", nil, status(409, 422), "F10 F12 G9 G10"},
	{"405 is 200", nil, status(405, 200), "F13"},

	{"updates lost", swallow("PATCH", "/groups/"), nil, "G2 G3 G4 G5 G6 G8 H2"},
	{"403 is 405", nil, status(403, 405), "G7 H7 F9"},
	{"deletions lost", swallow("DELETE", "/groups/"), nil, "G11 G12 H4"},
	{"to-one writes lost", swallow("PATCH", "/errands/"), nil, "G3 H1"},
	{"additions lost", swallow("POST", "/relationships/"), nil, "H3 H8"},
	{"204 is 201", nil, status(204, 201), "H6 G11"},

	{"errors in an object", nil, document(func(d object) {
		if d["errors"] != nil {
			d["errors"] = object{}
		}
	}), "I1 I8"},
	{"errors of nothing", nil, wrongs(func(e object) { clear(e) }), "I1"},
	{"numeric statuses", nil, wrongs(func(e object) { e["status"] = 400 }), "I2"},
	{"the status of the first", nil, func(_ *http.Request, a *http.Response, d object) {
		if errors, _ := d["errors"].([]any); len(errors) > 1 {
			a.StatusCode = 403
		}
	}, "I3"},
	{"titles of their own", nil, wrongs(func(e object) { counter++; e["title"] = fmt.Sprint(counter) }), "I4"},
	{"other sources", nil, wrongs(func(e object) { e["source"] = object{"line": 1} }), "I5 F12 K8"},
	{"pointers to nowhere", nil, wrongs(func(e object) { e["source"] = object{"pointer": "/nowhere"} }), "I6 K8"},
	{"links that explain nothing", nil, wrongs(func(e object) { e["links"] = object{"about": "/nowhere"} }), "I7"},
	{"no types of errors", nil, wrongs(func(e object) { delete(e, "links") }), "J3 J5 J11"},

	{"page[after] unheard", forget("page[after]"), nil, "J8 J11 J17 J18"},
	{"page[before] unheard", forget("page[before]"), nil, "J9 J11 J18"},
	{"no next", nil, document(func(d object) { delete(links(d), "next") }), "J2 J12 J13 J14 J17 J18"},
	{"no prev", nil, document(func(d object) { delete(links(d), "prev") }), "J12 J14"},
	{"always a next", nil, document(func(d object) {
		if links(d) != nil {
			links(d)["next"] = "/api/admin/v1/groups?page[size]=1"
		}
	}), "J13 E7 J2"},
	{"no cursors", nil, resources(func(r object) { delete(r, "meta") }), "J8 J9 J16"},
	{"pages in numbers", nil, document(func(d object) {
		if meta, ok := d["meta"].(object); ok {
			meta["page"] = 7
		}
	}), "J16"},

	{"no results", nil, document(func(d object) { delete(d, "atomic:results") }), "K2 K5 K6 K9"},
	{"results turned around", nil, document(func(d object) {
		if results, ok := d["atomic:results"].([]any); ok {
			turned(results)
		}
	}), "K5 K9"},
	{"the first operation alone", rewrite(func(_ *http.Request, d object) {
		if operations, ok := d["atomic:operations"].([]any); ok && len(operations) > 1 {
			d["atomic:operations"] = operations[:1]
		}
	}), nil, "K4 K5 K8 K9"},
	{"relationships of operations unseen", rewrite(func(_ *http.Request, d object) {
		each(d["atomic:operations"], func(o object) { delete(o, "relationship") })
	}), nil, "K10"},
	{"both ref and href taken", rewrite(func(_ *http.Request, d object) {
		operations, _ := d["atomic:operations"].([]any)
		for _, operation := range operations {
			if o, ok := operation.(object); ok && o["ref"] != nil {
				delete(o, "href")
			}
		}
	}), nil, "K3"},
}

// TestNonconformance has the program do one thing wrong after the other, and sees that the checks notice: each of
// them is able to fail.
func TestNonconformance(t *testing.T) {
	target := conformanceTarget(t, "sqlite://"+filepath.Join(t.TempDir(), "reeve.db"), groupSample, "members")
	target.Departures = nil
	able := map[string]bool{}
	client := *target.Client
	for _, s := range spoilers {
		t.Run(s.name, func(t *testing.T) {
			spoiled := client
			spoiled.Transport = spoiling{client.Transport, s}
			target.Client = &spoiled
			for _, r := range conformance.Run(t.Context(), target, strings.Fields(s.fail)...) {
				able[r.Number] = true
				if r.Outcome != conformance.Fail {
					t.Errorf("%s: %s: %s", r.Number, r.Outcome, r.Detail)
				}
			}
		})
	}
	for _, section := range conformance.Sections {
		for _, check := range section.Checks {
			if !able[check.Number] {
				t.Errorf("%s is not shown to be able to fail", check.Number)
			}
		}
	}
}
