package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestBrowserSlack looks at what the app has in Slack beside its channels, with a browser.
func TestBrowserSlack(t *testing.T) {
	path, program := browserPath(t), buildDemo(t)
	for _, one := range []struct {
		name   string
		screen screen
		theme  string
		play   func(*page)
	}{
		{"desktop", small, "light", (*page).playSlack},
		{"phone", phone, "dark", (*page).playSlack},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			p := open(t, path, startDemo(t, program, "-no-story"), one.screen)
			p.theme(one.theme)
			one.play(p)
		})
	}
}

// theme makes the page light or dark.
func (p *page) theme(name string) {
	p.t.Helper()
	if ask[bool](p, `(document.documentElement.dataset.theme = "`+name+`") !== ""`) {
		return
	}
	p.t.Fatal("the page has no theme")
}

func (p *page) playSlack() {
	p.t.Helper()
	p.lookBefore()
	p.enter("/kovra link web group/web")
	p.see("@message[data-kind=ephemeral]", "web is linked to group/web")
	p.meetOnlyApp()
	for n := range 5 {
		p.lab("push", fmt.Sprintf(`{"project": lab.projects[0].id, "branch": "main", "title": "Change number %d"}`, n+1))
	}
	p.see("@messages @message[data-from=kovra]:not([data-kind])", "Change number 5")
	p.talk()
	p.openMenu()
	p.enter("/kovra app create shop")
	p.see("@message[data-kind=ephemeral]", "shop is created")
	p.enter("/kovra subscribe shop")
	p.lookHome()
	p.makeEvents()
	p.chooseWhatToHear()
	p.connectAccount()
	p.writeToApp()
}

// chooseWhatToHear fills in the form of a subscription.
func (p *page) chooseWhatToHear() {
	p.t.Helper()
	p.enter("/kovra subscriptions")
	p.see("@message[data-kind=ephemeral]", "subscriptions", "pipelines and builds")
	p.click("@message[data-kind=ephemeral] @button", "Edit")
	p.see("@modal", "Choose what to hear", "Hear of", "News in the channel itself")
	p.shot("subscribe-form")
	p.fill("@input[data-block=refs] @field", "main, release/*")
	p.click("@input[data-block=only] label", "Once something fails")
	p.click("@modal-submit")
	p.gone("@modal")
	p.see("@message[data-kind=ephemeral]", "hears of web", "main, release/*, once they fail")
	p.shot("subscribed")
}

// connectAccount lets bob, who has not connected yet, cancel a pipeline: he is led to GitLab and back, and it goes on
// by itself.
func (p *page) connectAccount() {
	p.t.Helper()
	p.rail()
	p.click("@person[data-person=bob]")
	p.rail()
	p.click("@channel[data-channel=deploys]")
	card := p.card("Change number 5")
	p.click("@messages " + card + " @button[data-action=cancel]")
	prompt := "@message[data-kind=ephemeral]"
	p.see(prompt, "connect your GitLab account first")
	p.shot("connect-prompt")
	tab := p.followTo(prompt, "Connect GitLab account", "/oauth/")
	tab.readsPage("Who are you?")
	tab.pressOn("button[value=bob]")
	tab.readsPage("Authorize")
	tab.shot("connect-gitlab")
	tab.pressOn("button[value=authorize]")
	tab.readsPage("You are connected")
	tab.shot("connect-done")
	tab.leave()
	p.see(prompt, "is being canceled")
	p.see("@messages "+card, "Canceled")
	p.shot("connect-went-on")
	p.rail()
	p.click("@person[data-person=alice]")
}

// readsPage waits until a page that is not ours to test shows the text; it may just be leaving for another one.
func (v viewer) readsPage(text string) {
	v.t.Helper()
	last := ""
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(browserPatience); time.Now().Before(end); <-tick.C {
		got, err := chromedp.Run(v.ctx, chromedp.Evaluate[string]("document.readyState === 'complete' ? document.body.innerText : ''"))
		if err == nil && strings.Contains(got, text) {
			v.do(chromedp.Evaluate[chromedp.Void](lookScript), chromedp.Evaluate[chromedp.Void](readScript)) // for its pictures
			return
		}
		last = got
	}
	v.t.Fatalf("no %q on the page:\n%s", text, last)
}

