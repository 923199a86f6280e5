package reconcile

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Backoff is how long a key waits after failures in a row: about Base after the
// first, twice as long after each further one, never more than Max. Half of each
// pause is chance, so that keys that failed together do not come back together.
// The zero value of a field means its default.
type Backoff struct {
	Base time.Duration // 200 ms by default
	Max  time.Duration // 2 minutes by default
}

func (b Backoff) withDefaults() Backoff {
	if b.Base <= 0 {
		b.Base = 200 * time.Millisecond
	}
	if b.Max <= 0 {
		b.Max = 2 * time.Minute
	}
	b.Max = max(b.Max, b.Base)
	return b
}

// pause returns the pause after the given number of failures in a row, which is at least 1.
func (b Backoff) pause(failures int) time.Duration {
	d := b.Base
	for i := 1; i < failures && d < b.Max; i++ {
		d *= 2
	}
	d = min(d, b.Max)
	return d/2 + rand.N(d/2+1) //nolint:gosec // spreads load; nobody gains by guessing it
}

// failures counts the failures in a row of each key, and knows until when it waits.
// Keys without failures take no room.
type failures[K comparable] struct {
	mu sync.Mutex
	of map[K]failure
}

type failure struct {
	count int
	until time.Time
}

func (f *failures[K]) add(key K) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.of[key]
	one.count++
	f.of[key] = one
	return one.count
}

func (f *failures[K]) until(key K, t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.of[key]
	one.until = t
	f.of[key] = one
}

// wait reports whether the key waits out a pause.
func (f *failures[K]) wait(key K, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return now.Before(f.of[key].until)
}

func (f *failures[K]) forget(key K) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.of, key)
}
