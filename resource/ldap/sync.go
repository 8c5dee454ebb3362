package ldap

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/ldap/directory"
)

// Place is where a sync stands. Everybody in the directory comes first; then whoever was not among them.
type Place struct {
	Begun   time.Time // when the listing began
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
// node that takes a sync over, or loses the connection, begins again, and compares whom it has done once more.
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
	s.forget()
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

// forget ends the listing. Its caller has the lock.
func (s *Syncer) forget() {
	if s.listing != nil && s.listing.Listing != nil {
		s.listing.Close()
	}
	s.listing = nil
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
// is called again. It is a Conflict if what the directory says cannot be: a sync that is tried again then reads it anew.
func (s *Syncer) Write(ctx context.Context, at *Place, page Page, seen int64) (out Outcome, err error) {
	b := &batch{Syncer: s, mappings: page.mappings, now: at.Begun, stay: page.stay}
	if !at.Listed && page.place.Pages == 1 { // it begins, perhaps once more
		b.now, seen = resource.Cut(time.Now()), 0
	}
	if out.Seen = seen; at.Listed {
		out.Done, err = b.leave(ctx, at)
	} else {
		out.Seen += int64(len(page.people))
		if err = b.join(ctx, page, out.Seen); err == nil {
			*at = page.place
			at.Begun = b.now
		}
	}
	out.Notes = b.notes
	switch {
	case err != nil && b.again(err):
		return out, resource.Errorf(resource.Unavailable, "something is left out: %v", err)
	case resource.Is(err, resource.Conflict):
		s.mu.Lock()
		defer s.mu.Unlock()
		s.forget()
	}
	return out, err
}

// join makes users of a page of the directory. After the last page it is a Conflict if everybody would be taken for gone.
func (b *batch) join(ctx context.Context, page Page, seen int64) error {
	if page.place.Listed && seen == 0 {
		return resource.Errorf(resource.Conflict, "the directory has nobody who meets auth.ldap.user_filter; nobody is deactivated")
	}
	if i := slices.IndexFunc(page.people, func(p directory.Person) bool { return p.ID == "" }); i >= 0 { // else all would be taken for gone
		b.config.Log.WarnContext(ctx, "somebody in the directory has no auth.ldap.id_attribute", "dn", page.people[i].DN)
		return resource.Errorf(resource.Conflict, "somebody in the directory has no auth.ldap.id_attribute; nobody is deactivated")
	}
	there := map[string]bool{}
	for _, p := range page.people {
		if there[p.ID] {
			return b.same(ctx, p)
		}
		there[p.ID] = true
	}
	if err := b.apply(ctx, page.people); err != nil || !page.place.Listed {
		return err
	}
	return b.recognized(ctx)
}

// recognized is a Conflict if none of those whom the directory had are found there again: then it is another directory, or
// its people are known by another attribute. Who came after they were last seen tells nothing of that.
func (b *batch) recognized(ctx context.Context) error {
	gone, err := resource.First(ctx, b.config.Accounts.List, resource.All{present, b.unseen()}, "-synced_at")
	if err != nil || gone == nil {
		return err
	}
	again, err := resource.First(ctx, b.config.Accounts.List, resource.All{
		present, resource.Holds("synced_at", resource.AtLeast, b.now), resource.Holds("created_at", resource.AtMost, gone.SyncedAt),
	}, "synced_at")
	if err == nil && again == nil {
		err = resource.Errorf(resource.Conflict, "the directory has none of the users whom it had, as if auth.ldap.id_attribute were another one now; nobody is deactivated. "+
			"If they are gone, delete their ldap-accounts")
	}
	return err
}

// unseen are the accounts that the listing did not have.
func (b *batch) unseen() resource.Condition {
	return resource.Holds("synced_at", resource.Less, b.now)
}

// leave deactivates some of those whom the listing did not have, and answers whether there are no more.
func (b *batch) leave(ctx context.Context, at *Place) (done bool, err error) {
	page, err := b.config.Accounts.List(ctx, resource.Query{
		Where:  resource.All{present, b.unseen()},
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
	return b.do(ctx, account.User, named(account.User), resource.Operation{Verb: "deactivate", Type: "user", ID: account.User})
}
