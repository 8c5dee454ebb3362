package module

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/job"
)

// Database is what a loader needs of storage's database.
type Database interface {
	Lock(ctx context.Context, name string) error
	AfterCommit(ctx context.Context, do func(ctx context.Context)) error
	Follow(ctx context.Context, look func(ctx context.Context) error)
}

// Config is what a loader needs.
type Config struct {
	Registry *resource.Registry
	Database Database
	Loadings resource.Store[Loading]
	Guards   map[string]func(next http.Handler) http.Handler   // what stands before the routes of a resource of listeners, by its name
	Files    func() []Module                                   // reads the modules that files declare; nil if none do
	Jobs     func(ctx context.Context, kinds []job.Kind) error // does the jobs of some kinds until the context ends; nil if modules bring none
	Log      *slog.Logger                                      // default slog.Default()
	Patience time.Duration                                     // how long an unloading waits for the worker, and then for requests in flight; default 10 s
}

// Loader knows the modules and serves those that are loaded. What is to be loaded is stored, the same for all nodes;
// each of them settles: it looks there, and loads, reloads and unloads until it has what is stored. So an action only
// checks and stores, and a node that was away comes to the same.
type Loader struct {
	config  Config
	modules []Module // of the program

	changing sync.Mutex      // held by whoever settles
	working  context.Context // that of Run; nil while it does not run

	loaded atomic.Pointer[[]*instance] // in the order in which they were loaded; replaced as a whole

	mu       sync.Mutex
	failures map[string]failure // by module
}

// instance is a module that is loaded.
type instance struct {
	Module
	at   time.Time // see Loading
	gate *resource.Gate
	stop func() // ends the worker, and waits for it; nil if there is none
}

// failure is why a module could not be loaded.
type failure struct {
	at  time.Time // the loading that failed; zero for one that was refused
	err error
}

// NewLoader makes a loader that knows no module yet.
func NewLoader(config Config) *Loader {
	config.Log = cmp.Or(config.Log, slog.Default())
	config.Patience = cmp.Or(config.Patience, 10*time.Second)
	if config.Files == nil {
		config.Files = func() []Module { return nil }
	}
	l := &Loader{config: config, failures: map[string]failure{}}
	l.loaded.Store(new([]*instance))
	return l
}

// Know adds modules of the program, and loads those of the core. The error has every finding about their declarations.
func (l *Loader) Know(modules ...Module) error {
	l.modules = append(l.modules, modules...)
	for _, m := range modules {
		l.fail(m.Name, failure{}) // that nothing declared it
		if !m.Core {
			continue
		}
		if err := l.config.Registry.Register(m.Types...); err != nil {
			return fmt.Errorf("module %s: %w", m.Name, err)
		}
		l.keep(&instance{Module: m, gate: &resource.Gate{}}, nil)
	}
	return nil
}

// Open loads what is stored, and those of some names of which nothing is stored yet. What cannot be loaded says so in
// its error, and in the log; the server starts all the same. The error is the database's.
func (l *Loader) Open(ctx context.Context, engine *resource.Engine, enabled []string) error {
	if err := l.settle(ctx); err != nil {
		return err
	}
	stored, err := l.stored(ctx)
	if err != nil {
		return err
	}
	known := l.known(stored)
	for _, m := range ordered(known, enabled) {
		if _, heard := stored[m.Name]; heard || m.Core {
			continue
		}
		_, err := engine.Do(ctx, resource.Operation{Verb: "load", Type: Schema.Name, ID: idOf(m.Name), Principal: auth.System})
		if resource.Is(err, resource.Unavailable) {
			return err
		}
		if err != nil {
			l.config.Log.WarnContext(ctx, "a module of modules.enabled cannot be loaded", "module", m.Name, "error", err)
			l.fail(m.Name, failure{err: shown(err)})
		}
	}
	for _, name := range enabled {
		if find(known, name) == nil {
			l.config.Log.WarnContext(ctx, "modules.enabled names a module that is not there", "module", name)
		}
	}
	return nil
}

// Run runs the workers of what is loaded, and follows what other nodes load, until the context ends. Then it ends the
// workers, in the reverse order.
func (l *Loader) Run(ctx context.Context) error {
	l.changing.Lock()
	l.working = ctx
	for _, i := range *l.loaded.Load() {
		l.start(i)
	}
	l.changing.Unlock()

	l.config.Database.Follow(ctx, l.settle)

	l.changing.Lock()
	defer l.changing.Unlock()
	l.working = nil
	for _, i := range slices.Backward(*l.loaded.Load()) {
		l.halt(i)
	}
	return nil
}

func idOf(name string) ulid.ULID { return resource.NamedID(Schema.Name, name) }

func find(modules []Module, name string) *Module {
	for i := range modules {
		if modules[i].Name == name {
			return &modules[i]
		}
	}
	return nil
}

