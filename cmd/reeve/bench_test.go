//go:build bench

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/storage/storagetest"
)

var (
	benchBinary   = flag.String("reeve", "../../bin/reeve", "the binary that TestBench measures")
	benchRequests = flag.Int("requests", 4000, "how many requests TestBench sends in each run")
	benchRounds   = flag.Int("rounds", 3, "how many rounds A B B A TestBench makes of its runs")
	benchRows     = flag.String("rows", "", "measure only rows whose name matches this pattern")
)

// TestBench measures the table of DESIGN, section 7, and prints it; it asserts no time. Reeve's binary and the
// floor serve the same database in turn, from processes of their own. Each row is the ratio of the median CPU time
// (user and system) of the serving processes, for PostgreSQL those of the database server too, in interleaved runs
// A B B A of as many requests. The data are made once for each number of users, and kept in a folder.
func TestBench(t *testing.T) {
	binary, err := filepath.Abs(*benchBinary)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, binary: binary, folder: benchFolder(), users: *walkUsers}
	if err := os.MkdirAll(b.folder, 0o755); err != nil { // the server's own user must get through
		t.Fatal(err)
	}
	fmt.Printf("%d users, %d requests a run; CPU of each of two, memory of the second\n", *walkUsers, *benchRequests)
	fmt.Printf("%-72s %7s %7s  %-6s %9s %9s %8s\n", "", "ratio", "at most", "", "us", "us", "MB")
	t.Run("sqlite", func(t *testing.T) {
		b := *b
		b.T = t
		b.uri = "sqlite://" + filepath.Join(b.folder, "reeve.db")
		b.measure(1.10, 1.10)
	})
	t.Run("postgres", func(t *testing.T) {
		b := *b
		b.T = t
		// Durable as in production; nothing runs in the background while others are measured.
		cluster, err := storagetest.KeepCluster(filepath.Join(b.folder, "postgres"),
			"shared_buffers=1GB", "autovacuum=off", "max_wal_size=4GB")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := cluster.Close(); err != nil {
				t.Error(err)
			}
		})
		b.uri = cluster.URL("postgres")
		b.measure(1.10, 1.20)
	})
}

// benchFolder is where the data of so many users are kept.
func benchFolder() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("reeve-bench-%d", *walkUsers))
}

// bench is the measuring of one database.
type bench struct {
	*testing.T
	binary, folder, uri, token string
	cluster                    int // the process of the database server; 0 for none
	users                      int // how many are generated
}

// measure measures everything, given at most how many floors a list may cost and how much the exact count.
func (b *bench) measure(list, count float64) {
	b.token = b.data()
	b.accounts()
	cursors := b.sample(1000)
	ask := func(query string) request {
		return request{method: "GET", make: func(int) (string, string) { return "/users?" + query, "" }}
	}
	const active = "filter[status]=active&page[first]=100"
	after := func(query string) request {
		return request{method: "GET", make: func(i int) (string, string) {
			return "/users?" + query + "&page[after]=" + cursors[i%len(cursors)], ""
		}}
	}
	middle := after(active)
	backward := request{method: "GET", make: func(i int) (string, string) {
		return "/users?filter[status]=active&page[last]=100&page[before]=" + cursors[i%len(cursors)], ""
	}}

	reeve, floor := b.serve(b.uri), b.serveFloor(b.uri)
	b.same(reeve, floor, middle)
	b.compare("list of 100 active, to the floor", list, subject{floor, middle}, subject{reeve, middle})
	accounts := request{method: "GET", make: func(i int) (string, string) {
		return "/accounts?" + active + "&page[after]=" + cursors[i%len(cursors)], ""
	}}
	b.same(reeve, floor, accounts)
	b.compare("the same of a type that a file declares, to the floor", list, subject{floor, accounts}, subject{reeve, accounts})
	floor.stop()
	first := subject{reeve, ask(active)}
	b.compare("middle page, to the first", 1.2, first, subject{reeve, middle})
	b.compare("last page, to the first", 1.2, first, subject{reeve, ask("filter[status]=active&page[last]=100")})
	b.compare("backward page, to the first", 1.2, first, subject{reeve, backward})
	rare := ask("filter[can_request_admin]=true&page[first]=100")
	b.compare("0.01 % (administrators), to the active", 2, first, subject{reeve, rare})
	for _, sort := range []string{"created_at", "last_active_at", "username"} {
		list := "sort=" + sort + "&page[first]=100"
		deep := ask(list + "&page[after]=" + b.deep(reeve, sort))
		b.compare("5,000th page by "+sort+", to the first", 1.3, subject{reeve, ask(list)}, subject{reeve, deep})
	}
	b.compare("exact count, to count=false", count, subject{reeve, after(active + "&count=false")}, subject{reeve, middle})
	b.stats(reeve)
	reeve.stop()

	b.exports()
	b.start()
	b.memory(middle)
	b.writes()
}

