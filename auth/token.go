package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"strings"
)

// The prefixes of tokens. They tell what a token is to whoever finds one, and to a scanner for leaked secrets.
const (
	PersonalToken = "rvp" // of the token entity
	AccessToken   = "rva" // of the authorization server
)

const (
	base62         = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	randomLength   = 30 // 178 bits
	checksumLength = 6  // 62^6 is more than 2^32
)

// NewToken makes a token that nobody can guess: its prefix, 30 random characters of base 62, and 6 more that
// are the CRC-32 of what precedes them, all joined by underscores. It is what the Matrix Authentication Service
// makes: the checksum tells a mistyped token from an unknown one without asking the database.
func NewToken(prefix string) string {
	token := make([]byte, 0, len(prefix)+randomLength+checksumLength+2)
	token = append(append(token, prefix...), '_')
	random := make([]byte, 2*randomLength)
	for len(token) < len(prefix)+1+randomLength {
		rand.Read(random) // it never fails (Go 1.24)
		for _, b := range random {
			// The bytes above the last multiple of 62 would make the first characters likelier.
			if b < 4*62 && len(token) < len(prefix)+1+randomLength {
				token = append(token, base62[b%62])
			}
		}
	}
	return string(token) + "_" + checksum(string(token))
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
