package main

import (
	"context"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/event"
	"reeve/resource/job"
)

// erasing is where an erasure stands: it follows the trail to the deletions of users, and from each it goes to the events
// of that user.
type erasing struct {
	Position int64     // of the last event of the trail that was looked at
	User     ulid.ULID // whose events are being erased; zero if nobody's are
	By       bool      // those about the user are done, and those that they did are next
	After    ulid.ULID // the last of these
	Messages bool      // somebody is gone, so messages may be left over that were to nobody else
}

// erasable is what a step of an erasure finds.
type erasable struct {
	events   []resource.Event
	messages []ulid.ULID
}

// erase is the kind of job that takes out of the trail, and of the messages, what is left of deleted users.
//
// What belongs to a user goes with them, and what it says of them is confidential, so no event has it. So the events that
// have something personal are those about the user and those that they did.
func (a *app) erase(c *configuration) job.Kind {
	return job.Kind{
		Name: "erase", Doc: "Take out of the trail what it says of users who have been deleted, and remove the messages that were to nobody else.",
		Every: func() time.Duration { return time.Minute },
		Limit: 10 * time.Minute, // to look through all messages may take longer than others are to wait
		Step: job.ReadSteps(
			func(ctx context.Context, at erasing) (found erasable, err error) {
				if at.User != (ulid.ULID{}) {
					found.events, err = a.eventsOf(ctx, at)
					return found, err
				}
				// What a user began to do before the deletion may be done after it.
				over := time.Now().Add(-databaseTimeout.In(c))
				found.events, err = a.database.After(ctx, at.Position)
				for i := range found.events {
					if e := &found.events[i]; event.Deletes(e) && e.At.After(over) {
						found.events = found.events[:i]
						break
					}
				}
				if err == nil && len(found.events) == 0 && at.Messages {
					found.messages, err = a.toNobody(ctx)
				}
				return found, err
			},
			func(ctx context.Context, at *erasing, found erasable, p *job.Progress) error {
				if at.User != (ulid.ULID{}) {
					return a.eraseEvents(ctx, at, found.events, p)
				}
				for i := range found.events {
					e := &found.events[i]
					if at.Position = e.Position; event.Deletes(e) {
						at.User, at.Messages = e.Target.ID, true
						return nil
					}
				}
				for _, id := range found.messages {
					if _, err := a.messages.Prune(ctx, resource.Equal("id", id), time.Now(), 1); err != nil {
						return err
					}
				}
				if len(found.events) == 0 && len(found.messages) < pruned {
					at.Messages = false
					p.Finish()
				}
				return nil
			}),
	}
}

// eventsOf are the next events to erase.
func (a *app) eventsOf(ctx context.Context, at erasing) ([]resource.Event, error) {
	member := "target"
	if at.By {
		member = "actor"
	}
	window := pagination.First(pruned)
	if at.After != (ulid.ULID{}) {
		window = window.Next(pagination.At(at.After))
	}
	page, err := a.database.Events().List(ctx, resource.Query{Where: resource.Equal(member, at.User), Window: window, Count: pagination.CountNone, Fields: []string{}})
	return page.Rows, err
}

// eraseEvents erases some events of a user.
func (a *app) eraseEvents(ctx context.Context, at *erasing, events []resource.Event, p *job.Progress) error {
	for i := range events {
		at.After = events[i].ID
		_, err := a.database.Events().Update(ctx, at.After, func(e *resource.Event) error { return event.Erase(e, at.User) })
		if err != nil && !resource.Is(err, resource.NotFound) { // it may be pruned meanwhile
			return err
		}
	}
	p.Done += int64(len(events))
	if len(events) == pruned {
		return nil
	}
	if at.After, at.By = (ulid.ULID{}), !at.By; !at.By {
		at.User = ulid.ULID{}
	}
	return nil
}

// toNobody are some of the messages whose recipients are all gone.
func (a *app) toNobody(ctx context.Context) (ids []ulid.ULID, err error) {
	page, err := a.messages.List(ctx, resource.Query{
		Where:  resource.Not{Condition: resource.Exists{Relation: "recipient.message", Condition: resource.All{}}},
		Window: pagination.First(pruned), Count: pagination.CountNone, Fields: []string{},
	})
	for i := range page.Rows {
		ids = append(ids, page.Rows[i].ID)
	}
	return ids, err
}
