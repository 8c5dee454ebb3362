package alert

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// The verbs of the events, and so what webhooks call alert.fire, alert.resolve and alert.no_data.
const (
	fired    = "fire"
	resolved = "resolve"
	lost     = "no-data"
)

// news is what is told of an alert that comes to be in a state; nothing of others.
var news = map[string]string{Firing: fired, OK: resolved, NoData: lost}

// Database is what a watch needs of storage's outbox.
type Database interface {
	Transact(ctx context.Context, fn func(ctx context.Context) error) error
	Record(ctx context.Context, events ...*resource.Event) error
}

// Alerts is where alerts are kept.
type Alerts interface {
	resource.Store[Alert]
	// Assign gives the members of all rows that meet a condition the values that they have in a row.
	Assign(ctx context.Context, where resource.Condition, as *Alert, members ...string) (changed int, err error)
}

// Samples is where samples are kept.
type Samples interface {
	resource.Store[Sample]
	// Prune removes at most so many rows that meet a condition, without events, and answers how many they were.
	Prune(ctx context.Context, where resource.Condition, now time.Time, most int) (removed int, err error)
}

// Config is what a [Watch] works with.
type Config struct {
	Database   Database
	Alerts     Alerts
	Samples    Samples
	Recipients resource.Linkage
	Metrics    map[string]Metric // that rules may name
	// Read is what the metrics of this node are just now. What cannot be told is left out.
	Read func() ([]Series, error)
	// Notify sends the recipients of an alert a message, in the transaction that the context holds, if there are messages.
	Notify   func(ctx context.Context, alert ulid.ULID, text string) error
	Interval func() time.Duration // between two evaluations, at most a minute
	Rests    func() bool          // while nothing can be written
	Clock    func() time.Time     // default time.Now
	Log      *slog.Logger         // default slog.Default()
}

// Watch measures what alerts are about, on every node, and evaluates them. It holds the row of an alert meanwhile, so
// that one node at a time evaluates it, and whoever comes soon after finds that done: none leads, and none is missed when
// it dies.
//
// A gauge is what a node says last, of which it keeps one sample. Of a counter each node keeps how much it has increased in
// each sixtieth of the window, so that the sum of all of them is the increase on all nodes, those that have ended among
// them. What a node has counted since its last sample goes with it if it is killed.
type Watch struct {
	config Config
	meters map[ulid.ULID]meter // by alert
}

// meter is how far a node has measured an alert.
type meter struct {
	rule        int64
	sample      ulid.ULID
	at          time.Time // of the sample
	base, last  reading   // of a counter: when the sample began, and as it is stored or known not to be
	unconfirmed bool      // nobody knows whether the sample is stored
}

// reading is what a counter tells, and that of the whole metric.
type reading struct{ value, whole float64 }

// New makes a watch.
func New(c Config) *Watch {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	c.Log = cmp.Or(c.Log, slog.Default())
	return &Watch{config: c, meters: map[ulid.ULID]meter{}}
}

// Run measures and evaluates until the context ends. It runs once at a time.
func (w *Watch) Run(ctx context.Context) error {
	for {
		if err := w.Look(ctx); err != nil && ctx.Err() == nil {
			w.config.Log.WarnContext(ctx, "alerts are not evaluated just now", "error", err)
		}
		timer := time.NewTimer(w.config.Interval())
		select {
		case <-ctx.Done():
			timer.Stop()
			return w.leave(context.WithoutCancel(ctx))
		case <-timer.C:
		}
	}
}

// leave stores what was counted since the last look. A node that cannot is as one that is killed.
func (w *Watch) leave(ctx context.Context) error {
	if err := w.Look(ctx); err != nil {
		w.config.Log.WarnContext(ctx, "alerts miss what was counted last", "error", err)
	}
	clear(w.meters) // it was not asked to count what comes until it runs again
	return nil
}

