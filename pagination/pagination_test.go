package pagination_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"reeve/pagination"
)

func at(n byte) *pagination.Cursor { return pagination.At(ulid.ULID{15: n}) }

// contains reports whether a row stands strictly between the bounds of a window.
func contains(w pagination.Window, row *pagination.Cursor) bool {
	return (w.After == nil || row.ID.Compare(w.After.ID) > 0) && (w.Before == nil || row.ID.Compare(w.Before.ID) < 0)
}

func Example() {
	page := pagination.First(2) // holds the rows 1 and 2
	prev, next := page.Neighbours(at(1), at(2), false)
	fmt.Println(contains(next, at(2)), contains(next, at(3)), next.Backward)
	fmt.Println(contains(prev, at(0)), contains(prev, at(1)), prev.Backward)
	// Output:
	// false true false
	// true false true
}

// cut is what a window holds of a list.
func cut(list []*pagination.Cursor, w pagination.Window) []*pagination.Cursor {
	var page []*pagination.Cursor
	for _, row := range list {
		if contains(w, row) {
			page = append(page, row)
		}
	}
	if w.Backward {
		return page[max(0, len(page)-w.Size):]
	}
	return page[:min(w.Size, len(page))]
}

// TestNeighbours sees that the rows before a page, the page and the rows after it are the whole list, whatever
// the window, even if the page is empty.
func TestNeighbours(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []*pagination.Cursor
		for n := range 20 {
			if rapid.Bool().Draw(t, "there") {
				list = append(list, at(byte(n+1)))
			}
		}
		bound := func(name string) *pagination.Cursor {
			if n := rapid.IntRange(-1, 22).Draw(t, name); n >= 0 {
				return at(byte(n))
			}
			return nil
		}
		w := pagination.Window{Size: rapid.IntRange(1, 5).Draw(t, "size"), Backward: rapid.Bool().Draw(t, "backward"), After: bound("after"), Before: bound("before")}
		if w.After != nil && w.Before != nil && w.After.ID.Compare(w.Before.ID) >= 0 {
			return // an empty window between crossed bounds stands nowhere
		}
		page := cut(list, w)
		var first, last *pagination.Cursor
		if len(page) > 0 {
			first, last = page[0], page[len(page)-1]
		}
		prev, next := w.Neighbours(first, last, false)
		prev.Size, next.Size = len(list), len(list)
		before, after := cut(list, prev), cut(list, next)
		if w.After == nil && w.Before == nil && len(page) == 0 {
			return // the list is empty
		}
		if len(page) > 0 {
			if all := slices.Concat(before, page, after); !slices.Equal(all, list) {
				t.Fatalf("%v, %v and %v are not %v", before, page, after, list)
			}
			return
		}
		for _, row := range list {
			if !slices.Contains(before, row) && !slices.Contains(after, row) {
				t.Fatalf("%v stands neither before nor after the empty page", row.ID)
			}
		}
	})
}

func TestStepStaysInRange(t *testing.T) {
	highest := ulid.ULID{}
	for i := range highest {
		highest[i] = 0xFF
	}
	lowest := ulid.ULID{}
	w := pagination.Window{Size: 1, After: pagination.At(highest), Before: pagination.At(lowest)}
	prev, next := w.Neighbours(nil, nil, false)
	if prev.Before.ID != highest || next.After.ID != lowest {
		t.Errorf("%v %v", prev.Before, next.After)
	}
}
