package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/fixtures"
	"reeve/resource"
	"reeve/resource/job"
)

// exportsTo is a configuration with a folder for the files of exports.
func exportsTo(folder string) string { return everything + "exports: {path: " + folder + "}\n" }

// exportJob is the document that queues the export of a list.
func exportJob(list string) any {
	return resourceDocument("job", "", map[string]any{"kind": "export", "argument": list}, nil)
}

// alone is the content of the one file that a folder has, and of mode 0600.
func alone(t *testing.T, folder string) (name, content string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Fatalf("the folder has %v: %v", entries, err)
	}
	info, err := entries[0].Info()
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	text, err := os.ReadFile(filepath.Join(folder, entries[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	return entries[0].Name(), string(text)
}

// TestExportJob compares the files of jobs with exports by request: byte for byte the same, of what their askers may read.
func TestExportJob(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		folder := t.TempDir()
		s := start(t, uri, exportsTo(folder))
		if err := fixtures.Generate(t.Context(), s.app.database, s.app.stores(), 2_500, func(int) {}); err != nil {
			t.Fatal(err)
		}
		quentin := idOf(s.get("users/by-username/quentin"))
		_, desk := s.person("desk", s.newRole("desk", "job:*", "session:list@users/"+quentin))
		for _, export := range []struct {
			by   *server
			list string
		}{
			{s, "users"}, {s, "users?filter[status]=active&sort=-created_at&fields[user]=username"}, {s, "groups?filter[key]=nobody"}, {s, "webhooks"}, {desk, "sessions"},
		} {
			export.by.rest()
			want := export.by.export(export.list)
			path := "jobs/" + idOf(export.by.do(201, "POST", "jobs", exportJob(export.list)))
			done := s.becomes(path, job.Done)
			name, got := alone(t, folder)
			if got != strings.Join(want, "") {
				t.Errorf("%s: %d bytes, and not what %d lines are", export.list, len(got), len(want))
			}
			report := fmt.Sprintf("[file %s rows %d bytes %d sha256 %x]", name, len(want), len(got), sha256.Sum256([]byte(got)))
			if fmt.Sprint(dig(done, "report")) != report || dig(done, "progress_done") != float64(len(want)) {
				t.Errorf("%s: %v, and not %s", export.list, done, report)
			}
			if err := os.Remove(filepath.Join(folder, name)); err != nil {
				t.Fatal(err)
			}
			for _, event := range s.trail("filter[target]=" + strings.TrimPrefix(path, "jobs/")) {
				if strings.Contains(event, export.list) {
					t.Errorf("the trail tells what was asked for: %s", event)
				}
			}
		}

		desk.do(403, "POST", "jobs", exportJob("users"))
		for _, list := range []string{"", "nothing", "../users", "stats", "users?filter[nothing]=1", "users?page[first]=3", "users?include=sessions", "users?sort=nothing", "users/" + quentin + "/sessions", "users?filter[status]=nothing"} {
			a := s.send("POST", "/api/admin/v1/jobs", exportJob(list))
			if a.StatusCode != 422 || dig(a.document, "errors", 0, "source", "pointer") != "/data/attributes/argument" {
				t.Errorf("%s: %s", list, a.text)
			}
		}
		s.do(422, "POST", "jobs", resourceDocument("job", "", map[string]any{"kind": "prune", "argument": "users"}, nil))

		if err := os.Remove(folder); err != nil {
			t.Fatal(err)
		}
		path := "jobs/" + idOf(s.do(201, "POST", "jobs", exportJob("users")))
		failed := s.becomes(path, job.Failed)
		if text := fmt.Sprint(dig(failed, "error")); !strings.Contains(text, "the file cannot be written") || strings.Contains(text, folder) {
			t.Errorf("%v", failed)
		}
		s.another(everything).do(409, "POST", "jobs", exportJob("users"))
	})
}

