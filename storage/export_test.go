package storage

import (
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
