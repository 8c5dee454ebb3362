package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"reeve/pagination"
	"reeve/resource"
)

// Run is the conformance suite that every store passes: what it does is compared with what [Memory] does. The
// store is empty, and nobody else writes it. Sample(i) is a new row number i, from 0; no two of them share a
// unique value or an id, and what they refer to exists.
func Run[T any](t *testing.T, schema resource.Schema[T], store resource.Store[T], sample func(i int) *T) {
	s := &suite[T]{schema: schema, store: store, sample: sample, summed: map[string]bool{}}
	for _, f := range schema.AllFilters() {
		for _, c := range f.Values {
			resource.Walk(c, func(c resource.Condition) bool {
				if c, ok := c.(resource.Compare); ok {
					if sum, ok := c.Operand.(resource.Sum); ok {
						for _, name := range sum {
							s.summed[name] = true
						}
					}
				}
				return true
			})
		}
	}
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"rows", s.rows}, {"many", s.many}, {"values", s.everyValue}, {"changes", s.changes}, {"unique", s.unique},
		{"filters", s.filters}, {"windows", s.windows}, {"sorts", s.sorts}, {"fields", s.fields}, {"model", s.model}, {"walk", s.walk},
	} {
		t.Run(part.name, part.run)
	}
}

// suite is what all parts share.
type suite[T any] struct {
	schema resource.Schema[T]
	store  resource.Store[T]
	sample func(i int) *T
	summed map[string]bool // attributes that some condition adds up
}

// rows: rows are created, read, changed and deleted, and those that are not there are not found.
func (s *suite[T]) rows(t *testing.T) {
	w := s.world(t)
	w.all()
	rows := append(w.seed(1), w.seed(7)...)
	for _, row := range rows {
		w.get(s.id(row))
	}
	w.all()
	for _, row := range rows[:4] {
		to := w.next()
		w.update(s.id(row), func(row *T) error { s.assign(row, to); return nil })
		w.get(s.id(row))
		w.all()
	}
	w.delete(s.id(rows[0]))
	for _, missing := range []*T{rows[0], w.next()} {
		w.get(s.id(missing))
		w.delete(s.id(missing))
		w.update(s.id(missing), func(*T) error { t.Error("change is asked about a row that is not there"); return nil })
	}
	w.all()
	for _, row := range rows[1:] {
		w.delete(s.id(row))
		w.all()
	}
}

// assign gives a row the attributes and references of another.
func (s *suite[T]) assign(row, from *T) {
	for i := range s.schema.Attributes {
		if a := &s.schema.Attributes[i]; a.Stored {
			set(a, row, a.Value(from))
		}
	}
	for i := range s.schema.References {
		if r := &s.schema.References[i]; !r.Many {
			r.SetTarget(row, r.Target(from))
		}
	}
}

// many: one creation takes more rows than one statement has room for, and is all or nothing.
func (s *suite[T]) many(t *testing.T) {
	const n = 2000
	w := s.world(t)
	w.seed(n)
	w.all()
	w = s.world(t)
	rows := make([]*T, n)
	for i := range rows {
		rows[i] = w.next()
	}
	*s.schema.ID(rows[n-1]) = s.id(rows[0])
	if err := s.store.Create(w.ctx, rows...); !resource.Is(err, resource.Taken) {
		t.Errorf("a repeated id: %v", err)
	}
	w.all()
	w.create()
}

// everyValue: each attribute keeps each value, when created and when changed.
func (s *suite[T]) everyValue(t *testing.T) {
	w := s.world(t)
	w.extremeRows()
	w.all()
	changed := w.seed(1)[0]
	for i := range s.schema.Attributes {
		a := &s.schema.Attributes[i]
		if !a.Stored {
			continue
		}
		for _, v := range s.values(a) {
			w.update(s.id(changed), func(row *T) error { set(a, row, v); return nil })
			w.get(s.id(changed))
		}
	}
	for i := range s.schema.References {
		if r := &s.schema.References[i]; r.ReferenceDescription.Nullable {
			for _, target := range []resource.Identifier{r.Target(w.sample(0)), {}} {
				w.update(s.id(changed), func(row *T) error { r.SetTarget(row, target); return nil })
				w.get(s.id(changed))
			}
		}
	}
	w.all()
}

