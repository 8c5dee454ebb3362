// Package openapitest proves an OpenAPI document valid and truthful: it calls every operation in it and checks every
// answer against it.
package openapitest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Server is the program under test, and what it takes to make its operations succeed.
type Server struct {
	// Do sends a request to a path of the document, which the document's server is to be put before. It adds
	// credentials that allow everything, unless the request has some.
	Do func(*http.Request) *http.Response

	// Members gives members of request bodies, by operation id: attributes or arguments that neither the schema
	// nor its examples determine, as names that must be unique. Without it, a body has the members that the schema
	// requires or has an example for. n differs from one resource to the next.
	Members map[string]func(n int) map[string]any

	// Make makes a resource of a type that has no operation to create one, and returns its id. Types that are
	// not here are represented by the first resource of their list.
	Make map[string]func() (id string, err error)
}

// Load reads the text of a document as a tool would, resolves its references and validates it.
func Load(text []byte) (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, err
	}
	var members any
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	return doc, noNull("", members)
}

// noNull finds members that are null where OpenAPI wants an object or an array, which Validate lets pass. Only values
// that a schema lists may be null.
func noNull(path string, v any) error {
	var found []error
	switch v := v.(type) {
	case nil:
		return fmt.Errorf("%s is null", path)
	case map[string]any:
		for name, member := range v {
			if name != "enum" && name != "examples" {
				found = append(found, noNull(path+"/"+name, member))
			}
		}
	case []any:
		for i, item := range v {
			found = append(found, noNull(fmt.Sprint(path, "/", i), item))
		}
	}
	return errors.Join(found...)
}

// Check calls every operation of a document that [Load] has read: as it should be called, in each media type, with
// each value of each parameter and by each link of a page, and in the ways that must fail. Every answer must be one
// that the document lists for the operation, with its media type, headers and schema; it must show every attribute and
// relationship that is listed, unless it was asked not to. Check returns all that it finds, and nil if it finds nothing.
func Check(doc *openapi3.T, server Server) error {
	schemas, err := newSchemas(doc)
	if err != nil {
		return err
	}
	c := &checker{doc: doc, schemas: schemas, server: server, places: map[*openapi3.Operation]place{}, tried: map[*openapi3.Parameter]bool{}}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
		operations := doc.Paths.Value(path).Operations()
		for _, method := range slices.Sorted(maps.Keys(operations)) {
			c.check(&operation{operations[method], method, path})
		}
	}
	if len(c.findings) == 0 && c.calls == 0 {
		return errors.New("openapitest: the document has no operation")
	}
	return errors.Join(c.findings...)
}

type checker struct {
	doc      *openapi3.T
	schemas  *schemas
	server   Server
	calls    int
	findings []error
	places   map[*openapi3.Operation]place // of those that only read
	tried    map[*openapi3.Parameter]bool
}

// place is a path with the id of the resource that it names.
type place struct{ path, id string }

type operation struct {
	*openapi3.Operation
	method, path string
}

// typ is the type that the operation is about.
func (op *operation) typ() string { return op.Tags[0] }

// success is the first status of success that the document lists, but for an import.
func (op *operation) success() (int, *openapi3.Response) {
	for _, status := range slices.Sorted(maps.Keys(op.Responses.Map())) {
		response := op.Responses.Value(status).Value
		imports := len(response.Content) == 1 && response.Content[lines] != nil
		if code, err := strconv.Atoi(status); err == nil && code < 300 && !imports {
			return code, response
		}
	}
	return 0, nil
}

// lists reports whether the operation answers a list.
func (op *operation) lists() bool {
	_, response := op.success()
	content := response.Content.Get(vendor)
	return content != nil && data(content.Schema.Value).Type.Is(openapi3.TypeArray)
}

// bodySchema is the schema of the request body, nil if there is none.
func (op *operation) bodySchema() *openapi3.Schema {
	if op.RequestBody == nil {
		return nil
	}
	return op.RequestBody.Value.Content.Get(op.vendor()).Schema.Value
}

