package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"
)

func basic(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }

func TestParseAuthorization(t *testing.T) {
	for header, want := range map[string]Credentials{
		"Bearer abc":            {Token: "abc"},
		"bEaReR   abc":          {Token: "abc"},
		basic("anna:secret"):    {Username: "anna", Password: "secret"},
		basic("anna:a:b"):       {Username: "anna", Password: "a:b"},
		basic("anna:"):          {Username: "anna"},
		basic("änna:pässwörd€"): {Username: "änna", Password: "pässwörd€"},
	} {
		if got, err := ParseAuthorization(header); got != want || err != nil {
			t.Errorf("ParseAuthorization(%q) = %+v, %v", header, got, err)
		}
	}
	if _, err := ParseAuthorization(""); !errors.Is(err, ErrMissing) {
		t.Errorf("an empty header: %v", err)
	}
	for _, header := range []string{
		"Bearer", "Bearer ", "Basic", "Basic %%%", "Digest x", "abc", " ", basic("anna"), basic(":secret"), basic("an\x00na:x"),
		basic("anna:\n"), basic("\xff:x"),
	} {
		if got, err := ParseAuthorization(header); !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseAuthorization(%q) = %+v, %v", header, got, err)
		}
	}
}

func TestAuthenticateByToken(t *testing.T) {
	token, gone, anna := NewToken(PersonalToken), errors.New("the database is gone"), &Principal{Name: "anna"}
	asked := 0
	a := NewAuthenticator(Lookups{Token: func(_ context.Context, prefix string, hash []byte) (*Principal, time.Time, error) {
		asked++
		switch {
		case prefix == AccessToken:
			return nil, time.Time{}, gone
		case prefix == PersonalToken && slices.Equal(hash, HashToken(token)):
			return anna, time.Time{}, nil
		}
		return nil, time.Time{}, ErrInvalid
	}}, time.Now)

	for header, want := range map[string]error{
		"Bearer " + token:                   nil,
		"Bearer " + NewToken(PersonalToken): ErrInvalid,
		"Bearer " + NewToken(AccessToken):   gone,
		"":                                  ErrMissing,
	} {
		if got, err := a.Authenticate(t.Context(), header); !errors.Is(err, want) || (got == anna) != (want == nil) {
			t.Errorf("Authenticate(%q) = %v, %v", header, got, err)
		}
	}
	asked = 0
	for _, header := range []string{"Bearer " + token + "x", "Bearer x", basic("anna:secret")} {
		if got, err := a.Authenticate(t.Context(), header); !errors.Is(err, ErrInvalid) {
			t.Errorf("Authenticate(%q) = %v, %v", header, got, err)
		}
	}
	if asked != 0 {
		t.Errorf("%d lookups for what is no token", asked)
	}
	if len(a.Challenges()) != 1 {
		t.Errorf("without passwords the challenges are %q", a.Challenges())
	}
}

// TestTokenIsRemembered goes through all that ends the life of an entry.
func TestTokenIsRemembered(t *testing.T) {
	now := time.Unix(0, 0)
	var (
		generation uint64
		known      bool
		asked      int
		during     func() // what happens while the token is looked up
		expires    time.Time
		principal  *Principal // nil: the token is not valid
	)
	a := NewAuthenticator(Lookups{
		Token: func(context.Context, string, []byte) (*Principal, time.Time, error) {
			asked++
			found := principal
			if during != nil {
				during()
			}
			if found == nil {
				return nil, time.Time{}, ErrInvalid
			}
			return found, expires, nil
		},
		Generation: func() (uint64, bool) { return generation, known },
	}, func() time.Time { return now })
	token := NewToken(PersonalToken)
	expect := func(step string, want *Principal, lookups int) {
		t.Helper()
		asked = 0
		if got, err := a.Authenticate(t.Context(), "Bearer "+token); got != want || (want == nil) != errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, %v", step, got, err)
		}
		if asked != lookups {
			t.Errorf("%s: %d lookups, not %d", step, asked, lookups)
		}
	}
	anna, berta := &Principal{Name: "anna"}, &Principal{Name: "berta"}

	known = true
	expect("an invalid token", nil, 1)
	expect("an invalid token again", nil, 1)
	principal = anna
	expect("the first time", anna, 1)
	principal = berta
	expect("the second time", anna, 0)
	generation++
	expect("after a change", berta, 1)
	known = false
	expect("the generation is not known", berta, 1)
	principal = nil
	expect("revoked, and the generation is not known", nil, 1)
	principal, known = anna, true
	expect("the generation is known again, and the same", berta, 0)

	generation++
	during = func() { principal, generation = berta, generation+1 }
	expect("a change during the lookup", anna, 1)
	during = nil
	expect("after a change during the lookup", berta, 1)

	now = now.Add(tokenFor)
	principal, expires = anna, now.Add(time.Second)
	expect("after a minute", anna, 1)
	principal, now = nil, now.Add(time.Second-1)
	expect("before the token expires", anna, 0)
	now = now.Add(1)
	expect("when the token expires", nil, 1)

	principal, expires = anna, now.Add(time.Hour)
	for range 2 * tokenMax {
		token = NewToken(PersonalToken)
		expect("many", anna, 1)
	}
	if n := len(a.tokens.entries); n != tokenMax {
		t.Errorf("%d tokens are remembered", n)
	}
}

