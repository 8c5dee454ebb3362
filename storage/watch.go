package storage

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"golang.org/x/sync/errgroup"
)

// How the watch on the database goes.
const (
	watchInterval = 500 * time.Millisecond // between two looks
	watchTrust    = time.Second            // how long after a look the generation counts: more than the interval
	notifyPause   = 10 * time.Millisecond  // commits within it are told of together
	followPause   = 100 * time.Millisecond // between two looks at the same
)

// watch is what a process knows of changes.
type watch struct {
	opened     time.Time
	generation atomic.Uint64
	trusted    atomic.Int64  // until when the generation counts: a time.Duration from opened
	changed    chan struct{} // other nodes are to be told

	mu        sync.Mutex
	followers map[chan struct{}]bool
}

func newWatch() *watch {
	return &watch{opened: time.Now(), changed: make(chan struct{}, 1), followers: map[chan struct{}]bool{}}
}

// rise raises the generation, and wakes those who follow it.
func (w *watch) rise() {
	w.generation.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	for follower := range w.followers {
		select {
		case follower <- struct{}{}:
		default: // it is yet to look
		}
	}
}

// Follow looks at something in the database whenever that may have changed, until the context ends: at once, within a
// second after a commit of another node, and soon after one of this. [DB.Watch] has to run besides. If look fails, as
// it does while the database is away, it is asked again.
func (db *DB) Follow(ctx context.Context, look func(ctx context.Context) error) {
	wake := make(chan struct{}, 1)
	wake <- struct{}{}
	db.watch.mu.Lock()
	db.watch.followers[wake] = true
	db.watch.mu.Unlock()
	defer func() {
		db.watch.mu.Lock()
		defer db.watch.mu.Unlock()
		delete(db.watch.followers, wake)
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		}
		rest := followPause
		if err := look(ctx); err != nil && ctx.Err() == nil {
			db.options.Log.WarnContext(ctx, "storage: what has changed is not seen just now", "error", err)
			rest = stampInterval
			select {
			case wake <- struct{}{}:
			default: // somebody else has
			}
		}
		pause(ctx, nil, rest)
	}
}

// Generation is a number that rises with whatever changes or removes rows or links; what only adds rows, or notes an
// activity, need not raise it. A commit of this process has raised it when it returns. One of another process, a
// hand in psql too, raises it within a second.
//
// So what was read after the number was asked for is true as long as the number is the same, and known. It is not
// known unless [DB.Watch] runs and the database answers it.
func (db *DB) Generation() (n uint64, known bool) {
	n = db.watch.generation.Load()
	return n, time.Since(db.watch.opened) < time.Duration(db.watch.trusted.Load())
}

// raise follows a commit, or one that may have been.
func (db *DB) raise(tx *transaction) {
	if !tx.changed {
		return
	}
	db.watch.rise()
	select {
	case db.watch.changed <- struct{}{}:
	default: // they will be
	}
}

// Watch looks for what others commit, and tells other nodes of what this one does, until the context ends. Its
// connections are its own, so that it need not wait for those of requests. While the database is away it tries
// again.
//
// A look compares the state that the database reports with that of the look before; no commit leaves it as it was.
// Notifications only save the time until the next look: to lose one does no harm.
func (db *DB) Watch(ctx context.Context) error {
	pools, err := db.dialect.Open(db.uri)
	if err != nil {
		return db.failed(err)
	}
	var group errgroup.Group
	group.Go(func() error {
		return db.again(ctx, "changes are not seen just now", func() error { return db.look(ctx, pools.Read) })
	})
	if pools.Listen != nil {
		group.Go(func() error {
			return db.again(ctx, "other nodes are not heard just now", func() error {
				return pools.Listen(ctx, db.watch.rise)
			})
		})
	}
	return errors.Join(group.Wait(), pools.close())
}

// again repeats what should only end with the context.
func (db *DB) again(ctx context.Context, otherwise string, work func() error) error {
	for {
		if err := work(); err != nil && ctx.Err() == nil {
			db.options.Log.WarnContext(ctx, "storage: "+otherwise, "error", err)
		}
		if !pause(ctx, nil, stampInterval) {
			return nil
		}
	}
}

// look does the work of Watch on one connection until that fails.
func (db *DB) look(ctx context.Context, pool *sqlx.DB) error {
	conn, err := connect(ctx, pool)
	if err != nil {
		return err
	}
	defer conn.Close() // whatever it says: it has failed, or is not needed any more
	seen := ""         // which says nothing of what another connection sees
	see := func() error {
		asked := time.Since(db.watch.opened)
		ctx, cancel := context.WithTimeout(ctx, watchTrust)
		defer cancel()
		state := ""
		if err := conn.GetContext(ctx, &state, db.traits.State); err != nil {
			return err
		}
		if state != seen {
			db.watch.rise()
		}
		seen = state
		db.watch.trusted.Store(int64(asked + watchTrust))
		return nil
	}
	tell := func() error {
		ctx, cancel := context.WithTimeout(ctx, watchTrust)
		defer cancel()
		_, err := conn.ExecContext(ctx, db.traits.Notify)
		return err
	}

	changed := db.watch.changed
	if db.traits.Notify == "" {
		changed = nil // there is nobody to be told
	}
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for err = see(); err == nil; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			err = see()
		case <-changed:
			err = tell()
			time.Sleep(notifyPause)
		}
	}
	return err
}

func connect(ctx context.Context, pool *sqlx.DB) (*sqlx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, watchTrust)
	defer cancel()
	return pool.Connx(ctx)
}
