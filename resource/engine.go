package resource

import (
	"context"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
)

// Engine is the one door: whatever is read or written goes through [Engine.Do], whichever front it came by.
type Engine struct {
	registry *Registry
	database Transactor
	clock    func() time.Time

	provisioner Provisioner // nil if nothing is
}

// NewEngine serves the types of a registry out of a database.
func NewEngine(registry *Registry, database Transactor, clock func() time.Time) *Engine {
	return &Engine{registry: registry, database: database, clock: clock}
}

// Registry is the registry that the engine serves.
func (e *Engine) Registry() *Registry { return e.registry }

// Do carries out operations: it authorizes each, checks its body, and runs them in one transaction in which it
// records an event for each write. All succeed, or none does anything. A context that holds a transaction
// joins it. Single reads need no transaction and get none.
//
// The errors are [Error] and [Errors], each with the index of its operation. What is wrong with operations by
// themselves is reported for all of them, before the transaction begins; in it, the first that fails ends it. Who
// may not do one of them hears of nothing else.
func (e *Engine) Do(ctx context.Context, ops ...Operation) ([]Result, error) {
	prepared, err := e.Prepare(ctx, ops...)
	if err != nil {
		return nil, err
	}
	return prepared.Do(ctx)
}

// Prepared is operations that have been authorized and read.
type Prepared struct {
	tx    *Tx
	steps []step
}

// Prepare is what Do does before the transaction begins: it authorizes operations and reads their bodies. That may be
// slow, as hashing a password is, so it is for whoever has a transaction of their own to begin in between. The errors
// are those of Do that need no transaction.
func (e *Engine) Prepare(ctx context.Context, ops ...Operation) (Prepared, error) {
	tx := e.newTx(ctx)
	steps, err := tx.plan(ops, true)
	return Prepared{tx, steps}, err
}

// Do carries the operations out, see [Engine.Do]. It is called again only after what it did was undone.
func (p Prepared) Do(ctx context.Context) ([]Result, error) {
	tx, steps := p.tx, p.steps
	defer tx.leave()
	if len(steps) == 1 && steps[0].reads {
		tx.Context, tx.Principal = ctx, steps[0].op.Principal
		result, err := steps[0].run(tx)
		return []Result{result}, err
	}
	var results []Result
	err := tx.transact(ctx, func() (err error) {
		results, err = tx.run(steps)
		return err
	})
	if err != nil {
		return nil, err
	}
	return results, nil
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

// step is an operation that has been authorized and read.
type step struct {
	op    Operation
	reads bool
	run   func(tx *Tx) (Result, error)
}

// plan authorizes operations, unless another one allows them, and reads them as far as that needs no database.
func (tx *Tx) plan(ops []Operation, authorize bool) ([]step, error) {
	reaches := make([]reach, len(ops))
	if authorize {
		err := together(ops, func(i int, op Operation) (err error) {
			reaches[i], err = tx.authorize(op)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	steps := make([]step, 0, len(ops))
	err := together(ops, func(i int, op Operation) error {
		step, err := tx.planOne(op, reaches[i])
		steps = append(steps, step)
		return err
	})
	return steps, err
}

// together does something with each operation and reports the failures of all.
func together(ops []Operation, do func(i int, op Operation) error) error {
	var problems Errors
	for i, op := range ops {
		err := do(i, op)
		switch {
		case err == nil:
		case Is(err, Internal):
			return err // as it is, for the log
		default:
			problems = append(problems, AllErrors(operationError{i, err})...)
		}
	}
	return problems.orNil()
}

func (tx *Tx) planOne(op Operation, reach reach) (step, error) {
	t := tx.types[op.Type]
	if t == nil {
		return step{}, noType(op.Type)
	}
	about := t.description()
	if err := serves(op, about); err != nil {
		return step{}, err
	}
	switch op.Verb {
	case List, Get, Linked, Related:
		run, err := tx.planRead(op, t, reach)
		return step{op, true, entering(t, run)}, err
	case Put:
		run, err := tx.planPut(op, t, reach)
		return step{op, false, entering(t, run)}, err
	}
	tx.Principal = op.Principal
	run, err := t.prepare(tx, op)
	if err != nil {
		return step{}, err
	}
	if action := about.Action(op.Verb); action != nil && about.Bulk(action) && op.ID == (ulid.ULID{}) && op.Key == nil && len(op.Filters) > 0 {
		where, err := about.Where(op.Filters)
		return step{op, false, entering(t, func(tx *Tx) (Result, error) { return tx.each(op, t, reach, every(reach.do, where), run) })}, err
	}
	return step{op, false, entering(t, func(tx *Tx) (Result, error) { return tx.write(op, t, reach, run) })}, nil
}

// entering is what runs once the type is entered.
func entering(t served, run func(tx *Tx) (Result, error)) func(tx *Tx) (Result, error) {
	return func(tx *Tx) (Result, error) {
		if err := tx.enter(t); err != nil {
			return Result{}, err
		}
		return run(tx)
	}
}

// serves says whether the type has what the operation asks for.
func serves(op Operation, about *Description) error {
	switch op.Verb {
	case List, Get, Create, Update, Delete:
		if !about.Serves(op.Verb) {
			return Errorf(MethodNotAllowed, "%s cannot be asked to %s", about.Plural, op.Verb)
		}
	case Put:
		if !about.Puts() || op.Key == nil {
			return Errorf(MethodNotAllowed, "%s are not created by a name here", about.Plural)
		}
	case Related, Linked, Link, Unlink, Relink:
		r := about.Reference(op.Relationship)
		switch {
		case r == nil:
			return Errorf(NotFound, "%s have no relationship %q", about.Plural, op.Relationship)
		case op.Verb == Related:
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
