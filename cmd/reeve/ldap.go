package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/group"
	"reeve/resource/job"
	"reeve/resource/ldap"
	"reeve/resource/ldap/directory"
	"reeve/resource/module"
	"reeve/resource/role"
	"reeve/resource/setting"
	"reeve/resource/user"
)

// The settings of the module ldap.
var (
	ldapURLs = setting.New("auth.ldap.urls", []string(nil),
		"The servers of the directory, all with the same entries, in the order in which they are asked: ldaps://host, or ldap://host, with StartTLS. None is no directory.",
		func(urls []string) error {
			for _, u := range urls {
				if err := directory.CheckURL(u); err != nil {
					return err
				}
			}
			return nil
		}).Privileged()
	ldapAllowPlain   = setting.New("auth.ldap.allow_plain", false, "Whether servers of ldap:// are asked without TLS: passwords then travel in the clear.").Privileged()
	ldapCAFile       = setting.New("auth.ldap.ca_file", "", "The file of the certificates (PEM) that sign those of the servers; what the system trusts if empty.").Privileged()
	ldapBindDN       = setting.New("auth.ldap.bind_dn", "", "Who searches the directory; nobody in particular if empty.", directory.CheckDN).Privileged()
	ldapBindPassword = setting.New("auth.ldap.bind_password", "", "The password of bind_dn.").Privileged().Secret()
	ldapTimeout      = setting.New("auth.ldap.timeout", 3*time.Second, "How long a sign-in, or a page of a sync, may take at a server.", func(d time.Duration) error {
		if d < 100*time.Millisecond || d > time.Minute {
			return errors.New("must be from 100ms to 1m")
		}
		return nil
	})
	ldapUserBase   = setting.New("auth.ldap.user_base", "", "Below what entry users are: ou=people,dc=example,dc=com.", directory.CheckDN).Privileged()
	ldapUserFilter = setting.New("auth.ldap.user_filter", "(objectClass=inetOrgPerson)",
		"Which of the entries below it are users. One who does not meet it any more is gone.", directory.CheckFilter).Privileged()
	ldapUsername    = setting.New("auth.ldap.username_attribute", "uid", "The attribute that has the username.", directory.CheckAttribute).Privileged()
	ldapEmail       = setting.New("auth.ldap.email_attribute", "mail", "The attribute that has the email address.", directory.CheckAttribute)
	ldapDisplayName = setting.New("auth.ldap.display_name_attribute", "cn", "The attribute that has the name to display.", directory.CheckAttribute)
	ldapID          = setting.New("auth.ldap.id_attribute", "entryUUID",
		"The attribute by which an entry is known for ever: entryUUID, or objectGUID of Active Directory.", directory.CheckAttribute).Privileged()
	ldapMember = setting.New("auth.ldap.member_attribute", "member", "The attribute of groups that has their members: by their DN or, if it is memberUid, by their username.",
		directory.CheckAttribute).Privileged()
	ldapMappings = setting.New("auth.ldap.mappings", []ldap.Mapping(nil),
		"What those in a group of the directory get here: [{group_dn, roles, groups}], with the names of roles and the keys of groups; the group_dn * is everybody. "+
			"Users of the directory have the roles and groups that are named here by it alone.",
		func(mappings []ldap.Mapping) error {
			for _, m := range mappings {
				if err := directory.CheckDN(m.GroupDN); m.GroupDN == "" || m.GroupDN != "*" && err != nil {
					return errors.New("must have a distinguished name or * in each group_dn")
				}
			}
			return nil
		}).Privileged()
	ldapSyncInterval = setting.New("auth.ldap.sync_interval", time.Hour, "How long after a sync the next one begins by itself; 0 for never.", func(d time.Duration) error {
		if d != 0 && d < time.Minute {
			return errors.New("must be 0, for never, or at least 1m")
		}
		return nil
	})
)

// probing is how often each server of the directory is asked whether it answers.
const probing = 15 * time.Second

// newLDAP is the module ldap.
func (a *app) newLDAP(c *configuration, jobs job.Store) module.Module {
	client := directory.New(func() directory.Config {
		return directory.Config{
			URLs: ldapURLs.In(c), AllowPlain: ldapAllowPlain.In(c), CAFile: ldapCAFile.In(c), BindDN: ldapBindDN.In(c), Password: ldapBindPassword.In(c),
			Timeout: ldapTimeout.In(c), Base: ldapUserBase.In(c), Filter: ldapUserFilter.In(c),
			Username: ldapUsername.In(c), Email: ldapEmail.In(c), DisplayName: ldapDisplayName.In(c), ID: ldapID.In(c), Member: ldapMember.In(c),
		}
	}, a.log)
	a.directory = ldap.New(ldap.Config{
		Database: a.database, Engine: a.engine, Accounts: a.ldapAccounts, Directory: client, Users: a.ldapUsers,
		Roles:    ldap.Grants{Find: idBy(&role.Schema, a.roles.List, "name"), Held: a.holding("roles"), Change: changeRoles},
		Groups:   ldap.Grants{Find: idBy(&group.Schema, a.groups.List, "key"), Held: a.holding("group.members"), Change: changeMembers},
		Mappings: func() []ldap.Mapping { return ldapMappings.In(c) }, Log: a.log,
	})
	return module.Module{
		Name: "ldap", Doc: "Users whose passwords, names and memberships a directory keeps.",
		Types: a.directory.Types(func(ctx context.Context) (d ldap.Directory, err error) {
			d.Enabled = len(ldapURLs.In(c)) > 0
			if d.Accounts, err = total(a.ldapAccounts.List, nil)(ctx); err == nil {
				d.Gone, err = total(a.ldapAccounts.List, resource.NotNull("gone_at"))(ctx)
			}
			if err != nil {
				return d, err
			}
			last, err := resource.First(ctx, jobs.List, resource.All{resource.Equal("kind", ldapSync), resource.Equal("state", job.Done)}, "-created_at")
			if last != nil {
				d.LastSyncAt = last.FinishedAt
			}
			return d, err
		}),
		Jobs: []job.Kind{a.ldapSync(c)},
		Run: func(ctx context.Context) error {
			ticker := time.NewTicker(probing)
			defer ticker.Stop()
			for {
				client.Probe(ctx)
				select {
				case <-ctx.Done():
					return nil
				case <-ticker.C:
				}
			}
		},
	}
}

