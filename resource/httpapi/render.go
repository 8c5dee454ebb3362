package httpapi

import (
	"net/http"

	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/document"
)

// answer is an answer before it is written.
type answer struct {
	status   int
	body     []byte // empty for none
	location string
	etag     string // of one resource
	allow    string
	stream   *stream // if it is written while it is worked out; body then is its failure
	media    string  // of the body; empty for what was negotiated
	replay   bool    // it was given before
	again    bool    // the request may be sent again after a while
}

// render turns the results of a request's operations into its answer. The body is appended to dst.
func render(dst []byte, base string, req *request, results []resource.Result) (answer, error) {
	if req.kind == operations {
		return renderOperations(dst, base, req.parts, results)
	}
	result, a := &results[0], answer{status: http.StatusOK}
	var err error
	switch {
	case req.kind == relationship && result.Page != nil:
		path := document.LinkagePath(base, req.about, result.ID, req.reference.Name)
		first, last := ends(len(result.Linked), func(i int) *pagination.Cursor { return pagination.At(result.Linked[i]) })
		a.body = document.AppendLinkage(dst, result, pageLinks(&req.query, path, result.Page, first, last))
	case req.kind == relationship && req.operation.Verb == resource.Get:
		path := document.LinkagePath(base, req.about, result.ID, req.reference.Name)
		a.body = document.AppendTarget(dst, target(result, req.reference.Name), path)
	case req.kind == relationship:
		a.status = http.StatusNoContent
	case req.kind == selection:
		a.body, err = document.AppendMeta(dst, resource.Meta{"affected": result.Affected})
	case result.Page != nil:
		path := base + "/" + req.about.Path()
		first, last := ends(result.Resources.Len(), func(i int) *pagination.Cursor { return result.Resources.Place(result.Page.Order, i) })
		links := pageLinks(&req.query, path, result.Page, first, last)
		a.body = document.AppendList(dst, base, result, links)
	case result.Resources != nil:
		if result.Created {
			a.status, a.location = http.StatusCreated, document.Path(base, req.about, result.ID)
		}
		a.body, err = document.AppendResource(dst, base, result)
		a.etag = etag(result.Tag, a.body)
	case req.action != nil && req.action.Answer == resource.AnswersMeta:
		a.body, err = document.AppendMeta(dst, result.Meta)
	default:
		a.status = http.StatusNoContent
	}
	return a, err
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
		Self:  q.link(path),
		First: q.link(path, windowParameters(pagination.First(page.Window.Size))...),
		Last:  q.link(path, windowParameters(pagination.Last(page.Window.Size))...),
	}
	prev, next := page.Window.Neighbours(first, last, page.Order.Descending())
	if page.Next {
		links.Next = q.link(path, windowParameters(next)...)
	}
	if page.Prev {
		links.Prev = q.link(path, windowParameters(prev)...)
	}
	return links
}
