package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"reeve/resource"
)

// MaxDepth is how deep arrays and objects of a request may nest.
const MaxDepth = 32

// maxProblems ends the reading of a body that has nothing but problems.
const maxProblems = 100

// decoder reads JSON into nil, bool, string, json.Number, []any and map[string]any. Beyond the grammar it
// refuses what RFC 7493 (I-JSON) does: repeated members, broken Unicode, numbers beyond 64-bit floats; and NUL,
// which PostgreSQL cannot store.
type decoder struct {
	text     []byte
	tokens   *json.Decoder
	path     []string // of the value that is being read
	problems resource.Errors
}

// decode reads a JSON text. Its errors are MalformedDocument, with pointers from the root of the text.
func decode(text []byte) (any, error) {
	var whole json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			return nil, malformed("the body is not JSON: %s, after byte %d", syntax, syntax.Offset)
		}
		return nil, malformed("the body is not JSON: %s", err)
	}
	d := decoder{text: text, tokens: json.NewDecoder(bytes.NewReader(text))}
	d.tokens.UseNumber()
	v, err := d.value()
	if err == nil && len(d.problems) > 0 {
		err = d.problems
	}
	return v, err
}

func malformed(format string, args ...any) *resource.Error {
	return resource.Errorf(resource.MalformedDocument, format, args...)
}

// find notes a problem with the value that is being read. It returns all of them once there are too many.
func (d *decoder) find(format string, args ...any) error {
	d.problems = append(d.problems, malformed(format, args...).At(d.path...))
	if len(d.problems) >= maxProblems {
		return d.problems
	}
	return nil
}

// value reads one value. Its error ends the reading; other problems are noted.
func (d *decoder) value() (any, error) {
	begin := d.tokens.InputOffset()
	token, err := d.tokens.Token()
	if err != nil {
		return nil, malformed("the body is not JSON: %s", err).At(d.path...)
	}
	switch token := token.(type) {
	case json.Delim:
		if len(d.path) >= MaxDepth {
			return nil, malformed("the body nests deeper than %d levels", MaxDepth).At(d.path...)
		}
		if token == '[' {
			return d.array()
		}
		return d.object()
	case string:
		return token, d.checkString(token, d.text[begin:d.tokens.InputOffset()])
	case json.Number:
		if _, err := token.Float64(); err != nil {
			return token, d.find("a number is out of range")
		}
		return token, nil
	}
	return token, nil // a bool or nil
}

func (d *decoder) array() (any, error) {
	items := []any{}
	for d.tokens.More() {
		d.path = append(d.path, strconv.Itoa(len(items)))
		item, err := d.value()
		if err != nil {
			return nil, err
		}
		d.path = d.path[:len(d.path)-1]
		items = append(items, item)
	}
	_, err := d.tokens.Token() // the closing bracket
	return items, err
}

func (d *decoder) object() (any, error) {
	members := map[string]any{}
	for d.tokens.More() {
		begin := d.tokens.InputOffset()
		token, err := d.tokens.Token()
		if err != nil {
			return nil, malformed("the body is not JSON: %s", err).At(d.path...)
		}
		name := token.(string) // the grammar has been checked
		if err := d.checkString(name, d.text[begin:d.tokens.InputOffset()]); err != nil {
			return nil, err
		}
		d.path = append(d.path, name)
		if _, twice := members[name]; twice {
			if err := d.find("member %q stands there twice", name); err != nil {
				return nil, err
			}
		}
		if members[name], err = d.value(); err != nil {
			return nil, err
		}
		d.path = d.path[:len(d.path)-1]
	}
	_, err := d.tokens.Token() // the closing brace
	return members, err
}

// checkString notes what is wrong with a string, given as it is and as it stands in the text.
func (d *decoder) checkString(s string, raw []byte) error {
	switch {
	case strings.IndexByte(s, 0) >= 0:
		return d.find("a string contains a NUL character")
	case strings.ContainsRune(s, utf8.RuneError) && (!utf8.Valid(raw) || hasLoneSurrogate(raw)):
		return d.find("a string is not valid Unicode")
	}
	return nil
}

// hasLoneSurrogate reports whether a JSON string has half of a surrogate pair as an escape.
func hasLoneSurrogate(raw []byte) bool {
	for {
		i := bytes.IndexByte(raw, '\\')
		switch {
		case i < 0:
			return false
		case raw[i+1] != 'u':
			raw = raw[i+2:]
			continue
		}
		unit := hexUnit(raw[i:])
		raw = raw[i+6:]
		if unit < 0xD800 || unit > 0xDFFF {
			continue
		}
		if unit > 0xDBFF || !bytes.HasPrefix(raw, []byte(`\u`)) {
			return true
		}
		if low := hexUnit(raw); low < 0xDC00 || low > 0xDFFF {
			return true
		}
		raw = raw[6:]
	}
}

// hexUnit is the number in an escape \uXXXX, whose form the grammar has checked.
func hexUnit(escape []byte) uint64 {
	unit, err := strconv.ParseUint(string(escape[2:6]), 16, 16)
	if err != nil {
		return utf8.RuneError
	}
	return unit
}

// members are the sorted names of an object, so that problems come in the same order every time.
func members(object map[string]any) []string {
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
