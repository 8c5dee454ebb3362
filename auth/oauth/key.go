package oauth

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
)

// keys are the keys of the server, the newest last. The first to ask makes the first one; the others, on
// whichever node, get the same.
func (s *Server) keys(ctx context.Context) ([]Key, error) {
	page, err := s.listKeys(ctx)
	if err != nil || len(page) > 0 {
		return page, err
	}
	// An RSA key is what every OpenID client must take (OpenID Connect Core, 15.1). Making one takes long, so it
	// is made before the transaction.
	key, err := s.newKey()
	if err != nil {
		return nil, err
	}
	err = s.config.Database.Transact(ctx, func(ctx context.Context) error {
		if err := s.config.Database.Lock(ctx, "signing-keys"); err != nil {
			return err
		}
		if page, err = s.listKeys(ctx); err != nil || len(page) > 0 {
			return err
		}
		page = []Key{*key}
		return s.config.Keys.Create(ctx, key)
	})
	return page, err
}

func (s *Server) listKeys(ctx context.Context) ([]Key, error) {
	page, err := s.config.Keys.List(ctx, resource.Query{Window: pagination.First(100), Count: pagination.CountNone})
	return page.Rows, err
}

func (s *Server) newKey() (*Key, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("oauth: make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("oauth: make a key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return &Key{ID: ulid.Make(), Private: string(text), CreatedAt: resource.Cut(s.config.Clock())}, nil
}

// parse is the key itself.
func (k *Key) parse() (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(k.Private))
	if block == nil {
		return nil, fmt.Errorf("oauth: key %s is not PEM", k.ID)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("oauth: key %s: %w", k.ID, err)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("oauth: key %s is not RSA", k.ID)
	}
	return private, nil
}
