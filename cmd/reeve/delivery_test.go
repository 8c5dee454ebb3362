package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource/token"
	"reeve/resource/user"
)

var (
	openStreams = flag.Int("streams", 200, "how many streams TestManyStreams opens")
	deliveries  = flag.Int("deliveries", 500, "how many messages TestDelivery sends; its consumer reconnects a tenth as often")
)

// TestNodeDies sees that the streams of a node which is killed are over soon, and nobody is connected by them.
func TestNodeDies(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		prepare(t, uri)
		p := launch(t, uri, everything)
		for range 3 {
			p.listen("").ready()
		}
		if p.connected() != 1 {
			t.Fatalf("%d are connected", p.connected())
		}
		postgres, within := strings.HasPrefix(uri, "postgres"), 3*time.Second
		var other *process
		if postgres {
			other, within = launch(t, uri, everything), 15*time.Second
		}
		if err := p.end(syscall.SIGKILL); err == nil {
			t.Fatal("the program ended by itself")
		}
		if !postgres {
			other = launch(t, uri, everything)
		}
		begun := time.Now()
		eventually(t, within, "nobody is connected", func() bool { return other.connected() == 0 })
		t.Logf("nobody was connected %s after the end", time.Since(begun))
		if n := dig(other.get("sessions?filter[kind]=stream&filter[status]=active&count=only"), "meta", "count"); n != 0.0 {
			t.Errorf("%v sessions go on", n)
		}
	})
}

// listeners are users who may do nothing but listen, with the headers by which they do.
func listeners(t *testing.T, uri string, n int) (names, headers []string) {
	t.Helper()
	a := opened(t, uri)
	now := time.Now()
	users, tokens := make([]*user.User, n), make([]*token.Token, n)
	for i := range n {
		secret := auth.NewToken(auth.PersonalToken)
		users[i] = &user.User{ID: ulid.Make(), Username: fmt.Sprint("listener-", i), CreatedAt: now}
		tokens[i] = &token.Token{ID: ulid.Make(), Name: "stream", User: users[i].ID, Scopes: []string{"urn:reeve:*:*"}, CreatedAt: now,
			Hash: token.Hash(auth.HashToken(secret))}
		names, headers = append(names, users[i].Username), append(headers, "Authorization: Bearer "+secret)
	}
	if err := a.users.Create(t.Context(), users...); err != nil {
		t.Fatal(err)
	}
	if err := a.tokens.Create(t.Context(), tokens...); err != nil {
		t.Fatal(err)
	}
	return names, headers
}

// resident is the memory of the process, in bytes.
func (p *process) resident() int {
	p.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		p.Fatal(err)
	}
	return kib << 10
}

// TestManyStreams opens many streams of as many users on one process: a broadcast reaches all, 95 % within two seconds,
// and so does a message to each. A stream takes less than 64 KiB.
func TestManyStreams(t *testing.T) {
	oneByOne(t, func(t *testing.T, uri string) {
		n := *openStreams
		prepare(t, uri)
		names, headers := listeners(t, uri, n)
		p := launch(t, uri, everything)
		begun, open := time.Now(), make([]*listener, n)
		enter := func(from, to int) {
			var opening sync.WaitGroup
			limit := make(chan struct{}, 32)
			for i := from; i < to; i++ {
				opening.Go(func() {
					limit <- struct{}{}
					defer func() { <-limit }()
					l, err := p.tryListen("", headers[i])
					for err == nil && l.last == "" {
						_, err = l.next(true)
					}
					if err != nil {
						t.Error(err)
					}
					open[i] = l
				})
			}
			opening.Wait()
		}
		first := n / 10
		enter(0, first)
		p.get("users?page[first]=1000&count=false") // the program has all that it needs besides, that for hashing passwords too
		before := p.resident()
		enter(first, n)
		if t.Failed() {
			return
		}
		t.Logf("%d streams were open after %s", n, time.Since(begun))
		if got := p.connected(); got != n {
			t.Errorf("%d are connected, not %d", got, n)
		}

		// reach sends something, and has each stream wait for it.
		reach := func(what string, send func()) {
			took, begun := make([]time.Duration, n), time.Now()
			var waiting sync.WaitGroup
			for i, l := range open {
				waiting.Go(func() {
					late := time.AfterFunc(time.Minute, l.close)
					defer late.Stop()
					if e, err := l.next(false); err != nil || e.name != what {
						t.Errorf("stream %d: %+v, %v", i, e, err)
					}
					took[i] = time.Since(begun)
				})
			}
			send()
			acknowledged := time.Since(begun)
			waiting.Wait()
			slices.Sort(took)
			t.Logf("%s: acknowledged after %s; half of the streams had it after %s, 95 %% after %s, all after %s", what, acknowledged, took[n/2], took[n*95/100], took[n-1])
			if took[n*95/100] > 2*time.Second {
				t.Errorf("%s took %s to reach 95 %%", what, took[n*95/100])
			}
		}
		reach("broadcast", func() {
			made := p.do(201, "POST", "broadcasts", resourceDocument("broadcast", "", map[string]any{"body": "So it goes."}, nil))
			if got := dig(made, "data", "attributes", "recipient_count"); got != float64(n) {
				t.Errorf("it is for %v", got)
			}
		})
		reach("message", func() {
			messages := make([]any, n)
			for i, name := range names {
				messages[i] = map[string]any{"to": name, "body": "So it goes."}
			}
			if got := dig(p.do(200, "POST", "messages/bulk", map[string]any{"messages": messages}), "meta", "sent"); got != float64(n) {
				t.Errorf("it is for %v", got)
			}
		})
		each := (p.resident() - before) / (n - first)
		t.Logf("%d streams take %d bytes each", n, each)
		if each > 64<<10 && n >= 1000 { // of few, what the program takes besides is too large a part
			t.Errorf("a stream takes %d bytes", each)
		}
		eventually(t, patience, "all is delivered", func() bool {
			return p.count("SELECT count(*) FROM recipients WHERE delivered_at IS NULL") == 0
		})
		if err := p.end(syscall.SIGTERM); err != nil {
			t.Error("the program:", err)
		}
		if n := p.count("SELECT count(*) FROM users WHERE connected"); n != 0 {
			t.Errorf("%d are connected still", n)
		}
	})
}

