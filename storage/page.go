package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
)

// listing is one statement which answers a page, what stands beside it, and its total, all from one state of the
// database.
type listing struct {
	window pagination.Window
	count  pagination.Count

	keys     []key      // the columns that order the rows, the id being the last
	distinct int        // so many keys tell all rows apart
	index    string     // what has the rows in that order, if it has to be named; quoted
	columns  []selected // of the rows, the id first
	table    string     // quoted
	where    func(b *builder)
	total    total
	now      time.Time

	spans  []span // of the condition
	narrow *span  // the one of them that holds few rows, if any
	along  *span  // the one of them whose links are walked, if any
	alone  bool   // the condition asks one thing
	costly bool   // the condition has to look at whole texts, row by row
}

// form is what a statement of a listing reads beside the page.
type form struct {
	total, stamp bool
	always       bool // if the page is empty, one row without a key, which costs more than doing without
}

// alias is what the statements call their table.
const alias = "t0"

// beside are the columns that tell whether there are rows before the page, if it has a bound there, and whether
// there are rows after it, likewise. On the side to which the page is walked, its one row too many tells as well.
func (p *listing) beside() (prev, next bool) { return p.window.After != nil, p.window.Before != nil }

// write writes the statement: what is read beside the rows stands before their columns.
func (p *listing) write(b *builder, f form) {
	if p.narrow != nil {
		p.take(b)
	}
	b.write("SELECT ")
	if f.total {
		p.total.write(b)
	}
	if f.stamp {
		if f.total {
			b.write(", ")
		}
		b.stamp(*p.total.counter)
	}
	if p.count == pagination.CountOnly {
		return
	}
	if f.total || f.stamp {
		b.write(", ")
	}
	prev, next := p.beside()
	if prev {
		p.neighbour(b, p.window.After, true, true)
		b.write(", ")
	}
	if next {
		if p.crossed() {
			p.neighbour(b, p.window.After, false, false) // the page is empty, and stands at the first bound
		} else {
			p.neighbour(b, p.window.Before, false, true)
		}
		b.write(", ")
	}
	var array [8]interval
	intervals := p.intervals(array[:0])
	if len(intervals) == 1 && !f.always {
		b.read(p.columns, alias+".")
		p.part(b, &intervals[0])
		p.sorted(b, b.name)
		return
	}
	b.read(p.columns, "page.")
	b.write(" FROM ")
	if f.always {
		b.write("(SELECT 1) AS one LEFT JOIN ")
	}
	b.write("(")
	limited := b.layout.db.traits.LimitedParts
	for i := range intervals {
		if i > 0 {
			b.write(" UNION ALL ")
		}
		if limited {
			b.write("(")
		}
		b.write("SELECT ")
		p.names(b)
		p.part(b, &intervals[i])
		if limited {
			p.sorted(b, b.name)
			b.write(")")
		}
	}
	if f.always && !limited { // the union is no part of the statement around it
		name := func(column string) { b.write(quote(column)) }
		if len(intervals) == 1 {
			name = b.name
		}
		p.sorted(b, name)
	}
	b.write(") AS page")
	if f.always {
		b.write(" ON TRUE")
	}
	p.sorted(b, func(column string) { b.write("page.", quote(column)) })
}

// names appends the columns as they stand in the table, for a statement around this one to read.
func (p *listing) names(b *builder) {
	for i, column := range p.columns {
		if i > 0 {
			b.write(", ")
		}
		b.write(alias, ".", column.name)
	}
}

// selected is a column that is read, quoted, and what stands around it there.
type selected struct{ before, name, after string }

// selected is a column of a kind as it is read.
func (db *DB) selected(column string, kind resource.Kind) selected {
	around := db.traits.ReadAs[kind]
	return selected{around[0], quote(column), around[1]}
}

// read appends the columns that are read, given what stands before their names.
func (b *builder) read(columns []selected, prefix string) {
	for i, column := range columns {
		if i > 0 {
			b.write(", ")
		}
		b.write(column.before, prefix, column.name, column.after)
	}
}

// part appends where the rows of an interval come from.
func (p *listing) part(b *builder, i *interval) {
	p.from(b, i)
	p.within(b, i)
}

// sorted appends the order of a page, and its limit.
func (p *listing) sorted(b *builder, name func(column string)) {
	p.order(b, name, p.window.Backward)
	// The limit is no parameter, since PostgreSQL would plan for a tenth of the table.
	b.write(" LIMIT ", strconv.Itoa(p.window.Size+1))
}

