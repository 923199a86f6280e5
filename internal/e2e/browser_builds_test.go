package e2e

import (
	"strconv"
	"testing"
)

// TestBrowserBuilds builds and deploys images in the demo as a person would, with a picture of every step.
func TestBrowserBuilds(t *testing.T) {
	path, program := browserPath(t), buildDemo(t)
	for _, s := range []screen{desktop, phone} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			p := open(t, path, startDemo(t, program, "-no-story"), s)
			p.pictures = "builds-"
			p.tellFirstBuild()
			p.tellBrokenBuild()
			p.tellCancelledBuild()
			p.tellSettings()
			p.tellDeploy()
			p.tellRollBack()
		})
	}
}

const (
	private = "@message[data-kind=ephemeral]"
	reply   = "@thread-messages @message"
)

// tellFirstBuild triggers a build by the form and watches it live, in the thread and in the viewer.
func (p *page) tellFirstBuild() {
	p.t.Helper()
	p.see("@messages", "This is the beginning of #deploys")
	p.enter("/kovra link web group/web")
	p.see(private, "web is linked to group/web")
	p.click(private + " @dismiss")
	p.fill("@composer-text", "/build")
	p.see("@command", "/build trigger", "build an image")
	p.shot("commands")
	p.enter("/build")
	p.see(private, "Builds of web", "No build yet")
	p.shot("empty-list")
	p.lab("cluster", `{"do": "hang"}`) // it builds until it was looked at
	p.click(private+" @button", "Trigger Build")
	p.see("@modal", "Trigger Build", "web", "main")
	p.shot("trigger-form")
	p.click("@modal-submit")
	p.gone("@modal")
	card := p.build(1)
	p.see(card, "web · main · Building", "by Alice Adams, started by @alice")
	p.shot("started")
	p.thread(card)
	p.see("@thread-messages @code")
	p.shot("tail")
	v := p.follow("@thread-messages "+card, "Log")
	v.see("@status", "Building")
	v.wait("document.querySelectorAll('.row.header .fold').length >= 3")
	n := ask[int](v.page, "Number(document.querySelector('[data-test=lines-known]').dataset.n)")
	v.shot("log-live")
	p.lab("cluster", `{"do": "finish", "run": lab.cluster.runs[0].name}`)
	v.wait("Number(document.querySelector('[data-test=lines-known]').dataset.n) > " + strconv.Itoa(n+3))
	v.see("@status", "Succeeded")
	v.shot("log-done")
	v.leave()
	p.see("@thread-messages "+card, "web · main · Succeeded", "sha256:")
	p.see(reply, "Succeeded")
	p.shot("succeeded")
	p.panel()
	p.show("@run[data-status=success]", "build web:")
	p.shot("panel")
}

// tellBrokenBuild lets a build break: its thread shows the error of the instruction that failed.
func (p *page) tellBrokenBuild() {
	p.t.Helper()
	p.fate("breaks in RUN npm run build")
	p.channel()
	p.click("@messages "+p.build(1)+" @button", "Trigger Build")
	p.click("@modal-submit")
	p.gone("@modal")
	card := p.build(2)
	p.finish()
	p.channel()
	p.see(card, "web · main · Failed", "build #2")
	p.thread(card)
	p.see(reply, "build failed")
	p.see("@thread-messages @code", "src/server.ts(12,7): error TS2322", `Error: building at STEP "RUN npm run build"`)
	p.shot("broken")
	v := p.follow(reply, "Full log")
	v.see("@status", "Failed")
	v.wait("document.querySelector('.row.selected')")
	v.shot("log-broken")
	v.leave()
}

// tellCancelledBuild builds the commit again, and cancels that in the middle: what was written stays.
func (p *page) tellCancelledBuild() {
	p.t.Helper()
	p.fate("hangs until it is released")
	p.thread(p.build(2))
	p.click("@thread-messages "+p.build(2)+" @button", "Rebuild")
	p.channel()
	card := p.build(3)
	p.see(card, "build #2 again", "rebuilt by @alice")
	p.panel()
	p.see("@run[data-status=running]", "build-and-push/build")
	p.see("@run[data-status=running]", "Release")
	p.shot("hangs")
	p.channel()
	p.click("@messages "+card+" @button", "Cancel")
	p.see(card, "web · main · Cancelled", "cancelled by @alice")
	p.thread(card)
	p.see(reply, "cancelled this build")
	p.shot("cancelled")
	v := p.follow("@thread-messages "+card, "Log")
	v.see("@status", "Cancelled")
	v.wait("readLog.now().texts.some((t) => t.includes('RUN npm'))")
	v.leave()
}