// TestDelivery sends messages to a consumer who reconnects again and again, on PostgreSQL over two nodes, while a node is
// killed twice. The consumer, who says where it was, receives each exactly once, in the order of their positions.
func TestDelivery(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		total := *deliveries
		prepare(t, uri)
		names, headers := listeners(t, uri, 1)
		var mu sync.Mutex
		nodes := []*process{launch(t, uri, everything)}
		if strings.HasPrefix(uri, "postgres") {
			nodes = append(nodes, launch(t, uri, everything))
		}
		node := func() *process {
			mu.Lock()
			defer mu.Unlock()
			return nodes[rand.IntN(len(nodes))]
		}
		var received atomic.Int64
		var work sync.WaitGroup
		work.Go(func() { // whoever sends tries again, by the same key, until it is acknowledged
			for begin := 0; begin < total; {
				n := min(1+rand.IntN(20), total-begin)
				messages := make([]any, n)
				for i := range n {
					messages[i] = map[string]any{"to": names[0], "body": fmt.Sprint(begin + i)}
				}
				key := fmt.Sprint("Idempotency-Key: ", begin)
				for late := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
					a, err := node().try("POST", "/api/admin/v1/messages/bulk", map[string]any{"messages": messages}, key)
					if err == nil && a.StatusCode == http.StatusOK {
						break
					}
					if time.Now().After(late) {
						t.Errorf("%d messages after %d are not taken: %v %s", n, begin, err, a.text)
						return
					}
				}
				begin += n
			}
		})
		work.Go(func() { // the last node is killed when a third has come, and when two thirds have
			for kill := 1; kill <= 2; kill++ {
				for received.Load() < int64(total*kill/3) {
					if t.Failed() {
						return
					}
					time.Sleep(time.Millisecond)
				}
				last := nodes[len(nodes)-1]
				if err := last.end(syscall.SIGKILL); err == nil {
					t.Error("the program ended by itself")
				}
				next := launch(t, uri, everything)
				mu.Lock()
				nodes[len(nodes)-1] = next
				mu.Unlock()
			}
		})

		seen, last, connections := make([]int, total), "0", 0
		for late := time.Now().Add(5 * time.Minute); received.Load() < int64(total) && time.Now().Before(late) && !t.Failed(); {
			l, err := node().tryListen("?events=message&resource=consumer", headers[0], "Last-Event-ID: "+last)
			if err != nil {
				time.Sleep(5 * time.Millisecond) // the node is gone
				continue
			}
			connections++
			silent := time.AfterFunc(5*time.Second, l.close)
			for range rand.IntN(16) {
				e, err := l.next(false)
				if err != nil {
					break
				}
				n, bad := strconv.Atoi(fmt.Sprint(dig(e.data, "attributes", "body")))
				before, _ := strconv.ParseInt(last, 10, 64)
				at, err := strconv.ParseInt(e.id, 10, 64)
				if bad != nil || err != nil || e.name != "message" || n < 0 || n >= total || at <= before {
					t.Fatalf("after %s: %+v", last, e)
				}
				seen[n]++
				last = e.id
				received.Add(1)
			}
			silent.Stop()
			l.close()
		}
		work.Wait()
		for n, times := range seen {
			if times != 1 {
				t.Errorf("message %d came %d times", n, times)
			}
		}
		t.Logf("%d messages over %d connections", received.Load(), connections)
		if connections < total/10 {
			t.Errorf("the consumer reconnected %d times only", connections)
		}
	})
}
