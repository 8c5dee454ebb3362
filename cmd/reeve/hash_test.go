package main

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// foreignHashes are those of "pässwörd" by libxcrypt and Python's hashlib, by a part of the username.
var foreignHashes = map[string]string{
	"bcrypt":   "$2b$05$CCCCCCCCCCCCCCCCCCCCC.VbkrrNItU.9NIb/IkEA2mwWrOjK5F3G",
	"scrypt":   "$scrypt$ln=14,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$XePXvxZzRj6L1K6Fof7AUZumo8fHft2FRonOsXgR7YI",
	"pbkdf2":   "$pbkdf2-sha512$i=1000$AAECAwQFBgcICQoLDA0ODw$tesGdwmZwygAGYLzLiZnuLe7u7U7QwD64kd8Dxsmq1czniS4pZHyb0gH6ZCWHMgN1oFJ7mpRl1LVshQSj7oYVw",
	"argon2id": "$argon2id$v=19$m=4096,t=3,p=1$kBGUq1i8x09Vt/earqheCQ$3Xure/eMzQ/+LfjdO6D/hjX0xOqCeyFlms1BUNbJguU",
}

// TestForeignHashes creates users with the hashes of their passwords: they sign in, which renews the hash once and
// changes nothing else, not even where the hash cannot be written.
func TestForeignHashes(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		stored := func(username string) (hash string) {
			db := s.hand()
			defer db.Close()
			if err := db.QueryRowContext(t.Context(), "SELECT password_hash FROM users WHERE username = '"+username+"'").Scan(&hash); err != nil {
				t.Fatal(err)
			}
			return hash
		}
		me := func(username, password string) int {
			as := *s
			as.user = username + ":" + password
			a, err := as.try("GET", "/api/admin/v1/me", nil)
			if err != nil {
				t.Error(err)
				return 0
			}
			return a.StatusCode
		}
		for _, kind := range slices.Sorted(maps.Keys(foreignHashes)) {
			hash := foreignHashes[kind]
			created := s.send("POST", "/api/admin/v1/users", resourceDocument("user", "", map[string]any{"username": kind, "password_hash": hash}, nil))
			if created.StatusCode != 201 || strings.Contains(string(created.text), "hash") {
				t.Fatalf("%s: %d %s", kind, created.StatusCode, created.text)
			}
			tag := s.send("GET", "/api/admin/v1/users/by-username/"+kind, nil).Header.Get("ETag")
			if got := me(kind, "wrong"); got != 401 || stored(kind) != hash {
				t.Errorf("%s: a wrong password is %d, and %q is stored", kind, got, stored(kind))
			}
			events := s.events()
			var group sync.WaitGroup
			for range 4 {
				group.Go(func() {
					if got := me(kind, "pässwörd"); got != 200 {
						t.Errorf("%s: the right password is %d", kind, got)
					}
				})
			}
			group.Wait()
			renewed := stored(kind)
			if !strings.HasPrefix(renewed, "$argon2id$v=19$m=19456,t=2,p=1$") || s.events() != events+1 {
				t.Errorf("%s: %q is stored, and left %d events", kind, renewed, s.events()-events)
			}
			if me(kind, "pässwörd") != 200 || me(kind, "wrong") != 401 || stored(kind) != renewed {
				t.Errorf("%s: the renewed hash is another one", kind)
			}
			if now := s.send("GET", "/api/admin/v1/users/by-username/"+kind, nil).Header.Get("ETag"); now != tag {
				t.Errorf("%s: the renewed hash has raised the version", kind)
			}
		}

		for name, attributes := range map[string]map[string]any{
			"/data/attributes/password_hash": {"username": "a", "password": "poo-tee-weet 7", "password_hash": foreignHashes["bcrypt"]},
			"no hash":                        {"username": "a", "password_hash": "a password"},
			"too dear":                       {"username": "a", "password_hash": "$2b$15$CCCCCCCCCCCCCCCCCCCCC.VbkrrNItU.9NIb/IkEA2mwWrOjK5F3G"},
			"empty":                          {"username": "a", "password_hash": ""},
		} {
			refused := s.do(422, "POST", "users", resourceDocument("user", "", attributes, nil))
			if dig(refused, "errors", 0, "source", "pointer") != "/data/attributes/password_hash" || dig(refused, "errors", 1) != nil {
				t.Errorf("%s: %v", name, refused)
			}
		}
		id := idOf(s.get("users/by-username/bcrypt"))
		s.do(403, "PATCH", "users/"+id, resourceDocument("user", id, map[string]any{"password_hash": foreignHashes["scrypt"]}, nil))

		// While nobody can write, signing in goes on.
		s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": "waiting", "password_hash": foreignHashes["pbkdf2"]}, nil))
		db := s.hand()
		defer db.Close()
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if _, err := tx.Exec("UPDATE users SET display_name = 'held' WHERE username = 'waiting'"); err != nil {
			t.Fatal(err)
		}
		if got := me("waiting", "pässwörd"); got != 200 || stored("waiting") != foreignHashes["pbkdf2"] {
			t.Errorf("while the row is held: %d", got)
		}
	})
}
