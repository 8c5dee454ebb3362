package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// layout is a schema as the database sees it, without its Go type: its table, its columns, its indexes. The
// column id comes first in the table, and stands for itself.
type layout struct {
	db       *DB
	resource string // the name of the type
	table    string
	columns  []column // of the members
	links    []link
	indexes  []index

	drafts []*layout // that are adopted together with it; nil if it was declared by itself

	constants  map[resource.Compare]bool // comparisons whose literal stands in the SQL text, for partial indexes
	dimensions []dimension               // of the counter
	late       string                    // the column without which rows are not in the counter yet; empty if all are
	uncounted  bool                      // there is no counter
	tallies    []Tally
}

// column is the column of a member, or of a part of one.
type column struct {
	name       string
	member     string
	kind       resource.Kind
	null       bool
	fallback   any    // the plain value of rows that are older than the column; nil if none
	references string // the type that it is a foreign key to, empty if none
	onDelete   resource.Deletion
	relation   bool // of a reference
	typed      bool // it holds the type of a ToAny
	folded     bool // it holds the folded text of its member
	quiet      bool
	created    bool // the time of the row's creation, which its id carries too
}

// object is the member of a resource object in which the column's member stands.
func (c *column) object() string {
	if c.relation {
		return "relationships"
	}
	return "attributes"
}

// folding is what the names of columns end in that have a text as it is searched.
const folding = "_folded"

// link is the table of a to-many reference.
type link struct {
	member string
	table  string
	target string // the name of the type
}

// index is an index; its name ends in a hash of its definition, so that an index whose name is there is right.
type index struct {
	name    string
	unique  bool
	columns []string
	where   string

	directions []string // what follows each column, as " DESC"; nil if nothing does
}

// shape makes the layout of a schema and verifies that it can be stored.
func shape[T any](db *DB, s *resource.Schema[T]) (*layout, error) {
	l := &layout{
		db: db, resource: s.Name, table: strings.ReplaceAll(s.Plural, "-", "_"), constants: map[resource.Compare]bool{},
		uncounted: s.Uncounted,
	}
	folded := s.Folded()
	for i := range s.Attributes {
		a := &s.Attributes[i].AttributeDescription
		if !a.Stored {
			continue
		}
		c := column{name: a.Name, member: a.Name, kind: a.Kind, null: a.Nullable, quiet: a.Quiet}
		c.created = a.Created && !a.Nullable
		if a.Tallied {
			if a.Kind != resource.Time {
				return nil, fmt.Errorf("storage: %s.%s is tallied, but no time", l.table, a.Name)
			}
			l.tallies = append(l.tallies, Tally{Name: identifier(l.table, c.name) + "_tally", Table: l.table, Column: c.name})
		}
		if a.Secret {
			if db.options.MasterKey == nil {
				return nil, fmt.Errorf("storage: %s.%s is secret, and there is no master key", l.table, a.Name)
			}
			if a.Kind != resource.String && a.Kind != resource.Strings && a.Kind != resource.JSON {
				return nil, fmt.Errorf("storage: %s.%s is secret, but no text", l.table, a.Name)
			}
			c.kind = Sealed
		}
		switch {
		case c.null:
		case a.Secret:
			c.fallback = []byte{} // no sealed value is empty
		default:
			c.fallback = fallback(c.kind, a.Default)
		}
		l.columns = append(l.columns, c)
		if slices.Contains(folded, a.Name) {
			c.name, c.folded = c.name+folding, true
			if text, ok := c.fallback.(string); ok {
				c.fallback = resource.Fold(text)
			}
			l.columns = append(l.columns, c)
		}
	}
	for i := range s.References {
		r := &s.References[i].ReferenceDescription
		c := column{name: r.Name + "_id", member: r.Name, kind: resource.ID, null: r.Nullable, relation: true}
		switch {
		case r.Many:
			l.links = append(l.links, link{r.Name, l.table + "_" + r.Name, r.Type})
			continue
		case r.Type == "":
			t := c
			t.name, t.kind, t.typed, t.null = r.TypeMember(), resource.String, true, true
			l.columns = append(l.columns, t)
			c.null = true
		default:
			c.references, c.onDelete = r.Type, r.OnDelete
		}
		l.columns = append(l.columns, c)
	}
	seen := map[string]bool{"id": true}
	for _, c := range l.columns {
		if seen[c.name] {
			return nil, fmt.Errorf("storage: %s would have the column %s twice", l.table, c.name)
		}
		seen[c.name] = true
	}
	filters := s.AllFilters()
	l.declare(filters)
	uniques := slices.Clone(s.Unique)
	for i := range s.Attributes {
		if a := &s.Attributes[i].AttributeDescription; a.Stored && a.Unique {
			uniques = append(uniques, []string{a.Name})
		}
	}
	for _, members := range uniques {
		if err := l.unique(members...); err != nil {
			return nil, err
		}
	}
	for _, sort := range s.Sorts {
		if keys := l.keys(resource.ParseOrder(sort)); l.serving(keys) == nil {
			i := l.sorting(keys)
			l.addIndex(i, strings.Join(i.columns[:len(keys)-1], "_"))
		}
	}
	return l, l.index(filters)
}

