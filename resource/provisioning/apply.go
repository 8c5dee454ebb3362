package provisioning

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
)

// report is what becomes of the resources that files name, or have named.
type report struct {
	Created   []string  `json:"created"`
	Changed   []string  `json:"changed"`
	Unchanged []string  `json:"unchanged"`
	Removed   []string  `json:"removed"`
	Released  []string  `json:"released"`
	Failed    []failure `json:"failed"`
}

type failure struct {
	Name   string   `json:"name"`
	Errors []string `json:"errors"` // each after the file and the line that it is about
}

func (r *report) meta(kind *Kind, dry bool) resource.Meta {
	named := func(names []string) []string { return append([]string{}, names...) }
	return resource.Meta{
		"kind": kind.Name, "dry_run": dry, "created": named(r.Created), "changed": named(r.Changed), "unchanged": named(r.Unchanged),
		"removed": named(r.Removed), "released": named(r.Released), "failed": append([]failure{}, r.Failed...),
	}
}

// changes is how many resources are others than before.
func (r *report) changes() int { return len(r.Created) + len(r.Changed) + len(r.Removed) }

// errUndone undoes what was applied.
var errUndone = errors.New("provisioning: not to be applied")

// reload is the action.
func (k *Keeper) reload(tx *resource.Tx, id ulid.ULID, in *reloadArgument) (resource.Meta, error) {
	kind := k.kind(id)
	if err := tx.Lock(Schema.Name); err != nil { // of all kinds: they refer to one another
		return nil, err
	}
	a := &application{Keeper: k, kind: kind, tx: tx, leads: map[lead]ulid.ULID{}}
	if err := a.prepare(); err != nil {
		return nil, err
	}
	err := k.config.Database.Attempt(tx, func(ctx context.Context) error {
		a.ctx = ctx
		err := a.apply()
		if err == nil && (in.dry || a.report.Failed != nil) {
			err = errUndone
		}
		return err
	})
	meta := a.report.meta(kind, in.dry)
	switch {
	case err != nil && !errors.Is(err, errUndone):
		return nil, err
	case in.dry:
		tx.Affected(0)
		return meta, nil
	case err != nil:
		first := a.report.Failed[0]
		return nil, &resource.Error{Code: resource.Conflict, Meta: meta, Detail: fmt.Sprintf(
			"%d of the %s cannot be as the files say, so nothing is changed: %s", len(a.report.Failed), kind.Name, first.Errors[0])}
	}
	tx.Affected(a.report.changes())
	return meta, k.config.Database.AfterCommit(tx, func(context.Context) {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.errors, kind.Name)
	})
}

// application applies the files of one kind, in one transaction.
type application struct {
	*Keeper
	kind   *Kind
	tx     *resource.Tx
	ctx    context.Context // that of the part of the transaction that is undone if anything fails
	about  *resource.Description
	wanted []*entity
	rows   map[string]Provisioned // by name
	dirty  bool                   // a row is another than before
	report report

	leads map[lead]ulid.ULID // what names of other types lead to
}

// lead is a name that a relationship leads to.
type lead struct{ typ, name string }

// prepare reads the files, and what is as they said. The errors about the files are Conflict.
func (a *application) prepare() error {
	if a.kind.Type == "" || a.config.Path() == "" {
		return nil
	}
	rows, err := resource.Every(a.tx, &ProvisionedSchema, a.config.Provisioned.List, resource.Equal("kind", a.kind.Name))
	if err != nil {
		return err
	}
	a.rows = make(map[string]Provisioned, len(rows))
	for _, row := range rows {
		a.rows[row.Name] = row
	}
	a.wanted, err = a.read(a.kind)
	switch {
	case errors.Is(err, errNoFolder) && len(rows) == 0:
		return nil
	case err != nil:
		return resource.Errorf(resource.Conflict, "%v", err)
	case len(rows) == 0 && len(a.wanted) == 0:
		return nil
	}
	if a.about = a.config.Engine.Registry().Type(a.kind.Type); a.about == nil {
		return resource.Errorf(resource.Conflict, "there is no type %s: its module is not loaded", a.kind.Type)
	}
	return nil
}

