package resource

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/oklog/ulid/v2"
)

// Schema is what an entity is: enough to store it, filter it and document it.
type Schema[T any] struct {
	Name       string // singular, with hyphens: registration-token
	Plural     string // its path: registration-tokens
	Doc        string // one sentence
	ID         func(*T) *ulid.ULID
	Attributes []Attribute[T] // in the order in which answers show them
	References []Reference[T]
	Filters    []Filter   // those that are not a filter of an attribute or a reference
	Unique     [][]string // several attributes or references that no two rows share
}

// Filter is a question that a list can be asked, as filter[name]=value or filter[name][qualifier]=value. It is
// closed, with a word for each of a few conditions, or open, with an argument of some kind.
type Filter struct {
	Name      string
	Qualifier Op
	Doc       string
	Values    map[string]Condition    // closed: one of these words
	Kind      Kind                    // open: the kind of the argument ...
	Where     func(arg any) Condition // ... and what it means, given its plain value
}

// Closed reports whether the filter has a fixed set of words.
func (f *Filter) Closed() bool { return f.Values != nil }

// Words are the values of a closed filter, sorted.
func (f *Filter) Words() []string {
	words := make([]string, 0, len(f.Values))
	for word := range f.Values {
		words = append(words, word)
	}
	slices.Sort(words)
	return words
}

// Parameter is the filter's query parameter: filter[name] or filter[name][qualifier].
func (f *Filter) Parameter() string {
	if f.Qualifier == Eq {
		return "filter[" + f.Name + "]"
	}
	return "filter[" + f.Name + "][" + string(f.Qualifier) + "]"
}

// MarshalJSON describes the filter by its parameter, and its words or the kind of its argument.
func (f Filter) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Parameter string   `json:"parameter"`
		Doc       string   `json:"doc,omitempty"`
		Values    []string `json:"values,omitempty"`
		Kind      Kind     `json:"kind,omitempty"`
	}{f.Parameter(), f.Doc, f.Words(), f.Kind})
}

// Condition is what the filter means with an argument as it stands in a query. The error says what the
// argument must be.
func (f *Filter) Condition(arg string) (Condition, error) {
	if f.Closed() {
		if c, ok := f.Values[arg]; ok {
			return c, nil
		}
		return nil, fmt.Errorf("must be one of %s", strings.Join(f.Words(), ", "))
	}
	v, err := ParsePlain(f.Kind, arg)
	if err != nil {
		return nil, err
	}
	return f.Where(v), nil
}

// ParsePlain reads the plain value of a kind from the text of a query parameter.
func ParsePlain(kind Kind, text string) (any, error) {
	switch kind {
	case Bool:
		switch text {
		case "true", "false":
			return text == "true", nil
		}
		return nil, errors.New("must be true or false")
	case Int:
		i, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, errors.New("must be a whole number")
		}
		return i, nil
	case Float:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, errors.New("must be a number")
		}
		return f, nil
	case Time:
		t, err := ParseTime(text)
		if err != nil {
			return nil, err
		}
		return t, nil
	case ID:
		id, err := ParseID(text)
		if err != nil {
			return nil, err
		}
		return id, nil
	}
	return parseString(text)
}

