package contact

import (
	"slices"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
)

// Those who are settled at once have at most maxSettled contacts together, or should have: 100 users who become a
// group, or 10 who join one of a thousand. Each counts for atLeast, and one is always settled. It is less than a second's
// work. A user who should have more than maxShared is made none.
const (
	maxSettled = 10_000
	atLeast    = 50
	maxShared  = 20_000
)

type syncArgument struct{ users []string }

var syncArguments = []resource.Attribute[syncArgument]{
	resource.Attr("users", func(a *syncArgument) *[]string { return &a.users }, resource.IDs).Required().Doc("The ids of the users.").
		Example([]string{"01J2KDPHTZYW3TAT1SKVAD63SQ"}),
}

// syncing is one call of sync.
type syncing struct {
	roster
	tx            *resource.Tx
	members       map[ulid.ULID][]ulid.ULID // of the groups that were asked for
	made, removed int                       // pairs
}

// sync makes the contacts of some users what their groups say. What it makes and takes away is told by its own event,
// since it may be much.
func (r roster) sync(tx *resource.Tx, a *syncArgument) (resource.Meta, error) {
	// Two changes of groups at once may concern the same pair: the second one sees what the first one left.
	if err := tx.Lock(lock); err != nil {
		return nil, err
	}
	s := syncing{roster: r, tx: tx, members: map[ulid.ULID][]ulid.ULID{}}
	settled, left := 0, maxSettled
	users, err := resource.ParseIDs(a.users)
	if err != nil {
		return nil, err
	}
	for _, user := range users {
		should, err := s.should(user)
		if err != nil {
			return nil, err
		}
		is, err := s.is(user)
		if err != nil {
			return nil, err
		}
		if left -= max(len(should), len(is), atLeast); left < 0 && settled > 0 {
			break
		}
		if err := s.settle(user, should, is); err != nil {
			return nil, err
		}
		settled++
	}
	tx.Affected(s.made + s.removed)
	return resource.Meta{"settled": settled, "made": s.made, "removed": s.removed}, nil
}

// should are those who are in a group with a user.
func (s *syncing) should(user ulid.ULID) (map[ulid.ULID]bool, error) {
	of, err := s.groups.Of(s.tx, user)
	if err != nil {
		return nil, err
	}
	should := map[ulid.ULID]bool{}
	for _, g := range of[user] {
		members, known := s.members[g.ID]
		if !known {
			if members, err = s.groups.Members(s.tx, g.ID); err != nil {
				return nil, err
			}
			s.members[g.ID] = members
		}
		for _, id := range members {
			should[id] = true
		}
	}
	delete(should, user)
	return should, nil
}

// is are the contacts of a user, with whether they were made by hand.
func (s *syncing) is(user ulid.ULID) (map[ulid.ULID]bool, error) {
	is := map[ulid.ULID]bool{}
	window := pagination.First(pagination.MaxSize)
	for {
		page, err := s.Store.List(s.tx, resource.Query{
			Where: resource.Equal("user", user), Window: window, Count: pagination.CountNone, Fields: []string{"contact", "manual"},
		})
		if err != nil {
			return nil, err
		}
		for i := range page.Rows {
			is[page.Rows[i].Contact] = page.Rows[i].Manual
		}
		if !page.Next {
			return is, nil
		}
		window = window.Next(pagination.At(page.Rows[len(page.Rows)-1].ID))
	}
}

// settle makes the contacts that a user should have and has not, and takes away those that only a group made and that
// they should not have.
func (s *syncing) settle(user ulid.ULID, should, is map[ulid.ULID]bool) error {
	var missing []*Contact
	for other := range should {
		if _, there := is[other]; !there && len(should) <= maxShared {
			missing = append(missing, s.entry(user, other), s.entry(other, user))
		}
	}
	if err := s.Store.Create(s.tx, missing...); err != nil {
		return err
	}
	s.made += len(missing) / 2
	var gone []ulid.ULID
	for other, manual := range is {
		if !manual && !should[other] {
			gone = append(gone, other)
		}
	}
	for some := range slices.Chunk(gone, batch) {
		removed := 0
		for _, where := range []resource.Condition{between("user", user, "contact", some), between("contact", user, "user", some)} {
			n, err := s.Prune(s.tx, where, s.tx.Now, batch)
			if err != nil {
				return err
			}
			removed += n
		}
		s.removed += removed / 2
	}
	return nil
}

// entry is one of the two entries that a group makes of two members.
func (s *syncing) entry(user, contact ulid.ULID) *Contact {
	return &Contact{ID: s.tx.NewID(), User: user, Contact: contact, Subscription: Both, Groups: []string{}, CreatedAt: s.tx.Now}
}

// between are the entries of one user and several others in which they are the one and those the other.
func between(one string, user ulid.ULID, other string, users []ulid.ULID) resource.Condition {
	var any resource.Any
	for _, id := range users {
		any = append(any, resource.Equal(other, id))
	}
	return resource.All{resource.Equal(one, user), any}
}
