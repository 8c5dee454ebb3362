package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/fixtures"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/authenticator"
	"reeve/resource/client"
	"reeve/resource/event"
	"reeve/resource/group"
	"reeve/resource/message"
	"reeve/resource/role"
	"reeve/resource/session"
	"reeve/resource/token"
	"reeve/resource/user"
	"reeve/resource/webhook"
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
		planned(t, a.roles, role.Schema)
		planned(t, a.second, authenticator.Schema)
		planned(t, a.webhooks, webhook.Schema)
		planned(t, a.deliveries, webhook.DeliverySchema)
		planned(t, a.subjects, webhook.SubjectSchema)
		planned(t, a.database.Events(), event.Schema)
		plannedStreams(t, a)
	})
}

// TestPlansOfRelations reads how both databases find what is related to one resource, where that is much, and what is
// related to several: nothing is sorted that is not read, and no table is read from its beginning.
func TestPlansOfRelations(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		a := crowded(t, uri)
		users, err := a.users.List(t.Context(), resource.Query{Window: pagination.First(5000)})
		if err != nil {
			t.Fatal(err)
		}
		var ids []ulid.ULID
		for i := range users.Rows {
			ids = append(ids, users.Rows[i].ID)
		}
		all := &group.Group{ID: ulid.Make(), Key: "all", Name: "all", CreatedAt: time.Now()}
		if err := a.groups.Create(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		if _, err := a.groups.Linkage("members").Add(t.Context(), all.ID, ids...); err != nil {
			t.Fatal(err)
		}
		if err := a.database.Analyze(t.Context()); err != nil {
			t.Fatal(err)
		}
		q := resource.Query{Where: resource.Exists{Relation: "group.members", Condition: resource.Equal("id", all.ID)}, Count: pagination.CountNone}
		for _, q.Window = range []pagination.Window{{Size: 10}, {Size: 10, After: pagination.At(ids[999])}, {Size: 10, Backward: true, Before: pagination.At(ids[999])}} {
			if plan := explain(t, a.users, q); sorts(plan) || !strings.Contains(plan, " r0") || fromBeginning(plan) {
				t.Errorf("the members of a large group:\n%s", plan)
			}
		}
		var thousand resource.Any
		for _, id := range ids[:1000] {
			thousand = append(thousand, resource.Equal("id", id))
		}
		for _, order := range []resource.Order{nil, resource.ParseOrder([]string{"username"})} {
			q := resource.Query{Where: thousand, Order: order, Window: pagination.First(1000)}
			if plan := explain(t, a.users, q); sorts(plan) || unindexed(plan) && !taken(plan) {
				t.Errorf("a thousand users by their ids, in the order %v:\n%s", order, plan)
			}
		}
		of := func(relation string) resource.Query {
			return resource.Query{Of: &resource.Relation{Name: relation, To: ids[:100]}, Window: pagination.First(10), Count: pagination.CountNone}
		}
		for relation, plan := range map[string]string{
			"user": explain(t, a.sessions, of("user")), "members": explain(t, a.groups, of("members")),
		} {
			if fromBeginning(plan) {
				t.Errorf("of 100 users by %s:\n%s", relation, plan)
			}
		}
	})
}

// fromBeginning reports whether a plan reads a whole table.
func fromBeginning(plan string) bool {
	return regexp.MustCompile(`SCAN [rt]\d|Seq Scan on \w+ [rt]\d`).MatchString(plan)
}

