package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/event"
	"reeve/storage"
	"reeve/storage/postgres"
	"reeve/storage/sqlite"
	"reeve/storage/storagetest"
)

// account is the entity of these tests.
type account struct {
	ID          ulid.ULID
	Name        string
	Nick        string
	Kind        string
	Admin       bool
	Level       int64
	Seed        string
	CreatedAt   time.Time
	LockedAt    *time.Time
	Deactivated *time.Time
	Sponsor     ulid.ULID
}

func attributes() []resource.Attribute[account] {
	return []resource.Attribute[account]{
		resource.Attr("name", func(a *account) *string { return &a.Name }).Required().Unique(),
		resource.Attr("kind", func(a *account) *string { return &a.Kind }).OneOf("person", "robot").Filter(resource.Eq),
		resource.Attr("admin", func(a *account) *bool { return &a.Admin }).Filter(resource.Eq),
		resource.Attr("created_at", func(a *account) *time.Time { return &a.CreatedAt }).Filter(resource.Greater),
		resource.Attr("locked_at", func(a *account) **time.Time { return &a.LockedAt }),
		resource.Attr("deactivated_at", func(a *account) **time.Time { return &a.Deactivated }),
	}
}

func accounts(more ...resource.Attribute[account]) resource.Schema[account] {
	return resource.Schema[account]{
		Name: "account", Plural: "user-accounts", Doc: "Somebody.",
		ID:         func(a *account) *ulid.ULID { return &a.ID },
		Attributes: append(attributes(), more...),
		References: []resource.Reference[account]{
			resource.ToOne("sponsor", "account", func(a *account) *ulid.ULID { return &a.Sponsor }).Nullable().OnDelete(resource.Cascade),
		},
		Filters: []resource.Filter{{Name: "status", Values: map[string]resource.Condition{
			"active":      active,
			"locked":      resource.NotNull("locked_at"),
			"deactivated": resource.NotNull("deactivated_at"),
		}}},
	}
}

var active = resource.All{resource.IsNull("locked_at"), resource.IsNull("deactivated_at")}

var masterKey = bytes.Repeat([]byte{7}, 32)

// server is a database as a program and as somebody with a shell sees it.
type server struct {
	dialect storage.Dialect
	url     string
	hands   *sqlx.DB
}

// servers runs a test on an empty database of each kind.
func servers(t *testing.T, test func(t *testing.T, s server)) {
	for _, s := range []struct {
		name    string
		dialect storage.Dialect
		url     func(t *testing.T) string
	}{
		{"SQLite", sqlite.Dialect{}, func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "a b%c.db") }},
		{"PostgreSQL", postgres.Dialect{}, func(t *testing.T) string { return storagetest.Postgres(t) }},
	} {
		t.Run(s.name, func(t *testing.T) {
			url := s.url(t)
			pools, err := s.dialect.Open(url)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := errors.Join(pools.Read.Close(), pools.Write.Close()); err != nil {
					t.Error(err)
				}
			})
			test(t, server{s.dialect, url, pools.Write})
		})
	}
}

