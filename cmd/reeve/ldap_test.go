package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/oauth2"

	"reeve/resource/job"
	"reeve/resource/ldap"
	"reeve/resource/ldap/ldaptest"
)

// person is a uid of the directory.
func person(n int) string { return fmt.Sprintf("person-%04d", n) }

// people are so many uids.
func people(n int) (uids []string) {
	for i := range n {
		uids = append(uids, person(i))
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
    sync_interval: 0
    mappings:
      - {group_dn: "cn=admins,%[6]s", roles: [admin]}
      - {group_dn: "cn=crew,%[6]s", groups: [crew]}
`, s.URL, s.CAFile, ldaptest.Reader, ldaptest.ReaderPassword, ldaptest.People, ldaptest.Groups)
}

// TestLDAPScript runs the script that does each operation on the directory.
func TestLDAPScript(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		all := people(1500)
		directory := ldaptest.Start(t, append(all, "quentin"), map[string][]string{"admins": {"person-0001"}, "crew": all[:300]})
		s := start(t, uri, everything+directed(directory)+"database: {timeout: 1m}\n") // hundreds who become a group are thousands of contacts
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
		status := func(user string) int {
			t.Helper()
			as := *s
			as.user = user
			return as.send("GET", "/api/admin/v1/me", nil).StatusCode
		}
		credentials := func(n int) string {
			return person(n) + ":" + ldaptest.Password(person(n))
		}
		expect := func(what, user string, want int) {
			t.Helper()
			if got := status(user); got != want {
				t.Errorf("%s: %d, not %d", what, got, want)
			}
		}
		expect("before", credentials(1), 200)
		directory.Stop()
		expect("remembered for a minute", credentials(1), 200)
		expect("who has a password here", s.user, 200)
		expect("who has one there", credentials(2), 503)
		expect("a wrong one, of who has one here", "quentin:wrong-password", 503)
		directory.Again()
		s.do(200, "POST", "ldap/reload", nil)
		expect("afterwards", credentials(2), 200)
		expect("a wrong one", "quentin:wrong-password", 401)
	})
}

// TestLDAPSame has somebody be known by what somebody on another page of the directory is known by: the sync fails,
// until it is so no more.
func TestLDAPSame(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		directory := ldaptest.Start(t, people(250), nil)
		directory.Add(ldaptest.DN("twin"), map[string]string{"objectClass": "inetOrgPerson", "uid": "twin", "cn": "Twin", "sn": person(0), "userPassword": "password-of-twin"})
		s := start(t, uri, everything+directed(directory))
		s.set(200, "auth.ldap.id_attribute", "sn")
		path := s.queue("ldap-sync")
		if failed := s.becomes(path, job.Failed); !strings.Contains(fmt.Sprint(dig(failed, "error")), "the same auth.ldap.id_attribute") {
			t.Errorf("%v", failed)
		}
		if n := s.count("SELECT count(*) FROM users WHERE username LIKE 'person-%' OR username = 'twin'"); n != 200 {
			t.Errorf("%d users are made of the page that was right", n)
		}
		directory.Remove(person(0))
		s.do(200, "POST", path+"/retry", nil)
		s.becomes(path, job.Done)
		if n := s.count("SELECT count(*) FROM users AS u JOIN ldap_accounts AS a ON a.user_id = u.id WHERE a.gone_at IS NULL AND u.deactivated_at IS NULL"); n != 250 {
			t.Errorf("%d users are of the directory", n)
		}
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
		eventually(t, patience, "it begins", func() bool { return dig(p.get(path), "data", "attributes", "progress_done") != 0.0 })
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

// TestLDAPSignIn has people of a directory sign in on each way that takes a password.
func TestLDAPSignIn(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		all := people(12)
		directory := ldaptest.Start(t, all, nil)
		s := start(t, uri, everything+seedClients+directed(directory))
		page := func(address func(b *browser) string) func(uid, password string) int {
			return func(uid, password string) int {
				b := s.browser()
				v := b.visit(address(b))
				if !strings.Contains(v.text, `name="password"`) {
					t.Fatalf("no page to sign in on: %d %s", v.StatusCode, v.text)
				}
				v = b.submit(v, "do", "sign-in", "username", uid, "password", password)
				if v.away != nil && v.away.Query().Get("code") != "" { // the client may have it without a word
					return 200
				}
				if v.StatusCode == 200 && strings.Contains(v.text, `name="password"`) {
					t.Errorf("%s is asked once more: %s", uid, v.text)
				}
				return v.StatusCode
			}
		}
		ways := []struct {
			name   string
			signIn func(uid, password string) int
		}{
			{"HTTP Basic", func(uid, password string) int { return s.signIn(uid, password).StatusCode }},
			{"a page", page(func(b *browser) string { return s.bases[0] + "/account/security" })},
			{"the authorization endpoint", page(func(b *browser) string {
				return s.oauthClient(pageClient, "openid").AuthCodeURL("state", oauth2.S256ChallengeOption("verifier"))
			})},
			{"the device flow", page(func(b *browser) string {
				device, err := s.oauthClient(terminalClient, "openid").DeviceAuth(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return s.bases[0] + "/device?user_code=" + device.UserCode
			})},
		}
		for i, way := range ways {
			uid := all[i]
			if got := way.signIn(uid, "wrong"); got != 401 {
				t.Errorf("%s, a wrong password: %d", way.name, got)
			}
			if got := way.signIn(uid, ldaptest.Password(uid)); got != 200 {
				t.Errorf("%s, the right password: %d", way.name, got)
			}
			if n := s.count("SELECT count(*) FROM users WHERE username = '" + uid + "'"); n != 1 {
				t.Errorf("%s: %d users", way.name, n)
			}
		}
		directory.Stop()
		for i, way := range ways {
			uid := all[len(ways)+i] // nobody remembers them
			for _, password := range []string{"wrong", ldaptest.Password(uid)} {
				if got := way.signIn(uid, password); got != 503 {
					t.Errorf("%s, the directory is down: %d", way.name, got)
				}
			}
			if got := way.signIn("quentin", "wrong"); got != 503 {
				t.Errorf("%s, the directory is down, who has a password here: %d", way.name, got)
			}
		}
		if got := s.signIn("kilgore-trout", "wrong").StatusCode; got != 503 {
			t.Errorf("a wrong password of who has one here: %d", got)
		}
		if n := s.count("SELECT count(*) FROM events AS e JOIN users AS u ON e.target_id = u.id WHERE e.verb = 'sign-in-failed' AND u.username = 'kilgore-trout'"); n != 1 {
			t.Errorf("%d guesses are told of", n)
		}
	})
}

// TestLDAPStrangers has the directory be another one, as it seems, since people are known by another attribute: nobody is
// taken for gone, also not once somebody new is known by that. Set back, and retried, the sync is done.
func TestLDAPStrangers(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		all := people(3)
		directory := ldaptest.Start(t, all, nil)
		s := start(t, uri, everything+directed(directory))
		s.becomes(s.queue("ldap-sync"), job.Done)
		directory.Add(ldaptest.DN("newcomer"), map[string]string{"objectClass": "inetOrgPerson", "uid": "newcomer", "cn": "New", "sn": "New", "userPassword": "password-of-newcomer"})
		// An attribute that nobody has, and one that is the same of everybody.
		s.set(200, "auth.ldap.id_attribute", "description")
		if a := s.signIn("newcomer", "password-of-newcomer"); a.StatusCode != 503 {
			t.Errorf("who is new, and nobody knows who: %d", a.StatusCode)
		}
		s.set(200, "auth.ldap.id_attribute", "objectClass")
		if failed := s.becomes(s.queue("ldap-sync"), job.Failed); !strings.Contains(fmt.Sprint(dig(failed, "error")), "the same auth.ldap.id_attribute") {
			t.Errorf("%v", failed)
		}
		if n := s.count("SELECT count(*) FROM users WHERE username = 'newcomer'"); n != 0 {
			t.Error("somebody of the directory is a user, and nobody knows who")
		}
		s.set(200, "auth.ldap.id_attribute", "uid")
		path := ""
		for range 2 {
			path = s.queue("ldap-sync")
			failed := s.becomes(path, job.Failed)
			if text := fmt.Sprint(dig(failed, "error")); !strings.Contains(text, "auth.ldap.id_attribute") {
				t.Errorf("%v", failed)
			}
			if a := s.signIn("newcomer", "password-of-newcomer"); a.StatusCode != 200 {
				t.Errorf("who is new: %d", a.StatusCode)
			}
		}
		deactivated := "SELECT count(*) FROM users WHERE deactivated_at IS NOT NULL AND username LIKE 'person-%'"
		if n := s.count(deactivated); n != 0 {
			t.Errorf("%d are deactivated", n)
		}
		s.do(204, "DELETE", "settings/by-name/auth.ldap.id_attribute", nil)
		s.do(200, "POST", path+"/retry", nil)
		s.becomes(path, job.Done)
		if n := s.count(deactivated); n != 0 {
			t.Errorf("%d are deactivated afterwards", n)
		}
		directory.Remove(person(1))
		s.becomes(s.queue("ldap-sync"), job.Done)
		if n := s.count(deactivated); n != 1 {
			t.Errorf("%d are deactivated once one is gone", n)
		}
	})
}

// TestLDAPMappings has files say which groups give what: somebody gets a role by them, and loses it as they sign in, though a
// group that another file has refuses them.
func TestLDAPMappings(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		directory := ldaptest.Start(t, people(3), map[string][]string{"admins": {person(1), person(2)}, "crew": {person(0)}})
		yaml, folder := provisioned(t, "")
		s := start(t, uri, yaml+strings.Split(directed(directory), "    mappings:")[0])
		file(t, folder, "groups/crew.yaml", "groups: [{key: crew, name: Crew}]\n")
		s.do(200, "POST", "provisioning/groups/reload", nil)
		write := func(mappings string) answer {
			file(t, folder, "settings/ldap.yaml", "settings: [{name: auth.ldap.mappings, value: "+mappings+"}]\n")
			return s.send("POST", "/api/admin/v1/provisioning/settings/reload", nil)
		}
		for _, wrong := range []string{`[{group_dn: admins, roles: [admin]}]`, `[{roles: [admin]}]`, `{group_dn: "*"}`, `[{group_dn: "*", role: admin}]`} {
			if a := write(wrong); a.StatusCode != 409 || fmt.Sprint(dig(a.document, "errors", 0, "meta", "failed", 0, "name")) != "auth.ldap.mappings" {
				t.Errorf("%s: %d %s", wrong, a.StatusCode, a.text)
			}
		}
		if a := write(fmt.Sprintf(`[{group_dn: "cn=admins,%[1]s", roles: [admin]}, {group_dn: "cn=crew,%[1]s", groups: [crew]}]`, ldaptest.Groups)); a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.text)
		}
		lists := func(password string) int {
			as := *s
			as.user = person(1) + ":" + password
			return as.send("GET", "/api/admin/v1/users", nil).StatusCode
		}
		if got := lists(ldaptest.Password(person(1))); got != 200 {
			t.Errorf("who is in the group: %d", got)
		}
		directory.Replace("cn=admins,"+ldaptest.Groups, "member", ldaptest.DN(person(2)))
		directory.Replace("cn=crew,"+ldaptest.Groups, "member", ldaptest.DN(person(0)), ldaptest.DN(person(1)))
		directory.Replace(ldaptest.DN(person(1)), "userPassword", "another-one")
		if got := lists("another-one"); got != 403 {
			t.Errorf("who is not in it any more, and is refused another: %d", got)
		}
		if got := s.signIn(person(0), ldaptest.Password(person(0))).StatusCode; got != 200 {
			t.Errorf("who is new, and is refused: %d", got)
		}
	})
}

// TestLDAPErase has a user of a directory sign in, and a sync find something wrong with them: once they are deleted, nothing
// says anything of them.
func TestLDAPErase(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		uid := person(1)
		directory := ldaptest.Start(t, people(2), map[string][]string{"admins": {uid}, "crew": {uid}})
		s := start(t, uri, everything+directed(directory))
		s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"key": "crew", "name": "Crew"}, nil))
		if a := s.signIn(uid, ldaptest.Password(uid)); a.StatusCode != 200 {
			t.Fatal(a.StatusCode)
		}
		if n := s.count("SELECT count(*) FROM events WHERE target_type = 'group' AND verb = 'link'"); n != 1 {
			t.Errorf("%d events of a membership", n)
		}
		directory.Replace(ldaptest.DN(uid), "cn", strings.Repeat("x", 1000))
		directory.Replace(ldaptest.DN(uid), "mail", uid)
		done := s.becomes(s.queue("ldap-sync"), job.Done)
		id := idOf(s.get("users/by-username/" + uid))
		if report := dig(done, "report").([]any); len(report) != 2 || !strings.Contains(fmt.Sprint(report[0]), id) {
			t.Errorf("%v", report)
		}
		directory.Remove(uid)
		s.do(204, "DELETE", "users/"+id+"?force=true", nil)
		s.erased(uid)
	})
}
