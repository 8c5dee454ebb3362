package openapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"reeve/resource/openapi"
)

func get(h http.Handler, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandlerFollowsTheRegistry(t *testing.T) {
	registry, _ := toy(t)
	h := openapi.Handler(registry, func() openapi.Info { return info })
	before := get(h, openapi.SpecPath)
	if before.Code != http.StatusOK || before.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("got %d, %v", before.Code, before.Header())
	}
	if doc := load(t, before.Body.Bytes()); doc.Tags.Get("shelf") == nil {
		t.Error("the type shelf is not described")
	}
	etag := before.Header().Get("ETag")
	if again := get(h, openapi.SpecPath, "If-None-Match", etag); again.Code != http.StatusNotModified {
		t.Errorf("an unchanged document was answered with %d", again.Code)
	}

	registry.Unregister("shelf")
	after := get(h, openapi.SpecPath, "If-None-Match", etag)
	if after.Code != http.StatusOK || after.Header().Get("ETag") == etag {
		t.Fatalf("a changed document was answered with %d and %s", after.Code, after.Header().Get("ETag"))
	}
	if doc := load(t, after.Body.Bytes()); doc.Tags.Get("shelf") != nil {
		t.Error("the type shelf is still described")
	}
}

// TestUIWorksBelowAPrefix follows the links of the page, which a proxy serves below its prefix.
func TestUIWorksBelowAPrefix(t *testing.T) {
	proxy := http.StripPrefix(info.Prefix, openapi.UI(info))
	if w := get(proxy, info.Prefix+"/api/doc"); w.Header().Get("Location") != info.Prefix+openapi.UIPath {
		t.Errorf("without a slash, the page is said to be at %q", w.Header().Get("Location"))
	}
	page := get(proxy, info.Prefix+openapi.UIPath)
	if page.Code != http.StatusOK {
		t.Fatalf("the page was answered with %d", page.Code)
	}
	for _, link := range []string{
		`"` + info.Prefix + openapi.SpecPath + `"`, `"` + info.Prefix + openapi.UIPath + `oauth2-redirect"`,
	} {
		if text := strings.ReplaceAll(page.Body.String(), `\/`, "/"); !strings.Contains(text, link) {
			t.Errorf("the page does not name %s", link)
		}
	}
	for _, asset := range []string{"swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js", "oauth2-redirect", "oauth2-callback"} {
		path := info.Prefix + openapi.UIPath + asset
		if w := get(proxy, path); w.Code != http.StatusOK || w.Body.Len() == 0 {
			t.Errorf("%s was answered with %d and %d bytes", path, w.Code, w.Body.Len())
		}
		if !strings.HasPrefix(asset, "oauth2-") && !strings.Contains(page.Body.String(), path) {
			t.Errorf("the page does not name %s", path)
		}
	}
	if w := get(proxy, info.Prefix+openapi.UIPath+"nothing"); w.Code != http.StatusNotFound {
		t.Errorf("an unknown file was answered with %d", w.Code)
	}
}
