// Package alert is what the module alerts has: rules over the server's own metrics, which all nodes measure and one of
// them at a time evaluates. What comes of them stands in the trail, so that webhooks and streams tell of it.
package alert

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
)

// The functions: what a rule compares with its threshold.
const (
	Value    = "value"    // of a gauge
	Increase = "increase" // of a counter, over the window
	Rate     = "rate"     // the increase by the second
	Share    = "share"    // the increase of what the labels match, as a part of that of the whole metric
)

// The comparisons.
const (
	Greater        = "gt"
	GreaterOrEqual = "ge"
	Less           = "lt"
	LessOrEqual    = "le"
)

// The states.
const (
	OK      = "ok"
	Pending = "pending" // the rule is met, but not for long enough yet
	Firing  = "firing"
	NoData  = "no_data"
	Paused  = "paused"
)

// Bounds of a rule.
const (
	minWindow = time.Minute // longer than alerts.interval may be
	maxWindow = 720 * time.Hour
	maxLabels = 20
	maxAlerts = 1000 // each of them is evaluated again and again

	maxRecipients = 100 // of an alert: they are sent a message in the transaction that evaluates it
)

// Alert is a rule over a metric.
type Alert struct {
	ID                ulid.ULID
	Name, Description string
	Metric            string
	Labels            []string // matchers, see [parseMatcher]
	Function          string
	Window            string // a duration
	Comparison        string
	Threshold         float64
	For               string // a duration
	CreatedAt         time.Time
	PausedAt          time.Time

	State         string
	Since         time.Time
	Measured      *float64
	LastEvaluated time.Time
	Begun         time.Time // since when the rule as it is has been evaluated without a gap
	Told          string    // the verb of the last event; empty if there is none, or it was one of [resolved]
	Revision      int64
}

// Schema is the entity alert.
var Schema = resource.Schema[Alert]{
	Name: "alert", Plural: "alerts",
	Doc: "A rule over a metric of the server's own. Whenever it begins to fire, loses its data or is resolved, that is an event, of which webhooks tell, " +
		"and a message to its recipients while the module messages is loaded. `events?filter[target]=` is its history.",
	ID: func(a *Alert) *ulid.ULID { return &a.ID },
	Attributes: []resource.Attribute[Alert]{
		resource.Attr("name", func(a *Alert) *string { return &a.Name }).Required().Unique().Filter(resource.Eq, resource.Contains).Example("Guessing passwords"),
		resource.Attr("description", func(a *Alert) *string { return &a.Description }).Nullable().MaxLength(10_000),
		resource.Attr("metric", func(a *Alert) *string { return &a.Metric }).Required().Filter(resource.Eq).Example("reeve_sign_in_failures_total").
			Doc("The name of a counter or a gauge as `/metrics` has it; of a histogram with `_count`, `_sum` or `_bucket`."),
		resource.Attr("labels", func(a *Alert) *[]string { return &a.Labels }, checkMatchers).
			Doc("Which of its series are meant, all if empty: `status=5xx`, `type!=users`, `route=~.*/operations`, `route!~/oauth2/.*`. A pattern matches the whole value (RE2). What they match is added up."),
		resource.Attr("function", func(a *Alert) *string { return &a.Function }).Required().OneOf(Value, Increase, Rate, Share).Example(Increase).
			Doc("`value` of a gauge: of several nodes that of the one nearest to the threshold, or furthest beyond it. Of a counter, over `window` and all nodes together: `increase`, " +
				"`rate` (increase by the second), or `share`, the increase of what `labels` match as a part, 0 to 1, of that of the whole metric, for a histogram's buckets that of `_count`."),
		resource.Attr("window", func(a *Alert) *string { return &a.Window }, checkDuration(minWindow, maxWindow)).Nullable().Example("5m").
			Doc("How far a counter is looked back upon, from 1m to 720h. It moves on by sixtieths."),
		resource.Attr("comparison", func(a *Alert) *string { return &a.Comparison }).OneOf(Greater, GreaterOrEqual, Less, LessOrEqual).Default(Greater).
			Doc("How `value` is to be to `threshold` for the rule to be met. A share of nothing meets no rule, nor is an increase or a rate too small until it was looked at for a whole window."),
		resource.Attr("threshold", func(a *Alert) *float64 { return &a.Threshold }).Required().Example(50.0),
		resource.Attr("for", func(a *Alert) *string { return &a.For }, checkDuration(0, maxWindow)).Nullable().Example("1m").
			Doc("How long the rule is to be met until it fires, up to 720h; at once if null."),
		resource.Attr("created_at", func(a *Alert) *time.Time { return &a.CreatedAt }).Created(),
		resource.Attr("paused_at", func(a *Alert) *time.Time { return &a.PausedAt }).Nullable().ReadOnly(),
		resource.Attr("state", func(a *Alert) *string { return &a.State }).ReadOnly().OneOf(OK, Pending, Firing, NoData, Paused).Default(NoData).Filter(resource.Eq).
			Doc("`pending` while the rule is met, but not for as long as `for` says; `no_data` until it is evaluated, and while there is no such gauge. What was never counted is 0."),
		resource.Attr("since", func(a *Alert) *time.Time { return &a.Since }).Nullable().ReadOnly().Doc("When it came to be in its state."),
		resource.Attr("value", func(a *Alert) **float64 { return &a.Measured }).ReadOnly().Quiet().Doc("What was compared with the threshold last."),
		resource.Attr("last_evaluated_at", func(a *Alert) *time.Time { return &a.LastEvaluated }).Nullable().ReadOnly().Quiet(),
		resource.Attr("begun_at", func(a *Alert) *time.Time { return &a.Begun }).Nullable().Hidden().Quiet(),
		resource.Attr("told", func(a *Alert) *string { return &a.Told }).Nullable().Hidden().Quiet(),
		resource.Revision(func(a *Alert) *int64 { return &a.Revision }),
	},
	References: []resource.Reference[Alert]{
		resource.ToMany[Alert]("recipients", "user").Doc("Who is sent a message whenever there is an event: at most 100. Whoever links them, or changes the name of an alert that has some, must be allowed to send messages."),
	},
	Sorts: [][]string{{"name"}, {"since"}},
}

