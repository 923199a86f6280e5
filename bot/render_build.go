package bot

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
)

// renderBuildCard is the parent of a build's thread.
func renderBuildCard(v kovra.View) Message {
	b := v.Build
	head := buildHeadline(v)
	blocks := []slack.Block{section(joinNonEmpty("\n", []string{head, buildCommitLine(v)}))}
	for _, line := range []string{buildFactsLine(v), stepsLine(b), stateLine(b), imageLine(b), deploymentLine(v)} {
		if line != "" {
			blocks = append(blocks, contextLine(line))
		}
	}
	blocks = row(blocks, buildButtons(v)...)
	if v.App.Project == 0 {
		blocks = append(blocks, contextLine(fmt.Sprintf(saysBuildUnlinked, prose(appName(v), maxName))))
	}
	class := buildClass(b.Status)
	if b.Place > 0 {
		class = Progress // all that wait move up at once, and none of it is urgent
	}
	return Message{
		Slot:   kovra.SlotCard,
		Text:   dots(head, prose(b.Title, maxTitle)),
		Blocks: blocks,
		Class:  class,
	}
}

func buildClass(s kovra.BuildStatus) Class {
	switch {
	case s.Final():
		return Terminal
	case s == kovra.BuildBuilding:
		return Progress
	default:
		return Start
	}
}

// buildHeadline is what must be seen first.
func buildHeadline(v kovra.View) string {
	b := v.Build
	return dots(
		fmt.Sprintf("%s *%s*", buildIcon(b.Status), prose(appName(v), maxName)),
		branchText(b),
		"*"+buildWords(b)+"*",
		buildNumber(b.ID),
	)
}

func branchText(b *kovra.Build) string {
	if b.Spec.Tag {
		return "tag " + code(b.Spec.Branch, maxRef)
	}
	return code(b.Spec.Branch, maxRef)
}

// buildCommitLine is the commit that is built: linked id and title.
func buildCommitLine(v kovra.View) string {
	sha := commitLink(v.Project, v.Build.Spec.Commit)
	if sha == "" && v.Build.Title != "" {
		sha = "–" // what others wrote is never the first on a line
	}
	return joinNonEmpty(" ", []string{sha, prose(v.Build.Title, maxTitle)})
}

// buildFactsLine says who, when, how long, and what is built again.
func buildFactsLine(v kovra.View) string {
	b := v.Build
	created, again := "", ""
	if d := date(b.CreatedAt); d != "" {
		created = "created " + d
	}
	if b.Of != 0 {
		again = buildNumber(b.Of) + " again"
	}
	return dots(builderText(b), created, buildSpan(b), again)
}

func buildSpan(b *kovra.Build) string {
	if d := b.Duration(); d > 0 {
		return span(d)
	}
	return ""
}

// builderText names the author of the commit, and who had it built where that is somebody else.
func builderText(b *kovra.Build) string {
	author, pusher, by := person(b.Author), person(b.Pusher), ""
	switch {
	case b.By.ID != "" && b.Trigger == kovra.ByRebuild:
		by = "rebuilt by " + mention(b.By.ID, b.By.Name)
	case b.By.ID != "":
		by = "started by " + mention(b.By.ID, b.By.Name)
	case pusher != "" && pusher != author && (b.Pusher.Username == "" || b.Pusher.Username != b.Author.Username):
		by = "pushed by " + pusher
	}
	if author == "" {
		return by
	}
	return joinNonEmpty(", ", []string{"by " + author, by})
}

// stepsLine shows the steps in their order, as stages are shown.
func stepsLine(b *kovra.Build) string {
	var parts []string
	for i, s := range b.Steps {
		if i == maxStages && len(b.Steps) > maxStages+1 {
			parts = append(parts, fmt.Sprintf("%d more steps", len(b.Steps)-i))
			break
		}
		parts = append(parts, icon(s.Status)+" "+prose(cmp.Or(s.Name, s.Task, "–"), 30))
	}
	return joinNonEmpty("  →  ", parts)
}

// stateLine says what a build waits for, or why it ended as it did.
func stateLine(b *kovra.Build) string {
	message := prose(b.Message, maxReason)
	_, inStep := b.FailedStep()
	switch {
	case b.Status == kovra.BuildFailed && !inStep && message != "":
		return "❌ " + message
	case b.Status == kovra.BuildCancelled && b.Cancel.Newer == 0 && b.Cancel.By.ID != "":
		return "🚫 cancelled " + cancelledWords(b)
	case b.Status == kovra.BuildCancelled:
		if why := cmp.Or(cancelledWords(b), message); why != "" {
			return "🚫 " + why
		}
	case b.Status.Final() || b.Cancel.Wanted || b.Status == kovra.BuildBuilding:
	case b.Place > 0:
		return "⏳ " + ordinal(b.Place) + " in the queue"
	case message != "":
		return "⏳ " + message
	}
	return ""
}

