package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"reeve/fixtures"
)

// imports imports lines below the API's base and returns its report.
func (s *server) imports(path string, lines ...string) (reports []map[string]any) {
	s.Helper()
	a := s.send("POST", "/api/admin/v1/"+path, strings.Join(lines, "\n"), "Content-Type: application/x-ndjson", "Accept-Encoding: identity")
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/x-ndjson" {
		s.Fatalf("POST %s: %d %s", path, a.StatusCode, a.text)
	}
	for line := range strings.Lines(string(a.text)) {
		var report map[string]any
		if err := json.Unmarshal([]byte(line), &report); err != nil {
			s.Fatalf("%v: %s", err, line)
		}
		reports = append(reports, report)
	}
	return reports
}

// TestImportOfExport exports users and imports them into another service, where the same are then listed.
func TestImportOfExport(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		if err := fixtures.Generate(t.Context(), s.app.database, s.app.stores(), 1_200, func(int) {}); err != nil {
			t.Fatal(err)
		}
		exported := s.export("users")
		for i, line := range exported {
			exported[i] = strings.TrimSuffix(line, "\n")
		}
		onBoth(t, func(t *testing.T, uri string) {
			to := start(t, uri, everything)
			db := to.hand()
			defer db.Close()
			before := to.count("SELECT count(*) FROM users")
			events := to.events()
			reports := to.imports("users", exported...)
			taken := 0
			for i, report := range reports {
				if dig(report, "line") != float64(i+1) {
					t.Fatalf("line %d is reported as %v", i+1, report)
				}
				if dig(report, "errors", 0, "code") == "taken" { // the demo's users are here too
					taken++
				} else if report["type"] != "user" {
					t.Fatalf("line %d: %v", i+1, report)
				}
			}
			if len(reports) != len(exported) || taken != before || to.events() != events+len(exported)-taken {
				t.Fatalf("%d reports, %d users were there before, %d events", len(reports), taken, to.events()-events)
			}
			names := func(s *server) map[string]string {
				all := map[string]string{}
				for _, line := range s.export("users") {
					var user map[string]any
					if err := json.Unmarshal([]byte(line), &user); err != nil {
						t.Fatal(err)
					}
					of := dig(user, "attributes").(map[string]any)
					all[of["username"].(string)] = fmt.Sprint(of["display_name"], of["email"], of["registered_ip"])
				}
				return all
			}
			if want, got := names(s), names(to); !maps.Equal(want, got) {
				t.Errorf("%d users are listed, not %d, or others", len(got), len(want))
			}
		})
	})
}

