package resource

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
)

// served is a type without its Go type, as the engine works with it.
type served interface {
	description() *Description
	with(inverses []ReferenceDescription) served
	behind(gate *Gate) served
	gate() *Gate // nil if there is none
	list(ctx context.Context, view View, q Query, fields []string) (Result, Of, error)
	// get and linked are NotFound about a resource that does not meet the condition.
	get(ctx context.Context, view View, id ulid.ULID, where Condition, fields []string) (Result, error)
	linked(ctx context.Context, id ulid.ULID, where Condition, relationship string, q Query) (Result, error)
	// canonical is the value of a natural key in the form in which it is kept.
	canonical(ctx context.Context, key *Key) string
	// prepare reads the body before the transaction begins; what it returns runs in it.
	prepare(ctx context.Context, op Operation) (writer, error)
	importing(ctx context.Context, bodies []Body) func(tx *Tx) ([]Imported, error)
}

// plan is a declared type, compiled.
type plan[T any] struct {
	Type[T]
	about    Description
	prefixes [][]byte // of each attribute that answers show: its name as JSON with colon; else nil
	visible  []string // what must be read to show all that answers show; nil if that is everything
	guard    *Gate    // through which all that is done to the type goes; may be nil
}

// with is the plan with the inverses of references to its type.
func (p *plan[T]) with(inverses []ReferenceDescription) served {
	more := *p
	more.about.References = slices.Concat(p.about.References[:len(p.Schema.References)], inverses)
	return &more
}

// behind is the plan behind a gate.
func (p *plan[T]) behind(gate *Gate) served {
	guarded := *p
	guarded.guard = gate
	return &guarded
}

func (p *plan[T]) gate() *Gate { return p.guard }

func (p *plan[T]) description() *Description { return &p.about }

func (p *plan[T]) canonical(ctx context.Context, key *Key) string {
	if a := p.Schema.Attribute(key.Attribute); !a.AttributeDescription.ReadOnly { // see [Canonical]
		if kept, err := a.accept(ctx, key.Value); err == nil {
			if text, ok := kept.(string); ok {
				return text
			}
		}
	}
	return key.Value // which nothing has
}

// list shows of its rows the fields alone, unless they are nil; then those of the query are read besides.
func (p *plan[T]) list(ctx context.Context, view View, q Query, fields []string) (Result, Of, error) {
	shown := newSelection(fields)
	switch reads, some := p.reads(fields); {
	case some:
		q.Fields = append(q.Fields, reads...)
	case shown != nil:
		q.Fields = nil
	case q.Fields == nil:
		q.Fields = p.visible
	}
	page, err := p.List(ctx, q)
	if err != nil {
		return Result{}, Of{}, err
	}
	return Result{
		Type: &p.about, Resources: &rows[T]{plan: p, rows: page.Rows, view: view, shown: shown},
		Page: pageInfo(&q, &page),
	}, page.Of, nil
}

func (p *plan[T]) get(ctx context.Context, view View, id ulid.ULID, where Condition, fields []string) (Result, error) {
	row, err := p.find(ctx, id, where, view.Now)
	if err != nil {
		return Result{}, err
	}
	return p.one(row, view, false, newSelection(fields)), nil
}

func (p *plan[T]) find(ctx context.Context, id ulid.ULID, where Condition, now time.Time) (*T, error) {
	row, err := p.Get(ctx, id)
	if err == nil && !p.Schema.Match(where, row, Env{Now: now}) {
		return nil, notThere(p.about.Name, id)
	}
	return row, err
}

func (p *plan[T]) linked(ctx context.Context, id ulid.ULID, where Condition, relationship string, q Query) (Result, error) {
	if _, err := p.find(ctx, id, where, q.Now); err != nil {
		return Result{}, err
	}
	page, err := p.Linkages[relationship].List(ctx, id, q)
	if err != nil {
		return Result{}, err
	}
	return Result{
		Type: &p.about, ID: id, Relationship: p.about.Reference(relationship), Linked: page.Rows,
		Page: pageInfo(&q, &page),
	}, nil
}

