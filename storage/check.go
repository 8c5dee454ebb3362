package storage

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Finding is what is wrong with a table, and whether that has been repaired.
type Finding struct {
	Table    string
	Sentence string
	Repaired bool
}

// Check compares what is kept twice: counters with the rows that they count, folded texts with those that they
// are made of, and foreign keys with what they name. The last cannot be repaired; the others are, if it is asked
// for. While it is at a table nobody else writes there, so that what it finds is so.
func (db *DB) Check(ctx context.Context, repair bool) ([]Finding, error) {
	var all []Finding
	for _, l := range db.declared() {
		err := db.begin(ctx, func(ctx context.Context, tx *transaction) error {
			c := checker{generator{db, tx}, l, repair, nil}
			if err := c.check(ctx); err != nil {
				return err
			}
			all = append(all, c.found...)
			return nil
		})
		if err != nil {
			return all, fmt.Errorf("storage: table %s: %w", l.table, err)
		}
	}
	return all, nil
}

// checker checks one table.
type checker struct {
	generator
	layout *layout
	repair bool
	found  []Finding
}

func (c *checker) find(repaired bool, format string, args ...any) {
	c.found = append(c.found, Finding{c.layout.table, fmt.Sprintf(format, args...), repaired})
}

func (c *checker) check(ctx context.Context) error {
	if lock := c.db.traits.LockTable; lock != "" {
		if err := c.run(ctx, fmt.Sprintf(lock, quote(c.layout.table))); err != nil {
			return err
		}
	}
	// Folding comes first, since it writes.
	for _, step := range []func(context.Context) error{c.folded, c.counter, c.references} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) folded(ctx context.Context) error {
	for i := range c.layout.columns {
		column := &c.layout.columns[i]
		if !column.folded {
			continue
		}
		n, err := c.fold(ctx, c.layout, column, c.repair)
		if err != nil {
			return err
		}
		if n > 0 {
			c.find(c.repair, "%d rows have another text in %s than in %s", n, column.name, column.member)
		}
	}
	return nil
}

func (c *checker) counter(ctx context.Context) error {
	wrong, err := c.untriggered(ctx)
	if err == nil && !c.layout.uncounted {
		var more []string
		more, err = c.miscounted(ctx, c.layout.counter())
		wrong = append(wrong, more...)
	}
	for _, t := range c.layout.tallies {
		if err == nil {
			var more []string
			more, err = c.mistallied(ctx, t)
			wrong = append(wrong, more...)
		}
	}
	if err != nil || len(wrong) == 0 {
		return err
	}
	if c.repair {
		if err := c.count(ctx, c.layout); err != nil {
			return err
		}
	}
	for _, sentence := range wrong {
		c.find(c.repair, "%s", sentence)
	}
	return nil
}

// createTrigger is the beginning of the statement that makes a trigger, with its name.
var createTrigger = regexp.MustCompile(`^CREATE (?:OR REPLACE )?TRIGGER "([^"]+)"`)

// untriggered says which triggers do not count.
func (c *checker) untriggered(ctx context.Context) (wrong []string, err error) {
	var firing []string
	if err := c.tx.SelectContext(ctx, &firing, c.db.traits.Triggers, c.layout.table); err != nil {
		return nil, c.db.failed(err)
	}
	for _, statement := range c.layout.counting() {
		if made := createTrigger.FindStringSubmatch(statement); made != nil && !slices.Contains(firing, made[1]) {
			wrong = append(wrong, fmt.Sprintf("the trigger %s, which counts, is missing or disabled", made[1]))
		}
	}
	return wrong, nil
}

// miscounted says in which cells a counter is wrong.
func (c *checker) miscounted(ctx context.Context, counter Counter) (wrong []string, err error) {
	columns, err := c.db.dialect.Columns(ctx, c.tx, counter.Name)
	if err != nil {
		return nil, c.db.failed(err)
	}
	if len(columns) != counter.Cells+2 { // slot and changes
		return append(wrong, "there is no counter that fits"), nil
	}
	kept := make([]int64, counter.Cells)
	dest := make([]any, counter.Cells)
	sums := make([]string, counter.Cells)
	for i := range kept {
		dest[i], sums[i] = &kept[i], fmt.Sprintf("CAST(coalesce(sum(n%d), 0) AS bigint)", i)
	}
	text := "SELECT " + strings.Join(sums, ", ") + " FROM " + quote(counter.Name)
	if err := c.tx.QueryRowxContext(ctx, text).Scan(dest...); err != nil {
		return nil, c.db.failed(err)
	}
	var cells []struct {
		Cell int
		Rows int64
	}
	text = "SELECT cell, count(*) AS rows FROM (SELECT " + counter.Cell("") + " AS cell FROM " + quote(counter.Table) +
		counter.Counted() + ") AS x GROUP BY cell"
	if err := c.tx.SelectContext(ctx, &cells, text); err != nil {
		return nil, c.db.failed(err)
	}
	rows := make([]int64, counter.Cells)
	for _, cell := range cells {
		rows[cell.Cell] = cell.Rows
	}
	for i := range rows {
		if kept[i] != rows[i] {
			wrong = append(wrong, fmt.Sprintf("cell %d of the counter says %d, and there are %d rows", i, kept[i], rows[i]))
		}
	}
	return wrong, nil
}

