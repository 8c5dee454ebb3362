// Package room is the entity room: where the members of a group meet.
package room

import (
	"context"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Room is where the members of a group meet.
type Room struct {
	ID, Group ulid.ULID
	Name      string
	CreatedAt time.Time
}

// Schema is the entity room.
var Schema = resource.Schema[Room]{
	Name: "room", Plural: "rooms",
	Doc: "Where the members of a group meet. Each is invited by a message, when the room is made or when they join.",
	ID:  func(r *Room) *ulid.ULID { return &r.ID },
	Attributes: []resource.Attribute[Room]{
		resource.Attr("name", func(r *Room) *string { return &r.Name }).Required().Example("Support"),
		resource.Attr("created_at", func(r *Room) *time.Time { return &r.CreatedAt }).Created(),
	},
	References: []resource.Reference[Room]{
		resource.ToOne("group", "group", func(r *Room) *ulid.ULID { return &r.Group }).Required().Fixed().OnDelete(resource.Cascade).
			Inverse("rooms").Doc("Whose room it is. It goes with the group."),
	},
}

// Guests is what rooms ask about those who are to be invited, in the transaction that the context holds.
type Guests interface {
	// Members are the users who are members of a group.
	Members(ctx context.Context, group ulid.ULID) ([]ulid.ULID, error)
	// Usernames are those of users.
	Usernames(ctx context.Context, users []ulid.ULID) ([]string, error)
}

// Type serves rooms out of a store.
func Type(rooms resource.Store[Room], guests Guests) resource.Type[Room] {
	h := host{rooms, guests}
	return resource.Type[Room]{
		Schema: Schema, List: rooms.List, Get: rooms.Get, Create: rooms.Create, Update: rooms.Update, Delete: rooms.Delete,
		Then: h.opened,
		Actions: []resource.Action[Room]{
			resource.Run[Room]("invite", inviteArguments, h.invite).Answering(resource.AnswersNothing).Doc("Send users, or else all members of the group, a message that invites them to the room."),
		},
	}
}

// host invites to rooms.
type host struct {
	rooms  resource.Store[Room]
	guests Guests
}

// opened invites the members of the group to a room that is new.
func (h host) opened(tx *resource.Tx, before, after *Room) error {
	if before != nil {
		return nil
	}
	_, err := tx.Do(resource.Operation{Verb: "invite", Type: Schema.Name, ID: after.ID})
	return err
}

type inviteArgument struct{ users []string }

var inviteArguments = []resource.Attribute[inviteArgument]{
	resource.Attr("users", func(a *inviteArgument) *[]string { return &a.users }, resource.IDs).Doc("The ids of the users; all members of the group unless given.").
		Example([]string{"01J2KDPHTZYW3TAT1SKVAD63SQ"}),
}

func (h host) invite(tx *resource.Tx, id ulid.ULID, a *inviteArgument) (resource.Meta, error) {
	room, err := h.rooms.Get(tx, id)
	if err != nil {
		return nil, err
	}
	users, err := resource.ParseIDs(a.users)
	if err == nil && a.users == nil {
		users, err = h.guests.Members(tx, room.Group)
	}
	if err != nil {
		return nil, err
	}
	return nil, h.send(tx, room, users)
}

// maxGuests is how many are invited by one message.
const maxGuests = 1000

// send sends invitations.
func (h host) send(tx *resource.Tx, room *Room, users []ulid.ULID) error {
	for some := range slices.Chunk(users, maxGuests) {
		names, err := h.guests.Usernames(tx, some)
		if err != nil {
			return err
		}
		to := make([]any, len(names))
		for i, name := range names {
			to[i] = name
		}
		if len(to) == 0 {
			continue
		}
		_, err = tx.Do(resource.Operation{Verb: resource.Create, Type: "message", Body: resource.Body{
			Attributes: map[string]any{"body": "You are invited to the room " + room.Name + ".", "to": to}}})
		if err != nil {
			return err
		}
	}
	return nil
}
