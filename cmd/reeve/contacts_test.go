package main

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// named are the ids of some of the demo's users.
func (s *server) named(names ...string) map[string]string {
	s.Helper()
	ids := map[string]string{}
	for _, name := range names {
		ids[name] = idOf(s.get("users/by-username/" + name))
	}
	return ids
}

// contacts is the document that makes a contact of a user.
func contacts(user, other string, attributes map[string]any) map[string]any {
	if attributes == nil {
		attributes = map[string]any{}
	}
	return resourceDocument("contact", "", attributes, map[string]any{"user": toOne("user", user), "contact": toOne("user", other)})
}

// roster is what the entries of a user say, by username: subscription, whether it is manual, groups.
func (s *server) roster(id string) map[string]string {
	s.Helper()
	roster := map[string]string{}
	page := s.get("contacts?page[first]=1000&include=contact&filter[user]=" + id)
	names := map[string]string{}
	some, _ := page["included"].([]any)
	for _, user := range some {
		names[fmt.Sprint(dig(user, "id"))] = fmt.Sprint(dig(user, "attributes", "username"))
	}
	for _, entry := range page["data"].([]any) {
		of := func(name string) any { return dig(entry, "attributes", name) }
		roster[names[fmt.Sprint(dig(entry, "relationships", "contact", "data", "id"))]] = fmt.Sprint(of("subscription"), " ", of("manual"), " ", of("groups"))
	}
	return roster
}

// rosters compares the rosters of some users with what they should be: who stands there, and what their entries say.
func (s *server) rosters(when string, ids map[string]string, want map[string]map[string]string) {
	s.Helper()
	for name := range ids {
		if got := s.roster(ids[name]); !maps.Equal(got, want[name]) {
			s.Errorf("%s, the roster of %s is %v, not %v", when, name, got, want[name])
		}
	}
}

func TestContacts(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		id := s.named("ada", "annie", "barbara")
		events := s.events()
		made := s.do(201, "POST", "contacts", contacts(id["ada"], id["annie"], map[string]any{"name": "Al", "groups": []string{"Friends"}}))
		if n := s.events() - events; n != 2 {
			t.Errorf("%d events tell of two entries", n)
		}
		s.rosters("made", id, map[string]map[string]string{"ada": {"annie": "both true [Friends]"}, "annie": {"ada": "both true []"}})
		for _, pair := range [][2]string{{"ada", "annie"}, {"annie", "ada"}} {
			s.do(409, "POST", "contacts", contacts(id[pair[0]], id[pair[1]], nil))
		}
		s.do(422, "POST", "contacts", contacts(id["ada"], id["ada"], nil))
		s.do(404, "POST", "contacts", contacts(id["ada"], "01J2KDPHTZYW3TAT1SKVAD63SR", nil))
		s.do(403, "PATCH", "contacts/"+idOf(made), resourceDocument("contact", idOf(made), map[string]any{"manual": false}, nil))

		// What one side says, the other one says the other way round.
		changed := s.do(200, "PATCH", "contacts/"+idOf(made), resourceDocument("contact", idOf(made), map[string]any{"subscription": "to", "ask": "subscribe"}, nil))
		if dig(changed, "data", "attributes", "name") != "Al" {
			t.Errorf("changed: %v", changed)
		}
		s.rosters("changed", id, map[string]map[string]string{"ada": {"annie": "to true [Friends]"}, "annie": {"ada": "from true []"}})
		if n := len(idsOf(s.get("contacts?filter[subscription]=from&filter[contact]=" + id["ada"]))); n != 1 {
			t.Errorf("%d entries hear of ada alone", n)
		}
		with := s.get("users/" + id["ada"] + "?include=sessions,contacts")
		if n := len(idsOf(map[string]any{"data": dig(with, "data", "relationships", "contacts", "data")})); n != 1 {
			t.Errorf("ada with contacts: %v", with)
		}

		events = s.events()
		s.do(204, "DELETE", "contacts/"+idOf(made), nil)
		if n := s.events() - events; n != 2 {
			t.Errorf("%d events tell of two entries that went", n)
		}
		s.rosters("removed", id, nil)

		// What refers to a user goes with them, though nobody serves it.
		s.do(201, "POST", "contacts", contacts(id["ada"], id["barbara"], nil))
		s.module(200, "contacts", "unload")
		s.do(204, "DELETE", "users/"+id["barbara"], nil)
		if n := s.count("SELECT count(*) FROM contacts WHERE manual = TRUE"); n != 0 {
			t.Errorf("%d contacts of nobody", n)
		}
	})
}

