// Package idempotency carries a request out once, and gives its answer again whenever the request is repeated with the
// same Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07), also after a restart and on another node.
package idempotency

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// Header is the header that a client names its request in.
const Header = "Idempotency-Key"

// MaxKey is how many characters a key may have.
const MaxKey = 255

// lifetime is how long an answer is kept.
const lifetime = 24 * time.Hour

// Request is a request that may be repeated.
type Request struct {
	Principal   *auth.Principal // the keys of two principals never meet
	Key         string          // see [CheckKey]
	Fingerprint []byte          // of all that makes it this request and no other
}

// Answer is what a request was answered.
type Answer struct {
	Status      int    `json:"status"` // of success: 2xx, RFC 9110
	ContentType string `json:"content_type,omitempty"`
	Location    string `json:"location,omitempty"`
	ETag        string `json:"etag,omitempty"`
	Body        []byte `json:"-"`
}

// Database is what a [Keeper] needs of the database. Both are as in the storage's DB.
type Database interface {
	Transact(ctx context.Context, fn func(ctx context.Context) error) error
	TryLock(ctx context.Context, name string) (held bool, err error)
}

// Config is what a [Keeper] works with.
type Config struct {
	Database Database
	Records  resource.Store[Record]
	Clock    func() time.Time // default time.Now
	Patience time.Duration    // how long a request waits for its twin; default 10 s
}

// Keeper carries requests out, each once, and keeps their answers for a day.
type Keeper struct {
	config Config

	mu      sync.Mutex
	running map[ulid.ULID]chan struct{} // the requests that this process carries out; closed when they end
}

// New makes a keeper.
func New(config Config) *Keeper {
	if config.Clock == nil {
		config.Clock = time.Now
	}
	if config.Patience == 0 {
		config.Patience = 10 * time.Second
	}
	return &Keeper{config: config, running: map[ulid.ULID]chan struct{}{}}
}

// CheckKey returns InvalidHeader for what is no key: 1 to [MaxKey] visible ASCII characters, RFC 5234's VCHAR. Quotes,
// which the draft puts around a key, belong to it.
func CheckKey(key string) error {
	if len(key) == 0 || len(key) > MaxKey {
		return failed(resource.InvalidHeader, "a key has 1 to 255 characters")
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return failed(resource.InvalidHeader, "a key consists of visible ASCII characters")
		}
	}
	return nil
}

func failed(code resource.Code, detail string) error {
	return &resource.Error{Code: code, Detail: detail, Header: Header}
}

// Do has run carry a request out, or answers what it was answered before; then it is a replay. Run is called in a
// transaction, in which its answer is kept: both are committed, or neither is, whenever the process may be killed. An
// error of run undoes it all, and the next such request is carried out.
//
// A request that finds its twin running waits, without a transaction. Its errors are those of run, and:
//   - InProgress, if the twin takes longer than Config.Patience
//   - KeyReused, if the key stands for a request with another fingerprint
//   - Unavailable, if the database is
func (k *Keeper) Do(ctx context.Context, r Request, run func(ctx context.Context) (Answer, error)) (a Answer, replay bool, err error) {
	s, err := r.seal()
	if err != nil {
		return a, false, err
	}
	waiting, done := context.WithTimeoutCause(ctx, k.config.Patience,
		failed(resource.InProgress, "another request with this key has not ended yet"))
	defer done()
	leave, err := k.enter(waiting, s.id)
	if err != nil {
		return a, false, err
	}
	defer leave()
	for interval := shortest; ; interval = min(2*interval, longest) {
		a, replay, err = k.try(ctx, s, run)
		if !errors.Is(err, errElsewhere) {
			return a, replay, err
		}
		select {
		case <-waiting.Done():
			return a, false, context.Cause(waiting)
		case <-time.After(interval):
		}
	}
}

// A node cannot be told when a request ends on another, so it looks, less and less often.
const (
	shortest = 50 * time.Millisecond
	longest  = 250 * time.Millisecond
)

// enter waits until no other request of this process with the id is under way. Leave lets the next one in.
func (k *Keeper) enter(ctx context.Context, id ulid.ULID) (leave func(), err error) {
	for {
		k.mu.Lock()
		twin, there := k.running[id]
		if !there {
			end := make(chan struct{})
			k.running[id] = end
			k.mu.Unlock()
			return func() {
				k.mu.Lock()
				defer k.mu.Unlock()
				delete(k.running, id)
				close(end)
			}, nil
		}
		k.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-twin:
		}
	}
}

// errElsewhere says that another node carries the request out.
var errElsewhere = errors.New("idempotency: the request runs elsewhere")

// try is one transaction: it finds the answer of the request, or has it carried out and keeps the answer. The lock
// belongs to the transaction, so a node that dies lets go of it, with nothing done.
func (k *Keeper) try(ctx context.Context, s *seal, run func(ctx context.Context) (Answer, error)) (a Answer, replay bool, err error) {
	err = k.config.Database.Transact(ctx, func(ctx context.Context) error {
		held, err := k.config.Database.TryLock(ctx, Schema.Name+" "+s.id.String())
		switch {
		case err != nil:
			return err
		case !held:
			return errElsewhere
		}
		now := resource.Cut(k.config.Clock())
		record, err := k.config.Records.Get(ctx, s.id)
		switch {
		case resource.Is(err, resource.NotFound):
		case err != nil:
			return err
		case now.Before(record.ExpiresAt):
			replay = true
			a, err = s.open(record.Sealed)
			return err
		default:
			if err := k.config.Records.Delete(ctx, s.id); err != nil && !resource.Is(err, resource.NotFound) { // pruned meanwhile
				return err
			}
		}
		if a, err = run(ctx); err != nil {
			return err
		}
		sealed, err := s.close(a)
		if err != nil {
			return err
		}
		return k.config.Records.Create(ctx, &Record{ID: s.id, Sealed: sealed, ExpiresAt: now.Add(lifetime)})
	})
	if err != nil {
		return Answer{}, false, err
	}
	return a, replay, nil
}