// reads are the attributes and references that must be read to show fields; false if that is everything.
func (p *plan[T]) reads(fields []string) (names []string, some bool) {
	for _, field := range fields {
		a := p.Schema.Attribute(field)
		switch {
		case a == nil || a.Stored:
			names = append(names, field) // to-many references are not read
		case a.state != nil:
			Walk(a.state, func(c Condition) bool {
				if compare, ok := c.(Compare); ok {
					names = append(names, compare.Attribute)
					if sum, ok := compare.Operand.(Sum); ok {
						names = append(names, sum...)
					}
				}
				return true
			})
		case !a.AttributeDescription.Once: // worked out from who knows what
			return nil, false
		}
	}
	return names, fields != nil
}

func pageInfo[T any](q *Query, page *Page[T]) *PageInfo {
	return &PageInfo{
		Window: q.Window, Order: q.Order, Prev: page.Prev, Next: page.Next,
		Count: q.Count, Total: page.Total, Omitted: page.Omitted,
	}
}

func (p *plan[T]) one(row *T, view View, created bool, shown selection) Result {
	return Result{
		Type: &p.about, ID: *p.Schema.ID(row), Tag: p.Schema.Tag(row), Created: created, row: row,
		Resources: &rows[T]{plan: p, rows: []T{*row}, view: view, shown: shown},
	}
}

func (p *plan[T]) prepare(ctx context.Context, op Operation) (writer, error) {
	run, err := p.plan(ctx, op)
	if err != nil {
		return nil, err
	}
	return func(tx *Tx, id ulid.ULID) (Result, json.RawMessage, bool, error) {
		done, err := run(tx, id)
		if err != nil {
			return Result{}, nil, false, err
		}
		result := Result{Type: &p.about, ID: id, Meta: done.meta}
		if done.row != nil {
			result = p.one(done.row, tx.View(), op.Verb == Create, nil)
			result.Meta = done.meta
		}
		return result, done.changes, done.effect || done.changes != nil, nil
	}, nil
}

// plan turns a write into what runs in the transaction.
func (p *plan[T]) plan(ctx context.Context, op Operation) (func(*Tx, ulid.ULID) (outcome[T], error), error) {
	switch op.Verb {
	case Create:
		apply, err := p.Schema.accept(ctx, op.Body, creation)
		if err != nil {
			return nil, err
		}
		return func(tx *Tx, id ulid.ULID) (outcome[T], error) { return p.create(tx, id, op.Body, apply) }, nil
	case Update:
		apply, err := p.Schema.accept(ctx, op.Body, change)
		if err != nil {
			return nil, err
		}
		return func(tx *Tx, id ulid.ULID) (outcome[T], error) {
			done, err := p.change(tx, p.Update, id, func(row *T) error {
				apply(row)
				return tx.exist(p.about.References, op.Body.Relationships)
			})
			if err != nil {
				return done, err
			}
			changes, err := p.link(tx, done.row, op.Body.Relationships, done.changes)
			if err == nil && len(changes) > len(done.changes) {
				done.row, err = p.revise(tx, id, done.row)
			}
			if done.changes = changes; err == nil && changes != nil {
				err = p.then(tx, done.before, done.row)
			}
			return done, err
		}, nil
	case Delete:
		return p.remove, nil
	case Link, Unlink, Relink:
		reference := p.Schema.Reference(op.Relationship)
		targets := op.Body.Relationships[op.Relationship]
		follow, unread := p.following(ctx, reference.Name, op.Body.Meta)
		if err := joined(reference.accept(targets), unread); err != nil {
			return nil, err
		}
		return func(tx *Tx, id ulid.ULID) (outcome[T], error) {
			if op.Verb != Unlink {
				if err := tx.exist(p.about.References, op.Body.Relationships); err != nil {
					return outcome[T]{}, err
				}
			}
			return p.relate(tx, op.Verb, id, reference, targets, follow)
		}, nil
	}
	i := slices.IndexFunc(p.Actions, func(a Action[T]) bool { return a.Name == op.Verb })
	action := p.Actions[i]
	run, err := action.prepare(ctx, op.Body)
	if err != nil {
		return nil, err
	}
	return func(tx *Tx, id ulid.ULID) (outcome[T], error) {
		done, err := run(tx, &p.Type, id)
		if err != nil || action.Answer != AnswersResource {
			done.row = nil
			return done, err
		}
		if done.row == nil {
			done.row, err = p.Get(tx, id)
		}
		return done, err
	}, nil
}

