package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/gorilla/mux"
	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// kind is what sort of thing a path names.
type kind int

const (
	collection   kind = iota // /users
	single                   // /users/{id}, /users/by-username/{value}, /stats
	action                   // /users/{id}/lock, /alerts/pause-all
	selection                // /sessions/finish?filter[user]=…: an action on all that meet a filter
	relationship             // /groups/{id}/relationships/members
	operations               // /operations: several at once
	related                  // /groups/{id}/members
)

// place is what a path names.
type place struct {
	kind      kind
	route     string // the template that the path has
	about     *resource.Description
	id        ulid.ULID
	key       *resource.Key // finds the resource instead of id
	action    *resource.ActionDescription
	reference *resource.ReferenceDescription
	target    *resource.Description // of what is related; nil if it may be of any type
}

// routes are the forms that paths have, whatever types are registered: the type is looked up in the registry, so
// types come and go without a change here. The router only says which form a path has, and cuts it.
func routes() *mux.Router {
	router := mux.NewRouter().UseEncodedPath().SkipClean(true)
	for _, path := range []string{
		"/{type}",
		"/{type}/{id}",
		"/{type}/by-{attribute:[a-z0-9-]+}/{value}",
		"/{type}/by-{attribute:[a-z0-9-]+}/{value}/{action}",
		"/{type}/by-{attribute:[a-z0-9-]+}/{value}/relationships/{relationship}",
		"/{type}/{id}/{action}",
		"/{type}/{id}/relationships/{relationship}",
	} {
		router.Path(Base + path)
	}
	return router
}

// locate finds what the request's path names. It returns NotFound if that is nothing, whatever the reason: a
// path that no type has, or an id that is no ULID.
func (h *handler) locate(r *http.Request) (place, error) {
	var match mux.RouteMatch
	nowhere := resource.Errorf(resource.NotFound, "there is nothing at this path")
	if !h.routes.Match(r, &match) {
		return place{}, nowhere
	}
	vars := match.Vars
	for name, raw := range vars {
		text, err := url.PathUnescape(raw)
		if err != nil || !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
			return place{}, nowhere
		}
		vars[name] = text
	}
	if len(vars) == 1 && vars["type"] == resource.Operations {
		return place{kind: operations, route: Base + "/" + resource.Operations}, nil
	}
	about := h.engine.Registry().Describe(vars["type"])
	if about == nil {
		return place{}, resource.Errorf(resource.NotFound, "there is no type at this path")
	}
	p := place{about: about}
	p.route, _ = match.Route.GetPathTemplate() // it has one
	if !p.fill(vars) {
		return place{}, resource.Errorf(resource.NotFound, "%s have nothing at this path", about.Plural)
	}
	if p.kind == related {
		p.target = h.engine.Registry().Type(p.reference.Type)
	}
	return p, nil
}

// fill finds what the variables of a path name in its type, false if nothing.
func (p *place) fill(vars map[string]string) bool {
	id, named := vars["id"]
	word, acts := vars["action"]
	name, relates := vars["relationship"]
	value, keyed := vars["value"]
	p.kind = single
	switch {
	case p.about.Singleton: // has behind its path what others have behind an id
		p.id = resource.NamedID(p.about.Name, "")
		switch {
		case keyed, relates, acts && id != "relationships":
			return false
		case acts:
			name, relates, acts = word, true, false
		case named:
			word, acts = id, true
		}
	case keyed:
		if p.key = lookup(p.about, vars["attribute"], value); p.key == nil {
			return false
		}
	case !named:
		p.kind = collection
		return p.about.Serves(resource.List) || p.about.Serves(resource.Create)
	case !acts && !relates && p.act(id, true):
		return true
	default:
		var err error
		switch p.id, err = resource.ParseID(id); {
		case err == nil:
		case !p.about.Named:
			return false
		default:
			p.key = &resource.Key{Attribute: p.about.Lookups[0], Value: id}
		}
	}
	switch {
	case acts && p.about.Reference(word) != nil:
		p.kind, p.reference = related, p.about.Reference(word)
	case acts:
		return p.act(word, false)
	case relates:
		p.kind, p.reference = relationship, p.about.Reference(name)
		return p.reference != nil
	}
	return true
}

