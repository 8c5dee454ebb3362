package storagetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
)

// Memory keeps rows in memory. It is the oracle of the tests: short enough to be seen to be right. It has no
// transactions, and knows nothing of what other rows refer to; its linkage does (see [Memory.Relate]).
type Memory[T any] struct {
	schema resource.Schema[T]
	writer sync.Mutex // held by a writer from its first read to its last write

	mu      sync.RWMutex
	rows    map[ulid.ULID]*T // none is ever changed, only replaced
	links   map[string]map[link]bool
	targets map[string]Target    // of its references
	sources map[string]Target    // of the references to it, by "type.reference"
	deleted []func(id ulid.ULID) // told when a row is deleted
}

type link struct{ from, to ulid.ULID }

// Target is the [Memory] of any schema, as the end of a relation.
type Target interface {
	// meets reports whether there is a row of that id which meets the condition.
	meets(id ulid.ULID, c resource.Condition, now time.Time) bool
	// naming are the ids of the rows that name a resource by a reference, in no order.
	naming(reference string, to ulid.ULID) []ulid.ULID
	// isNamed says where the resources are that name its rows, by a relation "type.reference".
	isNamed(relation string, source Target)
	// onDelete has a function told of rows that are deleted.
	onDelete(func(id ulid.ULID))
}

// NewMemory makes an empty store of the schema.
func NewMemory[T any](schema resource.Schema[T]) *Memory[T] {
	return &Memory[T]{
		schema: schema, rows: map[ulid.ULID]*T{}, links: map[string]map[link]bool{},
		targets: map[string]Target{}, sources: map[string]Target{},
	}
}

// Relate says where the resources are that a reference names. Links to rows that are not there are refused from
// then on, and links go with either end.
func (m *Memory[T]) Relate(reference string, target Target) {
	m.mu.Lock()
	m.targets[reference] = target
	m.mu.Unlock()
	target.isNamed(m.schema.Name+"."+reference, m)
	target.onDelete(func(id ulid.ULID) { m.forget(func(r string, l link) bool { return r == reference && l.to == id }) })
}

// List answers a page.
func (m *Memory[T]) List(_ context.Context, q resource.Query) (resource.Page[T], error) {
	m.mu.RLock()
	rows := make([]T, 0, len(m.rows))
	for _, row := range m.rows {
		rows = append(rows, *row)
	}
	m.mu.RUnlock()
	page := m.schema.Window(rows, q, m.related(q.Now))
	for i := range page.Rows {
		page.Rows[i] = *m.clone(&page.Rows[i])
	}
	if q.Count == pagination.CountNone {
		page.Total = 0
	}
	return page, nil
}

// Get reads one row.
func (m *Memory[T]) Get(_ context.Context, id ulid.ULID) (*T, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	row, ok := m.rows[id]
	if !ok {
		return nil, resource.Errorf(resource.NotFound, "there is no %s %s", m.schema.Name, id)
	}
	return m.clone(row), nil
}

