package stream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/event"
)

const (
	// checkInterval is how often a stream looks whether it may go on, besides when an event says that it may not.
	checkInterval = time.Minute
	// reconnect is how soon a client is to come again when a stream broke.
	reconnect = 2 * time.Second
	// maxBehind is how many streams at once read from the database what they have missed: each reads much at a time.
	maxBehind = 16
	// maxName is how many characters the name of a stream may have.
	maxName = 64
)

// errEnded ends a stream that may not go on.
var errEnded = errors.New("the stream has ended")

// conn is an open stream.
type conn struct {
	*Server
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController

	who     *auth.Principal
	session ulid.ULID
	ends    []ulid.ULID        // what it may end with: its user, sessions, token
	types   []string           // what it tells of; nil for everything
	reads   bool               // it tells of events of the trail ...
	reach   resource.Condition // ... that meet this
	checked time.Time
	check   chan struct{} // it may have ended

	fresh    bool  // no other stream went before
	lost     int64 // if it is not zero, the position after which events are gone that the client has not seen
	cursor   int64 // all up to this position is told, or not to be told
	told     int64 // the position that the client knows
	receipts map[string][]ulid.ULID
}

// ServeHTTP opens a stream and serves it until it ends, by either side.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var c *conn
	err := apart(func() (err error) {
		c, err = s.open(w, r)
		return err
	})
	if err != nil {
		s.config.Failure(err).ServeHTTP(w, r)
		return
	}
	s.register(c)
	defer func() {
		s.unregister(c)
		s.closing.add(c.session)
	}()
	if err := c.serve(r.Context()); err != nil && !errors.Is(err, errEnded) && r.Context().Err() == nil {
		s.config.Log.InfoContext(r.Context(), "a stream broke", "user", c.who.ID, "error", err)
	}
}

// apart does what asks the database on a stack of its own: it grows to tens of KiB there, which a stream would keep.
func apart(do func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("stream: panic: %v\n%s", p, debug.Stack())
			}
		}()
		err = do()
	}()
	<-done
	return err
}

// open reads a request, and opens the session of its stream.
func (s *Server) open(w http.ResponseWriter, r *http.Request) (*conn, error) {
	select {
	case <-s.stopping:
		return nil, resource.Errorf(resource.Unavailable, "the server stops")
	default:
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET")
		return nil, resource.Errorf(resource.MethodNotAllowed, "a stream serves GET")
	}
	who, err := s.config.Authenticate(r)
	if err != nil {
		return nil, err
	}
	if who.Type != "user" {
		return nil, resource.Errorf(resource.Forbidden, "a stream is for users")
	}
	c := &conn{
		Server: s, w: w, r: r, control: http.NewResponseController(w), who: who, check: make(chan struct{}, 1), receipts: map[string][]ulid.ULID{},
	}
	name, err := c.read()
	if err != nil {
		return nil, err
	}
	// What is written from here on the stream comes to.
	first, last, err := s.config.Outbox.Ends(r.Context())
	switch {
	case err != nil:
		return nil, err
	case c.fresh:
		c.cursor = last
	case c.cursor > last:
		c.lost, c.cursor = c.cursor, last
	case c.cursor < first-1:
		c.lost, c.cursor = c.cursor, first-1
	}
	if c.session, err = s.config.Open(r.Context(), who, name); err != nil {
		s.closing.add(c.session) // if nobody knows what came of it
		return nil, err
	}
	for _, id := range []ulid.ULID{who.ID, c.session, who.Session, who.Token} {
		if id != (ulid.ULID{}) {
			c.ends = append(c.ends, id)
		}
	}
	c.doubt() // it may have ended since
	return c, nil
}

