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
	a := NewAuthenticator(func(_ context.Context, prefix string, hash []byte) (*Principal, error) {
		asked++
		switch {
		case prefix == AccessToken:
			return nil, gone
		case prefix == PersonalToken && slices.Equal(hash, HashToken(token)):
			return anna, nil
		}
		return nil, ErrInvalid
	}, nil, time.Now)

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

func TestAuthenticateByPassword(t *testing.T) {
	hash, err := HashPassword("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	gone, anna := errors.New("the database is gone"), &Principal{Name: "anna"}
	accounts := map[string]string{"anna": hash}
	a := NewAuthenticator(nil, func(_ context.Context, username string) (string, *Principal, error) {
		if username == "gone" {
			return "", nil, gone
		}
		return accounts[username], anna, nil
	}, func() time.Time { return now })
	expect := func(credentials string, want error) {
		t.Helper()
		if got, err := a.Authenticate(t.Context(), basic(credentials)); !errors.Is(err, want) || (got == anna) != (want == nil) {
			t.Errorf("Authenticate(%q) = %v, %v", credentials, got, err)
		}
	}
	remembered := func() bool {
		return a.verified.has(a.verified.key("anna", accounts["anna"], "correct horse"), now)
	}
	expect("anna:wrong horse", ErrInvalid)
	expect("berta:correct horse", ErrInvalid)
	expect("berta:", ErrInvalid)
	expect("gone:correct horse", gone)
	if len(a.verified.until) != 0 {
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

	if accounts["anna"], err = HashPassword("battery staple"); err != nil {
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
		v.add(v.key(strconv.Itoa(i), "", ""), now)
	}
	if len(v.until) != verifiedMax || !v.has(v.key(strconv.Itoa(2*verifiedMax-1), "", ""), now) {
		t.Errorf("%d credentials are kept, and the last is not among them or too many are", len(v.until))
	}
	now = now.Add(verifiedFor)
	v.add(v.key("one more", "", ""), now)
	if len(v.until) != 1 {
		t.Errorf("%d credentials are kept, all but one void", len(v.until))
	}
	if v.key("a", "b", "c") == v.key("ab", "", "c") {
		t.Error("different credentials have one key")
	}
}
