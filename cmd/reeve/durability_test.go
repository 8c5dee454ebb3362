package main

import (
	"bufio"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"reeve/fixtures"
	"reeve/resource/job"
	"reeve/storage/storagetest"
)

var (
	kills = flag.Int("kills", 5, "how many times TestKill kills the program on each database")
	gone  = flag.Duration("gone", time.Second, "how long the database is gone in TestDatabaseGone and TestWorkersGoOn")
)

// asProgram is the variable that has the test binary be the program.
const asProgram = "TEST_AS_PROGRAM"

// process is the program as a child.
type process struct {
	*server
	cmd    *exec.Cmd
	exited chan error // what became of it, once
}

// launch starts the program as a child, over a database that has its tables and the demo data. It is killed with the
// test, if it still runs.
func launch(t *testing.T, uri, yaml string) *process {
	t.Helper()
	path := written(t, yaml)
	cmd := exec.Command(os.Args[0], "--config", path, "serve")
	cmd.Env = append(append(os.Environ(), asProgram+"=1"), environment(uri)...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{newTestServer(t, uri), cmd, make(chan error, 1)}
	p.path = path
	t.Cleanup(func() {
		p.end(syscall.SIGKILL)
		silent(t)
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() { p.exited <- cmd.Wait() }()
	if err != nil {
		t.Fatal("the program does not begin to listen:", err)
	}
	p.bases = bases(line)
	return p
}

// end signals the program and waits for its end.
func (p *process) end(signal os.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := <-p.exited
	p.exited <- err // for whoever asks again
	return err
}

// prepare makes the tables of a database and loads the demo data.
func prepare(t *testing.T, uri string) {
	t.Helper()
	c, err := readConfiguration("", environment(uri), nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := openCurrent(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	if err := fixtures.Demo(t.Context(), a.database, a.stores()); err != nil {
		t.Fatal(err)
	}
}

// TestKill kills the program in the midst of writes. After each restart, whatever it had acknowledged is there with
// its event, what it had not is there as a whole or not at all, nothing is done twice that is asked for again with its
// key, and the totals are right.
func TestKill(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		prepare(t, uri)
		kept := &ledger{lives: map[string]life{}}
		p := launch(t, uri, everything)
		for round := range *kills {
			p.get("users") // the password is verified, and remembered
			var writers sync.WaitGroup
			for writer := range 8 {
				writers.Go(func() {
					for n := 0; kept.live(p.server, fmt.Sprintf("kill-%d-%d-%d", round, writer, n), len(steps)-n%2); n++ {
					}
				})
			}
			kept.more(t, 30+rand.IntN(30))
			time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond) // at any point of what goes on
			if err := p.end(syscall.SIGKILL); err == nil {
				t.Fatal("the program ended by itself")
			}
			writers.Wait()
			p.settle()
			p = launch(t, uri, everything)
			kept.compare(p.server)
			kept.repeat(p.server)
			kept.compare(p.server)
			p.sound()
			if t.Failed() {
				t.Fatalf("after kill %d", round+1)
			}
		}
		t.Logf("%d writes were acknowledged, and are there", kept.acked)
	})
}

// life is what became of a user: how many of the steps of a life were asked for, and acknowledged.
type life struct{ asked, done int }

// steps are the events that each step of a life leaves behind. The first step creates a user, the fifth revokes two
// tokens at once, whose sessions finish with them, the last deletes the user.
var steps = [...]int{1, 1, 1, 1, 4, 1, 1}

// step asks for a step of a user's life. The user is known by name, so that it needs no earlier answer.
func (s *server) step(i int, name string) (answer, error) {
	id := ""
	if i > 0 {
		found, err := s.try("GET", "/api/admin/v1/users/by-username/"+name, nil)
		if err != nil || found.StatusCode != http.StatusOK {
			return found, err
		}
		id = idOf(found.document)
	}
	method, path, body := "POST", "users", any(nil)
	switch i {
	case 0:
		body = userDocument(name)
	case 1:
		method, path, body = "PATCH", "users/"+id, resourceDocument("user", id, map[string]any{"display_name": "x"}, nil)
	case 2, 3:
		path, body = "tokens", resourceDocument("token", "", map[string]any{"name": name, "scopes": []string{"urn:reeve:user:read"}},
			map[string]any{"user": toOne("user", id)})
	case 4:
		path = "tokens/revoke?filter[user]=" + id
	case 5:
		path = "users/" + id + "/lock"
	case 6:
		method, path = "DELETE", "users/"+id
	}
	request := fmt.Sprintf("%s-%d", name, i+1)
	return s.try(method, "/api/admin/v1/"+path, body, "X-Request-Id: "+request, "Idempotency-Key: once-"+request)
}

// ledger keeps what was asked for, and what was acknowledged.
type ledger struct {
	sync.Mutex
	lives map[string]life
	acked int // steps
}

// more waits until so many more steps are acknowledged.
func (l *ledger) more(t *testing.T, more int) {
	t.Helper()
	acked := func() int {
		l.Lock()
		defer l.Unlock()
		return l.acked
	}
	want := acked() + more
	for begun := time.Now(); acked() < want; time.Sleep(time.Millisecond) {
		if time.Since(begun) > patience {
			t.Fatalf("%d steps are acknowledged, not %d", acked(), want)
		}
	}
}

// live leads a user through the first steps of a life. It reports false if the server fails to acknowledge one.
func (l *ledger) live(s *server, name string, most int) bool {
	for i := range most {
		l.Lock()
		l.lives[name] = life{asked: i + 1, done: i}
		l.Unlock()
		a, err := s.step(i, name)
		if err != nil {
			return false
		}
		if a.StatusCode/100 != 2 {
			if a.StatusCode != http.StatusServiceUnavailable {
				s.Errorf("step %d of %s: %d %s", i+1, name, a.StatusCode, a.text)
			}
			return false
		}
		l.Lock()
		l.lives[name] = life{asked: i + 1, done: i + 1}
		l.acked++
		l.Unlock()
	}
	return true
}

// compare finds every life in the database as it was acknowledged or, of the last step, asked for; and of each step
// done its events, of no other one any.
func (l *ledger) compare(s *server) {
	s.Helper()
	states := map[string]int{} // how many steps whoever is there has done
	events := map[string]int{}
	db := s.hand()
	defer db.Close()
	read(s, db, `
		SELECT u.username, CASE
			WHEN count(t.revoked_at) NOT IN (0, count(t.id)) THEN -1
			WHEN u.locked_at IS NOT NULL THEN 6 WHEN count(t.revoked_at) > 0 THEN 5
			WHEN u.display_name IS NOT NULL THEN 2 + count(t.id) ELSE 1 END
		FROM users AS u LEFT JOIN tokens AS t ON t.user_id = u.id GROUP BY u.id, u.username, u.locked_at, u.display_name`, states)
	read(s, db, `SELECT request, count(*) FROM events WHERE request IS NOT NULL GROUP BY request`, events)
	for name, life := range l.lives {
		state, there := states[name]
		if !there && life.asked == len(steps) {
			state = len(steps) // the last step removes the user
		}
		if state != life.done && state != life.asked {
			s.Errorf("%s: %d steps are done, %d were acknowledged, and %d asked for", name, state, life.done, life.asked)
		}
		for i, want := range steps {
			if i >= state {
				want = 0
			}
			if got := events[fmt.Sprintf("%s-%d", name, i+1)]; got != want {
				s.Errorf("%s: %d events of step %d, of which %d are done", name, got, i+1, state)
			}
		}
	}
}

// repeat asks again for each POST that was not acknowledged, with its key. Whether or not it had been done before, it
// is done then, and once.
func (l *ledger) repeat(s *server) {
	s.Helper()
	for name, was := range l.lives {
		step := was.asked - 1
		if was.done == was.asked || step == 1 || step == 6 { // a PATCH, a DELETE
			continue
		}
		if a, err := s.step(step, name); err != nil || a.StatusCode/100 != 2 {
			s.Errorf("step %d of %s, again: %d %s %v", was.asked, name, statusOf(a), a.text, err)
		}
		l.lives[name] = life{asked: was.asked, done: was.asked}
	}
}

// read reads rows of a name and a number.
func read(s *server, db *sql.DB, query string, into map[string]int) {
	s.Helper()
	rows, err := db.QueryContext(s.Context(), query)
	if err != nil {
		s.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var n int
		if err := rows.Scan(&name, &n); err != nil {
			s.Fatal(err)
		}
		into[name] = n
	}
	if err := rows.Err(); err != nil {
		s.Fatal(err)
	}
}

// settle waits until PostgreSQL has ended what a killed program had begun.
func (s *server) settle() {
	s.Helper()
	if strings.HasPrefix(s.uri, "sqlite:") {
		return
	}
	eventually(s.T, patience, "the connections of a killed program end", func() bool {
		return s.count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'reeve'") == 0
	})
}

// sound has reeve check find nothing wrong with the database.
func (s *server) sound() {
	s.Helper()
	c, err := readConfiguration("", environment(s.uri), nil)
	if err != nil {
		s.Fatal(err)
	}
	if err := (check{DryRun: true}).Run(s.Context(), c); err != nil {
		s.Error(err)
	}
}

// load has clients lead lives, and read lists, until it is stopped. No answer is anything but fine or, while it is
// tolerant, 503 with Retry-After.
type load struct {
	*server
	ledger
	tolerant atomic.Bool
	fine     atomic.Int64
	refused  atomic.Int64
	ended    chan struct{}
	end      sync.Once
	clients  sync.WaitGroup
}

func newLoad(s *server) *load {
	l := &load{server: s, ledger: ledger{lives: map[string]life{}}, ended: make(chan struct{})}
	s.client.Transport = counting{s.client.Transport, l}
	s.Cleanup(l.stop)
	for client := range 8 {
		l.clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-l.ended:
					return
				default:
				}
				l.live(s, fmt.Sprintf("load-%d-%d", client, n), len(steps)-n%2)
				if _, err := s.try("GET", "/api/admin/v1/users?filter[status]=active&page[first]=20", nil); err != nil {
					s.Error(err)
				}
			}
		})
	}
	return l
}

