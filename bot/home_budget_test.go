package bot

import (
	"fmt"
	"testing"
	"time"
)

func TestPublishBudgetOfOne(t *testing.T) {
	b := newPublishBudget()
	if wait := b.take("U1", false, noon); wait != 0 {
		t.Errorf("the first waits %s", wait)
	}
	if got := b.rest("U1", noon.Add(time.Second)); got != publishGap-time.Second {
		t.Errorf("rest is %s", got)
	}
	if got := b.rest("U2", noon); got != 0 {
		t.Errorf("somebody else rests %s", got)
	}
	if got := b.lastOf("U1"); !got.Equal(noon) {
		t.Errorf("last is %s", got)
	}
}

// TestPublishBudgetKeepsTheLimit has many people ask all the time: those who click are never held up by those who look.
func TestPublishBudgetKeepsTheLimit(t *testing.T) {
	b := newPublishBudget()
	var made []time.Time
	clicks, longest := 0, time.Duration(0)
	due := map[string]time.Time{}
	for tick := range 10 * 60 * 10 {
		now := noon.Add(time.Duration(tick) * 100 * time.Millisecond)
		for i := range 60 {
			user := fmt.Sprint("U", i)
			if now.Before(due[user]) {
				continue
			}
			wait := b.take(user, false, now)
			if wait == 0 {
				made, wait = append(made, now), publishGap
			}
			due[user] = now.Add(wait)
		}
		if tick%40 != 0 {
			continue
		}
		clicks++
		wait := b.take("UCLICK", true, now)
		longest = max(longest, wait)
		if wait == 0 {
			made = append(made, now)
		}
	}
	if longest != 0 {
		t.Errorf("a click waited %s", longest)
	}
	if most := mostInWindow(made); most > publishInAll || most < publishOrdinary {
		t.Errorf("%d in a minute", most)
	}
	if want := 10*publishOrdinary - clicks; len(made)-clicks < want*9/10 {
		t.Errorf("those who look got %d, want about %d", len(made)-clicks, want)
	}
}

// mostInWindow is how many of the times, in order, lie within any one minute.
func mostInWindow(times []time.Time) (most int) {
	first := 0
	for i, at := range times {
		for at.Sub(times[first]) >= publishWindow {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

func TestPublishBudgetOfClicks(t *testing.T) {
	b := newPublishBudget()
	for i := range publishInAll {
		if wait := b.take(fmt.Sprint("U", i), true, noon); wait != 0 {
			t.Fatalf("click %d waits %s", i, wait)
		}
	}
	if wait := b.take("UMORE", true, noon); wait != longestWait {
		t.Errorf("one too many waits %s", wait)
	}
	if wait := b.take("UMORE", true, noon.Add(publishWindow)); wait != 0 {
		t.Errorf("a minute later it waits %s", wait)
	}
}

func TestPublishBudgetForgets(t *testing.T) {
	b := newPublishBudget()
	for i := range 3 * manyHomes {
		now := noon.Add(time.Duration(i) * 10 * time.Second)
		if wait := b.take(fmt.Sprint("U", i), true, now); wait != 0 {
			t.Fatal(wait)
		}
	}
	if n := len(b.last); n > manyHomes {
		t.Errorf("%d people are remembered", n)
	}
}
