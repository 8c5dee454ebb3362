package main

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	documents "reeve/resource/document"
	"reeve/resource/event"
	"reeve/resource/httpapi"
	"reeve/resource/module"
	"reeve/resource/setting"
	"reeve/resource/version"
	"reeve/resource/webhook"
	"reeve/resource/webhook/sender"
)

// The settings of the module webhooks.
var (
	webhooksAllowPrivate = setting.New("webhooks.allow_private", false,
		"Whether webhooks may reach addresses that are not public: private ones, and those of this machine and its link.")
	webhooksAllowedNetworks = setting.New("webhooks.allowed_networks", []auth.Network(nil), "Addresses and networks that webhooks may reach though they are not public.")
	webhooksTimeout         = setting.New("webhooks.timeout", 15*time.Second, "How long an endpoint may take to answer.", func(d time.Duration) error {
		if d < 100*time.Millisecond || d > time.Minute {
			return errors.New("must be from 100ms to 1m")
		}
		return nil
	})
	webhooksPauseAfter = setting.New("webhooks.pause_after", 120*time.Hour, "How long an endpoint may fail until it is paused; 0 for ever.", checkKeep)
	webhooksKeep       = setting.New("webhooks.keep", 720*time.Hour, "How long deliveries are kept; 0 for ever.", checkKeep)
)

// newWebhooks is the module webhooks.
func (a *app) newWebhooks(c *configuration) module.Module {
	posts := sender.New(sender.Config{
		Allows: func(ip netip.Addr) bool {
			return webhooksAllowPrivate.In(c) || slices.ContainsFunc(webhooksAllowedNetworks.In(c), func(n auth.Network) bool { return n.Contains(ip) })
		},
		Timeout: func() time.Duration { return webhooksTimeout.In(c) },
		Agent:   "Reeve/" + version.Current().Version,
	})
	webhooksAllowPrivate.Follow(c.Store, func(bool) { posts.Forget() })
	webhooksAllowedNetworks.Follow(c.Store, func([]auth.Network) { posts.Forget() })
	courier := webhook.New(webhook.Config{
		Database: resting{a.database, a.readOnly.Load}, Webhooks: a.webhooks, Deliveries: a.deliveries, Subjects: a.subjects, Leases: a.leases, Node: a.presence.ID(),
		Send: posts.Send, Body: a.told(c),
		Pause: func(ctx context.Context, id ulid.ULID) error {
			_, err := a.engine.Do(ctx, resource.Operation{Verb: "pause", Type: webhook.Schema.Name, ID: id, Principal: auth.System})
			return err
		},
		PauseAfter: func() time.Duration { return webhooksPauseAfter.In(c) }, Log: a.log,
	})
	return module.Module{Name: "webhooks", Doc: "Endpoints elsewhere that are told of events.", Types: courier.Types(), Run: courier.Run}
}

// told is what webhooks are sent of an event: the payload that Standard Webhooks recommends, with the event as the API
// shows it.
func (a *app) told(c *configuration) func(topic string, e *resource.Event) ([]byte, error) {
	base := c.publicBase() + httpapi.Base
	return func(topic string, e *resource.Event) ([]byte, error) {
		shown, err := resource.Show(a.engine, event.Schema.Name, []resource.Event{*e})
		if err != nil {
			return nil, err
		}
		body := resource.AppendString([]byte(`{"type":`), topic)
		body = resource.AppendTime(append(body, `,"timestamp":"`...), e.At)
		body = documents.AppendLines(append(body, `","data":`...), base, &resource.Result{Resources: shown}) // which is one line
		body[len(body)-1] = '}'
		return body, nil
	}
}
