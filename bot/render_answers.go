package bot

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
)

// RenderConnect is what every surface of an app without a project shows.
func RenderConnect(app string) Answer {
	text := fmt.Sprintf(saysConnect, prose(app, maxName))
	return fit(Answer{Text: text, Blocks: row([]slack.Block{section(text)}, connectButton(app))})
}

// RenderError tells a person what is wrong: the public sentence of err, or, as for a
// [*Choose], the answer that it brings.
func RenderError(err error) Answer {
	if h, ok := errors.AsType[hint](err); ok {
		return h.answer()
	}
	mark := "⚠️ "
	switch kovra.KindOf(err) {
	case kovra.Denied:
		mark = "🔒 "
	case kovra.Unavailable:
		mark = "⏳ "
	default: // the other kinds are told by their sentence alone
	}
	return notice(mark + prose(kovra.PublicText(err), 1000))
}

// maxChoices is how many apps are offered as buttons.
const maxChoices = 20

func (c *Choose) answer() Answer { return RenderChoose(c) }

// RenderChoose asks which app is meant. Each button carries the whole command; values of
// variables are not shown again.
func RenderChoose(c *Choose) Answer {
	shown := c.Command
	shown.Vars = slices.Clone(shown.Vars)
	for i := range shown.Vars {
		shown.Vars[i].Value = ellipsis
	}
	head := fmt.Sprintf(saysWhichApp, code(shown.typed(), 100))
	var buttons []*slack.ButtonBlockElement
	for _, app := range c.Apps[:min(len(c.Apps), maxChoices)] {
		value := strings.ToValidUTF8(c.Command.WithApp(app).String(), "\uFFFD")
		if utf8.RuneCountInString(value) > maxButtonValue/10 && len(c.Apps) > 3 || utf8.RuneCountInString(value) > maxButtonValue {
			return notice(saysWhichAppTyped + " " + listed(codes(c.Apps), maxChoices))
		}
		buttons = append(buttons, button(ActionChoose+":"+clip(app, maxName), value, clip(app, maxName)))
	}
	blocks := row([]slack.Block{section(head)}, buttons...)
	if len(c.Apps) > maxChoices {
		blocks = append(blocks, contextLine(fmt.Sprintf(saysMoreApps, len(c.Apps)-maxChoices)))
	}
	return fit(Answer{Text: head, Blocks: blocks})
}

func codes(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		out = append(out, code(n, maxName))
	}
	return out
}

// RenderHelp answers help: of everything, or of one group or verb where words name it.
func RenderHelp(group string, words []string) Answer {
	topic := ""
	if len(words) > 0 {
		topic = strings.ToLower(strings.Join(words, "-"))
	}
	if topic == GroupPipeline || topic == GroupBuild || topic == GroupKovra {
		group, topic = topic, ""
	}
	own := topic == "" || len(helpLines(group, topic)) > 0
	var blocks []slack.Block
	for _, g := range []string{GroupPipeline, GroupBuild, GroupKovra} {
		lines := helpLines(g, topic)
		if len(lines) > 0 && (group == g || group == GroupKovra || !own) {
			blocks = append(blocks, section(append([]string{"*" + helpHeads[g] + "*"}, lines...)...))
		}
	}
	if len(blocks) == 0 {
		return RenderHelp(GroupKovra, nil)
	}
	if topic == "" {
		blocks = append(blocks, contextLine(saysHelpFoot))
	}
	return fit(Answer{Text: saysHelp, Blocks: blocks})
}

func helpLines(group, topic string) []string {
	var lines []string
	for _, s := range specs {
		if s.group != group || topic != "" && topic != s.verb {
			continue
		}
		lines = append(lines, fmt.Sprintf("`%s`  %s", escape(s.usageLine()), s.about()))
		if topic != "" {
			lines = append(lines, fmt.Sprintf("Example: `%s`", escape(s.example)))
		}
	}
	return lines
}