// stats compares stats of all users with those of few, which are in a database of their own.
func (b *bench) stats(reeve *child) {
	b.Helper()
	const few, name = 10_000, "stats, to those of 10,000 users"
	if !b.wanted(name) {
		return
	}
	other := *b
	other.users, other.folder = few, filepath.Join(b.folder, "few")
	if err := os.MkdirAll(other.folder, 0o755); err != nil {
		b.Fatal(err)
	}
	other.uri = "sqlite://" + filepath.Join(other.folder, "reeve.db")
	if b.cluster != 0 {
		uri, err := url.Parse(b.uri)
		if err != nil {
			b.Fatal(err)
		}
		uri.Path = "/few"
		other.uri = uri.String()
		there := 0
		b.query("SELECT count(*) FROM pg_database WHERE datname = 'few'", func(rows *sql.Rows) error { return rows.Scan(&there) })
		if there == 0 {
			b.query("CREATE DATABASE few", nil)
		}
	}
	token := other.data()
	small := other.serve(other.uri)
	defer small.stop()
	small.token = token
	stats := request{method: "GET", make: func(int) (string, string) { return "/stats", "" }}
	b.compare(name, 1.5, subject{small, stats}, subject{reeve, stats})
}

// request makes the i-th request of its kind: path below the API's base, and body.
type request struct {
	method string
	make   func(i int) (path, body string)
	lines  int // of a body that is NDJSON, each of which counts as a request; else 0
}

// each is how many requests one of them counts as.
func (r request) each() int { return max(r.lines, 1) }

// subject is what is measured: a process with what it is asked.
type subject struct {
	process *child
	request request
}

// compare measures b against a and prints the row.
func (b *bench) compare(name string, most float64, one, other subject) {
	b.Helper()
	if !b.wanted(name) {
		return
	}
	b.load(one, 500/one.request.each(), 8)
	b.load(other, 500/other.request.each(), 8)
	var times [2][]float64
	for range *benchRounds {
		for _, which := range []int{0, 1, 1, 0} {
			subject := []subject{one, other}[which]
			before := b.cpu(subject.process)
			n := *benchRequests / subject.request.each()
			b.load(subject, n, 8)
			times[which] = append(times[which], (b.cpu(subject.process)-before).Seconds()*1e6/float64(n*subject.request.each()))
		}
	}
	x, y := median(times[0]), median(times[1])
	b.row(name, y/x, most, x, y, memory(other.process.cmd.Process.Pid, "VmRSS"))
}

func (b *bench) wanted(name string) bool {
	return regexp.MustCompile(*benchRows).MatchString(b.database() + ": " + name)
}

func (b *bench) database() string { database, _, _ := strings.Cut(b.uri, ":"); return database }

