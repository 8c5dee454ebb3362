package resource

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Registry holds the types that are served right now. It changes while the server runs: each change makes a new
// map, so whoever reads keeps the one that it began with. The zero Registry is empty and ready.
type Registry struct {
	change sync.Mutex
	types  atomic.Pointer[map[string]served] // by singular name
}

// Operations is the path segment at which several operations are taken at once. No type may have it.
const Operations = "operations"

// Register serves more types, all or none. It verifies the declarations and reports every finding at once. A
// reference may name a type of the same call.
func (r *Registry) Register(declarations ...Declaration) error {
	return r.Replace(nil, nil, declarations...)
}

// Replace is [Registry.Register] in place of other types, in one step: nobody sees neither of them, nor both. Names of
// others that are not registered are ignored. What is done to the new types goes through the gate, unless it is nil.
func (r *Registry) Replace(others []string, gate *Gate, declarations ...Declaration) error {
	r.change.Lock()
	defer r.change.Unlock()
	types := maps.Clone(r.snapshot())
	for _, name := range others {
		delete(types, name)
	}
	var found []error
	for _, declaration := range declarations {
		t, err := declaration.declare()
		if err != nil {
			found = append(found, err)
			continue
		}
		about := t.description()
		if about.Path() == Operations {
			found = append(found, fmt.Errorf("resource: type %q: the path %q is taken", about.Name, Operations))
		}
		for _, other := range types {
			if about.Name == other.description().Name || about.Plural == other.description().Plural {
				found = append(found, fmt.Errorf("resource: type %q is registered already", about.Name))
			}
		}
		types[about.Name] = t.behind(gate)
	}
	for _, t := range types {
		for _, reference := range t.description().References {
			if target := types[reference.Type]; reference.Type != "" && (target == nil || !target.description().listed()) {
				found = append(found, fmt.Errorf("resource: type %q: reference %q names the type %q, which is not registered or has no list",
					t.description().Name, reference.Name, reference.Type))
			}
		}
	}
	if err := relate(types); err != nil {
		found = append(found, err)
	}
	if len(found) > 0 {
		return errors.Join(found...)
	}
	r.types.Store(&types)
	return nil
}

// Unregister ends the serving of types; names that are not registered are ignored. What runs already goes on to
// its end. Rows stay.
func (r *Registry) Unregister(names ...string) {
	r.change.Lock()
	defer r.change.Unlock()
	types := maps.Clone(r.snapshot())
	for _, name := range names {
		delete(types, name)
	}
	if err := relate(types); err != nil { // fewer types have no more names than all had
		panic(err)
	}
	r.types.Store(&types)
}

// relate gives each type the inverses of the references to it, and reports names that stand for something else.
func relate(types map[string]served) error {
	inverses := map[string][]ReferenceDescription{}
	for _, name := range sorted(types) {
		for _, r := range types[name].description().References {
			if r.Inverse != "" {
				inverses[r.Type] = append(inverses[r.Type], ReferenceDescription{
					Name: r.Inverse, Doc: "The " + types[name].description().Plural + " that refer to it by " + r.Name + ".",
					Type: name, Many: true, ReadOnly: true, Via: r.Name, viaMany: r.Many,
				})
			}
		}
	}
	var found []error
	for name, t := range types {
		seen := map[string]bool{}
		about := t.with(nil).description()
		for _, a := range about.Attributes {
			seen[a.Name] = true
		}
		for _, r := range about.References {
			seen[r.Name] = true
		}
		for _, a := range about.Actions {
			seen[a.Name] = true
		}
		for _, r := range inverses[name] {
			if seen[r.Name] {
				found = append(found, fmt.Errorf("resource: type %q: the inverse %q of %s.%s has the name of another member or action",
					name, r.Name, r.Type, r.Via))
			}
			seen[r.Name] = true
		}
		types[name] = t.with(inverses[name])
	}
	return errors.Join(found...)
}

// Type finds a type by its name, nil if it is not registered.
func (r *Registry) Type(name string) *Description {
	if t := r.snapshot()[name]; t != nil {
		return t.description()
	}
	return nil
}

// Descriptions are the registered types, sorted by name.
func (r *Registry) Descriptions() []*Description {
	var all []*Description
	for _, t := range r.snapshot() {
		all = append(all, t.description())
	}
	slices.SortFunc(all, func(a, b *Description) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Describe finds a type by its plural, or by the name of a singleton; nil if it is not registered.
func (r *Registry) Describe(path string) *Description {
	for _, t := range r.snapshot() {
		if about := t.description(); about.Path() == path {
			return about
		}
	}
	return nil
}

// Path is the type's path segment: its plural, or the name of a singleton.
func (d *Description) Path() string {
	if d.Singleton {
		return d.Name
	}
	return d.Plural
}

func (r *Registry) snapshot() map[string]served {
	if types := r.types.Load(); types != nil {
		return *types
	}
	return map[string]served{}
}
