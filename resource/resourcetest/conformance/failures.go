package conformance

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

var failures = []Check{
	{"I1", Must, "Error Objects", "errors is an array of objects that say something", func(t *trial) {
		for _, a := range t.survey() {
			if v, there := a.document["errors"]; there {
				items, ok := v.([]any)
				t.holds(ok && len(items) > 0, "%s", a)
			}
		}
		reported(t.survey(), func(a *answer, e members) {
			said := 0
			for _, name := range []string{"id", "links", "status", "code", "title", "detail", "source", "meta"} {
				if _, there := e[name]; there {
					said++
				}
			}
			t.holds(said > 0, "%v: %s", e, a)
		})
	}},
	{"I2", Should, "Error Objects", "status is a string, and the answer's if the error stands alone", func(t *trial) {
		reported(t.survey(), func(a *answer, e members) {
			status, err := strconv.Atoi(text(e["status"]))
			alone := len(array(a.document["errors"])) == 1
			t.holds(err == nil && (status == a.status || !alone && status/100 == a.status/100), "%v: %s", e["status"], a)
		})
	}},
	{"I3", Should, "Processing Errors", "the status of several errors is the most general", func(t *trial) {
		s := t.Item
		several := t.post(s.Path, members{"data": members{"type": s.Type, "id": t.gone(s)["id"], "attributes": t.wrong(s)}})
		for _, a := range append(slices.Clone(t.survey()), several) {
			statuses := map[string]bool{}
			for _, e := range array(a.document["errors"]) {
				statuses[text(at(e, "status"))] = true
			}
			switch {
			case len(statuses) == 1:
				t.holds(statuses[strconv.Itoa(a.status)], "%s", a)
			case len(statuses) > 1:
				t.holds(a.status == http.StatusBadRequest || a.status == http.StatusInternalServerError, "%s", a)
			}
		}
	}},
	{"I4", Must, "Error Objects", "code is a string, and title the same whenever the code is", func(t *trial) {
		titles := map[string]string{}
		reported(t.survey(), func(a *answer, e members) {
			for _, name := range []string{"id", "code", "title", "detail"} {
				if v, there := e[name]; there {
					t.holds(text(v) != "", "%s: %s", name, a)
				}
			}
			code, title := text(e["code"]), text(e["title"])
			if before, known := titles[code]; known && code != "" {
				t.holds(before == title, "%s is %q and %q", code, before, title)
			}
			titles[code] = title
		})
	}},
	{"I5", Should, "Error Objects", "source is a pointer, a parameter or a header", func(t *trial) {
		reported(t.survey(), func(a *answer, e members) {
			source, there := e["source"]
			if !there {
				return
			}
			t.holds(len(object(source)) > 0, "%s", a)
			for name, v := range object(source) {
				_, isText := v.(string)
				t.holds(isText && slices.Contains([]string{"pointer", "parameter", "header"}, name), "%s: %s", name, a)
			}
		})
	}},
	{"I6", Must, "Error Objects", "a pointer is to a value that the request has", func(t *trial) {
		reported(t.survey(), func(a *answer, e members) {
			if pointer, there := at(e, "source", "pointer").(string); there {
				t.holds(a.sent != nil && resolves(a.sent, pointer), "%q: %s", pointer, a)
			}
		})
	}},
	{"I7", Should, "Error Objects", "links of an error lead to where it is explained", func(t *trial) {
		reported(t.survey(), func(a *answer, e members) {
			for name, link := range object(e["links"]) {
				place, err := url.Parse(href(link))
				t.holds(err == nil && (name == "about" || name == "type") && href(link) != "", "%s is %v: %s", name, link, a)
				if err == nil && (!place.IsAbs() || strings.HasPrefix(href(link), t.URL)) {
					t.holds(t.get(href(link)).ok(), "%s is not there", href(link))
				}
			}
		})
	}},
	{"I8", Must, "Errors", "every failure is a document of errors", func(t *trial) {
		large := t.post(t.Item.Path, members{"data": members{"type": t.Item.Type, "attributes": members{t.Item.Nullable: strings.Repeat("x", 2<<20)}}})
		for _, a := range append(slices.Clone(t.survey()), large) {
			if a.status >= 400 {
				t.holds(a.refused(a.status), "%s", a)
			}
		}
	}},
}

// resolves reports whether a pointer (RFC 6901) is to a value of a JSON text.
func resolves(v any, pointer string) bool {
	if pointer == "" {
		return true
	}
	path, ok := strings.CutPrefix(pointer, "/")
	if !ok {
		return false
	}
	for step := range strings.SplitSeq(path, "/") {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		switch parent := v.(type) {
		case map[string]any:
			if v, ok = parent[step]; !ok {
				return false
			}
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(parent) {
				return false
			}
			v = parent[i]
		default:
			return false
		}
	}
	return true
}
