package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reeve/resource"
	"reeve/storage"
	"reeve/storage/storagetest"
)

// configured is the configuration over a database.
func configured(t *testing.T, uri string, more ...string) *configuration {
	t.Helper()
	c, err := readConfiguration("", append(environment(uri), more...), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// backedUp makes a backup of a database, and returns the path of the file.
func backedUp(t *testing.T, uri string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "reeve.backup")
	if err := (backup{File: path}).Run(t.Context(), configured(t, uri)); err != nil {
		t.Fatal(err)
	}
	return path
}

// inBackup are the rows of a backup as JSON, by table: without the positions of events, that of the restore, and with
// texts of JSON in one form, since PostgreSQL orders the members of objects.
func inBackup(t *testing.T, path string) map[string][]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var header struct {
		Tables []struct {
			Name    string
			Rows    int
			Columns []struct{ Name, Kind string }
		}
	}
	lines := json.NewDecoder(bufio.NewReader(zipped))
	if err := lines.Decode(&header); err != nil {
		t.Fatal(err)
	}
	tables := map[string][]string{}
	for _, table := range header.Tables {
		for range table.Rows {
			row := make([]any, len(table.Columns))
			if err := lines.Decode(&row); err != nil {
				t.Fatal(err)
			}
			for i, column := range table.Columns {
				if text, ok := row[i].(string); ok && (column.Kind == "json" || column.Kind == "strings") {
					if err := json.Unmarshal([]byte(text), &row[i]); err != nil {
						t.Fatal(err)
					}
				}
				if table.Name == "events" && column.Name == "position" {
					row[i] = nil
				}
			}
			if text := fmt.Sprint(row...); table.Name != "events" || !slices.Contains(row, any("restore")) {
				tables[table.Name] = append(tables[table.Name], text)
			}
		}
	}
	return tables
}

// TestBackup makes a backup while eight write, and restores it into both kinds of databases: each has all that was
// committed when the backup began to read, and nothing else, with its totals; whoever could sign in can, secrets open, and
// who follows events goes on.
func TestBackup(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+example)
		s.do(201, "POST", "webhooks", resourceDocument("webhook", "", map[string]any{"url": "https://hooks.example.com/reeve", "events": []string{"module.deleted"}}, nil))
		token := s.accessToken()
		writers := idOf(s.get("groups/by-key/writers"))
		var group sync.WaitGroup
		var over atomic.Bool
		var made atomic.Int64
		for i := range 8 {
			group.Go(func() {
				for n := 0; !over.Load(); n++ {
					user, err := s.try("POST", "/api/admin/v1/users", userDocument(fmt.Sprintf("writer%d.%d", i, n)))
					if err != nil || user.StatusCode != 201 {
						t.Error(err, user)
						return
					}
					link := map[string]any{"data": []any{map[string]any{"type": "user", "id": idOf(user.document)}}}
					if a, err := s.try("POST", "/api/admin/v1/groups/"+writers+"/relationships/members", link); err != nil || a.StatusCode != 204 {
						t.Error(err, a)
					}
					made.Add(1)
				}
			})
		}
		eventually(t, patience, "somebody writes", func() bool { return made.Load() > 20 })
		path := backedUp(t, uri)
		during := made.Load()
		eventually(t, patience, "they go on", func() bool { return made.Load() > during })
		over.Store(true)
		group.Wait()
		s.stamped()
		_, read, err := s.app.database.Ends(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Error(info, err)
		}
		if beside, err := os.ReadDir(filepath.Dir(path)); err != nil || len(beside) != 1 {
			t.Error(beside, err)
		}

		want := inBackup(t, path)
		for _, target := range []string{emptyLike(t, "sqlite:"), emptyLike(t, "postgres:")} {
			if err := (restore{File: path}).Run(t.Context(), configured(t, target)); err != nil {
				t.Fatal(err)
			}
			again := backedUp(t, target)
			if diff := cmp.Diff(want, inBackup(t, again)); diff != "" {
				t.Errorf("(-backup +restored)\n%s", diff)
			}
			r := newTestServer(t, target)
			r.sound()
			for what, query := range map[string]string{
				"users without their event": "SELECT count(*) FROM users WHERE username LIKE 'writer%' AND NOT EXISTS (SELECT 1 FROM events WHERE verb = 'create' AND target_id = users.id)",
				"events without their user": "SELECT count(*) FROM events WHERE verb = 'create' AND target_type = 'user' AND NOT EXISTS (SELECT 1 FROM users WHERE id = target_id)",
				"events without a position": "SELECT count(*) FROM events WHERE position IS NULL",
			} {
				if n := r.count(query); n != 0 {
					t.Errorf("%d %s", n, what)
				}
			}
			r = node(t, target, everything+example, func(context.Context, *app) error { return nil })
			if status := r.ask(token); status != 200 {
				t.Errorf("a token from before: %d", status)
			}
			r.get("webhooks")
			r.do(204, "POST", "encryption/rotate-data-keys", nil)
			r.becomes(r.queue("re-encrypt"), "done") // all secrets open
			id := r.users("later")[0]
			r.stamped()
			after, err := r.app.database.After(t.Context(), read)
			if err != nil || len(after) < 2 || after[0].Verb != "restore" || after[len(after)-1].Target.ID.String() != id {
				t.Errorf("after position %d: %+v %v", read, after, err)
			}
		}
	})
}

