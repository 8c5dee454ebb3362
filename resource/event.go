package resource

import (
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
)

// Event is what one successful write leaves behind, written in its transaction. The audit trail, the live
// stream and the webhooks all read it. It names what changed and holds no values.
type Event struct {
	ID ulid.ULID
	// Position is the event's place in the order of the commits: readers follow it, since neither ids nor
	// sequences are in that order. It is zero until the position is known.
	Position  int64
	At        time.Time
	Actor     Identifier
	ActorName string
	Verb      string
	Target    Identifier
	Changed   []string   // names of attributes and references
	Request   string     // the id of the request
	Cause     Identifier // the event that this one followed from, zero if none
}

// NewEvent is the event of a write. The engine makes those of its operations; what writes past it, as a sign-in
// does, records its own.
func NewEvent(at time.Time, actor *auth.Principal, verb string, target Identifier) *Event {
	return &Event{
		ID: ulid.Make(), At: at, Actor: Identifier{actor.Type, actor.ID}, ActorName: actor.Name, Verb: verb, Target: target,
	}
}
