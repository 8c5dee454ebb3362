package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/fixtures"
	"reeve/resource"
	"reeve/resource/httpapi"
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

// rest has the caller's activity written: for a minute, requests do not change the rows of who makes them.
func (s *server) rest() {
	s.Helper()
	s.get("me")
	if err := s.app.activity.Flush(s.Context(), 0); err != nil {
		s.Fatal(err)
	}
}

// TestExport compares exports with lists: the same resources in the same order.
func TestExport(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		if err := fixtures.Generate(t.Context(), s.app.database, s.app.stores(), 2_500, func(int) {}); err != nil {
			t.Fatal(err)
		}
		for _, list := range []string{
			"users?", "users?filter[status]=locked&filter[status]=deactivated", "sessions?", "groups?", "modules?", "users?filter[username]=nobody",
			"users?sort=-last_active_at", "users?sort=username&filter[status]=active&fields[user]=display_name,created_at", "sessions?fields[session]=user",
		} {
			s.rest()
			var want []any
			path := "/api/admin/v1/" + list + "&page[first]=1000"
			for path != "" {
				a := s.send("GET", path, nil)
				for _, item := range dig(a.document, "data").([]any) {
					item := item.(map[string]any)
					delete(item, "meta") // its cursor
					if relationships, ok := item["relationships"].(map[string]any); ok {
						maps.DeleteFunc(relationships, func(_ string, shown any) bool {
							return shown.(map[string]any)["data"] == nil && len(shown.(map[string]any)) == 1
						})
						if len(relationships) == 0 {
							delete(item, "relationships")
						}
					}
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
		s.rest()
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

// TestExportIsCompressedPageByPage reads the first page of a compressed export before there is a second one.
func TestExportIsCompressedPageByPage(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		type grain struct{ ID ulid.ULID }
		read := make(chan struct{})
		err := s.app.engine.Registry().Register(resource.Type[grain]{
			Schema: resource.Schema[grain]{Name: "grain", Plural: "grains", Doc: "Sand.", ID: func(g *grain) *ulid.ULID { return &g.ID }},
			List: func(ctx context.Context, q resource.Query) (page resource.Page[grain], err error) {
				for range q.Window.Size {
					page.Rows = append(page.Rows, grain{ulid.Make()})
				}
				page.Next = q.Window.After == nil
				if !page.Next {
					select {
					case <-read:
					case <-ctx.Done():
						return page, ctx.Err()
					}
				}
				return page, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "GET", s.bases[0]+"/api/admin/v1/grains", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(fixtures.DemoAdministrator, fixtures.DemoPassword)
		r.Header.Set("Accept", "application/x-ndjson")
		r.Header.Set("Accept-Encoding", "gzip")
		a, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		if a.StatusCode != 200 || a.Header.Get("Content-Encoding") != "gzip" {
			t.Fatal(a.Status, a.Header)
		}
		plain, err := gzip.NewReader(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for lines := bufio.NewScanner(plain); lines.Scan(); {
			if n++; n == 1000 {
				close(read)
			}
		}
		if n != 2000 {
			t.Errorf("%d lines", n)
		}
	})
}

// TestExportToNobody exports to a client that does not read: it is cut off, and its snapshot is free for another.
func TestExportToNobody(t *testing.T) {
	connections := map[string]int{"sqli": 2, "post": 3} // for one export at once
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+fmt.Sprintf("database: {max_connections: %d}\n", connections[uri[:4]]))
		if err := fixtures.Generate(t.Context(), s.app.database, s.app.stores(), 2_500, func(int) {}); err != nil {
			t.Fatal(err)
		}
		front := httpapi.New(httpapi.Config{Engine: s.app.engine, Log: s.app.log, Patience: 100 * time.Millisecond,
			Authenticate: func(*http.Request) (*auth.Principal, error) { return auth.System, nil }})
		ended := make(chan struct{})
		impatient := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			front.ServeHTTP(w, r)
			close(ended)
		}))
		impatient.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			if err := c.(*net.TCPConn).SetWriteBuffer(4096); err != nil { // the system would take the whole export
				t.Error(err)
			}
			return ctx
		}
		impatient.Start()
		defer impatient.Close()
		c, err := net.Dial("tcp", impatient.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(c, "GET %s/users HTTP/1.1\r\nHost: reeve\r\nAccept: application/x-ndjson\r\n\r\n", httpapi.Base); err != nil {
			t.Fatal(err)
		}
		<-ended
		if lines := s.export("users"); len(lines) < 2_500 {
			t.Errorf("the next export has %d lines", len(lines))
		}
		got, err := io.ReadAll(c)
		if err == nil && strings.HasSuffix(string(got), "\r\n0\r\n\r\n") { // the last chunk
			t.Errorf("the whole export came, %d bytes", len(got))
		}
	})
}
