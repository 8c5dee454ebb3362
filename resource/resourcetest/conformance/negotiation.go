package conformance

import (
	"net/http"
	"strings"
)

const (
	unknownExt     = `"https://unknown.example/ext"`
	unknownProfile = `"https://unknown.example/profile"`
)

var negotiation = []Check{
	{"A1", Must, "Content Negotiation", "every document has the media type of JSON:API", func(t *trial) {
		for _, a := range t.survey() {
			if len(a.body) > 0 {
				media, _ := a.media()
				t.holds(media == MediaType, "Content-Type %q: %s", a.header.Get("Content-Type"), a)
			}
		}
	}},
	{"A2", Must, "Extension and Profile Media Type Parameters", "the media type names what is applied, and nothing else", func(t *trial) {
		a := t.get(t.Item.Path)
		_, parameters := a.media()
		t.holds(a.ok() && len(parameters) == 0, "Content-Type %q where nothing is applied", a.header.Get("Content-Type"))
		if t.Cursor {
			a := t.get(with(t.Item.Path, "page[size]", "2"))
			t.holds(a.applies("profile", CursorProfile), "Content-Type %q with page[size]", a.header.Get("Content-Type"))
		}
		if t.Operations != "" {
			a := t.operate(members{"op": "add", "data": t.fresh(t.Item)["data"]})
			t.holds(a.applies("ext", AtomicExt), "Content-Type %q of operations", a.header.Get("Content-Type"))
		}
	}},
	{"A3", Must, "Media Type Parameters", "the media type has no parameters but ext and profile", func(t *trial) {
		for _, a := range t.survey() {
			_, parameters := a.media()
			for name := range parameters {
				t.holds(name == "ext" || name == "profile", "Content-Type %q", a.header.Get("Content-Type"))
			}
			if len(a.body) > 0 {
				t.holds(a.header.Get("Content-Type") != "", "no Content-Type: %s", a)
			}
		}
	}},
	{"A4", Must, "Server Responsibilities", "a body whose media type has other parameters is 415", func(t *trial) {
		a := t.post(t.Item.Path, t.fresh(t.Item), "Content-Type", MediaType+"; charset=utf-8")
		t.holds(a.refused(http.StatusUnsupportedMediaType), "%s", a)
	}},
	{"A5", Must, "Server Responsibilities", "a body with an unknown extension is 415", func(t *trial) {
		a := t.post(t.Item.Path, t.fresh(t.Item), "Content-Type", MediaType+"; ext="+unknownExt)
		t.holds(a.refused(http.StatusUnsupportedMediaType), "%s", a)
	}},
	{"A6", Must, "Server Responsibilities", "an unknown profile of a body is ignored", func(t *trial) {
		a := t.post(t.Item.Path, t.fresh(t.Item), "Content-Type", MediaType+"; profile="+unknownProfile)
		t.holds(a.status == http.StatusCreated, "%s", a)
	}},
	{"A7", Must, "Server Responsibilities", "Accept that has JSON:API with other parameters alone is 406", func(t *trial) {
		a := t.get(t.Item.Path, "Accept", MediaType+"; charset=utf-8")
		t.holds(a.refused(http.StatusNotAcceptable), "%s", a)
	}},
	{"A8", Must, "Server Responsibilities", "instances with other parameters are ignored beside a clean one", func(t *trial) {
		a := t.get(t.Item.Path, "Accept", MediaType+"; charset=utf-8, "+MediaType)
		media, _ := a.media()
		t.holds(a.status == http.StatusOK && media == MediaType, "%s", a)
	}},
	{"A9", Must, "Server Responsibilities", "Accept with unknown extensions alone is 406, beside a clean instance 200", func(t *trial) {
		unknown := MediaType + "; ext=" + unknownExt
		a := t.get(t.Item.Path, "Accept", unknown)
		t.holds(a.refused(http.StatusNotAcceptable), "%s", a)
		a = t.get(t.Item.Path, "Accept", unknown+", "+MediaType)
		t.holds(a.status == http.StatusOK, "%s", a)
	}},
	{"A10", Must, "Server Responsibilities", "unknown profiles in Accept are ignored", func(t *trial) {
		a := t.get(t.Item.Path, "Accept", MediaType+"; profile="+unknownProfile)
		media, _ := a.media()
		t.holds(a.status == http.StatusOK && media == MediaType && !strings.Contains(a.header.Get("Content-Type"), "unknown.example"),
			"Content-Type %q: %s", a.header.Get("Content-Type"), a)
	}},
	{"A11", Should, "Server Responsibilities", "a profile that Accept asks for is applied", func(t *trial) {
		t.needs(t.Cursor, "profile")
		a := t.get(t.Item.Path, "Accept", MediaType+`; profile="`+CursorProfile+`"`)
		t.holds(a.status == http.StatusOK && a.applies("profile", CursorProfile), "Content-Type %q: %s", a.header.Get("Content-Type"), a)
	}},
	{"A12", Should, "Server Responsibilities", "Vary names Accept", func(t *trial) {
		for _, a := range t.survey() {
			vary := strings.ToLower(strings.Join(a.header.Values("Vary"), ","))
			t.holds(strings.Contains(strings.ReplaceAll(vary, "accept-encoding", ""), "accept"), "Vary %q: %s", vary, a)
		}
	}},
	{"A13", Must, "Server Responsibilities", "quality values count: what has 0 is not acceptable", func(t *trial) {
		a := t.get(t.Item.Path, "Accept", MediaType+";q=0")
		t.holds(a.refused(http.StatusNotAcceptable), "q=0: %s", a)
		a = t.get(t.Item.Path, "Accept", "text/plain, "+MediaType+";q=0.1")
		media, _ := a.media()
		t.holds(a.status == http.StatusOK && media == MediaType, "q=0.1: %s", a)
	}},
	{"A14", Must, "Extension and Profile Media Type Parameters", "several URIs in one parameter are read", func(t *trial) {
		several := `"https://unknown.example/one https://unknown.example/two"`
		a := t.post(t.Item.Path, t.fresh(t.Item), "Content-Type", MediaType+"; profile="+several)
		t.holds(a.status == http.StatusCreated, "two unknown profiles: %s", a)
		a = t.post(t.Item.Path, t.fresh(t.Item), "Content-Type", MediaType+"; ext="+several)
		t.holds(a.refused(http.StatusUnsupportedMediaType), "two unknown extensions: %s", a)
		if t.Cursor {
			a := t.get(t.Item.Path, "Accept", MediaType+`; profile="https://unknown.example/one `+CursorProfile+`"`)
			t.holds(a.applies("profile", CursorProfile), "Content-Type %q: %s", a.header.Get("Content-Type"), a)
		}
	}},
	{"A15", Must, "JSON:API Object", "the member jsonapi of a body negotiates nothing", func(t *trial) {
		document := t.fresh(t.Item)
		document["jsonapi"] = members{"version": "1.1", "ext": []any{"https://unknown.example/ext"}, "profile": []any{CursorProfile}}
		a := t.post(t.Item.Path, document)
		_, parameters := a.media()
		t.holds(a.status == http.StatusCreated && len(parameters) == 0, "Content-Type %q: %s", a.header.Get("Content-Type"), a)
	}},
}