// about says what the command does.
func (s spec) about() string {
	if s.group == GroupBuild {
		return aboutBuild[s.verb]
	}
	return about[s.verb]
}

// Hook is what somebody needs who sets up the webhook by hand.
type Hook struct {
	URL    string
	Secret string   // where the secret is to be found, never the secret itself
	Events []string // GitLab's names of the triggers
}

// Deed is an action with what its answer shows besides.
type Deed struct {
	Action  kovra.Action
	Run     kovra.Run // that it is about, or that came of it; zero: none
	JobName string
	Project kovra.Project
	App     kovra.App
	Hook    Hook   // for a link whose hook is to be set up by hand
	Connect string // where its person signs in at GitLab, of an action that waits for it

	// Of actions of builds.
	Build    kovra.Build         // that came of it, or that it is about; zero: none
	Settings kovra.BuildSettings // of the app
}

// RenderAction is the private answer about an action, however far it is.
func RenderAction(d Deed) Answer {
	a := d.Action
	switch a.State {
	case kovra.ActionDone:
		return renderDone(d)
	case kovra.ActionFailed:
		return renderActionFailed(d)
	case kovra.ActionWaits:
		return renderPrompt(d)
	case kovra.ActionAsks:
		if a.Kind == kovra.ActDeploy || a.Kind == kovra.ActRollBack {
			return renderDeployQuestion(d)
		}
		text := "❓ " + prose(cmp.Or(a.Outcome.Reason, fmt.Sprintf(saysSure, actionPhrase(d).plain)), maxReason)
		yes := button(ActionConfirm, strconv.FormatInt(a.ID, 10), confirmWords(a.Kind))
		yes.Style = slack.StyleDanger
		return fit(Answer{Text: text, Blocks: row([]slack.Block{section(text)}, yes)})
	default:
		return notice("⏳ " + actionPhrase(d).going + "…")
	}
}

func renderDone(d Deed) Answer {
	a := d.Action
	if ofBuilds(a.Kind) {
		return renderBuildDone(d)
	}
	if a.Kind == kovra.ActEnableHooks {
		return renderEnabled(d)
	}
	text := "✅ " + actionPhrase(d).done
	blocks := []slack.Block{section(text)}
	for _, l := range doneNotes(d) {
		blocks = append(blocks, contextLine(clipEscaped(l, maxContextText)))
	}
	var buttons []*slack.ButtonBlockElement
	switch {
	case a.Kind == kovra.ActLink || a.Kind == kovra.ActSubscribe:
		buttons = append(buttons, button(ActionList, buttonPlace(a.App, "").String(), "Pipelines"))
		if a.Channel != "" && !a.Outcome.Direct {
			buttons = append(buttons, subscribeButton(a.App))
		}
		buttons = append(buttons, open("project", d.Project.URL, "View in GitLab"))
	case a.Kind == kovra.ActCreateApp || a.Kind == kovra.ActUnlink:
		buttons = append(buttons, connectButton(a.App))
	case a.Kind == kovra.ActConnect || a.Kind == kovra.ActDisconnect || a.Kind == kovra.ActNotify || a.Kind == kovra.ActWatch:
	case a.Kind.Permission() == kovra.MayAct:
		if d.Run.ID != 0 {
			buttons = append(buttons, jobsButton(&d.Run, ""))
		}
		buttons = append(buttons, open("result", cmp.Or(a.Outcome.URL, d.Run.URL), "View in GitLab"))
		if a.Outcome.Moved != "" {
			buttons = append(buttons, runButton(a.App, d.Run.Ref))
		}
	}
	if a.Outcome.Hook == kovra.HookByHand {
		blocks = append(blocks, handmadeHook(d)...)
	}
	return fit(Answer{Text: text, Blocks: row(blocks, buttons...)})
}

