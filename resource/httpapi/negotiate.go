package httpapi

import (
	"mime"
	"slices"
	"strconv"
	"strings"

	"reeve/resource"
	"reeve/resource/document"
)

// plainJSON is the media type of the same documents for clients that do not know JSON:API's.
const plainJSON = "application/json"

// negotiate chooses the media type of the answer from the values of the header Accept (RFC 9110, section 12.5.1;
// JSON:API 1.1, "Server Responsibilities"). It always returns one that an error can be shown in. The error is
// NotAcceptable.
//
// JSON:API's own type is ignored where it has parameters other than profile and the extension of the path, if it has
// one, and if it always has, nothing else is looked for. Of equal qualities the more specific range wins, then
// JSON:API's type, which names the extension whether it was asked for or not.
func negotiate(accept []string, extension string) (string, error) {
	own := document.MediaType
	if extension != "" {
		own += `;ext="` + extension + `"`
	}
	ranges := parseAccept(strings.Join(accept, ","))
	if len(ranges) == 0 {
		if strings.TrimSpace(strings.Join(accept, "")) == "" {
			return own, nil
		}
		return own, notAcceptable()
	}
	spoiled, clean := false, ranges[:0]
	named := false
	for _, r := range ranges {
		if r.media == document.MediaType {
			if !understood(r.parameters, extension) {
				spoiled = true
				continue
			}
			named = true
		}
		clean = append(clean, r)
	}
	if spoiled && !named {
		return own, notAcceptable()
	}
	jsonAPI, plain := quality(clean, document.MediaType), quality(clean, plainJSON)
	switch {
	case jsonAPI.q == 0 && plain.q == 0:
		return own, notAcceptable()
	case plain.q > jsonAPI.q, plain.q == jsonAPI.q && plain.specificity() > jsonAPI.specificity():
		return plainJSON, nil
	}
	return own, nil
}

func notAcceptable() error {
	err := resource.Errorf(resource.NotAcceptable, "%s and %s are served, without parameters",
		document.MediaType, plainJSON)
	err.Header = "Accept"
	return err
}

// mediaRange is one element of the header Accept.
type mediaRange struct {
	media      string
	parameters map[string]string // without q
	q          float64
}

// specificity orders the ranges that hold one media type (RFC 9110, section 12.5.1).
func (r mediaRange) specificity() int {
	switch {
	case r.media == "*/*":
		return 1
	case strings.HasSuffix(r.media, "/*"):
		return 2
	case r.media != "":
		return 3
	}
	return 0
}

// quality is the most specific range that holds a media type, the zero range if none does.
func quality(ranges []mediaRange, media string) mediaRange {
	var best mediaRange
	for _, r := range ranges {
		holds := r.media == media || r.media == "application/*" || r.media == "*/*"
		if holds && r.specificity() > best.specificity() {
			best = r
		}
	}
	return best
}

// parseAccept reads the elements of the header Accept and leaves out those that are none.
func parseAccept(header string) []mediaRange {
	var ranges []mediaRange
	for _, element := range splitList(header) {
		media, parameters, err := mime.ParseMediaType(element)
		if err != nil || !strings.Contains(media, "/") {
			continue
		}
		q := 1.0
		if weight, ok := parameters["q"]; ok {
			if q, err = strconv.ParseFloat(weight, 64); err != nil || !(q >= 0 && q <= 1) {
				continue
			}
			delete(parameters, "q")
		}
		ranges = append(ranges, mediaRange{media, parameters, q})
	}
	return ranges
}

// asksFor reports whether the header Accept names a profile with JSON:API's type (JSON:API 1.1, "Server
// Responsibilities").
func asksFor(profile string, accept []string) bool {
	header := strings.Join(accept, ",")
	if !strings.Contains(header, profile) {
		return false
	}
	return slices.ContainsFunc(parseAccept(header), func(r mediaRange) bool {
		return r.media == document.MediaType && r.q > 0 && understood(r.parameters, "") &&
			slices.Contains(strings.Fields(r.parameters["profile"]), profile)
	})
}

// splitList cuts a header at its commas, apart from those within quotes.
func splitList(header string) []string {
	var elements []string
	begin, quoted := 0, false
	for i := 0; i < len(header); i++ {
		switch c := header[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			elements = append(elements, header[begin:i])
			begin = i + 1
		}
	}
	return append(elements, header[begin:])
}

// understood reports whether a JSON:API media type has no parameter that would have to be understood and is not.
// Profiles may be ignored; the extension is that of the path, or none.
func understood(parameters map[string]string, extension string) bool {
	for name, value := range parameters {
		switch {
		case name == "profile":
		case name == "ext" && extension != "" && applies(value, extension):
		default:
			return false
		}
	}
	return true
}

// applies reports whether the parameter ext, a list of URIs, names the extension and no other.
func applies(ext, extension string) bool {
	uris := strings.Fields(ext)
	return len(uris) > 0 && !slices.ContainsFunc(uris, func(uri string) bool { return uri != extension })
}

// checkContentType checks the media type of a body. Where an extension is, it must be named. The error is
// UnsupportedMediaType.
func checkContentType(header, extension string) error {
	media, parameters, err := mime.ParseMediaType(header)
	charset, hasCharset := parameters["charset"]
	_, extended := parameters["ext"]
	switch {
	case err != nil:
	case media == document.MediaType && understood(parameters, extension) && extended == (extension != ""):
		return nil
	case media == plainJSON && (!hasCharset || strings.EqualFold(charset, "utf-8")) && extension == "":
		return nil
	}
	unsupported := resource.Errorf(resource.UnsupportedMediaType,
		"a body must be %s without parameters, or %s in UTF-8", document.MediaType, plainJSON)
	if extension != "" {
		unsupported = resource.Errorf(resource.UnsupportedMediaType, `a body must be %s; ext="%s"`, document.MediaType, extension)
	}
	unsupported.Header = "Content-Type"
	return unsupported
}
