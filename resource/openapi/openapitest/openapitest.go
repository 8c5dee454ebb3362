// Package openapitest proves an OpenAPI document valid and truthful: it calls every operation in it and checks every
// answer against it.
package openapitest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
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

// registerLines has the library take NDJSON as text; its decoders are one map for all.
var registerLines = sync.OnceFunc(func() { openapi3filter.RegisterBodyDecoder(lines, openapi3filter.PlainBodyDecoder) })

// Check calls every operation of a document that [Load] has read: as it should be called, in each media type, with
// each value of each parameter and by each link of a page, and in the ways that must fail. Every answer must be one
// that the document lists for the operation, with its media type, headers and schema; it must show every attribute and
// relationship that is listed, unless it was asked not to. Check returns all that it finds, and nil if it finds nothing.
func Check(doc *openapi3.T, server Server) error {
	registerLines()
	c := &checker{doc: doc, server: server, places: map[*openapi3.Operation]place{}, tried: map[*openapi3.Parameter]bool{}}
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

// call is one request in the making.
type call struct {
	path        string
	query       url.Values
	header      http.Header // besides those that follow
	body        any         // as JSON, unless it is nil or a string
	contentType string      // of the body
	accept      string
	credentials string // instead of those that Do adds
}

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
	if strings.Contains(op.path, "{") {
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

// right is a request that should succeed: about a new resource if one can be made, with a body that agrees with
// its schema.
func (c *checker) right(op *operation) (*call, error) {
	at, err := c.place(op)
	if err != nil {
		return nil, err
	}
	right := &call{path: at.path, query: url.Values{}, header: http.Header{}, accept: op.vendor(), contentType: op.vendor()}
	if op.method != http.MethodGet { // an action on all that meet the filters: together, few or none meet them
		for _, p := range op.Parameters {
			if v := values(p.Value); len(v) > 0 {
				right.query.Set(p.Value.Name, v[0])
			}
		}
	}
	schema := op.bodySchema()
	if schema == nil {
		return right, nil
	}
	body, err := c.sample(schema)
	if err != nil {
		return nil, err
	}
	if slices.Contains(data(schema).Required, "id") && data(schema).Properties["attributes"] != nil {
		body.(map[string]any)["data"].(map[string]any)["id"] = at.id
	}
	if give := c.server.Members[op.OperationID]; give != nil {
		maps.Copy(inner(body), give(c.calls))
	}
	if right.body, err = roundTrip(body); err != nil {
		return nil, err
	}
	if err := schema.VisitJSON(right.body, openapi3.EnableJSONSchema2020(), openapi3.MultiErrors()); err != nil {
		return nil, fmt.Errorf("the body %v does not agree with its own schema: %w", right.body, err)
	}
	return right, nil
}

// place is the operation's path about a resource that is there. What only reads is always called at the same one.
func (c *checker) place(op *operation) (at place, err error) {
	if at, known := c.places[op.Operation]; known {
		return at, nil
	}
	if op.method != http.MethodGet {
		return c.newPlace(op)
	}
	if at, err = c.newPlace(op); err == nil {
		c.places[op.Operation] = at
	}
	return at, err
}

// newPlace is the operation's path about a resource that is there. What a list shows is more than one page of one, if
// that can be helped, since an empty list would prove nothing.
func (c *checker) newPlace(op *operation) (place, error) {
	whole := !strings.Contains(op.path, "{")
	if op.method == http.MethodGet && op.lists() {
		if linking := c.linking(op); linking != nil {
			return c.link(op, linking)
		}
		for range 2 {
			if _, err := c.resource(op.typ()); err != nil {
				return place{}, err
			}
		}
	}
	if whole {
		return place{path: op.path}, nil
	}
	about, err := c.resource(op.typ())
	if err != nil {
		return place{}, err
	}
	return place{fill(op.path, func(name string) string {
		if name == "id" {
			return about.ID
		}
		return fmt.Sprint(about.Attributes[name])
	}), about.ID}, nil
}

// linking is the operation that adds to the relationship which a list is of, nil if there is none.
func (c *checker) linking(list *operation) *operation {
	at := list.path
	if !strings.Contains(at, "/relationships/") {
		at = path.Dir(at) + "/relationships/" + path.Base(at)
	}
	if item := c.doc.Paths.Value(at); item != nil && item.Post != nil {
		return &operation{item.Post, http.MethodPost, at}
	}
	return nil
}

// link adds to a relationship twice, and returns the place of a list of what it names.
func (c *checker) link(list, linking *operation) (at place, err error) {
	right, err := c.right(linking)
	for range 2 {
		if err == nil {
			_, err = c.do(linking, right, http.StatusNoContent)
		}
		if more, sampleErr := c.sample(linking.bodySchema()); err == nil {
			right.body, err = more, sampleErr
		}
	}
	if err != nil {
		return place{}, err
	}
	if list.path == linking.path {
		return place{path: right.path}, nil
	}
	return place{path: strings.Replace(right.path, "/relationships/", "/", 1)}, nil
}

// roundTrip is v as JSON has it.
func roundTrip(v any) (any, error) {
	encoded, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var decoded any
	err = json.Unmarshal(encoded, &decoded)
	return decoded, err
}

// answer is what came back.
type answer struct {
	text []byte
	tag  string // the header ETag
}

// do sends a request and checks the answer against the document.
func (c *checker) do(op *operation, with *call, status int) (*answer, error) {
	c.calls++
	var body io.Reader
	switch content := with.body.(type) {
	case nil:
	case string:
		body = strings.NewReader(content)
	default:
		encoded, err := json.Marshal(content)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(encoded)
	}
	r := httptest.NewRequest(op.method, with.path, body)
	r.URL.RawQuery = with.query.Encode()
	r.RequestURI = "" // so that a client takes the request too
	maps.Copy(r.Header, with.header)
	r.Header.Set("Accept", with.accept)
	if body != nil {
		r.Header.Set("Content-Type", with.contentType)
	}
	if with.credentials != "" {
		r.Header.Set("Authorization", with.credentials)
	}
	response := c.server.Do(r)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != status {
		return nil, fmt.Errorf("the status is %d, not %d: %.500s", response.StatusCode, status, text)
	}
	if content := response.Header.Get("Content-Type"); status < 400 && len(text) > 0 && base(content) != base(with.accept) {
		return nil, fmt.Errorf("the media type is %q, not %q", content, with.accept)
	}
	listed := op.Responses.Status(status)
	if listed == nil {
		return nil, fmt.Errorf("the status %d is not listed", status)
	}
	if len(listed.Value.Content) == 0 && len(text) > 0 {
		return nil, fmt.Errorf("no body is listed, but there is one: %.500s", text)
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: r,
			Route:   &routers.Route{Spec: c.doc, Path: op.path, Method: op.method, Operation: op.Operation},
		},
		Status: status, Header: response.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	if err := openapi3filter.ValidateResponse(context.Background(), input.SetBodyBytes(text)); err != nil {
		return nil, fmt.Errorf("the answer %.2000s: %w", text, err)
	}
	if status < 300 && base(response.Header.Get("Content-Type")) == vendor && !strings.Contains(with.query.Encode(), "fields") {
		if err := complete(listed.Value.Content.Get(vendor), text); err != nil {
			return nil, fmt.Errorf("the answer %.2000s: %w", text, err)
		}
	}
	return &answer{text, response.Header.Get("ETag")}, nil
}

// base is a media type without its parameters.
func base(mediaType string) string {
	name, _, _ := strings.Cut(mediaType, ";")
	return name
}

// complete reports what a document of one resource does not show of it.
func complete(media *openapi3.MediaType, text []byte) error {
	if media == nil {
		return nil
	}
	var document struct{ Data map[string]any }
	if json.Unmarshal(text, &document) != nil || document.Data == nil {
		return nil // a list, or null
	}
	schema := data(media.Schema.Value)
	for _, member := range []string{"attributes", "relationships"} {
		if schema.Properties[member] == nil {
			continue
		}
		shown, _ := document.Data[member].(map[string]any)
		for name := range schema.Properties[member].Value.Properties {
			if _, there := shown[name]; !there {
				return fmt.Errorf("%s has no %s", member, name)
			}
		}
	}
	return nil
}

// resource is a resource as an answer shows it.
type resource struct {
	ID         string         `json:"id"`
	Attributes map[string]any `json:"attributes"`
}

// resource is a resource of a type: a new one, or else the first of its list.
func (c *checker) resource(typ string) (*resource, error) {
	if create := c.operation("POST", typ, http.StatusCreated); create != nil {
		right, err := c.right(create)
		if err != nil {
			return nil, err
		}
		answer, err := c.do(create, right, http.StatusCreated)
		if err != nil {
			return nil, fmt.Errorf("creating one %s: %w", typ, err)
		}
		var made struct{ Data resource }
		return &made.Data, json.Unmarshal(answer.text, &made)
	}
	if create := c.server.Make[typ]; create != nil {
		id, err := create()
		return &resource{ID: id}, err
	}
	list := c.operation("GET", typ, http.StatusOK)
	if list == nil {
		return nil, fmt.Errorf("there is no way to find a resource of type %s", typ)
	}
	answer, err := c.do(list, &call{path: list.path, accept: vendor}, http.StatusOK)
	if err != nil {
		return nil, err
	}
	var found struct{ Data []resource }
	if err := json.Unmarshal(answer.text, &found); err != nil {
		return nil, err
	}
	if len(found.Data) == 0 {
		return nil, fmt.Errorf("there is no resource of type %s", typ)
	}
	return &found.Data[0], nil
}

// operation is the operation on the whole of a type with that method and status, nil if there is none.
func (c *checker) operation(method, typ string, status int) *operation {
	for _, path := range slices.Sorted(maps.Keys(c.doc.Paths.Map())) {
		found := c.doc.Paths.Value(path).GetOperation(method)
		if found != nil && found.Tags[0] == typ && !strings.Contains(path, "{") && found.Responses.Status(status) != nil {
			return &operation{found, method, path}
		}
	}
	return nil
}

// fill replaces each {name} of a path.
func fill(path string, value func(name string) string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "{") {
			parts[i] = url.PathEscape(value(strings.Trim(part, "{}")))
		}
	}
	return strings.Join(parts, "/")
}

