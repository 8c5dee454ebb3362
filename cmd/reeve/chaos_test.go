package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

var chaos = flag.Duration("chaos", 3*time.Second, "how long TestConcurrentChaos goes on, on each database")

// TestConcurrentChaos has 8 clients write, in every way there is, while 8 others read. Nothing fails but what is meant
// to. Each total is that of the rows beside it, so of a state that the database was in; what belongs together is seen
// together; what was undone is never seen. In the end the totals are what is counted, and each write has its event.
func TestConcurrentChaos(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		c := &storm{server: s, until: time.Now().Add(*chaos)}
		c.events.Store(int64(s.events()))
		var clients sync.WaitGroup
		for i := range 8 {
			clients.Go(func() { c.write(i) })
			clients.Go(func() { c.read(i) })
		}
		clients.Wait()
		s.sound()
		if told, is := c.events.Load(), s.events(); told != int64(is) {
			t.Errorf("%d writes were acknowledged, and there are %d events", told, is)
		}
		s.positions()
		t.Logf("%d events, %d pages", c.events.Load(), c.pages.Load())
	})
}

// storm is what the clients share.
type storm struct {
	*server
	until  time.Time
	events atomic.Int64 // that the acknowledged writes have left behind
	pages  atomic.Int64
}

func (c *storm) on() bool { return time.Now().Before(c.until) && !c.Failed() }

// batch is how many users are created, and deleted, in one transaction.
const batch = 10

// write writes what no other client writes, until the time is over.
func (c *storm) write(client int) {
	for n := 0; c.on(); n++ {
		switch name := fmt.Sprintf("%d-%d", client, n); rand.IntN(4) {
		case 0:
			c.single("single-" + name)
		case 1:
			c.several("batch-" + name)
		case 2:
			c.undone("never-" + name)
		case 3:
			c.bulk("bulk-" + name)
		}
	}
}

// ask sends a write that leaves so many events behind, and wants a status.
func (c *storm) ask(status, events int, method, path string, body any) map[string]any {
	a, err := c.try(method, "/api/admin/v1/"+path, body)
	if err != nil || a.StatusCode != status {
		c.Errorf("%s %s: %d, not %d: %s %v", method, path, statusOf(a), status, a.text, err)
		return nil
	}
	c.events.Add(int64(events))
	return a.document
}

func statusOf(a answer) int {
	if a.Response == nil {
		return 0
	}
	return a.StatusCode
}

func userDocument(name string) map[string]any {
	return resourceDocument("user", "", map[string]any{"username": name}, nil)
}

// single creates a user, changes their state as it comes, and deletes them: a request each. An action leaves an event
// if it changes something.
func (c *storm) single(name string) {
	id := idOf(c.ask(201, 1, "POST", "users", userDocument(name)))
	c.ask(409, 0, "POST", "users", userDocument(name))
	states := map[string]bool{}
	for range rand.IntN(6) {
		state := [...]string{"lock", "deactivate"}[rand.IntN(2)]
		set, events := rand.IntN(2) == 0, 0
		if set != states[state] {
			states[state], events = set, 1
		}
		action := map[bool]map[string]string{
			true: {"lock": "lock", "deactivate": "deactivate"}, false: {"lock": "unlock", "deactivate": "reactivate"},
		}[set][state]
		c.ask(200, events, "POST", "users/"+id+"/"+action, nil)
	}
	c.ask(204, 1, "DELETE", "users/"+id, nil)
	c.ask(404, 0, "DELETE", "users/"+id, nil)
}

// several creates users in one transaction, and deletes them in another.
func (c *storm) several(name string) {
	creations, deletions := make([]resource.Operation, batch), make([]resource.Operation, batch)
	for i := range batch {
		id := ulid.Make()
		creations[i] = creation(id, fmt.Sprintf("%s-%d", name, i))
		deletions[i] = resource.Operation{Verb: resource.Delete, Type: "user", ID: id, Principal: auth.System}
	}
	for _, ops := range [][]resource.Operation{creations, deletions} {
		if _, err := c.app.engine.Do(c.Context(), ops...); err != nil {
			c.Error(err)
			return
		}
		c.events.Add(batch)
	}
}

