package openapi

import (
	"slices"
	"strconv"
	"strings"

	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/document"
	"reeve/resource/idempotency"
)

// describeParameters names the parameters that operations share.
func (b *builder) describeParameters() {
	size := integer(1)
	size.Maximum = pagination.MaxSize
	// Only one of the two names has the default: pages fill forms with defaults, and the list takes one of them.
	count, sameCount := words("true", "false", "only"), words("true", "false", "only")
	count.Default = "true"
	after, before := text(""), text("")
	after.Pattern, before.Pattern = "^[A-Za-z0-9_-]+$", "^[A-Za-z0-9_-]*$"
	after.Examples, before.Examples = []any{"01J2KDPHTZYW3TAT1SKVAD63SQ"}, []any{"01J2KDPHTZYW3TAT1SKVAD63SQ"}
	affected := integer(1)
	affected.Maximum, affected.Examples = 1<<31-1, []any{1000}
	tags := text("")
	tags.Examples = []any{"*"}
	profile := " by the rules of the [cursor pagination profile](" + document.CursorProfile + ")"
	b.doc.Components.Parameters = map[string]*Parameter{
		"id": inPath("id", "The id of the resource.", id()),
		"page.first": inQuery("page[first]", "How many resources to show from the start, "+
			strconv.Itoa(pagination.DefaultSize)+" unless given.", size),
		"page.last": inQuery("page[last]", "How many resources to show from the end; not together with page[first].",
			size),
		"page.size": inQuery("page[size]", "How many resources to show"+profile+
			": after page[after], or right before page[before], which does not stand together with it and is empty for the end. "+
			"Not together with page[first] and page[last].", size),
		"page.after": inQuery("page[after]", "Show only resources after this place: the `meta.page.cursor` of a resource in "+
			"a list of the same order. By id that is the id. The resource need not exist any more.", after),
		"page.before": inQuery("page[before]", "Show only resources before this place, see page[after].", before),
		"count": inQuery("count", "Whether to show the resources and their exact total, the resources alone, or the "+
			"total alone.", count),
		"page.count": inQuery("page[count]", "Another name of count.", sameCount),
		"max_affected": inQuery("max_affected", "How many resources may be changed at most: if there are more, none is, "+
			"and the answer is 409.", affected),
		"if_none_match": {
			Name: "If-None-Match", In: "header", Schema: tags,
			Description: "Tags of answers that the client has: if they have the tag of this one, it is 304 and empty.",
		},
		"force": inQuery("force", "Do it although it locks out its own caller; the last administrator cannot be locked out.",
			words("true", "false")),
		"if_match": {
			Name: "If-Match", In: "header", Schema: tags,
			Description: "Tags of the resource: if it is of another version by now, it is not written, and the answer is 412. " +
				"`*` is any version.",
		},
		"idempotency_key": {
			Name: idempotency.Header, In: "header", Schema: matching(text(""), "^[!-~]{1,"+strconv.Itoa(idempotency.MaxKey)+"}$"),
			Description: "A random name for this request. Repeated with the same key and the same body within a day, it is not " +
				"carried out again: its first answer of success is given again.",
		},
	}
}

// shared is the reference to a parameter that is named so.
func shared(name string) *Parameter {
	return &Parameter{Ref: "#/components/parameters/" + name}
}

func inPath(name, description string, s *Schema) *Parameter {
	return &Parameter{Name: name, In: "path", Description: description, Required: true, Schema: s}
}

func inQuery(name, description string, s *Schema) *Parameter {
	return &Parameter{Name: name, In: "query", Description: description, Schema: s}
}

// commas is a parameter with a list of words.
func commas(name, description string, word *Schema) *Parameter {
	p := inQuery(name, description, array(word))
	p.Explode = new(false)
	return p
}

// pages are the parameters of everything that is answered page by page.
func pages() []*Parameter {
	return []*Parameter{
		shared("page.first"), shared("page.last"), shared("page.size"), shared("page.after"), shared("page.before"),
		shared("count"), shared("page.count"),
	}
}

// whole are the parameters of lists of a type, besides those of its pages.
func (b *builder) whole(d *resource.Description) []*Parameter {
	return slices.Concat([]*Parameter{b.sort(d)}, b.shows(d), b.filters(d))
}

// sort is the order of a list: by id, or one that is declared, or one of those from the end.
func (b *builder) sort(d *resource.Description) *Parameter {
	orders := []string{"id", "-id"}
	for _, fields := range d.Sorts {
		reverse := make([]string, len(fields))
		for i, field := range fields {
			if name, descending := strings.CutPrefix(field, "-"); descending {
				reverse[i] = name
			} else {
				reverse[i] = "-" + field
			}
		}
		orders = append(orders, strings.Join(fields, ","), strings.Join(reverse, ","))
	}
	order := words(orders...)
	order.Default = orders[0]
	return b.parameter("sort."+d.Name, inQuery("sort", "The order of the list, descending where there is a hyphen. Null comes first, "+
		"descending last.", order))
}

// shows are the parameters that say what an answer with resources of a type shows: of them, and of what they lead to.
func (b *builder) shows(d *resource.Description) []*Parameter {
	reached := b.reached(d)
	if !slices.Contains(reached, d) {
		reached = append(reached, d)
	}
	fields := b.fields(reached...)
	if len(d.References) == 0 {
		return fields
	}
	var first []string
	var examples []any
	for i := range d.References {
		r := &d.References[i]
		first, examples = append(first, r.Name), append(examples, r.Name)
		if target := b.about(r.Type); target != nil {
			for _, on := range target.References {
				examples = append(examples, r.Name+"."+on.Name)
			}
		}
	}
	path := matching(text(""), "^("+strings.Join(first, "|")+`)(\.[a-z0-9_]+)*$`)
	path.Examples = examples
	include := commas("include", "Which relationships to go along, to show in `included` where they lead. A path may go on from there. "+
		"What the caller may not read is left out.", path)
	include.Schema.MaxItems = resource.MaxIncludes
	return append([]*Parameter{b.parameter("include."+d.Name, include)}, fields...)
}

// fields are the parameters that say which attributes and relationships to show of resources of some types.
func (b *builder) fields(types ...*resource.Description) []*Parameter {
	var all []*Parameter
	for _, d := range types {
		var names []string
		for i := range d.Attributes {
			if a := &d.Attributes[i]; a.Visible() && !a.Once {
				names = append(names, a.Name)
			}
		}
		for i := range d.References {
			names = append(names, d.References[i].Name)
		}
		p := commas("fields["+d.Name+"]", "Which attributes and relationships to show of each "+d.Name+"; all unless given.", words(names...))
		all = append(all, b.parameter("fields."+d.Name, p))
	}
	return all
}

// filters are the filters of a type. One that is repeated means any of its values.
func (b *builder) filters(d *resource.Description) []*Parameter {
	var all []*Parameter
	for i := range d.Filters {
		f := &d.Filters[i]
		value := kind(f.Kind)
		if f.Closed() {
			value = words(f.Words()...)
		}
		name := "filter." + d.Name + "." + f.Name
		if f.Qualifier != "" {
			name += "." + string(f.Qualifier)
		}
		all = append(all, b.parameter(name, inQuery(f.Parameter(), f.Doc, nonEmpty(array(value)))))
	}
	return all
}
