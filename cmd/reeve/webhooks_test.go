package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"reeve/fixtures"
	"reeve/resource"
	"reeve/resource/webhook"
)

// reaching lets webhooks reach the receivers of tests.
const reaching = "webhooks: {allowed_networks: [127.0.0.0/8]}\n"

// receiver is an endpoint that verifies what it is sent, by the library of Standard Webhooks.
type receiver struct {
	*testing.T
	server *httptest.Server
	url    string
	status atomic.Int64 // what it answers

	mu      sync.Mutex
	secrets []string // each request is signed with all of them
	arrived []arrival
	read    int // how many hear has answered
}

// arrival is a request that was answered with 2xx.
type arrival struct {
	id   string
	body map[string]any
}

func receive(t *testing.T) *receiver {
	r := &receiver{T: t}
	r.status.Store(204)
	paths := http.NewServeMux()
	r.server = httptest.NewServer(paths)
	t.Cleanup(r.server.Close)
	r.url = r.server.URL + "/hook"
	paths.HandleFunc("GET /hook", func(w http.ResponseWriter, _ *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		bodies := []any{}
		for _, a := range r.arrived {
			bodies = append(bodies, a.body)
		}
		if err := json.NewEncoder(w).Encode(bodies); err != nil {
			t.Error(err)
		}
	})
	paths.HandleFunc("POST /hook/answer/{status}", func(_ http.ResponseWriter, request *http.Request) {
		status, err := strconv.ParseInt(request.PathValue("status"), 10, 0)
		if err != nil {
			t.Error(err)
		}
		r.status.Store(status)
	})
	paths.HandleFunc("POST /hook", func(w http.ResponseWriter, request *http.Request) {
		text, err := io.ReadAll(request.Body)
		if err != nil {
			return // whoever sends it is gone
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		a := arrival{id: request.Header.Get("webhook-id")}
		if err := json.Unmarshal(text, &a.body); err != nil {
			t.Error(err)
		}
		for _, secret := range r.secrets {
			verifier, err := standardwebhooks.NewWebhook(secret)
			if err == nil {
				err = verifier.Verify(text, request.Header)
			}
			if err != nil {
				t.Errorf("%v of %s", err, text)
			}
		}
		status := int(r.status.Load())
		if status < 300 {
			r.arrived = append(r.arrived, a)
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	})
	return r
}

func (r *receiver) knows(secrets ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = secrets
}

// count is how many requests have been taken.
func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.arrived)
}

// hear is the next request that is taken, or was.
func (r *receiver) hear(topic string) arrival {
	r.Helper()
	eventually(r.T, patience, topic+" arrives", func() bool { return r.count() > r.read })
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.arrived[r.read]
	r.read++
	if a.body["type"] != topic || dig(a.body, "data", "id") != a.id || dig(a.body, "data", "type") != "event" {
		r.Fatalf("not %s: %v", topic, a)
	}
	return a
}

// hook makes a webhook, and has the receiver know its secret.
func (s *server) hook(r *receiver, events ...string) (id string) {
	s.Helper()
	made := s.do(201, "POST", "webhooks", resourceDocument("webhook", "", map[string]any{"url": r.url, "events": events}, nil))
	secret := fmt.Sprint(dig(made, "data", "attributes", "secret"))
	if !strings.HasPrefix(secret, "whsec_") {
		s.Fatalf("%v", made)
	}
	r.knows(secret)
	return idOf(made)
}

func (s *server) webhook(id string) map[string]any {
	s.Helper()
	return dig(s.get("webhooks/"+id), "data", "attributes").(map[string]any)
}