// Look measures all alerts that are not paused, and evaluates those that no node has evaluated lately.
func (w *Watch) Look(ctx context.Context) error {
	if w.config.Rests() {
		return nil
	}
	alerts, err := resource.Every(ctx, &Schema, w.config.Alerts.List, active)
	if err != nil {
		return err
	}
	listed := make(map[ulid.ULID]bool, len(alerts))
	for i := range alerts {
		listed[alerts[i].ID] = true
	}
	maps.DeleteFunc(w.meters, func(id ulid.ULID, _ meter) bool { return !listed[id] })
	if len(alerts) == 0 {
		return nil
	}
	series, err := w.config.Read()
	if err != nil {
		w.config.Log.WarnContext(ctx, "some metrics are not told", "error", err)
	}
	for some := range slices.Chunk(alerts, together) {
		err := w.look(ctx, some, series)
		if err == nil || away(err) || ctx.Err() != nil {
			if err != nil {
				return err
			}
			continue
		}
		for i := range some { // the others of them are not to miss what one of them fails at
			err := w.look(ctx, some[i:i+1], series)
			if err != nil && away(err) {
				return err
			}
			if err != nil {
				w.config.Log.ErrorContext(ctx, "an alert is not evaluated", "alert", some[i].ID, "error", err)
			}
		}
	}
	return nil
}

// together is how many alerts share a transaction: each costs the database about the same.
const together = 100

// away reports whether nothing at all can be written just now.
func away(err error) bool {
	return resource.Is(err, resource.Unavailable) || resource.Is(err, resource.Maintenance)
}

// look measures and evaluates some alerts, in one transaction.
func (w *Watch) look(ctx context.Context, alerts []Alert, series []Series) error {
	now := resource.Cut(w.config.Clock())
	samples := map[ulid.ULID]*Sample{} // of the alerts that there is something to do about
	for i := range alerts {
		a := &alerts[i]
		m, sample := w.read(a, series, now)
		m.unconfirmed = m.unconfirmed || sample != nil
		w.meters[a.ID] = m
		if sample != nil || w.due(a, now) {
			samples[a.ID] = sample
		}
	}
	if len(samples) == 0 {
		return nil
	}
	err := w.config.Database.Transact(ctx, func(ctx context.Context) error {
		for i := range alerts {
			sample, meant := samples[alerts[i].ID]
			if !meant {
				continue
			}
			if err := w.note(ctx, alerts[i].ID, sample, now); err != nil && !resource.Is(err, resource.NotFound) { // it was deleted meanwhile
				return err
			}
		}
		return nil
	})
	if err == nil {
		for id := range samples {
			m := w.meters[id]
			m.unconfirmed = false
			w.meters[id] = m
		}
	}
	return err
}

// note stores a sample of an alert, if there is one, and evaluates the alert, if nobody has.
func (w *Watch) note(ctx context.Context, id ulid.ULID, sample *Sample, now time.Time) error {
	var before *Alert
	told := ""
	after, err := w.config.Alerts.Update(ctx, id, func(a *Alert) error {
		if a.State == Paused || a.rule() != w.meters[id].rule {
			return nil
		}
		if err := w.store(ctx, sample); err != nil {
			return err
		}
		if !w.due(a, now) {
			return nil
		}
		if a.Begun.IsZero() || now.Sub(a.LastEvaluated).Abs() > patience*w.config.Interval() {
			a.Begun = now
		}
		value, met, err := w.sum(ctx, a, now)
		if err != nil {
			return err
		}
		before = Schema.Copy(a)
		told = a.evaluate(value, met, now)
		return nil
	})
	if err != nil || told == "" {
		return err
	}
	event := resource.NewEvent(ctx, now, auth.System, told, resource.Identifier{Type: Schema.Name, ID: id})
	event.Changes = Schema.Changes(before, after)
	if err := w.config.Database.Record(ctx, event); err != nil {
		return err
	}
	return w.config.Notify(ctx, id, after.sentence())
}

// due reports whether nobody has evaluated the alert for half an interval: nodes look at any time. What was evaluated by
// a clock that is ahead of this one is no reason to wait until then.
func (w *Watch) due(a *Alert, now time.Time) bool {
	return now.Sub(a.LastEvaluated).Abs() >= w.config.Interval()/2
}

// read reads what an alert is about. It returns how far it is then measured, and the sample that is to be stored, nil if
// there is none.
func (w *Watch) read(a *Alert, series []Series, now time.Time) (meter, *Sample) {
	value, whole, found := a.measure(series)
	m, known := w.meters[a.ID]
	if rule := a.rule(); !known || m.rule != rule {
		m = meter{rule: rule, sample: ulid.Make(), at: now.Truncate(a.width()), base: reading{value, whole}, last: reading{value, whole}}
	}
	if a.Function == Value {
		if !found {
			return m, nil
		}
		return m, &Sample{ID: m.sample, Alert: a.ID, Rule: m.rule, At: now, Value: value}
	}
	// A sample of which nobody knows whether it is stored is stored once more, as it then is: so nothing counts twice.
	if part := now.Truncate(a.width()); part != m.at && !m.unconfirmed {
		m.at, m.sample, m.base = part, ulid.Make(), m.last
	}
	if m.last == (reading{value, whole}) && !m.unconfirmed {
		return m, nil
	}
	m.last = reading{value, whole}
	return m, &Sample{ID: m.sample, Alert: a.ID, Rule: m.rule, At: m.at, Value: value - m.base.value, Whole: whole - m.base.whole}
}

