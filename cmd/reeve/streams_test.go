package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"reeve/fixtures"
)

// listener is a client of a stream.
type listener struct {
	*testing.T
	response *http.Response
	reader   *bufio.Reader
	last     string // the id to go on after
	close    context.CancelFunc
}

// told is a server-sent event.
type told struct {
	id, name string
	data     map[string]any
}

// listen opens a stream, as a client of SSE does.
func (s *server) listen(query string, headers ...string) *listener {
	s.Helper()
	l, err := s.tryListen(query, headers...)
	if err != nil {
		s.Fatal(err)
	}
	return l
}

func (s *server) tryListen(query string, headers ...string) (*listener, error) {
	ctx, cancel := context.WithCancel(s.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", s.bases[0]+"/api/stream"+query, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	if name, password, ok := strings.Cut(s.user, ":"); ok {
		r.SetBasicAuth(name, password)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	response, err := s.client.Do(r)
	if err != nil {
		cancel()
		return nil, err
	}
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		text, _ := io.ReadAll(response.Body)
		cancel()
		return nil, fmt.Errorf("%d %s %s", response.StatusCode, response.Header.Get("Content-Type"), text)
	}
	l := &listener{T: s.T, response: response, reader: bufio.NewReaderSize(response.Body, 2048), close: func() { cancel(); response.Body.Close() }}
	s.Cleanup(l.close)
	return l, nil
}

// next reads what is told next. Blocks without data only say where to go on, and are left out unless they are wanted.
func (l *listener) next(quiet bool) (e told, err error) {
	text, begun := "", false
	for {
		line, err := l.reader.ReadString('\n')
		if err != nil {
			return e, err
		}
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ": ")
		begun = begun || line != ""
		switch field {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			text = value
		case "":
			if begun {
				if e.id != "" {
					l.last = e.id
				}
				if text != "" {
					return e, json.Unmarshal([]byte(text), &e.data)
				}
				if quiet {
					return e, nil
				}
			}
			e, text, begun = told{}, "", false
		}
	}
}

// hear wants something to be told within some seconds.
func (l *listener) hear() told {
	l.Helper()
	late := time.AfterFunc(20*time.Second, l.close)
	defer late.Stop()
	e, err := l.next(false)
	if err != nil {
		l.Fatal("the stream said nothing: ", err)
	}
	return e
}

// ready waits until the stream has begun.
func (l *listener) ready() *listener {
	l.Helper()
	for e, err := l.next(true); l.last == ""; e, err = l.next(true) {
		if err != nil {
			l.Fatal(e, err)
		}
	}
	return l
}

// ended wants the stream to end within a while.
func (l *listener) ended(within time.Duration) {
	l.Helper()
	begun := time.Now()
	late := time.AfterFunc(20*time.Second, l.close)
	defer late.Stop()
	for {
		e, err := l.next(true)
		if errors.Is(err, io.EOF) && time.Since(begun) <= within {
			return
		}
		if err != nil {
			l.Errorf("the stream ended after %s: %v", time.Since(begun), err)
			return
		}
		l.Log(e)
	}
}

// verb is what a told event of the trail is about: user.lock.
func (e told) verb() string {
	return fmt.Sprint(dig(e.data, "attributes", "target_type"), ".", dig(e.data, "attributes", "verb"))
}

// connected are how many users are, by the total that costs nothing.
func (s *server) connected() int {
	s.Helper()
	return int(dig(s.get("users?filter[connected]=true&count=only"), "meta", "count").(float64))
}