var active = resource.IsNull("paused_at")

// Sample is what one node has measured for one rule: of a gauge its value, of a counter the increase in a part of the
// window. What was measured for another rule, since the alert was changed, is told apart by the rule's number.
type Sample struct {
	ID, Alert ulid.ULID
	Rule      int64
	At        time.Time // of a gauge the time, of a counter that at which the part begins
	Value     float64
	Whole     float64 // the increase of the whole metric, for [Share]
}

// SampleSchema is no entity: of each rule and node it has one row for a gauge, and at most 61 for a counter.
var SampleSchema = resource.Schema[Sample]{
	Name: "alert-sample", Plural: "alert-samples", Doc: "What a node has measured for an alert.", Uncounted: true,
	ID: func(s *Sample) *ulid.ULID { return &s.ID },
	Attributes: []resource.Attribute[Sample]{
		resource.Attr("rule", func(s *Sample) *int64 { return &s.Rule }),
		resource.Attr("at", func(s *Sample) *time.Time { return &s.At }).Quiet(),
		resource.Attr("value", func(s *Sample) *float64 { return &s.Value }).Quiet(),
		resource.Attr("whole", func(s *Sample) *float64 { return &s.Whole }).Quiet(),
	},
	References: []resource.Reference[Sample]{
		resource.ToOne("alert", Schema.Name, func(s *Sample) *ulid.ULID { return &s.Alert }).OnDelete(resource.Cascade),
	},
}

// Type serves the alerts of a watch.
func (w *Watch) Type() resource.Type[Alert] {
	alerts := w.config.Alerts
	return resource.Type[Alert]{
		Schema: Schema, Lookups: []string{"name"}, Linkages: map[string]resource.Linkage{"recipients": w.config.Recipients},
		List: alerts.List, Get: alerts.Get, Create: alerts.Create, Update: alerts.Update, Delete: alerts.Delete,
		Checks:  []resource.Check[Alert]{w.check},
		Follows: []resource.Following[Alert]{resource.Follow("recipients", nil, w.linked)},
		Actions: []resource.Action[Alert]{
			resource.Change("pause", alerts.Update, func(tx *resource.Tx, a *Alert) error {
				if a.PausedAt.IsZero() {
					a.pause(tx.Now)
				}
				return nil
			}).Doc("Evaluate it no longer, until it is resumed."),
			resource.Change("resume", alerts.Update, func(tx *resource.Tx, a *Alert) error {
				if !a.PausedAt.IsZero() {
					a.resume(tx.Now)
				}
				return nil
			}).Doc("Evaluate it again. What was counted while it was paused is left out."),
			w.all("pause-all", active, (*Alert).pause).Doc("Pause all alerts. `meta.affected` says how many were not paused before. Those that a file has as not paused are paused until it is applied again."),
			w.all("resume-all", resource.NotNull("paused_at"), (*Alert).resume).Doc("Resume all alerts. `meta.affected` says how many were paused before."),
		},
	}
}

// all is an action on all alerts that meet a condition, in one statement.
func (w *Watch) all(name string, where resource.Condition, change func(a *Alert, now time.Time)) resource.Action[Alert] {
	return resource.CollectionAction[Alert](name, nil, func(tx *resource.Tx, _ *resource.None) (resource.Meta, error) {
		var as Alert
		change(&as, tx.Now)
		n, err := w.config.Alerts.Assign(tx, where, &as, "paused_at", "state", "since", "value", "last_evaluated_at", "begun_at", "told")
		return resource.Meta{"affected": n}, err
	})
}

func (a *Alert) pause(now time.Time) {
	a.forget(now)
	a.PausedAt, a.State = now, Paused
}

func (a *Alert) resume(now time.Time) {
	a.forget(now)
	a.PausedAt = time.Time{}
}

// forget forgets what came of the rule.
func (a *Alert) forget(now time.Time) {
	a.State, a.Since, a.Measured, a.LastEvaluated, a.Begun, a.Told = NoData, now, nil, time.Time{}, time.Time{}, ""
}