// act makes the place that of an action: on the type, if it stands where an id stands, else on one resource. An
// ordinary action in the place of an id is one on all resources that meet a filter.
func (p *place) act(name string, onType bool) bool {
	p.action = p.about.Action(name)
	switch {
	case p.action == nil:
		return false
	case onType && !p.action.Collection:
		p.kind = selection
		return p.about.Bulk(p.action)
	}
	p.kind = action
	return p.about.Singleton || p.action.Collection == onType
}

// lookup is the natural key that a path segment by-{attribute} names, nil if the type has no such lookup.
func lookup(about *resource.Description, attribute, value string) *resource.Key {
	for _, name := range about.Lookups {
		if strings.ReplaceAll(name, "_", "-") == attribute {
			return &resource.Key{Attribute: name, Value: value}
		}
	}
	return nil
}

// maxBody is how long a body may be, in bytes.
func (p *place) maxBody() int64 {
	if p.kind == operations {
		return maxOperationsBody
	}
	return maxBody
}

// method is an HTTP method with the verb that it stands for.
type method struct{ name, verb string }

// methods are the methods that the place serves, apart from HEAD and OPTIONS.
func (p *place) methods() []method {
	switch p.kind {
	case collection:
		return p.served(method{http.MethodGet, resource.List}, method{http.MethodPost, resource.Create})
	case single:
		methods := p.served(method{http.MethodGet, resource.Get}, method{http.MethodPatch, resource.Update},
			method{http.MethodDelete, resource.Delete})
		if p.key != nil && p.about.Puts() {
			methods = append(methods, method{http.MethodPut, resource.Put})
		}
		return methods
	case relationship:
		return p.linkage()
	case related:
		if p.about.Serves(resource.Get) {
			return []method{{http.MethodGet, resource.Related}}
		}
		return nil
	case operations:
		return []method{{http.MethodPost, ""}}
	}
	return []method{{http.MethodPost, p.action.Name}}
}

// served are those of the methods whose verb the type serves.
func (p *place) served(all ...method) []method {
	var some []method
	for _, m := range all {
		if p.about.Serves(m.verb) {
			some = append(some, m)
		}
	}
	return some
}

// linkage are the methods of a relationship. A to-one is read and written with the row that has it.
func (p *place) linkage() []method {
	writable := p.reference.Writable(false)
	switch {
	case !p.about.Serves(resource.Get):
		return nil
	case p.reference.Many && writable:
		return []method{{http.MethodGet, resource.Linked}, {http.MethodPost, resource.Link},
			{http.MethodPatch, resource.Relink}, {http.MethodDelete, resource.Unlink}}
	case p.reference.Many:
		return []method{{http.MethodGet, resource.Linked}}
	case writable && p.about.Serves(resource.Update):
		return []method{{http.MethodGet, resource.Get}, {http.MethodPatch, resource.Relink}}
	}
	return []method{{http.MethodGet, resource.Get}}
}

// allow is the value of the header Allow (RFC 9110, section 10.2.1).
func (p *place) allow() string {
	names := make([]string, 0, 6)
	for _, m := range p.methods() {
		names = append(names, m.name)
		if m.name == http.MethodGet {
			names = append(names, http.MethodHead)
		}
	}
	return strings.Join(append(names, http.MethodOptions), ", ")
}

// verb is what a method asks of the place. A method that it does not serve is MethodNotAllowed; but JSON:API
// requires 403 for updates of resources and relationships ("Updating Resources", "Updating Relationships").
func (p *place) verb(name string) (string, error) {
	if name == http.MethodHead {
		name = http.MethodGet
	}
	for _, m := range p.methods() {
		if m.name == name {
			return m.verb, nil
		}
	}
	switch name {
	case http.MethodPatch, http.MethodPost, http.MethodDelete:
		if p.kind == relationship {
			return "", resource.Errorf(resource.ReadOnly, "relationship %q cannot be written so", p.reference.Name)
		}
		if p.kind == single && name == http.MethodPatch {
			return "", resource.Errorf(resource.ReadOnly, "%s cannot be updated", p.about.Plural)
		}
	}
	return "", resource.Errorf(resource.MethodNotAllowed, "this path serves %s", p.allow())
}
