package storage_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
	"reeve/storage"
	"reeve/storage/postgres"
)

// searchable are accounts with filters that no counter knows.
func searchable() resource.Schema[account] {
	schema := accounts(resource.Attr("level", func(a *account) *int64 { return &a.Level }).Filter(resource.AtLeast))
	schema.Filters = append(schema.Filters, resource.Filter{Name: "search", Kind: resource.String, Where: func(arg any) resource.Condition {
		return resource.Holds("name", resource.Contains, arg)
	}})
	return schema
}

func openWith(t *testing.T, s server, o storage.Options) *storage.DB {
	t.Helper()
	db, err := storage.Open(t.Context(), s.dialect, s.url, o)
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

// A total that no counter knows is counted once, and again after every change, whoever makes it, but not after
// one that is undone.
func TestTotalsKept(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		db := openWith(t, s, storage.Options{CountBudget: time.Minute})
		table := declare(t, db, searchable())
		migrate(t, db)
		fill(t, table, 300)
		where := resource.All{resource.Holds("name", resource.Contains, "ärger 1")}
		total := func(count pagination.Count) int64 {
			t.Helper()
			page, err := table.List(t.Context(), resource.Query{Where: where, Window: pagination.First(3), Count: count})
			if err != nil || page.Omitted != "" {
				t.Fatal(page.Omitted, err)
			}
			return page.Total
		}
		// Whether it is counted shows where the counter and its stamp stay behind.
		if _, ok := s.dialect.(postgres.Dialect); ok {
			s.do(t, "ALTER TABLE user_accounts DISABLE TRIGGER USER")
			s.do(t, "CREATE TRIGGER another BEFORE UPDATE ON user_accounts FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()")
		} else {
			s.do(t, "DROP TRIGGER user_accounts_count_delete")
			s.do(t, "CREATE TRIGGER another AFTER UPDATE ON user_accounts BEGIN SELECT 1; END")
		}
		const want = 111 // 1, 10 to 19, 100 to 199
		for _, count := range []pagination.Count{pagination.CountTotal, pagination.CountOnly} {
			if got := total(count); got != want {
				t.Errorf("%d rows, want %d", got, want)
			}
		}
		s.do(t, "DELETE FROM user_accounts WHERE name = 'Ärger 100'")
		for _, count := range []pagination.Count{pagination.CountTotal, pagination.CountOnly} {
			if got := total(count); got != want {
				t.Errorf("%d rows, want the kept total %d", got, want)
			}
		}
		found, err := db.Check(t.Context(), true)
		if err != nil || !slices.ContainsFunc(found, func(f storage.Finding) bool { return strings.Contains(f.Sentence, "user_accounts_count_delete") }) {
			t.Fatal(found, err)
		}
		if _, ok := s.dialect.(postgres.Dialect); ok {
			s.do(t, "ALTER TABLE user_accounts ENABLE TRIGGER USER")
		}
		if got := total(pagination.CountTotal); got != want-1 {
			t.Errorf("after the repair: %d rows, want %d", got, want-1)
		}
		undone := errors.New("undone")
		err = db.Transact(t.Context(), func(ctx context.Context) error {
			if err := table.Delete(ctx, newAccount(101).ID); err != nil {
				return err
			}
			page, err := table.List(ctx, resource.Query{Where: where, Window: pagination.First(3)})
			if err != nil || page.Total != want-2 {
				t.Errorf("in the transaction: %d rows, want %d: %v", page.Total, want-2, err)
			}
			return undone
		})
		if err != undone {
			t.Fatal(err)
		}
		if got := total(pagination.CountTotal); got != want-1 {
			t.Errorf("after what was undone: %d rows, want %d", got, want-1)
		}
		s.do(t, "DELETE FROM user_accounts WHERE name = 'Ärger 102'") // as many changes as there were then
		if got := total(pagination.CountTotal); got != want-2 {
			t.Errorf("after the deletion: %d rows, want %d", got, want-2)
		}
		if _, err := table.Update(t.Context(), newAccount(2).ID, func(a *account) error { a.Name = "Ärger 1002"; return nil }); err != nil {
			t.Fatal(err)
		}
		if got := total(pagination.CountTotal); got != want-1 {
			t.Errorf("after the change: %d rows, want %d", got, want-1)
		}
	})
}