// instance is a loaded module, nil if there is none of that name.
func (l *Loader) instance(name string) *instance {
	for _, i := range *l.loaded.Load() {
		if i.Name == name {
			return i
		}
	}
	return nil
}

// keep puts an instance in the place of another, or at the end; either may be nil.
func (l *Loader) keep(i, other *instance) {
	var loaded []*instance
	for _, there := range *l.loaded.Load() {
		switch {
		case there != other:
			loaded = append(loaded, there)
		case i != nil:
			loaded = append(loaded, i)
		}
	}
	if other == nil {
		loaded = append(loaded, i)
	}
	l.loaded.Store(&loaded)
}

// stored is what is stored of modules, by name.
func (l *Loader) stored(ctx context.Context) (map[string]Loading, error) {
	stored := map[string]Loading{}
	window := pagination.First(pagination.MaxSize)
	for {
		page, err := l.config.Loadings.List(ctx, resource.Query{Window: window, Count: pagination.CountNone})
		if err != nil {
			return nil, err
		}
		for _, row := range page.Rows {
			stored[row.Name] = row
		}
		if !page.Next {
			return stored, nil
		}
		window = window.Next(pagination.At(page.Rows[len(page.Rows)-1].ID))
	}
}

// known are the modules as they are declared now: those of the program, those of files, and those that are loaded or
// stored and that nothing declares any more.
func (l *Loader) known(stored map[string]Loading) []Module {
	known := slices.Clone(l.modules)
	for _, m := range l.config.Files() {
		if find(known, m.Name) != nil {
			m = Module{Name: m.File, File: m.File, Fault: fmt.Errorf("the program has a module %s", m.Name)}
		}
		known = append(known, m)
	}
	gone := func(m Module) {
		if find(known, m.Name) == nil {
			m.Fault = errors.New("nothing declares this module any more")
			known = append(known, m)
		}
	}
	for _, i := range *l.loaded.Load() {
		gone(i.Module)
	}
	for _, name := range slices.Sorted(maps.Keys(stored)) {
		if !stored[name].At.IsZero() {
			gone(Module{Name: name})
		}
	}
	return known
}

// ordered are those of some names, and what they need, with the needs before whoever needs them.
func ordered(known []Module, names []string) (order []Module) {
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		m := find(known, name)
		if m == nil || seen[name] {
			return
		}
		seen[name] = true
		for _, need := range m.Needs {
			visit(need)
		}
		order = append(order, *m)
	}
	for _, name := range names {
		visit(name)
	}
	return order
}

// states are the modules as the entity shows them.
func (l *Loader) states(ctx context.Context) ([]State, error) {
	stored, err := l.stored(ctx)
	if err != nil {
		return nil, err
	}
	var states []State
	for _, m := range l.known(stored) {
		states = append(states, l.state(&m, stored))
	}
	return states, nil
}

// Kinds are the kinds of jobs that the loaded modules bring.
func (l *Loader) Kinds() (kinds []job.Kind) {
	for _, i := range *l.loaded.Load() {
		kinds = append(kinds, i.Jobs...)
	}
	return kinds
}

// Loaded are the modules that are loaded.
func (l *Loader) Loaded(ctx context.Context) ([]State, error) {
	states, err := l.states(ctx)
	return slices.DeleteFunc(states, func(m State) bool { return !m.Loaded }), err
}

func (l *Loader) state(m *Module, stored map[string]Loading) State {
	s := State{ID: idOf(m.Name), Name: m.Name, Core: m.Core, Loaded: m.Core, File: m.File}
	if loading := stored[m.Name]; !m.Core {
		failed := l.failed(m.Name)
		s.Loaded, s.LoadedAt = !loading.At.IsZero(), loading.At
		i := l.instance(m.Name)
		if i == nil && (failed.err != nil || m.Fault != nil) {
			s.Loaded = false // whatever is stored
		}
		if err := cmp.Or(m.Fault, failed.err); err != nil {
			s.Error = err.Error()
		}
		if s.Loaded && i != nil {
			m = &i.Module // which may be older than its declaration
		}
	}
	s.Doc, s.Needs, s.Types = m.Doc, append([]string{}, m.Needs...), append([]string{}, resource.Names(m.Types)...)
	return s
}

func (l *Loader) failed(name string) failure {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failures[name]
}

// fail notes why a module could not be loaded, or with nil that it could.
func (l *Loader) fail(name string, f failure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.err == nil {
		delete(l.failures, name)
	} else {
		l.failures[name] = f
	}
}

// lock is the name of the lock behind which what is stored changes.
const lock = "modules"

