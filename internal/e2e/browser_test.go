package e2e

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
)

var (
	desktop = screen{name: "desktop", width: 1440, height: 900}
	phone   = screen{name: "phone", width: 390, height: 844, touch: true}
	wide    = screen{name: "wide", width: 1800, height: 1000}
	small   = screen{name: "small", width: 1280, height: 800}
)

// TestBrowserStory looks at the demo with a browser, on screens of several sizes.
func TestBrowserStory(t *testing.T) {
	path, program := browserPath(t), buildDemo(t)
	for _, one := range []struct {
		name   string
		screen screen
		play   func(*page)
		args   []string
	}{
		{"desktop", desktop, (*page).playStory, []string{"-no-story"}},
		{"phone", phone, (*page).playStory, []string{"-no-story"}},
		{"corners", wide, (*page).playCorners, []string{"-no-story"}},
		{"opening", small, (*page).watchOpening, nil},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			browser := startBrowser(t, path) // first: the demo tells its story at once
			one.play(openIn(browser, t, startDemo(t, program, one.args...), one.screen))
		})
	}
}

// playStory plays the story of a failure as a person would, with a picture of every step.
func (p *page) playStory() {
	p.t.Helper()
	p.tellLink()
	p.tellRetry(p.tellFailure())
	p.tellRun()
}

// watchOpening watches what the demo tells by itself: it ends with the thread of the failure.
func (p *page) watchOpening() {
	p.t.Helper()
	p.see("@story", "Alice pushes the voucher fix")
	p.see("@hints", "Your turn")
	p.see("@thread-messages @code", "cart_test.go:88: Total() = 1998, want 1798")
	p.see("@thread-messages @message", "web · main · Failed", "Apply vouchers to every item")
	p.see("@thread-messages @message", "web main is broken")
	p.shot("your-turn")
	p.follow("@thread-messages @message", "Full log").leave()
	p.see("@hint.done[data-step=log]")
	p.click("[aria-label='Close the hints']")
	p.gone("@hints")
	ask[bool](p, `(document.querySelector("[data-test=thread-messages]").scrollTop = 0) === 0`)
	p.shot("thread") // the picture of the README
}

// tellLink links an app by a command. A verb that is typed in part is completed first.
func (p *page) tellLink() {
	p.t.Helper()
	p.see("@messages", "This is the beginning of #deploys")
	p.shot("empty")
	p.fill("@composer-text", "/kovra li")
	p.see("@command", "/kovra link")
	p.shot("commands")
	p.key(kb.Enter)
	p.see("@composer-text", "/kovra link ")
	p.enter("/kovra link web group/web")
	p.see("@message[data-kind=ephemeral]", "web is linked to group/web", "The webhook is set up")
	p.shot("linked")
}

// tellFailure pushes a commit and lets one of its jobs fail. It gives the card.
func (p *page) tellFailure() string {
	p.t.Helper()
	p.panel()
	p.fill("@push-title", "Apply vouchers to every item")
	p.choose("@push-author", "bob")
	p.click("@panel-push")
	p.see("@pipeline[data-status=pending]", "Apply vouchers to every item", "main · ")
	p.shot("panel")
	p.channel()
	p.see("@messages @message[data-from=kovra]", "web · main · Pending", "Apply vouchers to every item", "by Bob Berg")
	card := p.card("Apply vouchers")
	p.shot("pushed")

	p.job("compile", "start")
	p.channel()
	p.see(card, "web · main · Running", "build 0/1")
	p.shot("running")
	p.job("compile", "pass")
	p.channel()
	p.see(card, "Running", "build 1/1")
	p.job("unit", "fail")
	p.channel()
	p.see(card, "1 reply")
	p.click(card + " @replies")
	p.see("@thread-messages @message", "unit failed · stage test", "script failed")
	p.see("@thread-messages @code", "cart_test.go:88: Total() = 1998, want 1798")
	p.shot("excerpt")
	p.job("lint", "pass")
	p.job("e2e", "pass")
	p.channel()
	p.see(card, "web · main · Failed", "test 3/3")
	p.see("@messages @message[data-kind=broadcast]", "web main is broken", "1 of 6 jobs failed: unit")
	p.shot("broken")
	return card
}