// read reads the parameters of a request. They are: events, the types of what is told of, with commas between them;
// resource, the name of the stream; last_event_id, for clients that cannot send the header.
func (c *conn) read() (name string, err error) {
	query := c.r.URL.Query()
	for parameter := range query {
		if !slices.Contains([]string{"events", "resource", "last_event_id"}, parameter) {
			return "", resource.Errorf(resource.UnknownParameter, "a stream has no parameter %q", parameter).About(parameter)
		}
	}
	if query.Has("events") {
		c.types = []string{}
		for _, typ := range strings.Split(query.Get("events"), ",") {
			if c.config.Engine.Registry().Type(typ) == nil {
				return "", resource.Errorf(resource.InvalidParameter, "there is no type %q", typ).About("events")
			}
			c.types = append(c.types, typ)
		}
	}
	name = query.Get("resource")
	if len([]rune(name)) > maxName || strings.ContainsFunc(name, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }) {
		return "", resource.Errorf(resource.InvalidParameter, "a resource is a text of at most %d characters", maxName).About("resource")
	}
	last, failure := c.r.Header.Get("Last-Event-ID"), &resource.Error{Code: resource.InvalidHeader, Header: "Last-Event-ID"}
	if last == "" {
		last, failure = query.Get("last_event_id"), &resource.Error{Code: resource.InvalidParameter, Parameter: "last_event_id"}
	}
	if last == "" {
		c.fresh = true
		return name, nil
	}
	if c.cursor, err = strconv.ParseInt(last, 10, 64); err != nil || c.cursor < 0 {
		failure.Detail = "this is no id that a stream gave"
		return "", failure
	}
	c.told = c.cursor
	return name, nil
}

// doubt has the stream look whether it may go on.
func (c *conn) doubt() {
	select {
	case c.check <- struct{}{}:
	default: // it is yet to look
	}
}

// admit looks whether the stream may go on, and what it may tell of.
func (c *conn) admit(ctx context.Context) error {
	who, err := c.config.Authenticate(c.r)
	active := false
	if err == nil {
		active, err = c.config.Active(ctx, c.session)
	}
	switch {
	case resource.Is(err, resource.Unauthenticated):
		return errEnded
	case err != nil: // nobody knows just now
		time.AfterFunc(time.Second, c.doubt)
		return nil
	case !active, who.ID != c.who.ID:
		return errEnded
	}
	c.who = who
	c.reach, err = c.config.Engine.Reach(who, event.Schema.Name, resource.List)
	c.reads, c.checked = err == nil, time.Now()
	return nil
}

// serve tells of what there is, and then of what comes, until the stream ends.
func (c *conn) serve(ctx context.Context) error {
	header := c.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would gather what is to go at once
	c.w.WriteHeader(http.StatusOK)
	if err := apart(func() error { return c.begin(ctx) }); err != nil {
		return err
	}
	silence := time.NewTimer(c.config.Heartbeat())
	defer silence.Stop()
	for {
		entries, grown, live := c.feed.after(c.cursor)
		if !live {
			var err error
			if entries, err = c.missed(ctx); err != nil {
				return err
			}
		}
		wrote := false
		for _, e := range entries {
			if len(c.check) > 0 {
				break // before it tells of more
			}
			if frame := c.frame(e); frame != nil {
				if err := c.write(frame); err != nil {
					return err
				}
				c.told, wrote = e.event.Position, true
			}
			c.cursor = e.event.Position
		}
		if wrote {
			if err := c.flush(); err != nil {
				return err
			}
			silence.Reset(c.config.Heartbeat())
		}
		if len(entries) > 0 && len(c.check) == 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-c.stopping:
				return errEnded
			default:
				continue
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.stopping:
			return errEnded
		case <-c.check:
			if err := apart(func() error { return c.admit(ctx) }); err != nil {
				return err
			}
		case <-grown:
		case <-silence.C:
			if time.Since(c.checked) > checkInterval {
				c.doubt()
			}
			if err := c.beat(); err != nil {
				return err
			}
			silence.Reset(c.config.Heartbeat())
		}
	}
}

// missed are the next entries that the feed has no more, when it is the stream's turn to read them.
func (c *conn) missed(ctx context.Context) (entries []*entry, err error) {
	select {
	case c.behind <- struct{}{}:
		defer func() { <-c.behind }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.stopping:
		return nil, errEnded
	}
	err = apart(func() error {
		events, err := c.config.Outbox.After(ctx, c.cursor)
		if err == nil {
			entries, err = c.entries(ctx, events, c.who.ID)
		}
		return err
	})
	return entries, err
}