// changes: an error of the change keeps the row, and a change of nothing writes nothing.
func (s *suite[T]) changes(t *testing.T) {
	w := s.world(t)
	rows, to := w.seed(2), w.next()
	refused := errors.New("refused")
	for _, err := range []error{refused, resource.Errorf(resource.Conflict, "refused").At("attributes", "x")} {
		row, got := s.store.Update(w.ctx, s.id(rows[0]), func(row *T) error { s.assign(row, to); return err })
		if got != err || row != nil {
			t.Errorf("got %v and %v, want the error of the change itself", row, got)
		}
		w.all()
	}
	w.update(s.id(rows[0]), func(*T) error { return nil })
	w.update(s.id(rows[0]), func(row *T) error { s.assign(row, rows[0]); return nil })
	w.all()
	row, err := s.store.Get(w.ctx, s.id(rows[1]))
	if err != nil {
		t.Fatal(err)
	}
	s.assign(row, to) // what was read is the caller's
	s.assign(rows[1], to)
	w.all()
}

// unique: a value that another row has is refused with its pointer, and nothing is written.
func (s *suite[T]) unique(t *testing.T) {
	rules := slices.Clone(s.schema.Unique)
	for _, a := range s.schema.Attributes {
		if a.AttributeDescription.Unique {
			rules = append(rules, []string{a.Name})
		}
	}
	for _, rule := range rules {
		t.Run(fmt.Sprint(rule), func(t *testing.T) {
			w := s.world(t)
			rows := w.seed(12)
			i := slices.IndexFunc(rows, func(row *T) bool {
				return !slices.ContainsFunc(rule, func(name string) bool { return value(&s.schema, row, name) == nil })
			})
			if i < 0 {
				t.Fatal("all of the first samples have a null there")
			}
			taken := rows[i]
			copied := func(row *T) error {
				for _, name := range rule {
					s.copy(name, row, taken)
				}
				return nil
			}
			dup := w.next()
			if err := copied(dup); err != nil {
				t.Fatal(err)
			}
			if w.create(dup) || w.create(w.next(), dup, w.next()) || w.update(s.id(rows[(i+1)%len(rows)]), copied) {
				t.Error("the oracle takes it")
			}
			w.all()
			w.update(s.id(taken), copied) // it is its own
			if len(rule) > 1 {
				one := w.next()
				s.copy(rule[0], one, taken)
				w.create(one)
			}
			w.delete(s.id(taken))
			w.create(dup) // it is free again
			w.all()
		})
	}
}

// copy gives a row one attribute or reference of another.
func (s *suite[T]) copy(name string, row, from *T) {
	if a := s.schema.Attribute(name); a != nil {
		set(a, row, a.Value(from))
		return
	}
	r := s.schema.Reference(name)
	r.SetTarget(row, r.Target(from))
}

// filters: each filter means what [resource.Schema.Match] says, alone, negated, and with any other.
func (s *suite[T]) filters(t *testing.T) {
	w := s.world(t)
	rows := append(w.seed(12), w.extremeRows()...)
	w.all()
	byFilter, nows := s.conditions(rows), s.nows(rows)
	ask := func(name string, c resource.Condition, now time.Time) {
		w.list(name, resource.Query{Where: c, Window: pagination.First(pagination.MaxSize), Now: now})
	}
	for _, all := range byFilter {
		for i, c := range all {
			ask(c.name, c.Condition, nows[i%len(nows)])
			ask("not "+c.name, resource.Not{Condition: c.Condition}, nows[(i+1)%len(nows)])
		}
	}
	for i, first := range byFilter {
		for j, second := range byFilter[:i] {
			a, b, now := first[j%len(first)], second[i%len(second)], nows[(i+j)%len(nows)]
			switch (i + j) % 3 {
			case 0:
				ask(a.name+" and "+b.name, resource.All{a.Condition, b.Condition}, now)
			case 1:
				ask(a.name+" or not "+b.name, resource.Any{a.Condition, resource.Not{Condition: b.Condition}}, now)
			case 2:
				ask(a.name+" and several of one", resource.All{a.Condition, resource.Any{b.Condition, second[0].Condition}}, now)
			}
		}
	}
}

// nows are some times of the rows, to be taken for now.
func (s *suite[T]) nows(rows []*T) []time.Time {
	nows := []time.Time{time.Date(2024, 7, 12, 12, 0, 0, 0, time.UTC)}
	for _, row := range rows {
		for i := range s.schema.Attributes {
			a := &s.schema.Attributes[i]
			if a.Stored && a.Kind == resource.Time && a.Value(row) != nil {
				nows = append(nows, a.Value(row).(time.Time))
			}
		}
	}
	return thin(nows, 5)
}

