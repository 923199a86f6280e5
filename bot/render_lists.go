package bot

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
)

// ListPage is how many pipelines one page of a list has.
const ListPage = 5

// List is one page of an app's pipelines.
type List struct {
	App     kovra.App
	Project kovra.Project
	Ref     string      // only this ref; "": all
	Runs    []kovra.Run // newest first, at most ListPage
	// Older and Newer are the remote ids that the next pages start from; 0: there is no such page.
	Older, Newer int64
}

// RenderList answers `/pipeline`: a card per pipeline, and Run Pipeline. An app without a
// project gets the prompt to connect one.
func RenderList(l List) Answer {
	if l.App.Project == 0 {
		return RenderConnect(l.App.Name)
	}
	head := fmt.Sprintf("*Pipelines of %s*", prose(l.App.Name, maxName))
	if l.Ref != "" {
		head += " on " + code(l.Ref, maxRef)
	}
	blocks := []slack.Block{section(head)}
	if len(l.Runs) == 0 {
		blocks = append(blocks, section(emptyList(l)))
	}
	for i := range l.Runs[:min(len(l.Runs), ListPage)] {
		blocks = append(blocks, listCard(l, &l.Runs[i])...)
	}
	blocks = append(blocks, slack.NewDividerBlock()) // what follows is about the whole list
	buttons := append([]*slack.ButtonBlockElement{runButton(l.App.Name, l.Ref)}, listPages(l)...)
	return fit(Answer{Text: head, Blocks: row(blocks, buttons...)})
}

// listPages turn the pages of a list.
func listPages(l List) (buttons []*slack.ButtonBlockElement) {
	place := buttonPlace(l.App.Name, l.Ref)
	if l.Newer != 0 {
		place.Before, place.After = 0, l.Newer
		buttons = append(buttons, button(ActionNewer, place.String(), "Newer"))
	}
	if l.Older != 0 {
		place.Before, place.After = l.Older, 0
		buttons = append(buttons, button(ActionOlder, place.String(), "Older"))
	}
	return buttons
}

func emptyList(l List) string {
	if l.Ref == "" {
		return saysNoPipelines
	}
	if s, ok := nearestSpec(GroupPipeline, l.Ref); ok {
		return fmt.Sprintf(saysNoPipelinesNear, code(l.Ref, maxRef), "`"+escape(s.example)+"`")
	}
	return fmt.Sprintf(saysNoPipelinesOf, code(l.Ref, maxRef))
}

func listCard(l List, r *kovra.Run) []slack.Block {
	v := kovra.View{App: l.App, Project: l.Project, Run: *r}
	suffix := ":" + strconv.FormatInt(r.ID, 10)
	head := dots(icon(r.Status)+" *"+statusWords(r.Status)+"*", refText(r), pipelineLink(r))
	blocks := []slack.Block{section(joinNonEmpty("\n", []string{head, commitLine(l.Project, r), factsLine(v)}))}
	buttons := []*slack.ButtonBlockElement{jobsButton(r, suffix)}
	if linked(v) {
		buttons = append(buttons, changeButton(r, suffix))
	}
	return row(blocks, append(buttons, open("pipeline"+suffix, r.URL, "View in GitLab"))...)
}

// AppRow is what is told of one app in a list.
type AppRow struct {
	App           kovra.App
	Project       kovra.Project // zero: none linked
	Subscriptions []kovra.Subscription
	Last          *kovra.Run   // the newest pipeline, or nil
	LastBuild     *kovra.Build // the newest build, or nil
}

// RenderApps answers `/kovra apps`.
func RenderApps(rows []AppRow) Answer {
	head := plural(len(rows), "app", "apps")
	if len(rows) == 0 {
		return notice(saysNoAppsYet)
	}
	lines := make([]string, 0, len(rows))
	for _, r := range rows {
		lines = append(lines, appLine(r))
	}
	blocks := []slack.Block{section("*" + head + "*")}
	return fit(Answer{Text: head, Blocks: append(blocks, sections(lines, "apps", 7000)...)})
}

func appLine(r AppRow) string {
	last := ""
	if r.Last != nil {
		last = dots("last pipeline "+icon(r.Last.Status)+" "+statusWords(r.Last.Status), refText(r.Last), pipelineLink(r.Last))
	}
	return "• " + dots("*"+prose(r.App.Name, maxName)+"*", projectText(r.App, r.Project), channelsText(r.Subscriptions), last, lastBuildText(r))
}

