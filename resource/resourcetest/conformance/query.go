package conformance

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

var query = []Check{
	{"E1", Must, "Sparse Fieldsets", "fields of a type are all that is shown of it, included or not", func(t *trial) {
		s := t.Item
		made := t.create(s)
		a := t.get(with(made.path(), "fields["+s.Type+"]", s.Text+","+s.Nullable))
		t.holds(a.ok() && len(object(at(a.document, "data", "attributes"))) == 2 && len(object(at(a.document, "data", "relationships"))) == 0, "%s", a)
		a = t.get(with(s.Path, "fields["+s.Type+"]", s.Text))
		for _, item := range a.list() {
			t.holds(len(object(at(item, "attributes"))) == 1, "%s", a)
		}
		if r := t.ToMany; r.Name != "" {
			_, owner, _ := t.included()
			a := t.get(with(owner.path(), "include", r.Name, "fields["+r.Related.Type+"]", r.Related.Nullable))
			t.holds(a.ok() && len(array(a.document["included"])) == 2, "%s", a)
			for _, item := range array(a.document["included"]) {
				t.holds(len(object(at(item, "attributes"))) == 1 && at(item, "relationships") == nil, "%s", a)
			}
		}
	}},
	{"E2", Must, "Sparse Fieldsets", "an empty list of fields shows none", func(t *trial) {
		a := t.get(with(t.create(t.Item).path(), "fields["+t.Item.Type+"]", ""))
		data := object(a.document["data"])
		t.holds(a.status == http.StatusOK && len(object(data["attributes"]))+len(object(data["relationships"])) == 0 && text(data["id"]) != "", "%s", a)
	}},
	{"E3", Must, "Sparse Fieldsets", "relationships are fields too", func(t *trial) {
		for _, r := range t.given() {
			path := t.create(r.Owner).path()
			a := t.get(with(path, "fields["+r.Owner.Type+"]", r.Owner.Required))
			t.holds(a.ok() && len(object(at(a.document, "data", "relationships"))) == 0, "without: %s", a)
			a = t.get(with(path, "fields["+r.Owner.Type+"]", r.Name))
			t.holds(a.ok() && at(a.document, "data", "relationships", r.Name) != nil && len(object(at(a.document, "data", "attributes"))) == 0, "with: %s", a)
		}
	}},
	{"E4", Must, "Sorting", "a list is in the order of its sort fields, ascending unless there is a minus", func(t *trial) {
		t.needs(len(t.Sorts) > 0, "sort")
		for range 3 {
			t.create(t.Item)
		}
		for _, sort := range t.Sorts {
			for _, order := range []string{sort, reversed(sort)} {
				a := t.get(with(t.Item.Path, "sort", order))
				t.holds(a.ok() && len(a.list()) > 2 && ordered(a.list(), order), "%s", a)
			}
		}
	}},
	{"E5", Must, "Sorting", "a sort that is not served is 400 and names the parameter", func(t *trial) {
		places := []string{t.Item.Path}
		if t.Plain != "" {
			places = append(places, t.Plain)
		}
		for _, place := range places {
			a := t.get(with(place, "sort", "no_such"))
			t.holds(a.refused(http.StatusBadRequest) && slices.Contains(a.parameters(), "sort"), "%s", a)
		}
	}},
	{"E6", Must, "Pagination", "the links of pages stand beside what they page", func(t *trial) {
		t.needs(t.PageSize != "", "size of pages")
		list, ids := t.shelf(3)
		a := t.get(with(list, t.PageSize, "1"))
		next := a.link("next")
		t.must(next != "", "no next: %s", a)
		t.holds(slices.Equal(t.get(next).ids(), ids[1:2]), "%s", t.get(next))
		for name := range object(a.document["links"]) {
			t.holds(slices.Contains([]string{"self", "related", "describedby", "first", "last", "prev", "next"}, name), "%q: %s", name, a)
		}
	}},
	{"E7", Must, "Pagination", "a page that is not there has no link, or null", func(t *trial) {
		t.needs(t.PageSize != "", "size of pages")
		list, _ := t.shelf(2)
		first := t.get(with(list, t.PageSize, "1"))
		last := t.get(first.link("next"))
		t.holds(first.link("prev") == "" && first.link("next") != "", "%s", first)
		t.holds(last.link("next") == "", "%s", last)
	}},
	{"E8", Must, "Pagination", "the links of pages keep the order", func(t *trial) {
		t.needs(t.PageSize != "" && len(t.Sorts) > 0, "sort, and size of pages")
		list, ids := t.shelf(5)
		for _, sort := range t.Sorts {
			whole := t.get(with(list, "sort", sort, t.PageSize, "5"))
			t.must(whole.ok() && sameSet(whole.ids(), ids), "%s", whole)
			first := with(list, "sort", sort, t.PageSize, "2")
			t.holds(slices.Equal(slices.Concat(t.walk(first, "next", 5)...), whole.ids()), "%s: forward", sort)
			if last := t.get(first).link("last"); last != "" {
				pages := t.walk(last, "prev", 5)
				slices.Reverse(pages)
				t.holds(slices.Equal(slices.Concat(pages...), whole.ids()), "%s: backward %v, not %v", sort, pages, whole.ids())
			}
		}
	}},
	{"E9", Should, "Pagination", "pages have parameters of the family page, and filters of filter", func(t *trial) {
		if t.PageSize != "" {
			t.holds(strings.HasPrefix(t.PageSize, "page["), "%s", t.PageSize)
			t.create(t.Item)
			t.create(t.Item)
			a := t.get(with(t.Item.Path, t.PageSize, "1"))
			next, err := url.Parse(a.link("next"))
			t.must(err == nil && a.link("next") != "", "no next: %s", a)
			for name := range next.Query() {
				t.holds(strings.HasPrefix(name, "page["), "%q in %s", name, next)
			}
		}
		if t.Item.Filter != "" {
			t.holds(strings.HasPrefix(t.Item.Filter, "filter["), "%s", t.Item.Filter)
		}
	}},
	{"E10", Must, "Pagination", "the pages of a relationship are pages of its linkage", func(t *trial) {
		t.needs(t.PageSize != "", "size of pages")
		_, owner, ids := t.included()
		first := t.get(with(owner.linkage(t.ToMany.Name), t.PageSize, "1"))
		second := t.get(first.link("next"))
		seen := append(first.list(), second.list()...)
		t.holds(sameSet(idsOf(seen), ids), "%s, then %s", first, second)
		for _, item := range seen {
			t.holds(at(item, "attributes") == nil, "%s", first)
		}
	}},
	{"E11", Must, "Implementation-Specific Query Parameters", "parameters of the server's own have a character other than a-z", func(t *trial) {
		for _, name := range append([]string{"q", "search", "limit"}, t.Parameters...) {
			if regexp.MustCompile(`^[a-z]+$`).MatchString(name) {
				a := t.get(with(t.Item.Path, name, "true"))
				t.holds(a.refused(http.StatusBadRequest), "%s", a)
			}
		}
	}},
	{"E12", Must, "Query Parameters", "an unknown parameter, or member of a family, is 400 and named", func(t *trial) {
		for _, name := range []string{"noSuch", "no_such", "page[no_such]", "filter[no_such]", "fields[no-such-type]", "Sort"} {
			a := t.get(with(t.Item.Path, name, "1"))
			t.holds(a.refused(http.StatusBadRequest) && slices.Contains(a.parameters(), name), "%s", a)
		}
	}},
	{"E13", Must, "Query Parameter Families", "members of families are read by the grammar", func(t *trial) {
		for _, name := range []string{"filter[]", "filter[_]", "filter[a.b]", "filter[a][b]", "filter[a", "page[]", "fields[]", "filter[a]b"} {
			a := t.get(with(t.Item.Path, name, "1"))
			t.holds(a.refused(http.StatusBadRequest) && slices.Contains(a.parameters(), name), "%s", a)
		}
	}},
	{"E14", Must, "Square Brackets in Parameter Names", "brackets mean the same whether they are encoded or not", func(t *trial) {
		field := t.Item.Text
		raw := t.get(t.Item.Path + "?fields[" + t.Item.Type + "]=" + field)
		encoded := t.get(t.Item.Path + "?fields%5B" + t.Item.Type + "%5D=" + field)
		t.must(raw.ok() && encoded.ok(), "%s; %s", raw, encoded)
		t.holds(len(raw.list()) > 0 && same(raw.document["data"], encoded.document["data"]), "%s, but %s", raw, encoded)
		a := t.get(t.Item.Path + "?filter[no_such]=1")
		t.holds(a.refused(http.StatusBadRequest), "%s", a)
	}},
	{"E15", Must, "Square Brackets in Parameter Names", "brackets are encoded in the links of the server", func(t *trial) {
		links(t.survey(), func(a *answer, name string, link any) {
			if _, parameters, there := strings.Cut(href(link), "?"); there {
				t.holds(!strings.ContainsAny(parameters, "[]"), "%s is %s", name, href(link))
			}
		})
	}},
	{"E16", Must, "Query Parameters", "a query is application/x-www-form-urlencoded", func(t *trial) {
		s := t.Item
		t.needs(s.Filter != "", "filter")
		name := word() + " ä+&%"
		document := t.fresh(s)
		object(at(document, "data", "attributes"))[s.Text] = name
		created := t.post(s.Path, document)
		t.must(created.status == http.StatusCreated, "%s", created)
		plus := url.QueryEscape(name)
		for _, value := range []string{plus, strings.ReplaceAll(plus, "+", "%20")} {
			a := t.get(s.Path + "?" + url.QueryEscape(s.Filter) + "=" + value)
			t.holds(a.status == http.StatusOK && slices.Equal(a.ids(), created.ids()), "%s", a)
		}
	}},
	{"E17", Must, "Extension Query Parameters", "a parameter of an extension that is not applied is 400", func(t *trial) {
		for _, name := range []string{"foreign:name", "foreign:name[member]"} {
			a := t.get(with(t.Item.Path, name, "1"))
			t.holds(a.refused(http.StatusBadRequest) && slices.Contains(a.parameters(), name), "%s", a)
		}
	}},
}

