package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource/job"
	"reeve/resource/ldap"
	"reeve/resource/ldap/ldaptest"
)

// people are so many uids.
func people(n int) (uids []string) {
	for i := range n {
		uids = append(uids, fmt.Sprintf("person-%04d", i))
	}
	return uids
}

// directed is the configuration of a program that asks a directory.
func directed(s *ldaptest.Server) string {
	held.add(ldaptest.ReaderPassword, "the configuration")
	return fmt.Sprintf(`
auth:
  sign_in: {per_address: 0}
  ldap:
    urls: [%q]
    ca_file: %q
    bind_dn: %q
    bind_password: %q
    user_base: %q
    timeout: 2s
    mappings:
      - {group_dn: "cn=admins,%[6]s", roles: [admin]}
      - {group_dn: "cn=crew,%[6]s", groups: [crew]}
`, s.URL, s.CAFile, ldaptest.Reader, ldaptest.ReaderPassword, ldaptest.People, ldaptest.Groups)
}

// TestLDAPScript runs the script that does each operation on the directory.
func TestLDAPScript(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		all := people(1500)
		directory := ldaptest.Start(t, append(all, "quentin"), map[string][]string{"admins": {"person-0001"}, "crew": all[:700]})
		s := start(t, uri, everything+directed(directory))
		s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"key": "crew", "name": "Crew"}, nil))
		s.script("ldap.sh", "LDAP_URL="+directory.URL, "LDAP_CA="+directory.CAFile, "LDAP_ROOT="+ldaptest.Root, "LDAP_ROOT_PASSWORD="+ldaptest.RootPassword, "LDAP_PEOPLE="+ldaptest.People)
	})
}

// directedUser makes a user of a directory, which has a server where nobody answers, and returns their account.
func (s *server) directedUser() *ldap.Account {
	s.Helper()
	s.set(200, "auth.ldap.urls", []string{"ldap://127.0.0.1:1"})
	id := ulid.Make()
	u := s.joins("directed-" + strings.ToLower(id.String()))
	account := &ldap.Account{ID: id, User: ulid.MustParse(u), DN: ldaptest.DN(u), Entry: u, CreatedAt: time.Now(), SyncedAt: time.Now()}
	if err := s.app.ldapAccounts.Create(s.Context(), account); err != nil {
		s.Fatal(err)
	}
	return account
}

// TestLDAPOutage has the directory go and come back: who has a password here signs in meanwhile, and who has one there
// does so again afterwards, on the page as by Basic.
func TestLDAPOutage(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		directory := ldaptest.Start(t, people(3), nil)
		s := start(t, uri, everything+directed(directory))
		status := func(credentials string) int {
			t.Helper()
			as := *s
			as.user = credentials
			return as.send("GET", "/api/admin/v1/me", nil).StatusCode
		}
		person := func(n int) string {
			uid := fmt.Sprintf("person-%04d", n)
			return uid + ":" + ldaptest.Password(uid)
		}
		expect := func(what, credentials string, want int) {
			t.Helper()
			if got := status(credentials); got != want {
				t.Errorf("%s: %d, not %d", what, got, want)
			}
		}
		expect("before", person(1), 200)
		directory.Stop()
		expect("remembered for a minute", person(1), 200)
		expect("who has a password here", s.user, 200)
		expect("who has one there", person(2), 503)
		expect("a wrong one, of who has one here", "quentin:wrong-password", 503)
		directory.Again()
		s.do(200, "POST", "ldap/reload", nil)
		expect("afterwards", person(2), 200)
		expect("a wrong one", "quentin:wrong-password", 401)
	})
}

// TestLDAPSyncTakenOver kills the node that syncs. On PostgreSQL another one goes on with it, on SQLite the program does
// once it is started again: everybody is a user in the end, made once.
func TestLDAPSyncTakenOver(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		const n = 1500
		directory := ldaptest.Start(t, people(n), nil)
		prepare(t, uri)
		yaml := everything + directed(directory)
		p := launch(t, uri, yaml)
		path := p.queue("ldap-sync")
		eventually(t, 30*time.Second, "it begins", func() bool { return dig(p.get(path), "data", "attributes", "progress_done") != 0.0 })
		next := p
		if strings.HasPrefix(uri, "postgres") {
			next = launch(t, uri, yaml)
		}
		if err := p.end(syscall.SIGKILL); err == nil {
			t.Fatal("the program ended by itself")
		}
		if next == p {
			next = launch(t, uri, yaml)
		}
		if done := next.becomes(path, job.Done); dig(done, "progress_done") != float64(n) {
			t.Errorf("%v", done)
		}
		made := next.count("SELECT count(*) FROM events WHERE verb = 'create' AND target_type = 'ldap-account'")
		if accounts := next.count("SELECT count(*) FROM ldap_accounts"); accounts != n || made != n {
			t.Errorf("%d accounts, %d events", accounts, made)
		}
		t.Logf("the job was begun %d times", next.count("SELECT max(turn) FROM jobs WHERE kind = 'ldap-sync'"))
	})
}
