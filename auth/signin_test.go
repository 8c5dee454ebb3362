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
	var asked, failed []string
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
		Failed: func(_ context.Context, who *Principal) {
			if who == nil {
				who = &Principal{Name: "nobody"}
			}
			failed = append(failed, who.Name)
		},
	})
	for _, step := range []struct {
		username, password string
		fault              error
		who                *Principal
		asks               string
		want               error
		fails              string // whose password is known to be wrong
	}{
		{"anna", "correct horse", nil, anna, "[]", nil, "[]"},
		{"anna", "battery staple", nil, nil, "[:]", ErrInvalid, "[anna]"},
		{"anna", "battery staple", gone, nil, "[:]", gone, "[anna]"},
		{"carla", "battery staple", nil, nil, "[:]", ErrInvalid, "[carla]"}, // she may not sign in
		{"berta", "correct horse", nil, nil, "[berta:correct horse]", ErrInvalid, "[berta]"},
		{"berta", "battery staple", gone, nil, "[berta:battery staple]", gone, "[]"},
		{"berta", "battery staple", nil, berta, "[berta:battery staple]", nil, "[]"},
		{"berta", "battery staple", gone, berta, "[]", nil, "[]"}, // which is remembered
		{"dora", "battery staple", nil, dora, "[dora:battery staple]", nil, "[]"},
		{"emma", "battery staple", nil, nil, "[emma:battery staple]", ErrInvalid, "[nobody]"}, // no account has come of it
		{"fr\x00da", "battery staple", nil, nil, "[:battery staple]", ErrInvalid, "[nobody]"},
	} {
		asked, failed, fault = nil, nil, step.fault
		who, _, err := p.SignIn(t.Context(), step.username, step.password)
		if who != step.who || !errors.Is(err, step.want) || fmt.Sprint(asked) != step.asks || fmt.Sprint(failed) != step.fails {
			t.Errorf("%q, %q: %v, %v; asked %v, failed %v", step.username, step.password, who, err, asked, failed)
		}
	}
	accounts["berta"] = Account{Principal: berta} // she is locked
	if who, _, err := p.SignIn(t.Context(), "berta", "battery staple"); who != nil || !errors.Is(err, ErrInvalid) {
		t.Errorf("locked: %v, %v", who, err)
	}
}

// TestSignInElsewhereHoldsNobodyUp has as many wait for an answer as may: no more are asked at once than may be, one more
// is turned away, and who has a password here signs in meanwhile, also where others of the same lane wait.
func TestSignInElsewhereHoldsNobodyUp(t *testing.T) {
	hash, err := HashPassword(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	anna := &Principal{Name: "anna"}
	waiting, answer := make(chan struct{}, 1000), make(chan struct{})
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
	var all sync.WaitGroup
	for i := range cap(p.asking.places) {
		name := "ann" // whose attempts are one after the other
		if i < maxAsking {
			name = fmt.Sprint("nobody-", i)
		}
		all.Go(func() {
			if _, _, err := p.SignIn(t.Context(), name, "battery staple"); !errors.Is(err, ErrInvalid) {
				t.Error(err)
			}
		})
		for late := time.Now().Add(20 * time.Second); len(p.asking.places) <= i; time.Sleep(time.Millisecond) {
			if time.Now().After(late) {
				t.Fatal("nobody is asked for ", name)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if who, _, err := p.SignIn(ctx, "anna", "correct horse"); who != anna || err != nil {
		t.Errorf("%v, %v", who, err)
	}
	for _, name := range []string{"anna", "nobody"} {
		if _, _, err := p.SignIn(ctx, name, "battery staple"); !errors.Is(err, ErrBusy) || ctx.Err() != nil {
			t.Errorf("%s is one too many: %v", name, err)
		}
	}
	if n := len(waiting); n > maxAsking {
		t.Errorf("%d are asked at once", n)
	}
	close(answer)
	all.Wait()
	if n := len(waiting); n != cap(p.asking.places) {
		t.Errorf("%d were asked about", n)
	}
}
