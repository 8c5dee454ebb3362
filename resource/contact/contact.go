// Package contact is the entity contact: an entry in a user's roster, the list of those that they know.
package contact

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
)

// Contact is an entry in the roster of a user. Contacts are mutual: the other user has an entry too.
type Contact struct {
	ID                      ulid.ULID
	User, Contact           ulid.ULID
	Name, Subscription, Ask string
	Groups                  []string
	Manual                  bool // not made by a group alone
	CreatedAt               time.Time
}

// Whose presence is told to whom (RFC 6121, section 2.1.2.5).
const (
	None = "none"
	To   = "to"   // the contact's to the user
	From = "from" // the user's to the contact
	Both = "both"
)

// mirrored is what the contact's own entry says.
var mirrored = map[string]string{None: None, To: From, From: To, Both: Both}

// Schema is the entity contact.
var Schema = resource.Schema[Contact]{
	Name: "contact", Plural: "contacts",
	Doc: "An entry in a user's roster: somebody that they know, and who knows them by an entry of their own.",
	ID:  func(c *Contact) *ulid.ULID { return &c.ID },
	Attributes: []resource.Attribute[Contact]{
		resource.Attr("name", func(c *Contact) *string { return &c.Name }).Nullable().Confidential().Example("Billy").Doc("What the user calls the contact."),
		resource.Attr("subscription", func(c *Contact) *string { return &c.Subscription }).OneOf(None, To, From, Both).Default(Both).Filter(resource.Eq).
			Doc("Whether the user hears of the contact (to), the contact of the user (from), or both. The contact's own entry says the same the other way round, and follows."),
		resource.Attr("ask", func(c *Contact) *string { return &c.Ask }).OneOf("subscribe").Nullable().Doc("What the user has asked for, and the contact has not answered."),
		resource.Attr("groups", func(c *Contact) *[]string { return &c.Groups }).Default([]string{}).Example([]string{"Friends"}).
			Doc("Where the entry stands in the roster: what was given, and the names of the groups that both are members of."),
		resource.Attr("manual", func(c *Contact) *bool { return &c.Manual }).ReadOnly().
			Doc("Whether the contact stays when the two are no longer members of the same group. It does not if groups alone made it."),
		resource.Attr("created_at", func(c *Contact) *time.Time { return &c.CreatedAt }).Created(),
	},
	References: []resource.Reference[Contact]{
		resource.ToOne("user", "user", func(c *Contact) *ulid.ULID { return &c.User }).Required().Fixed().OnDelete(resource.Cascade).
			Inverse("contacts").Doc("Whose roster it is."),
		resource.ToOne("contact", "user", func(c *Contact) *ulid.ULID { return &c.Contact }).Required().Fixed().OnDelete(resource.Cascade),
	},
	Unique: [][]string{{"user", "contact"}},
}

// Store keeps contacts, and removes many at once.
type Store interface {
	resource.Store[Contact]
	// Prune removes those that meet a condition, at most so many, without events, and answers how many they were.
	Prune(ctx context.Context, where resource.Condition, now time.Time, most int) (removed int, err error)
}

// Groups is what contacts ask about groups, in the transaction that the context holds.
type Groups interface {
	// Of are the groups that each of some users is a member of. There are at most 4096 users.
	Of(ctx context.Context, users ...ulid.ULID) (map[ulid.ULID][]Group, error)
	// Members are the users who are members of a group.
	Members(ctx context.Context, group ulid.ULID) ([]ulid.ULID, error)
}

// Group is a group as contacts know it.
type Group struct {
	ID   ulid.ULID
	Name string
}

// roster are the contacts of all users.
type roster struct {
	Store
	groups Groups
}

// Type serves contacts out of a store. Members of the same group become contacts by the action sync.
func Type(contacts Store, groups Groups) resource.Type[Contact] {
	r := roster{contacts, groups}
	return resource.Type[Contact]{
		Schema: Schema, List: r.List, Get: r.Get, Create: r.Create, Update: r.Update, Delete: r.Delete,
		Checks: []resource.Check[Contact]{check}, Then: r.mirror,
		Actions: []resource.Action[Contact]{
			resource.Change("keep", r.Update, keep).Then(r.keepMirror).
				Doc("Have the contact stay, also when the groups go that made it."),
			resource.CollectionAction[Contact]("sync", syncArguments, r.sync).
				Doc("Make the members of each group that some users are in their contacts, and take away those that a group made and no group makes any more. " +
					"`meta.settled` is how many of the users were done, from the first on: as many as have 10,000 contacts together. " +
					"`meta.made` and `meta.removed` are numbers of pairs."),
		},
	}
}

// check refuses a user as their own contact. Whoever makes or takes away entries does so alone, since there are two
// of each.
func check(tx *resource.Tx, before, after *Contact) error {
	if after != nil && after.User == after.Contact {
		return resource.Errorf(resource.Invalid, "nobody is their own contact").At("relationships", "contact")
	}
	if before != nil && after != nil {
		return nil
	}
	return tx.Lock(lock)
}

const lock = "contacts"

// mirror has the contact's own entry follow.
func (r roster) mirror(tx *resource.Tx, before, after *Contact) error {
	about := after
	if about == nil {
		about = before
	}
	other, err := r.other(tx, about)
	if err != nil {
		return err
	}
	op := resource.Operation{Type: Schema.Name}
	switch {
	case after == nil && other != nil:
		op.Verb, op.ID = resource.Delete, other.ID
	case before == nil && other == nil:
		op.Verb, op.Body = resource.Create, resource.Body{
			Attributes: map[string]any{"subscription": mirrored[after.Subscription]},
			Relationships: map[string][]resource.Identifier{
				"user": {{Type: "user", ID: after.Contact}}, "contact": {{Type: "user", ID: after.User}}},
		}
	case after != nil && other != nil && other.Subscription != mirrored[after.Subscription]:
		op.Verb, op.ID, op.Body.Attributes = resource.Update, other.ID, map[string]any{"subscription": mirrored[after.Subscription]}
	default:
		return nil
	}
	_, err = tx.Do(op)
	return err
}

