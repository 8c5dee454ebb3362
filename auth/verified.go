package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
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
	mu     sync.Mutex
	until  map[verifiedKey]time.Time
}

type verifiedKey [sha256.Size]byte

func newVerified() *verified {
	v := &verified{until: map[verifiedKey]time.Time{}}
	rand.Read(v.secret[:]) // it never fails (Go 1.24)
	return v
}

// key is under what a name and a password are remembered: an HMAC, since the password is not to be kept. The
// stored hash is part of it, so that a new password makes the old one void at once.
func (v *verified) key(username, hash, password string) (key verifiedKey) {
	mac := hmac.New(sha256.New, v.secret[:])
	for _, part := range []string{username, hash, password} {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write([]byte(part))
	}
	mac.Sum(key[:0])
	return key
}

func (v *verified) has(key verifiedKey, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return now.Before(v.until[key])
}

func (v *verified) add(key verifiedKey, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.until) >= verifiedMax {
		for old, until := range v.until {
			if !now.Before(until) {
				delete(v.until, old)
			}
		}
	}
	for old := range v.until {
		if len(v.until) < verifiedMax {
			break
		}
		delete(v.until, old) // whichever: to verify it again costs one hash
	}
	v.until[key] = now.Add(verifiedFor)
}
