package stream

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// How ids are handed over.
const (
	batchSize  = 500
	batchPause = 500 * time.Millisecond // after a failure
)

// batch hands over ids that many add: all that there are at a time, while the next ones are added.
type batch struct {
	what string // for the log
	do   func(ctx context.Context, ids ...ulid.ULID) error
	log  *slog.Logger

	mu   sync.Mutex
	ids  []ulid.ULID
	wake chan struct{}
}

func newBatch(what string, log *slog.Logger, do func(ctx context.Context, ids ...ulid.ULID) error) *batch {
	return &batch{what: what, do: do, log: log, wake: make(chan struct{}, 1)}
}

func (b *batch) add(ids ...ulid.ULID) {
	if len(ids) == 0 {
		return
	}
	b.mu.Lock()
	b.ids = append(b.ids, ids...)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default: // it is yet to look
	}
}

// run hands over until the context ends, and then what is left.
func (b *batch) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-b.wake:
		}
		if err := b.flush(ctx); err != nil && ctx.Err() == nil {
			b.log.WarnContext(ctx, b.what, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(batchPause):
			}
			b.add(b.take()...) // so that it is woken
		}
	}
	if err := b.flush(context.WithoutCancel(ctx)); err != nil {
		b.log.WarnContext(ctx, b.what, "error", err)
	}
}

// flush hands over what there is. What fails is kept.
func (b *batch) flush(ctx context.Context) error {
	ids := b.take()
	for len(ids) > 0 {
		some := ids[:min(len(ids), batchSize)]
		if err := b.do(ctx, some...); err != nil {
			b.mu.Lock()
			b.ids = slices.Concat(ids, b.ids)
			b.mu.Unlock()
			return err
		}
		ids = ids[len(some):]
	}
	return nil
}

func (b *batch) take() []ulid.ULID {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := b.ids
	b.ids = nil
	return ids
}
