package resource

import (
	"slices"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
)

// planRead plans list, get, linked and related. All problems of the question are reported at once.
func (tx *Tx) planRead(op Operation, t served, reach reach) (func(tx *Tx) (Result, error), error) {
	reference := t.description().Reference(op.Relationship) // nil for list and get
	answered := t                                           // the type of the resources in the answer; nil if it may be any
	if op.Verb == Related {
		answered = tx.types[reference.Type]
		if answered == nil && reference.Many {
			return nil, Errorf(NotFound, "there is no type %q", reference.Type) // its module is not loaded
		}
	}
	r := reading{op: op, reach: reach, reference: reference, query: Query{Window: op.Window, Count: op.Count, Order: op.Order, Now: tx.Now}}
	if r.query.Window.Size == 0 {
		r.query.Window.Size = pagination.DefaultSize
	}
	var problems Errors
	find := func(err error) {
		if err != nil {
			problems = append(problems, AllErrors(err)...)
		}
	}
	var err error
	if answered != nil {
		r.query.Where, err = answered.description().Where(op.Filters)
		find(err)
		r.paths, err = tx.planIncludes(answered.description(), op.Include)
		find(err)
	} else if op.Include != nil {
		find(Errorf(UnknownParameter, "what may be of any type includes nothing").About("include"))
	}
	find(tx.checkFields(op.Fields))
	return func(tx *Tx) (Result, error) {
		result, err := r.run(tx, t, answered)
		if err == nil && r.paths != nil {
			err = tx.include(&result, r.paths, op)
		}
		return result, err
	}, problems.orNil()
}

// reading is a read that was understood.
type reading struct {
	op        Operation
	reach     reach
	reference *ReferenceDescription
	query     Query
	paths     paths
}

func (r *reading) run(tx *Tx, t, answered served) (Result, error) {
	if r.op.Verb == List {
		return r.list(tx, t, r.reach.do)
	}
	id, err := tx.find(r.op, t, r.reach.do)
	if err != nil {
		return Result{}, err
	}
	switch {
	case r.op.Verb == Get:
		return t.get(tx, tx.View(), id, r.reach.do, r.op.Fields[t.description().Name])
	case r.op.Verb == Linked && r.reference.Via == "" && r.reach.related == nil:
		return t.linked(tx, id, r.reach.do, r.op.Relationship, r.query)
	}
	from, err := t.get(tx, tx.View(), id, r.reach.do, nil)
	if err != nil {
		return Result{}, err
	}
	switch {
	case !r.reference.Many:
		return r.target(tx, from)
	case r.op.Verb == Related:
		result, err := r.list(tx, answered, every(r.reference.of(t.description(), id), r.reach.related))
		result.ID = id
		return result, err
	}
	query := r.query
	query.Where, query.Fields = every(r.reference.of(t.description(), id), r.reach.related), []string{}
	found, _, err := tx.types[r.reference.Type].list(tx, tx.View(), query, nil)
	if err != nil {
		return Result{}, err
	}
	result := Result{Type: from.Type, ID: id, Relationship: r.reference, Page: found.Page}
	for i := range found.Resources.Len() {
		result.Linked = append(result.Linked, found.Resources.ID(i))
	}
	return result, nil
}

// list lists the resources of a type that meet a condition besides the filters.
func (r *reading) list(tx *Tx, t served, where Condition) (Result, error) {
	query, fields := r.query, r.op.Fields[t.description().Name]
	query.Where = every(where, query.Where)
	query.Fields = r.paths.read(t.description(), fields)
	result, _, err := t.list(tx, tx.View(), query, fields)
	return result, err
}

// target is the resource that a to-one reference of another names; no resources, if it names none, or one that is gone
// or that the caller may not read.
func (r *reading) target(tx *Tx, from Result) (Result, error) {
	i := slices.IndexFunc(from.Type.References, func(d ReferenceDescription) bool { return d.Name == r.reference.Name })
	target := from.Resources.Target(0, i)
	none := Result{Type: from.Type, ID: from.ID, Relationship: r.reference}
	t := tx.types[target.Type]
	if t == nil {
		return none, nil
	}
	where := r.reach.related
	if r.reference.Type == "" { // its type was not known before
		var err error
		where, err = tx.reach(tx.Principal, t.description(), Get)
		switch {
		case Is(err, Forbidden):
			return none, nil
		case err != nil:
			return Result{}, err
		}
	}
	result, err := t.get(tx, tx.View(), target.ID, where, r.op.Fields[target.Type])
	if Is(err, NotFound) {
		return none, nil
	}
	result.ID = from.ID
	return result, err
}

// relation is the name by which the resources that a to-many relationship names know it, see [Relation].
func (r *ReferenceDescription) relation(about *Description) string {
	if r.Via != "" {
		return r.Via
	}
	return about.Name + "." + r.Name
}

// of is the condition on a resource that it is one of those which the to-many relationship of a resource names.
func (r *ReferenceDescription) of(about *Description, id ulid.ULID) Condition {
	if r.Via != "" && !r.viaMany {
		return Equal(r.Via, id)
	}
	return Exists{r.relation(about), Equal("id", id)}
}

// checkFields checks sparse fieldsets: each is of a type that is served, and names what answers show of it.
func (tx *Tx) checkFields(fields map[string][]string) error {
	var problems Errors
	for _, name := range sorted(fields) {
		parameter := "fields[" + name + "]"
		t := tx.types[name]
		if t == nil {
			problems = append(problems, Errorf(UnknownParameter, "there is no type %q", name).About(parameter))
			continue
		}
		about := t.description()
		for _, field := range fields[name] {
			shown := slices.ContainsFunc(about.Attributes, func(a AttributeDescription) bool { return a.Name == field && a.Visible() })
			if !shown && about.Reference(field) == nil {
				problems = append(problems, Errorf(InvalidParameter, "%s have no attribute or relationship %q", about.Plural, field).About(parameter))
			}
		}
	}
	return problems.orNil()
}