func lastBuildText(r AppRow) string {
	if r.LastBuild == nil {
		return ""
	}
	return dots("last build "+buildIcon(r.LastBuild.Status)+" "+buildWords(r.LastBuild), branchText(r.LastBuild), fmt.Sprintf("#%d", r.LastBuild.ID))
}

func projectText(a kovra.App, p kovra.Project) string {
	if a.Project == 0 {
		return "no GitLab project"
	}
	return link(p.URL, prose(cmp.Or(p.Path, strconv.FormatInt(a.Project, 10)), maxRef))
}

func channelsText(subs []kovra.Subscription) string {
	var names []string
	for _, s := range subs {
		name := channel(s.Channel)
		if s.Paused != "" {
			name += " (paused)"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "no channel"
	}
	return listed(names, maxChannel)
}

// sections puts lines into as few sections as they need, within a number of characters.
func sections(lines []string, what string, budget int) []slack.Block {
	var blocks []slack.Block
	for len(lines) > 0 && budget > 200 {
		n, size := 0, 0
		for n < len(lines) {
			add := len([]rune(lines[n])) + 1
			if size+add > min(maxSection-100, budget-100) && n > 0 {
				break
			}
			size += add
			n++
		}
		blocks = append(blocks, section(lines[:n]...))
		lines, budget = lines[n:], budget-size
	}
	if len(lines) > 0 {
		blocks = append(blocks, contextLine(fmt.Sprintf("and %d more %s", len(lines), what)))
	}
	return blocks
}

// RenderApp answers `/kovra app`: everything about one app.
func RenderApp(r AppRow) Answer {
	if r.App.Project == 0 {
		return RenderConnect(r.App.Name)
	}
	name := prose(r.App.Name, maxName)
	lines := []string{
		"*" + name + "*",
		"GitLab project: " + projectText(r.App, r.Project),
		"Default branch: " + code(r.Project.DefaultBranch, maxRef),
	}
	if r.Last != nil {
		lines = append(lines, "Last pipeline: "+dots(icon(r.Last.Status)+" "+statusWords(r.Last.Status), refText(r.Last), pipelineLink(r.Last), createdText(r.Last)))
	}
	if last := lastBuildText(r); last != "" {
		lines = append(lines, upper(last))
	}
	lines = append(lines, "Webhook: "+hookText(r.Project))
	blocks := []slack.Block{section(lines...)}
	blocks = append(blocks, sections(subscriptionLines(r.Subscriptions, false), "channels", 3000)...)
	if len(r.Subscriptions) == 0 {
		blocks = append(blocks, contextLine(saysNoChannel))
	}
	if d := date(r.App.CreatedAt); d != "" {
		blocks = append(blocks, contextLine("created "+d+" "+creator(r.App)))
	}
	list := button(ActionList, buttonPlace(r.App.Name, "").String(), "Pipelines")
	return fit(Answer{Text: name, Blocks: row(blocks, list, buildsButton(r.App.Name), runButton(r.App.Name, ""), subscribeButton(r.App.Name), open("project", r.Project.URL, "View in GitLab"))})
}

// creator names who made an app; the command line leaves no id of Slack.
func creator(a kovra.App) string {
	if a.CreatedBy == "" {
		return "at the command line"
	}
	return "by " + mention(a.CreatedBy, "")
}

func hookText(p kovra.Project) string {
	switch {
	case p.Seen.Is().Trouble():
		return hookIcon(p.Seen.Is()) + " " + healthWords(p.Seen)
	case p.Hook == 0:
		return saysHookUnknown
	case p.HookOurs:
		return "in place, made by the bot"
	default:
		return "in place"
	}
}

func subscriptionLines(subs []kovra.Subscription, withApp bool) []string {
	var lines []string
	for _, s := range subs {
		lines = append(lines, "• "+subscriptionLine(s, withApp))
	}
	return lines
}

func subscriptionLine(s kovra.Subscription, withApp bool) string {
	name := ""
	if withApp {
		name = "*" + prose(s.App, maxName) + "*"
	}
	return dots(name, channel(s.Channel), subscriptionWords(s))
}

// editable is how many subscriptions of a list get buttons.
const editable = 10

// RenderSubscriptions answers `/kovra subscriptions`. Those of the channel where it is asked can be changed there.
func RenderSubscriptions(subs []kovra.Subscription, here string) Answer {
	if len(subs) == 0 {
		return notice(saysNoSubscriptions)
	}
	head := plural(len(subs), "subscription", "subscriptions")
	blocks := []slack.Block{section("*" + head + "*")}
	if len(subs) > editable {
		return fit(Answer{Text: head, Blocks: append(blocks, sections(subscriptionLines(subs, true), "subscriptions", 7000)...)})
	}
	var apps []string
	for _, s := range subs {
		blocks = append(blocks, section(subscriptionLine(s, true)))
		if s.Channel != here {
			continue
		}
		blocks = row(blocks, subscriptionButtons(s)...)
		if !slices.Contains(apps, s.App) {
			apps = append(apps, s.App)
		}
	}
	if len(apps) == 1 {
		blocks = append(blocks, slack.NewDividerBlock())
		blocks = row(blocks, subscribeButton(apps[0]))
	}
	return fit(Answer{Text: head, Blocks: blocks})
}

func subscriptionButtons(s kovra.Subscription) []*slack.ButtonBlockElement {
	id := strconv.FormatInt(s.ID, 10)
	remove := button(ActionRemoveSubscription+":"+id, id, "Remove")
	remove.Confirm = slack.NewConfirmationBlockObject(plainText("Remove this subscription?"),
		mrkdwn(clipEscaped("The channel hears no more of "+selects(s.Filter)+".", maxConfirmText)), plainText("Remove"), plainText("Keep it"))
	return []*slack.ButtonBlockElement{button(ActionEditSubscription+":"+id, id, "Edit"), remove}
}

func subscribeButton(app string) *slack.ButtonBlockElement {
	return button(ActionSubscribe, clip(clean(app), maxName), labelChoose)
}

// AuditPage is how many entries one page of the record has.
const AuditPage = 20

// auditSpace is how many characters those may have together; one never has as many.
const auditSpace = 8500

// AuditRow is one entry of the record; Run is zero where the action was not about a pipeline.
type AuditRow struct {
	Action kovra.Action
	Run    kovra.Run
}

// RenderAudit answers `/kovra audit`: who did what, newest first. older is the id of the
// action that the next page starts before; 0: this is the last page.
func RenderAudit(app string, rows []AuditRow, older int64) Answer {
	head := "*Who did what*"
	if app != "" {
		head += " with *" + prose(app, maxName) + "*"
	}
	if len(rows) == 0 {
		return notice(head + "\n" + saysNoAudit)
	}
	var lines []string
	size := 0
	var last int64
	for _, r := range rows {
		line := auditLine(r)
		if size += utf8.RuneCountInString(line) + 1; size > auditSpace {
			older = last // the next page begins where this one is full
			break
		}
		lines, last = append(lines, line), r.Action.ID
	}
	blocks := append([]slack.Block{section(head)}, sections(lines, "entries", maxMessage)...)
	if older != 0 {
		place := buttonPlace(app, "")
		place.Before = older
		blocks = row(blocks, button(ActionAudit, place.String(), "Older"))
	}
	return fit(Answer{Text: head, Blocks: blocks})
}

func auditLine(r AuditRow) string {
	a := r.Action
	var result string
	switch a.State {
	case kovra.ActionFailed:
		result = "❌ " + prose(cmp.Or(a.Outcome.Reason, "not done"), 120)
	case kovra.ActionDone:
		result = "✅ done"
	case kovra.ActionAsks:
		result = "waits for a yes"
	case kovra.ActionWaits:
		result = "🔑 waits for them to connect"
	default:
		result = "⏳ on its way"
	}
	who := actor(a.By)
	if a.Outcome.As != "" {
		who += " as " + code(a.Outcome.As, maxName)
	}
	if a.Params.Comment != nil {
		who += " in a merge request"
	}
	return "• " + dots(date(a.CreatedAt), who, auditWords(a, &r.Run), result)
}

// notice is an answer of a line or two.
func notice(text string) Answer {
	return fit(Answer{Text: clipEscaped(text, maxFallback), Blocks: []slack.Block{section(clipEscaped(text, maxSection))}})
}