// stop ends the load.
func (l *load) stop() {
	l.end.Do(func() { close(l.ended) })
	l.clients.Wait()
}

// counting looks at every answer.
type counting struct {
	http.RoundTripper
	load *load
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	tolerant := c.load.tolerant.Load()
	response, err := c.RoundTripper.RoundTrip(r)
	switch {
	case err != nil:
		c.load.Errorf("%s %s: %v", r.Method, r.URL, err)
	case response.StatusCode == http.StatusServiceUnavailable:
		c.load.refused.Add(1)
		if !tolerant && !c.load.tolerant.Load() || response.Header.Get("Retry-After") == "" {
			c.load.Errorf("%s %s: %d, Retry-After %q", r.Method, r.URL, response.StatusCode, response.Header.Get("Retry-After"))
		}
	case response.StatusCode/100 == 2:
		c.load.fine.Add(1)
	default:
		c.load.Errorf("%s %s: %d", r.Method, r.URL, response.StatusCode)
	}
	return response, err
}

// await waits until a counter has risen by so many.
func (l *load) await(counter *atomic.Int64, more int64) {
	l.Helper()
	want := counter.Load() + more
	for begun := time.Now(); counter.Load() < want; time.Sleep(time.Millisecond) {
		if time.Since(begun) > patience || l.Failed() {
			l.Fatalf("%d answers were fine and %d 503", l.fine.Load(), l.refused.Load())
		}
	}
}

