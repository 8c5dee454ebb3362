package resource

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"reeve/auth"
)

// Code is the stable word for one kind of failure. Programs compare codes, never sentences.
type Code string

// The codes. What a client sees of them, status and title, stands in one table, [Codes].
const (
	MalformedDocument    Code = "malformed_document"
	InvalidParameter     Code = "invalid_parameter"
	UnknownParameter     Code = "unknown_parameter"
	UnsupportedSort      Code = "unsupported_sort"
	InvalidHeader        Code = "invalid_header"
	Unauthenticated      Code = "unauthenticated"
	Forbidden            Code = "forbidden"
	ReadOnly             Code = "read_only"
	ClientID             Code = "client_generated_id"
	NotFound             Code = "not_found"
	MethodNotAllowed     Code = "method_not_allowed"
	NotAcceptable        Code = "not_acceptable"
	Conflict             Code = "conflict"
	Ended                Code = "ended"
	Taken                Code = "taken"
	TypeMismatch         Code = "type_mismatch"
	Referenced           Code = "referenced"
	TooManyAffected      Code = "too_many_affected"
	InProgress           Code = "in_progress"
	PreconditionFailed   Code = "precondition_failed"
	PayloadTooLarge      Code = "payload_too_large"
	UnsupportedMediaType Code = "unsupported_media_type"
	Invalid              Code = "invalid"
	Required             Code = "required"
	UnknownMember        Code = "unknown_member"
	KeyReused            Code = "key_reused"
	TooManyRequests      Code = "too_many_requests"
	Internal             Code = "internal"
	Unavailable          Code = "unavailable"
	Maintenance          Code = "maintenance"
)

// CodeDescription is what a client sees of a code.
type CodeDescription struct {
	Status int // the HTTP status, RFC 9110
	Title  string
}

// Codes is the one table from codes to statuses and titles.
var Codes = map[Code]CodeDescription{
	MalformedDocument:    {400, "The body is not a document that this operation takes."},
	InvalidParameter:     {400, "A query parameter has a value that it does not take."},
	UnknownParameter:     {400, "The operation has no such query parameter."},
	UnsupportedSort:      {400, "The list cannot be sorted like this."},
	InvalidHeader:        {400, "A header has a value that it does not take."},
	Unauthenticated:      {401, "The request says not, or not credibly, who sends it."},
	Forbidden:            {403, "The caller may not do this."},
	ReadOnly:             {403, "This cannot be written."},
	ClientID:             {403, "The server chooses the ids of new resources."},
	NotFound:             {404, "There is no such resource."},
	MethodNotAllowed:     {405, "The resource does not serve this method."},
	NotAcceptable:        {406, "None of the accepted media types is served."},
	Conflict:             {409, "The resource is not in a state that allows this."},
	Ended:                {409, "This has ended already."},
	Taken:                {409, "Another resource has this value already."},
	TypeMismatch:         {409, "The document names another type or id than the path."},
	Referenced:           {409, "Other resources still refer to this one."},
	TooManyAffected:      {409, "The action would change more resources than it may."},
	InProgress:           {409, "The same request is still being carried out; try again."},
	PreconditionFailed:   {412, "The resource is not the version that the request is about."},
	PayloadTooLarge:      {413, "The body is too large."},
	UnsupportedMediaType: {415, "The body has a media type that is not taken."},
	Invalid:              {422, "A value breaks a rule."},
	Required:             {422, "A required member is missing."},
	UnknownMember:        {422, "The type has no such member."},
	KeyReused:            {422, "The idempotency key stands for another request."},
	TooManyRequests:      {429, "Too many requests; wait a while."},
	Internal:             {500, "Something went wrong in the server."},
	Unavailable:          {503, "The server cannot do this just now; try again."},
	Maintenance:          {503, "The server is being looked after, and takes no writes."},
}

