package bot

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
)

// maxText is how much of a release's description is shown.
const maxText = 600

// renderSubject is the one message about a merge request, tag, deployment, release or push. It mentions nobody,
// and has no replies: its edits make no noise.
func renderSubject(v kovra.View) []Message {
	e := v.Subject
	head, lines, buttons := subjectParts(v)
	blocks := []slack.Block{section(head)}
	if e.Kind == kovra.SubjectPush && len(lines) > 0 {
		blocks = []slack.Block{section(append([]string{head}, lines...)...)}
		lines = nil
	}
	for _, l := range lines {
		if l != "" {
			blocks = append(blocks, contextLine(l))
		}
	}
	return []Message{{Slot: kovra.SlotCard, Text: head, Blocks: row(blocks, buttons...), Class: subjectClass(e)}}
}

func subjectClass(e *kovra.Subject) Class {
	switch e.State {
	case "running", "created", "opened", "blocked":
		return Progress
	default:
		return Terminal
	}
}

// subjectParts is what is said of a subject: the line that must be seen first, the facts, and the ways to it.
func subjectParts(v kovra.View) (head string, lines []string, buttons []*slack.ButtonBlockElement) {
	e := v.Subject
	app := "*" + prose(appName(v), maxName) + "*"
	view := open("subject", e.URL, "View in GitLab")
	switch e.Kind {
	case kovra.SubjectMergeRequest:
		head = dots(subjectIcon(e)+" "+app, link(e.URL, "!"+prose(e.Key, 20)), prose(e.Title, maxTitle), "*"+subjectState(e)+"*")
		into := ""
		if e.Source != "" && e.Ref != "" {
			into = code(e.Source, maxRef) + " → " + code(e.Ref, maxRef)
		}
		lines = append(lines, dots(into, byText(e), openedText(e)), approvalsText(e))
	case kovra.SubjectTag:
		head = dots("🏷️ "+app, "tag "+code(e.Ref, maxRef), "*"+subjectState(e)+"*", commitLink(v.Project, e.SHA))
		lines = append(lines, dots(prose(e.Title, maxTitle), byText(e)))
	case kovra.SubjectDeployment:
		to := link(e.EnvironmentURL, prose(e.Environment, maxName))
		head = dots(subjectIcon(e)+" "+app, "deployment to "+cmp.Or(to, "–"), "*"+subjectState(e)+"*")
		lines = append(lines, dots(code(e.Ref, maxRef), commitLink(v.Project, e.SHA), prose(e.Title, maxTitle)), dots(byText(e)), approvalsText(e))
		buttons = append(buttons, open("job", e.JobURL, "View job"))
	case kovra.SubjectRelease:
		head = dots("📦 "+app, "release "+link(e.URL, prose(cmp.Or(e.Title, e.Ref), maxTitle)), "*"+subjectState(e)+"*", "tag "+code(e.Ref, maxRef))
		lines = append(lines, prefixed("– ", prose(strings.Join(strings.Fields(e.Text), " "), maxText)), byText(e))
	default:
		head, lines = pushParts(v, app)
	}
	return head, lines, append(buttons, view)
}

func pushParts(v kovra.View, app string) (head string, lines []string) {
	e := v.Subject
	what := plural(e.Count, "commit", "commits") + " pushed to " + code(e.Ref, maxRef)
	if e.Created {
		what = "new branch " + code(e.Ref, maxRef)
		if e.Count > 0 {
			what += " with " + plural(e.Count, "commit", "commits")
		}
	}
	head = dots("⬆️ "+app, what, byText(e))
	for _, c := range e.Commits {
		lines = append(lines, joinNonEmpty(" ", []string{commitLink(v.Project, c.SHA), prose(c.Title, maxTitle)}))
	}
	if more := e.Count - len(e.Commits); more > 0 && len(e.Commits) > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return head, lines
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

func byText(e *kovra.Subject) string { return prefixed("by ", person(e.By)) }

func openedText(e *kovra.Subject) string { return prefixed("opened ", date(e.CreatedAt)) }

// approvalsText says who approved and who did not, by name: nobody is mentioned.
func approvalsText(e *kovra.Subject) string {
	var yes, no []string
	for _, a := range e.Approvals {
		name := prose(cmp.Or(a.By.Name, a.By.Username), maxName)
		switch {
		case a.Approved:
			yes = append(yes, name)
		case e.Kind == kovra.SubjectDeployment:
			no = append(no, name)
		}
	}
	var parts []string
	if len(yes) > 0 {
		parts = append(parts, "👍 approved by "+listed(yes, 5))
	}
	if len(no) > 0 {
		parts = append(parts, "✋ rejected by "+listed(no, 5))
	}
	return dots(parts...)
}

var subjectIcons = map[string]string{
	"opened": "🟢", "merged": "🟣", "closed": "🔴", "locked": "🔒", "created": "⏳", "blocked": "✋", "running": "🔵",
	"success": "✅", "failed": "❌", "canceled": "🚫", "skipped": "⏭️",
}

func subjectIcon(e *kovra.Subject) string { return cmp.Or(subjectIcons[e.State], "▫️") }

// subjectState is the word for people.
func subjectState(e *kovra.Subject) string {
	switch {
	case e.Kind == kovra.SubjectMergeRequest && e.State == "opened" && e.Draft:
		return "Draft"
	case e.Kind == kovra.SubjectMergeRequest && e.State == "opened" && len(e.Approved()) > 0:
		return "Approved"
	case e.State == "blocked":
		return "Waits for approval"
	case e.Kind == kovra.SubjectRelease && e.State == "created":
		return "Released"
	case e.State == "success":
		return "Deployed"
	case e.State == "created" && e.Kind == kovra.SubjectDeployment:
		return "Pending"
	case e.State == "":
		return "–"
	default:
		return upper(strings.ReplaceAll(prose(e.State, 40), "_", " "))
	}
}
