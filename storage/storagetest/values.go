package storagetest

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// extremes are plain values on which stores have differed, or might.
var extremes = map[resource.Kind][]any{
	resource.String: {
		"", " ", "a", "A", "Z", "a ", "ab", "a%b_c", "%", "_", `\`, `\%`, "'", `"`, "''; --", "?", "$1",
		":a", "\t\r\n\x01\x7f",
		"é", "e\u0301", "ß", "SS", "İstanbul", "ıI", "Σίσυφος", "ſK", "😀", "👩‍👩‍👧", "a😀b", "\uffff", "\U0010ffff",
		"\U0010ffff\U0010ffff", "\ud7ff", "\u07ff", "z\u07ff", "\ufeff", "\ue000", "null", "0", "1e3", "2024-01-01",
		strings.Repeat("x", 255), strings.Repeat("😀", 255),
	},
	resource.Bool: {false, true},
	resource.Int: {
		int64(0), int64(1), int64(-1), int64(255), int64(1<<31 - 1), int64(1 << 31), int64(1<<53 + 1), int64(-1<<53 - 1),
		int64(math.MaxInt64), int64(math.MinInt64),
	},
	resource.Float: {
		0.0, 1.0, -1.0, 0.1, 1.0 / 3, 1e-300, 1e15 + 0.3, float64(1<<53 + 1), math.MaxFloat64, -math.MaxFloat64,
		math.SmallestNonzeroFloat64,
	},
	resource.Time: {
		time.Time{}, time.Time{}.Add(time.Microsecond), time.Date(1582, 10, 15, 0, 0, 0, 0, time.UTC),
		time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC), time.Unix(0, 0).UTC(), time.UnixMicro(1).UTC(),
		time.Date(2024, 2, 29, 23, 59, 59, 999999000, time.UTC), time.Date(2024, 3, 31, 2, 30, 0, 1000, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC),
	},
	resource.ID: {
		ulid.ULID{}, ulid.ULID{15: 1}, ulid.ULID{0: 0x7f, 15: 0xff}, ulid.ULID{0: 0x80},
		ulid.ULID([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")), ulid.ULID([]byte("'\\x00%_\x00\n\"aaaaaa")),
	},
	resource.Strings: {
		[]string{}, []string{""}, []string{"a", "b"}, []string{"b", "a"}, []string{`{"\`, "😀,", "null", "a\nb"},
	},
	resource.JSON: {
		json.RawMessage(`{}`), json.RawMessage(`[]`), json.RawMessage(`""`), json.RawMessage(`"😀\"\\"`),
		json.RawMessage(`false`), json.RawMessage(`12345678901234567890`), json.RawMessage(`{"b":{"c":[1,-2.5,null,true]},"a":"%_"}`),
	},
}

// values are the extremes that an attribute may have, null included if it may be. Integers that some condition
// adds up stay so small that their sum does not overflow.
func (s *suite[T]) values(a *resource.Attribute[T]) (all []any) {
	d := a.AttributeDescription
	for _, v := range extremes[d.Kind] {
		text, isText := v.(string)
		n, isInt := v.(int64)
		switch {
		case isText && (d.OneOf != nil || utf8.RuneCountInString(text) > d.MaxLength):
		case isInt && s.summed[d.Name] && (n > math.MaxInt32 || n < math.MinInt32):
		default:
			all = append(all, v)
		}
	}
	for _, word := range d.OneOf {
		all = append(all, word)
	}
	if d.Nullable {
		all = append(all, nil)
	}
	return all
}

// named is a condition with the question that it is the meaning of.
type named struct {
	name string
	resource.Condition
}

// conditions are the meanings of each filter: of each of its words, or of several arguments that are values of
// the rows, or close to one.
func (s *suite[T]) conditions(rows []*T) (byFilter [][]named) {
	arguments := s.arguments(rows)
	for _, f := range s.schema.AllFilters() {
		texts := arguments[f.Kind]
		if f.Closed() {
			texts = f.Words()
		}
		var all []named
		for _, text := range texts {
			c, err := f.Condition(text)
			if err != nil {
				panic(fmt.Sprintf("storagetest: %s=%s: %v", f.Parameter(), text, err)) // the schema is wrong
			}
			all = append(all, named{fmt.Sprintf("%s=%.40q", f.Parameter(), text), c})
		}
		byFilter = append(byFilter, all)
	}
	return byFilter
}

// arguments are texts of filter arguments by kind: all extremes, some values of the rows, and parts of both.
func (s *suite[T]) arguments(rows []*T) map[resource.Kind][]string {
	const mostOthers = 10
	texts, others := map[resource.Kind][]string{}, map[resource.Kind][]string{}
	for kind, values := range extremes {
		for _, v := range values {
			if text, ok := argument(v); ok {
				texts[kind] = append(texts[kind], text)
				others[kind] = append(others[kind], parts(v)...)
			}
		}
	}
	other := func(v any) {
		if text, ok := argument(v); ok {
			kind := resource.KindOf(v)
			others[kind] = append(append(others[kind], text), parts(v)...)
		}
	}
	for _, row := range rows {
		other(s.id(row))
		for i := range s.schema.Attributes {
			if a := &s.schema.Attributes[i]; a.Stored {
				other(a.Value(row))
			}
		}
		for i := range s.schema.References {
			if r := &s.schema.References[i]; !r.Many {
				other(r.Value(row))
			}
		}
	}
	for kind, more := range others {
		slices.Sort(more)
		texts[kind] = append(texts[kind], thin(slices.Compact(more), mostOthers)...)
	}
	return texts
}

// argument is a plain value as the text of a filter's argument, if it has one.
func argument(plain any) (text string, ok bool) {
	switch v := plain.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	case time.Time:
		return string(resource.AppendTime(nil, v)), true
	case ulid.ULID:
		return v.String(), true
	}
	return "", false
}

// parts are texts that are in a text, or close to it.
func parts(plain any) []string {
	text, ok := plain.(string)
	if !ok {
		return nil
	}
	runes := []rune(text)
	return []string{string(runes[:len(runes)/2]), string(runes[len(runes)/2:]), strings.ToUpper(text), strings.ToLower(text)}
}

// thin is at most n of the items, evenly from all of them.
func thin[E any](items []E, n int) []E {
	if len(items) <= n {
		return items
	}
	few := make([]E, n)
	for i := range few {
		few[i] = items[i*len(items)/n]
	}
	return few
}
