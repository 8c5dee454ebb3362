package storage

import (
	"context"
	"io/fs"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"

	"reeve/resource"
)

// Sealed is the kind of a column that holds sealed bytes.
const Sealed resource.Kind = "sealed"

// Dialect is what differs between the databases, and nothing else.
type Dialect interface {
	// Traits are the differences that are plain facts.
	Traits() Traits
	// Open prepares the pools for a URL; no connection is made yet.
	Open(uri string) (Pools, error)
	// Migrations are goose's files, and how goose is to run them.
	Migrations() (goose.Dialect, fs.FS, []goose.ProviderOption)

	// Type is the type of the columns of a kind, written as Columns reports it.
	Type(kind resource.Kind) string
	// Value is a plain value (see [resource.Kind]; lists and JSON as text) as the driver takes it.
	Value(plain any) any
	// Literal is a plain value as SQL text.
	Literal(plain any) string

	// Astray is the condition that a row's id, a ULID, carries a time that is further from the one in a column than
	// so many milliseconds. It may stand in an index. Times before 1970 are always astray.
	Astray(column string, milliseconds int) string

	// Columns are the columns that a table has; none if there is no such table.
	Columns(ctx context.Context, q sqlx.QueryerContext, table string) ([]Column, error)
	// Indexes are the names of the indexes that a table has.
	Indexes(ctx context.Context, q sqlx.QueryerContext, table string) ([]string, error)
	// Counting are the statements that make a counter anew and fill it from its table.
	Counting(c Counter) []string
	// Tallying are the statements that make a tally anew and fill it from its table.
	Tallying(t Tally) []string
	// Hour is the number of the hour of a column's time, since 1970.
	Hour(column string) string

	// Loading is the statement that is executed for each row of many that a table is filled with, in one transaction. The
	// rows are in the table once it is closed.
	Loading(table string, columns []string) string

	// Fault says what an error of the driver means.
	Fault(err error) Fault
}

// Traits are facts about a database.
type Traits struct {
	Name              string // as sqlx.BindType knows it
	TableSuffix       string // what follows the parentheses of CREATE TABLE
	Position          string // the function that finds the place of its second argument in its first, from 1; 0 if none
	ForUpdate         string // what holds the rows of a SELECT against other writers; empty if there is one writer
	ForShare          string // keeps the row of a SELECT as it is, together with others who do; empty if there is one writer
	LockRows          string // a format for the name of a table that waits in turn until nobody writes it or holds rows of it, and keeps them from it; empty if there is one writer
	ColumnsOf         string // names the tables in reeve_schemas (name), in their order, with their columns (column) of the type of its parameter
	LockTable         string // a format for the name of a table that keeps other writers from it; empty if there is one writer
	Lock              string // takes the lock of its parameter, a number, for the transaction; empty if there is one writer
	TryLock           string // tries to, without waiting; answers whether it did
	InlineForeignKeys bool   // a foreign key can only be declared with its column, but before its target
	Walked            string // before a column, keeps its index from being used; empty if the planner weighs that well
	IndexedBy         string // before the name of an index, has it be used; empty if the planner weighs that well
	NullsLast         bool   // nulls come after all values unless ORDER BY and the index say otherwise
	LimitedParts      bool   // the parts of a union can have an order and a limit each, without which it merges none
	MaxParameters     int    // of one statement
	Explain           string // before a SELECT, asks how it would be answered; the last column says so
	Triggers          string // names the triggers on the table of its parameter that are there and fire
	Snapshot          string // begins a transaction that only reads, all of it from one state of the database
	Size              string // answers how many bytes the database takes on its disk
	Analyze           string // gathers what the planner knows of the tables; empty if plans do not depend on it

	// Among stands around a SELECT of a few ids that depends on another row: an id is one of them. An index of the
	// ids is to find it.
	Among [2]string

	// ReadAs stands around a column of a kind in a SELECT, where the driver hands over another form of it faster.
	ReadAs map[resource.Kind][2]string

	// Unchecked has a connection not look at foreign keys, and Dangling answers how many rows of the database refer to
	// something that is not there; both are empty where foreign keys can be added once there are rows.
	Unchecked, Dangling string

	// OneWriter has events stamped with their position as they are written. Without it one node does so later.
	OneWriter bool
	Elect     string // tries to take the lock of its one parameter for the connection; answers whether it did

	// State answers a text that is another one, on the same connection, after each commit by any other. Notify tells
	// the other nodes to look; empty if there are none.
	State  string
	Notify string
}

// Pools are the connections to one database. Reads outside of transactions go to Read, all else to Write; they
// may be the same.
type Pools struct {
	Write, Read *sqlx.DB

	// Listen calls heard when a node has notified the others, until the context ends or an error is found. Nil if there
	// is one node.
	Listen func(ctx context.Context, heard func()) error
}

// Column is a column that a table has.
type Column struct {
	Name       string
	Type       string
	NotNull    bool
	HasDefault bool   `db:"has_default"`
	References string // the table that it is a foreign key to, empty if none
	OnDelete   string `db:"on_delete"` // NO ACTION, CASCADE or SET NULL
}

// FaultKind is what kind of failure an error of a driver is.
type FaultKind int

// The kinds of faults that clients are told of. Of every other one they learn that something went wrong.
const (
	OtherFault FaultKind = iota
	UniqueFault
	ForeignKeyFault
	TextFault        // the text cannot be stored
	UnavailableFault // the database is gone, too slow, or another transaction stood in the way
	UndoneFault      // the database has undone the transaction, so that others can go on: it may be carried out again
)

// Fault is an error of a driver, understood. Constraint or Columns say what was violated, as far as the
// database says so.
type Fault struct {
	Kind       FaultKind
	Constraint string
	Columns    []string
}

// Counter is a table's counter: rows which hold together, for each of the cells that every row of the table is
// in one of, how many rows are in it.
type Counter struct {
	Name  string // of the table that holds it; not quoted
	Table string // whose rows are counted; not quoted
	Cells int
	// Late is the column, null at first and given later by an UPDATE, without which rows are in no cell yet; empty if
	// there is none. It keeps the counter off the way of those who insert.
	Late string
	// Cell is the number of the cell that a row is in, given what stands before the names of its columns: NEW.
	Cell func(prefix string) string
}

// Counted is the WHERE clause of the rows that are in a cell; empty if all are.
func (c Counter) Counted() string {
	if c.Late == "" {
		return ""
	}
	return " WHERE " + quote(c.Late) + " IS NOT NULL"
}
