package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pressly/goose/v3"
)

// Migration is one step from an empty database to one that fits the program: a file, or a table that is made
// from its schema.
type Migration struct {
	Name    string
	Applied bool
	At      time.Time // zero if not applied, or not known
}

// Migrate brings the database up to date: the migrations first, then the tables of everything declared so far,
// under a lock. It refuses a database that is newer than the program, and what it cannot do by adding.
func (db *DB) Migrate(ctx context.Context) error {
	provider, err := db.provider()
	if err != nil {
		return err
	}
	if db.up(ctx, provider) != nil {
		// Two programs may have begun at the same time, and got in each other's way. Now one is done.
		if err := db.up(ctx, provider); err != nil {
			return err
		}
	}
	layouts := db.declared()
	return db.begin(ctx, func(ctx context.Context, tx *transaction) error {
		if err := db.Lock(ctx, "migrate"); err != nil {
			return err
		}
		if err := db.makeKeys(ctx, tx); err != nil {
			return err
		}
		return generator{db, tx}.generate(ctx, layouts)
	})
}

// Draft is a [Table] by [NewDraft].
type Draft interface{ draft() *layout }

func (t *Table[T]) draft() *layout { return t.layout }

// Adopt brings the tables of drafts up to date, in the transaction that the context holds or else in one of its own, and
// declares them once that is committed. Drafts may refer to each other, and to what is declared. What cannot be done by
// adding is a Conflict, as are tables that are there already and that no schema has made.
func (db *DB) Adopt(ctx context.Context, drafts ...Draft) error {
	layouts, err := db.drafted(drafts)
	if err != nil {
		return err
	}
	declare := func(context.Context) {
		for _, l := range layouts {
			db.replace(l)
		}
	}
	adopt := func(ctx context.Context, tx *transaction) error {
		if err := db.Lock(ctx, "migrate"); err != nil {
			return err
		}
		g := generator{db, tx}
		if err := g.unclaimed(ctx, layouts); err != nil {
			return err
		}
		if err := g.generate(ctx, layouts); err != nil {
			return err
		}
		return db.AfterCommit(ctx, declare)
	}
	if tx := db.joined(ctx); tx != nil {
		return adopt(ctx, tx)
	}
	reading, cancel := db.bounded(ctx)
	defer cancel()
	made, err := db.hashes(reading, db.pools.Read)
	if err != nil {
		return err
	}
	stale, err := outdated(layouts, made)
	if err == nil && len(stale) > 0 {
		return db.begin(ctx, adopt)
	}
	if err == nil { // another node, or an earlier start, has done it all
		declare(ctx)
	}
	return err
}

// drafted are the layouts of drafts, which may refer to each other.
func (db *DB) drafted(drafts []Draft) (layouts []*layout, err error) {
	for _, d := range drafts {
		layouts = append(layouts, d.draft())
	}
	for _, l := range layouts {
		l.drafts = layouts
	}
	for _, l := range layouts {
		if err := l.apart(slices.Concat(db.declared(), layouts)); err != nil {
			return nil, err
		}
	}
	return layouts, nil
}

// Declare declares drafts whose tables are there already, or are to be made by [Outbox.Restore].
func (db *DB) Declare(drafts ...Draft) error {
	layouts, err := db.drafted(drafts)
	for _, l := range layouts {
		db.replace(l)
	}
	return err
}

// MigrationStatus says which migrations and which of the declared tables are up to date.
func (db *DB) MigrationStatus(ctx context.Context) ([]Migration, error) {
	provider, err := db.provider()
	if err != nil {
		return nil, err
	}
	status, err := provider.Status(ctx)
	if err != nil {
		return nil, db.failed(err)
	}
	var all []Migration
	for _, s := range status {
		all = append(all, Migration{s.Source.Path, s.State == goose.StateApplied, s.AppliedAt})
	}
	for _, l := range db.declared() {
		if err := l.resolve(); err != nil {
			return nil, err
		}
	}
	err = db.begin(ctx, func(ctx context.Context, tx *transaction) error {
		hashes, err := db.hashes(ctx, tx)
		if err != nil && !errors.Is(err, errEmpty) {
			return err
		}
		for _, l := range db.declared() {
			all = append(all, Migration{Name: l.table, Applied: hashes[l.table] == l.hash()})
		}
		return nil
	})
	return all, err
}