// store writes a sample.
func (w *Watch) store(ctx context.Context, sample *Sample) error {
	if sample == nil {
		return nil
	}
	_, err := w.config.Samples.Update(ctx, sample.ID, func(s *Sample) error { *s = *sample; return nil })
	if resource.Is(err, resource.NotFound) {
		err = w.config.Samples.Create(ctx, sample)
	}
	return err
}

// patience is for how many intervals what a node says of a gauge is taken for true, and nobody needs to have evaluated a rule.
const patience = 4

// sum works out what is to be compared with the threshold, nil if there is no data, and whether it meets the rule. It
// removes samples that are too old.
func (w *Watch) sum(ctx context.Context, a *Alert, now time.Time) (_ *float64, met bool, err error) {
	samples, err := resource.Every(ctx, &SampleSchema, w.config.Samples.List, resource.Equal("alert", a.ID))
	if err != nil {
		return nil, false, err
	}
	from, to := now.Add(-duration(a.Window)), now.Add(maxWindow)
	if a.Function == Value { // a clock that is ahead makes nothing true for longer
		from, to = now.Add(-patience*w.config.Interval()), now.Add(patience*w.config.Interval())
	}
	rule, old, found := a.rule(), false, false
	var value, whole float64
	for _, s := range samples {
		switch {
		case s.At.Before(from) || s.At.After(to) || s.Rule != rule:
			old = true
		case a.Function != Value:
			value, whole = value+s.Value, whole+s.Whole
		case !found || s.Value > value == (a.Comparison == Greater || a.Comparison == GreaterOrEqual):
			value, found = s.Value, true
		}
	}
	if old {
		stale := resource.Any{resource.Holds("at", resource.Less, from), resource.Holds("at", resource.Greater, to), resource.Not{Condition: resource.Equal("rule", rule)}}
		if _, err := w.config.Samples.Prune(ctx, resource.All{resource.Equal("alert", a.ID), stale}, now, len(samples)); err != nil {
			return nil, false, err
		}
	}
	metric, known := w.config.Metrics[a.Metric]
	switch {
	case !known || metric.Counter == (a.Function == Value): // another version of the program had it
		return nil, false, nil
	case a.Function == Value && !found:
		return nil, false, nil
	case a.Function == Rate:
		value /= duration(a.Window).Seconds()
	case a.Function == Share && whole <= 0: // nothing has no parts
		return &value, false, nil
	case a.Function == Share:
		value /= whole
	}
	partial := (a.Function == Increase || a.Function == Rate) && now.Sub(a.Begun) < duration(a.Window)
	if partial && (a.Comparison == Less || a.Comparison == LessOrEqual) { // it may only seem to be so little
		return &value, false, nil
	}
	return &value, a.met(value), nil
}

// evaluate notes what was measured, nil if there is no data, whether it meets the rule, and what follows from it. It
// returns the verb of the event that is to tell of it, or nothing.
func (a *Alert) evaluate(value *float64, met bool, now time.Time) (verb string) {
	state := OK
	switch {
	case value == nil:
		state = NoData
	case !met:
	case a.State == Firing, duration(a.For) == 0, a.State == Pending && now.Sub(a.Since) >= duration(a.For):
		state = Firing
	default:
		state = Pending
	}
	a.Measured, a.LastEvaluated = value, now
	if state != a.State {
		a.State, a.Since = state, now
	}
	if verb = news[state]; verb == "" || verb == cmp.Or(a.Told, resolved) {
		return ""
	}
	if a.Told = verb; verb == resolved {
		a.Told = ""
	}
	return verb
}

// sentence is what recipients are told of the alert as it is.
func (a *Alert) sentence() string {
	state := map[string]string{Firing: "fires", OK: "is resolved", NoData: "has no data"}[a.State]
	text := fmt.Sprintf("Alert %q %s", a.Name, state)
	if a.Measured != nil {
		text += ": " + a.Function + " is " + number(*a.Measured) + ", the threshold " + a.Comparison + " " + number(a.Threshold)
	}
	return text + "."
}

func number(value float64) string { return strconv.FormatFloat(value, 'g', 6, 64) }
