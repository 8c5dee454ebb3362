package resource

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"
)

// Value is what an attribute can hold. A pointer is null when it is nil; another value is null when it is
// zero and its attribute is declared Nullable.
type Value interface {
	string | bool | int64 | float64 | time.Time | ulid.ULID | []string | json.RawMessage |
		*string | *bool | *int64 | *float64 | *time.Time | *ulid.ULID
}

// Kind is the kind of an attribute's values.
type Kind string

// The kinds, with the Go type of their plain form (see [Attribute.Value]).
const (
	String  Kind = "string"    // string
	Bool    Kind = "boolean"   // bool
	Int     Kind = "integer"   // int64
	Float   Kind = "number"    // float64
	Time    Kind = "date-time" // time.Time, UTC, whole microseconds
	ID      Kind = "ulid"      // ulid.ULID
	Strings Kind = "strings"   // []string
	JSON    Kind = "json"      // json.RawMessage
)

// codec knows one kind of value: how it is written as JSON, read from JSON, and read from a database.
type codec[V any] struct {
	kind   Kind
	null   func(V) bool                      // is this the value that stands for null?
	plain  func(V) any                       // the plain form; never called for null
	append func(dst []byte, v V) []byte      // as JSON; never called for null
	parse  func(v any) (V, error)            // from a JSON-like value that is not null
	scan   func(src any, dst *V) (err error) // from a database value that is not null
}

// errKind is what parse answers to a value of the wrong kind; the caller names the kind that is wanted.
var errKind = errors.New("wrong kind")

// codecOf finds the codec of a type. It is called once for an attribute, when it is declared.
func codecOf[V Value]() codec[V] {
	var v V
	var found any
	switch any(v).(type) {
	case string:
		found = stringCodec
	case *string:
		found = pointer(stringCodec)
	case bool:
		found = boolCodec
	case *bool:
		found = pointer(boolCodec)
	case int64:
		found = intCodec
	case *int64:
		found = pointer(intCodec)
	case float64:
		found = floatCodec
	case *float64:
		found = pointer(floatCodec)
	case time.Time:
		found = timeCodec
	case *time.Time:
		found = pointer(timeCodec)
	case ulid.ULID:
		found = idCodec
	case *ulid.ULID:
		found = pointer(idCodec)
	case []string:
		found = stringsCodec
	case json.RawMessage:
		found = jsonCodec
	}
	return found.(codec[V])
}

// pointer is the codec of *V: null is nil.
func pointer[V any](c codec[V]) codec[*V] {
	return codec[*V]{
		kind:   c.kind,
		null:   func(v *V) bool { return v == nil },
		plain:  func(v *V) any { return c.plain(*v) },
		append: func(dst []byte, v *V) []byte { return c.append(dst, *v) },
		parse: func(v any) (*V, error) {
			parsed, err := c.parse(v)
			return &parsed, err
		},
		scan: func(src any, dst **V) error {
			*dst = new(V)
			return c.scan(src, *dst)
		},
	}
}

var stringCodec = codec[string]{
	kind:   String,
	null:   func(v string) bool { return v == "" },
	plain:  func(v string) any { return v },
	append: AppendString,
	parse:  parseString,
	scan: func(src any, dst *string) error {
		switch src := src.(type) {
		case string:
			*dst = src
		case []byte:
			*dst = string(src)
		default:
			return scanError(src, String)
		}
		return nil
	},
}

var boolCodec = codec[bool]{
	kind:   Bool,
	null:   func(v bool) bool { return !v },
	plain:  func(v bool) any { return v },
	append: strconv.AppendBool,
	parse: func(v any) (bool, error) {
		if b, ok := v.(bool); ok {
			return b, nil
		}
		return false, errKind
	},
	scan: func(src any, dst *bool) error {
		switch src := src.(type) {
		case bool:
			*dst = src
		case int64:
			*dst = src != 0
		default:
			return scanError(src, Bool)
		}
		return nil
	},
}

var intCodec = codec[int64]{
	kind:   Int,
	null:   func(v int64) bool { return v == 0 },
	plain:  func(v int64) any { return v },
	append: func(dst []byte, v int64) []byte { return strconv.AppendInt(dst, v, 10) },
	parse: func(v any) (int64, error) {
		switch v := v.(type) {
		case json.Number:
			i, err := strconv.ParseInt(v.String(), 10, 64)
			if errors.Is(err, strconv.ErrRange) {
				return 0, errors.New("must fit in 64 bits")
			}
			if err != nil {
				return 0, errKind
			}
			return i, nil
		case int64:
			return v, nil
		case int:
			return int64(v), nil
		}
		return 0, errKind
	},
	scan: func(src any, dst *int64) error {
		v, ok := src.(int64)
		if !ok {
			return scanError(src, Int)
		}
		*dst = v
		return nil
	},
}

var floatCodec = codec[float64]{
	kind:   Float,
	null:   func(v float64) bool { return v == 0 },
	plain:  func(v float64) any { return v },
	append: func(dst []byte, v float64) []byte { return strconv.AppendFloat(dst, v, 'g', -1, 64) },
	parse: func(v any) (float64, error) {
		switch v := v.(type) {
		case json.Number:
			f, err := v.Float64()
			if err != nil {
				return 0, errors.New("must fit in a 64-bit float")
			}
			return f, nil
		case int:
			return float64(v), nil
		case int64:
			return float64(v), nil
		case float64:
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return 0, errKind
			}
			return v, nil
		}
		return 0, errKind
	},
	scan: func(src any, dst *float64) error {
		switch src := src.(type) {
		case float64:
			*dst = src
		case int64:
			*dst = float64(src)
		default:
			return scanError(src, Float)
		}
		return nil
	},
}

