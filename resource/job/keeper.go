package job

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
)

// Store is where jobs are kept.
type Store interface {
	resource.Store[Job]
	// Prune removes at most so many rows that meet a condition, without events, and answers how many they were.
	Prune(ctx context.Context, where resource.Condition, now time.Time, most int) (removed int, err error)
}

// Config is what a [Keeper] works with.
type Config struct {
	Database resource.Transactor
	Jobs     Store
	Kinds    func() []Kind // that can be asked for
	Enabled  func() bool   // whether jobs are queued by themselves, queued ones are begun, and running ones go on
	Node     ulid.ULID     // this one
	// Nodes are the ids of those that live, those that have died without a word apart.
	Nodes    func(ctx context.Context) ([]ulid.ULID, error)
	Interval time.Duration // between two looks for what is to be done; default 500 ms
	Log      *slog.Logger
}

// Keeper does jobs on one node.
type Keeper struct{ config Config }

// NewKeeper makes a keeper.
func NewKeeper(c Config) *Keeper {
	c.Interval, c.Log = cmp.Or(c.Interval, 500*time.Millisecond), cmp.Or(c.Log, slog.Default())
	return &Keeper{c}
}

func find(kinds []Kind, name string) *Kind {
	for i := range kinds {
		if kinds[i].Name == name {
			return &kinds[i]
		}
	}
	return nil
}

func names(kinds []Kind) (names []string) {
	for _, kind := range kinds {
		names = append(names, kind.Name)
	}
	slices.Sort(names)
	return names
}

