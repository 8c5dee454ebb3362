package resource

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"
)

// outline is a [Schema] without its Go type: what can be said and checked of it once for all types.
type outline struct {
	name, plural, doc string
	hasID             bool
	attributes        []AttributeDescription
	references        []ReferenceDescription
	declared          []Filter
	unique, sorts     [][]string
}

// filters are the filter by id, those of the attributes and references, and those declared by themselves, in
// that order.
func (o *outline) filters() []Filter {
	all := []Filter{{Name: "id", Kind: ID, Where: func(arg any) Condition { return Equal("id", arg) }}}
	for i := range o.attributes {
		a := &o.attributes[i]
		if a.state != nil {
			all = append(all, Filter{Name: a.Name, Doc: a.Doc,
				Values: map[string]Condition{"true": a.state, "false": Not{a.state}}})
		}
		for _, op := range a.ops {
			f := Filter{Name: a.Name, Qualifier: op, Doc: a.Doc, Kind: a.Kind}
			switch {
			case op == Eq && a.Kind == Bool:
				f.Values = map[string]Condition{"true": Equal(a.Name, true), "false": Equal(a.Name, false)}
			case op == Eq && a.OneOf != nil:
				f.Values = map[string]Condition{}
				for _, word := range a.OneOf {
					f.Values[word] = Equal(a.Name, word)
				}
			case op == Null:
				f.Values = map[string]Condition{"true": IsNull(a.Name), "false": NotNull(a.Name)}
			default:
				f.Where = func(arg any) Condition { return Holds(a.Name, op, arg) }
			}
			all = append(all, f)
		}
	}
	for _, r := range o.references {
		if !r.Many && r.Type != "" {
			all = append(all, Filter{Name: r.Name, Doc: r.Doc, Kind: ID,
				Where: func(arg any) Condition { return Equal(r.Name, arg) }})
		}
	}
	return append(all, o.declared...)
}

// folded are the attributes that some filter looks into by Contains.
func (o *outline) folded() []string {
	var names []string
	visit := func(c Condition) bool {
		if c, ok := c.(Compare); ok && c.Op == Contains && !slices.Contains(names, c.Attribute) {
			names = append(names, c.Attribute)
		}
		return true
	}
	for _, f := range o.filters() {
		for _, word := range f.Words() {
			Walk(f.Values[word], visit)
		}
		if f.Where != nil {
			Walk(f.Where(sample(f.Kind)), visit)
		}
	}
	return names
}

var (
	typeName   = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	memberName = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
)

// verify checks the whole declaration and reports every finding at once.
func (o *outline) verify() error {
	var found []error
	find := func(format string, args ...any) {
		found = append(found, fmt.Errorf("resource: type %q: "+format, append([]any{o.name}, args...)...))
	}
	if !typeName.MatchString(o.name) {
		find("its name must be lower case with hyphens")
	}
	if !typeName.MatchString(o.plural) {
		find("its plural %q must be lower case with hyphens", o.plural)
	}
	if o.doc == "" {
		find("it has no Doc")
	}
	if !o.hasID {
		find("it has no ID")
	}
	seen := map[string]bool{"id": true, "type": true}
	member := func(name string) {
		if !memberName.MatchString(name) {
			find("the name of member %q must be lower case with underscores", name)
		}
		if seen[name] {
			find("member %q is declared twice, or reserved", name)
		}
		seen[name] = true
	}
	for i := range o.attributes {
		d := &o.attributes[i]
		member(d.Name)
		if d.Required && (d.ReadOnly || d.Hidden) {
			find("attribute %q is required, but no request may give it", d.Name)
		}
		if d.state != nil {
			o.verifyCondition(d.state, find)
		}
		if d.Default != nil && KindOf(d.Default) != d.Kind {
			find("the default of %q is no %s", d.Name, d.Kind)
		}
		if d.Created && d.Kind != Time {
			find("attribute %q is set to the time of the creation, but is no time", d.Name)
		}
		for _, op := range d.ops {
			if !d.Stored || d.Secret || d.masked || !op.fits(d.Kind) {
				find("attribute %q cannot be filtered by %q", d.Name, op)
			}
		}
	}
	for _, d := range o.references {
		member(d.Name)
		shows := func(a AttributeDescription) bool { return a.Name == d.TypeMember() && !a.Stored }
		if d.Type == "" && !slices.ContainsFunc(o.attributes, shows) { // else an attribute is worked out from it
			member(d.TypeMember())
		}
		if d.Required && d.ReadOnly {
			find("reference %q is required, but no request may give it", d.Name)
		}
		if d.Inverse != "" && (d.Type == "" || !memberName.MatchString(d.Inverse)) {
			find("reference %q has the inverse %q, which is no name, or leads to no one type", d.Name, d.Inverse)
		}
		if d.OnDelete == Clear && !d.Nullable {
			find("reference %q is cleared by a deletion, but not nullable", d.Name)
		}
	}
	filters := map[string]bool{}
	for _, f := range o.filters() {
		if !memberName.MatchString(f.Name) {
			find("the name of filter %q must be lower case with underscores", f.Name)
		}
		if filters[f.Parameter()] {
			find("%s is declared twice", f.Parameter())
		}
		filters[f.Parameter()] = true
		if f.Closed() == (f.Where != nil) {
			find("%s must have either Values or Where", f.Parameter())
			continue
		}
		for _, c := range f.Values {
			o.verifyCondition(c, find)
		}
		if f.Where != nil {
			o.verifyCondition(f.Where(sample(f.Kind)), find)
		}
	}
	for _, unique := range o.unique {
		for _, name := range unique {
			if o.kindOf(name) == "" {
				find("unique over the unknown member %q", name)
			}
		}
	}
	for _, sort := range o.sorts {
		for _, key := range ParseOrder(sort).Keys() {
			if kind := o.kindOf(key.Attribute); !Less.fits(kind) && kind != Bool || !o.visible(key.Attribute) {
				find("lists cannot be sorted by %q", key.Attribute)
			}
		}
	}
	return errors.Join(found...)
}

