package storage

import (
	"context"
	"strconv"
	"time"

	"reeve/resource"
)

// Prune removes rows that meet a condition, at most so many, and what the rules of deletion say. It answers how many they
// were. It leaves no events: it is for what nobody asks for any more.
func (t *Table[T]) Prune(ctx context.Context, where resource.Condition, now time.Time, most int) (removed int, err error) {
	b := &builder{layout: t.layout, now: now}
	b.write("DELETE FROM ", quote(t.layout.table), " WHERE id IN (SELECT id FROM ", quote(t.layout.table), " WHERE ")
	b.condition(where)
	b.write(" LIMIT ", strconv.Itoa(most), t.db.traits.ForUpdate, ")")
	if b.err != nil {
		return 0, b.err
	}
	err = t.db.within(ctx, func(ctx context.Context, tx *transaction) error {
		result, err := tx.ExecContext(ctx, b.String(), b.args...)
		if err != nil {
			return t.db.undo(tx, t.layout.refused(err, true))
		}
		n, err := result.RowsAffected()
		removed, tx.changed = int(n), tx.changed || n > 0
		return t.db.undo(tx, t.db.failed(err))
	})
	return removed, err
}