var timeCodec = codec[time.Time]{
	kind:   Time,
	null:   time.Time.IsZero,
	plain:  func(v time.Time) any { return v },
	append: func(dst []byte, v time.Time) []byte { return append(AppendTime(append(dst, '"'), v), '"') },
	parse: func(v any) (time.Time, error) {
		switch v := v.(type) {
		case string:
			return ParseTime(v)
		case time.Time:
			return Cut(v), nil
		}
		return time.Time{}, errKind
	},
	scan: func(src any, dst *time.Time) error {
		switch src := src.(type) {
		case int64:
			*dst = time.UnixMicro(src).UTC()
		case []byte:
			if len(src) != 8 {
				return scanError(src, Time)
			}
			*dst = time.UnixMicro(int64(binary.BigEndian.Uint64(src)) + postgresEpoch).UTC()
		case time.Time:
			*dst = src.UTC()
		default:
			return scanError(src, Time)
		}
		return nil
	},
}

// postgresEpoch is 2000-01-01, from which PostgreSQL counts, in microseconds since 1970.
const postgresEpoch = 946_684_800_000_000

var idCodec = codec[ulid.ULID]{
	kind:  ID,
	null:  func(v ulid.ULID) bool { return v == ulid.ULID{} },
	plain: func(v ulid.ULID) any { return v },
	append: func(dst []byte, v ulid.ULID) []byte {
		return append(AppendID(append(dst, '"'), v), '"')
	},
	parse: func(v any) (ulid.ULID, error) {
		switch v := v.(type) {
		case string:
			return ParseID(v)
		case ulid.ULID:
			return v, nil
		}
		return ulid.ULID{}, errKind
	},
	scan: ScanID,
}

var stringsCodec = codec[[]string]{
	kind:  Strings,
	null:  func(v []string) bool { return v == nil },
	plain: func(v []string) any { return v },
	append: func(dst []byte, v []string) []byte {
		dst = append(dst, '[')
		for i, s := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendString(dst, s)
		}
		return append(dst, ']')
	},
	parse: func(v any) ([]string, error) {
		switch v := v.(type) {
		case []string:
			return v, nil
		case []any:
			if len(v) > maxItems {
				return nil, fmt.Errorf("must have at most %d items", maxItems)
			}
			list := make([]string, len(v))
			for i, item := range v {
				var err error
				if list[i], err = parseString(item); err != nil {
					return nil, fmt.Errorf("must be an array of strings; item %d is none", i)
				}
				if utf8.RuneCountInString(list[i]) > DefaultMaxLength {
					return nil, fmt.Errorf("must have items of at most %d characters", DefaultMaxLength)
				}
			}
			return list, nil
		}
		return nil, errKind
	},
	scan: func(src any, dst *[]string) error { return scanJSON(src, Strings, dst) },
}

var jsonCodec = codec[json.RawMessage]{
	kind:   JSON,
	null:   func(v json.RawMessage) bool { return len(v) == 0 },
	plain:  func(v json.RawMessage) any { return v },
	append: func(dst []byte, v json.RawMessage) []byte { return append(dst, v...) },
	parse: func(v any) (json.RawMessage, error) {
		if raw, ok := v.(json.RawMessage); ok {
			return raw, nil
		}
		return json.Marshal(v)
	},
	scan: func(src any, dst *json.RawMessage) error { return scanJSON(src, JSON, dst) },
}

// maxItems is how many strings a list may have.
const maxItems = 1000

func parseString(v any) (string, error) {
	s, ok := v.(string)
	switch {
	case !ok:
		return "", errKind
	case strings.IndexByte(s, 0) >= 0:
		return "", errors.New("must not contain a NUL character")
	case !utf8.ValidString(s):
		return "", errors.New("must be valid UTF-8")
	}
	return s, nil
}

func scanJSON(src any, kind Kind, dst any) error {
	switch src := src.(type) {
	case string:
		return json.Unmarshal([]byte(src), dst)
	case []byte:
		return json.Unmarshal(src, dst)
	}
	return scanError(src, kind)
}

// ScanID reads the two stored forms of an id: 16 bytes, and the 36 characters of a uuid.
func ScanID(src any, dst *ulid.ULID) error {
	switch src := src.(type) {
	case []byte:
		if len(src) == len(dst) {
			copy(dst[:], src)
			return nil
		}
		return scanUUID(src, dst)
	case string:
		return scanUUID(src, dst)
	}
	return scanError(src, ID)
}

func scanUUID[text string | []byte](src text, dst *ulid.ULID) error {
	if len(src) != 36 {
		return scanError(src, ID)
	}
	n := 0
	for i := 0; i < len(src); i += 2 {
		if src[i] == '-' {
			i++
		}
		hi, lo := hexDigit(src[i]), hexDigit(src[i+1])
		if n == len(dst) || hi > 15 || lo > 15 {
			return scanError(src, ID)
		}
		dst[n] = hi<<4 | lo
		n++
	}
	return nil
}

func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xFF
}

func scanError(src any, kind Kind) error {
	return fmt.Errorf("resource: a stored %T is no %s", src, kind)
}
