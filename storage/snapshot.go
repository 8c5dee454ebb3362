package storage

import (
	"context"
	"database/sql/driver"

	"github.com/jmoiron/sqlx"

	"reeve/resource"
)

// ofSnapshot is the key of a context's snapshot of a database.
type ofSnapshot struct{ db *DB }

// Snapshot runs fn with a context whose reads all see one state of the database: that of the first of them. Each
// of them is bounded by [Options.Timeout]; how long fn takes as a whole is not. It must not write.
//
// It keeps one of the connections that read, and what is overwritten meanwhile cannot be cleared away. So at most all
// but one of these connections are kept so at once; beyond that it is Unavailable. Where connections that read write
// too, one more is left, which stamps the events. One can always be kept.
func (db *DB) Snapshot(ctx context.Context, fn func(ctx context.Context) error) error {
	select {
	case db.snapshots <- struct{}{}:
		defer func() { <-db.snapshots }()
	default:
		return resource.Errorf(resource.Unavailable, "%d exports run already", cap(db.snapshots))
	}
	conn, err := db.beginSnapshot(ctx)
	if err != nil {
		return db.failed(err)
	}
	ended := false
	defer func() {
		if !ended {
			discard(conn)
		}
	}()
	if err := fn(context.WithValue(ctx, ofSnapshot{db}, conn)); err != nil {
		return err // a statement may have been given up, so nobody knows what the connection is up to
	}
	ctx, cancel := db.bounded(ctx)
	defer cancel()
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err == nil { // all has been read, so that an error is nobody's concern
		ended = true
		_ = conn.Close() // it goes back into the pool
	}
	return nil
}

// beginSnapshot is no transaction of database/sql, since that would last no longer than the context of its beginning.
func (db *DB) beginSnapshot(ctx context.Context) (*sqlx.Conn, error) {
	ctx, cancel := db.bounded(ctx)
	defer cancel()
	conn, err := db.pools.Read.Connx(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, db.traits.Snapshot); err != nil {
		discard(conn)
		return nil, err
	}
	return conn, nil
}

// reserved is how many of the connections that read no snapshot keeps.
func (db *DB) reserved() int {
	if db.traits.OneWriter {
		return 1
	}
	return 2
}

// discard closes a connection whose state is not known.
func discard(conn *sqlx.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = conn.Close() // it is closed
}
