package storage

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Finding is what is wrong with a table, and whether that has been repaired.
type Finding struct {
	Table    string
	Sentence string
	Repaired bool
}

func (f Finding) String() string {
	outcome := "repaired"
	if !f.Repaired {
		outcome = "not repaired"
	}
	return fmt.Sprintf("%s: %s (%s)", f.Table, f.Sentence, outcome)
}

// Place is where a check stands. The zero Place is its beginning.
type Place struct {
	Table string
	Part  int       // of what is checked there
	After ulid.ULID // the row after which it goes on, zero at the beginning of a part
}

// Part is what one part of a check came to.
type Part struct {
	Found       []Finding
	Next        Place
	Done, Total int // how many parts are, and how many there are in all; they are equal after the last one
}

// Check compares what is kept twice: counters with the rows that they count, folded texts with those that they
// are made of, and foreign keys with what they name. The last cannot be repaired; the others are, if it is asked
// for. It takes the time that it takes. Others may write meanwhile.
func (db *DB) Check(ctx context.Context, repair bool) (all []Finding, err error) {
	if _, err := db.hashes(ctx, db.pools.Read); err != nil {
		return nil, err
	}
	for at := (Place{}); ; {
		part, err := db.CheckPart(ctx, at, false)
		if err == nil && repair && len(part.Found) > 0 {
			part, err = db.CheckPart(ctx, at, true)
		}
		if err != nil {
			return all, err
		}
		if all = append(all, part.Found...); part.Done == part.Total {
			return all, nil
		}
		at = part.Next
	}
}

// CheckPart does the part of a check that begins at a place: 1000 folded texts, a counter, or a foreign key. To look
// keeps nobody from writing. To repair is a transaction, that which the context holds or one of its own; it looks again
// first, and while it counts, nobody else writes to the table. A place that is not there, as after a start of another
// version of the program, is the beginning.
func (db *DB) CheckPart(ctx context.Context, at Place, repair bool) (part Part, err error) {
	layouts := db.declared()
	table := slices.IndexFunc(layouts, func(l *layout) bool { return l.table == at.Table })
	if table < 0 || at.Part >= len(layouts[table].checks()) {
		table, at = 0, Place{}
	}
	for i, l := range layouts {
		n := len(l.checks())
		if part.Total += n; i < table {
			part.Done += n
		}
	}
	l := layouts[table]
	checks := l.checks()
	part.Done += at.Part
	look := func(ctx context.Context) error {
		c := checker{db, db.reader(ctx), l, repair, nil}
		last, err := checks[at.Part](ctx, &c, at.After)
		if err != nil {
			return fmt.Errorf("storage: table %s: %w", l.table, err)
		}
		part.Found = c.found
		switch part.Next = (Place{l.table, at.Part, last}); {
		case last != (ulid.ULID{}):
			return nil
		case at.Part+1 < len(checks):
			part.Next.Part++
		case table+1 < len(layouts):
			part.Next = Place{Table: layouts[table+1].table}
		}
		part.Done++
		return nil
	}
	switch {
	case !repair:
		err = db.Snapshot(ctx, look)
	case db.joined(ctx) != nil:
		err = look(ctx)
	default:
		err = db.begin(ctx, func(ctx context.Context, _ *transaction) error { return look(ctx) })
	}
	return part, err
}

// checker checks one table.
type checker struct {
	db     *DB
	in     querier
	layout *layout
	repair bool
	found  []Finding
}

func (c *checker) find(repaired bool, format string, args ...any) {
	c.found = append(c.found, Finding{c.layout.table, fmt.Sprintf(format, args...), repaired})
}

// check checks a part of a table. It returns the row after which the part goes on, zero if it is through.
type check func(ctx context.Context, c *checker, after ulid.ULID) (last ulid.ULID, err error)

// checks are the parts of a table's check. Folding comes first, since it writes. Each layout has at least one.
func (l *layout) checks() (all []check) {
	whole := func(do func(ctx context.Context, c *checker) error) {
		all = append(all, func(ctx context.Context, c *checker, _ ulid.ULID) (none ulid.ULID, err error) {
			return none, do(ctx, c)
		})
	}
	dangling := func(table, column, typ string) {
		whole(func(ctx context.Context, c *checker) error { return c.dangling(ctx, table, column, typ) })
	}
	for i := range l.columns {
		if column := &l.columns[i]; column.folded {
			all = append(all, func(ctx context.Context, c *checker, after ulid.ULID) (ulid.ULID, error) {
				return c.folded(ctx, column, after)
			})
		}
	}
	whole(func(ctx context.Context, c *checker) error { return c.counter(ctx) })
	for _, column := range l.columns {
		if column.references != "" {
			dangling(l.table, column.name, column.references)
		}
	}
	for _, link := range l.links {
		dangling(link.table, "from_id", l.resource)
		dangling(link.table, "to_id", link.target)
	}
	return all
}

