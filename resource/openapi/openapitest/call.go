package openapitest

import (
	"bytes"
	"context"
	"encoding/json"
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

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
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
	sampled := schema
	if op.method == http.MethodPut { // of what is there, that changes what PATCH does, but for the key
		sampled = (&operation{c.doc.Paths.Value(op.path).Patch, http.MethodPatch, op.path}).bodySchema()
	}
	body, err := c.sample(sampled)
	if err != nil {
		return nil, err
	}
	if op.method == http.MethodPut {
		c.unnamed(op, body)
	}
	if slices.Contains(data(sampled).Required, "id") && data(schema).Properties["attributes"] != nil {
		body.(map[string]any)["data"].(map[string]any)["id"] = at.id
	}
	if give := c.server.Members[op.OperationID]; give != nil {
		maps.Copy(inner(body), give(c.calls))
	}
	if right.body, err = roundTrip(body); err != nil {
		return nil, err
	}
	if err := c.schemas.request(op, right.body); err != nil {
		return nil, fmt.Errorf("the body %v does not agree with its own schema: %w", right.body, err)
	}
	return right, nil
}

// unnamed takes the attribute that a path has out of a body, and returns its value.
func (c *checker) unnamed(op *operation, body any) (value any) {
	attributes := inner(body)
	for name := range attributes {
		if strings.Contains(op.path, "{"+name+"}") {
			value = attributes[name]
			delete(attributes, name)
		}
	}
	return value
}

// new makes the call of an operation that puts one about a resource that is not there yet.
func (c *checker) new(op *operation, right *call) error {
	made, err := c.right(c.operation(http.MethodPost, op.typ(), http.StatusCreated))
	if err != nil {
		return err
	}
	key := c.unnamed(op, made.body)
	right.path, right.body = fill(op.path, func(string) string { return fmt.Sprint(key) }), made.body
	return nil
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
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true, ExcludeResponseBody: true},
	}
	if err := openapi3filter.ValidateResponse(context.Background(), input); err != nil {
		return nil, fmt.Errorf("the answer %.2000s: %w", text, err)
	}
	if err := c.agrees(op, status, response.Header.Get("Content-Type"), text); err != nil {
		return nil, fmt.Errorf("the answer %.2000s: %w", text, err)
	}
	if status < 300 && base(response.Header.Get("Content-Type")) == vendor && !strings.Contains(with.query.Encode(), "fields") {
		if err := complete(listed.Value.Content.Get(vendor), text); err != nil {
			return nil, fmt.Errorf("the answer %.2000s: %w", text, err)
		}
	}
	return &answer{text, response.Header.Get("ETag")}, nil
}

// agrees checks the body of an answer: its media type must be listed, and it must agree with the schema of that.
func (c *checker) agrees(op *operation, status int, mediaType string, text []byte) error {
	content := op.Responses.Status(status).Value.Content
	if content[mediaType] == nil {
		mediaType = base(mediaType) // without what it says of a charset
	}
	switch {
	case len(content) == 0 || mediaType == lines:
		return nil
	case content[mediaType] == nil:
		return fmt.Errorf("the media type %q is not listed", mediaType)
	}
	return c.schemas.response(op, strconv.Itoa(status), mediaType, text)
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
		if attributes := members(create.bodySchema()); attributes != nil {
			for name, member := range attributes.Properties {
				if member.Value.WriteOnly && !slices.Contains(attributes.Required, name) {
					delete(inner(right.body), name) // a password, which would be hashed for nothing
				}
			}
		}
		answer, err := c.do(create, right, http.StatusCreated)
		if err != nil {
			return nil, fmt.Errorf("creating one %s: %w", typ, err)
		}
		var made struct{ Data resource }
		return &made.Data, json.Unmarshal(answer.text, &made)
	}
	list := c.operation("GET", typ, http.StatusOK)
	if list == nil {
		return nil, fmt.Errorf("there is no way to find a resource of type %s", typ)
	}
	find := &call{path: list.path, accept: vendor}
	if create := c.server.Make[typ]; create != nil {
		id, err := create()
		if err != nil {
			return nil, err
		}
		find.query = url.Values{"filter[id]": {id}}
	}
	answer, err := c.do(list, find, http.StatusOK)
	if err != nil {
		return nil, err
	}
	var alone struct{ Data resource }
	if json.Unmarshal(answer.text, &alone) == nil && alone.Data.ID != "" { // of a singleton
		return &alone.Data, nil
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
