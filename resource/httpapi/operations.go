package httpapi

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"reeve/resource"
	"reeve/resource/document"
)

// operationsPath is where documents of the extension Atomic Operations are taken, below the base.
const operationsPath = "/" + resource.Operations

// extension is the extension of JSON:API that the request's path has, empty for none.
func extension(r *http.Request) string {
	if r.URL.Path == Base+operationsPath {
		return document.AtomicExtension
	}
	return ""
}

// maxOperationsBody is how long a body may be there, in bytes.
const maxOperationsBody = 10 << 20

// part is one operation of several, read as if it were a request of its own.
type part struct {
	request
	index int // in the document
}

// methodOf is the method of the request that would do the same as an operation.
var methodOf = map[string]string{
	document.Add: http.MethodPost, document.Update: http.MethodPatch, document.Remove: http.MethodDelete,
}

// readOperations reads the operations of a document. The problems of all are reported together.
func (h *handler) readOperations(text []byte) ([]part, error) {
	ops, err := document.ReadOperations(text)
	var problems resource.Errors
	if err != nil {
		problems = resource.AllErrors(err)
	}
	var parts []part
	for i, op := range ops {
		if op == nil {
			continue
		}
		req, err := h.readOperation(op)
		if err == nil {
			parts = append(parts, part{req, i})
			continue
		}
		for _, e := range resource.AllErrors(err) {
			problems = append(problems, e.Within(document.OperationPath(i)...))
		}
	}
	if len(problems) > 0 {
		return parts, problems
	}
	return parts, nil
}

// readOperation reads one operation. Pointers are from there.
func (h *handler) readOperation(op *document.Operation) (request, error) {
	at, query, err := h.locateOperation(op)
	if err != nil {
		return request{}, err
	}
	verb, err := at.verb(methodOf[op.Code])
	if err != nil {
		// The method is that of an operation: the request itself has the right one.
		return request{}, resource.Errorf(resource.ReadOnly, "%s cannot do this here: %s", op.Code, err)
	}
	req := request{place: at, operation: resource.Operation{Verb: verb, Type: at.about.Name, ID: at.id, Key: at.key}}
	if err := req.readQuery(query); err != nil {
		return req, inHref(err)
	}
	if at.reference != nil {
		req.operation.Relationship = at.reference.Name
	}
	if verb == resource.Create {
		req.operation.ID = op.New
	}
	return req, req.readData(op)
}

// locateOperation finds what an operation is about, by its ref or its href, and the query of that.
func (h *handler) locateOperation(op *document.Operation) (at place, query string, err error) {
	if op.Href != nil {
		return h.locateHref(*op.Href)
	}
	ref := op.Ref
	about := h.engine.Registry().Type(ref.Type)
	if about == nil {
		return place{}, "", resource.Errorf(resource.NotFound, "there is no type %q", ref.Type)
	}
	p := place{about: about, id: ref.ID}
	switch {
	case op.Code == document.Add && ref.Relationship == nil:
		return p, "", nil
	case about.Singleton && ref.ID != resource.NamedID(about.Name, ""):
		return place{}, "", resource.Errorf(resource.NotFound, "there is no %s %s", about.Name, ref.ID)
	case ref.Relationship == nil:
		p.kind = single
		return p, "", nil
	}
	p.kind, p.reference = relationship, about.Reference(*ref.Relationship)
	if p.reference == nil {
		return place{}, "", resource.Errorf(resource.NotFound, "%s have no relationship %q", about.Plural, *ref.Relationship).At("ref", "relationship")
	}
	return p, "", nil
}

// locateHref finds what a reference names that is relative to the path of the request (RFC 3986, section 5).
func (h *handler) locateHref(href string) (at place, query string, err error) {
	nowhere := resource.Errorf(resource.NotFound, "there is nothing at this path").At("href")
	to, err := url.Parse(href)
	if err != nil || to.Host != "" || to.Scheme != "" {
		return place{}, "", nowhere
	}
	to = (&url.URL{Path: h.base + operationsPath}).ResolveReference(to)
	prefix := strings.TrimSuffix(h.base, Base)
	if !strings.HasPrefix(to.Path, prefix) {
		return place{}, "", nowhere
	}
	to.Path, to.RawPath = strings.TrimPrefix(to.Path, prefix), strings.TrimPrefix(to.RawPath, prefix)
	at, err = h.locate(&http.Request{URL: to})
	switch {
	case err != nil:
		return place{}, "", inHref(err)
	case at.kind == operations:
		return place{}, "", nowhere
	}
	return at, to.RawQuery, nil
}

// inHref are the errors of a path or a query that stand in an operation's href.
func inHref(err error) error {
	var problems resource.Errors
	for _, e := range resource.AllErrors(err) {
		problems = append(problems, e.About("").At("href"))
	}
	return problems
}

// readData reads what an operation's data gives.
func (r *request) readData(op *document.Operation) error {
	if op.HasData() {
		r.form = whole
	}
	switch {
	case !r.takesBody():
		return nil
	case r.kind == relationship:
		var err error
		r.operation.Body, err = op.Linkage(r.reference)
		return err
	case r.kind == action, r.kind == selection:
		arguments, err := op.Arguments()
		r.operation.Body = arguments.Body
		if err = cmp.Or(err, r.argue()); err != nil {
			return err
		}
		return r.named(arguments)
	}
	return r.take(op.Resource(r.about))
}

// renderOperations turns the results of several operations into an answer: without a body, if none of them has
// something to show.
func renderOperations(dst []byte, base string, parts []part, results []resource.Result) (answer, error) {
	silent := true
	for i := range results {
		result := &results[i]
		switch parts[i].kind {
		case relationship:
			result.Resources = nil // as the request of its own would have no answer
		case selection:
			result.Meta = resource.Meta{"affected": result.Affected}
		}
		silent = silent && result.Resources == nil && result.Meta == nil
	}
	if silent {
		return answer{status: http.StatusNoContent}, nil
	}
	body, err := document.AppendResults(dst, base, results)
	return answer{status: http.StatusOK, body: body}, err
}
