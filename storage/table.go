package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Table keeps the rows of one schema. It is a [resource.Store].
type Table[T any] struct {
	db      *DB
	schema  resource.Schema[T]
	layout  *layout
	members []member[T] // of the layout's columns
	columns []selected  // the id and the columns that are read

	get, hold, insert, remove string // SQL
}

// member binds a column to a member of T.
type member[T any] struct {
	column *column
	value  func(row *T) any            // the plain value, lists and JSON as text; it does not change with the row
	scan   func(row *T, src any) error // nil for a column that is only written
}

// NewTable declares a table for a schema; [DB.Migrate] makes it. A table that is declared again, by the same
// type, takes the place of the former.
func NewTable[T any](db *DB, s resource.Schema[T]) (*Table[T], error) {
	t, err := NewDraft(db, s)
	if err != nil {
		return nil, err
	}
	return t, db.declare(t.layout)
}

// NewDraft makes a table for a schema without declaring it: [DB.Adopt] does so once it can.
func NewDraft[T any](db *DB, s resource.Schema[T]) (*Table[T], error) {
	if err := s.Verify(); err != nil {
		return nil, err
	}
	l, err := shape(db, &s)
	if err != nil {
		return nil, err
	}
	t := &Table[T]{db: db, schema: s, layout: l, columns: []selected{db.selected("id", resource.ID)}}
	for i := range l.columns {
		m := t.bind(&l.columns[i])
		t.members = append(t.members, m)
		if m.scan != nil {
			t.columns = append(t.columns, db.selected(m.column.name, m.column.kind))
		}
	}
	b := &builder{layout: l}
	b.write("SELECT ")
	b.read(t.columns, "")
	b.write(" FROM ", quote(l.table), " WHERE id = ")
	b.bindRaw(nil)
	t.get = b.String()
	t.hold = t.get + db.traits.ForUpdate

	b = &builder{layout: l}
	b.write("DELETE FROM ", quote(l.table), " WHERE id = ")
	b.bindRaw(nil)
	t.remove = b.String()

	names := []string{"id"}
	for _, c := range l.columns {
		names = append(names, quote(c.name))
	}
	t.insert = "INSERT INTO " + quote(l.table) + " (" + strings.Join(names, ", ") + ") VALUES "
	return t, nil
}

// bind finds the member of a column.
func (t *Table[T]) bind(c *column) member[T] {
	if c.relation {
		r := t.schema.Reference(c.member)
		switch {
		case c.typed:
			return member[T]{c, func(row *T) any {
				if target := r.Target(row); target != (resource.Identifier{}) {
					return target.Type
				}
				return nil
			}, func(row *T, src any) error {
				var typ sql.NullString
				err := typ.Scan(src)
				r.SetTarget(row, resource.Identifier{Type: typ.String})
				return err
			}}
		default:
			return member[T]{c, r.Value, func(row *T, src any) error {
				if src == nil {
					return nil // the row is new
				}
				target := r.Target(row) // of a ToAny, its type was scanned before
				if r.Type != "" {
					target.Type = r.Type
				}
				err := resource.ScanID(src, &target.ID)
				r.SetTarget(row, target)
				return err
			}}
		}
	}
	a := t.schema.Attribute(c.member)
	if c.folded {
		return member[T]{c, func(row *T) any {
			text, ok := a.Value(row).(string)
			if !ok {
				return nil
			}
			return resource.Fold(text)
		}, nil}
	}
	return member[T]{c, func(row *T) any { return plainText(a.Value(row)) }, a.Scan}
}

// Linkage is the linkage of a to-many reference of the schema; nil if it has none of that name.
func (t *Table[T]) Linkage(name string) *Linkage {
	link := t.layout.link(name)
	if link == nil {
		return nil
	}
	return newLinkage(t.db, t.layout, link)
}

// List answers a page, from one state of the database.
func (t *Table[T]) List(ctx context.Context, q resource.Query) (page resource.Page[T], err error) {
	ctx, cancel := t.db.bounded(ctx)
	defer cancel()
	p := t.listing(q)
	in := t.reader()
	if q.Fields != nil {
		in.members, p.columns = t.some(q.Fields, p.keys)
	}
	if q.Of != nil {
		err = t.db.opening(ctx, func() error { page, err = t.of(ctx, q, p.columns, in); return err })
		return page, err
	}
	err = t.db.opening(ctx, func() error { page, err = fetch(ctx, t.layout, p, in); return err })
	if err == nil && q.Hold {
		err = t.holdAll(ctx, q, &page)
	}
	return page, err
}

