// Package types is the entity type: the registry, served through itself.
package types

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Type is a registered type as the entity shows it.
type Type struct {
	ID                                          ulid.ULID
	Name, Path, Doc                             string
	Singleton                                   bool
	Verbs, Permissions                          []string
	Attributes, Relationships, Filters, Actions json.RawMessage
}

// Schema is the entity type.
var Schema = resource.Schema[Type]{
	Name: "type", Plural: "types",
	Doc: "A type of resource that is served right now.",
	ID:  func(t *Type) *ulid.ULID { return &t.ID },
	Attributes: []resource.Attribute[Type]{
		resource.Attr("name", func(t *Type) *string { return &t.Name }).Unique().ReadOnly().Filter(resource.Eq),
		resource.Attr("path", func(t *Type) *string { return &t.Path }).ReadOnly(),
		resource.Attr("doc", func(t *Type) *string { return &t.Doc }).ReadOnly(),
		resource.Attr("singleton", func(t *Type) *bool { return &t.Singleton }).ReadOnly().Filter(resource.Eq),
		resource.Attr("verbs", func(t *Type) *[]string { return &t.Verbs }).ReadOnly(),
		resource.Attr("permissions", func(t *Type) *[]string { return &t.Permissions }).ReadOnly(),
		resource.Attr("attributes", func(t *Type) *json.RawMessage { return &t.Attributes }).ReadOnly(),
		resource.Attr("relationships", func(t *Type) *json.RawMessage { return &t.Relationships }).ReadOnly(),
		resource.Attr("filters", func(t *Type) *json.RawMessage { return &t.Filters }).ReadOnly(),
		resource.Attr("actions", func(t *Type) *json.RawMessage { return &t.Actions }).ReadOnly(),
	},
}

// Of serves the types of a registry.
func Of(registry *resource.Registry) resource.Type[Type] {
	types := resource.NewSnapshot(Schema, func(context.Context) ([]Type, error) {
		var all []Type
		for _, d := range registry.Descriptions() {
			t, err := show(d)
			if err != nil {
				return nil, err
			}
			all = append(all, t)
		}
		return all, nil
	})
	return resource.Type[Type]{Schema: Schema, List: types.List, Get: types.Get, Lookups: []string{"name"}}
}

func show(d *resource.Description) (Type, error) {
	t := Type{ID: resource.NamedID(Schema.Name, d.Name), Name: d.Name, Path: d.Path(), Doc: d.Doc, Singleton: d.Singleton,
		Verbs: append([]string{}, d.Verbs...), Permissions: []string{}}
	for _, verb := range d.Permissions() {
		t.Permissions = append(t.Permissions, d.Name+":"+verb)
	}
	hidden := func(a resource.AttributeDescription) bool { return a.Hidden }
	return t, errors.Join(
		set(&t.Attributes, slices.DeleteFunc(slices.Clone(d.Attributes), hidden)), set(&t.Relationships, d.References),
		set(&t.Filters, d.Filters), set(&t.Actions, d.Actions))
}

// set sets a member to a list as JSON, none being an empty one.
func set[V any](member *json.RawMessage, list []V) (err error) {
	*member, err = json.Marshal(append([]V{}, list...))
	return err
}
