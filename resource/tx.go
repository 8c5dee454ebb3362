package resource

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
)

// Tx is the transaction that an operation runs in, and the context of everything done there. Actions and
// checks get it: its time is the time of all they write, and its Do goes through the same door as the
// operation that they belong to.
type Tx struct {
	context.Context
	Now       time.Time
	Principal *auth.Principal
	Request   string

	engine  *Engine
	types   map[string]served
	events  []*Event
	entered []*Gate // of the types that are used

	running
}

// running is what concerns the operation that runs.
type running struct {
	cause   Identifier // of the events that follow from it
	ifMatch []string
	ifNone  []string
	first   error // see [Action.First]
	reached reach
	forced  bool
	told    *int64 // see [Tx.Affected]
}

// Affected says to how many resources an action did something that none of its events tells of. Its own tells how many
// they were, and there is none if nothing was done.
func (tx *Tx) Affected(n int) {
	told := int64(n)
	tx.told = &told
}

// Serves reports whether a type is served, so that it can be asked to do something. It goes on to be to the end.
func (tx *Tx) Serves(typ string) bool {
	t := tx.types[typ]
	return t != nil && tx.enter(t) == nil
}

// Forced reports whether the caller means what a check refuses unless it is forced, see [Type.Forcible].
func (tx *Tx) Forced() bool { return tx.forced }

// newTx is a transaction that has not begun: its types and its time are those of now.
func (e *Engine) newTx(ctx context.Context) *Tx {
	return &Tx{Context: ctx, engine: e, types: e.registry.snapshot(), Now: Cut(e.clock())}
}

// enter keeps a type from being taken away before [Tx.leave]. It is NotFound if that has happened already.
func (tx *Tx) enter(t served) error {
	gate := t.gate()
	if gate == nil || slices.Contains(tx.entered, gate) {
		return nil
	}
	if !gate.Enter() {
		return noType(t.description().Name)
	}
	tx.entered = append(tx.entered, gate)
	return nil
}

// leave ends the use of all types. It is called once everything is committed, or undone, or left to the transaction
// that this one has joined.
func (tx *Tx) leave() {
	for _, gate := range tx.entered {
		gate.Leave()
	}
	tx.entered = nil
}

func noType(name string) error { return Errorf(NotFound, "there is no type %q", name) }

// transact begins the transaction, runs what writes, and records its events. Its time is that of its beginning, however
// long it took to get there.
func (tx *Tx) transact(ctx context.Context, run func() error) error {
	return tx.engine.database.Transact(ctx, func(ctx context.Context) error {
		tx.Context, tx.Now, tx.events = ctx, Cut(tx.engine.clock()), nil
		if err := run(); err != nil {
			return err
		}
		return tx.engine.database.Record(ctx, tx.events...)
	})
}

// View is the transaction's view of resources.
func (tx *Tx) View() View { return View{Now: tx.Now, Principal: tx.Principal, engine: tx.engine} }

type txKey struct{}

// Value finds the transaction itself, so that [PrincipalOf] knows who asks.
func (tx *Tx) Value(key any) any {
	if key == (txKey{}) {
		return tx
	}
	return tx.Context.Value(key)
}

// TxOf is the transaction of the operation that the context belongs to, nil outside of one.
func TxOf(ctx context.Context) *Tx {
	tx, _ := ctx.Value(txKey{}).(*Tx)
	return tx
}

// PrincipalOf is who asks for the operation that the context belongs to, nil outside of one.
func PrincipalOf(ctx context.Context) *auth.Principal {
	if tx := TxOf(ctx); tx != nil {
		return tx.Principal
	}
	return nil
}

// Lock waits until no other transaction holds the named lock, and holds it to the end of this one.
func (tx *Tx) Lock(name string) error { return tx.engine.database.Lock(tx, name) }

