package resource

import (
	"context"
	"encoding/json"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
)

// Event is what one successful write leaves behind, written in its transaction. The audit trail, the live
// stream and the webhooks all read it. What it names may be gone since.
type Event struct {
	ID ulid.ULID
	// Position is the event's place in the order of the commits: readers follow it, since neither ids nor
	// sequences are in that order. It is zero until the position is known.
	Position  int64
	At        time.Time
	Actor     Identifier // of type system, without an id, if it was the program; zero if nobody is known, as of a sign-in that failed
	ActorName string
	Verb      string
	Target    Identifier // without an id if the verb was done to the type as a whole
	// Changes is a JSON object that has a member for each changed one of the target, nil if there is none:
	//   - of an attribute {"from": ..., "to": ...}; a creation has no from, and a deletion no to
	//   - of a reference to one resource the same, with resource identifiers or null
	//   - of a to-many reference {"added": [...], "removed": [...], "omitted": n}: resource identifiers, of each list
	//     the first 100, and how many more there are, if any
	//   - of what no answer shows, as a secret, of what is confidential, and of what takes more than 2 KiB: {}
	Changes json.RawMessage
	Count   int64      // how many there were, if several are told of together; else zero
	Request string     // the id of the request
	Client  Identifier // the OAuth client that the actor is, or acts through; zero if none
	Session Identifier // of the actor, zero if none
	Address string     // the IP address that the request came from, empty if none did
	Cause   Identifier // the event that this one followed from, zero if none
}

// NewEvent is the event of a write. The engine makes those of its operations; what writes past it, as a sign-in
// does, records its own. The context is that of the request, see [auth.OriginOf].
func NewEvent(ctx context.Context, at time.Time, actor *auth.Principal, verb string, target Identifier) *Event {
	e := &Event{
		ID: ulid.Make(), At: at, Actor: Identifier{actor.Type, actor.ID}, ActorName: actor.Name, Verb: verb, Target: target,
	}
	if actor.Client != (ulid.ULID{}) {
		e.Client = Identifier{"client", actor.Client}
	}
	if actor.Session != (ulid.ULID{}) {
		e.Session = Identifier{"session", actor.Session}
	}
	from := auth.OriginOf(ctx)
	if e.Request = from.Request; from.Address.IsValid() {
		e.Address = from.Address.Addr().String()
	}
	return e
}
