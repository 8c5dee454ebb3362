package httpapi

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/document"
)

// How many different parameters a query may have, and how many values a filter: they bound the statements that are
// made of them.
const (
	maxParameters = 100
	maxValues     = 1000
)

// parameter is one parameter of a query, decoded.
type parameter struct{ name, value string }

// query is a query string that was understood.
type query struct {
	parameters []parameter // in their order
	filters    []resource.FilterArgument
	window     pagination.Window
	order      resource.Order
	count      pagination.Count
	include    []string            // nil if not asked for
	fields     map[string][]string // by type
	affected   int                 // at most; 0 for any number
	force      bool
	arguments  map[string]any // of an action
	profile    bool           // pages are asked for by the cursor pagination profile
}

// takes says which parameters an operation has.
type takes struct {
	pages    *resource.Description // the type that is listed; nil without pages
	sorts    bool
	filters  bool
	shows    bool // include and fields
	affected bool // max_affected
	force    bool
	// arguments are those of an action that may stand in the query.
	arguments []string
	profile   bool // pages are those of the cursor pagination profile unless page[first] or page[last] says otherwise
}

// parseQuery reads a query string by the rules of application/x-www-form-urlencoded (URL Standard, section 5.1),
// which JSON:API requires. It returns all problems, as InvalidParameter, UnknownParameter and UnsupportedSort; the
// names of filters, fields and relationships are left to the engine, which knows the types.
func parseQuery(raw string, takes takes) (query, resource.Errors) {
	r := queryReader{takes: takes, given: map[string]string{}}
	r.query.window.Size = pagination.DefaultSize
	for raw != "" {
		var piece string
		piece, raw, _ = strings.Cut(raw, "&")
		if piece == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(piece, "=")
		name, nameOK := decode(rawName)
		value, valueOK := decode(rawValue)
		if !nameOK || !valueOK {
			r.find(resource.InvalidParameter, decodeLoosely(piece), "the parameter is not percent-encoded text")
			continue
		}
		if len(r.given)+len(r.query.filters) >= maxParameters {
			r.find(resource.InvalidParameter, name, "a query has at most %d parameters", maxParameters)
			break
		}
		r.query.parameters = append(r.query.parameters, parameter{name, value})
		r.read(name, value)
	}
	r.page()
	place := func(e *resource.Error) int {
		return slices.IndexFunc(r.query.parameters, func(p parameter) bool { return p.name == e.Parameter })
	}
	slices.SortStableFunc(r.problems, func(a, b *resource.Error) int { return cmp.Compare(place(a), place(b)) })
	return r.query, r.problems
}

// decode decodes one name or value; false if its escapes, its UTF-8 or a NUL in it are wrong.
func decode(raw string) (string, bool) {
	text, err := url.QueryUnescape(raw)
	return text, err == nil && utf8.ValidString(text) && strings.IndexByte(text, 0) < 0
}

// decodeLoosely is the name of a parameter as well as it can be told.
func decodeLoosely(piece string) string {
	raw, _, _ := strings.Cut(piece, "=")
	if name, ok := decode(raw); ok {
		return name
	}
	return strings.ToValidUTF8(raw, "\uFFFD")
}

type queryReader struct {
	takes    takes
	query    query
	given    map[string]string // parameters that may stand once
	problems resource.Errors
}

func (r *queryReader) find(code resource.Code, name, format string, args ...any) {
	r.problems = append(r.problems, resource.Errorf(code, format, args...).About(name))
}

// read takes one parameter.
func (r *queryReader) read(name, value string) {
	if filter, qualifier, ok := filterName(name); ok && r.takes.filters {
		r.filter(filter, qualifier, value)
		return
	}
	key := name
	if key == "page[count]" { // the name that JSON:API allows; the other one is the seed's
		key = "count"
	}
	if _, again := r.given[key]; again {
		r.find(resource.InvalidParameter, name, "%s stands there twice", key)
		return
	}
	r.given[key] = value
	typ, sparse := bracketed(name, "fields")
	switch {
	case r.takes.shows && sparse:
		if r.query.fields == nil {
			r.query.fields = map[string][]string{}
		}
		r.query.fields[typ] = commas(value)
	case r.takes.shows && name == "include":
		r.query.include = commas(value)
	case r.takes.affected && name == "max_affected":
		r.query.affected = r.number(name, value, 1<<31-1)
	case r.takes.force && name == "force":
		if value != "true" && value != "false" {
			r.find(resource.InvalidParameter, name, "force must be true or false")
		}
		r.query.force = value == "true"
	case slices.Contains(r.takes.arguments, name):
		if value != "true" && value != "false" {
			r.find(resource.InvalidParameter, name, "%s must be true or false", name)
		}
		if r.query.arguments == nil {
			r.query.arguments = map[string]any{}
		}
		r.query.arguments[name] = value == "true"
	case r.takes.pages != nil && slices.Contains(windows, name), r.takes.sorts && name == "sort": // they are understood together
	case r.takes.pages != nil && key == "count":
		count, ok := counts[value]
		if !ok {
			r.find(resource.InvalidParameter, name, "count must be true, false or only")
		}
		r.query.count = count
	default:
		r.find(resource.UnknownParameter, name, "%s", r.takes)
	}
}

