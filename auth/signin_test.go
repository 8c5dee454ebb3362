package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestSignInElsewhere has a password kept elsewhere: who is asked there, about whom, and what becomes of that.
func TestSignInElsewhere(t *testing.T) {
	hash, err := HashPassword(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	anna, berta, dora := &Principal{Name: "anna"}, &Principal{Name: "berta"}, &Principal{Name: "dora"}
	accounts := map[string]Account{"anna": {Principal: anna, Hash: hash}, "berta": {Principal: berta, Elsewhere: true}, "carla": {Principal: &Principal{Name: "carla"}}}
	right := map[string]string{"berta": "battery staple", "dora": "battery staple", "anna": "battery staple", "carla": "battery staple", "emma": "battery staple"}
	gone := errors.New("nobody answers")
	var asked []string
	var fault error
	now := time.Unix(0, 0)
	p := NewPasswords(PasswordsConfig{
		Clock: func() time.Time { return now }, Lookup: func(_ context.Context, username string) (Account, error) { return accounts[username], nil },
		Elsewhere: func(_ context.Context, username, password string) error {
			asked = append(asked, username+":"+password)
			switch {
			case fault != nil:
				return fault
			case username == "" || right[username] != password:
				return ErrInvalid
			}
			if username == "dora" {
				accounts[username] = Account{Principal: dora, Elsewhere: true}
			}
			return nil
		},
	})
	for _, step := range []struct {
		username, password string
		fault              error
		who                *Principal
		asks               string
		want               error
	}{
		{"anna", "correct horse", nil, anna, "[]", nil},
		{"anna", "battery staple", nil, nil, "[:]", ErrInvalid},
		{"anna", "battery staple", gone, nil, "[:]", gone},
		{"carla", "battery staple", nil, nil, "[:]", ErrInvalid}, // she may not sign in
		{"berta", "correct horse", nil, nil, "[berta:correct horse]", ErrInvalid},
		{"berta", "battery staple", gone, nil, "[berta:battery staple]", gone},
		{"berta", "battery staple", nil, berta, "[berta:battery staple]", nil},
		{"berta", "battery staple", gone, berta, "[]", nil}, // which is remembered
		{"dora", "battery staple", nil, dora, "[dora:battery staple]", nil},
		{"emma", "battery staple", nil, nil, "[emma:battery staple]", ErrInvalid}, // no account has come of it
		{"fr\x00da", "battery staple", nil, nil, "[:battery staple]", ErrInvalid},
	} {
		asked, fault = nil, step.fault
		who, _, err := p.SignIn(t.Context(), step.username, step.password)
		if who != step.who || !errors.Is(err, step.want) || fmt.Sprint(asked) != step.asks {
			t.Errorf("%q, %q: %v, %v; asked %v", step.username, step.password, who, err, asked)
		}
	}
	accounts["berta"] = Account{Principal: berta} // she is locked
	if who, _, err := p.SignIn(t.Context(), "berta", "battery staple"); who != nil || !errors.Is(err, ErrInvalid) {
		t.Errorf("locked: %v, %v", who, err)
	}
}

// TestSignInElsewhereHoldsNobodyUp has as many wait for an answer as can hash at once: somebody else signs in meanwhile.
func TestSignInElsewhereHoldsNobodyUp(t *testing.T) {
	hash, err := HashPassword(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	anna := &Principal{Name: "anna"}
	waiting, answer := make(chan struct{}, len(Passwords{}.lanes)), make(chan struct{})
	p := NewPasswords(PasswordsConfig{
		Clock: time.Now, Lookup: func(_ context.Context, username string) (Account, error) {
			if username == "anna" {
				return Account{Principal: anna, Hash: hash}, nil
			}
			return Account{}, nil
		},
		Elsewhere: func(context.Context, string, string) error {
			waiting <- struct{}{}
			<-answer
			return ErrInvalid
		},
	})
	lane := func(username string) int { return int(p.verified.key(username)[0]) % len(p.lanes) }
	var all sync.WaitGroup
	taken := map[int]bool{lane("anna"): true}
	n := 0
	for i := 0; n <= cap(hashing.running); i++ {
		name := fmt.Sprint("nobody-", i)
		if taken[lane(name)] {
			continue
		}
		taken[lane(name)] = true
		n++
		all.Go(func() {
			if _, _, err := p.SignIn(t.Context(), name, "battery staple"); !errors.Is(err, ErrInvalid) {
				t.Error(err)
			}
		})
	}
	for range n {
		<-waiting
	}
	if who, _, err := p.SignIn(t.Context(), "anna", "correct horse"); who != anna || err != nil {
		t.Errorf("%v, %v", who, err)
	}
	close(answer)
	all.Wait()
}
