// Package openapi describes what the JSON:API front serves as an OpenAPI 3.1 document, which it derives from the
// descriptions of the registered types, and shows it as a page.
package openapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

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
func Document(types []*resource.Description, info Info) *openapi3.T {
	b := &builder{&openapi3.T{
		OpenAPI: "3.1.0",
		Info: &openapi3.Info{
			Title: "Reeve admin API", Version: info.Version,
			Description: "Users, sessions, tokens, groups and whatever else an administrator touches, as " +
				"[JSON:API](https://jsonapi.org/format/1.1/) resources.",
		},
		Servers: openapi3.Servers{{URL: info.Base + info.Prefix}},
		Paths:   openapi3.NewPaths(),
		Components: &openapi3.Components{
			Schemas: openapi3.Schemas{}, Parameters: openapi3.ParametersMap{}, Responses: openapi3.ResponseBodies{},
		},
	}}
	if info.Base+info.Prefix == "" {
		b.doc.Servers[0].URL = "/" // of wherever the document was read
	}
	b.secure(info)
	b.describeParameters()
	b.describeErrors()
	for _, d := range types {
		b.doc.Tags = append(b.doc.Tags, &openapi3.Tag{Name: d.Name, Description: d.Doc})
		b.describe(d)
	}
	return b.doc
}

// builder makes a document piece by piece. What several operations share, it names among the components.
type builder struct{ doc *openapi3.T }

// schema names a schema and returns the reference to it.
func (b *builder) schema(name string, s *openapi3.SchemaRef) *openapi3.SchemaRef {
	b.doc.Components.Schemas[name] = s
	return openapi3.NewSchemaRef("#/components/schemas/"+name, s.Value)
}

// secure says how callers prove who they are: in any one of the ways.
func (b *builder) secure(info Info) {
	schemes := openapi3.SecuritySchemes{}
	way := func(name string, scheme *openapi3.SecurityScheme, scopes ...string) {
		schemes[name] = &openapi3.SecuritySchemeRef{Value: scheme}
		b.doc.Security = append(b.doc.Security, openapi3.SecurityRequirement{name: append([]string{}, scopes...)})
	}
	if info.TokenURL != "" {
		scopes := map[string]string{auth.AdminScope: "Full access to the admin API."}
		flows := &openapi3.OAuthFlows{ClientCredentials: &openapi3.OAuthFlow{TokenURL: info.TokenURL, Scopes: scopes}}
		if info.AuthorizationURL != "" {
			flows.AuthorizationCode = &openapi3.OAuthFlow{
				AuthorizationURL: info.AuthorizationURL, TokenURL: info.TokenURL, Scopes: scopes,
			}
		}
		way("oauth2", &openapi3.SecurityScheme{Type: "oauth2", Flows: flows}, auth.AdminScope)
	}
	way("bearer", &openapi3.SecurityScheme{
		Type: "http", Scheme: "bearer", Description: "An OAuth 2.0 access token or a personal token.",
	})
	if info.Basic {
		way("basic", &openapi3.SecurityScheme{
			Type: "http", Scheme: "basic", Description: "The name and the password of an administrator.",
		})
	}
	b.doc.Components.SecuritySchemes = schemes
}

// The statuses of failure that operations share: of all, of writes, and of what takes a body, as any POST does. 405
// is none of them, since the document has no operation that is not served.
var (
	failures      = []int{400, 401, 403, 404, 406, 429, 500, 503}
	writeFailures = []int{409}
	bodyFailures  = []int{413, 415, 422}
)

// describeErrors names a response for each status of the table of codes.
func (b *builder) describeErrors() {
	source := closed(openapi3.Schemas{
		"pointer":   text("The JSON pointer (RFC 6901) of the member of the body that it is about."),
		"parameter": text("The query parameter that it is about."),
		"header":    text("The header that it is about."),
	})
	source.Value.MinProps, source.Value.MaxProps = 1, new(uint64(1))
	failed := b.schema("Errors", closed(openapi3.Schemas{"errors": nonEmpty(array(closed(openapi3.Schemas{
		"id":     text("The id of the request. It is in the header X-Request-Id and in the server's log too."),
		"status": matching(text("The HTTP status of this failure."), "^[45][0-9]{2}$"),
		"code":   text("The stable word for this kind of failure."),
		"title":  text("What the code means, always in the same words."),
		"detail": text("What happened this time."),
		"source": source,
	}, "id", "status", "code", "title")))}, "errors"))
	for _, status := range slices.Concat(failures, writeFailures, bodyFailures) {
		response := answer(describeStatus(status), failed)
		switch status {
		case http.StatusUnauthorized:
			response.Headers = openapi3.Headers{"WWW-Authenticate": header("The ways to prove who asks.", text(""))}
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			response.Headers = openapi3.Headers{"Retry-After": header("When to try again, in seconds.", integer(0))}
		}
		b.doc.Components.Responses[failureName(status)] = &openapi3.ResponseRef{Value: response}
	}
}

// failure is the reference to the response of a status that [builder.describeErrors] has named.
func (b *builder) failure(status int) *openapi3.ResponseRef {
	name := failureName(status)
	return &openapi3.ResponseRef{Ref: "#/components/responses/" + name, Value: b.doc.Components.Responses[name].Value}
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

// mediaTypes are what requests come as and answers go as.
var mediaTypes = []string{document.MediaType, "application/json"}

// content is a document of a schema in either media type.
func content(s *openapi3.SchemaRef) openapi3.Content {
	return openapi3.NewContentWithSchemaRef(s, mediaTypes)
}

// answer is a response with a document, or without a body if the schema is nil.
func answer(description string, s *openapi3.SchemaRef) *openapi3.Response {
	response := openapi3.NewResponse().WithDescription(description)
	if s != nil {
		response.Content = content(s)
	}
	return response
}

// header is a header that an answer always has.
func header(description string, s *openapi3.SchemaRef) *openapi3.HeaderRef {
	return &openapi3.HeaderRef{Value: &openapi3.Header{Parameter: openapi3.Parameter{
		Description: description, Required: true, Schema: s,
	}}}
}
