// Package storage keeps the rows that a [resource.Schema] describes in an SQL database: one [Table] for every
// schema, its columns, indexes and counters generated from the schema, transactions that join, and the outbox of
// events. What differs between databases stands in a [Dialect].
package storage

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"reeve/resource"
)

// Options are what a database can be opened with.
type Options struct {
	MasterKey []byte       // 32 bytes that seal the data keys; nil: schemas with Secret attributes are refused
	Log       *slog.Logger // nil for the default one
	// FormerMasterKeys open data keys that the master key does not; [DB.Migrate] then seals those under the master key.
	FormerMasterKeys [][]byte

	// Timeout is how long a read, or a transaction as a whole, may take, waiting for a connection included; default
	// [DefaultTimeout]. What takes longer is Unavailable. A context with a deadline of its own keeps that instead.
	// Migrations and [DB.Analyze] take the time that they take.
	Timeout time.Duration
	// Connections is how many connections there may be at once, 0 for what the dialect deems best. On SQLite it is
	// those that read; another one writes. [DB.Watch] has one more of its own, and on PostgreSQL two.
	Connections int
	// ReadOnly is asked before each write: while it is true, writes are Maintenance, but for those of [DB.Maintain]. Nil
	// for never.
	ReadOnly func() bool
	// CountBudget is how long the counting of a total that no counter knows may take; default [DefaultCountBudget].
	CountBudget time.Duration
}

// The defaults of Options.
const (
	DefaultTimeout     = 10 * time.Second
	DefaultCountBudget = 100 * time.Millisecond
)

// DB is a database.
type DB struct {
	dialect  Dialect
	uri      string
	traits   Traits
	bindType int // of sqlx
	pools    Pools
	options  Options
	keys     keyring
	totals   totals
	watch    *watch

	snapshots chan struct{} // those that are kept just now

	mu     sync.RWMutex
	tables []*layout // in the order in which they were declared
}

