package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
	"reeve/storage"
)

// A new entity, whole.
type planet struct {
	ID    ulid.ULID
	Name  string
	Moons int64
	Ruler ulid.ULID
}

var planetSchema = resource.Schema[planet]{
	Name: "planet", Plural: "planets", Doc: "Something round.", ID: func(p *planet) *ulid.ULID { return &p.ID },
	Attributes: []resource.Attribute[planet]{
		resource.Attr("name", func(p *planet) *string { return &p.Name }).Required().Unique().Filter(resource.Prefix),
		resource.Attr("moons", func(p *planet) *int64 { return &p.Moons }).Filter(resource.AtLeast),
	},
	References: []resource.Reference[planet]{resource.ToOne("ruler", "user", func(p *planet) *ulid.ULID { return &p.Ruler }).Nullable().OnDelete(resource.Clear)},
	Filters: []resource.Filter{{Name: "moon", Values: map[string]resource.Condition{
		"none": resource.Equal("moons", int64(0)), "some": resource.Not{Condition: resource.Equal("moons", int64(0))}}}},
}

func planetType(planets resource.Store[planet]) resource.Type[planet] {
	return resource.Type[planet]{Schema: planetSchema, List: planets.List, Get: planets.Get, Create: planets.Create, Update: planets.Update, Delete: planets.Delete,
		Actions: []resource.Action[planet]{resource.Change("explode", planets.Update, func(_ *resource.Tx, p *planet) error { p.Moons = 0; return nil })}}
}

// TestToyEntity sees that the lines above are all that a new entity takes: it is stored, listed, filtered, paged,
// counted, created, changed and documented on both databases.
func TestToyEntity(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		planets, err := storage.NewTable(s.app.database.DB, planetSchema)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.app.database.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.app.engine.Registry().Register(planetType(planets)); err != nil {
			t.Fatal(err)
		}

		for i := range 25 {
			s.do(201, "POST", "planets", resourceDocument("planet", "", map[string]any{"name": fmt.Sprintf("titan-%02d", i), "moons": i % 5},
				map[string]any{"ruler": toOne("user", quentin)}))
		}
		s.do(409, "POST", "planets", resourceDocument("planet", "", map[string]any{"name": "titan-01"}, nil))
		var names []any
		for path := "/api/admin/v1/planets?page[first]=4"; path != ""; {
			page := s.send("GET", path, nil).document
			if dig(page, "meta", "count") != 25.0 {
				t.Fatalf("count %v", dig(page, "meta", "count"))
			}
			for i := range idsOf(page) {
				names = append(names, dig(page, "data", i, "attributes", "name"))
			}
			path, _ = dig(page, "links", "next").(string)
		}
		if len(names) != 25 || !slices.IsSortedFunc(names, func(a, b any) int { return strings.Compare(a.(string), b.(string)) }) {
			t.Errorf("walked over %v", names)
		}
		for parameters, want := range map[string]float64{"filter[moon]=none": 5, "filter[moon]=some": 20, "filter[moons][min]=3": 10, "filter[name][prefix]=titan-1": 10, "filter[ruler]=" + quentin: 25} {
			if got := dig(s.get("planets?"+parameters), "meta", "count"); got != want {
				t.Errorf("%s: %v, not %v", parameters, got, want)
			}
		}
		id := idsOf(s.get("planets?filter[moons][min]=4"))[0]
		s.do(200, "POST", "planets/"+id+"/explode", nil)
		if dig(s.get("planets/"+id), "data", "attributes", "moons") != 0.0 {
			t.Error("it did not explode")
		}
		s.do(200, "PATCH", "planets/"+id, resourceDocument("planet", id, map[string]any{"moons": 7}, map[string]any{"ruler": map[string]any{"data": nil}}))
		s.do(204, "DELETE", "users/"+quentin, nil)
		if got := dig(s.get("planets?filter[ruler]="+quentin), "meta", "count"); got != 0.0 {
			t.Errorf("%v planets have a ruler who is gone", got)
		}
		s.do(204, "DELETE", "planets/"+id, nil)
		spec := s.send("GET", "/api/spec.json", nil)
		for _, path := range []string{"/planets", "/planets/{id}", "/planets/{id}/explode"} {
			if dig(spec.document, "paths", "/api/admin/v1"+path) == nil {
				t.Errorf("%s is not documented", path)
			}
		}
		if dig(s.get("types/by-name/planet"), "data", "attributes", "path") != "planets" {
			t.Error("it is not among the types")
		}
		s.app.engine.Registry().Unregister("planet")
		s.do(404, "GET", "planets", nil)
	})
}
