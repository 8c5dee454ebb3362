package storage

import (
	"context"
	"database/sql/driver"
	"math/bits"
	"strconv"
	"strings"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// relation is how the rows of a table are related to others: a table has their ids in one column and those of the
// others in another.
type relation struct {
	table     string // not quoted
	near, far string // its columns; one is id where the table is one of rows
	null      bool   // near may be null
	others    *layout
}

// relation finds a relation by its name, see [resource.Exists] and [resource.Relation]; nil if there is none.
func (l *layout) relation(name string) *relation {
	typ, reference, inverse := strings.Cut(name, ".")
	if !inverse {
		if k := l.link(name); k != nil {
			return &relation{table: k.table, near: "from_id", far: "to_id", others: l.target(k.target)}
		}
		if c := l.compared(name); c != nil && c.references != "" {
			return &relation{table: l.table, near: "id", far: c.name, others: l.target(c.references)}
		}
		return nil
	}
	other := l.target(typ)
	if other == nil {
		return nil
	}
	if k := other.link(reference); k != nil && k.target == l.resource {
		return &relation{table: k.table, near: "to_id", far: "from_id", others: other}
	}
	if c := other.compared(reference); c != nil && c.references == l.resource {
		return &relation{table: other.table, near: c.name, far: "id", null: c.null, others: other}
	}
	return nil
}

// tie is how a condition is asked that ties rows to one resource.
type tie int

const (
	tieLeads  tie = iota // the ids of the rows that are tied lead to them
	tieAsked             // each row is asked whether it is
	tieWalked            // nothing else is read
)

// tied is the relation of a condition that ties rows to one resource by a table of links; nil if it does not.
func (l *layout) tied(c resource.Exists) *relation {
	compare, _ := c.Condition.(resource.Compare)
	literal, _ := compare.Operand.(resource.Literal)
	if _, ok := literal.Value.(ulid.ULID); !ok || compare.Attribute != "id" || compare.Op != resource.Eq {
		return nil
	}
	r := l.relation(c.Relation)
	if r == nil || r.near == "id" || r.far == "id" {
		return nil
	}
	return r
}

// conjuncts is how many things a condition asks, all of which have to hold.
func conjuncts(c resource.Condition) (n int) {
	switch c := c.(type) {
	case nil:
		return 0
	case resource.All:
		for _, part := range c {
			n += conjuncts(part)
		}
		return n
	}
	return 1
}

// links appends the links of a tie as what a SELECT reads, and joins them with the rows. They stand for the ids of the
// rows then.
func (b *builder) links(c resource.Exists, join bool) {
	r := b.layout.tied(c)
	b.id = "r0." + quote(r.near)
	b.write(" FROM ", quote(r.table), " AS r0")
	if join {
		b.write(" CROSS JOIN ", quote(b.layout.table), " AS ", alias) // SQLite reads them in this order
	}
	b.write(" WHERE r0.", quote(r.far), " = ")
	b.bind(c.Condition.(resource.Compare).Operand.(resource.Literal).Value)
	if join {
		b.write(" AND ", alias, ".id = ", b.id)
	}
}

// countLinks appends how many rows the links lead to that are walked.
func (p *listing) countLinks(b *builder) {
	b.write("(SELECT count(*)")
	if p.alone {
		b.links(p.along.parts[0].(resource.Exists), false)
	} else {
		p.from(b, &interval{})
	}
	b.write(")")
}

// exists appends a set of ids rather than a correlated EXISTS, so that the few rows that are related lead to those
// that are asked for, unless it is known that many are.
func (b *builder) exists(c resource.Exists, not bool) {
	how := tieLeads
	if b.ties != nil && b.layout.tied(c) != nil {
		how = b.ties[c]
	}
	if how == tieWalked {
		b.constant(!not)
		return
	}
	r := b.layout.relation(c.Relation)
	if r == nil {
		b.fail("there is no relation %q", c.Relation)
		return
	}
	b.depth++
	alias := "r" + strconv.Itoa(b.depth)
	if how == tieAsked {
		if not {
			b.write("NOT ")
		}
		b.write("EXISTS (SELECT 1")
	} else {
		b.name("id")
		if not {
			b.write(" NOT")
		}
		b.write(" IN (SELECT ", alias, ".", quote(r.near))
	}
	b.write(" FROM ", quote(r.table), " AS ", alias)
	prefix, id := alias+".", ""
	switch {
	case r.far == "id":
	case aboutID(c.Condition):
		id = alias + "." + quote(r.far)
	default:
		others := "t" + strconv.Itoa(b.depth)
		prefix = others + "."
		b.write(" JOIN ", quote(r.others.table), " AS ", others, " ON ", others, ".id = ", alias, ".", quote(r.far))
	}
	b.write(" WHERE ")
	if how == tieAsked {
		b.write(alias, ".", quote(r.near), " = ")
		b.name("id")
		b.write(" AND ")
	} else if r.null {
		b.write(alias, ".", quote(r.near), " IS NOT NULL AND ") // null would be in and not in nothing
	}
	l, outerPrefix, outerID, ties := b.layout, b.prefix, b.id, b.ties
	b.layout, b.prefix, b.id, b.ties = r.others, prefix, id, nil
	b.condition(c.Condition)
	b.layout, b.prefix, b.id, b.ties = l, outerPrefix, outerID, ties
	b.WriteByte(')')
}

// aboutID reports whether a condition asks for nothing but the id of a row.
func aboutID(c resource.Condition) bool {
	is := true
	if c != nil {
		resource.Walk(c, func(c resource.Condition) bool {
			compare, isCompare := c.(resource.Compare)
			_, exists := c.(resource.Exists)
			is = is && !exists && (!isCompare || compare.Attribute == "id")
			return is
		})
	}
	return is
}

// among is the attribute of which a condition asks that it has one of several values, and those that are not null;
// false if it asks for anything else, or if indexes must find the values in the text.
func (b *builder) among(any resource.Any) (attribute string, values []any, ok bool) {
	if len(any) < 2 || b.literals {
		return "", nil, false
	}
	for i, part := range any {
		c, _ := part.(resource.Compare)
		literal, isLiteral := c.Operand.(resource.Literal)
		if !isLiteral || c.Op != resource.Eq || b.layout.constants[c] || i > 0 && c.Attribute != attribute {
			return "", nil, false
		}
		attribute = c.Attribute
		if literal.Value != nil {
			values = append(values, literal.Value)
		}
	}
	return attribute, values, true
}

// in appends that an attribute has one of several values.
func (b *builder) in(attribute string, values []any, not bool) {
	column := b.layout.compared(attribute)
	switch {
	case column == nil:
		b.fail("conditions cannot compare %q", attribute)
		return
	case len(values) == 0:
		b.constant(not)
		return
	}
	if not && column.null {
		b.WriteByte('(')
		defer b.write(") IS NOT TRUE")
	}
	b.searched(column.name, resource.Eq)
	if not && !column.null {
		b.write(" NOT")
	}
	b.write(" IN (")
	for i := range padded(len(values)) {
		if i > 0 {
			b.write(", ")
		}
		b.bind(values[min(i, len(values)-1)])
	}
	b.WriteByte(')')
}

// padded is how many values a list has in SQL, a power of two, so that lists of any length are few statements.
func padded(n int) int { return 1 << bits.Len(uint(n-1)) }

// of answers what is related to several resources, in one statement: for each of them, an index finds the ids of
// the first rows that are. Its order is by id; any other is refused.
func (t *Table[T]) of(ctx context.Context, q resource.Query, columns []selected, in *reader[T]) (resource.Page[T], error) {
	page := resource.Page[T]{Of: resource.Of{More: map[ulid.ULID]bool{}}}
	if len(q.Of.To) == 0 {
		return page, nil
	}
	b := &builder{layout: t.layout, now: q.Now}
	t.writeOf(b, q, columns)
	if b.err != nil {
		return page, b.err
	}
	var of ulid.ULID
	n := 0
	err := query(ctx, t.db.reader(ctx), b.String(), b.args, func(row []driver.Value) error {
		if err := resource.ScanID(row[0], &of); err != nil {
			return err
		}
		if last := len(page.Of.Rows) - 1; last < 0 || page.Of.Rows[last] != of {
			n = 0
		}
		if n++; n > q.Window.Size {
			page.Of.More[of] = true
			return nil
		}
		page.Of.Rows = append(page.Of.Rows, of)
		page.Rows = append(page.Rows, *t.schema.Row())
		return in.scan(&page.Rows[len(page.Rows)-1], row[1:])
	})
	return page, t.db.failed(err)
}

func (t *Table[T]) writeOf(b *builder, q resource.Query, columns []selected) {
	r := t.layout.relation(q.Of.Name)
	if r == nil || r.far == "id" {
		b.fail("there is no relation %q to several rows", q.Of.Name)
		return
	}
	if q.Order != nil {
		b.fail("what is related to several resources is listed by id")
		return
	}
	b.write("WITH given (id) AS (VALUES (CAST(")
	for i := range padded(len(q.Of.To)) {
		switch {
		case i == 0:
			b.bind(q.Of.To[0])
			b.write(" AS ", t.db.dialect.Type(resource.ID), "))")
		case i < len(q.Of.To):
			b.write(", (")
			b.bind(q.Of.To[i])
			b.write(")")
		default:
			b.write(", (")
			b.bindRaw(nil) // related to nothing
			b.write(")")
		}
	}
	b.write(") SELECT given.id, ")
	b.read(columns, alias+".")
	near := "r1." + quote(r.near)
	b.write(" FROM given CROSS JOIN ", quote(t.layout.table), " AS ", alias, " WHERE ", alias, ".id ", t.db.traits.Among[0],
		"SELECT ", near, " FROM ", quote(r.table), " AS r1")
	b.depth = 1
	switch {
	case r.near == "id":
		b.prefix = "r1."
	case q.Where != nil:
		b.prefix = "t1."
		b.write(" JOIN ", quote(t.layout.table), " AS t1 ON t1.id = ", near)
	}
	b.write(" WHERE r1.", quote(r.far), " = given.id AND ")
	b.condition(q.Where)
	b.write(" ORDER BY ", near, " LIMIT ")
	b.bindRaw(int64(q.Window.Size + 1))
	b.write(t.db.traits.Among[1], " ORDER BY given.id, ", alias, ".id")
}
