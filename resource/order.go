package resource

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"reeve/pagination"
)

// SortKey is one of the keys by which a list is sorted: an attribute, or "id". Null comes before everything, or
// after it if the key descends.
type SortKey struct {
	Attribute  string
	Descending bool
}

// Order is how a list is sorted. Its last key is the id, so that no two rows are equal; it descends if the key
// before it does, so that an order read backward is an order too. Nil is by id, ascending.
type Order []SortKey

// byID is the order of a list that nobody asked to be sorted.
var byID = Order{{Attribute: "id"}}

// Keys are the keys of the order before the id.
func (o Order) Keys() []SortKey { return o[:max(len(o)-1, 0)] }

// Descending reports whether rows that are else equal descend by their id.
func (o Order) Descending() bool { return len(o) > 0 && o[len(o)-1].Descending }

// Reverse is the order read backward.
func (o Order) Reverse() Order {
	reverse := slices.Clone(o)
	if o == nil {
		reverse = slices.Clone(byID)
	}
	for i := range reverse {
		reverse[i].Descending = !reverse[i].Descending
	}
	return reverse
}

// ParseOrder is the order of a list of sort fields as a query gives them: "created_at", "-created_at".
func ParseOrder(fields []string) Order {
	var o Order
	for _, field := range fields {
		name, descending := strings.CutPrefix(field, "-")
		o = append(o, SortKey{name, descending})
	}
	if last := len(o) - 1; last < 0 || o[last].Attribute != "id" {
		o = append(o, SortKey{"id", last >= 0 && o[last].Descending})
	}
	return o
}

// Order is the order that sort fields of a query ask for: one of the declared sorts, by id, or the reverse of
// one, whole. The error is UnsupportedSort.
func (d *Description) Order(fields []string) (Order, error) {
	asked := ParseOrder(fields)
	for _, declared := range append([][]string{{"id"}}, d.Sorts...) {
		order := ParseOrder(declared)
		if slices.Equal(asked, order) || slices.Equal(asked, order.Reverse()) {
			return asked, nil
		}
	}
	var offered []string
	for _, declared := range d.Sorts {
		offered = append(offered, strings.Join(declared, ","))
	}
	return nil, Errorf(UnsupportedSort, "%s can be sorted by %s, or the reverse of one",
		d.Plural, strings.Join(append(offered, "id"), "; ")).About("sort")
}

// AppendCursor appends a place in an order as clients see it. By id it is the id; else it is opaque, in characters
// that a URL takes as they are, and holds the values there.
func AppendCursor(dst []byte, o Order, c *pagination.Cursor) []byte {
	keys := o.Keys()
	if len(keys) == 0 {
		return AppendID(dst, c.ID)
	}
	text := []byte{'['}
	for i, key := range keys {
		text = append(AppendString(text, key.Attribute), ',')
		if c.Values[i] == nil {
			text = append(text, "null,"...)
		} else {
			text = append(AppendString(text, formatPlain(c.Values[i])), ',')
		}
	}
	text = append(AppendID(append(text, '"'), c.ID), `"]`...)
	return base64.RawURLEncoding.AppendEncode(dst, text)
}

var errCursor = errors.New("must be a cursor of a list that is sorted like this")

// ParseCursor reads a place in an order. A cursor of the same list read backward is the same place.
func (d *Description) ParseCursor(o Order, text string) (*pagination.Cursor, error) {
	keys := o.Keys()
	if len(keys) == 0 {
		id, err := ParseID(text)
		return &pagination.Cursor{ID: id}, err
	}
	var parts []*string
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(decoded, &parts) != nil || len(parts) != 2*len(keys)+1 {
		return nil, errCursor
	}
	c := &pagination.Cursor{Values: make([]any, len(keys))}
	for i, key := range keys {
		name, value := parts[2*i], parts[2*i+1]
		if name == nil || *name != key.Attribute {
			return nil, errCursor
		}
		if value == nil {
			continue
		}
		if c.Values[i], err = ParsePlain(d.kind(key.Attribute), *value); err != nil {
			return nil, errCursor
		}
	}
	last := parts[2*len(keys)]
	if last == nil {
		return nil, errCursor
	}
	if c.ID, err = ParseID(*last); err != nil {
		return nil, errCursor
	}
	return c, nil
}

// kind is the kind of an attribute.
func (d *Description) kind(attribute string) Kind {
	i := slices.IndexFunc(d.Attributes, func(a AttributeDescription) bool { return a.Name == attribute })
	return d.Attributes[i].Kind
}

// formatPlain is a plain value as the text that [ParsePlain] reads.
func formatPlain(plain any) string {
	switch plain := plain.(type) {
	case string:
		return plain
	case float64:
		return strconv.FormatFloat(plain, 'g', -1, 64)
	case time.Time:
		return plain.Format(time.RFC3339Nano)
	}
	return fmt.Sprint(plain) // a bool, an integer, an id
}

// Place is where a row stands in an order.
func (s *Schema[T]) Place(o Order, row *T) *pagination.Cursor {
	c := &pagination.Cursor{ID: *s.ID(row)}
	for _, key := range o.Keys() {
		c.Values = append(c.Values, s.plain(row, key.Attribute))
	}
	return c
}

// ComparePlaces is -1 where a stands before b in an order, 0 where they are the same place, and +1 where it
// stands after it.
func ComparePlaces(o Order, a, b *pagination.Cursor) int {
	for i, key := range o.Keys() {
		if order := ComparePlain(a.Values[i], b.Values[i]); order != 0 {
			return directed(order, key.Descending)
		}
	}
	return directed(a.ID.Compare(b.ID), o.Descending())
}

func directed(order int, descending bool) int {
	if descending {
		return -order
	}
	return order
}
