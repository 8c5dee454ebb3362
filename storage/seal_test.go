package storage_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"reeve/resource"
	"reeve/storage"
)

var withSeed = accounts(resource.Attr("seed", func(a *account) *string { return &a.Seed }).Secret())

// reseal seals everything anew through one node, and reports how many rows it has looked at.
func reseal(t *testing.T, db *storage.DB) (rows int) {
	t.Helper()
	for at := (storage.Resealing{}); !at.Done; {
		next, n, err := db.Reseal(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		at, rows = next, rows+n
	}
	return rows
}

// TestRotateDataKeys rotates the data keys and seals everything anew while 16 readers and writers go on, at two nodes.
// None of them sees an error or another value than its own, and in the end every value is sealed under the one key left.
func TestRotateDataKeys(t *testing.T) {
	const clients, rotations = 16, 4
	servers(t, func(t *testing.T, s server) {
		one, two := s.open(t), s.open(t)
		nodes := []*storage.Table[account]{declare(t, one, withSeed), declare(t, two, withSeed)}
		migrate(t, one)
		migrate(t, two)
		for i := range 450 { // several batches
			a := newAccount(i)
			a.Seed = fmt.Sprint("standing ", i)
			if err := nodes[0].Create(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
		var over atomic.Bool
		var working sync.WaitGroup
		var done atomic.Int64
		for i := range clients {
			working.Go(func() {
				a, write, read := newAccount(1000+i), nodes[i%2], nodes[(i+1)%2]
				err := write.Create(t.Context(), a)
				for n := 0; err == nil && !over.Load(); n++ {
					seed := fmt.Sprint("seed ", i, " ", n)
					if _, err = write.Update(t.Context(), a.ID, func(a *account) error { a.Seed = seed; return nil }); err != nil {
						break
					}
					var found *account
					if found, err = read.Get(t.Context(), a.ID); err == nil && found.Seed != seed {
						err = fmt.Errorf("it is %q, not %q", found.Seed, seed)
					}
					done.Add(1)
					if strings.HasPrefix(s.url, "sqlite") { // one of two processes that write without a pause would keep the other from it
						time.Sleep(rand.N(10 * time.Millisecond))
					}
				}
				if err != nil {
					t.Error(i, err)
				}
			})
		}
		defer func() {
			over.Store(true)
			working.Wait()
		}()
		for range rotations {
			if err := one.RotateDataKeys(t.Context()); err != nil {
				t.Fatal(err)
			}
			for before := done.Load(); done.Load() < before+clients && !t.Failed(); { // somebody has sealed under the new key
			}
			if rows := reseal(t, two); rows < 450 {
				t.Errorf("%d rows were looked at", rows)
			}
		}
		keys, err := two.DataKeys(t.Context())
		if err != nil || len(keys.All) != 1 || keys.All[0] != keys.Primary {
			t.Errorf("the keys are %+v: %v", keys, err)
		}
		over.Store(true)
		working.Wait()
		prefix := binary.BigEndian.AppendUint32([]byte{1}, uint32(keys.Primary))
		var values [][]byte
		if err := s.hands.Select(&values, "SELECT seed FROM user_accounts"); err != nil {
			t.Fatal(err)
		}
		for _, value := range values {
			if !bytes.HasPrefix(value, prefix) {
				t.Errorf("a value is sealed under the key %x, not %x", value[1:5], prefix[1:])
			}
		}
		if len(values) != 450+clients {
			t.Errorf("there are %d", len(values))
		}
		if a, err := declare(t, s.open(t), withSeed).Get(t.Context(), newAccount(7).ID); err != nil || a.Seed != "standing 7" {
			t.Errorf("got %+v: %v", a, err)
		}
		t.Logf("%d writes and reads", done.Load())
	})
}

// What a rotation finds half done goes on, and begins again if there was another one. A table that nobody declares is
// sealed anew like the others, and an undone rotation leaves nothing.
func TestReseal(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		made := table(t, s, withSeed)
		for i := range 300 {
			if err := made.Create(t.Context(), newAccount(i)); err != nil {
				t.Fatal(err)
			}
		}
		db := s.open(t)
		rotate := func() {
			t.Helper()
			if err := db.RotateDataKeys(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		keys := func() storage.DataKeys {
			t.Helper()
			keys, err := db.DataKeys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return keys
		}
		first := keys()
		undone := errors.New("undone")
		if err := db.Transact(t.Context(), func(ctx context.Context) error { return errors.Join(db.RotateDataKeys(ctx), undone) }); !errors.Is(err, undone) {
			t.Error(err)
		}
		if now := keys(); now.Primary != first.Primary || len(now.All) != 1 {
			t.Errorf("the keys are %+v", now)
		}
		rotate()
		at, rows, err := db.Reseal(t.Context(), storage.Resealing{})
		if err != nil || rows != 200 || at.Key != keys().Primary {
			t.Fatal(at, rows, err)
		}
		rotate()
		next, rows, err := db.Reseal(t.Context(), at)
		if err != nil || rows != 200 || next.Key != keys().Primary || next.Table != at.Table {
			t.Errorf("it goes on at %+v after %d rows: %v", next, rows, err)
		}
		if now := keys(); len(now.All) != 3 {
			t.Errorf("the keys are %+v", now)
		}
		if reseal(t, db); len(keys().All) != 1 {
			t.Errorf("the keys are %+v", keys())
		}
		if _, err := made.Get(t.Context(), newAccount(299).ID); err != nil {
			t.Error(err)
		}
	})
}

// TestMasterKey rotates the master key: whoever has the former one too opens the database, and seals its keys anew.
func TestMasterKey(t *testing.T) {
	another := bytes.Repeat([]byte{9}, 32)
	servers(t, func(t *testing.T, s server) {
		made := table(t, s, withSeed)
		a := newAccount(1)
		a.Seed = "open sesame"
		if err := made.Create(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		open := func(key []byte, former ...[]byte) *storage.DB {
			t.Helper()
			db, err := storage.Open(t.Context(), s.dialect, s.url, storage.Options{
				MasterKey: key, FormerMasterKeys: former, Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				if !errors.Is(err, storage.ErrMasterKey) {
					t.Error(err)
				}
				return nil
			}
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
			return db
		}
		if open(another) != nil || open(another, another) != nil {
			t.Error("another master key opens it")
		}
		db := open(another, masterKey)
		declare(t, db, withSeed)
		migrate(t, db)
		if open(masterKey) != nil {
			t.Error("the former master key opens it still")
		}
		if got, err := declare(t, open(another), withSeed).Get(t.Context(), a.ID); err != nil || got.Seed != "open sesame" {
			t.Errorf("got %+v: %v", got, err)
		}
		// A node that runs meanwhile knows the data keys, and goes on.
		if _, err := made.Update(t.Context(), a.ID, func(a *account) error { a.Seed = "once more"; return nil }); err != nil {
			t.Error(err)
		}
	})
}