// windows are the parameters that say which page is asked for.
var windows = []string{"page[first]", "page[last]", "page[size]", "page[after]", "page[before]"}

// String tells a client what there is.
func (t takes) String() string {
	var names []string
	for _, some := range []struct {
		taken bool
		names []string
	}{
		{t.pages != nil, append(slices.Clone(windows), "count")}, {t.sorts, []string{"sort"}}, {t.shows, []string{"include", "fields[type]"}},
		{t.filters, []string{"the type's filters"}}, {t.affected, []string{"max_affected"}}, {t.force, []string{"force"}}, {t.arguments != nil, t.arguments},
	} {
		if some.taken {
			names = append(names, some.names...)
		}
	}
	if names == nil {
		return "there are no parameters here"
	}
	return "there are " + strings.Join(names, ", ")
}

// commas are the elements of a list with commas; none of the empty text.
func commas(list string) []string {
	if list == "" {
		return []string{}
	}
	return strings.Split(list, ",")
}

var counts = map[string]pagination.Count{
	"true": pagination.CountTotal, "false": pagination.CountNone, "only": pagination.CountOnly,
}

// page understands the parameters that say which page of which order is asked for: those of the seed, or with
// page[size], or where Accept asks for it, those of the cursor pagination profile.
func (r *queryReader) page() {
	about := r.takes.pages
	if about == nil {
		return
	}
	sort, sorted := r.given["sort"]
	var unsorted error
	if sorted {
		if r.query.order, unsorted = about.Order(commas(sort)); unsorted != nil {
			r.problems = append(r.problems, resource.AllErrors(unsorted)...)
			r.kind("unsupported-sort")
		}
	}
	window := &r.query.window
	first, hasFirst := r.given["page[first]"]
	last, hasLast := r.given["page[last]"]
	size, hasSize := r.given["page[size]"]
	r.exclude(hasFirst && hasLast, "page[first]", "page[last]")
	r.exclude(hasFirst && hasSize, "page[first]", "page[size]")
	r.exclude(hasLast && hasSize, "page[last]", "page[size]")
	if hasFirst {
		window.Size = r.number("page[first]", first, pagination.MaxSize)
	}
	if hasLast {
		window.Size, window.Backward = r.number("page[last]", last, pagination.MaxSize), true
	}
	after, hasAfter := r.given["page[after]"]
	before, hasBefore := r.given["page[before]"]
	if hasSize {
		window.Size = r.size(size)
	}
	if r.query.profile = hasSize || r.takes.profile && !hasFirst && !hasLast; r.query.profile {
		window.Backward = hasBefore
		if hasAfter && hasBefore {
			r.find(resource.InvalidParameter, "page[before]", "page[after] and page[before] exclude each other in the profile, which page[size] asks for too")
			r.kind("range-pagination-not-supported")
			return
		}
	}
	if unsorted != nil {
		return // what order the cursors are of is not known
	}
	if hasAfter {
		window.After = r.cursor("page[after]", after)
	}
	if hasBefore && !(r.query.profile && before == "") { // an empty one is the end of the list, as in the link to the last page
		window.Before = r.cursor("page[before]", before)
	}
}

func (r *queryReader) exclude(both bool, names ...string) {
	if !both {
		return
	}
	for _, name := range names {
		r.find(resource.InvalidParameter, name, "%s exclude each other", strings.Join(names, " and "))
	}
}

// number is a whole number from 1 to max.
func (r *queryReader) number(name, value string, max int) int {
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil || n == 0 || n > uint64(max) {
		r.find(resource.InvalidParameter, name, "%s must be a number from 1 to %d", name, max)
		return 1
	}
	return int(n)
}

