package bot

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var epoch = time.Unix(1_700_000_000, 0)

// spend asks for edits of ever new messages until one must wait; it returns how many were free.
func spend(b *Budget, class Class, name string, now time.Time) (n int, wait time.Duration) {
	for {
		if wait := b.Edit(class, fmt.Sprint(name, n), now); wait > 0 {
			return n, wait
		}
		n++
	}
}

func TestBudgetKeepsAReserveForTerminalStates(t *testing.T) {
	b := NewBudget()
	now := epoch
	for ordinary := 0; ordinary < editsOrdined; now = now.Add(editSpacing) {
		n, _ := spend(b, Progress, fmt.Sprint(now.Unix(), "p"), now)
		ordinary += n
		b.editors = queue{}
		if now.Sub(epoch) > editWindow {
			t.Fatalf("%d progress edits in a window, want %d", ordinary, editsOrdined)
		}
	}
	if n, _ := spend(b, Failure, "f", now); n != 0 {
		t.Errorf("%d more failures were shown, want none", n)
	}
	n, wait := spend(b, Terminal, "t", now)
	if n != editsInAll-editsOrdined || wait <= 0 {
		t.Errorf("%d terminal edits, then wait %v; want the reserve of %d", n, wait, editsInAll-editsOrdined)
	}
}

func TestBudgetGoesByClassAndThenByTurn(t *testing.T) {
	b := NewBudget()
	now := epoch
	for i := range editsInAll {
		b.Edit(Terminal, fmt.Sprint("old", i), now)
		now = now.Add(editWindow / editsInAll) // so that the places come free one by one
	}
	now = now.Add(-time.Second)
	for _, k := range []struct {
		class Class
		key   string
	}{{Progress, "p1"}, {Progress, "p2"}, {Start, "s"}, {Failure, "f"}, {Terminal, "t"}} {
		if b.Edit(k.class, k.key, now) == 0 {
			t.Fatalf("%s may edit though all is spent", k.key)
		}
	}
	class := map[string]Class{"p1": Progress, "p2": Progress, "s": Start, "f": Failure, "t": Terminal}
	var order []string
	for end := now.Add(2 * editWindow); now.Before(end); now = now.Add(100 * time.Millisecond) {
		for _, k := range []string{"p2", "p1", "s", "f", "t"} {
			if class[k] >= 0 && b.Edit(class[k], k, now) == 0 {
				order = append(order, k)
				class[k] = -1
			}
		}
	}
	if got := fmt.Sprint(order); got != "[t f s p1 p2]" {
		t.Errorf("order %s, want [t f s p1 p2]", got)
	}
}

func TestBudgetLeavesAGapBetweenEditsOfOneMessage(t *testing.T) {
	b := NewBudget()
	b.Posted("m", epoch)
	if wait := b.Edit(Terminal, "m", epoch.Add(200*time.Millisecond)); wait != time.Second {
		t.Errorf("wait %v after the post, want 1s", wait)
	}
	if wait := b.Edit(Progress, "m", epoch.Add(editGap)); wait != 0 {
		t.Errorf("wait %v after the gap", wait)
	}
	if wait := b.Edit(Terminal, "m", epoch.Add(editGap+time.Millisecond)); wait != editGap-time.Millisecond {
		t.Errorf("wait %v after an edit, want %v", wait, editGap-time.Millisecond)
	}
}

func TestBudgetForgetsWhoDoesNotComeBack(t *testing.T) {
	b := NewBudget()
	for i := range editsInAll {
		b.Edit(Terminal, fmt.Sprint("old", i), epoch)
	}
	b.Edit(Terminal, "gone", epoch.Add(editWindow-time.Second))
	now := epoch.Add(editWindow + longestWait + waiterPatience)
	for i := range editsInAll {
		if wait := b.Edit(Terminal, fmt.Sprint("new", i), now); wait != 0 {
			t.Fatalf("edit %d waits %v behind one that never came", i, wait)
		}
	}
}

func TestBudgetBoundsTheWaitBehindManyOthers(t *testing.T) {
	b := NewBudget()
	for i := range 60 {
		b.editors.join(fmt.Sprint("w", i), 0, epoch, epoch.Add(time.Second))
	}
	if wait := b.Edit(Terminal, "late", epoch); wait != longestWait {
		t.Errorf("wait %v, want %v", wait, longestWait)
	}
}

