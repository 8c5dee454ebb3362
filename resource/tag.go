package resource

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
)

// AnyTag, as the only tag of [Operation.IfMatch] or [Operation.IfNone], is that of every resource that is there.
const AnyTag = "*"

// Tag names the version of a row: it differs where a stored attribute, a to-one reference or a [Revision] does, apart from
// activities ([Attribute.Quiet]) and from what no answer shows. It is 16 characters of base64 for URLs, the same on every
// node and after every start.
func (s *Schema[T]) Tag(row *T) string {
	var text []byte
	for i := range s.Attributes {
		a := &s.Attributes[i]
		if a.Stored && (a.Visible() || a.revision != nil) && !a.AttributeDescription.Quiet {
			text = append(a.appendTo(text, row, nil), ',')
		}
	}
	for i := range s.References {
		if r := &s.References[i]; !r.Many {
			target := r.Target(row)
			text = AppendID(append(append(text, target.Type...), ':'), target.ID)
		}
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// match refuses a write on a row that is out of its caller's reach, or on a version that they did not see or do not mean
// (RFC 9110, sections 13.1.1 and 13.1.2), which is asked once an operation. It is asked about the row before the write.
func (t *Type[T]) match(tx *Tx, row *T) error {
	if err := t.reaches(tx, row); err != nil {
		return err
	}
	wanted, unwanted, first := tx.ifMatch, tx.ifNone, tx.first
	tx.ifMatch, tx.ifNone, tx.first = nil, nil, nil
	names := func(tags []string) bool {
		return slices.Contains(tags, AnyTag) || len(tags) > 0 && slices.Contains(tags, t.Schema.Tag(row))
	}
	switch {
	case wanted != nil && !names(wanted):
		return &Error{Code: PreconditionFailed, Detail: "the resource has changed since", Header: "If-Match"}
	case names(unwanted):
		return &Error{Code: PreconditionFailed, Detail: "the resource is there, as it was", Header: "If-None-Match"}
	}
	return first
}