// TestStream sees that a stream tells of the trail as far as its user may read it, and goes on where another one broke.
func TestStream(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+example)
		s.stamped()
		l := s.listen("?events=user&resource=kitchen").ready()
		s.do(200, "POST", "users/"+quentin+"/lock", nil)
		s.do(200, "POST", "users/"+quentin+"/unlock", nil)
		s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"name": "Readers"}, nil))
		s.do(204, "POST", "users/"+quentin+"/set-password", map[string]any{"password": "slaughterhouse five"})
		first := l.hear()
		if first.verb() != "user.lock" || first.name != "event" || first.id == "" || dig(first.data, "relationships", "target", "data", "id") != quentin {
			t.Fatalf("first: %+v", first)
		}
		if fmt.Sprintf("%.0f", dig(first.data, "attributes", "position")) != first.id {
			t.Errorf("the id is %s, the position %v", first.id, dig(first.data, "attributes", "position"))
		}
		whole := s.get("events/" + dig(first.data, "id").(string))
		if fmt.Sprint(dig(whole, "data")) != fmt.Sprint(first.data) {
			t.Errorf("the stream tells %v, and the API %v", first.data, dig(whole, "data"))
		}
		heard := []string{l.hear().verb(), l.hear().verb()}
		if got := strings.Join(heard, " "); got != "user.unlock user.set-password" {
			t.Errorf("then %s", got)
		}
		// On another node, by the header or the parameter, with all types.
		other := s
		if strings.HasPrefix(uri, "postgres") {
			other = s.another(everything + example)
		}
		for _, l := range []*listener{other.listen("", "Last-Event-ID: "+first.id), other.listen("?last_event_id=" + first.id)} {
			var heard []string
			for range 3 {
				heard = append(heard, l.hear().verb())
			}
			if got := strings.Join(heard, " "); got != "user.unlock group.create user.set-password" {
				t.Errorf("it goes on with %s", got)
			}
		}
		// What is gone is not passed over in silence.
		l = s.listen("", "Last-Event-ID: 4611686018427387904")
		if e := l.hear(); e.name != "reset" || dig(e.data, "last_event_id") != 4611686018427387904.0 {
			t.Errorf("after an id of the future: %+v", e)
		}
		s.stamped()
		if _, err := s.app.database.Prune(t.Context(), time.Now().Add(time.Hour), 1000); err != nil {
			t.Fatal(err)
		}
		l = s.listen("", "Last-Event-ID: 1")
		if e := l.hear(); e.name != "reset" || dig(e.data, "last_event_id") != 1.0 {
			t.Errorf("after an id that is pruned: %+v", e)
		}
		if e := l.hear(); e.name != "event" {
			t.Errorf("then %+v", e)
		}

		for query, want := range map[string]int{
			"?events=user,nothing": 400, "?event=user": 400, "?last_event_id=x": 400, "?last_event_id=-1": 400, "?resource=" + strings.Repeat("x", 65): 400, "?resource=%00": 400,
		} {
			if a := s.send("GET", "/api/stream"+query, nil); a.StatusCode != want || dig(a.document, "errors", 0, "source", "parameter") == nil {
				t.Errorf("%s: %d %s", query, a.StatusCode, a.text)
			}
		}
		if a := s.send("GET", "/api/stream", nil, "Last-Event-ID: x"); a.StatusCode != 400 || dig(a.document, "errors", 0, "source", "header") != "Last-Event-ID" {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
		if a := s.send("POST", "/api/stream", nil); a.StatusCode != 405 || a.Header.Get("Allow") != "GET" {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
		if a := s.send("GET", "/api/stream", nil, "Authorization: "); a.StatusCode != 401 || len(a.Header.Values("WWW-Authenticate")) != 2 {
			t.Errorf("%d %v", a.StatusCode, a.Header)
		}
		if a := s.send("GET", "/api/stream", nil, "Authorization: "+s.accessToken().header); a.StatusCode != 403 {
			t.Errorf("a client: %d %s", a.StatusCode, a.text)
		}
	})
}

// TestConnected sees that users are connected exactly while a stream of theirs is open, and what ends one.
func TestConnected(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		other := s
		if strings.HasPrefix(uri, "postgres") {
			other = s.another(everything)
		}
		streams := func(user string) []any {
			list, _ := s.get("sessions?filter[kind]=stream&filter[status]=active&filter[user]=" + user)["data"].([]any)
			return list
		}
		id, header := s.entered("montana")
		l, second := other.listen("?resource=kitchen", header, "User-Agent: listener/1").ready(), s.listen("", header).ready()
		if s.connected() != 1 || len(streams(id)) != 2 || dig(s.get("users/"+id), "data", "attributes", "connected") != true {
			t.Fatalf("%d connected, %v", s.connected(), streams(id))
		}
		for name, want := range map[string]any{"resource": "kitchen", "user_agent": "listener/1", "last_active_ip": "127.0.0.1", "secure": false, "kind": "stream"} {
			if got := dig(streams(id)[0], "attributes", name); got != want {
				t.Errorf("the session's %s is %v", name, got)
			}
		}
		if port, _ := dig(streams(id)[0], "attributes", "port").(float64); port == 0 {
			t.Error("the session has no port")
		}
		if name, _ := dig(streams(id)[1], "attributes", "resource").(string); len(name) != 8 {
			t.Errorf("a stream is called %q", name)
		}
		l.close()
		eventually(t, patience, "one stream is left", func() bool { return len(streams(id)) == 1 })
		if s.connected() != 1 {
			t.Errorf("%d connected", s.connected())
		}
		second.close()
		eventually(t, patience, "nobody is connected", func() bool { return s.connected() == 0 })

		// All that ends one ends it within a second, on either node.
		path := map[string]func(user, session string) (method, path string){
			"finish":     func(_, session string) (string, string) { return "POST", "sessions/" + session + "/finish" },
			"lock":       func(user, _ string) (string, string) { return "POST", "users/" + user + "/lock" },
			"deactivate": func(user, _ string) (string, string) { return "POST", "users/" + user + "/deactivate" },
			"delete":     func(user, _ string) (string, string) { return "DELETE", "users/" + user },
			"revoke": func(user, _ string) (string, string) {
				return "POST", "tokens/" + idOf1(s.get("tokens?filter[user]="+user)) + "/revoke"
			},
			"finish-both": func(user, _ string) (string, string) { return "POST", "users/" + user + "/finish-sessions" },
		}
		for what, request := range path {
			id, header := s.entered(what)
			listeners := []*listener{s.listen("", header).ready(), other.listen("", header).ready()}
			if what == "finish" {
				listeners = listeners[:1]
			}
			method, path := request(id, dig(streams(id)[0], "id").(string))
			if a := s.send(method, "/api/admin/v1/"+path, nil); a.StatusCode/100 != 2 {
				t.Fatalf("%s: %d %s", what, a.StatusCode, a.text)
			}
			for i, l := range listeners {
				t.Run(fmt.Sprint(what, i), func(t *testing.T) { l.T = t; l.ended(1500 * time.Millisecond) })
			}
			if what == "finish" {
				s.do(200, "POST", "users/"+id+"/lock", nil)
			}
		}
		eventually(t, patience, "nobody is connected", func() bool { return s.connected() == 0 })
		eventually(t, patience, "no stream is open", func() bool { return s.count("SELECT count(*) FROM connections") == 0 })
	})
}