// recovered waits until nothing is refused any more, and sees that all is well.
func (l *load) recovered() {
	l.Helper()
	for begun := time.Now(); ; {
		refused := l.refused.Load()
		l.await(&l.fine, 200)
		if l.refused.Load() == refused {
			break
		}
		if time.Since(begun) > patience {
			l.Fatal("requests are still refused")
		}
	}
	l.tolerant.Store(false)
	l.await(&l.fine, 200)
	l.stop()
	l.compare(l.server)
	l.sound()
	l.Logf("%d answers were fine, %d were 503", l.fine.Load(), l.refused.Load())
}

// TestDatabaseGone takes PostgreSQL away under load and brings it back: meanwhile every answer is 503, afterwards all
// is well.
func TestDatabaseGone(t *testing.T) {
	t.Parallel()
	cluster := storagetest.Own(t)
	s := start(t, cluster.Database(t), everything+example)
	l := newLoad(s)
	l.await(&l.fine, 100)
	l.tolerant.Store(true)
	if err := cluster.Stop(storagetest.Immediate); err != nil {
		t.Log("stopping at once:", err) // it says that it was killed
	}
	l.await(&l.refused, 20)
	fine := l.fine.Load()
	for _, ask := range []struct{ method, path string }{{"POST", "/oauth2/token"}, {"GET", "/oauth2/keys.json"}, {"GET", "/health/ready"}} {
		a := s.send(ask.method, ask.path, "grant_type=client_credentials", "Content-Type: application/x-www-form-urlencoded",
			"Authorization: Basic MDFKNDRSS1FZTTRHM1ROVkFOVE1URFlUWDY6cGhvbzhhaG5laXIzb2hZMmVpZ2g0eHV1Nk9vZGFld2k=")
		if a.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %s", ask.path, a.StatusCode, a.text)
		}
	}
	time.Sleep(*gone)
	if l.fine.Load() != fine {
		t.Error("without a database, something was answered")
	}
	if err := cluster.Start(); err != nil {
		t.Fatal(err)
	}
	l.recovered()
}

