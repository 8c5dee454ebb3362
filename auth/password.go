package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/alexedwards/argon2id"
)

// MaxPasswordBytes is how many bytes a password may have, since hashing takes time for each.
const MaxPasswordBytes = 1024

// current are the parameters that OWASP recommends first where one processor hashes: 19 MiB, two passes, one
// lane. A hash takes some 25 ms.
var current = &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// unknownAccount is the hash that a password is compared with where there is no account: a hash of random
// bytes by the current parameters, so that an unknown account takes as long as a wrong password.
const unknownAccount = "$argon2id$v=19$m=19456,t=2,p=1$ADjQCkFblBTtDSAUZSWaGg$zFjKvSKwg7MHnrCFVlkfgSe1DhsFG7ba7XaIPttI4m8"

// HashPassword is the form in which a password is stored: argon2id in the PHC string format. It refuses a
// password that is empty or too long; the error follows the name of the attribute in a sentence. Whether a password is
// good, [Strength] says. It waits for its turn, or returns [ErrBusy].
func HashPassword(ctx context.Context, password string) (string, error) {
	if password == "" {
		return "", errors.New("must not be empty")
	}
	if len(password) > MaxPasswordBytes {
		return "", fmt.Errorf("must have at most %d bytes", MaxPasswordBytes)
	}
	turn, err := hashing.enter(ctx)
	if err != nil {
		return "", err
	}
	defer turn.leave()
	return newHash(password)
}

// newHash hashes a password that may be kept as it is. Its caller has a turn.
func newHash(password string) (string, error) {
	hash, err := argon2id.CreateHash(password, current)
	if err != nil {
		return "", fmt.Errorf("auth: hash a password: %w", err)
	}
	return hash, nil
}

// isCurrent reports whether a hash is as [HashPassword] makes them today.
func isCurrent(hash string) bool {
	return strings.HasPrefix(hash, fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$", current.Memory, current.Iterations, current.Parallelism))
}

// verify reports whether a hash, of one of the forms of [CheckHash], is that of the password. An empty hash
// stands for an account that is not there or has no password: the answer is no, after the time that a hash of
// [HashPassword]'s takes. A hash of another form takes another time until the password is hashed anew, at the
// first sign-in, so that until then the time may tell that there is the account. Its caller has a turn.
func verify(hash, password string) (bool, error) {
	known := hash != ""
	if !known {
		hash = unknownAccount
	}
	if len(password) > MaxPasswordBytes {
		return false, nil
	}
	matches, err := parseHash(hash)
	if err != nil {
		return false, fmt.Errorf("auth: a stored password hash: %w", err)
	}
	match, err := matches(password)
	if err != nil {
		return false, fmt.Errorf("auth: a stored password hash: %w", err)
	}
	return match && known, nil
}
