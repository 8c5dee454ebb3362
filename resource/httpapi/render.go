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
	status   int
	body     []byte // empty for none
	location string
	etag     string // of one resource
	allow    string
}

// render turns the result of a request's operation into its answer. The body is appended to dst.
func render(dst []byte, base string, req *request, result *resource.Result) (answer, error) {
	a := answer{status: http.StatusOK}
	var err error
	switch {
	case req.kind == relationship && result.Page != nil:
		path := document.LinkagePath(base, req.about, result.ID, req.reference.Name)
		a.body = document.AppendLinkage(dst, result, pageLinks(&req.query, path, result.Page, result.Linked))
	case req.kind == relationship && req.operation.Verb == resource.Get:
		path := document.LinkagePath(base, req.about, result.ID, req.reference.Name)
		a.body = document.AppendTarget(dst, target(result, req.reference.Name), path)
	case req.kind == relationship:
		a.status = http.StatusNoContent
	case req.kind == selection:
		a.body, err = document.AppendMeta(dst, resource.Meta{"affected": result.Affected})
	case result.Page != nil:
		path := base + "/" + req.about.Path()
		links := pageLinks(&req.query, path, result.Page, ends(result.Resources))
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

// ends are the ids of the first and the last row, none if there are no rows.
func ends(rows resource.Resources) []ulid.ULID {
	if rows.Len() == 0 {
		return nil
	}
	return []ulid.ULID{rows.ID(0), rows.ID(rows.Len() - 1)}
}

// pageLinks are the links of a page.
func pageLinks(q *query, path string, page *resource.PageInfo, ids []ulid.ULID) document.Links {
	links := document.Links{
		Self:  q.link(path),
		First: q.link(path, windowParameters(pagination.First(page.Window.Size))...),
		Last:  q.link(path, windowParameters(pagination.Last(page.Window.Size))...),
	}
	prev, next := page.Window.Neighbours(ids)
	if page.Next {
		links.Next = q.link(path, windowParameters(next)...)
	}
	if page.Prev {
		links.Prev = q.link(path, windowParameters(prev)...)
	}
	return links
}
