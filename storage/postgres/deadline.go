package postgres

import (
	"bufio"
	"context"
	"database/sql/driver"
	"errors"
	"net"
	"time"

	"github.com/lib/pq"

	"reeve/storage"
)

// patient makes connections that can be given a deadline. By itself lib/pq waits for a server that hangs for ever:
// when a context ends it asks the server to cancel the statement, and goes on waiting for its answer.
type patient struct{ *pq.Connector }

// Connect connects to the server, no longer than the context and the URL's connect_timeout last.
func (p patient) Connect(ctx context.Context) (driver.Conn, error) {
	own := *p.Connector
	d := &dialer{}
	own.Dialer(d)
	made, err := own.Connect(ctx)
	if err != nil {
		return nil, err
	}
	d.connected = true
	full, ok := made.(storage.Conn)
	checker, checks := made.(driver.NamedValueChecker)
	if !ok || !checks {
		return nil, errors.Join(errors.New("postgres: the driver's connections lack something"), made.Close())
	}
	return conn{full, checker, d.last}, nil
}

// conn is a connection of lib/pq with the one to the server below it.
type conn struct {
	storage.Conn
	driver.NamedValueChecker
	line net.Conn
}

// SetDeadline has the driver wait for the server no longer than until then; zero is for ever.
func (c conn) SetDeadline(t time.Time) error { return c.line.SetDeadline(t) }

// dialer is what lib/pq dials with: to connect and, once connected, to cancel statements.
type dialer struct {
	connected bool
	last      net.Conn // what it dialled last to connect
}

var (
	_ pq.Dialer        = (*dialer)(nil)
	_ pq.DialerContext = (*dialer)(nil)
)

// cancelTimeout is how long a request to cancel a statement may take. Who asked for the statement waits for it.
const cancelTimeout = time.Second

// DialContext dials. What is dialled keeps the deadline of the context until the server has let it in.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if d.connected {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cancelTimeout)
		defer cancel()
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if !d.connected {
		d.last = c
	}
	deadline, _ := ctx.Deadline()
	return bounded{c, bufio.NewReaderSize(c, readSize), deadline}, c.SetDeadline(deadline)
}

// Dial and DialTimeout are not asked where there is DialContext.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d *dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// readSize is how many bytes are read at once: lib/pq asks for half of what the server sends at once.
const readSize = 16 << 10

// bounded is a connection whose deadline whoever uses it can only bring forward.
type bounded struct {
	net.Conn
	reader *bufio.Reader
	latest time.Time // zero if there is no bound
}

func (b bounded) Read(p []byte) (int, error) { return b.reader.Read(p) }

func (b bounded) SetDeadline(t time.Time) error {
	if !b.latest.IsZero() && (t.IsZero() || t.After(b.latest)) {
		t = b.latest
	}
	return b.Conn.SetDeadline(t)
}
