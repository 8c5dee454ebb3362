package resource

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"
)

// CleanText is a text as any database and answer has it: what no text may hold is replaced (U+FFFD).
func CleanText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// ShortText is a clean text of at most so many characters.
func ShortText(text string, most int) string {
	text = CleanText(text)
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most])
	}
	return text
}

// ParseID reads a ULID of 26 characters in either case.
func ParseID(s string) (ulid.ULID, error) {
	id, err := ulid.ParseStrict(strings.ToUpper(s))
	if err != nil {
		return ulid.ULID{}, errors.New("must be a ULID of 26 characters")
	}
	return id, nil
}

// ParseIDs reads several ids.
func ParseIDs(texts []string) ([]ulid.ULID, error) {
	ids := make([]ulid.ULID, len(texts))
	for i, text := range texts {
		var err error
		if ids[i], err = ParseID(text); err != nil {
			return nil, fmt.Errorf("has %q, which %w", text, err)
		}
	}
	return ids, nil
}

// ParseTime reads an RFC 3339 time, as UTC, cut to microseconds.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 0 || t.UTC().Year() > 9999 {
		return time.Time{}, errors.New("must be an RFC 3339 time such as 2024-07-12T12:11:46Z")
	}
	return Cut(t), nil
}

// Cut is t in UTC, cut to the microseconds that every store keeps.
func Cut(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// AppendTime appends t as RFC 3339 in UTC with six digits of fraction: 27 characters that sort as the times do. The
// year is one of four digits, as [ParseTime] has it. A page has hundreds of times, so this is done by hand.
func AppendTime(dst []byte, t time.Time) []byte {
	year, month, day := t.UTC().Date()
	const perDay = 24 * 60 * 60
	second := int(t.Unix() % perDay)
	if second < 0 {
		second += perDay
	}
	micro := t.Nanosecond() / 1000
	dst = append(dst, "0000-00-00T00:00:00.000000Z"...)
	text := (*[27]byte)(dst[len(dst)-27:])
	for _, pair := range [...]struct{ place, n int }{
		{0, year / 100}, {2, year % 100}, {5, int(month)}, {8, day},
		{11, second / 3600}, {14, second / 60 % 60}, {17, second % 60},
		{20, micro / 10_000}, {22, micro / 100 % 100}, {24, micro % 100},
	} {
		text[pair.place], text[pair.place+1] = '0'+byte(pair.n/10), '0'+byte(pair.n%10)
	}
	return dst
}

// AppendID appends the 26 characters of a ULID.
func AppendID(dst []byte, id ulid.ULID) []byte {
	n := len(dst)
	dst = slices.Grow(dst, ulid.EncodedSize)[:n+ulid.EncodedSize]
	_ = id.MarshalTextTo(dst[n:]) // it fails only where the buffer has another length
	return dst
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Broken UTF-8 becomes U+FFFD; < > & stay as they are, since answers
// are never inlined in HTML.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}