// begin says when to come again, and brings what has waited for the user.
func (c *conn) begin(ctx context.Context) error {
	<-c.check
	if err := c.admit(ctx); err != nil {
		return err
	}
	frame := strconv.AppendInt([]byte("retry: "), reconnect.Milliseconds(), 10)
	frame = append(frame, "\n\n"...)
	if c.lost > 0 {
		// What the client asks for is gone, or was never there: it has to look for itself how things stand.
		frame = append(appendID(frame, c.cursor), "event: reset\ndata: {\"last_event_id\":"...)
		frame = append(strconv.AppendInt(frame, c.lost, 10), "}\n\n"...)
	}
	if err := c.write(frame); err != nil {
		return err
	}
	if !c.fresh && c.lost == 0 {
		return c.flush()
	}
	for typ := range c.config.Mail {
		if err := c.bring(ctx, typ); err != nil {
			return err
		}
	}
	if err := c.write(append(appendID(nil, c.cursor), '\n')); err != nil {
		return err
	}
	c.told = c.cursor
	return c.flush()
}

// bring brings what has waited for the user. What is brought is noted before more is asked for.
func (c *conn) bring(ctx context.Context, typ string) error {
	mail := c.config.Mail[typ]
	if mail.Waiting == nil || !c.serves(typ) || c.types != nil && !slices.Contains(c.types, typ) {
		return nil
	}
	for {
		ids, err := mail.Waiting(ctx, c.who.ID)
		if err != nil {
			return err
		}
		events, err := c.created(ctx, typ, ids, c.cursor)
		if err != nil || len(events) == 0 {
			return err
		}
		entries, err := c.entries(ctx, events, c.who.ID)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.letter == nil {
				continue // it has gone since
			}
			if err := c.write(c.frame(e)); err != nil {
				return err
			}
		}
		receipts := c.receipts[typ]
		delete(c.receipts, typ)
		if err := c.control.Flush(); err != nil || len(receipts) == 0 {
			return err
		}
		if err := mail.Delivered(ctx, receipts...); err != nil {
			return err
		}
	}
}

// frame is what the stream tells of an entry, nil if it says nothing: a letter to its user, else the event, if they may
// read it or it is about what is theirs.
func (c *conn) frame(e *entry) []byte {
	if c.types != nil && !slices.Contains(c.types, e.event.Target.Type) {
		return nil
	}
	if e.letter != nil {
		receipt, mine := e.letter.To[c.who.ID]
		if mine {
			typ := e.event.Target.Type
			c.receipts[typ] = append(c.receipts[typ], receipt)
		}
		if mine || e.letter.Everybody {
			return e.frame
		}
	}
	if c.reads && event.Schema.Match(c.reach, &e.event, resource.Env{Now: e.event.At}) {
		return e.trail()
	}
	if e.owner == c.who.ID {
		return e.own
	}
	return nil
}

// beat keeps the connection from looking dead, and tells how far the stream has come without saying anything.
func (c *conn) beat() error {
	frame := []byte(":\n")
	if c.cursor > c.told {
		frame, c.told = appendID(frame, c.cursor), c.cursor
	}
	if err := c.write(append(frame, '\n')); err != nil {
		return err
	}
	return c.flush()
}

// write writes to a reader who is given some time to take it.
func (c *conn) write(frame []byte) error {
	if err := c.control.SetWriteDeadline(time.Now().Add(c.config.Patience())); err != nil {
		return err
	}
	_, err := c.w.Write(frame)
	return err
}

// flush has everything on its way that was written, and notes what of it was for the user.
func (c *conn) flush() error {
	if err := c.control.Flush(); err != nil {
		return err
	}
	for typ, receipts := range c.receipts {
		c.Server.receipts[typ].add(receipts...)
		delete(c.receipts, typ)
	}
	return nil
}
