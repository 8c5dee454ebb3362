// Package event is the audit trail: what each successful write left behind.
package event

import (
	"encoding/json"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Event is what a write left behind.
type Event = resource.Event

// Schema is the entity event.
var Schema = resource.Schema[Event]{
	Name: "event", Plural: "events",
	Doc: "What one successful write left behind: who did what to which resource, and what that changed.",
	ID:  func(e *Event) *ulid.ULID { return &e.ID },
	Attributes: []resource.Attribute[Event]{
		resource.Attr("position", func(e *Event) *int64 { return &e.Position }).Nullable().Unique().ReadOnly().
			Doc("The place in the order of the commits; null for an instant after the write."),
		resource.Attr("at", func(e *Event) *time.Time { return &e.At }).Created().Filter(resource.Greater, resource.Less),
		typeOf("actor_type", func(e *Event) string { return e.Actor.Type }, "`user`, `client`, or `system` for the program itself; null if nobody is known."),
		resource.Attr("actor_name", func(e *Event) *string { return &e.ActorName }).Nullable().ReadOnly(),
		typeOf("target_type", func(e *Event) string { return e.Target.Type }, "The type of the target, also of a verb on the type as a whole, as `bulk`: then `target` is null."),
		resource.Attr("verb", func(e *Event) *string { return &e.Verb }).ReadOnly().Filter(resource.Eq).
			Doc("`create`, `update`, `delete`, `link`, `unlink`, `relink`, or an action, as `lock`."),
		resource.Attr("changes", func(e *Event) *json.RawMessage { return &e.Changes }).Nullable().ReadOnly().
			Doc("By member of the target: of an attribute `from` and `to`; of a relationship to many `added`, `removed` and, beyond " +
				"100 of either, `omitted`, how many more; `{}` of what is never shown, and of what takes more than 2 KiB."),
		resource.Attr("count", func(e *Event) *int64 { return &e.Count }).Nullable().ReadOnly().
			Doc("How many there were, where several are told of together."),
		resource.Attr("request", func(e *Event) *string { return &e.Request }).Nullable().ReadOnly().Filter(resource.Eq).
			Doc("The id of the request."),
		resource.Attr("address", func(e *Event) *string { return &e.Address }).Nullable().ReadOnly().
			Doc("The IP address that the request came from."),
	},
	References: []resource.Reference[Event]{
		resource.ToAny("actor", func(e *Event) *resource.Identifier { return &e.Actor }).
			Doc("The user or client who did it; null if it was the program itself, or nobody is known."),
		resource.ToAny("target", func(e *Event) *resource.Identifier { return &e.Target }),
		resource.ToAny("client", func(e *Event) *resource.Identifier { return &e.Client }).
			Doc("The OAuth client that the actor is, or acts through."),
		resource.ToAny("session", func(e *Event) *resource.Identifier { return &e.Session }).Doc("The session of the actor."),
		resource.ToAny("cause", func(e *Event) *resource.Identifier { return &e.Cause }).Doc("The event that this one followed from."),
	},
	Filters: []resource.Filter{
		by("actor", resource.ID), by("actor_type", resource.String), by("target", resource.ID), by("target_type", resource.String),
	},
	Sorts: [][]string{{"position"}, {"at"}},
}

// typeOf is the type of what a reference names, which it may have though it names no resource.
func typeOf(name string, of func(e *Event) string, doc string) resource.Attribute[Event] {
	return resource.Computed(name, func(_ resource.View, e *Event) *string {
		if typ := of(e); typ != "" {
			return &typ
		}
		return nil
	}).Doc(doc)
}

// by is the filter by equality.
func by(member string, kind resource.Kind) resource.Filter {
	return resource.Filter{Name: member, Kind: kind, Where: func(arg any) resource.Condition { return resource.Equal(member, arg) }}
}

// Type serves events out of a store. Nobody writes them but who does what they tell of.
func Type(events resource.Store[Event]) resource.Type[Event] {
	return resource.Type[Event]{Schema: Schema, List: events.List, Get: events.Get}
}
