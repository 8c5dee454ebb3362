package auth

import (
	"slices"
	"testing"
)

func TestParseScope(t *testing.T) {
	for scope, want := range map[string]Permission{
		"urn:mas:admin":                     {Any, Any},
		"urn:reeve:user:lock":               {"user", "lock"},
		"urn:reeve:registration-token:read": {"registration-token", "read"},
		"urn:reeve:user:*":                  {"user", Any},
		"urn:reeve:*:read":                  {Any, "read"},
	} {
		if got, ok := ParseScope(scope); !ok || got != want {
			t.Errorf("ParseScope(%q) = %v, %v", scope, got, ok)
		}
	}
	for _, scope := range []string{
		"", "openid", "urn:mas:admin ", "URN:MAS:ADMIN", "urn:reeve:", "urn:reeve:user", "urn:reeve:user:", "urn:reeve::read",
		"urn:reeve:user:lock:now", "urn:reeve:us er:lock", "urn:reeve:user:\x00", "urn:reeve:**:read", "urn:reeve:user:\"",
	} {
		if got, ok := ParseScope(scope); ok {
			t.Errorf("ParseScope(%q) = %v", scope, got)
		}
	}
	if got := ScopePermissions([]string{"openid", "urn:reeve:user:read"}); !slices.Equal(got, []Permission{{"user", "read"}}) {
		t.Errorf("ScopePermissions = %v", got)
	}
}

func TestMay(t *testing.T) {
	reader := &Principal{Permissions: []Permission{{"user", "read"}, {Any, "finish"}}}
	for _, c := range []struct {
		typ, verb string
		want      bool
	}{
		{"user", "list", true}, {"user", "get", true}, {"user", "create", false}, {"session", "list", false},
		{"session", "finish", true}, {"user", "read", true},
	} {
		if got := reader.May(c.typ, c.verb); got != c.want {
			t.Errorf("May(%s, %s) = %v", c.typ, c.verb, got)
		}
	}
	if !System.May("anything", "at-all") || (&Principal{}).May("user", "get") {
		t.Error("the system may everything, and a principal without permissions nothing")
	}
}