// size is the number of page[size]. The profile has an error of its own for one that is too large.
func (r *queryReader) size(value string) int {
	digits := strings.TrimLeft(value, "0")
	if digits != "" && strings.Trim(digits, "0123456789") == "" {
		if n, err := strconv.Atoi(digits); err == nil && n <= pagination.MaxSize {
			return n
		}
		r.find(resource.InvalidParameter, "page[size]", "a page has at most %d rows", pagination.MaxSize)
		r.kind("max-size-exceeded")
		r.problems[len(r.problems)-1].Meta = resource.Meta{"page": map[string]any{"maxSize": pagination.MaxSize}}
		return 1
	}
	r.find(resource.InvalidParameter, "page[size]", "page[size] must be a number from 1 to %d", pagination.MaxSize)
	return 1
}

// kind says which of the profile's kinds the last problem is of.
func (r *queryReader) kind(name string) {
	r.problems[len(r.problems)-1].Type = document.CursorProfile + "/" + name
}

func (r *queryReader) cursor(name, value string) *pagination.Cursor {
	place, err := r.takes.pages.ParseCursor(r.query.order, value)
	if err != nil {
		r.find(resource.InvalidParameter, name, "%s %s", name, err)
		return nil
	}
	return place
}

// filter adds a value to a filter: a repeated filter means any of its values.
func (r *queryReader) filter(name string, qualifier resource.Op, value string) {
	filters := r.query.filters
	i := slices.IndexFunc(filters, func(f resource.FilterArgument) bool {
		return f.Name == name && f.Qualifier == qualifier
	})
	if i < 0 {
		added := resource.FilterArgument{Name: name, Qualifier: qualifier, Values: []string{value}}
		r.query.filters = append(filters, added)
		return
	}
	if len(filters[i].Values) == maxValues {
		r.find(resource.InvalidParameter, filterParameter(filters[i]), "a filter has at most %d values", maxValues)
	}
	filters[i].Values = append(filters[i].Values, value)
}

func filterParameter(f resource.FilterArgument) string {
	return (&resource.Filter{Name: f.Name, Qualifier: f.Qualifier}).Parameter()
}

// filterName cuts filter[name] and filter[name][qualifier].
func filterName(parameter string) (name string, qualifier resource.Op, ok bool) {
	inner, ok := strings.CutPrefix(parameter, "filter[")
	if !ok {
		return "", "", false
	}
	inner, ok = strings.CutSuffix(inner, "]")
	name, word, qualified := strings.Cut(inner, "][")
	ok = ok && name != "" && qualified == (word != "") && !strings.ContainsAny(name+word, "[]")
	return name, resource.Op(word), ok
}

// bracketed cuts family[name].
func bracketed(parameter, family string) (name string, ok bool) {
	inner, begins := strings.CutPrefix(parameter, family+"[")
	name, ends := strings.CutSuffix(inner, "]")
	return name, begins && ends && name != "" && !strings.ContainsAny(name, "[]")
}

// isPage reports whether the parameter belongs to the window.
func (p parameter) isPage() bool {
	return strings.HasPrefix(p.name, "page[") && p.name != "page[count]"
}

// link is the path with the parameters of the query, each in its place. If a window is given, its parameters
// stand where the first of the query's page parameters does, or else at the end.
func (q *query) link(path string, window ...parameter) string {
	link := linkBuilder{separator: '?'}
	link.WriteString(path)
	for _, p := range q.parameters {
		if window != nil && p.isPage() {
			link.add(window...)
			window = window[:0]
			continue
		}
		link.add(p)
	}
	link.add(window...)
	return link.String()
}

// ask are the parameters that ask for a window of the query's list.
func (q *query) ask(w pagination.Window) []parameter {
	size := parameter{"page[first]", strconv.Itoa(w.Size)}
	switch {
	case q.profile:
		size.name = "page[size]"
	case w.Backward:
		size.name = "page[last]"
	}
	parameters := []parameter{size}
	cursor := func(name string, place *pagination.Cursor) {
		parameters = append(parameters, parameter{name, string(resource.AppendCursor(nil, q.order, place))})
	}
	if w.After != nil {
		cursor("page[after]", w.After)
	}
	switch {
	case w.Before != nil:
		cursor("page[before]", w.Before)
	case q.profile && w.Backward:
		parameters = append(parameters, parameter{"page[before]", ""})
	}
	return parameters
}

// linkBuilder writes a path and its parameters. Brackets of names stand as they are, as the seed shows them, for
// clients to follow unchanged; values are percent-encoded.
type linkBuilder struct {
	strings.Builder
	separator byte
}

func (b *linkBuilder) add(parameters ...parameter) {
	for _, p := range parameters {
		b.WriteByte(b.separator)
		b.WriteString(p.name)
		b.WriteByte('=')
		b.WriteString(strings.ReplaceAll(url.QueryEscape(p.value), "+", "%20"))
		b.separator = '&'
	}
}
