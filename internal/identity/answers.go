package identity

import (
	"context"
	"sync"
	"time"
)

// answers remembers what somebody else said, each for a while, and asks for one
// thing at a time once.
type answers[K comparable, V any] struct {
	ask   func(ctx context.Context, key K) (V, error)
	now   func() time.Time
	weigh func(V) int
	most  int // weight of all that is remembered

	mu     sync.Mutex
	known  map[K]*said[V]
	order  []K // oldest key first
	weight int
}

// said is what is remembered of one key. The turn is held by whoever asks; the other
// fields belong to the mutex of answers.
type said[V any] struct {
	turn   chan struct{}
	value  V
	at     time.Time // zero: nothing is remembered
	weight int
}

func newAnswers[K comparable, V any](now func() time.Time, most int, weigh func(V) int, ask func(context.Context, K) (V, error)) *answers[K, V] {
	return &answers[K, V]{ask: ask, now: now, weigh: weigh, most: most, known: map[K]*said[V]{}}
}

// recall returns what is remembered and not older than age.
func (a *answers[K, V]) recall(key K, age time.Duration) (V, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fresh(a.known[key], age)
}

func (a *answers[K, V]) fresh(s *said[V], age time.Duration) (V, bool) {
	if s == nil || s.at.IsZero() || a.now().Sub(s.at) > age {
		var none V
		return none, false
	}
	return s.value, true
}

// get returns an answer not older than age; it asks where there is none. Whoever
// comes while the same is being asked waits for that answer.
func (a *answers[K, V]) get(ctx context.Context, key K, age time.Duration) (V, error) {
	s := a.entry(key)
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
	a.mu.Lock()
	value, ok := a.fresh(s, age)
	a.mu.Unlock()
	if ok {
		return value, nil
	}
	asked := a.now() // what changes while Slack answers counts as not seen
	value, err := a.ask(ctx, key)
	if err != nil {
		var none V
		return none, err
	}
	a.keep(key, s, value, asked)
	return value, nil
}

func (a *answers[K, V]) entry(key K) *said[V] {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.known[key]
	if s == nil {
		s = &said[V]{turn: make(chan struct{}, 1)}
		a.known[key] = s
		a.order = append(a.order, key)
	}
	return s
}

// keep remembers an answer, unless it was forgotten while it was on its way, and
// makes room by dropping what was first asked for longest ago.
func (a *answers[K, V]) keep(key K, s *said[V], value V, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known[key] != s {
		return
	}
	w := a.weigh(value)
	a.weight += w - s.weight
	s.value, s.at, s.weight = value, at, w
	for a.weight > a.most || len(a.order) > a.most {
		a.drop(a.order[0])
	}
}

// forget drops an answer; one that is on its way is not remembered either.
func (a *answers[K, V]) forget(key K) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known[key] != nil {
		a.drop(key)
	}
}

// forgetAll drops all answers likewise.
func (a *answers[K, V]) forgetAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.known)
	a.order, a.weight = nil, 0
}

func (a *answers[K, V]) drop(key K) {
	a.weight -= a.known[key].weight
	delete(a.known, key)
	for n, k := range a.order {
		if k == key {
			a.order = append(a.order[:n], a.order[n+1:]...)
			return
		}
	}
}
