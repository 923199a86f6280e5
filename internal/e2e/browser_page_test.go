package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	cdptarget "github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const (
	// browserPatience is how long one thing may take to be seen.
	browserPatience = 20 * time.Second
	// browserLife is how long all that is done in one browser may take, of many things one after the other.
	browserLife = 15 * time.Minute
)

// browserPath finds a browser. It skips the test unless somebody asked for browsers: they take minutes, and what
// `go test ./...` does is not to depend on whether a machine has one.
func browserPath(t *testing.T) string {
	t.Helper()
	if os.Getenv("KOVRA_TEST_BROWSER") == "" {
		t.Skip("KOVRA_TEST_BROWSER is not set: nothing is looked at with a browser")
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("KOVRA_TEST_BROWSER is set, and there is no chromium, chromium-browser or google-chrome")
	return ""
}

// screen is what a page is looked at with.
type screen struct {
	name          string
	width, height int64
	touch         bool
}

// page is one page in a browser. What it does is what a person can do:
// it sees what is visible, and clicks where the mouse can reach.
//
// Elements are named by CSS selectors in which @name stands for [data-test="name"].
type page struct {
	t      *testing.T
	ctx    context.Context //nolint:containedctx // the tab: chromedp keeps it there
	screen screen
	folder string // of the pictures
	shots  int

	pictures string // what their names begin with

	followed []cdptarget.ID // tabs that were opened from here

	mu      sync.Mutex
	errors  []string // that the page has reported
	asked   []string // addresses that it asked for
	dialogs []string // that it opened
}

// open shows an address in a new browser. At the end of the test the page must have
// reported no error, nor anything that its content security policy forbade.
func open(t *testing.T, path, url string, s screen) *page {
	t.Helper()
	return openIn(startBrowser(t, path), t, url, s)
}

// startBrowser starts a browser that ends with the test.
func startBrowser(t *testing.T, path string, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WSURLReadTimeout(browserPatience),
	)
	ctx, stop := context.WithTimeout(context.WithoutCancel(t.Context()), browserLife)
	ctx, _ = chromedp.NewExecAllocator(ctx, append(options, more...)...)
	ctx, _ = chromedp.NewContext(ctx)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Logf("close the browser: %v", err)
		}
		stop()
	})
	return ctx
}

