package e2e

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	cdptarget "github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// TestBrowserViewerDemo presses the Log buttons of the demo: each opens the viewer in a tab of its own.
func TestBrowserViewerDemo(t *testing.T) {
	t.Parallel()
	path, program := browserPath(t), buildDemo(t)
	s := wide
	s.name = "viewer-demo"
	p := open(t, path, startDemo(t, program, "-no-story"), s)
	p.see("@messages", "This is the beginning of #deploys")
	p.enter("/kovra link web group/web")
	p.see("@message[data-kind=ephemeral]", "web is linked to group/web")
	p.click("@message[data-kind=ephemeral] @dismiss")
	p.push("Apply vouchers")
	card := p.card("Apply vouchers")
	p.job("compile", "pass")
	p.job("unit", "fail")
	p.see(card, "1 reply")
	p.thread(card)
	p.see("@thread-messages @message", "unit failed")
	v := p.follow("@thread-messages @message", "Full log")
	v.see("@status", "Failed")
	hash := ask[string](v.page, "location.hash")
	v.wait("document.querySelector('.row.selected')")
	v.shot("full-log")
	if !strings.HasPrefix(hash, "#L") {
		t.Errorf("it opens at %q", hash)
	}
	v.leave()

	// All the logs that a private list of jobs leads to.
	p.click(card + " @button[data-action=jobs]")
	jobs := "@message[data-kind=ephemeral]"
	p.see(jobs, "6 jobs")
	links := ask[[]string](p, `[...document.querySelectorAll("[data-test=message][data-kind=ephemeral] a")].filter((a) => /^Log/.test(a.innerText.trim())).map((a) => a.getAttribute("href"))`)
	if len(links) == 0 {
		t.Error("the list of jobs has no Log button")
	}
	for _, link := range links {
		if u, err := url.Parse(link); err != nil || !strings.HasPrefix(u.Path, "/logs/") {
			t.Errorf("a Log button leads to %s", link)
		}
	}

	// A job that runs streams.
	p.click(jobs + " @dismiss")
	p.panel()
	p.click("@log-long")
	p.see("@pipeline:first-child @job[data-status=running]")
	running := p.card("all acceptance tests")
	p.see(running, "Running")
	p.click(running + " @button[data-action=jobs]")
	p.see(jobs, "acceptance", "Running")
	p.shot("running")
	live := p.follow(jobs, "Log")
	live.see("@status", "Running")
	live.wait("Number(document.querySelector('[data-test=lines-known]').dataset.n) > 0")
	n := ask[int](live.page, "Number(document.querySelector('[data-test=lines-known]').dataset.n)")
	live.shot("streaming")
	live.wait("Number(document.querySelector('[data-test=lines-known]').dataset.n) > " + strconv.Itoa(n+3))
	if !live.sight().AtEnd {
		t.Error("it does not follow")
	}
	live.leave()
}

// follow presses a button that opens a log, and goes to the tab that it opened.
func (p *page) follow(message, label string) viewer {
	p.t.Helper()
	return p.followTo(message, label, "/logs/")
}

// followTo presses a button that opens an address with that part, and goes to the tab that it opened.
func (p *page) followTo(message, label, part string) viewer {
	p.t.Helper()
	p.click(message+" @button", label)
	for end := time.Now().Add(browserPatience); time.Now().Before(end); {
		tabs, err := chromedp.Targets(p.ctx)
		if err != nil {
			p.t.Fatal(err)
		}
		i := slices.IndexFunc(tabs, func(tab *cdptarget.Info) bool {
			return !tab.Attached && strings.Contains(tab.URL, part) && !slices.Contains(p.followed, tab.TargetID)
		})
		if i >= 0 {
			p.followed = append(p.followed, tabs[i].TargetID)
			return p.tab(tabs[i].TargetID)
		}
		ask[bool](p, "new Promise((go) => setTimeout(() => go(true), 50))")
	}
	p.t.Fatalf("%s opens no tab", label)
	return viewer{}
}

// tab looks into another tab of the browser.
func (p *page) tab(id cdptarget.ID) viewer {
	p.t.Helper()
	p.shots++
	next := &page{t: p.t, screen: screen{name: p.screen.name + "-tab", width: small.width, height: small.height}, folder: p.folder, shots: p.shots, pictures: p.pictures}
	next.ctx, _ = chromedp.NewContext(p.ctx, chromedp.WithTargetID(id), chromedp.WithListener(next.hear))
	next.do(chromedp.EmulateViewport(small.width, small.height))
	next.arrive()
	next.do(chromedp.Evaluate[chromedp.Void](lookScript), chromedp.Evaluate[chromedp.Void](readScript))
	return viewer{next}
}

// arrive waits until a new tab shows the page that it was opened for: it begins with an empty one.
func (p *page) arrive() {
	p.t.Helper()
	for end := time.Now().Add(browserPatience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		there, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("location.href !== 'about:blank' && document.readyState === 'complete'"))
		if err == nil && there {
			return
		}
	}
	p.t.Fatal("the tab stays empty")
}

// leave closes the tab. It must have reported no error.
func (v viewer) leave() {
	v.t.Helper()
	v.mu.Lock()
	for _, e := range v.errors {
		v.t.Errorf("the page reports: %s", e)
	}
	v.mu.Unlock()
	if err := chromedp.Cancel(v.ctx); err != nil {
		v.t.Logf("close the page: %v", err)
	}
}
