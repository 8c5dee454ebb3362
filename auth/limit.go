package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// AttemptKind is a kind of what may be tried only so often. The attempts of each kind are counted apart.
type AttemptKind string

// The kinds of attempts.
const (
	SignInAttempt       AttemptKind = "sign-in"       // with a password
	UserCodeAttempt     AttemptKind = "user-code"     // with what a device shows its user
	RegistrationAttempt AttemptKind = "registration"  // of a client, whether or not it fails
	SecondFactorAttempt AttemptKind = "second-factor" // after the right password
	LinkAttempt         AttemptKind = "password-link" // with the token of a link
	AccountAttempt      AttemptKind = "account"       // to register an account, in each of two steps
)

// Limits are how many attempts of a kind may fail within a window, before all others are refused until it ends; 0 is any
// number. Windows follow each other at whole multiples of their length, the same for everybody.
type Limits struct {
	PerAccount int64
	PerAddress int64 // IPv6: per network of 64 bits, which is what one customer has
	Window     time.Duration
}

// Tally is what a [Limiter] has counted: the attempts of one kind, on one account or from one address, in one window.
type Tally struct {
	ID      ulid.ULID // made of all that follows, and of the name of the account, by a keyed hash
	Kind    AttemptKind
	User    ulid.ULID  // whose account it is; zero if nobody's, or if it is about an address
	Address netip.Addr // of a network its first; the zero Addr if it is about an account
	Limit   int64
	Ends    time.Time
}

// Refusals are attempts that were refused because a tally was full.
type Refusals struct {
	Tally
	Count int64
}

// Tallies keep what is counted, for all nodes together. Each method is one transaction.
type Tallies interface {
	// Reserve counts one more attempt in each tally; in none, if one has reached its limit, which it then returns.
	Reserve(ctx context.Context, tallies []Tally) (full *Tally, err error)
	// GiveBack takes back what Reserve counted.
	GiveBack(ctx context.Context, tallies []Tally) error
	// Refused counts attempts that were refused.
	Refused(ctx context.Context, refusals []Refusals) error
}

// LimitedError says that too many attempts have failed.
type LimitedError struct{ After time.Duration } // until the window ends

func (e *LimitedError) Error() string { return "too many attempts have failed; wait a while" }

const (
	// knownMax is how many tallies a limiter keeps in mind. Of others it asks the database.
	knownMax = 4096
	// tallyPatience is how long a limiter waits for the database.
	tallyPatience = time.Second
	// refusedInterval is how often a limiter writes how many attempts it refused, and refusedBatch how many tallies a
	// transaction writes.
	refusedInterval = 5 * time.Second
	refusedBatch    = 500
)

// LimiterConfig is what a [Limiter] works with.
type LimiterConfig struct {
	Limits  func() Limits // they may change
	Tallies Tallies
	Key     []byte // of the hashes that tallies have for ids; the same on all nodes
	Clock   func() time.Time
	Log     *slog.Logger
}

// Limiter bounds how often something may be tried that can be guessed: by account and by address, on all nodes
// together. An attempt is reserved before it is made, and given back if it succeeds, so that many at once are not too
// many: while it is under way it counts as failed.
//
// A tally that is full is kept in mind until its window ends, so that what is refused costs next to nothing. How many
// attempts were refused is written every few seconds by [Limiter.Run]. While nothing can be written, as when a disk is
// full, each node counts by itself. A limiter is safe for concurrent use; the limiter nil refuses nothing.
type Limiter struct {
	config LimiterConfig

	mu    sync.Mutex
	known map[ulid.ULID]*known
}

// known is what a node knows of a tally.
type known struct {
	Refusals       // those that are not written yet
	full     bool  // it is, with this limit
	alone    int64 // attempts that are counted nowhere else
}

// NewLimiter makes a limiter.
func NewLimiter(config LimiterConfig) *Limiter {
	return &Limiter{config: config, known: map[ulid.ULID]*known{}}
}

// Check returns a [LimitedError] for an attempt that is known to be one too many, without asking the database. An
// attempt that it lets pass still has to be reserved.
func (l *Limiter) Check(ctx context.Context, kind AttemptKind, account string) error {
	return l.check(l.tallies(ctx, kind, account, ulid.ULID{}))
}

func (l *Limiter) check(tallies []Tally) error {
	if len(tallies) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range tallies {
		if k := l.known[t.ID]; k != nil && k.full && t.Limit <= k.Limit { // else the limit has been raised since
			k.Count++
			return l.limited(t)
		}
	}
	return nil
}

func (l *Limiter) limited(t Tally) error {
	return &LimitedError{After: t.Ends.Sub(l.config.Clock())}
}

// Reserve counts an attempt before it is made, on an account that is told by its name, empty if there is none, and from
// the address that the context's request has. User is whose account that is, zero if nobody's. GiveBack is for an
// attempt that succeeds. It returns a [LimitedError] for one too many, or ErrBusy.
func (l *Limiter) Reserve(ctx context.Context, kind AttemptKind, account string, user ulid.ULID) (giveBack func(), err error) {
	tallies := l.tallies(ctx, kind, account, user)
	if err := l.check(tallies); err != nil || len(tallies) == 0 {
		return func() {}, err
	}
	patient, cancel := context.WithTimeout(ctx, tallyPatience)
	defer cancel()
	full, err := l.config.Tallies.Reserve(patient, tallies)
	switch {
	case err == nil && full == nil:
		return func() { l.giveBack(ctx, tallies) }, nil
	case err == nil:
		l.refuse(*full)
		return nil, l.limited(*full)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", ErrBusy, err)
	}
	l.config.Log.WarnContext(ctx, "this node alone counts an attempt", "kind", kind, "error", err)
	return l.reserveAlone(tallies)
}

