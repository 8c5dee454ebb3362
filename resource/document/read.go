package document

import (
	"strconv"

	"reeve/resource"
)

// Resource is the resource object of a request's document.
type Resource struct {
	Type string
	ID   *string // nil if the document gives none
	Body resource.Body
}

// ReadResource reads a document with one resource object, as creations and updates carry it. The shapes of its
// relationships must be those of the description's references; names are left to the engine. The errors are
// MalformedDocument, and NotFound for a relationship to an id that none can be, with pointers from the root.
//
// Other top-level members and @-members are ignored (JSON:API 1.1, "Document Structure").
func ReadResource(text []byte, about *resource.Description) (Resource, error) {
	var r Resource
	data, err := readData(text)
	if err != nil {
		return r, err
	}
	var shape reader
	if object := shape.object(data, "data"); object != nil {
		r = shape.resource(object, about)
	}
	return r, shape.err()
}

// ReadLine reads a line of an import: a resource object as an export has it, or the whole document around one. What
// the server decides is left out: the id, the members that no creation gives, and relationships without linkage. The
// errors are those of [ReadResource], with pointers as if there were a document in any case.
func ReadLine(text []byte, about *resource.Description) (r Resource, whole bool, err error) {
	root, err := readObject(text)
	if err != nil {
		return r, true, err
	}
	data, whole := root["data"]
	if !whole {
		data = root
	}
	var shape reader
	if object := shape.object(data, "data"); object != nil {
		given(object, about)
		r = shape.resource(object, about)
	}
	return r, whole, shape.err()
}

// given takes out of a resource object what is not for its writer to give.
func given(object map[string]any, about *resource.Description) {
	delete(object, "id")
	attributes, _ := object["attributes"].(map[string]any)
	for i := range about.Attributes {
		if a := &about.Attributes[i]; a.Visible() && !a.Writable(true) {
			delete(attributes, a.Name)
		}
	}
	relationships, _ := object["relationships"].(map[string]any)
	for i := range about.References {
		r := &about.References[i]
		relationship, _ := relationships[r.Name].(map[string]any)
		if _, linkage := relationship["data"]; relationship != nil && !linkage || !r.Writable(true) {
			delete(relationships, r.Name)
		}
	}
}

// ReadLinkage reads a document whose data is the linkage of one relationship: an array of identifiers for a
// to-many, one or null for a to-one; and its meta. The errors are those of [ReadResource].
func ReadLinkage(text []byte, relationship *resource.ReferenceDescription) (resource.Body, error) {
	root, err := readObject(text)
	if err != nil {
		return resource.Body{}, err
	}
	var shape reader
	body := shape.relationship(root, relationship, "document")
	return body, shape.err()
}

// relationship is the linkage of a relationship and the meta that an object has as members.
func (r *reader) relationship(object map[string]any, relationship *resource.ReferenceDescription, name string) (body resource.Body) {
	data, given := object["data"]
	if !given {
		r.find(malformed("the %s has no member data", name))
		return body
	}
	body.Relationships = map[string][]resource.Identifier{relationship.Name: r.linkage(data, &relationship.Many, "data")}
	if meta, given := object["meta"]; given {
		body.Meta = r.object(meta, "meta")
	}
	return body
}

// ReadArguments reads the arguments of an action: a document whose resource object has them as attributes, or
// their bare object. The document may name the resource, by type and id, and need not. An empty text is no
// arguments. The errors are those of [ReadResource].
func ReadArguments(text []byte) (Resource, error) {
	var r Resource
	if len(text) == 0 {
		return r, nil
	}
	root, err := readObject(text)
	if err != nil {
		return r, err
	}
	data, whole := root["data"]
	if !whole {
		r.Body = resource.Body{Attributes: root, Bare: true}
		return r, nil
	}
	var shape reader
	r = shape.arguments(data)
	return r, shape.err()
}

// readObject reads a text whose root must be an object.
func readObject(text []byte) (map[string]any, error) {
	if len(text) == 0 {
		return nil, malformed("the body is empty")
	}
	root, err := decode(text)
	if err != nil {
		return nil, err
	}
	object, ok := root.(map[string]any)
	if !ok {
		return nil, malformed("the body must be an object")
	}
	return object, nil
}

// readData is the data member of a document.
func readData(text []byte) (any, error) {
	root, err := readObject(text)
	if err != nil {
		return nil, err
	}
	data, ok := root["data"]
	if !ok {
		return nil, malformed("the document has no member data")
	}
	return data, nil
}

