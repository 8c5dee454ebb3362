package setting

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// State is a setting as the entity shows it.
type State struct {
	ID                         ulid.ULID
	Name, Section, Key         string
	Kind, Doc, Source          string
	Value, Default             json.RawMessage
	Secret, Fixed, NeedRestart bool
	ChangedAt                  time.Time // of what is stored; else zero
}

// Schema is the entity setting.
var Schema = resource.Schema[State]{
	Name: "setting", Plural: "settings",
	Doc: "Something that the program can be told.",
	ID:  func(s *State) *ulid.ULID { return &s.ID },
	Attributes: []resource.Attribute[State]{
		resource.Attr("name", func(s *State) *string { return &s.Name }).Unique().ReadOnly().Filter(resource.Eq, resource.Prefix).Example("auth.basic.enabled"),
		resource.Attr("section", func(s *State) *string { return &s.Section }).Nullable().ReadOnly().Filter(resource.Eq).Doc("The name without the key.").Example("auth.basic"),
		resource.Attr("key", func(s *State) *string { return &s.Key }).ReadOnly().Example("enabled"),
		resource.Attr("kind", func(s *State) *string { return &s.Kind }).ReadOnly().
			OneOf(string(Bool), string(Int), string(String), string(Duration), string(Strings), string(JSON)),
		resource.Attr("value", func(s *State) *json.RawMessage { return &s.Value }).Masked((*State).masked).
			Doc("Of the kind. A duration is a text such as `10s`. Of a secret setting it is not shown, but as `" + resource.Mask + "` if there is one.").Example(json.RawMessage("false")),
		resource.Attr("default", func(s *State) *json.RawMessage { return &s.Default }).ReadOnly(),
		resource.Attr("doc", func(s *State) *string { return &s.Doc }).ReadOnly(),
		resource.Attr("source", func(s *State) *string { return &s.Source }).ReadOnly().Filter(resource.Eq).
			OneOf(string(Default), string(File), string(Environment), string(Flag), string(Stored)).
			Doc("Where the value comes from. What is stored wins, then a flag, the environment, the file."),
		resource.Attr("secret", func(s *State) *bool { return &s.Secret }).ReadOnly().Filter(resource.Eq),
		resource.Attr("fixed", func(s *State) *bool { return &s.Fixed }).ReadOnly().Doc("Whether no value can be stored: the file, the environment and flags alone give it."),
		resource.Attr("needs_restart", func(s *State) *bool { return &s.NeedRestart }).ReadOnly().Doc("Whether a change has its effect with the next start."),
		resource.Attr("changed_at", func(s *State) *time.Time { return &s.ChangedAt }).Nullable().ReadOnly().Doc("When the value was stored, if it is."),
	},
	Sorts: [][]string{{"name"}},
}

// masked reports whether there is a value that is not to be shown.
func (s *State) masked() bool {
	return s.Secret && !slices.Contains([]string{`""`, "[]", "{}"}, string(s.Value))
}

// Override is what is stored of a setting.
type Override struct {
	ID        ulid.ULID // that of its State
	Name      string
	Value     string // JSON
	ChangedAt time.Time
}

// OverrideSchema keeps what is stored of settings. It is not served by itself.
var OverrideSchema = resource.Schema[Override]{
	Name: "setting-override", Plural: "setting-overrides", Uncounted: true,
	Doc: "What is stored of a setting.",
	ID:  func(o *Override) *ulid.ULID { return &o.ID },
	Attributes: []resource.Attribute[Override]{
		resource.Attr("name", func(o *Override) *string { return &o.Name }),
		resource.Attr("value", func(o *Override) *string { return &o.Value }).Secret(),
		resource.Attr("changed_at", func(o *Override) *time.Time { return &o.ChangedAt }),
	},
}

