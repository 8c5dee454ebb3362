package main

import (
	"errors"
	"testing"

	"reeve/storage"
)

// TestMaintenance runs the script that does what whoever looks after the server does.
func TestMaintenance(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) { start(t, uri, everything).script("maintenance.sh") })
}

// TestMasterKey starts the program with a wrong master key, which it refuses, with a new one, and without the former.
func TestMasterKey(t *testing.T) {
	const another = "REEVE_SECRETS__MASTER_KEY=Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="
	onBoth(t, func(t *testing.T, uri string) {
		open := func(more ...string) error {
			t.Helper()
			c, err := readConfiguration("", append(environment(uri), more...), nil)
			if err != nil {
				t.Fatal(err)
			}
			a, err := openCurrent(t.Context(), c)
			if err == nil {
				a.close()
			}
			return err
		}
		for _, step := range []struct {
			variables []string
			opens     bool
		}{
			{nil, true},
			{[]string{another}, false},
			{[]string{another, "REEVE_SECRETS__FORMER_MASTER_KEYS=" + testKey}, true},
			{[]string{another}, true},
			{nil, false},
		} {
			if err := open(step.variables...); step.opens != (err == nil) || !step.opens && !errors.Is(err, storage.ErrMasterKey) {
				t.Errorf("with %d variables: %v", len(step.variables), err)
			}
		}
	})
}