func (s *server) open(t *testing.T) *storage.DB {
	t.Helper()
	db, err := storage.Open(t.Context(), s.dialect, s.url, storage.Options{MasterKey: masterKey, Log: slog.New(slog.DiscardHandler)})
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

// table opens the database and brings it up to date for one schema.
func table[T any](t *testing.T, s server, schema resource.Schema[T]) *storage.Table[T] {
	t.Helper()
	db := s.open(t)
	table := declare(t, db, schema)
	migrate(t, db)
	return table
}

func declare[T any](t *testing.T, db *storage.DB, schema resource.Schema[T]) *storage.Table[T] {
	t.Helper()
	table, err := storage.NewTable(db, schema)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func migrate(t *testing.T, db *storage.DB) {
	t.Helper()
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (s *server) do(t *testing.T, text string, args ...any) {
	t.Helper()
	if _, err := s.hands.ExecContext(t.Context(), s.hands.Rebind(text), args...); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

var begin = time.Date(2024, 7, 12, 12, 11, 46, 0, time.UTC)

func newAccount(i int) *account {
	a := &account{
		ID: resource.NamedID("account", fmt.Sprint(i)), Name: fmt.Sprintf("Ärger %d", i), Kind: "person",
		CreatedAt: begin.Add(time.Duration(i) * time.Second), Admin: i%50 == 0,
	}
	if i%3 == 0 {
		a.Kind = "robot"
	}
	if i%100 == 0 {
		a.LockedAt = &begin
	}
	if i%150 == 0 {
		a.Deactivated = &begin
	}
	return a
}

func fill(t *testing.T, table *storage.Table[account], n int) {
	t.Helper()
	rows := make([]*account, n)
	for i := range rows {
		rows[i] = newAccount(i)
	}
	if err := table.Create(t.Context(), rows...); err != nil {
		t.Fatal(err)
	}
}

// questions are the conditions of all closed filters, alone and combined.
func questions(s resource.Schema[account]) map[string]resource.Condition {
	all := map[string]resource.Condition{"": nil}
	for _, f := range s.AllFilters() {
		combined := map[string]resource.Condition{}
		for _, word := range f.Words() {
			for name, c := range all {
				both := resource.All{f.Values[word]}
				if c != nil {
					both = append(both, c)
				}
				combined[name+" "+f.Name+"="+word] = both
			}
		}
		for name, c := range combined {
			all[name] = c
		}
	}
	return all
}

// rightTotals checks the totals of all questions against the rows themselves.
func rightTotals(t *testing.T, table *storage.Table[account]) {
	t.Helper()
	schema := accounts()
	page, err := table.List(t.Context(), resource.Query{Window: pagination.First(100_000)})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range questions(schema) {
		want := schema.Window(page.Rows, resource.Query{Where: c, Count: pagination.CountOnly}, nil).Total
		got, err := table.List(t.Context(), resource.Query{Where: c, Count: pagination.CountOnly})
		if err != nil || got.Total != want {
			t.Errorf("%s: total %d, want %d: %v", name, got.Total, want, err)
		}
		// Were it no sum of cells, it would be right as well, but slow.
		if text, _ := table.Statement(resource.Query{Where: c, Window: pagination.First(1)}); strings.Contains(text, "count(*)") {
			t.Errorf("%s: the total is counted: %s", name, text)
		}
	}
}

// Totals stay right whatever hands do to the table, and whatever comes of the transaction.
func TestTotals(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		table := table(t, s, accounts())
		fill(t, table, 1000)
		rightTotals(t, table)
		one := s.dialect.Value(newAccount(1).ID)
		for _, text := range []string{
			"UPDATE user_accounts SET admin = NOT admin, kind = 'other' WHERE name > 'Ärger 9'",
			"UPDATE user_accounts SET locked_at = created_at WHERE name LIKE '%7'",
			"UPDATE user_accounts SET sponsor_id = ? WHERE name LIKE '%3'",
			"DELETE FROM user_accounts WHERE id = ?", // and by cascade what it sponsors
			"DELETE FROM user_accounts WHERE name LIKE '%4'",
			"DELETE FROM user_accounts",
		} {
			var args []any
			if strings.Contains(text, "?") {
				args = []any{one}
			}
			tx := s.hands.MustBegin()
			if _, err := tx.Exec(s.hands.Rebind(text), args...); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			rightTotals(t, table)
			s.do(t, text, args...)
			rightTotals(t, table)
		}
	})
}

// Self-made cascades go all the way down, and the totals know it.
func TestTotalsOfDeepCascade(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		table := table(t, s, accounts())
		for i := range 20 {
			a := newAccount(i)
			if i > 0 {
				a.Sponsor = newAccount(i - 1).ID
			}
			if err := table.Create(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
		if err := table.Delete(t.Context(), newAccount(5).ID); err != nil {
			t.Fatal(err)
		}
		page, err := table.List(t.Context(), resource.Query{Window: pagination.First(100)})
		if err != nil || page.Total != 5 || len(page.Rows) != 5 {
			t.Errorf("%d rows, total %d: %v", len(page.Rows), page.Total, err)
		}
		rightTotals(t, table)
	})
}

// More writers than a counter has rows do not harm it, and on PostgreSQL do not wait for each other.
func TestTotalsOfManyWriters(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		table := table(t, s, accounts())
		const writers, each = 24, 10
		var wait sync.WaitGroup
		for w := range writers {
			wait.Go(func() {
				for i := range each {
					a := newAccount(w*each + i)
					if err := table.Create(t.Context(), a); err != nil {
						t.Error(err)
					}
					if _, err := table.Update(t.Context(), a.ID, func(a *account) error { a.Admin = !a.Admin; return nil }); err != nil {
						t.Error(err)
					}
					if i%2 == 0 {
						if err := table.Delete(t.Context(), a.ID); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		wait.Wait()
		rightTotals(t, table)
	})
}

// A counter is remade, and filled, when the filters change.
func TestTotalsOfNewFilter(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		schema := accounts()
		schema.Filters = nil
		fill(t, table(t, s, schema), 300)
		rightTotals(t, table(t, s, accounts()))
	})
}

// Tables grow with their schemas; their rows get the defaults, and folded texts of their own.
func TestAddition(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		fill(t, table(t, s, accounts()), 1100)
		schema := accounts(
			resource.Attr("level", func(a *account) *int64 { return &a.Level }).Default(int64(3)),
			resource.Attr("nick", func(a *account) *string { return &a.Nick }),
			resource.Attr("seed", func(a *account) *string { return &a.Seed }).Secret(),
		)
		schema.Filters = append(schema.Filters, resource.Filter{Name: "search", Kind: resource.String, Where: func(arg any) resource.Condition {
			return resource.Holds("name", resource.Contains, arg)
		}})
		grown := table(t, s, schema)
		page, err := grown.List(t.Context(), resource.Query{
			Where: resource.Holds("name", resource.Contains, "ÄRGER 109"), Window: pagination.First(100),
		})
		if err != nil || len(page.Rows) != 11 || page.Total != 11 { // 109 and 1090 to 1099
			t.Fatalf("%d rows, total %d: %v", len(page.Rows), page.Total, err)
		}
		if a := page.Rows[0]; a.Level != 3 || a.Nick != "" || a.Seed != "" {
			t.Errorf("the defaults are %+v", a)
		}
		// The former schema still works on the grown table, as while a newer node is being started.
		if err := table(t, s, accounts()).Create(t.Context(), newAccount(2000)); err != nil {
			t.Error(err)
		}
	})
}

// What would lose or convert data is refused.
func TestRefusals(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, s server, schema *resource.Schema[account]){
		"kind": func(_ *testing.T, _ server, schema *resource.Schema[account]) {
			schema.Attributes[2] = resource.Attr("admin", func(a *account) *string { return &a.Nick })
		},
		"null": func(_ *testing.T, _ server, schema *resource.Schema[account]) {
			schema.Attributes[1] = schema.Attributes[1].Nullable()
		},
		"unknown": func(t *testing.T, s server, _ *resource.Schema[account]) {
			s.do(t, "DELETE FROM reeve_schemas")
			s.do(t, "DROP TABLE user_accounts")
			s.do(t, "CREATE TABLE user_accounts (id text PRIMARY KEY, size text NOT NULL)")
		},
		"target": func(_ *testing.T, _ server, schema *resource.Schema[account]) {
			schema.References[0].ReferenceDescription.Type = "nobody"
		},
		"reference": func(_ *testing.T, _ server, schema *resource.Schema[account]) {
			schema.References = append(schema.References,
				resource.ToOne("owner", "account", func(a *account) *ulid.ULID { return &a.Sponsor }))
		},
	} {
		t.Run(name, func(t *testing.T) {
			servers(t, func(t *testing.T, s server) {
				table(t, s, accounts())
				schema := accounts()
				change(t, s, &schema)
				db := s.open(t)
				declare(t, db, schema)
				if err := db.Migrate(t.Context()); err == nil {
					t.Error("it is not refused")
				}
			})
		})
	}
}