// Open opens the database of a URL. It brings nothing up to date; [DB.Migrate] does. If no master key
// opens the data keys of the database, that is [ErrMasterKey].
func Open(ctx context.Context, d Dialect, uri string, o Options) (*DB, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.CountBudget == 0 {
		o.CountBudget = DefaultCountBudget
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	pools, err := d.Open(uri)
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	if o.Connections > 0 {
		pools.Read.SetMaxOpenConns(o.Connections)
		pools.Read.SetMaxIdleConns(o.Connections)
	}
	db := &DB{dialect: d, uri: uri, traits: d.Traits(), pools: pools, options: o, watch: newWatch()}
	db.bindType = sqlx.BindType(db.traits.Name)
	db.snapshots = make(chan struct{}, max(pools.Read.Stats().MaxOpenConnections-db.reserved(), 1))
	err = db.Ping(ctx)
	if err == nil {
		bounded, cancel := db.bounded(ctx)
		err = db.loadKeys(bounded, pools.Read)
		cancel()
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Close ends all connections.
func (db *DB) Close() error { return db.pools.close() }

func (p Pools) close() error {
	if p.Read == p.Write {
		return p.Write.Close()
	}
	return errors.Join(p.Read.Close(), p.Write.Close())
}

// Ping asks the database whether it is there. Its error is Unavailable.
func (db *DB) Ping(ctx context.Context) error {
	ctx, cancel := db.bounded(ctx)
	defer cancel()
	return db.failed(db.pools.Read.PingContext(ctx))
}

// Stats are the statistics of the connections, by pool: those that read and those that write, unless they are the same.
func (db *DB) Stats() map[string]sql.DBStats {
	if db.pools.Read == db.pools.Write {
		return map[string]sql.DBStats{"all": db.pools.Write.Stats()}
	}
	return map[string]sql.DBStats{"read": db.pools.Read.Stats(), "write": db.pools.Write.Stats()}
}

// Embedded reports whether the database is part of this process, so that no other one serves it.
func (db *DB) Embedded() bool { return db.traits.OneWriter }

// bounded is the context with a deadline: its own, or else the default. Cancel frees what it holds.
func (db *DB) bounded(ctx context.Context) (_ context.Context, cancel context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, db.options.Timeout)
}

// Analyze tells the planner what the tables hold. Databases do so by themselves after a while; whoever loads many
// rows at once need not wait for it.
func (db *DB) Analyze(ctx context.Context) error {
	if db.traits.Analyze == "" {
		return nil
	}
	_, err := db.pools.Write.ExecContext(ctx, db.traits.Analyze)
	return db.failed(err)
}

// transaction is a transaction that a context holds.
type transaction struct {
	*sqlx.Tx
	failed    error // the error that undoes it, whatever its owner says
	changed   bool  // it changes or removes something, see [DB.Generation]
	maintains bool  // see [DB.Maintain]
	after     []func(ctx context.Context)
}

// ofDB is the key of a context's transaction on a database.
type ofDB struct{ db *DB }

func (db *DB) joined(ctx context.Context) *transaction {
	tx, _ := ctx.Value(ofDB{db}).(*transaction)
	return tx
}

// Transact runs fn with a context that holds a transaction, and commits if fn returns nil. A context that
// already holds one joins it: then nothing is committed, and an error undoes the whole. A commit whose outcome
// is unknown, since the connection was cut, is Unavailable.
//
// Where the database undoes the transaction since it and others wait for one another, fn is called again, a few times
// at most. So what fn does besides must stand being done anew.
func (db *DB) Transact(ctx context.Context, fn func(ctx context.Context) error) error {
	if tx := db.joined(ctx); tx != nil {
		err := fn(ctx)
		if err != nil && tx.failed == nil {
			tx.failed = err
		}
		return err
	}
	return db.own(ctx, func(ctx context.Context, _ *transaction) error { return fn(ctx) })
}

// within runs fn in the transaction that the context holds, or else in one of its own. An error of fn alone
// does not undo a joined transaction. It is for what writes.
func (db *DB) within(ctx context.Context, fn func(ctx context.Context, tx *transaction) error) error {
	tx := db.joined(ctx)
	if db.options.ReadOnly != nil && db.options.ReadOnly() && ctx.Value(maintaining{db}) == nil && (tx == nil || !tx.maintains) {
		refused := resource.Errorf(resource.Maintenance, "nothing can be written until the maintenance is over")
		refused.After = maintenancePause
		return refused
	}
	if tx != nil {
		return fn(ctx, tx)
	}
	return db.own(ctx, fn)
}

// maintenancePause is how soon whoever may not write is to try again.
const maintenancePause = 30 * time.Second

// maintaining is the key of a context that writes in spite of [Options.ReadOnly].
type maintaining struct{ db *DB }

// Maintain is the context with its writes going through in spite of [Options.ReadOnly], and those of the transaction that
// it holds.
func (db *DB) Maintain(ctx context.Context) context.Context {
	if tx := db.joined(ctx); tx != nil {
		tx.maintains = true
	}
	return context.WithValue(ctx, maintaining{db}, true)
}

// own runs fn in a transaction of its own.
func (db *DB) own(ctx context.Context, fn func(ctx context.Context, tx *transaction) error) error {
	ctx, cancel := db.bounded(ctx)
	defer cancel()
	for try := 1; ; try++ {
		err := db.begin(ctx, fn)
		if err == nil || try == maxTries || db.dialect.Fault(err).Kind != UndoneFault {
			return err
		}
		if !pause(ctx, nil, rand.N(retryPause)) { // the others go first
			return err
		}
	}
}

// maxTries is how often a transaction is carried out that the database undoes so that others can go on.
const maxTries = 5

// retryPause is the longest pause before that.
const retryPause = 100 * time.Millisecond

// begin is a transaction without a deadline but the context's.
func (db *DB) begin(ctx context.Context, fn func(ctx context.Context, tx *transaction) error) error {
	begun, err := db.pools.Write.BeginTxx(ctx, nil)
	if err != nil {
		return db.failed(err)
	}
	tx := &transaction{Tx: begun}
	done := false
	defer func() {
		if !done { // fn failed, or panics
			if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
				db.options.Log.WarnContext(ctx, "storage: a rollback failed", "error", err)
			}
		}
	}()
	if err := fn(context.WithValue(ctx, ofDB{db}, tx), tx); err != nil {
		return err
	}
	if tx.failed != nil {
		return tx.failed
	}
	done = true
	err = tx.Commit()
	db.raise(tx) // if the commit failed, nobody knows what came of it
	if err != nil {
		return db.failed(err)
	}
	for _, do := range tx.after {
		do(ctx)
	}
	return nil
}

// AfterCommit has something done once the transaction that the context holds is committed, before whoever began it
// goes on; with a context that holds no transaction, and ends as that one's would have. It is not done if the
// transaction is undone, nor if nobody knows what came of the commit: see [DB.Follow].
func (db *DB) AfterCommit(ctx context.Context, do func(ctx context.Context)) error {
	tx := db.joined(ctx)
	if tx == nil {
		return errors.New("storage: AfterCommit needs a transaction")
	}
	tx.after = append(tx.after, do)
	return nil
}

// Attempt runs fn in the transaction that the context holds. If fn fails, what it did there is undone, and no more than
// that: the transaction goes on.
func (db *DB) Attempt(ctx context.Context, fn func(ctx context.Context) error) error {
	tx := db.joined(ctx)
	if tx == nil {
		return errors.New("storage: Attempt needs a transaction")
	}
	if _, err := tx.ExecContext(ctx, "SAVEPOINT attempt"); err != nil {
		return db.undo(tx, db.failed(err))
	}
	failed, after := tx.failed, len(tx.after)
	err := fn(ctx)
	if err == nil && tx.failed == nil {
		_, err := tx.ExecContext(ctx, "RELEASE SAVEPOINT attempt")
		return db.undo(tx, db.failed(err))
	}
	if err == nil {
		err = tx.failed
	}
	for _, statement := range []string{"ROLLBACK TO SAVEPOINT attempt", "RELEASE SAVEPOINT attempt"} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return db.undo(tx, db.failed(err))
		}
	}
	tx.failed, tx.after = failed, tx.after[:after]
	return err
}