// doneNotes is what else to know of something that was done.
func doneNotes(d Deed) []string {
	a, o := d.Action, d.Action.Outcome
	var notes []string
	add := func(when bool, note string) {
		if when && note != "" {
			notes = append(notes, note)
		}
	}
	add(len(a.Params.Variables) > 0, "Variables: "+listed(codes(a.Params.Variables), 20))
	add(len(a.Params.Inputs) > 0, "Inputs: "+listed(codes(inputNames(a.Params.Inputs)), 20))
	add(o.Moved != "", fmt.Sprintf(saysMoved, code(cmp.Or(o.Ref, d.Run.Ref), maxRef), code(kovra.ShortSHA(o.Moved), 8)))
	if a.Kind == kovra.ActLink {
		add(o.Created, fmt.Sprintf(saysAppCreated, prose(a.App, maxName)))
		add(o.Hook == kovra.HookCreated, saysHookCreated)
		add(o.Hook == kovra.HookFound, saysHookFound)
		add(o.Existing > 0, fmt.Sprintf(saysExisting, plural(o.Existing, "pipeline", "pipelines")))
	}
	if a.Kind == kovra.ActSubscribe && a.Params.Filter.Relays() {
		add(o.Hook == kovra.HookCreated, saysHookCreated)
		add(o.Hook == kovra.HookFound && a.Params.Filter.Has(kovra.TopicMergeRequests), saysComments)
	}
	add((a.Kind == kovra.ActLink || a.Kind == kovra.ActSubscribe) && !o.Member && !o.Direct && a.Channel != "", fmt.Sprintf(saysInvite, channel(a.Channel)))
	add(o.Hook == kovra.HookRemoved, saysHookRemoved)
	add(o.Hook == kovra.HookKept, saysHookKept)
	add(o.Reason != "", prose(o.Reason, maxReason))
	return notes
}

