package e2e

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const (
	// mostFollowing is how many rows may be in the page of one who follows.
	mostFollowing = 1200
	// mostMade is how many rows may be made on the way to the end of a burst.
	mostMade = 5000
)

// TestBrowserViewerBurst looks at logs that grow fast while somebody reads or searches.
func TestBrowserViewerBurst(t *testing.T) {
	h := newHouse(t)
	for _, one := range []struct {
		name string
		look func(tour)
	}{
		{"marks", tour.marksOfNow},
		{"search", tour.searchGrows},
		{"rush", tour.searchInRush},
		{"scroll", tour.scrollInRush},
		{"before-lines", tour.scrollBeforeLines},
		{"leap", tour.leap},
	} {
		t.Run(one.name, func(t *testing.T) { one.look(tour{h, t}) })
	}
}

// leap follows a log that a hundred thousand lines are added to at once.
func (h tour) leap() {
	t := h.t
	l := h.job("unit")
	l.write(300)
	v := l.view(t, "", small)
	v.on(300)
	v.do(chromedp.Evaluate[chromedp.Void](`window.made = 0; new MutationObserver((all) => {
		for (const one of all) made += one.addedNodes.length;
	}).observe(document.querySelector("[data-test=log] .rows"), { childList: true })`))
	l.write(100_000)
	v.timed("to the end of the burst", func() {
		v.on(100_300)
	})
	s, made := v.sight(), ask[int](v.page, "made")
	t.Logf("%d rows in the page, %d were made", s.Rows, made)
	if !s.AtEnd || s.Texts[len(s.Texts)-1] != step(100_300) {
		t.Errorf("it does not show the end: %+v", s)
	}
	if s.Rows > mostFollowing || made > mostMade {
		t.Errorf("%d rows in the page, %d were made", s.Rows, made)
	}
	v.gone("@follow-pill")
	v.see("@lines-known", "100,300 lines")
	l.write(3)
	v.on(100_303)
	if !v.sight().AtEnd {
		t.Error("it does not follow any more")
	}
	v.shot("end")
}

// words are what the lines to search in say: some of them alpha, some beta, some both.
func words(n int) string {
	var say []string
	if n%3 == 0 {
		say = append(say, "alpha")
	}
	if n%2 == 0 {
		say = append(say, "beta")
	}
	return strings.Join(append(say, step(n)), " ")
}

// marksOfNow searches for one word and then for another, at the end of a whole live log: no
// row keeps the marks of the first.
func (h tour) marksOfNow() {
	t := h.t
	l := h.job("unit")
	l.must(l.add(300, words))
	v := l.view(t, "", small)
	v.on(300)
	v.fill("@search", "alpha")
	v.counts(100)
	v.click("@only")
	v.click("@follow-pill")
	v.on(300)
	marked := func(word string, every int) {
		t.Helper()
		v.wait(fmt.Sprintf("readLog.now().atEnd && readLog.row(300)?.querySelector('mark')?.textContent === %q", word))
		wrong := ask[[]string](v.page, fmt.Sprintf(`readLog.rows().filter((r) => {
			const hits = [...r.querySelectorAll("mark")].map((m) => m.textContent).join();
			return hits !== (Number(r.dataset.n) %% %d ? "" : %q);
		}).map((r) => r.innerHTML)`, every, word))
		if len(wrong) > 0 {
			t.Errorf("%s: %d rows are marked wrongly, such as %s", word, len(wrong), wrong[len(wrong)-1])
		}
	}
	marked("alpha", 3)
	v.fill("@search", "beta")
	v.counts(150)
	marked("beta", 2)
	v.shot("beta")
}

// counts waits until the search has found so many, and is at none of them.
func (v viewer) counts(n int) {
	v.t.Helper()
	v.wait(fmt.Sprintf("document.querySelector('[data-test=search-count]').innerText.trim() === %q", strings.Replace(matches(n), fmt.Sprint(n), number(n), 1)))
}

// knows waits until the page has heard of so many lines.
func (v viewer) knows(n int) {
	v.t.Helper()
	v.wait(fmt.Sprintf("Number(document.querySelector('[data-test=lines-known]').dataset.n) >= %d", n))
}

// found is how many lines the server finds.
func (l *written) found(text string) (n int) {
	l.t.Helper()
	for hits, err := range l.logs.Search(l.t.Context(), l.id, storage.LogQuery{Text: text}) {
		l.must(err)
		n += len(hits.Numbers)
	}
	return n
}