// fallback is the plain value that rows have in a column that they are older than.
func fallback(kind resource.Kind, declared any) any {
	switch declared := declared.(type) {
	case nil:
	case int:
		return int64(declared)
	case []string, json.RawMessage:
		return plainText(declared)
	default:
		return declared
	}
	switch kind {
	case resource.Bool:
		return false
	case resource.Int:
		return int64(0)
	case resource.Float:
		return float64(0)
	case resource.Time:
		return time.Time{}
	case resource.ID:
		return ulid.ULID{}
	case resource.Strings:
		return "[]"
	case resource.JSON:
		return "null"
	}
	return ""
}

// column finds a column by name, nil if there is none.
func (l *layout) column(name string) *column {
	for i := range l.columns {
		if l.columns[i].name == name {
			return &l.columns[i]
		}
	}
	return nil
}

// compared is the column that conditions compare under the name of a member, nil if there is none.
func (l *layout) compared(member string) *column {
	if member == "id" {
		return &column{name: "id", member: "id", kind: resource.ID}
	}
	for i := range l.columns {
		c := &l.columns[i]
		if c.member == member && !c.folded && !c.typed && c.kind != Sealed || c.typed && c.name == member {
			return c
		}
	}
	return nil
}

// foldedColumn is the column in which Contains looks, nil if no filter does.
func (l *layout) foldedColumn(member string) *column {
	for i := range l.columns {
		if c := &l.columns[i]; c.member == member && c.folded {
			return c
		}
	}
	return nil
}

// link finds the link table of a to-many reference, nil if there is none.
func (l *layout) link(member string) *link {
	for i := range l.links {
		if l.links[i].member == member {
			return &l.links[i]
		}
	}
	return nil
}

func (l *layout) unique(members ...string) error {
	columns := make([]string, len(members))
	for i, member := range members {
		c := l.compared(member)
		if c == nil {
			return fmt.Errorf("storage: %s.%s cannot be unique", l.table, member)
		}
		columns[i] = c.name
	}
	l.addIndex(index{unique: true, columns: columns}, strings.Join(columns, "_"))
	return nil
}

func (l *layout) addIndex(i index, parts ...string) {
	definition := fmt.Append(nil, i.unique, i.columns, i.where)
	if i.directions != nil {
		definition = fmt.Append(definition, i.directions)
	}
	sum := sha256.Sum256(definition)
	i.name = identifier(l.table, parts...) + "_" + hex.EncodeToString(sum[:4])
	if !slices.ContainsFunc(l.indexes, func(other index) bool {
		return other.name == i.name || !i.unique && slices.Equal(other.columns, i.columns) && other.where == i.where &&
			slices.Equal(other.directions, i.directions)
	}) {
		l.indexes = append(l.indexes, i)
	}
}

// identifier is a name of at most 54 bytes, so that a hash fits behind it: PostgreSQL keeps 63.
func identifier(table string, parts ...string) string {
	name := strings.Join(append([]string{table}, parts...), "_")
	return name[:min(len(name), 54)]
}