// Database is what a keeper needs of storage's database.
type Database interface {
	Lock(ctx context.Context, name string) error
	AfterCommit(ctx context.Context, do func(ctx context.Context)) error
	// Maintain lets the transaction that the context holds write also while nothing else may.
	Maintain(ctx context.Context) context.Context
	Follow(ctx context.Context, look func(ctx context.Context) error)
}

// Config is what a [Keeper] works with.
type Config struct {
	Store     *Store
	Database  Database
	Overrides resource.Store[Override]
	Log       *slog.Logger     // default slog.Default()
	Clock     func() time.Time // default time.Now
}

// Keeper keeps what is stored of settings, the same for all nodes, and has the store of this one follow it.
type Keeper struct {
	config Config

	mu     sync.Mutex
	warned string // what has been told already of what is stored and breaks a rule
}

// NewKeeper makes a keeper.
func NewKeeper(config Config) *Keeper {
	config.Log = cmp.Or(config.Log, slog.Default())
	if config.Clock == nil {
		config.Clock = time.Now
	}
	return &Keeper{config: config}
}

// Load has the store know what is stored. The error is the database's.
func (k *Keeper) Load(ctx context.Context) error {
	k.mu.Lock() // what was read first is not to come last
	defer k.mu.Unlock()
	overrides, err := k.overrides(ctx)
	if err != nil {
		return err
	}
	stored := make(map[string]json.RawMessage, len(overrides))
	for name, o := range overrides {
		stored[name] = json.RawMessage(o.Value)
	}
	warning := ""
	if err := k.config.Store.Override(stored); err != nil {
		warning = err.Error()
	}
	if warning != "" && warning != k.warned {
		k.config.Log.WarnContext(ctx, "stored settings are left out", "error", warning)
	}
	k.warned = warning
	return nil
}

// Run loads what any node stores, until the context ends.
func (k *Keeper) Run(ctx context.Context) error {
	k.config.Database.Follow(ctx, k.Load)
	return nil
}

// overrides are what is stored, by the names of settings.
func (k *Keeper) overrides(ctx context.Context) (map[string]Override, error) {
	rows, err := resource.Every(ctx, &OverrideSchema, k.config.Overrides.List, nil)
	all := make(map[string]Override, len(rows))
	for _, o := range rows {
		all[o.Name] = o
	}
	return all, err
}

// states are the settings, each with the value that this node would begin with.
func (k *Keeper) states(ctx context.Context) ([]State, error) {
	overrides, err := k.overrides(ctx)
	if err != nil {
		return nil, err
	}
	s := k.config.Store
	s.mu.Lock()
	defer s.mu.Unlock()
	states := make([]State, 0, len(s.settings))
	for name, c := range s.now.Load().configured {
		a := s.settings[name]
		section, key := a.split()
		state := State{
			ID: idOf(name), Name: name, Section: section, Key: key, Kind: string(a.kind), Doc: a.doc,
			Value: render(c.under), Source: string(c.source), Default: render(a.fallback), Secret: a.secret, Fixed: a.fixed, NeedRestart: a.restart,
		}
		if o, ok := overrides[name]; ok && !a.fixed {
			if value, err := a.read(json.RawMessage(o.Value)); err == nil { // else Load has told of it
				state.Value, state.Source, state.ChangedAt = render(value), string(Stored), o.ChangedAt
			}
		}
		states = append(states, state)
	}
	return states, nil
}

func idOf(name string) ulid.ULID { return resource.NamedID(Schema.Name, name) }

// Type serves the settings of a keeper's store.
func Type(k *Keeper) resource.Type[State] {
	settings := resource.NewSnapshot(Schema, k.states)
	return resource.Type[State]{
		Schema: Schema, Lookups: []string{"name"}, List: settings.List, Get: settings.Get, Update: k.update, Delete: k.remove,
		Checks: []resource.Check[State]{k.privilege},
	}
}