// Error is a failure as its code, a sentence about this occurrence, and the place in the request: a JSON
// pointer relative to the resource ("/attributes/username"), a query parameter, or a header.
type Error struct {
	Code      Code
	Detail    string
	Operation int // the index of the operation that it is about, see [Engine.Do]
	Pointer   string
	Parameter string
	Header    string

	After time.Duration // how long the client is to wait before it tries again, where the code is one that passes; 1 s if zero

	Type string // the URI that a specification has for failures of this kind; empty for most
	Meta Meta   // what such a specification has clients told besides; nil for most
}

// Errorf makes an error of a code with a detail.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// At is the error with the pointer of the member it is about, as "attributes", "username".
func (e *Error) At(path ...string) *Error {
	at := *e
	at.Pointer = Pointer(path...)
	return &at
}

// Within is the error with its pointer from further out: from where the path begins.
func (e *Error) Within(path ...string) *Error {
	within := *e
	within.Pointer = Pointer(path...) + e.Pointer
	return &within
}

// About is the error with the query parameter that it is about.
func (e *Error) About(parameter string) *Error {
	about := *e
	about.Parameter = parameter
	return &about
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return string(e.Code)
	}
	return e.Detail
}

// operationError is the error of one of several operations.
type operationError struct {
	index int
	error
}

func (e operationError) Unwrap() error { return e.error }

// Errors are several failures of one request.
type Errors []*Error

func (e Errors) Error() string {
	sentences := make([]string, len(e))
	for i, err := range e {
		sentences[i] = err.Error()
	}
	return strings.Join(sentences, "; ")
}

// orNil keeps an empty list from becoming an error.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// joined are the failures of several errors as one; nil if they are.
func joined(errs ...error) error {
	var all Errors
	for _, err := range errs {
		if err != nil {
			all = append(all, AllErrors(err)...)
		}
	}
	return all.orNil()
}

// AllErrors are the failures in err, in their order. Those of signing in are TooManyRequests and Unavailable. Whatever
// else is no [Error] becomes one Internal error without any of its text, since that may hold what clients must not see.
func AllErrors(err error) Errors {
	var of operationError
	if errors.As(err, &of) {
		all := slices.Clone(AllErrors(of.error))
		for i, e := range all {
			copied := *e
			copied.Operation, all[i] = of.index, &copied
		}
		return all
	}
	var several Errors
	if errors.As(err, &several) {
		return several
	}
	var one *Error
	if errors.As(err, &one) {
		return Errors{one}
	}
	var limited *auth.LimitedError
	switch {
	case errors.As(err, &limited):
		return Errors{{Code: TooManyRequests, Detail: limited.Error(), After: limited.After}}
	case errors.Is(err, auth.ErrBusy):
		return Errors{Errorf(Unavailable, "%v", auth.ErrBusy)}
	}
	return Errors{{Code: Internal}}
}

// Is reports whether err holds a failure of one of the codes.
func Is(err error, codes ...Code) bool {
	return err != nil && slices.ContainsFunc(AllErrors(err), func(e *Error) bool { return slices.Contains(codes, e.Code) })
}

// RetryAfter is in how many seconds a request that fails so may be sent again (RFC 9110, section 10.2.3); 0 if time
// alone mends nothing.
func (e Errors) RetryAfter() int {
	seconds := 0
	for _, err := range e {
		switch err.Code {
		case InProgress, TooManyRequests, Unavailable, Maintenance:
			seconds = max(seconds, 1, int(math.Ceil(err.After.Seconds())))
		}
	}
	return seconds
}

// Status is the HTTP status of all failures together: theirs if they agree, else 400 or 500 as the most general
// (JSON:API, "Processing Errors").
func (e Errors) Status() int {
	status := 0
	for _, err := range e {
		own := Codes[err.Code].Status
		switch {
		case status == 0 || status == own:
			status = own
		case status >= 500 || own >= 500:
			status = 500
		default:
			status = 400
		}
	}
	return status
}

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

// Pointer is the JSON pointer (RFC 6901) of a path.
func Pointer(path ...string) string {
	var b strings.Builder
	for _, part := range path {
		b.WriteByte('/')
		b.WriteString(escapePointer.Replace(part))
	}
	return b.String()
}
