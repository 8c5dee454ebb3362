package resource_test

import (
	"context"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	"reeve/storage/storagetest"
)

type lamp struct {
	ID    ulid.ULID
	Place string
	LitAt time.Time
}

func litAt(l *lamp) *time.Time { return &l.LitAt }

var lamps = resource.Schema[lamp]{
	Name: "lamp", Plural: "lamps", Doc: "Something that can be lit.",
	ID: func(l *lamp) *ulid.ULID { return &l.ID },
	Attributes: []resource.Attribute[lamp]{
		resource.Attr("place", func(l *lamp) *string { return &l.Place }).Required().Unique(),
		resource.Attr("lit_at", litAt).Nullable().ReadOnly(),
		resource.State[lamp]("lit", resource.NotNull("lit_at")),
	},
}

// A declared entity is served through the one door: created, changed by an action, listed by its state.
func Example() {
	store := storagetest.NewMemory(lamps)
	registry := &resource.Registry{}
	if err := registry.Register(resource.Type[lamp]{
		Schema: lamps, List: store.List, Get: store.Get, Create: store.Create, // neither Update nor Delete: they are not served
		Actions: []resource.Action[lamp]{
			resource.Change("light", store.Update, resource.Stamp(litAt)),
			resource.Change("put-out", store.Update, resource.Unstamp(litAt)),
		},
	}); err != nil {
		fmt.Println(err)
		return
	}
	noon := func() time.Time { return time.Date(2024, 7, 12, 12, 0, 0, 0, time.UTC) }
	engine := resource.NewEngine(registry, &journal{}, noon)

	ctx := context.Background()
	for _, place := range []string{"hall", "cellar"} {
		l, err := resource.Do[lamp](ctx, engine, resource.Operation{
			Verb: resource.Create, Type: "lamp", Principal: auth.System, Body: resource.Body{Attributes: map[string]any{"place": place}},
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		if place == "hall" {
			_, err = engine.Do(ctx, resource.Operation{Verb: "light", Type: "lamp", ID: l.ID, Principal: auth.System})
		}
		if err != nil {
			fmt.Println(err)
		}
	}
	results, err := engine.Do(ctx, resource.Operation{
		Verb: resource.List, Type: "lamp", Principal: auth.System, Filters: []resource.FilterArgument{resource.FilterBy("lit", "true")},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(results[0].Page.Total, string(results[0].Resources.AppendAttributes(nil, 0)))
	_, err = engine.Do(ctx, resource.Operation{Verb: resource.Create, Type: "lamp", Principal: auth.System})
	fmt.Println(resource.Is(err, resource.Required), err)
	// Output:
	// 1 "place":"hall","lit_at":"2024-07-12T12:00:00.000000Z","lit":true
	// true place is missing
}