// Migrations go down and up again without harm to rows, and a database newer than the program is refused.
func TestMigrations(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		db := s.open(t)
		accounts := declare(t, db, accounts())
		applied := func() (n int) {
			t.Helper()
			all, err := db.MigrationStatus(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range all {
				if m.Applied {
					n++
				}
			}
			return n
		}
		if n := applied(); n != 0 {
			t.Errorf("%d migrations are applied to an empty database", n)
		}
		migrate(t, db)
		if n := applied(); n != 3 {
			t.Errorf("%d migrations are applied, want both and the table", n)
		}
		fill(t, accounts, 100)
		if undone, err := db.MigrateDown(t.Context()); err != nil || !strings.Contains(undone, "reeve_schemas") {
			t.Errorf("undone %q: %v", undone, err)
		}
		if n := applied(); n != 1 {
			t.Errorf("%d migrations are applied, want the first", n)
		}
		migrate(t, db)
		rightTotals(t, accounts)

		begin := time.Now()
		migrate(t, db)
		if took := time.Since(begin); took > time.Second { // it should be 20 ms, but machines are busy
			t.Errorf("nothing to do took %s", took)
		} else {
			t.Logf("nothing to do took %s", took)
		}
		s.do(t, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, TRUE)")
		if err := db.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "999") {
			t.Errorf("a newer database: %v", err)
		}
	})
}

