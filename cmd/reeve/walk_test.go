package main

import (
	"flag"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/oklog/ulid/v2"

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

func idsOf(document map[string]any) []string {
	ids := []string{}
	data, _ := document["data"].([]any)
	for _, item := range data {
		ids = append(ids, fmt.Sprint(dig(item, "id")))
	}
	return ids
}

// TestConcurrentWalk walks while users are created, locked and deleted, both ways: whoever is there throughout is
// seen exactly once, and every count is one that the database had.
func TestConcurrentWalk(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		if err := fixtures.Generate(t.Context(), s.app.database, s.app.stores(), 300, func(int) {}); err != nil {
			t.Fatal(err)
		}
		lasting := map[string]bool{}
		for path := "/api/admin/v1/users?page[first]=1000"; path != ""; {
			page := s.send("GET", path, nil)
			for _, id := range idsOf(page.document) {
				lasting[id] = true
			}
			path, _ = dig(page.document, "links", "next").(string)
		}
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
					u := &user.User{ID: ulid.Make(), Username: fmt.Sprintf("passing-%d-%d", writer, n)}
					if n%2 == 0 { // in the midst of the others
						u.ID = resource.NamedID("passing", u.Username)
						copy(u.ID[:6], ulid.MustParse("01J3G5W8MRMBJ93ZYEGX2BN6NK").Bytes())
					}
					if err := s.app.users.Create(t.Context(), u); err != nil {
						t.Error(err)
						return
					}
					if _, err := s.app.users.Update(t.Context(), u.ID, func(u *user.User) error { u.LockedAt = u.ID.Timestamp(); return nil }); err != nil {
						t.Error(err)
						return
					}
					if err := s.app.users.Delete(t.Context(), u.ID); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for round := range 6 {
			onward, from := "next", "first"
			if round%2 == 1 {
				onward, from = "prev", "last"
			}
			seen := map[string]int{}
			path := fmt.Sprintf("/api/admin/v1/users?page[%s]=%d", from, 7+round)
			for path != "" {
				page := s.send("GET", path, nil)
				for _, id := range idsOf(page.document) {
					seen[id]++
				}
				if count := dig(page.document, "meta", "count").(float64); count < float64(len(lasting)) || count > float64(len(lasting)+3) {
					t.Errorf("the count is %v", count)
				}
				path, _ = dig(page.document, "links", onward).(string)
			}
			for id := range lasting {
				if seen[id] != 1 {
					t.Errorf("round %d: %s was seen %d times", round, id, seen[id])
				}
			}
		}
		close(stop)
		writers.Wait()
	})
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