// MigrateDown undoes the newest migration that is applied, and names it. Generated tables stay.
func (db *DB) MigrateDown(ctx context.Context) (undone string, err error) {
	provider, err := db.provider()
	if err != nil {
		return "", err
	}
	// The first migration made the table of the data keys: without them, every sealed secret is lost for good.
	if current, err := provider.GetDBVersion(ctx); err == nil && current == 1 {
		var keys int
		if err := db.pools.Read.QueryRowxContext(ctx, "SELECT count(*) FROM data_keys").Scan(&keys); err != nil || keys > 0 {
			return "", errors.Join(db.failed(err), errors.New("storage: undoing this would destroy the keys of all sealed secrets"))
		}
	}
	result, err := provider.Down(ctx)
	if errors.Is(err, goose.ErrNoNextVersion) {
		return "", errors.New("storage: no migration is applied")
	}
	if err != nil {
		return "", db.failed(err)
	}
	return result.Source.Path, nil
}

func (db *DB) provider() (*goose.Provider, error) {
	dialect, files, options := db.dialect.Migrations()
	provider, err := goose.NewProvider(dialect, db.pools.Write.DB, files, options...)
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	return provider, nil
}

// up applies the migrations that are not applied yet.
func (db *DB) up(ctx context.Context, provider *goose.Provider) error {
	current, err := provider.GetDBVersion(ctx)
	if err != nil {
		return db.failed(err)
	}
	sources := provider.ListSources()
	switch newest := sources[len(sources)-1].Version; {
	case current > newest:
		return fmt.Errorf("storage: the database is at version %d, and this program knows no more than %d", current, newest)
	case current < newest:
		_, err = provider.Up(ctx)
	}
	return db.failed(err)
}

// declared are the layouts declared so far.
func (db *DB) declared() []*layout {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return append([]*layout(nil), db.tables...)
}

// layout finds the layout of a type, nil if none is declared.
func (db *DB) layout(resource string) *layout {
	db.mu.RLock()
	defer db.mu.RUnlock()
	for _, l := range db.tables {
		if l.resource == resource {
			return l
		}
	}
	return nil
}

// declare adds a layout, or replaces the one of the same type.
func (db *DB) declare(l *layout) error {
	if err := l.apart(db.declared()); err != nil {
		return err
	}
	db.replace(l)
	return nil
}

// replace declares a layout in the place of the one of the same type, if there is one.
func (db *DB) replace(l *layout) {
	db.mu.Lock()
	defer db.mu.Unlock()
	for i, other := range db.tables {
		if other.resource == l.resource {
			db.tables[i] = l
			return
		}
	}
	db.tables = append(db.tables, l)
}

// tables are the names of all tables that the layout has: its own, its counter's, and those of its tallies and links.
func (l *layout) tables() []string {
	names := []string{l.table}
	if !l.uncounted {
		names = append(names, l.counter().Name)
	}
	for _, t := range l.tallies {
		names = append(names, t.Name)
	}
	for _, k := range l.links {
		names = append(names, k.table)
	}
	return names
}

// apart refuses to share a table with the layouts of other types.
func (l *layout) apart(others []*layout) error {
	own := l.tables()
	for _, other := range others {
		for _, name := range other.tables() {
			if other.resource != l.resource && slices.Contains(own, name) {
				return l.cannot("%q and %q would share the table %s", other.resource, l.resource, name)
			}
		}
	}
	return nil
}