// same reports whether two values are equal as JSON.
func same(a, b any) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && string(x) == string(y)
}

// reversed is a value of sort that asks for the opposite order.
func reversed(sort string) string {
	fields := strings.Split(sort, ",")
	for i, field := range fields {
		if name, descends := strings.CutPrefix(field, "-"); descends {
			fields[i] = name
		} else {
			fields[i] = "-" + field
		}
	}
	return strings.Join(fields, ",")
}

// ordered reports whether resources stand in the order of a value of sort. Where null stands is the server's choice.
func ordered(items []any, sort string) bool {
	return slices.IsSortedFunc(items, func(a, b any) int {
		for field := range strings.SplitSeq(sort, ",") {
			name, descends := strings.CutPrefix(field, "-")
			x, y := at(a, "attributes", name), at(b, "attributes", name)
			if x == nil || y == nil {
				if x != y {
					return 0
				}
				continue
			}
			c := compare(x, y)
			if descends {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
}

// compare compares two values of an attribute: numbers by size, times by their order, others as text.
func compare(a, b any) int {
	if x, ok := a.(json.Number); ok {
		if y, ok := b.(json.Number); ok {
			p, err := x.Float64()
			q, err2 := y.Float64()
			if err == nil && err2 == nil {
				return cmp.Compare(p, q)
			}
		}
	}
	x, err := time.Parse(time.RFC3339, text(a))
	y, err2 := time.Parse(time.RFC3339, text(b))
	if err == nil && err2 == nil {
		return x.Compare(y)
	}
	return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
}
