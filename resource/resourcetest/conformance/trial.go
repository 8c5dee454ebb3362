package conformance

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// visit is one run of the checks.
type visit struct {
	Target
	ctx  context.Context
	seen []*answer // see [trial.survey]
}

// trial is a check that is being run.
type trial struct {
	*visit
	held   int      // how many things were looked at
	faults []string // what of it was not as it must be
}

// ending is what ends a trial early: the standard asks nothing here, or it cannot go on.
type ending struct{ missing string }

// try runs one check.
func (v *visit) try(check Check) (result Result) {
	t := &trial{visit: v}
	result.Check = check
	defer func() {
		missing := "nothing of the kind was seen"
		if p := recover(); p != nil {
			end, ok := p.(ending)
			if !ok {
				panic(p)
			}
			missing = end.missing
		}
		switch {
		case len(t.faults) > 0:
			result.Outcome, result.Detail = Fail, strings.Join(t.faults[:min(len(t.faults), 3)], "; ")
		case t.held == 0:
			result.Outcome, result.Detail = NotApplicable, missing
		default:
			result.Outcome = Pass
		}
	}()
	check.run(t)
	return result
}

// holds notes whether something is as it must be.
func (t *trial) holds(ok bool, format string, args ...any) bool {
	t.held++
	if !ok {
		t.faults = append(t.faults, fmt.Sprintf(format, args...))
	}
	return ok
}

// must ends the trial if something is not as it must be for it to go on.
func (t *trial) must(ok bool, format string, args ...any) {
	if !ok {
		t.holds(false, format, args...)
		panic(ending{})
	}
}

// needs ends the trial as not applicable if the target lacks something.
func (t *trial) needs(there bool, what string) {
	if !there {
		panic(ending{missing: "the target gives no " + what})
	}
}

// answer is what a request was answered with.
type answer struct {
	method, url string
	sent        any // the body of the request, nil if it is no JSON
	status      int
	header      http.Header
	body        []byte
	document    map[string]any // nil if there is none; numbers are json.Number
}

func (a *answer) String() string {
	text := string(a.body)
	if len(text) > 200 {
		text = text[:200] + "..."
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s: %d %s", a.method, a.url, a.status, text))
}

// media is the media type of the answer with its parameters.
func (a *answer) media() (string, map[string]string) {
	media, parameters, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil {
		return "", nil
	}
	return media, parameters
}

// applies reports whether the answer's media type names an extension or a profile.
func (a *answer) applies(parameter, uri string) bool {
	_, parameters := a.media()
	return slices.Contains(strings.Fields(parameters[parameter]), uri)
}

// ok reports whether the answer is a success.
func (a *answer) ok() bool { return a.status >= 200 && a.status < 300 }

// refused reports whether the answer has a status and is a document of errors.
func (a *answer) refused(status int) bool {
	return a.status == status && len(array(a.document["errors"])) > 0 && a.document["data"] == nil
}

// parameters are the query parameters that the errors of the answer are about.
func (a *answer) parameters() []string { return a.sources("parameter") }

// pointers are the places in the body that the errors of the answer are about.
func (a *answer) pointers() []string { return a.sources("pointer") }

func (a *answer) sources(kind string) []string {
	var sources []string
	for _, e := range array(a.document["errors"]) {
		if source, ok := at(e, "source", kind).(string); ok {
			sources = append(sources, source)
		}
	}
	return sources
}

// at is the value at a path of member names and indexes, nil if there is none.
func at(v any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			v = object(v)[step]
		case int:
			items := array(v)
			if step >= len(items) {
				return nil
			}
			v = items[step]
		}
	}
	return v
}

func object(v any) map[string]any { o, _ := v.(map[string]any); return o }
func array(v any) []any           { a, _ := v.([]any); return a }
func text(v any) string           { s, _ := v.(string); return s }

// href is the URL of a link, which may be a string or an object; empty if there is none.
func href(link any) string {
	if s, ok := link.(string); ok {
		return s
	}
	return text(at(link, "href"))
}

