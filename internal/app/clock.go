package app

import (
	"sync"
	"time"
)

const (
	leap        = time.Hour      // by which a clock does not go wrong by itself
	leapTrusted = 24 * time.Hour // after a leap
)

// steady watches for leaps of the clock whose times are kept: what is old is forgotten by it, and what is forgotten does not come
// back when somebody corrects the clock. The zero value is ready.
type steady struct {
	mu    sync.Mutex
	told  time.Time // by the clock, when it was last asked
	real  time.Time // then, by time as it goes
	leapt time.Time // when a leap was seen, by time as it goes; zero: none
}

// trusts reports whether the clock, which tells now, has gone as time goes since it was first asked, or a day has passed since it did
// not.
func (s *steady) trusts(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	real := time.Now()
	now = now.Round(0) // the time of the day alone: without it two readings of one process never differ
	if !s.real.IsZero() && (now.Sub(s.told)-real.Sub(s.real)).Abs() > leap {
		s.leapt = real
	}
	s.told, s.real = now, real
	return s.leapt.IsZero() || real.Sub(s.leapt) >= leapTrusted
}
