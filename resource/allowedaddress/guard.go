package allowedaddress

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// Database is what a guard needs of storage's database.
type Database interface {
	resource.Transactor
	AfterCommit(ctx context.Context, do func(ctx context.Context)) error
	Follow(ctx context.Context, look func(ctx context.Context) error)
}

// Config is what a [Guard] works with.
type Config struct {
	Database  Database
	Addresses resource.Store[Address]
	Log       *slog.Logger // default slog.Default()
}

// Guard knows from where the admin API may be used. It is safe for concurrent use, and asking it takes no lock.
type Guard struct {
	config Config

	loading sync.Mutex
	allowed atomic.Pointer[[]auth.Network]
}

// NewGuard makes a guard that lets everybody through until it has loaded what is stored.
func NewGuard(config Config) *Guard {
	config.Log = cmp.Or(config.Log, slog.Default())
	g := &Guard{config: config}
	g.allowed.Store(&[]auth.Network{})
	return g
}

// Allows reports whether the admin API may be used from an address.
func (g *Guard) Allows(address netip.Addr) bool { return allows(*g.allowed.Load(), address) }

func allows(networks []auth.Network, address netip.Addr) bool {
	contains := func(n auth.Network) bool { return n.Contains(address) }
	return len(networks) == 0 || slices.ContainsFunc(networks, contains)
}

// Load has the guard know what is stored. Until that succeeds it goes by what it knew before.
func (g *Guard) Load(ctx context.Context) error {
	g.loading.Lock() // what was read first is not to come last
	defer g.loading.Unlock()
	rows, err := g.rows(ctx)
	if err != nil {
		return err
	}
	networks, err := parse(rows)
	if err == nil {
		g.allowed.Store(&networks)
	}
	return err
}

// Run loads what any node stores, until the context ends.
func (g *Guard) Run(ctx context.Context) error {
	g.config.Database.Follow(ctx, g.Load)
	return nil
}

func (g *Guard) rows(ctx context.Context) ([]Address, error) {
	return resource.Every(ctx, &Schema, g.config.Addresses.List, nil)
}

func parse(rows []Address) ([]auth.Network, error) {
	networks := make([]auth.Network, len(rows))
	for i, row := range rows {
		var err error
		if networks[i], err = auth.ParseNetwork(row.Address); err != nil {
			return nil, err
		}
	}
	return networks, nil
}

// check keeps callers from locking themselves out, and has the guard know of the write once it is committed.
func (g *Guard) check(tx *resource.Tx, before, after *Address) error {
	if before != nil && after != nil {
		return nil // only its comment changes
	}
	if err := tx.Lock(Schema.Name); err != nil { // two removals could each leave the other one's address
		return err
	}
	rows, err := g.rows(tx)
	if err != nil {
		return err
	}
	if after != nil {
		if len(rows) >= Max {
			return resource.Errorf(resource.Conflict, "there are %d allowed addresses, which is as many as there can be", Max)
		}
		rows = append(rows, *after)
	} else {
		rows = slices.DeleteFunc(rows, func(a Address) bool { return a.ID == before.ID })
	}
	networks, err := parse(rows)
	if err != nil {
		return err
	}
	from := auth.OriginOf(tx).Address.Addr()
	if from.IsValid() && !tx.Forced() && !allows(networks, from) {
		return resource.Errorf(resource.Conflict, "this would lock out your own address %s; force=true says that you mean it", from)
	}
	return g.committed(tx)
}

// committed has the guard load what the transaction stores once it is committed. If that fails, Run sees it.
func (g *Guard) committed(ctx context.Context) error {
	return g.config.Database.AfterCommit(ctx, func(ctx context.Context) {
		if err := g.Load(ctx); err != nil {
			g.config.Log.WarnContext(ctx, "a change of the allowed addresses is not in effect yet", "error", err)
		}
	})
}

// Configure makes the addresses whose source is the file agree with the configuration, in one transaction: new ones are
// inserted, and those that are gone are deleted. One that was stored belongs to the file from then on.
func (g *Guard) Configure(ctx context.Context, addresses []auth.Network, now time.Time) error {
	db, store := g.config.Database, g.config.Addresses
	now = resource.Cut(now)
	return db.Transact(ctx, func(ctx context.Context) error {
		if err := db.Lock(ctx, Schema.Name); err != nil {
			return err
		}
		rows, err := g.rows(ctx)
		if err != nil {
			return err
		}
		wanted := map[string]bool{}
		for _, network := range addresses {
			wanted[network.String()] = true
		}
		changed := false
		write := func(verb string, id ulid.ULID, before, after *Address, write func() error) error {
			changed = true
			if err := write(); err != nil {
				return err
			}
			event := resource.NewEvent(ctx, now, auth.System, verb, resource.Identifier{Type: Schema.Name, ID: id})
			event.Changes = Schema.Changes(before, after)
			return db.Record(ctx, event)
		}
		for _, before := range rows {
			want := wanted[before.Address]
			delete(wanted, before.Address)
			switch {
			case want && before.Source != File:
				after := before
				after.Source = File
				err = write(resource.Update, before.ID, &before, &after, func() error {
					_, err := store.Update(ctx, before.ID, func(row *Address) error { row.Source = File; return nil })
					return err
				})
			case !want && before.Source == File:
				err = write(resource.Delete, before.ID, &before, nil, func() error { return store.Delete(ctx, before.ID) })
			}
			if err != nil {
				return err
			}
		}
		for _, text := range slices.Sorted(maps.Keys(wanted)) {
			row := &Address{ID: ulid.Make(), Address: text, Source: File, CreatedAt: now}
			if err := write(resource.Create, row.ID, nil, row, func() error { return store.Create(ctx, row) }); err != nil {
				return err
			}
		}
		if !changed {
			return nil
		}
		return g.committed(ctx)
	})
}
