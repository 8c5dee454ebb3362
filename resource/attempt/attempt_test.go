package attempt_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/attempt"
	"reeve/resource/event"
	"reeve/storage"
	"reeve/storage/postgres"
	"reeve/storage/sqlite"
	"reeve/storage/storagetest"
)

// node is a process with a database: a limiter of two attempts an account and three an address, in five minutes.
type node struct {
	*auth.Limiter
	database *storage.Outbox
	rows     *storage.Table[attempt.Tally]
	tallies  *attempt.Tallies
}

// clock is the time of all nodes of a test.
type clock struct{ now atomic.Int64 }

func (c *clock) Now() time.Time { return time.UnixMicro(c.now.Load()).UTC() }

const window = 5 * time.Minute

// onBoth runs a test on both databases, with the time at the beginning of a window. Open opens the same database once
// more.
func onBoth(t *testing.T, test func(t *testing.T, c *clock, open func() *node)) {
	run := func(dialect storage.Dialect, uri func(t *testing.T) string) func(t *testing.T) {
		return func(t *testing.T) {
			t.Parallel() // they mostly wait
			c, uri := &clock{}, uri(t)
			c.now.Store(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC).UnixMicro())
			test(t, c, func() *node { return open(t, c, dialect, uri) })
		}
	}
	t.Run("SQLite", run(sqlite.Dialect{}, func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "test.db") }))
	t.Run("PostgreSQL", run(postgres.Dialect{}, func(t *testing.T) string { return storagetest.Postgres(t) }))
}

func open(t *testing.T, c *clock, dialect storage.Dialect, uri string) *node {
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
	n := &node{}
	if n.rows, err = storage.NewTable(db, attempt.Schema); err != nil {
		t.Fatal(err)
	}
	if n.database, err = storage.NewOutbox(db, event.Schema); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.tallies = attempt.New(n.database, n.rows)
	n.Limiter = auth.NewLimiter(auth.LimiterConfig{
		Limits:  func() auth.Limits { return auth.Limits{PerAccount: 2, PerAddress: 3, Window: window} },
		Tallies: n.tallies, Key: []byte("key"), Clock: c.Now, Log: slog.Default(),
	})
	return n
}

func from(ctx context.Context, address string) context.Context {
	return auth.WithOrigin(ctx, auth.Origin{Address: netip.AddrPortFrom(netip.MustParseAddr(address), 0)})
}

// TestLimits walks through what is counted: by account and by address, on two nodes, given back, and in the next window.
func TestLimits(t *testing.T) {
	onBoth(t, func(t *testing.T, c *clock, open func() *node) {
		one, two := open(), open()
		anna := ulid.Make()
		attempt := func(n *node, account string, user ulid.ULID, address string, passes bool) (giveBack func()) {
			t.Helper()
			giveBack, err := n.Reserve(from(t.Context(), address), auth.SignInAttempt, account, user)
			var limited *auth.LimitedError
			if passes != (err == nil) || !passes && !errors.As(err, &limited) {
				t.Errorf("%s from %s: %v", account, address, err)
			}
			if limited != nil && limited.After != c.Now().Truncate(window).Add(window).Sub(c.Now()) {
				t.Errorf("again after %s", limited.After)
			}
			return giveBack
		}
		attempt(one, "anna", anna, "192.0.2.1", true)
		for range 5 {
			attempt(two, "anna", anna, "192.0.2.2", true)() // which succeed
		}
		attempt(two, "anna", anna, "192.0.2.2", true)
		attempt(one, "anna", anna, "192.0.2.3", false)
		attempt(two, "anna", anna, "192.0.2.4", false)
		attempt(two, "anna", anna, "192.0.2.4", false)

		attempt(one, "berta", ulid.ULID{}, "192.0.2.1", true)
		attempt(two, "carla", ulid.ULID{}, "192.0.2.1", true)
		attempt(one, "dora", ulid.ULID{}, "192.0.2.1", false)
		attempt(two, "dora", ulid.ULID{}, "192.0.2.1", false)
		attempt(two, "dora", ulid.ULID{}, "192.0.2.5", true) // none of dora's was counted

		c.now.Add(int64(window/time.Microsecond) - 1)
		attempt(one, "anna", anna, "192.0.2.9", false)
		c.now.Add(1)
		attempt(one, "anna", anna, "192.0.2.1", true)
		attempt(two, "anna", anna, "192.0.2.1", true)
		attempt(two, "anna", anna, "192.0.2.1", false)
	})
}

