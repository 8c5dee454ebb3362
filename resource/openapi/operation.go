package openapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

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
	reads        string // the permission that it needs besides, as user:list; empty for none
	parameters   []*Parameter
	body         *Schema // nil if it takes none
	optional     bool    // the body may be left out
	guarded      bool    // it writes one resource, of a version that If-Match may name
	status       int
	answer       *Schema // nil if the answer has no body
	etag         *Header // of an answer that shows one resource
}

// add adds an operation of a type to the document.
func (b *builder) add(d *resource.Description, c call) *Operation {
	var needs []string
	if !d.Open || c.verb != resource.Get {
		needs = append(needs, d.Name+":"+c.verb)
	}
	if c.reads != "" {
		needs = append(needs, c.reads)
	}
	description := "Needs the permission `" + strings.Join(needs, "` and `") + "`."
	if needs == nil {
		description = "Needs no permission."
	}
	if c.doc != "" {
		description = c.doc + "\n\n" + description
	}
	op := &Operation{
		ID: c.id, Summary: sentence(c.id), Description: description, Tags: []string{d.Name}, Permissions: needs,
		Parameters: c.parameters, Responses: map[string]*Response{},
	}
	success := answer(http.StatusText(c.status), c.answer)
	success.Headers = map[string]Header{}
	op.Responses[strconv.Itoa(c.status)] = success
	statuses := failures
	if c.method != http.MethodGet {
		statuses = slices.Concat(statuses, writeFailures)
	}
	if c.method == http.MethodPost {
		op.Parameters = slices.Concat(op.Parameters, []*Parameter{shared("idempotency_key")})
		success.Headers = replayed()
	}
	if c.status == http.StatusCreated {
		success.Headers["Location"] = header("The path of the new resource.", text(""))
	}
	if c.etag != nil {
		success.Headers["ETag"] = *c.etag
		if c.method == http.MethodGet {
			op.Parameters = slices.Concat(op.Parameters, []*Parameter{shared("if_none_match")})
			unchanged := answer("The answer would have a tag that If-None-Match names.", nil)
			unchanged.Headers = map[string]Header{"ETag": *tag()}
			op.Responses[strconv.Itoa(http.StatusNotModified)] = unchanged
		}
	}
	if d.Forcible && c.method != http.MethodGet {
		op.Parameters = slices.Concat(op.Parameters, []*Parameter{shared("force")})
	}
	if c.guarded {
		op.Parameters = slices.Concat(op.Parameters, []*Parameter{shared("if_match")})
		statuses = slices.Concat(statuses, matchFailures)
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
	return op
}

// addList adds an operation that answers page by page, by the seed's rules or by those of the cursor pagination
// profile.
func (b *builder) addList(d *resource.Description, c call) *Operation {
	c.method, c.status = http.MethodGet, http.StatusOK
	op := b.add(d, c)
	op.Responses[strconv.Itoa(c.status)].Content[document.ProfileType] = MediaType{c.answer}
	return op
}

// tag is the header of an answer that shows one resource.
func tag() *Header {
	h := header("The version of the resource, and what the answer shows of it.", text(""))
	return &h
}

// replayed are the headers of an answer to a POST.
func replayed() map[string]Header {
	return map[string]Header{"Idempotency-Replayed": {
		Description: "The answer was given before, to the first request with this Idempotency-Key.", Schema: constant("true"),
	}}
}

// describe adds all operations of a type.
func (b *builder) describe(d *resource.Description) {
	path, parameters := "/"+d.Path(), []*Parameter(nil)
	if !d.Singleton {
		b.describeAll(d, path)
		path, parameters = path+"/{id}", []*Parameter{shared("id")}
		if d.Named {
			parameters = []*Parameter{inPath("id", "The id of the resource, or its "+d.Lookups[0]+".", text(""))}
		}
		for _, key := range d.Lookups {
			b.describeOne(d, "/"+d.Path()+"/by-"+strings.ReplaceAll(key, "_", "-")+"/{"+key+"}", "By"+pascal(key), b.lookup(d, key))
		}
	}
	b.describeOne(d, path, "", parameters)
	if !d.Serves(resource.Get) {
		return
	}
	for i := range d.References {
		b.describeRelated(d, &d.References[i], path, parameters)
		b.describeLinkage(d, &d.References[i], path, parameters)
	}
}

// describeAll adds what is done with the whole of a type.
func (b *builder) describeAll(d *resource.Description, path string) {
	if d.Serves(resource.List) {
		op := b.addList(d, call{
			path: path, id: "list" + pascal(d.Plural), verb: resource.List,
			doc: "With `Accept: " + document.LinesType + "` the answer is an export: all of the list, out of one state of the " +
				"database. An export takes no page, count and include.",
			parameters: slices.Concat(pages(), b.whole(d)), answer: b.listDocument(d),
		})
		op.Responses["200"].Content[document.LinesType] = MediaType{text(
			"A resource object a line. If the export fails on the way, its last line has `errors`.")}
	}
	if d.Serves(resource.Create) {
		create := call{
			method: http.MethodPost, path: path, id: "create" + pascal(d.Name), verb: resource.Create,
			body:   b.body(d, created),
			status: http.StatusCreated, answer: b.document(d, issued), etag: tag(),
		}
		if d.Imports() {
			create.doc = "With `Content-Type: " + document.LinesType + "` the body is an import, of any length. It takes no `" +
				idempotency.Header + "`."
		}
		op := b.add(d, create)
		if d.Imports() {
			op.RequestBody.Content[document.LinesType] = MediaType{text("A resource object a line, as an export has it.")}
			op.Responses["200"] = &Response{Description: "What became of each line of an import.", Content: Content{document.LinesType: {text(
				"For each line its number as `line`, and `type` and `id` of the new resource, or `errors`.")}}}
		}
	}
	all := pascal(d.Plural)
	if d.Plural == d.Name {
		all = "All" + all
	}
	for i := range d.Actions {
		a := &d.Actions[i]
		c := b.action(d, a, path, all)
		switch {
		case a.Collection:
			b.add(d, c)
		case d.Bulk(a):
			c.doc = strings.TrimSpace(a.Doc + " Done to every resource that meets the filters; one must be given.")
			c.parameters, c.status = slices.Concat(b.filters(d), []*Parameter{shared("max_affected")}), http.StatusOK
			c.etag = nil
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
			method: http.MethodGet, path: path, id: "get" + one, verb: resource.Get,
			parameters: slices.Concat(parameters, b.shows(d)),
			status:     http.StatusOK, answer: b.document(d, shown), etag: tag(),
		})
	}
	if d.Serves(resource.Update) {
		b.add(d, call{
			method: http.MethodPatch, path: path, id: "update" + one, verb: resource.Update, parameters: parameters,
			doc:  "Members that are absent stay as they are; null clears.",
			body: b.body(d, changed), guarded: true,
			status: http.StatusOK, answer: b.document(d, shown), etag: tag(),
		})
	}
	if by != "" && d.Puts() {
		set := "what only a creation gives is refused, but for the name itself."
		for i := range d.Actions {
			if a := &d.Actions[i]; a.Puts {
				set = "what only a creation gives is refused, but for the name itself, and for the arguments of the action `" + a.Name +
					"`, which is done then and needs its permission too."
			}
		}
		op := b.add(d, call{
			method: http.MethodPut, path: path, id: "put" + one, verb: resource.Create, reads: d.Name + ":" + resource.Update, parameters: parameters,
			doc: "Creates the resource if there is none of this name. If there is one, members that are absent stay as they are, and " + set +
				" With `If-None-Match: *` it only creates, or is 412.",
			body: b.body(d, put), guarded: true,
			status: http.StatusOK, answer: b.document(d, shown), etag: tag(),
		})
		made := answer(http.StatusText(http.StatusCreated), b.document(d, issued))
		made.Headers = map[string]Header{"ETag": *tag(), "Location": header("The path of the new resource.", text(""))}
		op.Responses[strconv.Itoa(http.StatusCreated)] = made
	}
	if d.Serves(resource.Delete) {
		b.add(d, call{
			method: http.MethodDelete, path: path, id: "delete" + one, verb: resource.Delete, parameters: parameters,
			guarded: true, status: http.StatusNoContent,
		})
	}
	for i := range d.Actions {
		if a := &d.Actions[i]; !a.Collection || d.Singleton {
			c := b.action(d, a, path, one)
			c.parameters, c.guarded = parameters, !a.Collection
			for _, argument := range a.Arguments {
				if argument.InQuery {
					c.parameters = slices.Concat(c.parameters, []*Parameter{inQuery(argument.Name, argument.Doc, kind(argument.Kind))})
				}
			}
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
		c.answer, c.etag = b.document(d, shown), tag()
		if a.Issues {
			c.answer = b.document(d, issued)
		}
	case resource.AnswersMeta:
		c.answer = meta(open(nil))
	case resource.AnswersNothing:
		c.status = http.StatusNoContent
	}
	return c
}

// lookup is the parameter of the path that finds a resource by a natural key.
func (b *builder) lookup(d *resource.Description, key string) []*Parameter {
	i := slices.IndexFunc(d.Attributes, func(a resource.AttributeDescription) bool { return a.Name == key })
	a := &d.Attributes[i] // it is there, as the registry has verified
	return []*Parameter{b.parameter("key."+d.Name+"."+key, inPath(key, a.Doc, kind(a.Kind)))}
}

// describeRelated adds the reading of the resources that a relationship names.
func (b *builder) describeRelated(d *resource.Description, r *resource.ReferenceDescription, path string, parameters []*Parameter) {
	c := call{path: path + "/" + r.Name, doc: r.Doc, verb: resource.Get}
	name, target := pascal(d.Name)+pascal(r.Name), b.about(r.Type)
	if r.Many {
		if target != nil { // its module is loaded
			if name == pascal(target.Plural) { // webhooks/{id}/deliveries is not webhook-deliveries
				name = "Related" + name
			}
			c.id, c.reads, c.answer = "list"+name, r.Type+":"+resource.List, b.listDocument(target)
			c.parameters = slices.Concat(parameters, pages(), b.whole(target))
			b.addList(d, c)
		}
		return
	}
	c.method, c.id, c.status, c.answer = http.MethodGet, "get"+name, http.StatusOK, b.related(r)
	c.etag = &Header{Description: "As that of the resource itself, if there is one.", Schema: text("")}
	if target != nil {
		c.reads, c.parameters = r.Type+":"+resource.Get, slices.Concat(parameters, b.shows(target))
	} else {
		c.parameters = slices.Concat(parameters, b.fields(b.targets(r)...))
	}
	b.add(d, c)
}

// describeLinkage adds the reading and the writing of a relationship.
func (b *builder) describeLinkage(d *resource.Description, r *resource.ReferenceDescription, path string, parameters []*Parameter) {
	c := call{path: path + "/relationships/" + r.Name, doc: r.Doc, parameters: parameters}
	name := pascal(d.Name) + pascal(r.Name)
	read := c
	read.verb = resource.Get
	if r.Many {
		read.id, read.parameters = "list"+name+"Linkage", slices.Concat(parameters, pages())
		read.answer = b.schema(pascal(r.Type)+".Identifier.List", b.list(b.identifier(r.Type), nil))
		if b.about(r.Type) != nil {
			read.reads = r.Type + ":" + resource.List
		}
		b.addList(d, read)
	} else {
		read.method, read.id, read.status = http.MethodGet, "get"+name+"Linkage", http.StatusOK
		read.answer = closed(Schemas{"data": b.linkage(r), "links": links()}, "data", "links")
		b.add(d, read)
	}
	write := func(method, verb string) {
		c.method, c.id, c.verb, c.status = method, verb+name, resource.Update, http.StatusNoContent
		members := Schemas{"data": b.linkage(r)}
		if len(r.Arguments) > 0 {
			members["meta"] = open(attributes(r.Arguments, created).Properties)
		}
		c.body, c.guarded = open(members, "data"), true
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
