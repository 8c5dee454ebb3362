package record

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"reeve/resource"
	"reeve/resource/yamlfile"
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
	r := reader{yamlfile.New(file)}
	root, err := r.Root(content)
	switch {
	case err != nil:
		return nil, err
	case root == nil:
		return nil, fmt.Errorf("%s:1: it declares nothing", file)
	}
	d := &Declaration{}
	r.Mapping(root, members{
		"doc":   r.Text(&d.Doc),
		"needs": r.names(&d.Needs),
		"types": func(_, value *yaml.Node) {
			r.Each(value, maxTypes, func(key, value *yaml.Node) { d.Types = append(d.Types, r.typ(key, value)) })
		},
	})
	if r.Found() == 0 && len(d.Types) == 0 {
		r.Find(root, "it declares no types")
	}
	return d, r.Err()
}

// reader reads one file.
type reader struct{ *yamlfile.Reader }

type members = yamlfile.Members

func words[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// names reads a list of names with hyphens.
func (r reader) names(to *[]string) func(key, value *yaml.Node) {
	return func(_, value *yaml.Node) {
		r.List(value, func(item *yaml.Node) { *to = append(*to, r.name(item, hyphens)) })
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

func (r reader) name(n *yaml.Node, form *regexp.Regexp) string {
	if n.Kind != yaml.ScalarNode || !form.MatchString(n.Value) || len(n.Value) > maxName {
		between := map[*regexp.Regexp]string{hyphens: "hyphens", underscores: "underscores"}[form]
		r.Find(n, "the name %q must be lower case with %s, and have at most %d characters", n.Value, between, maxName)
	}
	return n.Value
}

// word reads one of some words.
func (r reader) word(n *yaml.Node, words ...string) string {
	if n.Kind != yaml.ScalarNode || !slices.Contains(words, n.Value) {
		r.Find(n, "%q must be one of %s", n.Value, strings.Join(words, ", "))
	}
	return n.Value
}
