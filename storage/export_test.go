package storage

import (
	"testing"

	"github.com/jmoiron/sqlx"

	"reeve/pagination"
	"reeve/resource"
)

// Statement is the statement that List asks, with its arguments.
func (t *Table[T]) Statement(q resource.Query) (text string, args []any) {
	b := &builder{layout: t.layout, prefix: alias + ".", now: q.Now}
	t.listing(q).write(b, form{total: q.Count != pagination.CountNone})
	return b.String(), b.args
}

// MaxStatements is how many statements a connection keeps prepared.
const MaxStatements = maxStatements

// Declared are the tables that are declared.
func Declared(db *DB) (tables []string) {
	for _, l := range db.declared() {
		tables = append(tables, l.table)
	}
	return tables
}

// Statements is how many statements a connection of each pool keeps prepared.
func Statements(t *testing.T, db *DB) (n int) {
	t.Helper()
	for _, pool := range []*sqlx.DB{db.pools.Read, db.pools.Write} {
		conn, err := pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Raw(func(c any) error {
			n += c.(*preparedConn).order.Len()
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return n
}
