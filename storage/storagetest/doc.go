// Package storagetest is what every store is tested with: the conformance suite [Run], the in-memory store that is
// its oracle, a schema that uses all there is, and a real PostgreSQL server.
package storagetest
