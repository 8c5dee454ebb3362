package provisioning

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/yamlfile"
)

// Bounds of what files say.
const (
	maxFile    = 10 << 20 // bytes of a file
	maxFiles   = 1000     // of a kind
	maxNodes   = 1 << 20  // values in a file, each alias counted with what it stands for
	maxDepth   = 100
	maxContent = 64 << 10 // bytes of a file that a reference names
	maxName    = 1000     // characters
	maxPath    = 1000
	maxError   = 10_000
)

// entity is a resource as a file has it.
type entity struct {
	name             string
	shown            string // the name as reports have it, without what references stand for
	file             string // its path, from the folder of all kinds
	line             int
	allowEdits, keep bool
	members          map[string]any // JSON-like
	lines            map[string]int // of the members
	referred         []string       // the texts that references stand for, which no report may show
	wrong            []string       // what is to be told of values that it cannot have, each after its place
}

// at is where a member of the entity stands, or the entity itself.
func (e *entity) at(member string) string {
	line := e.line
	if at, ok := e.lines[member]; ok {
		line = at
	}
	if line == 0 {
		return e.file
	}
	return fmt.Sprintf("%s:%d", e.file, line)
}

// errNoFolder says that there are no files at all, not even none.
var errNoFolder = errors.New("the folder of all kinds is not there")

// read reads the files of a kind. Each is
//
//	allow_edits: false  # whether others may change what stands here too, until the file is applied again
//	keep: false         # whether what the file names no more stays, though files have made it
//	users:              # the name of the kind
//	  - username: kilgore-trout
//	    roles: [support]
//
// with the members of the type, relationships by the names of what they lead to, and what setters set. A text ${NAME} in
// one is that variable of the environment, ${file:PATH} the content of a file without a line break at its end, and $${ is ${.
// What is wrong with the values of an entity stands there. The error has everything else that is wrong, each with its file
// and line; it is errNoFolder if provisioning.path is not there.
func (k *Keeper) read(kind *Kind) ([]*entity, error) {
	root := k.config.Path()
	folders, err := Folders(root, kind.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoFolder
	}
	if err != nil {
		return nil, err
	}
	var all []*entity
	var found []error
	files := 0
	for _, folder := range folders {
		entries, err := os.ReadDir(filepath.Join(root, folder))
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			extension := filepath.Ext(entry.Name())
			if entry.IsDir() || !slices.Contains([]string{".yaml", ".yml"}, extension) || strings.HasPrefix(entry.Name(), ".") {
				continue
			}
			if files++; files > maxFiles {
				return nil, fmt.Errorf("%s: there are more than %d files", folder, maxFiles)
			}
			path := filepath.Join(folder, entry.Name())
			content, err := contentOf(filepath.Join(root, path), maxFile)
			switch {
			case err != nil:
				err = fmt.Errorf("%s: %w", path, err)
			case kind.Whole:
				digest := sha256.Sum256(content)
				name := strings.TrimSuffix(entry.Name(), extension)
				all = append(all, &entity{name: name, shown: name, file: path,
					members: map[string]any{MemberLoaded: true, MemberContent: hex.EncodeToString(digest[:])}})
			default:
				var some []*entity
				some, err = readFile(kind, root, path, content)
				all = append(all, some...)
			}
			if err != nil {
				found = append(found, err)
			}
		}
	}
	places := map[string]string{}
	for _, e := range all {
		if other, twice := places[e.name]; twice {
			e.wrong = append(e.wrong, fmt.Sprintf("%s: %q stands in %s already", e.at(kind.Key), e.shown, other))
			continue
		}
		places[e.name] = e.at(kind.Key)
	}
	return all, errors.Join(found...)
}

// Folders are the names of the folders of a kind in that of all kinds: its own, and those that Grafana has for it.
func Folders(root, kind string) (names []string, err error) {
	entries, err := os.ReadDir(root)
	for _, entry := range entries {
		if auth.Provisioner(entry.Name()) == kind {
			names = append(names, entry.Name())
		}
	}
	return names, err
}

// The members of what is a file as a whole, see [Kind.Whole].
const (
	MemberLoaded  = "loaded"
	MemberContent = "content"
)

// contentOf reads a file that has at most so many bytes, and is a regular one: others, as a pipe, may be read for ever. The
// error has not its path.
func contentOf(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, errors.Unwrap(err) // a PathError
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, most+1))
	switch {
	case err != nil:
		return nil, errors.Unwrap(err)
	case int64(len(content)) > most:
		return nil, fmt.Errorf("it has more than %d bytes", most)
	}
	return content, nil
}

// reader reads a file of a kind.
type reader struct {
	*yamlfile.Reader
	kind  *Kind
	path  string // of the file, from root
	root  string
	nodes int

	entity *entity // that is read
}