// values are what a query parameter is called with: each of its words, or one value of its kind; of a list with commas
// all of them together, too.
func values(p *openapi3.Parameter) []string {
	if p.In != openapi3.ParameterInQuery {
		return nil
	}
	schema := p.Schema.Value
	if schema.Items != nil {
		schema = schema.Items.Value
	}
	words := schema.Enum
	if commas(p) && words == nil {
		words = schema.Examples
	}
	var all []string
	for _, word := range words {
		all = append(all, fmt.Sprint(word))
	}
	switch most := p.Schema.Value.MaxItems; {
	case all == nil:
		return []string{fmt.Sprint(simple(schema))}
	case commas(p) && most != nil && uint64(len(all)) > *most:
		return append(all, strings.Join(all[:*most], ","))
	case commas(p):
		return append(all, strings.Join(all, ","))
	}
	return all
}

// commas reports whether a parameter is a list with commas.
func commas(p *openapi3.Parameter) bool { return p.Explode != nil && !*p.Explode }

// untried are the values of a parameter; of a list with commas that operations share, only the last one after the first
// time.
func (c *checker) untried(p *openapi3.Parameter) []string {
	all := values(p)
	if commas(p) && c.tried[p] {
		return all[len(all)-1:]
	}
	c.tried[p] = true
	return all
}

