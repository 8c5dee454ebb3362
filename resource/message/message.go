// Package message is what the module messages has: texts that are sent to users, and to all who are connected. A message
// is kept for those who are away; a broadcast is not.
package message

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
)

// Bounds of a message.
const (
	maxBody = 10_000 // characters, without what the settings put before it
	maxBulk = 10_000 // messages
	batch   = 200    // ids or names that are looked for at once
)

// Message is a text that was sent to some users.
type Message struct {
	ID           ulid.ULID
	Body, Sender string
	CreatedAt    time.Time
	Sent, Queued int64
	To           []string // set where it is made, never stored
}

// Schema is the entity message.
var Schema = resource.Schema[Message]{
	Name: "message", Plural: "messages",
	Doc: "A text that was sent to some users. Every live stream of theirs brings it; for those who have none it waits for the next one.",
	ID:  func(m *Message) *ulid.ULID { return &m.ID },
	Attributes: []resource.Attribute[Message]{
		resource.Attr("body", func(m *Message) *string { return &m.Body }).Required().Fixed().MaxLength(maxBody).Confidential().Example("So it goes."),
		resource.Attr("sender", func(m *Message) *string { return &m.Sender }).ReadOnly().Doc("The name of the server."),
		resource.Attr("created_at", func(m *Message) *time.Time { return &m.CreatedAt }).Created().Filter(resource.Greater, resource.Less),
		resource.Attr("sent", func(m *Message) *int64 { return &m.Sent }).ReadOnly().Doc("To how many connected users it was sent at once."),
		resource.Attr("queued", func(m *Message) *int64 { return &m.Queued }).ReadOnly().Doc("For how many users who were away it was kept."),
		resource.Input("to", func(m *Message) *[]string { return &m.To }, someNames).Required().Fixed().
			Doc("The usernames of the recipients, at most 1000.").Example([]string{"kilgore-trout"}),
	},
}

// The states of a recipient.
const (
	Sent   = "sent"
	Queued = "queued"
)

// Recipient is a user whom a message was sent to.
type Recipient struct {
	ID, Message, User ulid.ULID
	Status            string
	DeliveredAt       time.Time
	WaitingFor        ulid.ULID // the user, until it is delivered
}

// RecipientSchema is the entity recipient.
var RecipientSchema = resource.Schema[Recipient]{
	Name: "recipient", Plural: "recipients",
	Doc: "A user whom a message was sent to.",
	ID:  func(r *Recipient) *ulid.ULID { return &r.ID },
	Attributes: []resource.Attribute[Recipient]{
		resource.Attr("status", func(r *Recipient) *string { return &r.Status }).OneOf(Sent, Queued).ReadOnly().Filter(resource.Eq).
			Doc("`sent` if the user was connected when the message was, else `queued`."),
		resource.Attr("delivered_at", func(r *Recipient) *time.Time { return &r.DeliveredAt }).Nullable().ReadOnly().Quiet().
			Doc("When a stream of the user first brought it."),
		resource.Attr("waiting_for", func(r *Recipient) *ulid.ULID { return &r.WaitingFor }).Nullable().Hidden().Quiet(),
	},
	References: []resource.Reference[Recipient]{
		resource.ToOne("message", "message", func(r *Recipient) *ulid.ULID { return &r.Message }).ReadOnly().OnDelete(resource.Cascade).Inverse("recipients"),
		resource.ToOne("user", "user", func(r *Recipient) *ulid.ULID { return &r.User }).ReadOnly().OnDelete(resource.Cascade),
	},
	Unique: [][]string{{"message", "user"}},
	Filters: []resource.Filter{
		{Name: "delivered", Doc: "Whether a stream of the user has brought it.", Values: map[string]resource.Condition{
			"true": resource.NotNull("delivered_at"), "false": resource.IsNull("delivered_at")}},
		{Name: "waiting_for", Kind: resource.ID, Doc: "What no stream has brought this user yet.", Where: func(user any) resource.Condition {
			return resource.Equal("waiting_for", user)
		}},
	},
}

// Before is the condition of messages, and of broadcasts, that were sent before a time.
func Before(at time.Time) resource.Condition { return resource.Holds("created_at", resource.Less, at) }

// User is a user whom something is sent to.
type User struct {
	ID        ulid.ULID
	Connected bool
}

// Recipients is where recipients are kept.
type Recipients interface {
	resource.Store[Recipient]
	// Assign gives the members of all rows that meet a condition the values that they have in a row.
	Assign(ctx context.Context, where resource.Condition, as *Recipient, members ...string) (changed int, err error)
}

// Config is what the module's types need.
type Config struct {
	Messages   resource.Store[Message]
	Recipients Recipients
	Broadcasts resource.Store[Broadcast]
	// Users are those of some usernames, at most 200, that are there.
	Users func(ctx context.Context, usernames []string) (map[string]User, error)
	// Connected is how many users are connected.
	Connected func(ctx context.Context) (int64, error)
	Sender    func() string // the name of the server
	// Prefix is put before the text of a message to one user, of one to several, or of a broadcast.
	Prefix, MulticastPrefix, BroadcastPrefix func() string
}

// Office sends messages.
type Office struct{ config Config }

// New makes an office.
func New(c Config) *Office { return &Office{c} }

