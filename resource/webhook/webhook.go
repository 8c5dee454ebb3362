// Package webhook is what the module webhooks has: endpoints elsewhere that are told of the events of the trail, in their
// order, each at least once, as Standard Webhooks 1.0.0 says (https://www.standardwebhooks.com).
package webhook

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
)

// Webhook is an endpoint that is told of events.
type Webhook struct {
	ID                  ulid.ULID
	URL, Description    string
	Events              []string // patterns, see [Webhook.Follows]
	CreatedAt, PausedAt time.Time

	FailingSince, LastRetryAt, NextAttemptAt time.Time
	RetryInterval                            int64 // ms
	LastDelivered                            int64 // the position of an event; 0 if there is none yet
	Position                                 int64 // all events up to this one are delivered, or are none that it follows

	SigningKey, FormerKey string
	FormerKeyExpiresAt    time.Time
	Secret                string // set where it is made, never stored as it is
}

// formerKeyLife is how long the former secret goes on signing after a new one is made.
const formerKeyLife = 24 * time.Hour

func pausedAt(w *Webhook) *time.Time { return &w.PausedAt }

// Schema is the entity webhook.
var Schema = resource.Schema[Webhook]{
	Name: "webhook", Plural: "webhooks",
	Doc: "An endpoint that is told of the events of the trail by POST, in their order, each at least once, signed as Standard Webhooks says. The secret is shown once, where it is made.",
	ID:  func(w *Webhook) *ulid.ULID { return &w.ID },
	Attributes: []resource.Attribute[Webhook]{
		resource.Attr("url", func(w *Webhook) *string { return &w.URL }, checkURL).Required().MaxLength(500).Filter(resource.Eq, resource.Contains).
			Example("https://hooks.example.com/reeve"),
		resource.Attr("description", func(w *Webhook) *string { return &w.Description }).Nullable().Example("The warehouse"),
		resource.Attr("events", func(w *Webhook) *[]string { return &w.Events }, checkEvents).Required().Example([]string{"user.created", "session.*"}).
			Doc("What it is told of: the type of what an event is about, a dot, and what was done, each of them `*` for any: `user.created`, `session.*`, `*.deleted`. " +
				"Done is `created`, `updated`, `deleted`, `linked`, `unlinked`, `relinked`, or an action, with `_` for each hyphen: `user.set_password`. Whoever chooses must be allowed to list all events."),
		resource.Attr("created_at", func(w *Webhook) *time.Time { return &w.CreatedAt }).Created(),
		resource.Attr("paused_at", pausedAt).Nullable().ReadOnly().
			Doc("Since when nothing is sent: somebody has paused it, or it has failed for `webhooks.pause_after`, or has answered 410."),
		resource.State[Webhook]("failing", resource.NotNull("failing_since")).Doc("Whether the next event could not be delivered yet."),
		resource.Attr("failing_since", func(w *Webhook) *time.Time { return &w.FailingSince }).Nullable().ReadOnly().
			Doc("Of the event that could not be delivered yet, the time of the first attempt; later ones wait for it."),
		resource.Attr("last_retry_at", func(w *Webhook) *time.Time { return &w.LastRetryAt }).Nullable().ReadOnly().Doc("The last attempt at it."),
		resource.Attr("retry_interval", func(w *Webhook) *int64 { return &w.RetryInterval }).ReadOnly().
			Doc("How long it then waits for the next attempt, in milliseconds: about twice as long each time, at most a day."),
		resource.Attr("next_attempt_at", func(w *Webhook) *time.Time { return &w.NextAttemptAt }).Nullable().ReadOnly(),
		resource.Attr("last_delivered_event", func(w *Webhook) *int64 { return &w.LastDelivered }).Nullable().ReadOnly().Quiet().
			Doc("The position of the last event that was delivered."),
		resource.Attr("position", func(w *Webhook) *int64 { return &w.Position }).Hidden().Quiet(),
		resource.Attr("former_secret_expires_at", func(w *Webhook) *time.Time { return &w.FormerKeyExpiresAt }).Nullable().ReadOnly().
			Doc("How long the secret before the last `rotate-secret` goes on signing too."),
		resource.Attr("signing_key", func(w *Webhook) *string { return &w.SigningKey }).Secret().Hidden(),
		resource.Attr("former_signing_key", func(w *Webhook) *string { return &w.FormerKey }).Nullable().Secret().Hidden(),
		resource.Once("secret", func(w *Webhook) *string { return &w.Secret }).Nullable(),
	},
	Filters: []resource.Filter{
		{Name: "status", Values: map[string]resource.Condition{"active": active, "paused": resource.NotNull("paused_at")}},
	},
	Sorts: [][]string{{"url"}, {"created_at"}, {"failing_since"}, {"last_retry_at"}, {"retry_interval"}, {"last_delivered_event"}},
}

