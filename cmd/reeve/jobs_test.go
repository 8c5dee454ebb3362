package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/fixtures"
	"reeve/resource"
	"reeve/resource/authenticator"
	"reeve/resource/job"
	"reeve/resource/token"
)

// queue queues a job, and returns its path.
func (s *server) queue(kind string) string {
	s.Helper()
	return "jobs/" + idOf(s.do(201, "POST", "jobs", resourceDocument("job", "", map[string]any{"kind": kind}, nil)))
}

// becomes waits until a job is in a state, while it goes on, and returns its attributes.
func (s *server) becomes(path, state string) any {
	s.Helper()
	var before string
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		attributes := dig(s.get(path), "data", "attributes")
		is := dig(attributes, "state")
		if now := fmt.Sprint(attributes); now != before {
			before, begun = now, time.Now()
		}
		if is == state {
			return attributes
		}
		if is == job.Failed || is == job.Cancelled || time.Since(begun) > patience {
			s.Fatalf("the job does not become %s: %v", state, attributes)
		}
	}
}

// TestJobs breaks a total by hand and has a job repair it; and sees what becomes of jobs that are asked for twice, while
// they are disabled, that are cancelled, and that fail.
func TestJobs(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		db := s.hand()
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), "UPDATE users_count SET n0 = n0 + 1"); err != nil {
			t.Fatal(err)
		}
		path := s.queue("recount")
		done := s.becomes(path, job.Done)
		if total := dig(done, "progress_total"); total == 0.0 || total != dig(done, "progress_done") || !strings.Contains(fmt.Sprint(dig(done, "report")), "users: cell 0 of the counter") {
			t.Errorf("%v", done)
		}
		s.sound()
		if verbs := fmt.Sprint(s.verbs(path)); verbs != "[create finish]" {
			t.Errorf("the trail has %s", verbs)
		}
		for _, again := range []string{"cancel", "retry"} {
			s.do(409, "POST", path+"/"+again, nil)
		}
		if a := s.send("POST", "/api/admin/v1/jobs", resourceDocument("job", "", map[string]any{"kind": "nothing"}, nil)); a.StatusCode != 422 || dig(a.document, "errors", 0, "source", "pointer") != "/data/attributes/kind" {
			t.Errorf("a kind that is not there: %s", a.text)
		}

		set := func(enabled bool) {
			id := idOf(s.get("settings/by-name/jobs.enabled"))
			s.do(200, "PATCH", "settings/"+id, resourceDocument("setting", id, map[string]any{"value": enabled}, nil))
		}
		set(false)
		path = s.queue("recount")
		if a := s.send("POST", "/api/admin/v1/jobs", resourceDocument("job", "", map[string]any{"kind": "recount"}, nil)); a.StatusCode != 409 {
			t.Errorf("a second job: %d", a.StatusCode)
		}
		time.Sleep(time.Second) // two looks for something to do
		s.becomes(path, job.Queued)
		s.do(200, "POST", path+"/cancel", nil)
		s.do(409, "POST", path+"/cancel", nil)
		other := s.queue("recount")
		s.do(409, "POST", path+"/retry", nil)
		s.do(200, "POST", other+"/cancel", nil)
		s.do(200, "POST", path+"/retry", nil)
		s.becomes(path, job.Queued)
		set(true)
		s.becomes(path, job.Done)
	})
}

// verbs are what the trail says has been done to a resource.
func (s *server) verbs(path string) (verbs []any) {
	s.Helper()
	_, id, _ := strings.Cut(path, "/")
	for _, event := range dig(s.get("events?sort=at&filter[target]="+id), "data").([]any) {
		verbs = append(verbs, dig(event, "attributes", "verb"))
	}
	return verbs
}

// TestJobsScript runs the script that does with jobs what Synapse's background updates do.
func TestJobsScript(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) { start(t, uri, everything).script("jobs.sh") })
}

