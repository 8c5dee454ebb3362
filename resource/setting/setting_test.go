package setting_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"reeve/auth"
	"reeve/resource/setting"
)

type lamp struct {
	Place string `json:"place"`
	Watts *int   `json:"watts,omitempty"`
}

var (
	lit  = setting.New("lamps.lit", true, "Whether they burn.")
	many = setting.New("lamps.many", 3, "How many there are.", func(n int) error {
		if n < 1 {
			return errors.New("must be at least 1")
		}
		return nil
	})
	color = setting.New("lamps.color", "white", "Their color.")
	burns = setting.New("lamps.burns", 100*time.Hour, "How long they do.")
	rooms = setting.New("lamps.rooms", []string(nil), "Where they are.")
	reach = setting.New("lamps.reach", []auth.Network(nil), "From where they can be lit.")
	each  = setting.New("lamps.each", []lamp{{Place: "hall"}}, "Each of them.").Restart()
	off   = setting.New("lamps.switch", "", "What turns them off.").Secret().Fixed()
	all   = []setting.Declaration{lit, many, color, burns, rooms, reach, each, off}
)

func store(t *testing.T, layers ...setting.Layer) *setting.Store {
	t.Helper()
	s := setting.NewStore()
	if err := s.Declare(all...); err != nil {
		t.Fatal(err)
	}
	take(t, s, layers...)
	return s
}

func take(t *testing.T, s *setting.Store, layers ...setting.Layer) (changed, restart []string) {
	t.Helper()
	reading, err := s.Read(layers...)
	if err != nil {
		t.Fatal(err)
	}
	changed, restart = reading.Changes()
	reading.Take()
	return changed, restart
}

func file(values map[string]any) setting.Layer {
	return setting.Layer{Source: setting.File, Values: values}
}

func environment(values map[string]any) setting.Layer {
	return setting.Layer{Source: setting.Environment, Values: values}
}

