package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
)

// TestBrowserViewer looks at logs with a browser, as a person would.
func TestBrowserViewer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, one := range []struct {
		name string
		look func(tour)
	}{
		{"live", tour.live},
		{"lost", tour.lost},
		{"filter", tour.filter},
		{"whole", tour.filteredWhole},
		{"copy", tour.copy},
		{"copy-keys", tour.copyAllByKeys},
		{"copy-plain", tour.copyPlain},
		{"stderr", tour.stderr},
		{"fold", tour.fold},
		{"range", tour.ranges},
		{"keyboard", tour.keyboard},
		{"phone", tour.phone},
		{"themes", tour.themes},
		{"hostile", tour.hostile},
		{"refused", tour.refused},
	} {
		t.Run(one.name, func(t *testing.T) { one.look(tour{h, t}) })
	}
}

func sample(kind string) *strings.Reader { return strings.NewReader(gitlabsim.SampleLog(kind)) }

// live follows a running job: at the end it follows, above it stays and counts.
func (h tour) live() {
	t := h.t
	l := h.job("unit")
	l.write(300)
	v := l.view(t, "", small)
	v.see("@status", "Running")
	v.on(300)
	v.shot("follows")
	l.write(50)
	v.on(350)
	if !v.sight().AtEnd {
		t.Error("it does not stay at the end")
	}

	v.wheel(-700)
	v.wait("!readLog.now().atEnd")
	v.see("@follow-pill", "Follow")
	before := ask[seen](v.page, restScript)
	l.write(30)
	v.see("@follow-pill", "30 new lines")
	l.write(1)
	v.see("@follow-pill", "31 new lines")
	if after := v.sight(); after.First != before.First || after.Offset != before.Offset {
		t.Errorf("the screen moved from line %d%+.1f to %d%+.1f", before.First, before.Offset, after.First, after.Offset)
	}
	v.shot("stays")
	v.click("@follow-pill")
	v.on(381)
	v.gone("@follow-pill")
	l.write(20)
	v.on(401)

	v.wheel(-500)
	v.see("@follow-pill")
	l.write(5)
	v.see("@follow-pill", "5 new lines")
	for range 6 {
		v.wheel(400)
	}
	v.gone("@follow-pill")
	l.write(400)
	v.on(806)
	v.see("@lines-known", "806 lines")

	l.end("unit", kovra.Success)
	v.see("@status", "Success")
	v.wheel(-500)
	v.wait("!readLog.now().atEnd")
	v.gone("@follow-pill")
	v.wait(fmt.Sprintf("performance.now() > %f", ask[float64](v.page, "performance.now() + 3000"))) // a connection that was lost is tried again after 2 s
	if n := l.asked("/stream"); n != 1 {
		t.Errorf("the stream was opened %d times", n)
	}
	v.shot("ended")
}

// lost cuts the connection of a live log: it comes back, and no line is missing or doubled.
func (h tour) lost() {
	t := h.t
	l := h.job("unit")
	l.write(40)
	v := l.view(t, "", small)
	v.on(40)
	v.wait("true")
	for l.asked("/stream") == 0 {
		v.wait("true")
	}
	found := l.lose("/stream")
	l.write(10)
	v.see("@note", "Connection lost, reconnecting…")
	v.shot("lost")
	found()
	v.on(50)
	v.gone("@note")
	l.end("unit", kovra.Failed)
	v.see("@status", "Failed")
	var want []string
	for _, line := range l.lines() {
		want = append(want, line.Text)
	}
	if got := ask[[]string](v.page, "readLog.rows().map(readLog.chars)"); !slices.Equal(got, want) {
		t.Errorf("rows %q", got)
	}
	v.forgive("ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION", "ERR_EMPTY_RESPONSE")
}

// forgive takes back what a page reported that the test itself brought about.
func (p *page) forgive(causes ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errors = slices.DeleteFunc(p.errors, func(e string) bool {
		return slices.ContainsFunc(causes, func(c string) bool { return strings.Contains(e, c) })
	})
}

