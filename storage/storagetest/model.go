package storagetest

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"reeve/pagination"
	"reeve/resource"
)

// model: whatever is written in whatever order, the store and the oracle agree.
func (s *suite[T]) model(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := s.world(rt)
		conditions := slices.Concat(s.conditions([]*T{s.sample(0), s.sample(1)})...)
		someID := func(rt *rapid.T) ulid.ULID {
			ids := w.ids()
			i := rapid.IntRange(0, len(ids)).Draw(rt, "row")
			if i == len(ids) {
				return s.id(w.next()) // not there
			}
			return ids[i]
		}
		rt.Repeat(map[string]func(*rapid.T){
			"create": func(rt *rapid.T) {
				var rows []*T
				for range rapid.IntRange(1, 4).Draw(rt, "rows") {
					rows = append(rows, w.draw(rt))
				}
				w.create(rows...)
			},
			"update": func(rt *rapid.T) {
				change := w.change(rt)
				w.update(someID(rt), func(row *T) error { change(row); return nil })
			},
			"delete": func(rt *rapid.T) { w.delete(someID(rt)) },
			"get":    func(rt *rapid.T) { w.get(someID(rt)) },
			"list": func(rt *rapid.T) {
				q := resource.Query{
					Window: pagination.Window{Size: rapid.IntRange(1, 6).Draw(rt, "size"), Backward: rapid.Bool().Draw(rt, "backward")},
					Count:  pagination.Count(rapid.IntRange(0, 2).Draw(rt, "count")),
					Now:    rapid.SampledFrom(extremes[resource.Time]).Draw(rt, "now").(time.Time),
				}
				q.Order = rapid.SampledFrom(s.orders()).Draw(rt, "order")
				for _, bound := range []**pagination.Cursor{&q.Window.After, &q.Window.Before} {
					if rapid.Bool().Draw(rt, "bound") {
						place := w.draw(rt)
						if row, err := w.oracle.Get(w.ctx, someID(rt)); err == nil {
							place = row
						}
						*bound = s.schema.Place(q.Order, place)
					}
				}
				c := named{"everything", nil}
				if len(conditions) > 0 && rapid.Bool().Draw(rt, "where") {
					c = rapid.SampledFrom(conditions).Draw(rt, "condition")
				}
				q.Where = c.Condition
				w.list(c.name, q)
			},
		})
		w.all()
	})
}

// ids are the ids that are there, ascending.
func (w *world[T]) ids() (ids []ulid.ULID) {
	page, _ := w.oracle.List(w.ctx, resource.Query{Window: pagination.First(1 << 30)}) // it has no errors
	for i := range page.Rows {
		ids = append(ids, w.id(&page.Rows[i]))
	}
	return ids
}

// draw is a new row with an id anywhere among the others, and some extreme values.
func (w *world[T]) draw(rt *rapid.T) *T {
	row := w.next()
	id := ulid.ULID{0: rapid.SampledFrom([]byte{0, 1, 0x7f, 0x80, 0xff}).Draw(rt, "id"), 1: rapid.Byte().Draw(rt, "id")}
	id[14], id[15] = byte(w.made>>8), byte(w.made) // no other has it
	*w.schema.ID(row) = id
	w.change(rt)(row)
	return row
}

// change gives some attributes of a row extreme values.
func (w *world[T]) change(rt *rapid.T) func(row *T) {
	var steps []func(row *T)
	for i := range w.schema.Attributes {
		if a := &w.schema.Attributes[i]; a.Stored && rapid.IntRange(0, 5).Draw(rt, a.Name) == 5 {
			v := rapid.SampledFrom(w.values(a)).Draw(rt, "value")
			steps = append(steps, func(row *T) { set(a, row, v) })
		}
	}
	return func(row *T) {
		for _, step := range steps {
			step(row)
		}
	}
}

// walk: a walk in any order and either direction, while rows are written between its pages, sees each row that met
// its condition all the while exactly once, and none twice, but those that moved in the order.
func (s *suite[T]) walk(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := s.world(rt)
		var rows []*T
		for range rapid.IntRange(0, 12).Draw(rt, "rows") {
			if row := w.draw(rt); w.create(row) { // another one may have drawn the same unique value
				rows = append(rows, row)
			}
		}
		c := named{"everything", nil}
		if conditions := s.selective(w, rows); rapid.Bool().Draw(rt, "where") {
			c = rapid.SampledFrom(conditions).Draw(rt, "condition")
		}
		order := rapid.SampledFrom(s.orders()).Draw(rt, "order")
		met := func() map[ulid.ULID]*pagination.Cursor {
			all := map[ulid.ULID]*pagination.Cursor{}
			page, _ := w.oracle.List(w.ctx, resource.Query{Where: c.Condition, Window: pagination.First(1 << 30)}) // it has no errors
			for i := range page.Rows {
				all[s.id(&page.Rows[i])] = s.schema.Place(order, &page.Rows[i])
			}
			return all
		}
		known := met() // where each row was seen last
		throughout, seen, moved := maps.Clone(known), map[ulid.ULID]int{}, map[ulid.ULID]bool{}
		window := pagination.Window{Size: rapid.IntRange(1, 5).Draw(rt, "size"), Backward: rapid.Bool().Draw(rt, "backward")}
		for {
			page := w.list(c.name, resource.Query{Where: c.Condition, Order: order, Window: window})
			var first, last *pagination.Cursor
			for i := range page.Rows {
				last = s.schema.Place(order, &page.Rows[i])
				if first == nil {
					first = last
				}
				seen[last.ID]++
			}
			prev, next := window.Neighbours(first, last, order.Descending())
			more := page.Next
			if window.Backward {
				next, more = prev, page.Prev
			}
			if !more {
				break
			}
			window = next
			for range rapid.IntRange(0, 3).Draw(rt, "writes") {
				w.write(rt)
				now := met()
				for id, place := range now {
					moved[id] = moved[id] || known[id] != nil && resource.ComparePlaces(order, known[id], place) != 0
					known[id] = place
				}
				maps.DeleteFunc(throughout, func(id ulid.ULID, _ *pagination.Cursor) bool { return now[id] == nil || moved[id] })
			}
		}
		for id, times := range seen {
			if times > 1 && !moved[id] {
				rt.Errorf("%s was seen %d times", id, times)
			}
		}
		for id := range throughout {
			if seen[id] == 0 {
				rt.Errorf("%s was there throughout and not seen", id)
			}
		}
	})
}

// write creates, changes or deletes some row.
func (w *world[T]) write(rt *rapid.T) {
	ids := w.ids()
	kind := rapid.IntRange(0, 2).Draw(rt, "write")
	if kind == 0 || len(ids) == 0 {
		w.create(w.draw(rt))
		return
	}
	id := rapid.SampledFrom(ids).Draw(rt, "row")
	if kind == 1 {
		w.delete(id)
		return
	}
	change := w.change(rt)
	w.update(id, func(row *T) error { change(row); return nil })
}
