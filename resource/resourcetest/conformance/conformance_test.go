package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// anything is a target that says it has everything.
func anything(url string) Target {
	s := Sample{
		Type: "thing", Path: "things", Required: "name", Nullable: "note", Unique: "key", Text: "name", Filter: "filter[name]",
		Attributes: func(word string) map[string]any { return map[string]any{"key": word, "name": word} },
		Invalid:    map[string]any{"key": "no key"},
	}
	return Target{
		URL: url, Header: http.Header{"Authorization": {"Bearer x"}}, Item: s,
		ToOne: Relationship{Name: "owner", Owner: s, Related: s}, ToMany: Relationship{Name: "parts", Owner: s, Related: s},
		Nested: "parts.parts", Sorts: []string{"name"}, PageSize: "page[size]", NoUpdate: "things/1", NoCreate: "others",
		NoLink: "things/1/relationships/owner", Plain: "others", Parameters: []string{"count"}, Cursor: true, MaxSize: 100, Operations: "operations",
	}
}

// TestNonsense sees that no check passes on servers that say the same whatever they are asked, apart from those
// that ask for no more than that.
func TestNonsense(t *testing.T) {
	refusal := `{"errors":[{"status":"404","title":"Not here."}]}`
	for _, server := range []struct {
		status      int
		media, body string
		pass        string // the checks that may
	}{
		{200, MediaType, `{}`, "A8 A10"},
		{200, "text/html", `<p>Welcome</p>`, ""},
		{201, MediaType, `{"data":{"type":"thing","id":"1","attributes":{}}}`, "A6 A15 F8"},
		{204, MediaType, ``, "A6 F8"},
		{404, MediaType, refusal, "F2"},
		{500, MediaType, `{"errors":[{"status":"500"}]}`, ""},
	} {
		t.Run(fmt.Sprint(server.status, server.body), func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", server.media)
				w.WriteHeader(server.status)
				fmt.Fprint(w, server.body)
			}))
			defer s.Close()
			for _, r := range Run(t.Context(), anything(s.URL)) {
				if r.Outcome == Pass && !slices.Contains(strings.Fields(server.pass), r.Number) {
					t.Errorf("%s passes: %s", r.Number, r.Rule)
				}
			}
		})
	}
}

// TestNobody sees that nothing passes where no server is.
func TestNobody(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	for _, r := range Run(t.Context(), anything(s.URL)) {
		if r.Outcome == Pass {
			t.Errorf("%s passes", r.Number)
		}
	}
}

// TestMissing sees that what the target lacks makes checks not applicable, not passed.
func TestMissing(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	for _, r := range Run(t.Context(), Target{URL: s.URL}, "C4", "C5", "F13", "G7", "H7", "J1", "J18", "K1", "K4") {
		if r.Outcome != NotApplicable || r.Detail == "" {
			t.Errorf("%s: %s: %s", r.Number, r.Outcome, r.Detail)
		}
	}
}

// TestDepartures sees that a departure is one only while it departs, and does what it does instead.
func TestDepartures(t *testing.T) {
	for _, c := range []struct {
		standard Outcome
		own      error
		want     Outcome
	}{
		{Fail, nil, Departs}, {Fail, errors.New("no"), Fail}, {Pass, nil, Fail}, {NotApplicable, nil, Fail},
	} {
		d := Departure{"a reason", func() error { return c.own }}
		if got := d.judge(Result{Outcome: c.standard}); got.Outcome != c.want {
			t.Errorf("%s, %v: %s", c.standard, c.own, got.Outcome)
		}
	}
}

// TestSections sees that there are 138 checks, numbered through, and each says where it is from.
func TestSections(t *testing.T) {
	n := 0
	for _, section := range Sections {
		for i, check := range section.Checks {
			n++
			if check.Number != fmt.Sprint(section.Letter, i+1) || check.Clause == "" || check.Rule == "" || !slices.Contains([]Level{Must, Should, May}, check.Level) {
				t.Errorf("%+v", check)
			}
		}
	}
	if n != 138 {
		t.Errorf("%d checks", n)
	}
}

func ExampleWriteSummary() {
	var b bytes.Buffer
	if err := WriteSummary(&b, []Result{
		{Check{Number: "A1"}, Pass, ""}, {Check{Number: "A2"}, Fail, "no"}, {Check{Number: "E11"}, Departs, "older"},
	}); err != nil {
		fmt.Println(err)
	}
	lines := strings.Split(b.String(), "\n")
	fmt.Println(lines[0])
	fmt.Println(lines[2])
	fmt.Println(lines[6])
	fmt.Println(lines[13])
	// Output:
	// | section | checks | passed | departures |
	// | A Content negotiation | 2 | 1 |  |
	// | E Sparse fields, sorting, paging, filters | 1 | 0 | E11 |
	// | all | 3 | 1 | E11 |
}
