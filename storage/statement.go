package storage

import (
	"container/list"
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"time"

	"github.com/jmoiron/sqlx"
)

// maxStatements is how many statements a connection keeps prepared.
const maxStatements = 256

// maxText is how many bytes a statement may have to be kept: an INSERT of a hundred rows is another one than that of
// ninety-nine, and either takes a server of PostgreSQL a megabyte.
const maxText = 4 << 10

// Prepared makes connections which keep their statements prepared, the least recently used ones last, so that
// whatever is asked through database/sql is parsed once. Stale reports that a prepared statement no longer fits
// its tables: then it is prepared once more. It may be nil.
//
// A connection that turns out to be dead before it did anything, or at a query outside of a transaction, which
// only reads, is reported as driver.ErrBadConn: then database/sql takes another one.
//
// A driver ends a statement when its context ends, as long as the server answers. A connection that can be given a
// deadline, by a method SetDeadline as that of a [net.Conn], is told when to wait no longer, so that a context with a
// deadline keeps it whether the server answers or not. One whose context ended is not used again: the server may
// yet cancel what comes next.
func Prepared(c driver.Connector, stale func(error) bool) driver.Connector {
	return preparing{c, stale}
}

type preparing struct {
	driver.Connector
	stale func(error) bool
}

func (p preparing) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := c.(Conn)
	if !ok {
		return nil, errors.Join(errors.New("storage: the driver's connections lack something"), c.Close())
	}
	prepared := &preparedConn{Conn: full, stale: p.stale, order: list.New(), byText: map[string]*list.Element{}}
	prepared.line, _ = c.(interface{ SetDeadline(time.Time) error })
	return prepared, nil
}

// Conn is what the connections of both drivers can do, without asking unprepared.
type Conn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// preparedConn is used by one goroutine at a time, as all connections of database/sql.
type preparedConn struct {
	Conn
	line   interface{ SetDeadline(time.Time) error } // nil if there is no server that could fail to answer
	ctx    context.Context                           // of what was asked last
	stale  func(error) bool
	order  *list.List // of *statement, the most recently used first
	byText map[string]*list.Element
	inTx   bool
}

// lost turns the errors of a connection that is gone into the one that has database/sql take another.
func lost(err error) error {
	var network *net.OpError
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return driver.ErrBadConn
	}
	return err
}

// slack is how long after the end of a context the server may take to say that it has cancelled the statement.
const slack = time.Second

// until has what is asked next wait no longer than the context, and slack.
func (c *preparedConn) until(ctx context.Context) error {
	c.ctx = ctx
	if c.line == nil {
		return nil
	}
	deadline, has := ctx.Deadline()
	if now := time.Now(); ctx.Err() != nil || has && deadline.Before(now) {
		deadline, has = now, true
	}
	if !has {
		return lost(c.line.SetDeadline(time.Time{}))
	}
	return lost(c.line.SetDeadline(deadline.Add(slack)))
}

// IsValid reports whether the connection can be used again. After a context has ended, a server may yet cancel
// what comes next.
func (c *preparedConn) IsValid() bool {
	return (c.line == nil || c.ctx == nil || c.ctx.Err() == nil) && c.Conn.IsValid()
}

// Ping asks the server whether it is there.
func (c *preparedConn) Ping(ctx context.Context) error {
	if err := c.until(ctx); err != nil {
		return err
	}
	return c.Conn.Ping(ctx)
}

// BeginTx begins a transaction.
func (c *preparedConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	if err := c.until(ctx); err != nil {
		return nil, err
	}
	tx, err := c.Conn.BeginTx(ctx, options)
	if err != nil {
		return nil, lost(err)
	}
	c.inTx = true
	return preparedTx{tx, c, ctx}, nil
}

// Close closes the connection. One that is gone is closed. SQLite keeps its files open as long as there is a
// statement, and a server forgets the statements with the connection.
func (c *preparedConn) Close() error {
	if c.line != nil {
		_ = c.line.SetDeadline(time.Now().Add(slack)) // a connection that is gone needs none
	} else {
		for _, e := range c.byText {
			_ = e.Value.(*statement).Stmt.Close() // what cannot be closed goes with the connection
		}
	}
	if err := c.Conn.Close(); lost(err) != driver.ErrBadConn {
		return err
	}
	return nil
}

// preparedTx tells its connection when it ends.
type preparedTx struct {
	driver.Tx
	conn *preparedConn
	ctx  context.Context
}

func (tx preparedTx) Commit() error {
	tx.conn.inTx = false
	if err := tx.conn.until(tx.ctx); err != nil {
		return err
	}
	return tx.Tx.Commit()
}

func (tx preparedTx) Rollback() error {
	tx.conn.inTx = false
	if err := tx.conn.until(tx.ctx); err != nil {
		return err
	}
	return tx.Tx.Rollback()
}

// Trace is told of a statement, by its text without its arguments, before it is carried out, and then by end of what came
// of it. The rows of a query are read meanwhile where Reeve reads them.
type Trace func(ctx context.Context, text string) (end func(err error))

// tracing is the key of a context's [Trace].
type tracing struct{}

// WithTrace is the context with what is told of the statements that it is given to.
func WithTrace(ctx context.Context, t Trace) context.Context {
	return context.WithValue(ctx, tracing{}, t)
}

