package webhook

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Database is what a courier needs of storage's outbox.
type Database interface {
	Transact(ctx context.Context, fn func(ctx context.Context) error) error
	Follow(ctx context.Context, look func(ctx context.Context) error)
	Ends(ctx context.Context) (first, last int64, err error)
	Tail(ctx context.Context, after int64, tell func(events []resource.Event) error)
}

// Deliveries is where deliveries are kept.
type Deliveries interface {
	resource.Store[Delivery]
	// Assign gives the members of all rows that meet a condition the values that they have in a row.
	Assign(ctx context.Context, where resource.Condition, as *Delivery, members ...string) (changed int, err error)
}

// Message is a request to an endpoint.
type Message struct {
	ID   ulid.ULID
	URL  string
	Body []byte
	Keys []string // that sign it
}

// Outcome is what came of a request.
type Outcome struct {
	Status     int // of the answer, 0 if there was none
	Duration   time.Duration
	RetryAfter time.Duration // as the answer asks for
	Err        error         // nil if the message was delivered: the status is 2xx
}

// Config is what a [Courier] works with.
type Config struct {
	Database   Database
	Webhooks   resource.Store[Webhook]
	Deliveries Deliveries
	Subjects   resource.Store[Subject]
	Leases     resource.Store[Lease]
	Node       ulid.ULID // as package presence knows it
	Send       func(ctx context.Context, m Message) Outcome
	Body       func(topic string, e *resource.Event) ([]byte, error) // what is sent of an event
	Pause      func(ctx context.Context, webhook ulid.ULID) error
	PauseAfter func() time.Duration // how long a webhook fails until it is paused; 0 for ever
	Log        *slog.Logger         // default slog.Default()
}

// Courier tells webhooks of events. Any number of nodes have one; each webhook is served by the one that holds its lease.
//
// A webhook has a position in the trail: all events up to it are delivered, or do not concern it. It moves in the
// transaction that notes what was delivered, so that whoever takes over goes on from there; what was sent and is not
// noted yet is sent again, under the same id.
type Courier struct{ config Config }

// New makes a courier.
func New(c Config) *Courier {
	c.Log = cmp.Or(c.Log, slog.Default())
	return &Courier{c}
}

// Types are the types of the module.
func (c *Courier) Types() []resource.Declaration {
	return []resource.Declaration{
		c.webhookType(),
		resource.Type[Delivery]{Schema: DeliverySchema, List: c.config.Deliveries.List, Get: c.config.Deliveries.Get},
		resource.Type[Subject]{Schema: SubjectSchema, List: c.config.Subjects.List, Get: c.config.Subjects.Get},
	}
}

// Run tells webhooks of events until the context ends.
func (c *Courier) Run(ctx context.Context) error {
	running := map[ulid.ULID]*follower{}
	c.config.Database.Follow(ctx, func(ctx context.Context) error { return c.look(ctx, running) })
	for _, f := range running {
		<-f.ended
	}
	return nil
}

// look has each webhook that is not paused, and that no other node serves, be served by this one, and no other.
func (c *Courier) look(ctx context.Context, running map[ulid.ULID]*follower) error {
	webhooks, err := resource.Every(ctx, &Schema, c.config.Webhooks.List, active, "paused_at")
	if err != nil {
		return err
	}
	leases, err := resource.Every(ctx, &LeaseSchema, c.config.Leases.List, nil)
	if err != nil {
		return err
	}
	holders := map[ulid.ULID]ulid.ULID{}
	for _, l := range leases {
		holders[l.ID] = l.Node
	}
	wanted := map[ulid.ULID]bool{}
	for _, w := range webhooks {
		wanted[w.ID] = true
	}
	var ending []*follower
	for id, f := range running {
		if !wanted[id] || holders[id] != c.config.Node {
			f.stop()
			ending = append(ending, f)
			delete(running, id)
			continue
		}
		select {
		case <-f.ended:
			delete(running, id)
		default:
			f.nudge()
		}
	}
	for _, f := range ending { // they have been told all at once, and so end together
		<-f.ended
	}
	for id := range wanted {
		holder, held := holders[id]
		if running[id] != nil || held && holder != c.config.Node {
			continue
		}
		if !held {
			err := c.config.Leases.Create(ctx, &Lease{ID: id, Webhook: id, Node: c.config.Node})
			if resource.Is(err, resource.Taken) {
				continue // another node was faster
			}
			if err != nil {
				return err
			}
		}
		w, err := c.config.Webhooks.Get(ctx, id) // where the node before has come to
		if err != nil {
			return err
		}
		running[id] = c.follow(ctx, w)
	}
	return nil
}
