// Package sqlite is what is particular to SQLite, embedded without cgo (modernc.org/sqlite).
package sqlite

import (
	"context"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"database/sql"

	"github.com/jmoiron/sqlx"
	"github.com/oklog/ulid/v2"
	"github.com/pressly/goose/v3"
	sqlite "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"reeve/resource"
	"reeve/storage"
)

//go:embed migrations/*.sql
var files embed.FS

// Dialect is the [storage.Dialect] of SQLite. Its URLs are sqlite:// and the path of a file: sqlite:///var/a.db
// is /var/a.db, and sqlite://a.db is a.db in the working directory. A file that is not there is made.
type Dialect struct{}

var _ storage.Dialect = Dialect{}

const name = "sqlite"

// Readers are few, since each has a page cache of its own.
const readers = 4

// cacheSize is a connection's page cache, in KiB of pages. It takes twice the memory, since the driver's allocator
// rounds a page with its header up to 8 KiB. Larger caches saved no time over 1M users.
const cacheSize = 2560

// Traits are the facts about SQLite.
func (Dialect) Traits() storage.Traits {
	return storage.Traits{
		Name: name, TableSuffix: " WITHOUT ROWID", Position: "instr", Among: [2]string{"IN (", ")"}, Walked: "+", IndexedBy: " INDEXED BY ", Explain: "EXPLAIN QUERY PLAN ",
		InlineForeignKeys: true, MaxParameters: 32766, OneWriter: true,
		Snapshot: "BEGIN",
		State:    "PRAGMA data_version",
		Size:     "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
		ColumnsOf: `SELECT s.name, c.name AS "column" FROM reeve_schemas AS s, pragma_table_info(s.name) AS c
			WHERE c.type = ? ORDER BY s.name, c.cid`,
		Unchecked: "PRAGMA foreign_keys = OFF", Dangling: "SELECT count(*) FROM pragma_foreign_key_check",
		Triggers: "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?",
	}
}

// Open prepares one writer, whose transactions take the write lock when they begin, and a few readers. A commit
// is on the disk before it is acknowledged (synchronous FULL).
func (Dialect) Open(uri string) (storage.Pools, error) {
	sqlx.BindDriver(name, sqlx.QUESTION)
	path, ok := strings.CutPrefix(uri, "sqlite://")
	if !ok || path == "" {
		return storage.Pools{}, errors.New("the URL of an SQLite database is sqlite:// and a path")
	}
	// The file holds hashes of passwords and tokens, so others do not read it; SQLite gives its companions the same
	// mode. What stands in the way of opening it, SQLite reports when it is asked something.
	if file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err == nil {
		if err := file.Close(); err != nil {
			return storage.Pools{}, err
		}
	}
	write, err := open(path, 1, "&_txlock=immediate")
	if err != nil {
		return storage.Pools{}, err
	}
	read, err := open(path, readers, "&_pragma=query_only(1)")
	if err != nil {
		return storage.Pools{}, errors.Join(err, write.Close())
	}
	return storage.Pools{Write: write, Read: read}, nil
}

func open(path string, connections int, more string) (*sqlx.DB, error) {
	connector, err := sqlite.NewConnector("file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=foreign_keys(1)&_pragma=cache_size(-" + strconv.Itoa(cacheSize) + ")" + more)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(storage.Prepared(connector, nil)) // SQLite prepares stale statements again itself
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return sqlx.NewDb(db, name), nil
}

// Migrations are the files in the folder migrations.
func (Dialect) Migrations() (goose.Dialect, fs.FS, []goose.ProviderOption) {
	folder, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // the name is well formed
	}
	return goose.DialectSQLite3, folder, nil
}

// Type is the type of a kind's columns. Times are microseconds.
func (Dialect) Type(kind resource.Kind) string {
	switch kind {
	case resource.Bool, resource.Int, resource.Time:
		return "INTEGER"
	case resource.Float:
		return "REAL"
	case resource.ID:
		return "BLOB"
	case storage.Sealed:
		return "SEALED BLOB" // to SQLite the same; it tells what is sealed
	}
	return "TEXT"
}