var active = resource.IsNull("paused_at")

// webhookType serves webhooks. A new one is told of what happens from then on.
func (c *Courier) webhookType() resource.Type[Webhook] {
	webhooks := c.config.Webhooks
	return resource.Type[Webhook]{
		Schema: Schema, List: webhooks.List, Get: webhooks.Get, Update: webhooks.Update, Delete: webhooks.Delete,
		Checks: []resource.Check[Webhook]{c.few, check},
		Create: func(ctx context.Context, rows ...*Webhook) error {
			_, last, err := c.config.Database.Ends(ctx)
			if err != nil {
				return err
			}
			for _, w := range rows {
				w.Position = last
				w.renew()
			}
			return webhooks.Create(ctx, rows...)
		},
		Actions: []resource.Action[Webhook]{
			resource.Change("pause", webhooks.Update, resource.Stamp(pausedAt)).Doc("Send nothing until it is resumed."),
			resource.Command("resume", webhooks.Update, resumeArguments, c.resume).
				Doc("Go on with the event that was next when it was paused, and at once, even if it was failing."),
			resource.Change("reset", webhooks.Update, reset).Doc("Try to deliver the event that fails again now. 409 if none does."),
			resource.Run[Webhook]("test", nil, c.test).
				Doc("Send it an event `webhook.test` about itself, after those that wait; `webhooks/{id}/deliveries` tells what came of it. 409 while it is paused."),
			resource.Change("rotate-secret", webhooks.Update, rotateSecret).Issuing().
				Doc("Make a new secret, which stands in the answer and nowhere else. For a day requests are signed with the former one too."),
		},
	}
}

// renew makes a new secret: 32 random bytes in base64, after whsec_ (Standard Webhooks, "Signature scheme": 24 to 64).
func (w *Webhook) renew() {
	var key [32]byte
	rand.Read(key[:]) // it never fails
	w.Secret = "whsec_" + base64.StdEncoding.EncodeToString(key[:])
	w.SigningKey = w.Secret
}

// keys are the secrets that sign just now, the newest first.
func (w *Webhook) keys(now time.Time) []string {
	if now.Before(w.FormerKeyExpiresAt) {
		return []string{w.SigningKey, w.FormerKey}
	}
	return []string{w.SigningKey}
}

// recovered forgets that an event could not be delivered.
func (w *Webhook) recovered() {
	w.FailingSince, w.LastRetryAt, w.NextAttemptAt, w.RetryInterval = time.Time{}, time.Time{}, time.Time{}, 0
}

func rotateSecret(tx *resource.Tx, w *Webhook) error {
	w.FormerKey, w.FormerKeyExpiresAt = w.SigningKey, tx.Now.Add(formerKeyLife)
	w.renew()
	return nil
}

func reset(_ *resource.Tx, w *Webhook) error {
	switch {
	case !w.PausedAt.IsZero():
		return resource.Errorf(resource.Conflict, "the webhook is paused")
	case w.FailingSince.IsZero():
		return resource.Errorf(resource.Ended, "no event fails to be delivered")
	}
	w.recovered()
	return nil
}

type resumption struct{ skip bool }

var resumeArguments = []resource.Attribute[resumption]{
	resource.Attr("skip", func(r *resumption) *bool { return &r.skip }).Default(false).
		Doc("Leave out what has happened until now, the event that fails too."),
}