// openIn shows an address in a new tab, which knows nothing of what was done in others.
func openIn(browser context.Context, t *testing.T, url string, s screen) *page {
	t.Helper()
	p := &page{t: t, screen: s, folder: pictureFolder(t)}
	p.ctx, _ = chromedp.NewContext(browser, chromedp.WithListener(p.hear), chromedp.WithNewBrowserContext())
	t.Cleanup(func() {
		if t.Failed() {
			p.shot("failed")
		}
		if err := chromedp.Cancel(p.ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Logf("close the page: %v", err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, e := range p.errors {
			t.Errorf("the page reports: %s", e)
		}
	})
	var touch []chromedp.EmulateViewportOption
	if s.touch {
		touch = append(touch, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	p.do(chromedp.EmulateViewport(s.width, s.height, touch...), chromedp.Navigate(url))
	p.do(chromedp.Evaluate[chromedp.Void](lookScript))
	return p
}

// hear collects what the page reports as an error. It must return fast.
func (p *page) hear(event any) {
	said := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		said = e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			said += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			for _, arg := range e.Args {
				said += " " + string(arg.Value) + arg.Description
			}
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			said = e.Entry.Text + " " + e.Entry.URL
		}
	case *network.EventRequestWillBeSent:
		p.note(&p.asked, e.Request.URL)
	case *cdppage.EventJavascriptDialogOpening:
		p.note(&p.dialogs, e.Message)
	}
	if said != "" {
		p.note(&p.errors, said)
	}
}

func (p *page) note(list *[]string, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*list = append(*list, what)
}

func (p *page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// ask evaluates an expression, and waits for it if it is a promise.
func ask[T any](p *page, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

var testName = regexp.MustCompile(`@([a-z-]+)`)

// look writes a call of one of the functions of lookScript.
func look(function, selector string, args ...any) string {
	all := append([]any{testName.ReplaceAllString(selector, `[data-test="$1"]`)}, args...)
	raw, err := json.Marshal(all)
	if err != nil {
		panic(err) // unreachable: strings and numbers only
	}
	return fmt.Sprintf("look.%s(...%s)", function, raw)
}

// see waits until a visible element shows all of the words.
func (p *page) see(selector string, words ...string) {
	p.t.Helper()
	got := ask[found](p, look("see", selector, words, browserPatience.Milliseconds()))
	if !got.OK {
		p.t.Fatalf("%s: not seen: %s with %q; there are:\n%s", p.screen.name, selector, words, strings.Join(got.Texts, "\n"))
	}
}

// gone waits until no visible element shows all of the words.
func (p *page) gone(selector string, words ...string) {
	p.t.Helper()
	got := ask[found](p, look("gone", selector, words, browserPatience.Milliseconds()))
	if !got.OK {
		p.t.Fatalf("%s: still seen: %s with %q; there are:\n%s", p.screen.name, selector, words, strings.Join(got.Texts, "\n"))
	}
}

type found struct {
	OK    bool     `json:"ok"`
	Texts []string `json:"texts"`
}

// sees says whether a visible element shows all of the words now.
func (p *page) sees(selector string, words ...string) bool {
	p.t.Helper()
	return ask[found](p, look("see", selector, words, 0)).OK
}

// read is what the last visible element of that name says. Of a field it is what is typed there.
func (p *page) read(selector string) string {
	p.t.Helper()
	p.see(selector)
	texts := ask[found](p, look("see", selector, []string{}, 0)).Texts
	return texts[len(texts)-1]
}

// attribute gives an attribute of the last visible element of that name that shows all of
// the words.
func (p *page) attribute(selector, name string, words ...string) string {
	p.t.Helper()
	p.see(selector, words...)
	return ask[string](p, look("attribute", selector, name, words))
}

type target struct {
	X     float64  `json:"x"`
	Y     float64  `json:"y"`
	Texts []string `json:"texts"`
}

// click clicks on the last visible element of that name that shows all of the words, once
// it stands still and nothing covers it. A click that would hit something else, because the
// page has moved meanwhile, is caught and done again.
func (p *page) click(selector string, words ...string) {
	p.t.Helper()
	for end := time.Now().Add(browserPatience); time.Now().Before(end); {
		at := ask[target](p, look("aim", selector, words, browserPatience.Milliseconds()))
		if at.Texts != nil {
			p.t.Fatalf("%s: cannot be clicked: %s with %q; there are:\n%s", p.screen.name, selector, words, strings.Join(at.Texts, "\n"))
		}
		p.do(chromedp.MouseClickXY(at.X, at.Y))
		if ask[bool](p, "look.landed()") {
			return
		}
	}
	p.t.Fatalf("%s: never hit: %s with %q", p.screen.name, selector, words)
}

// fill puts text into a field, in place of what it holds.
func (p *page) fill(selector, text string) {
	p.t.Helper()
	p.click(selector)
	ask[bool](p, "look.selectAll()")
	p.do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, input.InsertText, input.InsertTextParams{Text: text})
		return err
	}))
	if got := p.read(selector); got != text {
		p.t.Fatalf("%s: %s holds %q after typing %q", p.screen.name, selector, got, text)
	}
}

// choose picks an entry of a native list.
func (p *page) choose(selector, label string) {
	p.t.Helper()
	p.see(selector)
	if !ask[bool](p, look("choose", selector, label)) {
		p.t.Fatalf("%s: %s does not offer %q", p.screen.name, selector, label)
	}
}

// key presses one key.
func (p *page) key(key string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(key))
}

// enter types a line into the box of the channel and sends it.
func (p *page) enter(line string) {
	p.t.Helper()
	p.channel()
	p.fill("@composer-text", line)
	p.key(kb.Enter)
	p.gone("@composer-text", line)
}

// show scrolls to what must be in a picture.
func (p *page) show(selector string, words ...string) {
	p.t.Helper()
	p.see(selector, words...)
	ask[bool](p, look("show", selector, words))
}

// shot takes a picture of what is seen now, when nothing moves to its place any more.
func (p *page) shot(name string) {
	p.t.Helper()
	p.shots++
	if _, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("look.rest()", chromedp.EvalAwaitPromise)); err != nil {
		p.t.Errorf("before the picture %s: %v", name, err)
	}
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Errorf("take the picture %s: %v", name, err)
		return
	}
	file := filepath.Join(p.folder, fmt.Sprintf("%s%s-%02d-%s.png", p.pictures, p.screen.name, p.shots, name))
	if err := os.WriteFile(file, png, 0o600); err != nil {
		p.t.Errorf("keep a picture: %v", err)
	}
}

