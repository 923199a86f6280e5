package bot

import (
	"slices"
	"sync"
	"time"
)

// What Slack allows, and how we share it.
const (
	manyGaps = 256 // from so many on, gaps that are over are dropped

	editWindow   = time.Minute
	editsInAll   = 50                        // chat.update in any window, for the whole workspace
	editsOrdined = 40                        // of which all but terminal ones may use so many
	editsAtOnce  = 20                        // beyond so many, these are spread over the window
	editSpacing  = editWindow / editsOrdined // by so much
	editGap      = 1200 * time.Millisecond   // between two edits of one message
	tailGap      = 5 * time.Second           // between two edits of one tail
	editsTails   = 15                        // tails are edited only while fewer edits were made in the window

	postBurst   = 4 // chat.postMessage in one channel at once
	postReserve = 1 // of which replies leave so many to parents
	postEvery   = time.Second
	// replyPatience is how long a reply gives way to parents that keep coming.
	replyPatience = 30 * time.Second

	// longestWait bounds what a waiter is told: those ahead may never spend what they wait for.
	longestWait = 10 * time.Second
	// waiterPatience is how long after its turn somebody who waits is still expected.
	waiterPatience = 3 * time.Second
)

// Budget shares out what Slack lets us do: edits, which are scarce and counted for
// the whole workspace, and posts, counted by channel. Who may not go on is told how long
// to wait and keeps a place in the queue, so that nobody starves and nobody asks in vain
// again and again. Its methods may be called from any goroutine.
type Budget struct {
	mu       sync.Mutex
	edits    []time.Time // of the last window, oldest first
	ordinary time.Time   // when the last edit was made that was not terminal
	last     map[string]time.Time
	editors  queue
	channels map[string]*channelBudget
}

// channelBudget is the allowance of posts of one channel.
type channelBudget struct {
	tokens  float64
	at      time.Time
	posters queue
}

// NewBudget returns a budget of which nothing is spent.
func NewBudget() *Budget {
	return &Budget{last: map[string]time.Time{}, channels: map[string]*channelBudget{}}
}

// editRank orders classes: the lower goes first.
func editRank(c Class) int {
	switch c {
	case Terminal:
		return 0
	case Failure:
		return 1
	case Start:
		return 2
	case Tail:
		return 4
	default:
		return 3
	}
}

// Edit takes the right to edit the message called key, or returns how long to wait
// before asking again. Terminal states may use the whole of Slack's allowance, all
// other classes only a part of it; the classes go before each other in the order
// Terminal, Failure, Start, Progress, Tail. Tails are edited seldom, and only while most of the
// allowance is left.
func (b *Budget) Edit(class Class, key string, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(now)
	gap := editGap
	if class == Tail {
		gap = tailGap
	}
	if wait := b.last[key].Add(gap).Sub(now); wait > 0 {
		return wait
	}
	ahead := b.editors.ahead(key, editRank(class), now)
	if wait := b.editWait(class, ahead, now); wait > 0 {
		b.editors.join(key, editRank(class), now, now.Add(wait))
		return wait
	}
	b.editors.leave(key)
	b.edits = append(b.edits, now)
	b.last[key] = now
	if class != Terminal {
		b.ordinary = now
	}
	return 0
}

// editWait is how long it takes until so many edits ahead, and then this one, are allowed.
func (b *Budget) editWait(class Class, ahead int, now time.Time) time.Duration {
	most := editsOrdined
	switch class {
	case Terminal:
		most = editsInAll
	case Tail:
		most = editsTails
	default: // the ordinary ones share their part
	}
	var wait time.Duration
	switch over := len(b.edits) + ahead - most; {
	case over < 0:
	case over < len(b.edits):
		// As many as are too many must have left the window.
		wait = b.edits[over].Add(editWindow).Sub(now)
	default:
		wait = longestWait
	}
	if class != Terminal && len(b.edits)+ahead >= editsAtOnce {
		wait = max(wait, b.ordinary.Add(time.Duration(ahead+1)*editSpacing).Sub(now))
	}
	return min(max(wait, 0), longestWait)
}

// Posted notes that a message was just posted, which counts for the gap between its edits.
func (b *Budget) Posted(key string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last[key] = now
}

// forget drops what does not count any more.
func (b *Budget) forget(now time.Time) {
	old := 0
	for old < len(b.edits) && now.Sub(b.edits[old]) >= editWindow {
		old++
	}
	b.edits = slices.Delete(b.edits, 0, old)
	if len(b.last) < manyGaps {
		return
	}
	for key, at := range b.last {
		if now.Sub(at) >= tailGap {
			delete(b.last, key)
		}
	}
}

// Post takes the right to post the message called key into the channel, or returns how
// long to wait before asking again. Parents go before replies, which leave them a part
// of the allowance, but not for ever.
func (b *Budget) Post(channel, key string, parent bool, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.channels[channel]
	if c == nil {
		c = &channelBudget{tokens: postBurst, at: now}
		b.channels[channel] = c
	}
	c.tokens = min(postBurst, c.tokens+float64(now.Sub(c.at))/float64(postEvery))
	c.at = now
	rank, need := 0, 1
	if !parent && c.posters.waited(key, now) < replyPatience {
		rank, need = 1, 1+postReserve
	}
	lacking := float64(need+c.posters.ahead(key, rank, now)) - c.tokens
	if lacking > 0 {
		wait := time.Duration(lacking*float64(postEvery)) + time.Millisecond // rounded up, so that nobody comes too early
		c.posters.join(key, rank, now, now.Add(wait))
		return wait
	}
	c.posters.leave(key)
	c.tokens--
	return 0
}

// queue is who waits, and in which order they may go.
type queue struct{ waiting []waiter }

type waiter struct {
	key   string
	rank  int
	since time.Time
	due   time.Time // when it is expected again
}

// waited is how long key has been waiting; 0: it is not.
func (q *queue) waited(key string, now time.Time) time.Duration {
	i := slices.IndexFunc(q.waiting, func(w waiter) bool { return w.key == key })
	if i < 0 {
		return 0
	}
	return now.Sub(q.waiting[i].since)
}

// ahead counts those who go before key: lower ranks, and earlier ones of the same
// rank. Those who did not come back in time have lost their place.
func (q *queue) ahead(key string, rank int, now time.Time) int {
	q.waiting = slices.DeleteFunc(q.waiting, func(w waiter) bool {
		return w.key != key && now.Sub(w.due) > waiterPatience
	})
	n, met := 0, false
	for _, w := range q.waiting {
		switch {
		case w.key == key:
			met = true
		case w.rank < rank, w.rank == rank && !met:
			n++
		}
	}
	return n
}

// join puts key into the queue, or keeps its place there.
func (q *queue) join(key string, rank int, now, due time.Time) {
	for i := range q.waiting {
		if w := &q.waiting[i]; w.key == key {
			w.rank, w.due = rank, due
			return
		}
	}
	q.waiting = append(q.waiting, waiter{key: key, rank: rank, since: now, due: due})
}

// leave takes key out of the queue.
func (q *queue) leave(key string) {
	q.waiting = slices.DeleteFunc(q.waiting, func(w waiter) bool { return w.key == key })
}
