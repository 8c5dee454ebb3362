package storage

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// A range of values has an index that finds its rows, but not in the order of their ids. If it holds few of them,
// they are taken out of the table and sorted; if it holds many, walking along the ids soon meets some. Neither
// database knows which it is, since it plans for values that it does not see, so it is asked before. In a list that
// is sorted otherwise than by ids, so it is with whatever else an index finds: one value, a rare state, what is
// related.

// narrow is how many rows are few: sorting so many costs about what it costs to walk until a page is full.
const narrow = 2048

// span is what a condition asks that an index finds, but in another order than the list's: all of it has to hold.
type span struct {
	column *column // of which it is a range; nil if it is none
	parts  resource.All
	sorted bool   // an index has the rows in the order of the column
	state  bool   // a counter knows how many rows meet it ...
	cells  []int  // ... by these cells
	tie    bool   // it is a tie to one resource
	index  string // which finds the rows, if it has to be named; quoted
}

// spans finds the spans in a condition, given whether the list is sorted otherwise than by ids.
func (l *layout) spans(c resource.Condition, sorted bool) []span {
	var spans []span
	var find func(c resource.Condition)
	find = func(c resource.Condition) {
		if exists, ok := c.(resource.Exists); ok && l.tied(exists) != nil {
			spans = append(spans, span{parts: resource.All{c}, tie: true})
			return
		}
		if sorted {
			if s, ok := l.selective(c); ok {
				spans = append(spans, s)
				return
			}
		}
		if all, ok := c.(resource.All); ok {
			for _, part := range all {
				find(part)
			}
			return
		}
		column, ordered := l.ranged(c)
		if column == nil {
			return
		}
		i := slices.IndexFunc(spans, func(s span) bool { return s.column != nil && s.column.name == column.name })
		if i < 0 {
			spans = append(spans, span{column: column, parts: resource.All{c}, sorted: ordered})
			return
		}
		spans[i].parts, spans[i].sorted = append(spans[i].parts, c), spans[i].sorted && ordered
	}
	find(c)
	return spans
}

// selective is the span of a condition on what an index finds in the order of ids: a declared state that may be rare,
// one value, some ids, or what is related to something.
func (l *layout) selective(c resource.Condition) (s span, ok bool) {
	s.parts = resource.All{c}
	switch c := c.(type) {
	case nil:
		return s, false
	case resource.Exists:
		return s, true
	case resource.Any:
		byID := func(c resource.Condition) bool {
			compare, _ := c.(resource.Compare)
			return compare.Attribute == "id" && compare.Op == resource.Eq
		}
		if len(c) > 0 && !slices.ContainsFunc(c, func(part resource.Condition) bool { return !byID(part) }) {
			return s, true
		}
	case resource.Compare:
		literal, given := c.Operand.(resource.Literal)
		one := c.Op == resource.Null || c.Op == resource.Eq && given && literal.Value != nil
		if one && (c.Attribute == "id" || l.leading(c.Attribute) != nil) {
			s.cells, s.state = l.counted(c)
			return s, true
		}
	}
	if !fixed(c) {
		return s, false
	}
	b := l.literal("")
	if b.condition(c); b.err != nil {
		return s, false // it is no declared state
	}
	where := b.String()
	i := slices.IndexFunc(l.indexes, func(i index) bool { return i.where == where })
	if i < 0 {
		return s, false
	}
	s.index = quote(l.indexes[i].name)
	s.cells, s.state = l.counted(c)
	return s, s.state
}

// ranged is the column of which a condition asks for a range, or for one of several values; nil if it does not, or
// if no index knows.
func (l *layout) ranged(c resource.Condition) (column *column, sorted bool) {
	switch c := c.(type) {
	case resource.Compare:
		literal, isLiteral := c.Operand.(resource.Literal)
		given := isLiteral && literal.Value != nil && !l.constants[c] || c.Operand == resource.Now{}
		if !given || c.Op == resource.Eq || c.Op == resource.Contains || c.Attribute == "id" {
			return nil, false
		}
		return l.leading(c.Attribute), true
	case resource.Any:
		if len(c) < 2 {
			return nil, false
		}
		for i, part := range c {
			compare, ok := part.(resource.Compare)
			if _, literal := compare.Operand.(resource.Literal); !ok || !literal || compare.Op == resource.Contains {
				return nil, false
			}
			if i > 0 && compare.Attribute != c[0].(resource.Compare).Attribute {
				return nil, false
			}
		}
		return l.leading(c[0].(resource.Compare).Attribute), false
	}
	return nil, false
}

// leading is the column of a member, if an index of all rows begins with it; else nil.
func (l *layout) leading(member string) *column {
	column := l.compared(member)
	if column == nil || l.beginning(column.name) == nil {
		return nil
	}
	return column
}

// beginning is an index of all rows that begins with a column, nil if there is none.
func (l *layout) beginning(column string) *index {
	for i := range l.indexes {
		if index := &l.indexes[i]; index.where == "" && index.columns[0] == column {
			return index
		}
	}
	return nil
}

// survey finds out whether one of the listing's spans holds few rows. If none does, and the list is in the order of
// ids, the links of a tie are walked, since that is their order too.
func (p *listing) survey(ctx context.Context, l *layout) error {
	for i := range p.spans {
		few, err := p.few(ctx, l, &p.spans[i])
		if err != nil {
			return err
		}
		if few {
			p.narrow = &p.spans[i]
			p.total = total{cheap: true, write: func(b *builder) { b.write("(SELECT count(*) FROM narrow)") }}
			return nil
		}
	}
	if i := slices.IndexFunc(p.spans, func(s span) bool { return s.tie }); i >= 0 && len(p.keys) == 1 {
		p.along = &p.spans[i]
		p.total.write = p.countLinks
	}
	return nil
}

