package resource

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/oklog/ulid/v2"
)

// Meta is what an action answers that is no resource: the meta member of its document.
type Meta map[string]any

// Answer is what an action answers.
type Answer int

// The three answers: the resource (200), a document with meta alone (200), nothing (204).
const (
	AnswersResource Answer = iota
	AnswersMeta
	AnswersNothing
)

// ActionDescription is what is known of an action without its Go types.
type ActionDescription struct {
	Name       string                 `json:"name"`
	Doc        string                 `json:"doc,omitempty"`
	Arguments  []AttributeDescription `json:"arguments,omitempty"`
	Collection bool                   `json:"collection,omitempty"` // an action on the type, not on one resource
	Issues     bool                   `json:"issues,omitempty"`     // its answer has what is shown once
	Puts       bool                   `json:"puts,omitempty"`       // see [Action.Putting]
	Answer     Answer                 `json:"-"`
}

// Action is something that can be done with a resource, or with a type, besides the five verbs. It is the verb
// of its own permission and of its events.
type Action[T any] struct {
	ActionDescription

	// prepare reads the arguments before the transaction begins.
	prepare func(ctx context.Context, body Body) (func(tx *Tx, t *Type[T], id ulid.ULID) (outcome[T], error), error)
}

// outcome is what a write came to.
type outcome[T any] struct {
	before  *T              // of a change: the row as it was
	row     *T              // nil unless the write holds the row
	changes json.RawMessage // see [Event.Changes]
	effect  bool            // something happened, even if no member of the row changed
	meta    Meta
}

// UpdateFunc is [Store.Update].
type UpdateFunc[T any] = func(ctx context.Context, id ulid.ULID, change func(*T) error) (*T, error)

// None is the argument of an action that takes none.
type None struct{}

// Change declares an action that changes the row of its resource. If apply finds the row as it should be, it
// leaves it alone: the answer is 200, and nothing is written. It takes update as an argument, since a type may
// change its rows by actions alone and serve no PATCH.
func Change[T any](name string, update UpdateFunc[T], apply func(tx *Tx, row *T) error) Action[T] {
	return Command(name, update, nil, func(tx *Tx, row *T, _ *None) error { return apply(tx, row) })
}

// Command declares a change of the row that takes arguments.
func Command[T, In any](name string, update UpdateFunc[T], args []Attribute[In], apply func(tx *Tx, row *T, in *In) error) Action[T] {
	return newAction(name, args, func(tx *Tx, t *Type[T], id ulid.ULID, in *In) (outcome[T], error) {
		return t.change(tx, update, id, func(row *T) error { return apply(tx, row, in) })
	})
}

// Run declares an action that has its effect elsewhere. The resource is there, or the answer is NotFound. The
// answer is the resource as it then is, unless the action is declared Answering something else.
func Run[T, In any](name string, args []Attribute[In], run func(tx *Tx, id ulid.ULID, in *In) (Meta, error)) Action[T] {
	return newAction(name, args, func(tx *Tx, t *Type[T], id ulid.ULID, in *In) (outcome[T], error) {
		if _, err := t.hold(tx, id); err != nil {
			return outcome[T]{}, err
		}
		meta, err := run(tx, id, in)
		return outcome[T]{effect: true, meta: meta}, err
	})
}

// CollectionAction declares an action on the type, which answers meta.
func CollectionAction[T, In any](name string, args []Attribute[In], run func(tx *Tx, in *In) (Meta, error)) Action[T] {
	a := newAction(name, args, func(tx *Tx, _ *Type[T], _ ulid.ULID, in *In) (outcome[T], error) {
		meta, err := run(tx, in)
		return outcome[T]{effect: true, meta: meta}, err
	})
	a.Collection = true
	return a.Answering(AnswersMeta)
}

// Answering says what the action answers.
func (a Action[T]) Answering(answer Answer) Action[T] { a.Answer = answer; return a }

// Issuing says that the action makes what its answer alone shows ([Once]). It is done on one resource at a time.
func (a Action[T]) Issuing() Action[T] { a.Issues = true; return a }