// Several programs that start on one empty database at once all come up.
func TestMigrateTogether(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		var wait sync.WaitGroup
		for range 4 {
			db := s.open(t)
			declare(t, db, accounts())
			wait.Go(func() {
				if err := db.Migrate(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
	})
}

// Secrets are sealed for their place: they are nowhere in the database, and do not open elsewhere or under
// another master key.
func TestSecrets(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		accounts := table(t, s, withSeed)
		one, two := newAccount(1), newAccount(2)
		one.Seed, two.Seed = "open sesame", ""
		if err := accounts.Create(t.Context(), one, two); err != nil {
			t.Fatal(err)
		}
		if a, err := accounts.Get(t.Context(), one.ID); err != nil || a.Seed != "open sesame" {
			t.Errorf("got %+v: %v", a, err)
		}
		var sealed []byte
		if err := s.hands.Get(&sealed, s.hands.Rebind("SELECT seed FROM user_accounts WHERE id = ?"), s.dialect.Value(one.ID)); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(sealed, []byte("sesame")) {
			t.Errorf("it is stored as %q", sealed)
		}
		s.do(t, "UPDATE user_accounts SET seed = ? WHERE id = ?", sealed, s.dialect.Value(two.ID))
		if a, err := accounts.Get(t.Context(), two.ID); err == nil {
			t.Errorf("moved to another row, it opens: %+v", a)
		}
		for _, key := range [][]byte{bytes.Repeat([]byte{8}, 32), []byte("short")} {
			if db, err := storage.Open(t.Context(), s.dialect, s.url, storage.Options{MasterKey: key}); err == nil {
				t.Error("another master key is taken")
				t.Error(db.Close())
			}
		}
		db, err := storage.Open(t.Context(), s.dialect, s.url, storage.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := storage.NewTable(db, withSeed); err == nil {
			t.Error("secrets are stored without a master key")
		}
	})
}

// The rows of rare states are found by an index of their own, and no list is sorted.
func TestPlans(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		db := s.open(t)
		table := declare(t, db, accounts())
		migrate(t, db)
		fill(t, table, 20_000)
		if err := db.Analyze(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := newAccount(77).ID
		states := accounts().Filters[0].Values
		for index, where := range map[string]resource.Condition{
			"":                                 states["active"],
			"user_accounts_status_locked":      states["locked"],
			"user_accounts_status_deactivated": states["deactivated"],
			"user_accounts_admin_true":         resource.Equal("admin", true),
			"user_accounts_sponsor_id":         resource.Equal("sponsor", after),
		} {
			for _, window := range []pagination.Window{{Size: 10}, {Size: 10, After: pagination.At(after)}, {Size: 10, Backward: true, Before: pagination.At(after)}} {
				q := resource.Query{Where: resource.All{where}, Window: window}
				text, args := table.Statement(q)
				if window.After == nil && window.Before == nil && index != "user_accounts_sponsor_id" && len(args) > 0 {
					t.Errorf("%s: a constant is a parameter, which a plan for all of its values cannot trust: %s", index, text)
				}
				plan := s.explain(t, text, args)
				if !strings.Contains(plan, index) || strings.Contains(plan, "Sort") || strings.Contains(plan, "TEMP B-TREE") {
					t.Errorf("%s: %s\n%s", index, text, plan)
				}
			}
		}
	})
}

func (s *server) explain(t *testing.T, text string, args []any) string {
	t.Helper()
	explain := "EXPLAIN "
	if _, ok := s.dialect.(sqlite.Dialect); ok {
		explain = "EXPLAIN QUERY PLAN "
	}
	rows, err := s.hands.QueryxContext(t.Context(), explain+text, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		line, err := rows.SliceScan()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&plan, "%s\n", line[len(line)-1])
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}