// linked has nobody send messages by an alert who may not send them, nor one to very many.
func (w *Watch) linked(tx *resource.Tx, a *Alert, added, _ []ulid.ULID, _ *resource.None) error {
	if len(added) == 0 {
		return nil
	}
	n, err := w.recipients(tx, a.ID)
	if err == nil && n > maxRecipients {
		err = resource.Errorf(resource.Invalid, "an alert has at most %d recipients", maxRecipients).At("relationships", "recipients")
	}
	if err != nil {
		return err
	}
	return resource.NoMore(tx.Principal, toNotify, "relationships", "recipients")
}

// toNotify are the permissions of whoever says what recipients are told.
var toNotify = []auth.Permission{{Type: "message", Verb: resource.Create}}

// recipients is how many there are.
func (w *Watch) recipients(ctx context.Context, id ulid.ULID) (int64, error) {
	page, err := w.config.Recipients.List(ctx, id, resource.Query{Window: pagination.First(1), Count: pagination.CountOnly})
	return page.Total, err
}

// check finds out whether there is what a rule names, and whether its parts fit together. Another rule begins anew.
func (w *Watch) check(tx *resource.Tx, before, after *Alert) error {
	if after == nil {
		return nil
	}
	if before == nil {
		page, err := w.config.Alerts.List(tx, resource.Query{Window: pagination.First(1), Count: pagination.CountOnly})
		if err != nil {
			return err
		}
		if page.Total >= maxAlerts {
			return resource.Errorf(resource.Conflict, "there are %d alerts, and can be no more", maxAlerts)
		}
	} else {
		if before.Name != after.Name {
			n, err := w.recipients(tx, after.ID)
			if err == nil && n > 0 {
				err = resource.NoMore(tx.Principal, toNotify, "attributes", "name")
			}
			if err != nil {
				return err
			}
		}
		if before.rule() != after.rule() {
			after.Begun = time.Time{}
		}
	}
	wrong := func(attribute, format string, args ...any) error {
		return resource.Errorf(resource.Invalid, format, args...).At("attributes", attribute)
	}
	metric, known := w.config.Metrics[after.Metric]
	if !known {
		return wrong("metric", "there is no metric %q; /metrics has them all", after.Metric)
	}
	for i, text := range after.Labels {
		m, err := parseMatcher(text)
		if err == nil && !slices.Contains(metric.Labels, m.label) {
			err = fmt.Errorf("%s has no label %q", after.Metric, m.label)
		}
		if err != nil {
			return resource.Errorf(resource.Invalid, "%v", err).At("attributes", "labels", fmt.Sprint(i))
		}
	}
	switch gauge := after.Function == Value; {
	case metric.Counter && gauge:
		return wrong("function", "%s is a counter: its increase, rate or share can be compared", after.Metric)
	case !metric.Counter && !gauge:
		return wrong("function", "%s is a gauge: its value can be compared", after.Metric)
	case gauge && after.Window != "":
		return wrong("window", "a gauge has none")
	case !gauge && after.Window == "":
		return wrong("window", "%s takes a window", after.Function)
	case after.Function == Share && len(after.Labels) == 0:
		return wrong("labels", "must say which part is meant")
	case after.Function == Share && (after.Threshold < 0 || after.Threshold > 1):
		return wrong("threshold", "a share is from 0 to 1")
	}
	return nil
}

// checkDuration wants a duration within bounds.
func checkDuration(least, most time.Duration) func(string) error {
	return func(text string) error {
		if d, err := time.ParseDuration(text); err != nil || d < least || d > most {
			return fmt.Errorf("must be a duration such as 5m or 1h30m, from %s to %s", least, most)
		}
		return nil
	}
}

func checkMatchers(matchers []string) error {
	if len(matchers) > maxLabels {
		return fmt.Errorf("must have at most %d items", maxLabels)
	}
	for _, text := range matchers {
		if _, err := parseMatcher(text); err != nil {
			return err
		}
	}
	return nil
}

// duration is one that was checked; zero if there is none.
func duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0
	}
	return d
}

// width is how long the parts of the window are by which a counter's increase is kept.
func (a *Alert) width() time.Duration { return max(duration(a.Window)/60, time.Second) }

// rule is a number of what is measured, so that samples of what an alert was before are no samples of it.
func (a *Alert) rule() int64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%q", []string{a.Metric, a.Function, a.Window, strings.Join(a.Labels, "\x00")}) // it never fails
	return int64(h.Sum64() & math.MaxInt64)
}

// met reports whether a value is to the threshold as the rule says.
func (a *Alert) met(value float64) bool {
	switch a.Comparison {
	case Greater:
		return value > a.Threshold
	case GreaterOrEqual:
		return value >= a.Threshold
	case Less:
		return value < a.Threshold
	default:
		return value <= a.Threshold
	}
}

// errMatcher says what a matcher is.
var errMatcher = errors.New(`must have items such as "status=5xx", "status!=2xx", "route=~/oauth2/.*" or "route!~/oauth2/.*"`)