// other is the contact's own entry, nil if there is none.
func (r roster) other(ctx context.Context, c *Contact) (*Contact, error) {
	return resource.First(ctx, r.Store.List, resource.All{resource.Equal("user", c.Contact), resource.Equal("contact", c.User)})
}

func keep(_ *resource.Tx, c *Contact) error {
	c.Manual = true
	return nil
}

func (r roster) keepMirror(tx *resource.Tx, c *Contact) error {
	other, err := r.other(tx, c)
	if err != nil || other == nil || other.Manual {
		return err
	}
	_, err = tx.Do(resource.Operation{Verb: "keep", Type: Schema.Name, ID: other.ID})
	return err
}

// Create writes contacts that are made by hand.
func (r roster) Create(ctx context.Context, rows ...*Contact) error {
	for _, c := range rows {
		c.Manual = true
	}
	return r.Store.Create(ctx, rows...)
}

// List answers a page, on which contacts name the groups of both.
func (r roster) List(ctx context.Context, q resource.Query) (resource.Page[Contact], error) {
	named := q.Fields == nil || slices.Contains(q.Fields, "groups")
	if q.Fields != nil && named {
		q.Fields = append(slices.Clip(q.Fields), "user", "contact")
	}
	page, err := r.Store.List(ctx, q)
	if err == nil && named {
		err = r.name(ctx, page.Rows)
	}
	return page, err
}

// Get reads a contact, which names the groups of both.
func (r roster) Get(ctx context.Context, id ulid.ULID) (*Contact, error) {
	c, err := r.Store.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	row := []Contact{*c}
	return &row[0], r.name(ctx, row)
}

// Update has change see the contact as Get shows it. The names of the groups of both are not stored with it.
func (r roster) Update(ctx context.Context, id ulid.ULID, change func(*Contact) error) (*Contact, error) {
	var shared []string
	c, err := r.Store.Update(ctx, id, func(c *Contact) error {
		of, err := r.shared(ctx, []Contact{*c})
		if err != nil {
			return err
		}
		own := c.Groups
		shared = of[0]
		c.Groups = union(own, shared)
		if err := change(c); err != nil {
			return err
		}
		c.Groups = slices.DeleteFunc(slices.Clone(c.Groups), func(name string) bool {
			return slices.Contains(shared, name) && !slices.Contains(own, name)
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.Groups = union(c.Groups, shared)
	return c, nil
}

// name adds to contacts the names of the groups of both.
func (r roster) name(ctx context.Context, rows []Contact) error {
	shared, err := r.shared(ctx, rows)
	if err != nil {
		return err
	}
	for i := range rows {
		rows[i].Groups = union(rows[i].Groups, shared[i])
	}
	return nil
}

// union are the names of one list, and those of another that it has not.
func union(names, more []string) []string {
	all := slices.Clip(names)
	for _, name := range more {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// batch is how many rows are named by one question.
const batch = 1000

// shared are the names of the groups that both are members of, of each contact.
func (r roster) shared(ctx context.Context, rows []Contact) (names [][]string, err error) {
	for some := range slices.Chunk(rows, batch) {
		users := make([]ulid.ULID, 0, 2*len(some))
		for i := range some {
			users = append(users, some[i].User, some[i].Contact)
		}
		slices.SortFunc(users, ulid.ULID.Compare)
		of, err := r.groups.Of(ctx, slices.Compact(users)...)
		if err != nil {
			return nil, err
		}
		for i := range some {
			var both []string
			for _, g := range of[some[i].User] {
				if slices.Contains(of[some[i].Contact], g) {
					both = append(both, g.Name)
				}
			}
			names = append(names, both)
		}
	}
	return names, nil
}

// Owners are whose rosters events tell of that are about one entry each, by event. Of an entry that is gone only the
// events tell that made it or took it away.
func Owners(ctx context.Context, contacts resource.Store[Contact], events []resource.Event) (map[ulid.ULID]ulid.ULID, error) {
	owners, asked := map[ulid.ULID]ulid.ULID{}, map[ulid.ULID][]ulid.ULID{} // events, by entry
	for i := range events {
		e := &events[i]
		var changes struct {
			User struct{ From, To struct{ ID ulid.ULID } } `json:"user"`
		}
		if e.Changes != nil {
			if err := json.Unmarshal(e.Changes, &changes); err != nil {
				return nil, err
			}
		}
		switch none := (ulid.ULID{}); {
		case changes.User.To.ID != none:
			owners[e.ID] = changes.User.To.ID
		case changes.User.From.ID != none:
			owners[e.ID] = changes.User.From.ID
		case e.Target.ID != none:
			asked[e.Target.ID] = append(asked[e.Target.ID], e.ID)
		}
	}
	for some := range slices.Chunk(slices.Collect(maps.Keys(asked)), batch) {
		entries := make(resource.Any, len(some))
		for i, id := range some {
			entries[i] = resource.Equal("id", id)
		}
		page, err := contacts.List(ctx, resource.Query{
			Where: entries, Window: pagination.First(len(some)), Count: pagination.CountNone, Fields: []string{"user"},
		})
		if err != nil {
			return nil, err
		}
		for i := range page.Rows {
			for _, event := range asked[page.Rows[i].ID] {
				owners[event] = page.Rows[i].User
			}
		}
	}
	return owners, nil
}
