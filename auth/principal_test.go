package auth

import (
	"slices"
	"testing"
)

func TestParseScope(t *testing.T) {
	for scope, want := range map[string]Permission{
		"urn:mas:admin":                     {Type: Any, Verb: Any},
		"urn:reeve:user:lock":               {Type: "user", Verb: "lock"},
		"urn:reeve:registration-token:read": {Type: "registration-token", Verb: "read"},
		"urn:reeve:user:*":                  {Type: "user", Verb: Any},
		"urn:reeve:*:read":                  {Type: Any, Verb: "read"},
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
	if got := ScopePermissions([]string{"openid", "urn:reeve:user:read"}); !slices.Equal(got, []Permission{{Type: "user", Verb: "read"}}) {
		t.Errorf("ScopePermissions = %v", got)
	}
}