// neighbour appends whether there are rows on one side of a place; inclusive of the row there, if that is asked
// for. It asks for the nearest ones, since the order leads the planner to the index of the keys.
func (p *listing) neighbour(b *builder, place *pagination.Cursor, backward, inclusive bool) {
	var array [8]interval
	intervals := p.beyond(array[:0], place, 0, backward, inclusive)
	if len(intervals) > 1 {
		b.write("(")
	}
	for n := range intervals {
		if n > 0 {
			b.write(" OR ")
		}
		b.write("(SELECT 1")
		p.part(b, &intervals[n])
		p.order(b, b.name, backward)
		b.write(" LIMIT 1) IS NOT NULL")
	}
	if len(intervals) > 1 {
		b.write(")")
	}
}

// read asks for a page, and for the stamp of the counter if the form says so.
func read[T any](ctx context.Context, l *layout, p *listing, in *reader[T], f form) (page resource.Page[T], stamp int64, err error) {
	// A deadline ends the work that a database does before it answers the first row. SQLite does the rest of it
	// between rows, unless it sorts the page once more.
	f.always = f.always || p.costly && p.count != pagination.CountOnly
	page, stamp, err = ask(ctx, l, p, in, f)
	prev, next := p.beside()
	empty := len(page.Rows) == 0 && p.count != pagination.CountOnly
	if err == nil && empty && !f.always && (f.total || f.stamp || prev || next) {
		f.always = true
		return ask(ctx, l, p, in, f)
	}
	if err != nil && p.costly && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = because(resource.Errorf(resource.Unavailable, "looking for a part of a text took too long; add another filter"), err)
	}
	return page, stamp, err
}

func ask[T any](ctx context.Context, l *layout, p *listing, in *reader[T], f form) (page resource.Page[T], stamp int64, err error) {
	b := &builder{layout: l, prefix: alias + ".", now: p.now}
	b.Grow(1024) // most statements are shorter
	p.write(b, f)
	if b.err != nil {
		return page, 0, b.err
	}
	var total, number sql.NullInt64
	var before, after sql.NullBool
	var head []sql.Scanner // the same in every row
	if f.total {
		head = append(head, &total)
	}
	if f.stamp {
		head = append(head, &number)
	}
	if prev, next := p.beside(); p.count != pagination.CountOnly {
		if prev {
			head = append(head, &before)
		}
		if next {
			head = append(head, &after)
		}
	}
	rows := in.rows(min(p.window.Size, pagination.DefaultSize*10) + 1)[:0]
	err = query(ctx, l.db.reader(ctx), b.String(), b.args, func(row []driver.Value) error {
		if len(rows) == 0 {
			for i, to := range head {
				if err := to.Scan(row[i]); err != nil {
					return err
				}
			}
		}
		if row = row[len(head):]; len(row) == 0 || row[0] == nil {
			return nil // it has the head alone
		}
		if len(rows) == cap(rows) {
			more := in.rows(p.window.Size + 1)
			rows = more[:copy(more, rows)]
		}
		rows = rows[:len(rows)+1]
		return in.scan(&rows[len(rows)-1], row)
	})
	if err != nil {
		return page, 0, l.db.failed(err)
	}
	page.Total, page.Prev, page.Next = total.Int64, before.Bool, after.Bool
	more := len(rows) > p.window.Size
	if more {
		rows = rows[:p.window.Size]
	}
	if p.window.Backward {
		slices.Reverse(rows)
		page.Prev = page.Prev || more
	} else {
		page.Next = page.Next || more
	}
	page.Rows = rows
	return page, number.Int64, nil
}

// reader reads rows into the members of T.
type reader[T any] struct {
	layout  *layout
	rows    func(n int) []T // makes new ones
	id      func(*T) *ulid.ULID
	members []member[T] // of the columns after the id, and others that are only written
}

// scan sets the members of a row from its columns.
func (r *reader[T]) scan(row *T, columns []driver.Value) error {
	id := r.id(row)
	if err := resource.ScanID(columns[0], id); err != nil {
		return err
	}
	n := 0
	for i := range r.members {
		m := &r.members[i]
		if m.scan == nil {
			continue
		}
		n++
		src := columns[n]
		if m.column.kind == Sealed && src != nil {
			sealed, ok := src.([]byte)
			if !ok || len(sealed) == 0 { // empty in rows that are older than the column
				continue
			}
			text, err := r.layout.db.keys.open(sealed, r.layout.table, m.column.name, *id)
			if err != nil {
				return err
			}
			src = text
		}
		if err := m.scan(row, src); err != nil {
			return err
		}
	}
	return nil
}