// Beyond the budget the total is left out, alone it is unavailable, and the page is whole.
func TestTotalsBeyondBudget(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		db := openWith(t, s, storage.Options{CountBudget: time.Nanosecond})
		table := declare(t, db, searchable())
		migrate(t, db)
		fill(t, table, 3000)
		search := resource.Holds("name", resource.Contains, "ärger")
		query := resource.Query{Where: search, Window: pagination.First(3)}
		for range 2 {
			page, err := table.List(t.Context(), query)
			if err != nil || page.Omitted == "" || len(page.Rows) != 3 || !page.Next {
				t.Errorf("%d rows, omitted %q: %v", len(page.Rows), page.Omitted, err)
			}
		}
		query.Count = pagination.CountOnly
		if _, err := table.List(t.Context(), query); !resource.Is(err, resource.Unavailable) {
			t.Errorf("the total alone: %v", err)
		}
		// What is a sum of cells, or few rows, needs no budget.
		for name, c := range map[string]resource.Condition{
			"cells":      active,
			"few rows":   resource.Holds("created_at", resource.Greater, begin.Add(2990*time.Second)),
			"of them":    resource.All{search, resource.Holds("created_at", resource.Greater, begin.Add(2990*time.Second))},
			"no rows":    resource.Holds("level", resource.AtLeast, int64(1)),
			"either one": resource.Any{resource.Equal("sponsor", newAccount(1).ID), resource.Equal("sponsor", newAccount(2).ID)},
		} {
			page, err := table.List(t.Context(), resource.Query{Where: c, Window: pagination.First(3)})
			if err != nil || page.Omitted != "" {
				t.Errorf("%s: omitted %q: %v", name, page.Omitted, err)
			}
		}
	})
}

// Looking for a part of a text ends at the deadline.
func TestCostly(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		db := openWith(t, s, storage.Options{})
		table := declare(t, db, searchable())
		migrate(t, db)
		fill(t, table, 20_000)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := table.List(ctx, resource.Query{Where: resource.Holds("name", resource.Contains, "nobody"), Window: pagination.First(3)})
		if !resource.Is(err, resource.Unavailable) {
			t.Errorf("got %v", err)
		}
	})
}

// Ranges with few rows and with many, and what is asked besides them, give the pages that they should, from either
// end.
func TestRanges(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		db := openWith(t, s, storage.Options{CountBudget: time.Minute})
		schema := searchable()
		table := declare(t, db, schema)
		migrate(t, db)
		const n = 5000
		fill(t, table, n)
		all, err := table.List(t.Context(), resource.Query{Window: pagination.First(2 * n)})
		if err != nil {
			t.Fatal(err)
		}
		after := func(i int) resource.Condition {
			return resource.Holds("created_at", resource.Greater, begin.Add(time.Duration(i)*time.Second))
		}
		before := func(i int) resource.Condition {
			return resource.Holds("created_at", resource.Less, begin.Add(time.Duration(i)*time.Second))
		}
		for name, c := range map[string]resource.Condition{
			"all":      after(-1),
			"many":     after(1000),
			"few":      after(n - 100),
			"none":     after(n),
			"between":  resource.All{after(1000), before(1100)},
			"most":     resource.All{after(10), before(n - 10)},
			"state":    resource.All{after(10), resource.NotNull("locked_at")},
			"in state": resource.All{after(n - 500), resource.NotNull("locked_at")},
			"prefix":   resource.Holds("name", resource.Prefix, "Ärger 12"),
			"prefixes": resource.Any{resource.Holds("name", resource.Prefix, "Ärger 12"), resource.Holds("name", resource.Prefix, "Ärger 3")},
			"anything": resource.Holds("name", resource.Prefix, "Ä"),
			"two":      resource.Any{resource.Equal("name", "Ärger 7"), resource.Equal("name", "Ärger 4711")},
		} {
			middle := pagination.At(all.Rows[n/2].ID)
			for _, window := range []pagination.Window{
				{Size: 7}, {Size: 7, Backward: true}, {Size: 7, After: middle}, {Size: 7, Backward: true, Before: middle},
				{Size: 7, Backward: true, After: middle}, {Size: 1000},
			} {
				for _, count := range []pagination.Count{pagination.CountTotal, pagination.CountNone, pagination.CountOnly} {
					q := resource.Query{Where: c, Window: window, Count: count}
					want := schema.Window(all.Rows, q, nil)
					if count == pagination.CountNone {
						want.Total = 0
					}
					got, err := table.List(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					same := slices.EqualFunc(got.Rows, want.Rows, func(a, b account) bool { return a.ID == b.ID })
					if !same || got.Total != want.Total || got.Prev != want.Prev || got.Next != want.Next {
						t.Errorf("%s, %+v, count %d: %d of %d, want %d of %d", name, window, count, len(got.Rows), got.Total, len(want.Rows), want.Total)
					}
				}
			}
		}
	})
}

