package main

import "testing"

// TestProsody runs the script that does each operation of the document of Prosody's mod_admin_rest.
func TestProsody(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) { start(t, uri, everything).script("prosody.sh") })
}
