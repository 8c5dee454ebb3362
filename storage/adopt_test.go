package storage_test

import (
	"context"
	"errors"
	"testing"

	"reeve/pagination"
	"reeve/resource"
	"reeve/storage"
)

// TestAdopt sees that a draft is a table once its adoption is committed, and none if it is not; and that to adopt it
// again and again leaves nothing behind.
func TestAdopt(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		db := s.open(t)
		migrate(t, db)
		draft := func() *storage.Table[account] {
			t.Helper()
			table, err := storage.NewDraft(db, accounts())
			if err != nil {
				t.Fatal(err)
			}
			return table
		}
		undone := errors.New("undone")
		err := db.Transact(t.Context(), func(ctx context.Context) error {
			return errors.Join(db.Adopt(ctx, draft()), undone)
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
		if tables := storage.Declared(db); len(tables) != 0 {
			t.Errorf("%v are declared though they were not adopted", tables)
		}
		prepared := 0
		for n := range 300 {
			table := draft()
			if err := db.Adopt(t.Context(), table); err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				fill(t, table, 10)
			}
			page, err := table.List(t.Context(), resource.Query{Window: pagination.First(5), Count: pagination.CountTotal})
			if err != nil || page.Total != 10 {
				t.Fatalf("%d rows: %v", page.Total, err)
			}
			if n == 10 {
				prepared = storage.Statements(t, db)
			}
		}
		if now := storage.Statements(t, db); now > prepared {
			t.Errorf("%d statements are prepared, and were %d", now, prepared)
		}
		if tables := storage.Declared(db); len(tables) != 1 {
			t.Errorf("%v are declared", tables)
		}
	})
}

// TestAdoptClaimsNothing refuses drafts whose tables are others'.
func TestAdoptClaimsNothing(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		db := s.open(t)
		declare(t, db, accounts())
		migrate(t, db)
		own := accounts()
		for _, plural := range []string{own.Plural, own.Plural + "-count", "data-keys", "reeve-schemas"} {
			schema := accounts()
			schema.Name, schema.Plural = "other", plural
			table, err := storage.NewDraft(db, schema)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Adopt(t.Context(), table); !resource.Is(err, resource.Conflict) {
				t.Errorf("%s: %v", plural, err)
			}
		}
	})
}
