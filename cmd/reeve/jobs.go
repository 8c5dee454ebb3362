package main

import (
	"context"
	"time"

	"reeve/resource"
	"reeve/resource/attempt"
	"reeve/resource/idempotency"
	"reeve/resource/job"
	"reeve/resource/message"
	"reeve/resource/session"
	"reeve/resource/setting"
	"reeve/resource/webhook"
	"reeve/storage"
)

// recount is the kind of job that does what reeve check does.
func (a *app) recount() job.Kind {
	return job.Kind{
		Name: "recount", Doc: "Compare what the database keeps twice, as totals with the rows that they count, and folded texts, by which is searched, with those that they are made of, and repair it. The report says what was wrong.",
		Limit: time.Hour, // ten million rows are counted at once
		Step: job.ReadSteps(
			func(ctx context.Context, at recounting) (storage.Part, error) {
				return a.database.CheckPart(ctx, at.Place, false)
			},
			func(ctx context.Context, at *recounting, part storage.Part, p *job.Progress) (err error) {
				if len(part.Found) > 0 {
					if part, err = a.database.CheckPart(ctx, at.Place, true); err != nil {
						return err
					}
				}
				if at.Wrong == nil {
					at.Wrong = map[string]int{}
				}
				for _, found := range part.Found {
					p.Note("%s", found)
					at.Wrong[found.Table]++
				}
				at.Place = part.Next
				p.Done, p.Total = int64(part.Done), int64(part.Total)
				if part.Done < part.Total {
					return nil
				}
				p.Finish()
				return a.noteDrift(ctx, at.Wrong)
			}),
	}
}

// recounting is where a recount stands, and how much it has found, by table.
type recounting struct {
	Place storage.Place
	Wrong map[string]int
}

// reEncrypt is the kind of job that ends what a rotation of data keys begins.
func (a *app) reEncrypt() job.Kind {
	return job.Kind{
		Name: "re-encrypt", Doc: "Seal every secret under the primary data key, and retire the others.",
		Step: job.Steps(func(ctx context.Context, at *storage.Resealing, p *job.Progress) error {
			next, rows, err := a.database.Reseal(ctx, *at)
			if err != nil {
				return err
			}
			if *at, p.Done = next, p.Done+int64(rows); next.Done {
				p.Finish()
			}
			return nil
		}),
	}
}

// pruned is how much a step prunes, so that it keeps nobody waiting for long.
const pruned = 500

// pruning is where a prune stands.
type pruning struct {
	Turn     int // of those who prune
	Finished finishing
}

// prune is the kind of job that ends and removes what has expired.
func (a *app) prune(c *configuration, jobs job.Store) job.Kind {
	// Each prunes some, and answers how much that was: nothing when there is no more.
	turns := []func(ctx context.Context, now time.Time, at *pruning) (int, error){
		func(ctx context.Context, _ time.Time, _ *pruning) (int, error) { return a.authorization.Prune(ctx) },
		func(ctx context.Context, now time.Time, _ *pruning) (int, error) {
			return a.records.Prune(ctx, idempotency.Expired, now, pruned)
		},
		func(ctx context.Context, now time.Time, _ *pruning) (int, error) { return a.attempts.Close(ctx, now) },
		func(ctx context.Context, now time.Time, _ *pruning) (int, error) {
			return a.tallies.Prune(ctx, attempt.Ended, now, pruned)
		},
		func(ctx context.Context, now time.Time, at *pruning) (int, error) {
			return a.finishExpired(ctx, now, &at.Finished)
		},
		func(ctx context.Context, now time.Time, _ *pruning) (int, error) { return a.registrar.Lapse(ctx, now) },
		kept(c, sessionsKeep, func(ctx context.Context, before time.Time) (int, error) {
			return a.sessions.Prune(ctx, session.FinishedBefore(before), before, pruned)
		}),
		kept(c, messagesKeep, func(ctx context.Context, before time.Time) (int, error) {
			n, err := a.messages.Prune(ctx, message.Before(before), before, pruned)
			if n > 0 || err != nil {
				return n, err
			}
			return a.broadcasts.Prune(ctx, message.Before(before), before, pruned)
		}),
		kept(c, webhooksKeep, func(ctx context.Context, before time.Time) (int, error) {
			return a.deliveries.Prune(ctx, webhook.Before(before), before, pruned)
		}),
		kept(c, eventsKeep, func(ctx context.Context, before time.Time) (int, error) {
			return a.database.Prune(ctx, before, pruned)
		}),
		kept(c, jobsKeep, func(ctx context.Context, before time.Time) (int, error) {
			return jobs.Prune(ctx, job.EndedBefore(before), before, pruned)
		}),
	}
	return job.Kind{
		Name: "prune", Doc: "End and remove what has expired, or is older than it is to be kept.",
		Every: func() time.Duration { return time.Minute },
		Step: job.Steps(func(ctx context.Context, at *pruning, p *job.Progress) error {
			now := resource.Cut(time.Now())
			for ; at.Turn < len(turns); at.Turn++ {
				if n, err := turns[at.Turn](ctx, now, at); n > 0 || err != nil {
					p.Done += int64(n)
					return err
				}
			}
			at.Turn = 0
			p.Finish()
			return nil
		}),
	}
}

// kept prunes what is older than it is to be kept, nothing if that is for ever.
func kept(
	c *configuration, of *setting.Setting[time.Duration], prune func(ctx context.Context, before time.Time) (int, error),
) func(context.Context, time.Time, *pruning) (int, error) {
	return func(ctx context.Context, now time.Time, _ *pruning) (int, error) {
		keep := of.In(c)
		if keep == 0 {
			return 0, nil
		}
		return prune(ctx, now.Add(-keep))
	}
}
