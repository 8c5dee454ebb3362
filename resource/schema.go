package resource

import (
	"encoding/json"
	"errors"
	"fmt"
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
	Sorts      [][]string // the orders in which a list can be read besides by id, each whole: {"-priority", "name"}; the reverse of each too
	Uncounted  bool       // its lists are not asked for totals, so none are kept: its rows are written faster

	// Own gives rows members of their own, where a T only refers to its members: zero rows, and copies of others, which
	// keep what they have. Nil where a copy of a T is all of it.
	Own func(rows []T)
}

// Rows are n new rows.
func (s *Schema[T]) Rows(n int) []T {
	rows := make([]T, n)
	if s.Own != nil {
		s.Own(rows)
	}
	return rows
}

// Row is a new row.
func (s *Schema[T]) Row() *T { return &s.Rows(1)[0] }

// Copy is a copy of a row, which does not change with it.
func (s *Schema[T]) Copy(row *T) *T {
	rows := []T{*row}
	if s.Own != nil {
		s.Own(rows)
	}
	return &rows[0]
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
func (s *Schema[T]) AllFilters() []Filter { return s.outline().filters() }

// Folded are the attributes that some filter looks into by Contains, so that their folded form is stored too.
func (s *Schema[T]) Folded() []string { return s.outline().folded() }

// Verify checks the whole declaration and reports every finding at once.
func (s *Schema[T]) Verify() error { return s.outline().verify() }

// outline is the schema without its Go type.
func (s *Schema[T]) outline() *outline {
	o := &outline{name: s.Name, plural: s.Plural, doc: s.Doc, hasID: s.ID != nil, declared: s.Filters, unique: s.Unique, sorts: s.Sorts}
	for i := range s.Attributes {
		o.attributes = append(o.attributes, s.Attributes[i].AttributeDescription)
	}
	for i := range s.References {
		o.references = append(o.references, s.References[i].ReferenceDescription)
	}
	return o
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

// Differences are the names of the stored attributes and references that differ between two rows.
func (s *Schema[T]) Differences(a, b *T) []string {
	var names []string
	for i := range s.Attributes {
		if attribute := &s.Attributes[i]; attribute.Stored && !same(attribute.Value(a), attribute.Value(b)) {
			names = append(names, attribute.Name)
		}
	}
	for i := range s.References {
		if r := &s.References[i]; !r.Many && r.Target(a) != r.Target(b) {
			names = append(names, r.Name)
		}
	}
	return names
}
