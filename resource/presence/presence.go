// Package presence knows which live streams are open on which node: users are connected exactly while one of theirs is,
// also when a node dies without a word.
package presence

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
)

// Node is a process that serves the database.
type Node struct {
	ID   ulid.ULID
	Beat int64 // it changes while the process lives
}

// NodeSchema is no entity: its rows are the leases of the nodes.
var NodeSchema = resource.Schema[Node]{
	Name: "node", Plural: "nodes", Doc: "A process that serves the database.", Uncounted: true,
	ID: func(n *Node) *ulid.ULID { return &n.ID },
	Attributes: []resource.Attribute[Node]{
		resource.Attr("beat", func(n *Node) *int64 { return &n.Beat }).Quiet(),
	},
}

// Connection is an open stream. Its id is that of its session.
type Connection struct {
	ID         ulid.ULID
	User, Node ulid.ULID
}

// ConnectionSchema is no entity: there are as many rows as streams that are open just now.
var ConnectionSchema = resource.Schema[Connection]{
	Name: "connection", Plural: "connections", Doc: "An open stream.", Uncounted: true,
	ID: func(c *Connection) *ulid.ULID { return &c.ID },
	References: []resource.Reference[Connection]{
		resource.ToOne("user", "user", func(c *Connection) *ulid.ULID { return &c.User }).OnDelete(resource.Cascade),
		resource.ToOne("node", "node", func(c *Connection) *ulid.ULID { return &c.Node }),
	},
}

// Config is what a [Keeper] works with.
type Config struct {
	Nodes       resource.Store[Node]
	Connections resource.Store[Connection]
	// Connect holds the row of a user and notes what open then answers: whether a stream of theirs is open. It is no
	// failure if the user is gone.
	Connect func(ctx context.Context, user ulid.ULID, open func() (bool, error)) error
	// Finish finishes the sessions of streams, and calls Closed for each that is not finished yet.
	Finish func(ctx context.Context, sessions ...ulid.ULID) error
	// Alone says that there is never another node, so that what others left is cleared at once.
	Alone    bool
	Interval time.Duration // between two beats; default 1 s
	Patience time.Duration // after how long without a beat a node is dead; default 4 s
	Log      *slog.Logger
}

// Keeper is one node.
type Keeper struct {
	config Config
	id     ulid.ULID
	beat   int64
	others map[ulid.ULID]sighting
}

// sighting is when the beat of another node was seen to change. Clocks of nodes are not compared.
type sighting struct {
	beat int64
	at   time.Time
}

// New makes the keeper of a node.
func New(c Config) *Keeper {
	c.Interval, c.Patience = cmp.Or(c.Interval, time.Second), cmp.Or(c.Patience, 4*time.Second)
	c.Log = cmp.Or(c.Log, slog.Default())
	return &Keeper{config: c, id: ulid.Make(), others: map[ulid.ULID]sighting{}}
}

// ID is that of the node. What refers to it, and goes with it, is held as long as the node lives.
func (k *Keeper) ID() ulid.ULID { return k.id }

// Nodes are the ids of the nodes that live, and of those that died within the patience.
func (k *Keeper) Nodes(ctx context.Context) ([]ulid.ULID, error) {
	nodes, err := resource.Every(ctx, &NodeSchema, k.config.Nodes.List, nil)
	ids := make([]ulid.ULID, len(nodes))
	for i := range nodes {
		ids[i] = nodes[i].ID
	}
	return ids, err
}

// Join makes the node known, so that streams can be open on it.
func (k *Keeper) Join(ctx context.Context) error {
	if err := k.config.Nodes.Create(ctx, &Node{ID: k.id}); err != nil {
		return err
	}
	if k.config.Alone {
		return k.look(ctx)
	}
	return nil
}

// Count is how many nodes there are. One that has died counts until another one has seen that.
func (k *Keeper) Count(ctx context.Context) (int64, error) {
	page, err := k.config.Nodes.List(ctx, resource.Query{Window: pagination.First(1), Count: pagination.CountOnly})
	return page.Total, err
}

