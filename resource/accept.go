package resource

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// occasion is what a body is for.
type occasion bool

const (
	creation occasion = true
	change   occasion = false
)

// accept checks a body against the schema and returns what applies it to a row. All its problems are reported
// at once. Of attributes that fill the same member, as a password and its hash do, a body gives one. What it returns
// cannot fail, so it may run while a row is held.
func (s *Schema[T]) accept(ctx context.Context, body Body, on occasion) (apply func(row *T), err error) {
	var problems Errors
	var steps []func(row *T)
	blank, filled := s.Row(), map[any]string{} // by member
	for _, name := range sorted(body.Attributes) {
		v := body.Attributes[name]
		a := s.Attribute(name)
		switch {
		case a == nil || a.AttributeDescription.Hidden:
			problems = append(problems, Errorf(UnknownMember, "there is no attribute %q", name).At("attributes", name))
			continue
		case !a.Writable(bool(on)):
			problems = append(problems, Errorf(ReadOnly, "attribute %q cannot be written", name).At("attributes", name))
			continue
		}
		member := a.member(blank)
		if other, twice := filled[member]; twice {
			problems = append(problems, Errorf(Invalid, "%s must not be given together with %s", name, other).At("attributes", name))
			continue
		}
		filled[member] = name
		parsed, err := a.accept(ctx, v)
		if Is(err, Unavailable) {
			return nil, err
		}
		if err != nil {
			problems = append(problems, Errorf(Invalid, "%s %s", name, err).At("attributes", name))
			continue
		}
		steps = append(steps, func(row *T) { a.assign(row, parsed) })
		if text, ok := v.(string); ok && a.given != nil {
			steps = append(steps, func(row *T) { *a.given(row) = text })
		}
	}
	for name, targets := range body.Relationships {
		r := s.Reference(name)
		switch {
		case r == nil:
			problems = append(problems, Errorf(UnknownMember, "there is no relationship %q", name).At("relationships", name))
			continue
		case !r.Writable(bool(on)):
			problems = append(problems, Errorf(ReadOnly, "relationship %q cannot be written", name).At("relationships", name))
			continue
		}
		if err := r.accept(targets); err != nil {
			problems = append(problems, AllErrors(err)...)
			continue
		}
		if !r.Many {
			steps = append(steps, func(row *T) { r.SetTarget(row, first(targets)) })
		}
	}
	if on == creation {
		steps = append(steps, s.complete(ctx, body, &problems)...)
	}
	slices.SortFunc(problems, func(a, b *Error) int {
		return cmp.Or(strings.Compare(a.Pointer, b.Pointer), strings.Compare(a.Detail, b.Detail))
	})
	return func(row *T) {
		for _, step := range steps {
			step(row)
		}
	}, problems.orNil()
}

// exclusive are the attributes that requests give and that fill the same member, by member.
func (s *Schema[T]) exclusive() [][]string {
	row, group := s.Row(), map[any]int{}
	var groups [][]string
	for i := range s.Attributes {
		a := &s.Attributes[i]
		if !a.Writable(true) {
			continue
		}
		member := a.member(row)
		n, known := group[member]
		if !known {
			n = len(groups)
			group[member], groups = n, append(groups, nil)
		}
		groups[n] = append(groups[n], a.Name)
	}
	return slices.DeleteFunc(groups, func(names []string) bool { return len(names) == 1 })
}

// complete reports the members that a creation must give and does not, and sets the defaults of the others. A
// missing member has no pointer of its own: the object that it is missing from has.
func (s *Schema[T]) complete(ctx context.Context, body Body, problems *Errors) (steps []func(row *T)) {
	missing := func(object string, present bool, name string) {
		e := Errorf(Required, "%s is missing", name)
		if present {
			e = e.At(object)
		}
		*problems = append(*problems, e)
	}
	for i := range s.Attributes {
		a := &s.Attributes[i]
		if _, given := body.Attributes[a.Name]; given {
			continue
		}
		switch {
		case a.AttributeDescription.Required:
			missing("attributes", body.Attributes != nil, a.Name)
		case a.AttributeDescription.Default != nil:
			steps = append(steps, func(row *T) {
				if parsed, err := a.parse(ctx, a.AttributeDescription.Default); err == nil { // Verify has parsed it
					a.assign(row, parsed)
				}
			})
		}
	}
	for i := range s.References {
		r := &s.References[i]
		if _, given := body.Relationships[r.Name]; !given && r.ReferenceDescription.Required {
			missing("relationships", body.Relationships != nil, r.Name)
		}
	}
	return steps
}

// accept checks what a body gives for the reference.
func (r *ReferenceDescription) accept(targets []Identifier) error {
	var problems Errors
	if !r.Many {
		switch {
		case len(targets) > 1:
			problems = append(problems, Errorf(Invalid, "%s names one resource", r.Name).At("relationships", r.Name))
		case len(targets) == 0 && !r.Nullable:
			problems = append(problems, Errorf(Invalid, "%s must not be null", r.Name).At("relationships", r.Name))
		}
	}
	for i, target := range targets {
		if target.Type != r.Type {
			problems = append(problems, Errorf(TypeMismatch, "%s refers to resources of type %s, not %s", r.Name, r.Type, target.Type).
				At(r.place(i)...))
		}
	}
	return problems.orNil()
}

// same reports whether two plain values are equal.
func same(a, b any) bool {
	switch a := a.(type) {
	case nil:
		return b == nil
	case []string:
		list, ok := b.([]string)
		return ok && slices.Equal(a, list)
	case json.RawMessage:
		text, ok := b.(json.RawMessage)
		return ok && sameJSON(a, text)
	}
	return b != nil && ComparePlain(a, b) == 0
}

// sameJSON reports whether two texts are the same JSON value: PostgreSQL gives back what it was given with other
// spaces, and members in another order. Numbers are compared as they are written, since a float64 has no room for
// every integer.
func sameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	decode := func(text json.RawMessage) (v any, err error) {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		err = decoder.Decode(&v)
		return v, err
	}
	x, err := decode(a)
	if err != nil {
		return false // what is no JSON is the same as nothing else
	}
	y, err := decode(b)
	return err == nil && reflect.DeepEqual(x, y)
}

// sorted are the keys of a map in their order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