// TestRestoreRefuses gives what is no whole backup, or not for the database: nothing changes.
func TestRestoreRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		prepare(t, uri)
		path := backedUp(t, uri)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		target := newTestServer(t, emptyLike(t, uri))
		broken := filepath.Join(t.TempDir(), "broken.backup")
		variants := map[string][]byte{
			"empty": {}, "text": []byte("[1]\n"), "longer": append(slices.Clone(whole), whole...),
		}
		for i := 1; i < 8; i++ {
			at := len(whole) * i / 8
			variants[fmt.Sprintf("cut at %d", at)] = whole[:at]
			other := slices.Clone(whole)
			other[at] ^= 4
			variants[fmt.Sprintf("changed at %d", at)] = other
		}
		variants["cut at its end"] = whole[:len(whole)-1]
		for name, text := range variants {
			if err := os.WriteFile(broken, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := (restore{File: broken}).Run(t.Context(), configured(t, target.uri)); !errors.Is(err, storage.ErrNotWhole) {
				t.Errorf("%s: %v", name, err)
			}
			if err := (restore{File: broken, Replace: true}).Run(t.Context(), configured(t, uri)); !errors.Is(err, storage.ErrNotWhole) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := (restore{File: path}).Run(t.Context(), configured(t, uri)); !errors.Is(err, storage.ErrNotEmpty) {
			t.Error("a database that is not empty:", err)
		}
		const another = "REEVE_SECRETS__MASTER_KEY=HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
		if err := (restore{File: path}).Run(t.Context(), configured(t, target.uri, another)); !errors.Is(err, storage.ErrMasterKey) {
			t.Error("another master key:", err)
		}
		foreign := newTestServer(t, emptyLike(t, uri))
		hand := foreign.hand()
		defer hand.Close()
		for _, statement := range []string{"CREATE TABLE users (name TEXT)", "INSERT INTO users VALUES ('foreign')"} {
			if _, err := hand.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		for _, replace := range []bool{false, true} {
			if err := (restore{File: path, Replace: replace}).Run(t.Context(), configured(t, foreign.uri)); !resource.Is(err, resource.Conflict) {
				t.Error("the table of another program:", err)
			}
			if n := foreign.count("SELECT count(*) FROM users WHERE name = 'foreign'"); n != 1 {
				t.Error("the table of another program is gone")
			}
		}
		if n := target.count("SELECT count(*) FROM reeve_schemas"); n != 0 {
			t.Errorf("%d tables are there", n)
		}
		s := newTestServer(t, uri)
		s.sound()
		if err := (restore{File: path, Replace: true}).Run(t.Context(), configured(t, uri)); err != nil {
			t.Fatal(err)
		}
		s.sound()
		if diff := cmp.Diff(inBackup(t, path), inBackup(t, backedUp(t, uri))); diff != "" {
			t.Errorf("(-backup +restored)\n%s", diff)
		}
	})
}

