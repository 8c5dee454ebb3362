package resource

import (
	"strconv"

	"github.com/oklog/ulid/v2"
)

// Identifier names one resource of any type.
type Identifier struct {
	Type string
	ID   ulid.ULID
}

// Deletion is what becomes of the referring row when the resource that it refers to is deleted. It is kept as a
// foreign key, so it holds for types of unloaded modules too.
type Deletion int

// The three rules.
const (
	Restrict Deletion = iota // the deletion is refused (409)
	Cascade                  // the row is deleted too
	Clear                    // the reference becomes null
)

// ReferenceDescription is what is known of a reference without its Go type.
type ReferenceDescription struct {
	Name     string   `json:"name"`
	Doc      string   `json:"doc,omitempty"`
	Type     string   `json:"type,omitempty"`      // the name of the referenced type; empty if any
	Many     bool     `json:"many,omitempty"`      // to-many: linkage in a table of its own
	Required bool     `json:"required,omitempty"`  // a creation must give it
	Nullable bool     `json:"nullable,omitempty"`  // it may be empty
	ReadOnly bool     `json:"read_only,omitempty"` // no request may give it
	Fixed    bool     `json:"fixed,omitempty"`     // given at creation only
	OnDelete Deletion `json:"-"`                   // of what is referred to
	Inverse  string   `json:"inverse,omitempty"`   // the relationship of the referenced type that leads back
	Via      string   `json:"via,omitempty"`       // the reference of Type that this relationship is the inverse of
	// Arguments are what the meta of a write on the relationship may give.
	Arguments []AttributeDescription `json:"arguments,omitempty"`
	viaMany   bool                   // and that is a to-many
}

// TypeMember is the name by which conditions compare the type that a [ToAny] names.
func (r *ReferenceDescription) TypeMember() string { return r.Name + "_type" }

// Writable reports whether a creation, or else a change, may give the reference.
func (r *ReferenceDescription) Writable(creation bool) bool {
	return !r.ReadOnly && (creation || !r.Fixed)
}

// place is where in a body the target of that index stands, as the parts of a pointer.
func (r *ReferenceDescription) place(i int) []string {
	if r.Many {
		return []string{"relationships", r.Name, "data", strconv.Itoa(i)}
	}
	return []string{"relationships", r.Name}
}

// Reference is a relationship of T: to one resource of a type ([ToOne]), to one of any type ([ToAny]), or to
// many ([ToMany]). A to-one reference is a filter too.
type Reference[T any] struct {
	ReferenceDescription

	one func(row *T) *ulid.ULID
	any func(row *T) *Identifier
}

// ToOne declares a reference to a resource of the named type. The zero id is null.
func ToOne[T any](name, typ string, member func(*T) *ulid.ULID) Reference[T] {
	return Reference[T]{ReferenceDescription: ReferenceDescription{Name: name, Type: typ}, one: member}
}

// ToAny declares a read-only reference to a resource of any type, which may be gone. It is no foreign key.
func ToAny[T any](name string, member func(*T) *Identifier) Reference[T] {
	return Reference[T]{
		ReferenceDescription: ReferenceDescription{Name: name, Nullable: true, ReadOnly: true}, any: member,
	}
}

// ToMany declares linkage to resources of the named type, kept in a table of its own. Links go with either end.
func ToMany[T any](name, typ string) Reference[T] {
	return Reference[T]{ReferenceDescription: ReferenceDescription{Name: name, Type: typ, Many: true}}
}

// Doc says what the reference is, for the OpenAPI document.
func (r Reference[T]) Doc(doc string) Reference[T] { r.ReferenceDescription.Doc = doc; return r }

// Required has creations refused that do not give the reference.
func (r Reference[T]) Required() Reference[T] { r.ReferenceDescription.Required = true; return r }

// Nullable lets the reference be empty.
func (r Reference[T]) Nullable() Reference[T] { r.ReferenceDescription.Nullable = true; return r }

// ReadOnly refuses the reference in requests (403).
func (r Reference[T]) ReadOnly() Reference[T] { r.ReferenceDescription.ReadOnly = true; return r }

// Fixed lets only a creation give the reference.
func (r Reference[T]) Fixed() Reference[T] { r.ReferenceDescription.Fixed = true; return r }

// Inverse names the relationship that leads back: the referenced type has it for as long as this type is served.
func (r Reference[T]) Inverse(name string) Reference[T] {
	r.ReferenceDescription.Inverse = name
	return r
}

// OnDelete says what becomes of the row when the resource that it refers to is deleted.
func (r Reference[T]) OnDelete(d Deletion) Reference[T] {
	r.ReferenceDescription.OnDelete = d
	return r
}

// Target is the resource that a to-one or to-any reference of the row names; the zero Identifier if none.
func (r *Reference[T]) Target(row *T) Identifier {
	if r.any != nil {
		return *r.any(row)
	}
	if id := *r.one(row); id != (ulid.ULID{}) {
		return Identifier{Type: r.Type, ID: id}
	}
	return Identifier{}
}

// SetTarget points a to-one or to-any reference of the row at a resource, or at none.
func (r *Reference[T]) SetTarget(row *T, target Identifier) {
	if r.any != nil {
		*r.any(row) = target
		return
	}
	*r.one(row) = target.ID
}

// Value is the referenced id, nil if there is none.
func (r *Reference[T]) Value(row *T) any {
	if target := r.Target(row); target != (Identifier{}) {
		return target.ID
	}
	return nil
}
