package oauth_test

import (
	"errors"
	"testing"
	"time"

	"reeve/auth"
	"reeve/storage/postgres"
	"reeve/storage/storagetest"
)

// TestPostgres goes by the whole life of a token once more.
func TestPostgres(t *testing.T) {
	w := newWorldOn(t, postgres.Dialect{}, storagetest.Postgres(t))
	for _, end := range []func(token string){
		func(token string) { w.post(t, "/oauth2/revoke", scripts, "token="+token) },
		func(string) { w.now = w.now.Add(time.Hour) },
		func(string) {
			if n, err := w.oauth.Prune(t.Context()); n != 2 || err != nil {
				t.Errorf("Prune = %d, %v", n, err)
			}
			w.configure(t, nil, poster)
		},
	} {
		token := w.token(t, scripts, auth.AdminScope).AccessToken
		if principal, err := w.principal(t, token); err != nil || !principal.May("user", "lock") {
			t.Errorf("%+v, %v", principal, err)
		}
		end(token)
		if _, err := w.principal(t, token); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("a token that has ended: %v", err)
		}
	}
	checkKeys(t, w)
}
