package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestListenersServeWhatTheyName(t *testing.T) {
	s := start(t, sqliteURI(t), `
http:
  listeners:
    - name: web
      resources: [{name: discovery}, {name: oauth}]
      binds: [{address: "127.0.0.1:0"}]
    - name: internal
      resources: [{name: health}, {name: prometheus}, {name: adminapi}]
      binds: [{host: localhost, port: 0}]
`)
	public, internal := s.bases[0], s.bases[1]
	for path, where := range map[string]string{
		"/api/admin/v1/users": internal, "/api/spec.json": internal, "/api/doc/": internal, "/health": internal, "/metrics": internal,
		"/.well-known/openid-configuration": public, "/.well-known/oauth-authorization-server": public, "/oauth2/keys.json": public,
	} {
		for _, base := range s.bases {
			want := 404
			if base == where {
				want = 200
			}
			a := s.send("GET", base+path, nil)
			if a.StatusCode != want {
				t.Errorf("%s%s: %d, not %d", base, path, a.StatusCode, want)
			}
			if want == 404 && len(failuresIn(t, a)) != 1 {
				t.Errorf("%s%s: no error document: %s", base, path, a.text)
			}
		}
	}
	if a := s.send("POST", public+"/oauth2/token", "grant_type=client_credentials", "Content-Type: application/x-www-form-urlencoded", "Authorization: "); a.StatusCode/100 != 4 {
		t.Errorf("a token for nobody: %d", a.StatusCode)
	}
}

// certify writes a new certificate for 127.0.0.1, and its key, into a folder.
func certify(t *testing.T, dir string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "reeve"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: certificate}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// trust has requests take one certificate, on connections of their own.
func (s *server) trust(certificate *x509.Certificate) {
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	s.Cleanup(transport.CloseIdleConnections)
	s.client.Transport = held.watch(transport)
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certificate := certify(t, dir)
	s := start(t, sqliteURI(t), fmt.Sprintf(`
http:
  trusted_proxies: [127.0.0.2]
  listeners:
    - name: secure
      resources: [{name: adminapi}]
      binds: [{address: "127.0.0.1:0"}]
      tls: {certificate_file: %[1]s/cert.pem, key_file: %[1]s/key.pem}
      require_tls: true
    - name: plain
      resources: [{name: adminapi}]
      binds: [{address: "127.0.0.1:0"}]
      require_tls: true
`, dir))
	s.trust(certificate)
	if a := s.send("GET", s.bases[0]+"/api/admin/v1/users", nil); a.StatusCode != 200 || a.ProtoMajor != 2 {
		t.Errorf("over TLS: %d %s", a.StatusCode, a.Proto)
	}
	if a := s.send("GET", s.bases[1]+"/api/admin/v1/users", nil); a.StatusCode != 403 {
		t.Errorf("without TLS: %d", a.StatusCode)
	}
	if a := s.send("GET", s.bases[1]+"/api/admin/v1/users", nil, "X-Forwarded-Proto: https"); a.StatusCode != 403 {
		t.Errorf("without TLS, by a proxy that is not trusted: %d", a.StatusCode)
	}

	// A reload brings new connections the new certificate; one that cannot be read changes nothing.
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if a := s.send("POST", "/api/admin/v1/server/reload", nil); a.StatusCode != 409 {
		t.Errorf("without a key: %d %s", a.StatusCode, a.text)
	}
	s.trust(certificate)
	s.get("users")
	renewed := certify(t, dir)
	s.do(200, "POST", "server/reload", nil)
	s.trust(certificate)
	if _, err := s.try("GET", "/api/admin/v1/users", nil); err == nil {
		t.Error("new connections get the old certificate")
	}
	s.trust(renewed)
	s.get("users")
}

