package storagetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

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

// world is the store and its oracle, which have to agree.
type world[T any] struct {
	*suite[T]
	rapid.TB
	ctx    context.Context
	oracle *Memory[T]
	made   int // rows that were sampled
}

// world empties the store and begins anew.
func (s *suite[T]) world(tb rapid.TB) *world[T] {
	tb.Helper()
	w := &world[T]{suite: s, TB: tb, ctx: context.Background(), oracle: NewMemory(s.schema)}
	for more := true; more; {
		page, err := s.store.List(w.ctx, resource.Query{Window: pagination.First(pagination.MaxSize), Count: pagination.CountNone})
		if err != nil {
			tb.Fatal(err)
		}
		for i := range page.Rows {
			if err := s.store.Delete(w.ctx, w.id(&page.Rows[i])); err != nil {
				tb.Fatal(err)
			}
		}
		more = page.Next
	}
	return w
}

func (s *suite[T]) id(row *T) ulid.ULID { return *s.schema.ID(row) }

// next is the next sample.
func (w *world[T]) next() *T {
	w.made++
	return w.sample(w.made - 1)
}

// seed creates n samples.
func (w *world[T]) seed(n int) (rows []*T) {
	w.Helper()
	for range n {
		rows = append(rows, w.next())
	}
	w.create(rows...)
	return rows
}

// extremeRows creates rows whose attributes all have extreme values.
func (w *world[T]) extremeRows() (rows []*T) {
	w.Helper()
	most := 0
	for _, all := range extremes {
		most = max(most, len(all))
	}
	for n := range most {
		row := w.next()
		for i := range w.schema.Attributes {
			a := &w.schema.Attributes[i]
			values := w.values(a)
			if a.Stored && (n < len(values) || !a.AttributeDescription.Unique) {
				set(a, row, values[n%len(values)])
			}
		}
		w.create(row)
		rows = append(rows, row)
	}
	return rows
}

// create creates rows, and reports whether the oracle could.
func (w *world[T]) create(rows ...*T) bool {
	w.Helper()
	want := w.oracle.Create(w.ctx, rows...)
	w.sameError("Create", w.store.Create(w.ctx, rows...), want)
	return want == nil
}

// update has change alter a row, and reports whether the oracle could.
func (w *world[T]) update(id ulid.ULID, change func(*T) error) bool {
	w.Helper()
	want, wantErr := w.oracle.Update(w.ctx, id, change)
	got, err := w.store.Update(w.ctx, id, change)
	w.sameError("Update", err, wantErr)
	w.sameRow("Update", got, want)
	return wantErr == nil
}

func (w *world[T]) delete(id ulid.ULID) {
	w.Helper()
	w.sameError("Delete", w.store.Delete(w.ctx, id), w.oracle.Delete(w.ctx, id))
}

func (w *world[T]) get(id ulid.ULID) {
	w.Helper()
	want, wantErr := w.oracle.Get(w.ctx, id)
	got, err := w.store.Get(w.ctx, id)
	w.sameError("Get", err, wantErr)
	w.sameRow("Get", got, want)
}

// list lists, and returns the page.
func (w *world[T]) list(name string, q resource.Query) resource.Page[T] {
	w.Helper()
	want, _ := w.oracle.List(w.ctx, q) // it has no errors
	got, err := w.store.List(w.ctx, q)
	if err != nil {
		w.Fatalf("List %s %s: %v", name, show(q), err)
	}
	if q.Count == pagination.CountNone {
		got.Total = 0 // unasked, it may be anything
	}
	same := slices.EqualFunc(got.Rows, want.Rows, func(a, b T) bool {
		return w.id(&a) == w.id(&b) && len(w.schema.Differences(&a, &b)) == 0
	})
	if same && got.Prev == want.Prev && got.Next == want.Next && got.Total == want.Total {
		return got
	}
	w.Fatalf("List %s %s:\n got %s\nwant %s\n(-want +got)\n%s", name, show(q), w.show(got), w.show(want),
		cmp.Diff(w.plains(want.Rows), w.plains(got.Rows), cmpopts.EquateEmpty()))
	return got
}

// all compares everything that is there.
func (w *world[T]) all() {
	w.Helper()
	q := resource.Query{Window: pagination.First(pagination.MaxSize)}
	for {
		page := w.list("everything", q)
		if !page.Next {
			return
		}
		q.Window = q.Window.Next(w.schema.Place(q.Order, &page.Rows[len(page.Rows)-1]))
	}
}

// sameError compares the codes and pointers of errors. The oracle names everything that is wrong, a store some of
// it; what is no error of a client has to be the same value.
func (w *world[T]) sameError(what string, got, want error) {
	w.Helper()
	if (got == nil) != (want == nil) {
		w.Fatalf("%s: got error %v, want %v", what, got, want)
	}
	if got == nil || errors.Is(got, want) {
		return
	}
	for _, e := range resource.AllErrors(got) {
		if e.Code == resource.Internal || !slices.ContainsFunc(resource.AllErrors(want), func(allowed *resource.Error) bool {
			return e.Code == allowed.Code && e.Pointer == allowed.Pointer
		}) {
			w.Fatalf("%s: got error %s at %q (%v), want %s", what, e.Code, e.Pointer, got, faults(want))
		}
	}
}

// faults are the codes and pointers of an error.
func faults(err error) (all []string) {
	for _, e := range resource.AllErrors(err) {
		all = append(all, fmt.Sprintf("%s at %q", e.Code, e.Pointer))
	}
	return all
}

func (w *world[T]) sameRow(what string, got, want *T) {
	w.Helper()
	if (got == nil) != (want == nil) {
		w.Fatalf("%s: got row %v, want %v", what, got, want)
	}
	if got == nil {
		return
	}
	if diff := cmp.Diff(w.plain(want), w.plain(got), cmpopts.EquateEmpty()); diff != "" {
		w.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// plain is everything that a row stores, by name.
func (s *suite[T]) plain(row *T) map[string]any {
	plain := map[string]any{"id": s.id(row).String()}
	for i := range s.schema.Attributes {
		a := &s.schema.Attributes[i]
		if !a.Stored {
			continue
		}
		plain[a.Name] = a.Value(row)
		if text, ok := plain[a.Name].(json.RawMessage); ok {
			plain[a.Name] = decoded(text)
		}
	}
	for i := range s.schema.References {
		if r := &s.schema.References[i]; !r.Many {
			plain[r.Name] = r.Target(row)
		}
	}
	return plain
}

// decoded is the value of a JSON text; a text that is none stands for itself.
func decoded(text json.RawMessage) (v any) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		return string(text)
	}
	return v
}

func (s *suite[T]) plains(rows []T) (all []map[string]any) {
	for i := range rows {
		all = append(all, s.plain(&rows[i]))
	}
	return all
}

// show is a page in short.
func (s *suite[T]) show(p resource.Page[T]) string {
	var ids []string
	for i := range p.Rows {
		ids = append(ids, s.id(&p.Rows[i]).String())
	}
	return fmt.Sprintf("%d rows %v, prev %v, next %v, total %d", len(ids), ids, p.Prev, p.Next, p.Total)
}

// show is a query in short.
func show(q resource.Query) string {
	return fmt.Sprintf("where %+v by %v after %v before %v size %d backward %v count %d now %s",
		q.Where, q.Order, q.Window.After, q.Window.Before, q.Window.Size, q.Window.Backward, q.Count, q.Now)
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
