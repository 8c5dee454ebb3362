// Package pagination says which page of an ordered list is asked for, and which pages stand beside it.
//
// It knows neither resources nor HTTP: a list is ordered by id, a [Window] cuts a page out of it, and the
// page's neighbours are windows again.
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

// Window is a page: at most Size rows strictly between After and Before, taken from the start of that range,
// or from its end if Backward. A nil bound is open; a bound need not exist as a row. Rows always ascend.
type Window struct {
	Size     int
	Backward bool
	After    *ulid.ULID
	Before   *ulid.ULID
}

// First is the first page of a list.
func First(size int) Window { return Window{Size: size} }

// Last is the last page of a list.
func Last(size int) Window { return Window{Size: size, Backward: true} }

// Next is the page that follows the row id.
func (w Window) Next(id ulid.ULID) Window { return Window{Size: w.Size, After: &id} }

// Prev is the page that precedes the row id.
func (w Window) Prev(id ulid.ULID) Window { return Window{Size: w.Size, Before: &id, Backward: true} }

// Contains reports whether id lies strictly between the bounds.
func (w Window) Contains(id ulid.ULID) bool {
	return (w.After == nil || id.Compare(*w.After) > 0) && (w.Before == nil || id.Compare(*w.Before) < 0)
}

// Neighbours returns the windows before and after a page that holds the ids from first to last. An empty page
// has its window's own bounds as edges: the row at a strict bound belongs to the neighbour, so the edge is
// stepped over it.
func (w Window) Neighbours(ids []ulid.ULID) (prev, next Window) {
	switch {
	case len(ids) > 0:
		return w.Prev(ids[0]), w.Next(ids[len(ids)-1])
	case w.After != nil && w.Before != nil:
		return w.Prev(step(*w.After, +1)), w.Next(step(*w.Before, -1))
	case w.After != nil:
		return w.Prev(step(*w.After, +1)), w.Next(*w.After)
	case w.Before != nil:
		return w.Prev(*w.Before), w.Next(step(*w.Before, -1))
	}
	return Last(w.Size), First(w.Size)
}

// step is the id directly above or below; the highest and the lowest id stay where they are.
func step(id ulid.ULID, by int) ulid.ULID {
	next := id
	for i := len(next) - 1; i >= 0; i-- {
		next[i] += byte(by)
		if (by > 0 && next[i] != 0x00) || (by < 0 && next[i] != 0xFF) {
			return next
		}
	}
	return id
}
