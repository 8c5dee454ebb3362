package storagetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"reeve/pagination"
	"reeve/resource"
)

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
