package openapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/document"
	"reeve/resource/httpapi"
	"reeve/resource/idempotency"
)

// call is one operation: what it asks for, and the answer to it.
type call struct {
	method, path string
	id           string // as createUser; its words are the summary
	doc          string
	verb         string // of the permission that it needs
	parameters   []*Parameter
	body         *Schema // nil if it takes none
	optional     bool    // the body may be left out
	status       int
	answer       *Schema // nil if the answer has no body
}

// add adds an operation of a type to the document.
func (b *builder) add(d *resource.Description, c call) {
	description := "Needs the permission `" + d.Name + ":" + c.verb + "`."
	if d.Open && c.verb == resource.Get {
		description = "Needs no permission."
	}
	if c.doc != "" {
		description = c.doc + "\n\n" + description
	}
	op := &Operation{
		ID: c.id, Summary: sentence(c.id), Description: description, Tags: []string{d.Name},
		Parameters: c.parameters, Responses: map[string]*Response{},
	}
	success := answer(http.StatusText(c.status), c.answer)
	if c.method == http.MethodPost {
		op.Parameters = slices.Concat(op.Parameters, []*Parameter{parameter("idempotency_key")})
		success.Headers = replayed()
	}
	if c.status == http.StatusCreated {
		success.Headers["Location"] = header("The path of the new resource.", text(""))
	}
	op.Responses[strconv.Itoa(c.status)] = success
	statuses := failures
	if c.method != http.MethodGet {
		statuses = slices.Concat(statuses, writeFailures)
	}
	if c.body != nil {
		op.RequestBody = &RequestBody{Required: !c.optional, Content: content(c.body)}
	}
	if c.body != nil || c.method == http.MethodPost {
		statuses = slices.Concat(statuses, bodyFailures)
	}
	for _, status := range statuses {
		op.Responses[strconv.Itoa(status)] = failure(status)
	}
	path := httpapi.Base + c.path
	if b.doc.Paths[path] == nil {
		b.doc.Paths[path] = PathItem{}
	}
	b.doc.Paths[path][strings.ToLower(c.method)] = op
}

// replayed are the headers of an answer to a POST.
func replayed() map[string]Header {
	return map[string]Header{"Idempotency-Replayed": {
		Description: "The answer was given before, to the first request with this Idempotency-Key.", Schema: constant("true"),
	}}
}

// describe adds all operations of a type.
func (b *builder) describe(d *resource.Description) {
	if d.Singleton {
		b.describeOne(d, "/"+d.Path(), "", nil)
		return
	}
	b.describeAll(d, "/"+d.Path())
	b.describeOne(d, "/"+d.Path()+"/{id}", "", []*Parameter{parameter("id")})
	for _, key := range d.Lookups {
		b.describeOne(d, "/"+d.Path()+"/by-"+strings.ReplaceAll(key, "_", "-")+"/{"+key+"}", "By"+pascal(key), lookup(d, key))
	}
	for i := range d.References {
		b.describeRelationship(d, &d.References[i])
	}
}

// describeAll adds what is done with the whole of a type.
func (b *builder) describeAll(d *resource.Description, path string) {
	if d.Serves(resource.List) {
		b.add(d, call{
			method: http.MethodGet, path: path, id: "list" + pascal(d.Plural), verb: resource.List,
			doc: "With `Accept: " + document.LinesType + "` the answer is all of the list instead of a page: a resource " +
				"object a line, out of one state of the database. If that fails on the way, the last line has errors.",
			parameters: slices.Concat(pages(), filters(d)),
			status:     http.StatusOK, answer: b.listDocument(d),
		})
	}
	if d.Serves(resource.Create) {
		b.add(d, call{
			method: http.MethodPost, path: path, id: "create" + pascal(d.Name), verb: resource.Create,
			doc: "With `Content-Type: " + document.LinesType + "` each line is a resource object to be created, as an export " +
				"has it, and the answer a line for each: its number with the new identifier, or with errors.",
			body:   b.body(d, created),
			status: http.StatusCreated, answer: b.document(d, issued),
		})
	}
	for i := range d.Actions {
		a := &d.Actions[i]
		c := b.action(d, a, path, pascal(d.Plural))
		switch {
		case a.Collection:
			b.add(d, c)
		case d.Bulk(a):
			c.doc = strings.TrimSpace(a.Doc + " Done to every resource that meets the filters; one must be given.")
			c.parameters, c.status = filters(d), http.StatusOK
			c.answer = meta(closed(Schemas{"affected": integer(0)}, "affected"))
			b.add(d, c)
		}
	}
}