// Do carries out operations in the transaction, for the same principal, allowed by the operation that asks.
// Their events name that operation's event as their cause.
func (tx *Tx) Do(ops ...Operation) ([]Result, error) {
	ops = slices.Clone(ops)
	for i := range ops {
		ops[i].Principal, ops[i].Request = tx.Principal, tx.Request
	}
	steps, err := tx.plan(ops, false)
	if err != nil {
		return nil, err
	}
	return tx.run(steps)
}

// Tell notes what an action has done to another resource by itself, in an event that follows from that of the action.
// See [Event] for the changes.
func (tx *Tx) Tell(verb string, target Identifier, changes json.RawMessage) {
	event := NewEvent(tx, tx.Now, tx.Principal, verb, target)
	event.Request, event.Cause, event.Changes = tx.Request, tx.cause, changes
	tx.events = append(tx.events, event)
}

// NewID makes an id for a new resource. Ids made by one process ascend.
func (tx *Tx) NewID() ulid.ULID { return ulid.Make() }

func (tx *Tx) run(steps []step) ([]Result, error) {
	results := make([]Result, len(steps))
	for i, step := range steps {
		tx.Principal, tx.Request = step.op.Principal, step.op.Request
		var err error
		if results[i], err = step.run(tx); err != nil {
			return nil, operationError{i, err}
		}
	}
	return results, nil
}

type writer = func(tx *Tx, id ulid.ULID) (Result, json.RawMessage, bool, error)

// write runs a write on one resource, or an action on the type, and notes its event.
func (tx *Tx) write(op Operation, t served, reach reach, run writer) (Result, error) {
	id := op.ID
	action := t.description().Action(op.Verb)
	switch {
	case op.Verb == Create:
		if id == (ulid.ULID{}) {
			id = tx.NewID()
		}
	case action != nil && action.Collection:
	default:
		var err error
		if id, err = tx.find(op, t, reach.known()); err != nil {
			return Result{}, err
		}
		if p := tx.engine.provisioner; p != nil && tx.cause == (Identifier{}) {
			if err := p.Refuse(tx, op, id); err != nil {
				return Result{}, err
			}
		}
	}
	event := NewEvent(tx, tx.Now, tx.Principal, op.Verb, Identifier{op.Type, id})
	event.Request, event.Cause = op.Request, tx.cause
	// Events that follow from this one come after it, and go with it if it turns out that nothing happened.
	place, outer := len(tx.events), tx.running
	tx.events, tx.running = append(tx.events, event), running{cause: Identifier{"event", event.ID}, ifMatch: op.IfMatch, ifNone: op.IfNone, reached: reach, forced: op.Force}
	result, changes, effect, err := run(tx, id)
	told := tx.told
	tx.running = outer
	if err != nil {
		tx.events = tx.events[:place]
		return Result{}, err
	}
	event.Changes, result.Affected = changes, 1
	if told != nil {
		event.Count, result.Affected, effect = *told, int(*told), *told > 0
	}
	if !effect && len(tx.events) == place+1 {
		tx.events, result.Affected = tx.events[:place], 0
	}
	return result, nil
}

// each runs an action on every resource that meets a condition. The condition is asked again page by page, in
// the order of the ids, so rows that the action takes out of it do no harm; and of rows that are held, so that it holds
// for all that the action is done to. What has ended already stays as it is.
func (tx *Tx) each(op Operation, t served, reach reach, where Condition, run writer) (Result, error) {
	query := Query{
		Where: where, Window: pagination.First(pagination.MaxSize), Count: pagination.CountNone, Fields: []string{}, Now: tx.Now,
		Hold: true,
	}
	affected := 0
	for {
		page, _, err := t.list(tx, tx.View(), query, nil)
		if err != nil {
			return Result{}, err
		}
		n := page.Resources.Len()
		for i := range n {
			op.ID = page.Resources.ID(i)
			result, err := tx.write(op, t, reach, run)
			if err != nil && !Is(err, Ended) {
				return Result{}, amongMany(Identifier{op.Type, op.ID}, err)
			}
			affected += result.Affected
			if op.MaxAffected > 0 && affected > op.MaxAffected {
				return Result{}, Errorf(TooManyAffected, "this would change more than %d %s", op.MaxAffected, t.description().Plural)
			}
		}
		if !page.Page.Next {
			return Result{Type: t.description(), Affected: affected}, nil
		}
		query.Window = query.Window.Next(pagination.At(op.ID))
	}
}

