package openapi

import (
	"slices"
	"strconv"

	"reeve/resource"
	"reeve/resource/document"
	"reeve/resource/httpapi"
)

// describeOperations adds the path of the extension Atomic Operations. What the data of an operation may be is
// described with the operation of its own.
func (b *builder) describeOperations() {
	const tag = resource.Operations
	b.doc.Tags = append(b.doc.Tags, Tag{tag, "Several writes at once, which stand or fall together."})
	op := open(Schemas{
		"op": words(document.Add, document.Update, document.Remove),
		"ref": open(Schemas{
			"type": text(""), "id": id(), "relationship": text("The name of a relationship of the resource."),
			"lid": text("Instead of an id: the local id that an earlier operation gives the resource which it adds."),
		}, "type"),
		"href": text("Instead of ref: the path, as in links, or relative to this one. An action is added to."),
		"data": {Description: "What the body of a request of its own has as data; with lid, a new resource has a local id."},
		"meta": open(nil),
	}, "op")
	operations := nonEmpty(array(op))
	operations.MaxItems = document.MaxOperations
	result := closed(Schemas{
		"data": open(Schemas{"type": text(""), "id": id()}, "type", "id"),
		"meta": open(nil),
	})
	result.Description = "What the answer to a request of its own shows; empty if that has no body."
	in := func(s *Schema) Content { return Content{document.AtomicMediaType: {s}} }
	responses := map[string]*Response{
		"200": {Description: "The results, in the order of the operations.", Content: in(closed(Schemas{"atomic:results": array(result)}, "atomic:results"))},
		"204": answer("No operation has anything to show.", nil),
	}
	for _, success := range responses {
		success.Headers = replayed()
	}
	for _, status := range slices.Concat(failures, writeFailures, bodyFailures) {
		responses[strconv.Itoa(status)] = failure(status)
	}
	b.doc.Paths[httpapi.Base+"/"+resource.Operations] = PathItem{"post": {
		ID: "operate", Summary: "Do several writes at once", Tags: []string{tag},
		Description: "The extension [Atomic Operations](https://jsonapi.org/ext/atomic) of JSON:API, in order and in one " +
			"transaction. Each operation needs the permission that it needs as a request of its own. Pointers in errors " +
			"name the operation, as `/atomic:operations/3/data/attributes/name`.",
		Parameters:  []*Parameter{shared("idempotency_key")},
		RequestBody: &RequestBody{Required: true, Content: in(open(Schemas{"atomic:operations": operations}, "atomic:operations"))},
		Responses:   responses,
	}}
}
