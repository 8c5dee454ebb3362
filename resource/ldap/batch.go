package ldap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/ldap/directory"
)

// batch is some people who are made users, in one transaction.
type batch struct {
	*Syncer
	mappings []Mapping
	now      time.Time            // what their accounts are then synced at
	stay     map[ulid.ULID]string // users, roles and groups that are left as they are, and why
	notes    []string
}

// note tells who reads the report of a job, which stays when a user is erased: it names users by their ids alone.
func (b *batch) note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

// named is how a user is named in notes.
func named(user ulid.ULID) string { return "the user " + user.String() }

// refused says that something is not to be done, and has undone the whole batch: without it, the rest can be done.
type refused struct {
	id  ulid.ULID
	err error
}

func (r refused) Error() string { return r.err.Error() }
func (r refused) Unwrap() error { return r.err }

// again reports whether a batch whose transaction was undone can be tried again: without what was refused or, if somebody
// else was faster, as it is.
func (b *batch) again(err error) bool {
	var not refused
	if errors.As(err, &not) {
		b.stay[not.id] = resource.AllErrors(not.err).Error()
		return true
	}
	return resource.Is(err, resource.Taken)
}

// do carries out operations as the program itself, unless what they are about is to stay as it is.
func (b *batch) do(ctx context.Context, about ulid.ULID, name string, ops ...resource.Operation) error {
	if why, stays := b.stay[about]; stays {
		b.note("%s: %s", name, why)
		return nil
	}
	for i := range ops {
		ops[i].Principal = auth.System
	}
	_, err := b.config.Engine.Do(ctx, ops...)
	if resource.Is(err, resource.Conflict, resource.Taken, resource.Invalid, resource.Referenced) {
		return refused{about, err}
	}
	return err
}

// record notes what has become of an account.
func (b *batch) record(ctx context.Context, verb string, id ulid.ULID, before, after *Account) error {
	event := resource.NewEvent(ctx, b.now, auth.System, verb, resource.Identifier{Type: AccountSchema.Name, ID: id})
	event.Changes = AccountSchema.Changes(before, after)
	return b.config.Database.Record(ctx, event)
}

// apply makes users of people, or changes those that they are. Whom it leaves out, it notes.
func (b *batch) apply(ctx context.Context, people []directory.Person) error {
	accounts, users, err := b.known(ctx, people)
	if err != nil {
		return err
	}
	byID, byName, byEmail := map[ulid.ULID]*User{}, map[string]ulid.ULID{}, map[string]ulid.ULID{}
	for i := range users {
		u := &users[i]
		byID[u.ID], byName[u.Username] = u, u.ID
		if u.Email != "" {
			byEmail[u.Email] = u.ID
		}
	}
	wanted := map[ulid.ULID]directory.Person{} // by user
	var unchanged resource.Any
	for _, p := range people {
		account := accounts[p.ID]
		switch {
		case account != nil && account.SyncedAt.Equal(b.now) && account.DN != p.DN: // of another page of this sync
			return b.same(ctx, p)
		case account != nil && !account.SyncedAt.Before(b.now): // at a sign-in meanwhile, or on a page before
			continue
		case account == nil && byName[p.Username] != ulid.ULID{}:
			b.note("%s has the username of somebody in the directory, and is not taken over", named(byName[p.Username]))
			continue
		}
		var current *User
		if account != nil {
			if current = byID[account.User]; current == nil { // gone just now
				continue
			}
		}
		if owner, taken := byEmail[p.Email]; taken && (current == nil || owner != current.ID) {
			b.note("%s has the email address that somebody else has in the directory", named(owner))
			p.Email = ""
			if current != nil {
				p.Email = current.Email
			}
		}
		var id ulid.ULID
		if account == nil {
			id, err = b.create(ctx, p)
		} else {
			id, err = account.User, b.change(ctx, p, account, current)
			unchanged = append(unchanged, resource.Equal("id", account.ID))
		}
		if err != nil {
			return err
		}
		if id == (ulid.ULID{}) {
			continue
		}
		wanted[id], byName[p.Username] = p, id
		if p.Email != "" {
			byEmail[p.Email] = id
		}
	}
	if len(unchanged) > 0 {
		if _, err := b.config.Accounts.Assign(ctx, unchanged, &Account{SyncedAt: b.now}, "synced_at"); err != nil {
			return err
		}
	}
	return b.grant(ctx, wanted)
}

