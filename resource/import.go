package resource

import (
	"context"
	"fmt"
	"slices"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
)

// Imported is what became of one resource of an import: the id of the new resource, or why there is none.
type Imported struct {
	ID  ulid.ULID
	Err error // an [Error] or [Errors]
}

// Import creates resources of one type, each with its event, in one transaction. Those that break a rule, or have
// a value that another one has, are left out. The operation says who asks, and the type; its body is not asked.
//
// The error is about the whole: the caller may not, or the database is gone. What is returned with it has been done.
func (e *Engine) Import(ctx context.Context, op Operation, bodies []Body) ([]Imported, error) {
	op.Verb = Create
	tx := e.newTx(ctx)
	tx.Principal, tx.Request = op.Principal, op.Request
	t := tx.types[op.Type]
	if t == nil {
		return nil, noType(op.Type)
	}
	defer tx.leave()
	if err := tx.enter(t); err != nil {
		return nil, err
	}
	reach, err := tx.authorize(op)
	if err != nil {
		return nil, err
	}
	if err := serves(op, t.description()); err != nil {
		return nil, err
	}
	if !t.description().Imports() {
		return nil, Errorf(UnsupportedMediaType, "%s are created one by one: what is shown once would be lost", t.description().Plural)
	}
	if len(bodies) == 0 {
		return nil, nil
	}
	run := t.importing(ctx, bodies)
	var done []Imported
	tx.reached = reach
	err = tx.transact(ctx, func() (err error) {
		done, err = run(tx)
		return err
	})
	if err == nil || !faulty(err) {
		return done, err
	}
	return e.importEach(ctx, op, bodies)
}

// importEach creates resources one by one: somebody else has meanwhile taken a value of one of them, or removed what
// it refers to, and which one that is nobody says.
func (e *Engine) importEach(ctx context.Context, op Operation, bodies []Body) ([]Imported, error) {
	var done []Imported
	for _, body := range bodies {
		op.Body = body
		results, err := e.Do(ctx, op)
		switch {
		case err == nil:
			done = append(done, Imported{ID: results[0].ID})
		case faulty(err):
			done = append(done, Imported{Err: err})
		default:
			return done, err
		}
	}
	return done, nil
}

// faulty reports whether an error is the fault of what was given.
func faulty(err error) bool { return AllErrors(err).Status() < 500 }

// importing reads the bodies before the transaction begins; what it returns runs in it.
func (p *plan[T]) importing(ctx context.Context, bodies []Body) func(tx *Tx) ([]Imported, error) {
	applies, refused := make([]func(*T), len(bodies)), make([]error, len(bodies))
	for i, body := range bodies {
		applies[i], refused[i] = p.Schema.accept(ctx, body, creation)
	}
	relationships := make([]map[string][]Identifier, len(bodies))
	for i, body := range bodies {
		relationships[i] = body.Relationships
	}
	return func(tx *Tx) ([]Imported, error) {
		there, err := tx.there(p.about.References, relationships...)
		if err != nil {
			return nil, err
		}
		done := make([]Imported, len(bodies))
		rows := make([]*T, len(bodies)) // nil for those that are left out
		for i := range bodies {
			err := refused[i]
			if err == nil {
				err = missing(p.about.References, relationships[i], there)
			}
			if err == nil {
				rows[i] = p.row(tx, tx.NewID(), applies[i])
				err = p.check(tx, nil, rows[i])
			}
			if err != nil && !faulty(err) {
				return nil, err
			}
			if err != nil {
				done[i].Err, rows[i] = err, nil
			}
		}
		if err := p.distinct(tx, rows, done); err != nil {
			return nil, err
		}
		created := slices.DeleteFunc(slices.Clone(rows), func(row *T) bool { return row == nil })
		if len(created) == 0 {
			return done, nil
		}
		if err := p.Create(tx, created...); err != nil {
			return nil, err
		}
		for i, row := range rows {
			if row == nil {
				continue
			}
			done[i].ID = *p.Schema.ID(row)
			event := NewEvent(tx, tx.Now, tx.Principal, Create, Identifier{p.about.Name, done[i].ID})
			event.Request = tx.Request
			tx.events, tx.cause = append(tx.events, event), Identifier{"event", event.ID}
			event.Changes, err = p.link(tx, row, bodies[i].Relationships, p.Schema.Changes(nil, row))
			if err == nil {
				err = p.then(tx, nil, row)
			}
			if err != nil {
				return nil, err
			}
		}
		return done, nil
	}
}

// maxAlternatives is how many values are looked for at once: SQLite takes no expression that is a thousand deep.
const maxAlternatives = 200

// distinct leaves out the rows that have a value which only one may have, and another has: one that is there
// already, or one that stands before it.
func (p *plan[T]) distinct(tx *Tx, rows []*T, done []Imported) error {
	for _, members := range p.Schema.uniques() {
		holders := map[string]bool{}
		var asked []Condition
		for _, row := range rows {
			if row != nil && p.Schema.values(row, members) != "" {
				asked = append(asked, p.Schema.equal(row, members))
			}
		}
		for some := range slices.Chunk(asked, maxAlternatives/len(members)) {
			if p.List == nil {
				break // the store will say so
			}
			page, err := p.List(tx, Query{
				Where: Any(some), Window: pagination.First(len(some)), Count: pagination.CountNone, Fields: members, Now: tx.Now,
			})
			if err != nil {
				return err
			}
			for i := range page.Rows {
				holders[p.Schema.values(&page.Rows[i], members)] = true
			}
		}
		object := "attributes"
		if p.Schema.Reference(members[0]) != nil {
			object = "relationships"
		}
		for i, row := range rows {
			if row == nil {
				continue
			}
			values := p.Schema.values(row, members)
			if values != "" && holders[values] {
				done[i].Err = Errorf(Taken, "another %s has this %s", p.about.Name, members[0]).At(object, members[0])
				rows[i] = nil
			}
			holders[values] = true
		}
	}
	return nil
}

// uniques are the lists of members that no two rows share.
func (s *Schema[T]) uniques() [][]string {
	all := slices.Clone(s.Unique)
	for i := range s.Attributes {
		if a := &s.Attributes[i]; a.AttributeDescription.Unique && a.Stored {
			all = append(all, []string{a.Name})
		}
	}
	return all
}

// values are the values of some members of a row as one text, empty if one of them is null, or a text that is yet to be
// made up: then they are no others'.
func (s *Schema[T]) values(row *T, members []string) string {
	var text []byte
	for _, name := range members {
		plain := s.plain(row, name)
		if plain == nil || plain == "" {
			return ""
		}
		text = fmt.Appendf(text, "%T %q,", plain, fmt.Sprint(plain))
	}
	return string(text)
}

// equal is the condition that some members have the values of a row.
func (s *Schema[T]) equal(row *T, members []string) Condition {
	var all All
	for _, name := range members {
		all = append(all, Equal(name, s.plain(row, name)))
	}
	return all
}