// The walk along the ids begins and ends where the times of creation are, and misses no row whose id carries
// another time.
func TestCreated(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		schema := accounts()
		i := slices.IndexFunc(schema.Attributes, func(a resource.Attribute[account]) bool { return a.Name == "created_at" })
		schema.Attributes[i] = schema.Attributes[i].Created().Filter(resource.Greater, resource.Less)
		table := table(t, s, schema)
		const n = 6000
		at := func(i int) time.Time { return begin.Add(time.Duration(i) * time.Second) }
		create := func(i, idFrom int) {
			t.Helper()
			a := newAccount(i)
			a.ID = ulid.MustNew(ulid.Timestamp(at(idFrom)), ulid.DefaultEntropy())
			a.Name = a.ID.String()
			if err := table.Create(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
		compare := func(t *testing.T) {
			all, err := table.List(t.Context(), resource.Query{Window: pagination.First(2 * n)})
			if err != nil {
				t.Fatal(err)
			}
			middle := pagination.At(all.Rows[n/2].ID)
			for name, c := range map[string]resource.Condition{
				"after":   resource.Holds("created_at", resource.Greater, at(n/2)),
				"before":  resource.Holds("created_at", resource.Less, at(n/2)),
				"between": resource.All{resource.Holds("created_at", resource.Greater, at(1000)), resource.Holds("created_at", resource.Less, at(n-1000))},
				"always":  resource.Holds("created_at", resource.Greater, time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)),
				"ever":    resource.Holds("created_at", resource.Less, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)),
				"either":  resource.Any{resource.Holds("created_at", resource.Greater, at(10)), resource.Holds("created_at", resource.Greater, at(20))},
			} {
				for _, window := range []pagination.Window{
					{Size: 7}, {Size: 7, Backward: true}, {Size: 7, After: middle}, {Size: 7, Backward: true, Before: middle},
				} {
					q := resource.Query{Where: c, Window: window}
					want := schema.Window(all.Rows, q, nil)
					got, err := table.List(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					same := slices.EqualFunc(got.Rows, want.Rows, func(a, b account) bool { return a.ID == b.ID })
					if !same || got.Total != want.Total || got.Prev != want.Prev || got.Next != want.Next {
						t.Errorf("%s, %+v: %d of %d, want %d of %d", name, window, len(got.Rows), got.Total, len(want.Rows), want.Total)
					}
				}
			}
		}
		rows := make([]*account, n)
		for i := range rows {
			rows[i] = newAccount(i)
			rows[i].ID = ulid.MustNew(ulid.Timestamp(at(i)), ulid.DefaultEntropy())
		}
		if err := table.Create(t.Context(), rows...); err != nil {
			t.Fatal(err)
		}
		compare(t)
		plan, err := table.Plan(t.Context(), resource.Query{
			Where: resource.Holds("created_at", resource.Greater, at(n/2)), Window: pagination.First(7), Count: pagination.CountNone,
		})
		if err != nil || !strings.Contains(plan, "user_accounts_created_at_astray") {
			t.Errorf("the walk begins at the first row: %v\n%s", err, plan)
		}
		create(n, 10)       // an older id than the row
		create(n+1, n/2-5)  // hardly older
		create(-1, n+100)   // a younger one
		create(-2, n/2+5)   // hardly younger
		create(n/2, 2*n)    // within
		create(n/2+1, -100) // at the far end
		compare(t)
	})
}

// Totals survive what savepoints take back, and TRUNCATE and COPY.
func TestTotalsOfHands(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		table := table(t, s, accounts())
		fill(t, table, 200)
		tx := s.hands.MustBegin()
		for _, text := range []string{
			"UPDATE user_accounts SET admin = NOT admin WHERE name LIKE '%1'",
			"SAVEPOINT a", "DELETE FROM user_accounts WHERE name LIKE '%2'", "SAVEPOINT b",
			"UPDATE user_accounts SET locked_at = created_at", "ROLLBACK TO a", "DELETE FROM user_accounts WHERE name LIKE '%3'",
		} {
			tx.MustExec(text)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		rightTotals(t, table)
		if _, ok := s.dialect.(postgres.Dialect); !ok {
			return
		}
		s.do(t, "CREATE TABLE copied AS TABLE user_accounts")
		s.do(t, "TRUNCATE user_accounts")
		rightTotals(t, table)
		s.do(t, "INSERT INTO user_accounts TABLE copied")
		rightTotals(t, table)
		s.do(t, "MERGE INTO user_accounts AS a USING copied AS b ON a.id = b.id AND b.name LIKE '%4' WHEN MATCHED THEN DELETE")
		rightTotals(t, table)
		s.do(t, "INSERT INTO user_accounts TABLE copied ON CONFLICT (id) DO UPDATE SET kind = 'other'")
		rightTotals(t, table)
		tx = s.hands.MustBegin()
		tx.MustExec("SET LOCAL search_path = ''") // as pg_dump has it
		tx.MustExec("DELETE FROM public.user_accounts WHERE name LIKE '%5'")
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		rightTotals(t, table)
	})
}

