package main

import (
	"context"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/message"
	"reeve/resource/module"
	"reeve/resource/room"
	"reeve/resource/stream"
)

// newMessages is the module messages.
func (a *app) newMessages(c *configuration) module.Module {
	a.office = message.New(message.Config{
		Messages: a.messages, Recipients: a.recipients, Broadcasts: a.broadcasts, Users: a.recipientsNamed, Connected: a.countConnected,
		Sender:          func() string { return serverName.In(c) },
		Prefix:          func() string { return messagesPrefix.In(c) },
		MulticastPrefix: func() string { return messagesMulticastPrefix.In(c) },
		BroadcastPrefix: func() string { return messagesBroadcastPrefix.In(c) },
	})
	return module.Module{Name: "messages", Doc: "Messages to users, and broadcasts to all who are connected, by the live streams.", Types: append(a.office.Types(), room.Type(a.rooms, memberships{a}))}
}

// recipientsNamed are the users of some names that are there.
func (a *app) recipientsNamed(ctx context.Context, names []string) (map[string]message.User, error) {
	any := make(resource.Any, len(names))
	for i, name := range names {
		any[i] = resource.Equal("username", name)
	}
	page, err := a.users.List(ctx, resource.Query{
		Where: any, Window: pagination.First(len(names)), Count: pagination.CountNone, Fields: []string{"username", "connected"},
	})
	users := map[string]message.User{}
	for _, u := range page.Rows {
		users[u.Username] = message.User{ID: u.ID, Connected: u.Connected}
	}
	return users, err
}

// countConnected is how many users are connected.
func (a *app) countConnected(ctx context.Context) (int64, error) {
	page, err := a.users.List(ctx, resource.Query{Where: resource.Equal("connected", true), Window: pagination.First(1), Count: pagination.CountOnly})
	return page.Total, err
}

// mail is what streams bring to users.
func (a *app) mail() map[string]stream.Mail {
	return map[string]stream.Mail{
		message.Schema.Name: {
			Letters: func(ctx context.Context, ids []ulid.ULID, user ulid.ULID) (map[ulid.ULID]stream.Letter, error) {
				messages, err := a.office.Messages(ctx, ids)
				if err != nil {
					return nil, err
				}
				recipients, err := a.office.Recipients(ctx, ids, user)
				if err != nil {
					return nil, err
				}
				return letters(a.engine, message.Schema.Name, messages, func(m *message.Message) (ulid.ULID, stream.Letter) {
					return m.ID, stream.Letter{To: recipients[m.ID]}
				})
			},
			Waiting: a.office.Waiting, Delivered: a.office.Delivered,
		},
		message.BroadcastSchema.Name: {
			Letters: func(ctx context.Context, ids []ulid.ULID, _ ulid.ULID) (map[ulid.ULID]stream.Letter, error) {
				broadcasts, err := a.office.Broadcasts(ctx, ids)
				if err != nil {
					return nil, err
				}
				return letters(a.engine, message.BroadcastSchema.Name, broadcasts, func(b *message.Broadcast) (ulid.ULID, stream.Letter) {
					return b.ID, stream.Letter{Everybody: true}
				})
			},
		},
	}
}

// letters are rows ready to be brought: whom, address says.
func letters[T any](engine *resource.Engine, typ string, rows []T, address func(*T) (ulid.ULID, stream.Letter)) (map[ulid.ULID]stream.Letter, error) {
	all := make(map[ulid.ULID]stream.Letter, len(rows))
	for i := range rows {
		id, letter := address(&rows[i])
		var err error
		if letter.Resources, err = resource.Show(engine, typ, rows[i:i+1]); err != nil {
			return nil, err
		}
		all[id] = letter
	}
	return all, nil
}
