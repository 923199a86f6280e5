package e2e

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
)

// keyboard does everything without a mouse.
func (h tour) keyboard() {
	t := h.t
	l := h.finished("acceptance", sample("long+timestamps"), kovra.Success)
	v := l.view(t, "", small)
	v.on(1)
	v.tabThrough()

	v.press("G")
	v.wait("readLog.now().atEnd")
	v.press("g")
	v.on(1)
	top := v.sight().First
	v.press("j")
	v.press("j")
	v.press("j")
	v.wait(fmt.Sprintf("readLog.now().first > %d", top+1))
	v.press("k")
	v.press("k")
	v.press("k")
	v.wait(fmt.Sprintf("readLog.now().first === %d", top))

	v.press("/")
	v.wait("document.activeElement.dataset.test === 'search'")
	v.press("cart")
	v.wait("document.querySelector('.row mark')?.textContent.toLowerCase() === 'cart'") // and not only a part of it was searched
	v.see("@search-count", "matches")
	v.press(kb.Enter)
	v.see("@search-count", "1 of ")
	v.press(kb.Enter)
	v.see("@search-count", "2 of ")
	v.press(kb.Enter, chromedp.ModifierShift)
	v.see("@search-count", "1 of ")
	v.shot("search")
	v.press(kb.Escape)
	v.wait("document.querySelector('[data-test=search]').value === ''")
	v.press(kb.Escape)
	v.wait("document.activeElement.dataset.test === 'log'")
	v.shot("log-focused")

	v.press(":")
	v.see("@goto-line")
	v.press("77")
	v.shot("goto")
	v.press(kb.Enter)
	v.gone("@goto-line")
	v.on(77)
	v.wait("location.hash === '#L77'")
	v.press(kb.Escape)
	v.wait("location.hash === ''")

	v.press("?")
	v.see("@help-dialog", "Filter lines")
	v.shot("help")
	v.press(kb.Escape)
	v.gone("@help-dialog")
	v.press("f")
	v.see("@fold-all", "nfold all")
	v.press("w")
	if got := v.attribute("@wrap", "aria-pressed"); got != "true" {
		t.Errorf("wrap: aria-pressed is %q", got)
	}
	v.press("l")
	v.wait("location.hash.startsWith('#L')")
}

// focus is where the keyboard is.
type focus struct {
	Name    string `json:"name"`
	Outline bool   `json:"outline"`
	Seen    bool   `json:"seen"`
}

// tabThrough goes through the page by Tab, once: every stop must be seen and shown, and all
// that can be pressed with a mouse must be among them.
func (v viewer) tabThrough() {
	v.t.Helper()
	var names []string
	for range 40 {
		v.press(kb.Tab)
		f := ask[focus](v.page, `(() => {
			const el = document.activeElement;
			if (!el || el === document.body) return { name: "" };
			const ring = (e) => { const s = getComputedStyle(e); return (s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0) || s.boxShadow !== "none"; };
			const box = el.getBoundingClientRect();
			return {
				name: el.dataset.test || el.className || el.id || el.tagName, outline: ring(el) || (el.matches("input") && ring(el.parentElement)),
				seen: box.width > 0 && box.height > 0 && box.left >= -1 && box.top >= -1 && box.right <= innerWidth + 1 && box.bottom <= innerHeight + 1,
			};
		})()`)
		if f.Name == "" || slices.Contains(names, f.Name) && f.Name != "fold" {
			break
		}
		names = append(names, f.Name)
		if !f.Outline || !f.Seen {
			v.t.Errorf("%s has the focus, and one cannot see it: %+v", f.Name, f)
		}
	}
	for _, name := range []string{"skip", "fold-all", "wrap", "copy", "raw", "download", "theme", "help", "gitlab", "search", "case", "regex", "log", "rail", "place"} {
		if !slices.Contains(names, name) {
			v.t.Errorf("%s is not reached by Tab; these are: %v", name, names)
		}
	}
	if names[0] != "skip" {
		v.t.Errorf("the first stop is %s", names[0])
	}
}

// narrow is what one asks of a phone.
type narrow struct {
	Page  float64  `json:"page"`  // width of the page
	Small []string `json:"small"` // what is too small to be hit with a finger
}

const narrowScript = `(() => ({
	page: Math.max(document.scrollingElement.scrollWidth, document.body.scrollWidth),
	small: [...document.querySelectorAll("button, a[href], input, [role=scrollbar], label")].filter((el) => el.checkVisibility({ visibilityProperty: true }) && !el.matches(".no, .fold, .skip, .vh")).map((el) => {
		const hit = el.matches("input") ? el.closest(".field, label, .sheet") || el : el;
		return [el.dataset.test || el.id || el.className, el.getBoundingClientRect().width, Math.max(el.getBoundingClientRect().height, hit === el ? 0 : Math.min(hit.getBoundingClientRect().height, 60))];
	}).filter(([name, w, h]) => (name === "rail" ? w < 20 : w < 40) || h < 40).map((x) => x.join(" ")),
}))()`