// TestContactsOnStreams sees that users hear of their own entries, though they may not read the trail, and of no others:
// neither who did it nor what stands in the rosters of others.
func TestContactsOnStreams(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		ada := s.named("ada")["ada"]
		billyID, billy := s.entered("billy")
		_, montana := s.entered("montana")
		mine, others := s.listen("?events=contact", billy).ready(), s.listen("", montana).ready()
		hears := func(want string) (about any) {
			t.Helper()
			e := mine.hear()
			text := fmt.Sprint(e.data)
			if e.name != "event" || e.id == "" || e.verb() != want || strings.Contains(text, "actor") || strings.Contains(text, "127.0.0.1") || strings.Contains(text, "Pilgrim") {
				t.Errorf("not %s: %+v", want, e)
			}
			return dig(e.data, "relationships", "target", "data", "id")
		}
		made := idOf(s.do(201, "POST", "contacts", contacts(billyID, ada, map[string]any{"name": "Countess"})))
		hears("contact.create")
		s.do(200, "PATCH", "contacts/"+made, resourceDocument("contact", made, map[string]any{"ask": "subscribe"}, nil))
		if about := hears("contact.update"); about != made {
			t.Errorf("about %v", about)
		}
		s.do(204, "DELETE", "contacts/"+made, nil)
		hears("contact.delete")
		s.do(201, "POST", "contacts", contacts(ada, billyID, map[string]any{"name": "Pilgrim"}))
		hears("contact.create")
		s.write("that is all", "montana")
		if got := strings.Join(others.texts(1), ", "); got != "message that is all" {
			t.Errorf("another one hears %s", got)
		}
	})
}

// TestConcurrentContacts has both sides add each other at the same moment: one pair comes of it.
func TestConcurrentContacts(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		id := s.named("ada", "annie")
		for range 10 {
			statuses := make(chan int, 2)
			for _, pair := range [][2]string{{"ada", "annie"}, {"annie", "ada"}} {
				go func() {
					a, _ := s.try("POST", "/api/admin/v1/contacts", contacts(id[pair[0]], id[pair[1]], nil))
					statuses <- a.StatusCode
				}()
			}
			got := []int{<-statuses, <-statuses}
			slices.Sort(got)
			if !slices.Equal(got, []int{201, 409}) {
				t.Errorf("at once: %v", got)
			}
			s.do(204, "DELETE", "contacts/"+idsOf(s.get("contacts?filter[user]=" + id["ada"]))[0], nil)
			if n := s.count("SELECT count(*) FROM contacts WHERE manual = TRUE"); n != 0 {
				t.Fatalf("%d entries are left", n)
			}
		}
	})
}

