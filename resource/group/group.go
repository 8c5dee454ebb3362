// Package group is the entity group: users that are administered together.
package group

import (
	"context"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Group is a set of users.
type Group struct {
	ID                     ulid.ULID
	Key, Name, Description string
	CreatedAt              time.Time
	Revision               int64
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
		resource.Revision(func(g *Group) *int64 { return &g.Revision }),
	},
	References: []resource.Reference[Group]{
		resource.ToMany[Group]("members", "user").Inverse("groups"),
		resource.ToMany[Group]("roles", "role").Inverse("groups").Doc("What the members of the group may do."),
	},
	Sorts: [][]string{{"name"}, {"created_at"}},
	Filters: []resource.Filter{{Name: "member", Kind: resource.ID, Doc: "The id of a user who is a member.", Where: func(user any) resource.Condition {
		return resource.Exists{Relation: "members", Condition: resource.Equal("id", user)}
	}}},
}

// Type serves groups out of a store, with the linkage of their members and their roles. Remove is asked before one is
// removed.
func Type(groups resource.Store[Group], members, roles resource.Linkage, remove func(tx *resource.Tx, id ulid.ULID) error) resource.Type[Group] {
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
	}
}
