package auth

import (
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
)

func TestPassword(t *testing.T) {
	const password = "pässwörd"
	hash, err := HashPassword(password)
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("HashPassword = %q, %v", hash, err)
	}
	if again, err := HashPassword(password); err != nil || again == hash {
		t.Errorf("two hashes of one password are equal, or %v", err)
	}
	for _, c := range []struct {
		hash, password string
		want           bool
	}{
		{hash, password, true}, {hash, password + " ", false}, {hash, "", false},
		{"", password, false}, {"", "", false}, {hash, strings.Repeat("x", MaxPasswordBytes+1), false},
	} {
		if got, err := VerifyPassword(c.hash, c.password); got != c.want || err != nil {
			t.Errorf("VerifyPassword(%q, %q) = %v, %v", c.hash, c.password, got, err)
		}
	}
	if _, err := VerifyPassword("plain", "plain"); err == nil {
		t.Error("VerifyPassword takes a hash that is none")
	}
}

func TestPasswordRules(t *testing.T) {
	for password, ok := range map[string]bool{
		"": false, "1": true,
		strings.Repeat("x", MaxPasswordBytes): true, strings.Repeat("x", MaxPasswordBytes+1): false,
	} {
		if _, err := HashPassword(password); (err == nil) != ok {
			t.Errorf("HashPassword of %d bytes: %v", len(password), err)
		}
	}
}

// TestUnknownAccount holds the dummy hash to the parameters of real ones, and so to their time.
func TestUnknownAccount(t *testing.T) {
	params, _, _, err := argon2id.DecodeHash(unknownAccount)
	if err != nil || *params != *current {
		t.Errorf("the hash of an unknown account has %+v, others %+v (%v)", params, current, err)
	}
}

// TestHashingIsBounded fills the semaphore: one hash more has to wait until it is emptied.
func TestHashingIsBounded(t *testing.T) {
	for range cap(hashing) {
		hashing <- struct{}{}
	}
	done := make(chan error, 1)
	go func() {
		_, err := HashPassword("correct horse")
		done <- err
	}()
	select {
	case <-done:
		t.Error("a hash did not wait for its turn")
	case <-time.After(200 * time.Millisecond): // a hash takes some 25 ms
	}
	for range cap(hashing) {
		<-hashing
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
