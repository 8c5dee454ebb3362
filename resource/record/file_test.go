package record_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"reeve/resource/record"
)

// Example reads a file with one type.
func Example() {
	declared, err := record.Read("space.yaml", []byte(`
doc: What is out there.
types:
  planet:
    doc: Something round.
    attributes:
      name: {kind: string, required: true, unique: true, filters: [prefix]}
      moons: integer
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	schema := declared.Types[0].Schema
	fmt.Println(schema.Plural, len(schema.Attributes), declared.Types[0].Verbs)
	_, err = record.Read("space.yaml", []byte("types:\n  planet:\n    doc: Round.\n    attributes:\n      name: {kind: text, requird: true}\n"))
	fmt.Println(err)
	// Output:
	// planets 2 [list get create update delete]
	// space.yaml:5: "text" must be one of string, boolean, integer, number, date-time, strings, json
	// space.yaml:5: there is no "requird"; there are created, default, doc, example, filters, fixed, kind, max_length, nullable, read_only, required, secret, unique, values
}

// TestWrongFiles sees that each mistake is found on its line.
func TestWrongFiles(t *testing.T) {
	typ := func(lines ...string) string {
		return "types:\n  planet:\n    doc: Round.\n    " + strings.Join(lines, "\n    ") + "\n"
	}
	attribute := func(text string) string { return typ("attributes:", "  name: "+text) }
	for text, lines := range map[string][]int{
		"":                          {1},
		"- a":                       {1},
		"doc: [a":                   {1},
		"doc: x":                    {1},
		"doc: 1\ndocs: 2":           {2},
		"doc: a\ndoc: b\ntypes: {}": {2},
		"types:\n  Planet: {doc: Round.}\n  star: {}":                                                 {2, 3},
		"types:\n  planet: {doc: Round., plural: P}":                                                  {2},
		"types:\n  " + strings.Repeat("x", 60) + ": {}":                                               {2},
		typ("verbs: [list, lock]"):                                                                    {4},
		typ("lookups: name"):                                                                          {4},
		attribute("text"):                                                                             {5},
		attribute("{kind: string, required: yes please}"):                                             {5},
		attribute("{kind: integer, default: many}"):                                                   {5},
		attribute("{kind: integer, filters: [contains]}"):                                             {5, 5},
		attribute("{values: [a, b]}"):                                                                 {5},
		attribute("{values: [a, b], default: c}"):                                                     {5},
		attribute("{kind: integer, values: [a], nullable: true}"):                                     {5},
		attribute("{kind: date-time}"):                                                                {5},
		attribute("{kind: json}"):                                                                     {5},
		attribute("{kind: integer, secret: true, nullable: true}"):                                    {5},
		attribute("{secret: true, unique: true, required: true}"):                                     {5},
		attribute("{required: true, read_only: true}"):                                                {5},
		attribute("{max_length: 0.5}"):                                                                {5},
		attribute("{max_length: 1000, filters: [eq]}"):                                                {5},
		attribute("{max_length: 1000}") + "    sorts: [[name]]\n":                                     {5},
		attribute("{max_length: 3, default: abcd}"):                                                   {5},
		typ("attributes:", "  id: string"):                                                            {5},
		typ("attributes:", "  a: string", "  a: integer"):                                             {6},
		typ("references:", "  ruler: {}"):                                                             {5},
		typ("references:", "  ruler: {type: user}"):                                                   {5},
		typ("references:", "  ruler: {type: user, required: true, on_delete: clear}"):                 {5},
		typ("references:", "  ruler: {type: user, nullable: true, on_delete: drop}"):                  {5},
		typ("references:", "  ruler: {type: user, many: true, required: true}"):                       {5},
		typ("filters:", "  size:", "    big: {moons: 5}"):                                             {6},
		typ("filters:", "  size:", "    big: {}"):                                                     {6},
		typ("attributes: {moons: integer}", "filters:", "  size:", "    big: {moons: many}"):          {7},
		typ("attributes: {moons: integer}", "filters:", "  size:", "    big: {moons: {over: 5}}"):     {7},
		typ("attributes: {moons: integer}", "filters:", "  size:", "    big: {moons: {contains: 5}}"): {4},
		typ("sorts: [[moons]]"):                                                                       {2},
		typ("unique: [[moons]]"):                                                                      {2},
		typ("attributes: *a"):                                                                         {0},
		"types: {planet: {doc: \"\x00\"}}":                                                            {0},
	} {
		_, err := record.Read("f.yaml", []byte(text))
		if err == nil {
			t.Errorf("nothing is found wrong with:\n%s", text)
			continue
		}
		var found []int
		for _, finding := range strings.Split(err.Error(), "\n") {
			line := 0
			if _, err := fmt.Sscanf(finding, "f.yaml:%d:", &line); err != nil && !regexp.MustCompile(`^f\.yaml: `).MatchString(finding) {
				t.Errorf("%q does not name the file", finding)
			}
			found = append(found, line)
		}
		if !slices.Equal(found, lines) && !(lines[0] == 0 || strings.HasPrefix(text, "doc: [")) {
			t.Errorf("found on lines %d, not %d: %v\n%s", found, lines, err, text)
		}
	}
}

// FuzzRead sees that no file brings the reader down, and that what is read can be served.
func FuzzRead(f *testing.F) {
	content, err := os.ReadFile("testdata/toys.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Add([]byte("types: &a {planet: *a}"))
	f.Add([]byte("types: {planet: {doc: x, attributes: {a: {kind: integer, default: 1}}, filters: {f: {w: {a: {not: 2}}}}}}"))
	f.Fuzz(func(t *testing.T, content []byte) {
		declared, err := record.Read("f.yaml", content)
		if err != nil {
			return
		}
		for _, typ := range declared.Types {
			if err := typ.Schema.Verify(); err != nil {
				t.Errorf("%v in %q", err, content)
			}
			typ.Schema.Copy(typ.Schema.Row())
		}
	})
}
