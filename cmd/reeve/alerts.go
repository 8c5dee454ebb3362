package main

import (
	"context"
	"errors"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/alert"
	"reeve/resource/message"
	"reeve/resource/module"
	"reeve/resource/setting"
	"reeve/resource/user"
)

// alertsInterval is the setting of the module alerts.
var alertsInterval = setting.New("alerts.interval", 15*time.Second, "How often alerts are evaluated.", func(d time.Duration) error {
	if d < time.Second || d > time.Minute {
		return errors.New("must be from 1s to 1m")
	}
	return nil
})

// newAlerts is the module alerts.
func (a *app) newAlerts(c *configuration) module.Module {
	watch := alert.New(alert.Config{
		Database: a.database, Alerts: a.alerts, Samples: a.samples, Recipients: a.alerts.Linkage("recipients"),
		Metrics: a.metrics.known, Read: a.metrics.read, Notify: a.notify, Interval: func() time.Duration { return alertsInterval.In(c) }, Rests: a.readOnly.Load, Log: a.log,
	})
	return module.Module{
		Name: "alerts", Doc: "Rules over the server's own metrics, and who is told when they are met.",
		Types: []resource.Declaration{watch.Type()}, Run: watch.Run,
	}
}

// notify sends the recipients of an alert a message, while the module messages is loaded.
func (a *app) notify(ctx context.Context, id ulid.ULID, text string) error {
	if a.engine.Registry().Type(message.Schema.Name) == nil {
		return nil
	}
	window := pagination.First(200) // as many as one statement finds well
	for {
		page, err := a.alerts.Linkage("recipients").List(ctx, id, resource.Query{Window: window, Count: pagination.CountNone})
		if err != nil || len(page.Rows) == 0 {
			return err
		}
		if err := a.send(ctx, page.Rows, text); err != nil || !page.Next {
			return err
		}
		window = window.Next(pagination.At(page.Rows[len(page.Rows)-1]))
	}
}

// send sends a message to users by their ids, at most 200.
func (a *app) send(ctx context.Context, users []ulid.ULID, text string) error {
	meant := make(resource.Any, len(users))
	for i, id := range users {
		meant[i] = resource.Equal("id", id)
	}
	rows, err := resource.Every(ctx, &user.Schema, a.users.List, meant, "username")
	if err != nil || len(rows) == 0 {
		return err
	}
	to := make([]any, len(rows))
	for i := range rows {
		to[i] = rows[i].Username
	}
	_, err = a.engine.Do(ctx, resource.Operation{
		Verb: resource.Create, Type: message.Schema.Name, Body: resource.Body{Attributes: map[string]any{"body": text, "to": to}}, Principal: auth.System,
	})
	return err
}
