package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/fixtures"
	"reeve/resource"
	"reeve/storage/storagetest"
)

var update = flag.Bool("update", false, "write the golden documents anew")

// TestMain runs the tests or, as a child of a test, the program itself.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	flag.Parse()
	if err := holdSecrets(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	debug.SetGCPercent(400) // the servers of some tests at once are a heap that is worth collecting less often
	status := m.Run()
	if err := os.Remove(logFile); err != nil {
		fmt.Println(err)
	}
	os.Exit(status)
}

// onBoth runs a test on SQLite and on a PostgreSQL server, each with a database of its own in which the tables are made,
// while other tests run: most wait more than they work.
func onBoth(t *testing.T, test func(t *testing.T, uri string)) {
	t.Parallel()
	oneByOne(t, test)
}

// oneByOne is onBoth for a test that measures, looks at the whole process, or has so many passwords hashed that others
// would be turned away: no other runs at the same time.
func oneByOne(t *testing.T, test func(t *testing.T, uri string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, sqliteURI(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, sealed(t, postgresURI(t))) })
}

// postgresURI is a database on PostgreSQL, sqliteURI a file, each with the tables: making them takes longer than most
// tests.
var postgresURI = storagetest.Template(migrated)

func sqliteURI(t *testing.T) string {
	t.Helper()
	content, err := sqliteFile()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "reeve.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return sealed(t, "sqlite://"+path)
}

var sqliteFile = sync.OnceValues(func() (content []byte, err error) {
	folder, err := os.MkdirTemp("", "reeve-template-")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(folder, "reeve.db")
	if err = migrated("sqlite://" + path); err == nil {
		content, err = os.ReadFile(path)
	}
	return content, errors.Join(err, os.RemoveAll(folder))
})

// migrated makes the tables of the program in a database. It does not open modules: which of them the first start loads is
// for each test's configuration to say.
func migrated(uri string) error {
	ctx := context.Background()
	c, err := readConfiguration("", environment(uri), nil)
	if err != nil {
		return err
	}
	a, err := open(ctx, c)
	if err != nil {
		return err
	}
	return errors.Join(a.database.Migrate(ctx), a.database.Close())
}

// The blocks clients and policy of the document's example.
const example = `
clients:
  - client_id: 01J44RKQYM4G3TNVANTMTDYTX6
    client_auth_method: client_secret_basic
    client_secret: phoo8ahneir3ohY2eigh4xuu6Oodaewi
policy:
  data:
    admin_clients:
      - 01J44RKQYM4G3TNVANTMTDYTX6
`

// One listener on a free port with everything.
const everything = `
http:
  listeners:
    - name: web
      resources: [{name: discovery}, {name: oauth}, {name: adminapi}, {name: userapi}, {name: health}, {name: prometheus}]
      binds: [{address: "127.0.0.1:0"}]
`

// testKey is the master key of these servers.
const testKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// server is the program, serving.
type server struct {
	*testing.T
	app    *app // nil if it serves in another process
	uri    string
	path   string   // of its configuration
	bases  []string // where each bind listens
	client *http.Client
	user   string // who requests are sent as, by Basic
}

func newTestServer(t *testing.T, uri string) *server {
	client := &http.Client{Transport: held.watch(&http.Transport{MaxIdleConnsPerHost: 32})}
	t.Cleanup(client.CloseIdleConnections)
	return &server{T: t, uri: uri, client: client, user: fixtures.DemoAdministrator + ":" + fixtures.DemoPassword}
}

// bases are the URLs in the line that says where the program listens.
func bases(announced string) []string {
	return regexp.MustCompile(`https?://[^ ]+`).FindAllString(announced, -1)
}

// written is the path of a configuration.
func written(t *testing.T, yaml string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "reeve.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// environment is that of the program over a database.
func environment(uri string) []string {
	return []string{
		"REEVE_DATABASE__URI=" + uri, "REEVE_SECRETS__MASTER_KEY=" + testKey, "REEVE_LOG__LEVEL=debug",
		"REEVE_DATABASE__COUNT_BUDGET=1m", // machines are busy
	}
}

// start serves a configuration out of a database with the demo data, and stops with the test.
func start(t *testing.T, uri, yaml string) *server {
	t.Helper()
	return node(t, uri, yaml, func(ctx context.Context, a *app) error { return fixtures.Demo(ctx, a.database, a.stores()) })
}

// another serves the same database once more.
func (s *server) another(yaml string) *server {
	s.Helper()
	return node(s.T, s.uri, yaml, func(context.Context, *app) error { return nil })
}

// node serves a configuration out of a database that is prepared first.
func node(t *testing.T, uri, yaml string, prepare func(ctx context.Context, a *app) error) *server {
	t.Helper()
	path := written(t, yaml)
	c, err := readConfiguration(path, environment(uri), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	a, err := openCurrent(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := prepare(ctx, a); err != nil {
		t.Fatal(err)
	}
	held.learn(a.engine.Registry().Descriptions())
	announced, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- a.serve(ctx, c, func(line string) { announced <- line }) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error("serve:", err)
		}
		a.close()
		silent(t)
	})
	s := newTestServer(t, uri)
	s.app, s.path = a, path
	select {
	case line := <-announced:
		s.bases = bases(line)
	case err := <-done:
		done <- err
		t.Fatal("serve ended:", err)
	}
	return s
}

// patience is how long a test waits for what comes in a moment, on a machine that is busy with other tests.
const patience = 2 * time.Minute

