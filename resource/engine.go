package resource

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
)

// Engine is the one door: whatever is read or written goes through [Engine.Do], whichever front it came by.
type Engine struct {
	registry *Registry
	database Transactor
	clock    func() time.Time
}

// NewEngine serves the types of a registry out of a database.
func NewEngine(registry *Registry, database Transactor, clock func() time.Time) *Engine {
	return &Engine{registry, database, clock}
}

// Registry is the registry that the engine serves.
func (e *Engine) Registry() *Registry { return e.registry }

// Do carries out operations: it authorizes each, checks its body, and runs them in one transaction in which it
// records an event for each write. All succeed, or none does anything. A context that holds a transaction
// joins it. Single reads need no transaction and get none.
//
// The errors are [Error] and [Errors]; of several operations, the first that fails.
func (e *Engine) Do(ctx context.Context, ops ...Operation) ([]Result, error) {
	tx := &Tx{engine: e, types: e.registry.snapshot(), Now: Cut(e.clock())}
	steps := make([]step, len(ops))
	for i, op := range ops {
		var err error
		if steps[i], err = tx.plan(op, true); err != nil {
			return nil, err
		}
	}
	if len(steps) == 1 && steps[0].reads {
		tx.Context, tx.Principal = ctx, ops[0].Principal
		result, err := steps[0].run(tx)
		return []Result{result}, err
	}
	var results []Result
	err := e.database.Transact(ctx, func(ctx context.Context) error {
		tx.Context, tx.events = ctx, nil
		var err error
		if results, err = tx.run(steps); err != nil {
			return err
		}
		return e.database.Record(ctx, tx.events...)
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// Validate authorizes an operation and reads its body as Do does before the transaction begins, and does nothing.
func (e *Engine) Validate(op Operation) error {
	tx := &Tx{engine: e, types: e.registry.snapshot(), Now: Cut(e.clock())}
	_, err := tx.plan(op, true)
	return err
}

// Do carries out one operation and returns its resource as its Go type. T must be the type's own.
func Do[T any](ctx context.Context, e *Engine, op Operation) (*T, error) {
	results, err := e.Do(ctx, op)
	if err != nil {
		return nil, err
	}
	row, ok := results[0].row.(*T)
	if !ok {
		return nil, fmt.Errorf("resource: %s of type %q answers no %T", op.Verb, op.Type, row)
	}
	return row, nil
}

// Tx is the transaction that an operation runs in, and the context of everything done there. Actions and
// checks get it: its time is the time of all they write, and its Do goes through the same door as the
// operation that they belong to.
type Tx struct {
	context.Context
	Now       time.Time
	Principal *auth.Principal
	Request   string

	engine *Engine
	types  map[string]served
	events []*Event
	cause  Identifier

	ifMatch []string // of the operation that runs
}

// View is the transaction's view of resources.
func (tx *Tx) View() View { return View{Now: tx.Now, Principal: tx.Principal} }

type txKey struct{}

// Value finds the transaction itself, so that [PrincipalOf] knows who asks.
func (tx *Tx) Value(key any) any {
	if key == (txKey{}) {
		return tx
	}
	return tx.Context.Value(key)
}

// PrincipalOf is who asks for the operation that the context belongs to, nil outside of one.
func PrincipalOf(ctx context.Context) *auth.Principal {
	if tx, ok := ctx.Value(txKey{}).(*Tx); ok {
		return tx.Principal
	}
	return nil
}

// Lock waits until no other transaction holds the named lock, and holds it to the end of this one.
func (tx *Tx) Lock(name string) error { return tx.engine.database.Lock(tx, name) }

// Do carries out operations in the transaction, for the same principal, allowed by the operation that asks.
// Their events name that operation's event as their cause.
func (tx *Tx) Do(ops ...Operation) ([]Result, error) {
	steps := make([]step, len(ops))
	for i, op := range ops {
		op.Principal, op.Request = tx.Principal, tx.Request
		var err error
		if steps[i], err = tx.plan(op, false); err != nil {
			return nil, err
		}
	}
	return tx.run(steps)
}

// NewID makes an id for a new resource. Ids made by one process ascend.
func (tx *Tx) NewID() ulid.ULID { return ulid.Make() }

// step is an operation that has been authorized and read.
type step struct {
	op    Operation
	reads bool
	run   func(tx *Tx) (Result, error)
}

func (tx *Tx) run(steps []step) ([]Result, error) {
	results := make([]Result, len(steps))
	for i, step := range steps {
		tx.Principal, tx.Request = step.op.Principal, step.op.Request
		var err error
		if results[i], err = step.run(tx); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// plan authorizes an operation, unless another one allows it, and reads it as far as that needs no database.
func (tx *Tx) plan(op Operation, authorize bool) (step, error) {
	t := tx.types[op.Type]
	if t == nil {
		return step{}, Errorf(NotFound, "there is no type %q", op.Type)
	}
	about := t.description()
	if authorize {
		if err := allow(op, about); err != nil {
			return step{}, err
		}
	}
	if err := serves(op, about); err != nil {
		return step{}, err
	}
	reads := op.Verb == List || op.Verb == Get || op.Verb == Linked
	if reads {
		run, err := tx.planRead(op, t)
		return step{op, true, run}, err
	}
	run, err := t.prepare(op)
	if err != nil {
		return step{}, err
	}
	if action := about.Action(op.Verb); action != nil && about.Bulk(action) && op.ID == (ulid.ULID{}) && op.Key == nil && len(op.Filters) > 0 {
		where, err := about.Where(op.Filters)
		return step{op, false, func(tx *Tx) (Result, error) { return tx.each(op, t, where, run) }}, err
	}
	return step{op, false, func(tx *Tx) (Result, error) { return tx.write(op, t, run) }}, nil
}

// planRead plans list, get and linked.
func (tx *Tx) planRead(op Operation, t served) (func(tx *Tx) (Result, error), error) {
	about := t.description()
	query := Query{Window: op.Window, Count: op.Count, Now: tx.Now}
	if query.Window.Size == 0 {
		query.Window.Size = pagination.DefaultSize
	}
	var err error
	if query.Where, err = about.Where(op.Filters); err != nil {
		return nil, err
	}
	return func(tx *Tx) (Result, error) {
		if op.Verb == List {
			return t.list(tx, tx.View(), query)
		}
		id, err := tx.find(op, t)
		if err != nil {
			return Result{}, err
		}
		if op.Verb == Get {
			return t.get(tx, tx.View(), id)
		}
		return t.linked(tx, id, op.Relationship, query)
	}, nil
}

type writer = func(tx *Tx, id ulid.ULID) (Result, []string, bool, error)

// write runs a write on one resource, or an action on the type, and notes its event.
func (tx *Tx) write(op Operation, t served, run writer) (Result, error) {
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
		if id, err = tx.find(op, t); err != nil {
			return Result{}, err
		}
	}
	event := NewEvent(tx.Now, tx.Principal, op.Verb, Identifier{op.Type, id})
	event.Request, event.Cause = op.Request, tx.cause
	// Events that follow from this one come after it, and go with it if it turns out that nothing happened.
	place, cause, ifMatch := len(tx.events), tx.cause, tx.ifMatch
	tx.events, tx.cause, tx.ifMatch = append(tx.events, event), Identifier{"event", event.ID}, op.IfMatch
	result, changed, effect, err := run(tx, id)
	tx.cause, tx.ifMatch = cause, ifMatch
	if err != nil {
		tx.events = tx.events[:place]
		return Result{}, err
	}
	event.Changed, result.Affected = changed, 1
	if !effect && len(tx.events) == place+1 {
		tx.events, result.Affected = tx.events[:place], 0
	}
	return result, nil
}

// each runs an action on every resource that meets a condition. The condition is asked again page by page, in
// the order of the ids, so rows that the action takes out of it do no harm. What has ended already stays as it is.
func (tx *Tx) each(op Operation, t served, where Condition, run writer) (Result, error) {
	query := Query{Where: where, Window: pagination.First(pagination.MaxSize), Count: pagination.CountNone, Now: tx.Now}
	affected := 0
	for {
		page, err := t.list(tx, tx.View(), query)
		if err != nil {
			return Result{}, err
		}
		n := page.Resources.Len()
		for i := range n {
			op.ID = page.Resources.ID(i)
			result, err := tx.write(op, t, run)
			if err != nil && !Is(err, Ended) {
				return Result{}, err
			}
			affected += result.Affected
		}
		if !page.Page.Next {
			return Result{Type: t.description(), Affected: affected}, nil
		}
		query.Window = query.Window.Next(op.ID)
	}
}

// find is the id of the resource that an operation is about.
func (tx *Tx) find(op Operation, t served) (ulid.ULID, error) {
	about := t.description()
	switch {
	case about.Singleton:
		return NamedID(about.Name, ""), nil
	case op.Key == nil:
		return op.ID, nil
	}
	found, err := t.list(tx, tx.View(), Query{
		Where: Equal(op.Key.Attribute, op.Key.Value), Window: pagination.First(1), Count: pagination.CountNone, Now: tx.Now,
	})
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
	var problems Errors
	for _, r := range references {
		if len(relationships[r.Name]) == 0 {
			continue
		}
		there, err := tx.there(r.Type, relationships[r.Name])
		if err != nil {
			return err
		}
		for i, target := range relationships[r.Name] {
			if !there[target.ID] {
				problems = append(problems, Errorf(NotFound, "there is no %s %s", target.Type, target.ID).At(r.place(i)...))
			}
		}
	}
	return problems.orNil()
}

// lookup is how many ids are looked up at once. SQLite takes no expression that is a thousand deep.
const lookup = 200

// there are those of the targets, all of one type, that are there; none, if the type's module is not loaded.
func (tx *Tx) there(typ string, targets []Identifier) (map[ulid.ULID]bool, error) {
	there := map[ulid.ULID]bool{}
	t := tx.types[typ]
	if t == nil {
		return there, nil
	}
	for some := range slices.Chunk(targets, lookup) {
		var any Any
		for _, target := range some {
			any = append(any, Equal("id", target.ID))
		}
		found, err := t.list(tx, tx.View(), Query{
			Where: any, Window: pagination.First(lookup), Count: pagination.CountNone, Now: tx.Now,
		})
		if err != nil {
			return nil, err
		}
		for i := range found.Resources.Len() {
			there[found.Resources.ID(i)] = true
		}
	}
	return there, nil
}

// allow says whether the principal may do the operation. No type knows of it.
func allow(op Operation, about *Description) error {
	if op.Principal == nil {
		return Errorf(Unauthenticated, "this needs an access token")
	}
	verb := op.Verb
	switch verb {
	case Linked:
		verb = Get
	case Link, Unlink, Relink:
		verb = Update
	}
	if op.Principal.May(about.Name, verb) || about.Open && verb == Get {
		return nil
	}
	return Errorf(Forbidden, "%s lacks the permission %s:%s", op.Principal.Name, about.Name, verb)
}

// serves says whether the type has what the operation asks for.
func serves(op Operation, about *Description) error {
	switch op.Verb {
	case List, Get, Create, Update, Delete:
		if !about.Serves(op.Verb) {
			return Errorf(MethodNotAllowed, "%s cannot be asked to %s", about.Plural, op.Verb)
		}
	case Linked, Link, Unlink, Relink:
		r := about.Reference(op.Relationship)
		switch {
		case r == nil:
			return Errorf(NotFound, "%s have no relationship %q", about.Plural, op.Relationship)
		case op.Verb != Linked && !r.Writable(false), op.Verb == Relink && !r.Many && !about.Serves(Update):
			return Errorf(ReadOnly, "relationship %q cannot be written", op.Relationship)
		case op.Verb != Relink && !r.Many:
			return Errorf(MethodNotAllowed, "relationship %q names one resource", op.Relationship)
		}
	default:
		if about.Action(op.Verb) == nil {
			return Errorf(NotFound, "%s have no action %q", about.Plural, op.Verb)
		}
	}
	return nil
}

// Where is what filter arguments mean together, nil if there are none. It is sorted by the filters' names, so that
// the same question always is the same statement. All problems are reported at once, as UnknownParameter and
// InvalidParameter.
func (d *Description) Where(arguments []FilterArgument) (Condition, error) {
	byParameter := map[string]Condition{}
	var problems Errors
	for _, argument := range arguments {
		f := d.Filter(argument.Name, argument.Qualifier)
		if f == nil {
			parameter := (&Filter{Name: argument.Name, Qualifier: argument.Qualifier}).Parameter()
			problems = append(problems, Errorf(UnknownParameter, "%s have no %s; there are %s",
				d.Plural, parameter, parameters(d)).About(parameter))
			continue
		}
		var any Any
		for _, value := range argument.Values {
			c, err := f.Condition(value)
			if err != nil {
				problems = append(problems, Errorf(InvalidParameter, "%s %s", f.Parameter(), err).About(f.Parameter()))
				continue
			}
			any = append(any, c)
		}
		if len(any) == 1 {
			byParameter[f.Parameter()] = any[0]
		} else {
			byParameter[f.Parameter()] = any
		}
	}
	if len(byParameter) == 0 {
		return nil, problems.orNil()
	}
	var all All
	for _, parameter := range sorted(byParameter) {
		all = append(all, byParameter[parameter])
	}
	return all, problems.orNil()
}

func parameters(about *Description) string {
	var names []string
	for i := range about.Filters {
		names = append(names, about.Filters[i].Parameter())
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}
