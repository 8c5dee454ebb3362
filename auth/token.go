package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"strings"
)

// The prefixes of tokens. They tell what a token is to whoever finds one, and to a scanner for leaked secrets.
const (
	PersonalToken     = "rvp" // of the token entity
	AccessToken       = "rva" // of the authorization server
	RefreshToken      = "rvr" // of the same, exchanged for the next access token
	AuthorizationCode = "rvc" // of the same, exchanged for the first tokens
	DeviceCode        = "rvd" // of the same, with which a device asks for its tokens
	BrowserToken      = "rvb" // of the same, in the cookie of a browser
	PendingToken      = "rvf" // of the same, in the cookie of a browser whose user has still to show a second factor
	LinkToken         = "rvl" // of the password-link entity, with which a user sets a password
	RegistrationToken = "rvn" // of a registration that has begun, with which it is completed
)

const (
	base62         = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	randomLength   = 30 // 178 bits
	familyLength   = 15 // of these
	checksumLength = 6  // 62^6 is more than 2^32
)

// NewToken makes a token that nobody can guess: its prefix, 30 random characters of base 62, and 6 more that
// are the CRC-32 of what precedes them, all joined by underscores. It is what the Matrix Authentication Service
// makes: the checksum tells a mistyped token from an unknown one without asking the database.
func NewToken(prefix string) string {
	return newToken(prefix+"_", randomLength)
}

// NextToken makes the token that takes the place of another one. The two are of one family: they begin alike, with
// half of the random characters (89 bits), and end differently.
func NextToken(token string) string {
	return newToken(family(token), randomLength-familyLength)
}

// HashFamily is the form in which the family of a token is stored: the SHA-256 of what its tokens begin with.
func HashFamily(token string) []byte { return HashToken(family(token)) }

// family is what a token and those that take its place begin with. The token has been checked.
func family(token string) string {
	body, _, _ := cutLast(token)
	return body[:len(body)-(randomLength-familyLength)]
}

// newToken adds n random characters and the checksum.
func newToken(begin string, n int) string {
	token := begin + Random(n)
	return token + "_" + checksum(token)
}

// Random is n random characters of base 62.
func Random(n int) string {
	text, random := make([]byte, 0, n), make([]byte, 2*n)
	for len(text) < n {
		rand.Read(random) // it never fails (Go 1.24)
		for _, b := range random {
			// The bytes above the last multiple of 62 would make the first characters likelier.
			if b < 4*62 && len(text) < n {
				text = append(text, base62[b%62])
			}
		}
	}
	return string(text)
}

// CheckToken reports whether a text has the shape and the checksum of a token, and its prefix.
func CheckToken(token string) (prefix string, ok bool) {
	body, sum, ok := cutLast(token)
	if !ok || sum != checksum(body) {
		return "", false
	}
	prefix, random, ok := cutLast(body)
	if !ok || prefix == "" || len(random) != randomLength || strings.Trim(random, base62) != "" {
		return "", false
	}
	return prefix, true
}

// HashToken is the form in which a token is stored: its SHA-256. A slow hash would add nothing, since a token
// cannot be guessed.
func HashToken(token string) []byte {
	hash := sha256.Sum256([]byte(token))
	return hash[:]
}

// checksum is the CRC-32 of a text, in base 62, its highest digit first.
func checksum(text string) string {
	var digits [checksumLength]byte
	rest := crc32.ChecksumIEEE([]byte(text))
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = base62[rest%62]
		rest /= 62
	}
	return string(digits[:])
}

// cutLast cuts a text around its last underscore.
func cutLast(text string) (before, after string, ok bool) {
	i := strings.LastIndexByte(text, '_')
	if i < 0 {
		return "", "", false
	}
	return text[:i], text[i+1:], true
}
