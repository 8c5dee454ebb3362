package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"reeve/fixtures"
	"reeve/resource/message"
)

// entered makes a user who may do nothing but listen, and the header by which they do.
func (s *server) entered(name string) (id, header string) {
	s.Helper()
	id = idOf(s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": name}, nil)))
	made := s.do(201, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": name, "scopes": []string{"urn:reeve:*:*"}},
		map[string]any{"user": toOne("user", id)}))
	return id, "Authorization: Bearer " + fmt.Sprint(dig(made, "data", "attributes", "token"))
}

// write sends a message.
func (s *server) write(body string, to ...string) map[string]any {
	s.Helper()
	return s.do(201, "POST", "messages", resourceDocument("message", "", map[string]any{"body": body, "to": to}, nil))
}

// texts are the next messages that a stream brings.
func (l *listener) texts(n int) (texts []string) {
	l.Helper()
	for range n {
		e := l.hear()
		texts = append(texts, e.name+" "+fmt.Sprint(dig(e.data, "attributes", "body")))
	}
	return texts
}

// states are the states of the recipients of a message, in the order of their making.
func (s *server) states(message map[string]any) (states []string) {
	s.Helper()
	list, _ := s.get("messages/" + idOf(message) + "/recipients")["data"].([]any)
	for _, r := range list {
		state := fmt.Sprint(dig(r, "attributes", "status"))
		if dig(r, "attributes", "delivered_at") != nil {
			state += " delivered"
		}
		states = append(states, state)
	}
	return states
}

