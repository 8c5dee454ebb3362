package directory_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"reeve/resource/ldap/directory"
	"reeve/resource/ldap/ldaptest"
)

const admins = "cn=admins," + ldaptest.Groups

// asked is a client of a server, with some of its configuration changed.
func asked(t *testing.T, s *ldaptest.Server, change func(c *directory.Config)) *directory.Client {
	c := directory.Config{
		URLs: []string{s.URL}, CAFile: s.CAFile, BindDN: ldaptest.Reader, Password: ldaptest.ReaderPassword, Timeout: 2 * time.Second,
		Base: ldaptest.People, Filter: "(objectClass=inetOrgPerson)", Username: "uid", Email: "mail", DisplayName: "cn", ID: "entryUUID", Member: "member",
	}
	if change != nil {
		change(&c)
	}
	return directory.New(func() directory.Config { return c }, slog.New(slog.DiscardHandler))
}

func TestVerify(t *testing.T) {
	s := ldaptest.Start(t, []string{"montana", "Billy", "two"}, map[string][]string{"admins": {"montana"}, "crew": {"montana", "Billy"}})
	s.Add("cn=twin,"+ldaptest.People, map[string]string{"objectClass": "inetOrgPerson", "uid": "two", "sn": "two", "userPassword": "password-of-two"})
	groups := []string{admins, "cn=crew," + ldaptest.Groups, "cn=nobody," + ldaptest.Groups}
	c := asked(t, s, nil)
	verify := func(name directory.Name, password string) (*directory.Person, error) {
		return c.Verify(t.Context(), name, password, groups)
	}
	p, err := verify(directory.Name{Username: "montana"}, ldaptest.Password("montana"))
	if err != nil {
		t.Fatal(err)
	}
	if p.DN != ldaptest.DN("montana") || p.Username != "montana" || p.Email != "montana@directory.example.com" || p.DisplayName != "The montana" || !slices.Equal(p.Groups, groups[:2]) {
		t.Errorf("%+v", p)
	}
	if again, err := verify(directory.Name{ID: p.ID}, ldaptest.Password("montana")); err != nil || again.DN != p.DN {
		t.Errorf("by the ID: %v, %v", again, err)
	}
	if p, err := verify(directory.Name{Username: "billy"}, ldaptest.Password("Billy")); err != nil || p.Username != "billy" {
		t.Errorf("in another case: %v, %v", p, err)
	}
	for _, wrong := range []struct {
		name     directory.Name
		password string
	}{
		{directory.Name{Username: "montana"}, "wrong"},
		{directory.Name{Username: "montana"}, ""}, // which any server takes for nobody in particular (RFC 4513, 5.1.2)
		{directory.Name{Username: "montana"}, "\x00"},
		{directory.Name{Username: "montana"}, ldaptest.Password("montana") + "\x00"},
		{directory.Name{Username: "nobody"}, ldaptest.Password("montana")},
		{directory.Name{Username: "two"}, ldaptest.Password("two")}, // it is two people's
		{directory.Name{Username: "*"}, ldaptest.Password("montana")},
		{directory.Name{Username: "mont*"}, ldaptest.Password("montana")},
		{directory.Name{Username: "*)(uid=*"}, ldaptest.Password("montana")},
		{directory.Name{Username: "montana)(uid=*"}, ldaptest.Password("montana")},
		{directory.Name{Username: `montana\2a`}, ldaptest.Password("montana")},
		{directory.Name{Username: "montana\x00"}, ldaptest.Password("montana")},
		{directory.Name{}, ldaptest.Password("montana")},
	} {
		if p, err := verify(wrong.name, wrong.password); p != nil || !errors.Is(err, directory.ErrPassword) {
			t.Errorf("%q, %q: %v, %v", wrong.name, wrong.password, p, err)
		}
	}
	s.Add("cn=triplet,"+ldaptest.People, map[string]string{"objectClass": "inetOrgPerson", "uid": "two", "sn": "two", "userPassword": "password-of-two"})
	if p, err := verify(directory.Name{Username: "two"}, ldaptest.Password("two")); p != nil || !errors.Is(err, directory.ErrPassword) {
		t.Errorf("three of one name: %v, %v", p, err)
	}
	// Groups are asked about once the password is right: how long it takes tells else who exists.
	groups = []string{"no name of a group"}
	if _, err := verify(directory.Name{Username: "montana"}, "wrong"); !errors.Is(err, directory.ErrPassword) {
		t.Errorf("a wrong password: %v", err)
	}
	if _, err := verify(directory.Name{Username: "montana"}, ldaptest.Password("montana")); !errors.Is(err, directory.ErrRefused) {
		t.Errorf("a group that cannot be: %v", err)
	}
	if servers := c.Servers(); len(servers) != 1 || !servers[0].Reachable || servers[0].SignIns != 3 || servers[0].Refusals != 15 {
		t.Errorf("%+v", servers)
	}
}

