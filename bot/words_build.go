package bot

import (
	"cmp"
	"fmt"
	"strings"

	"kovra.dev/chatops/internal/kovra"
)

// The sentences about builds; see words.go.
const (
	saysBadBuild   = "%q is not a build. Give its number, as in 12 or #12. Example: %s"
	saysBuildAlone = "What about build #%[1]s? Write /build log %[1]s, /build rebuild %[1]s or another command: /build help"
	saysNoBuild    = "There is no build #%d here, or you may not see it. All builds: /build"

	saysArgs       = "One KEY=VALUE a line, given to the build as ARG values. They stay readable in the image: no secrets here."
	saysSecrets    = "Names of Kubernetes Secrets, one a line. They are mounted while it builds, and stay out of the image." //nolint:gosec // a hint, not a secret
	saysPaths      = "One pattern a line, as in services/web/**. Empty: every push is built."
	saysTags       = "A pattern, as in v*. Empty: tags are not built."
	saysContainer  = "Empty: the only one."
	saysPickBranch = "Please choose a branch or tag."
	saysPickSwitch = "Please choose on or off."
	saysNotShown   = "%s: too long to be changed here; it stays as it is."
)

// Sentences of mrkdwn.
const (
	saysBuildUnlinked = "%s has no GitLab project any more. Connect one to act on its builds."
	saysNoBuilds      = "No build yet. Start one with *Trigger Build*, or switch automatic builds on in *Settings*."
	saysAutoOn        = "Pushes to %s are built automatically."
	saysAutoPaths     = "Pushes to %s are built automatically if they change what *Settings* names."
	saysAutoOff       = "Automatic builds are off. *Settings* switches them on."
	saysDeployPaused  = "⏸️ Auto-deploy has been paused since %s%s."
	saysPausedNow     = "Auto-deploy is paused until somebody resumes it."
	saysStepLogEmpty  = "The log of this step is empty."
	saysStepLogGone   = "The cluster no longer has the log of this step."
	saysMaySee        = "Only those who may administer *%s* can change them."
	saysBuildSettings = "*Build settings of %s*"
	saysNeverChanged  = "Nobody has changed them yet."
)

var buildIcons = map[kovra.BuildStatus]string{
	kovra.BuildBuilding:  "🔵",
	kovra.BuildSucceeded: "✅",
	kovra.BuildFailed:    "❌",
	kovra.BuildCancelled: "🚫",
}

func buildIcon(s kovra.BuildStatus) string { return cmp.Or(buildIcons[s], "⏳") }

// buildWords is one of the five words.
func buildWords(b *kovra.Build) string {
	word := prose(cmp.Or(string(b.Status), string(kovra.BuildPending)), maxName)
	if b.Cancel.Wanted && !b.Status.Final() {
		word += " (cancelling)"
	}
	return word
}

// buildNumber is what people call a build.
func buildNumber(id int64) string { return fmt.Sprintf("build #%d", id) }

// upper begins a sentence. s begins with a letter of ours.
func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// ordinal is 1st, 2nd, 3rd, 4th.
func ordinal(n int) string {
	suffix := "th"
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprintf("%d%s", n, suffix)
}

// cancelledWords says by what a build was cancelled; "" where that is not known.
func cancelledWords(b *kovra.Build) string {
	switch {
	case b.Cancel.Newer != 0:
		return "superseded by " + buildNumber(b.Cancel.Newer)
	case b.Cancel.By.ID != "":
		return "by " + mention(b.Cancel.By.ID, b.Cancel.By.Name)
	default:
		return ""
	}
}

// buildResultWords says how a build ended.
func buildResultWords(b *kovra.Build) string {
	took := span(b.Duration())
	switch {
	case b.Status == kovra.BuildCancelled && b.StartedAt.IsZero():
		return dots("Cancelled before it began", cancelledWords(b))
	case b.Status == kovra.BuildCancelled:
		return dots("Cancelled after "+took, cancelledWords(b))
	case b.StartedAt.IsZero():
		return buildWords(b)
	default:
		return buildWords(b) + " in " + took
	}
}

// targetText names a Deployment.
func targetText(t kovra.DeployTarget) string {
	return code(t.Namespace+"/"+t.Deployment, 2*maxRef)
}

