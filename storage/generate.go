package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// The generator makes tables out of layouts. It adds, and never takes away what holds data: what it would have
// to rename, drop or convert it refuses, since that is work for a file of goose.

// onDelete is what a foreign key does. Restrict is NO ACTION, which looks when the statement is done: what goes
// by another cascade of the same deletion does not stand in its way.
var onDelete = map[resource.Deletion]string{
	resource.Restrict: "NO ACTION", resource.Cascade: "CASCADE", resource.Clear: "SET NULL",
}

// definition is a column as CREATE TABLE has it.
func (l *layout) definition(c *column) string {
	text := quote(c.name) + " " + l.db.dialect.Type(c.kind)
	if !c.null {
		text += " NOT NULL"
	}
	if c.fallback != nil {
		text += " DEFAULT " + l.db.dialect.Literal(c.fallback)
	}
	if c.references != "" && l.db.traits.InlineForeignKeys {
		text += " " + l.reference(c)
	}
	return text
}

// reference is a foreign key's REFERENCES clause. That there is such a table has been checked.
func (l *layout) reference(c *column) string {
	return "REFERENCES " + quote(l.target(c.references).table) + " (id) ON DELETE " + onDelete[c.onDelete]
}

func (l *layout) foreignKey(c *column) string { return identifier(l.table, c.name) + "_fkey" }

func (l *layout) createTable() string {
	lines := []string{"id " + l.db.dialect.Type(resource.ID) + " PRIMARY KEY NOT NULL"}
	for i := range l.columns {
		lines = append(lines, l.definition(&l.columns[i]))
	}
	return "CREATE TABLE " + quote(l.table) + " (\n\t" + strings.Join(lines, ",\n\t") + "\n)" + l.db.traits.TableSuffix
}

func (l *layout) createLink(k *link) []string {
	id := l.db.dialect.Type(resource.ID)
	end := func(column, table string) string {
		return column + " " + id + " NOT NULL REFERENCES " + quote(table) + " (id) ON DELETE CASCADE"
	}
	return []string{
		"CREATE TABLE IF NOT EXISTS " + quote(k.table) + " (\n\t" + end("from_id", l.table) + ",\n\t" +
			end("to_id", l.target(k.target).table) + ",\n\tPRIMARY KEY (from_id, to_id)\n)" + l.db.traits.TableSuffix,
		"CREATE INDEX IF NOT EXISTS " + quote(identifier(k.table, "reverse")) + " ON " + quote(k.table) + " (to_id, from_id)",
	}
}

func (l *layout) createIndex(i *index) string {
	text := "CREATE "
	if i.unique {
		text += "UNIQUE "
	}
	text += "INDEX " + quote(i.name) + " ON " + quote(l.table) + " ("
	for n, column := range i.columns {
		if n > 0 {
			text += ", "
		}
		text += quote(column)
		if i.directions != nil {
			text += i.directions[n]
		}
	}
	text += ")"
	if i.where != "" {
		text += " WHERE " + i.where
	}
	return text
}

// hash stands for all that the generator makes of the layout.
func (l *layout) hash() string {
	h := sha256.New()
	fmt.Fprintln(h, l.createTable())
	for i := range l.columns {
		if c := &l.columns[i]; c.references != "" {
			fmt.Fprintln(h, l.reference(c))
		}
	}
	for i := range l.links {
		fmt.Fprintln(h, l.createLink(&l.links[i]))
	}
	for i := range l.indexes {
		fmt.Fprintln(h, l.createIndex(&l.indexes[i]))
	}
	fmt.Fprintln(h, l.counting())
	return hex.EncodeToString(h.Sum(nil))
}

// cannot is what adding does not do: a Conflict.
func (l *layout) cannot(format string, args ...any) error {
	return resource.Errorf(resource.Conflict, "table %s: "+format, append([]any{l.table}, args...)...)
}

// target is the layout of a type that this one refers to, nil if there is none.
func (l *layout) target(resource string) *layout {
	for _, other := range l.drafts {
		if other.resource == resource {
			return other
		}
	}
	return l.db.layout(resource)
}

