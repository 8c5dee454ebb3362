package auth

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"
)

const someID = "01J2KDPHTZYW3TAT1SKVAD63SQ"

func TestParsePermission(t *testing.T) {
	for text, want := range map[string]Permission{
		"user:lock":   {"user", "lock", ""},
		"*:*":         {Any, Any, ""},
		"user:lock@*": {"user", "lock", ""},
		"user:lock@users/" + strings.ToLower(someID): {"user", "lock", "users/" + someID},
		"session:finish@users/*":                     {"session", "finish", "users/*"},
		"setting:update@auth.*":                      {"setting", "update", "auth.*"},
		"user:get@ann@example":                       {"user", "get", "ann@example"},
		"user:get@users/self":                        {"user", "get", Oneself},
		// Grafana's names
		"users.authtoken:list@global.users:self":         {"session", "read", Oneself},
		"users:create":                                   {"user", "create", ""},
		"users.password:write@global.users:id:" + someID: {"user", "set-password", "users/" + someID},
		"users.authtoken:list@global.users:*":            {"session", "read", "users/*"},
		"settings:write@settings:auth.basic:enabled":     {"setting", "update", "auth.basic.enabled"},
		"settings:read@settings:auth.basic:*":            {"setting", "read", "auth.basic.*"},
		"settings:read@settings:*":                       {"setting", "read", ""},
		"provisioning:reload@provisioners:users":         {"provisioning", "reload", "users"},
	} {
		if got, err := ParsePermission(text); err != nil || got != want {
			t.Errorf("%s is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "user", "user:", ":lock", "User:lock", "user:lock@", "user:lock@users/", "user:lock@users/17", "user:lock@users/" + someID + "/x", "session:finish@sessions/self",
		"user:lock@*/" + someID, "user:lock@a*b", "user:lock@a**", "user:lock@a b", "user:lock@\x00", "user:lock@\xff", "user:lock:now",
		"user:lock@" + strings.Repeat("a", 300), "users:create@",
	} {
		if got, err := ParsePermission(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func TestAliases(t *testing.T) {
	want := []string{"users.password:update", "users.password:write"}
	if diff := cmp.Diff(want, Aliases(Permission{"user", "set-password", ""})); diff != "" {
		t.Error(diff)
	}
	for name, native := range actions {
		if p, err := ParsePermission(native); err != nil || p.String() != native {
			t.Errorf("%s stands for %s: %v", name, native, err)
		}
	}
}

// Few words, so that permissions meet.
var (
	someTypes   = []string{Any, "user", "session"}
	someVerbs   = []string{Any, Read, "list", "get", "lock"}
	someTargets = []string{"", "users/*", "users/" + someID, "u*", "us*", "us"}
	permissions = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Permission {
		return Permission{rapid.SampledFrom(someTypes).Draw(t, "type"), rapid.SampledFrom(someVerbs).Draw(t, "verb"),
			rapid.SampledFrom(someTargets).Draw(t, "target")}
	}), 0, 4)
)

func TestStringIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, p := range permissions.Draw(t, "permissions") {
			if got, err := ParsePermission(p.String()); err != nil || got != p {
				t.Errorf("%s is read as %v, %v", p, got, err)
			}
		}
	})
}

// allows is what permissions mean, said once more: whether a verb is allowed on what bears a natural key or a path.
func allows(permissions []Permission, typ, verb, target string) bool {
	return slices.ContainsFunc(permissions, func(p Permission) bool {
		types, verbs := []string{Any, typ}, []string{Any, verb}
		if verb != "lock" {
			verbs = append(verbs, Read)
		}
		targets := map[string][]string{
			"users/" + someID: {"", "users/*", "users/" + someID}, "users/other": {"", "users/*"},
			"us": {"", "u*", "us*", "us"}, "usual": {"", "u*", "us*"}, "up": {"", "u*"}, "any": {""},
		}[target]
		return slices.Contains(types, p.Type) && slices.Contains(verbs, p.Verb) && slices.Contains(targets, p.Target)
	})
}