// simple is a value of a schema that is neither an object nor an array.
func simple(s *openapi3.Schema) any {
	switch {
	case s.Const != nil:
		return s.Const
	case len(s.Examples) > 0:
		return s.Examples[0]
	case s.Default != nil:
		return s.Default
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type.Permits(openapi3.TypeBoolean):
		return true
	case s.Type.Permits(openapi3.TypeInteger), s.Type.Permits(openapi3.TypeNumber):
		if s.Min != nil {
			return *s.Min
		}
		return 1
	}
	return cmp.Or(map[string]string{
		"date-time": "2024-07-12T12:11:46.911578Z", "ulid": "01J2KDPHTZYW3TAT1SKVAD63SQ",
	}[s.Format], "a")
}

// sample is a value of a schema: of an object, its required members and those with an example. An object with a
// constant type and an id names a resource of that type.
func (c *checker) sample(s *openapi3.Schema) (any, error) {
	switch {
	case len(s.AnyOf) > 0:
		return c.sample(s.AnyOf[0].Value)
	case s.Type.Is(openapi3.TypeArray) && len(s.Examples) == 0:
		item, err := c.sample(s.Items.Value)
		return []any{item}, err
	case !s.Type.Is(openapi3.TypeObject):
		return simple(s), nil
	}
	object := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		member := s.Properties[name].Value
		if !slices.Contains(s.Required, name) && len(member.Examples) == 0 && name != "attributes" {
			continue
		}
		var err error
		if object[name], err = c.sample(member); err != nil {
			return nil, err
		}
	}
	for _, pair := range exclusive(s) {
		delete(object, pair[1])
	}
	if typ := s.Properties["type"]; typ != nil && typ.Value.Const != nil && s.Properties["attributes"] == nil {
		about, err := c.resource(typ.Value.Const.(string))
		if err != nil {
			return nil, err
		}
		object["id"] = about.ID
	}
	return object, nil
}

// exclusive are the pairs of members that an object may not have together.
func exclusive(s *openapi3.Schema) (pairs [][]string) {
	if s.Not != nil {
		for _, both := range s.Not.Value.AnyOf {
			pairs = append(pairs, both.Value.Required)
		}
	}
	return pairs
}

// data is the schema of the member data of a document, an empty one if there is none.
func data(body *openapi3.Schema) *openapi3.Schema {
	if body != nil && body.Properties["data"] != nil {
		return body.Properties["data"].Value
	}
	return &openapi3.Schema{}
}

// members is the schema of the attributes or arguments in a body, nil if it has neither.
func members(body *openapi3.Schema) *openapi3.Schema {
	if attributes := data(body).Properties["attributes"]; attributes != nil {
		return attributes.Value
	}
	if body.Properties["data"] != nil || body.AdditionalProperties.Has == nil { // which arguments forbid
		return nil
	}
	return body
}

// inner is the object of the attributes or arguments in a body.
func inner(body any) map[string]any {
	object := body.(map[string]any)
	if data, ok := object["data"].(map[string]any); ok {
		if attributes, ok := data["attributes"].(map[string]any); ok {
			return attributes
		}
	}
	return object
}