// row prints a row; figures that are 0 are left out.
func (b *bench) row(name string, ratio, most, x, y, memory float64) {
	verdict := "within"
	if ratio > most {
		verdict = "over"
	}
	figure := func(f float64) string {
		if f == 0 {
			return ""
		}
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	fmt.Printf("%-72s %7.2f %7.2f  %-6s %9s %9s %8s\n",
		b.database()+": "+name, ratio, most, verdict, figure(x), figure(y), figure(memory))
}

// load sends n requests by a number of clients, and wants every answer to be a success.
func (b *bench) load(s subject, n, clients int) {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients, DisableCompression: true}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if text, status, err := b.ask(client, s, i); err != nil || status >= 300 {
					b.Errorf("%d %s %v", status, text, err)
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

func (b *bench) ask(client *http.Client, s subject, i int) ([]byte, int, error) {
	path, body := s.request.make(i)
	r, err := http.NewRequest(s.request.method, s.process.base+"/api/admin/v1"+path, strings.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	r.Header.Set("Authorization", "Bearer "+cmp.Or(s.process.token, b.token))
	r.Header.Set("Content-Type", "application/vnd.api+json")
	if s.request.lines > 0 {
		r.Header.Set("Content-Type", "application/x-ndjson")
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return text, answer.StatusCode, err
}

// same sees that two processes answer the same bytes.
func (b *bench) same(x, y *child, r request) {
	b.Helper()
	for i := range 50 {
		one, status, err := b.ask(http.DefaultClient, subject{x, r}, i)
		if err != nil || status != 200 {
			b.Fatal(status, string(one), err)
		}
		other, _, err := b.ask(http.DefaultClient, subject{y, r}, i)
		if err != nil {
			b.Fatal(err)
		}
		if !bytes.Equal(one, other) {
			at := 0
			for at < min(len(one), len(other)) && one[at] == other[at] {
				at++
			}
			b.Fatalf("the answers of %d and %d bytes differ at %d:\n%.200s\n%.200s", len(one), len(other), at, one[max(at-50, 0):], other[max(at-50, 0):])
		}
	}
}

// child is a server that is measured.
type child struct {
	cmd   *exec.Cmd
	base  string
	took  time.Duration // to the line that says where it listens
	token string        // of its database; empty for the bench's own
}

// stop ends the process gracefully.
func (p *child) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended; os.Interrupt is ignored in the background of a shell
	_ = p.cmd.Wait()
}

func (b *bench) serve(uri string) *child {
	path := filepath.Join(b.TempDir(), "reeve.yaml")
	folder := b.TempDir()
	if err := errors.Join(
		os.WriteFile(path, []byte(everything+"modules: {enabled: [messages, accounts], path: "+folder+"}\n"), 0o600),
		os.WriteFile(filepath.Join(folder, "accounts.yaml"), []byte(accountsFile), 0o600),
	); err != nil {
		b.Fatal(err)
	}
	return b.run(exec.Command(b.binary, "--config", path, "--set", "database.uri="+uri, "serve"))
}

func (b *bench) serveFloor(uri string) *child {
	return b.run(exec.Command(os.Args[0], "-test.run=^TestFloor$", "-test.timeout=0", "-floor="+uri))
}

// run starts a server and waits until it says where it listens.
func (b *bench) run(cmd *exec.Cmd) *child {
	b.Helper()
	begin := time.Now()
	cmd.Env = b.environment()
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	p := &child{cmd: cmd}
	b.Cleanup(p.stop)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if p.base = regexp.MustCompile(`http://[0-9.:]+`).FindString(lines.Text()); p.base != "" {
			p.took = time.Since(begin)
			return p
		}
	}
	b.Fatalf("%v did not begin to listen", cmd.Args)
	return nil
}

// environment gives Reeve a key.
func (b *bench) environment() []string {
	return append(os.Environ(), "REEVE_SECRETS__MASTER_KEY=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
}

// cpu is the CPU time that a process and the database server have used.
func (b *bench) cpu(p *child) time.Duration {
	used := stat(p.cmd.Process.Pid).cpu
	if b.cluster == 0 {
		return used
	}
	server := stat(b.cluster)
	used += server.cpu + server.children
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		b.Fatal(err)
	}
	for _, folder := range folders {
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil {
			b.Fatal(err)
		}
		if child := stat(pid); child.parent == b.cluster {
			used += child.cpu
		}
	}
	return used
}

type processStat struct {
	parent        int
	cpu, children time.Duration // user and system; of those children that have ended
}

// stat reads /proc/PID/stat (proc_pid_stat(5)); the zero value for a process that has ended.
func stat(pid int) processStat {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return processStat{}
	}
	_, rest, _ := strings.Cut(string(text[bytes.LastIndexByte(text, ')'):]), " ")
	fields := strings.Fields(rest) // from the third on
	number := func(field int) time.Duration {
		n, _ := strconv.Atoi(fields[field-3]) // the kernel writes numbers
		return time.Duration(n)
	}
	const tick = time.Second / 100 // USER_HZ
	return processStat{int(number(4)), (number(14) + number(15)) * tick, (number(16) + number(17)) * tick}
}

// memory reads a figure of /proc/PID/status, in MB.
func memory(pid int, name string) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // of a process that has ended there is nothing to tell
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kB, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			return kB / 1024
		}
	}
	return 0
}

