package httpapi

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/document"
	"reeve/resource/idempotency"
)

// maxBody is how long a body may be, in bytes, but that of several operations.
const maxBody = 1 << 20

// form is how a body carries what it carries.
type form int

const (
	absent form = iota // there is none
	bare               // the arguments of an action, as an object
	whole              // a document
)

// request is a request that was understood.
type request struct {
	place
	query     query
	form      form
	profile   bool // Accept asks for the cursor pagination profile
	misasked  bool // the query has problems, of which the engine may know more
	operation resource.Operation
	parts     []part              // instead of one operation, several
	repeat    idempotency.Request // the request as one that may be repeated; it has no key if it may not
}

// read turns a request into an operation. Its problems are reported together as far as they stand in the query;
// then those of the body.
//
// A GET or DELETE of a resource does not look at its body (RFC 9110, section 9.3.5, gives it no meaning).
func (h *handler) read(w http.ResponseWriter, r *http.Request, at place, verb string) (req *request, err error) {
	req = &request{place: at, profile: asksFor(document.CursorProfile, r.Header.Values("Accept"))}
	if at.kind != operations {
		req.operation = resource.Operation{Verb: verb, Type: at.about.Name, ID: at.id, Key: at.key}
	}
	if at.reference != nil {
		req.operation.Relationship = at.reference.Name
	}
	if req.takesBody() || verb == resource.Delete {
		req.operation.IfMatch = tags(r.Header.Values("If-Match"))
		req.operation.IfNone = tags(r.Header.Values("If-None-Match"))
	}
	several := at.kind == collection || at.kind == selection || at.kind == operations
	for header, tags := range map[string][]string{"If-Match": req.operation.IfMatch, "If-None-Match": req.operation.IfNone} {
		if several && tags != nil {
			err := resource.Errorf(resource.InvalidHeader, "this is not about one resource, which alone has a version")
			err.Header = header
			return req, err
		}
	}
	if req.repeat.Key, err = idempotencyKey(r); err != nil {
		return req, err
	}
	var body []byte
	var unread error
	if req.takesBody() {
		body, unread = h.readBody(w, r, at.maxBody())
		if len(body) > 0 || unread != nil {
			if err := checkContentType(r.Header.Get("Content-Type"), extension(r)); err != nil {
				return req, err
			}
		}
	}
	if err := req.readQuery(r.URL.RawQuery); err != nil {
		return req, err
	}
	if unread != nil {
		return req, unread
	}
	if req.repeat.Key != "" {
		req.repeat.Fingerprint = fingerprint(r, body)
	}
	if at.kind == operations {
		req.parts, err = h.readOperations(body)
		return req, err
	}
	return req, req.readBody(body)
}

func (r *request) takesBody() bool {
	switch r.operation.Verb {
	case resource.List, resource.Get, resource.Delete, resource.Linked, resource.Related:
		return false
	}
	return true
}

// readBody reads a body into memory. The errors are PayloadTooLarge and, if it breaks off, MalformedDocument.
func (h *handler) readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	deadline := http.NewResponseController(w)
	_ = deadline.SetReadDeadline(time.Now().Add(h.patience)) // what has no deadlines is no connection
	defer func() { _ = deadline.SetReadDeadline(time.Time{}) }()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, resource.Errorf(resource.PayloadTooLarge, "a body has at most %d bytes", most)
	}
	if err != nil {
		return nil, resource.Errorf(resource.MalformedDocument, "the body could not be read to its end")
	}
	return body, nil
}

