// Package group is the entity group: users that are administered together.
package group

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
)

// Group is a set of users.
type Group struct {
	ID                     ulid.ULID
	Key, Name, Description string
	CreatedAt              time.Time
	Revision               int64

	room bool // is to be made with it
}

// Schema is the entity group.
var Schema = resource.Schema[Group]{
	Name: "group", Plural: "groups",
	Doc: "Users that are administered together.",
	ID:  func(g *Group) *ulid.ULID { return &g.ID },
	Attributes: []resource.Attribute[Group]{
		resource.Attr("key", func(g *Group) *string { return &g.Key }, resource.Matches(`^[A-Za-z0-9._~-]+$`, "must be one or more of A-Z a-z 0-9 . _ ~ -")).Fixed().Unique().Filter(resource.Eq).Example("support").
			Doc("The caller's own name for the group; made up if a creation gives none."),
		resource.Attr("name", func(g *Group) *string { return &g.Name }).Required().Filter(resource.Eq, resource.Prefix, resource.Contains).Example("Support"),
		resource.Attr("description", func(g *Group) *string { return &g.Description }).Nullable().MaxLength(10_000),
		resource.Attr("created_at", func(g *Group) *time.Time { return &g.CreatedAt }).Created().Filter(resource.Greater, resource.Less),
		resource.Input("create_default_room", func(g *Group) *bool { return &g.room }, func(_ context.Context, b bool) (bool, error) { return b, nil }).Fixed().
			Doc("Make a room for the group, and invite its members. That takes the module messages."),
		resource.Revision(func(g *Group) *int64 { return &g.Revision }),
	},
	References: []resource.Reference[Group]{
		resource.ToMany[Group]("members", "user").Inverse("groups").
			Doc("Members are contacts of one another, while the module contacts is loaded; those that groups alone made go with the membership."),
		resource.ToMany[Group]("roles", "role").Inverse("groups").Doc("What the members of the group may do."),
	},
	Sorts: [][]string{{"name"}, {"created_at"}},
	Filters: []resource.Filter{{Name: "member", Kind: resource.ID, Doc: "The id of a user who is a member.", Where: func(user any) resource.Condition {
		return resource.Exists{Relation: "members", Condition: resource.Equal("id", user)}
	}}},
}

// Type serves groups out of a store, with the linkage of their members and their roles, and a store of what is left to
// be done for the contacts of members. Remove is asked before a group is removed.
func Type(groups resource.Store[Group], members, roles resource.Linkage, remove func(tx *resource.Tx, id ulid.ULID) error, waiting resource.Store[Waiting]) resource.Type[Group] {
	c := contacts{waiting}
	return resource.Type[Group]{
		Schema: Schema, Lookups: []string{"key"}, Linkages: map[string]resource.Linkage{"members": members, "roles": roles}, Forcible: true,
		Checks: []resource.Check[Group]{func(tx *resource.Tx, before, after *Group) error {
			if after != nil {
				return nil
			}
			return remove(tx, before.ID)
		}},
		List: groups.List, Get: groups.Get, Update: groups.Update, Delete: groups.Delete,
		Create: func(ctx context.Context, rows ...*Group) error {
			for _, g := range rows {
				if g.Key == "" {
					g.Key = strings.ToLower(g.ID.String())
				}
			}
			return groups.Create(ctx, rows...)
		},
		Then: room,
		Follows: []resource.Following[Group]{resource.Follow("members", delayArguments, func(tx *resource.Tx, g *Group, joined, left []ulid.ULID, d *delay) error {
			if err := invite(tx, g, joined); err != nil {
				return err
			}
			return c.follow(tx, g, joined, left, d)
		})},
		Actions: []resource.Action[Group]{
			resource.Run[Group]("sync", nil, c.sync).Answering(resource.AnswersMeta).
				Doc("Have the contacts of the members say who has joined or left, which was delayed: of `meta.settled` of them at once; those of `meta.waiting` follow in the next seconds."),
		},
	}
}

// invite invites those who have joined a group to its room, if it has one.
func invite(tx *resource.Tx, g *Group, joined []ulid.ULID) error {
	if len(joined) == 0 || !tx.Serves("room") {
		return nil
	}
	for some := range slices.Chunk(joined, pagination.MaxSize) { // as many as a list takes
		op := resource.OnAll("invite", "room", resource.FilterBy("group", g.ID.String()))
		users := make([]any, len(some))
		for i, id := range some {
			users[i] = id.String()
		}
		op.Body.Attributes = map[string]any{"users": users}
		if _, err := tx.Do(op); err != nil {
			return err
		}
	}
	return nil
}

// room makes the room of a new group.
func room(tx *resource.Tx, before, after *Group) error {
	if before != nil || !after.room {
		return nil
	}
	if !tx.Serves("room") {
		return resource.Errorf(resource.Conflict, "rooms are of the module messages, which is not loaded").At("attributes", "create_default_room")
	}
	_, err := tx.Do(resource.Operation{Verb: resource.Create, Type: "room", Body: resource.Body{
		Attributes:    map[string]any{"name": after.Name},
		Relationships: map[string][]resource.Identifier{"group": {{Type: Schema.Name, ID: after.ID}}},
	}})
	return err
}
