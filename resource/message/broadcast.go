package message

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
)

// Broadcast is a text that was sent to all who were connected.
type Broadcast struct {
	ID           ulid.ULID
	Body, Sender string
	CreatedAt    time.Time
	Count        int64
}

// BroadcastSchema is the entity broadcast.
var BroadcastSchema = resource.Schema[Broadcast]{
	Name: "broadcast", Plural: "broadcasts",
	Doc: "A text that was sent to all who were connected. It waits for nobody, though a stream that goes on where another one broke still brings it.",
	ID:  func(b *Broadcast) *ulid.ULID { return &b.ID },
	Attributes: []resource.Attribute[Broadcast]{
		resource.Attr("body", func(b *Broadcast) *string { return &b.Body }).Required().Fixed().MaxLength(maxBody).Confidential().Example("We close in five minutes."),
		resource.Attr("sender", func(b *Broadcast) *string { return &b.Sender }).ReadOnly().Doc("The name of the server."),
		resource.Attr("created_at", func(b *Broadcast) *time.Time { return &b.CreatedAt }).Created().Filter(resource.Greater, resource.Less),
		resource.Attr("recipient_count", func(b *Broadcast) *int64 { return &b.Count }).ReadOnly().Doc("How many users were connected."),
	},
}

// broadcast stores broadcasts that requests give.
func (o *Office) broadcast(ctx context.Context, broadcasts ...*Broadcast) error {
	connected, err := o.config.Connected(ctx)
	if err != nil {
		return err
	}
	for _, b := range broadcasts {
		b.Body, b.Sender, b.Count = o.config.BroadcastPrefix()+b.Body, o.config.Sender(), connected
	}
	return o.config.Broadcasts.Create(ctx, broadcasts...)
}

// Broadcasts are those of some ids that are there.
func (o *Office) Broadcasts(ctx context.Context, ids []ulid.ULID) ([]Broadcast, error) {
	return rows(ctx, o.config.Broadcasts.List, ids)
}

// rows are those of some ids that are there.
func rows[T any](ctx context.Context, list func(context.Context, resource.Query) (resource.Page[T], error), ids []ulid.ULID) (found []T, err error) {
	for some := range chunks(ids) {
		page, err := list(ctx, resource.Query{Where: among("id", some), Window: pagination.First(len(some)), Count: pagination.CountNone})
		if err != nil {
			return nil, err
		}
		found = append(found, page.Rows...)
	}
	return found, nil
}

// among is the condition that a member is one of some ids.
func among(member string, ids []ulid.ULID) resource.Condition {
	any := make(resource.Any, len(ids))
	for i, id := range ids {
		any[i] = resource.Equal(member, id)
	}
	return any
}

// chunks are a list in parts that can be looked for at once.
func chunks[T any](list []T) iter.Seq[[]T] { return slices.Chunk(list, batch) }
