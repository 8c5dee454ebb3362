package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
	"reeve/resource/resourcetest/conformance"
	"reeve/storage"
)

// errand has what no type of the core has: a reference to one resource that is written, and may be none.
type errand struct {
	ID          ulid.ULID
	Title, Note string
	Runner      ulid.ULID
}

var errandSchema = resource.Schema[errand]{
	Name: "errand", Plural: "errands", Doc: "Something to be done.", ID: func(e *errand) *ulid.ULID { return &e.ID },
	Attributes: []resource.Attribute[errand]{
		resource.Attr("title", func(e *errand) *string { return &e.Title }).Required().Unique(),
		resource.Attr("note", func(e *errand) *string { return &e.Note }).Nullable(),
	},
	References: []resource.Reference[errand]{
		resource.ToOne("runner", "user", func(e *errand) *ulid.ULID { return &e.Runner }).Nullable().OnDelete(resource.Clear),
	},
}

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
		Type: "errand", Path: "errands", Required: "title", Nullable: "note", Unique: "title",
		Attributes: func(word string) map[string]any { return map[string]any{"title": word} },
	}
)

// conformanceTarget serves everything, with one more type, and describes it to the checks.
func conformanceTarget(t *testing.T, uri string) conformance.Target {
	s := start(t, uri, everything)
	errands, err := storage.NewTable(s.app.database.DB, errandSchema)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.app.database.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.app.engine.Registry().Register(resource.Type[errand]{Schema: errandSchema,
		List: errands.List, Get: errands.Get, Create: errands.Create, Update: errands.Update, Delete: errands.Delete}); err != nil {
		t.Fatal(err)
	}
	session := "sessions/" + idsOf(s.get("sessions?page[first]=1"))[0]
	credentials, err := http.NewRequest(http.MethodGet, s.bases[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	name, password, _ := strings.Cut(s.user, ":")
	credentials.SetBasicAuth(name, password)
	return conformance.Target{
		URL: strings.TrimSuffix(s.bases[0], "/") + "/api/admin/v1", Client: s.client, Header: credentials.Header,
		Item:   groupSample,
		ToOne:  conformance.Relationship{Name: "runner", Owner: errandSample, Related: userSample},
		ToMany: conformance.Relationship{Name: "members", Owner: groupSample, Related: userSample},
		Nested: "members.sessions", Sorts: []string{"name", "-created_at"}, PageSize: "page[size]",
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

// TestConformance holds the server to every check of JSON:API, but for two departures.
func TestConformance(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		results := conformance.Run(t.Context(), conformanceTarget(t, uri))
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
		summarized(t, results)
		if *printTable {
			fmt.Printf("%s\n\n", t.Name())
			if err := conformance.WriteTable(os.Stdout, results); err != nil {
				t.Fatal(err)
			}
		}
	})
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
