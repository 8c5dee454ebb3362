package openapi

import (
	"slices"

	"reeve/resource"
	"reeve/resource/document"
)

// closed is an object that has no members but these.
func closed(members Schemas, required ...string) *Schema {
	s := open(members, required...)
	s.AdditionalProperties = new(false)
	return s
}

// open is an object that may have other members, which are ignored.
func open(members Schemas, required ...string) *Schema {
	return &Schema{Type: Types{"object"}, Properties: members, Required: slices.Sorted(slices.Values(required))}
}

func array(items *Schema) *Schema {
	return &Schema{Type: Types{"array"}, Items: items}
}

func nonEmpty(array *Schema) *Schema {
	array.MinItems = 1
	return array
}

func text(description string) *Schema {
	return &Schema{Type: Types{"string"}, Description: description}
}

func matching(text *Schema, pattern string) *Schema {
	text.Pattern = pattern
	return text
}

func constant(word string) *Schema {
	return &Schema{Type: Types{"string"}, Const: word}
}

func words(all ...string) *Schema {
	s := text("")
	for _, word := range all {
		s.Enum = append(s.Enum, word)
	}
	return s
}

func integer(least int) *Schema {
	return &Schema{Type: Types{"integer"}, Format: "int64", Minimum: &least}
}

func id() *Schema { return kind(resource.ID) }

// kind is what JSON values of a kind look like.
func kind(k resource.Kind) *Schema {
	switch k {
	case resource.Bool:
		return &Schema{Type: Types{"boolean"}}
	case resource.Int:
		return &Schema{Type: Types{"integer"}, Format: "int64"}
	case resource.Float:
		return &Schema{Type: Types{"number"}}
	case resource.Time:
		return &Schema{Type: Types{"string"}, Format: "date-time"}
	case resource.ID:
		return &Schema{Type: Types{"string"}, Format: "ulid", Pattern: "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"}
	case resource.Strings:
		return array(text(""))
	case resource.JSON:
		return &Schema{}
	}
	return text("")
}

// use is where an attribute or a reference stands: in an answer, or in a body.
type use int

const (
	shown   use = iota
	issued      // in the answer to a creation
	created     // in the body of a creation, or of an action
	changed     // in the body of a change
	put         // in the body of what creates or changes
)

// attribute is the schema of the values of an attribute.
func attribute(a *resource.AttributeDescription, in use) *Schema {
	s := kind(a.Kind)
	s.Description = a.Doc
	for _, word := range a.OneOf {
		s.Enum = append(s.Enum, word)
	}
	if a.Nullable && s.Type != nil {
		s.Type = append(s.Type, "null")
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
	case created, changed, put:
		s.WriteOnly = !a.Visible()
		if a.Kind == resource.String && a.MaxLength > 0 {
			s.MaxLength = a.MaxLength
		}
	}
	if in == created {
		s.Default = a.Default
	}
	return s
}

