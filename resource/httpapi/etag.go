package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"reeve/resource"
)

// An entity tag is "version.bytes": the version of the resource, which writes are compared by, and a hash of the
// bytes that show it, which makes the tag a strong one (RFC 9110, section 8.8.1) although an answer may also show
// activities and what depends on the caller.

// etag is the tag of an answer that shows one resource.
func etag(version string, body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + version + "." + base64.RawURLEncoding.EncodeToString(sum[:6]) + `"`
}

// tags are the versions that If-Match names, nil without the header. What is no tag of ours names a version that
// no resource has; so does a weak tag, since If-Match compares strongly.
func tags(header []string) []string {
	if header == nil {
		return nil
	}
	versions := []string{}
	for _, tag := range list(header) {
		if tag == resource.AnyTag {
			versions = append(versions, tag)
			continue
		}
		version, _, _ := strings.Cut(strings.TrimPrefix(tag, `"`), ".")
		versions = append(versions, version)
	}
	return versions
}

// unchanged reports whether If-None-Match names the tag; it compares weakly.
func unchanged(header []string, etag string) bool {
	for _, tag := range list(header) {
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

// GzipSuffix is what a server that compresses answers puts at the end of their tags, since the bytes are others.
const GzipSuffix = "-gzip"

// list are the tags of a header (RFC 9110, section 5.6.1), those of compressed answers as if they were not. Our
// tags hold no comma.
func list(header []string) []string {
	var members []string
	for _, line := range header {
		for _, member := range strings.Split(line, ",") {
			if member = strings.TrimSpace(member); member != "" {
				members = append(members, strings.Replace(member, GzipSuffix+`"`, `"`, 1))
			}
		}
	}
	return members
}