// same is a Conflict: somebody is known by what somebody else of the directory is known by.
func (b *batch) same(ctx context.Context, p directory.Person) error {
	b.config.Log.WarnContext(ctx, "somebody in the directory has the auth.ldap.id_attribute of somebody else", "dn", p.DN)
	return resource.Errorf(resource.Conflict, "two people in the directory have the same auth.ldap.id_attribute; nobody is deactivated")
}

// known are the accounts of people, by their entries, and all users who are them, or have their names.
func (b *batch) known(ctx context.Context, people []directory.Person) (map[string]*Account, []User, error) {
	var entries, have resource.Any
	for _, p := range people {
		entries = append(entries, resource.Equal("entry", p.ID))
		have = append(have, resource.Equal("username", p.Username))
		if p.Email != "" {
			have = append(have, resource.Equal("email", p.Email))
		}
	}
	page, err := b.config.Accounts.List(ctx, resource.Query{Where: entries, Window: pagination.First(pagination.MaxSize), Count: pagination.CountNone})
	if err != nil {
		return nil, nil, err
	}
	accounts := map[string]*Account{}
	for i := range page.Rows {
		a := &page.Rows[i]
		accounts[a.Entry] = a
		have = append(have, resource.Equal("id", a.User))
	}
	users, err := b.config.Users(ctx, have)
	return accounts, users, err
}

// attributes are those of a user that the directory says, without those that no user can have; they are nil where it says
// nothing. It prepares the operation with them.
func (b *batch) attributes(ctx context.Context, p directory.Person, op resource.Operation) (*resource.Prepared, error) {
	for {
		op.Principal = auth.System
		prepared, err := b.config.Engine.Prepare(ctx, op)
		if err == nil {
			return &prepared, nil
		}
		if !resource.Is(err, resource.Invalid) {
			return nil, err
		}
		left := len(op.Body.Attributes)
		who := "somebody in the directory"
		if op.Verb == resource.Update {
			who = named(op.ID)
		}
		b.config.Log.WarnContext(ctx, "the directory says what no user can be", "dn", p.DN, "error", err)
		for _, failure := range resource.AllErrors(err) {
			b.note("%s: %s", who, failure)
			for _, name := range []string{"email", "display_name"} {
				if failure.Pointer == resource.Pointer("attributes", name) {
					delete(op.Body.Attributes, name)
				}
			}
		}
		if len(op.Body.Attributes) == left { // it is the username
			return nil, nil
		}
	}
}

// text is an attribute that may be null.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// create makes somebody a user; none, if they can be none.
func (b *batch) create(ctx context.Context, p directory.Person) (user ulid.ULID, err error) {
	user = ulid.Make()
	prepared, err := b.attributes(ctx, p, resource.Operation{Verb: resource.Create, Type: "user", ID: user, Body: resource.Body{
		Attributes: map[string]any{"username": p.Username, "email": text(p.Email), "display_name": text(p.DisplayName)}}})
	if err != nil || prepared == nil {
		return ulid.ULID{}, err
	}
	if _, err := prepared.Do(ctx); err != nil {
		return ulid.ULID{}, err
	}
	account := &Account{ID: ulid.Make(), User: user, DN: p.DN, Entry: p.ID, CreatedAt: b.now, SyncedAt: b.now}
	if err := b.config.Accounts.Create(ctx, account); err != nil {
		return ulid.ULID{}, err
	}
	return user, b.record(ctx, resource.Create, account.ID, nil, account)
}