// A table without a counter has none to keep, and its totals are counted.
func TestUncounted(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		schema := accounts()
		schema.Uncounted = true
		db := s.open(t)
		table := declare(t, db, schema)
		migrate(t, db)
		fill(t, table, 100)
		var tables int
		names := "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'user_accounts_count%'"
		if _, ok := s.dialect.(postgres.Dialect); ok {
			names = "SELECT (SELECT count(*) FROM pg_class WHERE relname LIKE 'user_accounts_count%') + (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'user_accounts_count%')"
		}
		if err := s.hands.Get(&tables, names); err != nil || tables != 0 {
			t.Errorf("%d tables and triggers are there; %v", tables, err)
		}
		err := db.Transact(t.Context(), func(ctx context.Context) error { // where it counts for as long as it takes
			page, err := table.List(ctx, resource.Query{Where: resource.IsNull("locked_at"), Window: pagination.First(1)})
			var unlocked int64
			if err := s.hands.Get(&unlocked, "SELECT count(*) FROM user_accounts WHERE locked_at IS NULL"); err != nil || page.Total != unlocked {
				t.Errorf("%d rows are told of, and %d are there; %v", page.Total, unlocked, err)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if found, err := db.Check(t.Context(), true); len(found) > 0 || err != nil {
			t.Errorf("check finds %v; %v", found, err)
		}
	})
}

// Check finds what hands have broken, repairs what it can, and then finds nothing more.
func TestCheck(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		db := s.open(t)
		table := declare(t, db, searchable())
		migrate(t, db)
		fill(t, table, 100)
		findings := func(repair bool) (sentences []string, left int) {
			t.Helper()
			found, err := db.Check(t.Context(), repair)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				sentences = append(sentences, f.Sentence)
				if !f.Repaired {
					left++
				}
			}
			return sentences, left
		}
		if found, _ := findings(true); len(found) != 0 {
			t.Fatalf("in a sound database: %q", found)
		}
		for _, text := range []string{
			"DROP TABLE user_accounts_count",
			"DELETE FROM user_accounts_count",
			"UPDATE user_accounts_count SET n0 = n0 + 1, n1 = n1 - 1",
		} {
			s.do(t, text)
			if found, left := findings(false); len(found) == 0 || left != len(found) {
				t.Errorf("%s: only looking, it finds %q and leaves %d", text, found, left)
			}
			if found, left := findings(true); len(found) == 0 || left != 0 {
				t.Errorf("%s: repairing, it finds %q and leaves %d", text, found, left)
			}
			if found, _ := findings(false); len(found) != 0 {
				t.Errorf("%s: afterwards it finds %q", text, found)
			}
			rightTotals(t, table)
		}
		s.do(t, "UPDATE user_accounts SET name_folded = 'x' WHERE name LIKE '%7'")
		if found, left := findings(true); len(found) != 1 || left != 0 {
			t.Errorf("folding: it finds %q and leaves %d", found, left)
		}
		page, err := table.List(t.Context(), resource.Query{Where: resource.Holds("name", resource.Contains, "ärger 77"), Window: pagination.First(10)})
		if err != nil || len(page.Rows) != 1 {
			t.Errorf("after the repair %d rows are found: %v", len(page.Rows), err)
		}
		s.dangle(t)
		if found, left := findings(true); len(found) != 1 || left != 1 {
			t.Errorf("a dangling reference: it finds %q and leaves %d", found, left)
		}
	})
}

// dangle has an account refer to nobody, past the foreign key.
func (s *server) dangle(t *testing.T) {
	t.Helper()
	conn, err := s.hands.Connx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	off, on := "PRAGMA foreign_keys = 0", "PRAGMA foreign_keys = 1"
	if _, ok := s.dialect.(postgres.Dialect); ok {
		off, on = "SET session_replication_role = replica", "RESET session_replication_role"
	}
	for _, text := range []string{off, "UPDATE user_accounts SET sponsor_id = ? WHERE name = 'Ärger 1'", on} {
		var args []any
		if strings.Contains(text, "?") {
			args = []any{s.dialect.Value(resource.NamedID("account", "nobody"))}
		}
		if _, err := conn.ExecContext(t.Context(), conn.Rebind(text), args...); err != nil {
			t.Fatal(err)
		}
	}
}