// holdAll holds the rows of a page, in the order of their ids, and leaves out those that do not meet the condition any
// more. Where there is one writer, a transaction holds everything anyway.
func (t *Table[T]) holdAll(ctx context.Context, q resource.Query, page *resource.Page[T]) error {
	if t.db.traits.ForUpdate == "" || len(page.Rows) == 0 {
		return nil
	}
	var any resource.Any
	for i := range page.Rows {
		any = append(any, resource.Equal("id", *t.schema.ID(&page.Rows[i])))
	}
	b := &builder{layout: t.layout, prefix: alias + ".", now: q.Now}
	b.write("SELECT ")
	b.read([]selected{t.db.selected("id", resource.ID)}, b.prefix)
	b.write(" FROM ", quote(t.layout.table), " AS ", alias, " WHERE ")
	b.condition(resource.All{any, q.Where})
	b.write(" ORDER BY ", alias, ".id", t.db.traits.ForUpdate)
	if b.err != nil {
		return b.err
	}
	held := map[ulid.ULID]bool{}
	err := query(ctx, t.db.reader(ctx), b.String(), b.args, func(row []driver.Value) error {
		var id ulid.ULID
		err := resource.ScanID(row[0], &id)
		held[id] = true
		return err
	})
	page.Rows = slices.DeleteFunc(page.Rows, func(row T) bool { return !held[*t.schema.ID(&row)] })
	return t.db.failed(err)
}

func (t *Table[T]) listing(q resource.Query) *listing {
	l := t.layout
	p := &listing{
		window: q.Window, count: q.Count, now: q.Now,
		keys: l.keys(q.Order), columns: t.columns, table: quote(l.table),
		where: func(b *builder) { b.condition(q.Where) },
		total: l.total(q), costly: resource.Costly(q.Where), alone: conjuncts(q.Where) == 1,
	}
	p.distinct = len(p.keys)
	if len(p.keys) > 1 {
		if index := l.serving(p.keys); index != nil { // it is declared
			p.index = quote(index.name)
			if index.orders(p.keys[0]) {
				p.distinct = 1
			}
		}
	}
	p.spans = l.spans(q.Where, len(p.keys) > 1)
	return p
}

// some are the members of some fields, and of the keys of an order, and their columns.
func (t *Table[T]) some(fields []string, keys []key) (members []member[T], columns []selected) {
	columns = append(columns, t.columns[0])
	for _, m := range t.members {
		name := m.column.member
		if m.scan != nil && (slices.Contains(fields, name) || slices.ContainsFunc(keys, func(k key) bool { return k.column == name })) {
			members, columns = append(members, m), append(columns, t.db.selected(m.column.name, m.column.kind))
		}
	}
	return members, columns
}

func (t *Table[T]) reader() *reader[T] {
	return &reader[T]{layout: t.layout, rows: t.schema.Rows, id: t.schema.ID, members: t.members}
}

// Get reads one row, or returns NotFound.
func (t *Table[T]) Get(ctx context.Context, id ulid.ULID) (*T, error) {
	ctx, cancel := t.db.bounded(ctx)
	defer cancel()
	return t.one(ctx, t.db.reader(ctx), t.get, id)
}

func (t *Table[T]) one(ctx context.Context, q querier, text string, id ulid.ULID) (*T, error) {
	in := t.reader()
	var found *T
	err := t.db.opening(ctx, func() error {
		return query(ctx, q, text, []any{t.db.dialect.Value(id)}, func(row []driver.Value) error {
			found = t.schema.Row()
			return in.scan(found, row)
		})
	})
	if err != nil {
		return nil, t.db.failed(err)
	}
	if found == nil {
		return nil, t.notFound(id)
	}
	return found, nil
}

func (t *Table[T]) notFound(id ulid.ULID) error {
	return resource.Errorf(resource.NotFound, "there is no %s %s", t.schema.Name, id)
}

// maxRows is how many rows one statement writes: more bring no gain.
const maxRows = 128

// Create writes new rows, all or none.
func (t *Table[T]) Create(ctx context.Context, rows ...*T) error {
	if len(rows) == 0 {
		return nil
	}
	width := 1 + len(t.members)
	return t.db.within(ctx, func(ctx context.Context, tx *transaction) error {
		for some := range slices.Chunk(rows, min(maxRows, t.db.traits.MaxParameters/width)) {
			b := &builder{layout: t.layout, args: make([]any, 0, len(some)*width)}
			b.write(t.insert)
			for i, row := range some {
				if i > 0 {
					b.write(", ")
				}
				b.write("(")
				if err := t.bindRow(ctx, tx, b, row); err != nil {
					return err
				}
				b.write(")")
			}
			if _, err := tx.ExecContext(ctx, b.String(), b.args...); err != nil {
				return t.db.undo(tx, t.layout.refused(err, false))
			}
		}
		return nil
	})
}

