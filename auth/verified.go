package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// How long credentials that were verified are taken for right, and how many at most.
const (
	verifiedFor = time.Minute
	verifiedMax = 1024
)

// verified remembers names and passwords that were right, so that not each request of a script costs a hash.
type verified struct {
	secret [32]byte // of this process
	right  *cache[struct{}]
}

func newVerified() *verified {
	v := &verified{right: newCache[struct{}](verifiedMax)}
	rand.Read(v.secret[:]) // it never fails (Go 1.24)
	return v
}

// key is under what a name and a password are remembered: an HMAC, since the password is not to be kept. The
// stored hash is part of it, so that a new password makes the old one void at once.
func (v *verified) key(username, hash, password string) (key cacheKey) {
	mac := hmac.New(sha256.New, v.secret[:])
	for _, part := range []string{username, hash, password} {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write([]byte(part))
	}
	mac.Sum(key[:0])
	return key
}

func (v *verified) has(key cacheKey, now time.Time) bool {
	_, found := v.right.get(key, now)
	return found
}

func (v *verified) add(key cacheKey, now time.Time) {
	v.right.put(key, struct{}{}, now.Add(verifiedFor))
}