// few reports whether a span holds few rows.
func (p *listing) few(ctx context.Context, l *layout, s *span) (bool, error) {
	b := &builder{layout: l, prefix: alias + ".", now: p.now}
	b.write("SELECT ")
	switch {
	case s.state:
		b.sum(s.cells)
	case s.tie:
		b.write("1")
		b.links(s.parts[0].(resource.Exists), false)
		b.write(" LIMIT 1 OFFSET ", strconv.Itoa(narrow-1))
	default:
		b.write("1 FROM ", p.table, " AS ", alias, " WHERE ")
		b.condition(s.parts)
		if s.sorted {
			b.write(" ORDER BY ")
			b.name(s.column.name)
			if i := l.beginning(s.column.name); i.directions != nil {
				b.write(i.directions[0])
			}
		}
		b.write(" LIMIT 1 OFFSET ", strconv.Itoa(narrow-1))
	}
	if b.err != nil {
		return false, b.err
	}
	var n int64
	err := l.db.reader(ctx).QueryRowxContext(ctx, b.String(), b.args...).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	}
	return s.state && n < narrow, l.db.failed(err)
}

// ties are how the listing's ties are asked. None but a narrow one leads to the rows.
func (p *listing) ties() map[resource.Exists]tie {
	var ties map[resource.Exists]tie
	for i := range p.spans {
		s := &p.spans[i]
		if !s.tie || s == p.narrow {
			continue
		}
		if ties == nil {
			ties = map[resource.Exists]tie{}
		}
		ties[s.parts[0].(resource.Exists)] = tieAsked
		if s == p.along {
			ties[s.parts[0].(resource.Exists)] = tieWalked
		}
	}
	return ties
}

// take appends the few rows of a narrow span as a table of their own, for the statement that follows.
func (p *listing) take(b *builder) {
	b.write("WITH narrow AS MATERIALIZED (SELECT ")
	p.names(b)
	p.source(b, p.narrow.index)
	b.ties = p.ties()
	p.where(b)
	b.write(") ")
}

// source appends the table, whose rows are found by an index, if one has to be named.
func (p *listing) source(b *builder, index string) {
	b.write(" FROM ", p.table, " AS ", alias)
	if by := b.layout.db.traits.IndexedBy; by != "" && index != "" {
		b.write(by, index)
	}
	b.write(" WHERE ")
}

// from appends where the rows of an interval come from, and the condition that they meet.
func (p *listing) from(b *builder, i *interval) {
	if p.narrow != nil {
		b.write(" FROM narrow AS ", alias, " WHERE TRUE")
		return
	}
	if p.along != nil {
		b.links(p.along.parts[0].(resource.Exists), true)
		b.write(" AND ")
	} else {
		p.source(b, p.index)
	}
	b.ties = p.ties()
	if len(p.spans) > 0 {
		b.walked = func(column string, op resource.Op) bool { return p.walked(i, column, op) }
	}
	p.where(b)
	b.walked = nil
	if len(p.keys) > 1 {
		return
	}
	for _, s := range p.spans {
		if s.sorted && s.column.created {
			for _, part := range s.parts {
				b.born(s.column, part.(resource.Compare))
			}
		}
	}
}

// walked reports whether no index is to find the rows by comparing a column so, since the walk along the list does:
// it has an index of its own, and begins and ends at the bounds of the interval.
func (p *listing) walked(i *interval, column string, op resource.Op) bool {
	if len(p.keys) == 1 {
		return slices.ContainsFunc(p.spans, func(s span) bool { return s.column != nil && s.column.name == column })
	}
	if column != p.keys[0].column || i.depth > 0 {
		return false
	}
	switch op {
	case resource.Greater, resource.AtLeast:
		return i.low != nil
	case resource.Less, resource.AtMost:
		return i.high != nil
	}
	return false
}

// drift is how many milliseconds the id of a new row may be off from the time of its creation.
const drift = 1000

// astray is the condition on rows whose ids do not carry the time of their creation, since they come from elsewhere.
// It stands in an index.
func (l *layout) astray(created *column) string {
	return l.db.dialect.Astray(quote(created.name), drift)
}

// born appends where the walk along the ids begins or ends, given from when or until when rows were created: at
// that time, or further out at the one row astray that comes first or last.
func (b *builder) born(created *column, c resource.Compare) {
	literal, _ := c.Operand.(resource.Literal)
	at, ok := literal.Value.(time.Time)
	if !ok {
		return
	}
	milliseconds := at.UnixMilli() - drift
	var bound ulid.ULID
	inward, outward, order := " >= ", " < ", ""
	if c.Op == resource.Less || c.Op == resource.AtMost {
		milliseconds = at.UnixMilli() + drift
		inward, outward, order = " <= ", " > ", " DESC"
		for i := range bound {
			bound[i] = 0xFF
		}
	}
	if milliseconds < 0 || uint64(milliseconds) > ulid.MaxTime() || bound.SetTime(uint64(milliseconds)) != nil {
		return // no id is as old or as new
	}
	b.write(" AND ")
	b.name("id")
	b.write(inward, "coalesce((SELECT id FROM ", quote(b.layout.table), " WHERE ", b.layout.astray(created), " AND ",
		quote(created.name), signs[c.Op])
	b.bind(at)
	b.write(" AND id", outward)
	b.bind(bound)
	b.write(" ORDER BY id", order, " LIMIT 1), ")
	b.bind(bound)
	b.write(")")
}
