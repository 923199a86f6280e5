package bot

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
)

// view is what the answer about an action can show of its build.
func (d Deed) view() kovra.View {
	return kovra.View{Thread: kovra.Thread{App: d.Action.App}, App: d.App, Project: d.Project, Build: &d.Build, Settings: d.Settings}
}

// renderDeployQuestion asks before a Deployment is changed, and says from what to what.
func renderDeployQuestion(d Deed) Answer {
	a, o := d.Action, d.Action.Outcome
	text := "❓ " + cmp.Or(prose(o.Reason, maxReason), actionPhrase(d).plain+"?")
	yes := button(ActionConfirm, strconv.FormatInt(a.ID, 10), confirmWords(a.Kind))
	yes.Style = slack.StylePrimary
	blocks := []slack.Block{section(text, targetWords(o.Target), "Now: "+imageOr(o.From, "not known"), "To be: "+imageOr(o.Image, "not known"))}
	if a.Kind == kovra.ActRollBack {
		yes.Style = slack.StyleDanger
	}
	return fit(Answer{Text: text, Blocks: row(blocks, yes)})
}

func imageOr(image, none string) string {
	if image == "" {
		return none
	}
	return imageText(image)
}

// renderBuildDone tells that an action of builds is done.
func renderBuildDone(d Deed) Answer {
	a, o := d.Action, d.Action.Outcome
	text := "✅ " + actionPhrase(d).done
	blocks := []slack.Block{section(text)}
	note := func(when bool, line string) {
		if when && line != "" {
			blocks = append(blocks, contextLine(line))
		}
	}
	starts := a.Kind == kovra.ActBuild || a.Kind == kovra.ActRebuild
	if starts && d.Build.ID != 0 {
		note(true, dots(buildCommitLine(d.view()), stateLine(&d.Build)))
	}
	note(a.Kind == kovra.ActBuildSetting && o.Changes != "", fitLines(changeLines(o.Changes), maxContextText-100, moreLines))
	note(a.Kind == kovra.ActRollBack && d.Settings.AutoDeploy && d.Settings.Paused, saysPausedNow)
	note(o.Reason != "", prose(o.Reason, maxReason))
	return fit(Answer{Text: text, Blocks: row(blocks, deedButtons(d)...)})
}

// changeLines are what was changed, as a list.
func changeLines(changes string) []string {
	var lines []string
	for l := range strings.Lines(changes) {
		lines = append(lines, "• "+prose(l, maxReason))
	}
	return lines
}

func moreLines(left int) string { return fmt.Sprintf("• and %d more", left) }

// deedButtons lead on from an action of builds.
func deedButtons(d Deed) []*slack.ButtonBlockElement {
	v := d.view()
	app := cmp.Or(d.Action.App, d.App.Name)
	var buttons []*slack.ButtonBlockElement
	switch d.Action.Kind {
	case kovra.ActBuildSetting:
		buttons = append(buttons, settingsButton(app))
	case kovra.ActRollBack:
		buttons = append(buttons, resumeButton(app, d.Settings))
	case kovra.ActBuild, kovra.ActCancelBuild, kovra.ActRebuild:
		buttons = append(buttons, buildLogButton(v, "Log", ""))
	default: // a deployment has a thread of its own to look at
	}
	return append(buttons, buildsButton(app))
}

// nextButton leads to what is missing for an action of builds, or is nil.
func (u Unavailable) nextButton() *slack.ButtonBlockElement {
	if u.Kind == kovra.ActDeploy && linked(u.View) && u.View.Build.CanDeploy() && u.View.Settings.Target.IsZero() {
		return settingsButton(appName(u.View))
	}
	return nil
}

// RenderSettings shows the build settings of an app to those who may read but not change them. Values of build
// arguments are not told.
func RenderSettings(app string, s kovra.BuildSettings) Answer {
	head := fmt.Sprintf(saysBuildSettings, prose(app, maxName))
	blocks := []slack.Block{section(append([]string{head}, settingLines(s)...)...), contextLine(changedText(s))}
	if s.AutoDeploy && s.Paused {
		blocks = append(blocks, contextLine(pausedText(s)))
	}
	return fit(Answer{Text: head, Blocks: append(blocks, contextLine(fmt.Sprintf(saysMaySee, prose(app, maxName))))})
}

func settingLines(s kovra.BuildSettings) []string {
	name := func(v, none string) string {
		if v == "" {
			return none
		}
		return code(v, 2*maxRef)
	}
	names := func(all []string, none string) string {
		if len(all) == 0 {
			return none
		}
		return listed(codes(all), 5)
	}
	keys := make([]string, 0, len(s.Args))
	for _, a := range s.Args {
		keys = append(keys, a.Key)
	}
	target := "none"
	if !s.Target.IsZero() {
		target = targetWords(s.Target)
	}
	lines := []string{
		"• Enable builds: " + onOff(s.Enabled),
		"• Branch: " + name(s.Branch, "–"),
		"• Dockerfile path: " + name(s.Dockerfile, "auto-detected"),
		"• Auto-deploy: " + onOff(s.AutoDeploy),
		"• Build arguments: " + names(keys, "none"),
		"• Deployment to update: " + target,
		"• Supersede pending builds: " + onOff(s.Supersede),
		"• Build tags matching: " + name(s.Tags, "off"),
		"• Context directory: " + name(s.Context, "root of the repository"),
		"• Only when these paths change: " + names(s.Paths, "off"),
		"• Build secrets: " + names(s.Secrets, "none"),
		"• Allow managed Deployments: " + onOff(s.AllowManaged),
	}
	for _, own := range [][2]string{{"Build namespace", s.Namespace}, {"Service account", s.ServiceAccount}, {"Registry", s.Registry}} {
		if own[1] != "" {
			lines = append(lines, "• "+own[0]+": "+code(own[1], 2*maxRef))
		}
	}
	return lines
}

func onOff(on bool) string {
	if on {
		return switchOn
	}
	return switchOff
}

// changedText says who changed the settings last.
func changedText(s kovra.BuildSettings) string {
	if s.ChangedAt.IsZero() {
		return saysNeverChanged
	}
	return dots("last changed by "+mention(s.ChangedBy.ID, s.ChangedBy.Name), date(s.ChangedAt))
}