// pictureFolder is where pictures are kept: the folder that is asked for, or that of the
// test, which `go test -artifacts` keeps.
func pictureFolder(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("KOVRA_TEST_SCREENSHOTS")
	if folder == "" {
		return t.ArtifactDir()
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	return folder
}

// lookScript is the part of the page driver that lives in the page.
const lookScript = `window.look = (() => {
	const shown = (el) => el.checkVisibility({ visibilityProperty: true }) && el.getClientRects().length > 0;
	const text = (el) => ("value" in el && el.tagName !== "BUTTON" && el.tagName !== "LI" ? el.value : el.innerText.replace(/\s+/g, " ").trim());
	const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);
	const fits = (el, words) => (words || []).every((w) => text(el).includes(w));
	const until = async (patience, cond) => {
		for (const end = performance.now() + patience; ;) {
			const got = cond();
			if (got || performance.now() >= end) return got;
			await new Promise((go) => setTimeout(go, 25));
		}
	};
	const result = (ok, selector) => ({ ok: Boolean(ok), texts: all(selector).map(text) });
	const presses = ["pointerdown", "mousedown", "pointerup", "mouseup", "click"];
	let guard = null;
	const unguard = () => {
		presses.forEach((type) => guard && removeEventListener(type, guard.check, true));
		const landed = Boolean(guard && guard.clicked && !guard.missed);
		guard = null;
		return landed;
	};
	const protect = (el) => {
		unguard();
		const mine = { clicked: false, missed: false };
		mine.check = (e) => {
			if (!el.contains(e.target)) {
				mine.missed = true;
				e.stopImmediatePropagation();
				e.preventDefault();
			} else if (e.type === "click") {
				mine.clicked = true;
			}
		};
		guard = mine;
		presses.forEach((type) => addEventListener(type, mine.check, true));
	};
	return {
		see: async (selector, words, patience) => result(await until(patience, () => all(selector).some((el) => fits(el, words))), selector),
		gone: async (selector, words, patience) => result(await until(patience, () => !all(selector).some((el) => fits(el, words))), selector),
		attribute: (selector, name, words) => all(selector).filter((el) => fits(el, words)).at(-1)?.getAttribute(name) ?? "",
		aim: async (selector, words, patience) => {
			let before = {};
			const at = await until(patience, () => {
				const el = all(selector).filter((one) => fits(one, words)).at(-1);
				if (!el) return null;
				el.scrollIntoView({ block: before.covered ? "center" : "nearest", inline: "nearest" });
				const box = el.getClientRects()[0];
				const now = { el, x: box.x + box.width / 2, y: box.y + Math.min(box.height / 2, 20) };
				const still = before.el === el && before.x === now.x && before.y === now.y;
				now.covered = !el.contains(document.elementFromPoint(now.x, now.y));
				before = now;
				return still && !now.covered && !el.disabled ? now : null;
			});
			if (!at) return { texts: all(selector).map(text) };
			protect(at.el);
			return { x: at.x, y: at.y };
		},
		landed: () => unguard(),
		selectAll: () => { document.activeElement.select?.(); return true; },
		// settle scrolls a list up from its end and puts the caret back where somebody types;
		// settled tells of all that should not move. They say the same, or something jumped.
		settle: async (selector, up, patience) => {
			const list = document.querySelector(selector);
			const frame = () => new Promise((go) => requestAnimationFrame(go));
			// The list must have heard of the scrolling before it is drawn anew, else it stays at its end.
			for (const end = performance.now() + patience; performance.now() < end;) {
				const wanted = Math.round(list.scrollHeight - list.clientHeight - up);
				list.scrollTop = wanted;
				await frame();
				await frame();
				if (list.scrollTop === wanted) break;
			}
			document.activeElement.setSelectionRange(4, 4);
			const top = list.getBoundingClientRect().top;
			const first = [...list.querySelectorAll("article")].find((el) => el.getBoundingClientRect().top >= top);
			window.look.settled = () => {
				const typed = document.activeElement;
				return [first.isConnected, first.getBoundingClientRect().top, list.scrollTop, typed.dataset.test, typed.value, typed.selectionStart].join(" ");
			};
			return window.look.settled();
		},
		// hold scrolls a page down and remembers what stands at its top, and what has the focus; held tells where they are.
		hold: (selector, down) => {
			const page = document.querySelector(selector);
			page.scrollTop = down;
			if (page.scrollTop !== down) return "";
			const top = page.getBoundingClientRect().top;
			const buttons = [...page.querySelectorAll("[data-test=button]")].filter((el) => el.getBoundingClientRect().top > top);
			const at = buttons.at(-1);
			at.focus({ preventScroll: true });
			window.look.held = () => [at.isConnected, document.activeElement === at, at.dataset.action, at.getBoundingClientRect().top, page.scrollTop].join(" ");
			return window.look.held();
		},
		show: (selector, words) => {
			all(selector).filter((el) => fits(el, words)).at(-1)?.scrollIntoView({ block: "center" });
			return true;
		},
		rest: async () => {
			await Promise.allSettled(document.getAnimations().filter((a) => a instanceof CSSTransition).map((a) => a.finished));
			return true;
		},
		choose: (selector, label) => {
			const el = all(selector).at(-1);
			const option = [...el.options].find((o) => o.text === label);
			if (!option) return false;
			el.value = option.value;
			el.dispatchEvent(new Event("change", { bubbles: true }));
			return true;
		},
	};
})()`
