// Package version is the singleton version: which program answers.
package version

import (
	"context"
	"runtime/debug"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Version is which program answers.
type Version struct {
	ID                  ulid.ULID
	Version, Commit, Go string
}

// Schema is the singleton version.
var Schema = resource.Schema[Version]{
	Name: "version", Plural: "versions",
	Doc: "Which program answers.",
	ID:  func(v *Version) *ulid.ULID { return &v.ID },
	Attributes: []resource.Attribute[Version]{
		resource.Attr("version", func(v *Version) *string { return &v.Version }).ReadOnly(),
		resource.Attr("commit", func(v *Version) *string { return &v.Commit }).Nullable().ReadOnly(),
		resource.Attr("go", func(v *Version) *string { return &v.Go }).ReadOnly(),
	},
}

// Type serves the version of this program, which every known caller may read.
func Type() resource.Type[Version] {
	version := resource.NewSnapshot(Schema, func(context.Context) ([]Version, error) { return []Version{Current()}, nil })
	return resource.Type[Version]{Schema: Schema, Get: version.Get, Singleton: true, Open: true}
}

// Current is the version of this program, from what the Go tool built into it.
func Current() Version {
	v := Version{ID: resource.NamedID(Schema.Name, ""), Version: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version, v.Go = info.Main.Version, info.GoVersion
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			v.Commit = setting.Value
		}
	}
	return v
}

// String is the version on one line.
func (v Version) String() string {
	if v.Commit == "" {
		return v.Version
	}
	return v.Version + " (" + v.Commit + ")"
}
