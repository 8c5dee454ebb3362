package role

import (
	"context"
	"slices"
	"time"

	"reeve/auth"
	"reeve/resource"
)

// The roles that come with the program.
const (
	Admin   = "admin"   // may do everything; a user with can_request_admin has its permissions
	Support = "support" // reads what there is about users, lets them in and out
	Auditor = "auditor" // reads everything, the trail too
	User    = "user"    // what every user may do, also who does not have it: see [Everybody]
)

var builtIn = []Role{
	{Name: Admin, Doc: "May do everything.", Permissions: []string{"*:*"}, Aliases: []string{"prosody:operator", "prosody:admin"}},
	{Name: Support, Doc: "Reads users and what belongs to them, locks and unlocks users, and finishes sessions.", Permissions: []string{
		"user:read", "authenticator:read", "session:read", "token:read", "group:read", "contact:read", "client:read", "role:read", "permission:read", "type:read", "module:read", "stats:read",
		"user:lock", "user:unlock", "user:finish-sessions", "session:finish",
	}},
	{Name: Auditor, Doc: "Reads everything, the trail too.", Permissions: []string{"*:read"}},
	{Name: User, Doc: "Sees the user's own authenticators, sees and ends the user's own sessions and personal tokens, and changes the user's own password. Every user may do so, also without the role.",
		Permissions: []string{
			"authenticator:read@users/self", "session:read@users/self", "session:finish@users/self", "token:read@users/self", "token:revoke@users/self",
			"user:finish-sessions@users/self", "user:change-password@users/self",
		}},
}

// Everybody is what every user may do: the permissions of the role [User].
var Everybody = everybody()

func everybody() []auth.Permission {
	i := slices.IndexFunc(builtIn, func(r Role) bool { return r.Name == User })
	permissions, err := parse(builtIn[i].Permissions)
	if err != nil {
		panic(err) // it is part of the program
	}
	return permissions
}

// BuiltIn makes the table have the roles that come with the program, as this version of it has them.
func BuiltIn(ctx context.Context, db resource.Transactor, roles resource.Store[Role], now time.Time) error {
	now = resource.Cut(now)
	return db.Transact(ctx, func(ctx context.Context) error {
		if err := db.Lock(ctx, "roles"); err != nil {
			return err
		}
		for _, r := range builtIn {
			r.ID, r.BuiltIn, r.CreatedAt = resource.NamedID(Schema.Name, r.Name), true, now
			if r.Aliases == nil {
				r.Aliases = []string{}
			}
			event := resource.NewEvent(ctx, now, auth.System, resource.Update, resource.Identifier{Type: Schema.Name, ID: r.ID})
			_, err := roles.Update(ctx, r.ID, func(row *Role) error {
				before := *row
				r.CreatedAt = row.CreatedAt
				*row = r
				event.Changes = Schema.Changes(&before, row)
				return nil
			})
			if resource.Is(err, resource.NotFound) {
				event.Verb = resource.Create
				event.Changes = Schema.Changes(nil, &r)
				err = roles.Create(ctx, &r)
			}
			if err == nil && event.Changes != nil {
				err = db.Record(ctx, event)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