// apply does what the files say. What is wrong with an entity is in the report; the error is the database's.
func (a *application) apply() error {
	named := map[string]bool{}
	for _, e := range a.wanted {
		named[e.name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(a.rows)) {
		if named[name] {
			continue
		}
		row := a.rows[name]
		e := &entity{name: name, shown: row.Shown, file: row.File}
		if err := a.attempt(e, func() error { return a.release(&row) }); err != nil {
			return err
		}
	}
	var names []string
	for _, e := range a.wanted {
		if e.wrong == nil {
			names = append(names, e.name)
		}
	}
	there, err := a.named(a.kind.Type, a.kind.Key, names)
	if err != nil {
		return err
	}
	for _, e := range a.wanted {
		if e.wrong != nil {
			a.report.Failed = append(a.report.Failed, failure{e.shown, e.wrong})
			continue
		}
		if err := a.attempt(e, func() error { return a.put(e, there[e.name]) }); err != nil {
			return err
		}
	}
	if !a.dirty && a.report.changes() == 0 {
		return nil
	}
	return a.changed()
}

// attempt does something about an entity. If that fails by what the entity says, it is undone, and reported.
func (a *application) attempt(e *entity, do func() error) error {
	err := a.alone(do)
	if err == nil || resource.AllErrors(err).Status() >= 500 {
		return err
	}
	a.report.Failed = append(a.report.Failed, failure{e.shown, e.told(err)})
	return nil
}

// alone does something that is undone if it fails, and nothing else is.
func (a *application) alone(do func() error) error {
	whole := a.ctx
	defer func() { a.ctx = whole }()
	return a.config.Database.Attempt(whole, func(ctx context.Context) error {
		a.ctx = ctx
		return do()
	})
}

// changed notes that what is provisioned has changed, for every node.
func (a *application) changed() error {
	id := idOf(a.kind.Name)
	_, err := a.config.Changes.Update(a.ctx, id, func(c *Change) error {
		c.At, c.Revision = a.tx.Now, c.Revision+1
		return nil
	})
	if resource.Is(err, resource.NotFound) {
		err = a.config.Changes.Create(a.ctx, &Change{ID: id, Kind: a.kind.Name, At: a.tx.Now, Revision: 1})
	}
	if err != nil {
		return err
	}
	return a.config.Database.AfterCommit(a.ctx, func(ctx context.Context) {
		if err := a.Load(ctx); err != nil { // Run looks again
			a.config.Log.WarnContext(ctx, "what is provisioned is not shown yet", "error", err)
		}
	})
}

// release takes a resource away that no file names any more, if files have made it and do not keep it.
func (a *application) release(row *Provisioned) error {
	if row.Made && !row.Keep {
		verb := a.kind.Remove
		if verb == "" {
			verb = resource.Delete
		}
		err := a.alone(func() error {
			_, err := a.do(resource.Operation{Verb: verb, ID: row.ID})
			return err
		})
		if err != nil && !resource.Is(err, resource.NotFound, resource.Ended) { // somebody was faster
			return err
		}
		a.report.Removed = append(a.report.Removed, row.Shown)
	} else {
		a.report.Released = append(a.report.Released, row.Shown)
	}
	a.dirty = true
	return a.config.Provisioned.Delete(a.ctx, row.ID)
}

// do carries out an operation on the kind's type.
func (a *application) do(op resource.Operation) (resource.Result, error) {
	op.Type, op.Principal, op.Request = a.kind.Type, actor, a.tx.Request
	results, err := a.config.Engine.Do(a.ctx, op)
	if err != nil {
		return resource.Result{}, err
	}
	return results[0], nil
}

// many is how many names are looked for at once.
const many = 100

// named are the ids of the resources of a type that have one of some names in an attribute, by name.
func (a *application) named(typ, attribute string, names []string) (map[string][]ulid.ULID, error) {
	found := make(map[string][]ulid.ULID, len(names))
	for some := range slices.Chunk(names, many) {
		window := pagination.First(pagination.MaxSize)
		for {
			results, err := a.config.Engine.Do(a.ctx, resource.Operation{
				Verb: resource.List, Type: typ, Principal: actor, Filters: []resource.FilterArgument{resource.FilterBy(attribute, some...)},
				Window: window, Count: pagination.CountNone, Fields: map[string][]string{typ: {attribute}},
			})
			if err != nil {
				return nil, err
			}
			rows := results[0].Resources
			for i := range rows.Len() {
				attributes, err := shown(rows, i)
				if err != nil {
					return nil, err
				}
				name, _ := attributes[attribute].(string)
				found[name] = append(found[name], rows.ID(i))
			}
			if !results[0].Page.Next {
				break
			}
			window = window.Next(pagination.At(rows.ID(rows.Len() - 1)))
		}
	}
	return found, nil
}

// shown are the attributes of a row as an answer shows them.
func shown(rows resource.Resources, i int) (attributes map[string]any, err error) {
	text := append(rows.AppendAttributes([]byte{'{'}, i), '}')
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return attributes, decoder.Decode(&attributes)
}

// put has a resource be as a file has it. Of those that are there by its name it takes the one that it was, or else the only
// one.
func (a *application) put(e *entity, there []ulid.ULID) error {
	row, known := a.rows[e.name]
	next := Provisioned{Kind: a.kind.Name, Name: e.name, Shown: e.shown, File: e.file, AllowEdits: e.allowEdits, Keep: e.keep, Members: slices.Sorted(maps.Keys(e.members))}
	unseen, err := a.unseen(e)
	if err != nil {
		return err
	}
	if known && !slices.Contains(there, row.ID) { // it has another name by now, or is gone
		_, err := a.do(resource.Operation{Verb: resource.Get, ID: row.ID})
		switch {
		case err == nil:
			there = []ulid.ULID{row.ID}
		case !resource.Is(err, resource.NotFound):
			return err
		}
	}
	var created, changed bool
	switch {
	case known && slices.Contains(there, row.ID):
		next.ID, next.Made = row.ID, row.Made
	case len(there) > 1:
		return resource.Errorf(resource.Conflict, "there are %d %s of this %s", len(there), a.about.Plural, a.kind.Key)
	case len(there) == 1:
		next.ID = there[0]
		if next.Made, err = a.unset(next.ID); err != nil {
			return err
		}
	case !a.about.Serves(resource.Create):
		return resource.Errorf(resource.NotFound, "there is no such %s", a.about.Name)
	default:
		created, next.Made = true, true
	}
	body, rest, err := a.body(e, created)
	if err != nil {
		return err
	}
	if !created {
		if err := a.unchangeable(e, next.ID, rest); err != nil {
			return err
		}
	}
	switch {
	case created:
		done, err := a.do(resource.Operation{Verb: resource.Create, Body: body})
		if err != nil {
			return err
		}
		next.ID = done.ID
	case len(body.Attributes)+len(body.Relationships) > 0:
		done, err := a.do(resource.Operation{Verb: resource.Update, ID: next.ID, Body: body})
		if err != nil {
			return err
		}
		changed = done.Affected > 0
	}
	for _, s := range a.kind.Setters {
		value, given := e.members[s.member]
		if !given || !rest[s.member] || s.unseen && known && row.ID == next.ID && row.Unseen == unseen {
			continue
		}
		verb, arguments, err := s.operation(value)
		if err != nil {
			return resource.Errorf(resource.Invalid, "%s %v", s.member, err).At("attributes", s.member)
		}
		for _, member := range s.with {
			if value, given := e.members[member]; given {
				arguments[member] = value
			}
		}
		done, err := a.do(resource.Operation{Verb: verb, ID: next.ID, Body: resource.Body{Attributes: arguments}})
		if err != nil {
			return err
		}
		changed = changed || done.Affected > 0
	}
	next.Unseen = unseen
	if err := a.keep(known, row, next); err != nil {
		return err
	}
	switch {
	case created:
		a.report.Created = append(a.report.Created, e.shown)
	case changed:
		a.report.Changed = append(a.report.Changed, e.shown)
	default:
		a.report.Unchanged = append(a.report.Unchanged, e.shown)
	}
	return nil
}

// keep keeps what is known of a resource as of now.
func (a *application) keep(known bool, row, next Provisioned) error {
	if known && reflect.DeepEqual(row, next) {
		return nil
	}
	a.dirty = true
	if known && row.ID == next.ID {
		_, err := a.config.Provisioned.Update(a.ctx, row.ID, func(row *Provisioned) error { *row = next; return nil })
		return err
	}
	if known {
		if err := a.config.Provisioned.Delete(a.ctx, row.ID); err != nil {
			return err
		}
	}
	other, err := a.config.Provisioned.Get(a.ctx, next.ID)
	switch {
	case err == nil:
		return resource.Errorf(resource.Conflict, "it is as %s has it already, by the name %s", other.File, other.Shown)
	case !resource.Is(err, resource.NotFound):
		return err
	}
	return a.config.Provisioned.Create(a.ctx, &next)
}

// unset reports whether what is there is so without anybody having made it so.
func (a *application) unset(id ulid.ULID) (bool, error) {
	if a.kind.Unset == nil {
		return false, nil
	}
	done, err := a.do(resource.Operation{
		Verb: resource.List, Filters: append([]resource.FilterArgument{resource.FilterBy("id", id.String())}, a.kind.Unset...), Count: pagination.CountNone,
	})
	return err == nil && done.Resources.Len() > 0, err
}

// unseen is a digest of what no answer shows, empty if the file says nothing of that.
func (a *application) unseen(e *entity) (string, error) {
	said := map[string]any{}
	for _, s := range a.kind.Setters {
		if value, given := e.members[s.member]; given && s.unseen {
			said[s.member] = value
		}
	}
	if len(said) == 0 {
		return "", nil
	}
	text, err := json.Marshal(said)
	digest := sha256.Sum256(text)
	return hex.EncodeToString(digest[:]), err
}

// body is what of an entity a creation or a change gives, and of the rest what setters may set.
func (a *application) body(e *entity, creation bool) (body resource.Body, rest map[string]bool, err error) {
	body = resource.Body{Attributes: map[string]any{}, Relationships: map[string][]resource.Identifier{}}
	rest = map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(e.members)) {
		attribute := a.attribute(name)
		setter := slices.ContainsFunc(a.kind.Setters, func(s Setter) bool { return s.member == name })
		reference := a.about.Reference(name)
		switch {
		case attribute != nil && attribute.Writable(creation):
			body.Attributes[name] = e.members[name]
		case setter, !creation && attribute != nil && attribute.Fixed, !creation && name == a.kind.Key:
			rest[name] = true
		case reference != nil:
			if body.Relationships[name], err = a.targets(reference, e.members[name]); err != nil {
				return body, nil, err
			}
		default:
			body.Attributes[name] = e.members[name] // the engine says what is wrong with it
		}
	}
	return body, rest, nil
}

