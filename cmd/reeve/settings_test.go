package main

import (
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"reeve/resource"
	"reeve/resource/module"
)

// setting reads a setting by its name.
func (s *server) setting(name string) map[string]any {
	s.Helper()
	return dig(s.get("settings/by-name/"+name), "data", "attributes").(map[string]any)
}

// set stores a value of a setting, and wants a status.
func (s *server) set(status int, name string, value any) answer {
	s.Helper()
	a := s.send("PATCH", "/api/admin/v1/settings/by-name/"+name, resourceDocument("setting", "", map[string]any{"value": value}, nil))
	if a.StatusCode != status {
		s.Fatalf("%s set to %v: %d, not %d: %s", name, value, a.StatusCode, status, a.text)
	}
	return a
}

func TestSettings(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+"log: {level: error}\nevents: {keep: 100h}\n"+example)
		s.client = &http.Client{Transport: headed{s.client.Transport, "Authorization", s.personalToken("settings").header}}
		s.user = ""

		want := map[string]any{"name": "events.keep", "section": "events", "key": "keep", "kind": "duration", "value": "100h", "default": "9600h",
			"doc": "How long the trail is kept; 0 for ever.", "source": "file", "secret": false, "fixed": false, "needs_restart": false, "changed_at": nil}
		if got := s.setting("events.keep"); !reflect.DeepEqual(got, want) {
			t.Errorf("%v, not %v", got, want)
		}
		for _, source := range []string{"default", "file", "environment"} {
			for _, row := range dig(s.get("settings?page[first]=1000&sort=name&filter[source]="+source), "data").([]any) {
				if got := dig(row, "attributes", "source"); got != source {
					t.Errorf("%v among those of %s", got, source)
				}
			}
		}
		if got := dig(s.get("settings?filter[section]=auth.basic"), "data", 0, "attributes", "key"); got != "enabled" {
			t.Error(got)
		}
		// What is secret is nowhere to be seen.
		for _, name := range []string{"database.uri", "clients", "secrets.master_key"} {
			if got := s.setting(name); got["value"] != resource.Mask || got["secret"] != true || got["fixed"] != true {
				t.Errorf("%s: %v", name, got)
			}
		}
		whole := string(s.send("GET", "/api/admin/v1/settings?page[first]=1000", nil).text)
		for _, secret := range []string{testKey, "phoo8ahneir3ohY2eigh4xuu6Oodaewi", uri} {
			if strings.Contains(whole, secret) {
				t.Errorf("settings show %s", secret)
			}
		}

		// A change is in effect with the next request, and falls back.
		basic := func() int {
			a := s.send("GET", "/api/admin/v1/users", nil, "Authorization: Basic a2lsZ29yZS10cm91dDpzby1pdC1nb2VzLTE5Njk=")
			if challenges := len(a.Header.Values("WWW-Authenticate")); a.StatusCode == 401 && challenges != 1 {
				t.Errorf("%d challenges", challenges)
			}
			return a.StatusCode
		}
		if got := basic(); got != 200 {
			t.Fatal(got)
		}
		before := s.send("GET", "/api/admin/v1/settings/by-name/auth.basic.enabled", nil)
		changed := s.set(200, "auth.basic.enabled", false)
		if got := dig(changed.document, "data", "attributes"); dig(got, "value") != false || dig(got, "source") != "stored" || dig(got, "changed_at") == nil {
			t.Error(got)
		}
		if got := basic(); got != 401 {
			t.Errorf("a password: %d", got)
		}
		if spec := s.send("GET", "/api/spec.json", nil); dig(spec.document, "components", "securitySchemes", "basic") != nil {
			t.Error("the document has Basic")
		}
		if before.Header.Get("ETag") == changed.Header.Get("ETag") {
			t.Error("the version is the same")
		}
		event := dig(s.get("events?sort=-at&page[first]=1"), "data", 0, "attributes")
		if got := dig(event, "changes"); dig(event, "verb") != "update" || !reflect.DeepEqual(got, map[string]any{"value": map[string]any{"from": true, "to": false}}) {
			t.Errorf("the event: %v", event)
		}
		events := func() any { return dig(s.get("events?count=only"), "meta", "count") }
		count := events()
		s.set(200, "auth.basic.enabled", false)
		if got := events(); got != count {
			t.Errorf("%v events, not %v", got, count)
		}
		if a := s.send("PATCH", "/api/admin/v1/settings/by-name/auth.basic.enabled", resourceDocument("setting", "", map[string]any{"value": true}, nil),
			"If-Match: "+before.Header.Get("ETag")); a.StatusCode != 412 {
			t.Errorf("another version: %d", a.StatusCode)
		}
		s.do(204, "DELETE", "settings/by-name/auth.basic.enabled", nil)
		if got := basic(); got != 200 {
			t.Errorf("a password: %d", got)
		}
		if got := s.setting("auth.basic.enabled"); got["value"] != true || got["source"] != "default" || got["changed_at"] != nil {
			t.Error(got)
		}
		s.do(409, "DELETE", "settings/by-name/auth.basic.enabled", nil)

		// So is that of what is made of a setting when it changes.
		origin := func() string {
			return s.send("GET", "/api/admin/v1/me", nil, "Origin: https://dashboard.example.com").Header.Get("Access-Control-Allow-Origin")
		}
		s.set(200, "http.cors_origins", []any{"https://dashboard.example.com"})
		if got := origin(); got != "https://dashboard.example.com" {
			t.Errorf("a page may call: %q", got)
		}
		s.do(204, "DELETE", "settings/by-name/http.cors_origins", nil)
		if got := origin(); got != "" {
			t.Errorf("a page may still call: %q", got)
		}
		count = events()

		// What breaks a rule changes nothing.
		for name, value := range map[string]any{
			"auth.basic.enabled": "false", "events.keep": "1s", "sessions.keep": 3600, "log.level": "loud", "http.trusted_proxies": []any{"here"},
			"http.cors_origins": "https://x.example.com", "server.name": nil, "http.public_base": "reeve",
		} {
			a := s.set(422, name, value)
			if got := dig(a.document, "errors", 0, "source", "pointer"); got != "/data/attributes/value" {
				t.Errorf("%s: the error is at %v", name, got)
			}
		}
		for _, name := range []string{"database.uri", "database.timeout", "secrets.master_key", "http.listeners", "clients", "policy.data.admin_clients", "http.allowed_addresses"} {
			value := any("x")
			if name == "clients" || name == "policy.data.admin_clients" {
				value = []any{}
			}
			if a := s.set(403, name, value); dig(a.document, "errors", 0, "code") != "read_only" {
				t.Errorf("%s: %s", name, a.text)
			}
		}
		s.do(405, "POST", "settings", resourceDocument("setting", "", map[string]any{"name": "x"}, nil))
		s.do(404, "GET", "settings/by-name/auth.basic", nil)
		if got := events(); got != count {
			t.Errorf("%v events, not %v", got, count)
		}

		// Several at once, or none.
		operations := func(name string, level any) answer {
			id := func(name string) string { return idOf(s.get("settings/by-name/" + name)) }
			return s.send("POST", "/api/admin/v1/operations", map[string]any{"atomic:operations": []any{
				operation("update", "data", resourceDocument("setting", id("server.name"), map[string]any{"value": name}, nil)["data"]),
				operation("update", "data", resourceDocument("setting", id("log.level"), map[string]any{"value": level}, nil)["data"]),
			}}, `Content-Type: application/vnd.api+json; ext="https://jsonapi.org/ext/atomic"`)
		}
		if a := operations("A", "loud"); a.StatusCode != 422 || s.setting("server.name")["value"] != "reeve" {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
		if a := operations("B", "error"); a.StatusCode != 200 || s.setting("server.name")["value"] != "B" || dig(s.get("server"), "data", "attributes", "name") != "B" {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}

		// Who may change some settings may not change others.
		_, as := s.person("limited", s.newRole("limited", "setting:read@auth.basic.*", "setting:update@auth.basic.enabled"))
		as.set(200, "auth.basic.enabled", true)
		as.set(404, "server.name", "C")
		if got := dig(as.get("settings"), "meta", "count"); got != 1.0 {
			t.Errorf("%v settings are shown", got)
		}
		_, as = s.person("section", s.newRole("section", "setting:read", "setting:update", "setting:delete"))
		as.set(403, "auth.ldap.mappings", []any{map[string]any{"group_dn": "*", "roles": []any{"admin"}}})
		s.set(200, "users.default_groups", []any{"support"})
		as.do(403, "DELETE", "settings/by-name/users.default_groups", nil)
		as.set(200, "server.name", "C")
	})
}

