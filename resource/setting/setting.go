// Package setting is what the program and its modules can be told. Each [Setting] is declared once, in Go: its name, its
// kind, its default, its rule. A [Store] has the values: from the configuration file, the environment, flags, and what
// administrators store.
package setting

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Kind is the kind of a setting's values.
type Kind string

// The kinds, with the Go types that have them. As JSON a duration is a text such as 10s (see [time.ParseDuration]).
const (
	Bool     Kind = "boolean"  // bool
	Int      Kind = "integer"  // int, int64
	String   Kind = "string"   // string
	Duration Kind = "duration" // time.Duration
	Strings  Kind = "strings"  // []string, or a list of what has a text (encoding.TextUnmarshaler)
	JSON     Kind = "json"     // anything else, by encoding/json; members that it does not have are refused
)

// maxValue is how many bytes a value may take as JSON.
const maxValue = 64 << 10

// Setting is a setting whose values are of T. Its methods that declare something change it, and are for where it is
// declared alone.
type Setting[T any] struct{ about }

// Declaration is a [Setting] of any T.
type Declaration interface{ declared() *about }

// about is a setting without its Go type.
type about struct {
	name, doc   string
	kind        Kind
	fallback    any // the default
	fixed       bool
	secret      bool
	restart     bool
	maintenance bool
	privileged  bool
	parse       func(v any) (any, error) // from a JSON-like value; the error follows the name in a sentence
}

func (a *about) declared() *about { return a }

// split divides the name, as auth.basic.enabled: into auth.basic and enabled. The section may be empty.
func (a *about) split() (section, key string) {
	at := strings.LastIndexByte(a.name, '.')
	return a.name[:max(at, 0)], a.name[at+1:]
}

// New declares a setting by its name, as auth.basic.enabled: the section auth.basic, and in it the key enabled. Each
// check is asked about a value; its error follows the name in a sentence, as "must be at least 1". It must not show the
// value, if that is secret.
func New[T any](name string, fallback T, doc string, checks ...func(T) error) *Setting[T] {
	if v := reflect.ValueOf(&fallback).Elem(); v.Kind() == reflect.Slice && v.IsNil() {
		v.Set(reflect.MakeSlice(v.Type(), 0, 0)) // an empty list, not null
	}
	kind := kindOf(reflect.TypeFor[T]())
	return &Setting[T]{about{name: name, doc: doc, kind: kind, fallback: fallback, parse: func(v any) (any, error) {
		value, err := parse[T](kind, v)
		for _, check := range checks {
			if err == nil {
				err = check(value)
			}
		}
		return value, err
	}}}
}

// Fixed refuses to have a value of the setting stored: the file, the environment and flags alone give it.
func (s *Setting[T]) Fixed() *Setting[T] { s.fixed = true; return s }

// Secret has the values kept out of answers, events and logs, and sealed where they are stored.
func (s *Setting[T]) Secret() *Setting[T] { s.secret = true; return s }

// Maintenance says that the setting can be changed while nothing else can be written.
func (s *Setting[T]) Maintenance() *Setting[T] { s.maintenance = true; return s }

// Privileged says that whoever chooses the value can come by any permission, as by naming the server that says who somebody
// is: only who may do everything stores one, or takes it away.
func (s *Setting[T]) Privileged() *Setting[T] { s.privileged = true; return s }

// Restart says that a change has its effect with the next start of the program.
func (s *Setting[T]) Restart() *Setting[T] { s.restart = true; return s }

// Values are the values of settings: a [Store], or a [Reading] of what it is to have.
type Values interface {
	value(name string) (v any, ok bool)
}

// In is the value of the setting; the default where the setting is not declared. It takes no lock.
func (s *Setting[T]) In(values Values) T {
	if v, ok := values.value(s.name); ok {
		if value, ok := v.(T); ok {
			return value
		}
	}
	return s.fallback.(T)
}

// Follow calls apply with the value of the setting, and again whenever it changes, one call after another, until stop is
// called. Apply must not change the store.
func (s *Setting[T]) Follow(store *Store, apply func(value T)) (stop func()) {
	return store.follow(s.name, func() { apply(s.In(store)) })
}

var (
	nameForm = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)
	texts    = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// verify checks a declaration.
func (a *about) verify() error {
	switch _, err := a.parse(plain(a.fallback)); {
	case !nameForm.MatchString(a.name):
		return fmt.Errorf("setting: the name %q must be words of lower case with dots between them", a.name)
	case a.doc == "":
		return fmt.Errorf("setting: %s has no doc", a.name)
	case err != nil:
		return fmt.Errorf("setting: the default of %s %w", a.name, err)
	}
	return nil
}

func kindOf(t reflect.Type) Kind {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return Duration
	case t.Kind() == reflect.Bool:
		return Bool
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		return Int
	case t.Kind() == reflect.String:
		return String
	case t.Kind() == reflect.Slice && (t.Elem().Kind() == reflect.String || reflect.PointerTo(t.Elem()).Implements(texts)):
		return Strings
	}
	return JSON
}

var kindWords = map[Kind]string{
	Bool: "must be true or false", Int: "must be a whole number", String: "must be a string", Duration: "must be a duration such as 10s",
	Strings: "must be an array of strings",
}

// parse reads a value from a JSON-like one.
func parse[T any](kind Kind, v any) (value T, err error) {
	if kind == Duration {
		d, err := time.ParseDuration(fmt.Sprint(v)) // 0 needs no unit
		if err != nil {
			return value, errors.New(kindWords[kind])
		}
		return any(d).(T), nil
	}
	text, err := json.Marshal(v)
	switch {
	case err != nil:
		return value, errors.New("must have texts for the names of its members")
	case len(text) > maxValue:
		return value, fmt.Errorf("must take at most %d bytes", maxValue)
	case string(text) == "null":
		return value, errors.New("must not be null")
	case hasNUL(v):
		return value, errors.New("must not contain a NUL character")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(&value)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && (kind != JSON || wrong.Field == ""):
		return value, errors.New(cmp.Or(kindWords[kind], "must be no "+wrong.Value))
	case errors.As(err, &wrong):
		return value, fmt.Errorf("must have no %s as %s", wrong.Value, wrong.Field)
	case err != nil:
		return value, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return value, nil
}

// hasNUL reports whether some text in a JSON-like value has the one character that no database keeps.
func hasNUL(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.IndexByte(v, 0) >= 0
	case []any:
		for _, item := range v {
			if hasNUL(item) {
				return true
			}
		}
	case map[string]any:
		for name, member := range v {
			if hasNUL(name) || hasNUL(member) {
				return true
			}
		}
	}
	return false
}

// typed is the JSON-like value that a text means, as the environment and flags have them.
func (a *about) typed(text string) any {
	switch a.kind {
	case Bool:
		if text == "true" || text == "false" {
			return text == "true"
		}
	case Int:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n
		}
	case Strings:
		items := []any{}
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		return items
	case JSON:
		var v any
		if err := json.Unmarshal([]byte(text), &v); err == nil { // else it is told of as the string that it is
			return v
		}
	}
	return text
}

// plain is a value as encoding/json takes it.
func plain(v any) any {
	d, ok := v.(time.Duration)
	if !ok {
		return v
	}
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// render is a value as JSON.
func render(v any) json.RawMessage {
	text, err := json.Marshal(plain(v))
	if err != nil {
		panic(err) // it was read from JSON
	}
	return text
}
