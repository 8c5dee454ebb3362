package main

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// provisioned is a configuration whose provisioning.path is a folder of the test, empty at first.
func provisioned(t *testing.T, more string) (yaml, folder string) {
	folder = t.TempDir()
	return everything + fmt.Sprintf("provisioning: {path: %q%s}\n", folder, more), folder
}

// TestProvisioning runs the script of the fixtures.
func TestProvisioning(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		yaml, folder := provisioned(t, "")
		start(t, uri, yaml).script("provisioning.sh", "FILES="+folder)
	})
}

// file writes a file of a folder.
func file(t *testing.T, folder, name, text string) {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// kind is an attribute of a kind of files.
func (s *server) kind(name, attribute string) any {
	s.Helper()
	return dig(s.get("provisioning/"+name), "data", "attributes", attribute)
}

// TestProvisioningTogether has nodes that start together apply the same files while they are asked to: each resource is made
// once. Then they watch the files: what changes is applied, and what is wrong is told of and changes nothing.
func TestProvisioningTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		yaml, folder := provisioned(t, ", watch: true")
		write := func(name, more string) {
			text := "groups:\n"
			for i := range 20 {
				text += fmt.Sprintf("  - {key: team-%d, name: %s}\n", i, name)
			}
			file(t, folder, "groups/teams.yaml", text+more)
		}
		write("Team", "")
		nodes := []*server{start(t, uri, yaml)}
		if !nodes[0].app.database.Embedded() {
			nodes = append(nodes, nodes[0].another(yaml))
		}
		var reloads sync.WaitGroup
		for _, n := range nodes {
			for range 4 {
				reloads.Go(func() {
					if a, err := n.try("POST", "/api/admin/v1/provisioning/groups/reload", nil); err != nil || a.StatusCode != 200 || len(dig(a.document, "meta", "failed").([]any)) > 0 {
						t.Error(err, string(a.text))
					}
				})
			}
		}
		reloads.Wait()
		s := nodes[0]
		if n := s.count("SELECT count(*) FROM groups WHERE key LIKE 'team-%'"); n != 20 {
			t.Errorf("%d groups", n)
		}
		if n := s.count("SELECT count(*) FROM events WHERE actor_name = 'provisioning' AND target_type = 'group'"); n != 20 {
			t.Errorf("%d events", n)
		}
		write("Squad", "")
		for _, n := range nodes {
			eventually(t, patience, "what has changed is applied, and told of on every node", func() bool {
				group := dig(n.get("groups?filter[key]=team-7"), "data", 0)
				return dig(group, "attributes", "name") == "Squad" && dig(group, "meta", "provisioned", "file") == "groups/teams.yaml"
			})
		}
		write("Crew", "  - key: team-0\n  - {key: [}\n")
		for _, n := range nodes {
			eventually(t, patience, "what is wrong is told of", func() bool {
				return strings.HasPrefix(fmt.Sprint(n.kind("groups", "error")), "groups/teams.yaml:2")
			})
		}
		if n := s.count("SELECT count(*) FROM groups WHERE name = 'Squad'"); n != 20 {
			t.Errorf("%d groups are as they were", n)
		}
		write("Crew", "")
		eventually(t, patience, "what is mended is applied", func() bool {
			return s.kind("groups", "error") == nil && s.count("SELECT count(*) FROM groups WHERE name = 'Crew'") == 20
		})
	})
}

// TestProvisioningKilled kills a node in the middle of a reload: everything is as before, and the next reload does all of it,
// once.
func TestProvisioningKilled(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		prepare(t, uri)
		yaml, folder := provisioned(t, "")
		file(t, folder, "users/people.yaml", "users:\n  - {username: eliot, display_name: Before}\n  - {username: sylvia}\n")
		p := launch(t, uri, yaml)
		resources := func(s *server, n float64) {
			eventually(t, patience, "the files are applied", func() bool { return s.kind("users", "resources") == n })
		}
		resources(p.server, 2)
		other := p
		if !strings.HasPrefix(uri, "sqlite") {
			other = launch(t, uri, yaml)
		}
		const made = 40
		text := "users:\n  - {username: eliot, display_name: After}\n"
		for i := range made {
			text += fmt.Sprintf("  - {username: made-%d, password: poo-tee-weet %d, skip_password_check: true}\n", i, i)
		}
		file(t, folder, "users/people.yaml", text)
		answered := make(chan error, 1)
		go func() {
			_, err := p.try("POST", "/api/admin/v1/provisioning/users/reload", nil)
			answered <- err
		}()
		hand := p.hand()
		defer hand.Close()
		eventually(t, patience, "the reload writes", func() bool { return writes(t, uri, hand) })
		if err := p.end(syscall.SIGKILL); err == nil {
			t.Fatal("the program ended by itself")
		}
		if err := <-answered; err == nil {
			t.Fatal("the reload was over already")
		}
		for query, n := range map[string]int{
			"users WHERE username LIKE 'made-%' OR display_name = 'After'": 0, "users WHERE username = 'sylvia' OR display_name = 'Before'": 2, "provisioned": 2,
			"events WHERE verb = 'delete'": 0, "events WHERE target_type = 'provisioning'": 1,
		} {
			if got := p.count("SELECT count(*) FROM " + query); got != n {
				t.Errorf("after the kill there are %d, not %d %s", got, n, query)
			}
		}
		if other == p {
			other = launch(t, uri, yaml) // which applies them
		} else {
			other.do(200, "POST", "provisioning/users/reload", nil)
		}
		resources(other.server, made+1)
		for query, n := range map[string]int{
			"users WHERE username LIKE 'made-%' OR display_name = 'After'": made + 1, "users WHERE username = 'sylvia'": 0, "provisioned": made + 1,
			"events WHERE actor_name = 'provisioning' AND verb = 'create'": made + 2, "events WHERE verb = 'delete'": 1,
		} {
			if got := p.count("SELECT count(*) FROM " + query); got != n {
				t.Errorf("afterwards there are %d, not %d %s", got, n, query)
			}
		}
		other.sound()
	})
}

// writes reports whether some transaction of the program has been writing for a while.
func writes(t *testing.T, uri string, hand *sql.DB) bool {
	t.Helper()
	if !strings.HasPrefix(uri, "sqlite") {
		var n int
		if err := hand.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL AND xact_start < clock_timestamp() - interval '100 ms'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
	for range 20 {
		if _, err := hand.ExecContext(t.Context(), "PRAGMA busy_timeout = 0; BEGIN IMMEDIATE; ROLLBACK"); err == nil {
			return false
		}
		time.Sleep(5 * time.Millisecond)
	}
	return true
}