// row is a new row.
func (p *plan[T]) row(tx *Tx, id ulid.ULID, apply func(*T)) *T {
	s := &p.Schema
	row := s.Row()
	*s.ID(row) = id
	for i := range s.Attributes {
		a := &s.Attributes[i]
		if a.AttributeDescription.Created {
			if now, err := a.parse(tx, tx.Now); err == nil { // Verify has seen that it is a time
				a.assign(row, now)
			}
		}
	}
	apply(row)
	return row
}

func (p *plan[T]) create(tx *Tx, id ulid.ULID, body Body, apply func(*T)) (outcome[T], error) {
	if err := tx.exist(p.about.References, body.Relationships); err != nil {
		return outcome[T]{}, err
	}
	row := p.row(tx, id, apply)
	if err := p.check(tx, nil, row); err != nil {
		return outcome[T]{}, err
	}
	if err := p.Create(tx, row); err != nil {
		return outcome[T]{}, err
	}
	changes, err := p.link(tx, row, body.Relationships, p.Schema.Changes(nil, row))
	if err == nil {
		err = p.then(tx, nil, row)
	}
	return outcome[T]{row: row, changes: changes, effect: true}, err
}

func (p *plan[T]) remove(tx *Tx, id ulid.ULID) (outcome[T], error) {
	before, err := p.hold(tx, id)
	if err == nil {
		err = p.check(tx, before, nil)
	}
	if err != nil {
		return outcome[T]{}, err
	}
	changes, err := p.unlink(tx, before, p.Schema.Changes(before, nil))
	if err == nil {
		err = p.Delete(tx, id)
	}
	if err == nil {
		err = p.then(tx, before, nil)
	}
	return outcome[T]{changes: changes, effect: true}, err
}

// link replaces the to-many linkage that the body of a creation or an update gives, whose targets are there, and adds
// that to the changes.
func (p *plan[T]) link(tx *Tx, row *T, relationships map[string][]Identifier, changes json.RawMessage) (json.RawMessage, error) {
	for _, name := range sorted(relationships) {
		reference := p.Schema.Reference(name)
		if !reference.Many {
			continue
		}
		added, removed, err := p.Linkages[name].Replace(tx, *p.Schema.ID(row), ids(relationships[name])...)
		if err == nil {
			err = p.followed(tx, row, name, added, removed)
		}
		if err != nil {
			return nil, err
		}
		changes = linked(changes, &reference.ReferenceDescription, added, removed)
	}
	return changes, nil
}

// relate changes one relationship: the linkage of a to-many, or the row of a to-one. The targets are there.
func (p *plan[T]) relate(tx *Tx, verb string, id ulid.ULID, reference *Reference[T], targets []Identifier,
	follow func(tx *Tx, row *T, added, removed []ulid.ULID) error) (outcome[T], error) {
	if !reference.Many {
		return p.change(tx, p.Update, id, func(row *T) error {
			reference.SetTarget(row, first(targets))
			return nil
		})
	}
	row, err := p.hold(tx, id)
	if err != nil {
		return outcome[T]{}, err
	}
	var added, removed []ulid.ULID
	switch linkage, to := p.Linkages[reference.Name], ids(targets); verb {
	case Link:
		added, err = linkage.Add(tx, id, to...)
	case Unlink:
		removed, err = linkage.Remove(tx, id, to...)
	case Relink:
		added, removed, err = linkage.Replace(tx, id, to...)
	}
	if err == nil && len(added)+len(removed) > 0 {
		if row, err = p.revise(tx, id, row); err == nil && follow != nil {
			err = follow(tx, row, added, removed)
		}
	}
	return outcome[T]{changes: linked(nil, &reference.ReferenceDescription, added, removed)}, err
}

// revise notes in a row that its to-many relationships have changed, if it counts that, and returns it.
func (p *plan[T]) revise(tx *Tx, id ulid.ULID, row *T) (*T, error) {
	i := slices.IndexFunc(p.Schema.Attributes, func(a Attribute[T]) bool { return a.revision != nil })
	if i < 0 || p.Update == nil {
		return row, nil
	}
	return p.Update(tx, id, func(row *T) error {
		*p.Schema.Attributes[i].revision(row)++
		return nil
	})
}

func ids(targets []Identifier) []ulid.ULID {
	ids := make([]ulid.ULID, len(targets))
	for i, target := range targets {
		ids[i] = target.ID
	}
	return ids
}

func first(targets []Identifier) Identifier {
	if len(targets) == 0 {
		return Identifier{}
	}
	return targets[0]
}