func (a *application) attribute(name string) *resource.AttributeDescription {
	for i := range a.about.Attributes {
		if a.about.Attributes[i].Name == name {
			return &a.about.Attributes[i]
		}
	}
	return nil
}

// targets are the resources that a reference is to lead to: null, a name, or a list of names.
func (a *application) targets(r *resource.ReferenceDescription, value any) ([]resource.Identifier, error) {
	refuse := func(format string, args ...any) ([]resource.Identifier, error) {
		return nil, resource.Errorf(resource.Invalid, "%s %s", r.Name, fmt.Sprintf(format, args...)).At("relationships", r.Name)
	}
	targets := []resource.Identifier{}
	var names []string
	switch value := value.(type) {
	case nil:
	case string:
		names = []string{value}
	case []any:
		for _, item := range value {
			name, ok := item.(string)
			if !ok {
				return refuse("must be names")
			}
			names = append(names, name)
		}
	default:
		return refuse("must be a name, or a list of names")
	}
	key := a.key(r.Type)
	if key == "" {
		return refuse("leads to what has no names")
	}
	if r.Type == a.kind.Type { // what one file names, another may make
		clear(a.leads)
	}
	unknown := slices.DeleteFunc(slices.Clone(names), func(name string) bool { _, known := a.leads[lead{r.Type, name}]; return known })
	found, err := a.named(r.Type, key, unknown)
	if err != nil {
		return nil, err
	}
	for _, name := range unknown {
		if len(found[name]) != 1 {
			return refuse("has %q, but there are %d of this %s", name, len(found[name]), key)
		}
		a.leads[lead{r.Type, name}] = found[name][0]
	}
	for _, name := range names {
		targets = append(targets, resource.Identifier{Type: r.Type, ID: a.leads[lead{r.Type, name}]})
	}
	return targets, nil
}

