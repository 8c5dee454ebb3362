package webhook

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
)

// How events are delivered.
const (
	firstInterval = 2 * time.Second // about how long the second attempt waits; each later one twice as long
	maxInterval   = 24 * time.Hour  // at most
	noteInterval  = 250 * time.Millisecond
	noteBatch     = 100             // what is delivered is noted together, so many or for so long; what is not noted is sent again if the node dies
	idleBatch     = 1000            // how many events that do not concern a webhook are passed by before that is noted
	grace         = 2 * time.Second // how long a request goes on after the node is told to stop
	gone          = 410
)

// errLost ends a follower whose lease is another's.
var errLost = errors.New("the lease is lost")

// follower tells one webhook of events.
type follower struct {
	*Courier
	id    ulid.ULID
	stop  context.CancelFunc
	ended chan struct{}
	wake  chan struct{} // the webhook may have changed

	sending  context.Context // of requests
	webhook  *Webhook        // as it was last read
	passed   int64           // all up to this position is delivered, or does not concern it
	told     int64           // the position of the last event that it was told
	begun    bool            // something is noted: no delivery of what comes is there yet
	done     []*Delivery     // delivered, and not noted
	noted    time.Time
	subjects map[string]ulid.ULID
}

func (c *Courier) follow(ctx context.Context, w *Webhook) *follower {
	f := &follower{
		Courier: c, id: w.ID, ended: make(chan struct{}), wake: make(chan struct{}, 1), webhook: w, passed: w.Position, told: w.Position, noted: time.Now(), subjects: map[string]ulid.ULID{},
	}
	ctx, f.stop = context.WithCancel(ctx)
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	f.sending = sending
	context.AfterFunc(ctx, func() { time.AfterFunc(grace, cut) })
	go func() {
		defer close(f.ended)
		defer f.stop()
		c.config.Database.Tail(ctx, w.Position, func(events []resource.Event) error { return f.tell(ctx, events) })
		err := f.note(ctx, nil)
		if err == nil {
			err = f.release(context.WithoutCancel(ctx))
		}
		if err != nil && !errors.Is(err, errLost) && !resource.Is(err, resource.NotFound) {
			c.config.Log.WarnContext(ctx, "the lease of a webhook is not given back", "webhook", f.id, "error", err)
		}
	}()
	return f
}

func (f *follower) nudge() {
	select {
	case f.wake <- struct{}{}:
	default: // it is yet to look
	}
}

