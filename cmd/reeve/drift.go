package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// drift is what the last check of the database has found, by a job recount or by reeve check.
type drift struct {
	ID    ulid.ULID
	At    time.Time
	Wrong json.RawMessage // by table how much
}

// driftSchema is no entity: there is at most one row.
var driftSchema = resource.Schema[drift]{
	Name: "drift", Plural: "drifts", Doc: "What the last check of the database has found.", Uncounted: true,
	ID: func(d *drift) *ulid.ULID { return &d.ID },
	Attributes: []resource.Attribute[drift]{
		resource.Attr("at", func(d *drift) *time.Time { return &d.At }),
		resource.Attr("wrong", func(d *drift) *json.RawMessage { return &d.Wrong }),
	},
}

// noteDrift keeps how much a check has found, by table.
func (a *app) noteDrift(ctx context.Context, wrong map[string]int) error {
	text, err := json.Marshal(wrong)
	if err != nil {
		return err
	}
	now, id := resource.Cut(time.Now()), resource.NamedID(driftSchema.Name, driftSchema.Name)
	return a.database.Transact(ctx, func(ctx context.Context) error {
		_, err := a.drifts.Update(ctx, id, func(d *drift) error {
			d.At, d.Wrong = now, text
			return nil
		})
		if resource.Is(err, resource.NotFound) {
			err = a.drifts.Create(ctx, &drift{ID: id, At: now, Wrong: text})
		}
		return err
	})
}

// drift is what the last check has found, by table, and when; the zero time if there was none.
func (a *app) drift(ctx context.Context) (wrong map[string]int, at time.Time, err error) {
	d, err := a.drifts.Get(ctx, resource.NamedID(driftSchema.Name, driftSchema.Name))
	if resource.Is(err, resource.NotFound) {
		return nil, at, nil
	}
	if err == nil {
		err = json.Unmarshal(d.Wrong, &wrong)
	}
	if err != nil {
		return nil, at, err
	}
	return wrong, d.At, nil
}
