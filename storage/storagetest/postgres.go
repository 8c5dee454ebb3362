package storagetest

import (
	"fmt"
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

// Own is a cluster that a test has to itself, to stop it and start it again, until the test ends. Settings are those of
// [NewCluster].
func Own(tb testing.TB, settings ...string) *Cluster {
	tb.Helper()
	cluster, err := NewCluster(settings...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			tb.Error(err)
		}
	})
	return cluster
}

// Template makes databases as [Postgres] does, each as prepare has left the first one: that is done once, when it is first
// needed, and is over when it returns.
func Template(prepare func(uri string) error) func(tb testing.TB) string {
	var name string
	prepared := sync.OnceValues(func() (*Cluster, error) {
		cluster, err := shared()
		if err == nil {
			name = fmt.Sprintf("prepared%d", cluster.databases.Add(1))
			err = cluster.run("createdb", "--host", cluster.dir, "--username", "postgres", name)
		}
		if err == nil {
			err = prepare(cluster.URL(name))
		}
		return cluster, err
	})
	return func(tb testing.TB) string {
		tb.Helper()
		cluster, err := prepared()
		if err != nil {
			tb.Fatal(err)
		}
		return cluster.copy(tb, name)
	}
}
