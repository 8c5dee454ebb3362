package webhook

import (
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// The states of a delivery.
const (
	Delivered = "delivered"
	Failing   = "failing" // it is tried again, or will be once its webhook is resumed
	Skipped   = "skipped" // it failed, and its webhook was resumed without it, or the event is removed
)

// Delivery is an event that a webhook was sent.
type Delivery struct {
	ID, Webhook                             ulid.ULID
	Event                                   resource.Identifier
	Position                                int64 // of the event
	Topic, State, Error                     string
	Attempts, Status, Duration              int64
	CreatedAt, LastAttemptAt, NextAttemptAt time.Time

	stored bool // its row is there
}

// DeliverySchema is the entity webhook-delivery.
var DeliverySchema = resource.Schema[Delivery]{
	Name: "webhook-delivery", Plural: "webhook-deliveries",
	Doc: "An event that a webhook was sent, or is being sent again and again. They are kept for `webhooks.keep`.",
	ID:  func(d *Delivery) *ulid.ULID { return &d.ID },
	Attributes: []resource.Attribute[Delivery]{
		resource.Attr("topic", func(d *Delivery) *string { return &d.Topic }).ReadOnly().Filter(resource.Eq).Example("user.created"),
		resource.Attr("state", func(d *Delivery) *string { return &d.State }).OneOf(Delivered, Failing, Skipped).ReadOnly().Filter(resource.Eq).
			Doc("`failing` until it is delivered; `skipped` if the webhook was then resumed without it, or the event was removed first, after `events.keep`."),
		resource.Attr("attempts", func(d *Delivery) *int64 { return &d.Attempts }).ReadOnly().Doc("How often it was sent."),
		resource.Attr("status", func(d *Delivery) *int64 { return &d.Status }).Nullable().ReadOnly().Doc("The HTTP status of the last answer; null if there was none. Delivered is what was answered with 2xx."),
		resource.Attr("error", func(d *Delivery) *string { return &d.Error }).Nullable().ReadOnly().Doc("Why the last attempt failed."),
		resource.Attr("duration_ms", func(d *Delivery) *int64 { return &d.Duration }).ReadOnly().Doc("How long the last attempt took, in milliseconds."),
		resource.Attr("created_at", func(d *Delivery) *time.Time { return &d.CreatedAt }).ReadOnly().Filter(resource.Greater, resource.Less).Doc("The time of the first attempt."),
		resource.Attr("last_attempt_at", func(d *Delivery) *time.Time { return &d.LastAttemptAt }).ReadOnly(),
		resource.Attr("next_attempt_at", func(d *Delivery) *time.Time { return &d.NextAttemptAt }).Nullable().ReadOnly(),
		resource.Attr("position", func(d *Delivery) *int64 { return &d.Position }).ReadOnly().Doc("The position of the event."),
	},
	References: []resource.Reference[Delivery]{
		resource.ToOne("webhook", Schema.Name, func(d *Delivery) *ulid.ULID { return &d.Webhook }).ReadOnly().OnDelete(resource.Cascade).Inverse("deliveries"),
		resource.ToAny("event", func(d *Delivery) *resource.Identifier { return &d.Event }).Doc("The event, whose id is the header `webhook-id`."),
	},
	Unique: [][]string{{"webhook", "position"}},
	Sorts:  [][]string{{"created_at"}},
}

// Before is the condition of deliveries that are done, and began before a time.
func Before(at time.Time) resource.Condition {
	return resource.All{resource.Holds("created_at", resource.Less, at), resource.Not{Condition: resource.Equal("state", Failing)}}
}

// Subject is what a webhook has been told of, and when last.
type Subject struct {
	ID, Webhook     ulid.ULID
	Topic           string
	LastDelivered   int64
	LastDeliveredAt time.Time
}

// SubjectSchema is the entity webhook-topic.
var SubjectSchema = resource.Schema[Subject]{
	Name: "webhook-topic", Plural: "webhook-topics",
	Doc: "A kind of event that a webhook has been told of, and the last one.",
	ID:  func(s *Subject) *ulid.ULID { return &s.ID },
	Attributes: []resource.Attribute[Subject]{
		resource.Attr("topic", func(s *Subject) *string { return &s.Topic }).ReadOnly().Filter(resource.Eq).Example("user.created"),
		resource.Attr("last_delivered_event", func(s *Subject) *int64 { return &s.LastDelivered }).ReadOnly().Quiet().Doc("The position of the last event that was delivered."),
		resource.Attr("last_delivered_at", func(s *Subject) *time.Time { return &s.LastDeliveredAt }).ReadOnly().Quiet(),
	},
	References: []resource.Reference[Subject]{
		resource.ToOne("webhook", Schema.Name, func(s *Subject) *ulid.ULID { return &s.Webhook }).ReadOnly().OnDelete(resource.Cascade).Inverse("topics"),
	},
	Unique: [][]string{{"webhook", "topic"}},
	Sorts:  [][]string{{"last_delivered_event"}},
}

// Lease says which node tells a webhook of events. Its id is that of the webhook.
type Lease struct{ ID, Webhook, Node ulid.ULID }

// LeaseSchema is no entity. A lease goes with its node, see package presence.
var LeaseSchema = resource.Schema[Lease]{
	Name: "webhook-lease", Plural: "webhook-leases", Doc: "Which node tells a webhook of events.", Uncounted: true,
	ID: func(l *Lease) *ulid.ULID { return &l.ID },
	References: []resource.Reference[Lease]{
		resource.ToOne("webhook", Schema.Name, func(l *Lease) *ulid.ULID { return &l.Webhook }).OnDelete(resource.Cascade),
		resource.ToOne("node", "node", func(l *Lease) *ulid.ULID { return &l.Node }).OnDelete(resource.Cascade),
	},
}
