package storage

import (
	"slices"

	"reeve/pagination"
	"reeve/resource"
)

// A page of a list that is sorted by several keys begins where some rows have the first key of a place in common
// with it, and fewer of them the second. Asked for in one condition, that is an OR which no database finds by an
// index. So it is asked for in intervals, each of which is a range of the list's index. The database merges them, and
// stops when the page is full.

// key is one of the columns by which a list is sorted, the id being the last. Null comes before everything.
type key struct {
	column     string
	null       bool // it may be
	descending bool
}

var byID = []key{{column: "id"}}

// keys are the columns of an order.
func (l *layout) keys(o resource.Order) []key {
	if o == nil {
		return byID
	}
	keys := make([]key, len(o))
	for i, k := range o {
		column := l.compared(k.Attribute)
		keys[i] = key{k.Attribute, column != nil && column.null, k.Descending}
	}
	return keys
}

// direction is what follows the column in ORDER BY and in an index.
func (k key) direction(traits *Traits) string {
	switch nulls := k.null && traits.NullsLast; {
	case k.descending && nulls:
		return " DESC NULLS LAST"
	case k.descending:
		return " DESC"
	case nulls:
		return " NULLS FIRST"
	}
	return ""
}

// sorting is the index of an order, which is that of its reverse too. Its first key ascends.
func (l *layout) sorting(keys []key) index {
	var i index
	plain := true
	for _, k := range keys {
		k.descending = k.descending != keys[0].descending
		direction := k.direction(&l.db.traits)
		i.columns, i.directions = append(i.columns, k.column), append(i.directions, direction)
		plain = plain && direction == ""
	}
	if plain {
		i.directions = nil
	}
	return i
}

// serving is the index that has the rows in an order, nil if there is none: the order's own, or a unique one of
// its first key, which then leaves nothing to the others.
func (l *layout) serving(keys []key) *index {
	own := l.sorting(keys)
	for i := range l.indexes {
		if other := &l.indexes[i]; other.orders(keys[0]) || other.where == "" &&
			slices.Equal(other.columns, own.columns) && slices.Equal(other.directions, own.directions) {
			return other
		}
	}
	return nil
}

// orders reports whether no two rows of the index have the same key.
func (i *index) orders(k key) bool {
	return i.unique && len(i.columns) == 1 && i.columns[0] == k.column && !k.null
}

// interval is a part of a list: the rows which have the first keys of a place, so many of them as depth, and the
// next key between those of two others.
type interval struct {
	place     *pagination.Cursor
	depth     int
	low, high *pagination.Cursor // nil where it is open
	inclusive bool               // the bounds themselves belong to it
	nulls     bool               // the next key is null instead
	empty     bool               // there are no such rows
}

// at is the value of a key at a place.
func at(c *pagination.Cursor, depth int) any {
	if depth < len(c.Values) {
		return c.Values[depth]
	}
	return c.ID
}

// meet finds the first key by which two places differ, and whether the first place stands before the second.
func (p *listing) meet(a, b *pagination.Cursor) (depth int, before bool) {
	for depth, k := range p.keys {
		if order := resource.ComparePlain(at(a, depth), at(b, depth)); order != 0 {
			return depth, order < 0 != k.descending
		}
	}
	return len(p.keys), false
}

// crossed reports whether nothing can stand between the bounds of the window.
func (p *listing) crossed() bool {
	if p.window.After == nil || p.window.Before == nil {
		return false
	}
	_, before := p.meet(p.window.After, p.window.Before)
	return !before
}

// intervals appends those of the page, in the order in which it is read.
func (p *listing) intervals(dst []interval) []interval {
	from, to := p.window.After, p.window.Before
	if p.crossed() {
		return append(dst, interval{empty: true})
	}
	if p.window.Backward {
		from, to = to, from
	}
	switch {
	case from == nil && to == nil:
		return append(dst, interval{})
	case to == nil:
		return p.beyond(dst, from, 0, p.window.Backward, false)
	case from == nil:
		return p.until(dst, to, 0)
	}
	depth, _ := p.meet(from, to)
	dst = p.beyond(dst, from, depth+1, p.window.Backward, false)
	dst = p.cut(dst, interval{place: from, depth: depth}, from, to, p.window.Backward)
	return p.until(dst, to, depth+1)
}

// beyond appends the intervals of the rows that follow a place, and share so many keys with it at least; inclusive
// of the row there, if that is asked for. The nearest comes first.
func (p *listing) beyond(dst []interval, from *pagination.Cursor, shared int, backward, inclusive bool) []interval {
	for depth := len(p.keys) - 1; depth >= shared; depth-- {
		i := interval{place: from, depth: depth, inclusive: inclusive && depth == len(p.keys)-1}
		dst = p.cut(dst, i, from, nil, backward)
	}
	return dst
}

// until appends the intervals of the rows that precede a place, and share so many keys with it at least. The
// nearest comes last.
func (p *listing) until(dst []interval, to *pagination.Cursor, shared int) []interval {
	for depth := shared; depth < len(p.keys); depth++ {
		dst = p.cut(dst, interval{place: to, depth: depth}, nil, to, p.window.Backward)
	}
	return dst
}

// cut appends an interval between two places, or two of them where it holds both nulls and values.
func (p *listing) cut(dst []interval, i interval, from, to *pagination.Cursor, backward bool) []interval {
	k := p.keys[i.depth]
	descending := k.descending != backward
	i.low, i.high = from, to
	if descending {
		i.low, i.high = to, from
	}
	if !k.null || i.high == nil {
		return append(dst, i)
	}
	if at(i.high, i.depth) == nil {
		return dst // nothing is below null
	}
	if i.low != nil {
		return append(dst, i)
	}
	nulls := i
	nulls.high, nulls.nulls = nil, true
	if descending {
		return append(dst, i, nulls)
	}
	return append(dst, nulls, i)
}

// within appends the condition on the rows of an interval.
func (p *listing) within(b *builder, i *interval) {
	if i.empty {
		b.write(" AND FALSE")
	}
	for depth := range i.depth {
		b.write(" AND ")
		b.name(p.keys[depth].column)
		if value := at(i.place, depth); value == nil {
			b.write(" IS NULL")
		} else {
			b.write(" = ")
			b.bind(value)
		}
	}
	column := p.keys[i.depth].column
	if i.nulls {
		b.write(" AND ")
		b.name(column)
		b.write(" IS NULL")
	}
	bound := func(sign string, place *pagination.Cursor) {
		b.write(" AND ")
		b.name(column)
		value := at(place, i.depth)
		if value == nil {
			b.write(" IS NOT NULL")
			return
		}
		b.write(sign)
		if i.inclusive {
			b.write("=")
		}
		b.write(" ")
		b.bind(value)
	}
	if i.low != nil {
		bound(" >", i.low)
	}
	if i.high != nil {
		bound(" <", i.high)
	}
}

// order appends ORDER BY the keys, as name appends a column: all of them, even if the rows have some in common, since
// PostgreSQL does not know that nulls are the same.
func (p *listing) order(b *builder, name func(column string), backward bool) {
	for n, k := range p.keys[:p.distinct] {
		k.descending = k.descending != backward
		if n == 0 {
			b.write(" ORDER BY ")
		} else {
			b.write(", ")
		}
		name(k.column)
		b.write(k.direction(&b.layout.db.traits))
	}
}
