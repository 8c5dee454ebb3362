// Package postgres is what is particular to PostgreSQL, reached through lib/pq.
package postgres

import (
	"context"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/oklog/ulid/v2"
	"github.com/pressly/goose/v3"

	"reeve/resource"
	"reeve/storage"
)

//go:embed migrations/*.sql
var files embed.FS

// Dialect is the [storage.Dialect] of PostgreSQL 15 and later. Its URLs are libpq's: postgres://user@host/name.
// Without sslmode, the connection is encrypted if the server offers it.
type Dialect struct{}

var _ storage.Dialect = Dialect{}

const (
	name        = "postgres"
	connections = 16
	idleTime    = 5 * time.Minute
)

// Traits are the facts about PostgreSQL.
func (Dialect) Traits() storage.Traits {
	return storage.Traits{
		Name: name, Position: "strpos", Among: [2]string{"= ANY (ARRAY(", "))"}, ForUpdate: " FOR UPDATE", ForShare: " FOR SHARE", MaxParameters: 65535, NullsLast: true, LimitedParts: true,
		ReadAs: map[resource.Kind][2]string{ // as bytes: lib/pq makes a text of an id, and takes 200 ns to parse a time
			resource.ID: {"uuid_send(", ")"}, resource.Time: {"timestamptz_send(", ")"},
		},
		Snapshot: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		Analyze:  "ANALYZE",
		State:    "SELECT pg_current_snapshot()::text", // which commits can be seen
		Notify:   "NOTIFY " + channel,
		Explain:  "EXPLAIN ",
		Size:     "SELECT pg_database_size(current_database())",
		Triggers: "SELECT tgname FROM pg_trigger WHERE tgrelid = ($1)::regclass AND NOT tgisinternal AND tgenabled IN ('O', 'A')",
		ColumnsOf: `SELECT s.name, a.attname AS "column" FROM reeve_schemas AS s JOIN pg_attribute AS a ON a.attrelid = to_regclass(quote_ident(s.name))
			WHERE a.attnum > 0 AND NOT a.attisdropped AND format_type(a.atttypid, a.atttypmod) = $1 ORDER BY s.name, a.attnum`,
		LockRows:  "LOCK TABLE %s IN EXCLUSIVE MODE",
		LockTable: "LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE",
		Lock:      "SELECT pg_advisory_xact_lock($1)",
		TryLock:   "SELECT pg_try_advisory_xact_lock($1)",
		Elect:     "SELECT pg_try_advisory_lock($1)",
	}
}

// Open prepares the pool. Transactions are READ COMMITTED, the server's default. What the URL says of the settings of a
// session is taken as it is.
func (Dialect) Open(uri string) (storage.Pools, error) {
	parsed, err := url.Parse(uri)
	if err != nil || parsed.Scheme != "postgres" && parsed.Scheme != "postgresql" {
		// err may show a password
		return storage.Pools{}, errors.New("the URL of a PostgreSQL database begins with postgres://")
	}
	query := parsed.Query()
	for key, value := range map[string]string{
		"sslmode": "prefer", "timezone": "UTC", "application_name": "reeve", "connect_timeout": "5",
		"default_transaction_isolation": "read committed",
		// As on disks without moving parts. By the default of 4, the plan of a page far on in an order without correlation to
		// the rows looks so much better for known arguments that each such page is planned anew, for half its cost.
		"random_page_cost": "1.1",
	} {
		if !query.Has(key) && !strings.Contains(query.Get("options"), key) {
			query.Set(key, value)
		}
	}
	parsed.RawQuery = query.Encode()
	connector, err := pq.NewConnector(parsed.String())
	if err != nil {
		return storage.Pools{}, err
	}
	db := sqlx.NewDb(sql.OpenDB(storage.Prepared(patient{connector}, stale)), name)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(idleTime)
	return storage.Pools{Write: db, Read: db, Listen: func(ctx context.Context, heard func()) error {
		return listen(ctx, parsed.String(), heard)
	}}, nil
}

// channel is what nodes notify each other on. It belongs to the database.
const channel = "reeve"

// listen calls heard when something was notified, until the context ends or the connection breaks.
func listen(ctx context.Context, uri string, heard func()) error {
	notified := make(chan *pq.Notification, 1)
	conn, err := pq.NewListenerConn(uri, notified)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // that ends what follows
	_, err = conn.Listen(channel)
	if err != nil {
		_ = conn.Close() // the error says more
	}
	for range notified { // until the connection breaks or is closed, and all that it brought is taken
		heard()
	}
	return errors.Join(err, conn.Err())
}

// stale reports that a table was altered after a statement on it had been prepared: "cached plan must not change
// result type".
func stale(err error) bool {
	var e *pq.Error
	return errors.As(err, &e) && e.Code == "0A000"
}

// Migrations are the files in the folder migrations, run by one node at a time.
func (Dialect) Migrations() (goose.Dialect, fs.FS, []goose.ProviderOption) {
	folder, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // the name is well formed
	}
	return goose.DialectPostgres, folder, []goose.ProviderOption{goose.WithSessionLocker(locker{})}
}

// locker lets one node at a time run migrations.
type locker struct{}

// gooseLock is the number of goose's lock: any that nobody else takes.
const gooseLock = 0x7265657665 // "reeve"