// Example declares a setting, and follows it.
func Example() {
	greeting := setting.New("hall.greeting", "Hello", "What visitors are told.")
	values := setting.NewStore()
	if err := values.Declare(greeting); err != nil {
		fmt.Println(err)
		return
	}
	stop := greeting.Follow(values, func(text string) { fmt.Println("told:", text) })
	defer stop()
	reading, err := values.Read(setting.Layer{Source: setting.File, Values: map[string]any{"hall": map[string]any{"greeting": "Good day"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	reading.Take()
	fmt.Println(greeting.In(values))
	// Output:
	// told: Hello
	// told: Good day
	// Good day
}

func TestValues(t *testing.T) {
	s := store(t)
	if !lit.In(s) || many.In(s) != 3 || color.In(s) != "white" || burns.In(s) != 100*time.Hour || rooms.In(s) == nil || each.In(s)[0].Place != "hall" {
		t.Error("the defaults are others")
	}
	watts := 40
	fromFile := file(map[string]any{"lamps": map[string]any{
		"lit": false, "many": 7, "color": nil, "burns": "1h30m", "rooms": []any{"hall", "cellar"}, "reach": []any{"::ffff:10.1.2.3", "10.0.0.1/8"},
		"each": []any{map[string]any{"place": "stairs", "watts": watts}},
	}})
	take(t, s, fromFile, environment(map[string]any{"lamps.many": "8", "lamps.rooms": "attic, ,yard"}))
	if lit.In(s) || many.In(s) != 8 || color.In(s) != "white" || burns.In(s) != 90*time.Minute || !slices.Equal(rooms.In(s), []string{"attic", "yard"}) ||
		fmt.Sprint(reach.In(s)) != "[10.1.2.3 10.0.0.0/8]" || each.In(s)[0].Place != "stairs" || *each.In(s)[0].Watts != 40 {
		t.Error(lit.In(s), many.In(s), color.In(s), burns.In(s), rooms.In(s), reach.In(s), each.In(s))
	}
	take(t, s, environment(map[string]any{"lamps.each": `[{"place": "roof"}]`, "lamps.lit": "false", "lamps.burns": "2m"}))
	if each.In(s)[0].Place != "roof" || lit.In(s) || burns.In(s) != 2*time.Minute || many.In(s) != 3 {
		t.Error("by texts:", each.In(s), lit.In(s), burns.In(s), many.In(s))
	}
	take(t, s, environment(map[string]any{"lamps.burns": "0"}))
	if burns.In(s) != 0 {
		t.Error("0 needs no unit:", burns.In(s))
	}
	if other := store(t); !lit.In(other) {
		t.Error("two stores know of each other")
	}
}

func TestReadFindsMistakes(t *testing.T) {
	for about, values := range map[string]map[string]any{
		"lamps.lit (file): must be true or false":              {"lamps": map[string]any{"lit": "true"}},
		"lamps.many (file): must be a whole number":            {"lamps.many": 1.5},
		"lamps.many (file): must be at least 1":                {"lamps.many": 0},
		"lamps.burns (file): must be a duration such as 10s":   {"lamps.burns": 10},
		"lamps.color (file): must be a string":                 {"lamps.color": 7},
		"lamps.color (file): must not contain a NUL character": {"lamps.color": "\x00"},
		"lamps.color (file): must take at most 65536 bytes":    {"lamps.color": strings.Repeat("x", 70_000)},
		"lamps.rooms (file): must be an array of strings":      {"lamps.rooms": "hall"},
		"lamps.reach (file): must be an IP address":            {"lamps.reach": []any{"here"}},
		"lamps.each (file): unknown field \"volts\"":           {"lamps.each": []any{map[string]any{"volts": 230}}},
		"lamps.each (file): must have no number as place":      {"lamps.each": []any{map[string]any{"place": 230}}},
		"lamps.each (file): must be no string":                 {"lamps.each": "hall"},
		"there is no setting lamp":                             {"lamp": map[string]any{}},
		"there is no setting lamps.dark":                       {"lamps": map[string]any{"dark": true, "lit": true}},
		"there is no setting lamps":                            {"lamps": 3},
		"there is no setting lamps.lit.at":                     {"lamps.lit.at": 3},
	} {
		s := store(t)
		if _, err := s.Read(file(values)); err == nil || !strings.Contains(err.Error(), about) {
			t.Errorf("%v: %v, not %s", values, err, about)
		}
	}
	s := store(t)
	for name, text := range map[string]string{"lamps.lit": "yes", "lamps.many": "many", "lamps.burns": "", "lamps.each": "["} {
		if _, err := s.Read(environment(map[string]any{name: text})); err == nil {
			t.Errorf("%s is %q", name, text)
		}
	}
	_, err := s.Read(file(map[string]any{"lamps": map[string]any{"lit": 1, "many": 0, "dark": 1}}))
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not every mistake is told of: %v", err)
	}
	take(t, s, file(map[string]any{"lamps": nil}), file(nil))
}

// TestReadChangesNothing sees that a reading that is not taken, and one that fails, leave everything as it is.
func TestReadChangesNothing(t *testing.T) {
	s := store(t, file(map[string]any{"lamps.color": "red"}))
	defer color.Follow(s, func(value string) {
		if value != "red" {
			t.Errorf("the color is %s", value)
		}
	})()
	reading, err := s.Read(file(map[string]any{"lamps.color": "blue"}))
	if err != nil || color.In(reading) != "blue" || color.In(s) != "red" {
		t.Error(err, color.In(reading), color.In(s))
	}
	if _, err := s.Read(file(map[string]any{"lamps.color": "blue", "lamps.many": 0})); err == nil || color.In(s) != "red" {
		t.Error(err, color.In(s))
	}
}

func TestPin(t *testing.T) {
	s := store(t)
	s.Pin()
	layer := file(map[string]any{"lamps.each": []any{}, "lamps.color": "red"})
	changed, restart := take(t, s, layer)
	if !slices.Equal(changed, []string{"lamps.color", "lamps.each"}) || !slices.Equal(restart, []string{"lamps.each"}) {
		t.Errorf("changed %v, waits for a restart %v", changed, restart)
	}
	if color.In(s) != "red" || each.In(s)[0].Place != "hall" {
		t.Error(color.In(s), each.In(s))
	}
	if changed, restart := take(t, s, layer); len(changed) != 0 || !slices.Equal(restart, []string{"lamps.each"}) {
		t.Errorf("again: changed %v, waits for a restart %v", changed, restart)
	}
	if changed, restart := take(t, s); len(changed) != 2 || len(restart) != 0 {
		t.Errorf("back: changed %v, waits for a restart %v", changed, restart)
	}
}

func TestOverride(t *testing.T) {
	s := store(t, file(map[string]any{"lamps.color": "red", "lamps.many": 5}))
	var seen []string
	stop := color.Follow(s, func(value string) { seen = append(seen, value) })
	override := func(stored map[string]json.RawMessage) error { return s.Override(stored) }
	if err := override(map[string]json.RawMessage{"lamps.color": json.RawMessage(`"green"`), "module.later": json.RawMessage(`1`)}); err != nil {
		t.Error(err)
	}
	if err := override(map[string]json.RawMessage{
		"lamps.color": json.RawMessage(`"green"`), "lamps.many": json.RawMessage(`0`), "lamps.switch": json.RawMessage(`"mine"`), "lamps.lit": json.RawMessage(`{`),
	}); err == nil || strings.Count(err.Error(), "\n") != 2 || strings.Contains(err.Error(), "mine") {
		t.Errorf("what breaks a rule: %v", err)
	}
	if color.In(s) != "green" || many.In(s) != 5 || off.In(s) != "" || !lit.In(s) {
		t.Error(color.In(s), many.In(s), off.In(s), lit.In(s))
	}
	if err := override(nil); err != nil || color.In(s) != "red" {
		t.Error(err, color.In(s))
	}
	stop()
	if err := override(map[string]json.RawMessage{"lamps.color": json.RawMessage(`"blue"`)}); err != nil {
		t.Error(err)
	}
	if fmt.Sprint(seen) != "[red green red]" {
		t.Errorf("seen: %v", seen)
	}
}

func TestDeclare(t *testing.T) {
	s := store(t)
	for about, d := range map[string]setting.Declaration{
		"lamps.lit stands in the way":             setting.New("lamps.lit", 1, "Twice."),
		"lamps.lit stands in the way of":          setting.New("lamps.lit.at", 1, "Within another."),
		"stands in the way of lamps":              setting.New("lamps", 1, "A section."),
		`the name "Lamps.x" must`:                 setting.New("Lamps.x", 1, "A wrong name."),
		"lamps.x has no doc":                      setting.New("lamps.x", 1, ""),
		"the default of lamps.x must not be that": setting.New("lamps.x", 1, "Wrong.", func(int) error { return errors.New("must not be that") }),
	} {
		if err := s.Declare(setting.New("lamps.more", 1, "More."), d); err == nil || !strings.Contains(err.Error(), about) {
			t.Errorf("%v, not %s", err, about)
		}
		if s.Has("lamps.more") {
			t.Fatal("some are declared")
		}
	}
	if err := s.Declare(all...); err != nil {
		t.Error("once more:", err)
	}
	later := setting.New("module.later", 1, "Declared later.")
	if _, err := s.Read(file(map[string]any{"module.later": "x"})); err == nil {
		t.Error("a setting that is not declared is none")
	}
	if err := s.Declare(later); err != nil {
		t.Fatal(err)
	}
	take(t, s, file(map[string]any{"module.later": 2}))
	if later.In(s) != 2 {
		t.Error("declared later:", later.In(s))
	}
}

// TestConcurrent reads while everything changes.
func TestConcurrent(t *testing.T) {
	s := store(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 1000 {
			if err := s.Override(map[string]json.RawMessage{"lamps.many": json.RawMessage(fmt.Sprint(i + 10))}); err != nil {
				t.Error(err)
			}
			defer many.Follow(s, func(int) {})()
			if err := s.Declare(color); err != nil {
				t.Error(err)
			}
		}
	}()
	for last := 0; ; {
		n := many.In(s)
		if n != 3 && n < last || color.In(s) != "white" {
			t.Fatal(n, last, color.In(s))
		}
		last = n
		select {
		case <-done:
			return
		default:
		}
	}
}

func BenchmarkIn(b *testing.B) {
	s := setting.NewStore()
	if err := s.Declare(all...); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if many.In(s) != 3 {
			b.Fatal()
		}
	}
}
