package kovra

import "time"

// clockSlack is how far two readings of a clock may be in the wrong order without that anybody has set it.
const clockSlack = time.Second

// Left is how long is left, at now, of a time d that began at since. Both may come from a clock that was set in between: if it
// was set back to before since, nothing is left, since waiting might take hours.
func Left(since time.Time, d time.Duration, now time.Time) time.Duration {
	left := d - now.Sub(since)
	if left <= 0 || left > d+clockSlack {
		return 0
	}
	return min(left, d)
}