// targetWords names a Deployment and all that belongs to it.
func targetWords(t kovra.DeployTarget) string {
	text := "Namespace " + code(t.Namespace, maxRef) + ", Deployment " + code(t.Deployment, 2*maxRef)
	if t.Container != "" {
		text += ", container " + code(t.Container, maxRef)
	}
	return text
}

// deploymentWords says how it stands with a deployment.
func deploymentWords(d *kovra.Deployment) string {
	where := targetText(d.Target)
	back := d.Kind == kovra.RollBack
	switch {
	case d.Status == kovra.BuildSucceeded && back:
		return "⏪ Rolled back " + where
	case d.Status == kovra.BuildSucceeded:
		return "🚀 Rolled out to " + where
	case d.Status == kovra.BuildFailed && back:
		return "❌ Not rolled back: " + where
	case d.Status == kovra.BuildFailed:
		return "❌ Not rolled out to " + where
	case d.Status == kovra.BuildCancelled:
		return "🚫 Stopped rolling out to " + where
	case d.Status == kovra.BuildBuilding && back:
		return "🔵 Rolling back " + where
	case d.Status == kovra.BuildBuilding:
		return "🔵 Rolling out to " + where
	case back:
		return "⏳ About to roll back " + where
	default:
		return "⏳ About to roll out to " + where
	}
}

// buildDeedWords says what somebody did, in the thread of a build.
func buildDeedWords(a kovra.Action) string {
	who := actor(a.By)
	switch a.Kind {
	case kovra.ActCancelBuild:
		return "🚫 " + who + " cancelled this build"
	case kovra.ActRebuild:
		made := ""
		if a.Outcome.Build != 0 {
			made = ": " + buildNumber(a.Outcome.Build)
		}
		return "🔁 " + who + " rebuilt this commit" + made
	case kovra.ActDeploy:
		return "🚀 " + who + " deployed this build"
	case kovra.ActRollBack:
		return "⏪ " + who + " rolled back to the image before"
	default:
		return "▶️ " + who + " resumed auto-deploy"
	}
}

// ofBuilds reports whether an action is about builds, and so about the cluster.
func ofBuilds(k kovra.ActionKind) bool {
	switch k {
	case kovra.ActBuild, kovra.ActCancelBuild, kovra.ActRebuild, kovra.ActDeploy, kovra.ActRollBack, kovra.ActBuildSetting, kovra.ActResumeDeploy:
		return true
	default:
		return false
	}
}

// buildPhrase speaks of an action of builds.
func buildPhrase(d Deed) phrase {
	a := d.Action
	app := "*" + prose(cmp.Or(a.App, d.App.Name), maxName) + "*"
	build := buildNumber(a.Build)
	on, started := "", "A build"
	if ref := cmp.Or(a.Outcome.Ref, a.Params.Ref); ref != "" {
		on = " on " + code(ref, maxRef)
	}
	if a.Outcome.Build != 0 {
		started = upper(buildNumber(a.Outcome.Build))
	}
	switch a.Kind {
	case kovra.ActBuild:
		return phrase{"Starting a build of " + app + on, started + " of " + app + on + " is on its way.", "No build of " + app + on + " was started.", "A build of " + app + on + " was already started", "Start a build"}
	case kovra.ActCancelBuild:
		return phrase{"Cancelling " + build, upper(build) + " is being cancelled.", upper(build) + " was not cancelled.", upper(build) + " was already cancelled", "Cancel the build"}
	case kovra.ActRebuild:
		return phrase{"Building the commit of " + build + " again", started + " builds the commit of " + build + " again.", upper(build) + " was not rebuilt.", upper(build) + " was already rebuilt", "Rebuild it"}
	case kovra.ActDeploy:
		return phrase{"Deploying " + build, upper(build) + " is being rolled out" + toTarget(a.Outcome.Target) + ".", upper(build) + " was not deployed.", upper(build) + " was already deployed", "Deploy " + build}
	case kovra.ActRollBack:
		return phrase{"Rolling back " + app, app + " is being rolled back" + toImage(a.Outcome.Image) + ".", app + " was not rolled back.", app + " was already rolled back", "Roll back " + app}
	case kovra.ActBuildSetting:
		changed := "The build settings of " + app + " are changed."
		if a.Outcome.Changes == "" {
			changed = "The build settings of " + app + " are saved."
		}
		return phrase{"Changing the build settings of " + app, changed, "The build settings of " + app + " were not changed.", "The build settings of " + app + " were already changed", "Change the settings"}
	default:
		return phrase{"Resuming auto-deploy of " + app, "Auto-deploy of " + app + " goes on.", "Auto-deploy of " + app + " was not resumed.", "Auto-deploy of " + app + " was already resumed", "Resume auto-deploy"}
	}
}