// TestWorkersGoOn takes PostgreSQL away while deliveries, a job, an alert and messages are under way. When it is back they go on by
// themselves, and nothing is lost, nor done twice that must be done once.
func TestWorkersGoOn(t *testing.T) {
	t.Parallel()
	cluster := storagetest.Own(t)
	const tokens, joined, sent = 5_000, 30, 20
	s, r := start(t, cluster.Database(t), everything+reaching+"alerts: {interval: 1s}\n"), receive(t)
	_, header := s.entered("listener")
	hook := s.hook(r, "user.created")
	alert := s.waitingAlert("2s")
	s.becomes(s.queue("prune"), job.Done) // what is there already
	s.set(200, "jobs.enabled", false)     // lest one is queued by itself
	overdue(t, s.uri, tokens)
	for i := range joined {
		if i == joined/2 {
			r.status.Store(500) // the others wait for the first of them
		}
		s.joins(fmt.Sprint("joined-", i))
	}
	eventually(t, patience, "deliveries fail", func() bool { return s.webhook(hook)["failing"] == true })
	for i := range sent {
		s.write(fmt.Sprint("message ", i), "listener")
	}
	pruning := s.queue("prune")
	s.set(200, "jobs.enabled", true)
	eventually(t, patience, "the job is under way", func() bool { return dig(s.get(pruning), "data", "attributes", "progress_done") != 0.0 })
	if err := cluster.Stop(storagetest.Immediate); err != nil {
		t.Log("stopping at once:", err) // it says that it was killed
	}
	r.status.Store(204)
	eventually(t, patience, "nothing is answered", func() bool {
		a, err := s.try("GET", "/api/admin/v1/"+pruning, nil)
		return err == nil && a.StatusCode == http.StatusServiceUnavailable
	})
	time.Sleep(*gone)
	if err := cluster.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "all is answered", func() bool {
		a, err := s.try("GET", "/api/admin/v1/"+pruning, nil)
		return err == nil && a.StatusCode == http.StatusOK
	})
	if state := dig(s.get(pruning), "data", "attributes", "state"); state != job.Running {
		t.Errorf("the job was %v when the database was back", state)
	}

	// The job has finished each session once.
	if done := dig(s.becomes(pruning, job.Done), "progress_done"); done != float64(tokens) {
		t.Errorf("%v are counted", done)
	}
	told := s.count("SELECT count(*) FROM events WHERE verb = 'finish' AND target_type = 'session'")
	if of := s.count("SELECT count(DISTINCT target_id) FROM events WHERE verb = 'finish' AND target_type = 'session'"); told != tokens || of != tokens {
		t.Errorf("%d events of %d sessions", told, of)
	}

	// The alert has fired once.
	s.alerted(alert, "firing")
	s.again(alert, 2)
	if got := fmt.Sprint(s.verbs(alert)); got != "[create fire]" {
		t.Errorf("of the alert the trail has %s", got)
	}

	// Each event arrives, in order, and what happens then too.
	s.joins("joined-at-last")
	var names []string
	eventually(t, patience, "the last delivery arrives", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		names = names[:0]
		for i, a := range r.arrived {
			if i == 0 || a.id != r.arrived[i-1].id { // it may come again
				names = append(names, fmt.Sprint(dig(a.body, "data", "attributes", "changes", "username", "to")))
			}
		}
		return len(names) > 0 && names[len(names)-1] == "joined-at-last"
	})
	for i := range joined {
		if i >= len(names) || names[i] != fmt.Sprint("joined-", i) {
			t.Fatalf("the endpoint was told of %v", names)
		}
	}
	if len(names) != joined+1 {
		t.Errorf("the endpoint was told of %v", names)
	}

	// The messages have waited.
	s.write("message 20", "listener")
	texts := s.listen("?events=message", header).texts(sent + 1)
	for i, text := range texts {
		if text != fmt.Sprint("message message ", i) {
			t.Errorf("the listener hears %v", texts)
			break
		}
	}
	s.sound()
}

// TestConnectionsCut ends connections to PostgreSQL in the midst of transactions. What was not acknowledged may have
// been committed nevertheless: asked for again with its key, it is there once.
func TestConnectionsCut(t *testing.T) {
	t.Parallel()
	s := start(t, storagetest.Postgres(t), everything)
	l := newLoad(s)
	l.await(&l.fine, 100)
	l.tolerant.Store(true)
	for range 50 {
		s.count("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'reeve'")
		l.await(&l.fine, 5)
	}
	l.recovered()
	l.repeat(s)
	l.compare(s)
}

