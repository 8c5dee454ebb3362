package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
)

// full are tallies all of which are full, unless there is an error. They keep what was refused.
type full struct {
	asked   int
	refused []Refusals
	err     error
}

func (f *full) Reserve(_ context.Context, tallies []Tally) (*Tally, error) {
	f.asked++
	if f.err != nil {
		return nil, f.err
	}
	return &tallies[len(tallies)-1], nil
}

func (f *full) GiveBack(context.Context, []Tally) error { return nil }

func (f *full) Refused(_ context.Context, refusals []Refusals) error {
	if f.err == nil {
		f.refused = append(f.refused, refusals...)
	}
	return f.err
}

func (f *full) sum() (n int64) {
	for _, r := range f.refused {
		n += r.Count
	}
	return n
}

// fullLimiter is a limiter all of whose tallies are full, at a time that the test sets.
func fullLimiter(now *time.Time, limits Limits) (*Limiter, *full) {
	tallies := &full{}
	return NewLimiter(LimiterConfig{
		Limits: func() Limits { return limits }, Tallies: tallies, Key: []byte("key"), Clock: func() time.Time { return *now }, Log: slog.Default(),
	}), tallies
}

func from(ctx context.Context, address string) context.Context {
	return WithOrigin(ctx, Origin{Address: netip.AddrPortFrom(netip.MustParseAddr(address), 1234)})
}