// searchGrows adds lines, and then the end, while the page waits for the end of a search that has
// looked at all that was there before.
func (h tour) searchGrows() {
	t := h.t
	l := h.job("unit")
	l.must(l.add(300, words))
	v := l.view(t, "", small)
	v.on(300)
	first := l.hold("/search")
	v.fill("@search", "beta")
	v.reached(first)
	l.must(l.add(40, words))
	v.knows(340)
	second := l.hold("/search")
	close(first.open)
	v.reached(second)
	v.see("@search-count", "170 matches")

	l.must(l.add(20, words))
	l.end("unit", kovra.Success)
	v.see("@status", "Success")
	v.knows(360)
	close(second.open)
	v.counts(180)
	if n := l.found("beta"); n != 180 {
		t.Errorf("the server finds %d", n)
	}
	v.shot("all")
}

// reached waits until a request stands at a gate.
func (v viewer) reached(g gate) {
	v.t.Helper()
	select {
	case <-g.reached:
	case <-time.After(browserPatience):
		v.t.Fatalf("nothing is asked for; the count is %q", v.read("@search-count"))
	}
}

// searchInRush adds a few lines at a time, as fast as they are kept.
func (h tour) searchInRush() {
	l := h.job("unit")
	l.must(l.add(30, words))
	v := l.view(h.t, "", small)
	v.on(30)
	v.fill("@search", "beta")
	v.counts(15)
	for range 150 {
		l.must(l.add(7, words))
	}
	v.knows(1080)
	v.counts(l.found("beta"))
	for range 50 {
		l.must(l.add(7, words))
	}
	l.end("unit", kovra.Failed)
	v.see("@status", "Failed")
	v.counts(l.found("beta"))
	v.shot("all")
}

// steadily adds a hundred lines in a second until it is stopped.
func (l *written) steadily(t *testing.T) (stop func()) {
	t.Helper()
	tick, done := time.NewTicker(10*time.Millisecond), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if err := l.add(1, step); err != nil {
				t.Errorf("add a line: %v", err)
				return
			}
		}
	})
	stop = sync.OnceFunc(func() {
		tick.Stop()
		close(done)
		all.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// restScript waits until the log stands still, or it is clear that it does not.
const restScript = `(async () => {
	const log = document.querySelector("[data-test=log]");
	for (let same = 0, was = NaN, end = performance.now() + 3000; same < 5 && performance.now() < end; was = log.scrollTop) {
		await new Promise(requestAnimationFrame);
		same = log.scrollTop === was ? same + 1 : 0;
	}
	return readLog.now();
})()`

// scrollInRush leaves the end of a log that grows, by the wheel: nothing takes the reader back.
func (h tour) scrollInRush() {
	h.leaves([]int{20, 20, 20, 20, 20, 20, 20, 200}, func(v viewer) {
		for range 6 {
			v.wheel(-120)
		}
	})
}

// scrollBeforeLines leaves it right before lines are shown that came: the browser has not told
// the page yet that the reader scrolled. The page shows lines 50 ms after the first of them came.
func (h tour) scrollBeforeLines() {
	h.leaves([]int{10, 10, 10}, func(v viewer) {
		if !ask[bool](v.page, `new Promise((done) => {
			const later = window.setTimeout;
			window.setTimeout = (show, ms) => {
				if (ms !== 50) return later(show, ms);
				window.setTimeout = later;
				return later(() => {
					document.querySelector("[data-test=log]").scrollTop -= 700;
					show();
					done(true);
				}, ms);
			};
			later(() => done(false), 5000);
		})`) {
			v.t.Fatal("the page does not gather lines for 50 ms any more")
		}
	})
}

// leaves leaves the end of a log that grows and stays away for so many lines, again and again.
func (h tour) leaves(rounds []int, leave func(viewer)) {
	t := h.t
	l := h.job("unit")
	l.write(500)
	v := l.view(t, "", small)
	v.on(500)
	stop := l.steadily(t)
	for round, more := range rounds {
		v.press(kb.End)
		v.wait("document.body.classList.contains('following')")
		leave(v)
		before := ask[seen](v.page, restScript)
		if before.AtEnd {
			t.Fatalf("round %d: it was taken back to the end", round)
		}
		v.knows(ask[int](v.page, "Number(document.querySelector('[data-test=lines-known]').dataset.n)") + more)
		if after := v.sight(); after.First != before.First || math.Abs(after.Offset-before.Offset) >= 1 {
			t.Fatalf("round %d: the screen moved from line %d%+.1f to %d%+.1f", round, before.First, before.Offset, after.First, after.Offset)
		}
	}
	stop()
	v.shot("stays")
}
