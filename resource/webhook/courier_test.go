package webhook

import (
	"testing"
	"time"
)

// TestBackoff has an endpoint fail for long: the interval begins small, also anew, about doubles, and ends at a day.
func TestBackoff(t *testing.T) {
	before := int64(0)
	for try, about := 0, firstInterval; try < 30; try++ {
		got := backoff(before)
		if least, most := min(about*3/4, maxInterval*3/4), min(about*5/4, maxInterval); got < least || got > most {
			t.Errorf("attempt %d waits %s after %dms", try, got, before)
		}
		before, about = got.Milliseconds(), 2*time.Duration(got.Milliseconds())*time.Millisecond
	}
	if time.Duration(before)*time.Millisecond < maxInterval*3/4 {
		t.Errorf("it waits %dms at last", before)
	}
}