// AllFilters are the filter by id, those of the attributes and references, and those declared by themselves, in
// that order.
func (s *Schema[T]) AllFilters() []Filter {
	all := []Filter{{Name: "id", Kind: ID, Where: func(arg any) Condition { return Equal("id", arg) }}}
	for i := range s.Attributes {
		a := &s.Attributes[i]
		if a.state != nil {
			all = append(all, Filter{Name: a.Name, Doc: a.AttributeDescription.Doc,
				Values: map[string]Condition{"true": a.state, "false": Not{a.state}}})
		}
		for _, op := range a.filters {
			f := Filter{Name: a.Name, Qualifier: op, Doc: a.AttributeDescription.Doc, Kind: a.Kind}
			switch {
			case op == Eq && a.Kind == Bool:
				f.Values = map[string]Condition{"true": Equal(a.Name, true), "false": Equal(a.Name, false)}
			case op == Eq && a.AttributeDescription.OneOf != nil:
				f.Values = map[string]Condition{}
				for _, word := range a.AttributeDescription.OneOf {
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
	for _, r := range s.References {
		if !r.Many && r.Type != "" {
			all = append(all, Filter{Name: r.Name, Doc: r.ReferenceDescription.Doc, Kind: ID,
				Where: func(arg any) Condition { return Equal(r.Name, arg) }})
		}
	}
	return append(all, s.Filters...)
}

// Folded are the attributes that some filter looks into by Contains, so that their folded form is stored too.
func (s *Schema[T]) Folded() []string {
	var names []string
	visit := func(c Condition) bool {
		if c, ok := c.(Compare); ok && c.Op == Contains && !slices.Contains(names, c.Attribute) {
			names = append(names, c.Attribute)
		}
		return true
	}
	for _, f := range s.AllFilters() {
		for _, word := range f.Words() {
			Walk(f.Values[word], visit)
		}
		if f.Where != nil {
			Walk(f.Where(sample(f.Kind)), visit)
		}
	}
	return names
}

// Attribute finds an attribute by name, nil if there is none.
func (s *Schema[T]) Attribute(name string) *Attribute[T] {
	for i := range s.Attributes {
		if s.Attributes[i].Name == name {
			return &s.Attributes[i]
		}
	}
	return nil
}

// Reference finds a reference by name, nil if there is none.
func (s *Schema[T]) Reference(name string) *Reference[T] {
	for i := range s.References {
		if s.References[i].Name == name {
			return &s.References[i]
		}
	}
	return nil
}

var (
	typeName   = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	memberName = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
)

// Verify checks the whole declaration and reports every finding at once.
func (s *Schema[T]) Verify() error {
	var found []error
	find := func(format string, args ...any) {
		found = append(found, fmt.Errorf("resource: type %q: "+format, append([]any{s.Name}, args...)...))
	}
	if !typeName.MatchString(s.Name) {
		find("its name must be lower case with hyphens")
	}
	if !typeName.MatchString(s.Plural) {
		find("its plural %q must be lower case with hyphens", s.Plural)
	}
	if s.Doc == "" {
		find("it has no Doc")
	}
	if s.ID == nil {
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
	for _, a := range s.Attributes {
		member(a.Name)
		d := a.AttributeDescription
		if d.Required && (d.ReadOnly || d.Hidden) {
			find("attribute %q is required, but no request may give it", a.Name)
		}
		if a.state != nil {
			s.verifyCondition(a.state, find)
		}
		if d.Default != nil {
			if _, err := a.parse(d.Default); err != nil {
				find("the default of %q %v", a.Name, err)
			}
		}
		if d.Created && d.Kind != Time {
			find("attribute %q is set to the time of the creation, but is no time", a.Name)
		}
		for _, op := range a.filters {
			if !a.Stored || d.Secret || !op.fits(a.Kind) {
				find("attribute %q cannot be filtered by %q", a.Name, op)
			}
		}
	}
	for _, r := range s.References {
		member(r.Name)
		d := r.ReferenceDescription
		if d.Required && d.ReadOnly {
			find("reference %q is required, but no request may give it", r.Name)
		}
		if d.OnDelete == Clear && !d.Nullable {
			find("reference %q is cleared by a deletion, but not nullable", r.Name)
		}
	}
	filters := map[string]bool{}
	for _, f := range s.AllFilters() {
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
			s.verifyCondition(c, find)
		}
		if f.Where != nil {
			s.verifyCondition(f.Where(sample(f.Kind)), find)
		}
	}
	for _, unique := range s.Unique {
		for _, name := range unique {
			if s.kindOf(name) == "" {
				find("unique over the unknown member %q", name)
			}
		}
	}
	return errors.Join(found...)
}

// sample is some plain value of a kind, to see what condition an open filter makes of it.
func sample(kind Kind) any {
	v, _ := ParsePlain(kind, map[Kind]string{
		Bool: "true", Int: "1", Float: "1", Time: "2024-01-01T00:00:00Z", ID: ulid.ULID{}.String(),
	}[kind]) // each of these texts is right
	return v
}

// kindOf is the kind of a member that conditions can compare, empty if there is none.
func (s *Schema[T]) kindOf(name string) Kind {
	if name == "id" {
		return ID
	}
	if a := s.Attribute(name); a != nil && a.Stored && !a.AttributeDescription.Secret {
		return a.Kind
	}
	if r := s.Reference(name); r != nil && !r.Many {
		return ID
	}
	return ""
}

func (s *Schema[T]) verifyCondition(c Condition, find func(string, ...any)) {
	Walk(c, func(c Condition) bool {
		switch c := c.(type) {
		case Compare:
			kind := s.kindOf(c.Attribute)
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
					if s.kindOf(name) != Int {
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
			if r := s.Reference(c.Relation); r == nil || !r.Many {
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
