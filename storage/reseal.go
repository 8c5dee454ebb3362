package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/oklog/ulid/v2"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"reeve/resource"
)

// resealBatch is how many rows are looked at in one transaction, so that it keeps nobody waiting for long.
const resealBatch = 200

// DataKeys are the keys under which the secrets of a database are sealed.
type DataKeys struct {
	Primary int64   // the id of the one that seals
	All     []int64 // in the order in which they were made
}

// DataKeys tells which data keys there are.
func (db *DB) DataKeys(ctx context.Context) (DataKeys, error) {
	ctx, cancel := db.bounded(ctx)
	defer cancel()
	k, _, err := db.readKeys(ctx, db.reader(ctx), "")
	if err != nil {
		return DataKeys{}, err
	}
	keys := DataKeys{Primary: k.primary()}
	for _, info := range k.handle.KeysetInfo().GetKeyInfo() {
		keys.All = append(keys.All, int64(info.GetKeyId()))
	}
	return keys, nil
}

func (k *keys) primary() int64 { return int64(k.handle.KeysetInfo().GetPrimaryKeyId()) }

// maxDataKeys bounds how many there are: the keyset is read by every transaction that seals.
const maxDataKeys = 100

// RotateDataKeys makes a new primary data key. From the commit on, every node seals under it alone; the others open what
// was sealed before, until [DB.Reseal] retires them. It is a Conflict while there are a hundred.
func (db *DB) RotateDataKeys(ctx context.Context) error {
	return db.changeKeys(ctx, func(k *keys, m *keyset.Manager) error {
		if k.handle.Len() >= maxDataKeys {
			return resource.Errorf(resource.Conflict, "there are %d data keys; have a job re-encrypt retire the former ones", maxDataKeys)
		}
		id, err := m.Add(aead.AES256GCMKeyTemplate())
		if err == nil {
			err = m.SetPrimary(id)
		}
		return err
	})
}

// changeKeys has change alter the data keys, once nobody seals.
func (db *DB) changeKeys(ctx context.Context, change func(k *keys, m *keyset.Manager) error) error {
	return db.within(ctx, func(ctx context.Context, tx *transaction) error {
		if db.traits.LockRows != "" { // to hold the row would be to wait until nobody happens to share it
			if _, err := tx.ExecContext(ctx, fmt.Sprintf(db.traits.LockRows, "data_keys")); err != nil {
				return db.undo(tx, db.failed(err))
			}
		}
		k, _, err := db.readKeys(ctx, tx, "")
		if err != nil {
			return db.undo(tx, err)
		}
		m := keyset.NewManagerFromHandle(k.handle)
		if err := change(k, m); err != nil {
			return err
		}
		handle, err := m.Handle()
		if err != nil {
			return fmt.Errorf("storage: %w", err)
		}
		return db.storeKeys(ctx, tx, handle, "UPDATE data_keys SET id = ?, keyset = ?")
	})
}

// Resealing is how far the sealing of all secrets under the primary key has come. The zero value is the beginning.
type Resealing struct {
	Key     int64     // the primary key since the beginning
	Table   string    // the one in which it is
	After   ulid.ULID // the last row
	Through bool      // no table is left
	Done    bool      // the other keys are retired
}

// Reseal is one step of sealing every secret under the primary key: it goes on at a place, and answers the next one and
// how many rows it has looked at. Once it has been through all tables, it retires the other keys. It goes through the
// columns that hold sealed values in the database itself, those of unloaded modules among them. If there is another
// primary key meanwhile, it begins again.
//
// Nobody seals under a former key any more, so what is behind it stays done, and what others write beside it counts.
func (db *DB) Reseal(ctx context.Context, at Resealing) (next Resealing, rows int, err error) {
	err = db.within(ctx, func(ctx context.Context, tx *transaction) error {
		next, rows = at, 0
		k, err := db.sealing(ctx, tx)
		if err != nil {
			return err
		}
		if next.Key != k.primary() {
			next = Resealing{Key: k.primary()}
		}
		tables, err := db.sealedTables(ctx, tx)
		if err != nil {
			return err
		}
		if next.Through {
			next.Done = true
			return db.retire(ctx, k.primary())
		}
		i, _ := slices.BinarySearchFunc(tables, next.Table, func(t sealedTable, name string) int { return strings.Compare(t.name, name) })
		if i < len(tables) {
			if tables[i].name != next.Table {
				next.Table, next.After = tables[i].name, ulid.ULID{}
			}
			if rows, err = tables[i].reseal(ctx, db, tx, k, &next.After); err != nil || rows == resealBatch {
				return err
			}
			i++
		}
		next.After = ulid.ULID{}
		if next.Through = i >= len(tables); !next.Through {
			next.Table = tables[i].name
		}
		return nil
	})
	return next, rows, err
}

