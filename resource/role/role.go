// Package role is the entity role: permissions that users and groups are given together.
package role

import (
	"context"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// Role is a set of permissions with a name. Whoever has it, as a user or as a member of a group, has those.
type Role struct {
	ID          ulid.ULID
	Name, Doc   string
	Permissions []string // see [auth.ParsePermission]
	Aliases     []string
	BuiltIn     bool
	CreatedAt   time.Time
}

// Schema is the entity role.
var Schema = resource.Schema[Role]{
	Name: "role", Plural: "roles",
	Doc: "Permissions that users and groups are given together.",
	ID:  func(r *Role) *ulid.ULID { return &r.ID },
	Attributes: []resource.Attribute[Role]{
		resource.Attr("name", func(r *Role) *string { return &r.Name }, resource.Matches(`^[a-z0-9._-]+$`, "must be one or more of a-z 0-9 . _ -")).
			Required().Unique().Filter(resource.Eq, resource.Prefix).Example("helpdesk"),
		resource.Attr("doc", func(r *Role) *string { return &r.Doc }).Nullable().MaxLength(10_000),
		resource.Canonical("permissions", func(r *Role) *[]string { return &r.Permissions }, canonical).Required().
			Doc("As `<type>:<verb>`, where `*` stands for every type or every verb, and the verb `read` for list and get. With `@<target>` " +
				"only on some resources: `users/<id>` is that user, and what refers to them, as their sessions; `users/self` the user who has the " +
				"role; `users/*` every user; any other text is a natural key, or with `*` after it the beginning of one. Grafana's names of permissions and scopes are taken too.").
			Example([]string{"user:read", "session:finish@users/*"}),
		resource.Attr("aliases", func(r *Role) *[]string { return &r.Aliases }).Default([]string{}).Doc("Other names of the role, elsewhere."),
		resource.Attr("built_in", func(r *Role) *bool { return &r.BuiltIn }).ReadOnly().Filter(resource.Eq).
			Doc("Whether the role comes with the program. Then it cannot be changed."),
		resource.Attr("created_at", func(r *Role) *time.Time { return &r.CreatedAt }).Created(),
	},
	Sorts: [][]string{{"name"}},
}

// canonical is a list of permissions under their own names, each once.
func canonical(texts []string) ([]string, error) {
	list := []string{}
	for _, text := range texts {
		p, err := auth.ParsePermission(text)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(list, p.String()) {
			list = append(list, p.String())
		}
	}
	return list, nil
}

// Type serves roles out of a store. A permission on a type that the registry has must be one of it.
func Type(roles resource.Store[Role], registry *resource.Registry) resource.Type[Role] {
	return resource.Type[Role]{
		Schema: Schema, Lookups: []string{"name"},
		List: roles.List, Get: roles.Get, Create: roles.Create, Update: roles.Update, Delete: roles.Delete,
		Checks: []resource.Check[Role]{notBuiltIn, knownTo(registry), noMore},
	}
}

func notBuiltIn(_ *resource.Tx, before, _ *Role) error {
	if before != nil && before.BuiltIn {
		return resource.Errorf(resource.Conflict, "the role %s comes with the program", before.Name)
	}
	return nil
}

func knownTo(registry *resource.Registry) resource.Check[Role] {
	return func(_ *resource.Tx, before, after *Role) error {
		permissions, err := added(before, after)
		for _, p := range permissions {
			about := registry.Type(p.Type)
			if about != nil && p.Verb != auth.Any && p.Verb != auth.Read && !slices.Contains(about.Permissions(), p.Verb) {
				return resource.Errorf(resource.Invalid, "%s have no permission %s", about.Plural, p).At("attributes", "permissions")
			}
		}
		return err
	}
}

// noMore keeps callers from giving a role more permissions than they have.
func noMore(tx *resource.Tx, before, after *Role) error {
	permissions, err := added(before, after)
	if err != nil {
		return err
	}
	return resource.NoMore(tx.Principal, permissions, "attributes", "permissions")
}

// added are the permissions that a write adds to a role.
func added(before, after *Role) ([]auth.Permission, error) {
	if after == nil {
		return nil, nil
	}
	texts := after.Permissions
	if before != nil {
		texts = slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return slices.Contains(before.Permissions, text) })
	}
	return parse(texts)
}

func parse(texts []string) (permissions []auth.Permission, err error) {
	for _, text := range texts {
		p, err := auth.ParsePermission(text)
		if err != nil {
			return nil, err
		}
		permissions = append(permissions, p)
	}
	return permissions, nil
}

// permissions are those of all roles that meet a condition.
func permissions(ctx context.Context, roles resource.Store[Role], where resource.Condition) ([]auth.Permission, error) {
	rows, err := resource.Every(ctx, &Schema, roles.List, where, "permissions")
	if err != nil {
		return nil, err
	}
	var all []auth.Permission
	for i := range rows {
		some, err := parse(rows[i].Permissions)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// Rights are the permissions of a user by the roles that they have, and those of the groups that they are in.
func Rights(ctx context.Context, roles resource.Store[Role], user ulid.ULID) ([]auth.Permission, error) {
	all, err := permissions(ctx, roles, resource.Any{
		resource.Exists{Relation: "user.roles", Condition: resource.Equal("id", user)},
		resource.Exists{Relation: "group.roles", Condition: resource.Exists{Relation: "members", Condition: resource.Equal("id", user)}},
	})
	return auth.Of(user, all), err
}
