package storage_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"reeve/pagination"
	"reeve/resource"
)

// Pruning takes what meets the condition, as much of it as is asked for, and nothing else.
func TestPrune(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		table := table(t, s, accounts())
		fill(t, table, 1300)
		old, now := resource.Past("created_at"), begin.Add(1199*time.Second)
		for _, want := range []int{500, 500, 200, 0} {
			if n, err := table.Prune(t.Context(), old, now, 500); err != nil || n != want {
				t.Errorf("%d pruned, want %d: %v", n, want, err)
			}
		}
		page, err := table.List(t.Context(), resource.Query{Window: pagination.First(1000)})
		if err != nil || page.Total != 100 || len(page.Rows) != 100 {
			t.Errorf("%d are left: %v", page.Total, err)
		}
		for _, row := range page.Rows {
			if !row.CreatedAt.After(now) {
				t.Errorf("%s is left", row.Name)
			}
		}
		rightTotals(t, table)
		if _, err := table.Prune(t.Context(), resource.Past("nothing"), now, 500); err == nil {
			t.Error("a condition on an unknown attribute prunes")
		}
	})
}

// Assign writes the members that are named, to the rows that meet the condition, and keeps the totals right.
func TestAssign(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		table := table(t, s, accounts())
		fill(t, table, 300)
		at := begin.Add(99 * time.Second)
		where := resource.Holds("created_at", resource.AtMost, at)
		before, err := table.List(t.Context(), resource.Query{Where: resource.All{where, resource.Equal("kind", "robot")}, Window: pagination.First(1)})
		if err != nil {
			t.Fatal(err)
		}
		n, err := table.Assign(t.Context(), where, &account{Kind: "robot", LockedAt: &at, Name: "left alone"}, "kind", "locked_at")
		if err != nil || n != 100 {
			t.Fatalf("%d rows of 100: %v", n, err)
		}
		after, err := table.List(t.Context(), resource.Query{Where: resource.All{where, resource.Equal("kind", "robot")}, Window: pagination.First(1000)})
		if err != nil || after.Total != 100 || before.Total == 100 {
			t.Errorf("%d robots, and then %d: %v", before.Total, after.Total, err)
		}
		for _, row := range after.Rows {
			if row.Name == "left alone" || row.LockedAt == nil || !row.LockedAt.Equal(at) {
				t.Errorf("%+v", row)
			}
		}
		rightTotals(t, table)
		if _, err := table.Assign(t.Context(), resource.Past("nothing"), &account{}, "kind"); err == nil {
			t.Error("a condition on an unknown attribute is taken")
		}
	})
}

// A lock that another transaction holds is not waited for, where there can be another transaction.
func TestTryLock(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		db := s.open(t)
		if _, err := db.TryLock(t.Context(), "a"); err == nil {
			t.Error("a lock is taken without a transaction")
		}
		try := func(ctx context.Context, name string, want bool) error {
			held, err := db.TryLock(ctx, name)
			if held != want {
				t.Errorf("%s: held is %t", name, held)
			}
			return err
		}
		err := db.Transact(t.Context(), func(ctx context.Context) error {
			if err := errors.Join(try(ctx, "a", true), try(ctx, "a", true)); err != nil || s.dialect.Traits().OneWriter {
				return err
			}
			return db.Transact(t.Context(), func(ctx context.Context) error {
				return errors.Join(try(ctx, "a", false), try(ctx, "b", true))
			})
		})
		if err != nil {
			t.Error(err)
		}
		if err := db.Transact(t.Context(), func(ctx context.Context) error { return try(ctx, "a", true) }); err != nil {
			t.Error(err)
		}
	})
}
