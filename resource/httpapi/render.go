package httpapi

import (
	"net/http"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/document"
)

// answer is an answer before it is written.
type answer struct {
	at       place
	status   int
	body     []byte // empty for none
	location string
	etag     string // of one resource
	allow    string
	stream   *stream // if it is written while it is worked out; body then is its failure
	media    string  // of the body; empty for what was negotiated
	replay   bool    // it was given before
	after    int     // in how many seconds the request may be sent again, if at all
	profile  bool    // the cursor pagination profile applies
}

// render turns the results of a request's operations into its answer. The body is appended to dst.
func render(dst []byte, base string, req *request, results []resource.Result) (answer, error) {
	if req.kind == operations {
		return renderOperations(dst, base, req.parts, results)
	}
	result, a := &results[0], answer{status: http.StatusOK, profile: req.query.profile}
	var err error
	path, verb := req.path(base, result.ID), req.operation.Verb
	switch {
	case result.Page != nil && result.Resources == nil:
		first, last := ends(len(result.Linked), func(i int) *pagination.Cursor { return pagination.At(result.Linked[i]) })
		a.body = document.AppendLinkage(dst, result, pageLinks(&req.query, path, result.Page, first, last))
	case result.Page != nil:
		first, last := ends(result.Resources.Len(), func(i int) *pagination.Cursor { return result.Resources.Place(result.Page.Order, i) })
		a.body = document.AppendList(dst, base, result, pageLinks(&req.query, path, result.Page, first, last))
	case req.kind == relationship && verb == resource.Get:
		a.body = document.AppendTarget(dst, target(result, req.reference.Name), document.Links{Self: path})
	case req.kind == relationship:
		a.status = http.StatusNoContent
	case req.kind == selection:
		a.body, err = document.AppendMeta(dst, resource.Meta{"affected": result.Affected})
	case result.Resources != nil || verb == resource.Related:
		if result.Created {
			a.status, a.location = http.StatusCreated, path
		}
		a.body, err = document.AppendResource(dst, base, result, document.Links{Self: req.query.link(path)})
		if result.Tag != "" {
			a.etag = etag(result.Tag, a.body)
		}
	case req.action != nil && req.action.Answer == resource.AnswersMeta:
		a.body, err = document.AppendMeta(dst, result.Meta)
	default:
		a.status = http.StatusNoContent
	}
	return a, err
}

// path is the path of what an answer shows: of the resource with an id, for whatever is done with one.
func (p *place) path(base string, id ulid.ULID) string {
	switch {
	case p.kind == collection && id == (ulid.ULID{}):
		return base + "/" + p.about.Path()
	case p.kind == relationship:
		return document.LinkagePath(base, p.about, id, p.reference.Name)
	case p.kind == related:
		return document.RelatedPath(base, p.about, id, p.reference.Name)
	}
	return document.Path(base, p.about, id)
}

// target is what a to-one reference of the one resource names.
func target(result *resource.Result, name string) resource.Identifier {
	for i := range result.Type.References {
		if result.Type.References[i].Name == name {
			return result.Resources.Target(0, i)
		}
	}
	return resource.Identifier{}
}

// ends are the places of the first and the last of some rows, nil if there are none.
func ends(rows int, place func(i int) *pagination.Cursor) (first, last *pagination.Cursor) {
	if rows == 0 {
		return nil, nil
	}
	return place(0), place(rows - 1)
}

// pageLinks are the links of a page.
func pageLinks(q *query, path string, page *resource.PageInfo, first, last *pagination.Cursor) document.Links {
	links := document.Links{
		Self:    q.link(path),
		First:   q.link(path, q.ask(pagination.First(page.Window.Size))...),
		Last:    q.link(path, q.ask(pagination.Last(page.Window.Size))...),
		Profile: q.profile,
	}
	prev, next := page.Window.Neighbours(first, last, page.Order.Descending())
	if page.Next {
		links.Next = q.link(path, q.ask(next)...)
	}
	if page.Prev {
		links.Prev = q.link(path, q.ask(prev)...)
	}
	return links
}
