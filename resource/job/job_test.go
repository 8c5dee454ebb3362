package job_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/event"
	"reeve/resource/job"
	"reeve/storage"
	"reeve/storage/postgres"
	"reeve/storage/sqlite"
	"reeve/storage/storagetest"
)

// mark is what a step leaves behind. No two have the same number.
type mark struct {
	ID     ulid.ULID
	Number int64
}

var marks = resource.Schema[mark]{
	Name: "mark", Plural: "marks", Doc: "What a step leaves behind.", ID: func(m *mark) *ulid.ULID { return &m.ID },
	Attributes: []resource.Attribute[mark]{resource.Attr("number", func(m *mark) *int64 { return &m.Number }).Unique()},
}

// world is a database with some nodes.
type world struct {
	*testing.T
	database *storage.Outbox
	jobs     *storage.Table[job.Job]
	marks    *storage.Table[mark]
	engine   *resource.Engine
	kinds    []job.Kind
	enabled  atomic.Bool

	mu    sync.Mutex
	alive []ulid.ULID
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
			w := &world{T: t}
			w.enabled.Store(true)
			w.jobs, err = storage.NewTable(db, job.Schema)
			if err == nil {
				w.marks, err = storage.NewTable(db, marks)
			}
			if err == nil {
				w.database, err = storage.NewOutbox(db, event.Schema)
			}
			if err == nil {
				err = db.Migrate(t.Context())
			}
			registry := &resource.Registry{}
			if err == nil {
				err = registry.Register(w.keeper(ulid.ULID{}).Type())
			}
			if err != nil {
				t.Fatal(err)
			}
			w.engine = resource.NewEngine(registry, w.database, time.Now)
			test(w)
		}
	}
	t.Run("SQLite", run(sqlite.Dialect{}, func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "test.db") }))
	t.Run("PostgreSQL", run(postgres.Dialect{}, func(t *testing.T) string { return storagetest.Postgres(t) }))
}

func (w *world) keeper(node ulid.ULID) *job.Keeper {
	return job.NewKeeper(job.Config{
		Database: w.database, Jobs: w.jobs, Kinds: func() []job.Kind { return w.kinds }, Enabled: w.enabled.Load, Node: node, Interval: 10 * time.Millisecond,
		Nodes: func(context.Context) ([]ulid.ULID, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return slices.Clone(w.alive), nil
		},
	})
}

// node runs jobs of the kinds until it is stopped, or the test ends.
func (w *world) node() (id ulid.ULID, stop func()) {
	id = ulid.Make()
	w.mu.Lock()
	w.alive = append(w.alive, id)
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.keeper(id).Run(ctx, w.kinds) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(stop)
	return id, stop
}

// bury takes a node for dead.
func (w *world) bury(node ulid.ULID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.alive = slices.DeleteFunc(w.alive, func(id ulid.ULID) bool { return id == node })
}

func (w *world) queue(kind string) ulid.ULID {
	w.Helper()
	made, err := resource.Do[job.Job](w.Context(), w.engine, resource.Operation{
		Verb: resource.Create, Type: "job", Principal: auth.System, Body: resource.Body{Attributes: map[string]any{"kind": kind}}})
	if err != nil {
		w.Fatal(err)
	}
	return made.ID
}

func (w *world) act(verb string, id ulid.ULID) error {
	_, err := w.engine.Do(w.Context(), resource.Operation{Verb: verb, Type: "job", ID: id, Principal: auth.System})
	return err
}

func (w *world) becomes(id ulid.ULID, state string) *job.Job {
	w.Helper()
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		j, err := w.jobs.Get(w.Context(), id)
		if err != nil {
			w.Fatal(err)
		}
		if j.State == state {
			return j
		}
		if time.Since(begun) > 20*time.Second {
			w.Fatalf("the job does not become %s: %+v", state, j)
		}
	}
}

// numbered are the numbers of the marks, ascending.
func (w *world) numbered() (numbers []int64) {
	w.Helper()
	rows, err := resource.Every(w.Context(), &marks, w.marks.List, nil)
	if err != nil {
		w.Fatal(err)
	}
	for _, m := range rows {
		numbers = append(numbers, m.Number)
	}
	slices.Sort(numbers)
	return numbers
}

// counting is a step that leaves the marks from 1 to a number, one at a time. Before is called outside of the
// transaction, with the number of the mark before.
func (w *world) counting(to int64, before func(ctx context.Context, at int64) error) job.Step {
	return job.ReadSteps(
		func(ctx context.Context, at int64) (struct{}, error) { return struct{}{}, before(ctx, at) },
		func(ctx context.Context, at *int64, _ struct{}, p *job.Progress) error {
			*at++
			if p.Done, p.Total = *at, to; *at == to {
				p.Finish()
			}
			return w.marks.Create(ctx, &mark{ID: ulid.Make(), Number: *at})
		})
}

