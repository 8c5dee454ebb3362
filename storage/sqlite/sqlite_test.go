package sqlite_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"reeve/storage"
	"reeve/storage/sqlite"
	"reeve/storage/storagetest"
)

func open(t *testing.T, uri string) *storage.DB {
	t.Helper()
	db, err := storage.Open(t.Context(), sqlite.Dialect{}, uri, storage.Options{MasterKey: bytes.Repeat([]byte{1}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestStore(t *testing.T) {
	db := open(t, "sqlite://"+filepath.Join(t.TempDir(), "a b%c.db"))
	boxes, err := storage.NewTable(db, storagetest.Boxes)
	if err != nil {
		t.Fatal(err)
	}
	toys, err := storage.NewTable(db, storagetest.Toys)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	box := storagetest.NewBox(0)
	if err := boxes.Create(t.Context(), box); err != nil {
		t.Fatal(err)
	}
	storagetest.Run(t, storagetest.Toys, toys, storagetest.NewToy(box.ID))
}
