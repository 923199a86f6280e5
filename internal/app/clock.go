package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"kovra.dev/chatops/storage"
)

const (
	leap        = time.Hour          // by which a clock does not go wrong by itself
	leapTrusted = 24 * time.Hour     // after a leap
	longQuiet   = 3 * 24 * time.Hour // in which no webhook comes; more may be a clock that leapt while nobody looked
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

// doubts has the clock not trusted for a day less what has passed of it.
func (s *steady) doubts(passed time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leapt = time.Now().Add(-passed)
}

// since is when a leap was seen, by the clock as it goes now.
func (s *steady) since(now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Add(-time.Since(s.leapt))
}

// doubtClock compares the clock with what the database knows: it may have leapt while no server ran, or shortly before.
func (a *App) doubtClock(ctx context.Context) error {
	var leapt, last time.Time
	err := a.db.Read(ctx, func(tx *storage.Tx) (err error) {
		last, err = tx.LastDelivery()
		at, failed := tx.ClockLeapt()
		leapt = at
		return errors.Join(err, failed)
	})
	passed := a.born.Sub(leapt)
	switch {
	case err != nil:
		return err
	case !leapt.IsZero() && passed >= 0 && passed < leapTrusted:
	case !leapt.IsZero() && passed < 0, !last.IsZero() && a.born.Sub(last) > longQuiet:
		passed = 0
	default:
		return nil
	}
	a.clock.doubts(passed)
	a.log.InfoContext(ctx, "the clock may have leapt: nothing is forgotten for being old until it has gone on for a day", "last_webhook", last, "leap", leapt)
	return nil
}