func TestBudgetPostsParentsBeforeReplies(t *testing.T) {
	b := NewBudget()
	for i := range postBurst - postReserve {
		if wait := b.Post("C1", fmt.Sprint("r", i), false, epoch); wait != 0 {
			t.Fatalf("reply %d waits %v", i, wait)
		}
	}
	if wait := b.Post("C1", "r3", false, epoch); wait < time.Second || wait > time.Second+10*time.Millisecond {
		t.Errorf("the next reply waits %v, want a second", wait)
	}
	if wait := b.Post("C1", "p1", true, epoch); wait != 0 {
		t.Errorf("a parent waits %v though a place is kept for it", wait)
	}
	parent := b.Post("C1", "p2", true, epoch)
	reply := b.Post("C1", "r3", false, epoch)
	if parent <= 0 || reply <= parent {
		t.Errorf("parent waits %v, reply %v: want the parent first", parent, reply)
	}
	if wait := b.Post("C2", "r3", false, epoch); wait != 0 {
		t.Errorf("another channel waits %v", wait)
	}
}

// A channel with more new pipelines than it can take still hears of failures.
func TestBudgetPostsRepliesInTheEnd(t *testing.T) {
	b := NewBudget()
	replied := time.Duration(0)
	for i, now := 0, epoch; now.Sub(epoch) < 2*time.Minute; i, now = i+1, now.Add(100*time.Millisecond) {
		for p := range 40 { // more parents than there is room for
			b.Post("C1", fmt.Sprint("p", p, "/", i/500), true, now)
		}
		if replied == 0 && b.Post("C1", "reply", false, now) == 0 {
			replied = now.Sub(epoch)
		}
	}
	if replied == 0 || replied > replyPatience+15*time.Second {
		t.Errorf("the reply was posted after %v", replied)
	}
}

// TestBudgetNeverExceedsSlack asks at random, as long as one likes, and counts.
func TestBudgetNeverExceedsSlack(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	b := NewBudget()
	now := epoch
	var all, ordinary []time.Time
	posts := map[string][]time.Time{}
	for range 20_000 {
		now = now.Add(time.Duration(rnd.IntN(40)) * time.Millisecond)
		class, key := Class(rnd.IntN(4)), fmt.Sprint(rnd.IntN(300))
		if b.Edit(class, key, now) == 0 {
			all = append(all, now)
			if class != Terminal {
				ordinary = append(ordinary, now)
			}
		}
		channel := fmt.Sprint("C", rnd.IntN(3))
		if b.Post(channel, key, rnd.IntN(2) == 0, now) == 0 {
			posts[channel] = append(posts[channel], now)
		}
	}
	most(t, "edits", all, editsInAll, editWindow)
	most(t, "ordinary edits", ordinary, editsOrdined, editWindow)
	for c, p := range posts {
		most(t, c, p, postBurst+10, 10*time.Second)
	}
	if spent := now.Sub(epoch); len(all) < int(spent/editWindow)*30 {
		t.Errorf("only %d edits in %v", len(all), spent)
	}
}

// most fails if any window holds more than n of the times.
func most(t *testing.T, what string, times []time.Time, n int, window time.Duration) {
	t.Helper()
	for i := range times {
		if i >= n && times[i].Sub(times[i-n]) < window {
			t.Fatalf("%s: %d within %v", what, n+1, times[i].Sub(times[i-n]))
		}
	}
}

// Tails come last, seldom, and only while most of the allowance is left.
func TestBudgetOfTails(t *testing.T) {
	b := NewBudget()
	b.Posted("tail", epoch)
	if wait := b.Edit(Tail, "tail", epoch.Add(time.Second)); wait != tailGap-time.Second {
		t.Errorf("wait %v a second after the post, want %v", wait, tailGap-time.Second)
	}
	now := epoch.Add(tailGap)
	if wait := b.Edit(Tail, "tail", now); wait != 0 {
		t.Errorf("wait %v after the gap", wait)
	}
	n, wait := spend(b, Tail, "t", now)
	if n != editsTails-1 || wait <= 0 {
		t.Errorf("%d more tails, then wait %v; want %d", n, wait, editsTails-1)
	}
	if n, _ := spend(b, Progress, "p", now); n == 0 {
		t.Error("tails leave nothing to what moves")
	}
	if n, _ := spend(b, Terminal, "e", now); n < editsInAll-editsOrdined {
		t.Errorf("%d terminal edits after tails, want at least the reserve", n)
	}
	if b.Edit(Tail, "tail", now.Add(tailGap)) == 0 {
		t.Error("a tail is edited though little is left")
	}
	if wait := b.Edit(Tail, "tail", now.Add(2*editWindow)); wait != 0 {
		t.Errorf("wait %v with all of the allowance", wait)
	}
}