func (locker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", gooseLock)
	return err
}

func (locker) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", gooseLock)
	return err
}

// Type is the type of a kind's columns. Text is ordered by its bytes.
func (Dialect) Type(kind resource.Kind) string {
	switch kind {
	case resource.Bool:
		return "boolean"
	case resource.Int:
		return "bigint"
	case resource.Float:
		return "double precision"
	case resource.Time:
		return "timestamp with time zone"
	case resource.ID:
		return "uuid"
	case resource.Strings, resource.JSON:
		return "jsonb"
	case storage.Sealed:
		return "bytea"
	}
	return `text COLLATE "C"`
}

// Value is a plain value as the driver takes it: ids as the text of a uuid.
func (Dialect) Value(plain any) any {
	if id, ok := plain.(ulid.ULID); ok {
		text := make([]byte, 0, 36)
		for i, b := range id {
			if i == 4 || i == 6 || i == 8 || i == 10 {
				text = append(text, '-')
			}
			text = hex.AppendEncode(text, []byte{b})
		}
		return string(text)
	}
	return plain
}

// Loading is a COPY.
func (Dialect) Loading(table string, columns []string) string {
	quoted := make([]string, len(columns))
	for i, column := range columns {
		quoted[i] = pq.QuoteIdentifier(column)
	}
	return "COPY " + pq.QuoteIdentifier(table) + " (" + strings.Join(quoted, ", ") + ") FROM STDIN"
}

// Literal is a plain value as SQL text.
func (d Dialect) Literal(plain any) string {
	switch v := d.Value(plain).(type) {
	case nil:
		return "NULL"
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return "'" + strconv.FormatFloat(v, 'g', -1, 64) + "'::double precision"
	case time.Time:
		return "'" + string(pq.FormatTimestamp(v)) + "'::timestamptz"
	case []byte:
		return `'\x` + hex.EncodeToString(v) + "'"
	case string:
		return pq.QuoteLiteral(v)
	default:
		panic(fmt.Sprintf("postgres: %T is no plain value", plain))
	}
}

// Astray takes the time out of the id's first 48 bits.
func (Dialect) Astray(column string, milliseconds int) string {
	return fmt.Sprintf("abs(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint"+
		" - floor(extract(epoch FROM %s AT TIME ZONE 'UTC') * 1000)::bigint) > %d", column, milliseconds)
}

// Columns are the columns of a table.
func (Dialect) Columns(ctx context.Context, q sqlx.QueryerContext, table string) ([]storage.Column, error) {
	var columns []storage.Column
	err := sqlx.SelectContext(ctx, q, &columns, `
		SELECT a.attname AS name,
			format_type(a.atttypid, a.atttypmod) || coalesce(' COLLATE ' || quote_ident(c.collname), '') AS type,
			a.attnotnull AS notnull, a.atthasdef AS has_default,
			coalesce(r.relname, '') AS references,
			CASE f.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'a' THEN 'NO ACTION' ELSE '' END AS on_delete
		FROM pg_attribute AS a
		LEFT JOIN pg_collation AS c ON c.oid = a.attcollation AND c.collname <> 'default'
		LEFT JOIN pg_constraint AS f ON f.conrelid = a.attrelid AND f.contype = 'f' AND f.conkey = ARRAY[a.attnum]
		LEFT JOIN pg_class AS r ON r.oid = f.confrelid
		WHERE a.attrelid = to_regclass(quote_ident($1)) AND a.attnum > 0 AND NOT a.attisdropped`, table)
	return columns, err
}

// Indexes are the names of the indexes of a table.
func (Dialect) Indexes(ctx context.Context, q sqlx.QueryerContext, table string) ([]string, error) {
	var names []string
	err := sqlx.SelectContext(ctx, q, &names,
		"SELECT indexname FROM pg_indexes WHERE schemaname = current_schema AND tablename = $1", table)
	return names, err
}

// Fault says what an error means (PostgreSQL documentation, appendix A).
func (Dialect) Fault(err error) storage.Fault {
	var e *pq.Error
	if !errors.As(err, &e) {
		return storage.Fault{}
	}
	switch e.Code {
	case "23505": // unique_violation
		return storage.Fault{Kind: storage.UniqueFault, Constraint: e.Constraint}
	case "23503": // foreign_key_violation
		return storage.Fault{Kind: storage.ForeignKeyFault, Constraint: e.Constraint}
	case "22021", "22P05": // character_not_in_repertoire, untranslatable_character
		return storage.Fault{Kind: storage.TextFault}
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return storage.Fault{Kind: storage.UndoneFault}
	case "42703", "42P01": // undefined_column, undefined_table: a module that was loaded anew has changed its counter since
		return storage.Fault{Kind: storage.UnavailableFault}
	case "55P03", "57014", "25P02", "25006", "0A000":
		// lock_not_available, query_canceled, the standby that is none yet to be written to, and the statement that was
		// stale in a transaction, with what followed it
		return storage.Fault{Kind: storage.UnavailableFault}
	}
	switch {
	case e.Code.Class() == "08", e.Code.Class() == "53", strings.HasPrefix(string(e.Code), "57P0"):
		// connection exceptions, insufficient resources, the server stops or starts
		return storage.Fault{Kind: storage.UnavailableFault}
	}
	return storage.Fault{}
}