// imageLine is the image that was pushed.
func imageLine(b *kovra.Build) string {
	if b.Digest == "" {
		return ""
	}
	return "📦 " + dots(code(b.Spec.Image, 3*maxRef), code(shortDigest(b.Digest), maxRef))
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// shownDigest is how many of its digits a digest is known by.
const shownDigest = 12

// shortDigest cuts a digest to what people compare.
func shortDigest(digest string) string {
	if !digestForm.MatchString(digest) {
		return digest
	}
	return digest[:len("sha256:")+shownDigest]
}

// imageText names an image, its digest cut short.
func imageText(image string) string {
	name, digest, byDigest := strings.Cut(image, "@")
	if byDigest {
		name += "@" + shortDigest(digest)
	}
	return code(name, 3*maxRef)
}

// deploymentLine says how it stands with the newest deployment of the build.
func deploymentLine(v kovra.View) string {
	d, ok := newestDeployment(v)
	if !ok {
		return ""
	}
	took := ""
	if d.Status == kovra.BuildSucceeded && d.Duration() > 0 {
		took = span(d.Duration())
	}
	return dots(deploymentWords(&d), took)
}

func newestDeployment(v kovra.View) (kovra.Deployment, bool) {
	if len(v.Deployments) == 0 {
		return kovra.Deployment{}, false
	}
	return v.Deployments[len(v.Deployments)-1], true
}

// buildButtons are those that are available now; never more than five.
func buildButtons(v kovra.View) []*slack.ButtonBlockElement {
	b := v.Build
	buttons := []*slack.ButtonBlockElement{buildLogButton(v, "Log", "")}
	if linked(v) {
		buttons = append(buttons, buildChangeButton(b, ""), deployButton(v, ""))
		if d, ok := newestDeployment(v); ok {
			buttons = append(buttons, rollBackButton(v, d))
		}
		return append(buttons, triggerButton(appName(v), b.Spec.Branch), watchButton(v))
	}
	if v.App.Project == 0 {
		buttons = append(buttons, connectButton(appName(v)))
	}
	return buttons
}

// buildLogButton leads to the log of a build, at the line that matters where one is known. It is nil
// before anything is written, and where no logs are shown.
func buildLogButton(v kovra.View, label, suffix string) *slack.ButtonBlockElement {
	b := v.Build
	if v.NoLogs || b.StartedAt.IsZero() {
		return nil
	}
	line := 0
	if s, ok := b.FailedStep(); ok {
		line = s.Excerpt.First
	}
	return open("log"+suffix, atLine(b.LogURL, line), label)
}

// buildChangeButton is Cancel or Rebuild, whichever is available now, or nil.
func buildChangeButton(b *kovra.Build, suffix string) *slack.ButtonBlockElement {
	switch {
	case b.CanCancel():
		return button(ActionCancelBuild+suffix, BuildValue{Build: b.ID}.String(), "Cancel")
	case b.CanRebuild():
		return rebuildButton(b, suffix)
	default:
		return nil
	}
}

func rebuildButton(b *kovra.Build, suffix string) *slack.ButtonBlockElement {
	return button(ActionRebuild+suffix, BuildValue{Build: b.ID}.String(), "Rebuild")
}

// canDeploy reports whether Deploy is offered: there is an image and a place for it, and it is not on its way there.
func canDeploy(v kovra.View) bool {
	moves := slices.ContainsFunc(v.Deployments, func(d kovra.Deployment) bool { return !d.Status.Final() })
	return v.Build.CanDeploy() && !v.Settings.Target.IsZero() && !moves
}

func deployButton(v kovra.View, suffix string) *slack.ButtonBlockElement {
	if !canDeploy(v) {
		return nil
	}
	return button(ActionDeploy+suffix, BuildValue{Build: v.Build.ID}.String(), "Deploy")
}

// canRollBack reports whether Roll back is offered: nothing was deployed after d, which is no roll back itself. To go forward
// again there is Deploy.
func canRollBack(v kovra.View, d kovra.Deployment) bool {
	return linked(v) && d.CanRollBack() && d.Kind != kovra.RollBack && d.ID == v.LastDeployment
}

func rollBackButton(v kovra.View, d kovra.Deployment) *slack.ButtonBlockElement {
	if !canRollBack(v, d) {
		return nil
	}
	return button(ActionRollBack, BuildValue{Build: v.Build.ID, Deployment: d.ID}.String(), "Roll back")
}

func triggerButton(app, branch string) *slack.ButtonBlockElement {
	return button(ActionTrigger, buttonPlace(app, branch).String(), "Trigger Build")
}

func settingsButton(app string) *slack.ButtonBlockElement {
	return button(ActionSettings, clip(clean(app), maxName), "Settings")
}

// resumeButton is nil unless auto-deploy is paused.
func resumeButton(app string, s kovra.BuildSettings) *slack.ButtonBlockElement {
	if !s.AutoDeploy || !s.Paused {
		return nil
	}
	return button(ActionResume, clip(clean(app), maxName), "Resume auto-deploy")
}

func buildsButton(app string) *slack.ButtonBlockElement {
	return button(ActionBuilds, buttonPlace(app, "").String(), "Builds")
}

// BuildList is one page of an app's builds.
type BuildList struct {
	App      kovra.App
	Project  kovra.Project
	Settings kovra.BuildSettings
	Builds   []kovra.Build // newest first, at most ListPage
	// Deploying are those of them that are on their way into the Deployment.
	Deploying []kovra.Deployment
	// Older and Newer are the builds that the next pages start from; 0: there is no such page.
	Older, Newer int64
}

// RenderBuilds answers `/build`: a card per build, Trigger Build and Settings. An app without a project gets the
// prompt to connect one.
func RenderBuilds(l BuildList) Answer {
	if l.App.Project == 0 {
		return RenderConnect(l.App.Name)
	}
	head := fmt.Sprintf("*Builds of %s*", prose(l.App.Name, maxName))
	blocks := []slack.Block{section(head), contextLine(autoText(l.Settings))}
	if l.Settings.AutoDeploy && l.Settings.Paused {
		blocks = append(blocks, contextLine(pausedText(l.Settings)))
	}
	if len(l.Builds) == 0 {
		blocks = append(blocks, section(saysNoBuilds))
	}
	for i := range l.Builds[:min(len(l.Builds), ListPage)] {
		blocks = append(blocks, buildListCard(l, &l.Builds[i])...)
	}
	blocks = append(blocks, slack.NewDividerBlock()) // what follows is about the whole list
	buttons := []*slack.ButtonBlockElement{triggerButton(l.App.Name, ""), settingsButton(l.App.Name), resumeButton(l.App.Name, l.Settings)}
	return fit(Answer{Text: head, Blocks: row(blocks, append(buttons, buildPages(l)...)...)})
}

// buildPages turn the pages of a list.
func buildPages(l BuildList) (buttons []*slack.ButtonBlockElement) {
	place := buttonPlace(l.App.Name, "")
	if l.Newer != 0 {
		place.Before, place.After = 0, l.Newer
		buttons = append(buttons, button(ActionNewerBuilds, place.String(), "Newer"))
	}
	if l.Older != 0 {
		place.Before, place.After = l.Older, 0
		buttons = append(buttons, button(ActionOlderBuilds, place.String(), "Older"))
	}
	return buttons
}

// autoText says whether builds start by themselves, and how that is changed.
func autoText(s kovra.BuildSettings) string {
	if !s.Enabled {
		return saysAutoOff
	}
	if len(s.Paths) > 0 {
		return fmt.Sprintf(saysAutoPaths, code(s.Branch, maxRef))
	}
	return fmt.Sprintf(saysAutoOn, code(s.Branch, maxRef))
}

func pausedText(s kovra.BuildSettings) string {
	by := ""
	if s.PausedBy.ID != "" {
		by = " by " + mention(s.PausedBy.ID, s.PausedBy.Name)
	}
	return fmt.Sprintf(saysDeployPaused, s.PausedSince(), by)
}

func buildListCard(l BuildList, b *kovra.Build) []slack.Block {
	v := kovra.View{App: l.App, Project: l.Project, Build: b, Settings: l.Settings}
	for _, d := range l.Deploying {
		if d.Build == b.ID {
			v.Deployments = append(v.Deployments, d)
		}
	}
	suffix := ":" + strconv.FormatInt(b.ID, 10)
	head := dots(buildIcon(b.Status)+" *"+buildWords(b)+"*", branchText(b), buildNumber(b.ID), buildSpan(b))
	lines := []string{head, buildCommitLine(v), imageLine(b), stateLine(b)}
	buttons := []*slack.ButtonBlockElement{buildLogButton(v, "Log", suffix)}
	if linked(v) {
		buttons = append(buttons, buildChangeButton(b, suffix), deployButton(v, suffix))
	}
	return row([]slack.Block{section(joinNonEmpty("\n", lines))}, buttons...)
}

// RenderBuildLog answers `/build log`: the build, its steps, and what of its log matters most.
func RenderBuildLog(v kovra.View) Answer {
	b := v.Build
	head := buildHeadline(v)
	blocks := []slack.Block{section(joinNonEmpty("\n", []string{head, buildCommitLine(v)}))}
	for _, line := range []string{stepsLine(b), stateLine(b)} {
		if line != "" {
			blocks = append(blocks, contextLine(line))
		}
	}
	failed, inStep := b.FailedStep()
	switch {
	case v.NoLogs:
		blocks = append(blocks, contextLine(saysLogHidden))
	case inStep && len(failed.Excerpt.Lines) > 0:
		blocks = append(blocks, section(excerptText(failed.Excerpt)))
	case inStep:
		blocks = append(blocks, contextLine(noStepExcerpt(failed)))
	case !b.Status.Final() && len(b.Tail) > 0:
		blocks = append(blocks, section(tailText(b.Tail)))
	}
	buttons := []*slack.ButtonBlockElement{buildLogButton(v, "Log", "")}
	if linked(v) {
		buttons = append(buttons, buildChangeButton(b, ""))
	}
	return fit(Answer{Text: head, Blocks: row(blocks, buttons...)})
}