// A database that is closed, and a read that is given up, leave nothing open.
func TestNothingStaysOpen(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		first := table(t, s, accounts())
		fill(t, first, 2000)
		use := func() {
			db, err := storage.Open(t.Context(), s.dialect, s.url, storage.Options{})
			if err != nil {
				t.Fatal(err)
			}
			again := declare(t, db, accounts())
			for range 5 {
				ctx, giveUp := context.WithCancel(t.Context())
				time.AfterFunc(100*time.Microsecond, giveUp)
				// Whether the page comes or is given up, depends on who is faster.
				if _, err := again.List(ctx, resource.Query{Window: pagination.First(1000)}); err != nil && !resource.Is(err, resource.Unavailable) {
					t.Error(err)
				}
				giveUp()
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
		use()
		before := openFiles(t)
		for range 20 {
			use()
		}
		// What a server is still to be told goes on in the background for a moment.
		for begin := time.Now(); openFiles(t) > before+2; {
			if time.Since(begin) > 5*time.Second {
				t.Fatalf("%d files are open, and were %d", openFiles(t), before)
			}
			runtime.Gosched()
		}
	})
}

// openFiles is how many files and connections this process has open.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A statement that an altered table made stale is prepared again.
func TestStaleStatements(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		table := table(t, s, accounts())
		fill(t, table, 1)
		get := func() {
			t.Helper()
			if _, err := table.Get(t.Context(), newAccount(0).ID); err != nil {
				t.Error(err)
			}
		}
		get()
		if _, ok := s.dialect.(postgres.Dialect); ok {
			s.do(t, "ALTER TABLE user_accounts ALTER kind TYPE varchar(20)")
		} else {
			s.do(t, "ALTER TABLE user_accounts ADD COLUMN extra TEXT")
		}
		get()
		get()
	})
}

// More statements than a connection keeps can be asked in turn, and one of them twice at the same time.
func TestManyStatements(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		conn, err := s.hands.Connx(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for range 2 {
			for i := range storage.MaxStatements + 10 {
				var got int
				if err := conn.GetContext(t.Context(), &got, fmt.Sprintf("SELECT %d", i)); err != nil || got != i {
					t.Fatalf("got %d, want %d: %v", got, i, err)
				}
			}
		}
		if _, ok := s.dialect.(sqlite.Dialect); !ok {
			return // lib/pq has one query at a time
		}
		const text = "SELECT 1 UNION SELECT 2 UNION SELECT 3"
		outer, err := conn.QueryxContext(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		defer outer.Close()
		n := 0
		for outer.Next() {
			var inner []int
			if err := conn.SelectContext(t.Context(), &inner, text); err != nil || len(inner) != 3 {
				t.Fatal(inner, err)
			}
			n++
		}
		if n != 3 || outer.Err() != nil {
			t.Errorf("%d rows: %v", n, outer.Err())
		}
	})
}