// vendor is JSON:API's media type, with the extension that the operation has if it has one.
func (op *operation) vendor() string {
	if op.RequestBody != nil && op.RequestBody.Value.Content.Get(vendor) == nil {
		for mediaType := range op.RequestBody.Value.Content {
			return mediaType
		}
	}
	return vendor
}

// JSON:API's media type, and that of exports and imports.
const (
	vendor = "application/vnd.api+json"
	lines  = "application/x-ndjson"
)

func (c *checker) find(op *operation, format string, args ...any) {
	c.findings = append(c.findings, fmt.Errorf("%s %s: %w", op.method, op.path, fmt.Errorf(format, args...)))
}

// check calls one operation in all ways.
func (c *checker) check(op *operation) {
	status, response := op.success()
	if response == nil {
		c.find(op, "no answer of success is listed")
		return
	}
	types := slices.Sorted(maps.Keys(response.Content))
	if len(types) == 0 {
		types = []string{vendor}
	}
	want := func(status int, how string, change func(right *call)) { c.want(op, status, how, change) }
	for _, mediaType := range types {
		want(status, "in "+mediaType, func(right *call) { right.accept, right.contentType = mediaType, mediaType })
	}
	for _, p := range op.Parameters {
		name := p.Value.Name
		for _, value := range c.untried(p.Value) {
			want(status, "with "+name+"="+value, func(right *call) { right.query.Set(name, value) })
		}
		give := func(value string) func(right *call) {
			return func(right *call) { right.header.Set(name, value) }
		}
		switch {
		case p.Value.In != openapi3.ParameterInHeader:
		case name == "If-None-Match":
			want(status, "with another tag", give(`"another"`))
			c.checkUnchanged(op)
		case name == "If-Match":
			want(status, "of any version", give("*"))
			want(http.StatusPreconditionFailed, "of another version", give(`"another"`))
			c.checkVersion(op)
		default:
			want(status, "with "+name, func(right *call) { right.header.Set(name, fmt.Sprint("call-", c.calls)) })
			want(http.StatusBadRequest, "with an empty "+name, give(""))
		}
	}
	if op.method == http.MethodGet && op.lists() {
		c.checkLinks(op)
	}
	want(http.StatusUnauthorized, "with a wrong token", func(right *call) { right.credentials = "Bearer wrong" })
	want(http.StatusBadRequest, "with an unknown parameter", func(right *call) { right.query.Set("none", "1") })
	want(http.StatusNotAcceptable, "asking for plain text", func(right *call) { right.accept = "text/plain" })
	switch {
	case op.method == http.MethodPut:
		want(http.StatusCreated, "about what is new", func(right *call) {
			if err := c.new(op, right); err != nil {
				c.find(op, "about what is new: %w", err)
			}
		})
	case strings.Contains(op.path, "{"):
		want(http.StatusNotFound, "about nothing", func(right *call) {
			const nothing = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
			right.path = fill(op.path, func(string) string { return nothing })
			if slices.Contains(data(op.bodySchema()).Required, "id") {
				right.body.(map[string]any)["data"].(map[string]any)["id"] = nothing
			}
		})
	}
	if op.RequestBody == nil {
		return
	}
	if op.RequestBody.Value.Content[lines] != nil {
		want(http.StatusOK, "with an import", func(right *call) {
			line, err := json.Marshal(right.body.(map[string]any)["data"])
			if err != nil {
				c.find(op, "%w", err)
			}
			right.accept, right.contentType, right.body = lines, lines, string(line)+"\n"
		})
	}
	want(http.StatusBadRequest, "with half a body", func(right *call) { right.body = "{" })
	want(http.StatusUnsupportedMediaType, "with plain text", func(right *call) { right.contentType = "text/plain" })
	want(http.StatusRequestEntityTooLarge, "with a large body", func(right *call) {
		right.body = `{"data":"` + strings.Repeat("a", 10<<20) + `"}`
	})
	if members := members(op.bodySchema()); members != nil {
		want(http.StatusUnprocessableEntity, "with an unknown member", func(right *call) {
			inner(right.body)["no_such_member"] = 1
		})
		for _, pair := range exclusive(members) {
			if op.method == http.MethodPut {
				break // what is there takes neither
			}
			want(http.StatusUnprocessableEntity, "with "+strings.Join(pair, " and "), func(right *call) {
				for _, name := range pair {
					inner(right.body)[name] = simple(members.Properties[name].Value)
				}
			})
		}
	}
	if typ := data(op.bodySchema()).Properties["type"]; typ != nil {
		want(http.StatusConflict, "with another type", func(right *call) {
			right.body.(map[string]any)["data"].(map[string]any)["type"] = "no-such-type"
		})
	}
}

