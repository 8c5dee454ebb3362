// Package resourcetest runs HTTP scenarios against the JSON:API front, and holds every answer to what must be true
// of all of them.
package resourcetest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reeve/resource"
	"reeve/resource/document"
)

// Client sends requests to a handler.
type Client struct {
	Handler http.Handler
	Header  map[string]string // of every request, unless the scenario says otherwise
}

// Scenario is a request and what its answer must be.
type Scenario struct {
	Name   string
	Method string // default GET
	URL    string
	Header map[string]string // an empty value takes a header of the client away
	Body   string            // as application/vnd.api+json, unless the header says otherwise
	Status int
	Errors []Failure                         // exactly these, in this order
	Check  func(t *testing.T, answer Answer) // what else must be true; may be nil
}

// Failure is what programs see of an error: its code and its place in the request.
type Failure struct {
	Code      resource.Code
	Pointer   string
	Parameter string
	Header    string
}

// Answer is an answer that has passed the checks that all must pass.
type Answer struct {
	Status   int
	Header   http.Header
	Body     []byte
	Document map[string]any // with json.Number; nil without a body
}

// Run runs scenarios as subtests, one after the other.
func (c Client) Run(t *testing.T, scenarios ...Scenario) {
	t.Helper()
	for _, s := range scenarios {
		t.Run(s.Name, func(t *testing.T) { c.Do(t, s) })
	}
}

// Get fetches a URL that must answer 200.
func (c Client) Get(t *testing.T, url string) Answer {
	t.Helper()
	return c.Do(t, Scenario{URL: url, Status: http.StatusOK})
}

// Do runs one scenario.
func (c Client) Do(t *testing.T, s Scenario) Answer {
	t.Helper()
	method := s.Method
	if method == "" {
		method = http.MethodGet
	}
	r := httptest.NewRequest(method, s.URL, strings.NewReader(s.Body))
	if s.Body != "" {
		r.Header.Set("Content-Type", document.MediaType)
	}
	for _, header := range []map[string]string{c.Header, s.Header} {
		for name, value := range header {
			r.Header.Set(name, value)
			if value == "" {
				r.Header.Del(name)
			}
		}
	}
	w := httptest.NewRecorder()
	c.Handler.ServeHTTP(w, r)
	result := w.Result()
	body, err := io.ReadAll(result.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer := Answer{Status: result.StatusCode, Header: result.Header, Body: body}
	if method == http.MethodHead {
		answer.Body = nil
	}
	if answer.Status != s.Status {
		t.Fatalf("%s %s: status %d, want %d: %s", method, s.URL, answer.Status, s.Status, body)
	}
	answer.check(t)
	if diff := cmp.Diff(s.Errors, answer.Failures(t)); diff != "" {
		t.Errorf("%s %s: errors (-want +got):\n%s", method, s.URL, diff)
	}
	if s.Check != nil {
		s.Check(t, answer)
	}
	return answer
}

// check holds what must be true of every answer (JSON:API 1.1, "Content Negotiation", "Top Level", "Errors").
func (a *Answer) check(t *testing.T) {
	t.Helper()
	if got := a.Header.Get("Vary"); !strings.Contains(got, "Accept") {
		t.Errorf("Vary is %q", got)
	}
	if a.Header.Get("X-Request-Id") == "" {
		t.Error("there is no X-Request-Id")
	}
	for status, header := range map[int]string{
		http.StatusCreated: "Location", http.StatusUnauthorized: "WWW-Authenticate",
		http.StatusMethodNotAllowed: "Allow",
		http.StatusTooManyRequests:  "Retry-After", http.StatusServiceUnavailable: "Retry-After",
	} {
		if a.Status == status && a.Header.Get(header) == "" {
			t.Errorf("%d has no %s", status, header)
		}
	}
	if len(a.Body) == 0 || a.Header.Get("Content-Type") == document.LinesType { // which is no document
		return
	}
	if got := a.Header.Get("Content-Type"); got != document.MediaType && got != document.ProfileType && got != "application/json" {
		t.Errorf("Content-Type is %q", got)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, a.Body); err != nil {
		t.Fatalf("the body is not JSON: %s: %s", err, a.Body)
	}
	if !bytes.Equal(compact.Bytes(), a.Body) {
		t.Errorf("the body has white space: %q", a.Body)
	}
	decoder := json.NewDecoder(bytes.NewReader(a.Body))
	decoder.UseNumber()
	if err := decoder.Decode(&a.Document); err != nil {
		t.Fatal(err)
	}
	for name := range a.Document {
		if !slices.Contains([]string{"data", "errors", "meta", "links", "included"}, name) {
			t.Errorf("the document has the member %q", name)
		}
	}
	_, data := a.Document["data"]
	_, meta := a.Document["meta"]
	_, errors := a.Document["errors"]
	switch {
	case errors != (a.Status >= 400):
		t.Errorf("status %d with %s", a.Status, a.Body)
	case errors && data, !errors && !data && !meta:
		t.Errorf("the document has neither or both of data and errors: %s", a.Body)
	}
	if a.Status == http.StatusCreated && a.Header.Get("Location") != a.At("data", "links", "self") {
		t.Errorf("Location is %q, the resource's link %v", a.Header.Get("Location"), a.At("data", "links", "self"))
	}
}

// Failures are the answer's errors, which are held to the table of codes.
func (a Answer) Failures(t *testing.T) []Failure {
	t.Helper()
	if a.Status < 400 || len(a.Body) == 0 {
		return nil
	}
	var errors document.Errors
	if err := json.Unmarshal(a.Body, &errors); err != nil {
		t.Fatal(err)
	}
	var failures []Failure
	for _, e := range errors.Errors {
		about, known := resource.Codes[resource.Code(e.Code)]
		if !known || e.Title != about.Title || e.Status != strconv.Itoa(about.Status) ||
			e.ID != a.Header.Get("X-Request-Id") {
			t.Errorf("an error is not what the table says: %+v", e)
		}
		failure := Failure{Code: resource.Code(e.Code)}
		if e.Source != nil {
			failure.Pointer, failure.Parameter, failure.Header = e.Source.Pointer, e.Source.Parameter, e.Source.Header
		}
		failures = append(failures, failure)
	}
	return failures
}

// At is the value at a path of member names in the document, nil if there is none.
func (a Answer) At(path ...string) any {
	var v any = a.Document
	for _, name := range path {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

// Data are the resource objects or identifiers of a list.
func (a Answer) Data(t *testing.T) []map[string]any {
	t.Helper()
	items, ok := a.Document["data"].([]any)
	if !ok {
		t.Fatalf("data is no array: %s", a.Body)
	}
	objects := make([]map[string]any, len(items))
	for i, item := range items {
		objects[i] = item.(map[string]any)
	}
	return objects
}

// IDs are the ids of a list's resources.
func (a Answer) IDs(t *testing.T) []string {
	t.Helper()
	var ids []string
	for _, object := range a.Data(t) {
		ids = append(ids, object["id"].(string))
	}
	return ids
}

// Link is one of the answer's links, empty if it is not there.
func (a Answer) Link(name string) string {
	link, _ := a.At("links", name).(string)
	return link
}
