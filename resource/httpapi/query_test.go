package httpapi

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
)

// lamps are a type that can be sorted.
var lamps = &resource.Description{
	Name: "lamp", Plural: "lamps", Sorts: [][]string{{"-lit_at", "name"}},
	Attributes: []resource.AttributeDescription{{Name: "name", Kind: resource.String}, {Name: "lit_at", Kind: resource.Time}},
}

// FuzzQuery holds that whatever the parser takes, the links made of it ask the same again.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"", "&&", "=", "filter[can_request_admin]=true&filter[status]=active&page[first]=100",
		"page%5Blast%5D=7&page[before]=01J2KDPHTZYW3TAT1SKVAD63SQ&count=only", "page[after]=01j2kdphtzyw3tat1skvad63sq",
		"filter[a]=1&filter[b][after]=x+y&filter[a]=%2B%26%3D%23", "page[first]=0&page[last]=x", "filter[]=1", "filter[a][b][c]=1",
		"%zz=1", "a=%00", "%ff", "filter[a]=\xff", "count=maybe&count", "filter[a%26]=1",
		"sort=-lit_at,name&page[size]=3&page[before]=", "sort=id&page[size]=9999", "include=user,session.user&fields[user]=&page[count]=only",
		"sort=lit_at,-name&page[after]=WyJsaXRfYXQiLG51bGwsIm5hbWUiLCJhIiwiMDFKMktEUEhUWllXM1RBVDFTS1ZBRDYzU1EiXQ&max_affected=3",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, raw string, pages bool) {
		takes := takes{filters: true, shows: true, affected: true}
		if pages {
			takes.pages, takes.sorts = lamps, true
		}
		q, problems := parseQuery(raw, takes)
		for _, problem := range problems {
			if !resource.Is(problem, resource.InvalidParameter, resource.UnknownParameter, resource.UnsupportedSort) {
				t.Errorf("%q is %s", raw, problem.Code)
			}
		}
		if len(problems) > 0 {
			return
		}
		for _, filter := range q.filters {
			if strings.Trim(filter.Name+string(filter.Qualifier), "abcdefghijklmnopqrstuvwxyz_0123456789") != "" {
				return // no type declares such a filter, so that the engine refuses it before there is a link
			}
		}
		again := func(link string) query {
			t.Helper()
			_, raw, _ := strings.Cut(link, "?")
			parsed, problems := parseQuery(raw, takes)
			if len(problems) > 0 {
				t.Fatalf("%q made %q: %s", raw, link, problems)
			}
			return parsed
		}
		self := q.link("/users")
		if diff := cmp.Diff(q, again(self), cmp.AllowUnexported(query{}, parameter{})); diff != "" {
			t.Errorf("%q made %q: %s", raw, self, diff)
		}
		if !pages {
			return
		}
		place := &pagination.Cursor{ID: ulid.ULID{1, 2, 3}}
		for _, key := range q.order.Keys() {
			place.Values = append(place.Values, map[string]any{"name": "É&=", "lit_at": time.Date(2024, 7, 12, 1, 2, 3, 4000, time.UTC)}[key.Attribute])
		}
		for _, window := range []pagination.Window{
			pagination.First(3), pagination.Last(1000), q.window.Next(place), q.window.Prev(place), q.window,
		} {
			if q.profile && window.Before == nil && window.Backward != (window.After == nil) {
				continue // the profile has no such page
			}
			link := q.link("/users", q.ask(window)...)
			got := again(link)
			if diff := cmp.Diff(window, got.window); diff != "" {
				t.Errorf("%q made %q: %s", raw, link, diff)
			}
			if diff := cmp.Diff(q.filters, got.filters); diff != "" || got.count != q.count {
				t.Errorf("%q made %q: %s", raw, link, diff)
			}
		}
	})
}

// FuzzCursor holds that a cursor is a ULID in either case and nothing else, and comes back as it is.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{
		"01J2KDPHTZYW3TAT1SKVAD63SQ", "01j2kdphtzyw3tat1skvad63sq", "", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
		"01J2KDPHTZYW3TAT1SKVAD63SU", "01J2KDPHTZYW3TAT1SKVAD63S", "\u0131", "\u212a", "\x00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		link := (&query{parameters: []parameter{{"page[after]", cursor}}}).link("/users")
		_, raw, _ := strings.Cut(link, "?")
		q, problems := parseQuery(raw, takes{pages: lamps})
		if (q.window.After == nil) != (len(problems) == 1) {
			t.Fatalf("%q: %v, %v", cursor, q.window.After, problems)
		}
		if q.window.After != nil && q.window.After.ID.String() != strings.ToUpper(cursor) {
			t.Errorf("%q is read as %s", cursor, q.window.After)
		}
		if q.window.After == nil && problems[0].Parameter != "page[after]" {
			t.Errorf("%q: %+v", cursor, problems[0])
		}
	})
}

// TestUnknownParameter sees that what a client is told to ask for instead is not refused as well.
func TestUnknownParameter(t *testing.T) {
	for _, takes := range []takes{{}, {shows: true}, {pages: lamps}, {pages: lamps, sorts: true, filters: true, shows: true}, {filters: true, affected: true, force: true}} {
		_, problems := parseQuery("x", takes)
		detail := problems[0].Detail
		for word, taken := range map[string]bool{
			"page[first]": takes.pages != nil, "count": takes.pages != nil, "sort": takes.sorts, "include": takes.shows, "fields": takes.shows,
			"filter": takes.filters, "max_affected": takes.affected, "force": takes.force,
		} {
			if strings.Contains(detail, word) != taken {
				t.Errorf("%+v: %s", takes, detail)
			}
		}
	}
}
