package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// cache remembers values for a while, under hashes. It is safe for concurrent use.
type cache[V any] struct {
	max     int // how many values there are at most
	mu      sync.RWMutex
	entries map[cacheKey]cacheEntry[V]
}

type cacheKey [sha256.Size]byte

type cacheEntry[V any] struct {
	value V
	until time.Time
}

func newCache[V any](size int) *cache[V] {
	return &cache[V]{max: size, entries: map[cacheKey]cacheEntry[V]{}}
}

func (c *cache[V]) get(key cacheKey, now time.Time) (value V, found bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if e, ok := c.entries[key]; ok && now.Before(e.until) {
		return e.value, true
	}
	return value, false
}

func (c *cache[V]) put(key cacheKey, value V, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, has := c.entries[key]; !has && len(c.entries) >= c.max {
		for some := range c.entries { // whichever: to forget one costs no more than to look it up again
			delete(c.entries, some)
			break
		}
	}
	c.entries[key] = cacheEntry[V]{value, until}
}
