package role

import (
	"context"
	"slices"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// guarded is linkage that hands permissions out, and takes them away: callers cannot hand out more than they have, and
// some administrator is always left. What is refused is undone with its transaction.
type guarded struct {
	resource.Linkage
	reference      string
	administrators *Administrators
	given          func(ctx context.Context, from ulid.ULID, added []ulid.ULID) ([]auth.Permission, error)
	// losers are those who may have ceased to be administrators; nil if nobody has.
	losers func(ctx context.Context, from ulid.ULID, removed []ulid.ULID) (resource.Condition, error)
}

// Granted is linkage to roles, of what has some users: it gives no permissions to them that its caller does not have.
func Granted(
	linkage resource.Linkage, roles resource.Store[Role], administrators *Administrators, users func(from ulid.ULID) resource.Condition,
) resource.Linkage {
	return guarded{linkage, "roles", administrators, func(ctx context.Context, _ ulid.ULID, added []ulid.ULID) ([]auth.Permission, error) {
		return permissions(ctx, roles, among(added))
	}, func(_ context.Context, from ulid.ULID, removed []ulid.ULID) (resource.Condition, error) {
		if !slices.Contains(removed, resource.NamedID(Schema.Name, Admin)) {
			return nil, nil
		}
		return users(from), nil
	}}
}

// Joined is linkage of groups to their members, which gives no permissions to them that its caller does not have: those
// of the group's roles.
func Joined(linkage resource.Linkage, roles resource.Store[Role], administrators *Administrators) resource.Linkage {
	of := func(ctx context.Context, group ulid.ULID) ([]auth.Permission, error) {
		return permissions(ctx, roles, resource.Exists{Relation: "group.roles", Condition: resource.Equal("id", group)})
	}
	return guarded{linkage, "members", administrators, func(ctx context.Context, group ulid.ULID, _ []ulid.ULID) ([]auth.Permission, error) {
		return of(ctx, group)
	}, func(ctx context.Context, group ulid.ULID, removed []ulid.ULID) (resource.Condition, error) {
		all, err := of(ctx, group)
		if _, less := auth.Missing(all, auth.Everything); err != nil || less {
			return nil, err
		}
		return among(removed), nil
	}}
}

func among(ids []ulid.ULID) resource.Condition {
	var some resource.Any
	for _, id := range ids {
		some = append(some, resource.Equal("id", id))
	}
	return some
}

// Add links, and refuses what was too much.
func (g guarded) Add(ctx context.Context, from ulid.ULID, to ...ulid.ULID) ([]ulid.ULID, error) {
	added, err := g.Linkage.Add(ctx, from, to...)
	if err != nil {
		return nil, err
	}
	return added, g.check(ctx, from, added, nil)
}

// Remove unlinks, and refuses what was too much.
func (g guarded) Remove(ctx context.Context, from ulid.ULID, to ...ulid.ULID) ([]ulid.ULID, error) {
	removed, err := g.Linkage.Remove(ctx, from, to...)
	if err != nil {
		return nil, err
	}
	return removed, g.check(ctx, from, nil, removed)
}

// Replace links and unlinks, and refuses what was too much.
func (g guarded) Replace(ctx context.Context, from ulid.ULID, to ...ulid.ULID) (added, removed []ulid.ULID, err error) {
	if added, removed, err = g.Linkage.Replace(ctx, from, to...); err != nil {
		return nil, nil, err
	}
	return added, removed, g.check(ctx, from, added, removed)
}

func (g guarded) check(ctx context.Context, from ulid.ULID, added, removed []ulid.ULID) error {
	tx := resource.TxOf(ctx)
	if tx == nil { // outside of an operation it is the program itself
		return nil
	}
	if len(added) > 0 {
		given, err := g.given(ctx, from, added)
		if err == nil {
			err = resource.NoMore(tx.Principal, given, "relationships", g.reference)
		}
		if err != nil {
			return err
		}
	}
	if len(removed) == 0 {
		return nil
	}
	losers, err := g.losers(ctx, from, removed)
	if err != nil || losers == nil {
		return err
	}
	return g.administrators.keep(tx, losers, everything, everything)
}
