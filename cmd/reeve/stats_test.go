package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/fixtures"
	"reeve/resource"
	"reeve/resource/job"
	"reeve/resource/message"
	"reeve/resource/user"
	"reeve/resource/webhook"
	"reeve/storage"
	"reeve/storage/storagetest"
)

var statsUsers = flag.Int("stats", 20_000, "how many users TestStatsTakeNoLonger compares with 10,000")

// active is how many users have been active since the hour in which a time is, counted one by one.
func (s *server) active(since time.Time) int {
	at := fmt.Sprint(since.Truncate(time.Hour).UnixMicro())
	if !s.app.database.Embedded() {
		at = "to_timestamp(" + fmt.Sprint(since.Truncate(time.Hour).Unix()) + ")"
	}
	return s.count("SELECT count(*) FROM users WHERE last_active_at >= " + at)
}

// TestStats sees that stats tell what there is, on both nodes, while users come, go, and are active at many hours at once.
func TestStats(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		other := s.another(everything)
		s.write("waits", "quentin")
		now := time.Now()
		var writers sync.WaitGroup
		for writer := range 8 {
			writers.Go(func() {
				random := rand.New(rand.NewPCG(1969, uint64(writer)))
				at := func() time.Time {
					if random.IntN(8) == 0 {
						return time.Time{}
					}
					return now.Add(-time.Duration(random.IntN(40*24*60)) * time.Minute)
				}
				var ids []ulid.ULID
				for i := range 60 {
					a := []*app{s.app, other.app}[i%2]
					err := a.database.Transact(t.Context(), func(ctx context.Context) error {
						u := &user.User{ID: ulid.Make(), Username: fmt.Sprintf("stats-%d-%d", writer, i), CreatedAt: now, LastActiveAt: at(), CanRequestAdmin: i%20 == 0}
						if err := a.users.Create(ctx, u); err != nil {
							return err
						}
						ids = append(ids, u.ID)
						for range 3 {
							_, err := a.users.Update(ctx, ids[random.IntN(len(ids))], func(u *user.User) error {
								u.LastActiveAt = at()
								return nil
							})
							if err != nil {
								return err
							}
						}
						if i%5 != 4 {
							return nil
						}
						gone := random.IntN(len(ids))
						err := a.users.Delete(ctx, ids[gone])
						ids = append(ids[:gone], ids[gone+1:]...)
						return err
					})
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		writers.Wait()
		s.rest()
		for _, node := range []*server{s, other} {
			told := dig(node.get("stats"), "data", "attributes").(map[string]any)
			for name, want := range map[string]int{
				"users": s.count("SELECT count(*) FROM users"), "administrators": s.count("SELECT count(*) FROM users WHERE can_request_admin"),
				"active_users_day": s.active(time.Now().Add(-24 * time.Hour)), "active_users_30_days": s.active(time.Now().Add(-30 * 24 * time.Hour)),
				"sessions": s.count("SELECT count(*) FROM sessions WHERE finished_at IS NULL"), "tokens": s.count("SELECT count(*) FROM tokens"),
				"groups": s.count("SELECT count(*) FROM groups"), "messages": 1, "waiting_messages": 1, "waiting_jobs": 0, "failing_webhook_deliveries": 0, "alerts": 0, "firing_alerts": 0,
			} {
				if told[name] != float64(want) {
					t.Errorf("%s is %v, not %d", name, told[name], want)
				}
			}
			if told["active_users_30_days"].(float64) < 50 || told["active_users_30_days"] == told["users"] || told["database_bytes"].(float64) < 100_000 {
				t.Errorf("%v", told)
			}
			report := dig(node.get("usage-report"), "data", "attributes").(map[string]any)
			if dig(report, "metrics", "users") != told["users"] || len(report["modules"].([]any)) != int(told["modules"].(float64)) || report["version"] == "" {
				t.Errorf("%v", report)
			}
		}
		db := s.hand()
		defer db.Close()
		for _, spoil := range []string{"UPDATE users_last_active_at_tally SET n = n + 1", "DELETE FROM users_last_active_at_tally"} {
			if found, err := s.app.database.Check(t.Context(), false); err != nil || len(found) != 0 {
				t.Errorf("before %s: %v, %v", spoil, found, err)
			}
			if _, err := db.ExecContext(t.Context(), spoil); err != nil {
				t.Fatal(err)
			}
			if found, err := s.app.database.Check(t.Context(), true); err != nil || len(found) != 1 || !found[0].Repaired {
				t.Errorf("after %s: %v, %v", spoil, found, err)
			}
		}
		if _, err := db.ExecContext(t.Context(), "DELETE FROM users"); err != nil {
			t.Fatal(err)
		}
		if n, err := s.app.users.Since(t.Context(), "last_active_at", time.Time{}); err != nil || n != 0 {
			t.Errorf("without users %d are active: %v", n, err)
		}
	})
}

// pile makes messages that wait, deliveries that fail, and jobs that are queued, so many of each.
func pile(t *testing.T, a *app, n int) {
	t.Helper()
	u, err := resource.Only(t.Context(), a.users.List, "can_request_admin", false)
	if err != nil {
		t.Fatal(err)
	}
	now := resource.Cut(time.Now())
	hook := &webhook.Webhook{ID: ulid.Make(), URL: "https://hooks.example.com/reeve", Events: []string{"*.*"}, CreatedAt: now, PausedAt: now, SigningKey: "whsec_of-nobody"}
	if err := a.webhooks.Create(t.Context(), hook); err != nil {
		t.Fatal(err)
	}
	jobs, err := storage.NewTable(a.database.DB, job.Schema)
	if err != nil {
		t.Fatal(err)
	}
	for made := 0; made < n; made += 500 { // each within database.timeout
		var messages []*message.Message
		var recipients []*message.Recipient
		var deliveries []*webhook.Delivery
		var queued []*job.Job
		for i := range min(500, n-made) {
			m := &message.Message{ID: ulid.Make(), Body: "waits", Sender: "reeve", CreatedAt: now, Queued: 1}
			messages = append(messages, m)
			recipients = append(recipients, &message.Recipient{ID: ulid.Make(), Message: m.ID, User: u.ID, Status: message.Queued, WaitingFor: u.ID})
			deliveries = append(deliveries, &webhook.Delivery{
				ID: ulid.Make(), Webhook: hook.ID, Event: resource.Identifier{Type: "event", ID: ulid.Make()}, Position: int64(made + i), Topic: "user.created",
				State: webhook.Failing, Attempts: 1, CreatedAt: now, LastAttemptAt: now,
			})
			queued = append(queued, &job.Job{ID: ulid.Make(), Kind: "recount", State: job.Queued, Active: fmt.Sprint(made + i), CreatedAt: now})
		}
		err := errors.Join(a.messages.Create(t.Context(), messages...), a.recipients.Create(t.Context(), recipients...),
			a.deliveries.Create(t.Context(), deliveries...), jobs.Create(t.Context(), queued...))
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestStatsTakeNoLonger compares how long stats take with few users and with many: the best of many times, in turn.
func TestStatsTakeNoLonger(t *testing.T) {
	oneByOne(t, func(t *testing.T, uri string) {
		sizes := []int{10_000, *statsUsers}
		other := sqliteURI(t)
		if !strings.HasPrefix(uri, "sqlite") {
			other = storagetest.Postgres(t)
		}
		var apps []*app
		for i, n := range sizes {
			a := opened(t, []string{uri, other}[i])
			if err := fixtures.Generate(t.Context(), a.database, a.stores(), n, func(int) {}); err != nil {
				t.Fatal(err)
			}
			pile(t, a, n/10)
			if err := a.database.Analyze(t.Context()); err != nil {
				t.Fatal(err)
			}
			apps = append(apps, a)
		}
		best := []time.Duration{time.Hour, time.Hour}
		for range 500 {
			for i, a := range apps {
				begin := time.Now()
				s, err := a.stats(t.Context())
				best[i] = min(best[i], time.Since(begin))
				waiting := int64(sizes[i] / 10)
				if err != nil || s.Users != int64(sizes[i]) || s.ActiveUsers30Days == 0 || s.Messages != waiting || s.WaitingMessages != waiting ||
					s.FailingDeliveries != waiting || s.WaitingJobs != waiting || s.DatabaseBytes == 0 {
					t.Fatal(s, err)
				}
			}
		}
		ratio := float64(best[1]) / float64(best[0])
		t.Logf("%d users: %s; %d users: %s; ratio %.2f", sizes[0], best[0], sizes[1], best[1], ratio)
		if ratio > 1.5 {
			t.Errorf("stats take %.2f times as long", ratio)
		}
	})
}
