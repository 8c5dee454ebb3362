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
	"slices"
	"strconv"
	"strings"

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

// Check calls every operation of a document that [Load] has read: as it should be called, in each media type and
// with each query parameter, and in the ways that must fail. Every answer must be one that the document lists for
// the operation, with its media type, headers and schema. Check returns all that it finds, and nil if it finds
// nothing.
func Check(doc *openapi3.T, server Server) error {
	c := &checker{doc: doc, server: server}
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
}

type operation struct {
	*openapi3.Operation
	method, path string
}

// typ is the type that the operation is about.
func (op *operation) typ() string { return op.Tags[0] }

// success is the first status below 400 that the document lists.
func (op *operation) success() (int, *openapi3.Response) {
	for _, status := range slices.Sorted(maps.Keys(op.Responses.Map())) {
		if code, err := strconv.Atoi(status); err == nil && code < 400 {
			return code, op.Responses.Value(status).Value
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

const vendor = "application/vnd.api+json"

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
		for _, value := range values(p.Value) {
			want(status, "with "+name+"="+value, func(right *call) { right.query.Set(name, value) })
		}
		if p.Value.In == openapi3.ParameterInHeader {
			want(status, "with "+name, func(right *call) { right.header.Set(name, fmt.Sprint("call-", c.calls)) })
			want(http.StatusBadRequest, "with an empty "+name, func(right *call) { right.header.Set(name, "") })
		}
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

// right is a request that should succeed: about a new resource if one can be made, with a body that agrees with
// its schema.
func (c *checker) right(op *operation) (*call, error) {
	path, id, err := c.path(op)
	if err != nil {
		return nil, err
	}
	right := &call{path: path, query: url.Values{}, header: http.Header{}, accept: op.vendor(), contentType: op.vendor()}
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
		body.(map[string]any)["data"].(map[string]any)["id"] = id
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

// path is the operation's path about a resource that is there, and the id of that. What a list shows is not empty,
// if that can be helped, since an empty list would prove nothing.
func (c *checker) path(op *operation) (path, id string, err error) {
	whole := !strings.Contains(op.path, "{")
	if op.method == http.MethodGet && op.lists() {
		if add := c.doc.Paths.Value(op.path).Post; add != nil && !whole {
			linking := &operation{add, http.MethodPost, op.path}
			link, err := c.right(linking)
			if err != nil {
				return "", "", err
			}
			_, err = c.do(linking, link, http.StatusNoContent)
			return link.path, "", err
		}
		if _, err := c.resource(op.typ()); err != nil {
			return "", "", err
		}
	}
	if whole {
		return op.path, "", nil
	}
	about, err := c.resource(op.typ())
	if err != nil {
		return "", "", err
	}
	return fill(op.path, func(name string) string {
		if name == "id" {
			return about.ID
		}
		return fmt.Sprint(about.Attributes[name])
	}), about.ID, nil
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

// do sends a request, checks the answer against the document, and returns its body.
func (c *checker) do(op *operation, with *call, status int) ([]byte, error) {
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
	if content := response.Header.Get("Content-Type"); status < 400 && len(text) > 0 && content != with.accept {
		return nil, fmt.Errorf("the media type is %q, not %q", content, with.accept)
	}
	listed := op.Responses.Status(status)
	if listed != nil && len(listed.Value.Content) == 0 && len(text) > 0 {
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
	return text, nil
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
		text, err := c.do(create, right, http.StatusCreated)
		if err != nil {
			return nil, fmt.Errorf("creating one %s: %w", typ, err)
		}
		var made struct{ Data resource }
		return &made.Data, json.Unmarshal(text, &made)
	}
	if create := c.server.Make[typ]; create != nil {
		id, err := create()
		return &resource{ID: id}, err
	}
	list := c.operation("GET", typ, http.StatusOK)
	if list == nil {
		return nil, fmt.Errorf("there is no way to find a resource of type %s", typ)
	}
	text, err := c.do(list, &call{path: list.path, accept: vendor}, http.StatusOK)
	if err != nil {
		return nil, err
	}
	var found struct{ Data []resource }
	if err := json.Unmarshal(text, &found); err != nil {
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

// values are what a query parameter is called with: each of its words, or one value of its kind.
func values(p *openapi3.Parameter) []string {
	if p.In != openapi3.ParameterInQuery {
		return nil
	}
	schema := p.Schema.Value
	if schema.Items != nil {
		schema = schema.Items.Value
	}
	var all []string
	for _, word := range schema.Enum {
		all = append(all, fmt.Sprint(word))
	}
	if all == nil {
		all = []string{fmt.Sprint(simple(schema))}
	}
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
