package resource

import (
	"context"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
)

// Query is what a list is asked for.
type Query struct {
	Where  Condition // nil for everything
	Window pagination.Window
	Count  pagination.Count
	Order  Order     // nil for by id, ascending
	Fields []string  // the attributes and references that are looked at, nil for all; more may be read
	Now    time.Time // what the condition takes for now

	// Of asks for what is related to each of several resources, instead of one list. There are no bounds, no order
	// but by id, and no total then: the window's size is that of each.
	Of *Relation

	// Hold keeps others from changing the rows of the page to the end of the transaction, as [Store.Update] does. Those
	// that somebody has changed or deleted meanwhile, so that they do not meet the condition any more, are left out. A
	// list of what is worked out does not ask it.
	Hold bool
}

// Relation is how rows are related to some resources: by one of their own references, or, with a name
// "type.reference", by the to-many reference of that type, which the resources are of.
type Relation struct {
	Name string
	To   []ulid.ULID // at most 4096, each once
}

// Page is what a list answers: rows in the order asked for, whether there are rows before and after them, and how
// many rows meet the condition in all. The rows share one slab, and belong to the caller.
type Page[T any] struct {
	Rows       []T
	Prev, Next bool
	Total      int64  // unless Query.Count is CountNone
	Omitted    string // why there is no Total though it was asked for; empty if there is

	Of Of // of a query for what is related to several resources
}

// Of says what rows are related to. The rows of one resource stand together, by id; a row stands there once for
// each.
type Of struct {
	Rows []ulid.ULID        // for each row, the resource
	More map[ulid.ULID]bool // the resources that have more of them
}

// Store keeps the rows of one schema. Its methods join the transaction that the context holds, and without one
// are a transaction by themselves. Their errors are:
//   - NotFound, from Get, Update and Delete
//   - Taken with the member's pointer, from Create and Update
//   - Referenced, from Delete
//   - Unavailable, from all, where the database is gone or too slow
type Store[T any] interface {
	// List answers a page. All rows are read from one state of the database, the total included. Where counting
	// would take too long, the total is omitted, or Unavailable if it alone is asked for.
	List(ctx context.Context, q Query) (Page[T], error)
	// Get reads one row.
	Get(ctx context.Context, id ulid.ULID) (*T, error)
	// Create writes new rows, all or none. Their ids are set.
	Create(ctx context.Context, rows ...*T) error
	// Update holds the row against other writers, has change alter it, and writes what differs; nothing, if
	// nothing does. It returns the row as it then is. An error of change is returned as it is.
	Update(ctx context.Context, id ulid.ULID, change func(*T) error) (*T, error)
	// Delete removes a row and what the rules of deletion say.
	Delete(ctx context.Context, id ulid.ULID) error
}

// Only is the one row with a value in an attribute that is unique, nil if there is none.
func Only[T any](ctx context.Context, list func(ctx context.Context, q Query) (Page[T], error), attribute string, value any) (*T, error) {
	return First(ctx, list, Equal(attribute, value))
}

// First is the first row that meets a condition, in an order as the parameter sort has it, by id without one; nil if there
// is none.
func First[T any](ctx context.Context, list func(ctx context.Context, q Query) (Page[T], error), where Condition, order ...string) (*T, error) {
	page, err := list(ctx, Query{Where: where, Order: ParseOrder(order), Window: pagination.First(1), Count: pagination.CountNone})
	if err != nil || len(page.Rows) == 0 {
		return nil, err
	}
	return &page.Rows[0], nil
}

// Every is all rows that meet a condition, by id, for where there are few of them. Fields are as in [Query].
func Every[T any](
	ctx context.Context, schema *Schema[T], list func(ctx context.Context, q Query) (Page[T], error), where Condition, fields ...string,
) (rows []T, err error) {
	q := Query{Where: where, Window: pagination.First(pagination.MaxSize), Count: pagination.CountNone, Fields: fields}
	for {
		page, err := list(ctx, q)
		if err != nil {
			return nil, err
		}
		rows = append(rows, page.Rows...)
		if !page.Next {
			return rows, nil
		}
		q.Window = q.Window.Next(pagination.At(*schema.ID(&rows[len(rows)-1])))
	}
}

// Linkage keeps the links of one to-many reference. Adding a link that is there and removing one that is not
// succeed and change nothing; the methods that write answer the links that changed.
type Linkage interface {
	// List answers a page of the linked ids, ascending. Query.Where is not asked.
	List(ctx context.Context, from ulid.ULID, q Query) (Page[ulid.ULID], error)
	Add(ctx context.Context, from ulid.ULID, to ...ulid.ULID) (added []ulid.ULID, err error)
	Remove(ctx context.Context, from ulid.ULID, to ...ulid.ULID) (removed []ulid.ULID, err error)
	Replace(ctx context.Context, from ulid.ULID, to ...ulid.ULID) (added, removed []ulid.ULID, err error)
}

// Transactor is the database as the engine sees it.
type Transactor interface {
	// Transact runs fn with a context that holds a transaction, and commits if fn returns nil. A context that
	// already holds one joins it: then nothing is committed, and an error undoes the whole. Where the database undoes
	// it so that others can go on, fn is called again.
	Transact(ctx context.Context, fn func(ctx context.Context) error) error
	// Snapshot runs fn with a context whose reads all see one state of the database. If too many do so at once, it is
	// Unavailable.
	Snapshot(ctx context.Context, fn func(ctx context.Context) error) error
	// Lock waits until no other transaction holds the named lock, and holds it to the end of the transaction.
	Lock(ctx context.Context, name string) error
	// Record writes events in the transaction.
	Record(ctx context.Context, events ...*Event) error
}
