package storagetest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
	"reeve/storage/storagetest"
)

// family is toys and boxes that are related at random, in a database and in its oracle.
type family struct {
	database
	oracleToys     *storagetest.Memory[storagetest.Toy]
	oracleBoxes    *storagetest.Memory[storagetest.Box]
	toyIDs, boxIDs []ulid.ULID
}

func newFamily(t *testing.T, db database, random *rand.Rand) *family {
	t.Helper()
	f := &family{
		database: db, oracleToys: storagetest.NewMemory(storagetest.Toys), oracleBoxes: storagetest.NewMemory(storagetest.Boxes),
	}
	for _, reference := range []string{"box", "lender", "keeper", "stickers"} {
		f.oracleToys.Relate(reference, f.oracleBoxes)
	}
	f.oracleToys.Relate("parent", f.oracleToys)
	f.oracleToys.Relate("friends", f.oracleToys)
	try := func(errs ...error) {
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 7 {
		box := storagetest.NewBox(i)
		try(f.boxes.Create(t.Context(), box), f.oracleBoxes.Create(t.Context(), box))
		f.boxIDs = append(f.boxIDs, box.ID)
	}
	maybe := func(ids []ulid.ULID) ulid.ULID {
		if len(ids) == 0 || random.IntN(3) == 0 {
			return ulid.ULID{}
		}
		return ids[random.IntN(len(ids))]
	}
	for i := range 40 {
		toy := plainToy(i, f.boxIDs[random.IntN(4)])
		toy.Design = nil // PostgreSQL writes it otherwise
		toy.Lender, toy.Keeper, toy.Parent = maybe(f.boxIDs[:3]), maybe(f.boxIDs), maybe(f.toyIDs)
		try(f.toys.Create(t.Context(), toy), f.oracleToys.Create(t.Context(), toy))
		f.toyIDs = append(f.toyIDs, toy.ID)
	}
	for _, name := range []string{"stickers", "friends"} {
		targets := map[string][]ulid.ULID{"stickers": f.boxIDs, "friends": f.toyIDs}[name]
		for range 60 {
			from, to := f.toyIDs[random.IntN(20)], targets[random.IntN(len(targets))]
			for _, linkage := range []resource.Linkage{f.toys.Linkage(name), f.oracleToys.Linkage(name)} {
				_, err := linkage.Add(t.Context(), from, to)
				try(err)
			}
		}
	}
	return f
}

// asked compares what a database and its oracle answer.
func asked[T any](t *testing.T, q resource.Query, got, want interface {
	List(context.Context, resource.Query) (resource.Page[T], error)
}) {
	t.Helper()
	want1, err := want.List(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	got1, err := got.List(t.Context(), q)
	if err != nil {
		t.Fatalf("%+v %+v: %v", q, q.Of, err)
	}
	if diff := cmp.Diff(want1, got1, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%+v %+v (-want +got):\n%s", q, q.Of, diff)
	}
}

// TestRelations asks for what is related, by every relation and from both of its ends.
func TestRelations(t *testing.T) {
	databases(t, func(t *testing.T, db database) {
		f := newFamily(t, db, rand.New(rand.NewPCG(1, 2)))
		nobody := resource.NamedID("nobody", "")
		about := func(ids []ulid.ULID, more ...resource.Condition) []resource.Condition {
			several := resource.Any{}
			for _, id := range append(ids[1:4:4], nobody) {
				several = append(several, resource.Equal("id", id))
			}
			return append(more, nil, resource.Equal("id", ids[0]), resource.Equal("id", ids[1]), resource.Equal("id", nobody),
				several, resource.Not{Condition: several}, resource.All{several, resource.Holds("id", resource.Greater, ids[1])})
		}
		ofToys := about(f.toyIDs, resource.Equal("broken", true), resource.Exists{Relation: "stickers", Condition: resource.Equal("id", f.boxIDs[0])})
		ofBoxes := about(f.boxIDs, resource.Holds("volume", resource.AtLeast, int64(3)), resource.Holds("label", resource.Prefix, "Box 2"))
		list := func(relation string, conditions []resource.Condition, ask func(q resource.Query)) {
			for _, c := range conditions {
				e := resource.Exists{Relation: relation, Condition: c}
				other := resource.Exists{Relation: relation, Condition: conditions[len(conditions)/2]}
				for _, where := range []resource.Condition{
					e, resource.Not{Condition: e}, resource.All{e, other}, resource.Any{e, other}, resource.All{e, resource.Not{Condition: other}},
				} {
					ask(resource.Query{Where: where, Window: pagination.First(4)})
					ask(resource.Query{Where: where, Window: pagination.Window{Size: 2, Backward: true, Before: pagination.At(f.toyIDs[9]), After: pagination.At(f.boxIDs[1])}})
					ask(resource.Query{Where: where, Count: pagination.CountOnly})
				}
			}
		}
		toys := func(q resource.Query) { t.Helper(); asked(t, q, f.toys, f.oracleToys) }
		boxes := func(q resource.Query) { t.Helper(); asked(t, q, f.boxes, f.oracleBoxes) }
		list("stickers", ofBoxes, toys)
		list("friends", ofToys, toys)
		list("toy.friends", ofToys, toys)
		list("toy.parent", ofToys[:1], toys)
		list("toy.stickers", ofToys[:1], boxes)
		for _, relation := range []string{"toy.box", "toy.lender", "toy.keeper", "toy.stickers"} {
			list(relation, ofToys[2:], boxes)
		}
		for _, several := range []resource.Any{
			{resource.Equal("lender", f.boxIDs[0]), resource.Equal("lender", f.boxIDs[2]), resource.Equal("lender", nobody)},
			{resource.Equal("lender", f.boxIDs[0]), resource.Equal("lender", nil)},
			{resource.Equal("lender", nil), resource.Equal("lender", nil)},
			{resource.Equal("pieces", int64(1)), resource.Equal("pieces", int64(3)), resource.Equal("pieces", int64(4))},
			{resource.Equal("id", f.toyIDs[3]), resource.Equal("id", f.toyIDs[1])},
		} {
			toys(resource.Query{Where: several, Window: pagination.First(100)})
			toys(resource.Query{Where: resource.Not{Condition: several}, Window: pagination.First(100)})
		}
		of := func(relation string, to []ulid.ULID, ask func(q resource.Query), wheres ...resource.Condition) {
			for n := range len(to) + 1 {
				some := append(slices.Clone(to[:n]), nobody)
				slices.SortFunc(some, ulid.ULID.Compare)
				for _, size := range []int{1, 2, 5, 100} {
					for _, where := range append(wheres, nil) {
						ask(resource.Query{
							Of: &resource.Relation{Name: relation, To: some}, Window: pagination.First(size), Where: where, Count: pagination.CountNone,
						})
					}
				}
			}
		}
		for _, relation := range []string{"box", "lender", "keeper", "stickers"} {
			of(relation, f.boxIDs, toys, resource.Equal("broken", false))
		}
		few := f.toyIDs[:9]
		of("parent", few, toys, resource.Equal("broken", false))
		of("friends", few, toys, resource.Equal("broken", false))
		of("toy.friends", few, toys, resource.NotNull("parent"))
		of("toy.stickers", few, boxes, resource.Holds("volume", resource.AtLeast, int64(3)))
		asked(t, resource.Query{Of: &resource.Relation{Name: "box"}, Window: pagination.First(1), Count: pagination.CountNone}, f.toys, f.oracleToys)
		for _, q := range []resource.Query{
			{Where: resource.Exists{Relation: "nothing"}}, {Where: resource.Exists{Relation: "toy.nothing"}},
			{Where: resource.Exists{Relation: "thing.box"}}, {Where: resource.Exists{Relation: "box.toy"}},
			{Of: &resource.Relation{Name: "toy.box", To: few}}, {Of: &resource.Relation{Name: "name", To: few}},
			{Of: &resource.Relation{Name: "stickers", To: few}, Order: resource.ParseOrder([]string{"id"})},
		} {
			q.Window = pagination.First(1)
			if _, err := f.toys.List(t.Context(), q); err == nil {
				t.Errorf("%+v %+v: no error", q, q.Of)
			}
		}
	})
}

// TestManyLinks lists what one resource is linked with, where it is so much that the links are walked.
func TestManyLinks(t *testing.T) {
	databases(t, func(t *testing.T, db database) {
		const n = 2800 // of which three quarters are linked
		var all, linked []*storagetest.Box
		var ids []ulid.ULID
		for i := range n {
			box := &storagetest.Box{ID: resource.NamedID("box", fmt.Sprint(i)), Label: fmt.Sprint(i), Volume: int64(i)}
			all = append(all, box)
			if i%4 > 0 {
				linked, ids = append(linked, box), append(ids, box.ID)
			}
		}
		if err := db.boxes.Create(t.Context(), all...); err != nil {
			t.Fatal(err)
		}
		toy := db.toy(t, 0, all[0].ID, func(*storagetest.Toy) {})
		few := db.toy(t, 1, all[0].ID, func(*storagetest.Toy) {})
		for id, to := range map[ulid.ULID][]ulid.ULID{toy: ids, few: ids[:30]} {
			if _, err := db.toys.Linkage("stickers").Add(t.Context(), id, to...); err != nil {
				t.Fatal(err)
			}
		}
		oracle := storagetest.NewMemory(storagetest.Boxes) // of those that are linked
		if err := oracle.Create(t.Context(), linked...); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(ids, ulid.ULID.Compare)
		of := resource.Exists{Relation: "toy.stickers", Condition: resource.Equal("id", toy)}
		several := resource.Any{}
		for _, id := range ids[:300] {
			several = append(several, resource.Equal("id", id))
		}
		for _, more := range []resource.Condition{
			nil, resource.Holds("volume", resource.AtLeast, int64(n-100)), resource.Equal("label", "17"), resource.Equal("id", ids[5]),
			resource.Holds("label", resource.Contains, "7"), several, resource.Not{Condition: several},
		} {
			for _, w := range []pagination.Window{
				pagination.First(10), pagination.Last(10), pagination.First(n), {Size: 3, After: pagination.At(ids[1000])},
				{Size: 3, Backward: true, Before: pagination.At(ids[1000])}, {Size: 5, After: pagination.At(ids[7]), Before: pagination.At(ids[9])},
				{Size: 5, After: pagination.At(ids[9]), Before: pagination.At(ids[7])},
			} {
				for _, count := range []pagination.Count{pagination.CountTotal, pagination.CountNone, pagination.CountOnly} {
					q := resource.Query{Where: more, Window: w, Count: count, Now: time.Unix(0, 0)}
					want, err := oracle.List(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					q.Where = of
					if more != nil {
						q.Where = resource.All{of, more}
					}
					got, err := db.boxes.List(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
						t.Fatalf("%+v (-want +got):\n%s", q, diff)
					}
				}
			}
		}
		both, err := db.boxes.List(t.Context(), resource.Query{
			Where:  resource.All{of, resource.Exists{Relation: "toy.stickers", Condition: resource.Equal("id", few)}},
			Window: pagination.First(n),
		})
		if err != nil || both.Total != 30 || len(both.Rows) != 30 {
			t.Errorf("%d rows of %d, %v", len(both.Rows), both.Total, err)
		}
	})
}
