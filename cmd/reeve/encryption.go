package main

import (
	"context"
	"errors"
	"fmt"

	"reeve/resource/encryption"
	"reeve/storage"
)

// encryption is the keys under which the database's secrets are sealed.
func (a *app) encryption(ctx context.Context) (*encryption.Encryption, error) {
	keys, err := a.database.DataKeys(ctx)
	return &encryption.Encryption{PrimaryDataKey: keys.Primary, DataKeys: int64(len(keys.All))}, err
}

// explained tells whoever starts the program with a wrong master key what to do.
func explained(err error) error {
	if errors.Is(err, storage.ErrMasterKey) {
		return fmt.Errorf("%w: give the right one by secrets.master_key or secrets.master_key_file, or if it has been changed the one before by secrets.former_master_keys", err)
	}
	return err
}
