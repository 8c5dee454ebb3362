package resource

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"
)

// Type is what can be done with an entity. A nil verb is not served.
type Type[T any] struct {
	Schema Schema[T]
	List   func(ctx context.Context, q Query) (Page[T], error)
	Get    func(ctx context.Context, id ulid.ULID) (*T, error)
	Create func(ctx context.Context, rows ...*T) error
	Update UpdateFunc[T]
	Delete func(ctx context.Context, id ulid.ULID) error

	Actions  []Action[T]
	Linkages map[string]Linkage // of each to-many reference
	Lookups  []string           // unique attributes that are a path: username is users/by-username/{value}

	Checks []Check[T]

	Singleton bool // one resource, served at the path of the type itself; its id is NamedID(name, "")
	Open      bool // every caller who is known may get it
}

// Declaration is a [Type] of any T.
type Declaration interface {
	declare() (served, error)
	name() string
}

// Names are the names of declared types.
func Names(declarations []Declaration) []string {
	names := make([]string, len(declarations))
	for i, declaration := range declarations {
		names[i] = declaration.name()
	}
	return names
}

// served is a type without its Go type, as the engine works with it.
type served interface {
	description() *Description
	list(ctx context.Context, view View, q Query) (Result, error)
	get(ctx context.Context, view View, id ulid.ULID) (Result, error)
	linked(ctx context.Context, id ulid.ULID, relationship string, q Query) (Result, error)
	// prepare reads the body before the transaction begins; what it returns runs in it.
	prepare(op Operation) (func(tx *Tx, id ulid.ULID) (Result, []string, bool, error), error)
}

// plan is a declared type, compiled.
type plan[T any] struct {
	Type[T]
	about    Description
	prefixes [][]byte // of each attribute that answers show: its name as JSON with colon; else nil
}

func (t Type[T]) name() string { return t.Schema.Name }

func (t Type[T]) declare() (served, error) {
	s := &t.Schema
	if err := s.Verify(); err != nil {
		return nil, err
	}
	p := &plan[T]{Type: t, about: t.describe()}
	for i := range s.Attributes {
		a := &s.Attributes[i]
		if a.state != nil {
			a.append = func(dst []byte, row *T, view *View) []byte {
				if s.Match(a.state, row, Env{Now: view.Now}) {
					return append(dst, "true"...)
				}
				return append(dst, "false"...)
			}
		}
		var prefix []byte
		if a.Visible() {
			prefix = append(AppendString(nil, a.Name), ':')
		}
		p.prefixes = append(p.prefixes, prefix)
	}
	return p, t.verify()
}