// Putting has a [Put] of a resource that is there give the action those attributes that are arguments of it too, and that
// otherwise only a creation gives: its caller needs the permission for the action then.
func (a Action[T]) Putting() Action[T] { a.Puts = true; return a }

// Then says what follows from a change: it is called once the row is written, if it has changed, so that what follows
// finds it as it is and may lead back to it.
func (a Action[T]) Then(follow func(tx *Tx, row *T) error) Action[T] {
	prepare := a.prepare
	a.prepare = func(ctx context.Context, body Body) (func(*Tx, *Type[T], ulid.ULID) (outcome[T], error), error) {
		run, err := prepare(ctx, body)
		return func(tx *Tx, t *Type[T], id ulid.ULID) (outcome[T], error) {
			done, err := run(tx, t, id)
			if err == nil && done.changes != nil {
				err = follow(tx, done.row)
			}
			return done, err
		}, err
	}
	return a
}

// First says what comes before the transaction begins, since it is slow, or leaves something behind also if it fails:
// it is called with arguments that are well formed. Its error is that of the action, once its resource is known to be
// there and as the caller wants it. It is for actions on one resource.
func (a Action[T]) First(do func(ctx context.Context, body Body) error) Action[T] {
	prepare := a.prepare
	a.prepare = func(ctx context.Context, body Body) (func(*Tx, *Type[T], ulid.ULID) (outcome[T], error), error) {
		run, err := prepare(ctx, body)
		if err != nil {
			return nil, err
		}
		failed := do(ctx, body)
		return func(tx *Tx, t *Type[T], id ulid.ULID) (outcome[T], error) {
			tx.first = failed
			return run(tx, t, id)
		}, nil
	}
	return a
}

// Doc says what the action does, for the OpenAPI document.
func (a Action[T]) Doc(doc string) Action[T] { a.ActionDescription.Doc = doc; return a }

func newAction[T, In any](name string, args []Attribute[In], run func(*Tx, *Type[T], ulid.ULID, *In) (outcome[T], error)) Action[T] {
	a := Action[T]{ActionDescription: ActionDescription{Name: name}}
	for _, arg := range args {
		a.Arguments = append(a.Arguments, arg.AttributeDescription)
	}
	arguments := Schema[In]{Attributes: args}
	a.prepare = func(ctx context.Context, body Body) (func(*Tx, *Type[T], ulid.ULID) (outcome[T], error), error) {
		apply, err := arguments.accept(ctx, body, creation)
		if err != nil {
			return nil, err
		}
		return func(tx *Tx, t *Type[T], id ulid.ULID) (outcome[T], error) {
			in := arguments.Row()
			apply(in)
			return run(tx, t, id, in)
		}, nil
	}
	return a
}

// Arguments reads what a body gives as the arguments of an action are read, for what is asked past the engine. The errors
// are those of an action.
func Arguments[In any](ctx context.Context, args []Attribute[In], body Body) (*In, error) {
	arguments := Schema[In]{Attributes: args}
	apply, err := arguments.accept(ctx, body, creation)
	if err != nil {
		return nil, err
	}
	in := arguments.Row()
	apply(in)
	return in, nil
}

// Body is what a write carries. Attribute values are JSON-like: nil, bool, string, json.Number or a Go number,
// []any, map[string]any. Absent members are left as they are.
type Body struct {
	Attributes map[string]any
	// Relationships maps a reference to what it is to name: for a to-one one identifier or none.
	Relationships map[string][]Identifier
	// Meta is the member meta of a document on a relationship, see [Follow].
	Meta map[string]any
	// Bare says that the attributes were given without a document around them.
	Bare bool
}

// takes reports whether an attribute is an argument of the action.
func (a *ActionDescription) takes(attribute string) bool {
	return slices.ContainsFunc(a.Arguments, func(arg AttributeDescription) bool { return arg.Name == attribute })
}

// AppendMeta appends meta as JSON.
func (m Meta) AppendMeta(dst []byte) ([]byte, error) {
	text, err := json.Marshal(map[string]any(m))
	return append(dst, text...), err
}
