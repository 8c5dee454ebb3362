package storage_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/lib/pq"

	"reeve/storage"
	"reeve/storage/postgres"
	"reeve/storage/storagetest"
)

// watched watches a database until the test ends.
func watched(t *testing.T, db *storage.DB) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- db.Watch(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error("Watch:", err)
		}
	})
	known(t, db, true)
}

// known waits until the generation is known, or until it is not.
func known(t *testing.T, db *storage.DB, want bool) {
	t.Helper()
	late := time.Now().Add(20 * time.Second)
	for {
		if _, is := db.Generation(); is == want {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("the generation does not come to be known=%v", want)
		}
		time.Sleep(time.Millisecond)
	}
}

// seen waits until a change of now is no more part of what a process takes for true, and fails if that takes more
// than a second.
func seen(t *testing.T, db *storage.DB, before uint64, what string) {
	t.Helper()
	changed := time.Now()
	for {
		asked := time.Now()
		if n, is := db.Generation(); n != before || !is {
			return
		}
		if asked.Sub(changed) > time.Second {
			t.Fatalf("%s is not seen within a second", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestGeneration(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		db := s.open(t)
		table := declare(t, db, accounts())
		migrate(t, db)
		other := s.open(t)
		elsewhere := declare(t, other, accounts())
		if _, is := db.Generation(); is {
			t.Error("the generation is known though nobody watches")
		}
		fill(t, table, 10)
		watched(t, db)

		ctx, first := t.Context(), newAccount(0).ID
		rename := func(name string) func(*account) error {
			return func(a *account) error { a.Name = name; return nil }
		}
		for _, step := range []struct {
			name string
			do   func() error
		}{
			{"an update", func() error {
				_, err := table.Update(ctx, first, rename("b"))
				return err
			}},
			{"a deletion", func() error { return table.Delete(ctx, newAccount(1).ID) }},
			{"several changes", func() error {
				return db.Transact(ctx, func(ctx context.Context) error {
					if err := table.Create(ctx, newAccount(20)); err != nil {
						return err
					}
					_, err := table.Update(ctx, newAccount(20).ID, rename("c"))
					return err
				})
			}},
		} {
			before, _ := db.Generation()
			if err := step.do(); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if after, _ := db.Generation(); after == before {
				t.Errorf("%s has not raised the generation when it returns", step.name)
			}
		}
		for _, step := range []struct {
			name string
			do   func() error
		}{
			{"an update elsewhere", func() error {
				_, err := elsewhere.Update(ctx, first, rename("e"))
				return err
			}},
			{"a creation elsewhere", func() error { return elsewhere.Create(ctx, newAccount(21)) }},
			{"a deletion elsewhere", func() error { return elsewhere.Delete(ctx, newAccount(2).ID) }},
			{"a hand", func() error {
				s.do(t, `DELETE FROM user_accounts WHERE name = 'e'`)
				return nil
			}},
		} {
			before, _ := db.Generation()
			if err := step.do(); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			seen(t, db, before, step.name)
			known(t, db, true)
		}
	})
}

// TestNotify hears what a node tells the others.
func TestNotify(t *testing.T) {
	url := storagetest.Postgres(t)
	s := server{dialect: postgres.Dialect{}, url: url}
	table := table(t, s, accounts())
	fill(t, table, 1)
	notified := make(chan *pq.Notification, 10)
	listener, err := pq.NewListenerConn(url, notified)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if _, err := listener.Listen("reeve"); err != nil {
		t.Fatal(err)
	}
	db := s.open(t)
	here := declare(t, db, accounts())
	watched(t, db)
	if _, err := here.Update(t.Context(), newAccount(0).ID, func(a *account) error { a.Name = "b"; return nil }); err != nil {
		t.Fatal(err)
	}
	select {
	case <-notified:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing is heard")
	}
	heard, _ := db.Generation()
	if _, err := listener.ExecSimpleQuery("NOTIFY reeve"); err != nil {
		t.Fatal(err)
	}
	seen(t, db, heard, "a notification")
}

// TestGenerationWithoutDatabase sees that nothing is taken for true while the database is away.
func TestGenerationWithoutDatabase(t *testing.T) {
	cluster := storagetest.Own(t)
	db, err := storage.Open(t.Context(), postgres.Dialect{}, cluster.Database(t), storage.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	watched(t, db)
	if err := cluster.Stop(storagetest.Immediate); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	for {
		asked := time.Now()
		if _, is := db.Generation(); !is {
			break
		}
		if asked.Sub(stopped) > time.Second {
			t.Fatal("the generation is known though the database is away")
		}
		time.Sleep(time.Millisecond)
	}
	before, _ := db.Generation()
	if err := cluster.Start(); err != nil {
		t.Fatal(err)
	}
	known(t, db, true)
	if after, _ := db.Generation(); after == before {
		t.Error("the generation is the one of before the database was away")
	}
}

// TestFollow sees that who follows looks at once, and after each commit, here and elsewhere; and again if it failed.
func TestFollow(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		db := s.open(t)
		table := declare(t, db, accounts())
		migrate(t, db)
		other := s.open(t)
		elsewhere := declare(t, other, accounts())
		watched(t, db)
		looks, outcome := make(chan struct{}), make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			db.Follow(ctx, func(ctx context.Context) error {
				select {
				case looks <- struct{}{}:
				case <-ctx.Done():
				}
				select {
				case err := <-outcome:
					return err
				default:
					return nil
				}
			})
		}()
		look := func(what string) {
			t.Helper()
			select {
			case <-looks:
			case <-time.After(time.Second):
				t.Fatalf("nobody looks within a second %s", what)
			}
		}
		quiet := func() { // two looks that follow each other may be about the same
			for {
				select {
				case <-looks:
				case <-time.After(time.Second):
					return
				}
			}
		}
		outcome <- errors.New("the first look fails")
		look("from the beginning")
		look("after a failure")
		quiet()
		fill(t, table, 1)
		look("after a creation")
		quiet()
		if err := elsewhere.Create(ctx, newAccount(2)); err != nil {
			t.Fatal(err)
		}
		look("after a creation elsewhere")
		stop()
		<-done
	})
}

func TestAfterCommit(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		db := s.open(t)
		table := declare(t, db, accounts())
		migrate(t, db)
		if err := db.AfterCommit(t.Context(), func(context.Context) {}); err == nil {
			t.Error("without a transaction nothing comes after its commit")
		}
		undone := errors.New("undone")
		for _, want := range []error{nil, undone} {
			did := 0
			err := db.Transact(t.Context(), func(ctx context.Context) error {
				return db.Transact(ctx, func(ctx context.Context) error {
					account := newAccount(7)
					err := db.AfterCommit(ctx, func(ctx context.Context) {
						did++
						if _, err := table.Get(ctx, account.ID); err != nil {
							t.Error("it is not committed: ", err)
						}
					})
					if did > 0 {
						t.Error("done before the commit")
					}
					return errors.Join(err, table.Create(ctx, account), want)
				})
			})
			if !errors.Is(err, want) || did != 1 && want == nil || did != 0 && want != nil {
				t.Errorf("%v: done %d times", err, did)
			}
			if err := table.Delete(t.Context(), newAccount(7).ID); want == nil && err != nil {
				t.Fatal(err)
			}
		}
	})
}
