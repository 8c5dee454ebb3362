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
// database knows which it is, since it plans for values that it does not see, so it is asked before.

// narrow is how many rows are few: sorting so many costs about what it costs to walk until a page is full.
const narrow = 2048

// span is what a condition asks of one column that makes a range: all of it has to hold.
type span struct {
	column *column
	parts  resource.All
	sorted bool // an index has the rows in the order of the column
}

// spans finds the ranges in a condition.
func (l *layout) spans(c resource.Condition) []span {
	var spans []span
	var find func(c resource.Condition)
	find = func(c resource.Condition) {
		if all, ok := c.(resource.All); ok {
			for _, part := range all {
				find(part)
			}
			return
		}
		column, sorted := l.ranged(c)
		if column == nil {
			return
		}
		i := slices.IndexFunc(spans, func(s span) bool { return s.column.name == column.name })
		if i < 0 {
			spans = append(spans, span{column, resource.All{c}, sorted})
			return
		}
		spans[i].parts, spans[i].sorted = append(spans[i].parts, c), spans[i].sorted && sorted
	}
	find(c)
	return spans
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
	if column == nil || !slices.ContainsFunc(l.indexes, func(i index) bool { return i.where == "" && i.columns[0] == column.name }) {
		return nil
	}
	return column
}

// survey finds out whether one of the listing's ranges holds few rows.
func (p *listing) survey(ctx context.Context, l *layout) error {
	for _, s := range p.spans {
		b := &builder{layout: l, prefix: alias + ".", now: p.now}
		b.write("SELECT 1 FROM ", p.table, " AS ", alias, " WHERE ")
		b.condition(s.parts)
		if s.sorted {
			b.write(" ORDER BY ")
			b.name(s.column.name)
		}
		b.write(" LIMIT 1 OFFSET ", strconv.Itoa(narrow-1))
		if b.err != nil {
			return b.err
		}
		var one int
		err := l.db.reader(ctx).QueryRowxContext(ctx, b.String(), b.args...).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			p.narrow = true
			p.total = total{cheap: true, write: func(b *builder) { b.write("(SELECT count(*) FROM narrow)") }}
			return nil
		}
		if err != nil {
			return l.db.failed(err)
		}
	}
	return nil
}

// take appends the few rows of a narrow range as a table of their own, for the statement that follows.
func (p *listing) take(b *builder) {
	b.write("WITH narrow AS MATERIALIZED (SELECT ")
	p.names(b, alias)
	b.write(" FROM ", p.table, " AS ", alias, " WHERE ")
	p.where(b)
	b.write(") ")
}

// from appends where the rows come from, and the condition that they meet.
func (p *listing) from(b *builder) {
	if p.narrow {
		b.write(" FROM narrow AS ", alias, " WHERE TRUE")
		return
	}
	b.write(" FROM ", p.table, " AS ", alias, " WHERE ")
	for _, s := range p.spans {
		b.walked = append(b.walked, s.column.name)
	}
	p.where(b)
	b.walked = nil
	for _, s := range p.spans {
		if s.sorted && s.column.created {
			for _, part := range s.parts {
				b.born(s.column, part.(resource.Compare))
			}
		}
	}
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