// traced tells the trace of a context of a statement; nil if it has none.
func traced(ctx context.Context, text string) (end func(err error)) {
	if t, ok := ctx.Value(tracing{}).(Trace); ok {
		return t(ctx, text)
	}
	return nil
}

// statement is a prepared statement. Whoever is done with it closes it, which keeps it.
type statement struct {
	driver.Stmt
	conn  *preparedConn
	text  string
	each  each // takes the rows of what is executed next, unless it is nil
	inUse bool
	kept  bool
}

// each takes the rows of a query one after another as the driver gives them. A row lasts until the next one. It must
// not ask the database.
type each func(row []driver.Value) error

// query asks for rows and has each of them taken, straight from the driver: the rows of database/sql would cost as
// much again as reading them does. An error of each ends it and is returned as it is.
//
// The statement finds each among its arguments, since database/sql lends out the driver's connection, but not that of
// a transaction.
func query(ctx context.Context, db sqlx.ExecerContext, text string, args []any, each each) error {
	_, err := db.ExecContext(ctx, text, append(args, each)...)
	return err
}

// CheckNamedValue takes out what is no parameter, and leaves the others to the driver, if it cares, or to database/sql.
func (s *statement) CheckNamedValue(v *driver.NamedValue) error {
	if each, ok := v.Value.(each); ok {
		s.each = each
		return driver.ErrRemoveArgument
	}
	if checker, ok := s.conn.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *preparedConn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	if e := c.byText[text]; e != nil {
		if s := e.Value.(*statement); !s.inUse {
			s.inUse = true
			c.order.MoveToFront(e)
			return s, nil
		}
	}
	if err := c.until(ctx); err != nil {
		return nil, err
	}
	stmt, err := c.Conn.PrepareContext(ctx, text)
	if err != nil {
		return nil, lost(err)
	}
	s := &statement{Stmt: stmt, conn: c, text: text, inUse: true}
	if c.byText[text] == nil && len(text) <= maxText { // else it is asked again while its rows are open, or long
		s.kept = true
		c.byText[text] = c.order.PushFront(s)
		c.evict()
	}
	return s, nil
}

// evict closes the least recently used statements that are too many, unless they are in use.
func (c *preparedConn) evict() {
	for e := c.order.Back(); e != nil && c.order.Len() > maxStatements; {
		s, before := e.Value.(*statement), e.Prev()
		if !s.inUse {
			c.forget(s)
			_ = s.Stmt.Close() // if the connection is gone, whoever asks next hears of it
		}
		e = before
	}
}

// forget keeps a statement no longer.
func (c *preparedConn) forget(s *statement) {
	c.order.Remove(c.byText[s.text])
	delete(c.byText, s.text)
	s.kept = false
}

func (s *statement) Close() error {
	s.inUse, s.each = false, nil
	if s.kept {
		return nil
	}
	return s.Stmt.Close()
}

func (s *statement) ExecContext(ctx context.Context, args []driver.NamedValue) (result driver.Result, err error) {
	if end := traced(ctx, s.text); end != nil {
		defer func() { end(err) }()
	}
	if s.each != nil {
		return driver.ResultNoRows, s.read(ctx, args)
	}
	if err := s.conn.until(ctx); err != nil {
		return nil, err
	}
	result, err = s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	if s.renew(ctx, err) {
		return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	}
	return result, err
}

func (s *statement) QueryContext(ctx context.Context, args []driver.NamedValue) (rows driver.Rows, err error) {
	if end := traced(ctx, s.text); end != nil {
		defer func() { end(err) }()
	}
	return s.query(ctx, args)
}

func (s *statement) query(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.conn.until(ctx); err != nil {
		return nil, err
	}
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	if s.renew(ctx, err) {
		rows, err = s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	}
	if !s.conn.inTx {
		err = lost(err)
	}
	return rows, err
}

// read has each row of a query taken.
func (s *statement) read(ctx context.Context, args []driver.NamedValue) (err error) {
	rows, err := s.query(ctx, args)
	if err != nil {
		return err
	}
	defer func() {
		if closed := rows.Close(); err == nil {
			err = closed
		}
	}()
	row := make([]driver.Value, len(rows.Columns()))
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		switch err := rows.Next(row); err {
		case nil:
		case io.EOF:
			return nil
		case driver.ErrBadConn:
			return io.ErrUnexpectedEOF // database/sql would ask again, and some rows have been taken
		default:
			return err
		}
		if err := s.each(row); err != nil {
			return err
		}
	}
}

// renew prepares a stale statement once more, and reports whether it did. In a transaction that the error has
// ended it cannot; the error then stands, and the statement is prepared again when it is next asked for.
func (s *statement) renew(ctx context.Context, err error) bool {
	if err == nil || s.conn.stale == nil || !s.conn.stale(err) {
		return false
	}
	stmt, again := s.conn.Conn.PrepareContext(ctx, s.text)
	if again != nil {
		if s.kept {
			s.conn.forget(s) // and leave the closing to Close
		}
		return false
	}
	_ = s.Stmt.Close() // it is of no use, whatever it says
	s.Stmt = stmt
	return true
}