func creation(id ulid.ULID, username string) resource.Operation {
	return resource.Operation{Verb: resource.Create, Type: "user", ID: id, Principal: auth.System,
		Body: resource.Body{Attributes: map[string]any{"username": username}}}
}

// undone creates users of whom the last has the name of the first, so that none is created.
func (c *storm) undone(name string) {
	_, err := c.app.engine.Do(c.Context(), creation(ulid.Make(), name), creation(ulid.Make(), name+"-"), creation(ulid.Make(), name))
	if !resource.Is(err, resource.Taken) {
		c.Error(err)
	}
}

// bulk creates a user with tokens, which one request then revokes; their sessions finish with them.
func (c *storm) bulk(name string) {
	id, tokens := idOf(c.ask(201, 1, "POST", "users", userDocument(name))), 1+rand.IntN(4)
	for range tokens {
		c.ask(201, 1, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": name, "scopes": []string{"urn:reeve:user:read"}},
			map[string]any{"user": toOne("user", id)}))
	}
	for _, affected := range []int{tokens, 0} {
		told := c.ask(200, 2*affected, "POST", "tokens/revoke?filter[revoked]=false&filter[user]="+id, nil)
		if n := dig(told, "meta", "affected"); n != float64(affected) {
			c.Errorf("%v tokens are revoked of %d", n, affected)
		}
	}
	c.ask(204, 1, "DELETE", "users/"+id, nil)
}

// read reads whole lists until the time is over.
func (c *storm) read(client int) {
	lists := []string{
		"users?page[first]=1000", "users?page[last]=1000", "users?page[first]=1000&filter[status]=active",
		"users?page[last]=1000&filter[status]=locked&filter[status]=deactivated", "users?page[first]=1000&filter[username][prefix]=batch-",
		"users?page[first]=1000&filter[username][prefix]=never-", "tokens?page[first]=1000", "tokens?page[last]=1000&filter[revoked]=true",
	}
	for n := client; c.on(); n++ {
		path := lists[n%len(lists)]
		a, err := c.try("GET", "/api/admin/v1/"+path, nil)
		if err != nil || a.StatusCode != http.StatusOK {
			c.Errorf("%s: %d %s %v", path, statusOf(a), a.text, err)
			return
		}
		c.pages.Add(1)
		c.whole(path, a.document)
	}
}

// whole looks at a list that is one page: all of it is one state of the database.
func (c *storm) whole(path string, list map[string]any) {
	rows, _ := list["data"].([]any)
	if dig(list, "meta", "count") != float64(len(rows)) {
		c.Errorf("%s: the count is %v of %d", path, dig(list, "meta", "count"), len(rows))
	}
	batches, revoked := map[string]int{}, map[string]bool{}
	for _, row := range rows {
		name, _ := dig(row, "attributes", "username").(string)
		switch of, _, _ := strings.Cut(name, "-"); of {
		case "batch":
			batches[name[:strings.LastIndex(name, "-")]]++
		case "never":
			c.Errorf("%s: %s is seen", path, name)
		}
		if name, ok := dig(row, "attributes", "name").(string); ok && !strings.Contains(path, "revoked") {
			now := dig(row, "attributes", "revoked_at") != nil
			if before, known := revoked[name]; known && before != now {
				c.Errorf("%s: some tokens of %s are revoked, and others are not", path, name)
			}
			revoked[name] = now
		}
	}
	for name, n := range batches {
		if n != batch {
			c.Errorf("%s: %d users of %s are seen", path, n, name)
		}
	}
}

// positions waits until each event has its position, and sees that those are the numbers from 1.
func (s *server) positions() {
	s.Helper()
	s.stamped()
	all, last := s.events(), s.count("SELECT max(position) FROM events")
	if distinct := s.count("SELECT count(DISTINCT position) FROM events WHERE position > 0"); distinct != all || last != all {
		s.Errorf("%d events have %d positions, the last of which is %d", all, distinct, last)
	}
}