func TestLinksFollowTheBase(t *testing.T) {
	for _, test := range []struct{ http, path, prefix string }{
		{"base_path: /estate", "/estate", "/estate"},
		{"base_path: /estate/\n  public_base: https://reeve.example.com/estate", "/estate", "/estate"},
		{"public_base: https://reeve.example.com/outside", "", "/outside"}, // a proxy takes the path away
		{"public_base: https://reeve.example.com", "", ""},
	} {
		s := start(t, sqliteURI(t), strings.Replace(everything, "http:", "http:\n  "+test.http, 1))
		a := s.send("GET", test.path+"/api/admin/v1/users?page[first]=1", nil)
		want := test.prefix + "/api/admin/v1/users"
		for _, link := range []any{dig(a.document, "links", "self"), dig(a.document, "links", "next"), dig(a.document, "data", 0, "links", "self")} {
			if text, _ := link.(string); !strings.HasPrefix(text, want) {
				t.Errorf("%s: link %q", test.http, text)
			}
		}
		created := s.send("POST", test.path+"/api/admin/v1/groups", resourceDocument("group", "", map[string]any{"name": "x"}, nil))
		if !strings.HasPrefix(created.Header.Get("Location"), test.prefix+"/api/admin/v1/groups/") {
			t.Errorf("%s: Location %q", test.http, created.Header.Get("Location"))
		}
		spec := s.send("GET", test.path+"/api/spec.json", nil)
		if spec.StatusCode != 200 || !strings.Contains(string(spec.text), test.prefix+"/api/admin/v1/users") && test.prefix != "" && !strings.Contains(string(spec.text), test.prefix) {
			t.Errorf("%s: the specification does not know the base", test.http)
		}
		if test.path != "" {
			if outside := s.send("GET", "/api/admin/v1/users", nil); outside.StatusCode != 404 {
				t.Errorf("%s: outside of the base: %d", test.http, outside.StatusCode)
			}
		}
		discovery := s.send("GET", test.path+"/.well-known/openid-configuration", nil)
		if strings.Contains(test.http, "public_base") {
			if endpoint, _ := discovery.document["token_endpoint"].(string); endpoint != "https://reeve.example.com"+test.prefix+"/oauth2/token" {
				t.Errorf("%s: token endpoint %q", test.http, endpoint)
			}
		}
	}
}

func TestForwardedAddresses(t *testing.T) {
	for _, test := range []struct{ trusted, forwarded, want string }{
		{"[]", "203.0.113.9", "127.0.0.1"},
		{"[192.0.2.1]", "203.0.113.9", "127.0.0.1"},
		{"[127.0.0.0/8]", "203.0.113.9", "203.0.113.9"},
		{"[127.0.0.1]", "198.51.100.7, 203.0.113.9", "203.0.113.9"}, // what stands before it, the client may have made up
		{"[127.0.0.1, 203.0.113.0/24]", "198.51.100.7, 203.0.113.9", "198.51.100.7"},
		{"[127.0.0.1]", "nonsense", "127.0.0.1"},
	} {
		s := start(t, sqliteURI(t), strings.Replace(everything, "http:", "http:\n  trusted_proxies: "+test.trusted, 1)+example)
		a := s.send("POST", "/oauth2/token", "grant_type=client_credentials&scope=urn:mas:admin", "Content-Type: application/x-www-form-urlencoded",
			"Authorization: Basic MDFKNDRSS1FZTTRHM1ROVkFOVE1URFlUWDY6cGhvbzhhaG5laXIzb2hZMmVpZ2g0eHV1Nk9vZGFld2k=", "X-Forwarded-For: "+test.forwarded)
		if a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.text)
		}
		session := s.get("sessions?page[last]=1&filter[client]=01J44RKQYM4G3TNVANTMTDYTX6")
		if got := dig(session, "data", 0, "attributes", "last_active_ip"); got != test.want {
			t.Errorf("trusting %s, forwarded for %s: %v, not %s", test.trusted, test.forwarded, got, test.want)
		}
	}
}