// everyCase calls visit with every type, verb and target that the words tell apart.
func everyCase(visit func(typ, verb, target string)) {
	for _, typ := range []string{"user", "session", "group"} {
		for _, verb := range []string{"list", "get", "lock"} {
			for _, target := range []string{"users/" + someID, "users/other", "us", "usual", "up", "any"} {
				visit(typ, verb, target)
			}
		}
	}
}

func TestMeetAllowsWhatBothDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := permissions.Draw(t, "a"), permissions.Draw(t, "b")
		both := Meet(a, b)
		everyCase(func(typ, verb, target string) {
			if got, want := allows(both, typ, verb, target), allows(a, typ, verb, target) && allows(b, typ, verb, target); got != want {
				t.Errorf("%s:%s@%s by %v: %v", typ, verb, target, both, got)
			}
		})
		if missing, found := Missing(a, both); found {
			t.Errorf("%v is more than %v: %v", both, a, missing)
		}
	})
}

// TestOf sees that what is about oneself is about the user who has it, and nobody else.
func TestOf(t *testing.T) {
	var id ulid.ULID
	common := parsed(t, "session:read@users/self user:read user:lock@users/*")
	if diff := cmp.Diff(parsed(t, "session:read@users/"+id.String()+" user:read user:lock@users/*"), Of(id, common)); diff != "" {
		t.Error(diff)
	}
	if common[0].Target != Oneself {
		t.Error("what others have too has changed")
	}
}

func TestMissing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have, wanted := permissions.Draw(t, "have"), permissions.Draw(t, "wanted")
		if missing, found := Missing(have, wanted); found {
			if !slices.Contains(wanted, missing) {
				t.Errorf("%v is not wanted", missing)
			}
			return
		}
		everyCase(func(typ, verb, target string) {
			if allows(wanted, typ, verb, target) && !allows(have, typ, verb, target) {
				t.Errorf("%s:%s@%s is missing", typ, verb, target)
			}
		})
	})
	for _, c := range []struct {
		have, wanted string
		covered      bool
	}{
		{"*:*", "user:read users:create *:*", true}, {"user:list user:get", "user:read", true}, {"user:list", "user:read", false},
		{"user:*@users/*", "user:lock@users/" + someID, true}, {"user:*@u*", "user:lock@users/" + someID, false},
		{"user:lock@users/*", "user:lock", false}, {"", "", true}, {"", "user:get", false},
	} {
		if _, found := Missing(parsed(t, c.have), parsed(t, c.wanted)); found == c.covered {
			t.Errorf("%s of %s: %v", c.wanted, c.have, !found)
		}
	}
}

func parsed(t *testing.T, texts string) (permissions []Permission) {
	t.Helper()
	for text := range strings.FieldsSeq(texts) {
		p, err := ParsePermission(text)
		if err != nil {
			t.Fatal(err)
		}
		permissions = append(permissions, p)
	}
	return permissions
}

func TestDecide(t *testing.T) {
	p := &Principal{Permissions: parsed(t, "user:read session:finish@users/* session:*@us *:lock@u*")}
	for _, c := range []struct {
		typ, verb string
		all       bool
		targets   []string
	}{
		{"user", "list", true, nil}, {"user", "get", true, nil}, {"user", "create", false, nil}, {"user", "lock", false, []string{"u*"}},
		{"session", "finish", false, []string{"users/*", "us"}}, {"session", "get", false, []string{"us"}}, {"group", "get", false, nil},
	} {
		all, targets := p.Decide(c.typ, c.verb)
		if all != c.all || !slices.Equal(targets, c.targets) {
			t.Errorf("%s:%s is %v, %v", c.typ, c.verb, all, targets)
		}
	}
	if all, _ := System.Decide("anything", "at-all"); !all {
		t.Error("the system may not do everything")
	}
}