// filter searches: the lines that match, their number, one after the other, by letters
// and by expression.
func (h tour) filter() {
	t := h.t
	l := h.finished("acceptance", sample("long+timestamps"), kovra.Success)
	v := l.view(t, "", small)
	v.see("@status", "Success")
	matching := func(expr string) (numbers []int) {
		re := regexp.MustCompile(expr)
		for _, line := range l.lines() {
			if re.MatchString(line.Text) {
				numbers = append(numbers, line.N)
			}
		}
		return numbers
	}
	shows := func(numbers []int) {
		t.Helper()
		v.see("@search-count", matches(len(numbers)))
		v.sight()
		got := ask[[]int](v.page, "readLog.rows().map((r) => Number(r.dataset.n))")
		if !slices.Equal(got, numbers[:min(len(numbers), len(got))]) || len(got) == 0 {
			t.Errorf("rows %v, want %v", got, numbers)
		}
		if marks := ask[int](v.page, "readLog.onScreen().filter((r) => !r.querySelector('mark')).length"); marks > 0 {
			t.Errorf("%d rows have no mark", marks)
		}
	}
	v.fill("@search", "cart")
	carts := matching("(?i)cart")
	shows(carts)
	v.shot("filtered")
	at := func(i int) {
		t.Helper()
		v.see("@search-count", fmt.Sprintf("%d of %d", i+1, len(carts)))
		v.wait("document.querySelector('.row.current')?.dataset.n === '" + strconv.Itoa(carts[i]) + "'")
	}
	v.click("@next")
	at(0)
	v.click("@next")
	at(1)
	v.shot("second")
	v.click("@prev")
	at(0)
	v.click("@prev")
	at(len(carts) - 1)

	v.fill("@search", "Cart")
	shows(carts)
	v.click("@case")
	v.see("@search-count", "No matches")
	v.shot("nothing")
	v.click("@case")
	v.click("@regex")
	v.fill("@search", `✓ +\d+ (cart|account) ›`)
	shows(matching(`✓ +\d+ (cart|account) ›`))
	v.shot("regex")
	v.fill("@search", `(cart`)
	v.see("@search-error")
	if got := v.attribute("@search", "aria-invalid"); got != "true" {
		t.Errorf("aria-invalid is %q", got)
	}
	v.shot("bad-regex")
	v.forgive("status of 400")
	v.click("@regex")
	v.gone("@search-error")
	v.see("@search-count", "No matches")
	v.click("@clear")
	v.gone("@search-count", "match")
	v.see("@row", "Running with gitlab-runner")
}

func matches(n int) string {
	if n == 1 {
		return "1 match"
	}
	return fmt.Sprintf("%d matches", n)
}

// filteredWhole goes from match to match in the whole log, and back to where it was.
func (h tour) filteredWhole() {
	t := h.t
	l := h.finished("acceptance", sample("long+timestamps"), kovra.Success)
	v := l.view(t, "#L60", small)
	v.on(60)
	before := v.sight()
	v.fill("@search", "search ›")
	v.see("@search-count", "8 matches")
	v.click("@only")
	v.click("@next")
	v.see("@search-count", "of 8")
	v.wait("readLog.onScreen().some((r) => r.classList.contains('current'))")
	got := v.sight()
	if got.Last-got.First+1 != len(got.Texts) || len(got.Texts) < 15 {
		t.Errorf("not the whole log: %+v", got)
	}
	v.shot("marked")
	v.click("@only")
	v.wait("readLog.rows().length === 8")
	v.click("@search")
	v.press(kb.Escape)
	v.wait("readLog.rows().length > 8")
	if after := v.sight(); after.First != before.First {
		t.Errorf("it was at %d, and is at %d after the search", before.First, after.First)
	}
}

// copy copies everything to the clipboard.
func (h tour) copy() {
	t := h.t
	l := h.finished("acceptance", sample("long+timestamps"), kovra.Success)
	v := l.view(t, "", small)
	v.allowClipboard(l.server.URL)
	v.see("@row", "Running with")
	v.click("@copy")
	v.see("@toast", "Copied", "lines")
	v.shot("copied")
	if got := ask[string](v.page, "navigator.clipboard.readText()"); got != l.text() {
		t.Errorf("the clipboard has %d bytes, the log %d", len(got), len(l.text()))
	}
}

