package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"reeve/auth"
	"reeve/fixtures"
	"reeve/resource"
)

// export reads an export below the API's base.
func (s *server) export(path string) []string {
	s.Helper()
	a := s.send("GET", "/api/admin/v1/"+path, nil, "Accept: application/x-ndjson", "Accept-Encoding: identity")
	if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "application/x-ndjson" {
		s.Fatalf("GET %s: %d %s", path, a.StatusCode, a.text)
	}
	return slices.Collect(strings.Lines(string(a.text)))
}

// TestExport compares exports with lists: the same resources in the same order.
func TestExport(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		if err := fixtures.Generate(t.Context(), s.app.database, s.app.stores(), 2_500, func(int) {}); err != nil {
			t.Fatal(err)
		}
		for _, list := range []string{"users?", "users?filter[status]=locked&filter[status]=deactivated", "sessions?", "groups?", "modules?", "users?filter[username]=nobody"} {
			var want []any
			path := "/api/admin/v1/" + list + "&page[first]=1000"
			for path != "" {
				a := s.send("GET", path, nil)
				for _, item := range dig(a.document, "data").([]any) {
					delete(item.(map[string]any), "meta") // its cursor
					want = append(want, item)
				}
				path, _ = dig(a.document, "links", "next").(string)
			}
			got := s.export(list)
			if len(got) != len(want) {
				t.Fatalf("%s: %d lines, and %d in the list", list, len(got), len(want))
			}
			for i, line := range got {
				var item any
				if err := json.Unmarshal([]byte(line), &item); err != nil || fmt.Sprint(item) != fmt.Sprint(want[i]) {
					t.Fatalf("%s, line %d: %v\n%s\n%v", list, i+1, err, line, want[i])
				}
			}
		}
	})
}

// exporting is an export as a front has it of the engine.
func (s *server) exporting(ctx context.Context, send func(resource.Result) error) error {
	return s.app.engine.Export(ctx, resource.Operation{Verb: resource.List, Type: "user", Principal: auth.System}, send)
}

// TestExportIsOfOneState changes users between the pages of an export, which shows none of it.
func TestExportIsOfOneState(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		if err := fixtures.Generate(t.Context(), s.app.database, s.app.stores(), 2_500, func(int) {}); err != nil {
			t.Fatal(err)
		}
		before := s.export("users")
		var last, got []string
		for page := s.get("users?page[last]=20"); len(last) == 0; {
			last = idsOf(page)
		}
		pages := 0
		err := s.exporting(t.Context(), func(page resource.Result) error {
			for i := range page.Resources.Len() {
				got = append(got, string(page.Resources.AppendAttributes(nil, i)))
			}
			s.do(204, "DELETE", "users/"+last[pages], nil)
			s.do(200, "POST", "users/"+last[10+pages]+"/lock", nil)
			s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": fmt.Sprint("meanwhile-", pages)}, nil))
			pages++
			return nil
		})
		if err != nil || len(got) != len(before) || pages != (len(before)+999)/1000 {
			t.Fatalf("%d users on %d pages, and there were %d; %v", len(got), pages, len(before), err)
		}
		for i, attributes := range got {
			if !strings.Contains(before[i], `"attributes":{`+attributes+"}") {
				t.Fatalf("user %d has changed: %s", i, attributes)
			}
		}
		if after := s.export("users"); len(after) != len(before) || !strings.Contains(after[len(after)-1], "meanwhile") {
			t.Error("the next export does not show what has changed")
		}
	})
}

// TestExportsAreFew keeps as many exports as there may be: one more is told to come again, and lists are answered.
func TestExportsAreFew(t *testing.T) {
	connections := map[string]int{"sqli": 4, "post": 5} // of PostgreSQL, one is kept for the stamps of events
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+fmt.Sprintf("database: {max_connections: %d}\n", connections[uri[:4]]))
		running, release, done := make(chan struct{}), make(chan struct{}), make(chan error)
		end := errors.New("the client is gone")
		for i := range 3 {
			go func() {
				done <- s.exporting(t.Context(), func(resource.Result) error {
					running <- struct{}{}
					<-release
					if i == 0 {
						return end
					}
					return nil
				})
			}()
			<-running
		}
		refused := s.send("GET", "/api/admin/v1/users", nil, "Accept: application/x-ndjson")
		if refused.StatusCode != 503 || refused.Header.Get("Retry-After") == "" || dig(refused.document, "errors", 0, "code") != "unavailable" {
			t.Errorf("a fourth export: %d %s", refused.StatusCode, refused.text)
		}
		s.get("users")
		close(release)
		ended := 0
		for range 3 {
			switch err := <-done; {
			case errors.Is(err, end):
				ended++
			case err != nil:
				t.Error(err)
			}
		}
		if ended != 1 {
			t.Errorf("%d exports ended with their client", ended)
		}
		for range 5 { // no connection was lost
			s.export("users")
		}
	})
}
