package openapi

import "encoding/json"

// The objects of OpenAPI 3.1.0 (section 4.8), by their standard names, with the members that documents here have. A
// member that is empty is left out of the text, where members stand in the order of the fields and names ascend.

// Spec is a whole document, the OpenAPI Object. [json.Marshal] gives its text.
type Spec struct {
	OpenAPI string `json:"openapi"`
	Info    struct {
		Title       string `json:"title"`
		Version     string `json:"version"`
		Description string `json:"description"`
	} `json:"info"`
	Servers    []Server              `json:"servers"`
	Security   []SecurityRequirement `json:"security"` // any one of them will do
	Tags       []Tag                 `json:"tags,omitempty"`
	Paths      map[string]PathItem   `json:"paths"`
	Components Components            `json:"components"`
}

// Server is where the paths start.
type Server struct {
	URL string `json:"url"`
}

// SecurityRequirement holds the scopes, which may be none but not nil, by the name of a security scheme.
type SecurityRequirement map[string][]string

// Tag groups operations.
type Tag struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// Components are what operations refer to, by name.
type Components struct {
	Schemas         Schemas                    `json:"schemas"`
	Parameters      map[string]*Parameter      `json:"parameters"`
	Responses       map[string]*Response       `json:"responses"`
	SecuritySchemes map[string]*SecurityScheme `json:"securitySchemes"`
}

// PathItem holds the operations of a path by their method in lower case.
type PathItem map[string]*Operation

// Operation is what one method does at a path.
type Operation struct {
	ID          string               `json:"operationId"`
	Summary     string               `json:"summary"`
	Description string               `json:"description"`
	Tags        []string             `json:"tags"`
	Parameters  []*Parameter         `json:"parameters,omitempty"`
	RequestBody *RequestBody         `json:"requestBody,omitempty"`
	Responses   map[string]*Response `json:"responses"` // by status
	Permissions []string             `json:"x-permissions,omitempty"`
}

// Parameter is one of a path or a query, or else a reference to a component.
type Parameter struct {
	Ref         string  `json:"$ref,omitempty"`
	Name        string  `json:"name,omitempty"`
	In          string  `json:"in,omitempty"` // path, query or header
	Description string  `json:"description,omitempty"`
	Required    bool    `json:"required,omitempty"`
	Explode     *bool   `json:"explode,omitempty"` // an array in a query: a parameter for each element, as by default, or commas
	Schema      *Schema `json:"schema,omitempty"`
}

// RequestBody is what an operation takes.
type RequestBody struct {
	Required bool    `json:"required,omitempty"`
	Content  Content `json:"content"`
}

// Response is what an operation answers, or else a reference to a component.
type Response struct {
	Ref         string            `json:"$ref,omitempty"`
	Description string            `json:"description,omitempty"`
	Headers     map[string]Header `json:"headers,omitempty"`
	Content     Content           `json:"content,omitempty"`
}

// Header is one of a response.
type Header struct {
	Description string  `json:"description"`
	Required    bool    `json:"required,omitempty"`
	Schema      *Schema `json:"schema"`
}

// Content is what a body may be, by media type.
type Content map[string]MediaType

// MediaType is a body in one media type.
type MediaType struct {
	Schema *Schema `json:"schema"`
}

// SecurityScheme is a way to prove who asks.
type SecurityScheme struct {
	Type        string      `json:"type"` // http or oauth2
	Description string      `json:"description,omitempty"`
	Scheme      string      `json:"scheme,omitempty"` // of http
	Flows       *OAuthFlows `json:"flows,omitempty"`  // of oauth2
}

// OAuthFlows are the grants by which a token can be had.
type OAuthFlows struct {
	ClientCredentials *OAuthFlow `json:"clientCredentials,omitempty"`
	AuthorizationCode *OAuthFlow `json:"authorizationCode,omitempty"`
}

// OAuthFlow is one grant.
type OAuthFlow struct {
	AuthorizationURL string            `json:"authorizationUrl,omitempty"`
	TokenURL         string            `json:"tokenUrl"`
	Scopes           map[string]string `json:"scopes"` // what each means
}

// Schemas are schemas by name.
type Schemas map[string]*Schema

// Schema says which JSON values are right, in the words of JSON Schema 2020-12. An empty one allows all values. One
// with a Ref is that component.
type Schema struct {
	Ref         string `json:"$ref,omitempty"`
	Description string `json:"description,omitempty"`
	Type        Types  `json:"type,omitempty"`
	Format      string `json:"format,omitempty"`
	Pattern     string `json:"pattern,omitempty"`
	MaxLength   int    `json:"maxLength,omitempty"`
	Minimum     *int   `json:"minimum,omitempty"`
	Maximum     int    `json:"maximum,omitempty"`
	Const       string `json:"const,omitempty"`
	Enum        []any  `json:"enum,omitempty"`

	Items    *Schema `json:"items,omitempty"`
	MinItems int     `json:"minItems,omitempty"`
	MaxItems int     `json:"maxItems,omitempty"`

	Properties           Schemas  `json:"properties,omitempty"`
	AdditionalProperties *bool    `json:"additionalProperties,omitempty"`
	MinProperties        int      `json:"minProperties,omitempty"`
	MaxProperties        int      `json:"maxProperties,omitempty"`
	Required             []string `json:"required,omitempty"`

	AllOf []*Schema `json:"allOf,omitempty"`
	AnyOf []*Schema `json:"anyOf,omitempty"`
	Not   *Schema   `json:"not,omitempty"`

	Default   any   `json:"default,omitempty"`
	Examples  []any `json:"examples,omitempty"`
	ReadOnly  bool  `json:"readOnly,omitempty"`
	WriteOnly bool  `json:"writeOnly,omitempty"`
}

// Types are those that a value may be of.
type Types []string

// MarshalJSON writes one type as a word, several as an array: tools that know OpenAPI 3.0 only understand the word.
func (t Types) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}