func inputNames(inputs map[string]string) []string {
	names := make([]string, 0, len(inputs))
	for n := range inputs {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// handmadeHook says how to set up the webhook without us.
func handmadeHook(d Deed) []slack.Block {
	lines := []string{saysHookByHand}
	if d.Action.Outcome.HookNote != "" {
		lines[0] += " (" + prose(d.Action.Outcome.HookNote, 300) + ")"
	}
	settings := "Settings → Webhooks"
	if d.Project.URL != "" {
		settings = link(d.Project.URL+"/-/hooks", settings)
	}
	lines = append(lines,
		"In GitLab, "+settings+" → Add new webhook:",
		"• URL: "+code(cmp.Or(d.Hook.URL, "KOVRA_PUBLIC_URL/webhooks/gitlab"), maxLinkURL),
		"• Secret token: "+prose(cmp.Or(d.Hook.Secret, saysHookSecret), 200),
		"• Trigger: "+prose(hookEvents(d), 300),
	)
	return []slack.Block{section(lines...)}
}

// furtherEvents are GitLab's names of the triggers that topics need beside the usual ones.
var furtherEvents = []struct {
	topic kovra.Topic
	event string
}{
	{kovra.TopicTags, "Tag push events"},
	{kovra.TopicMergeRequests, "Merge request events"},
	{kovra.TopicMergeRequests, "Comments"},
	{kovra.TopicDeployments, "Deployment events"},
	{kovra.TopicReleases, "Releases events"},
}

func hookEvents(d Deed) string {
	events := []string{cmp.Or(strings.Join(d.Hook.Events, ", "), saysHookEvents)}
	for _, f := range furtherEvents {
		if d.Action.Params.Filter.Has(f.topic) {
			events = append(events, f.event)
		}
	}
	return strings.Join(events, ", ")
}

func renderActionFailed(d Deed) Answer {
	a := d.Action
	reason := prose(a.Outcome.Reason, maxReason)
	if reason == "" {
		reason = failedWords(a.Kind, a.Outcome.Kind)
	}
	text := "❌ " + actionPhrase(d).not + " " + reason
	if a.Outcome.Kind == kovra.Unclear { // it may have been done
		text = "❔ " + actionPhrase(d).going + ": " + reason
	}
	if ofBuilds(a.Kind) {
		return fit(Answer{Text: text, Blocks: row([]slack.Block{section(text)}, deedButtons(d)...)})
	}
	var buttons []*slack.ButtonBlockElement
	if d.Run.ID != 0 {
		buttons = append(buttons, jobsButton(&d.Run, ""))
	}
	if a.Kind != kovra.ActSubscribe && a.Kind != kovra.ActUnsubscribe { // GitLab knows nothing of these
		buttons = append(buttons, open("result", cmp.Or(a.Outcome.URL, d.Run.URL, d.Project.URL), "View in GitLab"))
	}
	return fit(Answer{Text: text, Blocks: row([]slack.Block{section(text)}, buttons...)})
}

// RenderTaken answers somebody who asks for what is done or on its way already: the first
// click wins, and later ones learn whose it was.
func RenderTaken(d Deed, asker string) Answer {
	a := d.Action
	who := "by " + actor(a.By)
	if a.By.ID == asker {
		who = "by you"
	}
	state := ""
	if a.Open() {
		state = " It is on its way."
	}
	text := fmt.Sprintf("☝️ %s %s%s%s", actionPhrase(d).already, who, at(date(a.CreatedAt)), "."+state)
	blocks := []slack.Block{section(text)}
	if d.Build.ID != 0 {
		return fit(Answer{Text: text, Blocks: row(append(blocks, contextLine(buildHeadline(d.view()))), deedButtons(d)...)})
	}
	if d.Run.ID == 0 {
		return fit(Answer{Text: text, Blocks: blocks})
	}
	again := a.Kind == kovra.ActRetry && a.State == kovra.ActionDone && d.Run.Status.CanRetry()
	if !again { // GitLab has not told yet that it runs again
		blocks = append(blocks, contextLine(nowWords(&d.Run)))
	}
	return fit(Answer{Text: text, Blocks: row(blocks, jobsButton(&d.Run, ""), open("pipeline", d.Run.URL, "View in GitLab"))})
}

func at(date string) string {
	if date == "" {
		return ""
	}
	return ", " + date
}

// Unavailable is an action that was asked for though it is not offered now.
type Unavailable struct {
	Kind kovra.ActionKind
	View kovra.View // of the run or build, as it is now
	Job  *kovra.Job // the job that it is about, or nil
	// Attempt is what the button carried; 0: it was typed.
	Attempt int
}

// RenderUnavailable says why the action is not possible, what the state is now, and what
// is possible instead.
func RenderUnavailable(u Unavailable) Answer {
	if u.View.Build != nil {
		text := "☝️ " + buildUnavailableWords(u)
		blocks := []slack.Block{section(text), contextLine(headline(u.View))}
		return fit(Answer{Text: text, Blocks: row(blocks, append(buildButtons(u.View), u.nextButton())...)})
	}
	r := &u.View.Run
	lines := []string{unavailableWords(u)}
	if u.Attempt != 0 && u.Attempt != r.Attempt() {
		lines = append(lines, fmt.Sprintf(saysOtherAttempt, r.Attempt()))
	}
	blocks := []slack.Block{section("☝️ " + strings.Join(lines, " ")), contextLine(headline(u.View))}
	if linked(u.View) {
		blocks = append(blocks, contextLine(saysLookAgain))
	}
	return fit(Answer{Text: strings.Join(lines, " "), Blocks: row(blocks, cardButtons(u.View)...)})
}

// RenderStale answers a click on a button of an earlier attempt that the state offers
// again: nothing is done that the person could not see.
func RenderStale(u Unavailable) Answer {
	text := "☝️ " + saysStale
	now := contextLine(fmt.Sprintf("%s · attempt %d", headline(u.View), u.View.Run.Attempt()))
	return fit(Answer{Text: text, Blocks: row([]slack.Block{section(text), now}, cardButtons(u.View)...)})
}
