// Package attempt keeps how often something was tried that can be guessed, such as a password, for all nodes together.
package attempt

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
)

// Tally is one of [auth.Tally] with what is counted.
type Tally struct {
	ID      ulid.ULID
	Kind    string
	User    ulid.ULID // whose account it is; zero if nobody's, or if it is about an address
	Address string    // empty if it is about an account
	Count   int64     // of attempts that failed, or are under way
	Refused int64
	EndsAt  time.Time
}

// Schema is how tallies are kept. It is not registered: nobody lists them. To count is no change that others wait for.
var Schema = resource.Schema[Tally]{
	Name: "attempt-tally", Plural: "attempt-tallies", Uncounted: true,
	Doc: "How often something was tried in a while, on one account or from one address.",
	ID:  func(t *Tally) *ulid.ULID { return &t.ID },
	Attributes: []resource.Attribute[Tally]{
		resource.Attr("kind", func(t *Tally) *string { return &t.Kind }),
		resource.Attr("user", func(t *Tally) *ulid.ULID { return &t.User }).Nullable(),
		resource.Attr("address", func(t *Tally) *string { return &t.Address }).Nullable(),
		resource.Attr("count", func(t *Tally) *int64 { return &t.Count }).Quiet(),
		resource.Attr("refused", func(t *Tally) *int64 { return &t.Refused }).Quiet(),
		resource.Attr("ends_at", func(t *Tally) *time.Time { return &t.EndsAt }).Filter(resource.Less),
	},
}

// Database is what [Tallies] need of the database. All three are as in the storage's Outbox.
type Database interface {
	Transact(ctx context.Context, fn func(ctx context.Context) error) error
	Lock(ctx context.Context, name string) error
	Record(ctx context.Context, events ...*resource.Event) error
}

// Tallies keep tallies in a store. They are [auth.Tallies].
type Tallies struct {
	database Database
	rows     resource.Store[Tally]
}

// New keeps tallies in the rows of a database.
func New(database Database, rows resource.Store[Tally]) *Tallies { return &Tallies{database, rows} }

// errFull ends the transaction that finds a tally full.
var errFull = errors.New("attempt: the tally is full")

// Reserve counts one more attempt in each tally, or in none if one is full.
func (k *Tallies) Reserve(ctx context.Context, tallies []auth.Tally) (full *auth.Tally, err error) {
	err = k.database.Transact(ctx, func(ctx context.Context) error {
		for _, t := range ordered(tallies) {
			err := k.change(ctx, t, func(row *Tally) error {
				if row.Count >= t.Limit {
					full = &t
					return errFull
				}
				row.Count++
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, errFull) {
		return full, nil
	}
	return nil, err
}

// GiveBack takes back what Reserve counted.
func (k *Tallies) GiveBack(ctx context.Context, tallies []auth.Tally) error {
	return k.database.Transact(ctx, func(ctx context.Context) error {
		for _, t := range ordered(tallies) {
			_, err := k.rows.Update(ctx, t.ID, func(row *Tally) error {
				row.Count--
				return nil
			})
			if err != nil && !resource.Is(err, resource.NotFound) { // the window has ended long since
				return err
			}
		}
		return nil
	})
}

// Refused counts attempts that were refused.
func (k *Tallies) Refused(ctx context.Context, refusals []auth.Refusals) error {
	slices.SortFunc(refusals, func(a, b auth.Refusals) int { return a.ID.Compare(b.ID) })
	return k.database.Transact(ctx, func(ctx context.Context) error {
		for _, r := range refusals {
			err := k.change(ctx, r.Tally, func(row *Tally) error {
				row.Refused += r.Count
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ordered are tallies by their ids, so that nobody who holds one waits for who waits for it.
func ordered(tallies []auth.Tally) []auth.Tally {
	return slices.SortedFunc(slices.Values(tallies), func(a, b auth.Tally) int { return a.ID.Compare(b.ID) })
}

// change changes a tally, which may be new. The lock keeps two from making it.
func (k *Tallies) change(ctx context.Context, t auth.Tally, change func(*Tally) error) error {
	if err := k.database.Lock(ctx, Schema.Name+" "+t.ID.String()); err != nil {
		return err
	}
	_, err := k.rows.Update(ctx, t.ID, change)
	if !resource.Is(err, resource.NotFound) {
		return err
	}
	row := &Tally{ID: t.ID, Kind: string(t.Kind), User: t.User, EndsAt: t.Ends}
	if t.Address.IsValid() {
		row.Address = t.Address.String()
	}
	if err := change(row); err != nil {
		return err
	}
	return k.rows.Create(ctx, row)
}

const (
	// grace is how long after its end a tally is kept, until every node has counted in it.
	grace = 30 * time.Second
	// batch is how many tallies a transaction closes, so that it keeps nobody waiting for long.
	batch = 100
)

// Ended are the tallies that can be pruned once [Tallies.Close] has told of them.
var Ended = resource.All{resource.Past("ends_at"), resource.Equal("refused", int64(0))}

// Close ends the tallies whose windows had ended some seconds before now, and leaves an event for each in which attempts
// were refused: one for an account or an address and a window, with how many they were. The verb is that of the kind,
// as sign-in-refused; the target is the user, if the account is somebody's. It closes some of them, and answers how many
// those were: none when there are no more.
func (k *Tallies) Close(ctx context.Context, now time.Time) (told int, err error) {
	before := now.Add(-grace)
	query := resource.Query{
		Where:  resource.All{resource.Holds("ends_at", resource.Less, before), resource.Holds("refused", resource.Greater, int64(0))},
		Window: pagination.First(batch), Count: pagination.CountNone, Now: now,
	}
	page, err := k.rows.List(ctx, query)
	if err != nil || len(page.Rows) == 0 {
		return 0, err
	}
	err = k.database.Transact(ctx, func(ctx context.Context) error {
		told = 0
		for i := range page.Rows {
			t := &page.Rows[i]
			err := k.rows.Delete(ctx, t.ID)
			if resource.Is(err, resource.NotFound) {
				continue // another node was faster
			}
			if err == nil {
				err = k.database.Record(ctx, t.event(ctx, now))
			}
			if err != nil {
				return err
			}
			told++
		}
		return nil
	})
	return told, err
}

// event is what the trail says of the attempts that were refused.
func (t *Tally) event(ctx context.Context, now time.Time) *resource.Event {
	if address, err := netip.ParseAddr(t.Address); err == nil { // else it is about an account
		ctx = auth.WithOrigin(ctx, auth.Origin{Address: netip.AddrPortFrom(address, 0)})
	}
	var target resource.Identifier
	if t.User != (ulid.ULID{}) {
		target = resource.Identifier{Type: "user", ID: t.User}
	}
	event := resource.NewEvent(ctx, now, &auth.Principal{}, t.Kind+"-refused", target)
	event.Count = t.Refused
	return event
}

var _ auth.Tallies = (*Tallies)(nil)