// headed sends a header with each request that has none of its name.
type headed struct {
	http.RoundTripper
	name, value string
}

func (h headed) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get(h.name) == "" {
		r = r.Clone(r.Context())
		r.Header.Set(h.name, h.value)
	}
	return h.RoundTripper.RoundTrip(r)
}

// TestSettingsElsewhere changes settings on one node and sees them on another within a second, though that one is deaf.
func TestSettingsElsewhere(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		here := start(t, uri, everything)
		there := here.another(everything)
		postgres := strings.HasPrefix(uri, "postgres")
		for i := range 6 {
			if postgres && i%2 == 1 && here.count("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'") == 0 {
				t.Error("nobody listens")
			}
			name := fmt.Sprint("node ", i)
			if i == 3 { // what falls back is seen too
				here.do(204, "DELETE", "settings/by-name/server.name", nil)
				name = "reeve"
			} else {
				here.set(200, "server.name", name)
			}
			if got := serverName.In(here.app.config); got != name {
				t.Errorf("here it is %s, not %s", got, name)
			}
			eventually(t, time.Second, name+" elsewhere", func() bool { return serverName.In(there.app.config) == name })
		}
		here.set(200, "http.public_base", "https://changed.example.com")
		if got := there.setting("http.public_base"); got["value"] != "https://changed.example.com" || got["needs_restart"] != true {
			t.Error(got)
		}
		late := here.another(everything) // what needs a restart is in effect with the next start
		if got := httpPublicBase.In(late.app.config); got != "https://changed.example.com" {
			t.Errorf("after a restart: %q", got)
		}
		if got := httpPublicBase.In(here.app.config); got != "" {
			t.Errorf("without one: %q", got)
		}
	})
}