// TestRefusedHere sees that what is known to be full is refused without asking anybody, until its window ends, and that
// what was refused is counted once, also if it cannot be written at first.
func TestRefusedHere(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 4, 58, 500_000_000, time.UTC)
	l, tallies := fullLimiter(&now, Limits{PerAccount: 1, Window: 5 * time.Minute})
	user := ulid.Make()
	for i := range 1000 {
		_, err := l.Reserve(t.Context(), SignInAttempt, "anna", user)
		if limited := new(LimitedError); !errors.As(err, &limited) || limited.After != 1500*time.Millisecond {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if tallies.asked != 1 {
		t.Errorf("asked %d times", tallies.asked)
	}
	if err := l.Check(t.Context(), SignInAttempt, "berta"); err != nil {
		t.Errorf("another account: %v", err)
	}
	if err := l.Check(t.Context(), UserCodeAttempt, "anna"); err != nil {
		t.Errorf("another kind: %v", err)
	}
	tallies.err = errors.New("the database is gone")
	if err := l.Flush(t.Context()); !errors.Is(err, tallies.err) {
		t.Error(err)
	}
	tallies.err = nil
	if err := l.Check(t.Context(), SignInAttempt, "anna"); err == nil {
		t.Error("refusals that could not be written are forgotten")
	}
	now = now.Add(1500 * time.Millisecond)
	if err := l.Check(t.Context(), SignInAttempt, "anna"); err != nil {
		t.Errorf("in the next window: %v", err)
	}
	for range 2 { // the second time there is nothing left
		if err := l.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if len(tallies.refused) != 1 || tallies.refused[0].Count != 1001 || tallies.refused[0].User != user {
		t.Errorf("refused: %+v", tallies.refused)
	}
	if len(l.known) != 0 {
		t.Errorf("%d windows are kept in mind that have ended", len(l.known))
	}
}

// TestRefusedIsBounded refuses attempts on more accounts than are kept in mind: each is counted all the same.
func TestRefusedIsBounded(t *testing.T) {
	now := time.Now()
	l, tallies := fullLimiter(&now, Limits{PerAccount: 1, Window: time.Minute})
	const accounts = 3 * knownMax
	for i := range accounts {
		if _, err := l.Reserve(t.Context(), SignInAttempt, fmt.Sprint(i), ulid.ULID{}); err == nil {
			t.Fatal("an attempt was not refused")
		}
	}
	if len(l.known) != knownMax+1 {
		t.Errorf("%d tallies are kept in mind", len(l.known))
	}
	if err := l.Flush(t.Context()); err != nil || tallies.sum() != accounts {
		t.Errorf("%d of %d refusals are counted: %v", tallies.sum(), accounts, err)
	}
}

// TestAlone has nothing written: a node counts by itself, on no more accounts than it has room for, and leaves attempts
// whose requests have gone.
func TestAlone(t *testing.T) {
	now := time.Now().Truncate(time.Hour)
	l, tallies := fullLimiter(&now, Limits{PerAccount: 2, PerAddress: 3, Window: time.Hour})
	tallies.err = errors.New("the disk is full")
	reserve := func(account, address string, want error) (giveBack func()) {
		t.Helper()
		giveBack, err := l.Reserve(from(t.Context(), address), SignInAttempt, account, ulid.ULID{})
		if limited := new(LimitedError); !errors.Is(err, want) && !(errors.As(want, &limited) && errors.As(err, &limited)) {
			t.Errorf("%s from %s: %v", account, address, err)
		}
		return giveBack
	}
	limited := &LimitedError{}
	for range 5 {
		reserve("anna", "192.0.2.1", nil)()
	}
	reserve("anna", "192.0.2.1", nil)
	reserve("anna", "192.0.2.1", nil)
	reserve("anna", "192.0.2.2", limited)
	reserve("berta", "192.0.2.1", nil)
	reserve("carla", "192.0.2.1", limited)
	now = now.Add(time.Hour)
	reserve("anna", "192.0.2.1", nil)

	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := l.Reserve(gone, SignInAttempt, "dora", ulid.ULID{}); !errors.Is(err, ErrBusy) {
		t.Errorf("a request that went away: %v", err)
	}
	l, tallies = fullLimiter(&now, Limits{PerAccount: 2, Window: time.Hour})
	tallies.err = errors.New("the disk is full")
	for i := range knownMax {
		if _, err := l.Reserve(t.Context(), SignInAttempt, fmt.Sprint(i), ulid.ULID{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Reserve(t.Context(), SignInAttempt, "anna", ulid.ULID{}); !errors.Is(err, ErrBusy) || len(l.known) != knownMax {
		t.Errorf("an account that there is no room for: %v", err)
	}
}

// TestTallies sees what an attempt counts against.
func TestTallies(t *testing.T) {
	now := time.Now()
	both := Limits{PerAccount: 1, PerAddress: 2, Window: time.Minute}
	tally := func(limits Limits, account, address string) []Tally {
		l, _ := fullLimiter(&now, limits)
		ctx := t.Context()
		if address != "" {
			ctx = from(ctx, address)
		}
		return l.tallies(ctx, SignInAttempt, account, ulid.ULID{})
	}
	for _, c := range []struct {
		limits           Limits
		account, address string
		want             int
	}{
		{both, "anna", "192.0.2.1", 2}, {both, "", "192.0.2.1", 1}, {both, "anna", "", 1}, {both, "", "", 0},
		{Limits{PerAccount: 1, Window: time.Minute}, "anna", "192.0.2.1", 1},
		{Limits{PerAddress: 1, Window: time.Minute}, "anna", "192.0.2.1", 1},
		{Limits{}, "anna", "192.0.2.1", 0},
	} {
		if got := tally(c.limits, c.account, c.address); len(got) != c.want {
			t.Errorf("%+v: %+v", c, got)
		}
	}
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true}, {"192.0.2.1", "192.0.2.2", false}, {"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true}, {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"fe80::1%eth0", "fe80::1%eth1", true},
	} {
		if a, b := tally(both, "", c.a)[0], tally(both, "", c.b)[0]; (a == b) != c.same {
			t.Errorf("%s and %s: %v, %v", c.a, c.b, a, b)
		}
	}
	if tally(both, "192.0.2.1", "")[0].ID == tally(both, "", "192.0.2.1")[0].ID {
		t.Error("an account and an address have one tally")
	}
	var none *Limiter
	if giveBack, err := none.Reserve(from(t.Context(), "192.0.2.1"), SignInAttempt, "anna", ulid.ULID{}); err != nil {
		t.Error(err)
	} else {
		giveBack()
	}
}

// TestLimitedSignIn sees that an account that is limited is refused before it is looked up, but for who signed in from
// the same address just now.
func TestLimitedSignIn(t *testing.T) {
	hash, err := HashPassword(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	now, lookups, anna := time.Now(), 0, &Principal{Name: "anna"}
	l, _ := fullLimiter(&now, Limits{PerAccount: 1, Window: time.Hour})
	p := NewPasswords(PasswordsConfig{Clock: func() time.Time { return now }, Lookup: func(context.Context, string) (Account, error) {
		lookups++
		return Account{Hash: hash, Principal: anna}, nil
	}})
	home, away := from(t.Context(), "192.0.2.1"), from(t.Context(), "192.0.2.2")
	if who, _, err := p.SignIn(home, "anna", "correct horse"); who != anna || err != nil {
		t.Fatal(err)
	}
	p.config.Limiter = l
	limited := new(LimitedError)
	if _, _, err := p.SignIn(away, "anna", "wrong horse"); !errors.As(err, &limited) {
		t.Error(err)
	}
	lookups = 0
	if _, _, err := p.SignIn(away, "anna", "correct horse"); !errors.As(err, &limited) || lookups != 0 {
		t.Errorf("from elsewhere: %v, %d lookups", err, lookups)
	}
	if who, _, err := p.SignIn(home, "anna", "correct horse"); who != anna || err != nil {
		t.Errorf("from the same address: %v", err)
	}
	if hash, err = HashPassword(t.Context(), "battery staple"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.SignIn(home, "anna", "correct horse"); !errors.As(err, &limited) {
		t.Errorf("with a former password: %v", err)
	}
}