// Events are written with what they tell of, and their positions follow the commits without gaps or repeats,
// whoever writes. Totals are right throughout, also of events that have no position yet.
func TestOutbox(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		var boxes []*storage.Outbox
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer stop()
		for range 2 {
			db := s.open(t)
			outbox, err := storage.NewOutbox(db, event.Schema)
			if err != nil {
				t.Fatal(err)
			}
			migrate(t, db)
			boxes = append(boxes, outbox)
			running.Go(func() {
				if err := outbox.Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		const writers, each = 4, 25
		refused := errors.New("refused")
		var wait sync.WaitGroup
		for w := range writers {
			outbox := boxes[w%2]
			wait.Go(func() {
				for i := range each {
					err := outbox.Transact(ctx, func(ctx context.Context) error {
						events := []*resource.Event{{ID: ulid.Make(), Verb: "first"}, {ID: ulid.Make(), Verb: "second"}}
						if err := outbox.Record(ctx, events...); err != nil {
							return err
						}
						if i%5 == 4 {
							return refused
						}
						return nil
					})
					if err != nil && err != refused {
						t.Error(err)
					}
				}
			})
		}
		reading, enough := context.WithCancel(ctx)
		var readers sync.WaitGroup
		for _, outbox := range boxes {
			readers.Go(func() {
				for reading.Err() == nil {
					for _, where := range []resource.Condition{nil, resource.Equal("verb", "first")} {
						page, err := outbox.Events().List(ctx, resource.Query{Where: where, Window: pagination.First(1000)})
						if err != nil || page.Total != int64(len(page.Rows)) {
							t.Errorf("%d events of which there are %d: %v", page.Total, len(page.Rows), err)
							return
						}
					}
				}
			})
		}
		// Readers that follow the positions meanwhile see every event once, also if they fail at some for a time.
		const want = writers * each / 5 * 4 * 2
		tails := make([][]int64, len(boxes))
		var tailing sync.WaitGroup
		for n, outbox := range boxes {
			tailing.Go(func() {
				ctx, done := context.WithTimeout(ctx, 20*time.Second)
				defer done()
				failed := false
				outbox.Tail(ctx, 0, func(events []resource.Event) error {
					if !failed && n == 1 {
						failed = true
						return refused
					}
					for _, e := range events {
						tails[n] = append(tails[n], e.Position)
					}
					if len(tails[n]) >= want {
						done()
					}
					return nil
				})
			})
		}
		tailing.Wait()
		wait.Wait()
		enough()
		readers.Wait()
		if found, err := boxes[0].Check(ctx, false); err != nil || len(found) > 0 {
			t.Error(found, err)
		}
		for _, seen := range tails {
			if !slices.IsSorted(seen) || len(slices.Compact(seen)) != want || seen[want-1] != want {
				t.Fatalf("positions %v", seen)
			}
		}
		if first, last, err := boxes[1].Ends(ctx); err != nil || first != 1 || last != want {
			t.Errorf("from %d to %d: %v", first, last, err)
		}
		if events, err := boxes[1].After(ctx, want-3); err != nil || len(events) != 3 || events[0].Position != want-2 {
			t.Errorf("the last three are %d: %v", len(events), err)
		}
	})
}

// Whoever waits too long for a database, or asks one that is gone, is told that it is unavailable.
func TestUnavailable(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		db := s.open(t)
		table := declare(t, db, accounts())
		migrate(t, db)
		fill(t, table, 1)
		id := newAccount(0).ID
		held := make(chan struct{})
		release := make(chan struct{})
		var wait sync.WaitGroup
		wait.Go(func() {
			_, err := table.Update(t.Context(), id, func(a *account) error {
				close(held)
				<-release
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-held
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := table.Update(ctx, id, func(a *account) error { return nil }); !resource.Is(err, resource.Unavailable) {
			t.Errorf("waiting: %v", err)
		}
		close(release)
		wait.Wait()
		if _, err := table.Get(t.Context(), id); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
	t.Run("nothing there", func(t *testing.T) {
		for url, dialect := range map[string]storage.Dialect{
			"postgres://postgres@127.0.0.1:1/none?connect_timeout=1&sslmode=disable": postgres.Dialect{},
			"sqlite:///no/such/folder/a.db":                                          sqlite.Dialect{},
		} {
			if _, err := storage.Open(t.Context(), dialect, url, storage.Options{}); !resource.Is(err, resource.Unavailable) {
				t.Errorf("%s: %v", url, err)
			}
		}
	})
}

// cut ends all connections to the database, but the one that asks for it.
func (s *server) cut(t *testing.T) {
	t.Helper()
	s.do(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
}

// A connection that is cut makes its transaction unavailable, commit included, and harms nothing that follows.
func TestConnectionCut(t *testing.T) {
	s := server{dialect: postgres.Dialect{}, url: storagetest.Postgres(t)}
	pools, err := s.dialect.Open(s.url)
	if err != nil {
		t.Fatal(err)
	}
	defer pools.Write.Close()
	s.hands = pools.Write
	db := s.open(t)
	table := declare(t, db, accounts())
	migrate(t, db)
	err = db.Transact(t.Context(), func(ctx context.Context) error {
		if err := table.Create(ctx, newAccount(0)); err != nil {
			return err
		}
		s.cut(t)
		return nil
	})
	if !resource.Is(err, resource.Unavailable) {
		t.Errorf("the commit: %v", err)
	}
	err = db.Transact(t.Context(), func(ctx context.Context) error {
		s.cut(t)
		return table.Create(ctx, newAccount(0))
	})
	if !resource.Is(err, resource.Unavailable) {
		t.Errorf("the write: %v", err)
	}
	if err := table.Create(t.Context(), newAccount(0)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	rightTotals(t, table)
}

// Who gives the positions may be cut off: then somebody else does, or the same one again.
func TestOutboxConnectionCut(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		db := s.open(t)
		outbox, err := storage.NewOutbox(db, event.Schema)
		if err != nil {
			t.Fatal(err)
		}
		migrate(t, db)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer stop()
		running.Go(func() {
			if err := outbox.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		for want := int64(1); want <= 2; want++ {
			e := &resource.Event{ID: ulid.Make(), Verb: "act"}
			err := outbox.Transact(ctx, func(ctx context.Context) error { return outbox.Record(ctx, e) })
			if err != nil {
				t.Fatal(err)
			}
			for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
				stored, err := outbox.Events().Get(ctx, e.ID)
				if err != nil {
					t.Fatal(err)
				}
				if stored.Position == want {
					break
				}
				if time.Since(begun) > 20*time.Second {
					t.Fatalf("the position is %d, want %d", stored.Position, want)
				}
			}
			if _, ok := s.dialect.(postgres.Dialect); ok {
				s.cut(t)
			}
		}
	})
}

// What is written before a stop has its position after it: whoever gives them looks once more.
func TestOutboxStops(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		db := s.open(t)
		outbox, err := storage.NewOutbox(db, event.Schema)
		if err != nil {
			t.Fatal(err)
		}
		migrate(t, db)
		record := func() ulid.ULID {
			t.Helper()
			e := &resource.Event{ID: ulid.Make(), Verb: "act"}
			if err := outbox.Transact(t.Context(), func(ctx context.Context) error { return outbox.Record(ctx, e) }); err != nil {
				t.Fatal(err)
			}
			return e.ID
		}
		position := func(id ulid.ULID) int64 {
			t.Helper()
			e, err := outbox.Events().Get(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			return e.Position
		}
		for range 5 {
			ctx, stop := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() {
				if err := outbox.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			first := record()
			for begun := time.Now(); position(first) == 0; time.Sleep(time.Millisecond) {
				if time.Since(begun) > 20*time.Second {
					t.Fatal("nobody gives positions")
				}
			}
			last := record()
			stop()
			running.Wait()
			if position(last) == 0 {
				t.Error("an event has no position after the stop")
			}
		}
	})
}

// TestDeadlock has two transactions write to two rows in opposite orders: each waits for the other one, until the
// database undoes one of them. That is carried out again, and both are done.
func TestDeadlock(t *testing.T) {
	s := server{dialect: postgres.Dialect{}, url: storagetest.Postgres(t)} // SQLite has one writer
	db := s.open(t)
	table := declare(t, db, accounts(resource.Attr("level", func(a *account) *int64 { return &a.Level })))
	migrate(t, db)
	rows := []*account{newAccount(1), newAccount(2)}
	if err := table.Create(t.Context(), rows...); err != nil {
		t.Fatal(err)
	}
	raise := func(ctx context.Context, row *account) error {
		_, err := table.Update(ctx, row.ID, func(a *account) error {
			a.Level++
			return nil
		})
		return err
	}
	var both, wait sync.WaitGroup
	both.Add(2)
	tries := make([]int, 2)
	for i := range rows {
		wait.Go(func() {
			err := db.Transact(t.Context(), func(ctx context.Context) error {
				tries[i]++
				if err := raise(ctx, rows[i]); err != nil {
					return err
				}
				if tries[i] == 1 {
					both.Done()
					both.Wait()
				}
				return raise(ctx, rows[1-i])
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if tries[0]+tries[1] < 3 {
		t.Errorf("they were tried %d times: they did not wait for each other", tries)
	}
	for _, row := range rows {
		if got, err := table.Get(t.Context(), row.ID); err != nil || got.Level != 2 {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// Locks of one name exclude each other until the transaction ends.
func TestLock(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		db := s.open(t)
		if err := db.Lock(t.Context(), "administrators"); err == nil {
			t.Error("a lock is taken without a transaction")
		}
		inside, most := 0, 0
		var mu sync.Mutex
		step := func(by int) {
			mu.Lock()
			defer mu.Unlock()
			inside += by
			most = max(most, inside)
		}
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				err := db.Transact(t.Context(), func(ctx context.Context) error {
					if err := db.Lock(ctx, "administrators"); err != nil {
						return err
					}
					step(+1)
					defer step(-1)
					return db.Lock(ctx, "administrators") // again, without harm
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if most != 1 {
			t.Errorf("%d were inside at once", most)
		}
	})
}
