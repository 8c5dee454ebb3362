package event

import (
	"encoding/json"
	"fmt"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Deletes reports whether an event tells of the deletion of a user.
func Deletes(e *Event) bool {
	return e.Verb == resource.Delete && e.Target.Type == "user" && e.Target.ID != ulid.ULID{}
}

// erased stands in the changes of an event in the place of what there was.
var erased = json.RawMessage(`{"erased":true}`)

// Erase takes out of an event what it says of a user: of one about them, all values; of one that they did, their name and
// address. Who did something to them stays.
func Erase(e *Event, user ulid.ULID) error {
	by := e.Actor.ID == user
	if by {
		e.ActorName = ""
	}
	about := e.Target.ID == user
	if by || about && (e.Actor == resource.Identifier{} || e.Actor.Type == "system") { // as of a sign-in that failed
		e.Address = ""
	}
	if !about || len(e.Changes) == 0 {
		return nil
	}
	var changes map[string]json.RawMessage
	if err := json.Unmarshal(e.Changes, &changes); err != nil {
		return fmt.Errorf("event %s: %w", e.ID, err)
	}
	for member := range changes {
		changes[member] = erased
	}
	var err error
	e.Changes, err = json.Marshal(changes)
	return err
}