// TestMemberUID has groups name their members by username: a sign-in and a listing agree on who is meant, in any case.
func TestMemberUID(t *testing.T) {
	s := ldaptest.Start(t, []string{"Billy", "montana"}, nil)
	var groups []string
	for i, member := range []string{"Billy", "billy", "BILLY", "billy2"} {
		dn := fmt.Sprintf("cn=crew-%d,%s", i, ldaptest.Groups)
		s.Add(dn, map[string]string{"objectClass": "posixGroup", "gidNumber": fmt.Sprint(i), "memberUid": member})
		groups = append(groups, dn)
	}
	c := asked(t, s, func(c *directory.Config) { c.Member = "memberUid" })
	p, err := c.Verify(t.Context(), directory.Name{Username: "billy"}, ldaptest.Password("Billy"), groups)
	if err != nil || !slices.Equal(p.Groups, groups[:3]) {
		t.Errorf("a sign-in: %+v, %v", p, err)
	}
	l, err := c.List(t.Context(), groups)
	if err != nil {
		t.Fatal(err)
	}
	people, _, err := l.Next(t.Context())
	if err != nil || len(people) != 2 || !slices.Equal(people[0].Groups, groups[:3]) || len(people[1].Groups) != 0 {
		t.Errorf("a listing: %+v, %v", people, err)
	}
}

