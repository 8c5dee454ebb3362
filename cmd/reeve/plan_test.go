package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/fixtures"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/client"
	"reeve/resource/group"
	"reeve/resource/session"
	"reeve/resource/token"
	"reeve/resource/user"
	"reeve/storage"
)

// TestPlans reads how both databases find the pages of every declared filter of every stored type.
func TestPlans(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		a := crowded(t, uri)
		planned(t, a.users, user.Schema)
		planned(t, a.sessions, session.Schema)
		planned(t, a.tokens, token.Schema)
		planned(t, a.groups, group.Schema)
		planned(t, a.clients, client.Schema)
	})
}

// crowded is the program over a database with so many rows of each type that planners care.
func crowded(t *testing.T, uri string) *app {
	t.Helper()
	c, err := readConfiguration("", environment(uri), nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := openCurrent(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	if err := fixtures.Generate(t.Context(), a.database, a.stores(), 20_000, func(int) {}); err != nil {
		t.Fatal(err)
	}
	users, err := a.users.List(t.Context(), resource.Query{Window: pagination.First(10_000)})
	if err != nil {
		t.Fatal(err)
	}
	var tokens []*token.Token
	var groups []*group.Group
	var clients []*client.Client
	now := time.Now()
	for i, u := range users.Rows {
		name := fmt.Sprintf("%05d", i)
		tokens = append(tokens, &token.Token{ID: ulid.Make(), Hash: name, User: u.ID, CreatedAt: now, ExpiresAt: now.Add(time.Duration(i) * time.Hour)})
		groups = append(groups, &group.Group{ID: ulid.Make(), Key: name, Name: name, CreatedAt: now})
		clients = append(clients, &client.Client{ID: ulid.Make(), ClientID: name, AuthMethod: client.Public, Static: i%100 == 0, CreatedAt: now})
	}
	for _, err := range []error{
		a.tokens.Create(t.Context(), tokens...), a.groups.Create(t.Context(), groups...), a.clients.Create(t.Context(), clients...),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < len(groups); i += 100 {
		members := []ulid.ULID{users.Rows[i].ID, users.Rows[i+1].ID, users.Rows[i+2].ID}
		if _, err := a.groups.Linkage("members").Add(t.Context(), groups[i].ID, members...); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.database.Analyze(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

// planned reads the plans of one type's filters, with values that most rows meet and values that few meet. Whatever
// few rows meet is found by an index, not by walking along the ids; nothing is sorted but a few rows that an index
// has found; totals of closed filters are sums of cells. Looking for a part of a text is costly, and walks: it is
// bounded by the deadline of every statement, and its total by the budget of counting.
func planned[T any](t *testing.T, table *storage.Table[T], schema resource.Schema[T]) {
	t.Helper()
	all, err := table.List(t.Context(), resource.Query{Window: pagination.First(1000)})
	if err != nil {
		t.Fatal(err)
	}
	middle := pagination.At(*schema.ID(&all.Rows[len(all.Rows)/2]))
	for _, f := range schema.AllFilters() {
		conditions := map[string]resource.Condition{}
		for _, word := range f.Words() {
			conditions[word] = f.Values[word]
		}
		if !f.Closed() {
			for _, argument := range arguments[f.Kind] {
				conditions[fmt.Sprint(argument)] = f.Where(argument)
			}
		}
		for value, condition := range conditions {
			q := resource.Query{Where: resource.All{condition}, Count: pagination.CountOnly, Now: time.Now()}
			some, err := table.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			counting := explain(t, table, q)
			if f.Closed() && !has[resource.Now](condition) && strings.Contains(counting, " t0") {
				t.Errorf("%s, %s=%s is counted:\n%s", schema.Plural, f.Parameter(), value, counting)
			}
			q.Count = pagination.CountNone
			few := some.Total*10 < all.Total
			for _, q.Window = range []pagination.Window{{Size: 10}, {Size: 10, After: middle}, {Size: 10, Backward: true, Before: middle}} {
				plan := explain(t, table, q)
				if sorts(plan) {
					t.Errorf("%s, %s=%s sorts:\n%s", schema.Plural, f.Parameter(), value, plan)
				}
				if few && !resource.Costly(condition) && !taken(plan) && walks(plan) {
					t.Errorf("%s, %s=%s walks, for %d of %d rows:\n%s", schema.Plural, f.Parameter(), value, some.Total, all.Total, plan)
				}
			}
		}
	}
}

// arguments are values of each kind that meet a filter in most of the rows, or in few.
var arguments = map[resource.Kind][]any{
	resource.Time:   {time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
	resource.String: {"", "0", "zzz"},
	resource.ID:     {resource.NamedID("user", "nobody")},
	resource.Int:    {int64(-1 << 62), int64(1 << 62)},
}

func explain[T any](t *testing.T, table *storage.Table[T], q resource.Query) string {
	t.Helper()
	plan, err := table.Plan(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// walks reports whether a plan goes along the ids of the table, or along whatever order its rows are in.
func walks(plan string) bool {
	steps := strings.Split(plan, "\n")
	for i, step := range steps {
		switch {
		case step == "SCAN t0", strings.Contains(step, "PRIMARY KEY (id>"), strings.Contains(step, "PRIMARY KEY (id<"):
			return true
		case sequential.MatchString(step), byID.MatchString(step) && !strings.Contains(steps[i+1], "(id = "):
			return true
		}
	}
	return false
}

var (
	sequential = regexp.MustCompile(`Seq Scan on \w+ t0`)
	byID       = regexp.MustCompile(`_pkey on \w+ t0`)
	// estimated is how many rows PostgreSQL expects to sort.
	estimated = regexp.MustCompile(`Sort  \(cost=\S+ rows=(\d+)`)
)

// taken reports whether SQLite has an index find a few rows, which alone are asked further.
func taken(plan string) bool {
	const narrow = "MATERIALIZE narrow\nSEARCH t0 USING "
	return strings.HasPrefix(plan, narrow+"INDEX") || strings.HasPrefix(plan, narrow+"PRIMARY KEY (id=?)")
}

// sorts reports whether a plan sorts more than a few rows.
func sorts(plan string) bool {
	if strings.Contains(plan, "TEMP B-TREE") {
		return !taken(plan)
	}
	for _, sort := range estimated.FindAllStringSubmatch(plan, -1) {
		if n, err := strconv.Atoi(sort[1]); err != nil || n > 2048 {
			return true
		}
	}
	return false
}

// has reports whether a condition compares anything with an operand of a kind.
func has[Operand resource.Operand](c resource.Condition) bool {
	is := false
	resource.Walk(c, func(c resource.Condition) bool {
		compare, _ := c.(resource.Compare)
		_, ok := compare.Operand.(Operand)
		is = is || ok
		return !is
	})
	return is
}
