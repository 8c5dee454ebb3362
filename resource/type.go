package resource

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"
)

// Type is what can be done with an entity. A nil verb is not served.
type Type[T any] struct {
	Schema Schema[T]
	List   func(ctx context.Context, q Query) (Page[T], error)
	Get    func(ctx context.Context, id ulid.ULID) (*T, error)
	Create func(ctx context.Context, rows ...*T) error
	Update UpdateFunc[T]
	Delete func(ctx context.Context, id ulid.ULID) error

	Actions  []Action[T]
	Linkages map[string]Linkage // of each to-many reference
	Lookups  []string           // unique attributes that are a path: username is users/by-username/{value}

	Checks []Check[T]

	// Then is what follows from a creation, an update or a deletion, once it is done and in its transaction: before is nil
	// for a creation, after for a deletion. An action has its own, see [Action.Then]. Nil if nothing does.
	Then    func(tx *Tx, before, after *T) error
	Follows []Following[T] // what follows from changes of to-many relationships

	Forcible  bool // some of its checks let pass what is forced, see [Tx.Forced]
	Named     bool // a resource is found at {path}/{name} too: where its id stands, the value of the first of Lookups may
	Singleton bool // one resource, served at the path of the type itself; its id is NamedID(name, "")
	Open      bool // every caller who is known may get it
}

// Declaration is a [Type] of any T.
type Declaration interface {
	declare() (served, error)
	name() string
}

// Names are the names of declared types.
func Names(declarations []Declaration) []string {
	names := make([]string, len(declarations))
	for i, declaration := range declarations {
		names[i] = declaration.name()
	}
	return names
}

func (t Type[T]) name() string { return t.Schema.Name }

func (t Type[T]) declare() (served, error) {
	s := &t.Schema
	if err := s.Verify(); err != nil {
		return nil, err
	}
	s.Attributes = slices.Clone(s.Attributes) // another registry may serve the same declaration
	if t.Singleton {
		t.List = t.alone
	}
	p := &plan[T]{Type: t, about: t.describe()}
	members := []string{} // that answers show
	for i := range s.Attributes {
		a := &s.Attributes[i]
		if a.state != nil {
			a.append = func(dst []byte, row *T, view *View) []byte {
				if s.Match(a.state, row, Env{Now: view.Now}) {
					return append(dst, "true"...)
				}
				return append(dst, "false"...)
			}
		}
		var prefix []byte
		if a.Visible() {
			prefix = append(AppendString(nil, a.Name), ':')
			members = append(members, a.Name)
		}
		p.prefixes = append(p.prefixes, prefix)
	}
	for _, r := range s.References {
		members = append(members, r.Name)
	}
	p.visible, _ = p.reads(members)
	return p, t.verify()
}

// alone is a list of the one resource of a singleton, for those that refer to it.
func (t *Type[T]) alone(ctx context.Context, q Query) (Page[T], error) {
	row, err := t.Get(ctx, NamedID(t.Schema.Name, ""))
	if err != nil {
		return Page[T]{}, err
	}
	return t.Schema.Window([]T{*row}, q, nil), nil
}

// verify checks what the type adds to its schema.
func (t *Type[T]) verify() error {
	var found []string
	for _, a := range t.Actions {
		if !typeName.MatchString(a.Name) {
			found = append(found, fmt.Sprintf("the name of action %q must be lower case with hyphens", a.Name))
		}
	}
	for _, name := range t.Lookups {
		if a := t.Schema.Attribute(name); a == nil || !a.AttributeDescription.Unique || t.List == nil {
			found = append(found, fmt.Sprintf("lookup by %q needs a unique attribute and List", name))
		}
	}
	if t.Named && len(t.Lookups) == 0 {
		found = append(found, "it is named, but has no lookup")
	}
	for _, r := range t.Schema.References {
		if r.Many != (t.Linkages[r.Name] != nil) {
			found = append(found, fmt.Sprintf("to-many reference %q needs a linkage, and no other has one", r.Name))
		}
	}
	for _, f := range t.Follows {
		if r := t.Schema.Reference(f.reference); r == nil || !r.Many {
			found = append(found, fmt.Sprintf("what follows from %q needs a to-many reference of that name", f.reference))
		}
	}
	for _, a := range t.Actions {
		if t.Schema.Reference(a.Name) != nil {
			found = append(found, fmt.Sprintf("action %q has the name of a reference: they share a path", a.Name))
		}
	}
	onOne := slices.ContainsFunc(t.Actions, func(a Action[T]) bool { return !a.Collection })
	if t.Get == nil && (t.Update != nil || t.Delete != nil || t.Singleton || onOne) {
		found = append(found, "it needs Get")
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("resource: type %q: %s", t.Schema.Name, strings.Join(found, "; "))
}

// change runs an update, asks the checks, and tells what changed.
func (t *Type[T]) change(tx *Tx, update UpdateFunc[T], id ulid.ULID, apply func(*T) error) (outcome[T], error) {
	var changes json.RawMessage
	var before *T
	row, err := update(tx, id, func(row *T) error {
		if err := t.match(tx, row); err != nil {
			return err
		}
		before = t.Schema.Copy(row)
		if err := apply(row); err != nil {
			return err
		}
		if changes = t.Schema.Changes(before, row); changes == nil {
			return nil
		}
		return t.check(tx, before, row)
	})
	return outcome[T]{before: before, row: row, changes: changes}, err
}

// hold reads a row that a write is about elsewhere, and keeps others from changing it where that can be done.
func (t *Type[T]) hold(tx *Tx, id ulid.ULID) (*T, error) {
	if t.Update != nil {
		return t.Update(tx, id, func(row *T) error { return t.match(tx, row) })
	}
	row, err := t.Get(tx, id)
	if err == nil {
		err = t.match(tx, row)
	}
	return row, err
}

// check asks every check. What a write makes of a row, its caller must be allowed to do to that too.
func (t *Type[T]) check(tx *Tx, before, after *T) error {
	if after != nil && !t.Schema.Match(tx.reached.do, after, Env{Now: tx.Now}) {
		return Errorf(Forbidden, "%s may not make a %s like this", tx.Principal.Name, t.Schema.Name)
	}
	for _, check := range t.Checks {
		if err := check(tx, before, after); err != nil {
			return err
		}
	}
	return nil
}