// Run holds the lease of the node, and clears what nodes have left that lost theirs, until the context ends. Then it
// ends what is still open here, and takes leave.
func (k *Keeper) Run(ctx context.Context) error {
	ticker := time.NewTicker(k.config.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			if err := k.clear(context.WithoutCancel(ctx), k.id); err != nil {
				k.config.Log.WarnContext(ctx, "the node takes no leave: others see that it is gone", "error", err)
			}
			return nil
		case <-ticker.C:
		}
		if k.config.Alone {
			continue
		}
		err := k.renew(ctx)
		if err == nil {
			err = k.look(ctx)
		}
		if err != nil && ctx.Err() == nil {
			k.config.Log.WarnContext(ctx, "the nodes are not seen just now", "error", err)
		}
	}
}

// renew renews the lease. A node that others took for dead, since it stood still, begins anew; its streams have ended.
func (k *Keeper) renew(ctx context.Context) error {
	k.beat++
	_, err := k.config.Nodes.Update(ctx, k.id, func(n *Node) error { n.Beat = k.beat; return nil })
	if resource.Is(err, resource.NotFound) {
		err = k.config.Nodes.Create(ctx, &Node{ID: k.id, Beat: k.beat})
	}
	return err
}

// look looks for nodes that are dead, and clears what they left.
func (k *Keeper) look(ctx context.Context) error {
	page, err := k.config.Nodes.List(ctx, resource.Query{Window: pagination.First(pagination.MaxSize), Count: pagination.CountNone})
	if err != nil {
		return err
	}
	now, others := time.Now(), map[ulid.ULID]sighting{}
	for _, n := range page.Rows {
		if n.ID == k.id {
			continue
		}
		last, known := k.others[n.ID]
		if !known || last.beat != n.Beat {
			last = sighting{n.Beat, now}
		}
		if k.config.Alone || now.Sub(last.at) > k.config.Patience {
			if err := k.clear(ctx, n.ID); err != nil {
				return err
			}
			k.config.Log.InfoContext(ctx, "the streams of a node that is gone have ended", "node", n.ID)
			continue
		}
		others[n.ID] = last
	}
	k.others = others
	return nil
}

// clear ends the streams of a node, and removes it. Of several who do so at once each does a part, or nothing.
func (k *Keeper) clear(ctx context.Context, node ulid.ULID) error {
	query := resource.Query{Where: resource.Equal("node", node), Window: pagination.First(500), Count: pagination.CountNone, Fields: []string{}}
	for {
		page, err := k.config.Connections.List(ctx, query)
		if err != nil {
			return err
		}
		if len(page.Rows) == 0 {
			break
		}
		ids := make([]ulid.ULID, len(page.Rows))
		for i := range page.Rows {
			ids[i] = page.Rows[i].ID
		}
		if err := k.config.Finish(ctx, ids...); err != nil {
			return err
		}
		query.Window = query.Window.Next(pagination.At(ids[len(ids)-1]))
	}
	err := k.config.Nodes.Delete(ctx, node)
	if resource.Is(err, resource.NotFound) {
		return nil // another node was faster
	}
	return err
}

// Opened notes that a stream of a user is open on this node, in the transaction that the context holds.
func (k *Keeper) Opened(ctx context.Context, session, user ulid.ULID) error {
	// The user's row first: whoever ends another stream of theirs waits here, and then sees this one.
	err := k.config.Connect(ctx, user, func() (bool, error) { return true, nil })
	if err != nil {
		return err
	}
	return k.config.Connections.Create(ctx, &Connection{ID: session, User: user, Node: k.id})
}

// Closed notes that the stream of a session has ended, on whichever node, in the transaction that the context holds.
func (k *Keeper) Closed(ctx context.Context, session, user ulid.ULID) error {
	err := k.config.Connections.Delete(ctx, session)
	if err != nil && !resource.Is(err, resource.NotFound) {
		return err
	}
	return k.config.Connect(ctx, user, func() (bool, error) {
		page, err := k.config.Connections.List(ctx, resource.Query{
			Where: resource.Equal("user", user), Window: pagination.First(1), Count: pagination.CountNone, Fields: []string{}})
		return len(page.Rows) > 0, err
	})
}
