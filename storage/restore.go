package storage

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/klauspost/compress/gzip"
	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// ErrNotEmpty says that there is something in a database that was to be empty.
var ErrNotEmpty = errors.New("storage: the database is not empty")

// ErrNotWhole says that a backup is none, was cut off, or has been changed.
var ErrNotWhole = errors.New("storage: the backup is not whole")

// Restore fills the database from a backup of any database, in one transaction: what is there goes first, if replace says
// so, and else it is ErrNotEmpty. Nobody else should use the database meanwhile. A backup that is not whole is ErrNotWhole,
// one whose data keys the master key does not open ErrMasterKey, and one of tables or columns that are not declared a
// Conflict: then nothing is changed. Of what the backup lacks, columns get the value of rows that are older than they.
//
// Last comes an event, whose position is later than any that was given before. So whoever has read further than the backup
// goes, goes on with what is written from now on.
func (o *Outbox) Restore(ctx context.Context, backup io.ReadSeeker, restored *resource.Event, replace bool, tell Progress) error {
	whole, err := newBackupReader(backup)
	if err != nil {
		return err
	}
	if err := whole.drain(); err != nil {
		return err
	}
	if _, err := backup.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in, err := newBackupReader(backup)
	if err != nil {
		return err
	}
	loads, err := o.loads(in.manifest)
	if err != nil {
		return err
	}
	provider, err := o.provider()
	if err == nil {
		err = o.up(ctx, provider)
	}
	if err != nil {
		return err
	}
	conn, err := o.pools.Write.Connx(ctx)
	if err != nil {
		return o.failed(err)
	}
	defer discard(conn) // nobody else is to have it as it is
	if o.traits.Unchecked != "" {
		if _, err := conn.ExecContext(ctx, o.traits.Unchecked); err != nil {
			return o.failed(err)
		}
	}
	begun, err := conn.BeginTxx(ctx, nil)
	if err != nil {
		return o.failed(err)
	}
	r := restoring{o, conn, &transaction{Tx: begun}, in, tell, 0}
	if err := r.restore(context.WithValue(ctx, ofDB{o.DB}, r.tx), loads, restored, replace); err != nil {
		_ = r.tx.Rollback() // it goes with the connection
		return err
	}
	return o.failed(r.tx.Commit())
}

// restoring is a restore on a connection, in one transaction.
type restoring struct {
	*Outbox
	conn *sqlx.Conn
	tx   *transaction
	in   *backupReader
	tell Progress
	done int64
}

// load is a table of a backup, and the one that it goes into.
type load struct {
	*content
	folded []fold
}

// fold has a column, after those of the backup, hold the folded text of one of them.
type fold struct {
	column string
	of     int
}

// loads are the tables of a backup as they go into this database.
func (db *DB) loads(m manifest) (loads []load, err error) {
	known, folds := map[string]*content{}, map[string]*layout{}
	for _, l := range db.declared() {
		if err := l.resolve(); err != nil {
			return nil, err
		}
		for _, t := range l.contents() {
			known[t.Name] = t
		}
		folds[l.table] = l
	}
	keys := keysContent()
	known[keys.Name] = keys
	for _, t := range m.Tables {
		if known[t.Name] == nil {
			return nil, unknownTable(t.Name)
		}
		one := load{content: t}
		for i, f := range t.Columns {
			if !slices.Contains(known[t.Name].Columns, f) {
				return nil, resource.Errorf(resource.Conflict, "the column %s.%s of the backup is not one that this program knows: is the program older?", t.Name, f.Name)
			}
			if l := folds[t.Name]; l != nil && f.Name != "id" {
				if c := l.foldedColumn(l.column(f.Name).member); c != nil {
					one.folded = append(one.folded, fold{c.name, i})
				}
			}
		}
		loads = append(loads, one)
	}
	return loads, nil
}