// crowded is the program over a database with so many rows of each type that planners care.
func crowded(t *testing.T, uri string) *app {
	t.Helper()
	a := opened(t, uri)
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
	var roles []*role.Role
	var second []*authenticator.Authenticator
	var webhooks []*webhook.Webhook
	var deliveries []*webhook.Delivery
	var topics []*webhook.Subject
	var events []*resource.Event
	now := time.Now()
	for i, u := range users.Rows {
		name := fmt.Sprintf("%05d", i)
		tokens = append(tokens, &token.Token{ID: ulid.Make(), Hash: name, User: u.ID, CreatedAt: now, ExpiresAt: now.Add(time.Duration(i) * time.Hour)})
		groups = append(groups, &group.Group{ID: ulid.Make(), Key: name, Name: name, CreatedAt: now})
		clients = append(clients, &client.Client{ID: ulid.Make(), ClientID: name, AuthMethod: client.Public, Static: i%100 == 0, CreatedAt: now})
		roles = append(roles, &role.Role{ID: ulid.Make(), Name: name, Permissions: []string{}, Aliases: []string{}, CreatedAt: now})
		kind := authenticator.TOTP
		if i%100 == 0 {
			kind = authenticator.Passkey
		}
		second = append(second, &authenticator.Authenticator{ID: ulid.Make(), Kind: kind, User: u.ID, Transports: []string{}, CreatedAt: now})
		w := &webhook.Webhook{ID: ulid.Make(), URL: "https://hooks.example.com/" + name, Events: []string{"*.*"}, SigningKey: name, CreatedAt: now, LastDelivered: int64(i)}
		d := &webhook.Delivery{ID: ulid.Make(), Webhook: w.ID, Position: int64(i), Topic: "user." + name, State: webhook.Delivered, CreatedAt: now.Add(time.Duration(i) * time.Second), LastAttemptAt: now}
		if i%100 == 0 {
			w.PausedAt, w.FailingSince, w.LastRetryAt, w.RetryInterval, d.State = now, now, now, int64(i), webhook.Failing
		}
		webhooks, deliveries = append(webhooks, w), append(deliveries, d)
		topics = append(topics, &webhook.Subject{ID: ulid.Make(), Webhook: w.ID, Topic: d.Topic, LastDelivered: int64(i), LastDeliveredAt: now})
		verb, actor := resource.Update, &auth.Principal{Type: "user", ID: u.ID}
		if i%100 == 0 {
			verb, actor = "lock", auth.System
		}
		e := resource.NewEvent(t.Context(), now, actor, verb, resource.Identifier{Type: "user", ID: u.ID})
		e.Request = name
		events = append(events, e)
	}
	for _, err := range []error{
		a.tokens.Create(t.Context(), tokens...), a.groups.Create(t.Context(), groups...), a.clients.Create(t.Context(), clients...),
		a.roles.Create(t.Context(), roles...), a.second.Create(t.Context(), second...), a.webhooks.Create(t.Context(), webhooks...),
		a.deliveries.Create(t.Context(), deliveries...), a.subjects.Create(t.Context(), topics...), a.database.Record(t.Context(), events...),
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

// plannedStreams reads the plans of what streams ask for: nothing is sorted that is not read, and no table is read from
// its beginning.
func plannedStreams(t *testing.T, a *app) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.database.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	var last int64
	eventually(t, patience, "the events have positions", func() bool {
		var err error
		if _, last, err = a.database.Ends(t.Context()); err != nil {
			t.Fatal(err)
		}
		return last >= 10_000
	})
	stop()
	running.Wait()
	users, err := a.users.List(t.Context(), resource.Query{Window: pagination.First(100)})
	if err != nil {
		t.Fatal(err)
	}
	var messages []*message.Message
	var recipients []*message.Recipient
	now := time.Now()
	for i := range 10_000 {
		to := users.Rows[i%100].ID
		m := &message.Message{ID: ulid.Make(), Body: "So it goes.", Sender: "reeve", CreatedAt: now}
		r := &message.Recipient{ID: ulid.Make(), Message: m.ID, User: to, Status: message.Sent, DeliveredAt: now}
		if i%100 == 7 {
			r.DeliveredAt, r.WaitingFor = time.Time{}, to
		}
		messages, recipients = append(messages, m), append(recipients, r)
	}
	if err := errors.Join(a.messages.Create(t.Context(), messages...), a.recipients.Create(t.Context(), recipients...), a.database.Analyze(t.Context())); err != nil {
		t.Fatal(err)
	}
	any := func(member string) (some resource.Any) {
		for _, m := range messages[:20] {
			some = append(some, resource.Equal(member, m.ID))
		}
		return some
	}
	page := func(where resource.Condition, order ...string) resource.Query {
		q := resource.Query{Where: where, Window: pagination.First(500), Count: pagination.CountNone}
		if order != nil {
			q.Order = resource.ParseOrder(order)
		}
		return q
	}
	me := users.Rows[7].ID
	for what, plan := range map[string]string{
		"the next events":      explain(t, a.database.Events(), page(resource.Holds("position", resource.Greater, last-1000), "position")),
		"the last event":       explain(t, a.database.Events(), page(resource.NotNull("position"), "-position")),
		"events of messages":   explain(t, a.database.Events(), page(any("target"))),
		"what waits":           explain(t, a.recipients, page(resource.Equal("waiting_for", me))),
		"recipients":           explain(t, a.recipients, page(any("message"))),
		"a user of recipients": explain(t, a.recipients, page(resource.All{any("message"), resource.Equal("user", me)})),
	} {
		if sorts(plan) || (walks(plan) || unindexed(plan)) && !taken(plan) {
			t.Errorf("%s:\n%s", what, plan)
		}
	}
}

// planned reads the plans of one type's orders and filters, and of each with each, with values that most rows meet
// and values that few meet. Whatever few rows meet is found by an index, not by walking along the list; nothing is
// sorted but a few rows that an index has found, and nothing is read without an index; totals of closed filters are sums
// of cells. Looking for a part of a text is costly, and walks: it is bounded by the deadline of every statement, and its
// total by the budget of counting.
func planned[T any](t *testing.T, table *storage.Table[T], schema resource.Schema[T]) {
	t.Helper()
	all, err := table.List(t.Context(), resource.Query{Window: pagination.First(1000)})
	if err != nil {
		t.Fatal(err)
	}
	orders := []resource.Order{nil}
	for _, sort := range schema.Sorts {
		order := resource.ParseOrder(sort)
		orders = append(orders, order, order.Reverse())
	}
	middle := &all.Rows[len(all.Rows)/2]
	windows := func(order resource.Order) []pagination.Window {
		place := schema.Place(order, middle)
		return []pagination.Window{{Size: 10}, {Size: 10, After: place}, {Size: 10, Backward: true, Before: place}}
	}
	for _, order := range orders[1:] {
		for _, window := range windows(order) {
			plan := explain(t, table, resource.Query{Order: order, Window: window, Count: pagination.CountNone})
			if sorts(plan) || unindexed(plan) {
				t.Errorf("%s, sorted by %v, sorts or scans:\n%s", schema.Plural, order, plan)
			}
		}
	}
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
			few := some.Total*10 < all.Total && !resource.Costly(condition)
			for _, q.Order = range orders {
				for _, q.Window = range windows(q.Order) {
					plan := explain(t, table, q)
					if sorts(plan) || q.Order != nil && !few && unindexed(plan) {
						t.Errorf("%s, %s=%s by %v sorts or scans:\n%s", schema.Plural, f.Parameter(), value, q.Order, plan)
					}
					// A list that is sorted is not in the order of what finds few rows: they are taken out.
					walks := walks(plan) && !taken(plan)
					if q.Order != nil {
						walks = !taken(plan)
					}
					if few && walks {
						t.Errorf("%s, %s=%s by %v walks, for %d of %d rows:\n%s", schema.Plural, f.Parameter(), value, q.Order, some.Total, all.Total, plan)
					}
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

// unindexed reports whether a plan reads the table from one end to the other.
func unindexed(plan string) bool {
	return slices.Contains(strings.Split(plan, "\n"), "SCAN t0") || sequential.MatchString(plan)
}

var (
	sequential = regexp.MustCompile(`Seq Scan on \w+ t0`)
	byID       = regexp.MustCompile(`_pkey on \w+ t0`)
	indexed    = regexp.MustCompile(`(?m)^MATERIALIZE narrow\n(SEARCH|SCAN) t0 USING (COVERING )?(INDEX|PRIMARY KEY)`)
	// estimated is how many rows PostgreSQL expects to sort.
	estimated = regexp.MustCompile(`Sort  \(cost=\S+ rows=(\d+)`)
)

// taken reports whether an index finds a few rows, which alone are asked further.
func taken(plan string) bool {
	return indexed.MatchString(plan) || strings.Contains(plan, "CTE narrow") && !sequential.MatchString(plan)
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
