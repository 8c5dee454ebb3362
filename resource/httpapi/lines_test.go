package httpapi_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
	"reeve/storage/storagetest"
)

const lines = "application/x-ndjson"

func TestExport(t *testing.T) {
	e := newEstate(t, "")
	e.add(t, "anna", "bob", "carl")
	asks := header{"Accept": lines}
	three := func(t *testing.T, a answer) {
		t.Helper()
		if a.Header.Get("Content-Type") != lines || strings.Count(string(a.Body), "\n") != 3 || strings.Contains(string(a.Body), "cursor") {
			t.Errorf("%s %s", a.Header.Get("Content-Type"), a.Body)
		}
	}
	document := wantHeader("Content-Type", "application/vnd.api+json")
	e.Run(t,
		scenario{Name: "all", URL: base + "/users", Header: asks, Status: 200, Check: three},
		scenario{Name: "preferred to anything", URL: base + "/users", Header: header{"Accept": lines + ", */*"}, Status: 200, Check: three},
		scenario{Name: "preferred to a document", URL: base + "/users", Header: header{"Accept": "application/json;q=0.5, " + lines}, Status: 200, Check: three},
		scenario{Name: "a document at least as well", URL: base + "/users", Header: header{"Accept": lines + ", application/vnd.api+json"}, Status: 200, Check: document},
		scenario{Name: "not wanted", URL: base + "/users", Header: header{"Accept": lines + ";q=0, */*"}, Status: 200, Check: document},
		scenario{Name: "none", URL: base + "/users?filter[username]=nobody", Header: asks, Status: 200, Check: wantBody("")},
		scenario{Name: "only headers", Method: "HEAD", URL: base + "/users", Header: asks, Status: 200, Check: func(t *testing.T, a answer) {
			if a.Header.Get("Content-Type") != lines || len(a.Body) != 0 {
				t.Errorf("%s %s", a.Header.Get("Content-Type"), a.Body)
			}
		}},
		scenario{Name: "pages", URL: base + "/users?page[first]=3&count=true", Header: asks, Status: 400,
			Errors: about(resource.UnknownParameter, "page[first]", "count")},
		scenario{Name: "an unknown filter", URL: base + "/users?filter[uzer]=x", Header: asks, Status: 400,
			Errors: about(resource.UnknownParameter, "filter[uzer]")},
		scenario{Name: "only headers of an unknown filter", Method: "HEAD", URL: base + "/users?filter[uzer]=x", Header: asks, Status: 400},
		scenario{Name: "forbidden", URL: base + "/users", Header: header{"Accept": lines, "Authorization": "Bearer guest"}, Status: 403,
			Errors: one(resource.Forbidden)},
		scenario{Name: "of one resource", URL: base + "/users/01J3G5W8MRMBJ93ZYEGX2BN6NK", Header: asks, Status: 406,
			Errors: failures{{Code: resource.NotAcceptable, Header: "Accept"}}},
	)
}

// TestExportFails has the second page of an export fail: the first page is there, and a line says so.
func TestExportFails(t *testing.T) {
	e := newEstate(t, "")
	type grain struct{ ID ulid.ULID }
	schema := resource.Schema[grain]{Name: "grain", Plural: "grains", Doc: "Sand.", ID: func(g *grain) *ulid.ULID { return &g.ID }}
	store := storagetest.NewMemory(schema)
	for range 1001 {
		if err := store.Create(t.Context(), &grain{ulid.Make()}); err != nil {
			t.Fatal(err)
		}
	}
	for name, fail := range map[string]func() error{
		"unavailable": func() error { return resource.Errorf(resource.Unavailable, "the beach is gone") },
		"internal":    func() error { panic(secret) },
	} {
		pages := 0
		e.registry.Unregister("grain")
		err := e.registry.Register(resource.Type[grain]{Schema: schema, List: func(ctx context.Context, q resource.Query) (resource.Page[grain], error) {
			if pages++; pages == 2 {
				return resource.Page[grain]{}, fail()
			}
			return store.List(ctx, q)
		}})
		if err != nil {
			t.Fatal(err)
		}
		a := e.Do(t, scenario{URL: base + "/grains", Header: header{"Accept": lines}, Status: http.StatusOK})
		all := strings.Split(strings.TrimSuffix(string(a.Body), "\n"), "\n")
		if len(all) != 1001 || !strings.HasPrefix(all[1000], `{"errors":[{"id":`) || !strings.Contains(all[1000], `"code":"`+name+`"`) || strings.Contains(all[1000], secret) {
			t.Errorf("%s: %d lines, the last %s", name, len(all), all[len(all)-1])
		}
	}
}
