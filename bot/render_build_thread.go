package bot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
)

// The live tail of a build, in its thread.
const (
	tailLines = 8
	tailWidth = 160 // characters
)

// renderBuildThread shows the thread of a build: the card, the failed steps, what happened, and the tail of the log.
func renderBuildThread(v kovra.View) []Message {
	messages := []Message{renderBuildCard(v)}
	messages = append(messages, renderSteps(v)...)
	messages = append(messages, renderBuildHistory(v)...)
	return append(messages, renderTail(v)...)
}

// renderSteps gives each failed step a reply, once it is settled what can be said of it.
func renderSteps(v kovra.View) []Message {
	var messages []Message
	told := map[string]bool{}
	for _, s := range v.Build.Steps {
		if !stepTold(s) || told[s.Key()] || len(told) == kovra.MaxFailures {
			continue
		}
		told[s.Key()] = true
		messages = append(messages, renderStep(v, s))
	}
	return messages
}

// stepTold reports whether a step failed and all is known of it.
func stepTold(s kovra.Step) bool {
	return s.Status == kovra.Failed && (s.Log == kovra.LogCut || s.Log == kovra.LogGone)
}

func renderStep(v kovra.View, s kovra.Step) Message {
	b := v.Build
	head := fmt.Sprintf("❌ %s failed", code(s.Name, maxRef))
	took := ""
	if s.Duration() > 0 {
		took = span(s.Duration())
	}
	blocks := []slack.Block{section(dots(head, prose(s.Message, maxReason), took))}
	switch {
	case v.NoLogs:
		blocks = append(blocks, contextLine(saysLogHidden))
	case len(s.Excerpt.Lines) > 0:
		blocks = append(blocks, section(excerptText(s.Excerpt)))
	default:
		blocks = append(blocks, contextLine(noStepExcerpt(s)))
	}
	var again, full *slack.ButtonBlockElement
	if linked(v) && b.CanRebuild() {
		again = rebuildButton(b, "")
	}
	if !v.NoLogs {
		full = open("log", atLine(b.LogURL, cmp.Or(s.Excerpt.First, s.FirstLine)), "Full log")
	}
	return Message{
		Slot:   kovra.StepSlot(s),
		Text:   fmt.Sprintf("%s · *%s* %s", head, prose(appName(v), maxName), branchText(b)),
		Blocks: row(blocks, again, full),
		Class:  Failure,
	}
}

func noStepExcerpt(s kovra.Step) string {
	switch {
	case s.Excerpt.Note != "":
		return "No log here: " + prose(s.Excerpt.Note, maxReason)
	case s.Log == kovra.LogGone:
		return saysStepLogGone
	default:
		return saysStepLogEmpty
	}
}

// renderBuildHistory gives what people did, the deployments, and how the build ended, in the order in which it happened.
func renderBuildHistory(v kovra.View) []Message {
	var events []event
	if m, ok := renderBuildResult(v); ok {
		events = append(events, event{v.Build.FinishedAt, m})
	}
	for _, a := range v.Actions {
		if m, ok := renderBuildDeed(v, a); ok {
			events = append(events, event{a.CreatedAt, m})
		}
	}
	for _, d := range v.Deployments {
		events = append(events, event{d.CreatedAt, renderDeployment(v, d)})
	}
	return inOrder(events)
}

// renderBuildResult is the reply about the end. It comes after the excerpt that explains it.
func renderBuildResult(v kovra.View) (Message, bool) {
	b := v.Build
	failed, inStep := b.FailedStep()
	if !b.Status.Final() || b.Status == kovra.BuildFailed && inStep && !stepTold(failed) && !b.LogDone {
		return Message{}, false
	}
	text := buildResultWords(b)
	switch {
	case b.Status == kovra.BuildFailed && inStep:
		text = dots(text, "step "+code(failed.Name, maxName)+" failed")
	case b.Status == kovra.BuildFailed:
		text = dots(text, prose(b.Message, maxReason))
	}
	where := fmt.Sprintf("*%s* %s", prose(appName(v), maxName), branchText(b))
	m := Message{
		Slot:  kovra.ResultSlot(kovra.Result{FinishedAt: b.FinishedAt}),
		Class: Terminal,
		Text:  where + " · " + text,
	}
	switch b.News {
	case kovra.Broken:
		m.Blocks = buildNews(v, "❌ "+where+" no longer builds", text)
	case kovra.Fixed:
		m.Blocks = buildNews(v, "✅ "+where+" builds again", text)
	default:
		m.Blocks = []slack.Block{section(buildIcon(b.Status) + " " + text)}
	}
	m.Broadcast = b.News != kovra.NoNews && v.Thread.Broadcast.OfBuild(b, v.Project, v.Settings)
	return m, true
}

// buildNews can be read in the channel, away from the thread.
func buildNews(v kovra.View, head, text string) []slack.Block {
	facts := contextLine(dots(buildCommitLine(v), builderText(v.Build), buildNumber(v.Build.ID)))
	return row([]slack.Block{section(head, text), facts}, buildLogButton(v, "Full log", ""))
}