func TestAuthenticateByPassword(t *testing.T) {
	hash, err := HashPassword(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	gone, anna := errors.New("the database is gone"), &Principal{Name: "anna"}
	accounts := map[string]string{"anna": hash}
	clock, known := func() time.Time { return now }, map[string]*Principal{"anna": anna}
	var failed []*Principal
	passwords := NewPasswords(PasswordsConfig{Lookup: func(_ context.Context, username string) (Account, error) {
		if username == "gone" {
			return Account{}, gone
		}
		return Account{Hash: accounts[username], Principal: known[username]}, nil
	}, Failed: func(_ context.Context, who *Principal) { failed = append(failed, who) }, Clock: clock})
	a := NewAuthenticator(Lookups{Passwords: func() *Passwords { return passwords }}, clock)
	expect := func(credentials string, want error) {
		t.Helper()
		if got, err := a.Authenticate(t.Context(), basic(credentials)); !errors.Is(err, want) || (got == anna) != (want == nil) {
			t.Errorf("Authenticate(%q) = %v, %v", credentials, got, err)
		}
	}
	remembered := func() bool {
		who, _, err := passwords.remembered(t.Context(), passwords.verified.key("anna", "correct horse", network(t.Context()).String()), "anna")
		return who == anna && err == nil
	}
	expect("anna:wrong horse", ErrInvalid)
	expect("berta:correct horse", ErrInvalid)
	expect("berta:", ErrInvalid)
	expect("gone:correct horse", gone)
	if want := []*Principal{anna, nil, nil}; !slices.Equal(failed, want) {
		t.Errorf("the attempts that failed are %v", failed)
	}
	if len(passwords.verified.right.entries) != 0 {
		t.Error("wrong credentials are remembered")
	}
	expect("anna:correct horse", nil)
	if !remembered() {
		t.Error("right credentials are not remembered")
	}
	expect("anna:correct horse", nil)
	expect("anna:wrong horse", ErrInvalid)

	now = now.Add(verifiedFor)
	if remembered() {
		t.Error("credentials are remembered for longer than said")
	}
	expect("anna:correct horse", nil)

	if accounts["anna"], err = HashPassword(t.Context(), "battery staple"); err != nil {
		t.Fatal(err)
	}
	expect("anna:correct horse", ErrInvalid)
	expect("anna:battery staple", nil)
	delete(accounts, "anna")
	expect("anna:battery staple", ErrInvalid)
	if len(a.Challenges()) != 2 {
		t.Errorf("with passwords the challenges are %q", a.Challenges())
	}
}

func TestVerifiedIsBounded(t *testing.T) {
	v, now := newVerified(), time.Unix(0, 0)
	for i := range 2 * verifiedMax {
		v.add(v.key(strconv.Itoa(i), ""), "hash", now)
	}
	last := v.key(strconv.Itoa(2*verifiedMax-1), "")
	v.add(last, "hash", now) // what is there already takes nothing's place
	if right, found := v.get(last, now); len(v.right.entries) != verifiedMax || !found || right != v.key("hash") {
		t.Errorf("%d credentials are kept, and the last is not among them or too many are", len(v.right.entries))
	}
	if v.key("a", "b") == v.key("ab", "") {
		t.Error("different credentials have one key")
	}
}

// TestForeignHashIsRenewed signs in with a foreign hash, whether or not the renewed one can be kept.
func TestForeignHashIsRenewed(t *testing.T) {
	for _, kept := range []bool{true, false} {
		stored, renewals := foreign["PBKDF2 sha512"], 0
		clock := func() time.Time { return time.Unix(0, 0) }
		passwords := NewPasswords(PasswordsConfig{Lookup: func(context.Context, string) (Account, error) {
			return Account{Hash: stored, Principal: &Principal{Name: "anna"}}, nil
		}, Rehash: func(_ context.Context, who *Principal, former, renewed string) bool {
			renewals++
			if who.Name != "anna" || former != stored || !isCurrent(renewed) {
				t.Errorf("%s has %q renewed", who.Name, renewed)
			}
			if kept {
				stored = renewed
			}
			return kept
		}, Clock: clock})
		a := NewAuthenticator(Lookups{Passwords: func() *Passwords { return passwords }}, clock)
		if _, err := a.Authenticate(t.Context(), basic("anna:wrong")); !errors.Is(err, ErrInvalid) || renewals != 0 {
			t.Errorf("a wrong password: %v, %d renewals", err, renewals)
		}
		for range 3 {
			if _, err := a.Authenticate(t.Context(), basic("anna:pässwörd")); err != nil {
				t.Error(err)
			}
		}
		if renewals != 1 {
			t.Errorf("%d renewals: the credentials are not remembered", renewals)
		}
		if _, err := a.Authenticate(t.Context(), basic("anna:wrong")); !errors.Is(err, ErrInvalid) {
			t.Errorf("a wrong password afterwards: %v", err)
		}
	}
}
