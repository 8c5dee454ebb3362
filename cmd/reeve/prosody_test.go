package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestProsody runs the script that does each operation of the document of Prosody's mod_admin_rest. It sees by itself
// what they answer and do.
func TestProsody(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		script := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", filepath.Join("..", "..", "fixtures", "prosody.sh"))
		script.Env = append(os.Environ(), "BASE="+s.bases[0])
		if output, err := script.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, output)
		}
	})
}
