package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestPreconditions sees that a tag names a version: reads say when nothing has changed, and writes on a version that
// is gone are refused.
func TestPreconditions(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		path := "/api/admin/v1/users/" + quentin
		first := s.send("GET", path, nil, "Accept-Encoding: identity")
		tag := first.Header.Get("ETag")
		if !strings.HasPrefix(tag, `"`) {
			t.Fatalf("ETag %q", tag)
		}
		for header, want := range map[string]int{tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, "*": 304, `"x"`: 200} {
			if a := s.send("GET", path, nil, "If-None-Match: "+header, "Accept-Encoding: identity"); a.StatusCode != want || want == 304 && (len(a.text) > 0 || a.Header.Get("ETag") != tag) {
				t.Errorf("If-None-Match %s: %d %s", header, a.StatusCode, a.text)
			}
		}
		compressed := s.send("GET", "/api/admin/v1/types/by-name/user", nil, "Accept-Encoding: gzip")
		tagged := compressed.Header.Get("ETag")
		if again := s.send("GET", "/api/admin/v1/types/by-name/user", nil, "If-None-Match: "+tagged); again.StatusCode != 304 || again.Header.Get("ETag") != tagged {
			t.Errorf("the tag %s of a compressed answer: %d %s", tagged, again.StatusCode, again.Header.Get("ETag"))
		}
		rename := resourceDocument("user", quentin, map[string]any{"display_name": "Quentin"}, nil)
		stale := `"AAAAAAAAAAAAAAAA.AAAAAAAA"`
		for _, write := range []struct {
			method, path string
			body         any
		}{
			{"PATCH", path, rename}, {"DELETE", path, nil}, {"POST", path + "/lock", nil}, {"POST", path + "/set-password", map[string]any{"password": "so it goes"}},
		} {
			events := s.events()
			a := s.send(write.method, write.path, write.body, "If-Match: "+stale)
			if a.StatusCode != 412 || fmt.Sprint(failuresIn(t, a)) != "[precondition_failed If-Match]" || s.events() != events {
				t.Errorf("%s %s on a version that is gone: %d %s", write.method, write.path, a.StatusCode, a.text)
			}
		}
		for path, body := range map[string]any{
			"groups": resourceDocument("group", "", map[string]any{"name": "None"}, nil), "users/lock?filter[id]=" + quentin: nil,
			"operations": map[string]any{"atomic:operations": []any{map[string]any{"op": "remove", "ref": map[string]any{"type": "user", "id": quentin}}}},
		} {
			if a := s.send("POST", "/api/admin/v1/"+path, body, "If-Match: "+tag); fmt.Sprint(failuresIn(t, a)) != "[invalid_header If-Match]" {
				t.Errorf("%s, about no single resource: %d %s", path, a.StatusCode, a.text)
			}
		}
		for _, no := range []string{strings.Trim(tag, `"`), "W/" + tag} {
			if a := s.send("PATCH", path, rename, "If-Match: "+no); a.StatusCode != 412 {
				t.Errorf("If-Match %s, which is no strong tag: %d", no, a.StatusCode)
			}
		}
		for header, want := range map[string]int{tag: 412, "*": 412, stale: 200} {
			if a := s.send("POST", path+"/unlock", nil, "If-None-Match: "+header); a.StatusCode != want {
				t.Errorf("a write with If-None-Match %s: %d %s", header, a.StatusCode, a.text)
			}
		}
		changed := s.send("PATCH", path, rename, "If-Match: "+tag)
		if changed.StatusCode != 200 || changed.Header.Get("ETag") == tag {
			t.Fatalf("%d %q", changed.StatusCode, changed.Header.Get("ETag"))
		}
		if a := s.send("PATCH", path, rename, "If-Match: "+tag); a.StatusCode != 412 {
			t.Errorf("a second write on the same version: %d", a.StatusCode)
		}
		tag = changed.Header.Get("ETag")
		for i, want := range []int{204, 412} {
			password := map[string]any{"password": fmt.Sprint("so it goes ", i), "finish_sessions": false}
			if a := s.send("POST", path+"/set-password", password, "If-Match: "+tag); a.StatusCode != want {
				t.Errorf("set-password, the %d. time on the same version: %d %s", i+1, a.StatusCode, a.text)
			}
		}
		if a := s.send("DELETE", path, nil, "If-Match: *"); a.StatusCode != 204 {
			t.Errorf("on any version: %d %s", a.StatusCode, a.text)
		}
	})
}

// TestPreconditionsOfRelationships sees that the version of a resource tells of its to-many relationships.
func TestPreconditionsOfRelationships(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		group := "groups/" + idOf(s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"name": "One"}, nil)))
		support := map[string]any{"type": "role", "id": idOf(s.get("roles/by-name/support"))}
		members := []any{map[string]any{"type": "user", "id": quentin}}
		whole := resourceDocument("group", strings.TrimPrefix(group, "groups/"), map[string]any{}, map[string]any{"members": map[string]any{"data": []any{}}})
		for _, write := range []struct {
			of, method, path string
			body             any
			want             int
		}{
			{group, "PATCH", group + "/relationships/members", map[string]any{"data": members}, 204},
			{group, "DELETE", group + "/relationships/members", map[string]any{"data": members}, 204},
			{group, "POST", group + "/relationships/members", map[string]any{"data": members}, 204},
			{group, "PATCH", group, whole, 200},
			{"users/" + quentin, "PATCH", "users/" + quentin + "/relationships/roles", map[string]any{"data": []any{support}}, 204},
		} {
			tag := s.send("GET", "/api/admin/v1/"+write.of, nil).Header.Get("ETag")
			for _, want := range []int{write.want, 412} {
				if a := s.send(write.method, "/api/admin/v1/"+write.path, write.body, "If-Match: "+tag); a.StatusCode != want {
					t.Errorf("%s %s on %s: %d %s", write.method, write.path, tag, a.StatusCode, a.text)
				} else if now := s.send("GET", "/api/admin/v1/"+write.of, nil).Header.Get("ETag"); a.Header.Get("ETag") != "" && a.Header.Get("ETag") != now {
					t.Errorf("%s %s answers the tag %s, then it is %s", write.method, write.path, a.Header.Get("ETag"), now)
				}
			}
		}
	})
}

// TestConcurrentEdits has many edit one version at once: one wins.
func TestConcurrentEdits(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		path := "/api/admin/v1/users/" + quentin
		for round := range 5 {
			tag := s.send("GET", path, nil).Header.Get("ETag")
			statuses := make(chan int, 8)
			for n := range cap(statuses) {
				go func() {
					body := resourceDocument("user", quentin, map[string]any{"display_name": fmt.Sprint(round, n)}, nil)
					statuses <- s.send("PATCH", path, body, "If-Match: "+tag).StatusCode
				}()
			}
			won := 0
			for range cap(statuses) {
				switch status := <-statuses; status {
				case http.StatusOK:
					won++
				case http.StatusPreconditionFailed:
				default:
					t.Errorf("status %d", status)
				}
			}
			if won != 1 {
				t.Errorf("%d won", won)
			}
		}
	})
}
