package auth

import (
	"context"
	"errors"
	"time"

	"github.com/oklog/ulid/v2"
)

// Account is what there is to know of the name that somebody signs in by.
type Account struct {
	Principal *Principal // nil if nobody has the name
	Hash      string     // of the password; empty if there is none here, or who has the name may not sign in
	Elsewhere bool       // the password is kept elsewhere, see [ElsewhereFunc], and who has the name may sign in; then there is no hash
}

// PasswordLookup finds the account of a name. Whoever cannot sign in by that name is told so after as long a time as with
// a wrong password.
type PasswordLookup func(ctx context.Context, username string) (Account, error)

// ElsewhereFunc asks whoever keeps passwords elsewhere, as a directory does, whether a password is that of a name. Once it
// has said so, [PasswordLookup] finds the account, which may be new. An empty name stands for one that nobody has: to say
// so takes as long as with a wrong password. It returns ErrInvalid, or why it cannot tell.
type ElsewhereFunc func(ctx context.Context, username, password string) error

// RehashFunc keeps another hash of the same password, as long as the former is the one that is kept, and reports whether
// it did. It is called when somebody has signed in whose hash is of a former or a foreign kind. What goes wrong with it
// is its own concern: the password was right.
type RehashFunc func(ctx context.Context, who *Principal, former, renewed string) (kept bool)

// FailedFunc is told of an attempt with a wrong name or password. Who is the account of that name, nil if there is none.
type FailedFunc func(ctx context.Context, who *Principal)

// PasswordsConfig is what [Passwords] works with.
type PasswordsConfig struct {
	Lookup PasswordLookup
	Rehash RehashFunc // nil: hashes stay as they are
	Failed FailedFunc // may be nil
	// Elsewhere is asked about names that nobody has here, or whose passwords are kept there; nil if there is nobody.
	// What others have as their password here is not told there.
	Elsewhere ElsewhereFunc
	Limiter   *Limiter // of the attempts that fail; nil: there may be any number
	Clock     func() time.Time
}

// Passwords signs accounts in by name and password. It is safe for concurrent use.
type Passwords struct {
	config   PasswordsConfig
	verified *verified
	hashed   *lanes // of attempts with a password that may be kept here
	asked    *lanes // of those that Elsewhere is asked about, which may take long
	asking   *queue // of the latter
}

// Elsewhere is asked by so many at once, and behind each of them some more wait.
const maxAsking, waitAsking = 16, 7

// NewPasswords signs in the accounts that the configuration's Lookup finds.
func NewPasswords(config PasswordsConfig) *Passwords {
	return &Passwords{
		config: config, verified: newVerified(), hashed: newLanes(), asked: newLanes(), asking: newQueue(maxAsking, waitAsking),
	}
}

// maxUsername is how many bytes the name of an account may have.
const maxUsername = 255

// SignIn finds out whom a name and a password stand for, and by which hash of theirs. What was right is remembered for a
// minute, for requests from the same address, so that not each request of a script costs a hash; to send it again is no
// attempt. It returns:
//   - ErrInvalid, if they are nobody's
//   - a [LimitedError], if too many attempts on the account or from the address have failed, also of an account that
//     nobody has
//   - ErrBusy
//   - the error of the lookup, or of who is asked elsewhere: then whose name it is cannot be told, and the attempt counts
func (p *Passwords) SignIn(ctx context.Context, username, password string) (who *Principal, hash string, err error) {
	if !printable(username) || len(username) > maxUsername {
		username = "" // nobody's name, and nothing to ask a database for
	}
	key := p.verified.key(username, password, network(ctx).String())
	if who, hash, err = p.remembered(ctx, key, username); who != nil || err != nil {
		return who, hash, err
	}
	if err := p.config.Limiter.Check(ctx, SignInAttempt, username); err != nil {
		return nil, "", err
	}
	return p.try(ctx, key, username, password)
}

// failed tells of an attempt that was wrong.
func (p *Passwords) failed(ctx context.Context, who *Principal) {
	if p.config.Failed != nil {
		p.config.Failed(ctx, who)
	}
}