// Create writes new rows, all or none. Its error names everything that is taken.
func (m *Memory[T]) Create(ctx context.Context, rows ...*T) error {
	m.writer.Lock()
	defer m.writer.Unlock()
	problems := m.taken(rows...)
	for _, row := range rows {
		if _, err := m.Get(ctx, *m.schema.ID(row)); err == nil {
			problems = append(problems, resource.Errorf(resource.Taken, "the id is taken").At("id"))
		}
	}
	if len(problems) > 0 {
		return problems
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, row := range rows {
		m.rows[*m.schema.ID(row)] = m.clone(row)
	}
	return nil
}

// Update has change alter a row. Its error names everything that is taken.
func (m *Memory[T]) Update(ctx context.Context, id ulid.ULID, change func(*T) error) (*T, error) {
	m.writer.Lock()
	defer m.writer.Unlock()
	row, err := m.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := change(row); err != nil {
		return nil, err
	}
	if problems := m.taken(row); len(problems) > 0 {
		return nil, problems
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[id] = m.clone(row)
	return row, nil
}

// Delete removes a row and its links.
func (m *Memory[T]) Delete(ctx context.Context, id ulid.ULID) error {
	m.writer.Lock()
	defer m.writer.Unlock()
	if _, err := m.Get(ctx, id); err != nil {
		return err
	}
	m.mu.Lock()
	delete(m.rows, id)
	tell := m.deleted
	m.mu.Unlock()
	m.forget(func(_ string, l link) bool { return l.from == id })
	for _, told := range tell {
		told(id)
	}
	return nil
}

// Linkage is the linkage of a to-many reference.
func (m *Memory[T]) Linkage(name string) resource.Linkage {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.links[name] == nil {
		m.links[name] = map[link]bool{}
	}
	return &memoryLinkage[T]{m, name}
}

// taken are the unique values of rows to be written that rows beside them have, or others of them.
func (m *Memory[T]) taken(rows ...*T) (problems resource.Errors) {
	rules := slices.Clone(m.schema.Unique)
	for _, a := range m.schema.Attributes {
		if a.AttributeDescription.Unique {
			rules = append(rules, []string{a.Name})
		}
	}
	written := map[ulid.ULID]bool{}
	for _, row := range rows {
		id := *m.schema.ID(row)
		if written[id] {
			problems = append(problems, resource.Errorf(resource.Taken, "the id is taken").At("id"))
		}
		written[id] = true
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, rule := range rules {
		owned := map[string]bool{}
		for id, row := range m.rows {
			if !written[id] {
				owned[m.key(row, rule)] = true
			}
		}
		for _, row := range rows {
			key := m.key(row, rule)
			if key != "" && owned[key] {
				problems = append(problems,
					resource.Errorf(resource.Taken, "%v is taken", rule).At(place(&m.schema, rule[0]), rule[0]))
			}
			owned[key] = true
		}
	}
	return problems
}

// key is the values of members as a text, empty if one is null: nulls are not the same.
func (m *Memory[T]) key(row *T, names []string) (key string) {
	for _, name := range names {
		text, ok := argument(value(&m.schema, row, name))
		if !ok {
			return ""
		}
		key += strconv.Quote(text)
	}
	return key
}

// clone is a copy of what a row stores, with which it shares no memory.
func (m *Memory[T]) clone(row *T) *T {
	s, to := &m.schema, m.schema.Row()
	*s.ID(to) = *s.ID(row)
	for i := range s.Attributes {
		if a := &s.Attributes[i]; a.Stored {
			set(a, to, a.Value(row))
		}
	}
	for i := range s.References {
		if r := &s.References[i]; !r.Many {
			r.SetTarget(to, r.Target(row))
		}
	}
	return to
}

func (m *Memory[T]) meets(id ulid.ULID, c resource.Condition, now time.Time) bool {
	m.mu.RLock()
	row, ok := m.rows[id]
	m.mu.RUnlock()
	return ok && m.schema.Match(c, row, resource.Env{Now: now, Related: m.related(now)})
}

func (m *Memory[T]) onDelete(tell func(id ulid.ULID)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deleted = append(m.deleted, tell)
}

func (m *Memory[T]) naming(reference string, to ulid.ULID) (from []ulid.ULID) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for l := range m.links[reference] {
		if l.to == to {
			from = append(from, l.from)
		}
	}
	if r := m.schema.Reference(reference); !r.Many {
		for id, row := range m.rows {
			if r.Target(row).ID == to {
				from = append(from, id)
			}
		}
	}
	return from
}

func (m *Memory[T]) isNamed(relation string, source Target) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sources[relation] = source
}

// related is the [resource.Env.Related] of a time.
func (m *Memory[T]) related(now time.Time) func(id ulid.ULID, relation string, c resource.Condition) bool {
	return func(id ulid.ULID, relation string, c resource.Condition) bool {
		others, ids := m.target(relation), m.linked(relation, id)
		if _, reference, inverse := strings.Cut(relation, "."); inverse {
			m.mu.RLock()
			others = m.sources[relation]
			m.mu.RUnlock()
			ids = others.naming(reference, id)
		}
		return slices.ContainsFunc(ids, func(other ulid.ULID) bool { return others.meets(other, c, now) })
	}
}

func (m *Memory[T]) target(relation string) Target {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.targets[relation]
}

// linked are the ids that a relation of a row links, in no order.
func (m *Memory[T]) linked(relation string, from ulid.ULID) (to []ulid.ULID) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for l := range m.links[relation] {
		if l.from == from {
			to = append(to, l.to)
		}
	}
	return to
}