// reader checks the shapes of a document's parts and notes all problems.
type reader struct {
	problems resource.Errors

	locals locals // of a document with operations
	index  int    // of the operation there
}

func (r *reader) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	return r.problems
}

func (r *reader) find(err *resource.Error, path ...string) {
	r.problems = append(r.problems, err.At(path...))
}

// object is v as an object, nil if it is none.
func (r *reader) object(v any, path ...string) map[string]any {
	object, ok := v.(map[string]any)
	if !ok {
		r.find(malformed("%s must be an object", path[len(path)-1]), path...)
		return nil
	}
	return object
}

// text is a member of an object that must be there and a string.
func (r *reader) text(object map[string]any, name string, path ...string) string {
	v, ok := object[name]
	if !ok {
		r.find(malformed("there is no member %s", name), path...)
		return ""
	}
	s, ok := v.(string)
	if !ok {
		r.find(malformed("%s must be a string", name), append(path, name)...)
	}
	return s
}

// resource is the resource object of a creation or an update.
func (r *reader) resource(object map[string]any, about *resource.Description) Resource {
	return Resource{Type: r.text(object, "type", "data"), ID: r.id(object), Body: r.body(object, about)}
}

// arguments is the resource object around the arguments of an action.
func (r *reader) arguments(data any) Resource {
	object := r.object(data, "data")
	if object == nil {
		return Resource{}
	}
	var a Resource
	if _, given := object["type"]; given {
		a.Type = r.text(object, "type", "data")
	}
	a.ID, a.Body = r.id(object), r.body(object, nil)
	return a
}

// id is the member id of a resource object, nil if it has none.
func (r *reader) id(object map[string]any) *string {
	if _, given := object["id"]; !given {
		return nil
	}
	before := len(r.problems)
	id := r.text(object, "id", "data")
	if len(r.problems) > before {
		return nil
	}
	return &id
}

// body is what a resource object gives.
func (r *reader) body(object map[string]any, about *resource.Description) resource.Body {
	var body resource.Body
	if attributes, given := object["attributes"]; given {
		body.Attributes = without(r.object(attributes, "data", "attributes"))
	}
	relationships, given := object["relationships"]
	if !given {
		return body
	}
	body.Relationships = map[string][]resource.Identifier{}
	named := without(r.object(relationships, "data", "relationships"))
	for _, name := range members(named) {
		path := []string{"data", "relationships", name}
		relationship := r.object(named[name], path...)
		if relationship == nil {
			continue
		}
		data, given := relationship["data"]
		if !given {
			r.find(malformed("relationship %s has no member data", name), path...)
			continue
		}
		var many *bool
		if about != nil {
			if reference := about.Reference(name); reference != nil {
				many = &reference.Many
			}
		}
		body.Relationships[name] = r.linkage(data, many, append(path, "data")...)
	}
	return body
}

// without takes the @-members out of an object: they are ignored (JSON:API 1.1, "@-Members").
func without(object map[string]any) map[string]any {
	for name := range object {
		if len(name) > 0 && name[0] == '@' {
			delete(object, name)
		}
	}
	return object
}

// linkage is what a member data names: null, an identifier, or an array of them. If many is known, it must be of
// that form.
func (r *reader) linkage(v any, many *bool, path ...string) []resource.Identifier {
	items, array := v.([]any)
	switch {
	case many != nil && *many && !array:
		r.find(malformed("the linkage of a to-many relationship must be an array"), path...)
		return nil
	case many != nil && !*many && array:
		r.find(malformed("the linkage of a to-one relationship must be null or an object"), path...)
		return nil
	case v == nil:
		return nil
	case !array:
		return r.identifiers([]any{v}, func(int) []string { return path })
	}
	return r.identifiers(items, func(i int) []string { return append(path[:len(path):len(path)], strconv.Itoa(i)) })
}

func (r *reader) identifiers(items []any, path func(i int) []string) []resource.Identifier {
	targets := make([]resource.Identifier, 0, len(items))
	for i, item := range items {
		at := path(i)
		object := r.object(item, at...)
		if object == nil {
			continue
		}
		before := len(r.problems)
		target := resource.Identifier{Type: r.text(object, "type", at...)}
		target.ID = r.identity(object, target.Type, at...)
		if len(r.problems) == before {
			targets = append(targets, target)
		}
	}
	return targets
}