// retire removes all keys but one, unless another one is the primary meanwhile.
func (db *DB) retire(ctx context.Context, but int64) error {
	return db.changeKeys(ctx, func(k *keys, m *keyset.Manager) error {
		for _, info := range k.handle.KeysetInfo().GetKeyInfo() {
			if id := info.GetKeyId(); int64(id) != but {
				if err := m.Delete(id); err != nil {
					return fmt.Errorf("storage: %w", err)
				}
			}
		}
		return nil
	})
}

// sealedTable is a table that holds sealed values.
type sealedTable struct {
	name    string
	columns []string
}

// sealedTables are the tables that hold sealed values, declared or not, by name.
func (db *DB) sealedTables(ctx context.Context, tx *transaction) (tables []sealedTable, err error) {
	var columns []struct{ Name, Column string }
	text := sqlx.Rebind(db.bindType, db.traits.ColumnsOf)
	if err := tx.SelectContext(ctx, &columns, text, db.dialect.Type(Sealed)); err != nil {
		return nil, db.undo(tx, db.failed(err))
	}
	for _, c := range columns {
		if len(tables) == 0 || tables[len(tables)-1].name != c.Name {
			tables = append(tables, sealedTable{name: c.Name})
		}
		last := &tables[len(tables)-1]
		last.columns = append(last.columns, c.Column)
	}
	return tables, nil
}

// reseal seals the values of the next rows anew that are sealed under another key. A value that somebody else replaces at
// the same time is sealed under the primary key already, and stays.
func (t *sealedTable) reseal(ctx context.Context, db *DB, tx *transaction, k *keys, after *ulid.ULID) (rows int, err error) {
	quoted := make([]string, len(t.columns))
	for i, column := range t.columns {
		quoted[i] = quote(column)
	}
	id := db.selected("id", resource.ID)
	text := fmt.Sprintf("SELECT %s%s%s, %s FROM %s WHERE id > ? ORDER BY id LIMIT %d",
		id.before, id.name, id.after, strings.Join(quoted, ", "), quote(t.name), resealBatch)
	found, err := tx.QueryxContext(ctx, sqlx.Rebind(db.bindType, text), db.dialect.Value(*after))
	if err != nil {
		return 0, db.undo(tx, db.failed(err))
	}
	type value struct {
		id     ulid.ULID
		column int
		sealed []byte
	}
	var former []value
	prefix := keyPrefix(k.primary())
	for found.Next() {
		var raw any
		sealed := make([][]byte, len(t.columns))
		into := []any{&raw}
		for i := range sealed {
			into = append(into, &sealed[i])
		}
		if err := errors.Join(found.Scan(into...), resource.ScanID(raw, after)); err != nil {
			return 0, errors.Join(err, found.Close())
		}
		rows++
		for i, one := range sealed {
			if len(one) > 0 && !bytes.HasPrefix(one, prefix) { // empty in rows that are older than the column
				former = append(former, value{*after, i, one})
			}
		}
	}
	if err := errors.Join(found.Err(), found.Close()); err != nil {
		return 0, db.undo(tx, db.failed(err))
	}
	for _, v := range former {
		column := t.columns[v.column]
		text, err := k.Decrypt(v.sealed, place(t.name, column, v.id))
		if err != nil {
			return 0, fmt.Errorf("storage: %s.%s of %s does not open: %w", t.name, column, v.id, err)
		}
		anew, err := k.seal(text, t.name, column, v.id)
		if err != nil {
			return 0, fmt.Errorf("storage: %w", err)
		}
		update := fmt.Sprintf("UPDATE %s SET %[2]s = ? WHERE id = ? AND %[2]s = ?", quote(t.name), quoted[v.column])
		if _, err := tx.ExecContext(ctx, sqlx.Rebind(db.bindType, update), anew, db.dialect.Value(v.id), v.sealed); err != nil {
			return 0, db.undo(tx, db.failed(err))
		}
	}
	return rows, nil
}

// keyPrefix begins what is sealed under a key (Tink's output prefix: 1, then the id in four bytes, the highest first).
func keyPrefix(id int64) []byte { return binary.BigEndian.AppendUint32([]byte{1}, uint32(id)) }
