package main

import (
	"context"

	"reeve/storage"
)

// unrefused is the database for what is written even while maintenance.read_only is on: how often somebody has tried to
// sign in, since who asks is to be known, and not to be guessed.
type unrefused struct{ *storage.Outbox }

func (u unrefused) Transact(ctx context.Context, fn func(ctx context.Context) error) error {
	return u.Outbox.Transact(u.Maintain(ctx), fn)
}
