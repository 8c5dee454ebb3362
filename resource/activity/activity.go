// Package activity notes when users, sessions and tokens were last active, off the way of their requests.
package activity

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

const (
	// Interval is how long a row is left alone once its activity is written.
	Interval = time.Minute
	// flushInterval is how often what is due is written.
	flushInterval = 5 * time.Second
	// batch is how many rows a transaction writes, so that it keeps nobody waiting for long.
	batch = 500
	// capacity is how many rows are kept in mind; those of further requests are noted later.
	capacity = 8192
)

// Sighting is a request.
type Sighting struct {
	At   time.Time
	From auth.Origin
}

// Writer notes a sighting of a row, unless one after the time before is noted already, and returns the time of the one
// that then is. It returns NotFound for a row that is gone.
type Writer func(ctx context.Context, id ulid.ULID, s Sighting, before time.Time) (noted time.Time, err error)

// Config is what a [Log] works with.
type Config struct {
	Database interface {
		Transact(ctx context.Context, fn func(ctx context.Context) error) error
	}
	Writers map[string]Writer // by type
	Resting func() bool       // whether nothing is to be written just now; nil for never
	Clock   func() time.Time  // default time.Now
	Log     *slog.Logger
}

// Log keeps sightings in mind until they are written: that of each row at most once a minute, the latest in the end. It
// is safe for concurrent use.
type Log struct {
	config Config

	mu   sync.Mutex
	rows map[resource.Identifier]*row
}

// row is what is known of the activity of one.
type row struct {
	Sighting           // the latest
	noted    time.Time // the one that is written
}

// New makes a log.
func New(c Config) *Log {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return &Log{config: c, rows: map[resource.Identifier]*row{}}
}

// Saw notes a request of some resources. Those of other types than the writers are for, and zero ids, are left out.
func (l *Log) Saw(from auth.Origin, of ...resource.Identifier) {
	now := resource.Cut(l.config.Clock())
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range of {
		if one.ID == (ulid.ULID{}) || l.config.Writers[one.Type] == nil {
			continue
		}
		r := l.rows[one]
		if r == nil {
			if len(l.rows) >= capacity {
				continue
			}
			r = &row{}
			l.rows[one] = r
		}
		agent := r.From.UserAgent
		if agent != from.UserAgent {
			agent = strings.Clone(from.UserAgent) // which holds all headers of its request
		}
		r.Sighting = Sighting{At: now, From: from}
		r.From.UserAgent, r.From.Request = agent, ""
	}
}

// Run writes what is due every few seconds until the context ends, and then all that is left. It runs once.
func (l *Log) Run(ctx context.Context) error {
	ticker := time.NewTicker(flushInterval)
	defer ticker.Stop()
	for {
		done := false
		select {
		case <-ctx.Done():
			done = true
		case <-ticker.C:
		}
		switch resting := l.config.Resting != nil && l.config.Resting(); {
		case resting && done:
			return nil
		case done:
			return l.Flush(context.WithoutCancel(ctx), 0)
		case resting:
			continue
		}
		if err := l.Flush(ctx, Interval); err != nil && ctx.Err() == nil {
			l.config.Log.WarnContext(ctx, "activity is not written just now", "error", err)
		}
	}
}

// Flush writes the sightings of the rows that were left alone for an interval. Each transaction is about rows of one
// type, in the order of their ids, so that nobody waits for one who waits for him. What is not written is tried again.
func (l *Log) Flush(ctx context.Context, interval time.Duration) error {
	before := resource.Cut(l.config.Clock()).Add(-interval)
	for typ, write := range l.config.Writers {
		for rows := range slices.Chunk(l.due(typ, before), batch) {
			noted := make([]time.Time, len(rows)) // zero of one that is gone
			err := l.config.Database.Transact(ctx, func(ctx context.Context) (err error) {
				for i, r := range rows {
					if noted[i], err = write(ctx, r.id, r.Sighting, before); err != nil && !resource.Is(err, resource.NotFound) {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			l.settle(typ, rows, noted)
		}
	}
	return nil
}

// due is a row that is to be written.
type due struct {
	id ulid.ULID
	Sighting
}

// due are the rows of a type that are to be written. Those that have not been seen since they were are forgotten.
func (l *Log) due(typ string, before time.Time) []due {
	l.mu.Lock()
	defer l.mu.Unlock()
	var rows []due
	for of, r := range l.rows {
		switch {
		case of.Type != typ || r.noted.After(before):
		case r.At.After(r.noted):
			rows = append(rows, due{of.ID, r.Sighting})
		default:
			delete(l.rows, of)
		}
	}
	slices.SortFunc(rows, func(a, b due) int { return a.id.Compare(b.id) })
	return rows
}

// settle keeps in mind what is written.
func (l *Log) settle(typ string, rows []due, noted []time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range rows {
		of := resource.Identifier{Type: typ, ID: rows[i].id}
		if noted[i].IsZero() {
			delete(l.rows, of)
		} else {
			l.rows[of].noted = noted[i] // nothing else takes rows away
		}
	}
}
