// Package usagereport is the singleton usage-report: what a server would tell its makers about its use. It tells them
// nothing: there is nothing that sends it.
package usagereport

import (
	"context"
	"encoding/json"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Report is what would be sent.
type Report struct {
	ID                          ulid.ULID
	Version, OS, Arch, Database string
	Modules                     []string
	Metrics                     json.RawMessage
}

// Schema is the singleton usage-report.
var Schema = resource.Schema[Report]{
	Name: "usage-report", Plural: "usage-reports",
	Doc: "What a server would tell its makers about its use: a preview of what is never sent.",
	ID:  func(r *Report) *ulid.ULID { return &r.ID },
	Attributes: []resource.Attribute[Report]{
		resource.Attr("version", func(r *Report) *string { return &r.Version }).ReadOnly(),
		resource.Attr("os", func(r *Report) *string { return &r.OS }).ReadOnly().Example("linux"),
		resource.Attr("arch", func(r *Report) *string { return &r.Arch }).ReadOnly().Example("amd64"),
		resource.Attr("database", func(r *Report) *string { return &r.Database }).ReadOnly().Example("sqlite").Doc("Which one: `sqlite` or `postgres`."),
		resource.Attr("modules", func(r *Report) *[]string { return &r.Modules }).ReadOnly().Doc("Those that are loaded and come with the program."),
		resource.Attr("metrics", func(r *Report) *json.RawMessage { return &r.Metrics }).ReadOnly().Doc("The attributes of stats."),
	},
}

// Type serves the report that write makes.
func Type(write func(ctx context.Context) (Report, error)) resource.Type[Report] {
	return resource.Type[Report]{
		Schema: Schema, Singleton: true,
		Get: func(ctx context.Context, id ulid.ULID) (*Report, error) {
			r, err := write(ctx)
			r.ID = id
			return &r, err
		},
	}
}