// overdue makes personal tokens that expired long ago, though their sessions go on.
func overdue(t *testing.T, uri string, n int) {
	t.Helper()
	a := opened(t, uri)
	user, err := resource.Only(t.Context(), a.users.List, "username", "quentin")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Hour)
	err = a.database.Transact(t.Context(), func(ctx context.Context) error {
		tokens := make([]*token.Token, n)
		for i := range tokens {
			tokens[i] = &token.Token{ID: ulid.Make(), Name: "overdue", User: user.ID, Scopes: []string{"urn:reeve:me:read"}, CreatedAt: at, ExpiresAt: at, Hash: fmt.Sprint(i)}
		}
		if err := a.openSessions(ctx, tokens...); err != nil {
			return err
		}
		return a.tokens.Create(ctx, tokens...)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// takenOver queues a job, kills the node that runs it, so many times, and has the next one stop. On PostgreSQL another node
// goes on with it within seconds, on SQLite the program does once it is started again. The last one, which ends the job, is
// returned, with what the job says then.
func (p *process) takenOver(uri, kind string, kills int) (last *process, ended any) {
	p.Helper()
	path := p.queue(kind)
	done := func(s *server) float64 { return dig(s.get(path), "data", "attributes", "progress_done").(float64) }
	further := func(s *server, than float64) float64 {
		s.Helper()
		for begun := time.Now(); time.Since(begun) < patience; time.Sleep(5 * time.Millisecond) {
			if now := done(s); now > than {
				return now
			}
		}
		s.Fatal("nobody goes on with the job:", s.get(path))
		return 0
	}
	further(p.server, 0)
	for kill := range kills + 1 {
		next := p
		if strings.HasPrefix(uri, "postgres") {
			next = launch(p.T, uri, everything) // while the first goes on
		}
		further(p.server, done(p.server))
		signal := map[bool]os.Signal{true: syscall.SIGKILL, false: syscall.SIGTERM}[kill < kills]
		if err := p.end(signal); (err == nil) != (signal == syscall.SIGTERM) {
			p.Fatalf("%v: %v", signal, err)
		}
		if next == p {
			next = launch(p.T, uri, everything)
		}
		begun := time.Now()
		on := further(next.server, done(next.server))
		p.Logf("after %v it went on in %s, at %v", signal, time.Since(begun).Round(time.Millisecond), on)
		p = next
	}
	if state := dig(p.get(path), "data", "attributes", "state"); state != job.Running {
		p.Fatalf("the job was %s before the last kill", state)
	}
	ended = p.becomes(path, job.Done)
	if turns := p.count(fmt.Sprintf("SELECT max(turn) FROM jobs WHERE kind = '%s'", kind)); turns != kills+2 {
		p.Errorf("it was begun %d times", turns)
	}
	return p, ended
}

// TestJobTakenOver kills nodes that prune. Each step is done exactly once: of each session that the job finishes the trail
// tells once, and the job has counted each.
func TestJobTakenOver(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		const n = 12_000
		prepare(t, uri)
		p := launch(t, uri, everything)
		p.becomes(p.queue("prune"), job.Done) // what is there already
		overdue(t, uri, n)
		p, ended := p.takenOver(uri, "prune", 2)
		if done := dig(ended, "progress_done"); done != float64(n) {
			t.Errorf("%v are counted", done)
		}
		told := p.count("SELECT count(*) FROM events WHERE verb = 'finish' AND target_type = 'session'")
		of := p.count("SELECT count(DISTINCT target_id) FROM events WHERE verb = 'finish' AND target_type = 'session'")
		if left := p.count("SELECT count(*) FROM sessions WHERE kind = 'personal' AND finished_at IS NULL"); told != n || of != n || left != 0 {
			t.Errorf("%d events of %d sessions, and %d go on", told, of, left)
		}
	})
}

