package pagination_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"reeve/pagination"
)

func id(n byte) ulid.ULID { return ulid.ULID{15: n} }

func Example() {
	page := pagination.First(2) // holds the rows 1 and 2
	prev, next := page.Neighbours([]ulid.ULID{id(1), id(2)})
	fmt.Println(next.Contains(id(2)), next.Contains(id(3)), next.Backward)
	fmt.Println(prev.Contains(id(0)), prev.Contains(id(1)), prev.Backward)
	// Output:
	// false true false
	// true false true
}

// cut is what a window holds of a list.
func cut(list []ulid.ULID, w pagination.Window) []ulid.ULID {
	var page []ulid.ULID
	for _, id := range list {
		if w.Contains(id) {
			page = append(page, id)
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
		var list []ulid.ULID
		for n := range 20 {
			if rapid.Bool().Draw(t, "there") {
				list = append(list, id(byte(n+1)))
			}
		}
		bound := func(name string) *ulid.ULID {
			if n := rapid.IntRange(-1, 22).Draw(t, name); n >= 0 {
				return &ulid.ULID{15: byte(n)}
			}
			return nil
		}
		w := pagination.Window{Size: rapid.IntRange(1, 5).Draw(t, "size"), Backward: rapid.Bool().Draw(t, "backward"), After: bound("after"), Before: bound("before")}
		if w.After != nil && w.Before != nil && w.After.Compare(*w.Before) >= 0 {
			return // an empty window between crossed bounds stands nowhere
		}
		page := cut(list, w)
		prev, next := w.Neighbours(page)
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
		for _, id := range list {
			if !slices.Contains(before, id) && !slices.Contains(after, id) {
				t.Fatalf("%v stands neither before nor after the empty page", id)
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
	w := pagination.Window{Size: 1, After: &highest, Before: &lowest}
	prev, next := w.Neighbours(nil)
	if *prev.Before != highest || *next.After != lowest {
		t.Errorf("%v %v", prev.Before, next.After)
	}
}
