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

// tags are the versions that If-Match names, nil without the header. What is no entity tag names a version that no
// resource has; so does a weak one, since If-Match compares strongly. The bytes are not compared: they may be those that
// another caller sees.
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
		inner, begins := strings.CutPrefix(tag, `"`)
		inner, ends := strings.CutSuffix(inner, `"`)
		version, _, _ := strings.Cut(inner, ".")
		if !begins || !ends {
			version = ""
		}
		versions = append(versions, version)
	}
	return versions
}

// unchanged is a tag by which If-None-Match names an answer, empty if it names it by none; it compares weakly. A client
// that has the answer compressed is told of that tag (RFC 9110, section 15.4.5); one that says "*" names neither, and is told of the other.
func unchanged(header []string, etag string) string {
	for _, member := range list(header) {
		tag := strings.TrimPrefix(member, "W/")
		switch {
		case tag == resource.AnyTag:
			return etag
		case uncompressed(tag) == etag:
			return tag
		}
	}
	return ""
}

// GzipSuffix is what a server that compresses answers puts at the end of their tags, since the bytes are others.
const GzipSuffix = "-gzip"

// uncompressed is the tag of the answer that a tag is of, before it was compressed.
func uncompressed(tag string) string { return strings.Replace(tag, GzipSuffix+`"`, `"`, 1) }

// list are the tags of a header (RFC 9110, section 5.6.1). Our tags hold no comma.
func list(header []string) []string {
	var members []string
	for _, line := range header {
		for _, member := range strings.Split(line, ",") {
			if member = strings.TrimSpace(member); member != "" {
				members = append(members, member)
			}
		}
	}
	return members
}