// joins makes a user.
func (s *server) joins(name string) (id string) {
	s.Helper()
	return idOf(s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": name}, nil)))
}

// toldWebhook makes a webhook which follows nothing that happens in tests, and was told of something all the same.
func (s *server) toldWebhook() (id ulid.ULID, d *webhook.Delivery, topic *webhook.Subject) {
	s.Helper()
	made := s.do(201, "POST", "webhooks", resourceDocument("webhook", "", map[string]any{"url": "https://hooks.example.com/reeve", "events": []string{"module.deleted"}}, nil))
	id = ulid.MustParse(idOf(made))
	now := time.Now()
	d = &webhook.Delivery{
		ID: ulid.Make(), Webhook: id, Event: resource.Identifier{Type: "event", ID: ulid.MustParse(idsOf(s.get("events?page[first]=1"))[0])}, Position: 1, Topic: "module.deleted",
		State: webhook.Delivered, Attempts: 1, Status: 204, CreatedAt: now, LastAttemptAt: now,
	}
	topic = &webhook.Subject{ID: ulid.Make(), Webhook: id, Topic: d.Topic, LastDelivered: 1, LastDeliveredAt: now}
	if err := errors.Join(s.app.deliveries.Create(s.Context(), d), s.app.subjects.Create(s.Context(), topic)); err != nil {
		s.Fatal(err)
	}
	return id, d, topic
}

// TestWebhooks sees that an endpoint is told of what it follows, in order, also when it fails for a while.
func TestWebhooks(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s, r := start(t, uri, everything+reaching), receive(t)
		id := s.hook(r, "user.*", "group.deleted")
		path := "webhooks/" + id
		act := func(status int, action string) map[string]any {
			t.Helper()
			return s.do(status, "POST", path+"/"+action, nil)
		}
		if shown := s.webhook(id); shown["secret"] != nil || shown["last_delivered_event"] != nil || shown["failing"] != false {
			t.Errorf("%v", shown)
		}

		montana := s.joins("montana")
		group := idOf(s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"name": "Actors"}, nil)))
		a := r.hear("user.created")
		event := s.get("events/" + a.id)
		if dig(a.body, "data", "relationships", "target", "data", "id") != montana || a.body["timestamp"] != dig(event, "data", "attributes", "at") ||
			fmt.Sprint(dig(a.body, "data", "attributes")) != fmt.Sprint(dig(event, "data", "attributes")) {
			t.Errorf("%v of %v", a.body, event)
		}
		s.do(200, "POST", "users/"+montana+"/lock", nil)
		r.hear("user.lock")
		s.do(204, "DELETE", "groups/"+group, nil)
		last := r.hear("group.deleted")

		// What came of it.
		eventually(t, patience, "it is noted", func() bool {
			return s.webhook(id)["last_delivered_event"] == dig(last.body, "data", "attributes", "position")
		})
		var topics []string
		for _, topic := range s.get(path + "/topics?sort=last_delivered_event")["data"].([]any) {
			topics = append(topics, fmt.Sprint(dig(topic, "attributes", "topic")))
		}
		if got := strings.Join(topics, " "); got != "user.created user.lock group.deleted" {
			t.Errorf("topics: %s", got)
		}
		deliveries := s.get(path + "/deliveries?filter[state]=delivered")
		if first := dig(deliveries, "data", 0, "attributes"); dig(deliveries, "meta", "count") != 3.0 || dig(first, "status") != 204.0 || dig(first, "attempts") != 1.0 || dig(first, "topic") != "user.created" {
			t.Errorf("%v", deliveries)
		}

		// A test, and two secrets for a day.
		former := r.secrets[0]
		r.knows() // until the new one is known
		rotated := act(200, "rotate-secret")
		r.knows(former, fmt.Sprint(dig(rotated, "data", "attributes", "secret")))
		if r.secrets[1] == former || dig(rotated, "data", "attributes", "former_secret_expires_at") == nil {
			t.Errorf("%v", rotated)
		}
		act(200, "test")
		r.hear("webhook.test")

		// Paused, nothing is sent, and nothing is lost.
		act(200, "pause")
		act(200, "pause")
		act(409, "test")
		act(409, "reset")
		eventually(t, patience, "nobody serves it", func() bool { return s.count("SELECT count(*) FROM webhook_leases") == 0 })
		s.joins("billy")
		s.stamped()
		if n := r.count(); n != r.read {
			t.Errorf("%d arrived", n-r.read)
		}
		if ids := idsOf(s.get("webhooks?filter[status]=paused")); len(ids) != 1 {
			t.Errorf("%v are paused", ids)
		}
		act(200, "resume")
		r.hear("user.created")

		// What fails is tried again, and what comes later waits.
		act(409, "reset")
		r.status.Store(500)
		s.joins("valencia")
		s.joins("rosewater")
		eventually(t, patience, "it fails", func() bool { return s.webhook(id)["failing"] == true })
		shown := s.webhook(id)
		if shown["failing_since"] == nil || shown["last_retry_at"] == nil || shown["next_attempt_at"] == nil || shown["retry_interval"].(float64) < 1000 {
			t.Errorf("%v", shown)
		}
		failing := s.get(path + "/deliveries?filter[state]=failing")
		if d := dig(failing, "data", 0, "attributes"); dig(failing, "meta", "count") != 1.0 || dig(d, "status") != 500.0 || dig(d, "next_attempt_at") == nil {
			t.Errorf("%v", failing)
		}
		if ids := idsOf(s.get("webhooks?filter[failing]=true&sort=-failing_since")); len(ids) != 1 {
			t.Errorf("%v fail", ids)
		}
		eventually(t, patience, "it waits for longer", func() bool { return s.webhook(id)["retry_interval"].(float64) > 4000 })
		r.status.Store(302) // which is not followed
		act(200, "reset")
		eventually(t, patience, "it is tried again", func() bool {
			return dig(s.get(path+"/deliveries?filter[state]=failing"), "data", 0, "attributes", "status") == 302.0
		})
		r.status.Store(204)
		r.hear("user.created")
		a = r.hear("user.created")
		if dig(s.get("events/"+a.id), "data", "attributes", "changes", "username", "to") != "rosewater" {
			t.Errorf("%v", a)
		}
		eventually(t, patience, "it has recovered", func() bool {
			w := s.webhook(id)
			return w["failing"] == false && w["failing_since"] == nil && w["retry_interval"] == 0.0 && w["next_attempt_at"] == nil
		})

		// 410 says that nobody wants it any more; whoever resumes it may leave out what has happened.
		r.status.Store(410)
		s.joins("winston")
		eventually(t, patience, "it is paused", func() bool { return s.webhook(id)["paused_at"] != nil })
		r.status.Store(204)
		s.joins("lost")
		s.stamped()
		s.do(200, "POST", path+"/resume", map[string]any{"skip": true})
		s.joins("found")
		a = r.hear("user.created")
		if dig(s.get("events/"+a.id), "data", "attributes", "changes", "username", "to") != "found" {
			t.Errorf("%v", a)
		}
		if skipped := idsOf(s.get(path + "/deliveries?filter[state]=skipped")); len(skipped) != 1 {
			t.Errorf("%v are skipped", skipped)
		}
		s.do(204, "DELETE", path, nil)
		if n := s.count("SELECT (SELECT count(*) FROM webhook_deliveries) + (SELECT count(*) FROM webhook_topics)"); n != 0 {
			t.Errorf("%d rows are left", n)
		}
	})
}

