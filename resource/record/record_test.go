package record_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
	"reeve/resource/record"
	"reeve/storage"
	"reeve/storage/postgres"
	"reeve/storage/sqlite"
	"reeve/storage/storagetest"
)

// toys is the type that testdata declares.
func toys(t *testing.T) record.Type {
	t.Helper()
	content, err := os.ReadFile("testdata/toys.yaml")
	if err != nil {
		t.Fatal(err)
	}
	declared, err := record.Read("toys.yaml", content)
	if err != nil {
		t.Fatal(err)
	}
	return declared.Types[0]
}

// adopted is the table of a type in an empty database.
func adopted(t *testing.T, dialect storage.Dialect, url string, schema resource.Schema[record.Record]) *storage.Table[record.Record] {
	t.Helper()
	db, err := storage.Open(t.Context(), dialect, url, storage.Options{MasterKey: bytes.Repeat([]byte{7}, 32), CountBudget: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	table, err := storage.NewDraft(db, schema)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Adopt(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	return table
}

// TestStores holds the tables of a type that a file declares to what every store has to pass.
func TestStores(t *testing.T) {
	schema := toys(t).Schema
	sample := func(i int) *record.Record {
		row := schema.Row()
		row.ID = ulid.MustNew(ulid.Timestamp(time.Date(2024, 7, 12, 0, 0, i, 0, time.UTC)), bytes.NewReader(fmt.Appendf(nil, "%010d", i)))
		for name, value := range map[string]any{
			"name": fmt.Sprintf("toy-%06d", i), "size": "small", "pieces": int64(i % 7), "lost": int64(i), "weight": float64(i) / 3, "made_at": time.Date(2024, 7, 12, 0, 0, i, 0, time.UTC),
		} {
			if err := schema.Attribute(name).Scan(row, value); err != nil {
				t.Fatal(err)
			}
		}
		return row
	}
	t.Run("memory", func(t *testing.T) { storagetest.Run(t, schema, storagetest.NewMemory(schema), sample) })
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		storagetest.Run(t, schema, adopted(t, sqlite.Dialect{}, "sqlite://"+filepath.Join(t.TempDir(), "test.db"), schema), sample)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		storagetest.Run(t, schema, adopted(t, postgres.Dialect{}, storagetest.Postgres(t), schema), sample)
	})
}

// TestCopiesShareNothing sees that a copy of a record, and a record cut out of the same array, keep what they have.
func TestCopiesShareNothing(t *testing.T) {
	schema := toys(t).Schema
	name := schema.Attribute("name")
	scan := func(row *record.Record, text string) {
		if err := name.Scan(row, text); err != nil {
			t.Fatal(err)
		}
	}
	rows := schema.Rows(3)
	for i := range rows {
		scan(&rows[i], fmt.Sprint("before-", i))
	}
	copied := schema.Copy(&rows[1])
	scan(&rows[1], "after")
	for want, row := range map[string]*record.Record{"before-0": &rows[0], "after": &rows[1], "before-2": &rows[2], "before-1": copied} {
		if got := name.Value(row); got != want {
			t.Errorf("%v, not %s", got, want)
		}
	}
}