// renderBuildDeed is the reply about something that somebody did. A deployment tells by itself who asked for it.
func renderBuildDeed(v kovra.View, a kovra.Action) (Message, bool) {
	told := slices.ContainsFunc(v.Deployments, func(d kovra.Deployment) bool { return d.ID == a.Outcome.Deployment })
	switch {
	case a.State != kovra.ActionDone, told:
		return Message{}, false
	case a.Kind == kovra.ActCancelBuild, a.Kind == kovra.ActRebuild && a.Outcome.Build != v.Build.ID,
		a.Kind == kovra.ActDeploy, a.Kind == kovra.ActRollBack, a.Kind == kovra.ActResumeDeploy:
	default:
		return Message{}, false
	}
	text := buildDeedWords(a)
	return Message{
		Slot:   kovra.ActionSlot(a.ID),
		Text:   text,
		Blocks: []slack.Block{section(text)},
		Class:  Start,
	}, true
}

// renderDeployment is the reply about one deployment, edited in place until it has ended.
func renderDeployment(v kovra.View, d kovra.Deployment) Message {
	head := deploymentWords(&d)
	lines := []string{head}
	if d.Status == kovra.BuildFailed {
		lines[0] = dots(head, prose(d.Message, maxReason))
	}
	blocks := []slack.Block{section(lines...)}
	if d.Status == kovra.BuildFailed && !v.NoLogs && len(d.Excerpt.Lines) > 0 {
		blocks = append(blocks, section(excerptText(d.Excerpt)))
	}
	blocks = append(blocks, contextLine("📦 "+imageText(d.Image)))
	if facts := deploymentFacts(&d); facts != "" {
		blocks = append(blocks, contextLine(facts))
	}
	newest := d.ID == v.LastDeployment
	var resume, full *slack.ButtonBlockElement
	if newest && linked(v) && v.Settings.AutoDeploy && v.Settings.Paused {
		blocks = append(blocks, contextLine(pausedText(v.Settings)))
		resume = resumeButton(appName(v), v.Settings)
	}
	if d.Status.Final() && !d.StartedAt.IsZero() && !v.NoLogs {
		full = open("log", atLine(d.LogURL, d.Excerpt.First), "Full log")
	}
	return Message{
		Slot:   kovra.DeploymentSlot(d.ID),
		Text:   fmt.Sprintf("%s · *%s* %s", head, prose(appName(v), maxName), buildNumber(v.Build.ID)),
		Blocks: row(blocks, rollBackButton(v, d), resume, full),
		Class:  buildClass(d.Status),
	}
}

// deploymentFacts says who wanted it, how long it took, and what was there before.
func deploymentFacts(d *kovra.Deployment) string {
	who, took, before, waits := "", "", "", ""
	switch {
	case d.By.ID != "":
		who = "by " + mention(d.By.ID, d.By.Name)
	case d.Kind == kovra.AutoDeploy:
		who = "auto-deploy"
	}
	if d.Duration() > 0 {
		took = "took " + span(d.Duration())
	}
	if d.From != "" {
		before = "before: " + imageText(d.From)
	}
	if !d.Status.Final() {
		waits = prose(d.Message, maxReason)
	}
	return dots(who, took, before, waits)
}

// renderTail shows the last lines of the log while it is written. When all of it is there, what
// is left is one line that never moves again; who came too late for the tail gets none.
func renderTail(v kovra.View) []Message {
	b := v.Build
	slot := v.Slots[kovra.SlotTail]
	shown := slot.TS != "" || slot.Nonce != ""
	m := Message{Slot: kovra.SlotTail, Class: Tail}
	live := len(b.Tail) > 0 && (b.Status == kovra.BuildBuilding || b.Status.Final() && !b.LogDone)
	switch {
	case !shown && (v.NoLogs || b.Status != kovra.BuildBuilding || !live):
		return nil
	case v.NoLogs:
		m.Class, m.Text = Failure, saysLogHidden
		m.Blocks = []slack.Block{contextLine(saysLogHidden)}
	case live || !b.Status.Final():
		m.Text = "Log of " + buildNumber(b.ID)
		m.Blocks = []slack.Block{section(tailText(b.Tail))}
	default:
		m.Class, m.Text = Progress, "Log"
		if b.LogLines > 0 {
			m.Text = "Log: " + plural(b.LogLines, "line", "lines")
		}
		if full := webAddress(b.LogURL, maxLinkURL); full != "" {
			m.Text = dots(m.Text, link(full, "Full log"))
		}
		m.Blocks = []slack.Block{contextLine(m.Text)}
	}
	return []Message{m}
}

// tailText is the end of a log in a fence.
func tailText(lines []string) string {
	var out []string
	left := maxFence
	for _, l := range slices.Backward(lines) {
		l = clip(strings.TrimRight(l, " "), tailWidth)
		left -= utf8.RuneCountInString(fenced(l)) + 1
		if left < 0 || len(out) == tailLines {
			break
		}
		out = append(out, l)
	}
	if len(out) == 0 {
		out = []string{ellipsis}
	}
	slices.Reverse(out)
	return fence(out)
}
