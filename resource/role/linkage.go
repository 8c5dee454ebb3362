package role

import (
	"context"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// guarded is linkage that hands out permissions: callers cannot hand out more than they have.
type guarded struct {
	resource.Linkage
	reference string
	given     func(ctx context.Context, from ulid.ULID, added []ulid.ULID) ([]auth.Permission, error)
}

// Granted is linkage of users or groups to roles, which gives no permissions to them that its caller does not have.
func Granted(linkage resource.Linkage, roles resource.Store[Role]) resource.Linkage {
	return guarded{linkage, "roles", func(ctx context.Context, _ ulid.ULID, added []ulid.ULID) ([]auth.Permission, error) {
		var some resource.Any
		for _, id := range added {
			some = append(some, resource.Equal("id", id))
		}
		return permissions(ctx, roles, some)
	}}
}

// Joined is linkage of groups to their members, which gives no permissions to them that its caller does not have: those
// of the group's roles.
func Joined(linkage resource.Linkage, roles resource.Store[Role]) resource.Linkage {
	return guarded{linkage, "members", func(ctx context.Context, group ulid.ULID, _ []ulid.ULID) ([]auth.Permission, error) {
		return permissions(ctx, roles, resource.Exists{Relation: "group.roles", Condition: resource.Equal("id", group)})
	}}
}

// Add links, and refuses what was too much: its transaction is undone then.
func (g guarded) Add(ctx context.Context, from ulid.ULID, to ...ulid.ULID) ([]ulid.ULID, error) {
	added, err := g.Linkage.Add(ctx, from, to...)
	if err != nil {
		return nil, err
	}
	return added, g.check(ctx, from, added)
}

// Replace links, and refuses what was too much.
func (g guarded) Replace(ctx context.Context, from ulid.ULID, to ...ulid.ULID) (added, removed []ulid.ULID, err error) {
	if added, removed, err = g.Linkage.Replace(ctx, from, to...); err != nil {
		return nil, nil, err
	}
	return added, removed, g.check(ctx, from, added)
}

func (g guarded) check(ctx context.Context, from ulid.ULID, added []ulid.ULID) error {
	who := resource.PrincipalOf(ctx)
	if who == nil || len(added) == 0 { // outside of an operation it is the program itself
		return nil
	}
	given, err := g.given(ctx, from, added)
	if err != nil {
		return err
	}
	return resource.NoMore(who, given, "relationships", g.reference)
}
