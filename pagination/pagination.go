// Package pagination says which page of an ordered list is asked for, and which pages stand beside it.
//
// It knows neither resources nor HTTP: a [Cursor] is a place in a list, a [Window] between two of them cuts a page
// out of it, and the page's neighbours are windows again.
package pagination

import "github.com/oklog/ulid/v2"

// Sizes of a page, in rows.
const (
	DefaultSize = 10
	MaxSize     = 1000
)

// Count says what a list answers about its total.
type Count int

// The three answers: rows and their total, rows alone, the total alone.
const (
	CountTotal Count = iota
	CountNone
	CountOnly
)

// Cursor is a place in an ordered list: a row that is there, or was. Values are those by which the list is sorted
// before the id, nil for null; there are none where it is sorted by the id alone.
type Cursor struct {
	Values []any
	ID     ulid.ULID
}

// At is the place of a row in a list that is sorted by the id alone.
func At(id ulid.ULID) *Cursor { return &Cursor{ID: id} }

// Window is a page: at most Size rows strictly between After and Before, taken from the start of that range,
// or from its end if Backward. A nil bound is open; a bound need not exist as a row. Rows stand in the order of
// the list, whichever end they are taken from.
type Window struct {
	Size     int
	Backward bool
	After    *Cursor
	Before   *Cursor
}

// First is the first page of a list.
func First(size int) Window { return Window{Size: size} }

// Last is the last page of a list.
func Last(size int) Window { return Window{Size: size, Backward: true} }

// Next is the page that follows a place.
func (w Window) Next(place *Cursor) Window { return Window{Size: w.Size, After: place} }

// Prev is the page that precedes a place.
func (w Window) Prev(place *Cursor) Window {
	return Window{Size: w.Size, Before: place, Backward: true}
}

// Neighbours returns the windows before and after a page that holds the rows from first to last; both are nil if
// it is empty. An empty page has its window's own bounds as edges: the row at a strict bound belongs to the
// neighbour, so the edge is stepped over it. Descending says that the list descends by the id where all else is
// equal.
func (w Window) Neighbours(first, last *Cursor, descending bool) (prev, next Window) {
	forward, back := +1, -1
	if descending {
		forward, back = back, forward
	}
	switch {
	case first != nil:
		return w.Prev(first), w.Next(last)
	case w.After != nil && w.Before != nil:
		return w.Prev(w.After.Step(forward)), w.Next(w.Before.Step(back))
	case w.After != nil:
		return w.Prev(w.After.Step(forward)), w.Next(w.After)
	case w.Before != nil:
		return w.Prev(w.Before), w.Next(w.Before.Step(back))
	}
	return Last(w.Size), First(w.Size)
}

// Step is the place directly above (+1) or below (-1) by the id; the highest and the lowest id stay where they are.
func (c *Cursor) Step(by int) *Cursor {
	next := *c
	for i := len(next.ID) - 1; i >= 0; i-- {
		next.ID[i] += byte(by)
		if (by > 0 && next.ID[i] != 0x00) || (by < 0 && next.ID[i] != 0xFF) {
			return &next
		}
	}
	return c
}