// ldapSync is the name of the kind of job that syncs.
const ldapSync = "ldap-sync"

// ldapSync is the kind of job that makes users what the directory says.
func (a *app) ldapSync(c *configuration) job.Kind {
	return job.Kind{
		Name: ldapSync, Doc: "Make users of everybody in the directory, change those who are, and deactivate those who are gone. The report says who is left out, and why.",
		Every: func() time.Duration {
			if len(ldapURLs.In(c)) == 0 {
				return 0
			}
			return ldapSyncInterval.In(c)
		},
		Step: job.ReadSteps(a.directory.Read, func(ctx context.Context, at *ldap.Place, page ldap.Page, p *job.Progress) error {
			out, err := a.directory.Write(ctx, at, page, p.Done)
			if err != nil {
				return err
			}
			for _, note := range out.Notes {
				if !slices.Contains(p.Report, note) { // whoever begins again finds the same
					p.Note("%s", note)
				}
			}
			if p.Done = out.Seen; out.Done {
				p.Total = p.Done
				p.Finish()
			}
			return nil
		}),
	}
}

// serves reports whether a type is served just now.
func (a *app) serves(typ string) bool { return a.engine.Registry().Type(typ) != nil }

// elsewhere asks the directory whether a password is that of a name, if there is one.
func (a *app) elsewhere(ctx context.Context, username, password string) error {
	if len(ldapURLs.In(a.config)) == 0 || !a.serves(ldap.Schema.Name) {
		return auth.ErrInvalid
	}
	return a.directory.Verify(ctx, username, password)
}

// passwordHere refuses to have a password kept for a user of the directory.
func (a *app) passwordHere(ctx context.Context, id ulid.ULID) error {
	return a.directory.Local(ctx, id)
}

// ldapUsers are users as the directory is compared with them.
func (a *app) ldapUsers(ctx context.Context, where resource.Condition) ([]ldap.User, error) {
	page, err := a.users.List(ctx, resource.Query{
		Where: where, Window: pagination.First(pagination.MaxSize), Count: pagination.CountNone, Fields: []string{"username", "email", "display_name", "deactivated_at"},
	})
	if err != nil {
		return nil, err
	}
	users := make([]ldap.User, len(page.Rows))
	for i, u := range page.Rows {
		users[i] = ldap.User{ID: u.ID, Username: u.Username, Email: u.Email, DisplayName: u.DisplayName, Deactivated: !u.DeactivatedAt.IsZero()}
	}
	return users, nil
}

// idBy finds the id of the one row that has a value in an attribute which is unique; zero if there is none.
func idBy[T any](schema *resource.Schema[T], list func(context.Context, resource.Query) (resource.Page[T], error), attribute string) func(context.Context, string) (ulid.ULID, error) {
	return func(ctx context.Context, value string) (id ulid.ULID, err error) {
		found, err := resource.Only(ctx, list, attribute, value)
		if err == nil && found != nil {
			id = *schema.ID(found)
		}
		return id, err
	}
}

// holding finds those among some users who have a relation to the resource with an id.
func (a *app) holding(relation string) func(ctx context.Context, id ulid.ULID, among []ulid.ULID) ([]ulid.ULID, error) {
	return func(ctx context.Context, id ulid.ULID, among []ulid.ULID) ([]ulid.ULID, error) {
		var some resource.Any
		for _, user := range among {
			some = append(some, resource.Equal("id", user))
		}
		page, err := a.users.List(ctx, resource.Query{
			Where:  resource.All{resource.Exists{Relation: relation, Condition: resource.Equal("id", id)}, some},
			Window: pagination.First(pagination.MaxSize), Count: pagination.CountNone, Fields: []string{},
		})
		ids := make([]ulid.ULID, len(page.Rows))
		for i := range page.Rows {
			ids[i] = page.Rows[i].ID
		}
		return ids, err
	}
}

// changeRoles are the operations that give some users a role, or take it from them.
func changeRoles(verb string, id ulid.ULID, users []ulid.ULID) (ops []resource.Operation) {
	for _, u := range users {
		ops = append(ops, resource.Operation{Verb: verb, Type: user.Schema.Name, ID: u, Relationship: "roles",
			Body: resource.Body{Relationships: map[string][]resource.Identifier{"roles": {{Type: role.Schema.Name, ID: id}}}}})
	}
	return ops
}

// changeMembers are the operations that make some users members of a group, or have them leave it.
func changeMembers(verb string, id ulid.ULID, users []ulid.ULID) []resource.Operation {
	members := make([]resource.Identifier, len(users))
	for i, u := range users {
		members[i] = resource.Identifier{Type: user.Schema.Name, ID: u}
	}
	return []resource.Operation{{Verb: verb, Type: group.Schema.Name, ID: id, Relationship: "members",
		Body: resource.Body{Relationships: map[string][]resource.Identifier{"members": members}}}}
}
