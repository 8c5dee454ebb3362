package document

import (
	"slices"
	"strconv"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
)

// Links are the links of a document. First and Last are empty but for lists; Next and Prev are empty where no such
// page is.
type Links struct {
	Self, First, Last, Next, Prev string
	Profile                       bool // as the cursor pagination profile has them
}

// AppendList appends the document of a list: its total, its resources, what they are related to, its links; or the
// total and the link to itself alone, if only that was asked for.
func AppendList(dst []byte, base string, r *resource.Result, links Links) []byte {
	return appendPage(dst, r.Page, links, func(dst []byte) []byte {
		form := newForm(base, r.Resources, r.Linkage)
		for i := range r.Resources.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = form.append(dst, i, r.Page)
		}
		return dst
	}, func(dst []byte) []byte { return appendIncluded(dst, base, r) })
}

// AppendLines appends the resources of a page as an export has them: one a line, without cursors, and without the
// relationships of which there would be nothing but links.
func AppendLines(dst []byte, base string, r *resource.Result) []byte {
	form := newForm(base, r.Resources, nil)
	form.relationships = slices.DeleteFunc(form.relationships, func(shown relationship) bool { return shown.reference.Many })
	for i := range r.Resources.Len() {
		dst = append(form.append(dst, i, nil), '\n')
	}
	return dst
}

// AppendLinkage appends the document of a to-many relationship: as a list, of identifiers.
func AppendLinkage(dst []byte, r *resource.Result, links Links) []byte {
	return appendPage(dst, r.Page, links, func(dst []byte) []byte {
		return appendIdentifiers(dst, r.Relationship.Type, r.Linked)
	}, nil)
}

// AppendTarget appends the document of a to-one relationship: the identifier of what it names, or null.
func AppendTarget(dst []byte, target resource.Identifier, links Links) []byte {
	dst = appendIdentifier(append(dst, `{"data":`...), target)
	return append(appendLinks(dst, links), '}')
}

