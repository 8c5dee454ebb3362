// Package ldap is what the module ldap has: users whose passwords, names and memberships a directory keeps.
package ldap

import (
	"context"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
	"reeve/resource/ldap/directory"
)

// Account says that a user is somebody in the directory, and who.
type Account struct {
	ID, User                    ulid.ULID
	DN                          string
	Entry                       string // the ID of the directory's entry, see [directory.Person]
	CreatedAt, SyncedAt, GoneAt time.Time
}

// maxDN is how many characters a distinguished name may have that is kept.
const maxDN = 2000

// AccountSchema is the entity ldap-account.
var AccountSchema = resource.Schema[Account]{
	Name: "ldap-account", Plural: "ldap-accounts",
	Doc: "That a user is somebody in the directory, which has their password. Once it is deleted the user is one like all others, without a password; a sync takes nobody over who has a name of the directory.",
	ID:  func(a *Account) *ulid.ULID { return &a.ID },
	Attributes: []resource.Attribute[Account]{
		resource.Attr("dn", func(a *Account) *string { return &a.DN }).ReadOnly().Confidential().MaxLength(maxDN).Filter(resource.Contains).
			Doc("The distinguished name of their entry, as it was last seen.").Example("uid=kilgore,ou=people,dc=example,dc=com"),
		resource.Attr("entry", func(a *Account) *string { return &a.Entry }).Hidden().Unique().MaxLength(maxDN),
		resource.Attr("created_at", func(a *Account) *time.Time { return &a.CreatedAt }).Created(),
		resource.Attr("synced_at", func(a *Account) *time.Time { return &a.SyncedAt }).ReadOnly().Quiet().
			Doc("When the directory was last seen to have them: by a sync, as of its beginning, or as they signed in."),
		resource.Attr("gone_at", func(a *Account) *time.Time { return &a.GoneAt }).Nullable().ReadOnly().
			Doc("When a sync deactivated the user, since the directory has them no more. One that finds them there again reactivates the user."),
	},
	References: []resource.Reference[Account]{
		resource.ToOne("user", "user", func(a *Account) *ulid.ULID { return &a.User }).ReadOnly().OnDelete(resource.Cascade),
	},
	Filters: []resource.Filter{{Name: "status", Values: map[string]resource.Condition{"present": present, "gone": resource.NotNull("gone_at")}}},
	Sorts:   [][]string{{"synced_at"}},
	Unique:  [][]string{{"user"}},
}

var present = resource.IsNull("gone_at")

// Directory is the directory as the API shows it.
type Directory struct {
	ID             ulid.ULID
	Enabled        bool
	Accounts, Gone int64
	LastSyncAt     time.Time
}

// Schema is the singleton ldap.
var Schema = resource.Schema[Directory]{
	Name: "ldap", Plural: "ldap",
	Doc: "The directory that has accounts of users. `ldap/status` tells of each of its servers.",
	ID:  func(d *Directory) *ulid.ULID { return &d.ID },
	Attributes: []resource.Attribute[Directory]{
		resource.Attr("enabled", func(d *Directory) *bool { return &d.Enabled }).ReadOnly().Doc("Whether `auth.ldap.urls` names any server."),
		resource.Attr("accounts", func(d *Directory) *int64 { return &d.Accounts }).ReadOnly().Doc("How many users are of the directory."),
		resource.Attr("gone", func(d *Directory) *int64 { return &d.Gone }).ReadOnly().Doc("How many of them it has no more."),
		resource.Attr("last_sync_at", func(d *Directory) *time.Time { return &d.LastSyncAt }).Nullable().ReadOnly().Doc("When the last job `ldap-sync` was done."),
	},
}

// Server is a server of the directory, as the node that answers knows it.
type Server struct {
	ID, Directory ulid.ULID
	directory.Server
}

// ServerSchema is the entity ldap-server.
var ServerSchema = resource.Schema[Server]{
	Name: "ldap-server", Plural: "ldap-servers",
	Doc: "A server of the directory, as the node that answers knows it. All of them have the same entries; the first that answers is asked.",
	ID:  func(s *Server) *ulid.ULID { return &s.ID },
	Attributes: []resource.Attribute[Server]{
		resource.Attr("url", func(s *Server) *string { return &s.URL }).Unique().ReadOnly().Example("ldaps://ldap.example.com"),
		resource.Attr("reachable", func(s *Server) *bool { return &s.Reachable }).ReadOnly().Filter(resource.Eq).
			Doc("Whether it answered when it was last asked, and let those in who search."),
		resource.Attr("error", func(s *Server) *string { return &s.Error }).Nullable().ReadOnly().Doc("Why not. Then it is left alone for some seconds."),
		resource.Attr("checked_at", func(s *Server) *time.Time { return &s.CheckedAt }).Nullable().ReadOnly(),
		resource.Attr("last_sync_at", func(s *Server) *time.Time { return &s.ListedAt }).Nullable().ReadOnly().Doc("When this node was last told by it of everybody."),
		resource.Attr("sign_ins", func(s *Server) *int64 { return &s.SignIns }).ReadOnly().Doc("How many passwords it has found right since the start of this node."),
		resource.Attr("refusals", func(s *Server) *int64 { return &s.Refusals }).ReadOnly().Doc("And how many wrong."),
	},
	References: []resource.Reference[Server]{
		resource.ToOne("ldap", Schema.Name, func(s *Server) *ulid.ULID { return &s.Directory }).ReadOnly().Inverse("status"),
	},
}

// Types serves the directory as current tells of it, its servers, and who is somebody there.
func (s *Syncer) Types(current func(ctx context.Context) (Directory, error)) []resource.Declaration {
	servers := resource.NewSnapshot(ServerSchema, s.servers)
	accounts := s.config.Accounts
	return []resource.Declaration{
		resource.Type[Directory]{
			Schema: Schema, Singleton: true,
			Get: func(ctx context.Context, id ulid.ULID) (*Directory, error) {
				d, err := current(ctx)
				d.ID = id
				return &d, err
			},
			Actions: []resource.Action[Directory]{
				resource.Run[Directory]("reload", nil, func(*resource.Tx, ulid.ULID, *resource.None) (resource.Meta, error) { return nil, nil }).
					First(s.reload).
					Doc("Have the node that answers ask every server now, also those that it leaves alone since they did not answer. 409 if the file of certificates cannot be read. `ldap/status` tells what came of it."),
			},
		},
		resource.Type[Server]{Schema: ServerSchema, List: servers.List, Get: servers.Get},
		resource.Type[Account]{Schema: AccountSchema, List: accounts.List, Get: accounts.Get, Delete: accounts.Delete},
	}
}

func (s *Syncer) servers(context.Context) (all []Server, err error) {
	for _, server := range s.config.Directory.Servers() {
		all = append(all, Server{ID: resource.NamedID(ServerSchema.Name, server.URL), Directory: resource.NamedID(Schema.Name, ""), Server: server})
	}
	return all, nil
}

func (s *Syncer) reload(ctx context.Context, _ resource.Body) error {
	if err := s.config.Directory.Check(); err != nil {
		return resource.Errorf(resource.Conflict, "%v", err)
	}
	s.config.Directory.Probe(ctx)
	return nil
}
