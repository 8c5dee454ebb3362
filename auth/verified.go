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
	secret [32]byte         // of this process
	right  *cache[cacheKey] // by the credentials: the hash that they were right for
}

func newVerified() *verified {
	v := &verified{right: newCache[cacheKey](verifiedMax)}
	rand.Read(v.secret[:]) // it never fails (Go 1.24)
	return v
}

// key is what is remembered of some texts: an HMAC, since a password is not to be kept.
func (v *verified) key(texts ...string) (key cacheKey) {
	mac := hmac.New(sha256.New, v.secret[:])
	for _, part := range texts {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write([]byte(part))
	}
	mac.Sum(key[:0])
	return key
}

// get is the key of the hash that the credentials were right for. Another hash, of a new password, makes them void.
func (v *verified) get(credentials cacheKey, now time.Time) (hash cacheKey, found bool) {
	return v.right.get(credentials, now)
}

func (v *verified) add(credentials cacheKey, hash string, now time.Time) {
	v.right.put(credentials, v.key(hash), now.Add(verifiedFor))
}
