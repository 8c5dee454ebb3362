package openapi

import (
	"slices"

	"github.com/getkin/kin-openapi/openapi3"

	"reeve/resource"
)

// closed is an object that has no members but these.
func closed(members openapi3.Schemas, required ...string) *openapi3.SchemaRef {
	s := open(members, required...)
	s.Value.AdditionalProperties = openapi3.AdditionalProperties{Has: new(false)}
	return s
}

// open is an object that may have other members, which are ignored.
func open(members openapi3.Schemas, required ...string) *openapi3.SchemaRef {
	s := openapi3.NewObjectSchema()
	s.Properties = members
	s.Required = slices.Sorted(slices.Values(required))
	return s.NewRef()
}

func array(items *openapi3.SchemaRef) *openapi3.SchemaRef {
	s := openapi3.NewArraySchema()
	s.Items = items
	return s.NewRef()
}

func nonEmpty(array *openapi3.SchemaRef) *openapi3.SchemaRef {
	array.Value.MinItems = 1
	return array
}

func text(description string) *openapi3.SchemaRef {
	s := openapi3.NewStringSchema()
	s.Description = description
	return s.NewRef()
}

func matching(text *openapi3.SchemaRef, pattern string) *openapi3.SchemaRef {
	text.Value.Pattern = pattern
	return text
}

func constant(word string) *openapi3.SchemaRef {
	s := openapi3.NewStringSchema()
	s.Const = word
	return s.NewRef()
}

func words(all ...string) *openapi3.SchemaRef {
	s := openapi3.NewStringSchema()
	for _, word := range all {
		s.Enum = append(s.Enum, word)
	}
	return s.NewRef()
}

func integer(least float64) *openapi3.SchemaRef {
	return openapi3.NewInt64Schema().WithMin(least).NewRef()
}

func id() *openapi3.SchemaRef { return kind(resource.ID).NewRef() }

// kind is what JSON values of a kind look like.
func kind(k resource.Kind) *openapi3.Schema {
	switch k {
	case resource.Bool:
		return openapi3.NewBoolSchema()
	case resource.Int:
		return openapi3.NewInt64Schema()
	case resource.Float:
		return openapi3.NewFloat64Schema()
	case resource.Time:
		return openapi3.NewDateTimeSchema()
	case resource.ID:
		return openapi3.NewStringSchema().WithFormat("ulid").WithPattern("^[0-7][0-9A-HJKMNP-TV-Z]{25}$")
	case resource.Strings:
		return openapi3.NewArraySchema().WithItems(openapi3.NewStringSchema())
	case resource.JSON:
		return openapi3.NewSchema()
	}
	return openapi3.NewStringSchema()
}

// use is where an attribute or a reference stands: in an answer, or in a body.
type use int

const (
	shown   use = iota
	issued      // in the answer to a creation
	created     // in the body of a creation, or of an action
	changed     // in the body of a change
)

// attribute is the schema of the values of an attribute.
func attribute(a *resource.AttributeDescription, in use) *openapi3.SchemaRef {
	s := kind(a.Kind)
	s.Description = a.Doc
	for _, word := range a.OneOf {
		s.Enum = append(s.Enum, word)
	}
	if a.Nullable && s.Type != nil {
		s.Type = &openapi3.Types{s.Type.Slice()[0], openapi3.TypeNull}
		if s.Enum != nil {
			s.Enum = append(s.Enum, nil)
		}
	}
	if a.Example != nil {
		s.Examples = []any{a.Example}
	}
	switch in {
	case shown, issued:
		s.ReadOnly = a.ReadOnly
	case created, changed:
		s.WriteOnly = !a.Visible()
		if a.Kind == resource.String && a.MaxLength > 0 {
			s.MaxLength = new(uint64(a.MaxLength))
		}
	}
	if in == created {
		s.Default = a.Default
	}
	return s.NewRef()
}

// attributes is the object of those attributes that stand there.
func attributes(all []resource.AttributeDescription, in use) *openapi3.SchemaRef {
	members := openapi3.Schemas{}
	var required []string
	for i := range all {
		a := &all[i]
		var there, always bool
		switch in {
		case shown, issued:
			there = a.Visible() && (!a.Once || in == issued)
			always = there
		case created, changed:
			there = a.Writable(in == created)
			always = a.Required && in == created
		}
		if there {
			members[a.Name] = attribute(a, in)
		}
		if always {
			required = append(required, a.Name)
		}
	}
	return closed(members, required...)
}

// relationships is the object of those references that stand there, nil if there are none. Answers show what a
// to-one names, and where the linkage of a to-many is.
func (b *builder) relationships(all []resource.ReferenceDescription, in use) *openapi3.SchemaRef {
	members := openapi3.Schemas{}
	var required []string
	for i := range all {
		r := &all[i]
		body := in == created || in == changed
		if body && !r.Writable(in == created) {
			continue
		}
		var s *openapi3.SchemaRef
		switch {
		case body:
			s = open(openapi3.Schemas{"data": b.linkage(r)}, "data")
		case r.Many:
			s = closed(openapi3.Schemas{"links": links()}, "links")
		default:
			s = closed(openapi3.Schemas{"data": b.linkage(r)}, "data")
		}
		s.Value.Description = r.Doc
		members[r.Name] = s
		if !body || r.Required && in == created {
			required = append(required, r.Name)
		}
	}
	if len(members) == 0 {
		return nil
	}
	return closed(members, required...)
}

