// Package job is the entity job: work that takes longer than a request may, done in steps by one node at a time.
//
// # How to declare a kind
//
// A [Kind] has a name, a sentence, and a step. Each step begins at the checkpoint that the one before it left, and what
// it writes is committed together with its own checkpoint: so a node that takes a job over goes on exactly where it was,
// and nothing is done twice or left out. The checkpoint is a value of any type that encoding/json knows. Its zero value
// is the beginning.
//
//	type place struct{ After ulid.ULID }
//
//	var Normalize = job.Kind{
//		Name: "normalize", Doc: "Write all numbers in one form.",
//		Step: job.Steps(func(ctx context.Context, at *place, p *job.Progress) error {
//			n, last, err := normalize(ctx, at.After, 500) // in the transaction that ctx holds
//			if err != nil {
//				return err
//			}
//			if n == 0 {
//				p.Finish()
//			}
//			at.After, p.Done = last, p.Done+int64(n)
//			return nil
//		}),
//	}
//
// A step should be small, a few hundred rows: its transaction holds the job, and on SQLite all other writers wait for it.
// What is slow, or asks somebody else, as a directory, goes before the transaction: see [ReadSteps]. An error ends the
// job, which is then failed and can be retried, from its last checkpoint; but after Unavailable the step is tried again
// until it succeeds, or has been cut off since it takes too long, three times in a row. The text of a [resource.Error] is
// shown to whoever may read the job, that of any other error stands in the log alone. A kind that works through the engine
// is [auth.System] there.
//
// What cannot be divided, as an export of one state of the database, is one long step that tells meanwhile how far it
// is, see [Run.Tell].
//
// Kinds are brought by modules, the core among them: they stand in the member Jobs of a module, and their jobs are done
// while it is loaded.
//
//	return module.Module{Name: "ldap", Jobs: []job.Kind{{Name: "ldap-sync", Every: interval, Step: ...}}, ...}
package job

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// The states of a job.
const (
	Queued    = "queued"
	Running   = "running"
	Done      = "done"
	Failed    = "failed"
	Cancelled = "cancelled"
)

// Bounds of what a job tells.
const (
	maxError    = 1000 // characters, of a line of the report too
	maxReport   = 100  // lines
	maxArgument = 4000 // characters
)

// Progress is how far a job has come.
type Progress struct {
	Done, Total int64           // in whatever the kind counts; Total is zero while it is not known
	Report      []string        // what is worth knowing of the outcome
	checkpoint  json.RawMessage // where the next step begins; nil at the beginning
	finished    bool
}

// Finish says that the step is the last one.
func (p *Progress) Finish() { p.finished = true }

// Note adds a line to the report, which has room for 100.
func (p *Progress) Note(format string, args ...any) {
	if len(p.Report) < maxReport {
		p.Report = append(p.Report[:len(p.Report):len(p.Report)], resource.ShortText(fmt.Sprintf(format, args...), maxError))
	}
}

// Write is what a step writes, in the transaction that ctx holds and that stores the progress as it leaves it. It may be
// called again after what it did was undone, with the progress as it was before.
type Write func(ctx context.Context, p *Progress) error

// Step is a step of a job. It writes nothing itself: it returns what is to be written.
type Step func(ctx context.Context, r *Run) (Write, error)

// Run is a job while a node does a step of it.
type Run struct {
	Job   // as it was at the beginning of the step
	tell  func(ctx context.Context, done, total int64) error
	after []func()
}

// Tell says how far a step is that takes long, with the step's own context. It is stored now and then. An error means that
// the step is to end with it: the job was cancelled, or taken over, or is to wait.
func (r *Run) Tell(ctx context.Context, done, total int64) error { return r.tell(ctx, done, total) }

// After has something done once the step is over and committed, or never will be.
func (r *Run) After(do func()) { r.after = append(r.after, do) }

// Steps are steps that need the database alone: each of them is one transaction. C is the type of the checkpoint, which
// a step moves on.
func Steps[C any](step func(ctx context.Context, at *C, p *Progress) error) Step {
	return ReadSteps(
		func(context.Context, C) (none struct{}, err error) { return none, nil },
		func(ctx context.Context, at *C, _ struct{}, p *Progress) error { return step(ctx, at, p) })
}

// ReadSteps are steps that read something first, outside of the transaction, and then write what follows from it.
func ReadSteps[C, R any](read func(ctx context.Context, at C) (R, error), write func(ctx context.Context, at *C, found R, p *Progress) error) Step {
	return func(ctx context.Context, r *Run) (Write, error) {
		at, err := place[C](r.Progress)
		if err != nil {
			return nil, err
		}
		found, err := read(ctx, at)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, p *Progress) error {
			at, err := place[C](*p)
			if err != nil {
				return err
			}
			if err := write(ctx, &at, found, p); err != nil {
				return err
			}
			p.checkpoint, err = json.Marshal(at)
			return err
		}, nil
	}
}