// TestWebhookScript runs the script that does each operation on webhooks.
func TestWebhookScript(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		r := receive(t)
		start(t, uri, everything+reaching).script("webhooks.sh", "RECEIVER="+r.url)
	})
}

// TestWebhookRules sees what is refused: bad members, and callers who may not read what they ask for.
func TestWebhookRules(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		for _, bad := range []map[string]any{
			{"url": "ftp://example.com", "events": []string{"*.*"}}, {"url": "https://", "events": []string{"*.*"}}, {"url": "https://a:b@example.com", "events": []string{"*.*"}},
			{"url": "https://example.com/#a", "events": []string{"*.*"}}, {"url": "https://example.com"}, {"url": "https://example.com", "events": []string{}},
			{"url": "https://example.com", "events": []string{"user"}}, {"url": "https://example.com", "events": []string{"usr.created"}}, {"events": []string{"*.*"}},
		} {
			s.do(422, "POST", "webhooks", resourceDocument("webhook", "", bad, nil))
		}
		administrator := idOf(s.get("users/by-username/" + fixtures.DemoAdministrator))
		made := s.do(201, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "narrow", "scopes": []string{"urn:reeve:webhook:*"}},
			map[string]any{"user": toOne("user", administrator)}))
		a := s.send("POST", "/api/admin/v1/webhooks", resourceDocument("webhook", "", map[string]any{"url": "https://example.com", "events": []string{"user.*"}}, nil),
			"Authorization: Bearer "+fmt.Sprint(dig(made, "data", "attributes", "token")))
		if a.StatusCode != 403 {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
	})
}

