package bot

import (
	"slices"
	"sync"
	"time"
)

// How views.publish is shared: Slack allows 100 in a minute for the whole workspace.
const (
	publishWindow   = time.Minute
	publishInAll    = 80               // in any window
	publishOrdinary = 60               // of which those may use so many who only look
	publishAtOnce   = 20               // beyond so many, these are spread over the window
	publishSpacing  = time.Second      // by so much
	publishGap      = 3 * time.Second  // between two for somebody who only looks
	manyHomes       = 256              // from so many on, gaps that are over are dropped
	homeMemory      = 10 * time.Minute // for how long it is remembered when a Home was published
)

// publishBudget shares out views.publish. People who have just done something go first; those who only look at what
// changes wait for each other. Its methods may be called from any goroutine.
type publishBudget struct {
	mu       sync.Mutex
	made     []time.Time // of the last window, oldest first
	ordinary time.Time   // when the last one was made for somebody who only looks
	last     map[string]time.Time
	waiting  queue
}

func newPublishBudget() *publishBudget { return &publishBudget{last: map[string]time.Time{}} }

// lastOf is when something was last published for a person; zero: not known.
func (b *publishBudget) lastOf(user string) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last[user]
}

// rest is how long somebody waits in any case, who only looks.
func (b *publishBudget) rest(user string, now time.Time) time.Duration {
	return max(b.lastOf(user).Add(publishGap).Sub(now), 0)
}

// take takes the right to publish for a person, or returns how long to wait before asking again.
func (b *publishBudget) take(user string, urgent bool, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(now)
	rank, most := 1, publishOrdinary
	if urgent {
		rank, most = 0, publishInAll
	}
	ahead := b.waiting.ahead(user, rank, now)
	if wait := b.wait(most, ahead, urgent, now); wait > 0 {
		b.waiting.join(user, rank, now, now.Add(wait))
		return wait
	}
	b.waiting.leave(user)
	b.made = append(b.made, now)
	b.last[user] = now
	if !urgent {
		b.ordinary = now
	}
	return 0
}

// wait is how long it takes until so many ahead, and then this one, are allowed.
func (b *publishBudget) wait(most, ahead int, urgent bool, now time.Time) time.Duration {
	var wait time.Duration
	switch over := len(b.made) + ahead - most; {
	case over < 0:
	case over < len(b.made):
		wait = b.made[over].Add(publishWindow).Sub(now)
	default:
		wait = longestWait
	}
	if !urgent && len(b.made)+ahead >= publishAtOnce {
		wait = max(wait, b.ordinary.Add(time.Duration(ahead+1)*publishSpacing).Sub(now))
	}
	return min(max(wait, 0), longestWait)
}

// forget drops what does not count any more.
func (b *publishBudget) forget(now time.Time) {
	old := 0
	for old < len(b.made) && now.Sub(b.made[old]) >= publishWindow {
		old++
	}
	b.made = slices.Delete(b.made, 0, old)
	if len(b.last) < manyHomes {
		return
	}
	for user, at := range b.last {
		if now.Sub(at) >= homeMemory {
			delete(b.last, user)
		}
	}
}
