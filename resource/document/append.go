package document

import (
	"strconv"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
)

// Links are the links of a list. Next and Prev are empty where no such page is.
type Links struct{ Self, First, Last, Next, Prev string }

// AppendList appends the document of a list: its total, its resources, its links; or the total and the link to
// itself alone, if only that was asked for.
func AppendList(dst []byte, base string, r *resource.Result, links Links) []byte {
	return appendPage(dst, r.Page, links, func(dst []byte) []byte {
		form := newForm(base, r.Type)
		for i := range r.Resources.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = form.append(dst, r.Resources, i, true)
		}
		return dst
	})
}

// AppendLines appends the resources of a page as an export has them: one a line, without cursors.
func AppendLines(dst []byte, base string, r *resource.Result) []byte {
	form := newForm(base, r.Type)
	for i := range r.Resources.Len() {
		dst = append(form.append(dst, r.Resources, i, false), '\n')
	}
	return dst
}

// AppendLinkage appends the document of a to-many relationship: as a list, of identifiers.
func AppendLinkage(dst []byte, r *resource.Result, links Links) []byte {
	return appendPage(dst, r.Page, links, func(dst []byte) []byte {
		for i, id := range r.Linked {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendIdentifier(dst, resource.Identifier{Type: r.Relationship.Type, ID: id})
		}
		return dst
	})
}

// AppendTarget appends the document of a to-one relationship: the identifier of what it names, or null.
func AppendTarget(dst []byte, target resource.Identifier, self string) []byte {
	dst = appendIdentifier(append(dst, `{"data":`...), target)
	return append(appendLinks(dst, Links{Self: self}), '}')
}

// AppendResource appends the document of one resource, with the meta of the result if it has any.
func AppendResource(dst []byte, base string, r *resource.Result) ([]byte, error) {
	dst = append(dst, '{')
	if r.Meta != nil {
		var err error
		if dst, err = r.Meta.AppendMeta(append(dst, `"meta":`...)); err != nil {
			return nil, err
		}
		dst = append(dst, ',')
	}
	form := newForm(base, r.Type)
	dst = form.append(append(dst, `"data":`...), r.Resources, 0, false)
	return append(appendLinks(dst, Links{Self: Path(base, r.Type, r.ID)}), '}'), nil
}

// AppendResults appends the document of the results of several operations: of each its resource and its meta, if it
// has them.
func AppendResults(dst []byte, base string, results []resource.Result) (_ []byte, err error) {
	dst = append(dst, `{"`+resultsMember+`":[`...)
	for i := range results {
		r := &results[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		if r.Resources != nil {
			form := newForm(base, r.Type)
			dst = form.append(append(dst, `"data":`...), r.Resources, 0, false)
		}
		if r.Meta != nil {
			if r.Resources != nil {
				dst = append(dst, ',')
			}
			if dst, err = r.Meta.AppendMeta(append(dst, `"meta":`...)); err != nil {
				return nil, err
			}
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}"...), nil
}

// AppendMeta appends a document that has meta alone.
func AppendMeta(dst []byte, meta resource.Meta) ([]byte, error) {
	if meta == nil {
		meta = resource.Meta{}
	}
	dst, err := meta.AppendMeta(append(dst, `{"meta":`...))
	return append(dst, '}'), err
}

// appendPage appends a document with a total, an array that items fills, and links.
func appendPage(dst []byte, page *resource.PageInfo, links Links, items func(dst []byte) []byte) []byte {
	dst = append(dst, '{')
	switch {
	case page.Omitted != "":
		dst = resource.AppendString(append(dst, `"meta":{"count_omitted":`...), page.Omitted)
		dst = append(dst, "},"...)
	case page.Count != pagination.CountNone:
		dst = strconv.AppendInt(append(dst, `"meta":{"count":`...), page.Total, 10)
		dst = append(dst, "},"...)
	}
	if page.Count == pagination.CountOnly {
		dst = append(dst, `"links":{"self":`...)
		return append(resource.AppendString(dst, links.Self), "}}"...)
	}
	dst = append(items(append(dst, `"data":[`...)), ']')
	return append(appendLinks(dst, links), '}')
}

// appendLinks appends a comma and the member links.
func appendLinks(dst []byte, links Links) []byte {
	dst = append(dst, `,"links":{"self":`...)
	dst = resource.AppendString(dst, links.Self)
	for _, link := range []struct{ prefix, href string }{
		{`,"first":`, links.First}, {`,"last":`, links.Last}, {`,"next":`, links.Next}, {`,"prev":`, links.Prev},
	} {
		if link.href != "" {
			dst = resource.AppendString(append(dst, link.prefix...), link.href)
		}
	}
	return append(dst, '}')
}

// form is what the resource objects of one type have in common, so that a list works it out once.
type form struct {
	about *resource.Description
	head  []byte // up to the id: {"type":"user","id":"
	path  []byte // up to the id: "/api/admin/v1/users/, or the whole path of a singleton
}

func newForm(base string, about *resource.Description) form {
	path := base + "/" + about.Path()
	if !about.Singleton {
		path += "/"
	}
	quoted := resource.AppendString(nil, path)
	head := resource.AppendString([]byte(`{"type":`), about.Name)
	return form{about, append(head, `,"id":"`...), quoted[:len(quoted)-1]}
}

// append appends row i as a resource object, with its cursor if it stands in a list.
func (f *form) append(dst []byte, rows resource.Resources, i int, cursor bool) []byte {
	var text [ulid.EncodedSize]byte
	id := resource.AppendID(text[:0], rows.ID(i))
	dst = append(append(dst, f.head...), id...)
	dst = append(dst, `","attributes":{`...)
	dst = append(rows.AppendAttributes(dst, i), '}')
	dst = f.appendRelationships(dst, rows, i, id)
	dst = append(f.appendPath(append(dst, `,"links":{"self":`...), id), `"}`...)
	if cursor {
		dst = append(dst, `,"meta":{"page":{"cursor":"`...)
		dst = append(append(dst, id...), `"}}`...)
	}
	return append(dst, '}')
}

// appendPath appends the resource's path as a JSON string without its closing quote.
func (f *form) appendPath(dst, id []byte) []byte {
	dst = append(dst, f.path...)
	if f.about.Singleton {
		return dst
	}
	return append(dst, id...)
}

func (f *form) appendRelationships(dst []byte, rows resource.Resources, i int, id []byte) []byte {
	if len(f.about.References) == 0 {
		return dst
	}
	dst = append(dst, `,"relationships":{`...)
	for n := range f.about.References {
		reference := &f.about.References[n]
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(resource.AppendString(dst, reference.Name), ':')
		if reference.Many {
			dst = f.appendPath(append(dst, `{"links":{"self":`...), id)
			dst = append(append(dst, "/relationships/"...), reference.Name...)
			dst = append(dst, `"}}`...)
		} else {
			dst = append(appendIdentifier(append(dst, `{"data":`...), rows.Target(i, n)), '}')
		}
	}
	return append(dst, '}')
}

// appendIdentifier appends a resource identifier, null for none.
func appendIdentifier(dst []byte, target resource.Identifier) []byte {
	if target == (resource.Identifier{}) {
		return append(dst, "null"...)
	}
	dst = resource.AppendString(append(dst, `{"type":`...), target.Type)
	dst = resource.AppendID(append(dst, `,"id":"`...), target.ID)
	return append(dst, `"}`...)
}
