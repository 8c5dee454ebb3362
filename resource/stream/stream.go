// Package stream is the front of the live streams: server-sent events (WHATWG HTML, section 9.2) of what is sent to a
// user, and of the trail as far as they may read it. Everything stands in one order, that of the positions of the
// events that writes leave, so that a stream goes on where another one broke, on any node.
//
// One reader a process follows the events and keeps the latest. A stream is a place in them, and owns no buffer: one that
// is behind reads from the database until it has caught up.
package stream

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/document"
	"reeve/resource/event"
)

// Path is where streams are served.
const Path = "/api/stream"

// Outbox has the events in the order of their positions, as that of package storage.
type Outbox interface {
	After(ctx context.Context, position int64) ([]resource.Event, error)
	Ends(ctx context.Context) (first, last int64, err error)
	Tail(ctx context.Context, after int64, tell func(events []resource.Event) error)
}

// Config is what streams need.
type Config struct {
	Engine *resource.Engine
	Outbox Outbox
	Events func(ctx context.Context, q resource.Query) (resource.Page[resource.Event], error)
	Mail   map[string]Mail   // by type
	Owners map[string]Owners // by type
	Base   string            // stands before the paths of resources in links

	// Authenticate says who sends a request. It is asked again while the stream is open, and must not remember what may
	// have changed. Failure answers a request that is refused.
	Authenticate func(r *http.Request) (*auth.Principal, error)
	Failure      func(err error) http.Handler

	// Open opens the session of a stream, under a name or, if that is empty, one that it makes. Active says whether one
	// may go on. Close finishes sessions; those that have ended, or are gone, stay as they are.
	Open   func(ctx context.Context, who *auth.Principal, name string) (session ulid.ULID, err error)
	Active func(ctx context.Context, session ulid.ULID) (bool, error)
	Close  func(ctx context.Context, sessions ...ulid.ULID) error

	Heartbeat func() time.Duration // how long a stream is silent at most
	Patience  func() time.Duration // how long a reader may take for each piece
	Log       *slog.Logger         // default slog.Default()
}

// Mail is what streams need of a type whose resources are sent to users, by the events of their creation.
type Mail struct {
	// Letters are those of some resources that are there, for one user, or for all if that is zero.
	Letters func(ctx context.Context, ids []ulid.ULID, user ulid.ULID) (map[ulid.ULID]Letter, error)
	// Waiting are resources that have been sent to a user and that no stream has brought yet: the first ones by id, at
	// most 1000. Nil if nothing ever waits.
	Waiting func(ctx context.Context, user ulid.ULID) ([]ulid.ULID, error)
	// Delivered notes that what some receipts are for has been brought. Nil if nothing ever waits.
	Delivered func(ctx context.Context, receipts ...ulid.ULID) error
}

// Owners are whose resources events are about, by event: they are told of that, also if they may not read the trail, but
// not of who did it. Of some events it may be nobody.
type Owners func(ctx context.Context, events []resource.Event) (map[ulid.ULID]ulid.ULID, error)

// ownFields are what owners are told of an event.
var ownFields = []string{"position", "at", "target_type", "verb", "changes", "target"}

// Letter is a resource that is sent to users.
type Letter struct {
	Resources resource.Resources      // the one
	Everybody bool                    // it is for all who are there
	To        map[ulid.ULID]ulid.ULID // else by user, the receipt
}

// Server serves streams.
type Server struct {
	config   Config
	feed     feed
	closing  *batch
	receipts map[string]*batch // by type
	behind   chan struct{}     // has a place for each stream that may read from the database to catch up
	stopping chan struct{}
	stop     sync.Once

	mu    sync.Mutex
	conns map[ulid.ULID]map[*conn]bool // by what may end them: their user, sessions, token
}

// New makes a server. [Server.Run] has to run besides.
func New(c Config) *Server {
	c.Log = cmp.Or(c.Log, slog.Default())
	s := &Server{
		config: c, receipts: map[string]*batch{}, behind: make(chan struct{}, maxBehind),
		stopping: make(chan struct{}), conns: map[ulid.ULID]map[*conn]bool{},
	}
	s.closing = newBatch("the sessions of streams are not finished just now", c.Log, c.Close)
	for typ, mail := range c.Mail {
		if mail.Delivered != nil {
			s.receipts[typ] = newBatch("what was delivered is not noted just now", c.Log, mail.Delivered)
		}
	}
	return s
}

// Run follows the events, and notes what streams have brought and which have ended, until the context ends. It is to
// outlive the streams.
func (s *Server) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	workers.Go(func() { s.closing.run(ctx) })
	for _, b := range s.receipts {
		workers.Go(func() { b.run(ctx) })
	}
	for ctx.Err() == nil {
		_, last, err := s.config.Outbox.Ends(ctx)
		if err == nil {
			s.feed.begin(last)
			s.config.Outbox.Tail(ctx, last, func(events []resource.Event) error { return s.tell(ctx, events) })
			break
		}
		s.config.Log.WarnContext(ctx, "streams do not begin yet", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(batchPause):
		}
	}
	workers.Wait()
	return nil
}

// Stop ends all streams, and takes no more.
func (s *Server) Stop() { s.stop.Do(func() { close(s.stopping) }) }