// TestExportTakenOver kills a node in the midst of an export: nothing has the name of the file until another node has
// written all of it. One that is cancelled meanwhile leaves nothing.
func TestExportTakenOver(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		const n = 20_000
		folder := t.TempDir()
		prepare(t, uri)
		a := opened(t, uri)
		if err := fixtures.Generate(t.Context(), a.database, a.stores(), n, func(int) {}); err != nil {
			t.Fatal(err)
		}
		names := func() (partial []string, whole []string) {
			entries, err := os.ReadDir(folder)
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				if strings.HasSuffix(entry.Name(), ".ndjson") {
					whole = append(whole, entry.Name())
				} else {
					partial = append(partial, entry.Name())
				}
			}
			return partial, whole
		}
		// halfway has a node export, stand still in the midst of it, and something be done then. An export that was faster, or
		// stands still while it keeps the database from others, goes on to its end, and another one begins.
		const list = "users?fields[user]=username,created_at" // which stay as they are
		halfway := func(p *process, then func(id ulid.ULID) error) (path string) {
			for range 20 {
				id := idOf(p.do(201, "POST", "jobs", exportJob(list)))
				path = "jobs/" + id
				eventually(t, patience, "the file is written", func() bool {
					partial, whole := names()
					if len(partial) == 0 {
						return len(whole) > 0
					}
					info, err := os.Stat(filepath.Join(folder, partial[0]))
					return err != nil || info.Size() > 0
				})
				if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
				if partial, whole := names(); len(partial) == 1 && len(whole) == 0 {
					err := then(ulid.MustParse(id))
					if err == nil {
						return path
					}
					if !resource.Is(err, resource.Unavailable) {
						t.Fatal(err)
					}
				}
				if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
					t.Fatal(err)
				}
				p.becomes(path, job.Done)
				name, _ := alone(t, folder)
				if err := os.Remove(filepath.Join(folder, name)); err != nil {
					t.Fatal(err)
				}
			}
			t.Fatal("no export was halfway when it was stopped")
			return ""
		}

		p := launch(t, uri, exportsTo(folder))
		path := halfway(p, func(id ulid.ULID) error {
			_, err := a.engine.Do(t.Context(), resource.Operation{Verb: "cancel", Type: "job", ID: id, Principal: auth.System})
			return err
		})
		if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			partial, whole := names()
			if len(partial)+len(whole) == 0 {
				break
			}
			if time.Since(begun) > patience || len(whole) > 0 {
				t.Fatalf("the cancelled job leaves %v and %v", partial, whole)
			}
		}
		p.becomes(path, job.Cancelled)
		// Who has it done again gets what they may read themselves.
		role := idOf(p.do(201, "POST", "roles", resourceDocument("role", "", map[string]any{"name": "foreman", "permissions": []string{"job:retry"}}, nil)))
		foreman := idOf(p.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": "foreman", "password": "a-foreman-of-jobs-7"}, nil)))
		p.do(204, "POST", "users/"+foreman+"/relationships/roles", map[string]any{"data": []any{map[string]any{"type": "role", "id": role}}})
		as := *p.server
		as.user = "foreman:a-foreman-of-jobs-7"
		if a := as.send("POST", "/api/admin/v1/"+path+"/retry", nil); a.StatusCode != 403 {
			t.Errorf("a retry by who may not list users: %d %s", a.StatusCode, a.text)
		}

		path = halfway(p, func(ulid.ULID) error {
			if err := p.end(syscall.SIGKILL); err == nil {
				t.Fatal("the program ended by itself")
			}
			return nil
		})
		if partial, whole := names(); len(partial) != 1 || len(whole) != 0 {
			t.Fatalf("what was killed leaves %v and %v", partial, whole)
		}
		other := launch(t, uri, exportsTo(folder))
		want := strings.Join(other.export(list), "")
		done := other.becomes(path, job.Done)
		name, got := alone(t, folder)
		if got != want || dig(done, "report", 0) != "file "+name || dig(done, "report", 3) != fmt.Sprintf("sha256 %x", sha256.Sum256([]byte(got))) {
			t.Errorf("the file has %d bytes, and not %d: %v", len(got), len(want), done)
		}
		if lines := strings.Count(got, "\n"); lines < n || float64(lines) != dig(done, "progress_total") {
			t.Errorf("%d lines: %v", lines, done)
		}
		if turns := other.count("SELECT max(turn) FROM jobs WHERE kind = 'export' AND state = 'done'"); turns != 2 {
			t.Errorf("it was begun %d times", turns)
		}
	})
}
