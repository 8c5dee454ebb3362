package storage

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"reeve/pagination"
	"reeve/resource"
)

// Outbox is a database that keeps events: the engine's [resource.Transactor]. Events are written in the
// transaction that they tell of, so there are none of writes that never were.
//
// Readers follow their positions. With one writer those are known at once. Else no transaction knows when it
// will commit, and the one node whose [Outbox.Run] holds a lock gives positions to what has been committed.
type Outbox struct {
	*DB
	events *Table[resource.Event]
	wake   chan struct{} // something was recorded

	mu    sync.Mutex
	tails map[chan struct{}]bool // those who wait for positions
}

var _ resource.Transactor = (*Outbox)(nil)

// stampInterval is how soon a position is given at the latest.
const stampInterval = 500 * time.Millisecond

// gatherInterval is how long events are gathered while others come, since stamping is dear and stamps all at once.
const gatherInterval = 20 * time.Millisecond

// NewOutbox declares the table of the events. The schema must have the attributes position and at.
func NewOutbox(db *DB, s resource.Schema[resource.Event]) (*Outbox, error) {
	events, err := NewTable(db, s)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"position", "at"} {
		if events.layout.column(name) == nil {
			return nil, fmt.Errorf("storage: %s have no %s", s.Plural, name)
		}
	}
	if !db.traits.OneWriter {
		events.layout.late = "position"
	}
	return &Outbox{DB: db, events: events, wake: make(chan struct{}, 1), tails: map[chan struct{}]bool{}}, nil
}

// Events is the table of the events.
func (o *Outbox) Events() *Table[resource.Event] { return o.events }

// Record writes events in the transaction that the context holds, in their order.
func (o *Outbox) Record(ctx context.Context, events ...*resource.Event) error {
	if len(events) == 0 {
		return nil
	}
	return o.within(ctx, func(ctx context.Context, tx *transaction) error {
		if o.traits.OneWriter {
			var last int64
			text := "SELECT coalesce(max(position), 0) FROM " + quote(o.events.layout.table)
			if err := tx.GetContext(ctx, &last, text); err != nil {
				return o.undo(tx, o.failed(err))
			}
			for i, e := range events {
				e.Position = last + int64(i) + 1
			}
		}
		return o.events.Create(ctx, events...)
	})
}

// Prune removes events before a time, at most so many, and answers how many they were. The one with the last position
// stays, since the next one follows from it.
func (o *Outbox) Prune(ctx context.Context, before time.Time, most int) (removed int, err error) {
	last, err := o.events.List(ctx, resource.Query{
		Where: resource.NotNull("position"), Order: resource.ParseOrder([]string{"-position"}), Window: pagination.First(1), Count: pagination.CountNone, Fields: []string{},
	})
	if err != nil || len(last.Rows) == 0 {
		return 0, err
	}
	where := resource.All{resource.Holds("at", resource.Less, before), resource.NotNull("position"), resource.Not{Condition: resource.Equal("id", last.Rows[0].ID)}}
	return o.events.Prune(ctx, where, before, most)
}

// Transact is [DB.Transact]. Afterwards it wakes Run.
func (o *Outbox) Transact(ctx context.Context, fn func(ctx context.Context) error) error {
	err := o.DB.Transact(ctx, fn)
	if err == nil && o.joined(ctx) == nil {
		wake(o.wake)
		if o.traits.OneWriter {
			o.wakeTails()
		}
	}
	return err
}

// wake wakes whoever waits for a channel that has room for one.
func wake(waiting chan struct{}) {
	select {
	case waiting <- struct{}{}:
	default: // it is yet to look
	}
}

func (o *Outbox) wakeTails() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for tail := range o.tails {
		wake(tail)
	}
}

// How events are read in the order of their positions.
const (
	tailInterval = 250 * time.Millisecond // how soon those are found of which nobody tells: of other processes
	tailBatch    = 500                    // how many at once
)

// After are the next events after a position that have theirs, in order, a bounded number; none if there are no more
// yet.
func (o *Outbox) After(ctx context.Context, position int64) ([]resource.Event, error) {
	page, err := o.events.List(ctx, resource.Query{
		Where: resource.Holds("position", resource.Greater, position), Order: resource.ParseOrder([]string{"position"}),
		Window: pagination.First(tailBatch), Count: pagination.CountNone,
	})
	return page.Rows, err
}

