package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/oklog/ulid/v2"
)

// Any stands for every type or every verb in a permission.
const Any = "*"

// Read is the verb of a permission to list and get.
const Read = "read"

// Permission allows a verb on a type; either may be [Any]. The verb [Read] allows list and get.
//
// A target limits it to some resources of the type; empty is all. It is one of:
//   - the path of a resource, users/01J2KDPHTZYW3TAT1SKVAD63SQ: that one, and those that refer to it, as its sessions
//   - the path of a type, users/*: all of that type, and those that refer to one
//   - users/self: the user who has the permission, and those that refer to them; see [Of]
//   - a natural key, as of a setting, auth.basic.enabled; or with a * after it the beginning of one, auth.*
type Permission struct{ Type, Verb, Target string }

// Oneself is the target of a permission on the user who has it.
const Oneself = "users/self"

// Everything is what an administrator may do. It is not to be changed.
var Everything = []Permission{{Type: Any, Verb: Any}}

// String is the permission as [ParsePermission] reads it: type:verb, or type:verb@target.
func (p Permission) String() string {
	text := p.Type + ":" + p.Verb
	if p.Target != "" {
		text += "@" + p.Target
	}
	return text
}

// ParsePermission reads a permission, or an alias of one. The error says what a permission must be.
func ParsePermission(text string) (Permission, error) {
	action, target, limited := strings.Cut(text, "@")
	if native, ok := actions[action]; ok {
		action = native
	}
	target = nativeTarget(target)
	typ, verb, ok := strings.Cut(action, ":")
	if !ok || !nameOrAny(typ) || !nameOrAny(verb) {
		return Permission{}, errors.New("must be <type>:<verb>, or <type>:<verb>@<target>")
	}
	p := Permission{Type: typ, Verb: verb}
	if !limited || target == Any {
		return p, nil
	}
	path, id, isPath := strings.Cut(target, "/")
	if isPath && id != Any && target != Oneself {
		parsed, err := ulid.ParseStrict(id)
		if err != nil {
			return Permission{}, fmt.Errorf("must not have the target %q: after the slash stands an id, or *", target)
		}
		target = path + "/" + parsed.String()
	}
	name := strings.TrimSuffix(target, Any)
	switch {
	case isPath && (path == Any || !nameOrAny(path)), name == "", len(target) > 255,
		strings.ContainsFunc(target, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar }),
		strings.Contains(name, Any):
		return Permission{}, fmt.Errorf("must not have the target %q: it is a path, or a natural key", target)
	}
	p.Target = target
	return p, nil
}

// nameOrAny reports whether a text may be the name of a type or a verb, or stands for all of them. Whether
// there is one of that name is not asked: types come and go with their modules.
func nameOrAny(text string) bool {
	return text == Any || text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// covers reports whether the permission allows all that another one does.
func (p Permission) covers(other Permission) bool {
	return (p.Type == Any || p.Type == other.Type) && coversVerb(p.Verb, other.Verb) && coversTarget(p.Target, other.Target)
}

func coversVerb(verb, other string) bool {
	return verb == Any || verb == other || verb == Read && (other == "list" || other == "get")
}

func coversTarget(target, other string) bool {
	beginning, open := strings.CutSuffix(target, Any)
	return target == "" || target == other ||
		open && strings.HasPrefix(other, beginning) && strings.Contains(target, "/") == strings.Contains(other, "/")
}

// Meet are the permissions that allow what those of both lists do. Of two targets neither of which covers the other,
// as a resource and another that refers to it, it allows nothing.
func Meet(a, b []Permission) []Permission {
	var both []Permission
	for _, p := range a {
		for _, q := range b {
			m, ok := meet(p, q)
			if ok && !slices.ContainsFunc(both, func(kept Permission) bool { return kept.covers(m) }) {
				both = append(both, m)
			}
		}
	}
	return both
}

func meet(p, q Permission) (m Permission, ok bool) {
	m = p
	if p.Type == Any {
		m.Type = q.Type
	}
	if coversVerb(p.Verb, q.Verb) {
		m.Verb = q.Verb
	}
	if coversTarget(p.Target, q.Target) {
		m.Target = q.Target
	}
	return m, p.covers(m) && q.covers(m)
}

// Of are permissions as a user has them: what is about oneself is about that user.
func Of(user ulid.ULID, permissions []Permission) []Permission {
	own := slices.Clone(permissions)
	for i := range own {
		if own[i].Target == Oneself {
			own[i].Target = "users/" + user.String()
		}
	}
	return own
}

// Missing is the first of some permissions that others do not cover together; false if they cover all of them.
func Missing(have, wanted []Permission) (missing Permission, found bool) {
	covered := func(p Permission) bool {
		return slices.ContainsFunc(have, func(own Permission) bool { return own.covers(p) })
	}
	for _, p := range wanted {
		list, get := p, p
		list.Verb, get.Verb = "list", "get"
		if !covered(p) && (p.Verb != Read || !covered(list) || !covered(get)) {
			return p, true
		}
	}
	return Permission{}, false
}
