package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/oklog/ulid/v2"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// keys seal secrets: a keyset that the database keeps, wrapped by the master key, which it never sees.
type keys struct{ tink.AEAD }

// keysetData is the associated data of the wrapped keyset.
var keysetData = []byte("reeve data keys")

// loadKeys unwraps the data keys, if there is a master key, and the database has some.
func (db *DB) loadKeys(ctx context.Context, q sqlx.QueryerContext) error {
	if db.options.MasterKey == nil {
		return nil
	}
	columns, err := db.dialect.Columns(ctx, q, "data_keys")
	if err != nil || len(columns) == 0 {
		return db.failed(err)
	}
	var wrapped [][]byte
	if err := sqlx.SelectContext(ctx, q, &wrapped, "SELECT keyset FROM data_keys"); err != nil || len(wrapped) == 0 {
		return db.failed(err)
	}
	master, err := db.master()
	if err != nil {
		return err
	}
	handle, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(wrapped[0])), master, keysetData)
	if err != nil {
		return fmt.Errorf("storage: the master key does not open the data keys of this database: %w", err)
	}
	return db.use(handle)
}

// makeKeys makes the first data keys, unless the database has some or there is no master key.
func (db *DB) makeKeys(ctx context.Context, tx *transaction) error {
	if err := db.loadKeys(ctx, tx); err != nil || db.keys.AEAD != nil || db.options.MasterKey == nil {
		return err
	}
	master, err := db.master()
	if err != nil {
		return err
	}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	var wrapped bytes.Buffer
	if err := handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&wrapped), master, keysetData); err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	insert := sqlx.Rebind(db.bindType, "INSERT INTO data_keys (id, keyset) VALUES (1, ?)")
	if _, err := tx.ExecContext(ctx, insert, wrapped.Bytes()); err != nil {
		return db.failed(err)
	}
	return db.use(handle)
}

func (db *DB) master() (tink.AEAD, error) {
	if len(db.options.MasterKey) != 32 {
		return nil, errors.New("storage: the master key must have 32 bytes")
	}
	return subtle.NewAESGCM(db.options.MasterKey)
}

func (db *DB) use(handle *keyset.Handle) error {
	primitive, err := aead.New(handle)
	if err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	db.keys = keys{primitive}
	return nil
}

// errNoKeys says that [DB.Migrate] has not yet made the data keys.
var errNoKeys = errors.New("storage: there are no data keys")

// seal seals a text for one place: moved to another column or row, it does not open.
func (k keys) seal(text, table, column string, id ulid.ULID) ([]byte, error) {
	if k.AEAD == nil {
		return nil, errNoKeys
	}
	return k.Encrypt([]byte(text), place(table, column, id))
}

// open opens what seal sealed.
func (k keys) open(sealed []byte, table, column string, id ulid.ULID) ([]byte, error) {
	if k.AEAD == nil {
		return nil, errNoKeys
	}
	text, err := k.Decrypt(sealed, place(table, column, id))
	if err != nil {
		return nil, fmt.Errorf("storage: %s.%s of %s does not open: %w", table, column, id, err)
	}
	return text, nil
}

func place(table, column string, id ulid.ULID) []byte {
	return append([]byte(table+"\x00"+column+"\x00"), id[:]...)
}