// TestSecurity tries each way to a server. A certificate that nobody known has signed, or that is another host's, is not
// talked to.
func TestSecurity(t *testing.T) {
	s := ldaptest.Start(t, []string{"montana"}, nil)
	none := filepath.Join(t.TempDir(), "none.pem")
	if err := os.WriteFile(none, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere := func(url string) string { return strings.Replace(url, "127.0.0.1", "localhost", 1) }
	for name, c := range map[string]struct {
		change func(c *directory.Config)
		right  bool
	}{
		"StartTLS":                   {nil, true},
		"TLS":                        {func(c *directory.Config) { c.URLs = []string{s.TLSURL} }, true},
		"plain":                      {func(c *directory.Config) { c.AllowPlain, c.CAFile = true, "" }, true},
		"StartTLS, unknown signer":   {func(c *directory.Config) { c.CAFile = "" }, false},
		"TLS, unknown signer":        {func(c *directory.Config) { c.URLs, c.CAFile = []string{s.TLSURL}, "" }, false},
		"TLS, plain allowed":         {func(c *directory.Config) { c.URLs, c.AllowPlain, c.CAFile = []string{s.TLSURL}, true, "" }, false},
		"StartTLS, another host":     {func(c *directory.Config) { c.URLs = []string{elsewhere(s.URL)} }, false},
		"TLS, another host":          {func(c *directory.Config) { c.URLs = []string{elsewhere(s.TLSURL)} }, false},
		"no certificates":            {func(c *directory.Config) { c.CAFile = none }, false},
		"TLS where there is none":    {func(c *directory.Config) { c.URLs = []string{strings.Replace(s.URL, "ldap:", "ldaps:", 1)} }, false},
		"the password of the reader": {func(c *directory.Config) { c.Password = "wrong" }, false},
		"nobody reads":               {func(c *directory.Config) { c.BindDN = "" }, false},
		"a base that is not there":   {func(c *directory.Config) { c.Base = "ou=nowhere," + ldaptest.Base }, false},
		"the second of two":          {func(c *directory.Config) { c.URLs = []string{"ldap://127.0.0.1:1", s.URL} }, true},
	} {
		client := asked(t, s, c.change)
		p, err := client.Verify(t.Context(), directory.Name{Username: "montana"}, ldaptest.Password("montana"), nil)
		want := directory.ErrUnreachable
		if name == "nobody reads" || name == "a base that is not there" { // the server answers
			want = directory.ErrRefused
		}
		if c.right != (p != nil) || c.right != (err == nil) || !c.right && !errors.Is(err, want) {
			t.Errorf("%s: %v, %v, %+v", name, p, err, client.Servers())
		}
		if err := client.Check(); (err != nil) != (name == "no certificates") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCircuit has a server hang: one sign-in waits for it, and those after it do not.
func TestCircuit(t *testing.T) {
	s := ldaptest.Start(t, []string{"montana"}, nil)
	c := asked(t, s, func(c *directory.Config) { c.Timeout = time.Second })
	try := func() (time.Duration, error) {
		begun := time.Now()
		_, err := c.Verify(t.Context(), directory.Name{Username: "montana"}, ldaptest.Password("montana"), nil)
		return time.Since(begun), err
	}
	if _, err := try(); err != nil {
		t.Fatal(err)
	}
	s.Pause()
	if took, err := try(); !errors.Is(err, directory.ErrUnreachable) || took < 900*time.Millisecond {
		t.Errorf("the first: %v after %v", err, took)
	}
	for range 100 {
		if took, err := try(); !errors.Is(err, directory.ErrUnreachable) || took > 500*time.Millisecond {
			t.Fatalf("one of those after it: %v after %v", err, took)
		}
	}
	s.GoOn()
	c.Probe(t.Context())
	if _, err := try(); err != nil {
		t.Error(err, c.Servers())
	}
	s.Stop()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Verify(gone, directory.Name{Username: "montana"}, "x", nil); !errors.Is(err, context.Canceled) || !c.Servers()[0].Reachable {
		t.Errorf("who asks is gone: %v, %+v", err, c.Servers())
	}
	if _, err := try(); !errors.Is(err, directory.ErrUnreachable) || c.Servers()[0].Reachable || c.Servers()[0].Error == "" {
		t.Errorf("stopped: %v, %+v", err, c.Servers())
	}
}

// TestList reads more people than the server tells at once.
func TestList(t *testing.T) {
	var uids []string
	for i := range 1500 {
		uids = append(uids, fmt.Sprintf("person-%04d", i))
	}
	s := ldaptest.Start(t, uids, map[string][]string{"admins": uids[:700]})
	c := asked(t, s, nil)
	l, err := c.List(t.Context(), []string{admins, "cn=nobody," + ldaptest.Groups})
	if err != nil {
		t.Fatal(err)
	}
	ids, pages, in := map[string]bool{}, 0, 0
	for last := false; !last; pages++ {
		var people []directory.Person
		if people, last, err = l.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, p := range people {
			ids[p.ID] = true
			if slices.Equal(p.Groups, []string{admins}) {
				in++
			}
		}
	}
	if len(ids) != len(uids) || in != 700 || pages != 8 || c.Servers()[0].ListedAt.IsZero() {
		t.Errorf("%d people on %d pages, %d in the group", len(ids), pages, in)
	}

	limited := asked(t, s, func(c *directory.Config) {
		c.BindDN, c.Password = ldaptest.DN(uids[0]), ldaptest.Password(uids[0])
	})
	if l, err = limited.List(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for last := false; !last && err == nil; {
		_, last, err = l.Next(t.Context())
	}
	if !errors.Is(err, directory.ErrRefused) || !limited.Servers()[0].Reachable {
		t.Errorf("more people than the server tells: %v, %+v", err, limited.Servers())
	}

	before := directory.SetIdle(time.Nanosecond)
	if l, err = c.List(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	directory.SetIdle(before)
	for err == nil { // until it has ended by itself
		_, _, err = l.Next(t.Context())
	}
	if !errors.Is(err, directory.ErrUnreachable) || !c.Servers()[0].Reachable {
		t.Errorf("nobody has read on: %v, %+v", err, c.Servers())
	}

	if l, err = c.List(t.Context(), nil); err == nil {
		_, _, err = l.Next(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if _, _, err := l.Next(t.Context()); !errors.Is(err, directory.ErrUnreachable) {
		t.Errorf("the server is gone: %v", err)
	}
	if _, err := c.List(t.Context(), nil); !errors.Is(err, directory.ErrUnreachable) {
		t.Errorf("the server is gone: %v", err)
	}
}

func TestChecks(t *testing.T) {
	for _, c := range []struct {
		check        func(string) error
		right, wrong []string
	}{
		{directory.CheckURL, []string{"ldap://a", "ldaps://[::1]:6"}, []string{"", "a", "http://a", "ldap://", "ldap://u@a", "ldap://a/b", "ldap://a?b"}},
		{directory.CheckFilter, []string{"(a=b)", "(&(a=*)(!(b=c)))"}, []string{"", "a=b", "(a=b", "(a=b))"}},
		{directory.CheckDN, []string{"", "a=b,c=d"}, []string{"a", "a=b,"}},
		{directory.CheckAttribute, []string{"uid", "2.5.4.3", "a-b"}, []string{"", "a)", "a=b", "a b"}},
	} {
		for _, text := range c.right {
			if err := c.check(text); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
		for _, text := range c.wrong {
			if err := c.check(text); err == nil {
				t.Errorf("%q passes", text)
			}
		}
	}
}
