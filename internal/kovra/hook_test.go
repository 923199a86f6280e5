package kovra

import (
	"slices"
	"testing"
	"time"
)

func TestHookHealthsAreAll(t *testing.T) {
	all := []HookHealth{HealthUnknown, HealthFine, HealthNone, HealthGone, HealthResting, HealthDisabled, HealthRefused, HealthLacking}
	trouble := []HookHealth{HealthGone, HealthResting, HealthDisabled, HealthRefused, HealthLacking}
	listed := HookHealths()
	if len(listed) != len(all) {
		t.Errorf("%d are listed, there are %d", len(listed), len(all))
	}
	for _, h := range all {
		if !slices.Contains(listed, h) {
			t.Errorf("%s is not listed", h)
		}
		if h.Trouble() != slices.Contains(trouble, h) {
			t.Errorf("%s: trouble %t", h, h.Trouble())
		}
	}
	if (HookSight{}).Is() != HealthUnknown {
		t.Error("what was never seen is not unknown")
	}
}

func TestHookSightSame(t *testing.T) {
	at := time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC)
	s := HookSight{Health: HealthResting, Until: at, Lacks: []string{"Comments"}, Last: "503", Note: "n", Since: at}
	looked := s
	looked.At, looked.Tried = at, at
	if !s.Same(looked) {
		t.Error("a second look alone is news")
	}
	for name, change := range map[string]func(*HookSight){
		"health": func(s *HookSight) { s.Health = HealthDisabled }, "until": func(s *HookSight) { s.Until = at.Add(1) },
		"lacks": func(s *HookSight) { s.Lacks = nil }, "last": func(s *HookSight) { s.Last = "" },
		"note": func(s *HookSight) { s.Note = "" }, "since": func(s *HookSight) { s.Since = time.Time{} },
	} {
		other := s
		change(&other)
		if s.Same(other) {
			t.Errorf("another %s is no news", name)
		}
	}
	if !(HookSight{}).Same(HookSight{Health: HealthUnknown}) {
		t.Error("unknown is not unknown")
	}
}

func TestTokenDue(t *testing.T) {
	ends := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	const d = 24 * time.Hour
	for _, c := range []struct {
		before time.Duration // its end
		left   int
		due    int // 0: nothing
		next   time.Duration
	}{
		{31 * d, 31, 0, 30 * d},
		{30*d + 1, 31, 0, 30 * d},
		{30 * d, 30, 30, 7 * d},
		{8 * d, 8, 30, 7 * d},
		{7 * d, 7, 7, 1 * d},
		{1*d + time.Second, 2, 7, 1 * d},
		{1 * d, 1, 1, 0},
		{time.Second, 1, 1, 0},
		{0, 0, 0, 0},
		{-5 * d, 0, 0, 0},
	} {
		s, now := TokenSight{ID: 1, Expires: ends}, ends.Add(-c.before)
		left, expires := s.Left(now)
		due, is := s.Due(now)
		if left != c.left || !expires || due != c.due || is != (c.due > 0) {
			t.Errorf("%v before: %d left, due %d %t; want %d, %d", c.before, left, due, is, c.left, c.due)
		}
		var next time.Time
		if c.next > 0 {
			next = ends.Add(-c.next)
		}
		if got := s.NextDue(now); !got.Equal(next) {
			t.Errorf("%v before: next %v, want %v", c.before, got, next)
		}
	}
	for name, s := range map[string]TokenSight{"never asked": {}, "never ends": {ID: 1}} {
		if _, is := s.Due(ends); is || !s.NextDue(ends).IsZero() {
			t.Errorf("%s: something is due", name)
		}
	}
}
