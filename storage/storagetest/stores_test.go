package storagetest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"reeve/pagination"
	"reeve/resource"
	"reeve/storage"
	"reeve/storage/postgres"
	"reeve/storage/sqlite"
	"reeve/storage/storagetest"
)

// database is a database that holds toys and boxes.
type database struct {
	*storage.DB
	toys  *storage.Table[storagetest.Toy]
	boxes *storage.Table[storagetest.Box]
}

// databases runs a test on both databases.
func databases(t *testing.T, test func(t *testing.T, db database)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel() // they mostly wait for the disk
		test(t, open(t, sqlite.Dialect{}, "sqlite://"+filepath.Join(t.TempDir(), "test.db")))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, postgres.Dialect{}, storagetest.Postgres(t)))
	})
}

func open(t *testing.T, dialect storage.Dialect, url string) (d database) {
	t.Helper()
	var err error
	d.DB, err = storage.Open(t.Context(), dialect, url, storage.Options{
		MasterKey: bytes.Repeat([]byte{7}, 32), CountBudget: time.Minute, // the oracle omits no total
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if d.boxes, err = storage.NewTable(d.DB, storagetest.Boxes); err != nil {
		t.Fatal(err)
	}
	if d.toys, err = storage.NewTable(d.DB, storagetest.Toys); err != nil {
		t.Fatal(err)
	}
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// box creates the box number i.
func (d *database) box(t *testing.T, i int) ulid.ULID {
	t.Helper()
	box := storagetest.NewBox(i)
	if err := d.boxes.Create(t.Context(), box); err != nil {
		t.Fatal(err)
	}
	return box.ID
}

// toy creates the toy number i, in a box and with no other reference, changed by change.
func (d *database) toy(t *testing.T, i int, box ulid.ULID, change func(*storagetest.Toy)) ulid.ULID {
	t.Helper()
	toy := plainToy(i, box)
	change(toy)
	if err := d.toys.Create(t.Context(), toy); err != nil {
		t.Fatal(err)
	}
	return toy.ID
}

func plainToy(i int, box ulid.ULID) *storagetest.Toy {
	toy := storagetest.NewToy(box)(i)
	toy.Lender, toy.Keeper = ulid.ULID{}, ulid.ULID{}
	return toy
}

func TestMemory(t *testing.T) {
	t.Parallel()
	storagetest.Run(t, storagetest.Toys, storagetest.NewMemory(storagetest.Toys), storagetest.NewToy(storagetest.NewBox(0).ID))
}

func TestDatabases(t *testing.T) {
	databases(t, func(t *testing.T, db database) {
		boxes := []ulid.ULID{db.box(t, 0), db.box(t, 1), db.box(t, 2)}
		storagetest.Run(t, storagetest.Toys, db.toys, storagetest.NewToy(boxes...))
	})
}

// Whatever is linked, unlinked and deleted, the linkage, what it answers and the conditions over it agree with
// the oracle's.
func TestLinkage(t *testing.T) {
	databases(t, func(t *testing.T, db database) {
		home := db.box(t, 0) // of all toys, never deleted
		rapid.Check(t, func(rt *rapid.T) { linkage(rt, db, home) })
	})
}

func linkage(rt *rapid.T, db database, home ulid.ULID) {
	ctx := context.Background()
	toys, boxes := storagetest.NewMemory(storagetest.Toys), storagetest.NewMemory(storagetest.Boxes)
	toys.Relate("stickers", boxes)
	toys.Relate("friends", toys)
	var toyIDs, boxIDs []ulid.ULID
	for i := range 4 {
		toy, box := plainToy(i, home), storagetest.NewBox(i+1)
		agree(rt, db.toys.Create(ctx, toy), toys.Create(ctx, toy))
		agree(rt, db.boxes.Create(ctx, box), boxes.Create(ctx, box))
		toyIDs, boxIDs = append(toyIDs, toy.ID), append(boxIDs, box.ID)
	}
	defer func() {
		for i := range toyIDs {
			for _, err := range []error{db.toys.Delete(ctx, toyIDs[i]), db.boxes.Delete(ctx, boxIDs[i])} {
				if err != nil && !resource.Is(err, resource.NotFound) {
					rt.Error(err)
				}
			}
		}
	}()
	relations := []struct {
		got, want resource.Linkage
		targets   []ulid.ULID
	}{
		{db.toys.Linkage("stickers"), toys.Linkage("stickers"), boxIDs},
		{db.toys.Linkage("friends"), toys.Linkage("friends"), toyIDs},
	}
	drawID := func(rt *rapid.T, ids []ulid.ULID) ulid.ULID { return rapid.SampledFrom(ids).Draw(rt, "id") }
	type method = func(ctx context.Context, from ulid.ULID, to ...ulid.ULID) (added, removed []ulid.ULID, err error)
	write := func(method func(resource.Linkage) method) func(*rapid.T) {
		return func(rt *rapid.T) {
			r := rapid.SampledFrom(relations).Draw(rt, "relation")
			from := drawID(rt, toyIDs)
			to := rapid.SliceOfN(rapid.SampledFrom(r.targets), 1, 5).Draw(rt, "to")
			added, removed, err := method(r.got)(ctx, from, to...)
			wantAdded, wantRemoved, wantErr := method(r.want)(ctx, from, to...)
			agree(rt, err, wantErr)
			sets := cmp.Options{cmpopts.EquateEmpty(), cmpopts.SortSlices(func(a, b ulid.ULID) bool { return a.Compare(b) < 0 })}
			if diff := cmp.Diff([][]ulid.ULID{wantAdded, wantRemoved}, [][]ulid.ULID{added, removed}, sets); err == nil && diff != "" {
				rt.Fatalf("links added and removed (-want +got):\n%s", diff)
			}
		}
	}
	rt.Repeat(map[string]func(*rapid.T){
		"add": write(func(l resource.Linkage) method {
			return func(ctx context.Context, from ulid.ULID, to ...ulid.ULID) (added, removed []ulid.ULID, err error) {
				added, err = l.Add(ctx, from, to...)
				return added, nil, err
			}
		}),
		"remove": write(func(l resource.Linkage) method {
			return func(ctx context.Context, from ulid.ULID, to ...ulid.ULID) (added, removed []ulid.ULID, err error) {
				removed, err = l.Remove(ctx, from, to...)
				return nil, removed, err
			}
		}),
		"replace": write(func(l resource.Linkage) method { return l.Replace }),
		"delete": func(rt *rapid.T) {
			if rapid.Bool().Draw(rt, "toy") {
				id := drawID(rt, toyIDs)
				agree(rt, db.toys.Delete(ctx, id), toys.Delete(ctx, id))
				return
			}
			id := drawID(rt, boxIDs)
			agree(rt, db.boxes.Delete(ctx, id), boxes.Delete(ctx, id))
		},
		"list": func(rt *rapid.T) {
			q := resource.Query{
				Window: pagination.Window{Size: rapid.IntRange(1, 4).Draw(rt, "size"), Backward: rapid.Bool().Draw(rt, "backward")},
				Count:  pagination.Count(rapid.IntRange(0, 2).Draw(rt, "count")),
			}
			r := rapid.SampledFrom(relations).Draw(rt, "relation")
			for _, bound := range []**pagination.Cursor{&q.Window.After, &q.Window.Before} {
				if rapid.Bool().Draw(rt, "bound") {
					*bound = pagination.At(drawID(rt, r.targets))
				}
			}
			from := drawID(rt, toyIDs)
			got, err := r.got.List(ctx, from, q)
			want, wantErr := r.want.List(ctx, from, q)
			agree(rt, err, wantErr)
			if q.Count == pagination.CountNone {
				got.Total = 0
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				rt.Fatalf("linkage (-want +got):\n%s", diff)
			}
		},
		"filter": func(rt *rapid.T) {
			names := []string{"sticker", "sticker_label", "friendly"}
			f := slices.Collect(func(yield func(resource.Filter) bool) {
				for _, f := range storagetest.Toys.AllFilters() {
					if slices.Contains(names, f.Name) && !yield(f) {
						return
					}
				}
			})[rapid.IntRange(0, len(names)-1).Draw(rt, "filter")]
			arguments := map[string][]string{
				"sticker": {boxIDs[0].String(), boxIDs[1].String()}, "sticker_label": {"", "Box", "Box 2", "b"},
				"friendly": {"true", "false"},
			}
			c, err := f.Condition(rapid.SampledFrom(arguments[f.Name]).Draw(rt, "argument"))
			if err != nil {
				rt.Fatal(err)
			}
			if rapid.Bool().Draw(rt, "not") {
				c = resource.Not{Condition: c}
			}
			q := resource.Query{Where: c, Window: pagination.First(10), Now: time.Unix(0, 0).UTC()}
			got, err := db.toys.List(ctx, q)
			want, wantErr := toys.List(ctx, q)
			agree(rt, err, wantErr)
			if diff := cmp.Diff(ids(want.Rows), ids(got.Rows)); diff != "" || got.Total != want.Total {
				rt.Fatalf("%+v: total %d, want %d (-want +got):\n%s", c, got.Total, want.Total, diff)
			}
		},
	})
}

func ids(toys []storagetest.Toy) (ids []ulid.ULID) {
	for _, toy := range toys {
		ids = append(ids, toy.ID)
	}
	return ids
}

// agree compares the codes of two errors.
func agree(tb rapid.TB, got, want error) {
	tb.Helper()
	if (got == nil) != (want == nil) || want != nil && !resource.Is(got, resource.AllErrors(want)[0].Code) {
		tb.Fatalf("got error %v, want %v", got, want)
	}
}

// A deletion does to what refers to the row as the reference says, and the totals know it.
func TestDeletion(t *testing.T) {
	databases(t, func(t *testing.T, db database) {
		ctx := t.Context()
		home, lender, keeper, other := db.box(t, 0), db.box(t, 1), db.box(t, 2), db.box(t, 3)
		parent := db.toy(t, 0, home, func(toy *storagetest.Toy) { toy.Lender, toy.Keeper = lender, keeper })
		child := db.toy(t, 1, other, func(toy *storagetest.Toy) { toy.Parent = parent })
		db.toy(t, 2, other, func(toy *storagetest.Toy) { toy.Parent = child })
		friend := db.toy(t, 3, other, func(*storagetest.Toy) {})
		for _, id := range []ulid.ULID{parent, child} {
			if _, err := db.toys.Linkage("friends").Add(ctx, friend, id); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.boxes.Delete(ctx, keeper); !resource.Is(err, resource.Referenced) {
			t.Errorf("the keeper: got %v, want that it is referenced", err)
		}
		if err := db.boxes.Delete(ctx, lender); err != nil {
			t.Errorf("the lender: %v", err)
		}
		toy, err := db.toys.Get(ctx, parent)
		if err != nil {
			t.Fatal(err)
		}
		if toy.Lender != (ulid.ULID{}) || toy.Keeper != keeper || toy.Box != home {
			t.Errorf("lender %s keeper %s box %s", toy.Lender, toy.Keeper, toy.Box)
		}
		if err := db.boxes.Delete(ctx, home); err != nil {
			t.Errorf("the box: %v", err)
		}
		db.left(t, friend)
		links, err := db.toys.Linkage("friends").List(ctx, friend, resource.Query{Window: pagination.First(10)})
		if err != nil || links.Total != 0 || len(links.Rows) != 0 {
			t.Errorf("links %+v, %v", links, err)
		}
	})
}

// Two rows may refer to each other, and go together.
func TestDeletionOfCycle(t *testing.T) {
	databases(t, func(t *testing.T, db database) {
		home := db.box(t, 0)
		one := db.toy(t, 0, home, func(toy *storagetest.Toy) { toy.Parent = toy.ID })
		two := db.toy(t, 1, home, func(toy *storagetest.Toy) { toy.Parent = one })
		_, err := db.toys.Update(t.Context(), one, func(toy *storagetest.Toy) error { toy.Parent = two; return nil })
		if err != nil {
			t.Fatal(err)
		}
		db.left(t, one, two)
		if err := db.toys.Delete(t.Context(), two); err != nil {
			t.Fatal(err)
		}
		db.left(t)
	})
}

// left checks which toys are left, by their rows and by the totals of some filters.
func (d *database) left(t *testing.T, want ...ulid.ULID) {
	t.Helper()
	page, err := d.toys.List(t.Context(), resource.Query{Window: pagination.First(100)})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(want, ulid.ULID.Compare)
	if diff := cmp.Diff(want, ids(page.Rows)); diff != "" || page.Total != int64(len(want)) {
		t.Errorf("total %d, toys that are left (-want +got):\n%s", page.Total, diff)
	}
	for _, f := range storagetest.Toys.AllFilters() {
		for _, word := range f.Words() {
			c, now := f.Values[word], time.Date(2024, 7, 12, 0, 0, 0, 0, time.UTC)
			page, err := d.toys.List(t.Context(), resource.Query{Where: c, Window: pagination.First(100), Now: now})
			if err != nil || page.Total != int64(len(page.Rows)) {
				t.Errorf("%s=%s: total %d of %d rows, %v", f.Parameter(), word, page.Total, len(page.Rows), err)
			}
		}
	}
}

// A row cannot refer to what is not there.
func TestReferenceToNothing(t *testing.T) {
	databases(t, func(t *testing.T, db database) {
		missing := storagetest.NewBox(9).ID
		if err := db.toys.Create(t.Context(), plainToy(0, missing)); !resource.Is(err, resource.NotFound) {
			t.Errorf("got %v, want that the box is not found", err)
		}
		toy := db.toy(t, 0, db.box(t, 0), func(*storagetest.Toy) {})
		for name, change := range map[string]func(*storagetest.Toy) error{
			"keeper": func(toy *storagetest.Toy) error { toy.Keeper = missing; return nil },
			"parent": func(toy *storagetest.Toy) error { toy.Parent = missing; return nil },
		} {
			if _, err := db.toys.Update(t.Context(), toy, change); !resource.Is(err, resource.NotFound) {
				t.Errorf("%s: got %v, want that it is not found", name, err)
			}
		}
	})
}

// What one transaction writes, its own reads see, and nobody else before the commit; an error or a panic undoes
// all of it, the totals too, also when it comes from a transaction within.
func TestTransaction(t *testing.T) {
	databases(t, func(t *testing.T, db database) {
		home := db.box(t, 0)
		refused := errors.New("refused")
		write := func(ctx context.Context, i int) error {
			return db.Transact(ctx, func(ctx context.Context) error {
				if err := db.toys.Create(ctx, plainToy(i, home)); err != nil {
					return err
				}
				page, err := db.toys.List(ctx, resource.Query{Window: pagination.First(100)})
				if err != nil || page.Total != 1 || len(page.Rows) != 1 {
					return fmt.Errorf("its own reads see %d rows, total %d: %w", len(page.Rows), page.Total, err)
				}
				db.left(t) // outside of it, nothing is there
				return nil
			})
		}
		for name, end := range map[string]func() error{
			"error": func() error { return refused },
			"panic": func() error { panic(refused) },
		} {
			t.Run(name, func(t *testing.T) {
				defer func() {
					if v := recover(); v != nil && v != refused {
						panic(v)
					}
					db.left(t)
				}()
				err := db.Transact(t.Context(), func(ctx context.Context) error {
					if err := write(ctx, 0); err != nil {
						return err
					}
					return end()
				})
				if !errors.Is(err, refused) {
					t.Errorf("got %v, want what the function returned", err)
				}
			})
		}
		t.Run("error within", func(t *testing.T) {
			err := db.Transact(t.Context(), func(ctx context.Context) error {
				if err := write(ctx, 0); err != nil {
					return err
				}
				if err := db.Transact(ctx, func(context.Context) error { return refused }); err != refused {
					t.Errorf("got %v, want what the function returned", err)
				}
				return nil
			})
			if err == nil {
				t.Error("the whole is not undone")
			}
			db.left(t)
		})
		if err := write(t.Context(), 0); err != nil {
			t.Error(err)
		}
		db.left(t, plainToy(0, home).ID)
	})
}