// remembered is who signed in by the same credentials just now, nil if nobody did, or if their password is another one
// by now.
func (p *Passwords) remembered(ctx context.Context, key cacheKey, username string) (who *Principal, hash string, err error) {
	right, found := p.verified.get(key, p.config.Clock())
	if !found {
		return nil, "", nil
	}
	account, err := p.config.Lookup(ctx, username)
	if err != nil || account.Hash == "" && !account.Elsewhere || right != p.verified.key(account.Hash) {
		return nil, "", err
	}
	return account.Principal, account.Hash, nil
}

// try is one attempt, once it is its turn.
func (p *Passwords) try(ctx context.Context, key cacheKey, username, password string) (who *Principal, hash string, err error) {
	turn, err := hashing.enter(ctx, p.hashed.of(p.verified.key(username)))
	if err != nil {
		return nil, "", err
	}
	defer turn.leave()
	if who, hash, err = p.remembered(ctx, key, username); who != nil || err != nil { // by who was in the lane before
		return who, hash, err
	}
	account, err := p.config.Lookup(ctx, username)
	if err != nil {
		return nil, "", err
	}
	giveBack := func() {}
	elsewhere := account.Hash == "" && p.config.Elsewhere != nil
	if !elsewhere { // else it is counted when it is made
		if giveBack, err = p.reserve(ctx, account, username); err != nil {
			return nil, "", err
		}
	}
	match, err := verify(account.Hash, password)
	if err != nil {
		return nil, "", err
	}
	if !match {
		turn.leave() // lest whoever has a password here waits for who is asked
		if elsewhere {
			return p.elsewhere(ctx, key, account, username, password)
		}
		err = p.nobody(ctx, username)
		p.failed(ctx, account.Principal) // whatever comes of that
		return nil, "", err
	}
	giveBack()
	hash = account.Hash
	if p.config.Rehash != nil && !isCurrent(hash) {
		renewed, err := newHash(password)
		if err != nil {
			return nil, "", err
		}
		if p.config.Rehash(ctx, account.Principal, hash, renewed) {
			hash = renewed
		}
	}
	p.verified.add(key, hash, p.config.Clock())
	return account.Principal, hash, nil
}

// reserve counts an attempt on the account of a name before it is made.
func (p *Passwords) reserve(ctx context.Context, account Account, username string) (giveBack func(), err error) {
	var id ulid.ULID
	if account.Principal != nil {
		id = account.Principal.ID
	}
	return p.config.Limiter.Reserve(ctx, SignInAttempt, username, id)
}

// elsewhere is an attempt on an account without a password here, or on none. About one that may not sign in by a password
// kept elsewhere, nobody is asked about.
func (p *Passwords) elsewhere(ctx context.Context, key cacheKey, account Account, username, password string) (who *Principal, hash string, err error) {
	turn, err := p.asking.enter(ctx, p.asked.of(p.verified.key(username)))
	if err != nil {
		return nil, "", err
	}
	defer turn.leave()
	if who, hash, err = p.remembered(ctx, key, username); who != nil || err != nil { // by who was in the lane before
		return who, hash, err
	}
	giveBack, err := p.reserve(ctx, account, username)
	if err != nil {
		return nil, "", err
	}
	if account.Principal != nil && !account.Elsewhere {
		err = p.config.Elsewhere(ctx, "", "")
	} else {
		err = p.config.Elsewhere(ctx, username, password)
	}
	if err == nil {
		if account, err = p.config.Lookup(ctx, username); err == nil && !account.Elsewhere {
			err = ErrInvalid
		}
	}
	if errors.Is(err, ErrInvalid) {
		p.failed(ctx, account.Principal)
	}
	if err != nil {
		return nil, "", err
	}
	giveBack()
	p.verified.add(key, account.Hash, p.config.Clock())
	return account.Principal, account.Hash, nil
}

// nobody asks elsewhere about nobody, after a wrong password of somebody here, so that the time does not tell that there
// is an account. It returns ErrInvalid, or the error of who is asked.
func (p *Passwords) nobody(ctx context.Context, username string) error {
	if p.config.Elsewhere == nil {
		return ErrInvalid
	}
	turn, err := p.asking.enter(ctx, p.asked.of(p.verified.key(username)))
	if err != nil {
		return err
	}
	defer turn.leave()
	return p.config.Elsewhere(ctx, "", "")
}
