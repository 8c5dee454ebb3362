package record

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"reeve/resource"
)

// Bounds of what a file declares.
const (
	maxName    = 48  // characters of a name: databases cut what is much longer
	maxMembers = 200 // attributes and references of a type
	maxTypes   = 100
)

// Declaration is what a file declares: what a module needs, and its types.
type Declaration struct {
	Doc   string
	Needs []string
	Types []Type
}

// Type is a type of records.
type Type struct {
	Schema  resource.Schema[Record]
	Verbs   []string // those of the five that are served
	Lookups []string
}

// Store keeps the records of one type, and the links of its to-many references.
type Store interface {
	resource.Store[Record]
	Linkage(name string) resource.Linkage
}

// In is the type, served out of a store.
func (t Type) In(store Store) resource.Type[Record] {
	served := resource.Type[Record]{Schema: t.Schema, Lookups: t.Lookups, Linkages: map[string]resource.Linkage{}}
	for _, r := range t.Schema.References {
		if r.Many {
			served.Linkages[r.Name] = store.Linkage(r.Name)
		}
	}
	for _, verb := range t.Verbs {
		switch verb {
		case resource.List:
			served.List = store.List
		case resource.Get:
			served.Get = store.Get
		case resource.Create:
			served.Create = store.Create
		case resource.Update:
			served.Update = store.Update
		case resource.Delete:
			served.Delete = store.Delete
		}
	}
	return served
}

// Read reads a declaration in YAML. Everything that is wrong with it is reported at once, each with the name of the file
// and the line. Its grammar is
//
//	doc: text
//	needs: [module, ...]
//	types:
//	  name:                           # singular
//	    plural: name                  # the path; the name with an s if absent
//	    doc: text
//	    verbs: [list, get, ...]       # all five if absent
//	    lookups: [attribute, ...]     # paths by-{attribute}
//	    attributes:
//	      name: {kind: string, ...}   # or the kind alone
//	    references:
//	      name: {type: user, ...}     # or the type alone
//	    filters:
//	      name: {word: {member: value, ...}, ...}
//	    unique: [[member, ...], ...]
//	    sorts: [[attribute, ...], ...]
//
// with the members of attributes and references that [resource.Attribute] and [resource.Reference] have. The value of a
// member in a filter is a value, null, or {op: value} with the op not, before, after, min, max, prefix or contains.
func Read(file string, content []byte) (*Declaration, error) {
	r := &reader{file: file}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, fmt.Errorf("%s: %s", file, strings.TrimPrefix(strings.TrimPrefix(err.Error(), "yaml: "), "unmarshal errors:\n  "))
	}
	d := &Declaration{}
	switch {
	case !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0:
		return nil, fmt.Errorf("%s: it is no UTF-8 text", file)
	case len(document.Content) == 0:
		return nil, fmt.Errorf("%s:1: it declares nothing", file)
	}
	r.mapping(document.Content[0], members{
		"doc":   r.text(&d.Doc),
		"needs": r.names(&d.Needs),
		"types": func(_, value *yaml.Node) {
			r.each(value, maxTypes, func(key, value *yaml.Node) { d.Types = append(d.Types, r.typ(key, value)) })
		},
	})
	if len(r.found) == 0 && len(d.Types) == 0 {
		r.find(document.Content[0], "it declares no types")
	}
	return d, errors.Join(r.found...)
}

// reader reads one file, and keeps what is wrong with it.
type reader struct {
	file  string
	found []error
}

func (r *reader) find(at *yaml.Node, format string, args ...any) {
	r.found = append(r.found, fmt.Errorf("%s:%d: %s", r.file, at.Line, fmt.Sprintf(format, args...)))
}

// members are what reads each of the members that a mapping may have.
type members map[string]func(key, value *yaml.Node)

// mapping reads a mapping that may have some members.
func (r *reader) mapping(n *yaml.Node, known members) {
	r.each(n, 0, func(key, value *yaml.Node) {
		read := known[key.Value]
		if read == nil {
			r.find(key, "there is no %q; there are %s", key.Value, strings.Join(words(known), ", "))
			return
		}
		read(key, value)
	})
}

