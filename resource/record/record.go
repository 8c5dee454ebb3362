// Package record has the types that are declared in files rather than in Go: a [Record] is a row of any of them, and
// [Read] makes their schemas.
package record

import (
	"encoding/json"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Record is a row of a type that a file declares. Its members are slots, of one list for each kind of values: which slot
// is which attribute's is settled when the type is declared, so that nothing is looked up for a row.
type Record struct {
	ID ulid.ULID

	texts     []string
	flags     []bool
	integers  []int64
	numbers   []float64
	times     []time.Time
	lists     [][]string
	documents []json.RawMessage
	ids       []ulid.ULID

	// Of attributes whose zero value is not null.
	nullFlags    []*bool
	nullIntegers []*int64
	nullNumbers  []*float64
}

// shape is how many slots of each kind the records of a type have.
type shape struct {
	texts        slots[string]
	flags        slots[bool]
	integers     slots[int64]
	numbers      slots[float64]
	times        slots[time.Time]
	lists        slots[[]string]
	documents    slots[json.RawMessage]
	ids          slots[ulid.ULID]
	nullFlags    slots[*bool]
	nullIntegers slots[*int64]
	nullNumbers  slots[*float64]
}

func newShape() *shape {
	return &shape{
		texts:        slots[string]{in: func(r *Record) *[]string { return &r.texts }},
		flags:        slots[bool]{in: func(r *Record) *[]bool { return &r.flags }},
		integers:     slots[int64]{in: func(r *Record) *[]int64 { return &r.integers }},
		numbers:      slots[float64]{in: func(r *Record) *[]float64 { return &r.numbers }},
		times:        slots[time.Time]{in: func(r *Record) *[]time.Time { return &r.times }},
		lists:        slots[[]string]{in: func(r *Record) *[][]string { return &r.lists }},
		documents:    slots[json.RawMessage]{in: func(r *Record) *[]json.RawMessage { return &r.documents }},
		ids:          slots[ulid.ULID]{in: func(r *Record) *[]ulid.ULID { return &r.ids }},
		nullFlags:    slots[*bool]{in: func(r *Record) *[]*bool { return &r.nullFlags }},
		nullIntegers: slots[*int64]{in: func(r *Record) *[]*int64 { return &r.nullIntegers }},
		nullNumbers:  slots[*float64]{in: func(r *Record) *[]*float64 { return &r.nullNumbers }},
	}
}

// own gives records slots of their own, see [resource.Schema.Own].
func (s *shape) own(rows []Record) {
	s.texts.own(rows)
	s.flags.own(rows)
	s.integers.own(rows)
	s.numbers.own(rows)
	s.times.own(rows)
	s.lists.own(rows)
	s.documents.own(rows)
	s.ids.own(rows)
	s.nullFlags.own(rows)
	s.nullIntegers.own(rows)
	s.nullNumbers.own(rows)
}

// slots are those of one kind.
type slots[V resource.Value] struct {
	in func(r *Record) *[]V
	n  int
}

// next is the member of one more slot.
func (s *slots[V]) next() func(r *Record) *V {
	in, i := s.in, s.n
	s.n++
	return func(r *Record) *V { return &(*in(r))[i] }
}

// own cuts the slots of all rows out of one array.
func (s *slots[V]) own(rows []Record) {
	if s.n == 0 {
		return
	}
	all := make([]V, s.n*len(rows))
	for i := range rows {
		own, list := all[i*s.n:(i+1)*s.n:(i+1)*s.n], s.in(&rows[i])
		copy(own, *list)
		*list = own
	}
}

// attribute declares an attribute of a kind.
func (s *shape) attribute(name string, kind resource.Kind, nullable bool) resource.Attribute[Record] {
	switch kind {
	case resource.Bool:
		if nullable {
			return resource.Attr(name, s.nullFlags.next())
		}
		return resource.Attr(name, s.flags.next())
	case resource.Int:
		if nullable {
			return resource.Attr(name, s.nullIntegers.next())
		}
		return resource.Attr(name, s.integers.next())
	case resource.Float:
		if nullable {
			return resource.Attr(name, s.nullNumbers.next())
		}
		return resource.Attr(name, s.numbers.next())
	case resource.Time:
		return nulls(resource.Attr(name, s.times.next()), nullable)
	case resource.Strings:
		return nulls(resource.Attr(name, s.lists.next()), nullable)
	case resource.JSON:
		return nulls(resource.Attr(name, s.documents.next()), nullable)
	}
	return nulls(resource.Attr(name, s.texts.next()), nullable)
}

func nulls(a resource.Attribute[Record], nullable bool) resource.Attribute[Record] {
	if nullable {
		return a.Nullable()
	}
	return a
}
