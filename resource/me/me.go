// Package me is the singleton me: the caller, with what they may do.
package me

import (
	"context"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Me is the caller.
type Me struct {
	ID          ulid.ULID
	Name        string
	Principal   resource.Identifier
	Session     resource.Identifier
	Permissions []string
}

// Schema is the singleton me.
var Schema = resource.Schema[Me]{
	Name: "me", Plural: "mes",
	Doc: "The caller, with what they may do.",
	ID:  func(m *Me) *ulid.ULID { return &m.ID },
	Attributes: []resource.Attribute[Me]{
		resource.Attr("name", func(m *Me) *string { return &m.Name }).ReadOnly(),
		resource.Attr("permissions", func(m *Me) *[]string { return &m.Permissions }).ReadOnly().
			Doc("As `<type>:<verb>`, where `*` stands for every type or every verb."),
	},
	References: []resource.Reference[Me]{
		resource.ToAny("principal", func(m *Me) *resource.Identifier { return &m.Principal }).Doc("The user or client who asks."),
		resource.ToAny("session", func(m *Me) *resource.Identifier { return &m.Session }),
	},
}

// Type serves the caller to every caller.
func Type() resource.Type[Me] {
	return resource.Type[Me]{Schema: Schema, Get: get, Singleton: true, Open: true}
}

func get(ctx context.Context, id ulid.ULID) (*Me, error) {
	caller := resource.PrincipalOf(ctx)
	me := &Me{ID: id, Name: caller.Name, Principal: resource.Identifier{Type: caller.Type, ID: caller.ID}, Permissions: []string{}}
	if caller.Session != (ulid.ULID{}) {
		me.Session = resource.Identifier{Type: "session", ID: caller.Session}
	}
	for _, permission := range caller.Permissions {
		me.Permissions = append(me.Permissions, permission.String())
	}
	return me, nil
}