// privilege keeps callers from coming by permissions that they do not have, see [Setting.Privileged].
func (k *Keeper) privilege(tx *resource.Tx, before, _ *State) error {
	s := k.config.Store
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.settings[before.Name]; a == nil || !a.privileged {
		return nil
	}
	return resource.NoMore(tx.Principal, auth.Everything, "attributes", "value")
}

// update stores the value that change gives the setting of that id, if it is another one.
func (k *Keeper) update(ctx context.Context, id ulid.ULID, change func(*State) error) (*State, error) {
	if err := k.config.Database.Lock(ctx, "settings"); err != nil {
		return nil, err
	}
	ctx = k.maintained(ctx, id)
	states, err := k.states(ctx)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(states, func(s State) bool { return s.ID == id })
	if at < 0 {
		return nil, resource.Errorf(resource.NotFound, "there is no setting %s", id)
	}
	state := &states[at]
	before := *state
	if err := change(state); err != nil {
		return nil, err
	}
	value, err := k.config.Store.check(state.Name, before.Value, state.Value)
	if err != nil || value == nil {
		return &before, err
	}
	state.Value, state.Source, state.ChangedAt = value, string(Stored), resource.Cut(k.config.Clock())
	o := Override{ID: id, Name: state.Name, Value: string(value), ChangedAt: state.ChangedAt}
	_, err = k.config.Overrides.Update(ctx, id, func(stored *Override) error { *stored = o; return nil })
	if resource.Is(err, resource.NotFound) {
		err = k.config.Overrides.Create(ctx, &o)
	}
	if err != nil {
		return nil, err
	}
	return state, k.committed(ctx)
}

// remove takes away what is stored of a setting, which then is what the file says, or the environment, or a flag.
func (k *Keeper) remove(ctx context.Context, id ulid.ULID) error {
	ctx = k.maintained(ctx, id)
	err := k.config.Overrides.Delete(ctx, id)
	if resource.Is(err, resource.NotFound) {
		return resource.Errorf(resource.Ended, "nothing is stored of this setting")
	}
	if err != nil {
		return err
	}
	return k.committed(ctx)
}

// maintained is the context in which a setting is changed, see [Setting.Maintenance].
func (k *Keeper) maintained(ctx context.Context, id ulid.ULID) context.Context {
	s := k.config.Store
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, a := range s.settings {
		if a.maintenance && idOf(name) == id {
			return k.config.Database.Maintain(ctx)
		}
	}
	return ctx
}

// committed has the store know of what the transaction stores once it is committed. If that fails, Run sees it.
func (k *Keeper) committed(ctx context.Context) error {
	return k.config.Database.AfterCommit(ctx, func(ctx context.Context) {
		if err := k.Load(ctx); err != nil {
			k.config.Log.WarnContext(ctx, "a changed setting is not in effect yet", "error", err)
		}
	})
}

// check is the value that is to be stored of a setting, in its one form; nil if the setting has it. It returns ReadOnly
// for a setting that is fixed, and Invalid for a value that breaks the rule.
func (s *Store) check(name string, before, value json.RawMessage) (json.RawMessage, error) {
	s.mu.Lock()
	a := s.settings[name]
	s.mu.Unlock()
	refuse := func(code resource.Code, format string, args ...any) (json.RawMessage, error) {
		return nil, resource.Errorf(code, format, args...).At("attributes", "value")
	}
	if a == nil {
		return nil, resource.Errorf(resource.NotFound, "there is no setting %s", name)
	}
	parsed, err := a.read(value)
	same := err == nil && bytes.Equal(render(parsed), before)
	switch {
	case same:
		return nil, nil
	case a.fixed:
		return refuse(resource.ReadOnly, "%s can be set by the file, the environment and flags only", name)
	case a.secret && string(value) == `"`+resource.Mask+`"`:
		return refuse(resource.Invalid, "value must not be what stands for a secret")
	case err != nil:
		return refuse(resource.Invalid, "value %v", err)
	}
	return render(parsed), nil
}
