package storage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"reeve/pagination"
	"reeve/resource"
)

// Totals that are sums of cells are read with the page and cost nothing to speak of. Others are counted, within
// a budget of time, and kept with the stamp of their table: while it stays the same, so does the total.

const (
	// recount is how long a count that took too long is not tried again, so that whoever walks over a list
	// does not wait for it on every page.
	recount   = 10 * time.Second
	maxTotals = 1024 // that are kept
)

const tooLong = "counting took too long"

// total is how many rows a list has in all.
type total struct {
	write   func(b *builder)
	cheap   bool     // it needs no budget: a sum of cells, or a count of few rows
	counter *Counter // whose stamp the total holds with; nil if it depends on more than the rows of the table
}

// total is the total of a query.
func (l *layout) total(q resource.Query) total {
	if q.Count == pagination.CountNone {
		return total{}
	}
	if cells, ok := l.counted(q.Where); ok {
		return total{cheap: true, write: func(b *builder) {
			b.sum(cells)
			if l.late != "" {
				b.write(" + ")
				b.count(quote(l.table), func(b *builder) {
					b.write(alias, ".", quote(l.late), " IS NULL AND ")
					b.condition(q.Where)
				})
			}
		}}
	}
	t := total{write: func(b *builder) { b.count(quote(l.table), func(b *builder) { b.condition(q.Where) }) }}
	if fixed(q.Where) && !l.uncounted {
		t.counter = new(l.counter())
	}
	return t
}

// count appends how many rows of a table meet a condition.
func (b *builder) count(table string, where func(b *builder)) {
	b.write("(SELECT count(*) FROM ", table, " AS ", alias, " WHERE ")
	where(b)
	b.write(")")
}

// fetch answers the page of a list. Within a transaction it counts for as long as it takes: to give up would
// undo the transaction, and what is seen there need never be committed.
func fetch[T any](ctx context.Context, l *layout, p *listing, in *reader[T]) (resource.Page[T], error) {
	if err := p.survey(ctx, l); err != nil {
		return resource.Page[T]{}, err
	}
	if p.count == pagination.CountNone || p.total.cheap || l.db.joined(ctx) != nil {
		page, _, err := read(ctx, l, p, in, form{total: p.count != pagination.CountNone})
		return page, err
	}
	totals, question := &l.db.totals, p.question(l)
	stamped := p.total.counter != nil
	if stamped {
		if page, same, err := recall(ctx, l, p, in, question); same || err != nil {
			return page, err
		}
		waited, end := totals.turn(ctx, question)
		defer end()
		if waited {
			if page, same, err := recall(ctx, l, p, in, question); same || err != nil {
				return page, err
			}
		}
	}
	if time.Since(totals.find(question).gaveUp) > recount {
		bounded, cancel := context.WithTimeout(ctx, l.db.options.CountBudget)
		page, stamp, err := read(bounded, l, p, in, form{total: true, stamp: stamped})
		late := errors.Is(bounded.Err(), context.DeadlineExceeded) && ctx.Err() == nil
		cancel()
		switch {
		case err == nil && stamped && stamp != unstable:
			totals.keep(question, keptTotal{found: true, stamp: stamp, total: page.Total})
		case err != nil && late:
			totals.keep(question, keptTotal{gaveUp: time.Now()})
		}
		if err == nil || !late {
			return page, err
		}
	}
	if p.count == pagination.CountOnly {
		return resource.Page[T]{}, resource.Errorf(resource.Unavailable, tooLong)
	}
	page, _, err := read(ctx, l, p, in, form{})
	page.Omitted = tooLong
	return page, err
}

// recall answers the page with the total that is kept, if its stamp is still the same.
func recall[T any](ctx context.Context, l *layout, p *listing, in *reader[T], question [sha256.Size]byte) (page resource.Page[T], same bool, err error) {
	kept := l.db.totals.find(question)
	if !kept.found {
		return page, false, nil
	}
	page, stamp, err := read(ctx, l, p, in, form{stamp: true})
	page.Total = kept.total
	return page, stamp == kept.stamp, err
}

// question stands for what is counted, whenever it is asked.
func (p *listing) question(l *layout) [sha256.Size]byte {
	b := &builder{layout: l, prefix: alias + "."}
	p.total.write(b)
	return sha256.Sum256(fmt.Appendf(nil, "%s %#v", b.String(), b.args))
}

// keptTotal is what is known of a total: what it was at a stamp, or when counting took too long.
type keptTotal struct {
	found        bool
	stamp, total int64
	gaveUp       time.Time
}

// totals are those that have been counted.
type totals struct {
	mu      sync.Mutex
	kept    map[[sha256.Size]byte]keptTotal
	running map[[sha256.Size]byte]chan struct{} // questions that are being counted; closed when that is done
}

// turn keeps many who ask the same at once from all counting it: whoever is the first counts, and ends the turn;
// the others wait for that, once.
func (t *totals) turn(ctx context.Context, question [sha256.Size]byte) (waited bool, end func()) {
	t.mu.Lock()
	running := t.running[question]
	if running != nil {
		t.mu.Unlock()
		select {
		case <-running:
		case <-ctx.Done():
		}
		return true, func() {}
	}
	defer t.mu.Unlock()
	if t.running == nil {
		t.running = map[[sha256.Size]byte]chan struct{}{}
	}
	running = make(chan struct{})
	t.running[question] = running
	return false, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.running, question)
		close(running)
	}
}

func (t *totals) find(question [sha256.Size]byte) keptTotal {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.kept[question]
}

// keep keeps a total, and drops any other one if there are too many.
func (t *totals) keep(question [sha256.Size]byte, k keptTotal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept == nil {
		t.kept = map[[sha256.Size]byte]keptTotal{}
	}
	if _, there := t.kept[question]; !there && len(t.kept) >= maxTotals {
		for other := range t.kept {
			delete(t.kept, other)
			break
		}
	}
	t.kept[question] = k
}
