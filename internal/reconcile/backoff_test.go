package reconcile

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	tests := []struct {
		name     string
		backoff  Backoff
		failures int
		limit    time.Duration
	}{
		{"defaults, first", Backoff{}, 1, 200 * time.Millisecond},
		{"defaults, third", Backoff{}, 3, 800 * time.Millisecond},
		{"defaults, capped", Backoff{}, 1000, 2 * time.Minute},
		{"max below base", Backoff{Base: time.Hour, Max: time.Second}, 2, time.Hour},
		{"negative", Backoff{Base: -1, Max: -1}, 1, 200 * time.Millisecond},
		{"tiny", Backoff{Base: 1, Max: 1}, 5, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for range 100 {
				got := tt.backoff.withDefaults().pause(tt.failures)
				if got < tt.limit/2 || got > tt.limit {
					t.Fatalf("pause = %s, want between %s and %s", got, tt.limit/2, tt.limit)
				}
			}
		})
	}
}

func TestFIFOKeepsOrderWhileItGivesRoomBack(t *testing.T) {
	var f fifo[int]
	next, want := 0, 0
	for round := range 200 {
		for range round%7 + 1 {
			f.Push(next)
			f.Touch(next)
			next++
		}
		for range min(f.Len(), round%5+1) {
			if got := f.Pop(); got != want {
				t.Fatalf("Pop = %d, want %d", got, want)
			}
			want++
		}
	}
	for f.Len() > 0 {
		if got := f.Pop(); got != want {
			t.Fatalf("Pop = %d, want %d", got, want)
		}
		want++
	}
	if want != next {
		t.Errorf("%d keys came out, want %d", want, next)
	}
	for range 10_000 {
		f.Push(1)
		f.Pop()
	}
	if len(f.waiting) > 1000 {
		t.Errorf("%d places held by an empty queue", len(f.waiting))
	}
}
