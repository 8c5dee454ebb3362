package ldap

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
	"reeve/resource/ldap/directory"
)

// Mapping gives those who are in a group of the directory roles and groups here.
type Mapping struct {
	GroupDN string   `json:"group_dn"` // or * for everybody in the directory
	Roles   []string `json:"roles,omitempty"`
	Groups  []string `json:"groups,omitempty"` // their keys
}

// dns are the groups of the directory that mappings name.
func dns(mappings []Mapping) (all []string) {
	for _, m := range mappings {
		if m.GroupDN != everybody && !slices.Contains(all, m.GroupDN) {
			all = append(all, m.GroupDN)
		}
	}
	return all
}

// everybody is the DN of a group that everybody in the directory is in.
const everybody = "*"

// User is a user as the directory is compared with them.
type User struct {
	ID                           ulid.ULID
	Username, Email, DisplayName string
	Deactivated                  bool
}

// Database is what a [Syncer] needs of the database, as the storage's Outbox has it.
type Database interface {
	Transact(ctx context.Context, fn func(ctx context.Context) error) error
	Record(ctx context.Context, events ...*resource.Event) error
}

// Accounts is where accounts are kept.
type Accounts interface {
	resource.Store[Account]
	// Assign gives members of all rows that meet a condition the values of a row, without events.
	Assign(ctx context.Context, where resource.Condition, as *Account, members ...string) (changed int, err error)
}

// Grants are what users can have by name: roles, or memberships of groups.
type Grants struct {
	// Find is the id of the one with a name; zero if there is none.
	Find func(ctx context.Context, name string) (ulid.ULID, error)
	// Held are those among some users who have one.
	Held func(ctx context.Context, id ulid.ULID, among []ulid.ULID) ([]ulid.ULID, error)
	// Change are the operations that give it to some users, or take it from them.
	Change func(verb string, id ulid.ULID, users []ulid.ULID) []resource.Operation
}

// Config is what a [Syncer] works with.
type Config struct {
	Database  Database
	Engine    *resource.Engine
	Accounts  Accounts
	Directory *directory.Client
	// Users are those who meet a condition, at most [pagination.MaxSize] of them.
	Users         func(ctx context.Context, where resource.Condition) ([]User, error)
	Roles, Groups Grants
	Mappings      func() []Mapping
	Log           *slog.Logger
}

// Syncer makes users what the directory says of them: one when they sign in, all of them in a job.
type Syncer struct {
	config Config

	mu      sync.Mutex
	listing *listing // that of the job, if this node does it
}

// New makes a syncer.
func New(c Config) *Syncer { return &Syncer{config: c} }

// Has reports whether a user is of the directory.
func (s *Syncer) Has(ctx context.Context, user ulid.ULID) (bool, error) {
	account, err := s.account(ctx, user)
	return account != nil, err
}

// account is that of a user, nil if the directory has nothing to do with them.
func (s *Syncer) account(ctx context.Context, user ulid.ULID) (*Account, error) {
	return resource.Only(ctx, s.config.Accounts.List, "user", user)
}

// Local refuses to have a password kept here for a user of the directory.
func (s *Syncer) Local(ctx context.Context, user ulid.ULID) error {
	has, err := s.Has(ctx, user)
	if err == nil && has {
		err = resource.Errorf(resource.Conflict, "the directory has the password of this user; it is changed there")
	}
	return err
}