func (r *restoring) restore(ctx context.Context, loads []load, restored *resource.Event, replace bool) error {
	if err := r.Lock(ctx, "migrate"); err != nil {
		return err
	}
	layouts, g := r.declared(), generator{r.DB, r.tx}
	if err := r.clear(ctx, g, layouts, replace); err != nil {
		return err
	}
	if err := g.each(ctx, layouts, g.table, g.links); err != nil {
		return err
	}
	for _, one := range loads {
		if err := r.load(ctx, one); err != nil {
			return fmt.Errorf("table %s: %w", one.Name, err)
		}
	}
	if err := r.in.end(); err != nil {
		return err
	}
	if r.options.MasterKey != nil {
		if _, _, err := r.readKeys(ctx, r.tx, ""); err != nil {
			return err
		}
	}
	if err := g.each(ctx, layouts, g.foreignKeys, g.indexes); err != nil {
		return err
	}
	if err := r.goOn(ctx, restored); err != nil {
		return err
	}
	if err := g.each(ctx, layouts, g.count, g.remember); err != nil {
		return err
	}
	if r.traits.Unchecked == "" {
		return nil
	}
	var dangling int
	if err := r.tx.GetContext(ctx, &dangling, r.traits.Dangling); err != nil {
		return r.failed(err)
	}
	if dangling > 0 {
		return resource.Errorf(resource.Conflict, "%d rows of the backup refer to something that is not there", dangling)
	}
	return nil
}

// clear removes what is there. A table that Reeve has not made is refused, since it is somebody else's.
func (r *restoring) clear(ctx context.Context, g generator, layouts []*layout, replace bool) error {
	made, err := r.hashes(ctx, r.tx)
	if err != nil {
		return err
	}
	if len(made) > 0 && !replace {
		return ErrNotEmpty
	}
	if err := g.unclaimed(ctx, layouts); err != nil {
		return err
	}
	var tables []string
	for _, l := range layouts {
		if made[l.table] == "" {
			continue
		}
		delete(made, l.table)
		for _, name := range l.tables() {
			tables = append(tables, quote(name))
		}
	}
	for name := range made {
		return unknownTable(name)
	}
	drop := []string{"DELETE FROM reeve_schemas", "DELETE FROM data_keys"}
	if r.traits.Unchecked == "" && len(tables) > 0 { // those that refer to each other go together
		tables = []string{strings.Join(tables, ", ")}
	}
	for _, name := range tables {
		drop = append(drop, "DROP TABLE IF EXISTS "+name)
	}
	return g.run(ctx, drop...)
}

// load loads the rows of a table, past database/sql: for each row it would cost as much again.
func (r *restoring) load(ctx context.Context, t load) error {
	names := make([]string, 0, len(t.Columns)+len(t.folded))
	for _, f := range t.Columns {
		names = append(names, f.Name)
	}
	for _, f := range t.folded {
		names = append(names, f.column)
	}
	return r.conn.Raw(func(c any) (err error) {
		into, err := c.(*preparedConn).Conn.Prepare(r.dialect.Loading(t.Name, names))
		if err != nil {
			return r.failed(err)
		}
		defer func() { // on PostgreSQL it says what came of the rows
			if closed := into.Close(); err == nil {
				err = r.failed(closed)
			}
		}()
		row := make([]driver.Value, len(names))
		for range t.Rows {
			if err := ctx.Err(); err != nil {
				return err
			}
			values, err := r.in.row(t.Columns)
			if err != nil {
				return err
			}
			for i, plain := range values {
				row[i] = r.dialect.Value(plain)
			}
			for i, f := range t.folded {
				row[len(values)+i] = nil
				if text, ok := values[f.of].(string); ok {
					row[len(values)+i] = resource.Fold(text)
				}
			}
			//lint:ignore SA1019 a COPY of lib/pq has no ExecContext
			if _, err := into.Exec(row); err != nil {
				return r.failed(err)
			}
			r.done++
			r.tell(r.done, r.in.manifest.Rows)
		}
		return nil
	})
}

// goOn has the positions of events go on: those that have none get theirs, and the last one is that of the event.
func (r *restoring) goOn(ctx context.Context, restored *resource.Event) error {
	for n := int64(1); n > 0; {
		var err error
		if n, err = r.stamp(ctx, r.tx); err != nil {
			return err
		}
	}
	_, last, err := r.Ends(ctx)
	if err != nil {
		return err
	}
	// No event comes each microsecond, so the time is later than all positions that were ever given.
	restored.Position = max(last+1, time.Now().UnixMicro())
	return r.events.Create(ctx, restored)
}

// backupReader reads the lines of a backup. Whatever is wrong with them is ErrNotWhole.
type backupReader struct {
	manifest manifest
	lines    *bufio.Reader
	sum      hash.Hash
	number   int // of the line
	line     []byte
	values   []any
}

