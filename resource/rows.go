package resource

import (
	"fmt"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
)

// rows are rows of T with the view from which they are shown.
type rows[T any] struct {
	plan  *plan[T]
	rows  []T
	view  View
	shown selection
}

// Show has rows that were read past [Engine.Do] shown as a list shows them, to nobody in particular: some fields of them,
// or all if none are named. T must be the type's own. It is NotFound if the type is not registered.
func Show[T any](e *Engine, typ string, of []T, fields ...string) (Resources, error) {
	t := e.registry.snapshot()[typ]
	if t == nil {
		return nil, Errorf(NotFound, "there is no type %q", typ)
	}
	p, ok := t.(*plan[T])
	if !ok {
		return nil, fmt.Errorf("resource: %T is no row of type %q", of, typ)
	}
	return &rows[T]{plan: p, rows: of, view: View{Now: Cut(e.clock()), engine: e}, shown: newSelection(fields)}, nil
}

func (r *rows[T]) Type() *Description { return &r.plan.about }
func (r *rows[T]) Len() int           { return len(r.rows) }
func (r *rows[T]) ID(i int) ulid.ULID { return *r.plan.Schema.ID(&r.rows[i]) }

func (r *rows[T]) Place(o Order, i int) *pagination.Cursor {
	return r.plan.Schema.Place(o, &r.rows[i])
}

func (r *rows[T]) Shows(reference int) bool {
	return r.shown.has(r.plan.about.References[reference].Name)
}

// Target is what a reference of a row names, nothing if it has no id: as a type as a whole, or the program itself.
func (r *rows[T]) Target(i, reference int) Identifier {
	target := r.plan.Schema.References[reference].Target(&r.rows[i])
	if target.ID == (ulid.ULID{}) {
		return Identifier{}
	}
	return target
}

// Provisioned are the resources of the type that are as files have them.
func (r *rows[T]) Provisioned() map[ulid.ULID]Provisioned {
	return r.view.engine.provisioned(r.plan.about.Name)
}

func (r *rows[T]) AppendAttributes(dst []byte, i int) []byte {
	row, begin := &r.rows[i], len(dst)
	for n, prefix := range r.plan.prefixes {
		a := &r.plan.Schema.Attributes[n]
		if prefix == nil || a.AttributeDescription.Once && a.null(row) || !r.shown.has(a.Name) {
			continue
		}
		if len(dst) > begin {
			dst = append(dst, ',')
		}
		dst = a.appendTo(append(dst, prefix...), row, &r.view)
	}
	return dst
}

// selection are the attributes and relationships that are shown; all if it is nil.
type selection map[string]bool

func newSelection(fields []string) selection {
	if fields == nil {
		return nil
	}
	s := selection{}
	for _, field := range fields {
		s[field] = true
	}
	return s
}

func (s selection) has(field string) bool { return s == nil || s[field] }
