// Package openapi describes what the JSON:API front serves as an OpenAPI 3.1 document, which it derives from the
// descriptions of the registered types, and shows it as a page.
package openapi

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/document"
)

// Info is what a document says apart from the types.
type Info struct {
	Version          string // of the program
	Base             string // the program's public URL without a path, as https://id.example.com; empty if unknown
	Prefix           string // the path before /api, as /estate; empty for none
	TokenURL         string // of the client credentials grant; empty for no OAuth 2.0
	AuthorizationURL string // of the authorization code grant; empty if it is not served
	Basic            bool   // administrators may send their name and password
}

// Document describes the admin API of the types, which are described in the order given. The same types always
// give the same document.
func Document(types []*resource.Description, info Info) *Spec {
	b := &builder{doc: &Spec{
		OpenAPI: "3.1.0",
		Servers: []Server{{URL: cmp.Or(info.Base+info.Prefix, "/")}}, // a path is one of wherever the document was read
		Paths:   map[string]PathItem{},
		Components: Components{
			Schemas: Schemas{}, Parameters: map[string]*Parameter{}, Responses: map[string]*Response{},
			SecuritySchemes: map[string]*SecurityScheme{},
		},
	}, types: types}
	b.doc.Info.Title, b.doc.Info.Version = "Reeve admin API", info.Version
	b.doc.Info.Description = "Users, sessions, tokens, groups and whatever else an administrator touches, as " +
		"[JSON:API](https://jsonapi.org/format/1.1/) resources."
	b.secure(info)
	b.describeParameters()
	b.describeErrors()
	for _, d := range types {
		b.doc.Tags = append(b.doc.Tags, Tag{d.Name, d.Doc})
		b.describe(d)
	}
	b.describeOperations()
	return b.doc
}

// builder makes a document piece by piece. What several operations share, it names among the components.
type builder struct {
	doc   *Spec
	types []*resource.Description
}

// about finds a type by its name, nil if it is not described.
func (b *builder) about(name string) *resource.Description {
	if i := slices.IndexFunc(b.types, func(d *resource.Description) bool { return d.Name == name }); i >= 0 {
		return b.types[i]
	}
	return nil
}

// schema names a schema and returns the reference to it.
func (b *builder) schema(name string, s *Schema) *Schema {
	b.doc.Components.Schemas[name] = s
	return &Schema{Ref: "#/components/schemas/" + name}
}

// parameter names a parameter and returns the reference to it.
func (b *builder) parameter(name string, p *Parameter) *Parameter {
	b.doc.Components.Parameters[name] = p
	return shared(name)
}

// secure says how callers prove who they are: in any one of the ways.
func (b *builder) secure(info Info) {
	way := func(name string, scheme SecurityScheme, scopes ...string) {
		b.doc.Components.SecuritySchemes[name] = &scheme
		b.doc.Security = append(b.doc.Security, SecurityRequirement{name: append([]string{}, scopes...)})
	}
	if info.TokenURL != "" {
		scopes := map[string]string{auth.AdminScope: "Full access to the admin API."}
		flows := &OAuthFlows{ClientCredentials: &OAuthFlow{TokenURL: info.TokenURL, Scopes: scopes}}
		if info.AuthorizationURL != "" {
			flows.AuthorizationCode = &OAuthFlow{
				AuthorizationURL: info.AuthorizationURL, TokenURL: info.TokenURL, Scopes: scopes,
			}
		}
		way("oauth2", SecurityScheme{Type: "oauth2", Flows: flows}, auth.AdminScope)
	}
	way("bearer", SecurityScheme{
		Type: "http", Scheme: "bearer", Description: "An OAuth 2.0 access token or a personal token.",
	})
	if info.Basic {
		way("basic", SecurityScheme{
			Type: "http", Scheme: "basic", Description: "The name and the password of an administrator.",
		})
	}
}

// The statuses of failure that operations share: of all, of writes, of writes that If-Match can guard, and of what
// takes a body, as any POST does. 405 is none of them, since the document has no operation that is not served.
var (
	failures      = []int{400, 401, 403, 404, 406, 429, 500, 503}
	writeFailures = []int{409}
	matchFailures = []int{412}
	bodyFailures  = []int{413, 415, 422}
)

// describeErrors names a response for each status of the table of codes.
func (b *builder) describeErrors() {
	source := closed(Schemas{
		"pointer":   text("The JSON pointer (RFC 6901) of the member of the body that it is about."),
		"parameter": text("The query parameter that it is about."),
		"header":    text("The header that it is about."),
	})
	source.MinProperties, source.MaxProperties = 1, 1
	failed := b.schema("Errors", closed(Schemas{"errors": nonEmpty(array(closed(Schemas{
		"id":     text("The id of the request. It is in the header X-Request-Id and in the server's log too."),
		"status": matching(text("The HTTP status of this failure."), "^[45][0-9]{2}$"),
		"code":   text("The stable word for this kind of failure."),
		"title":  text("What the code means, always in the same words."),
		"detail": text("What happened this time."),
		"source": source,
		"links":  closed(Schemas{"type": text("The kind of failure, where a profile that applies has a name for it.")}, "type"),
		"meta":   open(nil),
	}, "id", "status", "code", "title")))}, "errors"))
	for _, status := range slices.Concat(failures, writeFailures, matchFailures, bodyFailures) {
		response := answer(describeStatus(status), failed)
		switch status {
		case http.StatusUnauthorized:
			response.Headers = map[string]Header{"WWW-Authenticate": header("The ways to prove who asks.", text(""))}
		case http.StatusConflict:
			response.Headers = map[string]Header{"Retry-After": {
				Description: "When to try again, in seconds, if the code is `" + string(resource.InProgress) + "`.", Schema: integer(0),
			}}
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			response.Headers = map[string]Header{"Retry-After": header("When to try again, in seconds.", integer(0))}
		}
		b.doc.Components.Responses[failureName(status)] = response
	}
}

// failure is the reference to the response of a status that [builder.describeErrors] has named.
func failure(status int) *Response {
	return &Response{Ref: "#/components/responses/" + failureName(status)}
}

// failureName is the status text as one word, as NotFound.
func failureName(status int) string { return strings.ReplaceAll(http.StatusText(status), " ", "") }

// describeStatus lists the codes of a status with their meanings.
func describeStatus(status int) string {
	var codes []string
	for code, about := range resource.Codes {
		if about.Status == status {
			codes = append(codes, fmt.Sprintf("`%s`: %s", code, about.Title))
		}
	}
	slices.Sort(codes)
	return strings.Join(codes, "\n\n")
}

// content is a document of a schema in either of the media types that requests come as and answers go as.
func content(s *Schema) Content {
	return Content{document.MediaType: {s}, "application/json": {s}}
}

// answer is a response with a document, or without a body if the schema is nil.
func answer(description string, s *Schema) *Response {
	response := &Response{Description: description}
	if s != nil {
		response.Content = content(s)
	}
	return response
}

// header is a header that an answer always has.
func header(description string, s *Schema) Header {
	return Header{Description: description, Required: true, Schema: s}
}
