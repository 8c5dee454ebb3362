package main

import (
	"fmt"
	"testing"
)

// provisioned is a configuration whose provisioning.path is a folder of the test, empty at first.
func provisioned(t *testing.T, more string) (yaml, folder string) {
	folder = t.TempDir()
	return everything + fmt.Sprintf("provisioning: {path: %q%s}\n", folder, more), folder
}

// TestProvisioning runs the script of the fixtures.
func TestProvisioning(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		yaml, folder := provisioned(t, "")
		start(t, uri, yaml).script("provisioning.sh", "FILES="+folder)
	})
}