// attributes is the object of those attributes that stand there. Answers to reads may show some of them only.
func attributes(all []resource.AttributeDescription, in use) *Schema {
	members := Schemas{}
	var required []string
	for i := range all {
		a := &all[i]
		var there, always bool
		switch in {
		case shown, issued:
			there = a.Visible() && (!a.Once || in == issued)
			always = there && in == issued
		case created, changed, put:
			there = a.Writable(in != changed)
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

// together are the objects that have two members of a group which exclude each other; nil if members has no such two.
func together(groups [][]string, members Schemas) *Schema {
	var pairs []*Schema
	for _, group := range groups {
		for i, one := range group {
			for _, other := range group[i+1:] {
				if members[one] != nil && members[other] != nil {
					pairs = append(pairs, &Schema{Required: []string{one, other}})
				}
			}
		}
	}
	if pairs == nil {
		return nil
	}
	return &Schema{AnyOf: pairs}
}

// relationships is the object of those references that stand there, nil if there are none. Answers show what a
// to-one names, and what a to-many does where they include it; answers to reads may show some of them only.
func (b *builder) relationships(all []resource.ReferenceDescription, in use) *Schema {
	members := Schemas{}
	var required []string
	for i := range all {
		r := &all[i]
		body := in == created || in == changed || in == put
		if body && !r.Writable(in != changed) {
			continue
		}
		var s *Schema
		switch {
		case body:
			s = open(Schemas{"data": b.linkage(r)}, "data")
		case r.Many:
			s = closed(Schemas{"data": b.linkage(r), "links": relationshipLinks()}, "links")
		default:
			s = closed(Schemas{"data": b.linkage(r), "links": relationshipLinks()}, "data", "links")
		}
		s.Description = r.Doc
		members[r.Name] = s
		if in == issued || in == created && r.Required {
			required = append(required, r.Name)
		}
	}
	if len(members) == 0 {
		return nil
	}
	return closed(members, required...)
}

// linkage is what a reference names: identifiers, an identifier, or null.
func (b *builder) linkage(r *resource.ReferenceDescription) *Schema {
	switch identifier := b.identifier(r.Type); {
	case r.Many:
		return array(identifier)
	case r.Nullable:
		return &Schema{AnyOf: []*Schema{identifier, {Type: Types{"null"}}}}
	default:
		return identifier
	}
}

// identifier names one resource of a type, or of any type if that is empty.
func (b *builder) identifier(typ string) *Schema {
	if typ == "" {
		return b.schema("Identifier", closed(Schemas{"type": text(""), "id": id()}, "type", "id"))
	}
	return b.schema(pascal(typ)+".Identifier", closed(Schemas{"type": constant(typ), "id": id()}, "type", "id"))
}

// links is a member links with self alone.
func links() *Schema {
	return closed(Schemas{"self": text("")}, "self")
}

// relationshipLinks are where what a relationship names is, where its linkage is if it can be paged or written, and
// where that goes on after what the answer holds of it.
func relationshipLinks() *Schema {
	return closed(Schemas{"self": text(""), "related": text(""), "next": text("")}, "related")
}

// resourceObject is a resource of the type as answers show it. In a list it has its cursor.
func (b *builder) resourceObject(d *resource.Description, in use) *Schema {
	cursor := text("The value of page[after] and page[before] for this place.")
	members := Schemas{
		"type": constant(d.Name), "id": id(), "attributes": attributes(d.Attributes, in), "links": links(),
		"meta": closed(Schemas{
			"page": closed(Schemas{"cursor": cursor}, "cursor"), "provisioned": b.schema("Provisioned", provisioned()),
		}),
	}
	required := []string{"type", "id", "attributes", "links"}
	r := b.relationships(d.References, in)
	if r != nil {
		members["relationships"] = r
	}
	switch {
	case in == shown:
		members["attributes"].Description = "All of these, unless the query has `fields[" + d.Name + "]`."
	case r != nil:
		required = append(required, "relationships")
	}
	s := closed(members, required...)
	s.Description = d.Doc
	return s
}

// provisioned is what the meta of a resource tells that is as a file has it.
func provisioned() *Schema {
	s := closed(Schemas{"kind": text(""), "file": text(""), "allow_edits": {Type: Types{"boolean"}}}, "kind", "file", "allow_edits")
	s.Description = "The resource is as a file has it, and is changed there; elsewhere only if it allows edits, until it is applied again."
	return s
}

// resource is a resource of the type as answers show it.
func (b *builder) resource(d *resource.Description) *Schema {
	return b.schema(pascal(d.Name), b.resourceObject(d, shown))
}

// document is the answer with one resource, and with meta if an action tells more. The answer to a creation has a
// schema of its own if the type has attributes that are shown once.
func (b *builder) document(d *resource.Description, in use) *Schema {
	name, one := pascal(d.Name), b.resource(d)
	members := Schemas{"meta": open(nil), "links": links()}
	if in == issued && slices.ContainsFunc(d.Attributes, func(a resource.AttributeDescription) bool { return a.Once }) {
		name += ".Issued"
		one = b.schema(name, b.resourceObject(d, in))
	} else if all := b.included(d); all != nil {
		members["included"] = all
	}
	members["data"] = one
	return b.schema(name+".Document", closed(members, "data", "links"))
}

// related is the answer with the one resource that a reference leads to, or with none.
func (b *builder) related(r *resource.ReferenceDescription) *Schema {
	members := Schemas{"links": links()}
	var any []*Schema
	if target := b.about(r.Type); target != nil {
		any = []*Schema{b.resource(target)}
		if all := b.included(target); all != nil {
			members["included"] = all
		}
	} else {
		for _, d := range b.targets(r) {
			any = append(any, b.resource(d))
		}
	}
	members["data"] = &Schema{AnyOf: append(any, &Schema{Type: Types{"null"}})}
	return b.schema(pascal(r.Type)+".Related", closed(members, "data", "links"))
}

// included is the member with the resources that those of a type lead to, nil if they lead nowhere.
func (b *builder) included(d *resource.Description) *Schema {
	var any []*Schema
	for _, to := range b.reached(d) {
		any = append(any, b.resource(to))
	}
	if any == nil {
		return nil
	}
	return b.schema(pascal(d.Name)+".Included", array(&Schema{AnyOf: any}))
}

// targets are the types of what a reference names.
func (b *builder) targets(r *resource.ReferenceDescription) []*resource.Description {
	if r.Type == "" {
		return slices.DeleteFunc(slices.Clone(b.types), func(d *resource.Description) bool { return !d.Serves(resource.Get) })
	}
	if target := b.about(r.Type); target != nil {
		return []*resource.Description{target}
	}
	return nil
}

// reached are the types to which paths of relationships lead from one, in their order.
func (b *builder) reached(from *resource.Description) []*resource.Description {
	reached := map[*resource.Description]bool{}
	var follow func(d *resource.Description)
	follow = func(d *resource.Description) {
		for i := range d.References {
			for _, to := range b.targets(&d.References[i]) {
				if !reached[to] {
					reached[to] = true
					if d.References[i].Type != "" { // paths end at what may be of any type
						follow(to)
					}
				}
			}
		}
	}
	follow(from)
	return slices.DeleteFunc(slices.Clone(b.types), func(d *resource.Description) bool { return !reached[d] })
}

// list is the answer with a page of items: without meta for count=false, without data for count=only. What belongs
// to the cursor pagination profile is there where that applies.
func (b *builder) list(items, included *Schema) *Schema {
	total := closed(Schemas{"total": integer(0)}, "total")
	total.Description = "The count by the name that the profile has for it."
	meta := closed(Schemas{"count": integer(0), "count_omitted": text("Why the total is left out."), "page": total})
	meta.MinProperties = 1
	page := &Schema{Type: Types{"string", "null"}, Description: "Left out, or null by the profile, where no such page is."}
	members := Schemas{
		"meta": b.schema("List.Meta", meta), "data": array(items),
		"links": b.schema("List.Links", closed(Schemas{
			"self":  {AnyOf: []*Schema{text(""), closed(Schemas{"href": text(""), "type": constant(document.ProfileType)}, "href", "type")}},
			"first": text(""), "last": text(""), "next": page, "prev": page,
		}, "self")),
	}
	if included != nil {
		members["included"] = included
	}
	s := closed(members, "links")
	s.AnyOf = []*Schema{{Required: []string{"data"}}, {Required: []string{"meta"}}}
	return s
}

// listDocument is the answer with a page of resources, each with its cursor.
func (b *builder) listDocument(d *resource.Description) *Schema {
	item := &Schema{AllOf: []*Schema{b.resource(d), open(Schemas{"meta": open(nil, "page")}, "meta")}}
	return b.schema(pascal(d.Name)+".List", b.list(item, b.included(d)))
}

// body is what a creation or a change takes. Members beside those named are ignored, save among the attributes
// and relationships.
func (b *builder) body(d *resource.Description, in use) *Schema {
	a := attributes(d.Attributes, in)
	a.Not = together(d.Exclusive, a.Properties)
	members, required := Schemas{"type": constant(d.Name), "attributes": a}, []string{"type"}
	if len(a.Required) > 0 {
		required = append(required, "attributes")
	}
	if r := b.relationships(d.References, in); r != nil {
		members["relationships"] = r
		if len(r.Required) > 0 {
			required = append(required, "relationships")
		}
	}
	name := pascal(d.Name) + ".Create"
	switch in {
	case changed:
		name = pascal(d.Name) + ".Update"
		members["id"] = id()
		if !d.Singleton {
			required = append(required, "id")
		}
	case put:
		name = pascal(d.Name) + ".Put"
		members["id"] = id()
	}
	return b.schema(name, open(Schemas{"data": open(members, required...)}, "data"))
}
