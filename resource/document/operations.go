package document

import (
	"strconv"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// AtomicExtension is the URI of the extension Atomic Operations 1.1, with which a document may hold several writes.
const AtomicExtension = "https://jsonapi.org/ext/atomic"

// AtomicMediaType is the media type of documents with the extension.
const AtomicMediaType = MediaType + `;ext="` + AtomicExtension + `"`

// MaxOperations is how many operations a document may hold.
const MaxOperations = 1000

// The codes of operations.
const (
	Add    = "add"
	Update = "update"
	Remove = "remove"
)

const operationsMember, resultsMember = "atomic:operations", "atomic:results"

// OperationPath is where the operation of an index stands in a document, as the parts of a pointer.
func OperationPath(i int) []string { return []string{operationsMember, strconv.Itoa(i)} }

// Operation is an operation object of a document. It has a Ref or a Href.
type Operation struct {
	Code string
	Ref  *Ref
	Href *string
	New  ulid.ULID // of an addition: the id for the resource, if it is one that is added

	index  int
	object map[string]any
	locals locals
}

// Ref is what an operation is about: a resource, a relationship of one or, of an addition without a Relationship, the
// type of the new resource.
type Ref struct {
	Type         string
	ID           ulid.ULID
	Relationship *string // nil for the resource itself
}

// locals are the resources that operations add, by type and the local id that the document gives them.
type locals map[local]addition

type local struct{ typ, lid string }

type addition struct {
	id    ulid.ULID
	index int // of the operation
}

// ReadOperations reads a document of the extension. An update without ref and href is about the resource that its
// data names, an addition about the type. Local ids stand for the new ids of the resources that earlier operations
// add. The errors are MalformedDocument, PayloadTooLarge for too many operations, and NotFound for an id that none can
// be and for a local id that no earlier operation gives; with pointers from the root. Operations that have such an
// error are nil.
func ReadOperations(text []byte) ([]*Operation, error) {
	root, err := readObject(text)
	if err != nil {
		return nil, err
	}
	var shape reader
	for _, name := range []string{"data", "included", "errors", resultsMember} {
		if _, given := root[name]; given {
			shape.find(malformed("a document with operations has no member %s", name), name)
		}
	}
	member, given := root[operationsMember]
	items, array := member.([]any)
	switch {
	case !given:
		shape.find(malformed("the document has no member %s", operationsMember))
	case !array, len(items) == 0:
		shape.find(malformed("%s must be an array of one or more operations", operationsMember), operationsMember)
	case len(items) > MaxOperations:
		shape.find(resource.Errorf(resource.PayloadTooLarge, "a document has at most %d operations", MaxOperations), operationsMember)
		return nil, shape.err()
	}
	ops, locals := make([]*Operation, len(items)), locals{}
	for i, item := range items {
		own := reader{locals: locals, index: i}
		op := own.operation(item)
		if own.problems == nil {
			ops[i] = op
		}
		for _, e := range own.problems {
			shape.problems = append(shape.problems, e.Within(OperationPath(i)...))
		}
	}
	return ops, shape.err()
}

// operation is an operation object. The pointers of its problems are from there.
func (r *reader) operation(v any) *Operation {
	object, ok := v.(map[string]any)
	if !ok {
		r.find(malformed("an operation must be an object"))
		return nil
	}
	op := &Operation{index: r.index, object: object, locals: r.locals}
	op.Code = r.text(object, "op")
	if op.Code != Add && op.Code != Update && op.Code != Remove {
		if len(r.problems) == 0 {
			r.find(malformed("op must be %s, %s or %s", Add, Update, Remove), "op")
		}
		return nil
	}
	ref, byRef := object["ref"]
	_, byHref := object["href"]
	switch {
	case byRef && byHref:
		r.find(malformed("an operation has either ref or href"))
	case byRef:
		op.Ref = r.ref(ref)
		if op.Code == Add && op.Ref != nil && op.Ref.Relationship == nil {
			r.find(malformed("nothing can be added to a resource but to its relationships"), "ref")
		}
	case byHref:
		href := r.text(object, "href")
		op.Href = &href
	case op.Code == Remove:
		r.find(malformed("the operation has neither ref nor href"))
	default:
		if data := r.data(object); data != nil {
			op.Ref = &Ref{Type: r.text(data, "type", "data")}
			if op.Code == Update {
				op.Ref.ID = r.identity(data, op.Ref.Type, "data")
			}
		}
	}
	if op.Code == Add {
		op.New = ulid.Make()
		r.introduce(op)
	}
	return op
}

// ref is the member ref of an operation.
func (r *reader) ref(v any) *Ref {
	object := r.object(v, "ref")
	if object == nil {
		return nil
	}
	ref := &Ref{Type: r.text(object, "type", "ref")}
	ref.ID = r.identity(object, ref.Type, "ref")
	if _, given := object["relationship"]; given {
		name := r.text(object, "relationship", "ref")
		ref.Relationship = &name
	}
	return ref
}

// data is the member data of an operation on a resource, nil if it is no object.
func (r *reader) data(object map[string]any) map[string]any {
	data, given := object["data"]
	if !given {
		r.find(malformed("the operation has no member data"))
		return nil
	}
	return r.object(data, "data")
}

// introduce notes the local id that an addition gives its resource.
func (r *reader) introduce(op *Operation) {
	data, _ := op.object["data"].(map[string]any)
	if _, given := data["lid"]; !given {
		return
	}
	before := len(r.problems)
	name := local{r.text(data, "type", "data"), r.text(data, "lid", "data")}
	if len(r.problems) > before {
		return
	}
	if _, twice := r.locals[name]; twice {
		r.find(malformed("an earlier operation gives the lid %q to another %s", name.lid, name.typ), "data", "lid")
		return
	}
	r.locals[name] = addition{op.New, op.index}
}

// identity is the id that an object gives, or that of the local id that stands there instead. Without a type, it is
// of no use.
func (r *reader) identity(object map[string]any, typ string, path ...string) ulid.ULID {
	_, byID := object["id"]
	_, byLocal := object["lid"]
	before := len(r.problems)
	if r.locals == nil || !byLocal {
		text := r.text(object, "id", path...)
		if len(r.problems) > before || typ == "" {
			return ulid.ULID{}
		}
		id, err := resource.ParseID(text)
		if err != nil {
			r.find(resource.Errorf(resource.NotFound, "there is no %s %q", typ, text), append(path, "id")...)
		}
		return id
	}
	if byID {
		r.find(malformed("%s has either id or lid", path[len(path)-1]), path...)
		return ulid.ULID{}
	}
	lid := r.text(object, "lid", path...)
	if len(r.problems) > before || typ == "" {
		return ulid.ULID{}
	}
	known, there := r.locals[local{typ, lid}]
	if !there || known.index >= r.index {
		r.find(resource.Errorf(resource.NotFound, "no operation before this one adds a %s with the lid %q", typ, lid), append(path, "lid")...)
		return ulid.ULID{}
	}
	return known.id
}

// HasData reports whether the operation has the member data.
func (o *Operation) HasData() bool {
	_, given := o.object["data"]
	return given
}

// Resource reads the operation's data as [ReadResource] reads that of a document. Pointers are from the operation.
func (o *Operation) Resource(about *resource.Description) (Resource, error) {
	shape := o.reader()
	data := shape.data(o.object)
	if data == nil {
		return Resource{}, shape.err()
	}
	r := shape.resource(data, about)
	if _, given := data["lid"]; given && r.ID == nil && o.Code == Update {
		id := shape.identity(data, r.Type, "data").String()
		r.ID = &id
	}
	return r, shape.err()
}

// Linkage reads the operation's data and meta as [ReadLinkage] reads those of a document. Pointers are from the operation.
func (o *Operation) Linkage(relationship *resource.ReferenceDescription) (resource.Body, error) {
	shape := o.reader()
	body := shape.relationship(o.object, relationship, "operation")
	return body, shape.err()
}

// Arguments reads the operation's data, if it has any, as [ReadArguments] reads that of a document. Pointers are from
// the operation.
func (o *Operation) Arguments() (Resource, error) {
	shape := o.reader()
	if !o.HasData() {
		return Resource{}, nil
	}
	r := shape.arguments(o.object["data"])
	return r, shape.err()
}

func (o *Operation) reader() *reader { return &reader{locals: o.locals, index: o.index} }
