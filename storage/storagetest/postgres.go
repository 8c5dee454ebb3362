package storagetest

import (
	"sync"
	"testing"
)

// shared is the one cluster of this process, started when it is first needed. Several tests at once, each with some nodes
// and their pools, need more connections than a server has by default.
var shared = sync.OnceValues(func() (*Cluster, error) { return NewCluster("max_connections=500") })

// Postgres is the URL of an empty database on a real PostgreSQL, which is dropped when the test ends. All
// databases of one process are on one [Cluster]. Where no PostgreSQL is installed, the test fails.
func Postgres(tb testing.TB) string {
	tb.Helper()
	cluster, err := shared()
	if err != nil {
		tb.Fatal(err)
	}
	return cluster.Database(tb)
}
