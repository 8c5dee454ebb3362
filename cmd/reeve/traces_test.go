package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// collector takes spans by OTLP over HTTP.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	spans  []map[string]any
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		text := new(strings.Builder)
		if _, err := io.Copy(text, r.Body); err != nil || json.Unmarshal([]byte(text.String()), &body) != nil {
			t.Errorf("%v: %s", err, text)
		}
		if r.Method != "POST" || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("X-Key") != "let me in" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.bodies = append(c.bodies, text.String())
		for _, of := range body["resourceSpans"].([]any) {
			for _, in := range dig(of, "scopeSpans").([]any) {
				for _, span := range dig(in, "spans").([]any) {
					c.spans = append(c.spans, span.(map[string]any))
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// of are the spans of a trace.
func (c *collector) of(trace string) (spans []map[string]any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, span := range c.spans {
		if span["traceId"] == trace {
			spans = append(spans, span)
		}
	}
	return spans
}

// spanHas is an attribute of a span.
func spanHas(span map[string]any, key string) any {
	for _, a := range span["attributes"].([]any) {
		if dig(a, "key") == key {
			for _, value := range dig(a, "value").(map[string]any) {
				return value
			}
		}
	}
	return nil
}

// TestTraces sends requests as part of a trace, and finds their spans at a collector, and the trace in the log.
func TestTraces(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		c := newCollector(t)
		s := start(t, uri, everything+"tracing: {endpoint: "+c.URL+", headers: ['X-Key: let me in'], percent: 0}\n")
		const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
		traceparent := "Traceparent: 00-" + trace + "-" + parent + "-01"
		s.send("GET", "/api/admin/v1/users/by-username/quentin?fields[user]=email", nil, traceparent)
		s.send("GET", "/api/admin/v1/users", nil) // none in a hundred of these
		s.send("POST", "/api/admin/v1/users", resourceDocument("user", "", map[string]any{"username": "montana"}, nil), traceparent)
		var spans []map[string]any
		eventually(t, patience, "the spans arrive", func() bool {
			spans = c.of(trace)
			return slices.ContainsFunc(spans, func(span map[string]any) bool { return span["name"] == "POST /api/admin/v1/{type}" })
		})
		requests := map[any]any{}
		for _, span := range spans {
			if span["kind"] == 2.0 {
				requests[span["name"]] = span["spanId"]
				if span["parentSpanId"] != parent {
					t.Errorf("%v", span)
				}
			}
		}
		if got := requests["GET /api/admin/v1/{type}/by-{attribute:[a-z0-9-]+}/{value}"]; len(requests) != 2 || got == nil {
			t.Fatalf("%v", requests)
		}
		statements := map[any]int{}
		for _, span := range spans {
			if span["kind"] == 3.0 {
				statements[span["parentSpanId"]]++
				if text, _ := spanHas(span, "db.query.text").(string); text == "" || !strings.HasPrefix(text, span["name"].(string)) {
					t.Errorf("%v", span)
				}
			} else if status := spanHas(span, "http.response.status_code"); status != "200" && status != "201" {
				t.Errorf("%v", span)
			}
		}
		for name, id := range requests {
			if n := statements[id]; n == 0 || n > maxSpans {
				t.Errorf("%s has %d statements", name, n)
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.spans) != len(spans) {
			t.Errorf("%d spans are of other traces", len(c.spans)-len(spans))
		}
		for _, never := range []string{"quentin", "montana", "kilgore-trout", "let me in"} {
			if strings.Contains(strings.Join(c.bodies, "\n"), never) {
				t.Errorf("the spans have %q", never)
			}
		}
		log, err := os.ReadFile(logFile)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(strings.Split(string(log), "\n"), func(line string) bool {
			return strings.Contains(line, `"msg":"request"`) && strings.Contains(line, `"trace_id":"`+trace+`"`) && strings.Contains(line, `"route":"/api/admin/v1/{type}"`)
		}) {
			t.Error("no line of the log has the trace")
		}
	})
}