// pressOn presses what the selector finds there.
func (v viewer) pressOn(selector string) {
	v.t.Helper()
	if !ask[bool](v.page, fmt.Sprintf("(() => { const e = document.querySelector(%q); if (e) setTimeout(() => e.click()); return !!e; })()", selector)) {
		v.t.Fatalf("there is no %s", selector)
	}
}

// lab lets GitLab do something, without a hand on the page. The body may look at lab, which
// is what the panel shows.
func (p *page) lab(what, body string) {
	p.t.Helper()
	if !ask[bool](p, `(async () => {
		const lab = await (await fetch("api/gitlab")).json();
		const body = JSON.stringify(`+body+`);
		return (await fetch("api/gitlab/`+what+`", { method: "POST", headers: { "Content-Type": "application/json" }, body })).ok;
	})()`) {
		p.t.Fatalf("GitLab does not %s %s", what, body)
	}
}

// lookBefore looks at the Home tab of a person who has no app yet.
func (p *page) lookBefore() {
	p.t.Helper()
	p.rail()
	p.click("@app-entry")
	p.see("@home-view", "There is no app here for you yet")
	p.shot("home-first")
	p.rail()
	p.click("@channel[data-channel=deploys]")
}

// meetOnlyApp waits until Home shows the only app there is; with a second one it would show the list of both, had
// it not settled before.
func (p *page) meetOnlyApp() {
	p.t.Helper()
	p.rail()
	p.click("@app-entry")
	p.see("@home-view @button[data-action='home_tab:builds']")
	p.rail()
	p.click("@channel[data-channel=deploys]")
}

// lookHome chooses an app on the Home tab, reads while it is published anew, and presses
// what is there.
func (p *page) lookHome() {
	p.t.Helper()
	p.rail()
	p.click("@app-entry")
	p.see("@home-view", "web · group/web")
	p.click("@home-view @button[data-action='home_app:all']")
	p.see("@home-view", "2 apps")
	p.shot("home-apps")
	p.click("@home-view @field")
	p.see("@option", "shop")
	p.shot("home-choose")
	p.click("@option", "web")
	p.see("@home-view", "web · group/web", "Change number 5", "Change number 3")
	p.shot("home")
	if before := ask[string](p, `look.hold("[data-test=home]", 30)`); before == "" {
		p.t.Error("there is nothing to scroll")
	} else {
		p.move("compile", "start")
		p.see("@home-view", "Running")
		if after := ask[string](p, "look.held()"); after != before {
			p.t.Errorf("Home moved when it was published anew:\n%s\n%s", before, after)
		}
	}
	p.shot("home-scrolled")
	p.click("@home-view @button[data-action='home_tab:builds']")
	p.see("@home-view", "Automatic builds are off")
	p.shot("home-builds")
	p.click("@home-view @button[data-action='home_tab:pipelines']")
	p.click("@home-view @button[data-action=run]")
	p.see("@modal", "Run Pipeline", "web")
	p.shot("home-form")
	p.click("@modal-submit")
	p.gone("@modal")
	p.see("@home-view", "of web on main is started")
	p.shot("home-told")
}

// rail makes the list of channels visible.
func (p *page) rail() {
	p.t.Helper()
	p.channel()
	if p.screen.width < 900 {
		p.click("@rail-open")
	}
}

