package record

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"
	"go.yaml.in/yaml/v3"

	"reeve/resource"
)

var verbs = []string{resource.List, resource.Get, resource.Create, resource.Update, resource.Delete}

// typ reads a type. What no single line tells is found by the schema's own verification.
func (r reader) typ(key, value *yaml.Node) Type {
	found := r.Found()
	t := Type{Verbs: verbs, Schema: resource.Schema[Record]{
		Name: r.name(key, hyphens), ID: func(r *Record) *ulid.ULID { return &r.ID },
	}}
	s, shape := &t.Schema, newShape()
	s.Plural, s.Own = s.Name+"s", shape.own
	lines := map[string]*yaml.Node{}
	filters := func() {} // which name members that may come after them
	r.Mapping(value, members{
		"doc":    r.Text(&s.Doc),
		"plural": func(_, value *yaml.Node) { s.Plural = r.name(value, hyphens) },
		"lookups": func(_, value *yaml.Node) {
			r.List(value, func(n *yaml.Node) { t.Lookups = append(t.Lookups, r.name(n, underscores)) })
		},
		"verbs": func(_, value *yaml.Node) {
			t.Verbs = nil
			r.List(value, func(n *yaml.Node) { t.Verbs = append(t.Verbs, r.word(n, verbs...)) })
		},
		"attributes": func(_, value *yaml.Node) {
			r.Each(value, maxMembers, func(key, value *yaml.Node) {
				lines[key.Value] = key
				s.Attributes = append(s.Attributes, r.attribute(shape, key, value))
			})
		},
		"references": func(_, value *yaml.Node) {
			r.Each(value, maxMembers, func(key, value *yaml.Node) {
				lines[key.Value] = key
				s.References = append(s.References, r.reference(shape, key, value))
			})
		},
		"filters": func(_, value *yaml.Node) {
			filters = func() {
				r.Each(value, maxMembers, func(key, value *yaml.Node) { s.Filters = append(s.Filters, r.filter(s, key, value)) })
			}
		},
		"unique": func(_, value *yaml.Node) {
			r.List(value, func(n *yaml.Node) { s.Unique = append(s.Unique, r.members(n)) })
		},
		"sorts": func(_, value *yaml.Node) {
			r.List(value, func(n *yaml.Node) { s.Sorts = append(s.Sorts, r.members(n)) })
		},
	})
	filters()
	for i := range s.Attributes {
		if a := &s.Attributes[i]; a.AttributeDescription.MaxLength > resource.DefaultMaxLength && indexed(s, a.Name) {
			r.Find(lines[a.Name], "%s is sorted by, compared or unique, so it can have at most %d characters", a.Name, resource.DefaultMaxLength)
		}
	}
	if r.Found() > found {
		return t // the schema's findings would follow from these
	}
	if err := s.Verify(); err != nil {
		for finding := range strings.SplitSeq(err.Error(), "\n") {
			at := key
			for name, line := range lines {
				if strings.Contains(finding, `"`+name+`"`) {
					at = line
				}
			}
			r.Find(at, "%s", strings.TrimPrefix(finding, "resource: "))
		}
	}
	return t
}

// indexed reports whether an attribute stands in an order, in a filter or among what is unique.
func indexed(s *resource.Schema[Record], name string) (is bool) {
	for _, list := range slices.Concat(s.Unique, s.Sorts) {
		is = is || slices.Contains(list, name) || slices.Contains(list, "-"+name)
	}
	for _, f := range s.Filters {
		for _, c := range f.Values {
			resource.Walk(c, func(c resource.Condition) bool {
				compare, ok := c.(resource.Compare)
				is = is || ok && compare.Attribute == name
				return true
			})
		}
	}
	return is
}

// members reads a list of members, each perhaps with a minus before it.
func (r reader) members(n *yaml.Node) (names []string) {
	r.List(n, func(item *yaml.Node) {
		name := *item
		name.Value = strings.TrimPrefix(name.Value, "-")
		r.name(&name, underscores)
		names = append(names, item.Value)
	})
	return names
}

var kinds = []string{
	string(resource.String), string(resource.Bool), string(resource.Int), string(resource.Float), string(resource.Time),
	string(resource.Strings), string(resource.JSON),
}

// equality is the word for filter[name]=value.
const equality = "eq"

var ops = []string{
	equality, string(resource.Less), string(resource.Greater), string(resource.AtMost), string(resource.AtLeast),
	string(resource.Contains), string(resource.Prefix), string(resource.Null),
}