func (c *Courier) resume(tx *resource.Tx, w *Webhook, in *resumption) error {
	if w.PausedAt.IsZero() {
		return nil
	}
	w.PausedAt = time.Time{}
	w.recovered()
	if !in.skip {
		return nil
	}
	_, last, err := c.config.Database.Ends(tx)
	if err != nil {
		return err
	}
	w.Position = max(w.Position, last)
	_, err = c.config.Deliveries.Assign(tx, resource.All{resource.Equal("webhook", w.ID), resource.Equal("state", Failing)}, &Delivery{State: Skipped}, "state", "next_attempt_at")
	return err
}

// test needs to do nothing: its event is what is sent.
func (c *Courier) test(tx *resource.Tx, id ulid.ULID, _ *resource.None) (resource.Meta, error) {
	w, err := c.config.Webhooks.Get(tx, id)
	if err == nil && !w.PausedAt.IsZero() {
		err = resource.Errorf(resource.Conflict, "the webhook is paused")
	}
	return nil, err
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return errors.New("must be a URL such as https://hooks.example.com/reeve")
	case u.User != nil:
		return errors.New("must not have a name or a password")
	case u.Fragment != "":
		return errors.New("must not have a fragment")
	}
	return nil
}

var pattern = regexp.MustCompile(`^(\*|[a-z][a-z0-9_]*)\.(\*|[a-z][a-z0-9_]*)$`)

// maxEvents is how many patterns a webhook can have: each event is compared with all of them.
const maxEvents = 100

func checkEvents(patterns []string) error {
	if len(patterns) == 0 || len(patterns) > maxEvents {
		return fmt.Errorf("must have 1 to %d items", maxEvents)
	}
	for _, p := range patterns {
		if !pattern.MatchString(p) {
			return fmt.Errorf("has %q, which is nothing such as user.created, session.*, *.deleted or *.*", p)
		}
	}
	return nil
}

// maxWebhooks is how many there can be: each asks for new events by itself, several times a second.
const maxWebhooks = 200

// few refuses more webhooks than the server bears.
func (c *Courier) few(tx *resource.Tx, before, after *Webhook) error {
	if before != nil || after == nil {
		return nil
	}
	page, err := c.config.Webhooks.List(tx, resource.Query{Window: pagination.First(1), Count: pagination.CountOnly})
	if err == nil && page.Total >= maxWebhooks {
		err = resource.Errorf(resource.Conflict, "there are %d webhooks, and can be no more", maxWebhooks)
	}
	return err
}

// check refuses types that nobody serves, and has nobody read by a webhook what they may not read themselves.
func check(tx *resource.Tx, before, after *Webhook) error {
	if after == nil || before != nil && before.URL == after.URL && strings.Join(before.Events, " ") == strings.Join(after.Events, " ") {
		return nil
	}
	for _, p := range after.Events {
		typ, _, _ := strings.Cut(p, ".")
		if typ = strings.ReplaceAll(typ, "_", "-"); typ != "*" && !tx.Serves(typ) {
			return resource.Errorf(resource.Invalid, "events has %q, but there is no type %q", p, typ).At("attributes", "events")
		}
	}
	return resource.NoMore(tx.Principal, []auth.Permission{{Type: "event", Verb: resource.List}}, "attributes", "events")
}

// past are the verbs of which events tell in the past tense.
var past = map[string]string{
	resource.Create: "created", resource.Update: "updated", resource.Delete: "deleted",
	resource.Link: "linked", resource.Unlink: "unlinked", resource.Relink: "relinked",
}

// Topic is what webhooks call an event: user.created. It has letters, digits and underscores, as Standard Webhooks
// recommends ("Event types").
func Topic(e *resource.Event) string {
	done := e.Verb
	if word, ok := past[done]; ok {
		done = word
	}
	return strings.ReplaceAll(e.Target.Type+"."+done, "-", "_")
}

// Follows reports whether a webhook is told of an event: it meets one of its patterns, or is a test of this webhook.
func (w *Webhook) Follows(e *resource.Event) bool {
	if e.Verb == "test" && e.Target.ID == w.ID {
		return true
	}
	typ, done, _ := strings.Cut(Topic(e), ".")
	for _, p := range w.Events {
		ofType, ofDone, _ := strings.Cut(p, ".")
		if (ofType == "*" || ofType == typ) && (ofDone == "*" || ofDone == done) {
			return true
		}
	}
	return false
}
