// Package encryption is the singleton encryption: the keys under which the database's secrets are sealed.
package encryption

import (
	"context"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Encryption is the keys under which the database's secrets are sealed.
type Encryption struct {
	ID             ulid.ULID
	PrimaryDataKey int64 // the id of the one that seals
	DataKeys       int64 // how many there are
}

// Schema is the singleton encryption.
var Schema = resource.Schema[Encryption]{
	Name: "encryption", Plural: "encryptions",
	Doc: "The keys under which the database's secrets are sealed. The master key, which the configuration has, seals the data keys; they seal the secrets.",
	ID:  func(e *Encryption) *ulid.ULID { return &e.ID },
	Attributes: []resource.Attribute[Encryption]{
		resource.Attr("primary_data_key", func(e *Encryption) *int64 { return &e.PrimaryDataKey }).ReadOnly().
			Doc("The id of the data key that seals. What is sealed names its key, so this is no secret."),
		resource.Attr("data_keys", func(e *Encryption) *int64 { return &e.DataKeys }).ReadOnly().
			Doc("How many data keys there are. The former ones open what was sealed under them, until a job `re-encrypt` has sealed all of it anew and retires them."),
	},
}

// Type serves the keys as current tells of them. Rotate makes a new primary data key.
func Type(current func(ctx context.Context) (*Encryption, error), rotate func(ctx context.Context) error) resource.Type[Encryption] {
	return resource.Type[Encryption]{
		Schema: Schema, Singleton: true,
		Get: func(ctx context.Context, id ulid.ULID) (*Encryption, error) {
			e, err := current(ctx)
			if err == nil {
				e.ID = id
			}
			return e, err
		},
		Actions: []resource.Action[Encryption]{
			resource.Run[Encryption]("rotate-data-keys", nil, func(tx *resource.Tx, _ ulid.ULID, _ *resource.None) (resource.Meta, error) { return nil, rotate(tx) }).
				Answering(resource.AnswersNothing).
				Doc("Make a new data key. From now on every node seals under it; the others open what was sealed before. 409 while there are a hundred."),
		},
	}
}
