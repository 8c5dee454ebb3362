// Package ldaptest runs OpenLDAP's server for tests, with a directory of its own.
package ldaptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// What every directory of a test has.
const (
	Base           = "dc=example,dc=com"
	People         = "ou=people," + Base
	Groups         = "ou=groups," + Base
	Reader         = "cn=reader," + Base // who may search
	ReaderPassword = "reads-the-whole-directory"
	Root           = "cn=root," + Base // who may do everything
	RootPassword   = "root-of-the-directory"
)

// Password is that of a person, by their uid.
func Password(uid string) string { return "password-of-" + uid }

// DN is that of a person.
func DN(uid string) string { return "uid=" + uid + "," + People }

// Server is a slapd that lets anybody read who has signed in, but groups the Reader alone. It listens on a port for StartTLS
// and one for TLS, at 127.0.0.1, and ends with its test.
type Server struct {
	testing.TB
	URL, TLSURL string // ldap:// and ldaps://
	CAFile      string
	dir         string
	process     *exec.Cmd
	exited      chan error
}

// Start starts a server with people, by their uids, and groups of some of them.
func Start(tb testing.TB, people []string, groups map[string][]string) *Server {
	tb.Helper()
	s := &Server{TB: tb, dir: tb.TempDir()}
	s.CAFile = s.path("ca.pem")
	s.certify()
	s.write("slapd.conf", fmt.Sprintf(`include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile %[1]s/slapd.pid
TLSCACertificateFile %[1]s/ca.pem
TLSCertificateFile %[1]s/server.pem
TLSCertificateKeyFile %[1]s/server.key
database mdb
maxsize 104857600
suffix %[2]q
rootdn %[3]q
rootpw %[4]s
directory %[1]s/data
dbnosync
index objectClass,uid,mail,member,entryUUID eq
limits dn.exact=%[5]q size=500 size.prtotal=unlimited
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree=%[6]q by dn.exact=%[5]q read by * none
access to * by users read
`, s.dir, Base, Root, RootPassword, Reader, Groups))
	if err := os.Mkdir(s.path("data"), 0o700); err != nil {
		tb.Fatal(err)
	}
	var ldif strings.Builder
	entry := func(dn string, lines ...string) {
		fmt.Fprintf(&ldif, "dn: %s\n%s\n\n", dn, strings.Join(lines, "\n"))
	}
	entry(Base, "objectClass: dcObject", "objectClass: organization", "dc: example", "o: Example")
	for _, name := range []string{"people", "groups"} {
		entry("ou="+name+","+Base, "objectClass: organizationalUnit", "ou: "+name)
	}
	entry(Reader, "objectClass: organizationalRole", "objectClass: simpleSecurityObject", "cn: reader", "userPassword: "+ReaderPassword)
	for _, uid := range people {
		entry(DN(uid), "objectClass: inetOrgPerson", "uid: "+uid, "cn: The "+uid, "sn: "+uid, "mail: "+uid+"@directory.example.com", "userPassword: "+Password(uid))
	}
	for name, members := range groups {
		lines := []string{"objectClass: groupOfNames", "cn: " + name}
		for _, uid := range members {
			lines = append(lines, "member: "+DN(uid))
		}
		entry("cn="+name+","+Groups, lines...)
	}
	s.write("directory.ldif", ldif.String())
	if output, err := exec.Command(program("slapadd"), "-q", "-f", s.path("slapd.conf"), "-l", s.path("directory.ldif")).CombinedOutput(); err != nil {
		tb.Fatalf("slapadd: %v: %s", err, output)
	}
	s.URL, s.TLSURL = "ldap://"+free(tb), "ldaps://"+free(tb)
	tb.Cleanup(s.Stop)
	s.Again()
	return s
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) write(name, content string) {
	s.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		s.Fatal(err)
	}
}

// program is where Debian has a program, which is in the path of root alone.
func program(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return "/usr/sbin/" + name
}

// free is an address that nobody listens at.
func free(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// certify makes the certificate of the server, and that of who signs it.
func (s *Server) certify() {
	s.Helper()
	made := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			s.Fatal(err)
		}
		if signer == nil {
			signer = key
		}
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			s.Fatal(err)
		}
		return der, key
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca, signer := made(authority, authority, nil)
	server, key := made(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, authority, signer)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: ca}, "server.pem": {Type: "CERTIFICATE", Bytes: server}, "server.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		s.write(name, string(pem.EncodeToMemory(block)))
	}
}

// Again starts the server once more, with what it had.
func (s *Server) Again() {
	s.Helper()
	s.process = exec.Command(program("slapd"), "-d", "0", "-f", s.path("slapd.conf"), "-h", s.URL+" "+s.TLSURL)
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		s.Fatal(err)
	}
	s.exited = make(chan error, 1)
	go func() { s.exited <- s.process.Wait() }()
	for begun := time.Now(); time.Since(begun) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-s.exited:
			s.Fatal("slapd ended: ", err)
		default:
		}
		if conn, err := ldap.DialURL(s.URL); err == nil {
			_ = conn.Close()
			return
		}
	}
	s.Fatal("slapd does not answer")
}

// Stop ends the server, if it runs.
func (s *Server) Stop() {
	if s.process == nil {
		return
	}
	if err := s.process.Process.Kill(); err != nil {
		s.Error(err)
	}
	<-s.exited
	s.process = nil
}

// Pause has the server not answer, until it goes on: connections are taken, and nothing comes back.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// GoOn ends a pause.
func (s *Server) GoOn() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) {
	s.Helper()
	if err := s.process.Process.Signal(signal); err != nil {
		s.Fatal(err)
	}
}

// Do does something with the directory as its root.
func (s *Server) Do(work func(conn *ldap.Conn) error) {
	s.Helper()
	conn, err := ldap.DialURL(s.URL)
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close()
	if err = conn.Bind(Root, RootPassword); err == nil {
		err = work(conn)
	}
	if err != nil {
		s.Fatal(err)
	}
}

// Remove removes a person.
func (s *Server) Remove(uid string) {
	s.Helper()
	s.Do(func(conn *ldap.Conn) error { return conn.Del(ldap.NewDelRequest(DN(uid), nil)) })
}

// Replace gives an attribute of an entry other values.
func (s *Server) Replace(dn, attribute string, values ...string) {
	s.Helper()
	s.Do(func(conn *ldap.Conn) error {
		change := ldap.NewModifyRequest(dn, nil)
		change.Replace(attribute, values)
		return conn.Modify(change)
	})
}

// Add adds an entry with one value of each attribute.
func (s *Server) Add(dn string, attributes map[string]string) {
	s.Helper()
	s.Do(func(conn *ldap.Conn) error {
		entry := ldap.NewAddRequest(dn, nil)
		for name, value := range attributes {
			entry.Attribute(name, []string{value})
		}
		return conn.Add(entry)
	})
}
