package resource

import (
	"context"
	"sync"
)

// Gate lets those in who use something, until it is closed: then it knows when the last one has left. The zero Gate is
// open.
type Gate struct {
	mu     sync.Mutex
	inside int
	closed bool
	empty  chan struct{} // closed once the gate is and nobody is inside; nil while it is open
}

// Enter reports whether the gate is open. Whoever has entered has to [Gate.Leave].
func (g *Gate) Enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside++
	return true
}

// Leave is called once for each Enter that was true.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.closed {
		close(g.empty)
	}
}

// Close lets nobody in any more, and waits until everybody has left. It returns the context's error if that ends
// before. It is called once.
func (g *Gate) Close(ctx context.Context) error {
	g.mu.Lock()
	g.closed, g.empty = true, make(chan struct{})
	if g.inside == 0 {
		close(g.empty)
	}
	g.mu.Unlock()
	select {
	case <-g.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