// Ends are the positions of the first event that is kept and of the last one; zero if there is none.
func (o *Outbox) Ends(ctx context.Context) (first, last int64, err error) {
	for order, position := range map[string]*int64{"position": &first, "-position": &last} {
		page, err := o.events.List(ctx, resource.Query{
			Where: resource.NotNull("position"), Order: resource.ParseOrder([]string{order}),
			Window: pagination.First(1), Count: pagination.CountNone, Fields: []string{"position"},
		})
		if err != nil {
			return 0, 0, err
		}
		for _, event := range page.Rows {
			*position = event.Position
		}
	}
	return first, last, nil
}

// Tail calls tell with the events after a position, in order, as they get theirs, until the context ends. What tell
// fails at it is told again. While the database is away, it waits.
func (o *Outbox) Tail(ctx context.Context, after int64, tell func(events []resource.Event) error) {
	waiting := make(chan struct{}, 1)
	o.mu.Lock()
	o.tails[waiting] = true
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.tails, waiting)
	}()
	for {
		events, err := o.After(ctx, after)
		if err == nil && len(events) > 0 {
			if err = tell(events); err == nil {
				after = events[len(events)-1].Position
			}
		}
		switch {
		case err != nil && ctx.Err() == nil:
			o.options.Log.WarnContext(ctx, "storage: events are not told of just now", "error", err)
			pause(ctx, nil, stampInterval)
		case len(events) < tailBatch:
			pause(ctx, waiting, tailInterval)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// Run gives positions to events in the order of their commits until the context ends. Any number of nodes may
// run it; one of them works. While the database is away it tries again.
func (o *Outbox) Run(ctx context.Context) error {
	if o.traits.OneWriter {
		<-ctx.Done()
		return nil
	}
	for {
		if err := o.lead(ctx); err != nil && ctx.Err() == nil {
			o.options.Log.WarnContext(ctx, "storage: events get no positions just now", "error", err)
		}
		if !pause(ctx, nil, stampInterval) {
			return nil
		}
	}
}

// pause waits until it is woken or the interval is over. It reports false when the context has ended.
func pause(ctx context.Context, wake <-chan struct{}, interval time.Duration) bool {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-timer.C:
	}
	return ctx.Err() == nil
}

// lead stamps events for as long as this node holds the lock; it returns at once if another one does. The lock
// belongs to the connection, so a node that loses it cannot go on stamping.
func (o *Outbox) lead(ctx context.Context) (err error) {
	connecting, cancel := o.bounded(ctx)
	defer cancel()
	conn, err := o.pools.Write.Connx(connecting)
	if err != nil {
		return o.failed(err)
	}
	elected := false
	defer func() {
		if elected || err != nil { // the lock must not stay with a connection that goes back into the pool
			discard(conn)
		} else {
			_ = conn.Close() // it goes back into the pool
		}
	}()
	if err := sqlx.GetContext(connecting, conn, &elected, o.traits.Elect, lockNumber("events")); err != nil || !elected {
		return o.failed(err)
	}
	for {
		n, err := o.stamp(ctx, conn)
		if err != nil {
			return err
		}
		wake, interval := o.wake, stampInterval
		if n > 0 {
			o.wakeTails()
			wake, interval = nil, gatherInterval
		}
		if !pause(ctx, wake, interval) {
			_, err := o.stamp(ctx, conn) // what was written until then
			return err
		}
	}
}

// stamps gives positions to events, of the table of that name, that have none: a bounded number at once.
const stamps = `WITH unstamped AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM %[1]s WHERE position IS NULL
		ORDER BY id LIMIT 10000)
	UPDATE %[1]s AS e SET position = (SELECT coalesce(max(position), 0) FROM %[1]s) + n
	FROM unstamped AS u WHERE e.id = u.id`

// stamp gives positions to the next events that have none, and answers how many those were. A stop does not cut it off.
func (o *Outbox) stamp(ctx context.Context, in sqlx.ExecerContext) (n int64, err error) {
	ctx, cancel := o.bounded(context.WithoutCancel(ctx))
	defer cancel()
	result, err := in.ExecContext(ctx, fmt.Sprintf(stamps, quote(o.events.layout.table)))
	if err != nil {
		return 0, o.failed(err)
	}
	n, err = result.RowsAffected()
	return n, o.failed(err)
}
