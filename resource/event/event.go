// Package event is the audit trail: what each successful write left behind.
package event

import (
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Schema is the entity event.
var Schema = resource.Schema[resource.Event]{
	Name: "event", Plural: "events",
	Doc: "What one successful write left behind: who did what to which resource, and which of its members changed.",
	ID:  func(e *resource.Event) *ulid.ULID { return &e.ID },
	Attributes: []resource.Attribute[resource.Event]{
		resource.Attr("position", func(e *resource.Event) *int64 { return &e.Position }).Nullable().Unique().ReadOnly().
			Doc("The place in the order of the commits; null for an instant after the write."),
		resource.Attr("at", func(e *resource.Event) *time.Time { return &e.At }).ReadOnly(),
		resource.Attr("actor_name", func(e *resource.Event) *string { return &e.ActorName }).ReadOnly(),
		resource.Attr("verb", func(e *resource.Event) *string { return &e.Verb }).ReadOnly(),
		resource.Attr("changed", func(e *resource.Event) *[]string { return &e.Changed }).Nullable().ReadOnly().
			Doc("The attributes and relationships that the write changed."),
		resource.Attr("request", func(e *resource.Event) *string { return &e.Request }).Nullable().ReadOnly().
			Doc("The id of the request."),
	},
	References: []resource.Reference[resource.Event]{
		resource.ToAny("actor", func(e *resource.Event) *resource.Identifier { return &e.Actor }),
		resource.ToAny("target", func(e *resource.Event) *resource.Identifier { return &e.Target }),
		resource.ToAny("cause", func(e *resource.Event) *resource.Identifier { return &e.Cause }).
			Doc("The event that this one followed from."),
	},
}