// readQuery reads the query string. Filters, fields and paths of relationships are the engine's to check.
func (r *request) readQuery(raw string) error {
	takes := takes{profile: r.profile}
	switch {
	case r.operation.Verb == resource.List:
		takes.pages, takes.sorts, takes.filters, takes.shows = r.about, true, true, true
	case r.operation.Verb == resource.Related && r.reference.Many:
		takes.pages, takes.sorts, takes.filters, takes.shows = r.target, true, true, true
	case r.operation.Verb == resource.Linked:
		takes.pages = r.about
	case r.operation.Verb == resource.Related, r.operation.Verb == resource.Get && r.kind == single:
		takes.shows = true
	case r.kind == selection:
		takes.filters, takes.affected = true, true
	}
	switch r.operation.Verb {
	case resource.List, resource.Get, resource.Linked, resource.Related:
	default:
		takes.force = r.about != nil && r.about.Forcible
	}
	if r.action != nil {
		for _, argument := range r.action.Arguments {
			if argument.InQuery {
				takes.arguments = append(takes.arguments, argument.Name)
			}
		}
	}
	q, problems := parseQuery(raw, takes)
	op := &r.operation
	op.Filters, op.Include, op.Fields = q.filters, q.include, q.fields
	if r.kind == selection && len(q.filters) == 0 {
		problems = append(problems, resource.Errorf(resource.InvalidParameter,
			"an action on several resources needs a filter").About("filter"))
	}
	if len(problems) > 0 {
		r.misasked = takes.filters || takes.shows
		return problems
	}
	r.query = q
	op.Order, op.Window, op.Count, op.MaxAffected, op.Force = q.order, q.window, q.count, q.affected, q.force
	return nil
}

// readBody reads what the operation's body gives.
func (r *request) readBody(text []byte) error {
	op := &r.operation
	switch {
	case !r.takesBody():
		return nil
	case r.kind == relationship:
		var err error
		r.form = whole
		op.Body, err = document.ReadLinkage(text, r.reference)
		return err
	case r.kind == action, r.kind == selection:
		arguments, err := document.ReadArguments(text)
		op.Body = arguments.Body
		err = cmp.Or(err, r.argue())
		switch {
		case len(text) == 0:
		case arguments.Body.Bare:
			r.form = bare
		default:
			r.form = whole
		}
		if err != nil {
			return err
		}
		return r.named(arguments)
	}
	return r.take(document.ReadResource(text, r.about))
}

// argue adds the arguments that stand in the query to those of the body.
func (r *request) argue() error {
	for name, value := range r.query.arguments {
		if _, twice := r.operation.Body.Attributes[name]; twice {
			return resource.Errorf(resource.InvalidParameter, "%s stands in the body too", name).About(name)
		}
		if r.operation.Body.Attributes == nil {
			r.operation.Body.Attributes = map[string]any{}
		}
		r.operation.Body.Attributes[name] = value
	}
	return nil
}