// verify checks what the type adds to its schema.
func (t *Type[T]) verify() error {
	var found []string
	for _, a := range t.Actions {
		if !typeName.MatchString(a.Name) {
			found = append(found, fmt.Sprintf("the name of action %q must be lower case with hyphens", a.Name))
		}
	}
	for _, name := range t.Lookups {
		if a := t.Schema.Attribute(name); a == nil || !a.AttributeDescription.Unique || t.List == nil {
			found = append(found, fmt.Sprintf("lookup by %q needs a unique attribute and List", name))
		}
	}
	for _, r := range t.Schema.References {
		if r.Many != (t.Linkages[r.Name] != nil) {
			found = append(found, fmt.Sprintf("to-many reference %q needs a linkage, and no other has one", r.Name))
		}
	}
	onOne := slices.ContainsFunc(t.Actions, func(a Action[T]) bool { return !a.Collection })
	if t.Get == nil && (t.Update != nil || t.Delete != nil || t.Singleton || onOne) {
		found = append(found, "it needs Get")
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("resource: type %q: %s", t.Schema.Name, strings.Join(found, "; "))
}

func (p *plan[T]) description() *Description { return &p.about }

func (p *plan[T]) list(ctx context.Context, view View, q Query) (Result, error) {
	page, err := p.List(ctx, q)
	if err != nil {
		return Result{}, err
	}
	return Result{
		Type: &p.about, Resources: &rows[T]{plan: p, rows: page.Rows, view: view},
		Page: pageInfo(&q, &page),
	}, nil
}

func (p *plan[T]) get(ctx context.Context, view View, id ulid.ULID) (Result, error) {
	row, err := p.Get(ctx, id)
	if err != nil {
		return Result{}, err
	}
	return p.one(row, view, false), nil
}

func (p *plan[T]) linked(ctx context.Context, id ulid.ULID, relationship string, q Query) (Result, error) {
	if _, err := p.Get(ctx, id); err != nil {
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

func pageInfo[T any](q *Query, page *Page[T]) *PageInfo {
	return &PageInfo{
		Window: q.Window, Prev: page.Prev, Next: page.Next,
		Count: q.Count, Total: page.Total, Omitted: page.Omitted,
	}
}

func (p *plan[T]) one(row *T, view View, created bool) Result {
	return Result{
		Type: &p.about, ID: *p.Schema.ID(row), Tag: p.Schema.Tag(row), Created: created, row: row,
		Resources: &rows[T]{plan: p, rows: []T{*row}, view: view, created: created},
	}
}

func (p *plan[T]) prepare(op Operation) (func(*Tx, ulid.ULID) (Result, []string, bool, error), error) {
	run, err := p.plan(op)
	if err != nil {
		return nil, err
	}
	return func(tx *Tx, id ulid.ULID) (Result, []string, bool, error) {
		done, err := run(tx, id)
		if err != nil {
			return Result{}, nil, false, err
		}
		result := Result{Type: &p.about, ID: id, Meta: done.meta}
		if done.row != nil {
			result = p.one(done.row, tx.View(), op.Verb == Create)
			result.Meta = done.meta
		}
		return result, done.changed, done.effect || len(done.changed) > 0, nil
	}, nil
}

// plan turns a write into what runs in the transaction.
func (p *plan[T]) plan(op Operation) (func(*Tx, ulid.ULID) (outcome[T], error), error) {
	switch op.Verb {
	case Create:
		apply, err := p.Schema.accept(op.Body, creation)
		if err != nil {
			return nil, err
		}
		return func(tx *Tx, id ulid.ULID) (outcome[T], error) { return p.create(tx, id, op.Body, apply) }, nil
	case Update:
		apply, err := p.Schema.accept(op.Body, change)
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
			linked, err := p.link(tx, id, op.Body.Relationships)
			done.changed = append(done.changed, linked...)
			return done, err
		}, nil
	case Delete:
		return p.remove, nil
	case Link, Unlink, Relink:
		reference := p.Schema.Reference(op.Relationship)
		targets := op.Body.Relationships[op.Relationship]
		if err := reference.accept(targets); err != nil {
			return nil, err
		}
		return func(tx *Tx, id ulid.ULID) (outcome[T], error) {
			return p.relate(tx, op.Verb, id, reference, targets)
		}, nil
	}
	i := slices.IndexFunc(p.Actions, func(a Action[T]) bool { return a.Name == op.Verb })
	action := p.Actions[i]
	run, err := action.prepare(op.Body)
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

func (p *plan[T]) create(tx *Tx, id ulid.ULID, body Body, apply func(*T)) (outcome[T], error) {
	s, row := &p.Schema, new(T)
	*s.ID(row) = id
	var changed []string
	for i := range s.Attributes {
		a := &s.Attributes[i]
		if a.AttributeDescription.Created {
			if now, err := a.parse(tx.Now); err == nil { // Verify has seen that it is a time
				a.assign(row, now)
			}
		}
	}
	apply(row)
	for name := range body.Attributes {
		changed = append(changed, name)
	}
	for name := range body.Relationships {
		changed = append(changed, name)
	}
	slices.Sort(changed)
	if err := tx.exist(p.about.References, body.Relationships); err != nil {
		return outcome[T]{}, err
	}
	if err := p.check(tx, nil, row); err != nil {
		return outcome[T]{}, err
	}
	if err := p.Create(tx, row); err != nil {
		return outcome[T]{}, err
	}
	_, err := p.link(tx, id, body.Relationships)
	return outcome[T]{row: row, changed: changed, effect: true}, err
}

func (p *plan[T]) remove(tx *Tx, id ulid.ULID) (outcome[T], error) {
	if p.Checks != nil || tx.ifMatch != nil {
		before, err := p.hold(tx, id)
		if err == nil {
			err = p.check(tx, before, nil)
		}
		if err != nil {
			return outcome[T]{}, err
		}
	}
	return outcome[T]{effect: true}, p.Delete(tx, id)
}

// link replaces the to-many linkage that the body of a creation or an update gives.
func (p *plan[T]) link(tx *Tx, id ulid.ULID, relationships map[string][]Identifier) (changed []string, err error) {
	for name, targets := range relationships {
		reference := p.Schema.Reference(name)
		if !reference.Many {
			continue
		}
		done, err := p.relate(tx, Relink, id, reference, targets)
		if err != nil {
			return nil, err
		}
		changed = append(changed, done.changed...)
	}
	return changed, nil
}

// relate changes one relationship: the linkage of a to-many, or the row of a to-one.
func (p *plan[T]) relate(tx *Tx, verb string, id ulid.ULID, reference *Reference[T], targets []Identifier) (outcome[T], error) {
	relationships := map[string][]Identifier{reference.Name: targets}
	if verb != Unlink {
		if err := tx.exist(p.about.References, relationships); err != nil {
			return outcome[T]{}, err
		}
	}
	if !reference.Many {
		return p.change(tx, p.Update, id, func(row *T) error {
			reference.SetTarget(row, first(targets))
			return nil
		})
	}
	if _, err := p.hold(tx, id); err != nil {
		return outcome[T]{}, err
	}
	linkage := p.Linkages[reference.Name]
	write := map[string]func(context.Context, ulid.ULID, ...ulid.ULID) (int, error){
		Link: linkage.Add, Unlink: linkage.Remove, Relink: linkage.Replace,
	}[verb]
	to := make([]ulid.ULID, len(targets))
	for i, target := range targets {
		to[i] = target.ID
	}
	n, err := write(tx, id, to...)
	if err != nil || n == 0 {
		return outcome[T]{}, err
	}
	return outcome[T]{changed: []string{reference.Name}}, nil
}

func first(targets []Identifier) Identifier {
	if len(targets) == 0 {
		return Identifier{}
	}
	return targets[0]
}

// change runs an update, asks the checks, and tells what changed.
func (t *Type[T]) change(tx *Tx, update UpdateFunc[T], id ulid.ULID, apply func(*T) error) (outcome[T], error) {
	var changed []string
	row, err := update(tx, id, func(row *T) error {
		if err := t.match(tx, row); err != nil {
			return err
		}
		before := *row
		if err := apply(row); err != nil {
			return err
		}
		changed = t.Schema.Differences(&before, row)
		if len(changed) == 0 {
			return nil
		}
		return t.check(tx, &before, row)
	})
	return outcome[T]{row: row, changed: changed}, err
}

// hold reads a row that a write is about elsewhere, and keeps others from changing it where that can be done.
func (t *Type[T]) hold(tx *Tx, id ulid.ULID) (*T, error) {
	if t.Update != nil {
		return t.Update(tx, id, func(row *T) error { return t.match(tx, row) })
	}
	row, err := t.Get(tx, id)
	if err == nil {
		err = t.match(tx, row)
	}
	return row, err
}

// check asks every check.
func (t *Type[T]) check(tx *Tx, before, after *T) error {
	for _, check := range t.Checks {
		if err := check(tx, before, after); err != nil {
			return err
		}
	}
	return nil
}

// Differences are the names of the stored attributes and references that differ between two rows.
func (s *Schema[T]) Differences(a, b *T) []string {
	var names []string
	for i := range s.Attributes {
		if attribute := &s.Attributes[i]; attribute.Stored && !same(attribute.Value(a), attribute.Value(b)) {
			names = append(names, attribute.Name)
		}
	}
	for i := range s.References {
		if r := &s.References[i]; !r.Many && r.Target(a) != r.Target(b) {
			names = append(names, r.Name)
		}
	}
	return names
}

// rows are rows of T with the view from which they are shown.
type rows[T any] struct {
	plan    *plan[T]
	rows    []T
	view    View
	created bool
}

func (r *rows[T]) Len() int           { return len(r.rows) }
func (r *rows[T]) ID(i int) ulid.ULID { return *r.plan.Schema.ID(&r.rows[i]) }

func (r *rows[T]) Target(i, reference int) Identifier {
	return r.plan.Schema.References[reference].Target(&r.rows[i])
}

func (r *rows[T]) AppendAttributes(dst []byte, i int) []byte {
	row, begin := &r.rows[i], len(dst)
	for n, prefix := range r.plan.prefixes {
		a := &r.plan.Schema.Attributes[n]
		if prefix == nil || a.AttributeDescription.Once && (!r.created || a.null(row)) {
			continue
		}
		if len(dst) > begin {
			dst = append(dst, ',')
		}
		dst = a.appendTo(append(dst, prefix...), row, &r.view)
	}
	return dst
}
