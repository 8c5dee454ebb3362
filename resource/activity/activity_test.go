package activity_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/activity"
)

// table is what a writer writes to: when each row was seen, and how often that was written.
type table struct {
	seen   map[ulid.ULID]time.Time
	writes int
	broken error
}

func (t *table) Transact(ctx context.Context, fn func(context.Context) error) error {
	return errors.Join(fn(ctx), t.broken)
}

func (t *table) write(_ context.Context, id ulid.ULID, s activity.Sighting, before time.Time) (time.Time, error) {
	last, there := t.seen[id]
	switch {
	case !there:
		return last, resource.Errorf(resource.NotFound, "there is no %s", id)
	case !last.After(before) && s.At.After(last):
		t.seen[id], last = s.At, s.At
		t.writes++
	}
	return last, nil
}

// Each row is written at most once a minute, with its latest sighting in the end, by however many nodes.
func TestActivity(t *testing.T) {
	begin := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	now, from := begin, auth.Origin{Address: netip.MustParseAddrPort("192.0.2.7:4711"), UserAgent: "curl"}
	id, gone := ulid.Make(), ulid.Make()
	rows := &table{seen: map[ulid.ULID]time.Time{id: {}}}
	node := func() *activity.Log {
		return activity.New(activity.Config{
			Database: rows, Clock: func() time.Time { return now }, Writers: map[string]activity.Writer{"user": rows.write},
		})
	}
	one, another := node(), node()
	see := func(l *activity.Log) {
		l.Saw(from, resource.Identifier{Type: "user", ID: id}, resource.Identifier{Type: "user", ID: gone},
			resource.Identifier{Type: "client", ID: id}, resource.Identifier{Type: "user"})
	}
	flush := func(interval time.Duration, writes int, at time.Duration) {
		t.Helper()
		for _, l := range []*activity.Log{one, another} {
			if err := l.Flush(t.Context(), interval); err != nil {
				t.Fatal(err)
			}
		}
		if got := rows.seen[id].Sub(begin); rows.writes != writes || got != at {
			t.Errorf("at %s: %d writes, the last of %s; want %d, %s", now.Sub(begin), rows.writes, got, writes, at)
		}
	}
	see(one)
	flush(activity.Interval, 1, 0)
	for range 11 {
		now = now.Add(5 * time.Second)
		see(one)
		see(another)
		flush(activity.Interval, 1, 0)
	}
	now = now.Add(5 * time.Second)
	flush(activity.Interval, 2, 55*time.Second)
	now = now.Add(time.Second)
	see(another)
	flush(activity.Interval, 2, 55*time.Second)
	flush(0, 3, 61*time.Second) // as at the end

	// What cannot be written is tried again.
	now = now.Add(time.Hour)
	see(one)
	rows.broken = errors.New("the database is gone")
	if err := one.Flush(t.Context(), activity.Interval); !errors.Is(err, rows.broken) {
		t.Errorf("flushed: %v", err)
	}
	rows.broken, rows.seen[id] = nil, begin
	flush(activity.Interval, 5, time.Hour+61*time.Second)
}

// TestConcurrentSightings has many requests noted while they are written.
func TestConcurrentSightings(t *testing.T) {
	rows := &table{seen: map[ulid.ULID]time.Time{}}
	var ids []resource.Identifier
	for range 100 {
		id := ulid.Make()
		rows.seen[id] = time.Time{}
		ids = append(ids, resource.Identifier{Type: "user", ID: id})
	}
	l := activity.New(activity.Config{Database: rows, Writers: map[string]activity.Writer{"user": rows.write}})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 1000 {
			l.Saw(auth.Origin{}, ids...)
		}
	}()
	ctx, end := context.WithCancel(t.Context())
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if err := l.Flush(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	end()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	for id, at := range rows.seen {
		if at.IsZero() {
			t.Errorf("%s was not seen", id)
		}
	}
}
