package ldap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/ldap/directory"
)

// Mapping gives those who are in a group of the directory roles and groups here.
type Mapping struct {
	GroupDN string   `json:"group_dn"` // or * for everybody in the directory
	Roles   []string `json:"roles,omitempty"`
	Groups  []string `json:"groups,omitempty"` // their keys
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
type Grants interface {
	// Find is the id of the one with a name; zero if there is none.
	Find(ctx context.Context, name string) (ulid.ULID, error)
	// Held are those among some users who have one.
	Held(ctx context.Context, id ulid.ULID, among []ulid.ULID) ([]ulid.ULID, error)
	// Change are the operations that give it to some users, or take it from them.
	Change(verb string, id ulid.ULID, users []ulid.ULID) []resource.Operation
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

// Verify is an [auth.ElsewhereFunc]: whoever signs in first by a name that nobody has here gets an account. A user of the
// directory keeps the name that they have here, whatever they are called there later.
func (s *Syncer) Verify(ctx context.Context, username, password string) error {
	name := directory.Name{Username: username}
	if username != "" {
		users, err := s.config.Users(ctx, resource.Equal("username", username))
		if err != nil {
			return err
		}
		if len(users) > 0 {
			account, err := s.account(ctx, users[0].ID)
			if err != nil {
				return err
			}
			if account == nil {
				return auth.ErrInvalid
			}
			name = directory.Name{ID: account.Entry}
		}
	}
	mappings := s.config.Mappings()
	person, err := s.config.Directory.Verify(ctx, name, password, dns(mappings))
	switch {
	case errors.Is(err, directory.ErrPassword):
		return auth.ErrInvalid
	case errors.Is(err, directory.ErrUnreachable):
		return resource.Errorf(resource.Unavailable, "who signs in like this cannot be told: no server of the directory answers")
	case errors.Is(err, directory.ErrRefused): // the log says what
		return resource.Errorf(resource.Unavailable, "who signs in like this cannot be told: the directory does not say")
	case err != nil:
		return err
	case name.ID == "" && person.Username != username: // servers compare names in their own way, attempts are counted by what is given
		return auth.ErrInvalid
	}
	var b *batch
	for range 2 { // another node may be faster with the same person
		err = s.config.Database.Transact(ctx, func(ctx context.Context) error {
			b = &batch{Syncer: s, mappings: mappings, now: resource.Cut(time.Now()), stay: map[ulid.ULID]string{}}
			return b.apply(ctx, []directory.Person{*person})
		})
		if !resource.Is(err, resource.Taken) {
			break
		}
	}
	if err == nil {
		for _, note := range b.notes {
			s.config.Log.WarnContext(ctx, "somebody signs in by the directory", "note", note)
		}
		return nil
	}
	if name.ID != "" { // what they may do is what the last sync said
		s.config.Log.WarnContext(ctx, "a user signs in who is not as the directory says", "dn", person.DN, "error", err)
		return nil
	}
	return err
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

// batch is some people who are made users, in one transaction.
type batch struct {
	*Syncer
	mappings []Mapping
	now      time.Time            // what their accounts are then synced at
	stay     map[ulid.ULID]string // users, roles and groups that are left as they are, and why
	notes    []string
}

func (b *batch) note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

// refused says that something is not to be done, and has undone the whole batch: without it, the rest can be done.
type refused struct {
	id  ulid.ULID
	err error
}

func (r refused) Error() string { return r.err.Error() }
func (r refused) Unwrap() error { return r.err }

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
		case account != nil && !account.SyncedAt.Before(b.now): // by a sync that was cut off, or at a sign-in meanwhile
			continue
		case account == nil && byName[p.Username] != ulid.ULID{}:
			b.note("%s: the username %s is somebody else's here, who is not taken over", p.DN, p.Username)
			continue
		}
		var current *User
		if account != nil {
			if current = byID[account.User]; current == nil { // gone just now
				continue
			}
		}
		if owner, taken := byEmail[p.Email]; taken && (current == nil || owner != current.ID) {
			b.note("%s: the email address is another user's", p.DN)
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
		for _, failure := range resource.AllErrors(err) {
			b.note("%s: %s", p.DN, failure)
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
		b.note("%s is called %s there, and goes on to be %s here", p.DN, p.Username, u.Username)
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
		if err := b.do(ctx, u.ID, p.DN, resource.Operation{Verb: "reactivate", Type: "user", ID: u.ID}); err != nil {
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

// Place is where a sync stands. Everybody in the directory comes first; then whoever was not among them.
type Place struct {
	Begun   time.Time // zero at the beginning
	Listing ulid.ULID // that the pages are of
	Pages   int
	Listed  bool      // all of them
	After   ulid.ULID // the account up to which those are done who are gone
}

// Page is a page of the directory.
type Page struct {
	place    Place // after it
	people   []directory.Person
	mappings []Mapping
	stay     map[ulid.ULID]string
}

// listing is what a node reads of the directory for a sync.
type listing struct {
	*directory.Listing // nil if another node has read it
	id                 ulid.ULID
	last               Page                 // that was read
	stay               map[ulid.ULID]string // see batch
}

// Read reads the next page of the directory. A server knows of a listing on its own connection alone (RFC 2696, 4): so a
// node that takes a sync over, or loses the connection, begins again, and passes over whom it has done.
func (s *Syncer) Read(ctx context.Context, at Place) (Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.listing
	if at.Listed {
		if l == nil || l.id != at.Listing { // another node has read it
			l = &listing{id: at.Listing, stay: map[ulid.ULID]string{}}
			s.listing = l
		}
		return Page{stay: l.stay}, nil
	}
	if l != nil && l.id == at.Listing && l.last.place.Pages == at.Pages+1 { // what came of it was undone
		return l.last, nil
	}
	if l != nil && l.id == at.Listing && l.last.place.Pages == at.Pages {
		if page, err := l.next(ctx); err == nil || ctx.Err() != nil {
			return page, err
		}
	}
	if l != nil && l.Listing != nil {
		l.Close()
	}
	s.listing = nil
	mappings := s.config.Mappings()
	begun, err := s.config.Directory.List(ctx, dns(mappings))
	if err != nil {
		return Page{}, unreadable(err)
	}
	l = &listing{Listing: begun, id: ulid.Make(), stay: map[ulid.ULID]string{}}
	l.last = Page{place: Place{Listing: l.id}, mappings: mappings, stay: l.stay}
	s.listing = l
	page, err := l.next(ctx)
	return page, unreadable(err)
}

// unreadable has a job fail, rather than try again and again.
func unreadable(err error) error {
	if errors.Is(err, directory.ErrUnreachable) {
		return resource.Errorf(resource.Conflict, "no server of the directory tells everybody who is there; ldap/status says why")
	}
	if errors.Is(err, directory.ErrRefused) {
		return resource.Errorf(resource.Conflict, "the directory does not tell everybody who is there: %v", err)
	}
	return err
}

func (l *listing) next(ctx context.Context) (Page, error) {
	people, last, err := l.Next(ctx)
	if err != nil {
		return Page{}, err
	}
	l.last.people = people
	l.last.place.Pages++
	l.last.place.Listed = last
	return l.last, nil
}

// Outcome is what a step of a sync has come to.
type Outcome struct {
	Seen  int64 // people of the directory so far
	Done  bool  // there is nothing left to do
	Notes []string
}

// Write makes users of a page of the directory, or deactivates some of those who are gone, in the transaction that the
// context holds; seen are the people so far. Where something cannot be done it is Unavailable, and leaves that out when it
// is called again.
func (s *Syncer) Write(ctx context.Context, at *Place, page Page, seen int64) (Outcome, error) {
	b := &batch{Syncer: s, mappings: page.mappings, now: at.Begun, stay: page.stay}
	if b.now.IsZero() {
		b.now = resource.Cut(time.Now())
	}
	out := Outcome{Seen: seen}
	var err error
	if at.Listed {
		out.Done, err = b.leave(ctx, at)
	} else {
		if page.place.Pages == 1 { // it has begun again
			out.Seen = 0
		}
		out.Seen += int64(len(page.people))
		if page.place.Listed && out.Seen == 0 {
			return out, resource.Errorf(resource.Conflict, "the directory has nobody who meets auth.ldap.user_filter; nobody is deactivated")
		}
		if i := slices.IndexFunc(page.people, func(p directory.Person) bool { return p.ID == "" }); i >= 0 { // else all would be taken for gone
			return out, resource.Errorf(resource.Conflict, "%s has no auth.ldap.id_attribute; nobody is deactivated", page.people[i].DN)
		}
		err = b.apply(ctx, page.people)
		*at = page.place
		at.Begun = b.now
	}
	out.Notes = b.notes
	var not refused
	switch {
	case errors.As(err, &not):
		page.stay[not.id] = resource.AllErrors(not.err).Error()
		return out, resource.Errorf(resource.Unavailable, "something is left out: %v", not.err)
	case resource.Is(err, resource.Taken): // somebody was faster
		return out, resource.Errorf(resource.Unavailable, "%v", err)
	}
	return out, err
}

// leave deactivates some of those whom the listing did not have, and answers whether there are no more.
func (b *batch) leave(ctx context.Context, at *Place) (done bool, err error) {
	page, err := b.config.Accounts.List(ctx, resource.Query{
		Where:  resource.All{present, resource.Holds("synced_at", resource.Less, at.Begun)},
		Window: pagination.First(leaving).Next(pagination.At(at.After)), Count: pagination.CountNone,
	})
	if err != nil {
		return false, err
	}
	for i := range page.Rows {
		if err := b.part(ctx, &page.Rows[i]); err != nil {
			return false, err
		}
	}
	if !page.Next {
		*at = Place{}
		return true, nil
	}
	at.After = page.Rows[len(page.Rows)-1].ID
	return false, nil
}

// leaving is how many are deactivated in one transaction.
const leaving = 100

// part deactivates the user of an account, unless somebody else has, or they cannot be spared.
func (b *batch) part(ctx context.Context, account *Account) error {
	users, err := b.config.Users(ctx, resource.Equal("id", account.User))
	if err != nil || len(users) == 0 || users[0].Deactivated {
		return err
	}
	if _, stays := b.stay[account.User]; !stays {
		var before *Account
		after, err := b.config.Accounts.Update(ctx, account.ID, func(row *Account) error {
			before = AccountSchema.Copy(row)
			row.GoneAt = resource.Cut(time.Now())
			return nil
		})
		if err == nil {
			err = b.record(ctx, resource.Update, account.ID, before, after)
		}
		if err != nil {
			return err
		}
	}
	return b.do(ctx, account.User, account.DN, resource.Operation{Verb: "deactivate", Type: "user", ID: account.User})
}
