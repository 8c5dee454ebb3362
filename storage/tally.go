package storage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
)

// Tally is a table that holds how many rows of another have a time in each hour: hour, the number of the hour since 1970,
// and n. It may have several rows of an hour, whose n add up. Triggers keep it, as they keep a counter. A year is 8,760
// hours, so that what is asked of it costs the same however many rows are counted.
type Tally struct {
	Name   string // of the table that holds it; not quoted
	Table  string // whose rows are counted; not quoted
	Column string // that has the time, or null; not quoted
}

// Since is how many rows have a time in a tallied attribute that is not before the hour in which another time is.
func (t *Table[T]) Since(ctx context.Context, attribute string, at time.Time) (n int64, err error) {
	column := t.layout.compared(attribute)
	i := slices.IndexFunc(t.layout.tallies, func(t Tally) bool { return column != nil && t.Column == column.name })
	if i < 0 {
		return 0, fmt.Errorf("storage: %s.%s is not tallied", t.layout.table, attribute)
	}
	text := sqlx.Rebind(t.db.bindType, "SELECT CAST(coalesce(sum(n), 0) AS bigint) FROM "+quote(t.layout.tallies[i].Name)+" WHERE hour >= ?")
	ctx, cancel := t.db.bounded(ctx)
	defer cancel()
	err = sqlx.GetContext(ctx, t.db.reader(ctx), &n, text, at.Unix()/int64(time.Hour/time.Second))
	return n, t.db.failed(err)
}

// Size is how many bytes the database takes on its disk, without its log.
func (db *DB) Size(ctx context.Context) (bytes int64, err error) {
	ctx, cancel := db.bounded(ctx)
	defer cancel()
	err = sqlx.GetContext(ctx, db.reader(ctx), &bytes, db.traits.Size)
	return bytes, db.failed(err)
}
