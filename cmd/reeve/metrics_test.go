package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"reeve/resource/httpapi"
)

// TestMetrics asks for this and that, and finds each request under the template of its route, and nothing that a client
// makes up.
func TestMetrics(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		s.get("users?page[first]=3")
		s.get("users/by-username/quentin")
		s.send("GET", "/api/admin/v1/users/01J3G5W8MRMBJ93ZYEGX2BN6NZ", nil)
		s.send("GET", "/api/admin/v1/made-up", nil)
		s.send("GET", "/made-up", nil)
		s.send("MADEUP", "/api/admin/v1/users", nil)
		s.send("GET", "/oauth2/keys.json", nil)
		scrape := string(s.send("GET", "/metrics", nil).text)
		for _, line := range []string{
			`reeve_requests_total{method="GET",route="/api/admin/v1/{type}",status="2xx",type="users"} 1`,
			`reeve_requests_total{method="GET",route="/api/admin/v1/{type}/by-{attribute:[a-z0-9-]+}/{value}",status="2xx",type="users"} 1`,
			`reeve_requests_total{method="GET",route="/api/admin/v1/{type}/{id}",status="4xx",type="users"} 1`,
			`reeve_requests_total{method="GET",route="",status="4xx",type=""} 2`,
			`reeve_requests_total{method="other",route="/api/admin/v1/{type}",status="4xx",type="users"} 1`,
			`reeve_requests_total{method="GET",route="/oauth2/keys.json",status="2xx",type=""} 1`,
			`reeve_request_duration_seconds_count{route="/api/admin/v1/{type}",type="users"} 2`,
			`reeve_read_only 0`,
		} {
			if !strings.Contains(scrape, "\n"+line+"\n") {
				t.Errorf("no line %s", line)
			}
		}
		for _, never := range []string{"made-up", "MADEUP", "quentin", "01J3G5W8MRMBJ93ZYEGX2BN6NZ"} {
			if strings.Contains(scrape, never) {
				t.Errorf("the scrape has %q", never)
			}
		}
		if t.Failed() {
			t.Log(scrape)
		}
	})
}

// TestDashboard finds every metric of the dashboard in a scrape, and every metric of Reeve's own in the dashboard.
func TestDashboard(t *testing.T) {
	s := start(t, sqliteURI(t), everything)
	s.get("users")
	if err := s.app.noteDrift(t.Context(), map[string]int{"users": 2, "users_groups": 1}); err != nil {
		t.Fatal(err)
	}
	scrape := string(s.send("GET", "/metrics", nil).text)
	text, err := os.ReadFile(filepath.Join("..", "..", "fixtures", "grafana-dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	named := 0
	metric := regexp.MustCompile(`\b([a-z][a-z0-9_]*)\{`)
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			found := metric.FindAllStringSubmatch(target.Expr, -1)
			if len(found) == 0 {
				t.Errorf("%s has no metric", target.Expr)
			}
			for _, name := range found {
				if named++; !strings.Contains(scrape, "\n"+name[1]+"{") && !strings.Contains(scrape, "\n"+name[1]+" ") {
					t.Errorf("no metric %s in the scrape", name[1])
				}
			}
		}
	}
	for _, family := range append(scraped, requestsTotal, requestDurations, signInFailures) {
		if !strings.Contains(string(text), family.name) {
			t.Errorf("the dashboard does not show %s", family.name)
		}
	}
	for _, line := range []string{`reeve_check_findings{table="users"} 2`, `reeve_check_findings{table="groups"} 0`, `reeve_check_findings{table="users_groups"} 1`, `reeve_sign_in_failures_total 0`} {
		if !strings.Contains(scrape, "\n"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	t.Logf("%d metrics", named)
}

func BenchmarkObserve(b *testing.B) {
	m, err := (&app{}).newMetrics()
	if err != nil {
		b.Fatal(err)
	}
	seen := httpapi.Observation{Route: "/api/admin/v1/{type}", Type: "users", Method: "GET", Status: 200, Bytes: 50_000, Duration: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		m.observe(seen)
	}
}