// forget removes links, and answers what they led to.
func (m *Memory[T]) forget(which func(relation string, l link) bool) (removed []ulid.ULID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for relation, links := range m.links {
		for l := range links {
			if which(relation, l) {
				delete(links, l)
				removed = append(removed, l.to)
			}
		}
	}
	return removed
}

// memoryLinkage is the linkage of one to-many reference.
type memoryLinkage[T any] struct {
	*Memory[T]
	relation string
}

// List answers a page of the linked ids.
func (l *memoryLinkage[T]) List(_ context.Context, from ulid.ULID, q resource.Query) (resource.Page[ulid.ULID], error) {
	ids := resource.Schema[ulid.ULID]{ID: func(id *ulid.ULID) *ulid.ULID { return id }}
	q.Where = nil
	page := ids.Window(l.linked(l.relation, from), q, nil)
	if q.Count == pagination.CountNone {
		page.Total = 0
	}
	return page, nil
}

// Add adds links. Both ends must be there.
func (l *memoryLinkage[T]) Add(ctx context.Context, from ulid.ULID, to ...ulid.ULID) (added []ulid.ULID, err error) {
	l.writer.Lock()
	defer l.writer.Unlock()
	return l.add(ctx, from, to)
}

func (l *memoryLinkage[T]) add(ctx context.Context, from ulid.ULID, to []ulid.ULID) (added []ulid.ULID, err error) {
	if _, err := l.Get(ctx, from); err != nil && len(to) > 0 {
		return nil, err
	}
	for _, id := range to {
		if target := l.target(l.relation); target != nil && !target.meets(id, nil, time.Time{}) {
			return nil, resource.Errorf(resource.NotFound, "there is no %s to link", id)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range to {
		if !l.links[l.relation][link{from, id}] {
			added = append(added, id)
		}
		l.links[l.relation][link{from, id}] = true
	}
	return added, nil
}

// Remove removes links.
func (l *memoryLinkage[T]) Remove(_ context.Context, from ulid.ULID, to ...ulid.ULID) (removed []ulid.ULID, err error) {
	l.writer.Lock()
	defer l.writer.Unlock()
	return l.forgetFrom(from, func(id ulid.ULID) bool { return slices.Contains(to, id) }), nil
}

// Replace makes the links exactly those given.
func (l *memoryLinkage[T]) Replace(ctx context.Context, from ulid.ULID, to ...ulid.ULID) (added, removed []ulid.ULID, err error) {
	l.writer.Lock()
	defer l.writer.Unlock()
	if added, err = l.add(ctx, from, to); err != nil {
		return nil, nil, err
	}
	return added, l.forgetFrom(from, func(id ulid.ULID) bool { return !slices.Contains(to, id) }), nil
}

// forgetFrom removes links of one row, and answers what they led to.
func (l *memoryLinkage[T]) forgetFrom(from ulid.ULID, which func(to ulid.ULID) bool) (removed []ulid.ULID) {
	return l.forget(func(relation string, link link) bool {
		return relation == l.relation && link.from == from && which(link.to)
	})
}

// value is the plain value of an attribute or of a to-one reference.
func value[T any](s *resource.Schema[T], row *T, name string) any {
	if a := s.Attribute(name); a != nil {
		return a.Value(row)
	}
	return s.Reference(name).Value(row)
}

// place is the member of a document that holds an attribute, or else a reference.
func place[T any](s *resource.Schema[T], name string) string {
	if s.Attribute(name) != nil {
		return "attributes"
	}
	return "relationships"
}

// set gives an attribute a plain value, nil for null.
func set[T any](a *resource.Attribute[T], row *T, plain any) {
	var err error
	switch v := plain.(type) {
	case ulid.ULID:
		plain = v[:]
	case json.RawMessage:
		plain = string(v)
	case []string:
		var text []byte
		if text, err = json.Marshal(v); err == nil {
			plain = string(text)
		}
	}
	if err == nil {
		err = a.Scan(row, plain)
	}
	if err != nil {
		panic(fmt.Sprintf("storagetest: %s cannot be %v: %v", a.Name, plain, err)) // the schema and the test disagree
	}
}
