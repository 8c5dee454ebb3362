package auth

import (
	"slices"
	"strings"
)

// actions are the names that Grafana has for permissions, in both of its spellings, each with the one of Reeve.
var actions = map[string]string{
	"users:read":                    "user:read",
	"users:write":                   "user:update",
	"users:create":                  "user:create",
	"users:delete":                  "user:delete",
	"users.password:update":         "user:set-password",
	"users.password:write":          "user:set-password",
	"users.permissions:update":      "user:set-admin",
	"users.permissions:write":       "user:set-admin",
	"users.authtoken:list":          "session:read",
	"users.authtoken:read":          "session:read",
	"users.authtoken:update":        "session:finish",
	"users.authtoken:write":         "session:finish",
	"users.logout":                  "user:finish-sessions",
	"users:logout":                  "user:finish-sessions",
	"server.stats:read":             "stats:get",
	"server.usagestats.report:read": "usage-report:get",
	"settings:read":                 "setting:read",
	"settings:write":                "setting:update",
	"ldap.status:read":              "ldap:get",
	"ldap.config:reload":            "ldap:reload",
}

// Aliases are the other names of a permission, sorted.
func Aliases(p Permission) []string {
	var names []string
	for name, native := range actions {
		if native == p.String() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// nativeTarget is the target that a scope of Grafana means: global.users:id:N is users/N, settings:auth.basic:* is
// auth.basic.*, and provisioners:users is users. Any other text is itself.
func nativeTarget(scope string) string {
	kind, of, ok := strings.Cut(scope, ":")
	if !ok {
		return scope
	}
	switch kind {
	case "global.users", "users":
		return "users/" + strings.TrimPrefix(of, "id:")
	case "settings":
		return strings.ReplaceAll(of, ":", ".")
	case "provisioners":
		return Provisioner(of)
	}
	return scope
}

// provisioners are the names that Grafana has for kinds of provisioning, in all spellings, each with the one of Reeve.
var provisioners = map[string]string{
	"access-control": "roles", "accesscontrol": "roles", "notifications": "webhooks", "notifiers": "webhooks", "plugins": "modules",
	"dashboards": "types", "alerting": "alerts",
}

// Provisioner is the kind of provisioning that a name means, Grafana's or its own.
func Provisioner(name string) string {
	if native, ok := provisioners[name]; ok {
		return native
	}
	return name
}
