package main

import (
	"database/sql"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"reeve/storage/storagetest"
)

var cycles = flag.Int("cycles", 10, "how many times TestConcurrentModules loads and unloads, on each database")

// TestConcurrentModules loads, uses, reloads and unloads a module of the program and one that a file declares, again and
// again, while 32 clients ask for what they serve. Nothing fails but with 404, and that only while they are not loaded;
// then everything does. In the end no goroutine is left over.
func TestConcurrentModules(t *testing.T) {
	oneByOne(t, func(t *testing.T, uri string) {
		_, yaml := declaredFiles(t, map[string]string{"moons.yaml": strings.NewReplacer("planet:", "moon:", "inverse: planets", "inverse: moons").Replace(spaceFile)})
		s, space := start(t, uri, yaml), &spacing{}
		if err := space.know(t.Context(), s.app); err != nil {
			t.Fatal(err)
		}
		visit := &visitors{server: s}
		s.module(200, "space", "load")
		eventually(t, patience, "workers begin", func() bool { return space.workers.Load() != 0 })
		s.module(200, "space", "unload")
		goroutines := s.atRest()
		var clients sync.WaitGroup
		for i := range 32 {
			clients.Go(func() { visit.ask(i) })
		}
		for n := range *cycles {
			for _, name := range []string{"space", "moons"} {
				s.module(200, name, "load")
			}
			visit.phase.Add(1)
			for _, typ := range []string{"planet", "moon"} {
				s.do(201, "POST", typ+"s", resourceDocument(typ, "", map[string]any{"name": fmt.Sprint("cycle-", n)}, nil))
			}
			for _, name := range []string{"space", "moons"} {
				s.module(200, name, "reload")
			}
			visit.phase.Add(1)
			for _, name := range []string{"space", "moons"} {
				s.module(200, name, "unload")
			}
			visit.phase.Add(1)
			if space.workers.Load() != 0 {
				t.Errorf("%d workers go on", space.workers.Load())
			}
			time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond) // for the clients, who find nothing
			visit.phase.Add(1)
			if t.Failed() {
				break
			}
		}
		visit.over.Store(true)
		clients.Wait()
		defer func() {
			if t.Failed() {
				var running strings.Builder
				t.Log(pprof.Lookup("goroutine").WriteTo(&running, 1), running.String())
			}
		}()
		eventually(t, patience, "the goroutines end", func() bool {
			s.client.CloseIdleConnections()
			return runtime.NumGoroutine() < goroutines+8 // some begin with what first needs them, as that which closes idle connections of a pool
		})
		t.Logf("%d goroutines, and %d before", runtime.NumGoroutine(), goroutines)
		if rows := s.count("SELECT count(*) FROM moons WHERE name LIKE 'cycle-%'"); rows != *cycles && !t.Failed() {
			t.Errorf("%d rows, not %d", rows, *cycles)
		}
		t.Logf("%d answers, of which %d found nothing", visit.answers.Load(), visit.nothing.Load())
	})
}

// atRest is how many goroutines there are once their number stays the same for a while, as when all workers have begun.
func (s *server) atRest() (goroutines int) {
	s.Helper()
	same := 0
	eventually(s.T, patience, "no more goroutines begin", func() bool {
		s.client.CloseIdleConnections()
		if now := runtime.NumGoroutine(); now != goroutines {
			goroutines, same = now, 0
		}
		same++
		return same > 100
	})
	return goroutines
}

// visitors are clients of modules that come and go.
type visitors struct {
	*server
	phase            atomic.Int64 // modulo four: they are being loaded, loaded, being unloaded, unloaded
	over             atomic.Bool
	answers, nothing atomic.Int64
}

// ask asks for everything that the modules serve, with a rest after each question, so that there is time to load them.
func (v *visitors) ask(client int) {
	for n := 0; !v.over.Load() && !v.Failed(); n++ {
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		typ := []string{"planet", "moon"}[rand.IntN(2)]
		name := fmt.Sprintf("client-%d-%d", client, n)
		switch rand.IntN(24) {
		case 0: // few, since each waits for the disk
			made, ok := v.try("POST", typ+"s", resourceDocument(typ, "", map[string]any{"name": name, "moons": 3}, nil))
			if ok {
				v.try("DELETE", typ+"s/"+idOf(made.document), nil)
			}
		case 1, 2, 3, 4:
			v.try("GET", typ+"s?filter[moons][min]=1&page[last]=5", nil)
		case 5, 6, 7, 8:
			v.try("GET", typ+"s?include=ruler", nil)
		case 9, 10:
			v.try("GET", "types/by-name/"+typ, nil)
		case 11, 12, 13, 14:
			v.try("GET", typ+"s?filter[name][prefix]=cycle&count=only", nil)
		default:
			v.try("GET", "/api/stars", nil)
		}
	}
}