// reeve runs a command of Reeve's to its end.
func (b *bench) reeve(input string, args ...string) {
	b.Helper()
	// Millions of rows at once keep a disk so busy that one batch of them may have to wait for long.
	cmd := exec.Command(b.binary, append([]string{"--set", "database.uri=" + b.uri, "--set", "database.timeout=1m"}, args...)...)
	cmd.Env, cmd.Stdin = b.environment(), strings.NewReader(input)
	if said, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %v\n%s", cmd.Args, err, said[max(0, len(said)-1000):])
	}
}

// data makes the users and a token unless they are there, and returns the token.
func (b *bench) data() string {
	b.Helper()
	if b.database() == "postgres" {
		b.query("SELECT pg_backend_pid()", func(rows *sql.Rows) error {
			var pid int
			err := rows.Scan(&pid)
			b.cluster = stat(pid).parent
			return err
		})
	}
	path := filepath.Join(b.folder, b.database()+".token")
	if text, err := os.ReadFile(path); err == nil {
		return string(text)
	} else if !errors.Is(err, os.ErrNotExist) {
		b.Fatal(err)
	}
	b.reeve("", "generate", "--users", strconv.Itoa(b.users))
	b.reeve("a password for the benchmark\n", "user", "create", "bench", "--admin", "--password-stdin")
	if b.cluster != 0 {
		b.query("VACUUM (ANALYZE)", nil)
	}
	var user string
	p := b.serve(b.uri)
	defer p.stop()
	send := func(method, path, body string, status int) map[string]any {
		r, err := http.NewRequest(method, p.base+"/api/admin/v1"+path, strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.SetBasicAuth("bench", "a password for the benchmark")
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		defer answer.Body.Close()
		var document map[string]any
		if err := json.NewDecoder(answer.Body).Decode(&document); err != nil || answer.StatusCode != status {
			b.Fatal(answer.Status, document, err)
		}
		return document
	}
	user = dig(send("GET", "/users/by-username/bench", "", 200), "data", "id").(string)
	made := send("POST", "/tokens", `{"data":{"type":"token","attributes":{"name":"bench","scopes":["urn:mas:admin"]},
		"relationships":{"user":{"data":{"type":"user","id":"`+user+`"}}}}}`, 201)
	token := dig(made, "data", "attributes", "token").(string)
	if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
		b.Fatal(err)
	}
	return token
}

// accountsFile declares what is stored of a user.
const accountsFile = `types:
  account:
    doc: What is stored of a user.
    attributes:
      username: {kind: string, required: true, unique: true}
      created_at: {kind: date-time, created: true}
      locked_at: {kind: date-time, nullable: true}
      can_request_admin: boolean
      second_factor: boolean
      deactivated_at: {kind: date-time, nullable: true}
      display_name: {kind: string, nullable: true}
      email: {kind: string, nullable: true}
      registered_ip: {kind: string, nullable: true}
      last_active_at: {kind: date-time, nullable: true}
      connected: boolean
    filters:
      status: {active: {deactivated_at: null, locked_at: null}}
`

// accounts makes an account of each user, unless they are there.
func (b *bench) accounts() {
	b.Helper()
	b.serve(b.uri).stop() // it makes the table
	n := 0
	b.query("SELECT count(*) FROM accounts", func(rows *sql.Rows) error { return rows.Scan(&n) })
	if n > 0 {
		return
	}
	const columns = "id, username, created_at, locked_at, can_request_admin, second_factor, deactivated_at, display_name, email, registered_ip, last_active_at, connected"
	b.query("INSERT INTO accounts ("+columns+") SELECT "+columns+" FROM users ORDER BY id RETURNING 1", func(*sql.Rows) error { return nil })
	if b.cluster != 0 {
		b.query("VACUUM (ANALYZE) accounts", nil)
	}
}