func words[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// each reads the members of a mapping, at most so many unless that is 0.
func (r *reader) each(n *yaml.Node, most int, read func(key, value *yaml.Node)) {
	n = resolved(n)
	if n.Kind != yaml.MappingNode {
		r.find(n, "this must be a mapping")
		return
	}
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], resolved(n.Content[i+1])
		switch {
		case seen[key.Value]:
			r.find(key, "%q stands here twice", key.Value)
			continue
		case most > 0 && len(seen) == most:
			r.find(key, "there are more than %d", most)
			return
		}
		seen[key.Value] = true
		read(key, value)
	}
}

// resolved is what an alias stands for. Aliases of aliases do not nest here: a file has a few levels.
func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// list reads the items of a sequence.
func (r *reader) list(n *yaml.Node, read func(item *yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		r.find(n, "this must be a list")
		return
	}
	for _, item := range n.Content {
		read(resolved(item))
	}
}

// scalar reads a value of a kind.
func (r *reader) scalar(n *yaml.Node, kind resource.Kind) (plain any, ok bool) {
	wanted := map[resource.Kind]string{resource.Bool: "!!bool", resource.Int: "!!int", resource.Float: "!!float"}[kind]
	whole := kind == resource.Float && n.Tag == "!!int"
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || wanted != "" && n.Tag != wanted && !whole {
		r.find(n, "this must be %s", kindWords[kind])
		return nil, false
	}
	plain, err := resource.ParsePlain(kind, n.Value)
	if err != nil {
		r.find(n, "this %s", err)
		return nil, false
	}
	return plain, true
}

var kindWords = map[resource.Kind]string{
	resource.String: "a text", resource.Bool: "true or false", resource.Int: "a whole number", resource.Float: "a number",
	resource.Time: "an RFC 3339 time", resource.ID: "a ULID",
}

// text reads a text into a variable.
func (r *reader) text(to *string) func(key, value *yaml.Node) {
	return func(_, value *yaml.Node) {
		if text, ok := r.scalar(value, resource.String); ok {
			*to = text.(string)
		}
	}
}

// flag reads a boolean into a variable.
func (r *reader) flag(to *bool) func(key, value *yaml.Node) {
	return func(_, value *yaml.Node) {
		if is, ok := r.scalar(value, resource.Bool); ok {
			*to = is.(bool)
		}
	}
}

// texts reads a list of texts.
func (r *reader) texts(to *[]string) func(key, value *yaml.Node) {
	return func(_, value *yaml.Node) {
		*to = []string{}
		r.list(value, func(item *yaml.Node) {
			if text, ok := r.scalar(item, resource.String); ok {
				*to = append(*to, text.(string))
			}
		})
	}
}

// names reads a list of names with hyphens.
func (r *reader) names(to *[]string) func(key, value *yaml.Node) {
	return func(_, value *yaml.Node) {
		r.list(value, func(item *yaml.Node) { *to = append(*to, r.name(item, hyphens)) })
	}
}

// The forms of names.
var (
	hyphens     = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	underscores = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
)

// CheckName checks the name of a module or type: lower case with hyphens.
func CheckName(name string) error {
	if !hyphens.MatchString(name) || len(name) > maxName {
		return fmt.Errorf("the name %q must be lower case with hyphens, and have at most %d characters", name, maxName)
	}
	return nil
}

func (r *reader) name(n *yaml.Node, form *regexp.Regexp) string {
	if n.Kind != yaml.ScalarNode || !form.MatchString(n.Value) || len(n.Value) > maxName {
		between := map[*regexp.Regexp]string{hyphens: "hyphens", underscores: "underscores"}[form]
		r.find(n, "the name %q must be lower case with %s, and have at most %d characters", n.Value, between, maxName)
	}
	return n.Value
}

// word reads one of some words.
func (r *reader) word(n *yaml.Node, words ...string) string {
	if n.Kind != yaml.ScalarNode || !slices.Contains(words, n.Value) {
		r.find(n, "%q must be one of %s", n.Value, strings.Join(words, ", "))
	}
	return n.Value
}
