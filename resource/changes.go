package resource

import (
	"encoding/json"
	"strconv"

	"github.com/oklog/ulid/v2"
)

// Bounds of what an event tells of a write.
const (
	maxValues = 2048 // bytes of JSON, of an attribute before and after
	maxLinked = 100  // resources of a to-many reference
)

// Changes are what a write changed, as [Event.Changes]; nil if nothing. The row before it is nil for a creation, the
// row after it for a deletion.
func (s *Schema[T]) Changes(before, after *T) json.RawMessage {
	var c json.RawMessage
	for i := range s.Attributes {
		a := &s.Attributes[i]
		if !a.Stored || a.revision != nil || !a.differs(before, after) {
			continue
		}
		c = beginChange(c, a.Name)
		begin := len(c)
		if a.Visible() && !a.AttributeDescription.Confidential {
			c = fromTo(c, before, after, func(c json.RawMessage, row *T) json.RawMessage { return a.appendTo(c, row, nil) })
		}
		c = append(c, "}}"...)
		if len(c)-begin > maxValues {
			c = append(c[:begin], "}}"...)
		}
	}
	for i := range s.References {
		r := &s.References[i]
		target := func(row *T) (target Identifier) {
			if row != nil && !r.Many {
				target = r.Target(row)
			}
			return target
		}
		if target(before) == target(after) {
			continue
		}
		c = fromTo(beginChange(c, r.Name), before, after, func(c json.RawMessage, row *T) json.RawMessage {
			if to := r.Target(row); to != (Identifier{}) {
				return appendIdentifier(c, to)
			}
			return append(c, "null"...)
		})
		c = append(c, "}}"...)
	}
	return c
}

// differs reports whether a write changed the attribute. The time of a creation is that of its event.
func (a *Attribute[T]) differs(before, after *T) bool {
	switch {
	case before == nil:
		return !a.null(after) && !a.AttributeDescription.Created
	case after == nil:
		return !a.null(before)
	}
	return !same(a.Value(before), a.Value(after))
}

// fromTo appends what there was before and what there is after a write.
func fromTo[T any](c json.RawMessage, before, after *T, value func(c json.RawMessage, row *T) json.RawMessage) json.RawMessage {
	if before != nil {
		c = value(append(c, `"from":`...), before)
	}
	if before != nil && after != nil {
		c = append(c, ',')
	}
	if after != nil {
		c = value(append(c, `"to":`...), after)
	}
	return c
}

// linked adds what a write changed of a to-many reference.
func linked(c json.RawMessage, r *ReferenceDescription, added, removed []ulid.ULID) json.RawMessage {
	if len(added)+len(removed) == 0 {
		return c
	}
	c = beginChange(c, r.Name)
	omitted := 0
	for i, list := range []struct {
		name string
		ids  []ulid.ULID
	}{{"added", added}, {"removed", removed}} {
		if i > 0 {
			c = append(c, ',')
		}
		c = append(append(AppendString(c, list.name), ':'), '[')
		for n, id := range list.ids[:min(len(list.ids), maxLinked)] {
			if n > 0 {
				c = append(c, ',')
			}
			c = appendIdentifier(c, Identifier{r.Type, id})
		}
		c = append(c, ']')
		omitted += max(len(list.ids)-maxLinked, 0)
	}
	if omitted > 0 {
		c = strconv.AppendInt(append(c, `,"omitted":`...), int64(omitted), 10)
	}
	return append(c, "}}"...)
}

// beginChange opens the object of one more member; two braces close it and the whole.
func beginChange(c json.RawMessage, name string) json.RawMessage {
	if len(c) == 0 {
		c = append(c, '{')
	} else {
		c[len(c)-1] = ','
	}
	return append(AppendString(c, name), ':', '{')
}

// appendIdentifier appends a resource identifier object.
func appendIdentifier(c json.RawMessage, i Identifier) json.RawMessage {
	c = append(AppendString(append(c, `{"type":`...), i.Type), `,"id":"`...)
	return append(AppendID(c, i.ID), `"}`...)
}
