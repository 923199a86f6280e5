package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
)

const (
	// mostHeap is what JavaScript may need in the page of a log of a million lines.
	mostHeap = 64 << 20
	// mostInPage is how many rows may be in the page.
	mostInPage = 2000
)

// TestBrowserViewerReach looks at logs that are far larger than a page.
func TestBrowserViewerReach(t *testing.T) {
	h := newHouse(t)
	t.Run("million", func(t *testing.T) { tour{h, t}.million() })
	t.Run("line", func(t *testing.T) { tour{h, t}.line() })
}

// millionLines is the trace that a runner of the simulator writes as "big".
func millionLines(t *testing.T) io.ReadCloser {
	t.Helper()
	lab := gitlabsim.New(gitlabsim.Options{})
	lab.SetURL(labURL)
	lab.AddUser(gitlabsim.User{Username: "alice", Name: "Alice"})
	lab.AddProject(gitlabsim.Project{ID: web, Path: "group/web", Members: map[string]int{"alice": 40}})
	lab.SetCI(web, []string{"test"}, []gitlabsim.JobSpec{{Name: "replay", Stage: "test", Log: "big" + gitlabsim.Timestamps}})
	p := lab.RunPipeline(web, "main", "web", "alice")
	if err := lab.FinishPipeline(web, p.ID, "failed"); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%s/api/v4/projects/%d/jobs/%d/trace", labURL, web, lab.Jobs(web, p.ID)[0].ID), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Private-Token", "glpat-sim")
	resp, err := lab.Client().Do(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("read the trace: %v %v", resp, err)
	}
	return resp.Body
}

// heap is what JavaScript needs in the page after a collection, buffers included.
func (v viewer) heap() int {
	v.t.Helper()
	call(v.page, heapprofiler.CollectGarbage, cdp.Empty{})
	got := call(v.page, runtime.GetHeapUsage, cdp.Empty{})
	return int(got.UsedSize + got.BackingStorageSize + got.EmbedderHeapUsedSize)
}

// bounded checks how much of the log the page holds.
func (v viewer) bounded(when string) {
	v.t.Helper()
	rows, heap := v.sight().Rows, v.heap()
	elements := ask[int](v.page, "document.querySelectorAll('*').length")
	v.t.Logf("%s: %d rows in the page, %d elements, %.1f MB of heap", when, rows, elements, float64(heap)/1e6)
	if rows > mostInPage || heap > mostHeap {
		v.t.Errorf("%s: %d rows, %d bytes of heap", when, rows, heap)
	}
}

// million goes through a log of a million lines.
func (h tour) million() {
	t := h.t
	trace := millionLines(t)
	began := time.Now()
	l := h.finished("replay", trace, kovra.Failed)
	h.must(trace.Close())
	log, err := h.logs.Log(t.Context(), l.id)
	h.must(err)
	total := log.Lines
	t.Logf("%d lines, %.0f MB, kept in %s", total, float64(log.Bytes)/1e6, time.Since(began).Round(time.Millisecond))

	s := small
	v := l.view(t, "#L500000", s)
	v.on(500_000)
	v.load("about:blank")
	began = time.Now()
	v.load(l.url() + "#L733200")
	v.on(733_200)
	v.sight()
	t.Logf("first screen: %s", time.Since(began).Round(time.Millisecond))
	v.bounded("first screen")
	v.shot("first")

	v.timed("to the end by key", func() {
		v.press(kb.End)
		v.on(total)
		v.sight()
	})
	v.see("@place", number(total))
	v.shot("end")
	v.timed("to the beginning by key", func() {
		v.press(kb.Home)
		v.on(1)
		v.sight()
	})
	v.rail(0.5, total)
	v.shot("middle")
	v.rail(1, total)
	v.on(total)

	v.timed("search of a word, with its number", func() {
		v.fill("@search", "worker 17:")
		v.see("@search-count", "match")
		v.wait("!/counting/.test(document.querySelector('[data-test=search-count]').innerText)")
	})
	t.Logf("%q", v.read("@search-count"))
	v.sight()
	v.shot("search")
	v.timed("the last match", func() {
		v.press(kb.Enter, chromedp.ModifierShift)
		v.see("@search-count", "of")
	})
	v.timed("search that matches most lines", func() {
		v.fill("@search", "/api/")
		v.see("@search-count", "match")
		v.wait("!/counting/.test(document.querySelector('[data-test=search-count]').innerText)")
	})
	t.Logf("%q", v.read("@search-count"))
	v.bounded("most lines match")
	v.click("@only")
	v.sight()
	v.rail(0.5, total)
	v.shot("marks")
	v.bounded("marked")
	v.click("@clear")
	v.press(kb.Escape)
	v.do(chromedp.Evaluate[chromedp.Void]("document.querySelector('[data-test=log]').focus()"))
	v.press(kb.Home)
	v.on(1)
	for range 40 {
		v.wheel(3000)
	}
	v.sight()
	v.wait("readLog.now().first > 500")
	v.bounded("after much scrolling")
}