// attribute reads an attribute: a mapping, or its kind alone.
func (r reader) attribute(shape *shape, key, value *yaml.Node) resource.Attribute[Record] {
	name, found := r.name(key, underscores), r.Found()
	if value.Kind == yaml.ScalarNode {
		return shape.attribute(name, resource.Kind(r.word(value, kinds...)), false)
	}
	kind := resource.String
	r.Each(value, 0, func(key, value *yaml.Node) {
		if key.Value == "kind" {
			kind = resource.Kind(r.word(value, kinds...))
		}
	})
	var nullable, required, unique, secret, fixed, readOnly, created bool
	var doc string
	var values, filters []string
	var fallback, example any
	var length int64
	plain := func(to *any) func(key, value *yaml.Node) {
		return func(_, value *yaml.Node) { *to = r.plain(value, kind) }
	}
	r.Mapping(value, members{
		"kind": func(*yaml.Node, *yaml.Node) {}, "doc": r.Text(&doc), "required": r.Flag(&required), "nullable": r.Flag(&nullable),
		"secret": r.Flag(&secret), "unique": r.Flag(&unique), "fixed": r.Flag(&fixed), "read_only": r.Flag(&readOnly), "created": r.Flag(&created),
		"values": r.Texts(&values), "default": plain(&fallback), "example": plain(&example),
		"max_length": func(_, value *yaml.Node) {
			if n, ok := r.Scalar(value, resource.Int); ok {
				length = n.(int64)
			}
		},
		"filters": func(_, value *yaml.Node) {
			r.List(value, func(n *yaml.Node) { filters = append(filters, r.word(n, ops...)) })
		},
	})
	a := shape.attribute(name, kind, nullable).Doc(doc)
	if r.Found() > found {
		return a
	}
	given := required || nullable || fallback != nil || created
	switch {
	case (kind == resource.Time || kind == resource.JSON || values != nil || unique || secret) && !given:
		r.Find(key, "%s must be required, or nullable, or have a default", name)
	case values != nil && kind != resource.String:
		r.Find(key, "%s has values, but is no string", name)
	case values != nil && (len(values) == 0 || len(values) > 50 || slices.Contains(values, "")):
		r.Find(key, "%s must have 1 to 50 values, none of them empty", name)
	case values != nil && fallback != nil && !slices.Contains(values, fallback.(string)):
		r.Find(key, "the default of %s is none of its values", name)
	case length < 0 || length > 1_000_000 || length > 0 && kind != resource.String:
		r.Find(key, "the max_length of %s must be from 1 to 1000000, and of a string", name)
	case secret && (unique || kind != resource.String && kind != resource.Strings && kind != resource.JSON):
		r.Find(key, "%s is secret: it must be a string, strings or json, and cannot be unique", name)
	case length > resource.DefaultMaxLength && (unique || filters != nil):
		r.Find(key, "%s is unique or filtered, so it can have at most %d characters", name, resource.DefaultMaxLength)
	}
	if text, ok := fallback.(string); ok && utf8.RuneCountInString(text) > cmp.Or(int(length), resource.DefaultMaxLength) {
		r.Find(key, "the default of %s is longer than its max_length", name)
	}
	for _, set := range []struct {
		is bool
		as func() resource.Attribute[Record]
	}{
		{required, func() resource.Attribute[Record] { return a.Required() }},
		{unique, func() resource.Attribute[Record] { return a.Unique() }},
		{secret, func() resource.Attribute[Record] { return a.Secret() }},
		{fixed, func() resource.Attribute[Record] { return a.Fixed() }},
		{readOnly, func() resource.Attribute[Record] { return a.ReadOnly() }},
		{created, func() resource.Attribute[Record] { return a.Created() }},
		{values != nil, func() resource.Attribute[Record] { return a.OneOf(values...) }},
		{length > 0, func() resource.Attribute[Record] { return a.MaxLength(int(length)) }},
		{fallback != nil, func() resource.Attribute[Record] { return a.Default(fallback) }},
		{example != nil, func() resource.Attribute[Record] { return a.Example(example) }},
	} {
		if set.is {
			a = set.as()
		}
	}
	var offered []resource.Op
	for _, word := range filters {
		offered = append(offered, op(word))
	}
	return a.Filter(offered...)
}

// op is the operator that a word stands for.
func op(word string) resource.Op {
	if word == equality {
		return resource.Eq
	}
	return resource.Op(word)
}

