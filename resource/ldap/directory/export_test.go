package directory

import "time"

// SetIdle sets how long a listing is kept that nobody reads on, and answers how long it was.
func SetIdle(d time.Duration) (before time.Duration) {
	before, idle = idle, d
	return before
}
