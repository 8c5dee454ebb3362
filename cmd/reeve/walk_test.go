package main

import (
	"flag"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"reeve/fixtures"
	"reeve/resource"
	"reeve/resource/user"
)

var walkUsers = flag.Int("users", 3_000, "how many users the walks go over")

// TestWalk goes over generated users forward and backward, by the links alone, and sees each exactly once; the
// total of every page is what SQL counts.
func TestWalk(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		if err := fixtures.Generate(t.Context(), s.app.database, s.app.stores(), *walkUsers, func(int) {}); err != nil {
			t.Fatal(err)
		}
		for _, filter := range []struct{ parameters, where string }{
			{"", "TRUE"},
			{"filter[status]=active", "locked_at IS NULL AND deactivated_at IS NULL"},
			{"filter[can_request_admin]=true&filter[status]=active", "can_request_admin = TRUE AND locked_at IS NULL AND deactivated_at IS NULL"},
			{"filter[status]=locked&filter[status]=deactivated", "locked_at IS NOT NULL OR deactivated_at IS NOT NULL"},
		} {
			want := s.count("SELECT count(*) FROM users WHERE " + filter.where)
			for _, size := range []int{1, 7, 100, 1000} {
				most := want
				if size == 1 {
					most = min(want, 500) // a part of it
				}
				t.Run(fmt.Sprintf("%s by %d", filter.parameters, size), func(t *testing.T) {
					s := *s
					s.T = t
					forward := s.walk(filter.parameters, "first", size, want, most)
					backward := s.walk(filter.parameters, "last", size, want, most)
					slices.Reverse(backward)
					if !slices.IsSorted(forward) || !slices.IsSorted(backward) {
						t.Error("the ids do not ascend")
					}
					for name, ids := range map[string][]string{"forward": forward, "backward": backward} {
						if distinct := len(slices.Compact(slices.Clone(ids))); distinct != len(ids) || distinct < most {
							t.Errorf("%s: %d ids, %d of them distinct, of %d", name, len(ids), distinct, most)
						}
					}
					if most == want && !slices.Equal(forward, backward) {
						t.Error("the two ways see different users")
					}
				})
			}
		}
	})
}

// walk follows next from the first page, or prev from the last, until it has seen most ids. It sees that the
// opposite link of each page leads back to the one before, and that the total never changes.
func (s *server) walk(parameters, from string, size, total, most int) (ids []string) {
	s.Helper()
	onward, back := "next", "prev"
	if from == "last" {
		onward, back = "prev", "next"
	}
	path := fmt.Sprintf("/api/admin/v1/users?page[%s]=%d", from, size)
	if parameters != "" {
		path += "&" + parameters
	}
	var before []string
	for path != "" && len(ids) < most {
		page := s.send("GET", path, nil)
		if page.StatusCode != 200 {
			s.Fatalf("%s: %s", path, page.text)
		}
		if got := dig(page.document, "meta", "count"); got != float64(total) {
			s.Fatalf("%s: the count is %v, not %d", path, got, total)
		}
		here := idsOf(page.document)
		if from == "last" {
			slices.Reverse(here)
		}
		ids = append(ids, here...)
		previous, linked := dig(page.document, "links", back).(string)
		if linked != (before != nil) {
			s.Fatalf("%s: link %s is %q", path, back, previous)
		}
		// Every page's way back is looked at where there are few pages, else one in fifty.
		if linked && (total/size < 50 || len(ids)/size%50 == 0) {
			got := idsOf(s.send("GET", previous, nil).document)
			if from == "last" {
				slices.Reverse(got)
			}
			if !slices.Equal(got, before) {
				s.Fatalf("%s: %s leads to %v, not %v", path, back, got, before)
			}
		}
		before = here
		path, _ = dig(page.document, "links", onward).(string)
	}
	return ids
}

// TestSortedWalk goes over every list in every order that it is declared to have, and the reverse, by the links
// alone: both ways see the same, each resource once.
func TestSortedWalk(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		if err := fixtures.Generate(t.Context(), s.app.database, s.app.stores(), 40, func(int) {}); err != nil {
			t.Fatal(err)
		}
		s.stamped()
		s.rest()
		for _, d := range s.app.engine.Registry().Descriptions() {
			for _, sort := range d.Sorts {
				order := resource.ParseOrder(sort)
				for _, order := range []resource.Order{order, order.Reverse()} {
					path := "/api/admin/v1/" + d.Path() + "?sort=" + parameter(order)
					forward := s.follow(path+"&page[first]=7", "next")
					backward := s.follow(path+"&page[last]=7", "prev")
					slices.Reverse(backward)
					total := dig(s.send("GET", path, nil).document, "meta", "count")
					distinct := slices.Compact(slices.Sorted(slices.Values(forward)))
					if !slices.Equal(forward, backward) || float64(len(distinct)) != total || len(distinct) != len(forward) {
						t.Errorf("%s: of %v, forward %v, backward %v", path, total, forward, backward)
					}
				}
			}
		}
	})
}

// parameter is the value of the parameter sort that asks for an order.
func parameter(order resource.Order) string {
	var fields []string
	for _, key := range order.Keys() {
		sign := ""
		if key.Descending {
			sign = "-"
		}
		fields = append(fields, sign+key.Attribute)
	}
	return strings.Join(fields, ",")
}