// TestConcurrentAttempts has many try at once on two nodes: as many as may do get through.
func TestConcurrentAttempts(t *testing.T) {
	onBoth(t, func(t *testing.T, _ *clock, open func() *node) {
		nodes := []*node{open(), open()}
		var through atomic.Int64
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				_, err := nodes[i%2].Reserve(from(t.Context(), "192.0.2.1"), auth.SignInAttempt, "anna", ulid.ULID{})
				if limited := new(auth.LimitedError); err == nil {
					through.Add(1)
				} else if !errors.As(err, &limited) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := through.Load(); n != 2 {
			t.Errorf("%d of 200 got through", n)
		}
	})
}

// TestTold sees that what was refused is told once an account or an address and window, by whichever node, and that
// nothing is left then.
func TestTold(t *testing.T) {
	onBoth(t, func(t *testing.T, c *clock, open func() *node) {
		nodes := []*node{open(), open()}
		anna := ulid.Make()
		for i := range 20 {
			_, _ = nodes[i%2].Reserve(t.Context(), auth.SignInAttempt, "anna", anna) // 2 pass
			_, _ = nodes[i%2].Reserve(t.Context(), auth.UserCodeAttempt, "anna", anna)
			_, _ = nodes[i%2].Reserve(t.Context(), auth.SignInAttempt, "nobody", ulid.ULID{})
			_, _ = nodes[i%2].Reserve(from(t.Context(), "2001:db8::1"), auth.RegistrationAttempt, "", ulid.ULID{}) // 3 pass
		}
		told := func(want int) {
			t.Helper()
			if n, err := nodes[0].tallies.Close(t.Context(), c.Now()); n != want || err != nil {
				t.Errorf("%d events, not %d: %v", n, want, err)
			}
			if _, err := nodes[1].rows.Prune(t.Context(), attempt.Ended, c.Now(), 500); err != nil {
				t.Error(err)
			}
		}
		for _, n := range nodes {
			if err := n.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		told(0)
		c.now.Add(int64(window / time.Microsecond))
		told(0) // nodes may still have something to say
		c.now.Add(int64(time.Minute / time.Microsecond))
		var closing sync.WaitGroup
		var events atomic.Int64
		for _, n := range nodes { // both at once
			closing.Go(func() {
				told, err := n.tallies.Close(t.Context(), c.Now())
				if events.Add(int64(told)); err != nil {
					t.Error(err)
				}
			})
		}
		closing.Wait()
		if events.Load() != 4 {
			t.Errorf("%d events", events.Load())
		}
		told(0)

		page, err := nodes[0].database.Events().List(t.Context(), resource.Query{Window: pagination.First(10), Count: pagination.CountNone})
		if err != nil || len(page.Rows) != 4 {
			t.Fatalf("%d events: %v", len(page.Rows), err)
		}
		type refused struct {
			verb    string
			user    ulid.ULID
			address string
			count   int64
		}
		got := map[refused]bool{}
		for _, e := range page.Rows {
			got[refused{e.Verb, e.Target.ID, e.Address, e.Count}] = true
		}
		for _, want := range []refused{
			{"sign-in-refused", anna, "", 18}, {"user-code-refused", anna, "", 18}, {"sign-in-refused", ulid.ULID{}, "", 18},
			{"registration-refused", ulid.ULID{}, "2001:db8::", 17},
		} {
			if !got[want] {
				t.Errorf("there is no event %+v in %+v", want, got)
			}
		}
		left, err := nodes[0].rows.List(t.Context(), resource.Query{Window: pagination.First(10), Count: pagination.CountNone})
		if err != nil || len(left.Rows) != 0 {
			t.Errorf("%d tallies are left: %v", len(left.Rows), err)
		}

		// What a node writes late is told all the same.
		late := auth.Tally{ID: ulid.Make(), Kind: auth.SignInAttempt, Ends: c.Now().Add(-time.Hour)}
		if err := nodes[0].tallies.Refused(t.Context(), []auth.Refusals{{Tally: late, Count: 7}}); err != nil {
			t.Error(err)
		}
		told(1)
	})
}
