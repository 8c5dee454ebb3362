package resource

import (
	"strings"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
)

// reach is how far the caller of an operation may go. Each is a condition on resources; nil is all of them.
type reach struct {
	do      Condition // what of the type it may be done to
	see     Condition // what of the type its caller may read; known if do is not nil
	related Condition // of a read of what a relationship names: what of those the caller may read
	create  Condition // of Put: what of the type its caller may create
	set     Condition // of Put: what of the type its caller may do the action to that sets what no update does ...
	unset   error     // ... or why they may not; see [Action.Putting]
}

// known is what of the type the caller can know to be there: what they may read, or do this to.
func (r reach) known() Condition {
	if r.do == nil || r.see == nil {
		return nil
	}
	return Any{r.do, r.see}
}

// authorize decides who may do an operation, and to what. No type knows of it.
func (tx *Tx) authorize(op Operation) (r reach, err error) {
	t := tx.types[op.Type]
	if t == nil {
		return r, nil // it will not be found
	}
	about, verb := t.description(), op.Verb
	switch verb {
	case Linked, Related:
		verb = Get
	case Link, Unlink, Relink:
		verb = Update
	case Put:
		verb = Update
		if r.create, err = tx.reach(op.Principal, about, Create); err != nil {
			return r, err
		}
		if action := about.putting(); action != nil {
			r.set, r.unset = tx.reach(op.Principal, about, action.Name)
		}
	}
	if r.do, err = tx.reach(op.Principal, about, verb); err != nil {
		return r, err
	}
	if action := about.Action(verb); r.do != nil && action != nil && action.Collection {
		return r, lacks(op.Principal, about, verb) // it is done to no resource that could be among them
	}
	if r.do != nil {
		if r.see, err = tx.reach(op.Principal, about, Get); Is(err, Forbidden) {
			r.see, err = Any{}, nil
		}
	}
	reference := about.Reference(op.Relationship)
	if reference == nil || tx.types[reference.Type] == nil {
		return r, err // it will not be found, or may be of any type
	}
	related := tx.types[reference.Type].description()
	switch {
	case reference.Many && (op.Verb == Related || op.Verb == Linked):
		r.related, err = tx.reach(op.Principal, related, List)
	case op.Verb == Related:
		r.related, err = tx.reach(op.Principal, related, Get)
	}
	return r, err
}

// Reach is to which resources of a type somebody may do something: nil to all, else to those that meet the condition.
// It is for whoever tells of resources past [Engine.Do]. The errors are NotFound, if the type is not registered, and
// those of an operation that nobody may do: Unauthenticated and Forbidden.
func (e *Engine) Reach(who *auth.Principal, typ, verb string) (Condition, error) {
	tx := &Tx{types: e.registry.snapshot()}
	t := tx.types[typ]
	if t == nil {
		return nil, Errorf(NotFound, "there is no type %q", typ)
	}
	return tx.reach(who, t.description(), verb)
}

// reach is to which resources of a type somebody may do something: nil to all, else to those that meet the condition.
// It is Unauthenticated if nobody knows who asks, and Forbidden if it is none.
func (tx *Tx) reach(who *auth.Principal, about *Description, verb string) (Condition, error) {
	if who == nil {
		return nil, Errorf(Unauthenticated, "this needs an access token")
	}
	all, targets := who.Decide(about.Name, verb)
	if all || about.Open && verb == Get {
		return nil, nil
	}
	var some Any
	for _, target := range targets {
		some = append(some, tx.targeted(about, target)...)
	}
	switch len(some) {
	case 0:
		return nil, lacks(who, about, verb)
	case 1:
		return some[0], nil
	}
	return some, nil
}

func lacks(who *auth.Principal, about *Description, verb string) error {
	return Errorf(Forbidden, "%s lacks the permission %s:%s", who.Name, about.Name, verb)
}

// targeted are the conditions under each of which a resource is one that the target of a permission means, see
// [auth.Permission]; none if no resource of the type can be.
func (tx *Tx) targeted(about *Description, target string) (some []Condition) {
	path, text, isPath := strings.Cut(target, "/")
	if !isPath {
		if len(about.Lookups) == 0 {
			return nil
		}
		if beginning, open := strings.CutSuffix(target, auth.Any); open {
			return []Condition{Holds(about.Lookups[0], Prefix, beginning)}
		}
		return []Condition{Equal(about.Lookups[0], target)}
	}
	id, err := ParseID(text)
	if err != nil && text != auth.Any {
		return nil
	}
	any := text == auth.Any
	switch {
	case path != about.Path():
	case any:
		some = append(some, All{})
	default:
		some = append(some, Equal("id", id))
	}
	for i := range about.References {
		r := &about.References[i]
		t := tx.types[r.Type]
		switch {
		case r.Many || t == nil || t.description().Path() != path:
		case any:
			some = append(some, NotNull(r.Name))
		default:
			some = append(some, Equal(r.Name, id))
		}
	}
	return some
}

// NoMore refuses to hand out permissions that somebody does not have: Forbidden, at a member of the resource.
func NoMore(who *auth.Principal, permissions []auth.Permission, at ...string) error {
	if missing, found := auth.Missing(who.Permissions, permissions); found {
		return Errorf(Forbidden, "%s lacks the permission %s", who.Name, missing).At(at...)
	}
	return nil
}

// every is the condition that all of some conditions hold, of which those that are nil do.
func every(conditions ...Condition) Condition {
	var all All
	for _, c := range conditions {
		if c != nil {
			all = append(all, c)
		}
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return all
}

// reaches refuses a write on a resource that its caller may not do this to: as if it were not there, if they may not
// read it either.
func (t *Type[T]) reaches(tx *Tx, row *T) error {
	env := Env{Now: tx.Now}
	switch {
	case t.Schema.Match(tx.reached.do, row, env):
		return nil
	case t.Schema.Match(tx.reached.see, row, env):
		return Errorf(Forbidden, "%s may not do this to this %s", tx.Principal.Name, t.Schema.Name)
	}
	return notThere(t.Schema.Name, *t.Schema.ID(row))
}

func notThere(name string, id ulid.ULID) error {
	return Errorf(NotFound, "there is no %s %s", name, id)
}