// plain reads a plain value of a kind, nil if it is none.
func (r reader) plain(n *yaml.Node, kind resource.Kind) any {
	switch kind {
	case resource.Strings:
		var texts []string
		r.Texts(&texts)(nil, n)
		return texts
	case resource.JSON:
		r.Find(n, "attributes of kind json have neither default nor example")
		return nil
	}
	if v, ok := r.Scalar(n, kind); ok {
		return v
	}
	return nil
}

var deletions = map[string]resource.Deletion{"restrict": resource.Restrict, "cascade": resource.Cascade, "clear": resource.Clear}

// reference reads a reference: a mapping, or the type alone that it leads to.
func (r reader) reference(shape *shape, key, value *yaml.Node) resource.Reference[Record] {
	name := r.name(key, underscores)
	if value.Kind == yaml.ScalarNode {
		return resource.ToOne(name, r.name(value, hyphens), shape.ids.next()).Required()
	}
	var typ, doc, inverse, deletion string
	var required, nullable, fixed, many bool
	r.Mapping(value, members{
		"type": func(_, value *yaml.Node) { typ = r.name(value, hyphens) },
		"doc":  r.Text(&doc), "required": r.Flag(&required), "nullable": r.Flag(&nullable), "fixed": r.Flag(&fixed), "many": r.Flag(&many),
		"inverse":   func(_, value *yaml.Node) { inverse = r.name(value, underscores) },
		"on_delete": func(_, value *yaml.Node) { deletion = r.word(value, words(deletions)...) },
	})
	switch {
	case typ == "":
		r.Find(key, "the reference %s has no type", name)
	case many && (required || nullable || deletion != ""):
		r.Find(key, "the reference %s leads to many: it is neither required nor nullable, and links go with either end", name)
	case !many && required == nullable:
		r.Find(key, "the reference %s must be either required or nullable", name)
	}
	ref := resource.ToMany[Record](name, typ)
	if !many {
		ref = resource.ToOne(name, typ, shape.ids.next()).OnDelete(deletions[deletion])
	}
	if required {
		ref = ref.Required()
	}
	if nullable {
		ref = ref.Nullable()
	}
	if fixed {
		ref = ref.Fixed()
	}
	return ref.Doc(doc).Inverse(inverse)
}

// filter reads a filter: for each of its words a condition.
func (r reader) filter(s *resource.Schema[Record], key, value *yaml.Node) resource.Filter {
	f := resource.Filter{Name: r.name(key, underscores), Values: map[string]resource.Condition{}}
	r.Each(value, 50, func(key, value *yaml.Node) {
		r.name(key, hyphens)
		var all resource.All
		r.Each(value, maxMembers, func(key, value *yaml.Node) { all = append(all, r.condition(s, key, value)) })
		switch len(all) {
		case 0:
			r.Find(key, "the word %q has no condition", key.Value)
		case 1:
			f.Values[key.Value] = all[0]
		default:
			f.Values[key.Value] = all
		}
	})
	return f
}

// condition reads what a filter asks of a member.
func (r reader) condition(s *resource.Schema[Record], key, value *yaml.Node) resource.Condition {
	kind := resource.Kind("")
	if a := s.Attribute(key.Value); a != nil && !a.AttributeDescription.Secret {
		kind = a.Kind
	}
	if ref := s.Reference(key.Value); ref != nil && !ref.Many {
		kind = resource.ID
	}
	if kind == "" || kind == resource.JSON || kind == resource.Strings {
		r.Find(key, "a filter cannot ask about %q", key.Value)
		return resource.All{}
	}
	equal := func(n *yaml.Node) resource.Condition {
		if n.Tag == "!!null" {
			return resource.IsNull(key.Value)
		}
		v, _ := r.Scalar(n, kind)
		return resource.Equal(key.Value, v)
	}
	if value.Kind != yaml.MappingNode {
		return equal(value)
	}
	var all resource.All
	r.Each(value, 0, func(op, value *yaml.Node) {
		const not = "not"
		word := r.word(op, not, string(resource.Less), string(resource.Greater), string(resource.AtMost), string(resource.AtLeast),
			string(resource.Contains), string(resource.Prefix))
		if word == not {
			all = append(all, resource.Not{Condition: equal(value)})
			return
		}
		v, _ := r.Scalar(value, kind)
		all = append(all, resource.Holds(key.Value, resource.Op(word), v))
	})
	if len(all) == 1 {
		return all[0]
	}
	return all
}