// newBackupReader reads the first line.
func newBackupReader(backup io.Reader) (*backupReader, error) {
	r := &backupReader{sum: sha256.New()}
	zipped, err := gzip.NewReader(backup)
	if err != nil {
		return nil, r.broken(err)
	}
	r.lines = bufio.NewReaderSize(zipped, 64<<10)
	line, err := r.next()
	if err != nil {
		return nil, err
	}
	m := &r.manifest
	if err := json.Unmarshal(line, m); err != nil || m.Format == 0 {
		return nil, r.broken(errors.Join(err, errors.New("it is no backup of Reeve")))
	}
	if m.Format != backupFormat {
		return nil, fmt.Errorf("storage: the backup is of format %d, and this program knows %d alone", m.Format, backupFormat)
	}
	return r, nil
}

func (r *backupReader) broken(err error) error {
	return fmt.Errorf("%w: line %d: %w", ErrNotWhole, r.number, err)
}

// next is the next line, which lasts until the one after it.
func (r *backupReader) next() ([]byte, error) {
	r.number++
	r.line = r.line[:0]
	for {
		part, err := r.lines.ReadSlice('\n')
		r.line = append(r.line, part...)
		switch {
		case err == nil:
			r.sum.Write(r.line)
			return r.line[:len(r.line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, r.broken(err)
		}
	}
}

// drain reads all that is left, to see that the backup is whole.
func (r *backupReader) drain() error {
	for _, t := range r.manifest.Tables {
		for range t.Rows {
			if _, err := r.next(); err != nil {
				return err
			}
		}
	}
	return r.end()
}

// end reads the last line.
func (r *backupReader) end() error {
	sum := hex.EncodeToString(r.sum.Sum(nil))
	line, err := r.next()
	if err != nil {
		return err
	}
	var last closing
	if err := json.Unmarshal(line, &last); err != nil || last.SHA256 != sum {
		return r.broken(errors.Join(err, errors.New("the sum is another one")))
	}
	if _, err := r.lines.ReadByte(); err != io.EOF {
		return r.broken(errors.Join(err, errors.New("there is more after the last line")))
	}
	return nil
}

// row is the next line as the plain values of a row. It lasts until the one after it.
func (r *backupReader) row(fields []field) ([]any, error) {
	rest, err := r.next()
	if err != nil {
		return nil, err
	}
	r.values = r.values[:0]
	for i, f := range fields {
		if want := "[,"[min(i, 1)]; len(rest) == 0 || rest[0] != want {
			return nil, r.broken(fmt.Errorf("there is no %s", f.Name))
		}
		var raw []byte
		raw, rest = cutField(rest[1:])
		plain, err := parseField(f.Kind, raw)
		if err != nil {
			return nil, r.broken(fmt.Errorf("%s: %w", f.Name, err))
		}
		r.values = append(r.values, plain)
	}
	if string(rest) != "]" {
		return nil, r.broken(errors.New("there is more than the table has columns"))
	}
	return r.values, nil
}

// cutField cuts off the value of JSON with which an array goes on.
func cutField(rest []byte) (value, after []byte) {
	if len(rest) == 0 || rest[0] != '"' {
		i := bytes.IndexAny(rest, ",]")
		i = max(i, 0)
		return rest[:i], rest[i:]
	}
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '"':
			return rest[:i+1], rest[i+1:]
		}
	}
	return nil, nil
}

// parseField is a value of a backup in its plain form, lists and JSON as text.
func parseField(kind resource.Kind, value []byte) (plain any, err error) {
	text := string(value)
	if text == "null" {
		return nil, nil
	}
	switch kind {
	case resource.Bool:
		return strconv.ParseBool(text)
	case resource.Int:
		return strconv.ParseInt(text, 10, 64)
	case resource.Float:
		return strconv.ParseFloat(text, 64)
	case resource.Time:
		n, err := strconv.ParseInt(text, 10, 64)
		return time.UnixMicro(n).UTC(), err
	}
	if len(text) < 2 {
		return nil, errors.New("it is no text")
	}
	if text = text[1 : len(text)-1]; strings.Contains(text, `\`) {
		if err := json.Unmarshal(value, &text); err != nil {
			return nil, err
		}
	}
	switch kind {
	case resource.ID:
		return ulid.ParseStrict(text)
	case Sealed:
		return base64.StdEncoding.DecodeString(text)
	}
	return text, nil
}