func TestConfigurationFindsMistakes(t *testing.T) {
	for yaml, about := range map[string]string{
		"htttp: {}": "htttp",
		"http: {listeners: [{name: a, resources: [{name: admin}], binds: [{address: ':1'}]}]}":   `"admin"`,
		"http: {listeners: [{name: a, resources: []}]}":                                          "no binds",
		"http: {listeners: [{name: a, binds: [{address: ':1', port: 3}]}]}":                      "either",
		"http: {trusted_proxies: [here]}":                                                        "trusted_proxies",
		"http: {listeners: []}":                                                                  "empty",
		"http: {listeners: [{name: a, resources: [{name: oauth}], binds: [{host: localhost}]}]}": "host and port",
		"clients: [{client_id: 01J44RKQYM4G3TNVANTMTDYTX6, client_secret: 01234567012345670}]":   "client_secret",
		"http: {public_base: reeve}":                                                             "public_base",
		"database: {timeout: 3}":                                                                 "database.timeout",
		"database: {timeout: soon}":                                                              "database.timeout",
		"database: {max_connections: 1}":                                                         "max_connections",
		"http: {base_path: estate}":                                                              "base_path",
		"clients: [{client_id: 7}]":                                                              "client_id",
		"database: {tmeout: 3s}":                                                                 "database.tmeout",
		"events: {keep: 1s, kept: 2}\nauth.basic: true":                                          "there is no setting auth.basic\nthere is no setting events.kept\nevents.keep (file)",
		"http: [": "yaml",
	} {
		path := filepath.Join(t.TempDir(), "reeve.yaml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readConfiguration(path, nil, nil); err == nil || !strings.Contains(err.Error(), about) {
			t.Errorf("%s: %v says nothing about %s", yaml, err, about)
		}
	}
}

func TestConfigurationLayers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reeve.yaml")
	if err := os.WriteFile(path, []byte("log: {level: warn}\ndatabase: {uri: 'sqlite://file.db'}\nhttp: {public_base: 'https://file.example.com'}"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := readConfiguration(path, []string{"REEVE_DATABASE__URI=sqlite://environment.db", "REEVE_LOG__LEVEL=error", "HOME=/"},
		map[string]string{"log.level": "debug"})
	if err != nil {
		t.Fatal(err)
	}
	if httpPublicBase.In(c) != "https://file.example.com" || databaseURI.In(c) != "sqlite://environment.db" || logLevel.In(c) != "debug" || !authBasicEnabled.In(c) {
		t.Errorf("%q %q %q %v", httpPublicBase.In(c), databaseURI.In(c), logLevel.In(c), authBasicEnabled.In(c))
	}
}

func TestHealthAnswersReadiness(t *testing.T) {
	s := start(t, sqliteURI(t), everything)
	s.user = ""
	for _, path := range []string{"/health", "/health/ready", "/health/live"} {
		if a := s.send("GET", path, nil); a.StatusCode != 200 || a.document["status"] != "pass" {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.text)
		}
	}
	if err := s.app.database.Close(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/health/ready": 503, "/health/live": 200} {
		if a := s.send("GET", path, nil); a.StatusCode != want {
			t.Errorf("without a database, %s: %d", path, a.StatusCode)
		}
	}
}

func TestCompressionAndCORS(t *testing.T) {
	s := start(t, sqliteURI(t), strings.Replace(everything, "http:", "http:\n  cors_origins: [https://dashboard.example.com]", 1))
	a := s.send("GET", "/api/admin/v1/users?page[first]=40", nil, "Accept-Encoding: gzip", "Origin: https://dashboard.example.com")
	if a.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(strings.Join(a.Header.Values("Vary"), ","), "Accept-Encoding") {
		t.Errorf("asked for gzip: %v", a.Header)
	}
	if a.Header.Get("Access-Control-Allow-Origin") != "https://dashboard.example.com" || a.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("from an origin that is configured: %v", a.Header)
	}
	if a := s.send("GET", "/api/admin/v1/users", nil, "Origin: https://elsewhere.example.com"); a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("from another origin: %v", a.Header)
	}
	preflight := s.send("OPTIONS", "/api/admin/v1/users", nil, "Authorization: ", "Origin: https://dashboard.example.com",
		"Access-Control-Request-Method: PATCH", "Access-Control-Request-Headers: authorization")
	if preflight.StatusCode != http.StatusNoContent || preflight.Header.Get("Access-Control-Allow-Methods") != "PATCH" {
		t.Errorf("preflight: %d %v", preflight.StatusCode, preflight.Header)
	}
}