// talk answers in the thread of a card and calls the app by name, of which the first
// letters are enough.
func (p *page) talk() {
	p.t.Helper()
	card := p.card("Change number 5")
	p.click("@messages " + card + " @message-menu")
	p.see("[role=menu] @option", "Reply in thread")
	p.shot("menu")
	p.click("[role=menu] @option", "Reply in thread")
	p.see("@thread-messages "+card, "web · main · Pending")
	p.fill("@thread-text", "@ko")
	p.see("@thread @command", "@kovra", "the app")
	p.gone("@thread @command", "@bob")
	p.shot("names")
	p.key(kb.Enter)
	p.see("@thread-text", "@kovra ")
	p.fill("@thread-text", "@kovra retry")
	p.key(kb.Enter)
	p.see("@thread-messages @message[data-from=alice]", "@kovra retry")
	p.see("@thread-messages @message[data-kind=ephemeral]", "cannot be retried")
	p.shot("mentioned")
	p.channel()
	p.see("@messages "+card, "1 reply")
	p.enter("@bob is it green?")
	p.see("@messages @message[data-from=alice]", "@bob is it green?")

	p.rail()
	p.click("@channel[data-channel=api-team]")
	p.enter("@kovra status")
	p.see("@messages @message[data-from=alice]", "@kovra status")
	p.see("@messages @message[data-kind=ephemeral]", "@kovra is not in this channel")
	p.shot("not-there")
	p.rail()
	p.click("@channel[data-channel=deploys]")
}

// openMenu goes through the menu of a message with the keys alone.
func (p *page) openMenu() {
	p.t.Helper()
	menu := "@messages " + p.card("Change number 5") + " @message-menu"
	p.click(menu)
	p.see("[role=menu]")
	p.key(kb.ArrowDown)
	p.see("[role=menuitem]:focus", "Kovra actions")
	p.key(kb.ArrowDown)
	p.see("[role=menuitem]:focus", "Reply in thread")
	p.key(kb.Escape)
	p.gone("[role=menu]")
	p.see(menu + ":focus")
	p.key(kb.Enter)
	p.key(kb.ArrowUp)
	p.see("[role=menuitem]:focus", "Kovra actions")
	p.key(kb.Enter)
	p.gone("[role=menu]")
	p.see("@modal", "web · main · Pending", "@kovra retry")
	p.shot("shortcut")
	p.click("@modal-close")
	p.gone("@modal")
}

// makeEvents plays a review, a deployment and a release in the panel, and reads what the
// channel hears of them.
func (p *page) makeEvents() {
	p.t.Helper()
	p.rail()
	p.click("@channel[data-channel=deploys]")
	p.enter("/kovra subscribe web merge_requests deployments releases")
	p.see("@message[data-kind=ephemeral]", "merge requests")
	p.panel()
	p.click("@events summary")
	p.click("@event-request-open")
	p.see("@request[data-state=opened]", "!1 Show a badge on the cart")
	p.click("@event-request-approve")
	p.see("@request", "approved")
	p.shot("events-request")
	p.channel()
	p.see("@messages @message[data-from=kovra]", "Show a badge on the cart", "Approved")
	p.panel()
	p.click("@event-request-merge")
	p.see("@request[data-state=merged]", "!1")
	p.click("@event-deployment-start", "Deploy to production")
	p.click("@deployment[data-status=blocked] @event-deployment-approve")
	p.click("@deployment[data-status=running] @event-deployment-success")
	p.see("@deployment[data-status=success]", "main to production")
	p.click("@event-tag", "Tag v1.1.0")
	p.click("@event-release", "Release v1.1.0")
	p.gone("@event-release")
	p.shot("events")
	p.channel()
	p.see("@messages @message[data-from=kovra]", "Show a badge on the cart", "Merged")
	p.see("@messages @message[data-from=kovra]", "production")
	p.see("@messages @message[data-from=kovra]", "v1.1.0")
	p.shot("relays")
}

// writeToApp looks at the messages between the person and the app.
func (p *page) writeToApp() {
	p.t.Helper()
	p.rail()
	p.click("@app-entry")
	p.see("@home-view", "web")
	p.click("@tab-home")
	p.key(kb.ArrowRight)
	p.see("@tab-messages[aria-selected=true]:focus")
	p.see("@messages", "This is between you and Kovra")
	p.enter("hello")
	p.see("@messages @message[data-from=alice]", "hello")
	p.shot("direct")
	p.rail()
	p.shot("rail")
	p.click("@person[data-person=bob]")
	p.channel()
	p.see("@messages", "This is between you and Kovra")
	p.gone("@messages @message", "hello")
	p.rail()
	p.click("@person[data-person=carol]")
	p.gone("@app-entry")
	p.see("@messages", "This is the beginning of #acme-partners")
}