// link is one of the links of an answer.
func (a *answer) link(name string) string { return href(at(a.document, "links", name)) }

// list is the primary data of an answer as an array: also what stands there alone.
func (a *answer) list() []any {
	if one := object(a.document["data"]); one != nil {
		return []any{one}
	}
	return array(a.document["data"])
}

// ids are the ids of the primary data.
func (a *answer) ids() []string { return idsOf(a.list()) }

func idsOf(items []any) []string {
	ids := []string{}
	for _, item := range items {
		ids = append(ids, text(at(item, "id")))
	}
	return ids
}

// resources are the resource objects of an answer, whether primary or included; identifiers are none.
func (a *answer) resources() []map[string]any {
	var all []map[string]any
	candidates := append(slices.Clone(a.list()), array(a.document["included"])...)
	for _, result := range array(a.document["atomic:results"]) {
		candidates = append(candidates, at(result, "data"))
	}
	for _, candidate := range candidates {
		o := object(candidate)
		for _, member := range []string{"attributes", "relationships", "links"} {
			if _, there := o[member]; there {
				all = append(all, o)
				break
			}
		}
	}
	return all
}

// send sends a request. The place is a path below the target's root, or a link as the server gives it. A body that
// is no string is sent as JSON. Headers are names and values in turns; an empty value takes one away.
func (t *trial) send(method, place string, body any, headers ...string) *answer {
	where := t.URL + "/" + place
	if strings.HasPrefix(place, "/") || strings.Contains(place, "://") {
		root, err := url.Parse(t.URL)
		t.must(err == nil, "the target's URL: %v", err)
		link, err := root.Parse(place)
		t.must(err == nil, "%q is no link: %v", place, err)
		where = link.String()
	}
	a := &answer{method: method, url: where}
	var reader io.Reader
	if body != nil {
		raw, isText := body.(string)
		if !isText {
			encoded, err := json.Marshal(body)
			t.must(err == nil, "%v", err)
			raw = string(encoded)
		}
		_ = decode([]byte(raw), &a.sent) // some bodies are no JSON on purpose
		reader = strings.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(t.ctx, method, where, reader)
	t.must(err == nil, "%s %s: %v", method, where, err)
	r.Header = t.Header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Accept", MediaType)
	if body != nil {
		r.Header.Set("Content-Type", MediaType)
	}
	for i := 0; i < len(headers); i += 2 {
		if r.Header.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	response, err := t.Client.Do(r)
	t.must(err == nil, "%v", err)
	defer response.Body.Close()
	a.status, a.header = response.StatusCode, response.Header
	a.body, err = io.ReadAll(response.Body)
	t.must(err == nil, "%s: %v", a, err)
	if err := decode(a.body, &a.document); err != nil {
		a.document = nil
	}
	return a
}

func decode(raw []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	return decoder.Decode(into)
}

func (t *trial) get(place string, headers ...string) *answer {
	return t.send(http.MethodGet, place, nil, headers...)
}

func (t *trial) post(place string, body any, headers ...string) *answer {
	return t.send(http.MethodPost, place, body, headers...)
}

func (t *trial) patch(place string, body any, headers ...string) *answer {
	return t.send(http.MethodPatch, place, body, headers...)
}

func (t *trial) delete(place string, body any) *answer {
	return t.send(http.MethodDelete, place, body)
}

// with is a place with more query parameters, given as names and values in turns.
func with(place string, parameters ...string) string {
	for i := 0; i < len(parameters); i += 2 {
		separator := "?"
		if strings.Contains(place, "?") {
			separator = "&"
		}
		place += separator + url.QueryEscape(parameters[i]) + "=" + url.QueryEscape(parameters[i+1])
	}
	return place
}

// word is a word that nothing else has.
func word() string { return "c" + strings.ToLower(rand.Text()[:15]) }

// members are what documents are built of.
type members = map[string]any

// fresh is the document that creates one more resource of a sample.
func (t *trial) fresh(s Sample) members {
	t.needs(s.Attributes != nil, "sample to create")
	return members{"data": members{"type": s.Type, "attributes": s.Attributes(word())}}
}

// create creates a resource, with relationships to others.
func (t *trial) create(s Sample, relationships ...members) *thing {
	document := t.fresh(s)
	for _, r := range relationships {
		object(document["data"])["relationships"] = r
	}
	a := t.post(s.Path, document)
	t.must(a.status == http.StatusCreated && text(at(a.document, "data", "id")) != "", "a creation failed: %s", a)
	return &thing{object(a.document["data"]), s}
}

// thing is a resource that a check has created.
type thing struct {
	resource members
	sample   Sample
}

func (r *thing) id() string             { return text(r.resource["id"]) }
func (r *thing) path() string           { return r.sample.Path + "/" + url.PathEscape(r.id()) }
func (r *thing) identifier() members    { return members{"type": r.sample.Type, "id": r.id()} }
func (r *thing) attribute(n string) any { return at(r.resource, "attributes", n) }
func (r *thing) related(n string) string {
	return href(at(r.resource, "relationships", n, "links", "related"))
}

// linkage is where a relationship of the resource is read and written.
func (r *thing) linkage(name string) string {
	if self := href(at(r.resource, "relationships", name, "links", "self")); self != "" {
		return self
	}
	return r.path() + "/relationships/" + name
}

// document is a document about the resource that gives attributes.
func (r *thing) document(attributes members) members {
	data := r.identifier()
	data["attributes"] = attributes
	return members{"data": data}
}

// linkages are relationships with data.
func linkages(name string, data any) members { return members{name: members{"data": data}} }

// given are the relationships that the target gives.
func (t *trial) given() []Relationship {
	var given []Relationship
	for _, r := range []Relationship{t.ToOne, t.ToMany} {
		if r.Name != "" {
			given = append(given, r)
		}
	}
	return given
}

// none is the linkage of a relationship that names nothing, as JSON.
func (r Relationship) none() string {
	if r.many {
		return "[]"
	}
	return "null"
}

// related creates a resource that a relationship can name, and its identifier.
func (t *trial) related(r Relationship) (*thing, members) {
	t.needs(r.Name != "", "such relationship")
	other := t.create(r.Related)
	return other, other.identifier()
}

// gone is the identifier of a resource that is no more.
func (t *trial) gone(s Sample) members {
	r := t.create(s)
	a := t.delete(r.path(), nil)
	t.must(a.ok(), "a deletion failed: %s", a)
	return r.identifier()
}

// shelf creates n items that share a text, and returns the list of exactly these with their ids in its order.
func (t *trial) shelf(n int) (list string, ids []string) {
	s := t.Item
	t.needs(s.Filter != "" && s.Text != "", "filter")
	name := word()
	for range n {
		document := t.fresh(s)
		object(at(document, "data", "attributes"))[s.Text] = name
		a := t.post(s.Path, document)
		t.must(a.status == http.StatusCreated, "a creation failed: %s", a)
		ids = append(ids, text(at(a.document, "data", "id")))
	}
	list = with(s.Path, s.Filter, name)
	a := t.get(list)
	t.must(a.status == http.StatusOK && sameSet(a.ids(), ids), "a filter does not find its %d resources: %s", n, a)
	return list, a.ids()
}

// sameSet reports whether two lists have the same members, in whatever order.
func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// walk follows a link from page to page, and returns the ids of each.
func (t *trial) walk(from, link string, most int) (pages [][]string) {
	for place := from; place != ""; {
		a := t.get(place)
		t.must(a.status == http.StatusOK, "a page cannot be read: %s", a)
		t.must(len(pages) <= most, "the links %q never end: %s", link, a)
		pages = append(pages, a.ids())
		place = a.link(link)
	}
	return pages
}