// mistallied says in how many hours a tally is wrong.
func (c *checker) mistallied(ctx context.Context, t Tally) (wrong []string, err error) {
	columns, err := c.db.dialect.Columns(ctx, c.tx, t.Name)
	if err != nil {
		return nil, c.db.failed(err)
	}
	if len(columns) == 0 {
		return []string{"there is no tally of " + t.Column}, nil
	}
	var hours int64
	text := fmt.Sprintf("SELECT count(*) FROM (SELECT hour FROM (SELECT hour, n FROM %s UNION ALL SELECT %s, -1 FROM %s WHERE %s IS NOT NULL) AS x"+
		" GROUP BY hour HAVING sum(n) <> 0) AS y", quote(t.Name), c.db.dialect.Hour(quote(t.Column)), quote(t.Table), quote(t.Column))
	if err := c.tx.GetContext(ctx, &hours, text); err != nil {
		return nil, c.db.failed(err)
	}
	if hours > 0 {
		wrong = append(wrong, fmt.Sprintf("the tally of %s is wrong about %d hours", t.Column, hours))
	}
	return wrong, nil
}

func (c *checker) references(ctx context.Context) error {
	for _, column := range c.layout.columns {
		if column.references != "" {
			if err := c.dangling(ctx, c.layout.table, column.name, column.references); err != nil {
				return err
			}
		}
	}
	for _, link := range c.layout.links {
		if err := c.dangling(ctx, link.table, "from_id", c.layout.resource); err != nil {
			return err
		}
		if err := c.dangling(ctx, link.table, "to_id", link.target); err != nil {
			return err
		}
	}
	return nil
}

// dangling finds the rows of a table whose column names a resource that is not there.
func (c *checker) dangling(ctx context.Context, table, column, typ string) error {
	target := c.db.layout(typ)
	if target == nil {
		return fmt.Errorf("%s.%s refers to %q, which has no table", table, column, typ)
	}
	var n int64
	text := fmt.Sprintf("SELECT count(*) FROM %s AS a WHERE a.%s IS NOT NULL AND NOT EXISTS (SELECT 1 FROM %s AS b WHERE b.id = a.%[2]s)",
		quote(table), quote(column), quote(target.table))
	if err := c.tx.GetContext(ctx, &n, text); err != nil {
		return c.db.failed(err)
	}
	if n > 0 {
		c.find(false, "%d rows of %s refer by %s to a %s that is not there", n, table, column, typ)
	}
	return nil
}

// fold writes the folded texts that are not what they should be, or only counts them. The database cannot: it
// folds otherwise.
func (g generator) fold(ctx context.Context, l *layout, c *column, write bool) (wrong int, err error) {
	const size = 1000
	read := g.tx.Rebind(fmt.Sprintf("SELECT id, %s AS text, %s AS folded FROM %s WHERE id > ? ORDER BY id LIMIT %d",
		quote(l.compared(c.member).name), quote(c.name), quote(l.table), size))
	update := g.tx.Rebind(fmt.Sprintf("UPDATE %s SET %s = ? WHERE id = ?", quote(l.table), quote(c.name)))
	for last := (ulid.ULID{}); ; {
		var rows []struct {
			ID           []byte
			Text, Folded *string
		}
		if err := g.tx.SelectContext(ctx, &rows, read, g.db.dialect.Value(last)); err != nil {
			return wrong, g.db.failed(err)
		}
		for _, row := range rows {
			if err := resource.ScanID(row.ID, &last); err != nil {
				return wrong, err
			}
			folded := row.Text
			if folded != nil {
				folded = new(resource.Fold(*row.Text))
			}
			if folded == nil && row.Folded == nil || folded != nil && row.Folded != nil && *folded == *row.Folded {
				continue
			}
			wrong++
			if !write {
				continue
			}
			if _, err := g.tx.ExecContext(ctx, update, folded, g.db.dialect.Value(last)); err != nil {
				return wrong, g.db.failed(err)
			}
		}
		if len(rows) < size {
			return wrong, nil
		}
	}
}