// TestWebhookAddresses sees that private addresses are reached only where a setting allows it, whatever their names.
func TestWebhookAddresses(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s, r := start(t, uri, everything), receive(t)
		r.url = strings.Replace(r.url, "127.0.0.1", "localhost", 1)
		id := s.hook(r, "user.created")
		s.joins("montana")
		eventually(t, patience, "it fails", func() bool { return s.webhook(id)["failing"] == true })
		d := dig(s.get("webhooks/"+id+"/deliveries"), "data", 0, "attributes")
		if got := fmt.Sprint(dig(d, "error")); dig(d, "status") != nil || !strings.Contains(got, "not allowed") {
			t.Errorf("%v", d)
		}
		if r.count() != 0 {
			t.Error("it was reached")
		}
		s.set(200, "webhooks.allowed_networks", []string{"127.0.0.0/8", "::1"})
		if s.webhook(id)["failing"] == true {
			s.send("POST", "/api/admin/v1/webhooks/"+id+"/reset", nil)
		}
		r.hear("user.created")
	})
}

// TestWebhookDelivery has an endpoint told of many users, who are made on all nodes at once, while nodes are killed. It is
// told of each, in the order of their positions.
func TestWebhookDelivery(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		total := *deliveries
		prepare(t, uri)
		r := receive(t)
		nodes := []*process{launch(t, uri, everything+reaching)}
		if strings.HasPrefix(uri, "postgres") {
			nodes = append(nodes, launch(t, uri, everything+reaching))
		}
		id := nodes[0].hook(r, "user.created")
		var mu sync.Mutex
		node := func() *process {
			mu.Lock()
			defer mu.Unlock()
			return nodes[rand.IntN(len(nodes))]
		}
		var work sync.WaitGroup
		var next, allowed atomic.Int64 // no more are made before the next node is killed, so that it leaves some behind
		allow := func(kills int) { allowed.Store(int64(total*(kills+1)/(len(nodes)+1) + total/10)) }
		allow(0)
		for range 4 {
			work.Go(func() {
				for n := next.Add(1); n <= int64(total); n = next.Add(1) {
					for n > allowed.Load() && !t.Failed() {
						time.Sleep(time.Millisecond)
					}
					name := fmt.Sprintf("told-%05d", n)
					for late := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
						a, err := node().try("PUT", "/api/admin/v1/users/by-username/"+name, resourceDocument("user", "", map[string]any{}, nil))
						if err == nil && a.StatusCode/100 == 2 {
							break
						}
						if time.Now().After(late) {
							t.Errorf("%s is not taken: %v %s", name, err, a.text)
							return
						}
					}
				}
			})
		}
		begun := time.Now()
		for kill := range nodes { // each once
			for r.count() < total*(kill+1)/(len(nodes)+1) {
				if t.Failed() || time.Since(begun) > 5*time.Minute {
					t.Fatalf("%d arrived", r.count())
				}
				time.Sleep(time.Millisecond)
			}
			if err := nodes[kill].end(syscall.SIGKILL); err == nil {
				t.Error("the program ended by itself")
			}
			allow(kill + 1)
			launched := launch(t, uri, everything+reaching)
			mu.Lock()
			nodes[kill] = launched
			mu.Unlock()
		}
		work.Wait()
		s := nodes[0].server
		s.stamped()
		last := s.count("SELECT max(position) FROM events WHERE verb = 'create' AND target_type = 'user'")
		eventually(t, patience, "all have arrived", func() bool { return s.webhook(id)["last_delivered_event"] == float64(last) })

		seen, before := map[string]bool{}, 0.0
		again := 0
		for _, a := range r.arrived {
			position := dig(a.body, "data", "attributes", "position").(float64)
			switch {
			case seen[a.id]:
				again++
			case position <= before:
				t.Fatalf("%v came after position %v", a.body, before)
			default:
				seen[a.id], before = true, position
			}
		}
		if len(seen) != total || s.count("SELECT count(*) FROM webhook_deliveries WHERE state = 'delivered'") != total {
			t.Errorf("%d arrived, of %d; %d are noted", len(seen), total, s.count("SELECT count(*) FROM webhook_deliveries"))
		}
		t.Logf("%d events in %s, %d of them again", total, time.Since(begun), again)
	})
}
