package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"reeve/resource"
	"reeve/resource/module"
	"reeve/storage"
)

// spacing is what two modules of the program do: space has a type, a route and a worker, and travel needs it.
type spacing struct{ workers atomic.Int64 }

// know has a program know the modules, and load what is stored.
func (s *spacing) know(ctx context.Context, a *app) error {
	planets, err := storage.NewTable(a.database.DB, planetSchema)
	if err != nil {
		return err
	}
	if err := a.database.Migrate(ctx); err != nil {
		return err
	}
	err = a.modules.Know(
		module.Module{
			Name: "space", Doc: "What is out there.", Types: []resource.Declaration{planetType(planets)},
			Routes: []module.Route{{Resource: serveUserAPI, Path: "/api/stars", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "many") })}},
			Run: func(ctx context.Context) error {
				s.workers.Add(1)
				<-ctx.Done()
				s.workers.Add(-1)
				return nil
			},
		},
		module.Module{Name: "travel", Doc: "How to get there.", Needs: []string{"space"}},
	)
	if err != nil {
		return err
	}
	return a.modules.Open(ctx, a.engine, nil)
}

// startSpacing serves everything and knows the modules.
func startSpacing(t *testing.T, uri string) (*server, *spacing) {
	s, space := start(t, uri, everything), &spacing{}
	if err := space.know(t.Context(), s.app); err != nil {
		t.Fatal(err)
	}
	return s, space
}

// module asks for an action on a module and wants a status.
func (s *server) module(status int, name, action string) map[string]any {
	s.Helper()
	return s.do(status, "POST", "modules/by-name/"+name+"/"+action, nil)
}

func TestModuleActions(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s, space := startSpacing(t, uri)
		events := func() int { return s.count("SELECT count(*) FROM events WHERE target_type = 'module'") }
		before := events() // of what is loaded to begin with
		wantEvents := func(n int) {
			t.Helper()
			if got := events() - before; got != n {
				t.Fatalf("%d events, not %d", got, n)
			}
		}
		wantPlanets := func(status int) {
			t.Helper()
			s.do(status, "GET", "planets", nil)
			if a := s.send("GET", "/api/stars", nil); a.StatusCode != status {
				t.Fatalf("the route: %d, not %d", a.StatusCode, status)
			}
			served := status == 200
			if documented := dig(s.send("GET", "/api/spec.json", nil).document, "paths", "/api/admin/v1/planets") != nil; documented != served {
				t.Fatalf("documented: %v", documented)
			}
			for _, path := range []string{"types?filter[name]=planet", "permissions?filter[name]=planet:explode"} {
				if there := dig(s.get(path), "meta", "count") == 1.0; there != served {
					t.Fatalf("%s: %v", path, there)
				}
			}
			if running := space.workers.Load() == 1; running != served {
				t.Fatalf("%d workers", space.workers.Load())
			}
		}

		wantPlanets(404)
		refused := s.module(409, "travel", "load")
		if detail := fmt.Sprint(dig(refused, "errors", 0, "detail")); !strings.Contains(detail, "space") {
			t.Errorf("the refusal does not name the need: %s", detail)
		}
		if dig(s.get("modules/by-name/travel"), "data", "attributes", "error") == nil {
			t.Error("the module does not say why it is not loaded")
		}
		s.module(409, "space", "reload")
		wantEvents(0)
		loaded := s.module(200, "space", "load")
		if dig(loaded, "data", "attributes", "loaded") != true || dig(loaded, "data", "attributes", "error") != nil {
			t.Errorf("loaded: %v", loaded)
		}
		eventually(t, time.Second, "the worker runs", func() bool { return space.workers.Load() == 1 })
		wantPlanets(200)
		wantEvents(1)
		s.module(200, "space", "load")
		wantEvents(1)
		planet := idOf(s.do(201, "POST", "planets", resourceDocument("planet", "", map[string]any{"name": "earth"}, nil)))
		s.module(200, "travel", "load")
		if dig(s.get("modules/by-name/travel"), "data", "attributes", "error") != nil {
			t.Error("the error outlives the loading")
		}
		s.module(200, "space", "reload")
		wantEvents(3)
		eventually(t, time.Second, "the worker runs again", func() bool { return space.workers.Load() == 1 })
		wantPlanets(200)
		refused = s.module(409, "space", "unload")
		if detail := fmt.Sprint(dig(refused, "errors", 0, "detail")); !strings.Contains(detail, "travel") {
			t.Errorf("the refusal does not name who needs it: %s", detail)
		}
		for _, action := range []string{"unload", "reload"} {
			s.module(409, "core", action)
		}
		s.module(200, "core", "load")
		if names := attributes(s.get("modules?filter[loaded]=true"), "name"); !slices.Equal(names, []any{"alerts", "contacts", "core", "ldap", "messages", "provisioning", "registration", "space", "travel", "webhooks"}) {
			t.Errorf("loaded: %v", names)
		}

		// What is loaded outlives the process.
		again := &spacing{}
		node(t, uri, everything, again.know)
		eventually(t, time.Second, "the worker runs on another node", func() bool { return again.workers.Load() == 1 })

		s.module(200, "travel", "unload")
		s.module(200, "space", "unload")
		wantPlanets(404)
		wantEvents(5)
		s.module(200, "space", "unload")
		wantEvents(5)
		eventually(t, time.Second, "the worker ends on another node", func() bool { return again.workers.Load() == 0 })
		s.module(200, "space", "load")
		if got := s.get("planets/" + planet); dig(got, "data", "attributes", "name") != "earth" {
			t.Errorf("the row has not stayed: %v", got)
		}
	})
}

// attributes are the values of an attribute in a list, sorted by their texts.
func attributes(list map[string]any, name string) (values []any) {
	for i := range idsOf(list) {
		values = append(values, dig(list, "data", i, "attributes", name))
	}
	slices.SortFunc(values, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return values
}

// TestModulesEnabled sees that the configuration says what is loaded, until somebody says otherwise.
func TestModulesEnabled(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		enabled := func() bool {
			a := opened(t, uri)
			if err := (&spacing{}).know(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if err := a.modules.Open(t.Context(), a.engine, []string{"travel", "nonsense", "space"}); err != nil {
				t.Fatal(err)
			}
			return a.engine.Registry().Type("planet") != nil
		}
		if !enabled() {
			t.Error("what is enabled is not loaded")
		}
		s, _ := startSpacing(t, uri)
		s.module(200, "travel", "unload")
		s.module(200, "space", "unload")
		if enabled() {
			t.Error("what somebody has unloaded is loaded again")
		}
	})
}