// take is about a resource object that has been read as far as it could be.
func (r *request) take(object document.Resource, err error) error {
	if object.Type != "" {
		r.operation.Body, r.form = object.Body, whole
	}
	var problems resource.Errors
	if err != nil {
		problems = resource.AllErrors(err)
	}
	if object.Type != "" {
		if err := r.identify(object); err != nil {
			problems = append(problems, resource.AllErrors(err)...)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return problems
}

// complete adds to the problems of a document or a query what the engine found in the part of it that could be
// read, so that all come at once. A caller who may not do it at all hears of nothing else.
func (r *request) complete(err, more error) error {
	if r.kind != operations && !r.misasked && (r.form != whole || r.operation.Body.Attributes == nil) {
		return err
	}
	problems := resource.AllErrors(err)
	switch {
	case more == nil:
		return problems
	case resource.Is(more, resource.Forbidden):
		return r.locate(more)
	}
	for _, e := range resource.AllErrors(r.locate(more)) {
		// What could not be read is not missing, and is not wrong once more.
		known := func(p *resource.Error) bool { return p.Pointer == e.Pointer && p.Parameter == e.Parameter }
		if r.kind == operations || e.Code != resource.Required && !slices.ContainsFunc(problems, known) {
			problems = append(problems, e)
		}
	}
	return problems
}

// named checks that the resource object around an action's arguments, as far as it says so, is about the resource
// that the path names.
func (r *request) named(arguments document.Resource) error {
	switch {
	case arguments.Type != "" && arguments.Type != r.about.Name:
		return resource.Errorf(resource.TypeMismatch, "the path is that of type %q", r.about.Name).At("data", "type")
	case arguments.ID != nil && r.kind == action && r.key == nil && !r.about.Singleton && !strings.EqualFold(*arguments.ID, r.id.String()):
		return resource.Errorf(resource.TypeMismatch, "the path names another resource").At("data", "id")
	}
	return nil
}

// identify checks that a resource object is about the type and the resource that the path names. A resource found
// by a natural key has its id checked by the engine, if the document gives it.
func (r *request) identify(object document.Resource) error {
	if object.Type != r.about.Name {
		return resource.Errorf(resource.TypeMismatch, "the path is that of type %q", r.about.Name).At("data", "type")
	}
	switch {
	case r.operation.Verb == resource.Create && object.ID != nil:
		return resource.Errorf(resource.ClientID, "a new resource gets its id from the server").At("data", "id")
	case r.operation.Verb == resource.Create, r.about.Singleton && object.ID == nil, r.key != nil && object.ID == nil:
		return nil
	case object.ID == nil:
		return resource.Errorf(resource.MalformedDocument, "data has no member id").At("data")
	}
	id, err := resource.ParseID(*object.ID)
	switch {
	case err == nil && r.key != nil:
		r.operation.ID = id
		return nil
	case err == nil && id == r.id:
		return nil
	}
	return resource.Errorf(resource.TypeMismatch, "the path names another resource").At("data", "id")
}

// locate turns the pointers of the engine's errors, which are relative to the resource, into pointers to values
// that the body has. What is not the fault of the request is nowhere; what is internal is left as it is, for the log.
func (r *request) locate(err error) error {
	if resource.Is(err, resource.Internal) {
		return err
	}
	var located resource.Errors
	for _, failure := range resource.AllErrors(err) {
		copied := *failure
		switch {
		case r.kind != operations:
			copied.Pointer = r.pointer(failure)
		case resource.Codes[failure.Code].Status < http.StatusInternalServerError:
			of := &r.parts[failure.Operation]
			copied.Pointer = of.pointer(failure)
			copied = *copied.Within(document.OperationPath(of.index)...)
		}
		located = append(located, &copied)
	}
	return located
}

// pointer is an error's pointer from the root of the body, empty if it is about no value of the body. An error
// about a value (422) without a pointer is about the resource.
func (r *request) pointer(err *resource.Error) string {
	if r.form == absent || err.Pointer == "" && resource.Codes[err.Code].Status != http.StatusUnprocessableEntity {
		return ""
	}
	if r.kind == relationship {
		return cmp.Or(strings.TrimPrefix(err.Pointer, resource.Pointer("relationships", r.reference.Name)), "/data")
	}
	pointer := existing(r.operation.Body, err.Pointer)
	if r.form == bare {
		return strings.TrimPrefix(pointer, "/attributes")
	}
	return "/data" + pointer
}

// existing cuts a pointer down to a member that the body has (JSON:API 1.1, "Error Objects": a pointer must be to
// a value in the request).
func existing(body resource.Body, pointer string) string {
	parts := strings.SplitN(pointer, "/", 4)
	if len(parts) < 2 {
		return pointer
	}
	var given, there bool
	var name string
	if len(parts) > 2 {
		name = unescapePointer.Replace(parts[2])
	}
	switch parts[1] {
	case "attributes":
		given = body.Attributes != nil
		_, there = body.Attributes[name]
	case "relationships":
		given = body.Relationships != nil
		_, there = body.Relationships[name]
	default: // type and id, which every document that comes here has
		return pointer
	}
	switch {
	case !given:
		return ""
	case !there:
		return "/" + parts[1]
	}
	return pointer
}

var unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")

// operationsFor completes the operations with who asks, and in which request.
func (r *request) operationsFor(principal *auth.Principal, id string) []resource.Operation {
	ops := []resource.Operation{r.operation}
	if r.kind == operations {
		ops = ops[:0]
		for i := range r.parts {
			ops = append(ops, r.parts[i].operation)
		}
	}
	for i := range ops {
		ops[i].Principal, ops[i].Request = principal, id
	}
	return ops
}
