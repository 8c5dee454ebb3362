// Package module says what is loaded together: a [Module] bundles types, routes and a worker, and the [Loader] loads,
// reloads and unloads modules while the server runs.
//
// A module is a value that says what it consists of. Whoever puts the program together makes it, with the tables and
// whatever else it needs as arguments, and has the loader know it:
//
//	func Module(contacts resource.Store[Contact]) module.Module {
//		return module.Module{
//			Name: "contacts", Doc: "Who knows whom.",
//			Types: []resource.Declaration{Type(contacts)},
//			Run:   func(ctx context.Context) error { ... },
//		}
//	}
//
// Tables are made when the program starts, whether or not their module is loaded, so that what a deletion does to their
// rows is always done. The setting modules.enabled names those that are loaded at the first start.
package module

import (
	"context"
	"net/http"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
	"reeve/resource/job"
)

// Module is a bundle of what is served together.
type Module struct {
	Name  string // lower case with hyphens
	Doc   string // one sentence
	Core  bool   // it is always loaded
	Needs []string
	// Types may refer to each other, and to those of the core and of the modules that this one needs.
	Types []resource.Declaration
	// Migrate brings the tables up to date that only this module knows of, in the transaction that the context holds, or
	// else in one of its own. What it refuses to do is a Conflict. Nil if there are none.
	Migrate func(ctx context.Context) error
	// Routes are what it serves besides, past the engine.
	Routes []Route
	// Jobs are the kinds of jobs that it brings. They are done on every node that serves.
	Jobs []job.Kind
	// Run works until the context ends, and then returns soon: an open stream of a route ends with it. It runs on every
	// node that serves. Nil if there is nothing to do.
	Run func(ctx context.Context) error
	// File is the name of the file that declares it, empty if the program does.
	File string
	// Fault is why it cannot be loaded, nil if it can.
	Fault error
}

// Route is a path that a module serves while it is loaded. It asks by itself who sends a request. Paths of the program
// go before those of modules.
type Route struct {
	Resource string // of a listener, which serves the path if it names this: userapi
	Path     string // /api/stream; all that begins with it, if a slash is at its end
	Handler  http.Handler
}

// State is a module as the entity module shows it.
type State struct {
	ID           ulid.ULID
	Name, Doc    string
	Loaded, Core bool
	Needs, Types []string
	LoadedAt     time.Time
	Error        string
	File         string // see [Module.File]; not shown
}

// Schema is the entity module.
var Schema = resource.Schema[State]{
	Name: "module", Plural: "modules",
	Doc: "A bundle of types that is loaded and unloaded together.",
	ID:  func(m *State) *ulid.ULID { return &m.ID },
	Attributes: []resource.Attribute[State]{
		resource.Attr("name", func(m *State) *string { return &m.Name }).Unique().ReadOnly().Filter(resource.Eq),
		resource.Attr("doc", func(m *State) *string { return &m.Doc }).ReadOnly(),
		resource.Attr("loaded", func(m *State) *bool { return &m.Loaded }).ReadOnly().Filter(resource.Eq),
		resource.Attr("core", func(m *State) *bool { return &m.Core }).ReadOnly().Filter(resource.Eq).Doc("Whether it cannot be unloaded."),
		resource.Attr("needs", func(m *State) *[]string { return &m.Needs }).ReadOnly().Doc("The modules that have to be loaded before it."),
		resource.Attr("types", func(m *State) *[]string { return &m.Types }).ReadOnly().Doc("The types that it serves."),
		resource.Attr("loaded_at", func(m *State) *time.Time { return &m.LoadedAt }).Nullable().ReadOnly().Doc("When it was loaded or reloaded."),
		resource.Attr("error", func(m *State) *string { return &m.Error }).Nullable().ReadOnly().MaxLength(10_000).
			Doc("Why this node cannot load it, or not as it is declared now."),
	},
	Sorts: [][]string{{"name"}},
}

// Type serves the modules that a loader knows.
func Type(loader *Loader) resource.Type[State] {
	modules := resource.NewSnapshot(Schema, loader.states)
	return resource.Type[State]{
		Schema: Schema, List: modules.List, Get: modules.Get, Lookups: []string{"name"},
		Actions: []resource.Action[State]{
			resource.Change("load", loader.update, load).Doc("Load the module, on every node: serve its types and routes, start its worker. Its needs have to be loaded."),
			resource.Change("reload", loader.update, reload).Doc("Put the module as it is declared now in the place of the one that is loaded."),
			resource.Change("unload", loader.update, unload).Doc("Unload the module, on every node. Its rows stay. No other that is loaded may need it."),
		},
	}
}

func load(tx *resource.Tx, m *State) error {
	if !m.Loaded {
		m.Loaded = true
		m.renew(tx.Now)
	}
	return nil
}

func reload(tx *resource.Tx, m *State) error {
	switch {
	case m.Core:
		return resource.Errorf(resource.Conflict, "%s comes with the program, and is never loaded anew", m.Name)
	case !m.Loaded:
		return resource.Errorf(resource.Conflict, "%s is not loaded", m.Name)
	}
	m.renew(tx.Now)
	return nil
}

func unload(_ *resource.Tx, m *State) error {
	if m.Core {
		return resource.Errorf(resource.Conflict, "%s cannot be unloaded", m.Name)
	}
	m.Loaded, m.LoadedAt = false, time.Time{}
	return nil
}

// renew notes the time of a loading, which tells it from the one before on every node.
func (m *State) renew(now time.Time) {
	if !now.After(m.LoadedAt) { // clocks differ
		now = m.LoadedAt.Add(time.Microsecond)
	}
	m.LoadedAt = now
}

// Loading is what is stored of a module.
type Loading struct {
	ID   ulid.ULID // the module's
	Name string
	At   time.Time // zero if it is not to be loaded
}

// LoadingSchema is no entity: its rows say which modules all nodes have loaded. A module without a row has never been
// loaded or unloaded.
var LoadingSchema = resource.Schema[Loading]{
	Name: "module-loading", Plural: "module-loadings", Doc: "Whether a module is loaded.", Uncounted: true,
	ID: func(l *Loading) *ulid.ULID { return &l.ID },
	Attributes: []resource.Attribute[Loading]{
		resource.Attr("name", func(l *Loading) *string { return &l.Name }).Unique(),
		resource.Attr("at", func(l *Loading) *time.Time { return &l.At }).Nullable(),
	},
}
