// Package conformance holds a server to JSON:API 1.1, its cursor pagination profile and its Atomic Operations
// extension: 138 checks that see nothing but HTTP, so that any server can be put to them.
//
// The checks create what they look at, and leave some of it behind: run them against a server made for them.
package conformance

import (
	"context"
	"net/http"
	"slices"
)

// The media type of JSON:API, the profile and the extension that the checks know.
const (
	MediaType     = "application/vnd.api+json"
	CursorProfile = "https://jsonapi.org/profiles/ethanresnick/cursor-pagination"
	AtomicExt     = "https://jsonapi.org/ext/atomic"
)

// Target is the server under test, and what the checks may use there. What it does not give makes the checks that
// need it not applicable.
type Target struct {
	URL    string       // of the API's root, as "http://127.0.0.1:8080/api/admin/v1"
	Client *http.Client // default http.DefaultClient
	Header http.Header  // of every request: the credentials

	Item     Sample       // whose resources are created, listed, changed and deleted
	ToOne    Relationship // may be empty, and can be written
	ToMany   Relationship // can be written, and included; it may not be required
	Nested   string       // an include path of ToMany.Owner that begins with ToMany.Name, as "members.sessions"
	Sorts    []string     // values of sort that the collection of Item takes
	PageSize string       // the parameter that limits a page, as "page[size]"

	NoUpdate string // the path of a resource that cannot be updated
	NoCreate string // the path of a collection that creates nothing
	NoLink   string // the path of a relationship that can be read, not written
	Plain    string // the path of a collection that takes neither include nor sort

	Parameters []string // the query parameters of the server's own, outside of the standard's families
	Cursor     bool     // the collections follow the cursor pagination profile where page[size] is given
	MaxSize    int      // the most that page[size] may be
	Operations string   // the path of the Atomic Operations; empty if there are none

	// Departures are what the server does otherwise on purpose, by the number of the check.
	Departures map[string]Departure
}

// Sample is a type whose resources the checks create. Paths are relative to [Target.URL] and begin with no slash.
type Sample struct {
	Type, Path string
	// Attributes are those of a new resource that differs from all others by a word of lower case letters and
	// digits.
	Attributes func(word string) map[string]any
	Required   string         // an attribute that a new resource must have
	Nullable   string         // an attribute that can be set to any text, and to null
	Unique     string         // an attribute that no two resources have the same value of
	Invalid    map[string]any // attributes, each with a value that is refused
	Text       string         // an attribute that takes any text, and need not be unique
	Filter     string         // the query parameter that finds resources by the whole of Text, as "filter[name]"
}

// Relationship leads from resources of one type to those of another.
type Relationship struct {
	Name           string
	Owner, Related Sample

	many bool
}

// Departure is something that a server does otherwise than the standard on purpose.
type Departure struct {
	Reason string
	Check  func() error // sees that the server does what it does instead
}

// Level is how much the standard asks for something (RFC 2119).
type Level string

// The levels. A MAY is held to what the standard says of servers that do it.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
	May    Level = "MAY"
)

// Check is one thing that must be true of a server. The letter of its number is that of its [Section].
type Check struct {
	Number string
	Level  Level
	Clause string // the heading of the standard under which it is required
	Rule   string
	run    func(t *trial)
}

// Section is a letter with what its checks are about.
type Section struct {
	Letter, Title string
	Checks        []Check
}

// Sections are all checks.
var Sections = []Section{
	{"A", "Content negotiation", negotiation},
	{"B", "Document structure", structure},
	{"C", "Compound documents", compound},
	{"D", "Fetching", fetching},
	{"E", "Sparse fields, sorting, paging, filters", query},
	{"F", "Creating", creating},
	{"G", "Updating and deleting", updating},
	{"H", "Relationships", relationships},
	{"I", "Errors", failures},
	{"J", "Cursor pagination profile", cursor},
	{"K", "Atomic Operations extension", atomic},
}

// Outcome is what became of a check.
type Outcome string

// The outcomes. A check that saw nothing it could have failed on does not apply.
const (
	Pass          Outcome = "pass"
	Fail          Outcome = "fail"
	Departs       Outcome = "departure"
	NotApplicable Outcome = "not applicable"
)

// Result is a check with its outcome.
type Result struct {
	Check
	Outcome Outcome
	Detail  string // what was wrong, why it departs, or what was missing
}

// Run runs the checks of the given numbers, of all if there are none, one after the other.
//
// A departure is a failure if its own check fails, or if the standard's passes: then it is none.
func Run(ctx context.Context, target Target, numbers ...string) []Result {
	visit := &visit{ctx: ctx, Target: target}
	visit.ToMany.many = true
	if visit.Client == nil {
		visit.Client = http.DefaultClient
	}
	var results []Result
	for _, section := range Sections {
		for _, check := range section.Checks {
			if len(numbers) > 0 && !slices.Contains(numbers, check.Number) {
				continue
			}
			result := visit.try(check)
			if departure, departs := target.Departures[check.Number]; departs {
				result = departure.judge(result)
			}
			results = append(results, result)
		}
	}
	return results
}

func (d Departure) judge(standard Result) Result {
	result := Result{standard.Check, Departs, d.Reason}
	switch err := d.Check(); {
	case standard.Outcome != Fail:
		result.Outcome, result.Detail = Fail, "this is no departure: "+string(standard.Outcome)
	case err != nil:
		result.Outcome, result.Detail = Fail, err.Error()
	}
	return result
}