func toTarget(t kovra.DeployTarget) string {
	if t.IsZero() {
		return ""
	}
	return " to " + targetText(t)
}

func toImage(image string) string {
	if image == "" {
		return ""
	}
	return " to " + imageText(image)
}

// buildAuditWords says what was done with builds, in the record.
func buildAuditWords(a kovra.Action) string {
	app := " of *" + prose(a.App, maxName) + "*"
	build := "a build"
	if id := a.Build; id != 0 {
		build = buildNumber(id)
	}
	switch a.Kind {
	case kovra.ActBuild:
		on := ""
		if ref := cmp.Or(a.Outcome.Ref, a.Params.Ref); ref != "" {
			on = " on " + code(ref, maxName)
		}
		return "start " + build + app + on
	case kovra.ActCancelBuild:
		return "cancel " + build + app
	case kovra.ActRebuild:
		return "rebuild " + build + app
	case kovra.ActDeploy:
		return "deploy " + build + app + toTarget(a.Outcome.Target)
	case kovra.ActRollBack:
		return "roll back *" + prose(a.App, maxName) + "*" + toImage(a.Outcome.Image)
	case kovra.ActBuildSetting:
		return "change the build settings" + app
	default:
		return "resume auto-deploy" + app
	}
}

// buildUnavailableWords says why something about a build is not possible now, and the next step.
func buildUnavailableWords(u Unavailable) string {
	b := u.View.Build
	build, state := upper(buildNumber(b.ID)), "*"+buildWords(b)+"*"
	switch {
	case u.View.App.Project == 0:
		return fmt.Sprintf(saysConnect, prose(appName(u.View), maxName))
	case !linked(u.View):
		return build + " is of a project that this app is no longer linked to."
	case u.Kind == kovra.ActCancelBuild && !b.Status.Final():
		return build + " is being cancelled already."
	case u.Kind == kovra.ActCancelBuild:
		return build + " cannot be cancelled: it is " + state + " now. Only Pending and Building ones can be."
	case u.Kind == kovra.ActRebuild:
		return build + " cannot be rebuilt yet: it is " + state + " now. Only finished ones can be."
	case u.Kind == kovra.ActDeploy && !b.CanDeploy():
		return build + " cannot be deployed: it is " + state + " now, and there is no image of it. Only Succeeded ones can be."
	case u.Kind == kovra.ActDeploy && u.View.Settings.Target.IsZero():
		return build + " cannot be deployed yet: nobody has said which Deployment runs *" + prose(b.App, maxName) + "*. *Settings* is the place for it."
	case u.Kind == kovra.ActDeploy:
		return build + " is already being deployed."
	default:
		return "Only the newest deployment of *" + prose(b.App, maxName) + "* can be rolled back, once it has ended. Write " + code("/build rollback "+b.App, maxRef) + " to roll that one back."
	}
}

// failedWords stand where nobody gave a reason.
func failedWords(a kovra.ActionKind, k kovra.ErrorKind) string {
	peer, place := "GitLab", "GitLab"
	if ofBuilds(a) {
		peer, place = "The cluster", "the cluster"
	}
	switch k {
	case kovra.Unavailable:
		return peer + " does not answer. Try again in a moment."
	case kovra.Unclear:
		return "It is not clear whether it happened. Look in " + place + " before you try again."
	case kovra.Denied:
		return peer + " does not allow it."
	case kovra.NotFound:
		return peer + " does not know it."
	case kovra.Conflict:
		return "It is not possible in its present state."
	case kovra.Invalid:
		return peer + " did not accept it."
	default:
		return "Something went wrong on our side; it is in the log of the bot."
	}
}
