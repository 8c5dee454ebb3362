package main

import (
	"context"
	"encoding/json"
	"runtime"
	"time"

	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/alert"
	"reeve/resource/job"
	"reeve/resource/stats"
	"reeve/resource/usagereport"
	"reeve/resource/version"
	"reeve/resource/webhook"
)

// stats counts what there is, by counters and tallies alone.
func (a *app) stats(ctx context.Context) (s stats.Stats, err error) {
	modules, err := a.modules.Loaded(ctx)
	if err != nil {
		return s, err
	}
	s.Modules = int64(len(modules))
	since := func(age time.Duration) func(context.Context) (int64, error) {
		return func(ctx context.Context) (int64, error) {
			return a.users.Since(ctx, "last_active_at", time.Now().Add(-age))
		}
	}
	const day = 24 * time.Hour
	for _, one := range []struct {
		count *int64
		by    func(context.Context) (int64, error)
	}{
		{&s.Users, total(a.users.List, nil)},
		{&s.Administrators, total(a.users.List, resource.Equal("can_request_admin", true))},
		{&s.ActiveUsersDay, since(day)},
		{&s.ActiveUsers30Days, since(30 * day)},
		{&s.Sessions, total(a.sessions.List, resource.IsNull("finished_at"))},
		{&s.Tokens, total(a.tokens.List, resource.IsNull("revoked_at"))},
		{&s.Groups, total(a.groups.List, nil)},
		{&s.Messages, total(a.messages.List, nil)},
		{&s.WaitingMessages, total(a.recipients.List, resource.IsNull("delivered_at"))},
		{&s.WaitingJobs, a.total(job.Schema.Name, "state", job.Queued)},
		{&s.FailingDeliveries, total(a.deliveries.List, resource.Equal("state", webhook.Failing))},
		{&s.Alerts, total(a.alerts.List, nil)},
		{&s.FiringAlerts, total(a.alerts.List, resource.Equal("state", alert.Firing))},
		{&s.DatabaseBytes, a.database.Size},
	} {
		if *one.count, err = one.by(ctx); err != nil {
			return s, err
		}
	}
	return s, nil
}

// total is how many rows meet a condition.
func total[T any](list func(context.Context, resource.Query) (resource.Page[T], error), where resource.Condition) func(context.Context) (int64, error) {
	return func(ctx context.Context) (int64, error) {
		page, err := list(ctx, resource.Query{Where: where, Window: pagination.First(1), Count: pagination.CountOnly})
		return page.Total, err
	}
}

// usageReport is what would be sent of the server's use, if anything were.
func (a *app) usageReport(ctx context.Context) (r usagereport.Report, err error) {
	s, err := a.stats(ctx)
	if err != nil {
		return r, err
	}
	modules, err := a.modules.Loaded(ctx)
	if err != nil {
		return r, err
	}
	r = usagereport.Report{
		Version: version.Current().Version, OS: runtime.GOOS, Arch: runtime.GOARCH, Database: "postgres", Modules: []string{},
	}
	if a.database.Embedded() {
		r.Database = "sqlite"
	}
	for _, m := range modules {
		if m.File == "" { // what a file declares may be called anything
			r.Modules = append(r.Modules, m.Name)
		}
	}
	r.Metrics, err = json.Marshal(s.Metrics())
	return r, err
}
