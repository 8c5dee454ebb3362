package resource

import (
	"maps"

	"github.com/oklog/ulid/v2"
)

// planPut reads the body of a Put as that of a creation and as that of a change, and of the action that sets what no
// change does. Which of them counts, and what is wrong with it, only the transaction can tell.
func (tx *Tx) planPut(op Operation, t served, reach reach) (func(tx *Tx) (Result, error), error) {
	about, key := t.description(), *op.Key
	if given, ok := op.Body.Attributes[key.Attribute]; ok && given != key.Value {
		return nil, Errorf(TypeMismatch, "the path is that of another %s", key.Attribute).At("attributes", key.Attribute)
	}
	create, set, update := op, op, op
	create.Verb, create.Key = Create, nil
	create.Body.Attributes = maps.Clone(op.Body.Attributes)
	if create.Body.Attributes == nil {
		create.Body.Attributes = map[string]any{}
	}
	create.Body.Attributes[key.Attribute] = key.Value
	update.Verb = Update
	set.Body, update.Body.Attributes = Body{Attributes: map[string]any{}}, maps.Clone(op.Body.Attributes)
	delete(update.Body.Attributes, key.Attribute)
	if action := about.putting(); action != nil {
		set.Verb = action.Name
		for name, value := range op.Body.Attributes {
			if action.takes(name) {
				set.Body.Attributes[name] = value
				delete(update.Body.Attributes, name)
			}
		}
	}

	tx.Principal = op.Principal
	creating, notCreated := t.prepare(tx, create)
	updating, notUpdated := t.prepare(tx, update)
	var setting writer
	if len(set.Body.Attributes) > 0 && reach.unset == nil {
		var notSet error
		setting, notSet = t.prepare(tx, set)
		notUpdated = joined(notUpdated, notSet)
	}
	return func(tx *Tx) (Result, error) {
		if err := tx.Lock(about.Name + " " + key.Attribute + " " + key.Value); err != nil {
			return Result{}, err
		}
		_, err := tx.find(op, t, nil)
		switch {
		case err == nil && len(set.Body.Attributes) > 0 && reach.unset != nil:
			return Result{}, reach.unset
		case err == nil && notUpdated != nil:
			return Result{}, notUpdated
		case err == nil && setting != nil:
			sets := reach
			sets.do = reach.set
			if _, err := tx.write(set, t, sets, setting); err != nil {
				return Result{}, err
			}
			update.IfMatch = nil // it was the version before
			return tx.write(update, t, reach, updating)
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
