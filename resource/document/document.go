// Package document reads and writes JSON:API documents. It knows no HTTP.
//
// Answers are appended to a buffer, without maps and without reflection, since lists are what the server does
// most. Requests are read strictly: what could be understood in two ways is refused.
package document

import (
	"github.com/google/jsonapi"
	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// MediaType is the media type of JSON:API documents.
const MediaType = jsonapi.MediaType

// LinesType is the media type of exports and imports: one JSON text a line (NDJSON).
const LinesType = "application/x-ndjson"

// CursorProfile is the URI of the cursor pagination profile, and ProfileType the media type of documents that it
// applies to.
const (
	CursorProfile = "https://jsonapi.org/profiles/ethanresnick/cursor-pagination"
	ProfileType   = MediaType + `; profile="` + CursorProfile + `"`
)

// Path is the path of a resource below base, or of the whole singleton.
func Path(base string, about *resource.Description, id ulid.ULID) string {
	if about.Singleton {
		return base + "/" + about.Path()
	}
	return base + "/" + about.Path() + "/" + id.String()
}

// RelatedPath is the path of what a resource's relationship names below base.
func RelatedPath(base string, about *resource.Description, id ulid.ULID, relationship string) string {
	return Path(base, about, id) + "/" + relationship
}

// LinkagePath is the path of a resource's relationship below base.
func LinkagePath(base string, about *resource.Description, id ulid.ULID, relationship string) string {
	return Path(base, about, id) + "/relationships/" + relationship
}