func readFile(kind *Kind, root, path string, content []byte) ([]*entity, error) {
	r := &reader{Reader: yamlfile.New(path), kind: kind, path: path, root: root}
	document, err := r.Root(content)
	if err != nil || document == nil {
		return nil, err
	}
	var all []*entity
	var allowEdits, keep bool
	r.Mapping(document, yamlfile.Members{
		"allow_edits": r.Flag(&allowEdits), "keep": r.Flag(&keep),
		kind.Name: func(_, value *yaml.Node) {
			r.List(value, func(item *yaml.Node) {
				if e := r.read(item); e != nil {
					all = append(all, e)
				}
			})
		},
	})
	for _, e := range all {
		e.allowEdits, e.keep = allowEdits, keep
	}
	return all, r.Err()
}

// read reads an entity, nil if that has no name, and nothing tells why.
func (r *reader) read(item *yaml.Node) *entity {
	e := &entity{file: r.path, line: item.Line, members: map[string]any{}, lines: map[string]int{}}
	r.entity = e
	wrong := r.Found()
	r.Each(item, 0, func(key, value *yaml.Node) {
		before := len(e.referred)
		e.members[key.Value], e.lines[key.Value] = r.value(value, 0), key.Line
		if name, ok := e.members[key.Value].(string); ok && key.Value == r.kind.Key {
			e.name, e.shown = name, masked(name, e.referred[before:])
		}
	})
	if r.Found() > wrong {
		return nil
	}
	if e.wrong == nil && (e.name == "" || len([]rune(e.name)) > maxName) {
		r.Find(item, "%s must be a text of 1 to %d characters", r.kind.Key, maxName)
		return nil
	}
	return e
}

// refuse notes a value that the entity cannot have.
func (r *reader) refuse(n *yaml.Node, format string, args ...any) {
	r.entity.wrong = append(r.entity.wrong, fmt.Sprintf("%s:%d: %s", r.path, n.Line, fmt.Sprintf(format, args...)))
}

// value is the JSON-like value of a node.
func (r *reader) value(n *yaml.Node, depth int) any {
	n = yamlfile.Resolved(n)
	if r.nodes++; r.nodes > maxNodes || depth > maxDepth {
		if r.nodes == maxNodes+1 || depth == maxDepth+1 {
			r.Find(n, "this is too much, or too deep")
		}
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		object := map[string]any{}
		r.Each(n, 0, func(key, value *yaml.Node) { object[key.Value] = r.value(value, depth+1) })
		return object
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		r.List(n, func(item *yaml.Node) { list = append(list, r.value(item, depth+1)) })
		return list
	}
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool", "!!int", "!!float":
		var v any
		if err := n.Decode(&v); err != nil {
			r.Find(n, "this is no value")
		}
		switch v := v.(type) {
		case int:
			return int64(v)
		case float64:
			if math.IsInf(v, 0) || math.IsNaN(v) {
				r.refuse(n, "this is no finite number")
				return nil
			}
		}
		return v
	}
	text := r.expand(n)
	if !utf8.ValidString(text) || strings.Contains(text, "\x00") {
		r.refuse(n, "this is no UTF-8 text without NUL")
		return nil
	}
	return text
}

var reference = regexp.MustCompile(`\$?\$\{([^{}]*)\}`)

// expand is a text with its references replaced by what they stand for.
func (r *reader) expand(n *yaml.Node) string {
	return reference.ReplaceAllStringFunc(n.Value, func(match string) string {
		if strings.HasPrefix(match, "$$") {
			return match[1:]
		}
		name := match[2 : len(match)-1]
		text, err := r.referred(name)
		if err != nil {
			r.refuse(n, "${%s}: %v", name, err)
		}
		if text != "" {
			r.entity.referred = append(r.entity.referred, text)
		}
		return text
	})
}

// referred is what a reference stands for. Relative paths begin at the file that has it.
func (r *reader) referred(name string) (string, error) {
	path, isFile := strings.CutPrefix(name, "file:")
	if !isFile {
		text, set := os.LookupEnv(name)
		if !set {
			return "", errors.New("there is no such variable in the environment")
		}
		return text, nil
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.root, filepath.Dir(r.path), path)
	}
	content, err := contentOf(path, maxContent)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}

// told is an error as reports have it: with the places in the file, and without what references stand for.
func (e *entity) told(err error) (texts []string) {
	for _, problem := range resource.AllErrors(err) {
		member := ""
		if parts := strings.Split(problem.Pointer, "/"); len(parts) > 2 {
			member = parts[2]
		}
		texts = append(texts, e.at(member)+": "+masked(problem.Error(), e.referred))
	}
	return texts
}

// masked is a text without secrets. Of one that begins as another does, nothing is left.
func masked(text string, secrets []string) string {
	var masks []string
	for _, secret := range slices.SortedFunc(slices.Values(secrets), func(a, b string) int { return len(b) - len(a) }) {
		masks = append(masks, secret, resource.Mask, strings.Trim(strconv.Quote(secret), `"`), resource.Mask)
	}
	return strings.NewReplacer(masks...).Replace(text)
}
