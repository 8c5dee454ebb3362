package resource

import (
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
)

// paths are relationships to go along, each with those to go along from there. Nil is none asked for.
type paths map[string]paths

// MaxIncludes is how many relationships an answer goes along: each is a question to the database.
const MaxIncludes = 20

// planIncludes turns include paths into a tree. The error is InvalidParameter.
func (tx *Tx) planIncludes(about *Description, include []string) (paths, error) {
	if include == nil {
		return nil, nil
	}
	tree, n := paths{}, 0
	for _, path := range include {
		at, branch := about, tree
		for _, name := range strings.Split(path, ".") {
			var r *ReferenceDescription
			if at != nil {
				r = at.Reference(name)
			}
			if r == nil {
				return nil, Errorf(InvalidParameter, "%s have no path of relationships %q", about.Plural, path).About("include")
			}
			if branch[name] == nil {
				branch[name] = paths{}
				n++
			}
			branch, at = branch[name], nil
			if t := tx.types[r.Type]; t != nil {
				at = t.description()
			}
		}
	}
	if n > MaxIncludes {
		return nil, Errorf(InvalidParameter, "an answer goes along at most %d relationships", MaxIncludes).About("include")
	}
	return tree, nil
}

// maxIncluded is how many resources a question may find along its paths, those counted again that are found again.
const maxIncluded = 20_000

// read are the references that must be read to go along the paths, where fields alone are shown; nil where all is.
func (p paths) read(about *Description, fields []string) []string {
	if fields == nil {
		return nil
	}
	names := []string{}
	for _, name := range sorted(p) {
		if !about.Reference(name).Many {
			names = append(names, name)
		}
	}
	return names
}

// include adds to a result what its resources are related to. What the caller may not read is left out. It asks
// one question for each relationship of each type, however many resources there are.
func (tx *Tx) include(result *Result, tree paths, op Operation) error {
	result.Included, result.Linkage = []Resources{}, map[Edge]*Targets{}
	if result.Resources == nil {
		return nil
	}
	left := maxIncluded
	return tx.follow(result, result.Resources, tree, op, &left)
}

// follow goes along paths from some resources, and takes what it finds from what is left to be found.
func (tx *Tx) follow(result *Result, from Resources, tree paths, op Operation, left *int) error {
	for _, name := range sorted(tree) {
		if from.Len() == 0 {
			return nil
		}
		i := slices.IndexFunc(from.Type().References, func(r ReferenceDescription) bool { return r.Name == name })
		along := tx.targets
		if from.Type().References[i].Many {
			along = tx.many
		}
		found, err := along(result, from, i, tree[name], op)
		if err != nil {
			return err
		}
		for _, related := range found {
			if *left -= related.Len(); *left < 0 {
				return Errorf(InvalidParameter, "more than %d resources are included: ask for fewer paths, or a smaller page", maxIncluded).About("include")
			}
			result.Included = append(result.Included, related)
			if err := tx.follow(result, related, tree[name], op, left); err != nil {
				return err
			}
		}
	}
	return nil
}

// batch is how many resources one question names: databases take a limited number of parameters, and of each resource
// ten others may be found.
const batch = 1000

// targets are the resources that a to-one reference names, of each type.
func (tx *Tx) targets(_ *Result, from Resources, reference int, beyond paths, op Operation) ([]Resources, error) {
	byType, seen := map[string][]ulid.ULID{}, map[Identifier]bool{}
	for i := range from.Len() {
		target := from.Target(i, reference)
		if target != (Identifier{}) && !seen[target] {
			seen[target] = true
			byType[target.Type] = append(byType[target.Type], target.ID)
		}
	}
	var found []Resources
	for _, typ := range sorted(byType) {
		t, where := tx.readable(typ, Get, op)
		if t == nil {
			continue
		}
		for ids := range slices.Chunk(byType[typ], batch) {
			page, _, err := t.list(tx, tx.View(), Query{
				Where: every(among(ids), where), Window: pagination.First(len(ids)), Count: pagination.CountNone,
				Fields: beyond.read(t.description(), op.Fields[typ]), Now: tx.Now,
			}, op.Fields[typ])
			if err != nil {
				return nil, err
			}
			found = append(found, page.Resources)
		}
	}
	return found, nil
}

// many are the first resources of a to-many relationship of each resource: as many as fill the largest page
// together, but [pagination.DefaultSize] of each at least.
func (tx *Tx) many(result *Result, from Resources, reference int, beyond paths, op Operation) ([]Resources, error) {
	about := from.Type()
	r := &about.References[reference]
	t, where := tx.readable(r.Type, List, op)
	if t == nil {
		return nil, nil
	}
	parents := make([]ulid.ULID, from.Len())
	for i := range parents {
		parents[i] = from.ID(i)
	}
	slices.SortFunc(parents, ulid.ULID.Compare)
	parents = slices.Compact(parents)
	each := pagination.First(max(pagination.DefaultSize, pagination.MaxSize/len(parents)))
	var found []Resources
	for some := range slices.Chunk(parents, batch) {
		page, of, err := t.list(tx, tx.View(), Query{
			Of: &Relation{r.relation(about), some}, Where: where, Window: each, Count: pagination.CountNone,
			Fields: beyond.read(t.description(), op.Fields[r.Type]), Now: tx.Now,
		}, op.Fields[r.Type])
		if err != nil {
			return nil, err
		}
		linkage := func(parent ulid.ULID) *Targets {
			edge := Edge{Identifier{about.Name, parent}, r.Name}
			if result.Linkage[edge] == nil {
				result.Linkage[edge] = &Targets{}
			}
			return result.Linkage[edge]
		}
		for _, parent := range some {
			linkage(parent).More = of.More[parent]
		}
		for i, parent := range of.Rows {
			l := linkage(parent)
			l.IDs = append(l.IDs, page.Resources.ID(i))
		}
		found = append(found, page.Resources)
	}
	return found, nil
}

// readable is a type of which the caller may read what meets the condition; nil if there is none, or if they may
// read nothing of it.
func (tx *Tx) readable(typ, verb string, op Operation) (served, Condition) {
	t := tx.types[typ]
	if t == nil || !t.description().listed() {
		return nil, nil
	}
	where, err := tx.reach(op.Principal, t.description(), verb)
	if err != nil {
		return nil, nil
	}
	return t, where
}

// among is the condition that a resource is one of several.
func among(ids []ulid.ULID) Condition {
	var any Any
	for _, id := range ids {
		any = append(any, Equal("id", id))
	}
	return any
}
