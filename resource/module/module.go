// Package module says what is loaded together: a Module bundles types, and the Loader knows which modules there
// are and which of them are served.
package module

import (
	"context"
	"fmt"
	"sync"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Module is a bundle of types that are served together.
type Module struct {
	Name  string
	Doc   string
	Core  bool // it is always loaded
	Needs []string
	Types []resource.Declaration
}

// State is a module as the entity module shows it.
type State struct {
	ID           ulid.ULID
	Name, Doc    string
	Loaded, Core bool
	Needs, Types []string
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
	},
	Sorts: [][]string{{"name"}},
}

// Type serves the modules that a loader knows.
func Type(loader *Loader) resource.Type[State] {
	modules := resource.NewSnapshot(Schema, func(context.Context) ([]State, error) { return loader.States(), nil })
	return resource.Type[State]{Schema: Schema, List: modules.List, Get: modules.Get, Lookups: []string{"name"}}
}

// Loader knows the modules and serves the types of those that are loaded.
type Loader struct {
	registry *resource.Registry

	mu     sync.Mutex
	known  []Module
	loaded map[string]bool
}

// NewLoader serves types through a registry.
func NewLoader(registry *resource.Registry) *Loader {
	return &Loader{registry: registry, loaded: map[string]bool{}}
}

// Know adds a module that can be loaded.
func (l *Loader) Know(m Module) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = append(l.known, m)
}

// Load serves the types of a known module. Every finding about their declarations is in the error.
func (l *Loader) Load(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.known {
		if m.Name != name || l.loaded[name] {
			continue
		}
		for _, need := range m.Needs {
			if !l.loaded[need] {
				return resource.Errorf(resource.Conflict, "module %s needs %s", name, need)
			}
		}
		if err := l.registry.Register(m.Types...); err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
		l.loaded[name] = true
	}
	if !l.loaded[name] {
		return resource.Errorf(resource.NotFound, "there is no module %s", name)
	}
	return nil
}

// States are the known modules.
func (l *Loader) States() []State {
	l.mu.Lock()
	defer l.mu.Unlock()
	states := make([]State, len(l.known))
	for i, m := range l.known {
		states[i] = State{
			ID: resource.NamedID(Schema.Name, m.Name), Name: m.Name, Doc: m.Doc,
			Loaded: l.loaded[m.Name], Core: m.Core, Needs: append([]string{}, m.Needs...), Types: resource.Names(m.Types),
		}
	}
	return states
}