// Run does the jobs of some kinds until the context ends. What is not done then is queued, so that another node goes on
// with it at once. A node that dies leaves its jobs running: they are free once it is not among the nodes that live.
func (k *Keeper) Run(ctx context.Context, kinds []Kind) error {
	r := &runner{Keeper: k, kinds: kinds, due: map[string]time.Time{}, working: map[ulid.ULID]bool{}}
	defer r.group.Wait()
	ticker := time.NewTicker(k.config.Interval)
	defer ticker.Stop()
	for {
		if err := r.look(ctx); err != nil && ctx.Err() == nil {
			k.config.Log.WarnContext(ctx, "jobs are not begun just now", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// runner does the jobs of some kinds.
type runner struct {
	*Keeper
	kinds []Kind
	due   map[string]time.Time // when a kind may be due next
	group sync.WaitGroup

	mu      sync.Mutex
	working map[ulid.ULID]bool
}

// look queues what is due, and begins or takes over what nobody does.
func (r *runner) look(ctx context.Context) error {
	if !r.config.Enabled() {
		return nil
	}
	for i := range r.kinds {
		if err := r.schedule(ctx, &r.kinds[i]); err != nil {
			return err
		}
	}
	page, err := r.config.Jobs.List(ctx, resource.Query{
		Where: resource.NotNull("active"), Window: pagination.First(pagination.MaxSize), Count: pagination.CountNone,
		Fields: []string{"kind", "state", "node", "turn"},
	})
	if err != nil {
		return err
	}
	var nodes []ulid.ULID // asked for once it matters
	for i := range page.Rows {
		j := &page.Rows[i]
		kind := find(r.kinds, j.Kind)
		if kind == nil || r.busy(j.ID) {
			continue
		}
		if j.State == Running && j.Node != r.config.Node {
			if nodes == nil {
				if nodes, err = r.config.Nodes(ctx); err != nil {
					return err
				}
			}
			if slices.Contains(nodes, j.Node) {
				continue
			}
			r.config.Log.InfoContext(ctx, "a job is taken over from a node that is gone", "job", j.ID, "kind", j.Kind, "node", j.Node)
		}
		if err := r.begin(ctx, kind, j); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) busy(id ulid.ULID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.working[id]
}

// settling is how long nothing is queued by itself once the kinds are there: whoever starts has something else in mind.
const settling = time.Minute

// schedule queues a job of a kind that is due. Of several nodes that do so at once one finds that it is.
func (r *runner) schedule(ctx context.Context, kind *Kind) error {
	if kind.Every == nil {
		return nil
	}
	every, now := kind.Every(), resource.Cut(time.Now())
	if _, seen := r.due[kind.Name]; !seen {
		r.due[kind.Name] = now.Add(min(every, settling))
	}
	if every <= 0 || now.Before(r.due[kind.Name]) {
		return nil
	}
	var due time.Time
	err := r.config.Database.Transact(ctx, func(ctx context.Context) error {
		if err := r.config.Database.Lock(ctx, Schema.Name+" "+kind.Name); err != nil {
			return err
		}
		last, err := r.last(ctx, kind, resource.All{})
		if err != nil {
			return err
		}
		now = resource.Cut(time.Now()) // to get the lock took its time
		if last != nil && last.CreatedAt.Add(every).After(now) {
			due = last.CreatedAt.Add(every)
			return nil
		}
		due = now.Add(every)
		next := &Job{ID: ulid.Make(), Kind: kind.Name, State: Queued, Active: kind.Name, Scheduled: true, CreatedAt: now}
		if err := r.config.Jobs.Create(ctx, next); err != nil {
			return err
		}
		done, err := r.last(ctx, kind, resource.Equal("state", Done)) // not before: the last one may have ended just now
		if err != nil || done == nil {
			return err
		}
		_, err = r.config.Jobs.Update(ctx, next.ID, func(row *Job) error {
			row.checkpoint = done.checkpoint
			return nil
		})
		return err
	})
	if resource.Is(err, resource.Taken) { // there is one that takes longer, or was asked for
		due, err = now.Add(min(every, time.Second)), nil
	}
	if err == nil {
		r.due[kind.Name] = due
	}
	return err
}

// last is the latest job of a kind that was queued by itself and meets a condition, nil if there is none.
func (r *runner) last(ctx context.Context, kind *Kind, where resource.Condition) (*Job, error) {
	return resource.First(ctx, r.config.Jobs.List, resource.All{resource.Equal("kind", kind.Name), resource.Equal("scheduled", true), where}, "-created_at")
}

// errOver says that a job is not this runner's any more: it is done, or was cancelled or taken over.
var errOver = errors.New("job: it is over")

// held reports whether whoever began the job at a turn still has it.
func (j *Job) held(turn int64) bool { return j.State == Running && j.Turn == turn }

// begin begins a job that was seen to be free, unless somebody else has.
func (r *runner) begin(ctx context.Context, kind *Kind, seen *Job) error {
	row, err := r.config.Jobs.Update(ctx, seen.ID, func(row *Job) error {
		if row.State != seen.State || row.Turn != seen.Turn {
			return errOver
		}
		if row.State, row.Node = Running, r.config.Node; row.StartedAt.IsZero() {
			row.StartedAt = resource.Cut(time.Now())
		}
		row.Turn++
		return nil
	})
	if errors.Is(err, errOver) || resource.Is(err, resource.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.working[row.ID] = true
	r.mu.Unlock()
	r.group.Go(func() {
		r.work(ctx, kind, row.ID, row.Turn)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.working, row.ID)
	})
	return nil
}

// errLate says that a step was cut off since its time was over, while the database answered.
var errLate = resource.Errorf(resource.Unavailable, "a step takes longer than it may")

// late marks the error of what was cut off since the time of its context was over.
func late(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", errLate, err)
	}
	return err
}

// maxLate is how often in a row a step may be late: then it is not the database that is slow just now.
const maxLate = 3

// work does step after step, until the job is over, or is to be left to somebody else.
func (r *runner) work(ctx context.Context, kind *Kind, id ulid.ULID, turn int64) {
	lates := 0
	for ctx.Err() == nil && r.config.Enabled() {
		err := r.step(ctx, kind, id, turn)
		if lates++; !errors.Is(err, errLate) {
			lates = 0
		}
		passes := lates < maxLate && (resource.Is(err, resource.Unavailable) || resource.Is(err, resource.Maintenance))
		if err != nil && !errors.Is(err, errOver) && !passes && ctx.Err() == nil {
			r.config.Log.ErrorContext(ctx, "a job has failed", "job", id, "kind", kind.Name, "error", err)
			err = r.fail(ctx, id, turn, err)
		}
		switch {
		case errors.Is(err, errOver), resource.Is(err, resource.NotFound):
			return
		case err != nil && ctx.Err() == nil:
			r.config.Log.WarnContext(ctx, "a step of a job is tried again", "job", id, "kind", kind.Name, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(r.config.Interval):
			}
		}
	}
	_, err := r.config.Jobs.Update(context.WithoutCancel(ctx), id, func(row *Job) error {
		if row.held(turn) {
			row.State, row.Node = Queued, ulid.ULID{}
		}
		return nil
	})
	if err != nil {
		r.config.Log.WarnContext(ctx, "a job is left running: others see that this node is gone", "job", id, "error", err)
	}
}

// step does one step. It returns errOver after the last one, and where the job is over.
func (r *runner) step(ctx context.Context, kind *Kind, id ulid.ULID, turn int64) (err error) {
	defer func() { // else every node that takes the job over would die of it
		if p := recover(); p != nil {
			err = fmt.Errorf("a step panics: %v\n%s", p, debug.Stack())
		}
	}()
	if kind.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, kind.Limit)
		defer cancel()
	}
	begun := time.Now()
	row, err := r.config.Jobs.Get(ctx, id) // nobody knows what came of a commit that was cut off
	if err != nil {
		return err
	}
	if !row.held(turn) {
		return errOver
	}
	run, told := &Run{Job: *row}, begun
	run.tell = func(ctx context.Context, done, total int64) error {
		if time.Since(told) < r.config.Interval {
			return nil
		}
		told = time.Now()
		if !r.config.Enabled() {
			return resource.Errorf(resource.Unavailable, "jobs are not done just now")
		}
		now := time.Now()
		err := r.change(ctx, id, turn, func(_ context.Context, row *Job) error {
			row.Done, row.Total = done, total
			row.Worked += now.Sub(begun).Microseconds()
			return nil
		})
		switch {
		case err == nil:
			begun = now
		case resource.Is(err, resource.Unavailable) && ctx.Err() == nil: // it is told next time; the step is worth more
			r.config.Log.WarnContext(ctx, "how far a job is cannot be stored just now", "job", id, "error", err)
			return nil
		}
		return err
	}
	defer func() {
		for _, do := range run.after {
			do()
		}
	}()
	write, err := kind.Step(ctx, run)
	if err != nil {
		return late(ctx, err)
	}
	return r.change(ctx, id, turn, func(ctx context.Context, row *Job) error {
		p := row.Progress
		if err := write(ctx, &p); err != nil {
			return late(ctx, err)
		}
		row.Progress = p
		row.Worked += time.Since(begun).Microseconds()
		if p.finished {
			row.end(Done, resource.Cut(time.Now()))
		}
		return nil
	})
}

// fail ends a job that cannot go on.
func (r *runner) fail(ctx context.Context, id ulid.ULID, turn int64, why error) error {
	text := "something went wrong; the log says what"
	if errors.Is(why, errLate) {
		text = errLate.Error()
	} else if !resource.Is(why, resource.Internal) {
		text = resource.AllErrors(why).Error()
	}
	return r.change(ctx, id, turn, func(_ context.Context, row *Job) error {
		row.end(Failed, resource.Cut(time.Now()))
		row.Error = resource.ShortText(text, maxError)
		return nil
	})
}

// change changes a job that is still held at a turn, in one transaction with its event, if it has ended: then it returns
// errOver. What its schedule has done is no news.
func (r *runner) change(ctx context.Context, id ulid.ULID, turn int64, change func(ctx context.Context, row *Job) error) error {
	over := false
	err := r.config.Database.Transact(ctx, func(ctx context.Context) error {
		var before *Job
		after, err := r.config.Jobs.Update(ctx, id, func(row *Job) error {
			if !row.held(turn) {
				return errOver
			}
			before = Schema.Copy(row)
			return change(ctx, row)
		})
		if err != nil {
			return err
		}
		if over = after.Active == ""; !over {
			return nil
		}
		if after.Scheduled && after.State == Done {
			_, err := r.config.Jobs.Prune(ctx, resource.All{
				resource.Equal("kind", after.Kind), resource.Equal("scheduled", true), resource.Equal("state", Done), resource.Not{Condition: resource.Equal("id", id)},
			}, after.FinishedAt, pagination.MaxSize)
			return err
		}
		verb := map[string]string{Done: "finish", Failed: "fail"}[after.State]
		event := resource.NewEvent(ctx, after.FinishedAt, auth.System, verb, resource.Identifier{Type: Schema.Name, ID: id})
		event.Changes = Schema.Changes(before, after)
		return r.config.Database.Record(ctx, event)
	})
	if err == nil && over {
		return errOver
	}
	return err
}
