package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"reeve/resource/resourcetest/conformance"
)

// errandFile declares what no type of the core has: a reference to one resource that is written, and may be none. Apart
// from that it has what the checks ask of any type.
const errandFile = `types:
  errand:
    doc: Something to be done.
    attributes:
      title: {kind: string, required: true, unique: true}
      name: {kind: string, required: true, filters: [eq]}
      note: {kind: string, nullable: true}
      urgency: {kind: string, values: [low, high], default: low}
      created_at: {kind: date-time, created: true}
    references:
      runner: {type: user, nullable: true, on_delete: clear}
      witnesses: {type: user, many: true}
    sorts: [[name], [created_at]]
`

// The samples that the checks create.
var (
	userSample = conformance.Sample{
		Type: "user", Path: "users", Required: "username", Nullable: "display_name", Unique: "email",
		Attributes: func(word string) map[string]any {
			return map[string]any{"username": word, "email": word + "@example.com"}
		},
		Invalid: map[string]any{"email": "nowhere"},
	}
	groupSample = conformance.Sample{
		Type: "group", Path: "groups", Required: "name", Nullable: "description", Unique: "key", Text: "name", Filter: "filter[name]",
		Attributes: func(word string) map[string]any { return map[string]any{"key": word, "name": "The " + word} },
		Invalid:    map[string]any{"key": "with spaces"},
	}
	errandSample = conformance.Sample{
		Type: "errand", Path: "errands", Required: "name", Nullable: "note", Unique: "title", Text: "name", Filter: "filter[name]",
		Attributes: func(word string) map[string]any {
			return map[string]any{"title": word, "name": "The " + word}
		},
		Invalid: map[string]any{"urgency": "none"},
	}
)

// conformanceTarget serves everything, with a type that a file declares, and describes it to the checks. The item is one of
// the core or the file's; many is its relationship to users.
func conformanceTarget(t *testing.T, uri string, item conformance.Sample, many string) conformance.Target {
	_, yaml := declaredFiles(t, map[string]string{"errands.yaml": errandFile})
	s := start(t, uri, yaml)
	s.module(200, "errands", "load")
	session := "sessions/" + idsOf(s.get("sessions?page[first]=1"))[0]
	credentials, err := http.NewRequest(http.MethodGet, s.bases[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	name, password, _ := strings.Cut(s.user, ":")
	credentials.SetBasicAuth(name, password)
	return conformance.Target{
		URL: strings.TrimSuffix(s.bases[0], "/") + "/api/admin/v1", Client: s.client, Header: credentials.Header,
		Item:   item,
		ToOne:  conformance.Relationship{Name: "runner", Owner: errandSample, Related: userSample},
		ToMany: conformance.Relationship{Name: many, Owner: item, Related: userSample},
		Nested: many + ".sessions", Sorts: []string{"name", "-created_at"}, PageSize: "page[size]",
		NoUpdate: session, NoCreate: "sessions", NoLink: session + "/relationships/user", Plain: "modules",
		Parameters: []string{"count", "force"}, Cursor: true, MaxSize: 1000, Operations: "operations",
		Departures: map[string]conformance.Departure{
			"E11": {Reason: "the seed has the parameter count, and FEATURES force; page[count] is the same as the one", Check: s.countsByEitherName},
			"E15": {Reason: "the seed has literal brackets in links", Check: s.linksWithBrackets},
		},
	}
}

// countsByEitherName sees that the total is asked for by count and by page[count] alike.
func (s *server) countsByEitherName() error {
	for _, name := range []string{"count", "page[count]"} {
		for value, there := range map[string][2]bool{"true": {true, true}, "false": {false, true}, "only": {true, false}} {
			a, err := s.try("GET", "/api/admin/v1/users?"+name+"="+value, nil)
			if err != nil {
				return err
			}
			_, data := a.document["data"]
			if count := dig(a.document, "meta", "count") != nil; a.StatusCode != 200 || [2]bool{count, data} != there {
				return fmt.Errorf("%s=%s: %d %s", name, value, a.StatusCode, a.text)
			}
		}
	}
	return nil
}

// linksWithBrackets sees that links have brackets as they stand, and the same page when followed as they are and
// with their brackets encoded.
func (s *server) linksWithBrackets() error {
	first, err := s.try("GET", "/api/admin/v1/users?filter%5Bstatus%5D=active&page%5Bfirst%5D=1", nil)
	if err != nil {
		return err
	}
	next, _ := dig(first.document, "links", "next").(string)
	if !strings.Contains(next, "filter[status]=active&page[first]=1&page[after]=") {
		return fmt.Errorf("next is %q", next)
	}
	plain, err := s.try("GET", next, nil)
	if err != nil {
		return err
	}
	encoded, err := s.try("GET", strings.NewReplacer("[", "%5B", "]", "%5D").Replace(next), nil)
	if err != nil {
		return err
	}
	if plain.StatusCode != 200 || len(idsOf(plain.document)) != 1 || !slices.Equal(idsOf(plain.document), idsOf(encoded.document)) {
		return fmt.Errorf("%s: %s, and encoded %s", next, plain.text, encoded.text)
	}
	return nil
}

var printTable = flag.Bool("table", false, "print the table of conformance")

// TestConformance holds the server to every check of JSON:API, but for two departures: by a type of the core, and by one
// that a file declares.
func TestConformance(t *testing.T) {
	t.Run("core", func(t *testing.T) {
		onBoth(t, func(t *testing.T, uri string) {
			summarized(t, conforms(t, conformanceTarget(t, uri, groupSample, "members")))
		})
	})
	t.Run("declared", func(t *testing.T) {
		onBoth(t, func(t *testing.T, uri string) {
			summarized(t, conforms(t, conformanceTarget(t, uri, errandSample, "witnesses")))
		})
	})
}

// conforms runs all checks.
func conforms(t *testing.T, target conformance.Target) []conformance.Result {
	results := conformance.Run(t.Context(), target)
	if len(results) != 138 {
		t.Errorf("%d checks", len(results))
	}
	for _, r := range results {
		t.Run(r.Number, func(t *testing.T) {
			want := conformance.Pass
			if r.Number == "E11" || r.Number == "E15" {
				want = conformance.Departs
			}
			if r.Outcome != want {
				t.Errorf("%s: %s: %s", r.Outcome, r.Rule, r.Detail)
			}
		})
	}
	if *printTable {
		fmt.Printf("%s\n\n", t.Name())
		if err := conformance.WriteTable(os.Stdout, results); err != nil {
			t.Fatal(err)
		}
	}
	return results
}

// summarized holds the table in the README to what became of the checks.
func summarized(t *testing.T, results []conformance.Result) {
	const readme, begin, end = "../../README.md", "<!-- conformance -->\n", "<!-- end -->\n"
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), begin)
	shown, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		t.Fatal("the README has no place for the table")
	}
	var table strings.Builder
	if err := conformance.WriteSummary(&table, results); err != nil {
		t.Fatal(err)
	}
	switch {
	case shown == table.String():
	case *update:
		if err := os.WriteFile(readme, []byte(before+begin+table.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the README has another table than this; make golden writes it anew\n%s", table.String())
	}
}
