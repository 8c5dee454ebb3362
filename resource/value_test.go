package resource_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"reeve/resource"
)

// TestAppendTime compares with the standard library, from the first day of the year 0 to the last of 9999.
func TestAppendTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.Int64Range(-62_167_219_200, 253_402_300_799).Draw(t, "seconds")
		at := time.Unix(seconds, rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).In(time.FixedZone("", 3600))
		if got, want := string(resource.AppendTime(nil, at)), at.UTC().Format("2006-01-02T15:04:05.000000Z"); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	})
}
