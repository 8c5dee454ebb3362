package idempotency

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Record is an answer that is kept. It may show a secret, so whoever reads it in the database sees neither the answer
// nor the key, which opens it; nor can he guess at what was asked.
type Record struct {
	ID        ulid.ULID // a hash of the principal and the key
	Sealed    string    // base64
	ExpiresAt time.Time // a day after its request; from then on it is as if it were not there
}

// Expired are the records that can be pruned.
var Expired = resource.Past("expires_at")

// Schema is how records are kept. It is not registered: nobody lists them.
var Schema = resource.Schema[Record]{
	Name: "idempotency-record", Plural: "idempotency-records", Uncounted: true,
	Doc: "The answer to a request that may be repeated.",
	ID:  func(r *Record) *ulid.ULID { return &r.ID },
	Attributes: []resource.Attribute[Record]{
		resource.Attr("sealed", func(r *Record) *string { return &r.Sealed }).Hidden(),
		resource.Attr("expires_at", func(r *Record) *time.Time { return &r.ExpiresAt }).Filter(resource.Less),
	},
}

// seal closes and opens the answer to one request. Its key is derived from the idempotency key, and the fingerprint is
// data that the seal is bound to: it opens for the same request alone, and no hash of what was asked, which may have
// been a password, has to be stored.
type seal struct {
	cipher.AEAD
	id          ulid.ULID // of the record
	fingerprint []byte
}

func (r *Request) seal() (*seal, error) {
	id := resource.NamedID(Schema.Name, fmt.Sprintf("%s\x00%s\x00%s", r.Principal.Type, r.Principal.ID, r.Key))
	key, err := hkdf.Key(sha256.New, []byte(r.Key), id[:], "reeve answer", 32)
	if err != nil {
		return nil, fmt.Errorf("idempotency: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("idempotency: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("idempotency: %w", err)
	}
	return &seal{aead, id, r.Fingerprint}, nil
}

// close seals an answer: a line of JSON, and its body as it is, which may be large.
func (s *seal) close(a Answer) (string, error) {
	head, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("idempotency: %w", err)
	}
	text := slices.Concat(head, []byte{'\n'}, a.Body)
	return base64.StdEncoding.EncodeToString(s.Seal(nil, nil, text, s.fingerprint)), nil
}

// open is the answer that close sealed. The error is KeyReused if that was for a request with another fingerprint.
func (s *seal) open(sealed string) (a Answer, err error) {
	text, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return a, fmt.Errorf("idempotency: record %s: %w", s.id, err)
	}
	if text, err = s.Open(nil, nil, text, s.fingerprint); err != nil {
		return a, failed(resource.KeyReused, "this key stands for a request with another method, path, query or body")
	}
	head, body, _ := bytes.Cut(text, []byte{'\n'})
	if err := json.Unmarshal(head, &a); err != nil {
		return a, fmt.Errorf("idempotency: record %s: %w", s.id, err)
	}
	a.Body = body
	return a, nil
}