// windows: each form of a window gives the rows, the neighbours and the total of the oracle.
func (s *suite[T]) windows(t *testing.T) {
	w := s.world(t)
	const n = 3
	rows := w.seed(n)
	bounds := []*pagination.Cursor{nil, {}}
	for _, row := range rows {
		place := pagination.At(s.id(row))
		bounds = append(bounds, place, place.Step(+1)) // the latter is near it, and no row
	}
	for _, c := range s.selective(w, rows) {
		for _, after := range bounds {
			for _, before := range bounds {
				ask := func(size int, backward bool, count pagination.Count) {
					w.list(c.name, resource.Query{Where: c.Condition, Count: count, Window: pagination.Window{
						Size: size, Backward: backward, After: after, Before: before,
					}})
				}
				for size := 1; size <= n+1; size++ {
					for _, backward := range []bool{false, true} {
						ask(size, backward, pagination.CountTotal)
						ask(size, backward, pagination.CountNone)
					}
				}
				ask(1, false, pagination.CountOnly)
			}
		}
	}
}

// selective are no condition, one that no row meets, and two that some rows meet.
func (s *suite[T]) selective(w *world[T], rows []*T) []named {
	var none, some []named
	for _, all := range s.conditions(rows) {
		for _, c := range all {
			page, _ := w.oracle.List(w.ctx, resource.Query{Where: c.Condition, Count: pagination.CountOnly}) // it has no errors
			switch page.Total {
			case 0:
				none = append(none, c)
			case int64(len(rows)):
			default:
				some = append(some, c)
			}
		}
	}
	return slices.Concat([]named{{"everything", nil}}, thin(none, 1), thin(some, 2))
}

// orders are those in which lists can be read: by id, each declared one, and the reverse of each.
func (s *suite[T]) orders() []resource.Order {
	orders := []resource.Order{nil, resource.Order(nil).Reverse()}
	for _, sort := range s.schema.Sorts {
		order := resource.ParseOrder(sort)
		orders = append(orders, order, order.Reverse())
	}
	return orders
}

// sorts: each order gives the rows, the neighbours and the total of the oracle, between any two places.
func (s *suite[T]) sorts(t *testing.T) {
	w := s.world(t)
	rows := append(w.seed(9), w.extremeRows()...)
	conditions := s.selective(w, rows)
	for n, order := range s.orders() {
		bounds := []*pagination.Cursor{nil}
		for _, row := range thin(rows, 3) {
			place := s.schema.Place(order, row)
			bounds = append(bounds, place, place.Step(-1)) // the latter is near it, and no row
		}
		for i, after := range bounds {
			for j, before := range bounds {
				c := conditions[(i+j+n)%len(conditions)]
				w.list(c.name, resource.Query{Where: c.Condition, Order: order, Window: pagination.Window{
					Size: []int{1, 4, pagination.MaxSize}[(i+n)%3], Backward: (i+j+n)%2 == 0, After: after, Before: before,
				}})
			}
		}
	}
}

// fields: a list of some fields has those, and the keys of its order.
func (s *suite[T]) fields(t *testing.T) {
	w := s.world(t)
	w.seed(5)
	var names []string
	for i := range s.schema.Attributes {
		if a := &s.schema.Attributes[i]; a.Stored {
			names = append(names, a.Name)
		}
	}
	for i := range s.schema.References {
		if r := &s.schema.References[i]; !r.Many {
			names = append(names, r.Name)
		}
	}
	for i, order := range s.orders() {
		q := resource.Query{Order: order, Window: pagination.First(3), Fields: []string{names[i%len(names)], names[(i+5)%len(names)]}}
		if i == 0 {
			q.Fields = []string{}
		}
		want, _ := w.oracle.List(w.ctx, q) // it has no errors
		got, err := s.store.List(w.ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Rows) != len(want.Rows) {
			t.Fatalf("%s: %s", show(q), s.show(got))
		}
		for n := range got.Rows {
			row, whole := &got.Rows[n], &want.Rows[n]
			differ := s.schema.Differences(row, whole)
			if s.id(row) != s.id(whole) || resource.ComparePlaces(order, s.schema.Place(order, row), s.schema.Place(order, whole)) != 0 ||
				slices.ContainsFunc(q.Fields, func(field string) bool { return slices.Contains(differ, field) }) {
				t.Errorf("%s, fields %v: %s differs in %v", show(q), q.Fields, s.id(whole), differ)
			}
		}
	}
}