// Value is a plain value as the driver takes it.
func (Dialect) Value(plain any) any {
	switch plain := plain.(type) {
	case bool:
		if plain {
			return int64(1)
		}
		return int64(0)
	case time.Time:
		return plain.UnixMicro()
	case ulid.ULID:
		return plain[:]
	}
	return plain
}

// Loading is an INSERT of one row.
func (Dialect) Loading(table string, columns []string) string {
	quoted := make([]string, len(columns))
	for i, column := range columns {
		quoted[i] = strconv.Quote(column)
	}
	return "INSERT INTO " + strconv.Quote(table) + " (" + strings.Join(quoted, ", ") + ") VALUES (?" + strings.Repeat(", ?", len(columns)-1) + ")"
}

// Literal is a plain value as SQL text.
func (d Dialect) Literal(plain any) string {
	switch v := d.Value(plain).(type) {
	case nil:
		return "NULL"
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'e', -1, 64)
	case []byte:
		return "x'" + hex.EncodeToString(v) + "'"
	case string:
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	default:
		panic(fmt.Sprintf("sqlite: %T is no plain value", plain))
	}
}

// Astray compares hexadecimal digits, since SQLite cannot read them.
func (Dialect) Astray(column string, milliseconds int) string {
	at := func(sign string) string {
		return fmt.Sprintf("printf('%%012X', %s / 1000 %s %d)", column, sign, milliseconds)
	}
	return "substr(hex(id), 1, 12) NOT BETWEEN " + at("-") + " AND " + at("+")
}

// Columns are the columns of a table.
func (Dialect) Columns(ctx context.Context, q sqlx.QueryerContext, table string) ([]storage.Column, error) {
	var columns []storage.Column
	err := sqlx.SelectContext(ctx, q, &columns, `
		SELECT c.name, c.type, c."notnull", c.dflt_value IS NOT NULL AS has_default,
			coalesce(f."table", '') AS "references", coalesce(f.on_delete, '') AS on_delete
		FROM pragma_table_info(?) AS c LEFT JOIN pragma_foreign_key_list(?) AS f ON f."from" = c.name`, table, table)
	return columns, err
}

// Indexes are the names of the indexes of a table.
func (Dialect) Indexes(ctx context.Context, q sqlx.QueryerContext, table string) ([]string, error) {
	var names []string
	err := sqlx.SelectContext(ctx, q, &names,
		"SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?", table)
	return names, err
}

// Fault says what an error means.
func (Dialect) Fault(err error) storage.Fault {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return storage.Fault{}
	}
	switch e.Code() {
	case codes.SQLITE_CONSTRAINT_UNIQUE, codes.SQLITE_CONSTRAINT_PRIMARYKEY:
		return storage.Fault{Kind: storage.UniqueFault, Columns: columnsOf(e.Error())}
	case codes.SQLITE_CONSTRAINT_FOREIGNKEY:
		return storage.Fault{Kind: storage.ForeignKeyFault}
	}
	switch e.Code() & 0xFF { // the primary code
	case codes.SQLITE_ERROR:
		// A module that was loaded anew has changed its counter since. Nothing but the text says so.
		if strings.Contains(e.Error(), "no such column") || strings.Contains(e.Error(), "no such table") {
			return storage.Fault{Kind: storage.UnavailableFault}
		}
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED, codes.SQLITE_INTERRUPT, codes.SQLITE_FULL, codes.SQLITE_IOERR,
		codes.SQLITE_CANTOPEN:
		return storage.Fault{Kind: storage.UnavailableFault}
	}
	return storage.Fault{}
}

// columnsOf reads the columns out of a message, which is the only place where SQLite names them: "constraint
// failed: UNIQUE constraint failed: users.username (2067)".
func columnsOf(message string) []string {
	_, list, _ := strings.Cut(message, "UNIQUE constraint failed: ")
	list, _, _ = strings.Cut(list, " (")
	var columns []string
	for _, column := range strings.Split(list, ", ") {
		_, column, _ = strings.Cut(column, ".")
		columns = append(columns, column)
	}
	return columns
}
