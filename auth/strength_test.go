package auth

import (
	"strings"
	"testing"
)

// TestStrength wants of every refusal its own reason, and nothing of the password.
func TestStrength(t *testing.T) {
	strength := Strength{MinimumScore: 3, MinimumLength: 8}
	reasons := map[string]string{}
	for _, password := range []string{
		"xq7Zk", "superman", "elizabeth-", "encyclopedia", "Tr0ut1234", "zxcvbnm,.", "blablabla", "fghijklm", "28.11.1969", "Xk4mz9qw",
	} {
		err := strength.Check(password, "kilgore-trout", "", "kilgore@example.com")
		if err == nil {
			t.Errorf("%q is strong", password)
			continue
		}
		if strings.Contains(strings.ToLower(err.Error()), strings.ToLower(password)) {
			t.Errorf("%q is refused with %q", password, err)
		}
		if other := reasons[err.Error()]; other != "" {
			t.Errorf("%q and %q are refused with %q", password, other, err)
		}
		reasons[err.Error()] = password
	}
	for _, password := range []string{"so-it-goes-1969", "correct horse battery", "schöne grüße über"} {
		if err := strength.Check(password, "kilgore-trout", "Kilgore Trout"); err != nil {
			t.Errorf("%q: %v", password, err)
		}
	}
	for _, c := range []struct {
		strength Strength
		password string
		want     bool
	}{
		{Strength{0, 8}, "password", true}, {Strength{0, 8}, "passwor", false}, {Strength{0, 8}, "éééééééé", true}, {Strength{0, 1}, "x", true},
		{Strength{1, 8}, "password", false}, {Strength{1, 1}, "correcthorse", true}, {Strength{3, 1}, "correcthorse", false}, {Strength{4, 1}, "tralfamadore", false},
	} {
		if err := c.strength.Check(c.password); (err == nil) != c.want {
			t.Errorf("%+v of %q: %v", c.strength, c.password, err)
		}
	}
}
