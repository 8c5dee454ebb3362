// Package types is the entity type: the registry, served through itself.
package types

import (
	"context"
	"encoding/json"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Type is a registered type as the entity shows it.
type Type struct {
	ID                                          ulid.ULID
	Name, Plural, Doc                           string
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
		resource.Attr("path", func(t *Type) *string { return &t.Plural }).ReadOnly(),
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
	t := Type{
		ID: resource.NamedID(Schema.Name, d.Name), Name: d.Name, Plural: d.Path(), Doc: d.Doc,
		Singleton: d.Singleton, Verbs: append([]string{}, d.Verbs...), Permissions: []string{},
	}
	for _, verb := range d.Permissions() {
		t.Permissions = append(t.Permissions, d.Name+":"+verb)
	}
	filters := []filter{}
	for i := range d.Filters {
		f := &d.Filters[i]
		filters = append(filters, filter{f.Parameter(), f.Doc, f.Words(), f.Kind})
	}
	actions := []action{}
	for _, a := range d.Actions {
		actions = append(actions, action{a.Name, a.Doc, a.Collection, attributes(a.Arguments)})
	}
	relationships := []relationship{}
	for _, r := range d.References {
		relationships = append(relationships, relationship{r.Name, r.Doc, r.Type, r.Many, r.Required, r.Nullable, r.ReadOnly})
	}
	for _, part := range []struct {
		member *json.RawMessage
		value  any
	}{{&t.Attributes, attributes(d.Attributes)}, {&t.Relationships, relationships}, {&t.Filters, filters}, {&t.Actions, actions}} {
		text, err := json.Marshal(part.value)
		if err != nil {
			return Type{}, err
		}
		*part.member = text
	}
	return t, nil
}

type attribute struct {
	Name      string        `json:"name"`
	Doc       string        `json:"doc,omitempty"`
	Kind      resource.Kind `json:"kind"`
	Required  bool          `json:"required,omitempty"`
	Nullable  bool          `json:"nullable,omitempty"`
	ReadOnly  bool          `json:"read_only,omitempty"`
	WriteOnly bool          `json:"write_only,omitempty"`
	Unique    bool          `json:"unique,omitempty"`
	OneOf     []string      `json:"one_of,omitempty"`
	MaxLength int           `json:"max_length,omitempty"`
}

type relationship struct {
	Name     string `json:"name"`
	Doc      string `json:"doc,omitempty"`
	Type     string `json:"type,omitempty"` // empty for any
	Many     bool   `json:"many,omitempty"`
	Required bool   `json:"required,omitempty"`
	Nullable bool   `json:"nullable,omitempty"`
	ReadOnly bool   `json:"read_only,omitempty"`
}

type filter struct {
	Parameter string        `json:"parameter"`
	Doc       string        `json:"doc,omitempty"`
	Values    []string      `json:"values,omitempty"`
	Kind      resource.Kind `json:"kind,omitempty"`
}

type action struct {
	Name       string      `json:"name"`
	Doc        string      `json:"doc,omitempty"`
	Collection bool        `json:"collection,omitempty"`
	Arguments  []attribute `json:"arguments"`
}

func attributes(declared []resource.AttributeDescription) []attribute {
	shown := []attribute{}
	for _, a := range declared {
		if a.Hidden {
			continue
		}
		shown = append(shown, attribute{a.Name, a.Doc, a.Kind, a.Required, a.Nullable, a.ReadOnly,
			a.WriteOnly || a.Secret, a.Unique, a.OneOf, a.MaxLength})
	}
	return shown
}