// query asks the database itself; row may be nil.
func (b *bench) query(query string, row func(*sql.Rows) error) {
	b.Helper()
	driver, source := "postgres", b.uri
	if path, ok := strings.CutPrefix(b.uri, "sqlite://"); ok {
		driver, source = "sqlite", path
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(query)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	for row != nil && rows.Next() {
		if err := row(rows); err != nil {
			b.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
}

// sample picks the ids of n users, evenly but in no order.
func (b *bench) sample(n int) []string {
	var ids []string
	seen, step := 0, max(1, *walkUsers/n)
	b.query("SELECT id FROM users ORDER BY id", func(rows *sql.Rows) error {
		seen++
		if seen%step != 0 {
			return nil
		}
		id, err := scanID(rows)
		ids = append(ids, id.String())
		return err
	})
	for i := range ids { // far from each other
		j := i * 617 % len(ids)
		ids[i], ids[j] = ids[j], ids[i]
	}
	return ids
}

// scanID reads the id that is all of a row.
func scanID(rows *sql.Rows) (id ulid.ULID, err error) {
	var stored sql.RawBytes
	if err := rows.Scan(&stored); err != nil {
		return id, err
	}
	if len(stored) == len(id) {
		return ulid.ULID(stored), nil
	}
	_, err = hex.Decode(id[:], []byte(strings.ReplaceAll(string(stored), "-", "")))
	return id, err
}

// deep is the cursor of the last user of 5,000 pages of 100, or of half of all users if they are fewer.
func (b *bench) deep(reeve *child, sort string) string {
	b.Helper()
	var id ulid.ULID
	b.query(fmt.Sprintf("SELECT id FROM users ORDER BY %s NULLS FIRST, id LIMIT 1 OFFSET %d", sort, min(500_000, *walkUsers/2)), func(rows *sql.Rows) (err error) {
		id, err = scanID(rows)
		return err
	})
	// The cursor profile shows each resource's cursor.
	text, _, err := b.ask(http.DefaultClient, subject{reeve, request{method: "GET", make: func(int) (string, string) {
		return "/users?page[size]=1&sort=" + sort + "&filter[id]=" + id.String(), ""
	}}}, 0)
	if err != nil {
		b.Fatal(err)
	}
	var page struct {
		Data []struct {
			Meta struct{ Page struct{ Cursor string } }
		}
	}
	if err := json.Unmarshal(text, &page); err != nil || len(page.Data) != 1 || page.Data[0].Meta.Page.Cursor == "" {
		b.Fatal(err, string(text))
	}
	return page.Data[0].Meta.Page.Cursor
}

// BenchmarkList is the list that TestBench measures first, without a network, to be profiled. TestBench must have
// made the data.
func BenchmarkList(b *testing.B) {
	in := &bench{folder: benchFolder()}
	token, err := os.ReadFile(filepath.Join(in.folder, "sqlite.token"))
	if err != nil {
		b.Fatal(err)
	}
	yaml := filepath.Join(b.TempDir(), "reeve.yaml")
	if err := os.WriteFile(yaml, []byte(everything), 0o600); err != nil {
		b.Fatal(err)
	}
	c, err := readConfiguration(yaml, append(in.environment(), "REEVE_LOG__LEVEL=error",
		"REEVE_DATABASE__URI=sqlite://"+filepath.Join(in.folder, "reeve.db")), nil)
	if err != nil {
		b.Fatal(err)
	}
	a, err := openCurrent(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	defer a.close()
	authorization, err := a.authorizationServer(c)
	if err != nil {
		b.Fatal(err)
	}
	authenticator := a.authenticator(c, authorization, a.database.Generation)
	handler := httpListeners.In(c)[0].handler(c, a.mounts(c, authorization, authenticator, a.newStreams(c, authorization)), a.rest)
	const path = "/api/admin/v1/users?filter[status]=active&page[first]=100&page[after]=01J3G5W8MRMBJ93ZYEGX2BN6NK"
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Authorization", "Bearer "+string(token))
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
}