// follow reads the pages of a list along one link, in the order in which they are read.
func (s *server) follow(path, link string) (ids []string) {
	s.Helper()
	for path != "" {
		page := s.send("GET", path, nil)
		if page.StatusCode != 200 {
			s.Fatalf("%s: %s", path, page.text)
		}
		here := idsOf(page.document)
		if link == "prev" {
			slices.Reverse(here)
		}
		ids = append(ids, here...)
		path, _ = dig(page.document, "links", link).(string)
	}
	return ids
}

func idsOf(document map[string]any) []string {
	ids := []string{}
	data, _ := document["data"].([]any)
	for _, item := range data {
		ids = append(ids, fmt.Sprint(dig(item, "id")))
	}
	return ids
}

// TestConcurrentWalk walks while users are created, locked, unlocked and deleted, with and without a filter, both
// ways, in pages of any size: whoever meets the filter throughout is seen exactly once.
func TestConcurrentWalk(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		if err := fixtures.Generate(t.Context(), s.app.database, s.app.stores(), 300, func(int) {}); err != nil {
			t.Fatal(err)
		}
		all := idsOf(s.get("users?page[first]=1000"))
		active := idsOf(s.get("users?page[first]=1000&filter[status]=active"))
		flickering := active[len(active)-40:] // locked and unlocked meanwhile
		var writers sync.WaitGroup
		stop := make(chan struct{})
		for writer := range 3 {
			writers.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					if err := s.disturb(flickering, writer, n); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		end := sync.OnceFunc(func() { close(stop); writers.Wait() })
		defer end()
		rapid.Check(t, func(r *rapid.T) {
			from, onward := "first", "next"
			if rapid.Bool().Draw(r, "backward") {
				from, onward = "last", "prev"
			}
			path := fmt.Sprintf("/api/admin/v1/users?page[%s]=%d", from, rapid.IntRange(5, 60).Draw(r, "size"))
			throughout := all
			if rapid.Bool().Draw(r, "filtered") {
				path, throughout = path+"&filter[status]=active", active[:len(active)-40]
			}
			seen := map[string]int{}
			for path != "" {
				page := s.send("GET", path, nil)
				if page.StatusCode != 200 {
					r.Fatalf("%s: %d %s", path, page.StatusCode, page.text)
				}
				for _, id := range idsOf(page.document) {
					seen[id]++
				}
				path, _ = dig(page.document, "links", onward).(string)
			}
			for _, id := range throughout {
				if seen[id] != 1 {
					r.Errorf("%s was seen %d times", id, seen[id])
				}
			}
			for id, times := range seen {
				if times > 1 {
					r.Errorf("%s was seen %d times", id, times)
				}
			}
		})
		end()
		if n := s.count("SELECT count(*) FROM users"); n != len(all) {
			t.Errorf("%d users are left of %d", n, len(all))
		}
	})
}

// disturb creates a user in the midst of the others or behind them, locks and deletes it, and locks or unlocks one
// of the flickering.
func (s *server) disturb(flickering []string, writer, n int) error {
	u := &user.User{ID: ulid.Make(), Username: fmt.Sprintf("passing-%d-%d", writer, n)}
	if n%2 == 0 {
		u.ID = resource.NamedID("passing", u.Username)
		if err := u.ID.SetTime(ulid.MustParse("01J3G5W8MRMBJ93ZYEGX2BN6NK").Time()); err != nil {
			return err
		}
	}
	users, ctx := s.app.users, s.Context()
	turn := func(u *user.User) error {
		if u.LockedAt.IsZero() {
			u.LockedAt = resource.Cut(u.ID.Timestamp())
		} else {
			u.LockedAt = time.Time{}
		}
		return nil
	}
	if err := users.Create(ctx, u); err != nil {
		return err
	}
	if _, err := users.Update(ctx, u.ID, turn); err != nil {
		return err
	}
	if _, err := users.Update(ctx, ulid.MustParse(flickering[(n*3+writer)%len(flickering)]), turn); err != nil {
		return err
	}
	return users.Delete(ctx, u.ID)
}

// TestLinksKeepTheFilters sees that a value is encoded in links so that they give the same page.
func TestLinksKeepTheFilters(t *testing.T) {
	s := start(t, "sqlite://"+t.TempDir()+"/reeve.db", everything)
	for _, value := range []string{"a", "100%", "a&b=c", "a+b", "zoë", "#", "a b", "[x]"} {
		page := s.get("users?filter[search]=" + url.QueryEscape(value) + "&page[first]=2")
		again := s.send("GET", dig(page, "links", "self").(string), nil)
		if !slices.Equal(idsOf(page), idsOf(again.document)) || dig(page, "meta", "count") != dig(again.document, "meta", "count") {
			t.Errorf("%q: %s gives another page", value, dig(page, "links", "self"))
		}
		if last := s.send("GET", dig(page, "links", "last").(string), nil); dig(page, "meta", "count") != dig(last.document, "meta", "count") {
			t.Errorf("%q: %s gives another list", value, dig(page, "links", "last"))
		}
	}
	if page := s.get("users?filter[search]=" + url.QueryEscape("100%")); len(idsOf(page)) != 1 {
		t.Errorf("%% is a wildcard, or finds nothing: %v", idsOf(page))
	}
	if page := s.get("users?filter[search]=under_score"); len(idsOf(page)) != 1 {
		t.Errorf("_ is a wildcard, or finds nothing: %v", idsOf(page))
	}
}
