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
	Permissions []Permission
}

// System is the program itself, as on its command line. It may do everything.
var System = &Principal{Type: "system", Name: "reeve", Permissions: []Permission{{Any, Any}}}

// Any stands for every type or every verb in a permission.
const Any = "*"

// Permission allows a verb on a type; either may be [Any]. The verb "read" allows list and get.
type Permission struct{ Type, Verb string }

// String is the permission's usual form, type:verb.
func (p Permission) String() string { return p.Type + ":" + p.Verb }

// Allows reports whether the permission covers a verb on a type.
func (p Permission) Allows(typ, verb string) bool {
	return (p.Type == Any || p.Type == typ) &&
		(p.Verb == Any || p.Verb == verb || p.Verb == "read" && (verb == "list" || verb == "get"))
}

// May reports whether the principal may use a verb on a type.
func (p *Principal) May(typ, verb string) bool {
	for _, permission := range p.Permissions {
		if permission.Allows(typ, verb) {
			return true
		}
	}
	return false
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
		return Permission{Any, Any}, true
	}
	rest, ok := strings.CutPrefix(scope, scopePrefix)
	if !ok {
		return Permission{}, false
	}
	typ, verb, ok := strings.Cut(rest, ":")
	if !ok || !nameOrAny(typ) || !nameOrAny(verb) {
		return Permission{}, false
	}
	return Permission{typ, verb}, true
}

// nameOrAny reports whether a text may be the name of a type or a verb, or stands for all of them. Whether
// there is one of that name is not asked: types come and go with their modules.
func nameOrAny(text string) bool {
	return text == Any || text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
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