// eventually waits until something is so: a look that begins after the given time has to find it.
func eventually(t *testing.T, within time.Duration, what string, is func() bool) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		asked := time.Now()
		if is() {
			return
		}
		if asked.Sub(begun) > within {
			t.Fatalf("%s: not within %s", what, within)
		}
	}
}

// script runs a script of the fixtures, which sees by itself what its requests answer and do. More of its environment is
// given as NAME=value.
func (s *server) script(name string, more ...string) {
	s.Helper()
	script := exec.CommandContext(s.Context(), "bash", "-euo", "pipefail", filepath.Join("..", "..", "fixtures", name))
	script.Env = append(append(os.Environ(), "BASE="+s.bases[0]), more...)
	if output, err := script.CombinedOutput(); err != nil {
		s.Fatalf("%v: %s", err, output)
	}
}

// answer is an HTTP answer with its document.
type answer struct {
	*http.Response
	text     []byte
	document map[string]any
}

// opened is the program over a database, as its commands have it; it serves nobody.
func opened(t *testing.T, uri string) *app {
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
	return a
}

// send sends a request to the first bind. Headers are given as "Name: value"; a body that is no string is sent as
// JSON.
func (s *server) send(method, path string, body any, headers ...string) answer {
	s.Helper()
	a, err := s.try(method, path, body, headers...)
	if err != nil {
		s.Fatal(err)
	}
	return a
}

// try is send, for whoever may not end the test, or expects that the server is gone.
func (s *server) try(method, path string, body any, headers ...string) (a answer, err error) {
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(body)
	default:
		text, err := json.Marshal(body)
		if err != nil {
			return a, err
		}
		reader = bytes.NewReader(text)
	}
	if !strings.Contains(path, "://") {
		path = s.bases[0] + path
	}
	r, err := http.NewRequestWithContext(s.Context(), method, path, reader)
	if err != nil {
		return a, err
	}
	if name, password, ok := strings.Cut(s.user, ":"); ok {
		r.SetBasicAuth(name, password)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/vnd.api+json")
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if r.Header.Set(name, value); value == "" {
			r.Header.Del(name)
		}
	}
	if a.Response, err = s.client.Do(r); err != nil {
		return a, err
	}
	defer a.Body.Close()
	if a.text, err = io.ReadAll(a.Body); err != nil {
		return a, err
	}
	if len(a.text) > 0 && strings.Contains(a.Header.Get("Content-Type"), "json") && a.Header.Get("Content-Type") != "application/x-ndjson" && a.Header.Get("Content-Encoding") == "" {
		if err := json.Unmarshal(a.text, &a.document); err != nil {
			return a, fmt.Errorf("%s %s: %w in %s", method, path, err, a.text)
		}
	}
	return a, nil
}

// get reads a path below the API's base and wants 200.
func (s *server) get(path string) map[string]any {
	s.Helper()
	a := s.send("GET", "/api/admin/v1/"+path, nil)
	if a.StatusCode != http.StatusOK {
		s.Fatalf("GET %s: %d %s", path, a.StatusCode, a.text)
	}
	return a.document
}

// do sends a write to a path below the API's base and wants a status.
func (s *server) do(status int, method, path string, body any) map[string]any {
	s.Helper()
	a := s.send(method, "/api/admin/v1/"+path, body)
	if a.StatusCode != status {
		s.Fatalf("%s %s: %d, not %d: %s", method, path, a.StatusCode, status, a.text)
	}
	return a.document
}

// dig walks into a document: names of members, and indexes of arrays.
func dig(document any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			object, _ := document.(map[string]any)
			document = object[step]
		case int:
			array, _ := document.([]any)
			if step >= len(array) {
				return nil
			}
			document = array[step]
		}
	}
	return document
}

// resourceDocument is the document that creates a resource, or with an id changes it.
func resourceDocument(typ, id string, attributes map[string]any, relationships map[string]any) map[string]any {
	data := map[string]any{"type": typ, "attributes": attributes}
	if id != "" {
		data["id"] = id
	}
	if relationships != nil {
		data["relationships"] = relationships
	}
	return map[string]any{"data": data}
}

func toOne(typ, id string) map[string]any {
	return map[string]any{"data": map[string]any{"type": typ, "id": id}}
}

func idOf(document map[string]any) string { return fmt.Sprint(dig(document, "data", "id")) }

// count asks the database itself, by the way of a hand in psql.
func (s *server) count(query string) (n int) {
	s.Helper()
	db := s.hand()
	defer db.Close()
	if err := db.QueryRowContext(s.Context(), query).Scan(&n); err != nil {
		s.Fatal(err)
	}
	return n
}

// hand opens the database past the program.
func (s *server) hand() *sql.DB {
	s.Helper()
	db, err := byHand(s.uri)
	if err != nil {
		s.Fatal(err)
	}
	return db
}

func byHand(uri string) (*sql.DB, error) {
	if path, ok := strings.CutPrefix(uri, "sqlite://"); ok {
		return sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(20000)")
	}
	return sql.Open("postgres", uri)
}

// asSystem runs an action on a user past HTTP, as the command line does, and returns the status it came to.
func (s *server) asSystem(action, id string, arguments map[string]any) int {
	_, err := s.app.engine.Do(s.Context(), resource.Operation{
		Verb: action, Type: "user", ID: ulid.MustParse(id), Principal: auth.System, Body: resource.Body{Attributes: arguments}})
	if err == nil {
		return http.StatusOK
	}
	return resource.AllErrors(err).Status()
}

// indent lays a JSON text out for reading.
func indent(t *testing.T, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), '\n')
}
