package auth

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
)

func TestPassword(t *testing.T) {
	const password = "pässwörd"
	hash, err := HashPassword(t.Context(), password)
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("HashPassword = %q, %v", hash, err)
	}
	if again, err := HashPassword(t.Context(), password); err != nil || again == hash {
		t.Errorf("two hashes of one password are equal, or %v", err)
	}
	for _, c := range []struct {
		hash, password string
		want           bool
	}{
		{hash, password, true}, {hash, password + " ", false}, {hash, "", false},
		{"", password, false}, {"", "", false}, {hash, strings.Repeat("x", MaxPasswordBytes+1), false},
	} {
		if got, err := verify(c.hash, c.password); got != c.want || err != nil {
			t.Errorf("verify(%q, %q) = %v, %v", c.hash, c.password, got, err)
		}
	}
	if _, err := verify("plain", "plain"); err == nil {
		t.Error("verify takes a hash that is none")
	}
}

func TestPasswordRules(t *testing.T) {
	for password, ok := range map[string]bool{
		"": false, "1": true,
		strings.Repeat("x", MaxPasswordBytes): true, strings.Repeat("x", MaxPasswordBytes+1): false,
	} {
		if _, err := HashPassword(t.Context(), password); (err == nil) != ok {
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

// TestHashingIsBounded takes all turns: one hash more has to wait until they are left, unless its request goes away
// meanwhile, and when enough wait the next is turned away.
func TestHashingIsBounded(t *testing.T) {
	enter := func(n int) (leave func()) {
		var left []func()
		for range n {
			turn, err := hashing.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			left = append(left, turn.leave)
		}
		return func() {
			for _, leave := range left {
				leave()
			}
		}
	}
	leave := enter(cap(hashing.running))
	done := make(chan error, 1)
	hash := func(ctx context.Context) {
		_, err := HashPassword(ctx, "correct horse")
		done <- err
	}
	go hash(t.Context())
	select {
	case <-done:
		t.Error("a hash did not wait for its turn")
	case <-time.After(200 * time.Millisecond): // a hash takes some 25 ms
	}

	ctx, gone := context.WithCancel(t.Context())
	waiting := cap(hashing.places) - len(hashing.places)
	for range waiting {
		go hash(ctx)
	}
	for len(hashing.places) < cap(hashing.places) {
		time.Sleep(time.Millisecond)
	}
	if _, err := HashPassword(t.Context(), "correct horse"); !errors.Is(err, ErrBusy) {
		t.Errorf("where too many wait one more gets %v", err)
	}
	gone()
	for range waiting {
		if err := <-done; !errors.Is(err, ErrBusy) || !errors.Is(err, context.Canceled) {
			t.Errorf("a request that went away: %v", err)
		}
	}
	leave()
	if err := <-done; err != nil {
		t.Error(err)
	}
	enter(cap(hashing.running))()
	if n := len(hashing.places) + len(hashing.running); n != 0 {
		t.Errorf("%d turns are still taken", n)
	}
}
