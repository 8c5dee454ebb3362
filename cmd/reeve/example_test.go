package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestExample runs the shell example of the Matrix Authentication Service's document against the demo: the sample
// output comes out, with its users, its values, its order and its links; more members are allowed.
func TestExample(t *testing.T) {
	document, err := os.ReadFile("../../fixtures/mas-example.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	if err := json.Unmarshal(document, &want); err != nil {
		t.Fatal(err)
	}
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+example)
		script := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-O", "lastpipe", filepath.Join("..", "..", "fixtures", "mas-example.sh"))
		script.Env = append(os.Environ(), "BASE="+s.bases[0])
		script.Stderr = os.Stderr
		output, err := script.Output()
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(output, &got); err != nil {
			t.Fatalf("%v in %s", err, output)
		}
		if diff := cmp.Diff(want, within(got, want)); diff != "" {
			t.Error(diff)
		}
		// The order, which a map has lost; "self" also stands in each item, before.
		text, last := string(output), -1
		for _, member := range []string{`"meta"`, `"data"`, `"kilgore-trout"`, `"quentin"`, `"self": "/api/admin/v1/users?`, `"first"`, `"last"`} {
			at := strings.Index(text, member)
			if at < last {
				t.Errorf("%s stands before what precedes it in the sample", member)
			}
			last = at
		}
	})
}

// within leaves of a document what the sample has members for.
func within(got, sample any) any {
	switch sample := sample.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return got
		}
		kept := map[string]any{}
		for name, value := range sample {
			if _, there := object[name]; there {
				kept[name] = within(object[name], value)
			}
		}
		return kept
	case []any:
		array, ok := got.([]any)
		if !ok || len(array) != len(sample) {
			return got
		}
		kept := make([]any, len(array))
		for i := range array {
			kept[i] = within(array[i], sample[i])
		}
		return kept
	}
	return got
}
