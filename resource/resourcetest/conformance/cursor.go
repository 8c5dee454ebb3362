package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

var cursor = []Check{
	{"J1", Must, "Cursor Pagination", "an answer that follows the profile names it", func(t *trial) {
		list, _ := t.pages(1)
		a := t.get(with(list, "page[size]", "1"))
		t.holds(a.ok() && a.applies("profile", CursorProfile), "Content-Type %q: %s", a.header.Get("Content-Type"), a)
	}},
	{"J2", Must, "Sorting", "an order that leaves ties is completed to one that does not", func(t *trial) {
		list, ids := t.pages(5)
		for _, place := range t.orders(list) {
			pages := t.walk(with(place, "page[size]", "2"), "next", 5)
			t.holds(len(pages) == 3 && sameSet(slices.Concat(pages...), ids), "%s: %v of %v", place, pages, ids)
		}
	}},
	{"J3", Must, "Sorting", "a sort that cannot be paged is 400 of the type unsupported-sort", func(t *trial) {
		list, _ := t.pages(1)
		a := t.get(with(list, "page[size]", "1", "sort", "no_such"))
		t.holds(a.refused(http.StatusBadRequest) && slices.Contains(a.parameters(), "sort") && a.explains("unsupported-sort"), "%s", a)
	}},
	{"J4", Must, "Page Size", "a size that is no positive number is 400 and named", func(t *trial) {
		list, _ := t.pages(1)
		for _, size := range []string{"0", "-1", "+1", "1.5", "ten", "", "1e1", " 1"} {
			a := t.get(with(list, "page[size]", size))
			t.holds(a.refused(http.StatusBadRequest) && slices.Contains(a.parameters(), "page[size]"), "%q: %s", size, a)
		}
	}},
	{"J5", Must, "Page Size", "a size beyond the most is 400 of the type max-size-exceeded, with that most", func(t *trial) {
		list, _ := t.pages(1)
		t.needs(t.MaxSize > 0, "most that page[size] may be")
		a := t.get(with(list, "page[size]", strconv.Itoa(t.MaxSize)))
		t.holds(a.status == http.StatusOK, "%s", a)
		a = t.get(with(list, "page[size]", strconv.Itoa(t.MaxSize+1)))
		t.holds(a.refused(http.StatusBadRequest) && slices.Contains(a.parameters(), "page[size]") && a.explains("max-size-exceeded"), "%s", a)
		t.holds(fmt.Sprint(at(a.document, "errors", 0, "meta", "page", "maxSize")) == strconv.Itoa(t.MaxSize), "%s", a)
	}},
	{"J6", Must, "Page Size", "a page has exactly its size while there are enough", func(t *trial) {
		list, ids := t.pages(5)
		a := t.get(with(list, "page[size]", "3"))
		t.holds(slices.Equal(a.ids(), ids[:3]), "%s", a)
		a = t.get(with(list, "page[size]", "5"))
		t.holds(slices.Equal(a.ids(), ids), "%s", a)
		a = t.asked(list)
		n := len(a.ids())
		t.holds(n == len(ids) || n > 0 && a.link("next") != "", "without a size: %s", a)
	}},
	{"J7", Must, "Cursors", "a cursor that is none is 400 and named", func(t *trial) {
		list, _ := t.pages(1)
		for _, name := range []string{"page[after]", "page[before]"} {
			a := t.get(with(list, "page[size]", "1", name, "no such cursor"))
			t.holds(a.refused(http.StatusBadRequest) && slices.Contains(a.parameters(), name), "%s", a)
		}
	}},
	{"J8", Must, "page[after]", "a page after a cursor begins with the one behind it", func(t *trial) {
		list, ids := t.pages(4)
		cursors := t.cursors(list)
		a := t.get(with(list, "page[size]", "2", "page[after]", cursors[0]))
		t.holds(slices.Equal(a.ids(), ids[1:3]), "%s", a)
		a = t.get(with(list, "page[size]", "2", "page[after]", cursors[3]))
		t.holds(a.ok() && len(a.ids()) == 0, "%s", a)
	}},
	{"J9", Must, "page[before]", "a page before a cursor ends with the one in front of it", func(t *trial) {
		list, ids := t.pages(4)
		cursors := t.cursors(list)
		a := t.get(with(list, "page[size]", "2", "page[before]", cursors[3]))
		t.holds(slices.Equal(a.ids(), ids[1:3]), "%s", a)
		a = t.get(with(list, "page[size]", "2", "page[before]", cursors[0]))
		t.holds(a.ok() && len(a.ids()) == 0, "%s", a)
	}},
	{"J10", Must, "page[after]", "without a cursor the first page is answered", func(t *trial) {
		list, ids := t.pages(3)
		a := t.get(with(list, "page[size]", "2"))
		t.holds(slices.Equal(a.ids(), ids[:2]), "%s", a)
	}},
	{"J11", Must, "Range Pagination", "after and before make a range, which says if it is cut short; or 400", func(t *trial) {
		list, ids := t.pages(6)
		cursors := t.cursors(list)
		bounds := with(list, "page[after]", cursors[0], "page[before]", cursors[5])
		whole, part := t.asked(bounds), t.get(with(bounds, "page[size]", "2"))
		if whole.status == http.StatusBadRequest {
			t.holds(whole.refused(whole.status) && whole.explains("range-pagination-not-supported"), "%s", whole)
			return
		}
		t.holds(slices.Equal(whole.ids(), ids[1:5]) && at(whole.document, "meta", "page", "rangeTruncated") != true, "%s", whole)
		t.holds(slices.Equal(part.ids(), ids[1:3]) && at(part.document, "meta", "page", "rangeTruncated") == true, "%s", part)
	}},
	{"J12", Must, "Links", "prev and next are there on every page", func(t *trial) {
		list, ids := t.pages(3)
		cursors := t.cursors(list)
		for _, place := range []string{
			with(list, "page[size]", "1"), with(list, "page[size]", "1", "page[after]", cursors[0]), with(list, "page[size]", "1", "page[before]", cursors[2]),
			with(list, "page[size]", strconv.Itoa(len(ids))), with(t.Item.Path, t.Item.Filter, word(), "page[size]", "1"),
		} {
			a := t.get(place)
			for _, name := range []string{"prev", "next"} {
				_, there := object(a.document["links"])[name]
				t.holds(there, "without %s: %s", name, a)
			}
		}
	}},
	{"J13", Must, "Links", "next is null exactly on the last page, prev on the first", func(t *trial) {
		list, ids := t.pages(4)
		for _, size := range []int{1, 2, 3, 4, 5} {
			place, seen := with(list, "page[size]", strconv.Itoa(size)), 0
			for range ids {
				a := t.get(place)
				seen += len(a.ids())
				if seen == len(a.ids()) {
					t.holds(a.link("prev") == "", "the first page: %s", a)
				}
				next := a.link("next")
				t.holds((next == "") == (seen == len(ids)), "%d of %d seen: %s", seen, len(ids), a)
				if next == "" {
					break
				}
				place = next
			}
		}
		a := t.get(with(list, "page[size]", "2", "page[before]", t.cursors(list)[2]))
		t.holds(a.link("prev") == "" && slices.Equal(a.ids(), ids[:2]), "the first page from behind: %s", a)
	}},
	{"J14", Should, "Links", "where prev and next are there, they lead to the pages beside", func(t *trial) {
		list, ids := t.pages(5)
		middle := t.get(with(list, "page[size]", "2", "page[after]", t.cursors(list)[1]))
		t.must(slices.Equal(middle.ids(), ids[2:4]), "%s", middle)
		for name, want := range map[string][]string{"prev": ids[:2], "next": ids[4:]} {
			if place := middle.link(name); t.holds(place != "", "without %s: %s", name, middle) {
				a := t.get(place)
				t.holds(slices.Equal(a.ids(), want), "%s: %s", name, a)
			}
		}
	}},
	{"J15", Should, "Links", "first and last lead to the first page and to the end", func(t *trial) {
		list, ids := t.pages(4)
		a := t.get(with(list, "page[size]", "2", "page[after]", t.cursors(list)[0]))
		if first := a.link("first"); first != "" {
			t.holds(slices.Equal(t.get(first).ids(), ids[:2]), "%s", t.get(first))
		}
		if last := a.link("last"); last != "" {
			t.holds(slices.Equal(t.get(last).ids(), ids[2:]), "%s", t.get(last))
		}
	}},
	{"J16", Must, "Meta Data", "meta.page is an object, with a cursor on items and numbers on lists", func(t *trial) {
		list, ids := t.pages(3)
		a := t.get(with(list, "page[size]", "2"))
		t.must(a.ok() && len(a.list()) == 2, "%s", a)
		after := t.get(with(list, "page[size]", "2", "page[after]", text(at(a.list()[0], "meta", "page", "cursor"))))
		t.holds(slices.Equal(after.ids(), ids[1:3]), "%s, but after its first: %s", a, after)
		named([]*answer{a, after}, "page", func(a *answer, v any) {
			t.holds(object(v) != nil, "%s", a)
		})
		if total, there := object(at(a.document, "meta", "page"))["total"]; there {
			t.holds(fmt.Sprint(total) == strconv.Itoa(len(ids)), "%s", a)
		}
		if about, there := object(at(a.document, "meta", "page"))["estimatedTotal"]; there {
			_, err := strconv.Atoi(fmt.Sprint(at(about, "bestGuess")))
			t.holds(at(about, "bestGuess") == nil || err == nil, "%s", a)
		}
	}},
	{"J17", Must, "Cursors", "a walk sees what is there throughout once, whatever comes and goes, its own cursor too", func(t *trial) {
		for i := range t.orders("") {
			list, ids := t.pages(7)
			place := t.orders(list)[i]
			whole, seen := t.get(with(place, "page[size]", "20")).ids(), []string{}
			next := with(place, "page[size]", "2")
			for step := 0; next != ""; step++ {
				t.must(step <= len(ids)+3, "the walk never ends: %s", next)
				a := t.get(next)
				t.must(a.status == http.StatusOK, "%s", a)
				seen = append(seen, a.ids()...)
				next = a.link("next")
				if step == 1 && len(a.ids()) > 0 { // the row that next points behind
					gone := a.ids()[len(a.ids())-1]
					t.must(t.delete(t.Item.Path+"/"+gone, nil).ok(), "%s cannot be deleted", gone)
					whole = slices.DeleteFunc(whole, func(id string) bool { return id == gone })
				}
				if step < 3 {
					t.another(list)
				}
			}
			t.must(len(whole) == len(ids)-1, "%s", place)
			for _, id := range whole {
				times := len(slices.DeleteFunc(slices.Clone(seen), func(other string) bool { return other != id }))
				t.holds(times == 1, "%s: %s was seen %d times", place, id, times)
			}
		}
	}},
	{"J18", Must, "Links", "next to its end sees every row once, and prev from there the same backward", func(t *trial) {
		list, ids := t.pages(7)
		for _, place := range t.orders(list) {
			order := t.get(with(place, "page[size]", "20")).ids()
			for _, size := range []string{"1", "2", "3", "7"} {
				forward := t.walk(with(place, "page[size]", size), "next", len(ids))
				t.holds(slices.Equal(slices.Concat(forward...), order), "%s by %s: %v, not %v", place, size, forward, order)
				end := with(place, "page[size]", size)
				for next := end; next != ""; next = t.get(end).link("next") {
					end = next
				}
				backward := t.walk(end, "prev", len(ids))
				slices.Reverse(backward)
				t.holds(slices.Equal(slices.Concat(backward...), order), "%s back by %s: %v, not %v", place, size, backward, order)
			}
		}
	}},
}

