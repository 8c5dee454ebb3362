package storage

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/jmoiron/sqlx"
	"github.com/oklog/ulid/v2"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// keys seal secrets: a keyset that the database keeps, wrapped by the master key, which it never sees. One of them, the
// primary, seals; all of them open. Each sealed value names its key in its first five bytes.
//
// The table data_keys has one row; its id is that of the primary key. Whoever seals holds the row until the end of the
// transaction, shared with others who do, and seals under the key that it names. Whoever changes it waits for them. So
// once another key is the primary on one node, no node seals under the former.
type keys struct {
	id     int64
	handle *keyset.Handle
	tink.AEAD
}

// keyring are the keys that this process has seen, by id. What was opened by keys that are retired meanwhile still
// is, for whoever reads what was the case before.
type keyring struct {
	mu   sync.RWMutex
	seen map[int64]*keys
}

func (r *keyring) of(id int64) *keys {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.seen[id]
}

func (r *keyring) add(k *keys) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[int64]*keys{}
	}
	r.seen[k.id] = k
}

// keysetData is the associated data of the wrapped keyset.
var keysetData = []byte("reeve data keys")

// ErrMasterKey says that neither the master key nor a former one opens the data keys of the database.
var ErrMasterKey = errors.New("storage: the master key is not the one under which the secrets of this database are sealed")

// errNoKeys says that [DB.Migrate] has not yet made the data keys.
var errNoKeys = errors.New("storage: there are no data keys")

// errUnopened says that no key that this process knows opens a value.
var errUnopened = errors.New("it does not open")

// loadKeys unwraps the data keys, if there is a master key, and the database has some.
func (db *DB) loadKeys(ctx context.Context, q sqlx.QueryerContext) error {
	if db.options.MasterKey == nil {
		return nil
	}
	columns, err := db.dialect.Columns(ctx, q, "data_keys")
	if err != nil || len(columns) == 0 {
		return db.failed(err)
	}
	if _, _, err = db.readKeys(ctx, q, ""); errors.Is(err, errNoKeys) {
		return nil
	}
	return err
}

// readKeys reads the data keys; after the statement stands what holds their row. Stale says that a former master key
// wraps them.
func (db *DB) readKeys(ctx context.Context, q sqlx.QueryerContext, hold string) (k *keys, stale bool, err error) {
	id, wrapped, err := db.wrappedKeys(ctx, q, hold)
	if err != nil {
		return nil, false, err
	}
	for i, key := range append([][]byte{db.options.MasterKey}, db.options.FormerMasterKeys...) {
		master, err := master(key)
		if err != nil {
			return nil, false, err
		}
		handle, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(wrapped)), master, keysetData)
		if err != nil {
			continue
		}
		primitive, err := aead.New(handle)
		if err != nil {
			return nil, false, fmt.Errorf("storage: %w", err)
		}
		k = &keys{id, handle, primitive}
		db.keys.add(k)
		return k, i > 0, nil
	}
	return nil, false, ErrMasterKey
}

// wrappedKeys are the data keys as the database has them.
func (db *DB) wrappedKeys(ctx context.Context, q sqlx.QueryerContext, hold string) (id int64, wrapped []byte, err error) {
	err = q.QueryRowxContext(ctx, "SELECT id, keyset FROM data_keys"+hold).Scan(&id, &wrapped)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil, errNoKeys
	}
	return id, wrapped, db.failed(err)
}

// makeKeys makes the first data keys, unless the database has some or there is no master key. Those that a former master
// key wraps it wraps anew.
func (db *DB) makeKeys(ctx context.Context, tx *transaction) error {
	if db.options.MasterKey == nil {
		return nil
	}
	k, stale, err := db.readKeys(ctx, tx, db.traits.ForUpdate)
	switch {
	case errors.Is(err, errNoKeys):
		handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
		if err != nil {
			return fmt.Errorf("storage: %w", err)
		}
		return db.storeKeys(ctx, tx, handle, "INSERT INTO data_keys (id, keyset) VALUES (?, ?)")
	case err != nil || !stale:
		return err
	}
	return db.storeKeys(ctx, tx, k.handle, "UPDATE data_keys SET id = ?, keyset = ?")
}

// storeKeys has a statement store a keyset, and the id of its primary key, which stands before it.
func (db *DB) storeKeys(ctx context.Context, tx *transaction, handle *keyset.Handle, statement string) error {
	master, err := master(db.options.MasterKey)
	if err != nil {
		return err
	}
	var wrapped bytes.Buffer
	if err := handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&wrapped), master, keysetData); err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	_, err = tx.ExecContext(ctx, sqlx.Rebind(db.bindType, statement), int64(handle.KeysetInfo().GetPrimaryKeyId()), wrapped.Bytes())
	return db.undo(tx, db.failed(err))
}

func master(key []byte) (tink.AEAD, error) {
	if len(key) != 32 {
		return nil, errors.New("storage: a master key must have 32 bytes")
	}
	return subtle.NewAESGCM(key)
}

// sealing are the keys to seal with in a transaction, held to its end.
func (db *DB) sealing(ctx context.Context, tx *transaction) (*keys, error) {
	if db.options.MasterKey == nil {
		return nil, errNoKeys
	}
	id, _, err := db.wrappedKeys(ctx, tx, db.traits.ForShare)
	if err != nil {
		return nil, db.undo(tx, err)
	}
	if k := db.keys.of(id); k != nil {
		return k, nil
	}
	k, _, err := db.readKeys(ctx, tx, "") // nobody else changes them now
	return k, db.undo(tx, err)
}

// seal seals a text for one place: moved to another column or row, it does not open.
func (k *keys) seal(text []byte, table, column string, id ulid.ULID) ([]byte, error) {
	return k.Encrypt(text, place(table, column, id))
}

// open opens what seal sealed, on any node.
func (r *keyring) open(sealed []byte, table, column string, id ulid.ULID) ([]byte, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.seen) == 0 {
		return nil, errNoKeys
	}
	var err error
	for _, k := range r.seen {
		var text []byte
		if text, err = k.Decrypt(sealed, place(table, column, id)); err == nil {
			return text, nil
		}
	}
	return nil, fmt.Errorf("storage: %s.%s of %s: %w: %w", table, column, id, errUnopened, err)
}

// opening reads what may be sealed. What does not open is read once more, with the keys as they are there: another node
// may have made new ones.
func (db *DB) opening(ctx context.Context, read func() error) error {
	err := read()
	if !errors.Is(err, errUnopened) {
		return err
	}
	if err := db.loadKeys(ctx, db.reader(ctx)); err != nil {
		return err
	}
	return read()
}

func place(table, column string, id ulid.ULID) []byte {
	return append([]byte(table+"\x00"+column+"\x00"), id[:]...)
}
