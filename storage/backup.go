package storage

import (
	"bufio"
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
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/klauspost/compress/gzip"
	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// A backup is gzip of lines of JSON, the same for every database. The first line is the [manifest]: the tables, their
// columns, and how many rows they have. Then comes a line for each row of the first table, an array of its values in the
// order of the columns, then those of the second table, and so on. The last line is the [closing].
//
// Times are microseconds since 1970, ids are ULIDs, lists and JSON are texts of JSON, sealed values are base64 of what is
// sealed. What is made of other rows is not in it: counters, indexes, folded texts.

// backupFormat is the number of the format.
const backupFormat = 1

// manifest says what a backup holds.
type manifest struct {
	Format int        `json:"reeve_backup"`
	At     time.Time  `json:"at"`
	Rows   int64      `json:"rows"` // of all tables
	Tables []*content `json:"tables"`
}

// content is a table of a backup.
type content struct {
	Name    string  `json:"name"`
	Rows    int64   `json:"rows"`
	Columns []field `json:"columns"`
}

// field is a column of a backup.
type field struct {
	Name string        `json:"name"`
	Kind resource.Kind `json:"kind"`
}

// closing is the last line of a backup, by which one that was cut off or changed is told.
type closing struct {
	SHA256 string `json:"sha256"` // of all lines before, in hexadecimal digits
}

// Progress is told how many rows are done, and how many there are.
type Progress func(done, total int64)

// Backup writes one state of the whole database, while others may write. It takes the time that it takes. That the tables
// are not up to date, or that there is one of a type that is not declared, is a Conflict.
func (db *DB) Backup(ctx context.Context, w io.Writer, tell Progress) error {
	return db.Snapshot(ctx, func(ctx context.Context) error {
		in := db.reader(ctx)
		tables, err := db.contents(ctx, in)
		if err != nil {
			return err
		}
		m := manifest{Format: backupFormat, At: time.Now().UTC(), Tables: tables}
		for _, t := range tables {
			if err := sqlx.GetContext(ctx, in, &t.Rows, "SELECT count(*) FROM "+quote(t.Name)); err != nil {
				return db.failed(err)
			}
			m.Rows += t.Rows
		}
		out, err := newBackupWriter(w)
		if err != nil {
			return err
		}
		first, err := json.Marshal(m)
		if err == nil {
			err = out.write(first)
		}
		for done := int64(0); len(tables) > 0 && err == nil; tables = tables[1:] {
			err = db.copyOut(ctx, in, tables[0], func(line []byte) error {
				done++
				tell(done, m.Rows)
				return out.write(line)
			})
		}
		if err != nil {
			return err
		}
		return out.close()
	})
}

// contents are the tables that a backup has: those of the declared types that have been made, their links, since these
// refer to them, and the data keys.
func (db *DB) contents(ctx context.Context, in querier) (tables []*content, err error) {
	made, err := db.hashes(ctx, in)
	if err != nil {
		return nil, err
	}
	var links []*content
	for _, l := range db.declared() {
		if err := l.resolve(); err != nil {
			return nil, err
		}
		hash, is := made[l.table]
		if !is {
			continue
		}
		if hash != l.hash() {
			return nil, l.cannot("it is not up to date: run reeve migrate up")
		}
		if err := db.whole(ctx, in, l); err != nil {
			return nil, err
		}
		delete(made, l.table)
		own := l.contents()
		tables, links = append(tables, own[0]), append(links, own[1:]...)
	}
	for name := range made {
		return nil, unknownTable(name)
	}
	return append(append(tables, links...), keysContent()), nil
}

// whole refuses a table with a column that its schema does not have, as one that a module's file named before: a backup
// would be without it.
func (db *DB) whole(ctx context.Context, in querier, l *layout) error {
	present, err := db.dialect.Columns(ctx, in, l.table)
	if err != nil {
		return db.failed(err)
	}
	for _, p := range present {
		if p.Name != "id" && l.column(p.Name) == nil && !strings.HasSuffix(p.Name, folding) {
			return l.cannot("the database has a column %s that the schema does not have, so that it would be missing: declare it, or drop the column", p.Name)
		}
	}
	return nil
}

// unknownTable is what is wrong with a table that is of no declared type.
func unknownTable(name string) error {
	return resource.Errorf(resource.Conflict, "the table %s is of no type that this program knows; where a file declares it, modules.path is to name the file's folder, and the file is to be without errors", name)
}

// contents are the layout's tables as a backup has them: its own, then those of its links.
func (l *layout) contents() []*content {
	own := &content{Name: l.table, Columns: []field{{"id", resource.ID}}}
	for i := range l.columns {
		if c := &l.columns[i]; !c.folded {
			own.Columns = append(own.Columns, field{c.name, c.kind})
		}
	}
	tables := []*content{own}
	for i := range l.links {
		tables = append(tables, &content{Name: l.links[i].table, Columns: []field{{"from_id", resource.ID}, {"to_id", resource.ID}}})
	}
	return tables
}

// keysContent is the table of the data keys, which no type describes. The master key, which opens them, is not there.
func keysContent() *content {
	return &content{Name: "data_keys", Columns: []field{{"id", resource.Int}, {"keyset", Sealed}}}
}

// copyOut writes the rows of a table as lines, ordered so that they are loaded fast. A line lasts until the next one.
func (db *DB) copyOut(ctx context.Context, in querier, t *content, write func(line []byte) error) error {
	var names, order []string
	for _, c := range t.Columns {
		names = append(names, quote(c.Name))
		if c.Name == "id" || c.Name == "from_id" || c.Name == "to_id" {
			order = append(order, quote(c.Name))
		}
	}
	text := "SELECT " + strings.Join(names, ", ") + " FROM " + quote(t.Name) + " ORDER BY " + strings.Join(order, ", ")
	var line []byte
	return db.failed(query(ctx, in, text, nil, func(row []driver.Value) (err error) {
		line = append(line[:0], '[')
		for i, src := range row {
			if i > 0 {
				line = append(line, ',')
			}
			if line, err = appendField(line, t.Columns[i].Kind, src); err != nil {
				return fmt.Errorf("storage: %s.%s: %w", t.Name, t.Columns[i].Name, err)
			}
		}
		return write(append(line, ']'))
	}))
}

// appendField appends a value of a database as a backup has it.
func appendField(line []byte, kind resource.Kind, src driver.Value) ([]byte, error) {
	if src == nil {
		return append(line, "null"...), nil
	}
	switch kind {
	case resource.ID:
		var id ulid.ULID
		err := resource.ScanID(src, &id)
		return append(append(append(line, '"'), id.String()...), '"'), err
	case resource.Bool:
		if n, ok := src.(int64); ok {
			src = n != 0
		}
	case resource.Float:
		if n, ok := src.(int64); ok {
			src = float64(n)
		}
	case resource.Time:
		if at, ok := src.(time.Time); ok {
			src = at.UnixMicro()
		}
	case Sealed:
		if sealed, ok := src.([]byte); ok {
			return append(base64.StdEncoding.AppendEncode(append(line, '"'), sealed), '"'), nil
		}
	}
	switch src := src.(type) {
	case string:
		return resource.AppendString(line, src), nil
	case []byte:
		return resource.AppendString(line, string(src)), nil
	case bool:
		return strconv.AppendBool(line, src), nil
	case int64:
		return strconv.AppendInt(line, src, 10), nil
	case float64:
		return strconv.AppendFloat(line, src, 'g', -1, 64), nil
	}
	return line, fmt.Errorf("%T is no %s", src, kind)
}

// backupWriter writes the lines of a backup.
type backupWriter struct {
	buffer *bufio.Writer
	zipped *gzip.Writer
	sum    hash.Hash
}

func newBackupWriter(w io.Writer) (*backupWriter, error) {
	zipped, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	return &backupWriter{bufio.NewWriterSize(io.MultiWriter(zipped, sum), 64<<10), zipped, sum}, nil
}

func (w *backupWriter) write(line []byte) error {
	if _, err := w.buffer.Write(line); err != nil {
		return err
	}
	return w.buffer.WriteByte('\n')
}

func (w *backupWriter) close() error {
	if err := w.buffer.Flush(); err != nil {
		return err
	}
	last, err := json.Marshal(closing{hex.EncodeToString(w.sum.Sum(nil))})
	if err == nil {
		err = w.write(last)
	}
	return errors.Join(err, w.buffer.Flush(), w.zipped.Close())
}