// TestDatabaseHangs has PostgreSQL fall silent, with its connections open: everybody is told so when the timeout is
// over, and when it speaks again all is well.
func TestDatabaseHangs(t *testing.T) {
	t.Parallel() // it waits more than it works
	uri := storagetest.Postgres(t)
	relay := newRelay(t, uri)
	s := start(t, relay.uri, everything+"database: {timeout: 2s}")
	s.uri = uri
	l := newLoad(s)
	l.await(&l.fine, 100)
	l.tolerant.Store(true)
	relay.hang()
	l.await(&l.refused, 16) // of each client twice: on connections that were open, and on new ones
	relay.resume()
	l.recovered()
}

// relay stands between the program and PostgreSQL, and can fall silent.
type relay struct {
	uri     string       // of the database, through the relay
	silence sync.RWMutex // held while it is silent
}

// newRelay relays to the socket that a URL names.
func newRelay(t *testing.T, uri string) *relay {
	t.Helper()
	parsed, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	query := parsed.Query()
	socket := query.Get("host") + "/.s.PGSQL.5432"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	query.Del("host")
	parsed.Host, parsed.RawQuery = listener.Addr().String(), query.Encode()
	r := &relay{uri: parsed.String()}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", socket)
			if err != nil {
				t.Error(err)
				return
			}
			go r.pass(client, server)
			go r.pass(server, client)
		}
	}()
	return r
}

// pass passes on what comes from one side to the other until either is closed.
func (r *relay) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil && !errors.Is(err, io.EOF) || n == 0 {
			return
		}
		r.silence.RLock()
		_, err = to.Write(buffer[:n])
		r.silence.RUnlock()
		if err != nil {
			return
		}
	}
}

func (r *relay) hang()   { r.silence.Lock() }
func (r *relay) resume() { r.silence.Unlock() }

// TestDatabaseLocked holds SQLite's write lock elsewhere: writes are told that it is unavailable, reads go on.
func TestDatabaseLocked(t *testing.T) {
	t.Parallel() // it waits more than it works
	s := start(t, sqliteURI(t), everything)
	db := s.hand()
	defer db.Close()
	other, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(t.Context(), "PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	group := resourceDocument("group", "", map[string]any{"name": "x"}, nil)
	if a := s.send("POST", "/api/admin/v1/groups", group); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("a write: %d %s", a.StatusCode, a.text)
	}
	s.get("groups")
	if _, err := other.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	s.do(201, "POST", "groups", group)
	if n := s.count("SELECT count(*) FROM groups WHERE name = 'x'"); n != 1 {
		t.Errorf("%d groups are there of one that was acknowledged", n)
	}
}

// TestStop tells the program to stop while a request is in flight: new connections are refused, the request is
// answered, and what it wrote is there with its event.
func TestStop(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		prepare(t, uri)
		p := launch(t, uri, everything)
		p.get("users") // leaves a connection open without a request
		begin, rest := `{"data":{"type":"group",`, `"attributes":{"name":"slow"}}}`
		address := strings.TrimPrefix(p.bases[0], "http://")
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r, err := http.NewRequest("POST", p.bases[0]+"/api/admin/v1/groups", nil)
		if err != nil {
			t.Fatal(err)
		}
		name, password, _ := strings.Cut(p.user, ":")
		r.SetBasicAuth(name, password)
		fmt.Fprintf(conn, "POST /api/admin/v1/groups HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Type: application/json\r\n"+
			"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n", address, r.Header.Get("Authorization"), len(begin+rest))
		answers := bufio.NewReader(conn)
		if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100") { // the body is being read
			t.Fatal(line, err)
		}
		fmt.Fprint(conn, begin)
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		for begun := time.Now(); ; time.Sleep(time.Millisecond) {
			another, err := net.Dial("tcp", address)
			if err != nil {
				break
			}
			another.Close()
			if time.Since(begun) > patience {
				t.Fatal("connections are still taken")
			}
		}
		fmt.Fprint(conn, rest)
		if _, err := answers.ReadString('\n'); err != nil { // the empty line after 100
			t.Fatal(err)
		}
		response, err := http.ReadResponse(answers, r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusCreated {
			t.Errorf("the request in flight: %d", response.StatusCode)
		}
		if err := <-p.exited; err != nil {
			t.Error("the program:", err)
		}
		p.exited <- nil
		for _, query := range []string{
			"SELECT count(*) FROM groups WHERE name = 'slow'",
			"SELECT count(*) FROM events WHERE target_type = 'group' AND position IS NOT NULL",
		} {
			if n := p.count(query); n != 1 {
				t.Errorf("%s: %d", query, n)
			}
		}
	})
}
