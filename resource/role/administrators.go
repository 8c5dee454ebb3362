package role

import (
	"context"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
)

// Administrators are the users who can sign in and may do everything: administrators by themselves, and those who have
// the role [Admin], also as members of a group. One of them always stays, and nobody ceases to be one by their own
// mistake.
type Administrators struct {
	users func(ctx context.Context, where resource.Condition) (bool, error) // whether a user who can sign in meets a condition
}

// NewAdministrators are those in a table of users, of whom those who meet a condition can sign in.
func NewAdministrators[T any](users resource.Store[T], active resource.Condition) *Administrators {
	return &Administrators{func(ctx context.Context, where resource.Condition) (bool, error) {
		page, err := users.List(ctx, resource.Query{
			Where: resource.All{active, where}, Window: pagination.First(1), Count: pagination.CountNone, Fields: []string{},
		})
		return len(page.Rows) > 0, err
	}}
}

var (
	everything = resource.All{}
	isAdmin    = resource.Exists{Relation: "roles", Condition: resource.Equal("id", resource.NamedID(Schema.Name, Admin))}
)

// OfUser are the users whose roles are those of a user, and OfGroup those of a group.
func OfUser(id ulid.ULID) resource.Condition { return resource.Equal("id", id) }
func OfGroup(id ulid.ULID) resource.Condition {
	return resource.Exists{Relation: "group.members", Condition: resource.Equal("id", id)}
}

// exist reports whether there are some among the users who meet a condition, of whose groups those count that meet another.
func (a *Administrators) exist(ctx context.Context, users, groups resource.Condition) (bool, error) {
	for _, administrates := range []resource.Condition{
		resource.Equal("can_request_admin", true), isAdmin,
		resource.Exists{Relation: "group.members", Condition: resource.All{isAdmin, groups}},
	} {
		if found, err := a.users(ctx, resource.All{administrates, users}); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// keep refuses that users lose what makes them administrators, if none is left among those who meet a condition, by groups
// that meet another; or if the caller would be none any more, unless that is forced.
func (a *Administrators) keep(tx *resource.Tx, losers, users, groups resource.Condition) error {
	if some, err := a.users(tx, losers); err != nil || !some {
		return err
	}
	// Without the lock, two that leave at once would each see the other one stay.
	if err := tx.Lock("administrators"); err != nil {
		return err
	}
	if left, err := a.exist(tx, users, groups); err != nil {
		return err
	} else if !left {
		return resource.Errorf(resource.Conflict, "this is the last administrator")
	}
	self := resource.Equal("id", tx.Principal.ID)
	loses, err := a.users(tx, resource.All{losers, self})
	if err != nil || !loses || tx.Forced() {
		return err
	}
	if still, err := a.exist(tx, resource.All{users, self}, groups); err != nil || still {
		return err
	}
	return resource.Errorf(resource.Conflict, "you would be no administrator any more; force=true says that you mean it")
}

// WithoutUser is asked before a user is removed, locked, or no administrator by themselves any more.
func (a *Administrators) WithoutUser(tx *resource.Tx, id ulid.ULID) error {
	self := OfUser(id)
	if is, err := a.exist(tx, self, everything); err != nil || !is {
		return err
	}
	return a.keep(tx, self, resource.Not{Condition: self}, everything)
}

// WithoutGroup is asked before a group is removed.
func (a *Administrators) WithoutGroup(tx *resource.Tx, id ulid.ULID) error {
	self := resource.Equal("id", id)
	return a.keep(tx, resource.Exists{Relation: "group.members", Condition: resource.All{isAdmin, self}}, everything, resource.Not{Condition: self})
}