// describeOne adds what is done with one resource, at a path that finds it by its id or by a natural key.
func (b *builder) describeOne(d *resource.Description, path, by string, parameters []*Parameter) {
	one := pascal(d.Name) + by
	if d.Serves(resource.Get) {
		b.add(d, call{
			method: http.MethodGet, path: path, id: "get" + one, verb: resource.Get, parameters: parameters,
			status: http.StatusOK, answer: b.document(d, shown),
		})
	}
	if d.Serves(resource.Update) {
		b.add(d, call{
			method: http.MethodPatch, path: path, id: "update" + one, verb: resource.Update, parameters: parameters,
			doc:    "Members that are absent stay as they are; null clears.",
			body:   b.body(d, changed),
			status: http.StatusOK, answer: b.document(d, shown),
		})
	}
	if d.Serves(resource.Delete) {
		b.add(d, call{
			method: http.MethodDelete, path: path, id: "delete" + one, verb: resource.Delete, parameters: parameters,
			status: http.StatusNoContent,
		})
	}
	for i := range d.Actions {
		if a := &d.Actions[i]; !a.Collection || d.Singleton {
			c := b.action(d, a, path, one)
			c.parameters = parameters
			b.add(d, c)
		}
	}
}

// action is the call of an action at a path.
func (b *builder) action(d *resource.Description, a *resource.ActionDescription, path, on string) call {
	c := call{
		method: http.MethodPost, path: path + "/" + a.Name, id: camel(a.Name) + on, doc: a.Doc, verb: a.Name,
		status: http.StatusOK,
	}
	if len(a.Arguments) > 0 {
		arguments := attributes(a.Arguments, created)
		c.body, c.optional = b.schema(pascal(d.Name)+"."+pascal(a.Name), arguments), len(arguments.Required) == 0
	}
	switch a.Answer {
	case resource.AnswersResource:
		c.answer = b.document(d, shown)
	case resource.AnswersMeta:
		c.answer = meta(open(nil))
	case resource.AnswersNothing:
		c.status = http.StatusNoContent
	}
	return c
}

// lookup is the parameter of the path that finds a resource by a natural key.
func lookup(d *resource.Description, key string) []*Parameter {
	i := slices.IndexFunc(d.Attributes, func(a resource.AttributeDescription) bool { return a.Name == key })
	a := &d.Attributes[i] // it is there, as the registry has verified
	return []*Parameter{inPath(key, a.Doc, kind(a.Kind))}
}

