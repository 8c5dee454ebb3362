package openapitest

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

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
