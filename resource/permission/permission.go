// Package permission is the entity permission: what callers can be allowed to do right now.
package permission

import (
	"context"
	"slices"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// Permission is a verb on a registered type.
type Permission struct {
	ID                    ulid.ULID
	Name, Type, Verb, Doc string
	Aliases               []string
}

// Schema is the entity permission.
var Schema = resource.Schema[Permission]{
	Name: "permission", Plural: "permissions",
	Doc: "Something that callers can be allowed to do with the resources of a type.",
	ID:  func(p *Permission) *ulid.ULID { return &p.ID },
	Attributes: []resource.Attribute[Permission]{
		resource.Attr("name", func(p *Permission) *string { return &p.Name }).Unique().ReadOnly().Filter(resource.Eq).Example("user:lock"),
		resource.Attr("resource_type", func(p *Permission) *string { return &p.Type }).ReadOnly().Filter(resource.Eq).Example("user"),
		resource.Attr("verb", func(p *Permission) *string { return &p.Verb }).ReadOnly().Filter(resource.Eq).Example("lock"),
		resource.Attr("doc", func(p *Permission) *string { return &p.Doc }).ReadOnly(),
		resource.Attr("aliases", func(p *Permission) *[]string { return &p.Aliases }).ReadOnly().Doc("Grafana's names of it, which roles take too."),
	},
	Sorts: [][]string{{"name"}},
}

// Of serves the permissions on the types of a registry.
func Of(registry *resource.Registry) resource.Type[Permission] {
	permissions := resource.NewSnapshot(Schema, func(context.Context) ([]Permission, error) {
		var all []Permission
		for _, d := range registry.Descriptions() {
			verbs := d.Permissions()
			if slices.Contains(verbs, resource.List) || slices.Contains(verbs, resource.Get) {
				verbs = append(verbs, auth.Read)
			}
			for _, verb := range verbs {
				p := auth.Permission{Type: d.Name, Verb: verb}
				all = append(all, Permission{
					ID: resource.NamedID(Schema.Name, p.String()), Name: p.String(), Type: d.Name, Verb: verb, Doc: doc(d, verb),
					Aliases: append([]string{}, auth.Aliases(p)...),
				})
			}
		}
		return all, nil
	})
	return resource.Type[Permission]{Schema: Schema, List: permissions.List, Get: permissions.Get, Lookups: []string{"name"}}
}

// doc is what a verb on a type does.
func doc(d *resource.Description, verb string) string {
	if action := d.Action(verb); action != nil {
		return action.Doc
	}
	return map[string]string{
		resource.List: "List " + d.Plural + ".", resource.Get: "Read one.", resource.Create: "Create one.",
		resource.Update: "Change one, its relationships too.", resource.Delete: "Delete one.", auth.Read: "List and get.",
	}[verb]
}