func (l *Limiter) giveBack(ctx context.Context, tallies []Tally) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tallyPatience)
	defer cancel()
	if err := l.config.Tallies.GiveBack(ctx, tallies); err != nil {
		l.config.Log.WarnContext(ctx, "an attempt that succeeded is counted as failed", "kind", tallies[0].Kind, "error", err)
	}
}

// reserveAlone counts an attempt on this node.
func (l *Limiter) reserveAlone(tallies []Tally) (giveBack func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range tallies {
		k := l.know(t)
		if k == nil {
			return nil, ErrBusy
		}
		if k.alone >= t.Limit {
			k.full = true
			k.Count++
			return nil, l.limited(t)
		}
	}
	count := func(n int64) {
		for _, t := range tallies {
			if k := l.known[t.ID]; k != nil { // else its window has ended
				k.alone += n
			}
		}
	}
	count(1)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		count(-1)
	}, nil
}

// refuse keeps a full tally in mind, and counts the attempt that was one too many.
func (l *Limiter) refuse(t Tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.counted(t)
	k.full = true
	k.Count++
}

// counted is where refusals are counted: with the tally or, if there is no room for it, with all such others.
func (l *Limiter) counted(t Tally) *known {
	if k := l.know(t); k != nil {
		return k
	}
	others := Tally{ID: l.id(t.Kind, "", "", t.Ends), Kind: t.Kind, Ends: t.Ends}
	if l.known[others.ID] == nil {
		l.known[others.ID] = &known{Refusals: Refusals{Tally: others}}
	}
	return l.known[others.ID]
}

// know is what is known of a tally, nil if nothing is and there is no room for it.
func (l *Limiter) know(t Tally) *known {
	k := l.known[t.ID]
	if k == nil && len(l.known) >= knownMax {
		return nil
	}
	if k == nil {
		k = &known{}
		l.known[t.ID] = k
	}
	k.Tally = t
	return k
}

// tallies are those that an attempt counts in.
func (l *Limiter) tallies(ctx context.Context, kind AttemptKind, account string, user ulid.ULID) []Tally {
	if l == nil {
		return nil
	}
	limits := l.config.Limits()
	ends := l.config.Clock().Truncate(limits.Window).Add(limits.Window)
	var tallies []Tally
	if account != "" && limits.PerAccount > 0 {
		tallies = append(tallies, Tally{ID: l.id(kind, "account", account, ends), Kind: kind, User: user, Limit: limits.PerAccount, Ends: ends})
	}
	if address := network(ctx); address.IsValid() && limits.PerAddress > 0 {
		tallies = append(tallies, Tally{ID: l.id(kind, "address", address.String(), ends), Kind: kind, Address: address, Limit: limits.PerAddress, Ends: ends})
	}
	return tallies
}

// id is that of a tally. The name of an account that nobody has may be a password in the wrong field, so it is hashed
// with a key.
func (l *Limiter) id(kind AttemptKind, by, of string, ends time.Time) (id ulid.ULID) {
	mac := hmac.New(sha256.New, l.config.Key)
	fmt.Fprintf(mac, "%s\x00%s\x00%s\x00", kind, by, of)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(ends.UnixNano())))
	copy(id[:], mac.Sum(nil))
	return id
}

// network is from where the request of a context comes, as far as attempts are concerned; the zero Addr if it belongs
// to none.
func network(ctx context.Context) netip.Addr {
	address := OriginOf(ctx).Address.Addr().Unmap().WithZone("")
	if !address.Is6() {
		return address
	}
	prefix, err := address.Prefix(64)
	if err != nil {
		panic(err) // it has 128 bits
	}
	return prefix.Addr()
}

// Run writes how many attempts were refused, every few seconds until the context ends, and then all that is left.
func (l *Limiter) Run(ctx context.Context) error {
	ticker := time.NewTicker(refusedInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return l.Flush(context.WithoutCancel(ctx))
		case <-ticker.C:
		}
		if err := l.Flush(ctx); err != nil && ctx.Err() == nil {
			l.config.Log.WarnContext(ctx, "refused attempts are not counted just now", "error", err)
		}
	}
}

// Flush writes how many attempts were refused. What is not written is tried again. Windows that have ended are forgotten.
func (l *Limiter) Flush(ctx context.Context) error {
	for refusals := l.take(); len(refusals) > 0; {
		some := refusals[:min(len(refusals), refusedBatch)]
		if err := l.config.Tallies.Refused(ctx, some); err != nil {
			l.put(refusals)
			return err
		}
		refusals = refusals[len(some):]
	}
	return nil
}

// take hands over the refusals that are to be written.
func (l *Limiter) take() (refusals []Refusals) {
	now := l.config.Clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, k := range l.known {
		if k.Count > 0 {
			refusals = append(refusals, k.Refusals)
			k.Count = 0
		}
		if !now.Before(k.Ends) {
			delete(l.known, id)
		}
	}
	return refusals
}

// put counts refusals that were taken, and not written.
func (l *Limiter) put(refusals []Refusals) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range refusals {
		l.counted(r.Tally).Count += r.Count
	}
}