// TestRotationTakenOver rotates the data keys, and kills nodes that seal all secrets under the new one. In the end each is
// as it was, and none is sealed under the key before.
func TestRotationTakenOver(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		const n = 30_000
		prepare(t, uri)
		a := opened(t, uri)
		user, err := resource.Only(t.Context(), a.users.List, "username", "quentin")
		if err != nil {
			t.Fatal(err)
		}
		made := make([]*authenticator.Authenticator, n)
		for i := range made {
			made[i] = &authenticator.Authenticator{ID: ulid.Make(), Kind: authenticator.TOTP, User: user.ID, CreatedAt: time.Now(), Secret: fmt.Sprint("secret ", i)}
		}
		for some := range slices.Chunk(made, n/60) { // each within database.timeout
			if err := a.second.Create(t.Context(), some...); err != nil {
				t.Fatal(err)
			}
		}
		before, err := a.database.DataKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		p := launch(t, uri, everything)
		p.do(204, "POST", "encryption/rotate-data-keys", nil)
		p, _ = p.takenOver(uri, "re-encrypt", 1)
		after, err := a.database.DataKeys(t.Context())
		if err != nil || len(after.All) != 1 || after.Primary == before.Primary {
			t.Errorf("the keys are %+v, after %+v: %v", after, before, err)
		}
		for i := 0; i < n; i += 997 {
			if found, err := a.second.Get(t.Context(), made[i].ID); err != nil || found.Secret != made[i].Secret {
				t.Errorf("secret %d: %+v, %v", i, found, err)
			}
		}
		var sealed [][]byte
		db := p.hand()
		defer db.Close()
		if err := sqlx.NewDb(db, "").Select(&sealed, "SELECT secret FROM authenticators"); err != nil {
			t.Fatal(err)
		}
		prefix := binary.BigEndian.AppendUint32([]byte{1}, uint32(after.Primary)) // Tink's
		for _, value := range sealed {
			if !bytes.HasPrefix(value, prefix) {
				t.Fatalf("a secret is sealed under the key %x, not %x", value[1:5], prefix[1:])
			}
		}
		if len(sealed) != n {
			t.Errorf("there are %d", len(sealed))
		}
	})
}

// TestSearchRebuilt spoils by hand the folded texts by which is searched, and kills a node that recounts, while rows change:
// in the end all is found again.
func TestSearchRebuilt(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		prepare(t, uri)
		a := opened(t, uri)
		if err := fixtures.Generate(t.Context(), a.database, a.stores(), 5000, func(int) {}); err != nil {
			t.Fatal(err)
		}
		user, err := resource.Only(t.Context(), a.users.List, "username", "quentin")
		if err != nil {
			t.Fatal(err)
		}
		p := launch(t, uri, everything)
		db := p.hand()
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), "UPDATE users SET username_folded = 'nobody', display_name_folded = 'nobody', email_folded = 'nobody'"); err != nil {
			t.Fatal(err)
		}
		searched := func(s *server, part string) any { return dig(s.get("users?filter[search]="+part), "meta", "count") }
		if n := searched(p.server, "QUENT"); n != 0.0 {
			t.Fatalf("%v are found", n)
		}
		over := make(chan struct{})
		var writers sync.WaitGroup
		writers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				case <-time.After(20 * time.Millisecond):
				}
				ops := []resource.Operation{
					{Verb: resource.Update, Type: "user", ID: user.ID, Body: resource.Body{Attributes: map[string]any{"display_name": fmt.Sprint("Tralfamadorian ", n)}}},
					{Verb: resource.Create, Type: "user", Body: resource.Body{Attributes: map[string]any{"username": fmt.Sprint("meanwhile-", n), "display_name": "Meanwhile"}}},
				}
				for i := range ops {
					ops[i].Principal = auth.System
				}
				if _, err := a.engine.Do(t.Context(), ops...); err != nil {
					t.Error(err)
				}
			}
		})
		p, ended := p.takenOver(uri, "recount", 1)
		close(over)
		writers.Wait()
		if report := fmt.Sprint(dig(ended, "report")); !strings.Contains(report, "1000 rows have another text in username_folded than in username (repaired)") {
			t.Error(report)
		}
		p.sound()
		for part, want := range map[string]int{"QUENT": 1, "Tralfamadorian": 1, "mEANWHILE": p.count("SELECT count(*) FROM users WHERE display_name = 'Meanwhile'"), "nobody": 0} {
			if n := searched(p.server, part); n != float64(want) {
				t.Errorf("%s: %v are found, and not %d", part, n, want)
			}
		}
	})
}