// tell hands events to the streams, and has those look whether they may go on that an event may end.
func (s *Server) tell(ctx context.Context, events []resource.Event) error {
	entries, err := s.entries(ctx, events, ulid.ULID{})
	if err != nil {
		return err
	}
	s.feed.add(entries)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		switch e := &events[i]; e.Target.Type {
		case "user", "session", "token":
			if e.Verb != resource.Create {
				for c := range s.conns[e.Target.ID] {
					c.doubt()
				}
			}
		case "role", "group", "client": // who has it is not known here
			for _, conns := range s.conns {
				for c := range conns {
					c.doubt()
				}
			}
		}
	}
	return nil
}

// entries are the entries of events: with the letters for all users, or for one.
func (s *Server) entries(ctx context.Context, events []resource.Event, user ulid.ULID) ([]*entry, error) {
	asked, owned := map[string][]ulid.ULID{}, map[string][]resource.Event{}
	for i := range events {
		e := &events[i]
		if typ := e.Target.Type; e.Verb == resource.Create && s.serves(typ) {
			asked[typ] = append(asked[typ], e.Target.ID)
		} else if s.config.Owners[typ] != nil {
			owned[typ] = append(owned[typ], *e)
		}
	}
	owners := map[ulid.ULID]ulid.ULID{}
	for typ, some := range owned {
		found, err := s.config.Owners[typ](ctx, some)
		if err != nil {
			return nil, err
		}
		maps.Copy(owners, found)
	}
	letters := map[resource.Identifier]Letter{}
	for typ, ids := range asked {
		found, err := s.config.Mail[typ].Letters(ctx, ids, user)
		if err != nil {
			return nil, err
		}
		for id, letter := range found {
			letters[resource.Identifier{Type: typ, ID: id}] = letter
		}
	}
	entries := make([]*entry, len(events))
	for i := range events {
		e := &entry{event: events[i]}
		e.trail = sync.OnceValue(func() []byte { return s.trail(ctx, &e.event) })
		if owner, ok := owners[e.event.ID]; ok {
			e.owner, e.own = owner, s.trail(ctx, &e.event, ownFields...)
		}
		if letter, ok := letters[e.event.Target]; ok && e.event.Verb == resource.Create {
			e.letter, e.frame = &letter, s.frame(&e.event, e.event.Target.Type, letter.Resources)
		}
		entries[i] = e
	}
	return entries, nil
}

// trail is the frame that tells of an event itself, of some fields of it or all.
func (s *Server) trail(ctx context.Context, e *resource.Event, fields ...string) []byte {
	shown, err := resource.Show(s.config.Engine, event.Schema.Name, []resource.Event{*e}, fields...)
	if err != nil {
		s.config.Log.ErrorContext(ctx, "an event cannot be told of", "event", e.ID, "error", err)
		return nil
	}
	return s.frame(e, "event", shown)
}

// serves reports whether resources of a type are sent to users just now.
func (s *Server) serves(typ string) bool {
	_, ok := s.config.Mail[typ]
	return ok && s.config.Engine.Registry().Type(typ) != nil
}

// frame is a server-sent event with a resource. What has no position is told of without one.
func (s *Server) frame(e *resource.Event, name string, shown resource.Resources) []byte {
	var frame []byte
	if e.Position > 0 {
		frame = appendID(frame, e.Position)
	}
	frame = append(append(append(frame, "event: "...), name...), "\ndata: "...)
	frame = document.AppendLines(frame, s.config.Base, &resource.Result{Resources: shown}) // which is one line
	return append(frame, '\n')
}

// appendID appends the line by which a client knows where to go on.
func appendID(dst []byte, position int64) []byte {
	return append(strconv.AppendInt(append(dst, "id: "...), position, 10), '\n')
}

// register has a stream hear of what may end it.
func (s *Server) register(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range c.ends {
		if s.conns[id] == nil {
			s.conns[id] = map[*conn]bool{}
		}
		s.conns[id][c] = true
	}
}

func (s *Server) unregister(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range c.ends {
		if delete(s.conns[id], c); len(s.conns[id]) == 0 {
			delete(s.conns, id)
		}
	}
}

// created are the events that tell of the creation of some resources, up to a position, in order. Those of whom no event
// tells any more come first, with one that has no position.
func (s *Server) created(ctx context.Context, typ string, ids []ulid.ULID, until int64) ([]resource.Event, error) {
	positions := map[ulid.ULID]int64{}
	for some := range slices.Chunk(ids, 200) {
		any := make(resource.Any, len(some))
		for i, id := range some {
			any[i] = resource.Equal("target", id)
		}
		page, err := s.config.Events(ctx, resource.Query{
			Where: any, Window: pagination.First(pagination.MaxSize), Count: pagination.CountNone, Fields: []string{"position", "target", "verb"},
		})
		if err != nil {
			return nil, err
		}
		for i := range page.Rows {
			if e := &page.Rows[i]; e.Verb == resource.Create {
				positions[e.Target.ID] = e.Position
			}
		}
	}
	var events []resource.Event
	for _, id := range ids {
		position, known := positions[id]
		if known && (position == 0 || position > until) {
			continue // the stream comes to it
		}
		events = append(events, resource.Event{Verb: resource.Create, Target: resource.Identifier{Type: typ, ID: id}, Position: position})
	}
	slices.SortStableFunc(events, func(a, b resource.Event) int { return cmp.Compare(a.Position, b.Position) })
	return events, nil
}