// copyAllByKeys selects everything and copies it, though only a part of it is in the page.
func (h tour) copyAllByKeys() {
	t := h.t
	l := h.job("unit")
	l.write(3000)
	l.end("unit", kovra.Success)
	v := l.view(t, "", small)
	v.allowClipboard(l.server.URL)
	v.on(1)
	v.press("a", chromedp.ModifierCtrl)
	v.shot("selected")
	v.press("c", chromedp.ModifierCtrl)
	v.see("@toast", "Copied 3,000 lines")
	if got := ask[string](v.page, "navigator.clipboard.readText()"); got != l.text() {
		t.Errorf("the clipboard has %d bytes, the log %d", len(got), len(l.text()))
	}
}

// copyPlain copies on a page that is served as plain http, where browsers have no
// clipboard for scripts.
func (h tour) copyPlain() {
	t := h.t
	l := h.finished("acceptance", sample("pytest"), kovra.Failed)
	v := l.view(t, "", small)
	v.load(strings.Replace(l.url(), "127.0.0.1", "viewer.example", 1))
	v.see("@row", "Running with")
	if ask[bool](v.page, "isSecureContext || 'clipboard' in navigator") {
		t.Fatal("the browser takes the page for a safe one")
	}
	v.click("@copy")
	v.see("@toast", "Cop")
	v.wait("!document.querySelector('[data-test=toast]').innerText.includes('Copying')")
	if v.sees("@toast", "Press Copy again") {
		v.click("@copy")
	}
	v.see("@toast", "Copied", "lines")
	v.shot("copied")
	v.load(l.url())
	v.allowClipboard(l.server.URL)
	if got := ask[string](v.page, "navigator.clipboard.readText()"); got != l.text() {
		t.Errorf("the clipboard has %d bytes, the log %d", len(got), len(l.text()))
	}
}

// rgb reads a computed colour.
func (v viewer) rgb(n int) (r, g, b int) {
	v.t.Helper()
	text := ask[string](v.page, fmt.Sprintf("readLog.colour(%d)", n))
	parts := regexp.MustCompile(`[\d.]+`).FindAllString(text, 3)
	if len(parts) < 3 {
		v.t.Fatalf("colour %q", text)
	}
	var c [3]int
	for i, p := range parts {
		c[i], _ = strconv.Atoi(p)
	}
	return c[0], c[1], c[2]
}

func (v viewer) red(n int) bool {
	v.t.Helper()
	r, g, b := v.rgb(n)
	return r > g+60 && r > b+50
}

// stderr sees what was written to standard error in red, and where that is not known,
// lines that look like errors with another mark.
func (h tour) stderr() {
	t := h.t
	find := func(l *written, fits func(kovra.LogLine) bool) int {
		t.Helper()
		for _, line := range l.lines() {
			if fits(line) {
				return line.N
			}
		}
		t.Fatal("no such line")
		return 0
	}
	stamped := h.finished("acceptance", sample("long+timestamps"), kovra.Success)
	err := find(stamped, func(x kovra.LogLine) bool { return x.Stream == 'E' && len(x.Spans) == 0 })
	out := find(stamped, func(x kovra.LogLine) bool { return x.Stream == 'O' && len(x.Spans) == 0 && x.N > err })
	for _, name := range []string{"light", "dark"} {
		v := stamped.view(t, fmt.Sprint("#L", err), small, scheme(name))
		v.on(err)
		v.see(fmt.Sprintf("@row[data-n='%d'].err", err))
		if !v.red(err) {
			t.Errorf("%s: line %d of standard error is not red", name, err)
		}
		v.see("@legend", "written to stderr")
		if v.wait(fmt.Sprintf("readLog.row(%d)", out)); v.red(out) {
			t.Errorf("%s: line %d of standard output is red", name, out)
		}
		if v.sees(".row.suspect") {
			t.Errorf("%s: lines are marked by their looks", name)
		}
		v.shot(name)
	}

	plain := h.finished("unit", sample("pytest"), kovra.Failed)
	n := find(plain, func(x kovra.LogLine) bool { return x.Suspect && len(x.Spans) == 0 })
	v := plain.view(t, fmt.Sprint("#L", n), small)
	v.on(n)
	v.see(fmt.Sprintf("@row[data-n='%d'].suspect", n))
	v.see("@legend", "looks like an error", "does not tell stderr from stdout")
	if v.red(n) || v.sees(".row.err") {
		t.Error("lines are red though nobody knows where they were written")
	}
	v.shot("unknown")
}

