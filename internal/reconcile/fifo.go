package reconcile

import (
	"sync/atomic"
	"time"
)

// fifo is the order of the queue, first in, first out. It remembers since when
// each key waits. Its methods are called under the lock of the queue, oldestAge
// excepted.
type fifo[K comparable] struct {
	waiting []waiting[K]
	head    int
	oldest  atomic.Int64 // since when the first key waits, Unix nanoseconds; 0: none waits
}

type waiting[K comparable] struct {
	key   K
	since time.Time
}

// Touch does nothing: a key that is kicked again keeps its place.
func (f *fifo[K]) Touch(K) {}

// Push adds a key at the end.
func (f *fifo[K]) Push(key K) {
	if f.head > len(f.waiting)/2 {
		n := copy(f.waiting, f.waiting[f.head:])
		clear(f.waiting[n:])
		f.waiting, f.head = f.waiting[:n], 0
	}
	f.waiting = append(f.waiting, waiting[K]{key: key, since: time.Now()})
	f.note()
}

// Len returns how many keys wait.
func (f *fifo[K]) Len() int { return len(f.waiting) - f.head }

// Pop takes the first key. It must not be called when Len is 0.
func (f *fifo[K]) Pop() K {
	key := f.waiting[f.head].key
	f.waiting[f.head] = waiting[K]{}
	f.head++
	f.note()
	return key
}

// note publishes since when the first key waits.
func (f *fifo[K]) note() {
	if f.Len() == 0 {
		f.oldest.Store(0)
		return
	}
	f.oldest.Store(f.waiting[f.head].since.UnixNano())
}

func (f *fifo[K]) oldestAge() time.Duration {
	since := f.oldest.Load()
	if since == 0 {
		return 0
	}
	return time.Since(time.Unix(0, since))
}
