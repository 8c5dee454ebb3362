package auth

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

// The most that a hash may ask for, whoever made it: whoever tries to sign in has the server pay that. Each bound is
// about a second of one processor.
const (
	maxMemory     = 128 << 20 // bytes, of argon2id and scrypt
	maxWork       = 1 << 30   // bytes, of the same: memory times passes, or lanes
	maxLanes      = 16
	maxCost       = 14        // of bcrypt
	maxIterations = 2_000_000 // of PBKDF2
)

// How long the parts of a hash may be, in bytes.
const (
	minSalt, maxSalt = 8, 64
	minHash, maxHash = 16, 64
)

// comparison tells whether a password is the one that was hashed. Its error is about the hash.
type comparison func(password string) (bool, error)

var (
	errHash      = errors.New("must be a hash of a password: argon2id, bcrypt, scrypt or PBKDF2")
	bcryptForm   = regexp.MustCompile(`^\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}$`)
	argon2idForm = regexp.MustCompile(`^m=([0-9]+),t=([0-9]+),p=([0-9]+)$`)
	scryptForm   = regexp.MustCompile(`^ln=([0-9]+),r=([0-9]+),p=([0-9]+)$`)
	pbkdf2Form   = regexp.MustCompile(`^(?:i=)?([0-9]+)$`)
)

// CheckHash refuses a text that is no hash of a password which [Passwords] understands, or one that would be
// too dear to verify. The error follows the name of the attribute in a sentence.
//
//   - argon2id: $argon2id$v=19$m=KiB,t=passes,p=lanes$salt$hash, up to 128 MiB and 1 GiB over all passes
//   - bcrypt: $2a$, $2b$ or $2y$, up to the cost 14
//   - scrypt: $scrypt$ln=log2(N),r=8,p=1$salt$hash, up to 128 MiB and 1 GiB over all lanes
//   - PBKDF2: $pbkdf2-sha256$i=iterations$salt$hash, $pbkdf2-sha512$ likewise, up to 2,000,000 iterations
//
// Salts (8 to 64 bytes) and hashes (16 to 64) are base64 without padding, as the PHC string format has them. What
// passlib writes is taken too: its PBKDF2 leaves out i= and has a dot for a plus.
func CheckHash(hash string) error {
	_, err := parseHash(hash)
	return err
}

// parseHash reads the stored form of a password.
func parseHash(text string) (comparison, error) {
	if cost := bcryptForm.FindStringSubmatch(text); cost != nil {
		return parseBcrypt(text, cost[1])
	}
	parts := strings.Split(text, "$")
	if len(parts) < 4 || parts[0] != "" {
		return nil, errHash
	}
	algorithm, parts := parts[1], parts[2:]
	if algorithm == "argon2id" {
		if parts[0] != "v=19" {
			return nil, errHash
		}
		parts = parts[1:]
	}
	if len(parts) != 3 {
		return nil, errHash
	}
	salt, saltErr := decodeHash(parts[1])
	want, wantErr := decodeHash(parts[2])
	if saltErr != nil || wantErr != nil || len(salt) < minSalt || len(salt) > maxSalt || len(want) < minHash || len(want) > maxHash {
		return nil, errHash
	}
	var derive func(password string) ([]byte, error)
	var err error
	switch algorithm {
	case "argon2id":
		derive, err = parseArgon2id(parts[0], salt, len(want))
	case "scrypt":
		derive, err = parseScrypt(parts[0], salt, len(want))
	case "pbkdf2-sha256":
		derive, err = parsePBKDF2(sha256.New, parts[0], salt, len(want))
	case "pbkdf2-sha512":
		derive, err = parsePBKDF2(sha512.New, parts[0], salt, len(want))
	default:
		return nil, errHash
	}
	if err != nil {
		return nil, err
	}
	return func(password string) (bool, error) {
		got, err := derive(password)
		return err == nil && subtle.ConstantTimeCompare(got, want) == 1, err
	}, nil
}

// decodeHash reads a salt or a hash.
func decodeHash(text string) ([]byte, error) {
	return base64.RawStdEncoding.Strict().DecodeString(strings.ReplaceAll(text, ".", "+"))
}

// numbers reads the parameters of a hash; each is below 2^31.
func numbers(form *regexp.Regexp, text string) ([]int, error) {
	found := form.FindStringSubmatch(text)
	if found == nil {
		return nil, errHash
	}
	var all []int
	for _, digits := range found[1:] {
		n, err := strconv.ParseInt(digits, 10, 32)
		if err != nil {
			return nil, errHash
		}
		all = append(all, int(n))
	}
	return all, nil
}

func tooDear(format string, args ...any) error {
	return fmt.Errorf("must not be a hash that takes more than "+format, args...)
}

func parseArgon2id(text string, salt []byte, length int) (func(string) ([]byte, error), error) {
	n, err := numbers(argon2idForm, text)
	if err != nil {
		return nil, err
	}
	memory, passes, lanes := n[0], n[1], n[2] // memory in KiB
	switch {
	case passes < 1 || lanes < 1 || memory < 8*lanes: // RFC 9106, section 3.1
		return nil, errHash
	case lanes > maxLanes:
		return nil, tooDear("%d lanes", maxLanes)
	case memory > maxMemory>>10:
		return nil, tooDear("%d MiB", maxMemory>>20)
	case passes > (maxWork>>10)/memory:
		return nil, tooDear("%d MiB in all passes together", maxWork>>20)
	}
	return func(password string) ([]byte, error) {
		return argon2.IDKey([]byte(password), salt, uint32(passes), uint32(memory), uint8(lanes), uint32(length)), nil
	}, nil
}

func parseScrypt(text string, salt []byte, length int) (func(string) ([]byte, error), error) {
	n, err := numbers(scryptForm, text)
	if err != nil {
		return nil, err
	}
	log, r, p := n[0], n[1], n[2]
	switch {
	case log < 1 || r < 1 || p < 1:
		return nil, errHash
	case log > 20 || r > maxMemory>>7>>log: // N times r blocks of 128 bytes
		return nil, tooDear("%d MiB", maxMemory>>20)
	case p > maxLanes:
		return nil, tooDear("%d lanes", maxLanes)
	case p > maxWork>>7>>log/r:
		return nil, tooDear("%d MiB in all lanes together", maxWork>>20)
	}
	return func(password string) ([]byte, error) {
		return scrypt.Key([]byte(password), salt, 1<<log, r, p, length)
	}, nil
}

func parsePBKDF2(h func() hash.Hash, text string, salt []byte, length int) (func(string) ([]byte, error), error) {
	n, err := numbers(pbkdf2Form, text)
	if err != nil {
		return nil, err
	}
	switch iterations := n[0]; {
	case iterations < 1:
		return nil, errHash
	case iterations > maxIterations:
		return nil, tooDear("%d iterations", maxIterations)
	}
	return func(password string) ([]byte, error) { return pbkdf2.Key(h, password, salt, n[0], length) }, nil
}

func parseBcrypt(text, cost string) (comparison, error) {
	switch n, err := strconv.Atoi(cost); {
	case err != nil || n < bcrypt.MinCost:
		return nil, errHash
	case n > maxCost:
		return nil, tooDear("the cost %d", maxCost)
	}
	return func(password string) (bool, error) {
		err := bcrypt.CompareHashAndPassword([]byte(text), []byte(password))
		if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
			return false, nil
		}
		return err == nil, err
	}, nil
}