func TestContactsOfGroups(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		id := s.named("ada", "annie", "barbara")
		all := func(says ...string) map[string]map[string]string {
			want := map[string]map[string]string{}
			for i, pair := range [][2]string{{"ada", "annie"}, {"ada", "barbara"}, {"annie", "barbara"}} {
				if i < len(says) && says[i] != "" {
					for n, name := range pair {
						if want[name] == nil {
							want[name] = map[string]string{}
						}
						want[name][pair[1-n]] = says[i]
					}
				}
			}
			return want
		}
		group := func(key string, members ...string) string {
			return idOf(s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"key": key, "name": strings.ToUpper(key)},
				map[string]any{"members": toMany("user", members...)})))
		}
		members := func(method, group string, meta map[string]any, some ...string) {
			t.Helper()
			document := toMany("user", some...)
			if meta != nil {
				document["meta"] = meta
			}
			s.do(204, method, "groups/"+group+"/relationships/members", document)
		}
		s.do(201, "POST", "contacts", contacts(id["ada"], id["annie"], nil))
		events := s.events()
		g := group("one", id["ada"], id["annie"])
		if n := s.events() - events; n != 1 {
			t.Errorf("%d events, though all were contacts already", n)
		}
		events = s.events()
		members("POST", g, nil, id["barbara"])
		s.rosters("joined", id, all("both true [ONE]", "both false [ONE]", "both false [ONE]"))
		if n := s.events() - events; n != 2 {
			t.Errorf("%d events tell of one who joined, and of the pairs", n)
		}
		if n := s.count("SELECT count FROM events WHERE verb = 'sync' ORDER BY id DESC LIMIT 1"); n != 2 {
			t.Errorf("the event tells of %d pairs", n)
		}

		// What another group says stays, and the names of both stand there, also the new one.
		h := group("two", id["ada"], id["barbara"])
		s.do(200, "PATCH", "groups/"+h, resourceDocument("group", h, map[string]any{"name": "Second"}, nil))
		s.rosters("in two groups", id, all("both true [ONE]", "both false [ONE Second]", "both false [ONE]"))
		entry := idsOf(s.get("contacts?filter[user]=" + id["ada"] + "&filter[contact]=" + id["barbara"]))[0]
		tag := s.send("GET", "/api/admin/v1/contacts/"+entry, nil).Header.Get("ETag")
		a := s.send("PATCH", "/api/admin/v1/contacts/"+entry, resourceDocument("contact", entry, map[string]any{"groups": []string{"Second", "ONE", "Navy"}}, nil), "If-Match: "+tag)
		if got := fmt.Sprint(dig(a.document, "data", "attributes", "groups")); a.StatusCode != 200 || got != "[Navy ONE Second]" {
			t.Errorf("%d: %s", a.StatusCode, a.text)
		}
		members("DELETE", g, nil, id["ada"])
		want := all("both true []", "both false [Second]", "both false [ONE]")
		want["ada"]["barbara"] = "both false [Navy Second]"
		s.rosters("left one of two", id, want)

		// What is kept stays without a group.
		s.do(200, "POST", "contacts/"+entry+"/keep", nil)
		s.do(204, "DELETE", "groups/"+h, nil)
		s.do(204, "DELETE", "groups/"+g, nil)
		want = all("both true []", "both true []")
		want["ada"]["barbara"] = "both true [Navy]"
		s.rosters("without groups", id, want)
		s.do(204, "DELETE", "contacts/"+entry, nil)

		// What is delayed waits for the next change that is not, or for a sync.
		g = group("three", id["ada"])
		delayed := map[string]any{"delay_update": true}
		members("POST", g, delayed, id["barbara"])
		s.rosters("delayed", id, all("both true []"))
		members("POST", g, nil, id["annie"])
		s.rosters("no longer delayed", id, all("both true [THREE]", "both false [THREE]", "both false [THREE]"))
		members("DELETE", g, delayed, id["barbara"])
		members("DELETE", g, delayed, id["ada"])
		s.rosters("leaving delayed", id, all("both true []", "both false []", "both false []"))
		if done := s.do(200, "POST", "groups/"+g+"/sync", nil); fmt.Sprint(done["meta"]) != "map[settled:2 waiting:0]" {
			t.Errorf("sync: %v", done)
		}
		s.rosters("synced", id, all("both true []"))
		events = s.events()
		s.do(200, "POST", "groups/"+g+"/sync", nil)
		if s.events() != events {
			t.Error("a sync that found nothing to do left an event")
		}
		wrong := toMany("user", id["ada"])
		wrong["meta"] = map[string]any{"delay_update": "yes", "whatever": 1}
		refused := s.send("POST", "/api/admin/v1/groups/"+g+"/relationships/members", wrong)
		if refused.StatusCode != 422 || dig(refused.document, "errors", 0, "source", "pointer") != "/meta/delay_update" {
			t.Errorf("%d %s", refused.StatusCode, refused.text)
		}

		// While nobody serves contacts, all waits.
		members("POST", g, nil, id["barbara"])
		s.module(200, "contacts", "unload")
		s.do(409, "POST", "groups/"+g+"/sync", nil)
		members("POST", g, nil, id["ada"])
		s.do(204, "DELETE", "groups/"+g, nil)
		last := group("last", id["annie"], id["barbara"])
		s.module(200, "contacts", "load")
		s.settled()
		s.rosters("served again", id, all("both true []", "", "both false [LAST]"))
		s.do(204, "DELETE", "groups/"+last, nil)
		s.rosters("in the end", id, all("both true []"))
		if n := s.count("SELECT count(*) FROM waiting_members"); n != 0 {
			t.Errorf("%d still wait", n)
		}

		s.module(200, "messages", "unload")
		s.do(409, "POST", "groups", resourceDocument("group", "", map[string]any{"name": "Room", "create_default_room": true}, nil))
	})
}

// settled waits until nobody's contacts wait any more.
func (s *server) settled() {
	s.Helper()
	eventually(s.T, 10*time.Minute, "nobody waits", func() bool { return s.count("SELECT count(*) FROM waiting_members") == 0 })
}

var groupSize = flag.Int("members", 130, "how many users TestLargeGroup makes a group of")

// TestLargeGroup has more users become a group than become contacts at once: the others follow.
func TestLargeGroup(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		var lines []string
		size := *groupSize
		for i := range size {
			lines = append(lines, fmt.Sprintf(`{"type":"user","attributes":{"username":"member-%d"}}`, i))
		}
		before := s.count("SELECT count(*) FROM contacts")
		made := func() int { return s.count("SELECT count(*) FROM contacts") - before }
		var some []string
		for _, report := range s.imports("users", lines...) {
			some = append(some, fmt.Sprint(dig(report, "id")))
		}
		g := idOf(s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"name": "Large"}, nil)))
		document := toMany("user", some...)
		document["meta"] = map[string]any{"delay_update": true}
		s.do(204, "POST", "groups/"+g+"/relationships/members", document)
		done := s.do(200, "POST", "groups/"+g+"/sync", nil)
		if settled, _ := dig(done, "meta", "settled").(float64); settled == 0 || settled == float64(size) || dig(done, "meta", "waiting") != float64(size)-settled {
			t.Errorf("at once: %v", done)
		}
		s.settled()
		if n := made(); n != size*(size-1) {
			t.Errorf("%d contacts", n)
		}
		if n := dig(s.get("contacts?count=only&filter[user]="+some[7]), "meta", "count"); n != float64(size-1) {
			t.Errorf("one has %v contacts", n)
		}
		s.do(204, "DELETE", "groups/"+g, nil)
		s.settled()
		if n := made(); n != 0 {
			t.Errorf("%d contacts are left", n)
		}
	})
}