// timed tells how long something takes.
func (v viewer) timed(what string, do func()) {
	v.t.Helper()
	began := time.Now()
	do()
	v.t.Logf("%s: %s", what, time.Since(began).Round(time.Millisecond))
}

// number groups the digits of a number.
func number(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// rail drags the thumb of the rail to a part of the log, 0 to 1.
func (v viewer) rail(part float64, total int) {
	v.t.Helper()
	type box struct{ X, Top, Height, Thumb, Size float64 }
	b := ask[box](v.page, `(() => {
		const rail = document.querySelector("[data-test=rail]"), r = rail.getBoundingClientRect(), thumb = rail.querySelector(".thumb").getBoundingClientRect();
		return { X: r.x + r.width / 2, Top: r.top, Height: r.height, Thumb: thumb.top, Size: thumb.height };
	})()`)
	mouse := func(kind input.DispatchMouseEventType, y float64) chromedp.Action[chromedp.Void] {
		return chromedp.MouseEvent(kind, b.X, y, chromedp.ButtonLeft, chromedp.ClickCount(1), func(p *input.DispatchMouseEventParams) { p.Buttons = 1 })
	}
	to := b.Top + b.Size/2 + (b.Height-b.Size)*part
	from := b.Thumb + b.Size/2
	v.do(mouse(input.DispatchMouseEventTypeMousePressed, from))
	for i := 1; i <= 10; i++ {
		v.do(mouse(input.DispatchMouseEventTypeMouseMoved, from+(to-from)*float64(i)/10))
	}
	v.do(mouse(input.DispatchMouseEventTypeMouseReleased, to))
	v.wait(fmt.Sprintf("Math.abs(readLog.now().first - %f) < %f", part*float64(total), 0.01*float64(total)))
	v.sight()
}

// line shows a line that has 100 MB at its source.
func (h tour) line() {
	t := h.t
	trace := io.MultiReader(strings.NewReader("first\n"), io.LimitReader(endless{}, 100<<20), strings.NewReader("\nlast\n"))
	l := h.finished("dump", trace, kovra.Failed)
	log, err := h.logs.Log(t.Context(), l.id)
	h.must(err)
	v := l.view(t, "", small)
	v.see("@row", "last")
	s := v.sight()
	longest := 0
	for _, text := range s.Texts {
		longest = max(longest, len(text))
	}
	t.Logf("%d lines, %d bytes are kept; %d are shown of the longest", log.Lines, log.Bytes, longest)
	if log.Bytes > 1<<20 || longest > 4000 {
		t.Errorf("that is too much")
	}
	v.bounded("a long line")
	v.shot("line")
	v.click("button.more")
	v.gone("button.more")
	v.wait("Math.max(...readLog.rows().map((r) => readLog.chars(r).length)) > 4000")
	v.bounded("unfolded")
	v.click("@wrap")
	v.shot("wrapped")
}

// endless is text without an end of line.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "0123456789abcdef "[i%17]
	}
	return len(p), nil
}
