//go:build bench

package main

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
)

// start measures how long Reeve takes to listen on a database that is there.
func (b *bench) start() {
	const name, most = "start, to 200 ms", 1
	if !b.wanted(name) {
		return
	}
	var times []float64
	for range 5 {
		p := b.serve(b.uri)
		times = append(times, p.took.Seconds())
		p.stop()
	}
	b.row(name, median(times)/0.2, most, 200_000, median(times)*1e6, 0)
}

// memory measures the resident memory of Reeve alone, without that of the database server.
func (b *bench) memory(r request) {
	for _, m := range []struct {
		name    string
		most    float64 // MB
		clients int
	}{{"resident memory when idle, to 25 MB", 25, 0}, {"resident memory with 64 clients, to 110 MB", 110, 64}} {
		if !b.wanted(m.name) {
			continue
		}
		p := b.serve(b.uri)
		if m.clients > 0 {
			b.load(subject{p, r}, 4**benchRequests, m.clients)
		}
		most := memory(p.cmd.Process.Pid, "VmHWM")
		p.stop()
		b.row(m.name, most/m.most, 1, 0, 0, most)
	}
}

// writes measures what adds users, on a copy of the database.
func (b *bench) writes() {
	const (
		post     = "POST users by 8 clients"
		inserts  = "bare inserts by 8 clients"
		toFloor  = post + ", to the floor's bare insert"
		imported = "import of users by 8 clients, 250 at once, CPU a user, to the floor's bare insert"
		counters = ", with counters to without (time)"
	)
	if !slices.ContainsFunc([]string{toFloor, imported, post + counters, inserts + counters}, b.wanted) {
		return
	}
	b.uri = b.copy()
	var users atomic.Int64
	name := func() string { return fmt.Sprintf("bench-%d-%d", time.Now().Unix(), users.Add(1)) }
	create := request{method: "POST", make: func(int) (string, string) {
		return "/users", `{"data":{"type":"user","attributes":{"username":"` + name() + `"}}}`
	}}
	reeve, floor := b.serve(b.uri), b.serveFloor(b.uri)
	// The floor took 81 us where PocketBase took 340: half of that is 2.1 times the floor, a third 1.4.
	b.compare(toFloor, 2.1, subject{floor, create}, subject{reeve, create})
	b.compare(imported, 1.4, subject{floor, create}, subject{reeve, request{method: "POST", lines: 250, make: func(int) (string, string) {
		var lines strings.Builder
		for range 250 {
			fmt.Fprintf(&lines, `{"type":"user","attributes":{"username":%q}}`+"\n", name())
		}
		return "/users", lines.String()
	}}})
	if b.cluster == 0 {
		return // there is one writer: the counters' cost is in the row above
	}
	b.withCounters(post+counters, 1/0.8, func() { b.load(subject{reeve, create}, *benchRequests, 8) })
	db, err := sql.Open("postgres", b.uri)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxIdleConns(8)
	b.withCounters(inserts+counters, 1/0.55, func() { b.insert(db, *benchRequests, name) })
}

// insert inserts n users by 8 clients, each in a transaction of its own.
func (b *bench) insert(db *sql.DB, n int, name func() string) {
	b.Helper()
	insert, err := db.Prepare(floorInsert)
	if err != nil {
		b.Fatal(err)
	}
	defer insert.Close()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range n / 8 {
				username := name()
				if _, err := insert.Exec(uuid(ulid.Make()), username, username, time.Now(), false); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// withCounters measures how long the same work takes with the counters' triggers, against without, in five
// interleaved runs.
func (b *bench) withCounters(name string, most float64, run func()) {
	b.Helper()
	if !b.wanted(name) {
		return
	}
	var times [2][]float64
	for round := range 5 {
		for i := range 2 {
			which := (round + i) % 2
			word := []string{"DISABLE", "ENABLE"}[which]
			for _, table := range []string{"users", "events"} {
				b.query("ALTER TABLE "+table+" "+word+" TRIGGER USER", nil)
			}
			begin := time.Now()
			run()
			times[which] = append(times[which], time.Since(begin).Seconds()*1e6/float64(*benchRequests))
		}
	}
	without, with := median(times[0]), median(times[1])
	b.row(name, with/without, most, without, with, 0)
}

// copy makes a copy of the database, which goes when the test ends, and returns its URL.
func (b *bench) copy() string {
	b.Helper()
	path, ok := strings.CutPrefix(b.uri, "sqlite://")
	if !ok {
		// A template must have no connections: the server is told so from another database.
		named := func(name string) string { return strings.Replace(b.uri, "/postgres?", "/"+name+"?", 1) }
		server := &bench{T: b.T, uri: named("template1")}
		server.query("DROP DATABASE IF EXISTS writes", nil)
		server.query("CREATE DATABASE writes TEMPLATE postgres", nil)
		b.Cleanup(func() { server.query("DROP DATABASE writes WITH (FORCE)", nil) })
		return named("writes")
	}
	folder := b.TempDir()
	for _, suffix := range []string{"", "-wal"} {
		from, err := os.Open(path + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			b.Fatal(err)
		}
		defer from.Close()
		to, err := os.Create(filepath.Join(folder, "reeve.db"+suffix))
		if err != nil {
			b.Fatal(err)
		}
		defer to.Close()
		if _, err := io.Copy(to, from); err != nil {
			b.Fatal(err)
		}
	}
	return "sqlite://" + filepath.Join(folder, "reeve.db")
}
