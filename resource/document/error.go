package document

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/google/jsonapi"
	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Errors is the document of failures.
type Errors struct {
	Errors []Error `json:"errors"`
}

// Error is an error object with the member source, which google/jsonapi lacks.
type Error struct {
	jsonapi.ErrorObject
	Links  *Kind   `json:"links,omitempty"`
	Source *Source `json:"source,omitempty"`
}

// Kind is the links member of an error object that a specification knows.
type Kind struct {
	Type string `json:"type"`
}

// Source is the place in the request that an error is about: one of a JSON pointer from the root of the body, a
// query parameter and a header.
type Source struct {
	Pointer   string `json:"pointer,omitempty"`
	Parameter string `json:"parameter,omitempty"`
	Header    string `json:"header,omitempty"`
}

// AppendReport appends what became of a line of an import: the new resource, or the failures.
func AppendReport(dst []byte, line int, about *resource.Description, id ulid.ULID, request string, errs resource.Errors) []byte {
	dst = strconv.AppendInt(append(dst, `{"line":`...), int64(line), 10)
	dst = append(dst, ',')
	begin := len(dst)
	if len(errs) > 0 {
		dst = AppendErrors(dst, request, errs)
	} else {
		dst = appendIdentifier(dst, resource.Identifier{Type: about.Name, ID: id})
	}
	return slices.Delete(dst, begin, begin+1) // its brace
}

// AppendErrors appends the document of the failures of the request with an id. Pointers must be from the root of
// the body.
func AppendErrors(dst []byte, request string, errs resource.Errors) []byte {
	var document Errors
	for _, err := range errs {
		about := resource.Codes[err.Code]
		object := Error{ErrorObject: jsonapi.ErrorObject{
			ID: request, Status: strconv.Itoa(about.Status), Code: string(err.Code),
			Title: about.Title, Detail: err.Detail,
		}}
		if source := (Source{err.Pointer, err.Parameter, err.Header}); source != (Source{}) {
			object.Source = &source
		}
		if err.Type != "" {
			object.Links = &Kind{err.Type}
		}
		if err.Meta != nil {
			object.Meta = (*map[string]any)(&err.Meta)
		}
		document.Errors = append(document.Errors, object)
	}
	text, err := json.Marshal(document)
	if err != nil { // texts and numbers alone: there is nothing that could fail
		panic(err)
	}
	return append(dst, text...)
}