func TestReload(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+example)
		write := func(yaml string) {
			t.Helper()
			if err := os.WriteFile(s.path, []byte(yaml), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := dig(s.get("server"), "data", "attributes"); dig(got, "name") != "reeve" || dig(got, "started_at") == nil || dig(got, "version") == nil {
			t.Error(got)
		}
		reload := func() map[string]any {
			t.Helper()
			return dig(s.do(200, "POST", "server/reload", nil), "meta").(map[string]any)
		}
		if got := reload(); len(got["changed"].([]any)) != 0 || len(got["needs_restart"].([]any)) != 0 {
			t.Error(got)
		}
		changed := strings.Replace(everything, "http:", "http:\n  base_path: /estate\n  allowed_addresses: [127.0.0.1]", 1) + "events: {keep: 50h}\n" + example
		for about, wrong := range map[string]string{
			"events.kep":   changed + "server: {name: wrong}\n" + "sessions: {kep: 1h}\n",
			"admin":        strings.Replace(changed, "      - 01J44RKQYM4G3TNVANTMTDYTX6\n", "      - nobody\n", 1),
			"no such file": changed + "server: {name: wrong}\nsecrets: [}",
		} {
			write(wrong)
			if a := s.send("POST", "/api/admin/v1/server/reload", nil); a.StatusCode != 409 {
				t.Errorf("%s: %d %s", about, a.StatusCode, a.text)
			}
			if got := s.setting("events.keep"); got["value"] != "9600h" || s.setting("server.name")["value"] != "reeve" || dig(s.get("allowed-addresses"), "meta", "count") != 0.0 {
				t.Errorf("%s: something has changed: %v", about, got)
			}
		}
		write(changed)
		want := map[string]any{"changed": []any{"events.keep", "http.allowed_addresses", "http.base_path"}, "needs_restart": []any{"http.base_path"}}
		if got := reload(); !reflect.DeepEqual(got, want) {
			t.Errorf("%v, not %v", got, want)
		}
		if got := s.setting("events.keep"); got["value"] != "50h" || got["source"] != "file" {
			t.Error(got)
		}
		if got := dig(s.get("allowed-addresses"), "data", 0, "attributes"); dig(got, "address") != "127.0.0.1" || dig(got, "source") != "file" {
			t.Error(got)
		}
		if got := reload(); !reflect.DeepEqual(got, map[string]any{"changed": []any{}, "needs_restart": []any{"http.base_path"}}) {
			t.Error(got)
		}
		// A client that is gone from the file is gone, with its tokens.
		write(everything)
		reload()
		if got := dig(s.get("clients"), "meta", "count"); got != 0.0 || dig(s.get("allowed-addresses"), "meta", "count") != 0.0 {
			t.Errorf("%v clients", got)
		}
	})
}