// change makes a user what the directory says of them now.
func (b *batch) change(ctx context.Context, p directory.Person, account *Account, u *User) error {
	if p.Username != u.Username {
		b.note("%s has another username in the directory, and keeps the one that they have here", named(u.ID))
	}
	if !account.GoneAt.IsZero() || account.DN != p.DN {
		var before *Account
		after, err := b.config.Accounts.Update(ctx, account.ID, func(row *Account) error {
			before = AccountSchema.Copy(row)
			row.DN, row.GoneAt = p.DN, time.Time{}
			return nil
		})
		if err == nil {
			err = b.record(ctx, resource.Update, account.ID, before, after)
		}
		if err != nil {
			return err
		}
	}
	if !account.GoneAt.IsZero() && u.Deactivated {
		if err := b.do(ctx, u.ID, named(u.ID), resource.Operation{Verb: "reactivate", Type: "user", ID: u.ID}); err != nil {
			return err
		}
	}
	attributes := map[string]any{}
	if p.Email != u.Email {
		attributes["email"] = text(p.Email)
	}
	if p.DisplayName != u.DisplayName {
		attributes["display_name"] = text(p.DisplayName)
	}
	if len(attributes) == 0 {
		return nil
	}
	prepared, err := b.attributes(ctx, p, resource.Operation{Verb: resource.Update, Type: "user", ID: u.ID, Body: resource.Body{Attributes: attributes}})
	if err != nil || prepared == nil {
		return err
	}
	_, err = prepared.Do(ctx)
	return err
}

// grant gives people the roles and the groups that mappings name, and takes those from them that no mapping gives them.
func (b *batch) grant(ctx context.Context, people map[ulid.ULID]directory.Person) error {
	if len(people) == 0 {
		return nil
	}
	for _, kind := range []struct {
		word   string
		of     func(m Mapping) []string
		grants Grants
	}{
		{"role", func(m Mapping) []string { return m.Roles }, b.config.Roles},
		{"group", func(m Mapping) []string { return m.Groups }, b.config.Groups},
	} {
		given := map[string]map[ulid.ULID]bool{} // to whom, by name
		for _, m := range b.mappings {
			for _, name := range kind.of(m) {
				if given[name] == nil {
					given[name] = map[ulid.ULID]bool{}
				}
				for user, p := range people {
					if m.GroupDN == everybody || slices.Contains(p.Groups, m.GroupDN) {
						given[name][user] = true
					}
				}
			}
		}
		for _, name := range slices.Sorted(maps.Keys(given)) {
			id, err := kind.grants.Find(ctx, name)
			if err != nil {
				return err
			}
			if id == (ulid.ULID{}) {
				b.note("there is no %s %s, which auth.ldap.mappings names", kind.word, name)
				continue
			}
			if err := b.settle(ctx, kind.grants, id, kind.word+" "+name, given[name], slices.SortedFunc(maps.Keys(people), ulid.ULID.Compare)); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle has those among some users hold a grant who should, and no others of them.
func (b *batch) settle(ctx context.Context, grants Grants, id ulid.ULID, name string, should map[ulid.ULID]bool, among []ulid.ULID) error {
	held, err := grants.Held(ctx, id, among)
	if err != nil {
		return err
	}
	var add, remove []ulid.ULID
	for _, user := range among {
		switch has := slices.Contains(held, user); {
		case should[user] && !has:
			add = append(add, user)
		case has && !should[user]:
			remove = append(remove, user)
		}
	}
	if len(add) > 0 {
		if err := b.do(ctx, id, name, grants.Change(resource.Link, id, add)...); err != nil {
			return err
		}
	}
	if len(remove) > 0 {
		return b.do(ctx, id, name, grants.Change(resource.Unlink, id, remove)...)
	}
	return nil
}
