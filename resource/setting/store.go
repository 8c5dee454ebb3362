package setting

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Source is where a value comes from.
type Source string

// The sources. Of several that have a value, the last one here wins.
const (
	Default     Source = "default"
	File        Source = "file"
	Environment Source = "environment"
	Flag        Source = "flag"
	Stored      Source = "stored"
)

// Layer is what a source other than the default and what is stored says: values by the names of settings, or by parts of
// them, each within the one before. Those of the environment and of flags are texts.
type Layer struct {
	Source Source
	Values map[string]any
}

// Store has the values of declared settings. It is safe for concurrent use, and reading takes no lock.
type Store struct {
	mu        sync.Mutex
	settings  map[string]*about
	layers    []Layer
	stored    map[string]json.RawMessage
	pinned    bool
	followers map[*func()]string // by what they follow: the name of a setting

	now atomic.Pointer[state]
}

// state is what a store knows at one time.
type state struct {
	configured map[string]configured // what the sources say
	running    map[string]any        // what is in effect
}

type configured struct {
	value  any // what is stored, or else what the other sources say
	under  any // what those say
	source Source
}

// NewStore makes a store without any settings.
func NewStore() *Store {
	s := &Store{settings: map[string]*about{}, followers: map[*func()]string{}}
	s.now.Store(&state{})
	return s
}

func (s *Store) value(name string) (any, bool) {
	v, ok := s.now.Load().running[name]
	return v, ok
}

// Declare adds settings, all or none, and reports everything that is wrong with them, or with what the sources say of
// them. To declare one again does nothing.
func (s *Store) Declare(declarations ...Declaration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	more := maps.Clone(s.settings)
	var found []error
	for _, d := range declarations {
		a := d.declared()
		found = append(found, a.verify())
		for name, other := range more {
			if other != a && (name == a.name || strings.HasPrefix(name, a.name+".") || strings.HasPrefix(a.name, name+".")) {
				found = append(found, fmt.Errorf("setting: %s stands in the way of %s", name, a.name))
			}
		}
		more[a.name] = a
	}
	if err := errors.Join(found...); err != nil {
		return err
	}
	next, err := s.resolve(more, s.layers)
	if err == nil {
		s.settings = more
		s.settle(next)
	}
	return err
}

// Has reports whether a setting is declared.
func (s *Store) Has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings[name] != nil
}

// Pin keeps, from now on, the values of the settings that need a restart as they are.
func (s *Store) Pin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pinned = true
}

// Reading is what layers say, all of it checked.
type Reading struct {
	store  *Store
	layers []Layer
	next   map[string]configured
}

func (r *Reading) value(name string) (any, bool) {
	c, ok := r.next[name]
	return c.value, ok
}

// Read checks what layers say, which the later ones win, and reports everything that is wrong: unknown names, and values
// that break a rule. Nothing changes until the reading is taken.
func (s *Store) Read(layers ...Layer) (*Reading, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []error
	for _, layer := range layers {
		for _, name := range s.unknown(layer.Values, "") {
			found = append(found, fmt.Errorf("there is no setting %s", name))
		}
	}
	next, err := s.resolve(s.settings, layers)
	if err := errors.Join(append(found, err)...); err != nil {
		return nil, err
	}
	return &Reading{s, layers, next}, nil
}

// Changes are the names of the settings that the layers change, and of those that wait for a restart.
func (r *Reading) Changes() (changed, restart []string) {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	now := r.store.now.Load()
	changed, restart = []string{}, []string{}
	for _, name := range slices.Sorted(maps.Keys(r.next)) {
		value := r.next[name].value
		if !reflect.DeepEqual(value, now.configured[name].value) {
			changed = append(changed, name)
		}
		if r.store.settings[name].restart && !reflect.DeepEqual(value, now.running[name]) {
			restart = append(restart, name)
		}
	}
	return changed, restart
}

// Take has the store be as the layers say.
func (r *Reading) Take() {
	s := r.store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.layers = r.layers
	next, err := s.resolve(s.settings, s.layers)
	if err != nil { // settings were declared since
		next = r.next
	}
	s.settle(next)
}

// Override sets what is stored: values as JSON, by the names of settings. One that breaks the rule of its setting, as
// that of another version of the program may, is left out, and told of in the error. Settings that are not declared may
// be yet.
func (s *Store) Override(stored map[string]json.RawMessage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	good, found := map[string]json.RawMessage{}, []error(nil)
	for name, text := range stored {
		if a := s.settings[name]; a != nil {
			if _, err := a.read(text); err != nil || a.fixed {
				found = append(found, fmt.Errorf("what is stored of the setting %s is not what it takes", name))
				continue
			}
		}
		good[name] = text
	}
	s.stored = good
	next, err := s.resolve(s.settings, s.layers)
	if err != nil {
		return err
	}
	s.settle(next)
	return errors.Join(found...)
}

// read reads a value from JSON.
func (a *about) read(text json.RawMessage) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, err
	}
	return a.parse(v)
}

// resolve works out what the sources say of settings, and reports everything that is wrong.
func (s *Store) resolve(settings map[string]*about, layers []Layer) (map[string]configured, error) {
	resolved := make(map[string]configured, len(settings))
	var found []error
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		a := settings[name]
		c := configured{a.fallback, a.fallback, Default}
		for _, layer := range layers {
			v, ok := find(layer.Values, name)
			if text, isText := v.(string); isText && layer.Source != File {
				v = a.typed(text)
			}
			if !ok {
				continue
			}
			value, err := a.parse(v)
			if err != nil {
				found = append(found, fmt.Errorf("%s (%s): %w", name, layer.Source, err))
				continue
			}
			c = configured{value, value, layer.Source}
		}
		if text, ok := s.stored[name]; ok {
			if value, err := a.read(text); err == nil { // Override has told of it, or it was not declared then
				c.value = value
			}
		}
		resolved[name] = c
	}
	return resolved, errors.Join(found...)
}

// settle has the store be as the sources say, and tells those who follow what has changed. The lock is held.
func (s *Store) settle(next map[string]configured) {
	before := s.now.Load()
	after := &state{next, make(map[string]any, len(next))}
	for name, c := range next {
		running, runs := before.running[name]
		if !runs || !s.pinned || !s.settings[name].restart {
			running = c.value
		}
		after.running[name] = running
	}
	s.now.Store(after)
	for apply, name := range s.followers {
		if !reflect.DeepEqual(before.running[name], after.running[name]) {
			(*apply)()
		}
	}
}

func (s *Store) follow(name string, apply func()) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.followers[&apply] = name
	apply()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.followers, &apply)
	}
}

// find is the value of a name in a tree: null is none.
func find(tree map[string]any, name string) (any, bool) {
	if v, ok := tree[name]; ok {
		return v, v != nil
	}
	for i, r := range name {
		if r != '.' {
			continue
		}
		if inner, ok := tree[name[:i]].(map[string]any); ok {
			if v, ok := find(inner, name[i+1:]); ok {
				return v, true
			}
		}
	}
	return nil, false
}

// unknown are the names in a tree that are neither those of settings nor of sections.
func (s *Store) unknown(tree map[string]any, section string) (names []string) {
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		name := section + key
		inner, isSection := tree[key].(map[string]any)
		switch {
		case s.settings[name] != nil:
		case len(inner) > 0:
			names = append(names, s.unknown(inner, name+".")...)
		case !isSection && tree[key] != nil, !s.hasSection(name):
			names = append(names, name)
		}
	}
	return names
}

func (s *Store) hasSection(name string) bool {
	for setting := range s.settings {
		if strings.HasPrefix(setting, name+".") {
			return true
		}
	}
	return false
}