// TestMessages sees that messages reach every live stream of their recipients, and wait for those who are away, once.
func TestMessages(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+"server: {name: ilium.example.com}\nmessages: {prefix: 'Note: ', multicast_prefix: 'All: ', broadcast_prefix: 'Hear: '}\n")
		other := s
		if strings.HasPrefix(uri, "postgres") {
			other = s.another(everything)
		}
		_, montana := s.entered("montana")
		billyID, billy := s.entered("billy")
		streams := []*listener{s.listen("", montana).ready(), other.listen("", montana).ready()}

		sent := s.write("hello", "montana")
		if dig(sent, "data", "attributes", "sent") != 1.0 || dig(sent, "data", "attributes", "queued") != 0.0 {
			t.Errorf("to one who is connected: %v", sent)
		}
		for _, l := range streams {
			e := l.hear()
			if e.name != "message" || fmt.Sprint(e.data["attributes"]) != fmt.Sprint(dig(sent, "data", "attributes")) || dig(e.data, "id") != idOf(sent) {
				t.Errorf("%+v of %v", e, sent)
			}
			if dig(e.data, "attributes", "body") != "Note: hello" || dig(e.data, "attributes", "sender") != "ilium.example.com" {
				t.Errorf("%v", e.data)
			}
		}
		both := s.write("both", "billy", "montana", "billy")
		if dig(both, "data", "attributes", "sent") != 1.0 || dig(both, "data", "attributes", "queued") != 1.0 {
			t.Errorf("to one who is connected and one who is not: %v", both)
		}
		for _, l := range streams {
			if got := strings.Join(l.texts(1), ", "); got != "message All: both" {
				t.Errorf("heard %s", got)
			}
		}
		eventually(t, patience, "it is delivered to the one", func() bool { return strings.Join(s.states(both), ", ") == "queued, sent delivered" })
		s.write("second", "billy")
		s.stamped()

		// At the next connection, in order, and then no more.
		waiting := "filter[waiting_for]=" + billyID
		if n := len(idsOf(s.get("recipients?" + waiting))); n != 2 {
			t.Errorf("%d wait", n)
		}
		l := other.listen("", billy)
		if got := strings.Join(l.texts(2), ", "); got != "message All: both, message Note: second" {
			t.Errorf("what waited: %s", got)
		}
		l.ready()
		if got := strings.Join(s.states(both), ", "); got != "queued delivered, sent delivered" {
			t.Errorf("then: %s", got)
		}
		if n := len(idsOf(s.get("recipients?" + waiting))); n != 0 {
			t.Errorf("%d wait still", n)
		}
		l.close()
		l = s.listen("", billy).ready()
		s.write("third", "billy")
		if got := strings.Join(l.texts(1), ", "); got != "message Note: third" {
			t.Errorf("at the second connection: %s", got)
		}
		last := l.last
		l.close()
		eventually(t, patience, "one user is left", func() bool { return s.connected() == 1 })

		// Several, each a text of their own.
		bulk := func(status int, messages ...any) map[string]any {
			t.Helper()
			return s.do(status, "POST", "messages/bulk", map[string]any{"messages": messages})
		}
		one := func(to, body string) map[string]any { return map[string]any{"to": to, "body": body} }
		done := bulk(200, one("montana", "to montana"), one("nobody", "lost"), one("billy", "to billy"), one("billy", ""), "text", map[string]any{"to": 1})
		if dig(done, "meta", "sent") != 1.0 || dig(done, "meta", "queued") != 1.0 {
			t.Errorf("bulk: %v", done)
		}
		rejected := ""
		for i := range 4 {
			rejected += fmt.Sprint(dig(done, "meta", "rejected", i, "index"), " ", dig(done, "meta", "rejected", i, "code"), ", ")
		}
		if rejected != "3 invalid, 4 invalid, 5 invalid, 1 not_found, " {
			t.Errorf("rejected: %s", rejected)
		}
		told := dig(s.get("events?filter[verb]=bulk&filter[target_type]=message"), "data", 0)
		if dig(told, "attributes", "target_type") != "message" || dig(told, "relationships", "target", "data") != nil || dig(told, "attributes", "actor_type") != "user" {
			t.Errorf("the event of the bulk: %v", told)
		}
		bulk(404, one("nobody", "lost"), one("billy", ""))
		bulk(422)
		for _, l := range streams {
			if got := strings.Join(l.texts(1), ", "); got != "message All: to montana" {
				t.Errorf("bulk: %s", got)
			}
		}
		// Broadcasts wait for nobody, but for a stream that goes on.
		b := s.do(201, "POST", "broadcasts", resourceDocument("broadcast", "", map[string]any{"body": "we close"}, nil))
		if dig(b, "data", "attributes", "recipient_count") != 1.0 {
			t.Errorf("%v", b)
		}
		for _, l := range streams {
			if got := strings.Join(l.texts(1), ", "); got != "broadcast Hear: we close" {
				t.Errorf("heard %s", got)
			}
		}
		s.stamped()
		l = s.listen("", billy, "Last-Event-ID: "+last)
		if got := strings.Join(l.texts(2), ", "); got != "message All: to billy, broadcast Hear: we close" {
			t.Errorf("the stream that goes on: %s", got)
		}
		l.close()
		eventually(t, patience, "nothing waits", func() bool { return len(idsOf(s.get("recipients?"+waiting))) == 0 })
		l = s.listen("", billy).ready()
		s.write("fourth", "billy")
		if got := strings.Join(l.texts(1), ", "); got != "message Note: fourth" {
			t.Errorf("a stream that begins: %s", got)
		}

		for body, want := range map[string]int{`{"body": "x", "to": ["nobody", "billy"]}`: 404, `{"body": "x", "to": []}`: 422, `{"body": "", "to": ["billy"]}`: 422, `{"to": ["billy"]}`: 422} {
			a := s.send("POST", "/api/admin/v1/messages", `{"data": {"type": "message", "attributes": `+body+`}}`)
			if pointer := fmt.Sprint(dig(a.document, "errors", 0, "source", "pointer")); a.StatusCode != want || !strings.HasPrefix(pointer, "/data/attributes") {
				t.Errorf("%s: %d %s", body, a.StatusCode, a.text)
			}
		}
		if text := fmt.Sprint(s.get("events?filter[target_type]=message&page[first]=1000")); strings.Contains(text, "fourth") || !strings.Contains(text, "body:map[]") {
			t.Error("the trail says what was written")
		}
		if a := s.send("POST", "/api/admin/v1/messages", resourceDocument("message", "", map[string]any{"body": "x", "to": []string{"billy"}}, nil), billy); a.StatusCode != http.StatusForbidden {
			t.Errorf("a user without the permission: %d", a.StatusCode)
		}

		if n, err := s.app.messages.Prune(t.Context(), message.Before(time.Now().Add(time.Hour)), time.Now(), 1000); err != nil || n == 0 || s.count("SELECT count(*) FROM recipients") != 0 {
			t.Errorf("%d are pruned: %v", n, err)
		}
		// While the module is unloaded, streams go on without it.
		s.do(200, "POST", "modules/by-name/messages/unload", nil)
		if a := s.send("GET", "/api/admin/v1/messages", nil); a.StatusCode != 404 {
			t.Errorf("unloaded: %d", a.StatusCode)
		}
		s.user = fixtures.DemoAdministrator + ":" + fixtures.DemoPassword
		s.listen("").ready()
	})
}