// tell delivers those of some events that the webhook follows, and notes it. Events that it fails at it is told again:
// then it goes on from where the webhook is noted to be, since nobody knows what came of a note that failed.
func (f *follower) tell(ctx context.Context, events []resource.Event) error {
	f.done, f.passed = nil, 0
	if err := f.read(ctx); err != nil {
		return err
	}
	if first := events[0].Position; first > f.told+1 {
		if err := f.miss(ctx, first); err != nil {
			return err
		}
	}
	for i := range events {
		e := &events[i]
		f.told = e.Position
		if e.Position <= f.passed {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		if f.webhook.Follows(e) {
			if err := f.deliver(ctx, e); err != nil {
				return err
			}
		}
		f.passed = max(f.passed, e.Position)
		if len(f.done) >= noteBatch || len(f.done) > 0 && time.Since(f.noted) >= noteInterval {
			if err := f.note(ctx, nil); err != nil {
				return err
			}
		}
	}
	if len(f.done) > 0 || f.passed-f.webhook.Position >= idleBatch {
		return f.note(ctx, nil)
	}
	return ctx.Err()
}

// miss takes notice that the events between the last one and a position are removed already: they have been kept for
// less long than the webhook was paused, or has failed.
func (f *follower) miss(ctx context.Context, first int64) error {
	f.config.Log.WarnContext(ctx, "events were removed before a webhook was told of them", "webhook", f.id, "after", f.told, "before", first)
	_, err := f.config.Deliveries.Assign(ctx, resource.All{
		resource.Equal("webhook", f.id), resource.Equal("state", Failing), resource.Holds("position", resource.Less, first),
	}, &Delivery{State: Skipped}, "state", "next_attempt_at")
	return err
}

// read reads the webhook. One that is gone has nothing more to be told.
func (f *follower) read(ctx context.Context) error {
	w, err := f.config.Webhooks.Get(ctx, f.id)
	if resource.Is(err, resource.NotFound) {
		f.stop()
	}
	if err == nil {
		f.webhook, f.passed = w, max(f.passed, w.Position) // some may be skipped
	}
	return err
}

// deliver sends an event until it is delivered.
func (f *follower) deliver(ctx context.Context, e *resource.Event) error {
	topic := Topic(e)
	body, err := f.config.Body(topic, e)
	if err != nil {
		return err
	}
	d, err := f.delivery(ctx, e, topic)
	if err != nil {
		return err
	}
	for {
		if err := f.wait(ctx); err != nil {
			return err
		}
		if e.Position <= f.webhook.Position {
			return nil // it is skipped
		}
		now := resource.Cut(time.Now())
		outcome := f.config.Send(f.sending, Message{ID: e.ID, URL: f.webhook.URL, Body: body, Keys: f.webhook.keys(now)})
		if outcome.Err != nil && f.sending.Err() != nil {
			return ctx.Err() // nobody knows what came of it
		}
		d.LastAttemptAt, d.NextAttemptAt = now, time.Time{}
		d.Attempts, d.Status, d.Duration, d.Error = d.Attempts+1, int64(outcome.Status), outcome.Duration.Milliseconds(), ""
		if d.CreatedAt.IsZero() {
			d.CreatedAt = now
		}
		if outcome.Err == nil {
			d.State = Delivered
			f.done = append(f.done, d)
			if d.Attempts == 1 {
				return nil
			}
			f.passed = e.Position
			return f.note(ctx, nil) // that it recovers is told at once
		}
		interval := max(backoff(f.webhook.RetryInterval), min(outcome.RetryAfter, maxInterval))
		d.State, d.Error, d.NextAttemptAt = Failing, resource.ShortText(outcome.Err.Error(), resource.DefaultMaxLength), now.Add(interval)
		if err := f.note(ctx, d); err != nil {
			return err
		}
		if after := f.config.PauseAfter(); outcome.Status == gone || after > 0 && now.Sub(f.webhook.FailingSince) >= after {
			if err := f.config.Pause(ctx, f.id); err != nil {
				return err
			}
		}
	}
}

// delivery is that of an event: a new one, unless it has been tried before.
func (f *follower) delivery(ctx context.Context, e *resource.Event, topic string) (*Delivery, error) {
	if !f.begun {
		tried, err := resource.First(ctx, f.config.Deliveries.List, resource.All{resource.Equal("webhook", f.id), resource.Equal("position", e.Position)})
		if err != nil {
			return nil, err
		}
		if tried != nil {
			tried.stored = true
			return tried, nil
		}
	}
	return &Delivery{ID: ulid.Make(), Webhook: f.id, Event: resource.Identifier{Type: "event", ID: e.ID}, Position: e.Position, Topic: topic}, nil
}

// wait waits for the time of the next attempt, which a reset brings forward.
func (f *follower) wait(ctx context.Context) error {
	for {
		wait := time.Until(f.webhook.NextAttemptAt)
		if wait <= 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-f.wake:
			if err := f.read(ctx); err != nil {
				timer.Stop()
				return err
			}
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// backoff is how long to wait after an interval, in milliseconds, which is 0 at first: about twice as long, give or take
// a quarter, so that not all come back at once.
func backoff(before int64) time.Duration {
	interval := max(firstInterval, 2*time.Duration(before)*time.Millisecond)
	return min(interval*3/4+rand.N(interval/2), maxInterval)
}

// note notes how far the webhook has come, what was delivered, and what was not. It fails if the lease is lost.
func (f *follower) note(ctx context.Context, failing *Delivery) error {
	ctx = context.WithoutCancel(ctx) // what was delivered is to be noted
	var after *Webhook
	var subjects map[string]ulid.ULID
	err := f.config.Database.Transact(ctx, func(ctx context.Context) (err error) {
		noted := f.done
		after, err = f.config.Webhooks.Update(ctx, f.id, func(w *Webhook) error {
			w.Position = max(w.Position, f.passed)
			if n := len(f.done); n > 0 {
				w.LastDelivered = f.done[n-1].Position
				w.Position = max(w.Position, w.LastDelivered)
				w.recovered()
			}
			if failing != nil && failing.Position > w.Position { // else it was skipped meanwhile
				if w.FailingSince.IsZero() {
					w.FailingSince = failing.LastAttemptAt
				}
				w.LastRetryAt, w.NextAttemptAt = failing.LastAttemptAt, failing.NextAttemptAt
				w.RetryInterval = w.NextAttemptAt.Sub(w.LastRetryAt).Milliseconds()
				noted = append(slices.Clip(noted), failing)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := f.hold(ctx); err != nil {
			return err
		}
		if err := f.store(ctx, noted); err != nil {
			return err
		}
		subjects, err = f.tally(ctx)
		return err
	})
	if errors.Is(err, errLost) || resource.Is(err, resource.NotFound) {
		f.stop()
	}
	if err != nil {
		f.begun = false
		return err
	}
	if failing != nil {
		failing.stored = true
	}
	maps.Copy(f.subjects, subjects)
	f.webhook, f.done, f.noted, f.begun = after, nil, time.Now(), true
	return nil
}

// hold keeps the lease in the transaction that the context holds.
func (f *follower) hold(ctx context.Context) error {
	_, err := f.config.Leases.Update(ctx, f.id, func(l *Lease) error {
		if l.Node != f.config.Node {
			return errLost
		}
		return nil
	})
	if resource.Is(err, resource.NotFound) {
		return errLost
	}
	return err
}

// release gives the lease back.
func (f *follower) release(ctx context.Context) error {
	return f.config.Database.Transact(ctx, func(ctx context.Context) error {
		if err := f.hold(ctx); err != nil {
			return err
		}
		return f.config.Leases.Delete(ctx, f.id)
	})
}

// store writes deliveries.
func (f *follower) store(ctx context.Context, deliveries []*Delivery) error {
	var made []*Delivery
	for _, d := range deliveries {
		if !d.stored {
			made = append(made, d)
			continue
		}
		if _, err := f.config.Deliveries.Update(ctx, d.ID, func(row *Delivery) error { *row = *d; return nil }); err != nil {
			return err
		}
	}
	return f.config.Deliveries.Create(ctx, made...)
}

// tally notes the last delivered event of each topic, and answers the ids of the rows that do.
func (f *follower) tally(ctx context.Context) (map[string]ulid.ULID, error) {
	last := map[string]Subject{}
	for _, d := range f.done {
		last[d.Topic] = Subject{Webhook: f.id, Topic: d.Topic, LastDelivered: d.Position, LastDeliveredAt: d.LastAttemptAt}
	}
	ids := map[string]ulid.ULID{}
	for topic, subject := range last {
		id, known := f.subjects[topic]
		if !known {
			page, err := f.config.Subjects.List(ctx, resource.Query{
				Where: resource.All{resource.Equal("webhook", f.id), resource.Equal("topic", topic)}, Window: pagination.First(1), Count: pagination.CountNone, Fields: []string{},
			})
			if err != nil {
				return nil, err
			}
			for _, row := range page.Rows {
				id, known = row.ID, true
			}
		}
		var err error
		if known {
			_, err = f.config.Subjects.Update(ctx, id, func(row *Subject) error {
				row.LastDelivered, row.LastDeliveredAt = subject.LastDelivered, subject.LastDeliveredAt
				return nil
			})
		} else {
			id = ulid.Make()
			subject.ID = id
			err = f.config.Subjects.Create(ctx, &subject)
		}
		if err != nil {
			return nil, err
		}
		ids[topic] = id
	}
	return ids, nil
}