// TestHangup reloads a process by a signal.
func TestHangup(t *testing.T) {
	uri := sqliteURI(t)
	prepare(t, uri)
	p := launch(t, uri, everything)
	p.get("users")
	if err := os.WriteFile(p.path, []byte(everything+"server: {name: renamed}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	late := time.Now().Add(patience)
	for dig(p.get("server"), "data", "attributes", "name") != "renamed" {
		if time.Now().After(late) {
			t.Fatal("the program does not heed the signal")
		}
	}
	if got := dig(p.get("events?sort=-at&page[first]=1"), "data", 0, "attributes"); dig(got, "verb") != "reload" || dig(got, "actor_name") != "reeve" {
		t.Error(got)
	}
}

func TestAllowedAddresses(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		proxied := strings.Replace(everything, "http:", "http:\n  trusted_proxies: [127.0.0.1]", 1)
		here := start(t, uri, proxied)
		there := here.another(proxied)
		from := func(address string) []string { return []string{"X-Forwarded-For: " + address} }
		add := func(status int, address, caller, query string) string {
			t.Helper()
			a := here.send("POST", "/api/admin/v1/allowed-addresses"+query, resourceDocument("allowed-address", "", map[string]any{"address": address}, nil), from(caller)...)
			if a.StatusCode != status {
				t.Fatalf("%s added by %s: %d, not %d: %s", address, caller, a.StatusCode, status, a.text)
			}
			if status == 201 {
				return idOf(a.document)
			}
			return fmt.Sprint(dig(a.document, "errors", 0, "code"))
		}
		ask := func(s *server, path, caller string) int {
			t.Helper()
			return s.send("GET", path, nil, from(caller)...).StatusCode
		}
		const api, office, home = "/api/admin/v1/users", "203.0.113.9", "198.51.100.7"

		if got := ask(here, api, home); got != 200 {
			t.Fatalf("while there are none: %d", got)
		}
		if code := add(409, "10.0.0.0/8", office, ""); code != "conflict" {
			t.Errorf("who locks themselves out: %s", code)
		}
		first := add(201, "203.0.113.77/24", office, "")
		if got := dig(here.send("GET", "/api/admin/v1/allowed-addresses/"+first, nil, from(office)...).document, "data", "attributes", "address"); got != "203.0.113.0/24" {
			t.Errorf("the address is %v", got)
		}
		for caller, want := range map[string]int{office: 200, "::ffff:203.0.113.1": 200, home: 403, "2001:db8::1": 403} {
			if got := ask(here, api, caller); got != want {
				t.Errorf("from %s: %d, not %d", caller, got, want)
			}
		}
		// Nobody is asked who they are, and the rest of the listener is open.
		if a := here.send("GET", api, nil, "X-Forwarded-For: "+home, "Authorization: Basic bm9ib2R5Ong="); a.StatusCode != 403 || len(failuresIn(t, a)) != 1 {
			t.Errorf("with wrong credentials: %d %s", a.StatusCode, a.text)
		}
		for path, want := range map[string]int{"/api/spec.json": 403, "/api/doc/": 403, "/health": 200, "/.well-known/openid-configuration": 200, "/metrics": 200} {
			if got := ask(here, path, home); got != want {
				t.Errorf("%s: %d, not %d", path, got, want)
			}
		}
		eventually(t, time.Second, "elsewhere", func() bool { return ask(there, api, home) == 403 })
		if got := ask(there, api, office); got != 200 {
			t.Errorf("elsewhere from an allowed address: %d", got)
		}

		if code := add(409, "203.0.113.0/24", office, ""); code != "taken" {
			t.Errorf("the same once more: %s", code)
		}
		mapped := add(201, "::ffff:198.51.100.7", office, "")
		if code := add(409, home, office, ""); code != "taken" {
			t.Errorf("the same in another form: %s", code)
		}
		add(422, "here", office, "")
		add(422, "10.0.0.0/33", office, "")
		add(422, "fe80::1%eth0", office, "")
		if got := ask(here, api, home); got != 200 {
			t.Errorf("from home: %d", got)
		}
		remove := func(status int, id, query string) {
			t.Helper()
			if a := here.send("DELETE", "/api/admin/v1/allowed-addresses/"+id+query, nil, from(office)...); a.StatusCode != status {
				t.Fatalf("removed: %d, not %d: %s", a.StatusCode, status, a.text)
			}
		}
		remove(409, first, "")
		if postgres := strings.HasPrefix(uri, "postgres"); postgres {
			here.count("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
		}
		remove(204, first, "?force=true")
		if got := ask(here, api, office); got != 403 {
			t.Errorf("who has locked themselves out: %d", got)
		}
		eventually(t, time.Second, "elsewhere", func() bool { return ask(there, api, office) == 403 })
		if a := here.send("DELETE", "/api/admin/v1/allowed-addresses/"+mapped, nil, from(home)...); a.StatusCode != 204 { // the last one: then there are none
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
		eventually(t, time.Second, "elsewhere", func() bool { return ask(there, api, office) == 200 })
	})
}

// TestAllowedAddressesOfFile starts with addresses in the file: they are there from the first request on, and stay.
func TestAllowedAddressesOfFile(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		yaml := strings.Replace(everything, "http:", "http:\n  trusted_proxies: [127.0.0.1]\n  allowed_addresses: [127.0.0.1, 10.0.0.0/8]", 1)
		s := start(t, uri, yaml)
		if a := s.send("GET", "/api/admin/v1/users", nil, "X-Forwarded-For: 203.0.113.9"); a.StatusCode != 403 {
			t.Errorf("%d", a.StatusCode)
		}
		// So are the routes of modules there, and no others.
		if err := s.app.modules.Know(module.Module{Name: "routed", Doc: "Has routes.", Routes: []module.Route{
			{Resource: serveAdminAPI, Path: "/compat", Handler: http.NotFoundHandler()}, {Resource: serveUserAPI, Path: "/open", Handler: http.NotFoundHandler()},
		}}); err != nil {
			t.Fatal(err)
		}
		s.module(200, "routed", "load")
		for path, want := range map[string]int{"/compat": 403, "/open": 404} {
			if a := s.send("GET", path, nil, "X-Forwarded-For: 203.0.113.9"); a.StatusCode != want {
				t.Errorf("%s: %d, not %d", path, a.StatusCode, want)
			}
		}
		rows := s.get("allowed-addresses?sort=address&filter[source]=file")
		if dig(rows, "meta", "count") != 2.0 || dig(rows, "data", 0, "attributes", "address") != "10.0.0.0/8" {
			t.Error(rows)
		}
		id := dig(rows, "data", 0, "id")
		for method, body := range map[string]any{"DELETE": nil, "PATCH": resourceDocument("allowed-address", fmt.Sprint(id), map[string]any{"comment": "x"}, nil)} {
			if a := s.send(method, fmt.Sprint("/api/admin/v1/allowed-addresses/", id), body); a.StatusCode != 403 || dig(a.document, "errors", 0, "code") != "read_only" {
				t.Errorf("%s: %d %s", method, a.StatusCode, a.text)
			}
		}
	})
}

