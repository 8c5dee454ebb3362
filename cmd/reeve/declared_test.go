package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const spaceFile = `doc: What is out there.
types:
  planet:
    doc: Something round.
    lookups: [name]
    attributes:
      name: {kind: string, required: true, unique: true, filters: [prefix]}
      moons: {kind: integer, filters: [min]}
      pin: {kind: string, nullable: true, secret: true}
    references:
      ruler: {type: user, nullable: true, on_delete: clear, inverse: planets}
`

// declaredFiles is a folder of files, and the configuration that names it.
func declaredFiles(t *testing.T, files map[string]string) (folder, yaml string) {
	t.Helper()
	folder = t.TempDir()
	for name, content := range files {
		put(t, filepath.Join(folder, name), content)
	}
	return folder, everything + "modules: {path: " + folder + "}\n"
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// newPlanet is the document that creates a planet.
func newPlanet(name string, moons int) map[string]any {
	return resourceDocument("planet", "", map[string]any{"name": name, "moons": moons}, nil)
}

func TestDeclaredInFile(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		folder, yaml := declaredFiles(t, map[string]string{"space.yaml": spaceFile})
		s := start(t, uri, yaml)
		if a := s.get("modules/by-name/space"); dig(a, "data", "attributes", "loaded") != false || dig(a, "data", "attributes", "doc") != "What is out there." {
			t.Fatalf("known: %v", a)
		}
		s.do(404, "GET", "planets", nil)
		s.module(200, "space", "load")
		ruled := newPlanet("mars", 2)
		dig(ruled, "data").(map[string]any)["relationships"] = map[string]any{"ruler": toOne("user", quentin)}
		dig(ruled, "data", "attributes").(map[string]any)["pin"] = "1234"
		mars := idOf(s.do(201, "POST", "planets", ruled))
		for i := range 20 {
			s.do(201, "POST", "planets", newPlanet(fmt.Sprintf("p-%02d", i), i))
		}
		s.do(409, "POST", "planets", newPlanet("mars", 0))
		s.do(422, "POST", "planets", resourceDocument("planet", "", map[string]any{"name": "x", "moons": "many"}, nil))
		s.do(200, "PATCH", "planets/by-name/mars", resourceDocument("planet", mars, map[string]any{"moons": 3}, nil))
		if a := s.get("planets/" + mars); dig(a, "data", "attributes", "moons") != 3.0 {
			t.Errorf("not changed: %v", a)
		}
		for query, want := range map[string]float64{
			"planets?filter[moons][min]=10": 10, "planets?filter[name][prefix]=p-": 20, "planets?filter[ruler]=" + quentin: 1, "planets": 21,
			"users/" + quentin + "/planets": 1, "types?filter[name]=planet": 1, "permissions?filter[name]=planet:update": 1,
			"events?filter[target]=" + mars: 2,
		} {
			if got := dig(s.get(query), "meta", "count"); got != want {
				t.Errorf("%s: %v, not %v", query, got, want)
			}
		}
		if dig(s.send("GET", "/api/spec.json", nil).document, "paths", "/api/admin/v1/planets/by-name/{name}") == nil {
			t.Error("it is not documented")
		}
		changes := fmt.Sprint(dig(s.get("events?filter[target]="+mars+"&page[first]=2"), "data", 1, "attributes", "changes"))
		if changes != "map[moons:map[from:2 to:3]]" {
			t.Errorf("the event tells of %s", changes)
		}
		if s.count("SELECT count(*) FROM planets WHERE name = 'mars' AND length(pin) > 10") != 1 || strings.Contains(string(s.send("GET", "/api/admin/v1/planets/"+mars, nil).text), "1234") {
			t.Error("the secret is not sealed")
		}

		// Reloaded: adding is carried out, anything else is refused.
		put(t, filepath.Join(folder, "space.yaml"), strings.Replace(spaceFile, "      pin:", "      rings: {kind: boolean, filters: [eq]}\n      pin:", 1))
		s.do(400, "GET", "planets?filter[rings]=false", nil)
		s.module(200, "space", "reload")
		if got := dig(s.get("planets?filter[rings]=false"), "meta", "count"); got != 21.0 {
			t.Errorf("%v planets without rings", got)
		}
		for what, content := range map[string]string{
			"kind":        strings.Replace(spaceFile, "kind: integer", "kind: string", 1),
			"nullability": strings.Replace(spaceFile, "kind: integer", "kind: integer, nullable: true", 1),
			"unique":      strings.Replace(spaceFile, "kind: integer", "kind: integer, required: true, unique: true", 1),
			"core's type": strings.Replace(spaceFile, "  planet:", "  user:", 1),
			"core's path": strings.Replace(spaceFile, "    doc: Some", "    plural: users\n    doc: Some", 1),
			"a table":     strings.Replace(spaceFile, "    doc: Some", "    plural: data-keys\n    doc: Some", 1),
			"a counter":   strings.Replace(spaceFile, "    doc: Some", "    plural: users-count\n    doc: Some", 1),
			"no type":     strings.Replace(spaceFile, "type: user", "type: emperor", 1),
			"a mistake":   strings.Replace(spaceFile, "kind: integer", "kind: whole", 1),
		} {
			put(t, filepath.Join(folder, "space.yaml"), content)
			refused := s.module(409, "space", "reload")
			shown := s.get("modules/by-name/space")
			if dig(shown, "data", "attributes", "error") != dig(refused, "errors", 0, "detail") || dig(shown, "data", "attributes", "loaded") != true {
				t.Errorf("%s: %v, and shown %v", what, refused, shown)
			}
			if got := dig(s.get("planets?filter[rings]=false"), "meta", "count"); got != 21.0 {
				t.Errorf("%s: %v planets are left as they were", what, got)
			}
		}

		// What is wrong when the server starts is not loaded, and says so.
		put(t, filepath.Join(folder, "space.yaml"), spaceFile+"    sort: name\n")
		put(t, filepath.Join(folder, "Space.yaml"), spaceFile)
		put(t, filepath.Join(folder, "core.yaml"), spaceFile)
		again := s.another(yaml)
		shown := again.get("modules/by-name/space")
		if text := fmt.Sprint(dig(shown, "data", "attributes", "error")); dig(shown, "data", "attributes", "loaded") != false || !strings.HasPrefix(text, "space.yaml:12: ") {
			t.Errorf("started: %v", shown)
		}
		for _, name := range []string{"Space.yaml", "core.yaml"} {
			if dig(again.get("modules/by-name/"+name), "data", "attributes", "error") == nil {
				t.Errorf("the module %s has no error", name)
			}
			again.module(409, name, "load")
		}
		again.do(404, "GET", "planets", nil)
		again.module(409, "space", "load")
		put(t, filepath.Join(folder, "space.yaml"), spaceFile)
		again.module(200, "space", "load")
		if got := dig(again.get("planets"), "meta", "count"); got != 21.0 {
			t.Errorf("%v planets", got)
		}
		again.module(200, "space", "unload")
		again.do(404, "GET", "planets", nil)
		eventually(t, time.Second, "unloaded everywhere", func() bool { return s.send("GET", "/api/admin/v1/planets", nil).StatusCode == 404 })
		s.do(204, "DELETE", "users/"+quentin, nil)
		if s.count("SELECT count(*) FROM planets WHERE ruler_id IS NULL") != 21 {
			t.Error("a ruler who is gone still rules, since the module is not loaded")
		}
	})
}

