package resource

import (
	"context"
	"slices"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
)

// Snapshot serves rows that are worked out, not stored: modules, types.
type Snapshot[T any] struct {
	schema  Schema[T]
	current func(ctx context.Context) ([]T, error)
}

// NewSnapshot serves the rows that current returns, in any order.
func NewSnapshot[T any](schema Schema[T], current func(ctx context.Context) ([]T, error)) *Snapshot[T] {
	return &Snapshot[T]{schema, current}
}

// List answers a page of the rows of this moment.
func (s *Snapshot[T]) List(ctx context.Context, q Query) (Page[T], error) {
	rows, err := s.current(ctx)
	if err != nil {
		return Page[T]{}, err
	}
	return s.schema.Window(rows, q, nil), nil
}

// Get finds a row of this moment. It returns NotFound if there is none.
func (s *Snapshot[T]) Get(ctx context.Context, id ulid.ULID) (*T, error) {
	rows, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		if *s.schema.ID(&rows[i]) == id {
			return &rows[i], nil
		}
	}
	return nil, notThere(s.schema.Name, id)
}

// Window is a list in memory: it filters, orders and cuts rows as a store has to. See [Env] for related.
func (s *Schema[T]) Window(rows []T, q Query, related func(id ulid.ULID, relation string, c Condition) bool) Page[T] {
	env := Env{Now: q.Now, Related: related}
	if q.Of != nil {
		return s.of(rows, q, env)
	}
	var met []int // indexes of rows, in the order asked for
	for i := range rows {
		if s.Match(q.Where, &rows[i], env) {
			met = append(met, i)
		}
	}
	places := make([]*pagination.Cursor, len(rows))
	for _, i := range met {
		places[i] = s.Place(q.Order, &rows[i])
	}
	slices.SortFunc(met, func(a, b int) int { return ComparePlaces(q.Order, places[a], places[b]) })
	page := Page[T]{Total: int64(len(met))}
	if q.Count == pagination.CountOnly {
		return page
	}
	// The window is the slice met[from:to].
	from, to := 0, len(met)
	for from < to && q.Window.After != nil && ComparePlaces(q.Order, places[met[from]], q.Window.After) <= 0 {
		from++
	}
	for from < to && q.Window.Before != nil && ComparePlaces(q.Order, places[met[to-1]], q.Window.Before) >= 0 {
		to--
	}
	if q.Window.Backward {
		from = max(from, to-q.Window.Size)
	} else {
		to = min(to, from+q.Window.Size)
	}
	for _, i := range met[from:to] {
		page.Rows = append(page.Rows, rows[i])
	}
	page.Prev, page.Next = from > 0, to < len(met)
	return page
}

// of is what is related to each of several resources, by id.
func (s *Schema[T]) of(rows []T, q Query, env Env) Page[T] {
	page := Page[T]{Of: Of{More: map[ulid.ULID]bool{}}}
	reference := s.Reference(q.Of.Name)
	for _, to := range q.Of.To {
		where := All{Exists{q.Of.Name, Equal("id", to)}, q.Where}
		if reference != nil && !reference.Many {
			where[0] = Equal(q.Of.Name, to)
		}
		some := s.Window(rows, Query{Where: where, Window: pagination.First(q.Window.Size), Now: q.Now}, env.Related)
		page.Rows = append(page.Rows, some.Rows...)
		for range some.Rows {
			page.Of.Rows = append(page.Of.Rows, to)
		}
		if some.Next {
			page.Of.More[to] = true
		}
	}
	return page
}