// linkage is what a reference names: identifiers, an identifier, or null.
func (b *builder) linkage(r *resource.ReferenceDescription) *openapi3.SchemaRef {
	switch identifier := b.identifier(r.Type); {
	case r.Many:
		return array(identifier)
	case r.Nullable:
		null := openapi3.NewSchema()
		null.Type = &openapi3.Types{openapi3.TypeNull}
		return (&openapi3.Schema{AnyOf: openapi3.SchemaRefs{identifier, null.NewRef()}}).NewRef()
	default:
		return identifier
	}
}

// identifier names one resource of a type, or of any type if that is empty.
func (b *builder) identifier(typ string) *openapi3.SchemaRef {
	if typ == "" {
		return b.schema("Identifier", closed(openapi3.Schemas{"type": text(""), "id": id()}, "type", "id"))
	}
	return b.schema(pascal(typ)+".Identifier", closed(openapi3.Schemas{"type": constant(typ), "id": id()}, "type", "id"))
}

// links is a member links with self alone, or with others that may be there too.
func links(others ...string) *openapi3.SchemaRef {
	members := openapi3.Schemas{"self": text("")}
	for _, name := range others {
		members[name] = text("")
	}
	return closed(members, "self")
}

// resourceObject is a resource of the type as answers show it. In a list it has its cursor.
func (b *builder) resourceObject(d *resource.Description, in use) *openapi3.SchemaRef {
	cursor := text("The value of page[after] and page[before] for this place.")
	members := openapi3.Schemas{
		"type": constant(d.Name), "id": id(), "attributes": attributes(d.Attributes, in), "links": links(),
		"meta": closed(openapi3.Schemas{"page": closed(openapi3.Schemas{"cursor": cursor}, "cursor")}, "page"),
	}
	required := []string{"type", "id", "attributes", "links"}
	if r := b.relationships(d.References, in); r != nil {
		members["relationships"] = r
		required = append(required, "relationships")
	}
	s := closed(members, required...)
	s.Value.Description = d.Doc
	return s
}

// document is the answer with one resource, and with meta if an action tells more. The answer to a creation has a
// schema of its own if the type has attributes that are shown once.
func (b *builder) document(d *resource.Description, in use) *openapi3.SchemaRef {
	name := pascal(d.Name)
	if in == issued && slices.ContainsFunc(d.Attributes, func(a resource.AttributeDescription) bool { return a.Once }) {
		name += ".Issued"
	}
	one := b.schema(name, b.resourceObject(d, in))
	members := openapi3.Schemas{"meta": open(nil), "data": one, "links": links()}
	return b.schema(name+".Document", closed(members, "data", "links"))
}

// list is the answer with a page of items: without meta for count=false, without data for count=only.
func list(items *openapi3.SchemaRef) *openapi3.SchemaRef {
	s := closed(openapi3.Schemas{
		"meta":  closed(openapi3.Schemas{"count": integer(0)}, "count"),
		"data":  array(items),
		"links": links("first", "last", "next", "prev"),
	}, "links")
	for _, name := range []string{"data", "meta"} {
		s.Value.AnyOf = append(s.Value.AnyOf, (&openapi3.Schema{Required: []string{name}}).NewRef())
	}
	return s
}

// listDocument is the answer with a page of resources, each with its cursor.
func (b *builder) listDocument(d *resource.Description) *openapi3.SchemaRef {
	one := b.schema(pascal(d.Name), b.resourceObject(d, shown))
	item := &openapi3.Schema{AllOf: openapi3.SchemaRefs{one, (&openapi3.Schema{Required: []string{"meta"}}).NewRef()}}
	return b.schema(pascal(d.Name)+".List", list(item.NewRef()))
}

// body is what a creation or a change takes. Members beside those named are ignored, save among the attributes
// and relationships.
func (b *builder) body(d *resource.Description, in use) *openapi3.SchemaRef {
	a := attributes(d.Attributes, in)
	members, required := openapi3.Schemas{"type": constant(d.Name), "attributes": a}, []string{"type"}
	if len(a.Value.Required) > 0 {
		required = append(required, "attributes")
	}
	if r := b.relationships(d.References, in); r != nil {
		members["relationships"] = r
		if len(r.Value.Required) > 0 {
			required = append(required, "relationships")
		}
	}
	name := pascal(d.Name) + ".Create"
	if in == changed {
		name = pascal(d.Name) + ".Update"
		members["id"] = id()
		if !d.Singleton {
			required = append(required, "id")
		}
	}
	return b.schema(name, open(openapi3.Schemas{"data": open(members, required...)}, "data"))
}