// fold folds and unfolds sections.
func (h tour) fold() {
	t := h.t
	l := h.finished("acceptance", sample("long+timestamps"), kovra.Success)
	sections, err := l.logs.Sections(t.Context(), l.id)
	h.must(err)
	total := len(l.lines())
	v := l.view(t, "", small)
	v.sight()
	var open kovra.LogSection
	for _, s := range sections {
		if s.Collapsed {
			v.wait(fmt.Sprintf("!readLog.row(%d)", s.From+1))
		} else if open.From == 0 && s.To > s.From+2 && s.Depth == 1 && s.From < 20 {
			open = s
		}
	}
	fold := fmt.Sprintf("@row[data-n='%d'] @fold", open.From)
	v.shot("collapsed")
	v.click(fold)
	v.wait(fmt.Sprintf("!readLog.row(%d) && readLog.row(%d)", open.From+1, open.To+1))
	v.see(fmt.Sprintf("@row[data-n='%d']", open.From), fmt.Sprintf("%d lines", open.To-open.From))
	if got := v.attribute(fold, "aria-expanded"); got != "false" {
		t.Errorf("aria-expanded is %q", got)
	}
	v.shot("folded")
	v.click(fold)
	v.wait(fmt.Sprintf("readLog.row(%d)", open.From+1))
	v.click("@fold-all", "Fold all")
	v.see("@fold-all", "Unfold all")
	v.wait(fmt.Sprintf("!readLog.row(%d)", open.From+1))
	v.shot("all-folded")
	v.click("@fold-all", "Unfold all")
	v.see("@fold-all", "Fold all")
	v.press("g")
	v.do(chromedp.Evaluate[chromedp.Void]("document.querySelector('[data-test=log]').focus()")) // or Space presses the button again
	for last := 0; last < total; {                                                              // every line is there now
		s := v.sight()
		if s.First > last+1 || s.Last-s.First+1 != len(s.Texts) {
			t.Fatalf("lines are missing between %d and %+v", last, s)
		}
		if s.AtEnd && s.Last != total {
			t.Fatalf("it ends at %d of %d", s.Last, total)
		}
		last = s.Last
		v.press(" ")
		v.wait(fmt.Sprintf("readLog.now().last > %d || readLog.now().atEnd", last))
	}
}

// ranges opens a link to a range, makes others, and goes back.
func (h tour) ranges() {
	t := h.t
	l := h.job("unit")
	l.write(500)
	l.end("unit", kovra.Success)
	v := l.view(t, "#L210-L220", small)
	is := func(hash string, from, to int) {
		t.Helper()
		v.wait(fmt.Sprintf("location.hash === %q", hash))
		v.on(from)
		v.wait(fmt.Sprintf("[...document.querySelectorAll('.row.selected')].map((r) => Number(r.dataset.n)).join() === Array.from({length: %d}, (_, i) => i + %d).join()", to-from+1, from))
	}
	is("#L210-L220", 210, 220)
	if s := v.sight(); s.First > 209 {
		t.Errorf("nothing is seen before the range: %d", s.First)
	}
	v.shot("range")
	number := func(n int) string { return fmt.Sprintf("@row[data-n='%d'] .no", n) }
	v.click(number(214))
	is("#L214", 214, 214)
	v.clickWith(number(223), chromedp.ModifierShift)
	is("#L214-L223", 214, 223)
	v.shot("shift")
	v.do(chromedp.Evaluate[chromedp.Void]("history.back()"))
	is("#L214", 214, 214)
	v.do(chromedp.Evaluate[chromedp.Void]("history.back()"))
	is("#L210-L220", 210, 220)
	v.load(l.url() + "#L490")
	is("#L490", 490, 490)
	v.load(l.url() + "#L4711") // there is no such line
	v.on(500)
}

// clickWith is click with a key held.
func (p *page) clickWith(selector string, key chromedp.Modifier) {
	p.t.Helper()
	at := ask[target](p, look("aim", selector, []string{}, browserPatience.Milliseconds()))
	if at.Texts != nil {
		p.t.Fatalf("cannot be clicked: %s", selector)
	}
	p.do(chromedp.MouseClickXY(at.X, at.Y, chromedp.ButtonModifiers(key)))
}
