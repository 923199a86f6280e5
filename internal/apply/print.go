package apply

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"kovra.dev/chatops/internal/kovra"
)

// maxLabel is how wide the column of channels gets; longer names push their line alone.
const maxLabel = 24

// Print writes the plan for people, as a diff: + is new, ~ changes, - goes.
func (p Plan) Print(w io.Writer) error {
	var b strings.Builder
	counts := map[Sign]int{}
	for _, a := range p.Apps {
		for _, s := range a.Steps {
			counts[s.Sign]++
		}
		if len(a.Steps) > 0 {
			a.print(&b)
		}
	}
	if b.Len() > 0 {
		fmt.Fprintf(&b, "\n%d to add, %d to change, %d to remove.\n", counts[Add], counts[Change], counts[Remove])
	} else {
		b.WriteString("Nothing to do.\n")
	}
	if left := p.left(); left != "" {
		fmt.Fprintf(&b, "Not in the file, and left alone: %s (--prune removes them).\n", left)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (a AppPlan) print(b *strings.Builder) {
	fmt.Fprintf(b, "%c %s\n", a.Sign, a.Name)
	width := 0
	for _, l := range a.Lines {
		width = max(width, min(utf8.RuneCountInString(l.What), maxLabel))
	}
	for _, l := range a.Lines {
		label := l.What
		for i, text := range l.Text {
			sign := l.Sign
			if i > 0 {
				sign, label = Same, ""
			}
			fmt.Fprintf(b, "%c   %-*s  %s\n", sign, width, oneLine(label), oneLine(text))
		}
	}
}

// left says what is not in the file and stays.
func (p Plan) left() string {
	var all []string
	if p.LeftApps > 0 {
		all = append(all, plural(p.LeftApps, "app", "apps"))
	}
	if p.LeftSubscriptions > 0 {
		all = append(all, plural(p.LeftSubscriptions, "subscription", "subscriptions")+" of apps in it")
	}
	return strings.Join(all, ", ")
}

// oneLine keeps what comes from a file, from Slack or from GitLab from moving the cursor of a terminal, and from being read in
// another order than it is written in.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return '\uFFFD'
		}
		return r
	}, text)
}

// Result says what came of a step, with what there is to know besides, a line each.
func (s Step) Result(a kovra.Action) []string {
	word, notes := "done", []string{a.Outcome.Reason}
	if a.State != kovra.ActionDone {
		return []string{"failed  " + s.Title + ": " + oneLine(a.Outcome.Reason)}
	}
	if a.Outcome.Hook == kovra.HookByHand {
		notes = append(notes, "The webhook of the project is not set up: "+strings.TrimSuffix(a.Outcome.HookNote, ".")+".")
	}
	if a.Kind == kovra.ActSubscribe && !a.Outcome.Member {
		notes = append(notes, "The bot is not in the channel, so nothing is posted there until somebody invites it.")
	}
	lines := []string{word + "    " + s.Title}
	for _, n := range notes {
		if n != "" {
			lines = append(lines, oneLine("        "+n))
		}
	}
	return lines
}
