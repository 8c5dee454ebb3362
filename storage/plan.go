package storage

import (
	"context"
	"fmt"
	"strings"

	"reeve/pagination"
	"reeve/resource"
)

// Plan is how the database finds the page of a query, in its own words, a step a line.
func (t *Table[T]) Plan(ctx context.Context, q resource.Query) (string, error) {
	ctx, cancel := t.db.bounded(ctx)
	defer cancel()
	p := t.listing(q)
	if err := p.survey(ctx, t.layout); err != nil {
		return "", err
	}
	b := &builder{layout: t.layout, prefix: alias + ".", now: p.now}
	b.write(t.db.traits.Explain)
	if q.Of != nil {
		t.writeOf(b, q, p.columns)
	} else {
		p.write(b, form{total: q.Count != pagination.CountNone})
	}
	if b.err != nil {
		return "", b.err
	}
	rows, err := t.db.reader(ctx).QueryxContext(ctx, b.String(), b.args...)
	if err != nil {
		return "", t.db.failed(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		step, err := rows.SliceScan()
		if err != nil {
			return "", t.db.failed(err)
		}
		fmt.Fprintln(&plan, step[len(step)-1])
	}
	return plan.String(), t.db.failed(rows.Err())
}