// resolve checks that the tables which the layout's columns and links refer to are declared.
func (l *layout) resolve() error {
	for _, c := range l.columns {
		if c.references != "" && l.target(c.references) == nil {
			return l.cannot("%s refers to %q, which has no table", c.member, c.references)
		}
	}
	for _, k := range l.links {
		if l.target(k.target) == nil {
			return l.cannot("%s refers to %q, which has no table", k.member, k.target)
		}
	}
	return nil
}

// generator changes the database in one transaction.
type generator struct {
	db *DB
	tx *transaction
}

func (g generator) run(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := g.tx.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%w\nin: %s", g.db.failed(err), s)
		}
	}
	return nil
}

// hashes are those of the tables as they were last generated, by table.
func (db *DB) hashes(ctx context.Context, in querier) (map[string]string, error) {
	columns, err := db.dialect.Columns(ctx, in, "reeve_schemas")
	if err != nil {
		return nil, db.failed(err)
	}
	if len(columns) == 0 {
		return nil, errEmpty
	}
	var stored []struct{ Name, Hash string }
	if err := sqlx.SelectContext(ctx, in, &stored, "SELECT name, hash FROM reeve_schemas"); err != nil {
		return nil, db.failed(err)
	}
	hashes := map[string]string{}
	for _, s := range stored {
		hashes[s.Name] = s.Hash
	}
	return hashes, nil
}

// errEmpty says that no tables have been made.
var errEmpty error = resource.Errorf(resource.Conflict, "the database is empty: reeve migrate up makes its tables")

// unclaimed refuses drafts whose tables are there, though no schema has made them.
func (g generator) unclaimed(ctx context.Context, drafts []*layout) error {
	made, err := g.db.hashes(ctx, g.tx)
	if err != nil {
		return err
	}
	for _, l := range drafts {
		for _, name := range l.tables() {
			columns, err := g.db.dialect.Columns(ctx, g.tx, name)
			if err != nil {
				return g.db.failed(err)
			}
			_, own := made[name]
			known := name == l.table && own || name != l.table && !own && made[l.table] != ""
			if len(columns) > 0 && !known {
				return l.cannot("there is a table %s that is not this type's", name)
			}
		}
	}
	return nil
}

// generate brings the tables of all layouts up to date. Tables come first, since they refer to each other.
func (g generator) generate(ctx context.Context, layouts []*layout) error {
	stored, err := g.db.hashes(ctx, g.tx)
	if err != nil {
		return err
	}
	stale, err := outdated(layouts, stored)
	if err != nil {
		return err
	}
	return g.each(ctx, stale, g.table, g.links, g.foreignKeys, g.indexes, g.count, g.remember)
}

// each does one step for all layouts, then the next.
func (g generator) each(ctx context.Context, layouts []*layout, steps ...func(context.Context, *layout) error) error {
	for _, step := range steps {
		for _, l := range layouts {
			if err := step(ctx, l); err != nil {
				return fmt.Errorf("storage: table %s: %w", l.table, err)
			}
		}
	}
	return nil
}

// outdated are the layouts whose tables are not as they were last generated.
func outdated(layouts []*layout, stored map[string]string) (stale []*layout, err error) {
	for _, l := range layouts {
		if err := l.resolve(); err != nil {
			return nil, err
		}
		if stored[l.table] != l.hash() {
			stale = append(stale, l)
		}
	}
	return stale, nil
}

func (g generator) remember(ctx context.Context, l *layout) error {
	upsert := sqlx.Rebind(g.db.bindType, `INSERT INTO reeve_schemas (name, hash) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET hash = excluded.hash`)
	_, err := g.tx.ExecContext(ctx, upsert, l.table, l.hash())
	return g.db.failed(err)
}

