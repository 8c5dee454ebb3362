package httpapi

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"reeve/pagination"
	"reeve/resource"
)

// maxParameters is how many parameters a query may have: it bounds the statements that are made of it.
const maxParameters = 100

// parameter is one parameter of a query, decoded.
type parameter struct{ name, value string }

// query is a query string that was understood.
type query struct {
	parameters []parameter // in their order
	filters    []resource.FilterArgument
	window     pagination.Window
	count      pagination.Count
}

// takes says which parameters an operation has.
type takes struct{ pages, filters bool }

// parseQuery reads a query string by the rules of application/x-www-form-urlencoded (URL Standard, section 5.1),
// which JSON:API requires. It returns all problems, as InvalidParameter and UnknownParameter; the names of
// filters and their values are left to the engine, which knows the type.
func parseQuery(raw string, takes takes) (query, resource.Errors) {
	r := queryReader{takes: takes, seen: map[string]bool{}}
	r.query.window.Size = pagination.DefaultSize
	for raw != "" {
		var piece string
		piece, raw, _ = strings.Cut(raw, "&")
		if piece == "" {
			continue
		}
		if len(r.query.parameters) == maxParameters {
			r.find(resource.InvalidParameter, decodeLoosely(piece), "a query has at most %d parameters", maxParameters)
			break
		}
		rawName, rawValue, _ := strings.Cut(piece, "=")
		name, nameOK := decode(rawName)
		value, valueOK := decode(rawValue)
		if !nameOK || !valueOK {
			r.find(resource.InvalidParameter, decodeLoosely(piece), "the parameter is not percent-encoded text")
			continue
		}
		r.query.parameters = append(r.query.parameters, parameter{name, value})
		r.read(name, value)
	}
	if r.seen["page[first]"] && r.seen["page[last]"] {
		for _, name := range []string{"page[first]", "page[last]"} {
			r.find(resource.InvalidParameter, name, "page[first] and page[last] exclude each other")
		}
	}
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
	seen     map[string]bool // parameters that may stand once
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
	if r.seen[name] {
		r.find(resource.InvalidParameter, name, "%s stands there twice", name)
		return
	}
	r.seen[name] = true
	if !r.takes.pages {
		r.find(resource.UnknownParameter, name, "this takes no such parameter")
		return
	}
	window := &r.query.window
	switch name {
	case "page[first]":
		r.size(name, value)
	case "page[last]":
		r.size(name, value)
		window.Backward = true
	case "page[after]":
		window.After = r.cursor(name, value)
	case "page[before]":
		window.Before = r.cursor(name, value)
	case "count":
		count, ok := counts[value]
		if !ok {
			r.find(resource.InvalidParameter, name, "count must be true, false or only")
		}
		r.query.count = count
	default:
		r.find(resource.UnknownParameter, name,
			"there are page[first], page[last], page[after], page[before], count and the type's filters")
	}
}

var counts = map[string]pagination.Count{
	"true": pagination.CountTotal, "false": pagination.CountNone, "only": pagination.CountOnly,
}

func (r *queryReader) size(name, value string) {
	size, err := strconv.ParseUint(value, 10, 16)
	if err != nil || size == 0 || size > pagination.MaxSize {
		r.find(resource.InvalidParameter, name, "%s must be a number from 1 to %d", name, pagination.MaxSize)
		return
	}
	r.query.window.Size = int(size)
}

func (r *queryReader) cursor(name, value string) *pagination.Cursor {
	id, err := resource.ParseID(value)
	if err != nil {
		r.find(resource.InvalidParameter, name, "%s %s", name, err)
		return nil
	}
	return pagination.At(id)
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
	filters[i].Values = append(filters[i].Values, value)
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

// isPage reports whether the parameter belongs to the window.
func (p parameter) isPage() bool { return strings.HasPrefix(p.name, "page[") }

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

// windowParameters are the parameters that ask for a window.
func windowParameters(w pagination.Window) []parameter {
	size := parameter{"page[first]", strconv.Itoa(w.Size)}
	if w.Backward {
		size.name = "page[last]"
	}
	parameters := []parameter{size}
	if w.After != nil {
		parameters = append(parameters, parameter{"page[after]", w.After.ID.String()})
	}
	if w.Before != nil {
		parameters = append(parameters, parameter{"page[before]", w.Before.ID.String()})
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