// want calls the operation as it should be called, but for one change, and wants an answer of that status.
func (c *checker) want(op *operation, status int, how string, change func(right *call)) {
	right, err := c.right(op)
	if err != nil {
		c.find(op, "%s: %w", how, err)
		return
	}
	change(right)
	if _, err := c.do(op, right, status); err != nil {
		c.find(op, "%s: %w", how, err)
	}
}

// checkUnchanged reads twice, the second time with the tag of the first answer.
func (c *checker) checkUnchanged(op *operation) {
	c.want(op, http.StatusOK, "for its tag", func(right *call) {
		first, err := c.do(op, right, http.StatusOK)
		if err != nil || first.tag == "" {
			return // want reads it once more, and reports the error; what is null has no tag
		}
		again := *right
		again.header = http.Header{"If-None-Match": {first.tag}}
		if second, err := c.do(op, &again, http.StatusNotModified); err != nil {
			c.find(op, "with the tag %s: %w", first.tag, err)
		} else if second.tag != first.tag {
			c.find(op, "the tag %s has become %q", first.tag, second.tag)
		}
	})
}

// checkVersion writes the version that the resource at the path has, if that can be read there.
func (c *checker) checkVersion(op *operation) {
	get := c.doc.Paths.Value(op.path).Get
	if get == nil || get.Responses.Status(http.StatusNotModified) == nil {
		return
	}
	status, _ := op.success()
	c.want(op, status, "of the version that is there", func(right *call) {
		there, err := c.do(&operation{get, http.MethodGet, op.path}, &call{path: right.path, accept: vendor}, http.StatusOK)
		if err != nil {
			c.find(op, "the version that is there: %w", err)
			return
		}
		right.header.Set("If-Match", there.tag)
	})
}

// checkLinks follows the links of short pages in each order.
func (c *checker) checkLinks(op *operation) {
	orders := []string{""}
	if sort := op.Parameters.GetByInAndName(openapi3.ParameterInQuery, "sort"); sort != nil {
		orders = values(sort)
	}
	for _, order := range orders {
		for _, size := range []string{"page[first]", "page[size]"} {
			right, err := c.right(op)
			if err != nil {
				c.find(op, "%w", err)
				return
			}
			right.query.Set(size, "1")
			if order != "" {
				right.query.Set("sort", order)
			}
			if err := c.follow(op, right); err != nil {
				c.find(op, "with %s: %w", right.query.Encode(), err)
			}
		}
	}
}

// follow follows the links of a page.
func (c *checker) follow(op *operation, to *call) error {
	page, err := c.do(op, to, http.StatusOK)
	if err != nil {
		return err
	}
	var document struct{ Links map[string]any }
	if err := json.Unmarshal(page.text, &document); err != nil {
		return err
	}
	for name, link := range document.Links {
		text, ok := link.(string)
		if !ok {
			continue // null, or the page itself
		}
		there, err := url.Parse(text)
		if err == nil {
			_, err = c.do(op, &call{path: there.Path, query: there.Query(), accept: vendor}, http.StatusOK)
		}
		if err != nil {
			return fmt.Errorf("the link %s: %w", name, err)
		}
	}
	return nil
}