// table makes the table, or adds the columns that it lacks.
func (g generator) table(ctx context.Context, l *layout) error {
	present, err := g.db.dialect.Columns(ctx, g.tx, l.table)
	if err != nil {
		return g.db.failed(err)
	}
	if len(present) == 0 {
		return g.run(ctx, l.createTable())
	}
	byName := map[string]Column{}
	for _, p := range present {
		known := l.column(p.Name) != nil || p.Name == "id"
		if !known && p.NotNull && !p.HasDefault {
			return l.cannot("the database has a column %s that must be given and that the schema does not have", p.Name)
		}
		byName[p.Name] = p
	}
	for i := range l.columns {
		c := &l.columns[i]
		p, ok := byName[c.name]
		switch kind := g.db.dialect.Type(c.kind); {
		case ok && p.Type != kind:
			return l.cannot("column %s is %s and would become %s; that needs a migration", c.name, p.Type, kind)
		case ok && p.NotNull == c.null:
			return l.cannot("column %s would change whether it can be null; that needs a migration", c.name)
		case ok && g.db.traits.InlineForeignKeys && c.references != "" &&
			(p.References != l.target(c.references).table || p.OnDelete != onDelete[c.onDelete]):
			return l.cannot("the foreign key of column %s would change; that needs a migration", c.name)
		case ok:
		case c.references != "" && !c.null:
			return l.cannot("the new column %s must not be null, and refers to something; that needs a migration", c.name)
		default:
			if err := g.run(ctx, "ALTER TABLE "+quote(l.table)+" ADD COLUMN "+l.definition(c)); err != nil {
				return err
			}
			if c.folded {
				for last, more := (ulid.ULID{}), true; more; more = last != (ulid.ULID{}) {
					if _, last, err = g.db.fold(ctx, g.tx, l, c, last, true); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// links makes the link tables.
func (g generator) links(ctx context.Context, l *layout) error {
	for i := range l.links {
		if err := g.run(ctx, l.createLink(&l.links[i])...); err != nil {
			return err
		}
	}
	return nil
}

// foreignKeys adds the foreign keys that could not be declared with their columns.
func (g generator) foreignKeys(ctx context.Context, l *layout) error {
	if g.db.traits.InlineForeignKeys {
		return nil
	}
	present, err := g.db.dialect.Columns(ctx, g.tx, l.table)
	if err != nil {
		return g.db.failed(err)
	}
	for i := range l.columns {
		c := &l.columns[i]
		if c.references == "" || slices.ContainsFunc(present, func(p Column) bool {
			return p.Name == c.name && p.References == l.target(c.references).table && p.OnDelete == onDelete[c.onDelete]
		}) {
			continue
		}
		alter, name := "ALTER TABLE "+quote(l.table), quote(l.foreignKey(c))
		if err := g.run(ctx,
			alter+" DROP CONSTRAINT IF EXISTS "+name,
			alter+" ADD CONSTRAINT "+name+" FOREIGN KEY ("+quote(c.name)+") "+l.reference(c)); err != nil {
			return err
		}
	}
	return nil
}

// hashed is the end of a generated index's name.
var hashed = regexp.MustCompile(`_[0-9a-f]{8}$`)

// indexes makes the indexes that are not there, and drops the generated ones that nothing declares any more.
func (g generator) indexes(ctx context.Context, l *layout) error {
	present, err := g.db.dialect.Indexes(ctx, g.tx, l.table)
	if err != nil {
		return g.db.failed(err)
	}
	for _, name := range present {
		declared := slices.ContainsFunc(l.indexes, func(i index) bool { return i.name == name })
		if !declared && hashed.MatchString(name) && strings.HasPrefix(name, l.table+"_") {
			if err := g.run(ctx, "DROP INDEX "+quote(name)); err != nil {
				return err
			}
		}
	}
	for i := range l.indexes {
		if !slices.Contains(present, l.indexes[i].name) {
			err := g.run(ctx, l.createIndex(&l.indexes[i]))
			if err != nil && l.indexes[i].unique && g.db.dialect.Fault(errors.Unwrap(err)).Kind == UniqueFault {
				return l.cannot("several rows have the same %s", strings.Join(l.indexes[i].columns, ", "))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// count makes the counter anew, and the tallies.
func (g generator) count(ctx context.Context, l *layout) error {
	return g.run(ctx, l.counting()...)
}

// counting are the statements that make the counter anew, unless there is to be none, and the tallies.
func (l *layout) counting() (statements []string) {
	if !l.uncounted {
		statements = l.db.dialect.Counting(l.counter())
	}
	for _, t := range l.tallies {
		statements = append(statements, l.db.dialect.Tallying(t)...)
	}
	return statements
}
