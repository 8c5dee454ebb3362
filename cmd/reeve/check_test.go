package main

import (
	"strings"
	"testing"

	"reeve/storage"
	"reeve/storage/postgres"
	"reeve/storage/sqlite"
)

// TestCheck breaks what the database keeps twice, by hand, and has the command find and repair it.
func TestCheck(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		prepare(t, uri)
		var dialect storage.Dialect = sqlite.Dialect{}
		if strings.HasPrefix(uri, "postgres") {
			dialect = postgres.Dialect{}
		}
		pools, err := dialect.Open(uri)
		if err != nil {
			t.Fatal(err)
		}
		disable := "DROP TRIGGER groups_count_insert"
		if strings.HasPrefix(uri, "postgres") {
			disable = "ALTER TABLE groups DISABLE TRIGGER groups_count_insert"
		}
		for _, text := range []string{"UPDATE users_count SET n0 = n0 + 1", "UPDATE users SET username_folded = 'nobody'", disable} {
			if _, err := pools.Write.ExecContext(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		for _, err := range []error{pools.Read.Close(), pools.Write.Close()} {
			if err != nil {
				t.Fatal(err)
			}
		}
		c, err := readConfiguration("", environment(uri), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			name  string
			check check
			fails bool
		}{
			{"looking", check{DryRun: true}, true},
			{"repairing", check{}, false},
			{"looking again", check{DryRun: true}, false},
		} {
			if err := step.check.Run(t.Context(), c); (err != nil) != step.fails {
				t.Errorf("%s: %v", step.name, err)
			}
		}
	})
}
