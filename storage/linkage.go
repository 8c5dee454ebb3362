package storage

import (
	"context"
	"slices"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Linkage keeps the links of a to-many reference. It is a [resource.Linkage].
type Linkage struct {
	db     *DB
	layout *layout
	link   *link
	table  string // quoted
}

var _ resource.Linkage = (*Linkage)(nil)

func newLinkage(db *DB, l *layout, k *link) *Linkage { return &Linkage{db, l, k, quote(k.table)} }

var byTarget = []key{{column: "to_id"}}

// List answers a page of the linked ids, ascending.
func (k *Linkage) List(ctx context.Context, from ulid.ULID, q resource.Query) (resource.Page[ulid.ULID], error) {
	where := func(b *builder) {
		b.name("from_id")
		b.write(" = ")
		b.bind(from)
	}
	ctx, cancel := k.db.bounded(ctx)
	defer cancel()
	return fetch(ctx, k.layout, &listing{
		window: q.Window, count: q.Count,
		keys: byTarget, distinct: 1, columns: []selected{k.db.selected("to_id", resource.ID)}, table: k.table,
		where: where,
		total: total{write: func(b *builder) { b.count(k.table, where) }},
	}, &reader[ulid.ULID]{layout: k.layout, rows: func(n int) []ulid.ULID { return make([]ulid.ULID, n) }, id: func(id *ulid.ULID) *ulid.ULID { return id }})
}

// Add links what is not linked yet, and answers what is new.
func (k *Linkage) Add(ctx context.Context, from ulid.ULID, to ...ulid.ULID) (added []ulid.ULID, err error) {
	return k.each(ctx, to, func(b *builder, to []ulid.ULID) {
		b.write("INSERT INTO ", k.table, " (from_id, to_id) VALUES ")
		for i, id := range to {
			if i > 0 {
				b.write(", ")
			}
			b.write("(")
			b.bind(from)
			b.write(", ")
			b.bind(id)
			b.write(")")
		}
		b.write(" ON CONFLICT DO NOTHING")
	})
}

// Remove unlinks what is linked, and answers what is gone.
func (k *Linkage) Remove(ctx context.Context, from ulid.ULID, to ...ulid.ULID) (removed []ulid.ULID, err error) {
	return k.each(ctx, to, func(b *builder, to []ulid.ULID) {
		b.write("DELETE FROM ", k.table, " WHERE from_id = ")
		b.bind(from)
		b.write(" AND to_id IN (")
		for i, id := range to {
			if i > 0 {
				b.write(", ")
			}
			b.bind(id)
		}
		b.write(")")
	})
}

// each writes in statements of a bearable size, in one transaction, and answers the links that they changed.
func (k *Linkage) each(ctx context.Context, to []ulid.ULID, write func(b *builder, to []ulid.ULID)) (changed []ulid.ULID, err error) {
	err = k.db.within(ctx, func(ctx context.Context, tx *transaction) error {
		tx.changed = true
		for some := range slices.Chunk(to, maxRows) {
			b := &builder{layout: k.layout}
			write(b, some)
			b.write(" RETURNING to_id")
			ids, err := targets(ctx, tx, b.String(), b.args...)
			if err != nil {
				return k.db.undo(tx, k.refused(err))
			}
			changed = append(changed, ids...)
		}
		return nil
	})
	return changed, err
}

// targets are the ids that a statement answers.
func targets(ctx context.Context, tx *transaction, text string, args ...any) ([]ulid.ULID, error) {
	var found [][]byte
	if err := tx.SelectContext(ctx, &found, text, args...); err != nil {
		return nil, err
	}
	ids := make([]ulid.ULID, len(found))
	for i, id := range found {
		if err := resource.ScanID(id, &ids[i]); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func (k *Linkage) refused(err error) error {
	if k.db.dialect.Fault(err).Kind != ForeignKeyFault {
		return k.db.failed(err)
	}
	told := resource.Errorf(resource.NotFound, "one of the resources does not exist")
	return because(told.At("relationships", k.link.member), err)
}

// Replace links exactly what is given, and answers what is new and what is gone. It holds the row that the
// links belong to, so that of two replacements one stands in the end, and not both.
func (k *Linkage) Replace(ctx context.Context, from ulid.ULID, to ...ulid.ULID) (added, removed []ulid.ULID, err error) {
	err = k.db.within(ctx, func(ctx context.Context, tx *transaction) error {
		id := k.db.dialect.Value(from)
		hold := tx.Rebind("SELECT id FROM " + quote(k.layout.table) + " WHERE id = ?" + k.db.traits.ForUpdate)
		if _, err := tx.ExecContext(ctx, hold, id); err != nil {
			return k.db.undo(tx, k.db.failed(err))
		}
		present, err := targets(ctx, tx, tx.Rebind("SELECT to_id FROM "+k.table+" WHERE from_id = ?"), id)
		if err != nil {
			return k.db.undo(tx, k.db.failed(err))
		}
		wanted := map[ulid.ULID]bool{}
		for _, id := range to {
			wanted[id] = true
		}
		gone := slices.DeleteFunc(present, func(id ulid.ULID) bool { return wanted[id] })
		if removed, err = k.Remove(ctx, from, gone...); err != nil {
			return err
		}
		added, err = k.Add(ctx, from, to...)
		return err
	})
	return added, removed, err
}
