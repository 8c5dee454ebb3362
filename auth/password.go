package auth

import (
	"fmt"
	"runtime"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
)

// The limits of a password: in characters, and in bytes, since hashing takes time for each.
const (
	MinPasswordLength = 8
	MaxPasswordBytes  = 1024
)

// argon2 are the parameters that OWASP recommends first where one processor hashes: 19 MiB, two passes, one
// lane. A hash takes some 25 ms.
var argon2 = &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// hashing admits one hash a processor: more at once would be no faster, and take 19 MiB each.
var hashing = make(chan struct{}, runtime.GOMAXPROCS(0))

// unknownAccount is the hash that a password is compared with where there is no account: a hash of random
// bytes by the parameters of argon2, so that an unknown account takes as long as a wrong password.
const unknownAccount = "$argon2id$v=19$m=19456,t=2,p=1$ADjQCkFblBTtDSAUZSWaGg$zFjKvSKwg7MHnrCFVlkfgSe1DhsFG7ba7XaIPttI4m8"

// HashPassword is the form in which a password is stored: argon2id in the PHC string format. It refuses a
// password that is too short or too long; the error follows the name of the attribute in a sentence.
func HashPassword(password string) (string, error) {
	if utf8.RuneCountInString(password) < MinPasswordLength {
		return "", fmt.Errorf("must have at least %d characters", MinPasswordLength)
	}
	if len(password) > MaxPasswordBytes {
		return "", fmt.Errorf("must have at most %d bytes", MaxPasswordBytes)
	}
	hashing <- struct{}{}
	defer func() { <-hashing }()
	hash, err := argon2id.CreateHash(password, argon2)
	if err != nil {
		return "", fmt.Errorf("auth: hash a password: %w", err)
	}
	return hash, nil
}

// VerifyPassword reports whether a hash is that of the password. An empty hash stands for an account that is
// not there or has no password: the answer is no, after the same time. The error is about the hash.
func VerifyPassword(hash, password string) (bool, error) {
	known := hash != ""
	if !known {
		hash = unknownAccount
	}
	if len(password) > MaxPasswordBytes {
		return false, nil
	}
	hashing <- struct{}{}
	defer func() { <-hashing }()
	match, err := argon2id.ComparePasswordAndHash(password, hash)
	if err != nil {
		return false, fmt.Errorf("auth: a stored password hash: %w", err)
	}
	return match && known, nil
}
