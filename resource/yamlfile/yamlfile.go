// Package yamlfile reads files in YAML so that everything that is wrong with one is told of, with its line.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"reeve/resource"
)

// Reader reads one file, and keeps what is wrong with it. Its methods read parts of the file, and go on after what is
// wrong.
type Reader struct {
	file  string
	found []error
}

// New makes a reader of a file, whose name stands before each error.
func New(file string) *Reader { return &Reader{file: file} }

// Root is the document in a file, nil if it is empty. The error is about a text that is no YAML in UTF-8.
func (r *Reader) Root(content []byte) (*yaml.Node, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "yaml: "), "unmarshal errors:\n  ")
		if rest, ok := strings.CutPrefix(text, "line "); ok { // as all other errors have it
			if line, what, ok := strings.Cut(rest, ": "); ok {
				return nil, fmt.Errorf("%s:%s: %s", r.file, line, what)
			}
		}
		return nil, fmt.Errorf("%s: %s", r.file, text)
	}
	if !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0 {
		return nil, fmt.Errorf("%s: it is no UTF-8 text", r.file)
	}
	if len(document.Content) == 0 {
		return nil, nil
	}
	return document.Content[0], nil
}

// Err is everything that is wrong, as one error.
func (r *Reader) Err() error { return errors.Join(r.found...) }

// Found is how much is wrong.
func (r *Reader) Found() int { return len(r.found) }

// Find notes something that is wrong on the line of a node.
func (r *Reader) Find(at *yaml.Node, format string, args ...any) {
	r.found = append(r.found, fmt.Errorf("%s:%d: %s", r.file, at.Line, fmt.Sprintf(format, args...)))
}

// Members are what reads each of the members that a mapping may have.
type Members map[string]func(key, value *yaml.Node)

// Mapping reads a mapping that may have some members.
func (r *Reader) Mapping(n *yaml.Node, known Members) {
	r.Each(n, 0, func(key, value *yaml.Node) {
		read := known[key.Value]
		if read == nil {
			r.Find(key, "there is no %q; there are %s", key.Value, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
			return
		}
		read(key, value)
	})
}

// Each reads the members of a mapping, at most so many unless that is 0.
func (r *Reader) Each(n *yaml.Node, most int, read func(key, value *yaml.Node)) {
	n = Resolved(n)
	if n.Kind != yaml.MappingNode {
		r.Find(n, "this must be a mapping")
		return
	}
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], Resolved(n.Content[i+1])
		switch {
		case seen[key.Value]:
			r.Find(key, "%q stands here twice", key.Value)
			continue
		case most > 0 && len(seen) == most:
			r.Find(key, "there are more than %d", most)
			return
		}
		seen[key.Value] = true
		read(key, value)
	}
}

// Resolved is what an alias stands for.
func Resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// List reads the items of a sequence.
func (r *Reader) List(n *yaml.Node, read func(item *yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		r.Find(n, "this must be a list")
		return
	}
	for _, item := range n.Content {
		read(Resolved(item))
	}
}

// Scalar reads a value of a kind.
func (r *Reader) Scalar(n *yaml.Node, kind resource.Kind) (plain any, ok bool) {
	wanted := map[resource.Kind]string{resource.Bool: "!!bool", resource.Int: "!!int", resource.Float: "!!float"}[kind]
	whole := kind == resource.Float && n.Tag == "!!int"
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || wanted != "" && n.Tag != wanted && !whole {
		r.Find(n, "this must be %s", kindWords[kind])
		return nil, false
	}
	plain, err := resource.ParsePlain(kind, n.Value)
	if err != nil {
		r.Find(n, "this %s", err)
		return nil, false
	}
	return plain, true
}

var kindWords = map[resource.Kind]string{
	resource.String: "a text", resource.Bool: "true or false", resource.Int: "a whole number", resource.Float: "a number",
	resource.Time: "an RFC 3339 time", resource.ID: "a ULID",
}

// Text reads a text into a variable.
func (r *Reader) Text(to *string) func(key, value *yaml.Node) {
	return func(_, value *yaml.Node) {
		if text, ok := r.Scalar(value, resource.String); ok {
			*to = text.(string)
		}
	}
}

// Flag reads a boolean into a variable.
func (r *Reader) Flag(to *bool) func(key, value *yaml.Node) {
	return func(_, value *yaml.Node) {
		if is, ok := r.Scalar(value, resource.Bool); ok {
			*to = is.(bool)
		}
	}
}

// Texts reads a list of texts.
func (r *Reader) Texts(to *[]string) func(key, value *yaml.Node) {
	return func(_, value *yaml.Node) {
		*to = []string{}
		r.List(value, func(item *yaml.Node) {
			if text, ok := r.Scalar(item, resource.String); ok {
				*to = append(*to, text.(string))
			}
		})
	}
}
