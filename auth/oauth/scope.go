package oauth

import (
	"slices"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"reeve/auth"
)

// personal are the scopes that give no permission: they are about the user. What they give, people read when they are
// asked.
var personal = map[string]string{
	oidc.ScopeOpenID:        "know that it is you",
	oidc.ScopeProfile:       "see your username and your display name",
	oidc.ScopeEmail:         "see your email address",
	oidc.ScopeOfflineAccess: "go on while you are away",
}

// splitScopes are the scopes of a request, each once.
func splitScopes(text string) []string {
	scopes := []string{}
	for scope := range strings.FieldsSeq(text) {
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// known reports whether all are scopes that a user can grant.
func known(scopes []string) bool {
	for _, scope := range scopes {
		if _, permits := auth.ParseScope(scope); !permits && personal[scope] == "" {
			return false
		}
	}
	return true
}

// grantable parts scopes into those that a user may grant, and the others. The scope for everything is an
// administrator's. Of another one a user may grant what they have themselves, if that is anything: the token allows no
// more.
func grantable(who *auth.Principal, scopes []string) (granted, refused []string) {
	granted = []string{}
	for _, scope := range scopes {
		permission, permits := auth.ParseScope(scope)
		switch {
		case scope == auth.AdminScope && !who.May(auth.Any, auth.Any),
			permits && len(auth.Meet(who.Permissions, []auth.Permission{permission})) == 0:
			refused = append(refused, scope)
		default:
			granted = append(granted, scope)
		}
	}
	return granted, refused
}

// sentences are what scopes give, for people.
func sentences(scopes []string) []string {
	var all []string
	for _, scope := range scopes {
		permission, permits := auth.ParseScope(scope)
		switch {
		case !permits:
			all = append(all, personal[scope])
		case scope == auth.AdminScope:
			all = append(all, "use the admin API for everything that you may do")
		default:
			all = append(all, "use the admin API for "+permission.String()+", as far as you may")
		}
	}
	return all
}
