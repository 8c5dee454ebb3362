package openapitest

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemas are those of a document. Each is compiled when it is first asked, and kept: kin-openapi compiles a schema for
// every value.
type schemas struct {
	compiler *jsonschema.Compiler
}

// document is where the compiler knows the document.
const document = "https://reeve.test/api/spec.json"

func newSchemas(doc *openapi3.T) (*schemas, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	members, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020) // OpenAPI 3.1, 4.8.24
	compiler.AssertFormat()
	return &schemas{compiler}, compiler.AddResource(document, members)
}

// check checks JSON against the schema of a media type at a place in the document.
func (s *schemas) check(text []byte, mediaType string, at ...string) error {
	pointer := ""
	for _, name := range append(at, "content", mediaType, "schema") {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	}
	schema, err := s.compiler.Compile(document + (&url.URL{Fragment: pointer}).String())
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// request checks a body against the schema that the operation has for it.
func (s *schemas) request(op *operation, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return s.check(text, op.vendor(), where(op.RequestBody.Ref, "paths", op.path, strings.ToLower(op.method), "requestBody")...)
}

// response checks an answer against the schema that the operation has for its status.
func (s *schemas) response(op *operation, status, mediaType string, text []byte) error {
	listed := op.Responses.Value(status)
	return s.check(text, mediaType, where(listed.Ref, "paths", op.path, strings.ToLower(op.method), "responses", status)...)
}

// where is where something stands in the document: where its reference says, or else where it was found.
func where(ref string, found ...string) []string {
	if ref == "" {
		return found
	}
	return strings.Split(strings.TrimPrefix(ref, "#/"), "/")
}
