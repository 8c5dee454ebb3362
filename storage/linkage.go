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
		keys: byTarget, distinct: 1, columns: []selected{{name: "to_id"}}, table: k.table,
		where: where,
		total: total{write: func(b *builder) { b.count(k.table, where) }},
	}, &reader[ulid.ULID]{layout: k.layout, id: func(id *ulid.ULID) *ulid.ULID { return id }})
}

// Add links what is not linked yet, and answers how many links are new.
func (k *Linkage) Add(ctx context.Context, from ulid.ULID, to ...ulid.ULID) (added int, err error) {
	err = k.each(ctx, to, func(b *builder, to []ulid.ULID) {
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
	}, &added)
	return added, err
}

// Remove unlinks what is linked, and answers how many links are gone.
func (k *Linkage) Remove(ctx context.Context, from ulid.ULID, to ...ulid.ULID) (removed int, err error) {
	err = k.each(ctx, to, func(b *builder, to []ulid.ULID) {
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
	}, &removed)
	return removed, err
}

// each writes in statements of a bearable size, in one transaction, and adds up how many rows they changed.
func (k *Linkage) each(ctx context.Context, to []ulid.ULID, write func(b *builder, to []ulid.ULID), changed *int) error {
	return k.db.within(ctx, func(ctx context.Context, tx *transaction) error {
		tx.changed = true
		for some := range slices.Chunk(to, maxRows) {
			b := &builder{layout: k.layout}
			write(b, some)
			result, err := tx.ExecContext(ctx, b.String(), b.args...)
			if err != nil {
				return k.db.undo(tx, k.refused(err))
			}
			n, err := result.RowsAffected()
			if err != nil {
				return k.db.failed(err)
			}
			*changed += int(n)
		}
		return nil
	})
}

func (k *Linkage) refused(err error) error {
	if k.db.dialect.Fault(err).Kind != ForeignKeyFault {
		return k.db.failed(err)
	}
	told := resource.Errorf(resource.NotFound, "one of the resources does not exist")
	return because(told.At("relationships", k.link.member), err)
}

// Replace links exactly what is given, and answers how many links are new or gone. It holds the row that the
// links belong to, so that of two replacements one stands in the end, and not both.
func (k *Linkage) Replace(ctx context.Context, from ulid.ULID, to ...ulid.ULID) (changed int, err error) {
	err = k.db.within(ctx, func(ctx context.Context, tx *transaction) error {
		id := k.db.dialect.Value(from)
		hold := tx.Rebind("SELECT id FROM " + quote(k.layout.table) + " WHERE id = ?" + k.db.traits.ForUpdate)
		if _, err := tx.ExecContext(ctx, hold, id); err != nil {
			return k.db.undo(tx, k.db.failed(err))
		}
		var texts [][]byte
		if err := tx.SelectContext(ctx, &texts, tx.Rebind("SELECT to_id FROM "+k.table+" WHERE from_id = ?"), id); err != nil {
			return k.db.undo(tx, k.db.failed(err))
		}
		wanted := map[ulid.ULID]bool{}
		for _, id := range to {
			wanted[id] = true
		}
		var gone []ulid.ULID
		for _, text := range texts {
			var id ulid.ULID
			if err := resource.ScanID(text, &id); err != nil {
				return err
			}
			if !wanted[id] {
				gone = append(gone, id)
			}
		}
		removed, err := k.Remove(ctx, from, gone...)
		if err != nil {
			return err
		}
		added, err := k.Add(ctx, from, to...)
		changed = removed + added
		return err
	})
	return changed, err
}