func (c *checker) folded(ctx context.Context, column *column, after ulid.ULID) (last ulid.ULID, err error) {
	n, last, err := c.db.fold(ctx, c.in, c.layout, column, after, c.repair)
	if n > 0 {
		c.find(c.repair, "%d rows have another text in %s than in %s", n, column.name, column.member)
	}
	return last, err
}

func (c *checker) counter(ctx context.Context) error {
	if lock := c.db.traits.LockTable; c.repair && lock != "" {
		if _, err := c.in.ExecContext(ctx, fmt.Sprintf(lock, quote(c.layout.table))); err != nil {
			return c.db.failed(err)
		}
	}
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
		if err := (generator{c.db, c.db.joined(ctx)}).count(ctx, c.layout); err != nil {
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
	if err := sqlx.SelectContext(ctx, c.in, &firing, c.db.traits.Triggers, c.layout.table); err != nil {
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
	columns, err := c.db.dialect.Columns(ctx, c.in, counter.Name)
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
	if err := c.in.QueryRowxContext(ctx, text).Scan(dest...); err != nil {
		return nil, c.db.failed(err)
	}
	var cells []struct {
		Cell int
		Rows int64
	}
	text = "SELECT cell, count(*) AS rows FROM (SELECT " + counter.Cell("") + " AS cell FROM " + quote(counter.Table) +
		counter.Counted() + ") AS x GROUP BY cell"
	if err := sqlx.SelectContext(ctx, c.in, &cells, text); err != nil {
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
	columns, err := c.db.dialect.Columns(ctx, c.in, t.Name)
	if err != nil {
		return nil, c.db.failed(err)
	}
	if len(columns) == 0 {
		return []string{"there is no tally of " + t.Column}, nil
	}
	var hours int64
	text := fmt.Sprintf("SELECT count(*) FROM (SELECT hour FROM (SELECT hour, n FROM %s UNION ALL SELECT %s, -1 FROM %s WHERE %s IS NOT NULL) AS x"+
		" GROUP BY hour HAVING sum(n) <> 0) AS y", quote(t.Name), c.db.dialect.Hour(quote(t.Column)), quote(t.Table), quote(t.Column))
	if err := sqlx.GetContext(ctx, c.in, &hours, text); err != nil {
		return nil, c.db.failed(err)
	}
	if hours > 0 {
		wrong = append(wrong, fmt.Sprintf("the tally of %s is wrong about %d hours", t.Column, hours))
	}
	return wrong, nil
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
	if err := sqlx.GetContext(ctx, c.in, &n, text); err != nil {
		return c.db.failed(err)
	}
	if n > 0 {
		c.find(false, "%d rows of %s refer by %s to a %s that is not there", n, table, column, typ)
	}
	return nil
}

// foldBatch is how many texts are folded at once.
const foldBatch = 1000

// fold writes the folded texts that are not what they should be, or only counts them: those of 1000 rows after one. It
// returns the last of these rows, zero if there are no more. The database cannot: it folds otherwise.
func (db *DB) fold(ctx context.Context, in querier, l *layout, c *column, after ulid.ULID, write bool) (wrong int, last ulid.ULID, err error) {
	read := fmt.Sprintf("SELECT id, %s AS text, %s AS folded FROM %s WHERE id > ? ORDER BY id LIMIT %d",
		quote(l.compared(c.member).name), quote(c.name), quote(l.table), foldBatch)
	if write {
		read += db.traits.ForUpdate
	}
	update := sqlx.Rebind(db.bindType, fmt.Sprintf("UPDATE %s SET %s = ? WHERE id = ?", quote(l.table), quote(c.name)))
	var rows []struct {
		ID           []byte
		Text, Folded *string
	}
	if err := sqlx.SelectContext(ctx, in, &rows, sqlx.Rebind(db.bindType, read), db.dialect.Value(after)); err != nil {
		return 0, last, db.failed(err)
	}
	for _, row := range rows {
		if err := resource.ScanID(row.ID, &last); err != nil {
			return wrong, last, err
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
		if _, err := in.ExecContext(ctx, update, folded, db.dialect.Value(last)); err != nil {
			return wrong, last, db.failed(err)
		}
	}
	if len(rows) < foldBatch {
		last = ulid.ULID{}
	}
	return wrong, last, nil
}
