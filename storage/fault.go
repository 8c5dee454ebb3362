package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"reeve/resource"
)

// failed is an error of the database as callers get it: Unavailable or Invalid where that is what it means, else
// itself with its origin. The text of the driver is kept for logs; a client never sees it.
func (db *DB) failed(err error) error {
	if err == nil {
		return nil
	}
	fault := db.dialect.Fault(err)
	var network net.Error
	switch {
	case fault.Kind == UnavailableFault, fault.Kind == UndoneFault,
		errors.As(err, &network),
		errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), errors.Is(err, sql.ErrTxDone),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return because(resource.Errorf(resource.Unavailable, "the database does not answer just now"), err)
	case fault.Kind == TextFault:
		return because(resource.Errorf(resource.Invalid, "a text holds what cannot be stored"), err)
	}
	return fmt.Errorf("storage: %w", err)
}

// because is an error for clients with its cause for logs.
func because(told *resource.Error, cause error) error {
	return fmt.Errorf("storage: %w: %w", told, cause)
}

// refused is an error of a write to the table. Deletions are refused because of what refers to the row, other
// writes because of what they refer to.
func (l *layout) refused(err error, deleting bool) error {
	if err == nil {
		return nil
	}
	fault := l.db.dialect.Fault(err)
	switch fault.Kind {
	case UniqueFault:
		return because(l.taken(fault), err)
	case ForeignKeyFault:
		if deleting {
			return because(resource.Errorf(resource.Referenced, "other resources still refer to this %s", l.resource), err)
		}
		told := resource.Errorf(resource.NotFound, "the %s refers to something that does not exist", l.resource)
		for i := range l.columns {
			if c := &l.columns[i]; c.references != "" && l.foreignKey(c) == fault.Constraint {
				told = told.At("relationships", c.member)
			}
		}
		return because(told, err)
	}
	return l.db.failed(err)
}

// taken names the member whose value another row has: the first, if several are unique together.
func (l *layout) taken(fault Fault) *resource.Error {
	for _, index := range l.indexes {
		if !index.unique || index.name != fault.Constraint && !slices.Equal(index.columns, fault.Columns) {
			continue
		}
		c := l.column(index.columns[0])
		return resource.Errorf(resource.Taken, "another %s has this %s", l.resource, c.member).At(c.object(), c.member)
	}
	return resource.Errorf(resource.Taken, "another %s has this id", l.resource).At("id")
}
