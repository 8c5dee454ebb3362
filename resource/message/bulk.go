package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// bulk is the argument of the action bulk.
type bulk struct{ messages json.RawMessage }

// item is one message of a bulk.
type item struct {
	To   string `json:"to"`
	Body string `json:"body"`
}

// rejection is why one message of a bulk was not sent.
type rejection struct {
	Index  int           `json:"index"`
	To     string        `json:"to,omitempty"`
	Code   resource.Code `json:"code"`
	Detail string        `json:"detail"`
}

var bulkArguments = []resource.Attribute[bulk]{
	resource.Attr("messages", func(b *bulk) *json.RawMessage { return &b.messages }, func(text json.RawMessage) error {
		var list []json.RawMessage
		if err := json.Unmarshal(text, &list); err != nil {
			return errors.New("must be an array")
		}
		return someItems(len(list))
	}).Required().Doc("Objects with the members `to`, a username, and `body`; at most 10,000."),
}

func someItems(n int) error {
	switch {
	case n == 0:
		return errors.New("must not be empty")
	case n > maxBulk:
		return errors.New("must have at most 10000 messages")
	}
	return nil
}

// bulk sends several users each a text of their own.
func (o *Office) bulk(tx *resource.Tx, in *bulk) (resource.Meta, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(in.messages, &list); err != nil {
		return nil, err // the argument has been checked
	}
	items, rejected := make([]item, len(list)), []rejection{}
	var names []string
	for i, text := range list {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		reject := func(detail string) {
			rejected = append(rejected, rejection{Index: i, To: items[i].To, Code: resource.Invalid, Detail: detail})
			items[i] = item{}
		}
		switch err := decoder.Decode(&items[i]); {
		case err != nil:
			items[i] = item{}
			reject("it must be an object with the texts to and body alone")
		case items[i].To == "" || items[i].Body == "":
			reject("to and body must not be empty")
		case utf8.RuneCountInString(items[i].Body) > maxBody:
			reject("body must have at most 10000 characters")
		default:
			names = append(names, items[i].To)
		}
	}
	users, err := o.users(tx, names)
	if err != nil {
		return nil, err
	}
	var messages []*Message
	for i, one := range items {
		if one.To == "" {
			continue
		}
		if _, known := users[one.To]; !known {
			rejected = append(rejected, rejection{Index: i, To: one.To, Code: resource.NotFound, Detail: "there is no user of this name"})
			continue
		}
		messages = append(messages, &Message{ID: ulid.Make(), Body: o.config.MulticastPrefix() + one.Body, CreatedAt: tx.Now, To: []string{one.To}})
	}
	if messages == nil {
		return nil, resource.Errorf(resource.NotFound, "none of the messages has a recipient who is there, and a text").At("messages")
	}
	if err := o.store(tx, messages, users); err != nil {
		return nil, err
	}
	meta := resource.Meta{"rejected": rejected}
	var sent, queued int64
	for _, m := range messages {
		sent, queued = sent+m.Sent, queued+m.Queued
		tx.Tell(resource.Create, resource.Identifier{Type: Schema.Name, ID: m.ID}, Schema.Changes(nil, m))
	}
	meta["sent"], meta["queued"] = sent, queued
	return meta, nil
}