// update is the update of an action. It stores what change makes of the module's state, if that can be done, and has
// this node settle once it is committed. A refusal changes nothing but the module's error.
func (l *Loader) update(ctx context.Context, id ulid.ULID, change func(*State) error) (*State, error) {
	if err := l.config.Database.Lock(ctx, lock); err != nil {
		return nil, err
	}
	stored, err := l.stored(ctx)
	if err != nil {
		return nil, err
	}
	known := l.known(stored)
	at := slices.IndexFunc(known, func(m Module) bool { return idOf(m.Name) == id })
	if at < 0 {
		return nil, resource.Errorf(resource.NotFound, "there is no module %s", id)
	}
	m := &known[at]
	before := l.state(m, stored)
	state := before
	if err := change(&state); err != nil {
		return nil, err
	}
	if state.Loaded == before.Loaded && state.LoadedAt.Equal(before.LoadedAt) {
		return &state, nil
	}
	if state.Loaded {
		err = l.prepare(ctx, m, known, stored)
		if resource.Is(err, resource.Conflict) {
			l.fail(m.Name, failure{err: shown(err)})
		}
	} else {
		err = l.dispensable(m, stored)
	}
	if err != nil {
		return nil, err
	}
	if err := l.store(ctx, Loading{id, m.Name, state.LoadedAt}, stored); err != nil {
		return nil, err
	}
	state.Error = ""
	if state.Loaded {
		state.Doc, state.Needs, state.Types = m.Doc, append([]string{}, m.Needs...), append([]string{}, resource.Names(m.Types)...)
	}
	return &state, l.config.Database.AfterCommit(ctx, func(ctx context.Context) {
		l.fail(m.Name, failure{})
		ctx = context.WithoutCancel(ctx)
		if err := l.settle(ctx); err != nil { // Run looks again
			l.config.Log.WarnContext(ctx, "modules are not settled yet", "error", err)
		}
	})
}

func (l *Loader) store(ctx context.Context, loading Loading, stored map[string]Loading) error {
	if _, there := stored[loading.Name]; !there {
		return l.config.Loadings.Create(ctx, &loading)
	}
	_, err := l.config.Loadings.Update(ctx, loading.ID, func(row *Loading) error {
		row.At = loading.At
		return nil
	})
	return err
}

// prepare brings the tables of a module up to date, and verifies that it fits what is loaded. Its refusals are Conflict.
func (l *Loader) prepare(ctx context.Context, m *Module, known []Module, stored map[string]Loading) error {
	if m.Fault != nil {
		return resource.Errorf(resource.Conflict, "%s", m.Fault)
	}
	var missing []string
	for _, need := range m.Needs {
		other := find(known, need)
		if other == nil || !other.Core && stored[need].At.IsZero() {
			missing = append(missing, need)
		}
	}
	if missing != nil {
		return resource.Errorf(resource.Conflict, "%s needs %s, not loaded", m.Name, strings.Join(missing, ", "))
	}
	var all []Module
	for i := range known {
		switch other := &known[i]; {
		case other.Name == m.Name:
			all = append(all, *m)
		case l.instance(other.Name) != nil:
			all = append(all, l.instance(other.Name).Module)
		case !stored[other.Name].At.IsZero() && other.Fault == nil:
			all = append(all, *other)
		}
	}
	needed := ordered(all, []string{m.Name})
	for _, other := range all {
		if other.Core {
			needed = append(needed, other)
		}
	}
	if err := cmp.Or(fit(needed), fit(all)); err != nil {
		return resource.Errorf(resource.Conflict, "%s", err)
	}
	if m.Migrate == nil {
		return nil
	}
	return m.Migrate(ctx)
}

// fit verifies that modules can be loaded together.
func fit(modules []Module) error {
	var types []resource.Declaration
	paths, kinds := map[string]bool{}, map[string]bool{}
	for _, m := range modules {
		types = append(types, m.Types...)
		for _, r := range m.Routes {
			path := r.Resource + " " + r.Path
			if paths[path] {
				return fmt.Errorf("two modules serve the path %s", path)
			}
			paths[path] = true
		}
		for _, kind := range m.Jobs {
			if kinds[kind.Name] {
				return fmt.Errorf("two modules bring jobs of the kind %s", kind.Name)
			}
			kinds[kind.Name] = true
		}
	}
	return (&resource.Registry{}).Register(types...)
}

// dispensable refuses to unload what others need.
func (l *Loader) dispensable(m *Module, stored map[string]Loading) error {
	var needed []string
	for _, other := range l.known(stored) {
		if i := l.instance(other.Name); i != nil {
			other = i.Module
		}
		if !stored[other.Name].At.IsZero() && slices.Contains(other.Needs, m.Name) {
			needed = append(needed, other.Name)
		}
	}
	if needed != nil {
		return resource.Errorf(resource.Conflict, "%s is needed by %s", m.Name, strings.Join(needed, ", "))
	}
	return nil
}
