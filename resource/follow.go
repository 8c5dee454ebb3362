package resource

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/oklog/ulid/v2"
)

// Following is what follows from the changes of a to-many relationship, see [Follow].
type Following[T any] struct {
	reference string
	arguments []AttributeDescription
	prepare   func(ctx context.Context, meta map[string]any) (func(tx *Tx, row *T, added, removed []ulid.ULID) error, error)
}

// Follow declares what follows from each change of a to-many relationship, in its transaction: however it is written,
// and with the deletion of the row too, whose links end first. A write on the relationship itself may give arguments, in
// the member meta of its document; they have their defaults else.
func Follow[T, In any](reference string, args []Attribute[In], follow func(tx *Tx, row *T, added, removed []ulid.ULID, in *In) error) Following[T] {
	arguments := Schema[In]{Attributes: args}
	f := Following[T]{reference: reference}
	for _, arg := range args {
		f.arguments = append(f.arguments, arg.AttributeDescription)
	}
	f.prepare = func(ctx context.Context, meta map[string]any) (func(*Tx, *T, []ulid.ULID, []ulid.ULID) error, error) {
		given := map[string]any{} // meta may have members that mean nothing here (JSON:API 1.1, "Meta Information")
		for _, arg := range args {
			if v, has := meta[arg.Name]; has {
				given[arg.Name] = v
			}
		}
		apply, err := arguments.accept(ctx, Body{Attributes: given}, creation)
		if err != nil {
			return nil, within(err, "meta")
		}
		return func(tx *Tx, row *T, added, removed []ulid.ULID) error {
			in := new(In)
			apply(in)
			return follow(tx, row, added, removed, in)
		}, nil
	}
	return f
}

// within moves errors about attributes to the member of a document that has them instead.
func within(err error, member string) error {
	var moved Errors
	for _, e := range AllErrors(err) {
		at := *e
		at.Pointer = Pointer(member) + e.Pointer[min(len(e.Pointer), len("/attributes")):]
		moved = append(moved, &at)
	}
	return moved
}

// following is what follows from changes of a relationship, given the meta of the write; nil if nothing does.
func (t *Type[T]) following(ctx context.Context, reference string, meta map[string]any) (func(tx *Tx, row *T, added, removed []ulid.ULID) error, error) {
	i := slices.IndexFunc(t.Follows, func(f Following[T]) bool { return f.reference == reference })
	if i < 0 {
		return nil, nil
	}
	return t.Follows[i].prepare(ctx, meta)
}

// followed does what follows from a change of a relationship that is part of a write on the whole row.
func (t *Type[T]) followed(tx *Tx, row *T, reference string, added, removed []ulid.ULID) error {
	follow, err := t.following(tx, reference, nil)
	if err != nil || follow == nil || len(added)+len(removed) == 0 {
		return err
	}
	return follow(tx, row, added, removed)
}

// unlink ends the links of a row that something follows from, before the row goes, and adds that to the changes.
func (p *plan[T]) unlink(tx *Tx, row *T, changes json.RawMessage) (json.RawMessage, error) {
	for _, f := range p.Follows {
		_, removed, err := p.Linkages[f.reference].Replace(tx, *p.Schema.ID(row))
		if err != nil {
			return nil, err
		}
		changes = linked(changes, &p.Schema.Reference(f.reference).ReferenceDescription, nil, removed)
		if err := p.followed(tx, row, f.reference, nil, removed); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

// then does what follows from a write on a whole row.
func (t *Type[T]) then(tx *Tx, before, after *T) error {
	if t.Then == nil {
		return nil
	}
	return t.Then(tx, before, after)
}