// TestConcurrentLockOut has two callers remove one another's address at once: one of them is refused.
func TestConcurrentLockOut(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, strings.Replace(everything, "http:", "http:\n  trusted_proxies: [127.0.0.1]", 1))
		callers := [2]string{"203.0.113.1", "203.0.113.2"}
		for round := range 5 {
			var ids [2]string
			for i, address := range callers {
				a := s.send("POST", "/api/admin/v1/allowed-addresses", resourceDocument("allowed-address", "", map[string]any{"address": address}, nil), "X-Forwarded-For: "+callers[0])
				if a.StatusCode != 201 {
					t.Fatalf("%d %s", a.StatusCode, a.text)
				}
				ids[i] = idOf(a.document)
			}
			statuses := make(chan int, 2)
			for i := range callers {
				go func() {
					a, err := s.try("DELETE", "/api/admin/v1/allowed-addresses/"+ids[1-i], nil, "X-Forwarded-For: "+callers[i])
					if err != nil {
						t.Error(err)
						statuses <- 0
						return
					}
					statuses <- a.StatusCode
				}()
			}
			a, b := <-statuses, <-statuses
			left := s.count("SELECT count(*) FROM allowed_addresses")
			// The second is refused: by the guard, by the check, or since removing the last address locks nobody out.
			if left == 0 && (a != 204 || b != 204) || left == 1 && a == b {
				t.Fatalf("round %d: %d and %d, %d are left", round, a, b, left)
			}
			db := s.hand()
			if _, err := db.ExecContext(t.Context(), "DELETE FROM allowed_addresses"); err != nil {
				t.Fatal(err)
			}
			db.Close()
			eventually(t, time.Second, "a hand", func() bool {
				return s.send("GET", "/api/admin/v1/me", nil, "X-Forwarded-For: 192.0.2.1").StatusCode == 200
			})
		}
	})
}