// key is the attribute by which files name resources of a type, empty if they cannot.
func (a *application) key(typ string) string {
	for _, kind := range a.config.Kinds {
		if kind.Type == typ {
			return kind.Key
		}
	}
	if about := a.config.Engine.Registry().Type(typ); about != nil && len(about.Lookups) > 0 {
		return about.Lookups[0]
	}
	return ""
}

// unchangeable refuses a file that says of a resource what only its creation could have, and what is otherwise. What no
// answer shows counts at creation only.
func (a *application) unchangeable(e *entity, id ulid.ULID, rest map[string]bool) error {
	var fixed []string
	for name := range rest {
		if attribute := a.attribute(name); attribute != nil && attribute.Fixed && attribute.Visible() && name != a.kind.Key {
			fixed = append(fixed, name)
		}
	}
	if fixed == nil {
		return nil
	}
	slices.Sort(fixed)
	done, err := a.do(resource.Operation{Verb: resource.Get, ID: id, Fields: map[string][]string{a.kind.Type: fixed}})
	if err != nil {
		return err
	}
	is, err := shown(done.Resources, 0)
	if err != nil {
		return err
	}
	for _, name := range fixed {
		if fmt.Sprint(is[name]) != fmt.Sprint(e.members[name]) {
			return resource.Errorf(resource.ReadOnly, "%s is given at creation, and cannot be changed", name).At("attributes", name)
		}
	}
	return nil
}