func place[C any](p Progress) (at C, err error) {
	if p.checkpoint != nil {
		err = json.Unmarshal(p.checkpoint, &at)
	}
	return at, err
}

// Kind is a kind of job. Of each kind there is at most one job at a time that is queued or running.
type Kind struct {
	Name string // lower case with hyphens
	Doc  string // one sentence
	// Every is how long after one job the next is queued by itself; not at all while it is zero. It is asked now and
	// then. A job that is queued so begins with the checkpoint of the last such one that was done. Nil if a kind is only
	// asked for.
	Every func() time.Duration
	// Limit is how long a step may take; if it is zero, the database's own limits hold, see storage.Options.
	Limit time.Duration
	// Accept says what is wrong with the argument that a request gives a job, or that its caller may not ask for that. The
	// job then knows who asked, see [Job.Asker]. Nil if the kind takes no argument.
	Accept func(ctx context.Context, asker *auth.Principal, argument string) error
	Step   Step
}

// Job is some work.
type Job struct {
	ID                               ulid.ULID
	Kind, Argument, State            string
	Scheduled                        bool
	CreatedAt, StartedAt, FinishedAt time.Time
	Progress
	Error  string
	asker  json.RawMessage // see [Job.Asker]
	Worked int64           // microseconds
	Active string          // the kind, while the job is queued or running
	Node   ulid.ULID       // that runs it, zero if none does
	Turn   int64           // how many times it has been begun or taken over, so that whoever lost it can tell
}

// milliseconds is how long a job has been worked at.
func (j *Job) milliseconds() int64 { return j.Worked / 1000 }

// Asker is who asked for a job that has an argument, with the permissions that they had then, but without their name,
// since users go.
func (j *Job) Asker() (*auth.Principal, error) {
	asker := &auth.Principal{}
	return asker, json.Unmarshal(j.asker, asker)
}

func (j *Job) askedBy(principal *auth.Principal) (err error) {
	asker := *principal
	asker.Name = ""
	j.asker, err = json.Marshal(asker)
	return err
}

// Schema is the entity job.
var Schema = resource.Schema[Job]{
	Name: "job", Plural: "jobs",
	Doc: "Work that takes longer than a request may. One node at a time does it, in steps; another goes on where it was if that one dies.",
	ID:  func(j *Job) *ulid.ULID { return &j.ID },
	Attributes: []resource.Attribute[Job]{
		resource.Attr("kind", func(j *Job) *string { return &j.Kind }).Required().Fixed().Filter(resource.Eq).Example("recount"),
		resource.Attr("argument", func(j *Job) *string { return &j.Argument }).Nullable().Fixed().Confidential().MaxLength(maxArgument).
			Doc("What the kind is to do it to: of export the list that is to be in the file, as it is asked for, users?filter[status]=active."),
		resource.Attr("state", func(j *Job) *string { return &j.State }).ReadOnly().OneOf(Queued, Running, Done, Failed, Cancelled).Filter(resource.Eq),
		resource.Attr("scheduled", func(j *Job) *bool { return &j.Scheduled }).ReadOnly().Filter(resource.Eq).
			Doc("Whether it was queued by itself, since it was time. Of those that are done only the last one of each kind is kept."),
		resource.Attr("created_at", func(j *Job) *time.Time { return &j.CreatedAt }).Created(),
		resource.Attr("started_at", func(j *Job) *time.Time { return &j.StartedAt }).Nullable().ReadOnly(),
		resource.Attr("finished_at", func(j *Job) *time.Time { return &j.FinishedAt }).Nullable().ReadOnly().Doc("When it was done, failed or was cancelled."),
		resource.Attr("progress_done", func(j *Job) *int64 { return &j.Progress.Done }).ReadOnly().Quiet().Doc("How much is done, in whatever the kind counts."),
		resource.Attr("progress_total", func(j *Job) *int64 { return &j.Progress.Total }).Nullable().ReadOnly().Quiet().Doc("Of how much, if that is known."),
		resource.Computed("rate", func(_ resource.View, j *Job) *float64 {
			if j.milliseconds() == 0 {
				return nil
			}
			return new(float64(j.Progress.Done) * 1000 / float64(j.milliseconds()))
		}).Doc("How much is done in a second."),
		resource.Computed("duration_ms", func(_ resource.View, j *Job) int64 { return j.milliseconds() }).
			Doc("How long it has been worked at, in milliseconds. Of a step that was cut off only the time up to what it last told of counts."),
		resource.Attr("report", func(j *Job) *[]string { return &j.Progress.Report }).ReadOnly().Quiet().Doc("What is worth knowing of the outcome."),
		resource.Attr("error", func(j *Job) *string { return &j.Error }).Nullable().ReadOnly().MaxLength(maxError).Doc("Why it failed."),
		resource.Attr("asker", func(j *Job) *json.RawMessage { return &j.asker }).Nullable().Hidden().Quiet(),
		resource.Attr("checkpoint", func(j *Job) *json.RawMessage { return &j.Progress.checkpoint }).Nullable().Hidden().Quiet(),
		resource.Attr("worked", func(j *Job) *int64 { return &j.Worked }).Hidden().Quiet(),
		resource.Attr("active", func(j *Job) *string { return &j.Active }).Nullable().Unique().Hidden().Quiet(),
		resource.Attr("node", func(j *Job) *ulid.ULID { return &j.Node }).Nullable().Hidden().Quiet(),
		resource.Attr("turn", func(j *Job) *int64 { return &j.Turn }).Hidden().Quiet(),
	},
	Sorts: [][]string{{"created_at"}},
}

