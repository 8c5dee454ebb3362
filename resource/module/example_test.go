package module_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/event"
	"reeve/resource/module"
	"reeve/storage"
	"reeve/storage/sqlite"
)

type bell struct {
	ID    ulid.ULID
	Place string
}

var bells = resource.Schema[bell]{
	Name: "bell", Plural: "bells", Doc: "Something that can be rung.", ID: func(b *bell) *ulid.ULID { return &b.ID },
	Attributes: []resource.Attribute[bell]{resource.Attr("place", func(b *bell) *string { return &b.Place }).Required()},
}

// tower is a module: what it needs are its arguments.
func tower(store resource.Store[bell]) module.Module {
	return module.Module{
		Name: "tower", Doc: "Bells, and who rings them.",
		Types: []resource.Declaration{resource.Type[bell]{Schema: bells, List: store.List, Get: store.Get, Create: store.Create}},
		Run: func(ctx context.Context) error {
			<-ctx.Done() // a worker works until then
			return nil
		},
	}
}

// A module is known to a loader. It is loaded by an action, which is stored, and served from then on.
func Example() {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "tower")
	check(err)
	defer os.RemoveAll(folder)
	db, err := storage.Open(ctx, sqlite.Dialect{}, "sqlite://"+filepath.Join(folder, "reeve.db"), storage.Options{})
	check(err)
	defer db.Close()
	outbox, err := storage.NewOutbox(db, event.Schema)
	check(err)
	loadings, err := storage.NewTable(db, module.LoadingSchema)
	check(err)
	store, err := storage.NewTable(db, bells)
	check(err)
	check(db.Migrate(ctx))

	registry := &resource.Registry{}
	engine := resource.NewEngine(registry, outbox, time.Now)
	loader := module.NewLoader(module.Config{Registry: registry, Database: db, Loadings: loadings})
	check(loader.Know(
		module.Module{Name: "core", Core: true, Types: []resource.Declaration{module.Type(loader)}},
		tower(store),
	))
	check(loader.Open(ctx, engine, nil))

	fmt.Println(registry.Type("bell") != nil)
	load := resource.Operation{Verb: "load", Type: "module", Key: &resource.Key{Attribute: "name", Value: "tower"}, Principal: auth.System}
	tower, err := resource.Do[module.State](ctx, engine, load)
	check(err)
	fmt.Println(tower.Loaded, tower.Types, registry.Type("bell") != nil)
	// Output:
	// false
	// true [bell] true
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
