package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

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