// index declares the indexes that the filters need: (column, id) where a column is compared by a value that only
// the question knows or by equality, and (id) of the rows in each declared state that may be rare.
func (l *layout) index(filters []resource.Filter) error {
	open := false
	leading := func(c resource.Condition) bool {
		compare, ok := c.(resource.Compare)
		if !ok {
			_, below := c.(resource.Exists)
			return !below // what stands in it is about another table
		}
		column := l.compared(compare.Attribute)
		if column == nil || column.name == "id" {
			return true
		}
		ranged := (open || column.kind == resource.Time) && compare.Op != resource.Null && compare.Op != resource.Contains
		if column.kind != resource.Bool && (compare.Op == resource.Eq || ranged) {
			wanted := index{columns: []string{column.name, "id"}}
			serves := func(i index) bool {
				single := i.unique && slices.Equal(i.columns, wanted.columns[:1])
				return single || i.where == "" && slices.Equal(i.columns, wanted.columns)
			}
			if !slices.ContainsFunc(l.indexes, serves) {
				l.addIndex(wanted, column.name)
			}
			if column.created {
				l.addIndex(index{columns: []string{"id"}, where: l.astray(column)}, column.name, "astray")
			}
		}
		return true
	}
	for i := range filters {
		f := &filters[i]
		open = f.Where != nil
		if open {
			resource.Walk(f.Where(fallback(f.Kind, nil)), leading)
		}
		for _, word := range f.Words() {
			c := f.Values[word]
			resource.Walk(c, leading)
			if !fixed(c) || common(c) || l.equals(c) {
				continue
			}
			b := l.literal("")
			b.condition(c)
			if b.err != nil {
				return b.err
			}
			l.addIndex(index{columns: []string{"id"}, where: b.String()}, f.Name, word)
		}
	}
	return nil
}

// equals reports whether a condition is one equality that an index of its column serves.
func (l *layout) equals(c resource.Condition) bool {
	compare, ok := c.(resource.Compare)
	if !ok || compare.Op != resource.Eq {
		return false
	}
	column := l.compared(compare.Attribute)
	return column != nil && column.kind != resource.Bool
}

// fixed reports whether a condition depends on nothing but its row.
func fixed(c resource.Condition) bool {
	is := true
	resource.Walk(c, func(c resource.Condition) bool {
		compare, _ := c.(resource.Compare)
		_, now := compare.Operand.(resource.Now)
		_, exists := c.(resource.Exists)
		is = is && !now && !exists
		return is
	})
	return is
}

// common reports whether most rows are likely to meet a condition, since it asks that nothing has happened to
// them, or none at all. An index on such a state is dead weight.
func common(c resource.Condition) bool {
	switch c := c.(type) {
	case resource.Compare:
		return c.Op == resource.Null || c == resource.Compare{Attribute: c.Attribute, Operand: resource.Literal{Value: false}}
	case resource.Not:
		switch within := c.Condition.(type) {
		case resource.Not:
			return common(within.Condition)
		case resource.Compare:
			return within == resource.Compare{Attribute: within.Attribute, Operand: resource.Literal{Value: true}}
		}
	case resource.All:
		return !slices.ContainsFunc(c, func(part resource.Condition) bool { return !common(part) })
	case resource.Any:
		return len(c) == 0 || slices.ContainsFunc(c, common)
	}
	return false
}

// quote is an identifier in SQL. Names of members hold no quotes; words of filters may.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// plainText is a list or JSON as it is stored; other plain values are themselves. What it answers can be
// compared, and does not change when its row does.
func plainText(plain any) any {
	switch plain := plain.(type) {
	case []string:
		if plain == nil {
			return "[]"
		}
		text, _ := json.Marshal(plain) // strings always can be
		return string(text)
	case json.RawMessage:
		if len(plain) == 0 {
			return "null"
		}
		return string(plain)
	case time.Time:
		return resource.Cut(plain)
	}
	return plain
}