func upTo(n int64) (numbers []int64) {
	for i := range n {
		numbers = append(numbers, i+1)
	}
	return numbers
}

// A node that stood still in the midst of a step and was taken for dead writes nothing any more: another one does the
// step, and those after it.
func TestStoodStill(t *testing.T) {
	onBoth(t, func(w *world) {
		var stood atomic.Bool
		still, further := make(chan struct{}), make(chan struct{})
		w.kinds = []job.Kind{{Name: "count", Step: w.counting(20, func(ctx context.Context, at int64) error {
			if at == 7 && stood.CompareAndSwap(false, true) {
				close(still)
				<-further
			}
			return nil
		})}}
		first, stop := w.node()
		id := w.queue("count")
		<-still
		w.node()
		time.Sleep(100 * time.Millisecond) // the other one looks, and sees that the first lives
		if j := w.becomes(id, job.Running); j.Node != first || j.Progress.Done != 7 {
			t.Errorf("%+v", j)
		}
		w.bury(first)
		j := w.becomes(id, job.Done)
		further <- struct{}{}
		stop()
		if got := w.numbered(); !slices.Equal(got, upTo(20)) || j.Turn != 2 || j.Progress.Done != 20 {
			t.Errorf("%v, and %+v", got, j)
		}
	})
}

// A node that stops leaves its job where it is, and another goes on.
func TestStopped(t *testing.T) {
	onBoth(t, func(w *world) {
		begun := make(chan struct{}, 1000)
		w.kinds = []job.Kind{{Name: "count", Step: w.counting(500, func(context.Context, int64) error { begun <- struct{}{}; return nil })}}
		_, stop := w.node()
		id := w.queue("count")
		for range 5 {
			<-begun
		}
		stop()
		if j := w.becomes(id, job.Queued); j.Progress.Done < 4 || j.Node != (ulid.ULID{}) {
			t.Errorf("%+v", j)
		}
		w.node()
		w.becomes(id, job.Done)
		if got := w.numbered(); !slices.Equal(got, upTo(500)) {
			t.Error(got)
		}
	})
}

// A step that fails ends the job, and says why unless that is nobody's business. It leaves nothing, and a retry does it
// again. While the database is away it is tried again by itself.
func TestFails(t *testing.T) {
	onBoth(t, func(w *world) {
		failures := []error{
			resource.Errorf(resource.Unavailable, "away"), resource.Errorf(resource.Unavailable, "still away"),
			resource.Errorf(resource.Conflict, "the tide is\x00 out"), errors.New("a secret of the program"),
		}
		w.kinds = []job.Kind{{Name: "count", Step: func(ctx context.Context, r *job.Run) (job.Write, error) {
			write, err := w.counting(3, func(context.Context, int64) error { return nil })(ctx, r)
			return func(ctx context.Context, p *job.Progress) error {
				if err := write(ctx, p); err != nil || p.Done != 2 {
					return err
				}
				if len(failures) == 0 {
					panic("at the disco")
				}
				next := failures[0]
				failures = failures[1:]
				return next
			}, err
		}}}
		_, stop := w.node()
		id := w.queue("count")
		for _, want := range []string{"the tide is\uFFFD out", "something went wrong; the log says what", "something went wrong; the log says what"} {
			j := w.becomes(id, job.Failed)
			if j.Error != want || j.Progress.Done != 1 || j.FinishedAt.IsZero() || !slices.Equal(w.numbered(), upTo(1)) {
				t.Errorf("%+v, and %v", j, w.numbered())
			}
			if err := w.act("cancel", id); !resource.Is(err, resource.Ended) {
				t.Error(err)
			}
			if err := w.act("retry", id); err != nil {
				t.Error(err)
			}
		}
		w.becomes(id, job.Failed)
		stop()
		events, err := w.database.Events().List(t.Context(), resource.Query{Where: resource.Equal("verb", "fail"), Window: pagination.First(10)})
		if err != nil || len(events.Rows) != 4 || !strings.Contains(string(events.Rows[0].Changes), "the tide is") {
			t.Errorf("%+v %v", events, err)
		}
	})
}

// A step that cannot be done in the time that it has ends the job, once it was tried a few times.
func TestLate(t *testing.T) {
	onBoth(t, func(w *world) {
		var tries atomic.Int64
		w.kinds = []job.Kind{{Name: "count", Limit: 200 * time.Millisecond, Step: job.Steps(func(ctx context.Context, _ *int64, _ *job.Progress) error {
			tries.Add(1)
			<-ctx.Done()
			_, err := w.marks.Get(ctx, ulid.Make())
			return err
		})}}
		w.node()
		if j := w.becomes(w.queue("count"), job.Failed); j.Error != "a step takes longer than it may" || tries.Load() != 3 {
			t.Errorf("%+v after %d tries", j, tries.Load())
		}
	})
}

