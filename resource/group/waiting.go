package group

import (
	"context"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
)

// Waiting is a user who has joined or left a group, and whose contacts do not say so yet.
type Waiting struct {
	ID, User, Group ulid.ULID // no group: it is gone
	Delayed         bool      // until somebody says so
}

// WaitingSchema is no entity: its rows are what is yet to be done for contacts.
var WaitingSchema = resource.Schema[Waiting]{
	Name: "waiting-member", Plural: "waiting-members", Doc: "A user whose contacts do not say yet that they have joined or left a group.", Uncounted: true,
	ID: func(w *Waiting) *ulid.ULID { return &w.ID },
	Attributes: []resource.Attribute[Waiting]{
		resource.Attr("delayed", func(w *Waiting) *bool { return &w.Delayed }).Filter(resource.Eq),
	},
	References: []resource.Reference[Waiting]{
		resource.ToOne("user", "user", func(w *Waiting) *ulid.ULID { return &w.User }).OnDelete(resource.Cascade),
		resource.ToOne("group", "group", func(w *Waiting) *ulid.ULID { return &w.Group }).Nullable().OnDelete(resource.Clear),
	},
	Unique: [][]string{{"user", "group"}},
}

type delay struct{ update bool }

var delayArguments = []resource.Attribute[delay]{
	resource.Attr("delay_update", func(d *delay) *bool { return &d.update }).
		Doc("Leave the contacts of the members as they are, until the next change without this or the action sync."),
}

// contacts are what makes the members of groups contacts of one another: the type contact does, where it is served. What
// it has not done yet waits.
type contacts struct{ waiting resource.Store[Waiting] }

// lock is held by whoever changes who waits.
const lock = "waiting-members"

// follow has the contacts of those who have joined or left a group say so. Those who are too many at once wait for
// [Settle], as all do while nobody serves contacts.
func (c contacts) follow(tx *resource.Tx, g *Group, joined, left []ulid.ULID, d *delay) error {
	late, err := c.late(tx, g.ID)
	if err != nil {
		return err
	}
	waits := map[ulid.ULID]bool{}
	for i := range late {
		waits[late[i].User] = waits[late[i].User] || late[i].Group == g.ID
	}
	var more []*Waiting
	for _, users := range [][]ulid.ULID{joined, left} {
		for _, user := range users {
			if !waits[user] {
				more = append(more, &Waiting{tx.NewID(), user, g.ID, d.update})
			}
		}
	}
	if err := c.waiting.Create(tx, more...); err != nil || d.update {
		return err
	}
	_, _, err = c.step(tx, g.ID)
	return err
}

// sync has the contacts of those who wait say so, of as many as can be done at once.
func (c contacts) sync(tx *resource.Tx, group ulid.ULID, _ *resource.None) (resource.Meta, error) {
	if !tx.Serves("contact") {
		return nil, resource.Errorf(resource.Conflict, "the module contacts is not loaded")
	}
	settled, waiting, err := c.step(tx, group)
	tx.Affected(settled)
	return resource.Meta{"settled": settled, "waiting": waiting}, err
}

// step has the contacts of those who wait for a group say so, of as many as can be done at once. The others wait, but
// nobody has to ask for them again.
func (c contacts) step(tx *resource.Tx, group ulid.ULID) (settled, waiting int, err error) {
	late, err := c.late(tx, group)
	if err != nil {
		return 0, 0, err
	}
	if tx.Serves("contact") {
		if settled, err = c.settle(tx, tx.Do, late); err != nil {
			return 0, 0, err
		}
	}
	for _, w := range late[settled:] {
		if w.Delayed {
			if _, err := c.waiting.Update(tx, w.ID, func(w *Waiting) error { w.Delayed = false; return nil }); err != nil {
				return 0, 0, err
			}
		}
	}
	return settled, len(late) - settled, nil
}

// late are those who wait for a group, and those who wait for one that is gone.
func (c contacts) late(tx *resource.Tx, group ulid.ULID) ([]Waiting, error) {
	if err := tx.Lock(lock); err != nil {
		return nil, err
	}
	var all []Waiting
	window := pagination.First(pagination.MaxSize)
	for {
		page, err := c.waiting.List(tx, resource.Query{
			Where:  resource.Any{resource.Equal("group", group), resource.IsNull("group")},
			Window: window, Count: pagination.CountNone,
		})
		if err != nil {
			return nil, err
		}
		all = append(all, page.Rows...)
		if !page.Next {
			return all, nil
		}
		window = window.Next(pagination.At(page.Rows[len(page.Rows)-1].ID))
	}
}

// settle has the contacts of some who wait say so, and answers how many of them have no longer to.
func (c contacts) settle(ctx context.Context, do func(...resource.Operation) ([]resource.Result, error), late []Waiting) (int, error) {
	late = late[:min(len(late), pagination.MaxSize)] // no more are told of at once
	users := make([]any, len(late))
	for i := range late {
		users[i] = late[i].User.String()
	}
	done, err := do(resource.Operation{Verb: "sync", Type: "contact", Principal: auth.System, Body: resource.Body{Attributes: map[string]any{"users": users}}})
	if err != nil {
		return 0, err
	}
	settled, _ := done[0].Meta["settled"].(int)
	for i := range late[:settled] {
		if err := c.waiting.Delete(ctx, late[i].ID); err != nil {
			return 0, err
		}
	}
	return settled, nil
}

// Settle has the contacts of those who wait say so, but of those whose change was delayed: of some at a time, each time
// in a transaction of its own, until there are none.
func Settle(ctx context.Context, database resource.Transactor, engine *resource.Engine, waiting resource.Store[Waiting]) error {
	c := contacts{waiting}
	for {
		waits := resource.Query{
			Where:  resource.Any{resource.Equal("delayed", false), resource.IsNull("group")},
			Window: pagination.First(pagination.MaxSize), Count: pagination.CountNone,
		}
		page, err := waiting.List(ctx, waits)
		if err != nil || len(page.Rows) == 0 {
			return err
		}
		err = database.Transact(ctx, func(ctx context.Context) error {
			if err := database.Lock(ctx, lock); err != nil {
				return err
			}
			if page, err = waiting.List(ctx, waits); err != nil { // another node may have been there
				return err
			}
			_, err := c.settle(ctx, func(ops ...resource.Operation) ([]resource.Result, error) { return engine.Do(ctx, ops...) }, page.Rows)
			return err
		})
		if err != nil {
			return err
		}
	}
}