// EndedBefore is the condition of jobs that ended before a time.
func EndedBefore(at time.Time) resource.Condition {
	return resource.Holds("finished_at", resource.Less, at)
}

// Type serves the jobs of a keeper.
func (k *Keeper) Type() resource.Type[Job] {
	jobs := k.config.Jobs
	return resource.Type[Job]{
		Schema: Schema, List: jobs.List, Get: jobs.Get, Create: k.create,
		Actions: []resource.Action[Job]{
			resource.Change("cancel", jobs.Update, cancel).Doc("End the job where it is. What its steps have done stays."),
			resource.Change("retry", k.requeue, retry).Doc("Queue a job that failed or was cancelled again. It goes on where it was; one with an argument as asked for by the caller."),
		},
	}
}

// create queues jobs that requests give.
func (k *Keeper) create(ctx context.Context, jobs ...*Job) error {
	for _, j := range jobs {
		kinds := k.config.Kinds()
		kind := find(kinds, j.Kind)
		if kind == nil {
			return resource.Errorf(resource.Invalid, "must be one of %s", strings.Join(names(kinds), ", ")).At("attributes", "kind")
		}
		if err := kind.accept(ctx, j); err != nil {
			return err
		}
		j.State, j.Active = Queued, j.Kind
		if err := busy(k.config.Jobs.Create(ctx, j)); err != nil {
			return err
		}
	}
	return nil
}

// accept gives a job its argument, and whose it is. What is wrong with the argument is an error about the attribute.
func (k *Kind) accept(ctx context.Context, j *Job) error {
	switch {
	case k.Accept == nil && j.Argument == "":
		return nil
	case k.Accept == nil:
		return resource.Errorf(resource.Invalid, "must not be given: %s takes none", k.Name).At("attributes", "argument")
	case j.Argument == "":
		return resource.Errorf(resource.Required, "must be given: what %s is to do it to", k.Name).At("attributes", "argument")
	}
	asker := resource.PrincipalOf(ctx)
	err := k.Accept(ctx, asker, j.Argument)
	if err == nil {
		return j.askedBy(asker)
	}
	var problems resource.Errors
	for _, e := range resource.AllErrors(err) {
		if status := resource.Codes[e.Code].Status; status == 400 || status == 404 || status == 405 {
			e = resource.Errorf(resource.Invalid, "%s", e.Detail).At("attributes", "argument")
		}
		problems = append(problems, e)
	}
	return problems
}

// busy is an error with what it means that another job of the kind is active.
func busy(err error) error {
	if resource.Is(err, resource.Taken) {
		return resource.Errorf(resource.Conflict, "a job of this kind is queued or running already").At("attributes", "kind")
	}
	return err
}

// requeue is the update of a retry.
func (k *Keeper) requeue(ctx context.Context, id ulid.ULID, change func(*Job) error) (*Job, error) {
	row, err := k.config.Jobs.Update(ctx, id, func(j *Job) error {
		if err := change(j); err != nil || j.Argument == "" {
			return err
		}
		kind := find(k.config.Kinds(), j.Kind)
		if kind == nil {
			return resource.Errorf(resource.Conflict, "there is no kind %s just now", j.Kind)
		}
		return kind.accept(ctx, j)
	})
	return row, busy(err)
}

func cancel(tx *resource.Tx, j *Job) error {
	if j.Active == "" {
		return resource.Errorf(resource.Ended, "the job is %s", j.State)
	}
	j.end(Cancelled, tx.Now)
	return nil
}

func retry(_ *resource.Tx, j *Job) error {
	if j.State != Failed && j.State != Cancelled {
		return resource.Errorf(resource.Conflict, "the job is %s", j.State)
	}
	j.State, j.Active, j.FinishedAt, j.Error = Queued, j.Kind, time.Time{}, ""
	return nil
}

// end ends a job.
func (j *Job) end(state string, now time.Time) {
	j.State, j.Active, j.Node, j.FinishedAt = state, "", ulid.ULID{}, now
}
