package main

import (
	"context"
	"time"

	"reeve/resource"
	"reeve/storage"
)

// unrefused is the database for what is written even while maintenance.read_only is on: how often somebody has tried to
// sign in, since who asks is to be known, and not to be guessed.
type unrefused struct{ *storage.Outbox }

func (u unrefused) Transact(ctx context.Context, fn func(ctx context.Context) error) error {
	return u.Outbox.Transact(u.Maintain(ctx), fn)
}

// resting is the database for workers that note what they do: while nothing can be noted, they are told of nothing.
type resting struct {
	*storage.Outbox
	rests func() bool
}

// restInterval is how soon workers see that they may go on.
const restInterval = 250 * time.Millisecond

// Tail is that of the outbox, with pauses.
func (r resting) Tail(ctx context.Context, after int64, tell func(events []resource.Event) error) {
	r.Outbox.Tail(ctx, after, func(events []resource.Event) error {
		for r.rests() {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(restInterval):
			}
		}
		return tell(events)
	})
}