// TestImport imports good and bad lines: each is reported, and the good ones are in.
func TestImport(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		line := `{"type":"group","attributes":{"name":"One"}}`
		if a := s.send("POST", "/api/admin/v1/groups", line, "Content-Type: application/x-ndjson; charset=utf-16"); a.StatusCode != 415 {
			t.Errorf("lines in UTF-16: %d %s", a.StatusCode, a.text)
		}
		for _, report := range s.imports("groups", `{"type":"group","attributes":{"name":"One"}}`, `{"type":"group","attributes":{"name":"Two"}}`) {
			if report["id"] == nil { // each is given a key of its own
				t.Error(report)
			}
		}
		user := func(attributes string) string { return `{"type":"user","attributes":{` + attributes + `}}` }
		lines := []string{
			user(`"username":"one","password_hash":"` + foreignHashes["bcrypt"] + `"`),
			`{"data":` + user(`"username":"two"`) + `}`,
			``,
			`{"type":"user","attributes":`,
			user(`"username":"three","hat":"green"`),
			`{"data":` + user(`"username":"four","email":"no address"`) + `}`,
			user(`"username":"one"`),
			user(`"username":"kilgore-trout"`),
			`{"type":"group","attributes":{"name":"x"}}`,
			user(`"display_name":"nobody"`),
			user(`"username":"long","display_name":"` + strings.Repeat("x", 1<<20) + `"`),
			`{"type":"user","id":"01J3G5W8MRMBJ93ZYEGX2BN6NK","attributes":{"username":"five","email":"one@example.com","created_at":"2020-01-01T00:00:00Z","locked_at":null},"links":{"self":"/x"}}`,
			user(`"username":"six","email":"one@example.com"`),
			user(`"username":"seven"`),
		}
		want := map[int]string{ // by line: codes with their pointers
			4: "malformed_document ", 5: "unknown_member /attributes/hat", 6: "invalid /data/attributes/email", 7: "taken /attributes/username",
			8: "taken /attributes/username", 9: "type_mismatch /type", 10: "required /attributes", 11: "payload_too_large ",
			13: "taken /attributes/email",
		}
		events := s.events()
		created := 0
		var seen []int
		for _, report := range s.imports("users", lines...) {
			n := int(report["line"].(float64))
			seen = append(seen, n)
			failure, bad := want[n]
			pointer, _ := dig(report, "errors", 0, "source", "pointer").(string)
			switch {
			case bad && fmt.Sprint(dig(report, "errors", 0, "code"), " ", pointer) != failure:
				t.Errorf("line %d: %v, not %s", n, report, failure)
			case !bad && report["id"] == nil:
				t.Errorf("line %d: %v", n, report)
			case !bad:
				created++
				s.get("users/" + report["id"].(string))
			}
		}
		if !slices.Equal(seen, []int{1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}) || created != 4 || s.events() != events+4 {
			t.Errorf("the lines %v are reported, %d users created, %d events", seen, created, s.events()-events)
		}
		one := *s
		one.user = "one:pässwörd"
		one.get("me")

		// A group's members go with it, and must be there.
		reports := s.imports("groups", `{"type":"group","attributes":{"name":"Crew"},"relationships":{"members":{"data":[{"type":"user","id":"`+quentin+`"}]}}}`,
			`{"type":"group","attributes":{"name":"Nobody"},"relationships":{"members":{"data":[{"type":"user","id":"01J3G5W8MRMBJ93ZYEGX2BN6ZZ"}]}}}`)
		if members := s.get(fmt.Sprint("groups/", reports[0]["id"], "/relationships/members")); dig(members, "data", 0, "id") != quentin ||
			dig(reports[1], "errors", 0, "source", "pointer") != "/relationships/members/data/0" {
			t.Errorf("%v, %v", reports, members)
		}

		for name, refused := range map[string]struct {
			status          int
			path, headers   string
			accept, as, key string
		}{
			"a query":      {status: 400, path: "users?filter[username]=x"},
			"no documents": {status: 406, path: "users", headers: "Accept: application/vnd.api+json"},
			"kept answers": {status: 400, path: "users", headers: "Idempotency-Key: abc"},
			"no creation":  {status: 405, path: "modules"},
		} {
			headers := []string{"Content-Type: application/x-ndjson"}
			if refused.headers != "" {
				headers = append(headers, refused.headers)
			}
			if a := s.send("POST", "/api/admin/v1/"+refused.path, user(`"username":"refused"`), headers...); a.StatusCode != refused.status {
				t.Errorf("%s: %d %s", name, a.StatusCode, a.text)
			}
		}
		if a := one.send("POST", "/api/admin/v1/users", user(`"username":"refused"`), "Content-Type: application/x-ndjson"); a.StatusCode != 403 {
			t.Errorf("a user who may not: %d", a.StatusCode)
		}
		if n := s.count("SELECT count(*) FROM users WHERE username = 'refused'"); n != 0 {
			t.Error("what was refused is there")
		}
	})
}

// TestConcurrentImports imports the same 1,000 users, more than 2 MiB, four times at once: each is created once.
func TestConcurrentImports(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		var lines []string
		for i := range 1_000 {
			lines = append(lines, fmt.Sprintf(`{"type":"user","attributes":{"username":"u%d"},"meta":{"filling":"%s"}}`, i, strings.Repeat("x", 2_100)))
		}
		created := make(chan int)
		for range 4 {
			go func() {
				n := 0
				defer func() { created <- n }()
				a, err := s.try("POST", "/api/admin/v1/users", strings.Join(lines, "\n"), "Content-Type: application/x-ndjson", "Accept-Encoding: identity")
				if err != nil || a.StatusCode != 200 {
					t.Error(err, a.Response)
					return
				}
				for line := range strings.Lines(string(a.text)) {
					switch {
					case strings.Contains(line, `"type":"user"`):
						n++
					case !strings.Contains(line, `"code":"taken"`):
						t.Error(line)
					}
				}
			}()
		}
		total := 0
		for range 4 {
			total += <-created
		}
		if n := s.count("SELECT count(*) FROM users WHERE username LIKE 'u%'"); total != 1_000 || n < 1_000 {
			t.Errorf("%d are reported as created, and %d are there", total, n)
		}
	})
}