// Types are the types of the module.
func (o *Office) Types() []resource.Declaration {
	c := &o.config
	return []resource.Declaration{
		resource.Type[Message]{
			Schema: Schema, List: c.Messages.List, Get: c.Messages.Get, Create: o.create, Delete: c.Messages.Delete,
			Actions: []resource.Action[Message]{
				resource.CollectionAction[Message]("bulk", bulkArguments, o.bulk).
					Doc("Send several users each a text of their own. The valid ones go; `meta.rejected` says which are not, by their places."),
			},
		},
		resource.Type[Recipient]{Schema: RecipientSchema, List: c.Recipients.List, Get: c.Recipients.Get},
		resource.Type[Broadcast]{Schema: BroadcastSchema, List: c.Broadcasts.List, Get: c.Broadcasts.Get, Create: o.broadcast, Delete: c.Broadcasts.Delete},
	}
}

func someNames(_ context.Context, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, errors.New("must not be empty")
	}
	return names, nil
}

// create stores messages that requests give, and their recipients.
func (o *Office) create(ctx context.Context, messages ...*Message) error {
	var names []string
	for _, m := range messages {
		names = append(names, m.To...)
	}
	users, err := o.users(ctx, names)
	if err != nil {
		return err
	}
	var unknown resource.Errors
	for _, m := range messages {
		for i, name := range m.To {
			if _, known := users[name]; !known {
				unknown = append(unknown, resource.Errorf(resource.NotFound, "there is no user %q", name).At("attributes", "to", strconv.Itoa(i)))
			}
		}
	}
	if unknown != nil {
		return unknown
	}
	for _, m := range messages {
		prefix := o.config.Prefix
		if len(m.To) > 1 {
			prefix = o.config.MulticastPrefix
		}
		m.Body = prefix() + m.Body
	}
	return o.store(ctx, messages, users)
}

// store stores messages to users who are known, and their recipients, in few statements.
func (o *Office) store(ctx context.Context, messages []*Message, users map[string]User) error {
	var recipients []*Recipient
	for _, m := range messages {
		m.Sender = o.config.Sender()
		once := map[ulid.ULID]bool{}
		for _, name := range m.To {
			user := users[name]
			if once[user.ID] {
				continue
			}
			once[user.ID] = true
			r := &Recipient{ID: ulid.Make(), Message: m.ID, User: user.ID, WaitingFor: user.ID, Status: Queued}
			if user.Connected {
				r.Status = Sent
				m.Sent++
			} else {
				m.Queued++
			}
			recipients = append(recipients, r)
		}
	}
	if err := o.config.Messages.Create(ctx, messages...); err != nil {
		return err
	}
	return o.config.Recipients.Create(ctx, recipients...)
}

// users are the users of some names, those that there are.
func (o *Office) users(ctx context.Context, names []string) (map[string]User, error) {
	users := map[string]User{}
	for some := range chunks(names) {
		found, err := o.config.Users(ctx, some)
		if err != nil {
			return nil, err
		}
		for name, user := range found {
			users[name] = user
		}
	}
	return users, nil
}

// Waiting are the first 1000 messages, by id, that no stream has brought a user yet.
func (o *Office) Waiting(ctx context.Context, user ulid.ULID) ([]ulid.ULID, error) {
	page, err := o.config.Recipients.List(ctx, resource.Query{
		Where: resource.Equal("waiting_for", user), Window: pagination.First(1000), Count: pagination.CountNone, Fields: []string{"message"},
	})
	ids := make([]ulid.ULID, len(page.Rows))
	for i := range page.Rows {
		ids[i] = page.Rows[i].Message
	}
	return ids, err
}

// Delivered notes that recipients, by their ids, have been brought what was sent to them.
func (o *Office) Delivered(ctx context.Context, recipients ...ulid.ULID) error {
	now := resource.Cut(time.Now())
	for some := range chunks(recipients) {
		where := resource.All{among("id", some), resource.IsNull("delivered_at")}
		if _, err := o.config.Recipients.Assign(ctx, where, &Recipient{DeliveredAt: now}, "delivered_at", "waiting_for"); err != nil {
			return err
		}
	}
	return nil
}

// Messages are those of some ids that are there.
func (o *Office) Messages(ctx context.Context, ids []ulid.ULID) ([]Message, error) {
	return rows(ctx, o.config.Messages.List, ids)
}

// Recipients are those of some messages, or one user of them if that is not zero: by message, and in it by user, the id.
func (o *Office) Recipients(ctx context.Context, messages []ulid.ULID, user ulid.ULID) (map[ulid.ULID]map[ulid.ULID]ulid.ULID, error) {
	found := map[ulid.ULID]map[ulid.ULID]ulid.ULID{}
	for some := range chunks(messages) {
		where := resource.All{among("message", some)}
		if user != (ulid.ULID{}) {
			where = append(where, resource.Equal("user", user))
		}
		query := resource.Query{
			Where: where, Window: pagination.First(pagination.MaxSize), Count: pagination.CountNone, Fields: []string{"message", "user"},
		}
		for {
			page, err := o.config.Recipients.List(ctx, query)
			if err != nil {
				return nil, err
			}
			for i := range page.Rows {
				r := &page.Rows[i]
				if found[r.Message] == nil {
					found[r.Message] = map[ulid.ULID]ulid.ULID{}
				}
				found[r.Message][r.User] = r.ID
			}
			if !page.Next {
				break
			}
			query.Window = query.Window.Next(pagination.At(page.Rows[len(page.Rows)-1].ID))
		}
	}
	return found, nil
}
