package e2e

import "fmt"

// playCorners goes where the story does not: lists of several pages, jobs, forms that are
// filled in wrongly, an app without a project, an old picture, and a person who may nothing.
func (p *page) playCorners() {
	p.t.Helper()
	p.see("@messages", "This is the beginning of #deploys")
	p.enter("/kovra link web group/web")
	p.see("@message[data-kind=ephemeral]", "web is linked to group/web")
	for n := 1; n <= 7; n++ {
		p.push(fmt.Sprintf("Change number %d", n))
	}
	p.card("Change number 7")
	p.turnPages()
	p.connect()
	p.fillInWrongly()
	p.readInPeace()
	p.pressOldButton()
	p.playManualJob()
	p.click("@theme")
	p.shot("dark")
	p.click("@theme")
	p.beMallory()
}

// push pushes a commit in the panel.
func (p *page) push(title string) {
	p.t.Helper()
	p.fill("@push-title", title)
	p.click("@panel-push")
	p.see("@pipeline:first-child", title)
	p.gone("@push-title", title) // the panel proposes another one
}

// turnPages looks at a list that has more than one page.
func (p *page) turnPages() {
	p.t.Helper()
	p.enter("/pipeline web")
	list := "@message[data-kind=ephemeral]:has([data-action=run])"
	p.see(list, "Change number 7", "Change number 3")
	p.shot("list")
	p.click(list + " @button[data-action=older]")
	p.see(list, "Change number 2", "Change number 1")
	p.gone(list, "Change number 3")
	p.shot("list-older")
	p.click(list + " @button[data-action=newer]")
	p.see(list, "Change number 7")
	p.gone(list, "Change number 2")
	p.click(list + " @dismiss")
	p.gone(list)
}

// connect gives a project to an app that has none.
func (p *page) connect() {
	p.t.Helper()
	p.enter("/kovra app create shop")
	p.see("@message[data-kind=ephemeral]", "shop is created", "It has no GitLab project yet")
	p.shot("connect")
	p.click("@message[data-kind=ephemeral] @button[data-action=connect]")
	p.see("@modal", "Connect GitLab project")
	p.click("@input[data-block=project] @field")
	p.fill("@search", "api")
	p.click("@option", "group/api")
	p.see("@input[data-block=project]", "group/api")
	p.shot("connect-form")
	p.click("@modal-submit")
	p.gone("@modal")
	p.see("@message[data-kind=ephemeral]", "shop is linked to group/api")
	p.shot("connected")
}

// fillInWrongly sends a form that cannot be right, and gives up.
func (p *page) fillInWrongly() {
	p.t.Helper()
	p.click("@messages @message:not([data-kind]) @button[data-action=run]")
	p.fill("@input[data-block=variables] @field", "no equals sign")
	p.click("@modal-submit")
	p.see("@input[data-block=variables] @error")
	p.shot("form-error")
	p.click("@modal-cross")
	p.gone("@modal")
}

// readInPeace reads older messages and writes one, while a card is edited.
func (p *page) readInPeace() {
	p.t.Helper()
	card := p.card("Change number 7")
	p.fill("@composer-text", "This is half a thought")
	before := ask[string](p, look("settle", "@messages", 260, browserPatience.Milliseconds()))
	p.move("compile", "start")
	p.see(card, "web · main · Running")
	p.move("compile", "pass")
	p.move("unit", "fail")
	p.see(card, "build 1/1", "1 reply")
	if after := ask[string](p, "look.settled()"); after != before {
		p.t.Errorf("the page moved while a card was edited:\n%s\n%s", before, after)
	}
	p.shot("in-peace")
	p.fill("@composer-text", "")
}

// move lets GitLab do something to a job of the newest pipeline, without a hand on the page.
func (p *page) move(job, what string) {
	p.t.Helper()
	moved := ask[bool](p, fmt.Sprintf(`(async (name, what) => {
		const lab = await (await fetch("api/gitlab")).json();
		const job = lab.projects[0].pipelines[0].stages.flatMap((s) => s.jobs).find((j) => j.name === name);
		const body = JSON.stringify({ job: job.id, do: what });
		return (await fetch("api/gitlab/job", { method: "POST", headers: { "Content-Type": "application/json" }, body })).ok;
	})(%q, %q)`, job, what))
	if !moved {
		p.t.Errorf("the job %s does not %s", job, what)
	}
}

// pressOldButton presses Retry twice on a picture that does not change.
func (p *page) pressOldButton() {
	p.t.Helper()
	card := p.card("Change number 7")
	p.job("lint", "pass")
	p.job("e2e", "pass")
	p.see(card, "web · main · Failed")
	p.click("@trouble-freeze")
	p.see("@trouble-freeze", "Thaw")
	p.click(card + " @button[data-action=retry]")
	p.see("@message[data-kind=ephemeral]", "run again")
	p.see("@pipeline:first-child @job[data-job=unit][data-status=pending]")
	p.see(card, "web · main · Failed")
	p.click(card + " @button[data-action=retry]")
	p.see("@message[data-kind=ephemeral]", "was already retried by you")
	p.show("@message[data-kind=ephemeral]", "was already retried by you")
	p.shot("frozen")
	p.click("@trouble-freeze")
	p.see(card, "web · main · Running")
	p.see("@pipeline:first-child @job[data-job=unit]", "×2")
	p.thread(card)
	p.see("@thread-messages @message", "@alice retried this pipeline")
	p.shot("thawed")
	p.click("@thread-close")
}

// playManualJob looks at the jobs by stage, and starts one after a question.
func (p *page) playManualJob() {
	p.t.Helper()
	card := p.card("Change number 7")
	p.click("@pipeline:first-child @finish-all")
	p.see(card, "web · main · Success")
	p.click(card + " @button[data-action=jobs]")
	jobs := "@message[data-kind=ephemeral]:has([data-action^='play:'])"
	p.see(jobs, "6 jobs", "build", "compile", "test", "lint", "unit", "e2e", "deploy", "staging", "production")
	p.show(jobs + " [data-action^='play:']")
	p.shot("jobs")
	p.click(jobs + " [data-action^='play:']")
	p.see("@confirm", "Play this job?", "production will run on main")
	p.shot("confirm")
	p.click("@confirm-no")
	p.gone("@confirm")
	p.see("@pipeline:first-child @job[data-job=production][data-status=manual]")
	p.click(jobs + " [data-action^='play:']")
	p.click("@confirm-yes")
	p.gone("@confirm")
	p.see("@pipeline:first-child @job[data-job=production][data-status=pending]")
	p.see("@message[data-kind=ephemeral]", "production is started")
}

// beMallory looks at the channel without being in it. She may do nothing, wherever she asks.
func (p *page) beMallory() {
	p.t.Helper()
	p.click("@person[data-person=mallory]")
	p.see("@join")
	p.gone("@composer")
	p.gone("@channel", "ops-private")
	p.click(p.card("Change number 6") + " @button[data-action=cancel]")
	p.see("@message[data-kind=ephemeral]", "Only members of a channel that is subscribed to web")
	p.shot("mallory-click")
	p.click("@channel[data-channel=web-team]")
	p.enter("/pipeline run web main")
	p.see("@message[data-kind=ephemeral]", "There is no app", "web")
	p.shot("mallory-command")
	p.see("@pipeline[data-status=pending]", "Change number 6")
	p.see("@pipeline:first-child", "Change number 7", "· bob")
}