// A job that is cancelled does no step any more, not even the one that has begun.
func TestCancelled(t *testing.T) {
	onBoth(t, func(w *world) {
		still, further := make(chan struct{}), make(chan struct{})
		w.kinds = []job.Kind{{Name: "count", Step: w.counting(20, func(ctx context.Context, at int64) error {
			if at == 7 {
				still <- struct{}{}
				<-further
			}
			return nil
		})}}
		w.node()
		id := w.queue("count")
		<-still
		if err := w.act("cancel", id); err != nil {
			t.Fatal(err)
		}
		further <- struct{}{}
		if err := w.act("retry", id); err != nil {
			t.Fatal(err)
		}
		<-still
		if got := w.numbered(); !slices.Equal(got, upTo(7)) {
			t.Error(got)
		}
		w.enabled.Store(false)
		further <- struct{}{} // the step that has begun is the last one
		if j := w.becomes(id, job.Queued); j.Progress.Done != 8 {
			t.Errorf("%+v", j)
		}
		w.enabled.Store(true)
		if j := w.becomes(id, job.Done); j.Progress.Done != 20 {
			t.Errorf("%+v", j)
		}
	})
}

// Each time that a kind is due one job of it is queued, however many nodes there are, and it begins where the last one
// ended. Only that is kept, and there is no news of it.
func TestScheduled(t *testing.T) {
	onBoth(t, func(w *world) {
		every := 50 * time.Millisecond
		w.kinds = []job.Kind{{Name: "count", Every: func() time.Duration { return every }, Step: job.Steps(func(ctx context.Context, at *int64, p *job.Progress) error {
			p.Finish()
			*at++
			return w.marks.Create(ctx, &mark{ID: ulid.Make(), Number: *at})
		})}}
		begun := time.Now()
		var stops []func()
		for range 3 {
			_, stop := w.node()
			stops = append(stops, stop)
		}
		for len(w.numbered()) < 5 {
			if time.Since(begun) > 20*time.Second {
				t.Fatal("nothing is queued")
			}
			time.Sleep(5 * time.Millisecond)
		}
		for _, stop := range stops {
			stop()
		}
		got := w.numbered()
		if most := int64(time.Since(begun)/every) + 1; int64(len(got)) > most || !slices.Equal(got, upTo(int64(len(got)))) {
			t.Errorf("%v, and at most %d", got, most)
		}
		kept, err := w.jobs.List(t.Context(), resource.Query{Where: resource.Equal("state", job.Done), Window: pagination.First(10)})
		if err != nil || len(kept.Rows) != 1 || !kept.Rows[0].Scheduled {
			t.Errorf("%+v %v", kept, err)
		}
		events, err := w.database.Events().List(t.Context(), resource.Query{Window: pagination.First(10)})
		if err != nil || len(events.Rows) != 0 {
			t.Errorf("%+v %v", events, err)
		}
	})
}

// A step that takes long tells how far it is, and is told when it is to end.
func TestTells(t *testing.T) {
	onBoth(t, func(w *world) {
		further, ended := make(chan struct{}), make(chan error, 10)
		var after atomic.Int64
		w.kinds = []job.Kind{{Name: "count", Step: func(ctx context.Context, r *job.Run) (job.Write, error) {
			r.After(func() { after.Add(1) })
			for i := int64(1); ; i++ {
				time.Sleep(15 * time.Millisecond) // longer than between two looks
				if err := r.Tell(ctx, i, 100); err != nil {
					ended <- err
					return nil, err
				}
				select {
				case <-further:
					return func(_ context.Context, p *job.Progress) error {
						p.Done = 100
						p.Finish()
						return nil
					}, nil
				default:
				}
			}
		}}}
		w.node()
		tells := func(id ulid.ULID) {
			for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
				j, err := w.jobs.Get(w.Context(), id)
				if err != nil {
					w.Fatal(err)
				}
				if j.State == job.Running && j.Progress.Done > 1 && j.Total == 100 && j.Worked > 0 {
					return
				}
				if time.Since(begun) > 20*time.Second {
					w.Fatalf("nothing is told: %+v", j)
				}
			}
		}
		id := w.queue("count")
		tells(id)
		if err := w.act("cancel", id); err != nil {
			w.Fatal(err)
		}
		<-ended
		id = w.queue("count")
		tells(id)
		w.enabled.Store(false)
		if err := <-ended; !resource.Is(err, resource.Unavailable) {
			w.Error(err)
		}
		w.becomes(id, job.Queued)
		w.enabled.Store(true)
		tells(id)
		further <- struct{}{}
		if j := w.becomes(id, job.Done); j.Progress.Done != 100 || after.Load() != 3 {
			w.Errorf("%+v, after %d steps", j, after.Load())
		}
	})
}
