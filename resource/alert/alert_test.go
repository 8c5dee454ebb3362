package alert_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/alert"
	"reeve/resource/event"
	"reeve/storage"
	"reeve/storage/postgres"
	"reeve/storage/sqlite"
	"reeve/storage/storagetest"
)

// user is whom alerts are told to.
type user struct{ ID ulid.ULID }

var users = resource.Schema[user]{Name: "user", Plural: "users", Doc: "Somebody.", ID: func(u *user) *ulid.ULID { return &u.ID }}

// world is a database with some nodes, and a time that passes when the test says so.
type world struct {
	*testing.T
	database *storage.Outbox
	alerts   *storage.Table[alert.Alert]
	samples  *storage.Table[alert.Sample]
	engine   *resource.Engine
	users    *storage.Table[user]
	now      time.Time

	unreachable ulid.ULID // the alert of which nobody can be told

	mu       sync.Mutex
	messages []string
}

// node is a node, with what its metrics are just now.
type node struct {
	*alert.Watch
	series []alert.Series
	broken bool // nobody learns what comes of its transactions
}

func onBoth(t *testing.T, test func(w *world)) {
	run := func(dialect storage.Dialect, uri func(t *testing.T) string) func(t *testing.T) {
		return func(t *testing.T) {
			t.Parallel() // they mostly wait
			db, err := storage.Open(t.Context(), dialect, uri(t), storage.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
			w := &world{T: t, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
			w.users, err = storage.NewTable(db, users)
			if err == nil {
				w.alerts, err = storage.NewTable(db, alert.Schema)
			}
			if err == nil {
				w.samples, err = storage.NewTable(db, alert.SampleSchema)
			}
			if err == nil {
				w.database, err = storage.NewOutbox(db, event.Schema)
			}
			if err == nil {
				err = db.Migrate(t.Context())
			}
			registry := &resource.Registry{}
			if err == nil {
				err = registry.Register(resource.Type[user]{Schema: users, List: w.users.List, Get: w.users.Get}, w.node().Type())
			}
			if err != nil {
				t.Fatal(err)
			}
			w.engine = resource.NewEngine(registry, w.database, func() time.Time { return w.now })
			test(w)
		}
	}
	t.Run("SQLite", run(sqlite.Dialect{}, func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "test.db") }))
	t.Run("PostgreSQL", run(postgres.Dialect{}, func(t *testing.T) string { return storagetest.Postgres(t) }))
}

var metrics = map[string]alert.Metric{
	"errors_total": {Counter: true, Labels: []string{"status", "route"}}, "took_bucket": {Counter: true, Labels: []string{"le"}}, "length": {Labels: []string{"queue"}},
}

// unconfirmed loses the answers to the commits of a node.
type unconfirmed struct {
	*storage.Outbox
	node *node
}

func (u unconfirmed) Transact(ctx context.Context, fn func(ctx context.Context) error) error {
	err := u.Outbox.Transact(ctx, fn)
	if err == nil && u.node.broken {
		err = errors.New("the connection was cut")
	}
	return err
}

