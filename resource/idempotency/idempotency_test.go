package idempotency_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/idempotency"
	"reeve/storage"
	"reeve/storage/postgres"
	"reeve/storage/sqlite"
	"reeve/storage/storagetest"
)

// node is a process with a database: a keeper and the requests that it carries out, each of which creates a box.
type node struct {
	*storage.DB
	oneWriter bool // of the database: a transaction waits for all others
	records   *storage.Table[idempotency.Record]
	boxes     *storage.Table[storagetest.Box]
	now       time.Time
}

// onBoth runs a test on both databases. Open opens the same database once more.
func onBoth(t *testing.T, test func(t *testing.T, open func() *node)) {
	run := func(dialect storage.Dialect, uri func(t *testing.T) string) func(t *testing.T) {
		return func(t *testing.T) {
			t.Parallel() // they mostly wait
			uri := uri(t)
			test(t, func() *node { return open(t, dialect, uri) })
		}
	}
	t.Run("SQLite", run(sqlite.Dialect{}, func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "test.db") }))
	t.Run("PostgreSQL", run(postgres.Dialect{}, func(t *testing.T) string { return storagetest.Postgres(t) }))
}

func open(t *testing.T, dialect storage.Dialect, uri string) *node {
	t.Helper()
	db, err := storage.Open(t.Context(), dialect, uri, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	n := &node{DB: db, oneWriter: dialect.Traits().OneWriter, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	if n.records, err = storage.NewTable(db, idempotency.Schema); err != nil {
		t.Fatal(err)
	}
	if n.boxes, err = storage.NewTable(db, storagetest.Boxes); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// keeper keeps answers in the node's records, over its database or what stands for that.
func (n *node) keeper(database idempotency.Database, patience time.Duration) *idempotency.Keeper {
	return idempotency.New(idempotency.Config{
		Database: database, Records: n.records, Clock: func() time.Time { return n.now }, Patience: patience,
	})
}

// request is the one that is repeated.
var request = idempotency.Request{
	Principal: &auth.Principal{Type: "user", ID: ulid.Make()}, Key: "6e1dc3f4-2ab5-4d0c-8a71-9a8b86b9c7d0", Fingerprint: []byte("POST /boxes"),
}

// create carries the request out: it creates the box number i, and answers that.
func (n *node) create(i int) func(ctx context.Context) (idempotency.Answer, error) {
	return func(ctx context.Context) (idempotency.Answer, error) {
		box := storagetest.NewBox(i)
		return idempotency.Answer{Status: 201, Body: []byte(box.Label)}, n.boxes.Create(ctx, box)
	}
}

// created wants the answer that says that a box was created, now or before, and so many boxes.
func (n *node) created(t *testing.T, a idempotency.Answer, replay bool, err error, label string, before bool, boxes int) {
	t.Helper()
	if err != nil || a.Status != 201 || string(a.Body) != label || replay != before {
		t.Errorf("%d %q, replay %t: %v; want %q, replay %t", a.Status, a.Body, replay, err, label, before)
	}
	n.holds(t, boxes, 1)
}

// holds wants so many boxes and records to be there.
func (n *node) holds(t *testing.T, boxes, records int) {
	t.Helper()
	count := func(total int64, err error) int {
		if err != nil {
			t.Error(err)
		}
		return int(total)
	}
	page, err := n.boxes.List(t.Context(), resource.Query{Now: n.now})
	kept, err2 := n.records.List(t.Context(), resource.Query{Now: n.now})
	if b, r := count(page.Total, err), count(kept.Total, err2); b != boxes || r != records {
		t.Errorf("%d boxes and %d records, want %d and %d", b, r, boxes, records)
	}
}

// An answer is given for a day, to the microsecond, whether or not its record has been pruned then.
func TestExpiry(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *node) {
		n := open()
		k := n.keeper(n, 0)
		do := func(box int, label string, before bool, boxes int) {
			t.Helper()
			a, replay, err := k.Do(t.Context(), request, n.create(box))
			n.created(t, a, replay, err, label, before, boxes)
		}
		do(1, "Box 1", false, 1)
		n.now = n.now.Add(24*time.Hour - time.Microsecond)
		do(2, "Box 1", true, 1)
		if pruned, err := n.records.Prune(t.Context(), idempotency.Expired, n.now, 500); err != nil || pruned != 0 {
			t.Errorf("%d answers are pruned that are still given: %v", pruned, err)
		}
		n.now = n.now.Add(time.Microsecond)
		do(3, "Box 3", false, 2)
		do(4, "Box 3", true, 2)
		n.now = n.now.Add(24 * time.Hour)
		if pruned, err := n.records.Prune(t.Context(), idempotency.Expired, n.now, 500); err != nil || pruned != 1 {
			t.Errorf("%d answers are pruned: %v", pruned, err)
		}
		do(5, "Box 5", false, 3)
	})
}

// Whoever finds the request running waits for it as long as he has patience, and no longer than his client.
func TestConcurrentPatience(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *node) {
		n := open()
		k, nodes := n.keeper(n, 100*time.Millisecond), []*node{n}
		keepers := []*idempotency.Keeper{k}
		if !n.oneWriter { // else the other node waits for the database itself
			other := open()
			keepers, nodes = append(keepers, other.keeper(other, 100*time.Millisecond)), append(nodes, other)
		}
		begun, end := make(chan struct{}), make(chan struct{})
		var first sync.WaitGroup
		first.Go(func() {
			a, replay, err := k.Do(t.Context(), request, func(ctx context.Context) (idempotency.Answer, error) {
				close(begun)
				<-end
				return n.create(1)(ctx)
			})
			n.created(t, a, replay, err, "Box 1", false, 1)
		})
		<-begun
		for i, k := range keepers {
			if _, _, err := k.Do(t.Context(), request, nodes[i].create(2)); !resource.Is(err, resource.InProgress) {
				t.Errorf("node %d: %v", i, err)
			}
			gone, leave := context.WithCancel(t.Context())
			leave()
			if _, _, err := k.Do(gone, request, nodes[i].create(3)); err == nil || resource.Is(err, resource.InProgress) {
				t.Errorf("node %d, without its client: %v", i, err)
			}
			if n.oneWriter {
				continue
			}
			another, failure := request, errors.New("no")
			another.Key = "another"
			if _, _, err := k.Do(t.Context(), another, func(context.Context) (idempotency.Answer, error) {
				return idempotency.Answer{}, failure
			}); !errors.Is(err, failure) {
				t.Errorf("node %d, another request: %v", i, err)
			}
		}
		close(end)
		first.Wait()
		for i, k := range keepers {
			a, replay, err := k.Do(t.Context(), request, nodes[i].create(4))
			n.created(t, a, replay, err, "Box 1", true, 1)
		}
	})
}

