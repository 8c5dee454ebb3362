package resource

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// Condition is what a filter means, free of SQL: a closed sum of [Compare], [All], [Any], [Not] and [Exists].
// It has two truth values: a comparison with null is false, and Not turns that into true. Storage reads it as
// SQL, [Schema.Match] in memory.
type Condition interface{ condition() }

// Compare compares one attribute of a row with an operand. Attribute is the name of an attribute, of a to-one
// reference (its id), of the type that a [ToAny] names ([ReferenceDescription.TypeMember]), or "id".
type Compare struct {
	Attribute string
	Op        Op
	Operand   Operand // none for Null
}

// All is true if each of its conditions is; so an empty All is true.
type All []Condition

// Any is true if one of its conditions is; so an empty Any is false.
type Any []Condition

// Not is true if its condition is not.
type Not struct{ Condition Condition }

// Exists is true if the row is related to a resource that meets the condition: by the to-many reference of that
// name or, with a relation "type.reference", to one of that type which names the row by that reference.
type Exists struct {
	Relation  string
	Condition Condition
}

func (Compare) condition() {}
func (All) condition()     {}
func (Any) condition()     {}
func (Not) condition()     {}
func (Exists) condition()  {}

// Op is how two values are compared. The word of an Op is the qualifier of the filter that asks for it, as in
// filter[created_at][after].
type Op string

// The operators. Strings are ordered by their bytes. Contains ignores case (see [Fold]); Prefix does not.
const (
	Eq       Op = ""
	Less     Op = "before"
	Greater  Op = "after"
	AtMost   Op = "max"
	AtLeast  Op = "min"
	Contains Op = "contains"
	Prefix   Op = "prefix"
	Null     Op = "null"
)

// Operand is the right side of a comparison: a [Literal], a [Sum] of columns, or [Now].
type Operand interface{ operand() }

// Literal is a plain value (see [Kind]).
type Literal struct{ Value any }

// Sum is the sum of one or more attributes of the same row.
type Sum []string

// Now is the time at which the question is asked, the same throughout one operation.
type Now struct{}

func (Literal) operand() {}
func (Sum) operand()     {}
func (Now) operand()     {}

// IsNull is true where the attribute is null.
func IsNull(attribute string) Condition { return Compare{Attribute: attribute, Op: Null} }

// NotNull is true where the attribute is not null.
func NotNull(attribute string) Condition { return Not{IsNull(attribute)} }

// Equal is true where the attribute has the value.
func Equal(attribute string, value any) Condition { return Compare{attribute, Eq, Literal{value}} }

// Holds compares an attribute with a literal by any operator.
func Holds(attribute string, op Op, value any) Condition {
	return Compare{attribute, op, Literal{value}}
}

// Past is true where the time is not null and not after now.
func Past(attribute string) Condition { return Compare{attribute, AtMost, Now{}} }

// Fold is the form of a text in which Contains looks: lower case.
func Fold(s string) string { return strings.ToLower(s) }

// Walk calls visit for the condition and for all within it. It stops where visit returns false.
func Walk(c Condition, visit func(Condition) bool) {
	if !visit(c) {
		return
	}
	switch c := c.(type) {
	case All:
		for _, part := range c {
			Walk(part, visit)
		}
	case Any:
		for _, part := range c {
			Walk(part, visit)
		}
	case Not:
		Walk(c.Condition, visit)
	case Exists:
		Walk(c.Condition, visit)
	}
}

// Costly reports whether a condition looks for a part of a text, which no index finds: the time for it is bounded.
func Costly(c Condition) bool {
	costly := false
	Walk(c, func(c Condition) bool {
		compare, _ := c.(Compare)
		costly = costly || compare.Op == Contains
		return !costly
	})
	return costly
}

// Env is what a condition needs to know apart from its row.
type Env struct {
	Now time.Time
	// Related reports whether a relation of the resource holds something that meets the condition. It may be
	// nil where no condition asks.
	Related func(id ulid.ULID, relation string, c Condition) bool
}

// Match reports whether a row meets a condition. It is the reference of what conditions mean; SQL has to agree.
// The condition has been verified.
func (s *Schema[T]) Match(c Condition, row *T, env Env) bool {
	switch c := c.(type) {
	case nil:
		return true
	case All:
		for _, part := range c {
			if !s.Match(part, row, env) {
				return false
			}
		}
		return true
	case Any:
		for _, part := range c {
			if s.Match(part, row, env) {
				return true
			}
		}
		return false
	case Not:
		return !s.Match(c.Condition, row, env)
	case Exists:
		return env.Related(*s.ID(row), c.Relation, c.Condition)
	}
	return s.compare(c.(Compare), row, env)
}

func (s *Schema[T]) compare(c Compare, row *T, env Env) bool {
	left := s.plain(row, c.Attribute)
	if c.Op == Null {
		return left == nil
	}
	var right any
	switch operand := c.Operand.(type) {
	case Literal:
		right = operand.Value
	case Now:
		right = env.Now
	case Sum:
		total := int64(0)
		for _, name := range operand {
			n, ok := s.plain(row, name).(int64)
			if !ok {
				return false
			}
			total += n
		}
		right = total
	}
	if left == nil || right == nil {
		return false
	}
	switch c.Op {
	case Contains:
		return strings.Contains(Fold(left.(string)), Fold(right.(string)))
	case Prefix:
		return strings.HasPrefix(left.(string), right.(string))
	}
	order := ComparePlain(left, right)
	switch c.Op {
	case Less:
		return order < 0
	case AtMost:
		return order <= 0
	case Greater:
		return order > 0
	case AtLeast:
		return order >= 0
	}
	return order == 0
}

// plain is the plain value of an attribute, a to-one reference or the id, nil if it is null.
func (s *Schema[T]) plain(row *T, name string) any {
	if name == "id" {
		return *s.ID(row)
	}
	for i := range s.Attributes {
		if s.Attributes[i].Name == name && s.Attributes[i].Stored {
			return s.Attributes[i].Value(row)
		}
	}
	for i := range s.References {
		switch r := &s.References[i]; {
		case r.Name == name:
			return r.Value(row)
		case r.Type == "" && r.TypeMember() == name && r.Target(row) != (Identifier{}):
			return r.Target(row).Type
		}
	}
	return nil
}

// ComparePlain orders two plain values of one kind: -1, 0 or +1. Null, as nil, comes before everything.
func ComparePlain(a, b any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return +1
	}
	switch a := a.(type) {
	case string:
		return cmp.Compare(a, b.(string))
	case bool:
		return cmp.Compare(truth(a), truth(b.(bool)))
	case int64:
		return cmp.Compare(a, b.(int64))
	case float64:
		return cmp.Compare(a, b.(float64))
	case time.Time:
		return a.Compare(b.(time.Time))
	case ulid.ULID:
		return a.Compare(b.(ulid.ULID))
	case []string:
		return slices.Compare(a, b.([]string))
	}
	return 0
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}
