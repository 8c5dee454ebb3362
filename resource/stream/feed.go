package stream

import (
	"sync"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// kept is how many entries a feed keeps in memory. A stream that is further behind reads from the database.
const kept = 4096

// entry is an event as streams tell of it.
type entry struct {
	event  resource.Event
	trail  func() []byte // the frame that tells of the event itself, made when it is first asked for
	letter *Letter       // what is sent by it; nil if nothing is
	frame  []byte        // that brings the letter
	owner  ulid.ULID     // whose resource the event is about; zero if that is nobody's business
	own    []byte        // the frame that tells them of it
}

// feed has the latest entries of the log, for all streams of the process.
type feed struct {
	mu      sync.Mutex
	entries []*entry
	before  int64         // all entries after this position are there
	known   bool          // it has begun
	grown   chan struct{} // closed once there is more
}

// begin begins after a position.
func (f *feed) begin(position int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.known = position, true
	f.wake()
}

// add adds entries that follow the others.
func (f *feed) add(entries []*entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries = append(f.entries, entries...)
	if more := len(f.entries) - kept; more > 0 {
		f.before = f.entries[more-1].event.Position
		f.entries = append([]*entry(nil), f.entries[more:]...) // those who read the former ones go on
	}
	f.wake()
}

func (f *feed) wake() {
	if f.grown != nil {
		close(f.grown)
		f.grown = nil
	}
}

// after are the entries after a position, and what is closed once there are more; live is false if some of them are not
// there any more, or not yet.
func (f *feed) after(position int64) (entries []*entry, grown <-chan struct{}, live bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.grown == nil {
		f.grown = make(chan struct{})
	}
	if !f.known || position < f.before {
		return nil, f.grown, false
	}
	// The last ones are asked for most.
	first := len(f.entries)
	for first > 0 && f.entries[first-1].event.Position > position {
		first--
	}
	return f.entries[first:], f.grown, true
}