// A client that goes away before the commit leaves nothing behind, and the next try carries the request out.
func TestCancelled(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *node) {
		n := open()
		k := n.keeper(n, 0)
		ctx, leave := context.WithCancel(t.Context())
		_, _, err := k.Do(ctx, request, func(ctx context.Context) (idempotency.Answer, error) {
			defer leave()
			return n.create(1)(ctx)
		})
		if err == nil {
			t.Error("it was committed")
		}
		n.holds(t, 0, 0)
		a, replay, err := k.Do(t.Context(), request, n.create(2))
		n.created(t, a, replay, err, "Box 2", false, 1)
	})
}

// A run that panics leaves nothing behind, and keeps nobody waiting.
func TestPanic(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *node) {
		n := open()
		k := n.keeper(n, 0)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is lost")
				}
			}()
			_, _, _ = k.Do(t.Context(), request, func(ctx context.Context) (idempotency.Answer, error) {
				_, err := n.create(1)(ctx)
				panic(err)
			})
		}()
		n.holds(t, 0, 0)
		a, replay, err := k.Do(t.Context(), request, n.create(2))
		n.created(t, a, replay, err, "Box 2", false, 1)
	})
}

// cut is a database whose connection is cut at every commit: before it comes to the database, or after.
type cut struct {
	*node
	committed bool
}

func (c cut) Transact(ctx context.Context, fn func(ctx context.Context) error) error {
	gone := resource.Errorf(resource.Unavailable, "the connection was cut")
	err := c.node.Transact(ctx, func(ctx context.Context) error {
		if err := fn(ctx); err != nil || c.committed {
			return err
		}
		return gone
	})
	return errors.Join(err, gone)
}

// Who does not know whether a request was carried out asks again, and it is carried out once.
func TestCommitUnknown(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *node) {
		n := open()
		k := n.keeper(n, 0)
		for _, committed := range []bool{false, true} {
			if _, _, err := n.keeper(cut{n, committed}, 0).Do(t.Context(), request, n.create(1)); !resource.Is(err, resource.Unavailable) {
				t.Errorf("committed %t: %v", committed, err)
			}
			if !committed {
				n.holds(t, 0, 0)
			}
		}
		a, replay, err := k.Do(t.Context(), request, n.create(2))
		n.created(t, a, replay, err, "Box 1", true, 1)
	})
}