// amongMany is an error of an action on one of many resources, which tells of which.
func amongMany(id Identifier, err error) error {
	failures := AllErrors(err)
	if failures.Status() >= 500 {
		return err // as it is, for the log
	}
	var all Errors
	for _, failure := range failures {
		copied := *failure
		copied.Detail = fmt.Sprintf("%s %s: %s", id.Type, id.ID, failure)
		all = append(all, &copied)
	}
	return all
}

// find is the id of the resource that an operation is about. By a natural key, it is one that meets the condition.
func (tx *Tx) find(op Operation, t served, where Condition) (ulid.ULID, error) {
	about := t.description()
	switch {
	case about.Singleton:
		return NamedID(about.Name, ""), nil
	case op.Key == nil:
		return op.ID, nil
	}
	found, _, err := t.list(tx, tx.View(), Query{
		Where: every(Equal(op.Key.Attribute, t.canonical(tx, op.Key)), where), Window: pagination.First(1), Count: pagination.CountNone,
		Fields: []string{}, Now: tx.Now,
	}, nil)
	if err != nil {
		return ulid.ULID{}, err
	}
	if found.Resources.Len() == 0 {
		return ulid.ULID{}, Errorf(NotFound, "there is no %s with the %s %q", about.Name, op.Key.Attribute, op.Key.Value)
	}
	id := found.Resources.ID(0)
	if op.ID != (ulid.ULID{}) && op.ID != id {
		return ulid.ULID{}, Errorf(TypeMismatch, "the %s with the %s %q has another id", about.Name, op.Key.Attribute, op.Key.Value).At("id")
	}
	return id, nil
}

// exist checks that the resources named by the relationships of a body are there. Databases check it as well,
// but cannot say which member named what is missing.
func (tx *Tx) exist(references []ReferenceDescription, relationships map[string][]Identifier) error {
	there, err := tx.there(references, relationships)
	if err != nil {
		return err
	}
	return missing(references, relationships, there)
}

// missing reports the resources named by the relationships of a body that are not among those that are there.
func missing(references []ReferenceDescription, relationships map[string][]Identifier, there map[Identifier]bool) error {
	var problems Errors
	for _, r := range references {
		for i, target := range relationships[r.Name] {
			if !there[target] {
				problems = append(problems, Errorf(NotFound, "there is no %s %s", target.Type, target.ID).At(r.place(i)...))
			}
		}
	}
	return problems.orNil()
}

// there are those of the resources named by the relationships of some bodies that are there. Those whose module is
// not loaded are not. It asks one question for each type.
func (tx *Tx) there(references []ReferenceDescription, bodies ...map[string][]Identifier) (map[Identifier]bool, error) {
	asked := map[string][]ulid.ULID{} // by type
	for _, relationships := range bodies {
		for _, r := range references {
			for _, target := range relationships[r.Name] {
				asked[target.Type] = append(asked[target.Type], target.ID)
			}
		}
	}
	there := map[Identifier]bool{}
	for _, typ := range sorted(asked) {
		t := tx.types[typ]
		if t == nil {
			continue
		}
		slices.SortFunc(asked[typ], ulid.ULID.Compare)
		for ids := range slices.Chunk(slices.Compact(asked[typ]), batch) {
			found, _, err := t.list(tx, tx.View(), Query{
				Where: among(ids), Window: pagination.First(len(ids)), Count: pagination.CountNone, Fields: []string{}, Now: tx.Now,
			}, nil)
			if err != nil {
				return nil, err
			}
			for i := range found.Resources.Len() {
				there[Identifier{typ, found.Resources.ID(i)}] = true
			}
		}
	}
	return there, nil
}
