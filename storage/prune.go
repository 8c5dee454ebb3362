package storage

import (
	"context"
	"strconv"
	"time"

	"reeve/resource"
)

// pruneBatch is how many rows a transaction prunes, so that it keeps nobody waiting for long.
const pruneBatch = 500

// Prune removes the rows that meet a condition, and what the rules of deletion say, in as many transactions as it
// takes. It answers how many they were, also if it fails on the way. It leaves no events: it is for what nobody asks
// for any more.
func (t *Table[T]) Prune(ctx context.Context, where resource.Condition, now time.Time) (removed int, err error) {
	b := &builder{layout: t.layout, now: now}
	b.write("DELETE FROM ", quote(t.layout.table), " WHERE id IN (SELECT id FROM ", quote(t.layout.table), " WHERE ")
	b.condition(where)
	b.write(" LIMIT ", strconv.Itoa(pruneBatch), t.db.traits.ForUpdate, ")")
	if b.err != nil {
		return 0, b.err
	}
	for {
		var n int64
		err := t.db.within(ctx, func(ctx context.Context, tx *transaction) error {
			result, err := tx.ExecContext(ctx, b.String(), b.args...)
			if err != nil {
				return t.db.undo(tx, t.layout.refused(err, true))
			}
			n, err = result.RowsAffected()
			tx.changed = tx.changed || n > 0
			return t.db.undo(tx, t.db.failed(err))
		})
		if err != nil {
			return removed, err
		}
		removed += int(n)
		if n < pruneBatch { // or another node prunes too
			return removed, nil
		}
	}
}