// idOf1 is the id of the first resource of a list.
func idOf1(document map[string]any) string { return fmt.Sprint(dig(document, "data", 0, "id")) }

// TestStopEndsStreams sees that a server which stops ends its streams, and leaves nobody connected.
func TestStopEndsStreams(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		t.Run("serving", func(t *testing.T) {
			s := node(t, uri, everything, func(ctx context.Context, a *app) error { return fixtures.Demo(ctx, a.database, a.stores()) })
			for range 20 {
				s.listen("").ready()
			}
		})
		s := newTestServer(t, uri)
		if n := s.count("SELECT count(*) FROM users WHERE connected"); n != 0 {
			t.Errorf("%d are connected", n)
		}
		if n := s.count("SELECT count(*) FROM sessions WHERE kind = 'stream' AND finished_at IS NULL"); n != 0 {
			t.Errorf("%d sessions go on", n)
		}
		if n := s.count("SELECT count(*) FROM nodes"); n != 0 {
			t.Errorf("%d nodes are left", n)
		}
	})
}

// TestSlowReader sees that a reader who takes nothing is dropped, keeps nobody waiting, and loses nothing.
func TestSlowReader(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+"stream: {patience: 1s, heartbeat: 1s}\n")
		quick := s.listen("?events=broadcast&resource=quick").ready()
		conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(s.bases[0], "http://"), "/"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequest("GET", s.bases[0]+"/api/stream?events=broadcast&resource=slow", nil)
		if err != nil {
			t.Fatal(err)
		}
		name, password, _ := strings.Cut(s.user, ":")
		r.SetBasicAuth(name, password)
		if err := r.Write(conn); err != nil {
			t.Fatal(err)
		}
		active := func() int {
			list, _ := s.get("sessions?filter[kind]=stream&filter[status]=active")["data"].([]any)
			return len(list)
		}
		eventually(t, patience, "both are open", func() bool { return active() == 2 })
		from := quick.last
		sent := 0
		for body := strings.Repeat("🕊", 10_000); active() == 2; sent++ {
			s.do(201, "POST", "broadcasts", resourceDocument("broadcast", "", map[string]any{"body": body}, nil))
			if e := quick.hear(); e.name != "broadcast" {
				t.Fatalf("%+v", e)
			}
			if sent == 5000 {
				t.Fatal("who takes nothing is not dropped")
			}
		}
		l := s.listen("?events=broadcast", "Last-Event-ID: "+from)
		for n := range sent {
			if e := l.hear(); e.name != "broadcast" {
				t.Fatalf("%d: %+v", n, e)
			}
		}
		// Silence is broken by heartbeats, which say how far the stream has come.
		s.do(200, "POST", "users/"+quentin+"/lock", nil)
		s.stamped()
		last := fmt.Sprint(s.count("SELECT max(position) FROM events"))
		eventually(t, patience, "a heartbeat", func() bool {
			if _, err := l.next(true); err != nil {
				t.Fatal(err)
			}
			return l.last == last
		})
	})
}
