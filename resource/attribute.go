package resource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
)

// View is from where a resource is looked at: attributes that depend on the time or on the caller ask it.
type View struct {
	Now       time.Time
	Principal *auth.Principal

	engine *Engine
}

// AttributeDescription is what is known of an attribute without its Go type.
type AttributeDescription struct {
	Name      string   `json:"name"`
	Doc       string   `json:"doc,omitempty"`
	Kind      Kind     `json:"kind"`
	Required  bool     `json:"required,omitempty"`   // a creation must give it
	Nullable  bool     `json:"nullable,omitempty"`   // null is a value of it
	ReadOnly  bool     `json:"read_only,omitempty"`  // no request may give it
	WriteOnly bool     `json:"write_only,omitempty"` // no answer shows it
	Fixed     bool     `json:"fixed,omitempty"`      // given at creation only
	Unique    bool     `json:"unique,omitempty"`     // no two rows have the same, null apart
	Once      bool     `json:"once,omitempty"`       // only in the answer to the write that makes it
	InQuery   bool     `json:"in_query,omitempty"`   // of a boolean argument: it may stand in the query too
	OneOf     []string `json:"one_of,omitempty"`     // the only values
	MaxLength int      `json:"max_length,omitempty"` // in characters
	Default   any      `json:"default,omitempty"`    // the plain value that a creation sets if it gives none
	Example   any      `json:"example,omitempty"`    // a plain value

	Stored  bool `json:"-"` // has a column
	Hidden  bool `json:"-"` // stored, never shown, never given by a request
	Secret  bool `json:"-"` // sealed at rest, never shown
	Created bool `json:"-"` // set to the time of the creation
	Quiet   bool `json:"-"` // an activity: changing it does not raise the version of its row
	Tallied bool `json:"-"` // see [Attribute.Tallied]

	Confidential bool `json:"-"` // no event shows it, since the trail outlives it

	ops    []Op      // the filters on it
	state  Condition // what it shows, if it is a [State]
	masked bool      // see [Attribute.Masked]
}

// Visible reports whether answers show the attribute.
func (a *AttributeDescription) Visible() bool { return !a.Hidden && !a.WriteOnly && !a.Secret }

// Writable reports whether a creation, or else a change, may give the attribute.
func (a *AttributeDescription) Writable(creation bool) bool {
	return !a.Hidden && !a.ReadOnly && (creation || !a.Fixed)
}

// Attribute is one attribute of T: its description, bound to a member of T by the function given to [Attr].
// Each builder method returns a changed copy, so that a declaration reads as a sentence.
type Attribute[T any] struct {
	AttributeDescription

	null   func(row *T) bool
	value  func(row *T) any                              // plain; not asked where null
	append func(dst []byte, row *T, view *View) []byte   // JSON; not asked where null
	scan   func(row *T, src any) error                   // from a database value, nil for null
	parse  func(ctx context.Context, v any) (any, error) // from a JSON-like value that is not null
	assign func(row *T, parsed any)                      // what parse returned, nil for null
	zero   func(parsed any) bool                         // would what parse returned stand for null?
	member func(row *T) any                              // the pointer to what assign sets

	revision func(row *T) *int64  // nil but for a [Revision]
	given    func(row *T) *string // see [Attribute.Keeping]
}

// DefaultMaxLength is how many characters a text attribute may have unless it says otherwise. It keeps every
// value within what an index of PostgreSQL takes (2,704 bytes).
const DefaultMaxLength = 255

// Attr declares an attribute that is stored, shown and written through a member of T. Each check is asked about
// a value that a request gives; its error is the detail of a 422.
func Attr[T any, V Value](name string, member func(*T) *V, checks ...func(V) error) Attribute[T] {
	return Canonical(name, member, func(v V) (V, error) {
		for _, check := range checks {
			if err := check(v); err != nil {
				return v, err
			}
		}
		return v, nil
	})
}

// Canonical declares an attribute as [Attr] does, each value of which is kept in one form: as transform makes it of
// what a request gives. Its error is the detail of a 422.
func Canonical[T any, V Value](name string, member func(*T) *V, transform func(V) (V, error)) Attribute[T] {
	a := Input(name, member, func(_ context.Context, v V) (V, error) { return transform(v) })
	a.AttributeDescription.WriteOnly, a.Stored = false, true
	c := codecOf[V]()
	a.null = func(row *T) bool { return c.null(*member(row)) }
	a.value = func(row *T) any { return c.plain(*member(row)) }
	a.append = func(dst []byte, row *T, _ *View) []byte { return c.append(dst, *member(row)) }
	a.scan = func(row *T, src any) error {
		if src == nil {
			a.assign(row, nil)
			return nil
		}
		return c.scan(src, member(row))
	}
	return a
}

