// Package auth says who asks and what they may do: principals and permissions, tokens, passwords.
package auth

import (
	"strings"

	"github.com/oklog/ulid/v2"
)

// Principal is who asks: a user or a client, with what they may do. It is not changed once made.
type Principal struct {
	Type        string    // the resource type: "user", "client"; "system" for the program itself
	ID          ulid.ULID // zero for the system
	Name        string
	Session     ulid.ULID // the session that the request belongs to, zero if none
	Token       ulid.ULID // the personal token that the request comes with, zero if none
	Client      ulid.ULID // the OAuth client that the principal is, or that a user acts through; zero if none
	Permissions []Permission

	SecondFactor bool // of a user: the password alone is not enough to sign in
}

// System is the program itself, as on its command line. It may do everything.
var System = &Principal{Type: "system", Name: "reeve", Permissions: Everything}

// Decide says of which resources of a type the principal may use a verb: of all, or of those that the targets of
// permissions name, see [Permission]. No target is none.
func (p *Principal) Decide(typ, verb string) (all bool, targets []string) {
	for _, permission := range p.Permissions {
		switch {
		case !permission.covers(Permission{typ, verb, permission.Target}):
		case permission.Target == "":
			return true, nil
		default:
			targets = append(targets, permission.Target)
		}
	}
	return false, targets
}

// May reports whether the principal may use a verb on all resources of a type.
func (p *Principal) May(typ, verb string) bool {
	all, _ := p.Decide(typ, verb)
	return all
}

// Scopes of access tokens.
const (
	// AdminScope gives full access, to clients and users that may ask for it.
	AdminScope = "urn:mas:admin"
	// scopePrefix begins a scope that gives one permission: urn:reeve:<type>:<verb>.
	scopePrefix = "urn:reeve:"
)

// ParseScope is the permission that a scope gives; false for a scope that gives none.
func ParseScope(scope string) (Permission, bool) {
	if scope == AdminScope {
		return Permission{Type: Any, Verb: Any}, true
	}
	rest, ok := strings.CutPrefix(scope, scopePrefix)
	if !ok {
		return Permission{}, false
	}
	typ, verb, ok := strings.Cut(rest, ":")
	if !ok || !nameOrAny(typ) || !nameOrAny(verb) {
		return Permission{}, false
	}
	return Permission{Type: typ, Verb: verb}, true
}

// ScopePermissions are the permissions that a list of scopes gives together.
func ScopePermissions(scopes []string) []Permission {
	var permissions []Permission
	for _, scope := range scopes {
		if permission, ok := ParseScope(scope); ok {
			permissions = append(permissions, permission)
		}
	}
	return permissions
}
