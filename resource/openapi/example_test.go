package openapi_test

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
	"reeve/resource/openapi"
)

func ExampleDocument() {
	type planet struct {
		ID   ulid.ULID
		Name string
	}
	schema := resource.Schema[planet]{
		Name: "planet", Plural: "planets", Doc: "A planet.",
		ID: func(p *planet) *ulid.ULID { return &p.ID },
		Attributes: []resource.Attribute[planet]{
			resource.Attr("name", func(p *planet) *string { return &p.Name }).Unique().Filter(resource.Eq),
		},
	}
	planets := resource.NewSnapshot(schema, func(context.Context) ([]planet, error) {
		return []planet{{resource.NamedID("planet", "Tralfamadore"), "Tralfamadore"}}, nil
	})
	var registry resource.Registry
	err := registry.Register(resource.Type[planet]{
		Schema: schema, List: planets.List, Get: planets.Get, Lookups: []string{"name"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	doc := openapi.Document(registry.Descriptions(), openapi.Info{Version: "1.0.0"})
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for method, op := range doc.Paths[path] {
			fmt.Println(method, path, op.ID)
		}
	}
	// Output:
	// post /api/admin/v1/operations operate
	// get /api/admin/v1/planets listPlanets
	// get /api/admin/v1/planets/by-name/{name} getPlanetByName
	// get /api/admin/v1/planets/{id} getPlanet
}
