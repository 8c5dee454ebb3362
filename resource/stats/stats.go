// Package stats is the singleton stats: how much there is of what.
package stats

import (
	"context"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Stats are how much there is of what. None of them costs more the more there is.
type Stats struct {
	ID                                ulid.ULID
	Users, Administrators             int64
	ActiveUsersDay, ActiveUsers30Days int64
	Sessions, Tokens, Groups, Modules int64
	Messages, WaitingMessages         int64
	WaitingJobs, FailingDeliveries    int64
	Alerts, FiringAlerts              int64
	DatabaseBytes                     int64
}

// Schema is the singleton stats.
var Schema = resource.Schema[Stats]{
	Name: "stats", Plural: "stats",
	Doc: "How much there is of what, each counted as the answer is made.",
	ID:  func(s *Stats) *ulid.ULID { return &s.ID },
	Attributes: []resource.Attribute[Stats]{
		count("users", func(s *Stats) *int64 { return &s.Users }),
		count("administrators", func(s *Stats) *int64 { return &s.Administrators }).Doc("Users whose `can_request_admin` is set."),
		count("active_users_day", func(s *Stats) *int64 { return &s.ActiveUsersDay }).
			Doc("Users whose `last_active_at` is within 24 hours, and up to one more: since the hour began in which it was a day ago."),
		count("active_users_30_days", func(s *Stats) *int64 { return &s.ActiveUsers30Days }).Doc("The same of 30 days."),
		count("sessions", func(s *Stats) *int64 { return &s.Sessions }).Doc("Those that are active."),
		count("tokens", func(s *Stats) *int64 { return &s.Tokens }).Doc("Personal tokens that are not revoked; they may have expired."),
		count("groups", func(s *Stats) *int64 { return &s.Groups }),
		count("modules", func(s *Stats) *int64 { return &s.Modules }).Doc("Those that are loaded."),
		count("messages", func(s *Stats) *int64 { return &s.Messages }),
		count("waiting_messages", func(s *Stats) *int64 { return &s.WaitingMessages }).Doc("The length of the queue: how many recipients no stream has brought their message yet."),
		count("waiting_jobs", func(s *Stats) *int64 { return &s.WaitingJobs }).Doc("Those that are queued."),
		count("failing_webhook_deliveries", func(s *Stats) *int64 { return &s.FailingDeliveries }).Doc("Events that webhooks could not be told of yet; later ones wait for them."),
		count("alerts", func(s *Stats) *int64 { return &s.Alerts }).Doc("Rules."),
		count("firing_alerts", func(s *Stats) *int64 { return &s.FiringAlerts }),
		count("database_bytes", func(s *Stats) *int64 { return &s.DatabaseBytes }).Doc("What the database takes on its disk, without its log."),
	},
}

func count(name string, member func(*Stats) *int64) resource.Attribute[Stats] {
	return resource.Attr(name, member).ReadOnly()
}

// Type serves what gather counts.
func Type(gather func(ctx context.Context) (Stats, error)) resource.Type[Stats] {
	return resource.Type[Stats]{
		Schema: Schema, Singleton: true,
		Get: func(ctx context.Context, id ulid.ULID) (*Stats, error) {
			s, err := gather(ctx)
			s.ID = id
			return &s, err
		},
	}
}

// Metrics are the numbers by their names.
func (s *Stats) Metrics() map[string]any {
	metrics := map[string]any{}
	for i := range Schema.Attributes {
		a := &Schema.Attributes[i]
		metrics[a.Name] = a.Value(s)
	}
	return metrics
}