// TestBackupIsWhole has no backup made that would lack something, nor of a database without tables: each is told of.
func TestBackupIsWhole(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		refused := func(uri, why string) {
			t.Helper()
			folder := t.TempDir()
			err := (backup{File: filepath.Join(folder, "reeve.backup")}).Run(t.Context(), configured(t, uri))
			if err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%v, and nothing of %q", err, why)
			}
			if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
				t.Errorf("%v is left: %v", left, err)
			}
		}
		empty := emptyLike(t, uri)
		refused(empty, "reeve migrate up")
		if err := (check{DryRun: true}).Run(t.Context(), configured(t, empty)); err == nil || !strings.Contains(err.Error(), "reeve migrate up") {
			t.Errorf("a check of an empty database: %v", err)
		}
		prepare(t, uri)
		hand := newTestServer(t, uri).hand()
		defer hand.Close()
		if _, err := hand.ExecContext(t.Context(), "ALTER TABLE groups ADD COLUMN colour TEXT"); err != nil {
			t.Fatal(err)
		}
		refused(uri, "a column colour")
	})
}

// emptyLike is an empty database of the same kind.
func emptyLike(t *testing.T, uri string) string {
	t.Helper()
	if strings.HasPrefix(uri, "sqlite:") {
		return sealed(t, "sqlite://"+filepath.Join(t.TempDir(), "reeve.db"))
	}
	return sealed(t, storagetest.Postgres(t))
}

// made reports whether the database has tables of types.
func (s *server) made() bool {
	s.Helper()
	db := s.hand()
	defer db.Close()
	var n int
	err := db.QueryRowContext(s.Context(), "SELECT count(*) FROM reeve_schemas").Scan(&n)
	return err == nil && n > 0 // there is no such table before the first migration
}

// TestRestoreKilled kills the program in the middle of restores: what was there still is, and nothing else.
func TestRestoreKilled(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		if err := (generate{Users: 5000}).Run(t.Context(), configured(t, uri)); err != nil {
			t.Fatal(err)
		}
		path := backedUp(t, uri)
		empty, other := newTestServer(t, emptyLike(t, uri)), newTestServer(t, emptyLike(t, uri))
		prepare(t, other.uri)
		users := other.count("SELECT count(*) FROM users")
		run := func(target string) (done <-chan error, kill func()) {
			cmd := exec.Command(os.Args[0], "restore", path, "--replace")
			cmd.Env = append(append(os.Environ(), asProgram+"=1"), environment(target)...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			return ended, func() { _ = cmd.Process.Kill() }
		}
		for _, target := range []*server{empty, other} {
			killed := 0
			for pause := 100 * time.Millisecond; ; pause *= 2 {
				done, kill := run(target.uri)
				time.Sleep(pause)
				kill()
				if err := <-done; err == nil || target.made() && target.count("SELECT count(*) FROM users") == 5000 {
					break // it was done before
				}
				killed++
				if target == empty && target.made() {
					t.Fatal("there are tables")
				}
				if target == other && target.count("SELECT count(*) FROM users") != users {
					t.Fatal("there are other users")
				}
			}
			if killed == 0 {
				t.Error("no restore was killed")
			}
			target.sound()
			if n := target.count("SELECT count(*) FROM users"); n != 5000 {
				t.Errorf("%d users", n)
			}
		}
	})
}

// TestBackupScript runs the script that does what whoever looks after the data does.
func TestBackupScript(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+example+"\ndatabase: {timeout: 3s}\nregistration: {enabled: true, token_required: false}\n")
		s.script("backup.sh", append(environment(uri), "REEVE="+os.Args[0], asProgram+"=1", "TARGET="+emptyLike(t, uri),
			"CLIENT="+exampleClient+":phoo8ahneir3ohY2eigh4xuu6Oodaewi")...)
	})
}