// AppendResource appends the document of one resource, or of none, with the meta of the result if it has any.
func AppendResource(dst []byte, base string, r *resource.Result, links Links) ([]byte, error) {
	dst = append(dst, '{')
	if r.Meta != nil {
		var err error
		if dst, err = r.Meta.AppendMeta(append(dst, `"meta":`...)); err != nil {
			return nil, err
		}
		dst = append(dst, ',')
	}
	dst = append(dst, `"data":`...)
	if r.Resources == nil {
		dst = append(dst, "null"...)
	} else {
		form := newForm(base, r.Resources, r.Linkage)
		dst = form.append(dst, 0, nil)
	}
	dst = appendIncluded(dst, base, r)
	return append(appendLinks(dst, links), '}'), nil
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
			form := newForm(base, r.Resources, nil)
			dst = form.append(append(dst, `"data":`...), 0, nil)
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

// appendPage appends a document with a total, an array that items fills, what more appends, and links.
func appendPage(dst []byte, page *resource.PageInfo, links Links, items, more func(dst []byte) []byte) []byte {
	dst = append(dst, '{')
	switch {
	case page.Omitted != "":
		dst = resource.AppendString(append(dst, `"meta":{"count_omitted":`...), page.Omitted)
		dst = append(dst, "},"...)
	case page.Count != pagination.CountNone:
		dst = strconv.AppendInt(append(dst, `"meta":{"count":`...), page.Total, 10)
		if links.Profile {
			dst = strconv.AppendInt(append(dst, `,"page":{"total":`...), page.Total, 10)
			dst = append(dst, '}')
		}
		dst = append(dst, "},"...)
	}
	if page.Count == pagination.CountOnly {
		dst = append(dst, `"links":{`...)
		return append(appendSelf(dst, links), "}}"...)
	}
	dst = append(items(append(dst, `"data":[`...)), ']')
	if more != nil {
		dst = more(dst)
	}
	return append(appendLinks(dst, links), '}')
}

// appendSelf appends the link to the document itself. A link object names the profile that applies there (JSON:API
// 1.1, "Link Objects").
func appendSelf(dst []byte, links Links) []byte {
	dst = append(dst, `"self":`...)
	if !links.Profile {
		return resource.AppendString(dst, links.Self)
	}
	dst = resource.AppendString(append(dst, `{"href":`...), links.Self)
	return append(resource.AppendString(append(dst, `,"type":`...), ProfileType), '}')
}

// appendLinks appends a comma and the member links.
func appendLinks(dst []byte, links Links) []byte {
	dst = appendSelf(append(dst, `,"links":{`...), links)
	for _, link := range []struct {
		prefix, href string
		always       bool
	}{
		{`,"first":`, links.First, false}, {`,"last":`, links.Last, false},
		{`,"next":`, links.Next, links.Profile}, {`,"prev":`, links.Prev, links.Profile},
	} {
		switch {
		case link.href != "":
			dst = resource.AppendString(append(dst, link.prefix...), link.href)
		case link.always:
			dst = append(append(dst, link.prefix...), "null"...)
		}
	}
	return append(dst, '}')
}

// appendIncluded appends a comma and the member included, if it was asked for: each resource once, and none that is
// primary data.
func appendIncluded(dst []byte, base string, r *resource.Result) []byte {
	if r.Included == nil {
		return dst
	}
	seen := map[resource.Identifier]bool{}
	if r.Resources != nil {
		for i := range r.Resources.Len() {
			seen[resource.Identifier{Type: r.Resources.Type().Name, ID: r.Resources.ID(i)}] = true
		}
	}
	dst = append(dst, `,"included":[`...)
	begin := len(dst)
	for _, resources := range r.Included {
		form := newForm(base, resources, r.Linkage)
		for i := range resources.Len() {
			identifier := resource.Identifier{Type: resources.Type().Name, ID: resources.ID(i)}
			if seen[identifier] {
				continue
			}
			seen[identifier] = true
			if len(dst) > begin {
				dst = append(dst, ',')
			}
			dst = form.append(dst, i, nil)
		}
	}
	return append(dst, ']')
}

// form is what the resource objects of one type have in common, so that a list works it out once.
type form struct {
	resources     resource.Resources
	about         *resource.Description
	head          []byte // up to the id: {"type":"user","id":"
	path          []byte // up to the id: "/api/admin/v1/users/, or the whole path of a singleton
	relationships []relationship
	linkage       map[resource.Edge]*resource.Targets
	provisioned   map[ulid.ULID]resource.Provisioned
}

// relationship is what the objects of one relationship have in common.
type relationship struct {
	index         int // of the reference
	reference     *resource.ReferenceDescription
	name          []byte // with colon
	self, related []byte // what follows the path of the resource, with the closing quote; self may be nil
}

func newForm(base string, resources resource.Resources, linkage map[resource.Edge]*resource.Targets) form {
	about := resources.Type()
	path := base + "/" + about.Path()
	if !about.Singleton {
		path += "/"
	}
	quoted := resource.AppendString(nil, path)
	head := resource.AppendString([]byte(`{"type":`), about.Name)
	f := form{resources, about, append(head, `,"id":"`...), quoted[:len(quoted)-1], nil, linkage, resources.Provisioned()}
	for i := range about.References {
		r := &about.References[i]
		if !resources.Shows(i) {
			continue
		}
		shown := relationship{i, r, append(resource.AppendString(nil, r.Name), ':'), nil, []byte("/" + r.Name + `"`)}
		if r.Via == "" && (r.Many || r.Writable(false) && about.Serves(resource.Update)) {
			shown.self = []byte("/relationships/" + r.Name + `"`)
		}
		f.relationships = append(f.relationships, shown)
	}
	return f
}

// append appends row i as a resource object, with its cursor if it stands in a page.
func (f *form) append(dst []byte, i int, page *resource.PageInfo) []byte {
	var text [ulid.EncodedSize]byte
	id := resource.AppendID(text[:0], f.resources.ID(i))
	dst = append(append(dst, f.head...), id...)
	dst = append(dst, `","attributes":{`...)
	dst = append(f.resources.AppendAttributes(dst, i), '}')
	dst = f.appendRelationships(dst, i, id)
	dst = append(f.appendPath(append(dst, `,"links":{"self":`...), id), `"}`...)
	by, provisioned := f.provisioned[f.resources.ID(i)]
	if provisioned {
		dst = resource.AppendString(append(dst, `,"meta":{"provisioned":{"kind":`...), by.Kind)
		dst = resource.AppendString(append(dst, `,"file":`...), by.File)
		dst = append(strconv.AppendBool(append(dst, `,"allow_edits":`...), by.AllowEdits), '}')
		if page == nil {
			dst = append(dst, '}')
		}
	}
	if page != nil {
		if provisioned {
			dst = append(dst, ',')
		} else {
			dst = append(dst, `,"meta":{`...)
		}
		dst = append(dst, `"page":{"cursor":"`...)
		if len(page.Order.Keys()) == 0 {
			dst = append(dst, id...)
		} else {
			dst = resource.AppendCursor(dst, page.Order, f.resources.Place(page.Order, i))
		}
		dst = append(dst, `"}}`...)
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

// appendRelationships appends a comma and the member relationships: each with its links, and with its linkage if
// that is one resource or was gone along.
func (f *form) appendRelationships(dst []byte, i int, id []byte) []byte {
	for n := range f.relationships {
		r := &f.relationships[n]
		if n == 0 {
			dst = append(dst, `,"relationships":{`...)
		} else {
			dst = append(dst, ',')
		}
		dst = append(append(dst, r.name...), '{')
		var more *resource.Targets
		if !r.reference.Many {
			dst = append(appendIdentifier(append(dst, `"data":`...), f.resources.Target(i, r.index)), ',')
		} else if f.linkage != nil {
			from := resource.Identifier{Type: f.about.Name, ID: f.resources.ID(i)}
			if linked := f.linkage[resource.Edge{From: from, Relationship: r.reference.Name}]; linked != nil {
				dst = append(appendIdentifiers(append(dst, `"data":[`...), r.reference.Type, linked.IDs), "],"...)
				more = linked
			}
		}
		dst = append(dst, `"links":{`...)
		if r.self != nil {
			dst = append(f.appendPath(append(dst, `"self":`...), id), r.self...)
			dst = append(dst, ',')
		}
		dst = append(f.appendPath(append(dst, `"related":`...), id), r.related...)
		if more != nil && more.More {
			dst = f.appendPath(append(dst, `,"next":`...), id)
			dst = append(append(dst, "/relationships/"...), r.reference.Name...)
			dst = strconv.AppendInt(append(dst, "?page[first]="...), int64(len(more.IDs)), 10)
			dst = append(resource.AppendID(append(dst, "&page[after]="...), more.IDs[len(more.IDs)-1]), '"')
		}
		dst = append(dst, "}}"...)
	}
	if len(f.relationships) > 0 {
		dst = append(dst, '}')
	}
	return dst
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

// appendIdentifiers appends the resource identifiers of one type, without brackets.
func appendIdentifiers(dst []byte, typ string, ids []ulid.ULID) []byte {
	for i, id := range ids {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendIdentifier(dst, resource.Identifier{Type: typ, ID: id})
	}
	return dst
}
