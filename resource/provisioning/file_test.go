package provisioning

import (
	"strings"
	"testing"

	"reeve/resource"
)

func TestMasked(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"abc and abcdef", "MASK and MASK"},
		{`it is "a\"b"`, `it is "MASK"`},
		{"nothing", "nothing"},
	} {
		if got := masked(c.text, []string{"abc", "abcdef", `a"b`, "*"}); got != strings.ReplaceAll(c.want, "MASK", resource.Mask) {
			t.Errorf("%q, not %q", got, c.want)
		}
	}
}
