package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestProsody runs the script that does each operation of the document of Prosody's mod_admin_rest.
func TestProsody(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) { start(t, uri, everything).script("prosody.sh") })
}

// script runs a script of the fixtures, which sees by itself what its requests answer and do.
func (s *server) script(name string) {
	s.Helper()
	script := exec.CommandContext(s.Context(), "bash", "-euo", "pipefail", filepath.Join("..", "..", "fixtures", name))
	script.Env = append(os.Environ(), "BASE="+s.bases[0])
	if output, err := script.CombinedOutput(); err != nil {
		s.Fatalf("%v: %s", err, output)
	}
}