// tellSettings says by the form which Deployment runs the app. What is wrong is said at its field.
func (p *page) tellSettings() {
	p.t.Helper()
	p.enter("/build settings")
	p.see("@modal", "Build settings", "Nobody has changed them yet")
	p.shot("settings")
	p.fill("@input[data-block=args] @field", "1VERSION=3.18")
	p.fill("@input[data-block=target_namespace] @field", "shop")
	p.fill("@input[data-block=deployment] @field", "web")
	p.click("@modal-submit")
	p.see("@input[data-block=args] @error")
	p.show("@input[data-block=args] @error")
	p.shot("settings-wrong")
	p.fill("@input[data-block=args] @field", "VERSION=3.18")
	p.show("@input[data-block=deployment]")
	p.shot("settings-target")
	p.click("@modal-submit")
	p.gone("@modal")
	p.see(private, "The build settings of web are changed.", "Deployment")
	p.shot("settings-changed")
}

// tellDeploy rolls the first image out, after a question that shows from what to what.
func (p *page) tellDeploy() {
	p.t.Helper()
	card := p.build(1)
	p.thread(card)
	p.click("@thread-messages "+card+" @button", "Deploy")
	p.channel()
	p.answer("@messages", "Yes, deploy it", "Now: cr.example.com/shop/web:3.17", "To be: cr.example.com/shop/web@sha256:")
	p.thread(card)
	p.see(reply, "Rolled out to shop/web", "before: cr.example.com/shop/web:3.17")
	p.shot("deployed")
	p.panel()
	p.see("@deployed[data-name='shop/web']", "web@")
}

// tellRollBack deploys an image that cannot be pulled, and rolls back by the button that is offered.
func (p *page) tellRollBack() {
	p.t.Helper()
	before := p.read("@deployed[data-name='shop/web']")
	p.channel()
	p.enter("/build trigger web checkout")
	card := p.build(4)
	p.finish()
	p.fate("is built, but its image cannot be pulled")
	p.thread(card)
	p.click("@thread-messages "+card+" @button", "Deploy")
	p.channel()
	p.answer("@messages", "Yes, deploy it", "Now:", "To be:")
	p.thread(card)
	p.see(reply, "Not rolled out to shop/web", "ImagePullBackOff")
	p.shot("not-rolled-out")
	p.click(reply+" @button", "Roll back")
	p.answer("@thread-messages", "Yes, roll back", "Roll shop/web back?")
	p.thread(card)
	p.see(reply, "Rolled back shop/web")
	p.shot("rolled-back")
	p.panel()
	p.see("@deployed[data-name='shop/web']", before)
	p.show("@deployed[data-name='shop/web']")
	p.shot("cluster")
	p.enter("/build")
	p.see(private, "Builds of web", "build #4", "build #1")
	p.shot("list")
}

// build names the card of a build.
func (p *page) build(n int) string {
	p.t.Helper()
	return p.card("build #" + strconv.Itoa(n) + " ")
}

// fate says, in the panel, what the next build does.
func (p *page) fate(label string) {
	p.t.Helper()
	p.panel()
	p.choose("@next-build", label)
}

// finish lets the build that is running go to its end at once.
func (p *page) finish() {
	p.t.Helper()
	p.panel()
	p.click("@run[data-kind=build] @run-finish") // no other is moving
}

// answer says yes to a question that only one person sees, which must show all of the words.
func (p *page) answer(where, yes string, words ...string) {
	p.t.Helper()
	question := where + " " + private + ":has([data-action=confirm])"
	p.see(question, words...)
	p.shot("question")
	p.click(question+" @button", yes)
}