// phone reads a log on a phone.
func (h tour) phone() {
	t := h.t
	l := h.finished("acceptance", sample("long+timestamps"), kovra.Success)
	v := l.view(t, "", phone, chromedp.EmulateViewport(phone.width, phone.height, chromedp.EmulateMobile, chromedp.EmulateTouch))
	fits := func(where string) {
		t.Helper()
		got := ask[narrow](v.page, narrowScript)
		if got.Page > float64(phone.width) || len(got.Small) > 0 {
			t.Errorf("%s: the page is %.0f wide; too small: %q", where, got.Page, got.Small)
		}
	}
	v.see("@row", "Running with")
	v.sight()
	fits("finished")
	v.shot("log")
	v.fill("@search", "cart")
	v.see("@search-count", "matches")
	fits("search")
	v.shot("search")
	v.click("@next")
	v.see("@search-count", "1 of")
	v.click("@help")
	v.see("@help-dialog")
	v.shot("help")
	v.press(kb.Escape)

	live := h.job("a-job-with-a-name-that-is-much-too-long-for-a-phone 3/17: [linux, amd64, postgres-16]")
	live.write(200)
	v.load(live.url())
	v.on(200)
	// A person goes on swiping until the page has noticed; a first swipe may come before lines are laid out.
	v.wait("(document.querySelector('[data-test=log]').scrollTop -= 900, document.querySelector('[data-test=follow-pill]').checkVisibility())")
	v.see("@follow-pill")
	live.write(12)
	v.see("@follow-pill", "12 new lines")
	fits("live")
	v.shot("live")
}

// themes shows the page dark and light, as the system asks or as somebody chose.
func (h tour) themes() {
	t := h.t
	l := h.finished("web", sample("npm"), kovra.Failed)
	v := l.view(t, "", small, scheme("light"))
	dark := func() bool {
		return ask[bool](v.page, `(() => {
			const c = getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g).map(Number);
			return c[0] + c[1] + c[2] < 200;
		})()`)
	}
	v.sight()
	if dark() {
		t.Error("it is dark where the system is light")
	}
	v.shot("light")
	v.do(scheme("dark"))
	v.wait("getComputedStyle(document.body).colorScheme !== ''")
	if !dark() {
		t.Error("it is light where the system is dark")
	}
	v.shot("dark")
	v.click("@theme")
	if dark() {
		t.Error("it is dark where light was chosen")
	}
	v.load(l.url())
	v.sight()
	if dark() {
		t.Error("the choice is forgotten")
	}
	v.click("@theme")
	v.do(scheme("light"))
	if !dark() {
		t.Error("it is light where dark was chosen")
	}
}

// hostile shows a log that tries to break out: all of it is text, and nothing else.
func (h tour) hostile() {
	t := h.t
	for _, kind := range []string{"hostile", "hostile+timestamps"} {
		l := h.finished("<b>sanitizer</b>", sample(kind), kovra.Failed)
		v := l.view(t, "", small)
		v.see("@fold-all", "Fold all")
		v.press("f") // all sections folded, and
		v.press("f") // unfolded
		v.see("@fold-all", "Fold all")
		v.press("g")
		v.on(1)
		lines := l.lines()
		for last := 0; last < len(lines); {
			s := v.sight()
			for i, text := range s.Texts {
				line := lines[s.First-1+i]
				if strings.HasPrefix(line.Text, text) && (len(text) == len(line.Text) || len(text) >= 400) {
					continue
				}
				t.Errorf("%s: line %d shows %.200q, and is %.200q", kind, line.N, text, line.Text)
			}
			if s.First <= last-len(s.Texts) {
				t.Fatalf("%s: stuck at %d", kind, s.First)
			}
			last = s.Last
			v.press(" ")
			v.wait(fmt.Sprintf("readLog.now().last > %d || readLog.now().atEnd", last))
		}
		v.press("g")
		strange := ask[[]string](v.page, `[...document.querySelectorAll(".rows *")].filter((el) => !el.matches("div.row, a.no, div.text, span, mark, button.fold, button.more") || [...el.attributes].some((a) => a.name.startsWith("on") || ["style", "src", "srcdoc"].includes(a.name))).map((el) => el.outerHTML.slice(0, 200))`)
		if len(strange) > 0 {
			t.Errorf("%s: elements that are none of ours: %q", kind, strange)
		}
		if n := ask[int](v.page, `document.querySelectorAll("script").length`); n != 2 {
			t.Errorf("%s: %d scripts", kind, n)
		}
		if title := ask[string](v.page, "document.title"); title != "Failed: <b>sanitizer</b> #4711" {
			t.Errorf("%s: the title is %q", kind, title)
		}
		v.on(1)
		v.shot(strings.ReplaceAll(kind, "+", "-"))
		v.fill("@search", "<script>")
		v.see("@search-count", "match")
		v.shot("script")
		v.fill("@search", "bidi:")
		v.see("@search-count", "2 matches")
		v.shot("bidi")
		v.mu.Lock()
		if len(v.dialogs) > 0 {
			t.Errorf("%s: dialogs: %q", kind, v.dialogs)
		}
		for _, url := range v.asked {
			if !strings.HasPrefix(url, h.server.URL+"/") && url != "about:blank" {
				t.Errorf("%s: it asked for %.200s", kind, url)
			}
		}
		v.mu.Unlock()
	}
	if !strings.Contains(gitlabsim.SampleLog("hostile"), "<script>alert(document.cookie)</script>") {
		t.Error("the log is not what this test is about")
	}
}

// refused opens links that open nothing.
func (h tour) refused() {
	t := h.t
	l := h.job("unit")
	v := l.view(t, "", small)
	v.see("@state", "Waiting for the first lines")
	v.shot("waiting")
	l.note(func(log *kovra.Log) { log.Note = "GitLab does not answer at the moment; trying again." })
	v.see("@state", "GitLab does not answer")
	l.note(func(log *kovra.Log) { log.Note = "" })
	l.end("unit", kovra.Success)
	v.see("@state", "This log is empty")
	v.shot("empty")
	v.load(l.url() + "x")
	v.see("@refusal", "This link opens no log")
	v.shot("refused")
	v.forgive("status of 404")
}