// try sends a request that succeeds if what it is about is loaded, and finds nothing if it is not.
func (v *visitors) try(method, path string, body any) (a answer, ok bool) {
	if !strings.HasPrefix(path, "/") {
		path = "/api/admin/v1/" + path
	}
	before := v.phase.Load()
	a, err := v.server.try(method, path, body)
	after := v.phase.Load()
	if err != nil {
		v.Errorf("%s %s: %v", method, path, err)
		return a, false
	}
	v.answers.Add(1)
	ok = a.StatusCode < 300
	if a.StatusCode == 404 {
		v.nothing.Add(1)
	}
	switch {
	case !ok && a.StatusCode != 404:
		v.Errorf("%s %s: %d %s", method, path, a.StatusCode, a.text)
	case !ok && before == after && before%4 == 1:
		v.Errorf("%s %s: nothing is there though it is loaded: %s", method, path, a.text)
	case ok && before == after && before%4 == 3:
		v.Errorf("%s %s: %d though it is not loaded", method, path, a.StatusCode)
	}
	return a, ok
}

// TestTwoProcesses sees that what one process loads, sets and allows the other one knows within a second, also if what it
// listens by is cut.
func TestTwoProcesses(t *testing.T) {
	uri := storagetest.Postgres(t)
	prepare(t, uri)
	_, yaml := declaredFiles(t, map[string]string{"space.yaml": spaceFile})
	yaml = strings.Replace(yaml, "http:", "http:\n  trusted_proxies: [127.0.0.1]", 1)
	one, other := launch(t, uri, yaml), launch(t, uri, yaml)
	serves := func(p *process) bool { return p.send("GET", "/api/admin/v1/planets", nil).StatusCode == 200 }
	for _, cut := range []bool{false, true} {
		one.module(200, "space", "load")
		eventually(t, time.Second, "loaded by the other", func() bool { return serves(other) })
		other.do(201, "POST", "planets", newPlanet(fmt.Sprint("cut-", cut), 1))
		if cut {
			db := one.hand()
			defer db.Close()
			cutListeners(t, db)
		}
		other.module(200, "space", "reload")
		other.module(200, "space", "unload")
		eventually(t, time.Second, "unloaded by the other", func() bool { return !serves(one) })

		name := fmt.Sprint("cut-", cut)
		other.set(200, "server.name", name)
		eventually(t, time.Second, "set by the other", func() bool { return dig(one.get("server"), "data", "attributes", "name") == name })
		from := func(p *process, address string) int {
			return p.send("GET", "/api/admin/v1/me", nil, "X-Forwarded-For: "+address).StatusCode
		}
		added := other.send("PUT", "/api/admin/v1/allowed-addresses/by-address/127.0.0.1", resourceDocument("allowed-address", "", map[string]any{}, nil))
		if added.StatusCode != 201 || from(other, "203.0.113.9") != 403 {
			t.Fatalf("%d %s", added.StatusCode, added.text)
		}
		eventually(t, time.Second, "closed by the other", func() bool { return from(one, "203.0.113.9") == 403 })
		other.do(204, "DELETE", "allowed-addresses/by-address/127.0.0.1", nil)
		eventually(t, time.Second, "opened by the other", func() bool { return from(one, "203.0.113.9") == 200 })
	}
	if nodes := dig(one.get("server"), "data", "attributes", "nodes"); nodes != 2.0 {
		t.Errorf("there are %v nodes", nodes)
	}
	if err := one.end(syscall.SIGKILL); err == nil {
		t.Error("a process that is killed ends well")
	}
	other.module(200, "space", "load")
	again := launch(t, uri, yaml)
	if !serves(again) {
		t.Error("what is loaded does not outlive the process")
	}
}

// cutListeners ends the connections by which processes hear of each other.
func cutListeners(t *testing.T, db *sql.DB) {
	t.Helper()
	var n int
	if err := db.QueryRowContext(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE query ILIKE 'listen%' AND datname = current_database()`).Scan(&n); err != nil || n == 0 {
		t.Fatalf("%d listeners are cut: %v", n, err)
	}
}