// Input declares an attribute that requests give and no answer shows, as a password. The member keeps what
// transform makes of it; transform runs before the transaction begins, so it may be slow. Its error is the detail of a
// 422, unless it is Unavailable.
func Input[T any, V, S Value](name string, member func(*T) *S, transform func(context.Context, V) (S, error)) Attribute[T] {
	c := codecOf[V]()
	a := Attribute[T]{AttributeDescription: AttributeDescription{
		Name: name, Kind: c.kind, WriteOnly: true, Nullable: isPointer[V](),
	}}
	if c.kind == String {
		a.AttributeDescription.MaxLength = DefaultMaxLength
	}
	a.parse = func(ctx context.Context, v any) (any, error) {
		parsed, err := c.parse(v)
		if err != nil {
			return nil, err
		}
		return transform(ctx, parsed)
	}
	a.member = func(row *T) any { return member(row) }
	kept := codecOf[S]()
	a.zero = func(parsed any) bool { return kept.null(parsed.(S)) }
	a.assign = func(row *T, parsed any) {
		var none S
		if parsed == nil {
			*member(row) = none
		} else {
			*member(row) = parsed.(S)
		}
	}
	return a
}

// Keeping has a member hold the text of an [Input] as a request gives it, for checks that ask for more than one value can
// tell, as whether a password has the name of its user. It is there in the transaction of the write, and nowhere else.
func (a Attribute[T]) Keeping(member func(*T) *string) Attribute[T] { a.given = member; return a }

// Once declares an attribute that is not stored and that only the answer to the write shows which gives the member a
// value, as to the creation of a token.
func Once[T any, V Value](name string, member func(*T) *V) Attribute[T] {
	a := Attr(name, member)
	a.AttributeDescription.Once, a.Stored, a.AttributeDescription.ReadOnly = true, false, true
	return a
}

// Computed declares a read-only attribute that is worked out from the row whenever it is shown.
func Computed[T any, V Value](name string, compute func(view View, row *T) V) Attribute[T] {
	c := codecOf[V]()
	a := Attribute[T]{AttributeDescription: AttributeDescription{
		Name: name, Kind: c.kind, ReadOnly: true, Nullable: isPointer[V](),
	}}
	a.null = func(*T) bool { return false }
	a.append = func(dst []byte, row *T, view *View) []byte {
		v := compute(*view, row)
		if a.AttributeDescription.Nullable && c.null(v) {
			return append(dst, "null"...)
		}
		return c.append(dst, v)
	}
	return a
}

// State declares a condition on the row that is shown as a boolean attribute and offered as a filter of the
// same name, so that the two cannot disagree.
func State[T any](name string, c Condition) Attribute[T] {
	return Attribute[T]{
		AttributeDescription: AttributeDescription{Name: name, Kind: Bool, ReadOnly: true, state: c},
		null:                 func(*T) bool { return false },
	}
}

// Doc says what the attribute is, for the OpenAPI document.
func (a Attribute[T]) Doc(doc string) Attribute[T] { a.AttributeDescription.Doc = doc; return a }

// InQuery lets requests give the argument of an action in their query too, as dry_run=true. It must be a boolean.
func (a Attribute[T]) InQuery() Attribute[T] { a.AttributeDescription.InQuery = true; return a }

// Required has creations refused that do not give the attribute.
func (a Attribute[T]) Required() Attribute[T] { a.AttributeDescription.Required = true; return a }

// Nullable makes the zero value null. Pointers are nullable without it.
func (a Attribute[T]) Nullable() Attribute[T] { a.AttributeDescription.Nullable = true; return a }

// ReadOnly refuses the attribute in requests (403).
func (a Attribute[T]) ReadOnly() Attribute[T] { a.AttributeDescription.ReadOnly = true; return a }

// Fixed lets only a creation give the attribute.
func (a Attribute[T]) Fixed() Attribute[T] { a.AttributeDescription.Fixed = true; return a }

// Unique refuses a value that another row has (409).
func (a Attribute[T]) Unique() Attribute[T] { a.AttributeDescription.Unique = true; return a }

// Hidden keeps the attribute out of answers and requests; it is stored, and conditions may use it.
func (a Attribute[T]) Hidden() Attribute[T] { a.AttributeDescription.Hidden = true; return a }

// WriteOnly keeps the attribute out of answers; requests may give it, and it is stored as they do.
func (a Attribute[T]) WriteOnly() Attribute[T] { a.AttributeDescription.WriteOnly = true; return a }

// Secret has the attribute sealed at rest and kept out of answers, events, logs and filters. Requests may
// still give it.
func (a Attribute[T]) Secret() Attribute[T] { a.AttributeDescription.Secret = true; return a }

// Mask stands for a value that is kept secret.
const Mask = "************"

