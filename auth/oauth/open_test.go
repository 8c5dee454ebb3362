package oauth_test

import (
	"context"
	"sync"
	"testing"

	"reeve/auth/oauth"
	"reeve/resource"
	"reeve/resource/client"
	"reeve/resource/session"
	"reeve/storage/storagetest"
)

type alone struct{ mu sync.Mutex }

func (a *alone) Transact(ctx context.Context, fn func(context.Context) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return fn(ctx)
}
func (a *alone) Lock(context.Context, string) error               { return nil }
func (a *alone) Record(context.Context, ...*resource.Event) error { return nil }

// open opens the stores of an authorization server.
func open(t *testing.T) (oauth.Config, resource.Store[session.Session]) {
	t.Helper()
	return oauth.Config{
		Database: &alone{},
		Clients:  storagetest.NewMemory(client.Schema),
		Tokens:   storagetest.NewMemory(oauth.TokenSchema),
		Keys:     storagetest.NewMemory(oauth.KeySchema),
	}, storagetest.NewMemory(session.Schema)
}
