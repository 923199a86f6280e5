package bot

import (
	"fmt"
	"slices"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
)

// Characters that lists of webhooks may have.
const (
	noticeSpace = 6000
	hooksSpace  = 8000
)

// renderNotice is the one message in which an administrator is told of something. It is edited as the state changes.
func renderNotice(v kovra.View) []Message {
	var text string
	var blocks []slack.Block
	switch n := v.Notice; n.Kind {
	case kovra.NoticeHooks:
		text, blocks = hooksNotice(v)
	case kovra.NoticeExpiry:
		text, blocks = expiryNotice(v)
	default:
		text, blocks = refusedNotice(v)
	}
	class := Failure
	if !v.Notice.Open() {
		class = Terminal
	}
	return []Message{{Slot: kovra.SlotCard, Text: text, Blocks: blocks, Class: class}}
}

func hooksNotice(v kovra.View) (string, []slack.Block) {
	troubled := slices.DeleteFunc(slices.Clone(v.Hooks), func(h kovra.ProjectHook) bool { return !h.Project.Seen.Is().Trouble() })
	if !v.Notice.Open() || len(troubled) == 0 {
		return saysHooksAgain, []slack.Block{section(saysHooksAgain)}
	}
	head := troubleWords(len(troubled))
	blocks := []slack.Block{section(head, saysHooksQuiet)}
	blocks = append(blocks, sections(hookLines(troubled), "projects", noticeSpace)...)
	blocks = append(blocks, contextLine(saysHooksByHand))
	return head, row(blocks, enableButton())
}

func enableButton() *slack.ButtonBlockElement {
	b := button(ActionEnableHooks, "all", labelEnableHooks)
	b.Style = slack.StylePrimary
	return b
}

// hookLines says of each project how its webhook is, those in trouble first.
func hookLines(hooks []kovra.ProjectHook) []string {
	order := kovra.HookHealths()
	hooks = slices.Clone(hooks)
	slices.SortStableFunc(hooks, func(a, b kovra.ProjectHook) int {
		return slices.Index(order, a.Project.Seen.Is()) - slices.Index(order, b.Project.Seen.Is())
	})
	lines := make([]string, 0, len(hooks))
	for _, h := range hooks {
		lines = append(lines, hookLine(h))
	}
	return lines
}

func hookLine(h kovra.ProjectHook) string {
	p, s := h.Project, h.Project.Seen
	page := ""
	if p.URL != "" {
		page = p.URL + "/-/hooks"
	}
	var apps []string
	for _, a := range h.Apps {
		apps = append(apps, prose(a, maxName))
	}
	since := ""
	if s.Is().Trouble() {
		since = prefixed("since ", date(s.Since))
	}
	return hookIcon(s.Is()) + " " + dots(link(page, prose(p.Path, maxRef)), listed(apps, 5), healthWords(s), lastWords(s), since, prose(s.Note, maxReason))
}

func expiryNotice(v kovra.View) (string, []slack.Block) {
	n := v.Notice
	if !n.Open() {
		text := fmt.Sprintf(saysEndsLater, tokenLives(v.Token))
		return text, []slack.Block{section(text)}
	}
	head := fmt.Sprintf(saysEndsSoon, dayWords(n.Token.Expires))
	return head, []slack.Block{
		section(head, fmt.Sprintf(saysEndsHow, tokenName(n.Token), plural(n.Days, "day", "days"))), section(saysRenew),
	}
}

func refusedNotice(v kovra.View) (string, []slack.Block) {
	if !v.Notice.Open() {
		text := fmt.Sprintf(saysAccepted, tokenLives(v.Token))
		return text, []slack.Block{section(text)}
	}
	return saysNotAccepted, []slack.Block{
		section(saysNotAccepted, prose(v.Token.Refused, maxReason), saysMute), section(saysRenew),
	}
}

// RenderHooks answers `/kovra hooks`. lost says that nobody knows where webhooks should go.
func RenderHooks(hooks []kovra.ProjectHook, lost bool) Answer {
	switch {
	case len(hooks) == 0:
		return notice(saysNoHooks)
	case lost:
		return notice(saysHooksNoURL)
	}
	trouble, unsure := 0, 0
	for _, h := range hooks {
		switch is := h.Project.Seen.Is(); {
		case is.Trouble():
			trouble++
		case is != kovra.HealthFine:
			unsure++
		}
	}
	head := plural(len(hooks), "webhook", "webhooks")
	switch {
	case trouble > 0:
		head = troubleWords(trouble)
	case unsure == 0:
		head = saysHooksFine
	}
	blocks := append([]slack.Block{section(head)}, sections(hookLines(hooks), "projects", hooksSpace)...)
	if trouble == 0 {
		return fit(Answer{Text: head, Blocks: blocks})
	}
	blocks = append(blocks, contextLine(saysHooksByHand))
	return fit(Answer{Text: head, Blocks: row(blocks, enableButton())})
}

// renderEnabled answers the one who had webhooks enabled.
func renderEnabled(d Deed) Answer {
	o := d.Action.Outcome
	if o.Mended+o.Broken == 0 {
		return notice(saysNoneToEnable)
	}
	return notice(enabledWords(o))
}