// visible reports whether answers show an attribute: what sorts a list stands in its cursors.
func (o *outline) visible(name string) bool {
	return slices.ContainsFunc(o.attributes, func(a AttributeDescription) bool { return a.Name == name && a.Visible() })
}

// sample is some plain value of a kind, to see what condition an open filter makes of it.
func sample(kind Kind) any {
	v, _ := ParsePlain(kind, map[Kind]string{
		Bool: "true", Int: "1", Float: "1", Time: "2024-01-01T00:00:00Z", ID: ulid.ULID{}.String(),
	}[kind]) // each of these texts is right
	return v
}

// kindOf is the kind of a member that conditions can compare, empty if there is none.
func (o *outline) kindOf(name string) Kind {
	if name == "id" {
		return ID
	}
	for i := range o.attributes {
		if a := &o.attributes[i]; a.Name == name && a.Stored && !a.Secret && !a.masked {
			return a.Kind
		}
	}
	for i := range o.references {
		switch r := &o.references[i]; {
		case r.Name == name && !r.Many:
			return ID
		case r.Type == "" && r.TypeMember() == name:
			return String
		}
	}
	return ""
}

func (o *outline) verifyCondition(c Condition, find func(string, ...any)) {
	Walk(c, func(c Condition) bool {
		switch c := c.(type) {
		case Compare:
			kind := o.kindOf(c.Attribute)
			switch operand := c.Operand.(type) {
			case Literal:
				if KindOf(operand.Value) != kind {
					find("a condition compares %q with %v", c.Attribute, operand.Value)
				}
			case Now:
				if kind != Time {
					find("a condition compares %q with the time", c.Attribute)
				}
			case Sum:
				for _, name := range operand {
					if o.kindOf(name) != Int {
						find("a condition sums %q", name)
					}
				}
			}
			if kind == "" {
				find("a condition names the unknown member %q", c.Attribute)
			} else if !c.Op.fits(kind) {
				find("a condition compares %q by %q", c.Attribute, c.Op)
			}
		case Exists:
			inverse := strings.Contains(c.Relation, ".") // storage knows the other types
			if !inverse && !slices.ContainsFunc(o.references, func(r ReferenceDescription) bool { return r.Name == c.Relation && r.Many }) {
				find("a condition names the unknown to-many relation %q", c.Relation)
			}
			return false // its condition is about another type
		}
		return true
	})
}

// KindOf is the kind of a plain value, empty if it is none.
func KindOf(v any) Kind {
	switch v.(type) {
	case string:
		return String
	case bool:
		return Bool
	case int64:
		return Int
	case float64:
		return Float
	case interface{ UnixMicro() int64 }:
		return Time
	case ulid.ULID:
		return ID
	case []string:
		return Strings
	}
	return ""
}

// fits reports whether values of a kind can be compared by the operator.
func (o Op) fits(kind Kind) bool {
	switch o {
	case Null:
		return true
	case Contains, Prefix:
		return kind == String
	case Eq:
		return kind != Strings && kind != JSON
	case Less, Greater, AtMost, AtLeast:
		return kind == Int || kind == Float || kind == Time || kind == String || kind == ID
	}
	return false
}