// Lock waits until no other transaction holds the named lock, and holds it to the end of the transaction that
// the context holds.
func (db *DB) Lock(ctx context.Context, name string) error {
	tx := db.joined(ctx)
	if tx == nil {
		return errors.New("storage: Lock needs a transaction")
	}
	if db.traits.Lock == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, db.traits.Lock, lockNumber(name))
	return db.undo(tx, db.failed(err))
}

// TryLock is [DB.Lock] that does not wait: it reports whether the lock is held now.
func (db *DB) TryLock(ctx context.Context, name string) (held bool, err error) {
	tx := db.joined(ctx)
	if tx == nil {
		return false, errors.New("storage: TryLock needs a transaction")
	}
	if db.traits.TryLock == "" {
		return true, nil
	}
	err = tx.GetContext(ctx, &held, db.traits.TryLock, lockNumber(name))
	return held, db.undo(tx, db.failed(err))
}

func lockNumber(name string) int64 {
	hash := sha256.Sum256([]byte("reeve\x00" + name))
	return int64(binary.BigEndian.Uint64(hash[:]))
}

// querier asks the database, in a transaction or out of one.
type querier interface {
	sqlx.QueryerContext
	sqlx.ExecerContext
}

// reader is where reads go: the transaction or the snapshot that the context holds, or the readers.
func (db *DB) reader(ctx context.Context) querier {
	if tx := db.joined(ctx); tx != nil {
		return tx
	}
	if conn, ok := ctx.Value(ofSnapshot{db}).(*sqlx.Conn); ok {
		return conn
	}
	return db.pools.Read
}

// undo has a transaction undone that an error of the database came upon.
func (db *DB) undo(tx *transaction, err error) error {
	if err != nil && tx.failed == nil {
		tx.failed = err
	}
	return err
}