// Masked shows [Mask] instead of the value, in answers and in events, of those rows that keep it secret. There are no
// filters on it.
func (a Attribute[T]) Masked(secret func(row *T) bool) Attribute[T] {
	show := a.append
	a.masked = true
	a.append = func(dst []byte, row *T, view *View) []byte {
		if secret(row) {
			return AppendString(dst, Mask)
		}
		return show(dst, row, view)
	}
	return a
}

// Created sets the attribute to the time of the creation and makes it read only.
func (a Attribute[T]) Created() Attribute[T] {
	a.AttributeDescription.Created, a.AttributeDescription.ReadOnly = true, true
	return a
}

// Revision counts changes of a row that no attribute shows, so that its version tells of them: the engine counts those of
// its to-many relationships, an action others, as a new password. It is hidden, and stands in no event.
func Revision[T any](count func(row *T) *int64) Attribute[T] {
	a := Attr("revision", count).Hidden()
	a.revision = count
	return a
}

// Quiet marks an activity, as last_active_at: changing it does not raise the version of its row.
func (a Attribute[T]) Quiet() Attribute[T] { a.AttributeDescription.Quiet = true; return a }

// Tallied has a time be counted by hours: how many rows have one since some hour is known at once, however many there are.
func (a Attribute[T]) Tallied() Attribute[T] { a.AttributeDescription.Tallied = true; return a }

// Confidential keeps the values of the attribute out of the trail, which may outlive them: events only name it.
func (a Attribute[T]) Confidential() Attribute[T] {
	a.AttributeDescription.Confidential = true
	return a
}

// OneOf limits the attribute to some words.
func (a Attribute[T]) OneOf(words ...string) Attribute[T] {
	a.AttributeDescription.OneOf = words
	return a
}

// MaxLength allows a text of up to n characters instead of [DefaultMaxLength].
func (a Attribute[T]) MaxLength(n int) Attribute[T] { a.AttributeDescription.MaxLength = n; return a }

// Default is the plain value that a creation sets if it gives none.
func (a Attribute[T]) Default(v any) Attribute[T] { a.AttributeDescription.Default = v; return a }

// Example is a plain value that documents the attribute.
func (a Attribute[T]) Example(v any) Attribute[T] { a.AttributeDescription.Example = v; return a }

// Filter offers filters on the attribute: Eq as filter[name], the others as filter[name][op].
func (a Attribute[T]) Filter(ops ...Op) Attribute[T] {
	a.ops = ops
	return a
}

// Value is the plain value of the attribute in a row, nil if it is null.
func (a *Attribute[T]) Value(row *T) any {
	if a.AttributeDescription.Nullable && a.null(row) {
		return nil
	}
	return a.value(row)
}

// Scan sets the attribute from a database value, nil for null. It takes what SQLite and PostgreSQL give: times
// as microseconds, as eight bytes (PostgreSQL's timestamptz_send) or time.Time, ids as 16 bytes or uuid text, lists and JSON as text.
func (a *Attribute[T]) Scan(row *T, src any) error { return a.scan(row, src) }

// appendTo appends the attribute as JSON.
func (a *Attribute[T]) appendTo(dst []byte, row *T, view *View) []byte {
	if a.AttributeDescription.Nullable && a.null != nil && a.null(row) {
		return append(dst, "null"...)
	}
	return a.append(dst, row, view)
}

// accept turns what a request gives into what assign takes, nil for null.
func (a *Attribute[T]) accept(ctx context.Context, v any) (any, error) {
	if v == nil {
		if a.AttributeDescription.Nullable {
			return nil, nil
		}
		return nil, errors.New("must not be null")
	}
	if s, ok := v.(string); ok {
		if max := a.AttributeDescription.MaxLength; max > 0 && utf8.RuneCountInString(s) > max {
			return nil, fmt.Errorf("must have at most %d characters", max)
		}
		if words := a.AttributeDescription.OneOf; words != nil && !slices.Contains(words, s) {
			return nil, fmt.Errorf("must be one of %s", strings.Join(words, ", "))
		}
	}
	parsed, err := a.parse(ctx, v)
	switch {
	case errors.Is(err, errKind):
		return nil, fmt.Errorf("must be %s", kindWords[a.Kind])
	case err != nil:
		return nil, err
	case a.AttributeDescription.Nullable && a.zero(parsed):
		return nil, errors.New("must not be empty; null clears it")
	case a.AttributeDescription.Required && a.Kind == String && v == "":
		return nil, errors.New("must not be empty")
	}
	return parsed, nil
}

var kindWords = map[Kind]string{
	String: "a string", Bool: "true or false", Int: "a whole number", Float: "a number",
	Time: "a string with an RFC 3339 time", ID: "a string with a ULID", Strings: "an array of strings",
	JSON: "a JSON value",
}

func isPointer[V Value]() bool {
	var v V
	switch any(v).(type) {
	case *string, *bool, *int64, *float64, *time.Time, *ulid.ULID:
		return true
	}
	return false
}