// tellRetry retries the failed pipeline, once for all: a second click, on a picture of
// before, is answered in private.
func (p *page) tellRetry(card string) {
	p.t.Helper()
	p.enter("/pipeline")
	old := "@message[data-kind=ephemeral]:has([data-action^='retry:'])"
	p.see(old, "Pipelines of web", "Failed")
	p.shot("list")
	p.thread(card)
	p.click("@thread-messages @button[data-action=retry]")
	p.see("@thread-messages @message", "@alice retried this pipeline")
	p.see("@thread-messages "+card, "web · main · Running")
	p.gone("@thread-messages @button[data-action=retry]")
	p.shot("retried")
	p.panel()
	p.click("@finish-all")
	p.see("@pipeline[data-status=success]", "Apply vouchers")
	p.thread(card)
	p.see("@thread-messages "+card, "web · main · Success")
	p.see("@thread-messages @message", "unit failed", "Retried · passed")
	p.shot("passed")
	p.channel()
	p.see("@messages @message[data-kind=broadcast]", "web main is fixed", "attempt 2")
	p.shot("fixed")

	p.click(old + " [data-action^='retry:']")
	p.see("@message[data-kind=ephemeral]", "was already retried by you")
	p.shot("too-late")
}

// tellRun starts a pipeline on another branch by the form, and cancels it.
func (p *page) tellRun() {
	p.t.Helper()
	p.channel()
	p.click("@messages @message:not([data-kind]) @button[data-action=run]")
	p.see("@modal", "Run Pipeline", "web", "main")
	p.shot("form")
	p.click("@input[data-block=ref] @field")
	p.see("@option", "release")
	p.fill("@search", "check")
	p.gone("@option", "release")
	p.shot("form-search")
	p.click("@option", "checkout")
	p.see("@input[data-block=ref]", "checkout")
	p.fill("@input[data-block=variables] @field", "ENV=staging")
	p.shot("form-filled")
	p.click("@modal-submit")
	p.gone("@modal")
	p.see("@messages @message:not([data-kind])", "web · checkout · Pending", "started by @alice")
	card := p.card("web · checkout")
	p.see("@message[data-kind=ephemeral]", "of web on checkout is started")
	p.shot("started")
	p.panel()
	p.see("@pipeline[data-status=pending]", "checkout", "ENV")
	p.channel()
	p.click(card + " @button[data-action=cancel]")
	p.see(card, "web · checkout · Canceled")
	p.see("@message[data-kind=ephemeral]", "is being canceled")
	p.shot("canceled")
	p.thread(card)
	p.see("@thread-messages @message", "@alice canceled this pipeline")
	p.shot("canceled-thread")
	if p.screen == phone {
		p.channel()
		p.click("@rail-open")
		p.see("@person[data-person=mallory]", "outsider")
		p.shot("rail")
	}
}

// The places of the page. On a small screen one covers the others.

// channel makes the channel visible.
func (p *page) channel() {
	p.t.Helper()
	if p.screen.width >= 900 {
		return
	}
	for _, shut := range []string{"@thread-close", "[aria-label='Close GitLab']"} {
		if p.sees(shut) {
			p.click(shut)
		}
	}
}

// panel makes the panel visible that plays GitLab.
func (p *page) panel() {
	p.t.Helper()
	if p.sees("@panel") {
		return
	}
	p.channel()
	p.click("@panel-toggle")
	p.see("@panel")
}

// thread makes the thread of a card visible.
func (p *page) thread(card string) {
	p.t.Helper()
	if p.sees("@thread-messages " + card) {
		return
	}
	p.channel()
	p.click("@messages " + card + " @replies")
	p.see("@thread-messages " + card)
}

// job does something to a job of the newest pipeline, in the panel.
func (p *page) job(name, what string) {
	p.t.Helper()
	p.panel()
	job := "@pipeline:first-child @job[data-job=" + name + "]"
	if p.attribute(job, "aria-expanded") != "true" {
		p.click(job)
	}
	p.click("@pipeline:first-child [data-test=job-" + what + "]")
	want := map[string]string{"start": "running", "pass": "success", "fail": "failed", "cancel": "canceled", "play": "pending", "retry": "pending"}[what]
	p.see(job + "[data-status=" + want + "]")
}

// card names the message about the pipeline that shows all of the words.
func (p *page) card(words ...string) string {
	p.t.Helper()
	ts := p.attribute("@messages @message[data-from=kovra]:not([data-kind])", "data-ts", words...)
	return `@message[data-ts="` + ts + `"]`
}