// pages is a shelf of n items in a server that follows the profile.
func (t *trial) pages(n int) (list string, ids []string) {
	t.needs(t.Cursor, "cursor pagination")
	return t.shelf(n)
}

// orders are a list as it is, and in each order that it can be sorted by.
func (t *trial) orders(list string) []string {
	orders := []string{list}
	for _, sort := range t.Sorts {
		orders = append(orders, with(list, "sort", sort), with(list, "sort", reversed(sort)))
	}
	return orders
}

// asked is a list by the profile without page[size].
func (t *trial) asked(list string) *answer {
	return t.get(list, "Accept", MediaType+`; profile="`+CursorProfile+`"`)
}

// cursors are those of a list's items.
func (t *trial) cursors(list string) []string {
	a := t.get(with(list, "page[size]", "20"))
	var cursors []string
	for _, item := range a.list() {
		cursor := text(at(item, "meta", "page", "cursor"))
		t.must(cursor != "", "an item without a cursor: %s", a)
		cursors = append(cursors, cursor)
	}
	t.must(len(cursors) > 0, "%s", a)
	return cursors
}

// another creates one more item on the shelf of a list.
func (t *trial) another(list string) {
	shelf := t.get(list)
	t.must(len(shelf.list()) > 0, "%s", shelf)
	document := t.fresh(t.Item)
	object(at(document, "data", "attributes"))[t.Item.Text] = at(shelf.list()[0], "attributes", t.Item.Text)
	a := t.post(t.Item.Path, document)
	t.must(a.status == http.StatusCreated, "%s", a)
}

// explains reports whether an error of the answer has the link of a type that the cursor profile defines.
func (a *answer) explains(kind string) bool {
	return slices.ContainsFunc(array(a.document["errors"]), func(e any) bool {
		link := at(e, "links", "type")
		uri := CursorProfile + "/" + kind
		return href(link) == uri || slices.ContainsFunc(array(link), func(one any) bool { return href(one) == uri })
	})
}