func (t *Table[T]) bindRow(ctx context.Context, tx *transaction, b *builder, row *T) error {
	id := *t.schema.ID(row)
	b.bind(id)
	for i := range t.members {
		m := &t.members[i]
		v, err := t.stored(ctx, tx, m, id, m.value(row))
		if err != nil {
			return err
		}
		b.write(", ")
		b.bindRaw(v)
		if m.column.kind == resource.Time { // the row is to be as it is stored, cut to microseconds
			if err := m.scan(row, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// stored is a plain value as the driver takes it.
func (t *Table[T]) stored(ctx context.Context, tx *transaction, m *member[T], id ulid.ULID, plain any) (any, error) {
	switch {
	case plain == nil && !m.column.null:
		return nil, resource.Errorf(resource.Required, "%s is missing", m.column.member).At(m.column.object(), m.column.member)
	case plain == nil:
		return nil, nil
	case m.column.kind == Sealed:
		k, err := t.db.sealing(ctx, tx)
		if err != nil {
			return nil, err
		}
		return k.seal([]byte(plain.(string)), t.layout.table, m.column.name, id)
	}
	return t.db.dialect.Value(plain), nil
}

// Update holds the row, has change alter it, and writes the columns that differ.
func (t *Table[T]) Update(ctx context.Context, id ulid.ULID, change func(*T) error) (*T, error) {
	var row *T
	err := t.db.within(ctx, func(ctx context.Context, tx *transaction) error {
		var err error
		if row, err = t.one(ctx, tx, t.hold, id); err != nil {
			return err
		}
		before := make([]any, len(t.members))
		for i := range t.members {
			before[i] = t.members[i].value(row)
		}
		if err := change(row); err != nil {
			return err
		}
		b := &builder{layout: t.layout}
		loud, err := t.assignments(ctx, tx, b, id, row, before)
		if err != nil || b.Len() == 0 {
			return err
		}
		text := "UPDATE " + quote(t.layout.table) + " SET " + b.String()
		b.Reset()
		tx.changed = tx.changed || loud
		b.write(" WHERE id = ")
		b.bind(id)
		if _, err := tx.ExecContext(ctx, text+b.String(), b.args...); err != nil {
			return t.db.undo(tx, t.layout.refused(err, false))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return row, nil
}

// Assign gives members of all rows that meet a condition the values that they have in a row, in one statement, and
// answers how many rows those were. It leaves no event: it is for what nobody needs to be told. The members are no
// secrets.
func (t *Table[T]) Assign(ctx context.Context, where resource.Condition, as *T, members ...string) (changed int, err error) {
	err = t.db.within(ctx, func(ctx context.Context, tx *transaction) error {
		b := &builder{layout: t.layout}
		b.write("UPDATE ", quote(t.layout.table), " SET ")
		loud := false
		for i := range t.members {
			m := &t.members[i]
			if !slices.Contains(members, m.column.member) {
				continue
			}
			if len(b.args) > 0 {
				b.write(", ")
			}
			v, err := t.stored(ctx, tx, m, ulid.ULID{}, m.value(as))
			if err != nil {
				return err
			}
			b.write(quote(m.column.name), " = ")
			b.bindRaw(v)
			loud = loud || !m.column.quiet
		}
		b.write(" WHERE ")
		b.condition(where)
		if b.err != nil {
			return b.err
		}
		result, err := tx.ExecContext(ctx, b.String(), b.args...)
		if err != nil {
			return t.db.undo(tx, t.layout.refused(err, false))
		}
		n, err := result.RowsAffected()
		changed, tx.changed = int(n), tx.changed || loud && n > 0
		return t.db.undo(tx, t.db.failed(err))
	})
	return changed, err
}

// assignments appends the columns that differ from what they were, and reports whether one of them is no mere
// activity.
func (t *Table[T]) assignments(
	ctx context.Context, tx *transaction, b *builder, id ulid.ULID, row *T, before []any,
) (loud bool, err error) {
	for i := range t.members {
		m := &t.members[i]
		value := m.value(row)
		if value == before[i] {
			continue
		}
		v, err := t.stored(ctx, tx, m, id, value)
		if err != nil {
			return false, err
		}
		if b.Len() > 0 {
			b.write(", ")
		}
		b.write(quote(m.column.name), " = ")
		b.bindRaw(v)
		loud = loud || !m.column.quiet
		if m.column.kind == resource.Time {
			if err := m.scan(row, v); err != nil {
				return false, err
			}
		}
	}
	return loud, nil
}

// Delete removes a row and what the rules of deletion say.
func (t *Table[T]) Delete(ctx context.Context, id ulid.ULID) error {
	return t.db.within(ctx, func(ctx context.Context, tx *transaction) error {
		tx.changed = true
		result, err := tx.ExecContext(ctx, t.remove, t.db.dialect.Value(id))
		if err != nil {
			return t.db.undo(tx, t.layout.refused(err, true))
		}
		n, err := result.RowsAffected()
		if err != nil {
			return t.db.failed(err)
		}
		if n == 0 {
			return t.notFound(id)
		}
		return nil
	})
}

var _ resource.Store[struct{}] = (*Table[struct{}])(nil)