func (w *world) node() *node {
	n := &node{}
	n.Watch = alert.New(alert.Config{
		Database: unconfirmed{w.database, n}, Alerts: w.alerts, Samples: w.samples, Recipients: w.alerts.Linkage("recipients"), Metrics: metrics,
		Read: func() ([]alert.Series, error) { return n.series, nil },
		Notify: func(_ context.Context, id ulid.ULID, text string) error {
			if id == w.unreachable {
				return errors.New("nobody can be told")
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.messages = append(w.messages, text)
			return nil
		},
		Interval: func() time.Duration { return 15 * time.Second }, Rests: func() bool { return false }, Clock: func() time.Time { return w.now },
	})
	return n
}

// count sets a counter of a node, by the values of its labels status and route.
func (n *node) count(status, route string, value float64) {
	labels := map[string]string{"status": status, "route": route}
	n.set(alert.Series{Metric: "errors_total", Counter: true, Labels: labels, Value: value})
}

// length sets a gauge.
func (n *node) length(queue string, value float64) {
	n.set(alert.Series{Metric: "length", Labels: map[string]string{"queue": queue}, Value: value})
}

func (n *node) set(series alert.Series) {
	n.series = slices.DeleteFunc(n.series, func(s alert.Series) bool {
		a, _ := json.Marshal(s.Labels)
		b, _ := json.Marshal(series.Labels)
		return s.Metric == series.Metric && string(a) == string(b)
	})
	n.series = append(n.series, series)
}

// after lets some time pass, and has nodes look then, one after another.
func (w *world) after(d time.Duration, nodes ...*node) {
	w.Helper()
	w.now = w.now.Add(d)
	for _, n := range nodes {
		if err := n.Look(w.Context()); err != nil && !n.broken {
			w.Fatal(err)
		}
	}
}

func (w *world) do(verb string, id ulid.ULID, attributes map[string]any) ([]resource.Result, error) {
	return w.engine.Do(w.Context(), resource.Operation{Verb: verb, Type: "alert", ID: id, Principal: auth.System, Body: resource.Body{Attributes: attributes}})
}

// rule makes an alert, with what is given in the place of what it else is.
func (w *world) rule(but map[string]any) ulid.ULID {
	w.Helper()
	attributes := map[string]any{"name": ulid.Make().String(), "metric": "errors_total", "function": "increase", "window": "1m", "threshold": 5}
	for name, value := range but {
		if attributes[name] = value; value == nil {
			delete(attributes, name)
		}
	}
	made, err := resource.Do[alert.Alert](w.Context(), w.engine, resource.Operation{Verb: resource.Create, Type: "alert", Principal: auth.System, Body: resource.Body{Attributes: attributes}})
	if err != nil {
		w.Fatal(err)
	}
	return made.ID
}

// is wants an alert to be in a state, with a value unless that is negative.
func (w *world) is(id ulid.ULID, state string, value float64) {
	w.Helper()
	a, err := w.alerts.Get(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	switch {
	case a.State != state:
		w.Errorf("the alert is %s, not %s", a.State, state)
	case (value >= 0) != (a.Measured != nil) || value >= 0 && *a.Measured != value:
		w.Errorf("the value is %v, not %v", a.Measured, value)
	}
}

// told wants the trail to tell of an alert, from its creation on, and its recipients of all but that.
func (w *world) told(id ulid.ULID, verbs ...string) {
	w.Helper()
	events, err := resource.Every(w.Context(), &event.Schema, w.database.Events().List, resource.Equal("target", id))
	if err != nil {
		w.Fatal(err)
	}
	var got []string
	for _, e := range events {
		if e.Verb != resource.Create && e.Verb != resource.Update && e.Verb != "pause" && e.Verb != "resume" {
			got = append(got, e.Verb)
		}
	}
	if !slices.Equal(got, verbs) {
		w.Errorf("the trail tells of %v, not %v", got, verbs)
	}
}

// TestIncrease counts on several nodes, of which one dies: the rule means all of them together, within the window.
func TestIncrease(t *testing.T) {
	onBoth(t, func(w *world) {
		one, other := w.node(), w.node()
		one.count("500", "/", 100)
		id := w.rule(map[string]any{"labels": []any{"status=~5.."}, "description": "so it goes"})
		w.is(id, alert.NoData, -1)
		w.after(0, one, other)
		w.is(id, alert.OK, 0)
		one.count("500", "/", 103)
		other.count("502", "/x", 1)
		other.count("404", "/x", 50)
		w.after(15*time.Second, one, other)
		w.is(id, alert.OK, 3) // the other one looked after it was evaluated
		w.after(15*time.Second, other, one)
		w.is(id, alert.OK, 4)
		other.count("502", "/x", 4)
		w.after(15*time.Second, other) // one is dead
		w.is(id, alert.Firing, 7)
		w.told(id, "fire")
		w.after(35*time.Second, other)
		w.is(id, alert.OK, 3)
		third := w.node()
		third.count("500", "/", 1000) // as it was begun
		w.after(15*time.Second, other, third)
		third.count("500", "/", 1002)
		w.after(10*time.Second, third, other)
		w.is(id, alert.OK, 5)
		w.after(time.Hour, other)
		w.is(id, alert.OK, 0)
		w.told(id, "fire", "resolve")
		if len(w.messages) != 2 || !strings.Contains(w.messages[0], "increase is 7") {
			w.Errorf("%v", w.messages)
		}
		if rows, err := resource.Every(w.Context(), &alert.SampleSchema, w.samples.List, nil); err != nil || len(rows) != 0 {
			w.Errorf("samples are left: %v %v", rows, err)
		}
	})
}

// TestSamplesAreFew has a counter increase for a long time: what is kept of it does not.
func TestSamplesAreFew(t *testing.T) {
	onBoth(t, func(w *world) {
		one := w.node()
		id := w.rule(map[string]any{"window": "30m", "function": "rate", "threshold": 100})
		for i := range 300 {
			one.count("500", "/", float64(i*15))
			w.after(15*time.Second, one)
		}
		a, err := w.alerts.Get(w.Context(), id)
		if err != nil || a.Measured == nil || *a.Measured < 0.95 || *a.Measured > 1.05 {
			w.Errorf("%v %v", a, err)
		}
		rows, err := resource.Every(w.Context(), &alert.SampleSchema, w.samples.List, nil)
		if err != nil || len(rows) < 59 || len(rows) > 61 {
			w.Errorf("%d samples: %v", len(rows), err)
		}
	})
}

// TestUnconfirmed has a node not learn whether its samples are stored: nothing counts twice, and nothing is left out.
func TestUnconfirmed(t *testing.T) {
	onBoth(t, func(w *world) {
		one := w.node()
		id := w.rule(nil)
		w.after(0, one)
		for i := range 5 {
			one.count("500", "/", float64(i+1))
			one.broken = i%2 == 0
			w.after(10*time.Second, one)
		}
		one.broken = false
		w.after(8*time.Second, one)
		w.is(id, alert.OK, 5)
	})
}

// TestFor has a rule be met for a while.
func TestFor(t *testing.T) {
	onBoth(t, func(w *world) {
		one := w.node()
		id := w.rule(map[string]any{"metric": "length", "function": "value", "window": nil, "for": "1m", "threshold": 3, "comparison": "ge", "labels": []any{"queue=jobs"}})
		one.length("jobs", 3)
		one.length("mail", 1000)
		w.after(0, one)
		w.is(id, alert.Pending, 3)
		one.length("jobs", 2)
		w.after(45*time.Second, one)
		w.is(id, alert.OK, 2)
		one.length("jobs", 4)
		w.after(15*time.Second, one)
		w.after(59*time.Second, one)
		w.is(id, alert.Pending, 4)
		w.told(id)
		w.after(15*time.Second, one)
		w.is(id, alert.Firing, 4)
		one.length("jobs", 2.5)
		w.after(15*time.Second, one)
		w.is(id, alert.OK, 2.5)
		w.told(id, "fire", "resolve")
	})
}

// TestGauge has nodes differ, and say nothing any more.
func TestGauge(t *testing.T) {
	onBoth(t, func(w *world) {
		one, other := w.node(), w.node()
		gauge := map[string]any{"metric": "length", "function": "value", "window": nil, "threshold": 10}
		above := w.rule(gauge)
		gauge["comparison"], gauge["threshold"] = "lt", 5
		below := w.rule(gauge)
		one.length("jobs", 7)
		other.length("jobs", 12)
		w.after(0, one, other)
		w.after(15*time.Second, one, other)
		w.is(above, alert.Firing, 12)
		w.is(below, alert.OK, 7)
		other.series = nil
		w.after(15*time.Second, one, other)
		w.is(above, alert.Firing, 12) // a node may fail to tell once
		w.after(61*time.Second, one, other)
		w.is(above, alert.OK, 7)
		one.series = nil
		w.after(61*time.Second, one, other)
		w.is(above, alert.NoData, -1)
		w.told(above, "fire", "resolve", "no-data")
		one.length("jobs", 8)
		w.after(15*time.Second, one, other)
		w.told(above, "fire", "resolve", "no-data", "resolve")
		w.told(below, "no-data", "resolve")
	})
}

// TestShare divides by the whole metric, of which a histogram's buckets have a part of their own.
func TestShare(t *testing.T) {
	onBoth(t, func(w *world) {
		one := w.node()
		id := w.rule(map[string]any{"function": "share", "threshold": 0.2, "labels": []any{"status=500", "route!~/health.*"}})
		fast := w.rule(map[string]any{"metric": "took_bucket", "function": "share", "comparison": "lt", "threshold": 0.9, "labels": []any{"le=0.1"}})
		buckets := func(fast, all float64) {
			one.set(alert.Series{Metric: "took_bucket", Counter: true, Labels: map[string]string{"le": "0.1"}, Value: fast})
			one.set(alert.Series{Metric: "took_bucket", Counter: true, Labels: map[string]string{"le": "+Inf"}, Value: all})
		}
		buckets(50, 50)
		w.after(0, one)
		w.is(id, alert.OK, 0) // nothing happens, and nothing fails
		w.is(fast, alert.OK, 0)
		one.count("500", "/", 1)
		one.count("500", "/health/live", 1)
		one.count("200", "/", 2)
		buckets(53, 54)
		w.after(15*time.Second, one)
		w.is(id, alert.Firing, 0.25)
		w.is(fast, alert.Firing, 0.75)
		w.after(time.Hour, one)
		w.is(fast, alert.OK, 0)
		w.told(fast, "fire", "resolve")
	})
}

// TestTooLittle has a rule wait for a whole window until little is too little: when it is new, changed, resumed, or was
// looked at by nobody for a while.
func TestTooLittle(t *testing.T) {
	onBoth(t, func(w *world) {
		one := w.node()
		id := w.rule(map[string]any{"comparison": "lt"})
		act := func(verb string, attributes map[string]any) {
			w.Helper()
			if _, err := w.do(verb, id, attributes); err != nil {
				w.Fatal(err)
			}
		}
		window := func() {
			w.Helper()
			for range 4 {
				w.after(15*time.Second, one)
				w.is(id, alert.OK, 0)
			}
			w.after(15*time.Second, one)
			w.is(id, alert.Firing, 0)
		}
		window()
		act(resource.Update, map[string]any{"labels": []any{"status=500"}})
		window()
		act("pause", nil)
		act("resume", nil)
		window()
		w.now = w.now.Add(time.Hour)
		window()
		w.told(id, "fire", "resolve", "fire", "fire", "resolve", "fire")
	})
}

// TestClocks has a node evaluate whose clock is ahead, and end: the others do not wait until it is so late, nor believe it.
func TestClocks(t *testing.T) {
	onBoth(t, func(w *world) {
		ahead, one := w.node(), w.node()
		id := w.rule(map[string]any{"metric": "length", "function": "value", "window": nil, "threshold": 3})
		ahead.length("jobs", 4)
		w.after(time.Hour, ahead)
		w.is(id, alert.Firing, 4)
		one.length("jobs", 2)
		w.after(-time.Hour, one)
		w.is(id, alert.OK, 2)
	})
}

// TestOneFails has the recipients of one alert not be told: the others are evaluated all the same.
func TestOneFails(t *testing.T) {
	onBoth(t, func(w *world) {
		one := w.node()
		one.length("jobs", 4)
		gauge := map[string]any{"metric": "length", "function": "value", "window": nil, "threshold": 3}
		before, broken, after := w.rule(gauge), w.rule(gauge), w.rule(gauge)
		w.unreachable = broken
		w.after(0, one)
		w.is(before, alert.Firing, 4)
		w.is(broken, alert.NoData, -1)
		w.is(after, alert.Firing, 4)
		w.unreachable = ulid.ULID{}
		w.after(15*time.Second, one)
		w.is(broken, alert.Firing, 4)
		w.told(before, "fire")
		w.told(broken, "fire")
	})
}

// TestRecipients refuses those whom the caller may send nothing, and too many.
func TestRecipients(t *testing.T) {
	onBoth(t, func(w *world) {
		id := w.rule(map[string]any{"name": "quiet"})
		var to []resource.Identifier
		for range 101 {
			u := &user{ID: ulid.Make()}
			if err := w.users.Create(w.Context(), u); err != nil {
				w.Fatal(err)
			}
			to = append(to, resource.Identifier{Type: "user", ID: u.ID})
		}
		watcher := &auth.Principal{Name: "watcher", Permissions: []auth.Permission{{Type: "alert", Verb: "*"}, {Type: "user", Verb: "*"}}}
		link := func(who *auth.Principal, to []resource.Identifier) error {
			_, err := w.engine.Do(w.Context(), resource.Operation{Verb: resource.Link, Type: "alert", ID: id, Relationship: "recipients", Principal: who,
				Body: resource.Body{Relationships: map[string][]resource.Identifier{"recipients": to}}})
			return err
		}
		rename := func(name string) error {
			_, err := w.engine.Do(w.Context(), resource.Operation{Verb: resource.Update, Type: "alert", ID: id, Principal: watcher, Body: resource.Body{Attributes: map[string]any{"name": name}}})
			return err
		}
		if err := link(watcher, to[:1]); !resource.Is(err, resource.Forbidden) {
			w.Errorf("%v", err)
		}
		if err := rename("still quiet"); err != nil {
			w.Error(err)
		}
		if err := link(auth.System, to); !resource.Is(err, resource.Invalid) {
			w.Errorf("%v", err)
		}
		if err := link(auth.System, to[:100]); err != nil {
			w.Error(err)
		}
		if err := rename("loud"); !resource.Is(err, resource.Forbidden) {
			w.Errorf("%v", err)
		}
	})
}

// TestChanged has a rule become another one: what was measured for the former counts no more.
func TestChanged(t *testing.T) {
	onBoth(t, func(w *world) {
		one := w.node()
		id := w.rule(nil)
		w.after(0, one)
		one.count("500", "/", 9)
		w.after(15*time.Second, one)
		w.is(id, alert.Firing, 9)
		if _, err := w.do(resource.Update, id, map[string]any{"threshold": 9}); err != nil {
			w.Fatal(err)
		}
		w.after(15*time.Second, one)
		w.is(id, alert.OK, 9)
		if _, err := w.do(resource.Update, id, map[string]any{"labels": []any{"status!=404"}}); err != nil {
			w.Fatal(err)
		}
		w.after(15*time.Second, one)
		w.is(id, alert.OK, 0)
		one.count("404", "/", 7)
		one.count("500", "/", 11)
		w.after(15*time.Second, one)
		w.is(id, alert.OK, 2)
	})
}

// TestPaused pauses and resumes: one, and all.
func TestPaused(t *testing.T) {
	onBoth(t, func(w *world) {
		one := w.node()
		id := w.rule(nil)
		w.rule(nil)
		w.after(0, one)
		one.count("500", "/", 9)
		w.after(15*time.Second, one)
		w.is(id, alert.Firing, 9)
		affected := func(verb string, want int) {
			w.Helper()
			results, err := w.do(verb, ulid.ULID{}, nil)
			if err != nil || results[0].Meta["affected"] != want {
				w.Errorf("%s: %v %v, not %d", verb, results, err, want)
			}
		}
		if _, err := w.do("pause", id, nil); err != nil {
			w.Fatal(err)
		}
		w.is(id, alert.Paused, -1)
		affected("pause-all", 1)
		affected("pause-all", 0)
		one.count("500", "/", 99)
		w.after(15*time.Second, one)
		w.is(id, alert.Paused, -1)
		if _, err := w.do("resume", id, nil); err != nil {
			w.Fatal(err)
		}
		affected("resume-all", 1)
		w.is(id, alert.NoData, -1)
		w.after(time.Minute, one)
		w.is(id, alert.OK, 0)
		one.count("500", "/", 105)
		w.after(15*time.Second, one)
		w.told(id, "fire", "fire")
		if len(w.messages) != 4 {
			w.Errorf("%v", w.messages)
		}
	})
}

// TestAtOnce has many nodes look at the same time, while somebody pauses and resumes, and deletes: each change is told once.
func TestAtOnce(t *testing.T) {
	onBoth(t, func(w *world) {
		var ids []ulid.ULID
		for range 4 {
			ids = append(ids, w.rule(map[string]any{"metric": "length", "function": "value", "window": nil, "threshold": 3}))
		}
		var nodes sync.WaitGroup
		for range 8 {
			n := w.node()
			n.length("jobs", 4)
			nodes.Go(func() {
				for range 5 {
					if err := n.Look(w.Context()); err != nil {
						w.Error(err)
					}
				}
			})
		}
		nodes.Wait()
		for _, id := range ids {
			w.is(id, alert.Firing, 4)
			w.told(id, "fire")
		}
		if len(w.messages) != len(ids) {
			w.Errorf("%d messages", len(w.messages))
		}
		w.now = w.now.Add(15 * time.Second)
		for range 4 {
			n := w.node()
			n.length("jobs", 5)
			nodes.Go(func() {
				for range 5 {
					if err := n.Look(w.Context()); err != nil {
						w.Error(err)
					}
				}
			})
		}
		nodes.Go(func() {
			for _, verb := range []string{"pause-all", "resume-all", "pause-all"} {
				if _, err := w.do(verb, ulid.ULID{}, nil); err != nil {
					w.Error(err)
				}
			}
			if _, err := w.do(resource.Delete, ids[0], nil); err != nil {
				w.Error(err)
			}
		})
		nodes.Wait()
		for _, id := range ids[1:] {
			w.is(id, alert.Paused, -1)
		}
	})
}

// TestRefused names what is wrong, and where.
func TestRefused(t *testing.T) {
	onBoth(t, func(w *world) {
		gauge := map[string]any{"metric": "length", "function": "value", "window": nil}
		for place, but := range map[string]map[string]any{
			"metric":                  {"metric": "erors_total"},
			"metric ":                 {"metric": "errors_total\x00"},
			"function":                {"function": "value", "window": nil},
			"function ":               {"metric": "length"},
			"function  ":              {"function": "median"},
			"window":                  {"window": nil},
			"window ":                 {"window": "59s"},
			"window  ":                {"window": "forever"},
			"window   ":               {"metric": "length", "function": "value"},
			"labels":                  {"labels": []any{"status"}},
			"labels ":                 {"labels": []any{"status=~["}},
			"labels  ":                {"function": "share", "threshold": 0.5},
			"labels/1":                {"labels": []any{"status=500", "code=500"}},
			"threshold":               {"function": "share", "threshold": 5, "labels": []any{"status=500"}},
			"threshold ":              {"threshold": "five"},
			"for":                     {"for": "-1s"},
			"comparison":              {"comparison": "ne"},
			"state":                   {"state": "ok"},
			"/attributes":             {"name": nil},
			"/attributes /attributes": {"metric": nil, "threshold": nil},
		} {
			attributes := map[string]any{"name": "wrong", "metric": "errors_total", "function": "increase", "window": "1m", "threshold": 5}
			for name, value := range but {
				if attributes[name] = value; value == nil {
					delete(attributes, name)
				}
			}
			_, err := w.do(resource.Create, ulid.ULID{}, attributes)
			if err == nil {
				w.Errorf("%v is taken", but)
				continue
			}
			var places []string
			for _, e := range resource.AllErrors(err) {
				places = append(places, strings.TrimPrefix(e.Pointer, "/attributes/"))
			}
			slices.Sort(places)
			if got, want := strings.Join(places, " "), strings.TrimSpace(place); got != want {
				w.Errorf("%v is wrong at %q, not %q", but, got, want)
			}
		}
		gauge["name"] = "right"
		w.rule(gauge)
		if _, err := w.do(resource.Create, ulid.ULID{}, map[string]any{"name": "right", "metric": "length", "function": "value", "threshold": 5}); !resource.Is(err, resource.Taken) {
			w.Errorf("a name twice: %v", err)
		}
	})
}