// TestFilesNeedEachOther sees that a file may refer to what another one declares, if it says that it needs it.
func TestFilesNeedEachOther(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		moons := "types:\n  moon:\n    doc: It goes around.\n    attributes: {name: string}\n    references:\n      planet: {type: planet, required: true, on_delete: cascade, inverse: satellites}\n"
		folder, yaml := declaredFiles(t, map[string]string{"space.yaml": spaceFile, "moons.yaml": moons})
		s := start(t, uri, yaml+"log: {level: error}\n")
		s.module(200, "space", "load")
		s.module(409, "moons", "load") // it does not say what it needs
		put(t, filepath.Join(folder, "moons.yaml"), "needs: [space]\n"+moons)
		s.module(200, "moons", "load")
		mars := idOf(s.do(201, "POST", "planets", newPlanet("mars", 2)))
		s.do(201, "POST", "moons", resourceDocument("moon", "", map[string]any{"name": "phobos"}, map[string]any{"planet": toOne("planet", mars)}))
		if got := idsOf(s.get("planets/" + mars + "/satellites?include=planet")); len(got) != 1 {
			t.Errorf("%d satellites", len(got))
		}
		s.module(409, "space", "unload")
		s.module(200, "space", "reload")
		again := s.another(yaml)
		if got := dig(again.get("planets?include=satellites"), "included", 0, "attributes", "name"); got != "phobos" {
			t.Errorf("included: %v", got)
		}
		s.module(200, "moons", "unload")
		if dig(s.get("planets/"+mars), "data", "relationships", "satellites") != nil {
			t.Error("the inverse of what is unloaded is shown")
		}
		s.do(204, "DELETE", "planets/"+mars, nil)
		if s.count("SELECT count(*) FROM moons") != 0 {
			t.Error("a moon has outlived its planet")
		}
	})
}

// TestReadmeDeclares runs the part of the README that declares a type in a file, as it stands there.
func TestReadmeDeclares(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	script := regexp.MustCompile("(?s)```sh\n(mkdir -p modules.*?)```").FindStringSubmatch(string(text))
	if script == nil {
		t.Fatal("the README declares no type in a file")
	}
	if lines := strings.Count(script[1], "\n"); lines > 15 {
		t.Errorf("it takes %d lines", lines)
	}
	onBoth(t, func(t *testing.T, uri string) {
		folder := t.TempDir()
		s := start(t, uri, everything+"modules: {path: "+filepath.Join(folder, "modules")+"}\n")
		api := `api() { curl -fsg -u "` + s.user + `" "` + s.bases[0] + `/api/admin/v1/$1" "${@:2}"; }` + "\n"
		command := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", api+script[1])
		command.Dir, command.Stderr = folder, os.Stderr
		output, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Fields(string(output)); !slices.Contains(lines, "true") || !slices.Contains(lines, "1") {
			t.Errorf("it says:\n%s", output)
		}
	})
}
