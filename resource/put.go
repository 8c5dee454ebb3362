package resource

import (
	"maps"

	"github.com/oklog/ulid/v2"
)

// planPut reads the body of a Put as that of a creation and as that of a change. Which of them counts, and what is wrong
// with it, only the transaction can tell.
func (tx *Tx) planPut(op Operation, t served, reach reach) (func(tx *Tx) (Result, error), error) {
	about, key := t.description(), *op.Key
	named, rest := maps.Clone(op.Body.Attributes), maps.Clone(op.Body.Attributes)
	if given, ok := named[key.Attribute]; ok && given != key.Value {
		return nil, Errorf(TypeMismatch, "the path is that of another %s", key.Attribute).At("attributes", key.Attribute)
	}
	if named == nil {
		named = map[string]any{}
	}
	named[key.Attribute] = key.Value
	delete(rest, key.Attribute)
	create, update := op, op
	create.Verb, create.Key, create.Body.Attributes = Create, nil, named
	update.Verb, update.Body.Attributes = Update, rest

	tx.Principal = op.Principal
	creating, notCreated := t.prepare(tx, create)
	updating, notUpdated := t.prepare(tx, update)
	return func(tx *Tx) (Result, error) {
		if err := tx.Lock(about.Name + " " + key.Attribute + " " + key.Value); err != nil {
			return Result{}, err
		}
		_, err := tx.find(op, t, nil)
		switch {
		case err == nil && notUpdated != nil:
			return Result{}, notUpdated
		case err == nil:
			return tx.write(update, t, reach, updating)
		case !Is(err, NotFound):
			return Result{}, err
		case op.IfMatch != nil:
			return Result{}, &Error{Code: PreconditionFailed, Detail: "there is no such resource yet", Header: "If-Match"}
		case op.ID != (ulid.ULID{}):
			return Result{}, Errorf(ClientID, "a new resource gets its id from the server").At("id")
		case notCreated != nil:
			return Result{}, notCreated
		}
		new := reach
		new.do = reach.create
		return tx.write(create, t, new, creating)
	}, nil
}