// describeRelationship adds the reading and the writing of a relationship.
func (b *builder) describeRelationship(d *resource.Description, r *resource.ReferenceDescription) {
	if !d.Serves(resource.Get) {
		return
	}
	c := call{
		path: "/" + d.Path() + "/{id}/relationships/" + r.Name, doc: r.Doc,
		parameters: []*Parameter{parameter("id")},
	}
	name := pascal(d.Name) + pascal(r.Name)
	read := c
	read.method, read.verb, read.status = http.MethodGet, resource.Get, http.StatusOK
	if r.Many {
		read.id = "list" + name
		read.parameters = slices.Concat(c.parameters, pages())
		read.answer = b.schema(pascal(r.Type)+".Identifier.List", list(b.identifier(r.Type)))
	} else {
		read.id = "get" + name
		read.answer = closed(Schemas{"data": b.linkage(r), "links": links()}, "data", "links")
	}
	b.add(d, read)
	write := func(method, verb string) {
		c.method, c.id, c.verb, c.status = method, verb+name, resource.Update, http.StatusNoContent
		c.body = open(Schemas{"data": b.linkage(r)}, "data")
		b.add(d, c)
	}
	switch {
	case !r.Writable(false):
	case r.Many:
		write(http.MethodPost, "add")
		write(http.MethodPatch, "replace")
		write(http.MethodDelete, "remove")
	case d.Serves(resource.Update):
		write(http.MethodPatch, "set")
	}
}

// meta is the answer that has nothing else.
func meta(members *Schema) *Schema {
	return closed(Schemas{"meta": members}, "meta")
}

// describeParameters names the parameters that operations share.
func (b *builder) describeParameters() {
	size := integer(1)
	size.Maximum = pagination.MaxSize
	count := words("true", "false", "only")
	count.Default = "true"
	b.doc.Components.Parameters = map[string]*Parameter{
		"id": inPath("id", "The id of the resource.", id()),
		"page.first": inQuery("page[first]", "How many resources to show from the start, "+
			strconv.Itoa(pagination.DefaultSize)+" unless given.", size),
		"page.last": inQuery("page[last]", "How many resources to show from the end; not together with page[first].",
			size),
		"page.after":  inQuery("page[after]", "Show only resources after this id, which need not exist.", id()),
		"page.before": inQuery("page[before]", "Show only resources before this id, which need not exist.", id()),
		"count": inQuery("count", "Whether to show the resources and their exact total, the resources alone, or the "+
			"total alone.", count),
		"idempotency_key": {
			Name: idempotency.Header, In: "header", Schema: matching(text(""), "^[!-~]{1,"+strconv.Itoa(idempotency.MaxKey)+"}$"),
			Description: "A random name for this request. Repeated with the same key and the same body within a day, it is not " +
				"carried out again: its first answer of success is given again.",
		},
	}
}

// parameter is the reference to a parameter that [builder.describeParameters] has named.
func parameter(component string) *Parameter {
	return &Parameter{Ref: "#/components/parameters/" + component}
}

func inPath(name, description string, s *Schema) *Parameter {
	return &Parameter{Name: name, In: "path", Description: description, Required: true, Schema: s}
}

func inQuery(name, description string, s *Schema) *Parameter {
	return &Parameter{Name: name, In: "query", Description: description, Schema: s}
}

// pages are the parameters of every list.
func pages() []*Parameter {
	return []*Parameter{
		parameter("page.first"), parameter("page.last"), parameter("page.after"), parameter("page.before"),
		parameter("count"),
	}
}

// filters are the filters of a type. One that is repeated means any of its values.
func filters(d *resource.Description) []*Parameter {
	var all []*Parameter
	for i := range d.Filters {
		f := &d.Filters[i]
		value := kind(f.Kind)
		if f.Closed() {
			value = words(f.Words()...)
		}
		p := inQuery(f.Parameter(), f.Doc, nonEmpty(array(value)))
		p.Style, p.Explode = "form", true
		all = append(all, p)
	}
	return all
}

// pascal joins the words of a name, each with a capital letter: registration-token is RegistrationToken.
func pascal(name string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '-' || r == '_' }) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// camel is [pascal] without the first capital letter.
func camel(name string) string { return name[:1] + pascal(name)[1:] }

// sentence takes an operation id apart again: createUser is "Create user".
func sentence(id string) string {
	var b strings.Builder
	for i, r := range id {
		switch {
		case i == 0:
			b.WriteRune(unicode.ToUpper(r))
		case unicode.IsUpper(r):
			b.WriteString(" " + string(unicode.ToLower(r)))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
