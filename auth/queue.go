package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
)

// ErrBusy says that too many passwords wait to be hashed, or that the request did not wait long enough. It tells nothing
// of the account.
var ErrBusy = errors.New("too many sign in just now")

// hashing admits one hash a processor: more at once would be no faster, and take 19 MiB each. Behind each of them some
// more wait, the last for about two seconds.
var hashing = newQueue(runtime.GOMAXPROCS(0), 64)

// Hashings are how many passwords are hashed just now, and how many wait for their turn.
func Hashings() (running, waiting int) {
	running = len(hashing.running)
	return running, max(len(hashing.places)-running, 0)
}

// queue admits so many at once, and has others wait; whoever finds it full is turned away.
type queue struct{ places, running lane }

// lane admits as many at once as its capacity.
type lane chan struct{}

// lanes are by account: one attempt at a time, so that no more are counted than are made.
type lanes [64]lane

func newLanes() *lanes {
	all := &lanes{}
	for i := range all {
		all[i] = make(lane, 1)
	}
	return all
}

// of is the lane of an account, by a key made of its name.
func (l *lanes) of(account cacheKey) lane { return l[int(account[0])%len(l)] }

// newQueue admits n at once, and has so many more wait for each of them.
func newQueue(n, behind int) *queue {
	return &queue{places: make(lane, n*(1+behind)), running: make(lane, n)}
}

// turn is what somebody holds of a queue.
type turn struct{ held []lane }

// enter waits for a turn: in the order of the lanes that are given, which hold up nobody else, and then for one of all.
// Its error is ErrBusy.
func (q *queue) enter(ctx context.Context, first ...lane) (*turn, error) {
	select {
	case q.places <- struct{}{}:
	default:
		return nil, ErrBusy
	}
	t := &turn{held: []lane{q.places}}
	for _, l := range slices.Concat(first, []lane{q.running}) {
		select {
		case l <- struct{}{}:
			t.held = append(t.held, l)
		case <-ctx.Done():
			t.leave()
			return nil, fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
		}
	}
	return t, nil
}

// leave lets the next one in. To leave again does nothing.
func (t *turn) leave() {
	for _, l := range t.held {
		<-l
	}
	t.held = nil
}
