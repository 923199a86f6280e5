package bot

import (
	"cmp"
	"fmt"
	"strings"

	"kovra.dev/chatops/internal/kovra"
)

// Every sentence of the bot is in the files words*.go, so that it speaks with one voice: short,
// calm, and with the next step in it. Sentences named says… are plain text for
// [kovra.Error]; they are escaped where they are shown.
const (
	saysUnknownGroup = "There is no command /%s. Try /kovra help."
	saysOpenQuote    = "A quote is not closed near %q. Example: /pipeline run web main NOTE=\"a b\""
	saysTooFew       = "%s Write %s. Example: %s"
	saysTooMany      = "%q is one word too many. Write %s. Example: %s"
	saysBadVariable  = "%q cannot be the name of a variable: it has letters, digits and underscores, and no digit first. Example: /pipeline run web main ENV=staging"
	saysBadInput     = "%q cannot be the name of an input. Example: /pipeline run web main input:environment=staging"
	saysTwice        = "%s is given twice. Give it once."
	saysNoPair       = "%q has no =. Write one KEY=VALUE a line."
	saysBadBroadcast = "%q is not known. Write broadcast:on, broadcast:off or broadcast:all."
	saysNearVerb     = "%s has no command %q. Did you mean %s? Example: %s"
	saysUnknownVerb  = "%s has no command %q. All commands: %s"
	saysChoose       = "Which app?"
	saysNoApps       = "There is no app yet. An administrator links one with: /kovra link web group/web"
	saysNearApp      = "There is no app %q. Did you mean %s? All apps: /kovra apps"
	saysUnknownApp   = "There is no app %q. All apps: /kovra apps"
	saysAppButNoID   = "%s is an app. %s Example: %s"
	saysBadID        = "%q is not an id. Give a number, #number or the address from GitLab. Example: %s"
	saysOtherURL     = "That is the address of a %s. %s Example: %s"
	saysBadSwitch    = "%q is not known. Write %s. Example: %s"
	saysBadProject   = "%q is not a GitLab project. Give its path or its address. Example: /kovra link web group/web"
	saysOldButton    = "This button is from an older message that I do not understand any more. Ask again with /pipeline."
)

// Sentences of handlers and their forms.
const (
	saysNoShortcut   = "This shortcut is not part of this version. All commands: /kovra help"
	saysSlow         = "This takes longer than usual just now. Please try again in a moment."
	saysGateSlow     = "Slack did not say in time whether you may do that. Please try again in a moment."
	saysNothingThere = "There is no such thing here, or you may not see it. Members of a subscribed channel see its apps: /kovra apps"
	saysUnknownHere  = "%s of %s is not known here; it may be older than the link. GitLab shows it."
	saysOtherApp     = "%s belongs to %s, not to %s. Write %s"
	saysOtherProject = "%s is the project of %s, not of %s."
	saysNoAppOf      = "No app that you can see is linked to %s. All apps: /kovra apps"
	saysNoQuestion   = "There is no question to answer here any more. Write the command again."
	saysOldModal     = "This form is too old; nothing was done. Please open it again."
	saysPickRef      = "Please choose a branch or tag."
	saysPickProject  = "Please choose a project."
	saysVariables    = "One KEY=VALUE a line. Values are kept encrypted until they are used, then wiped."
	saysInputs       = "One NAME=VALUE a line, for pipelines that declare inputs."
	saysWhichProject = "Which GitLab project is *%s*? This channel will hear of its pipelines and builds."
	saysNoWay        = "There is no way to answer."

	labelDown     = "GitLab does not answer; taken as typed"
	labelNoSearch = "Type the whole path, as in group/web, or try again soon"
	labelBranches = "Branches"
	labelTags     = "Tags"

	saysSlackDown = "Slack does not answer just now."
	saysSlackBusy = "Slack asks us to slow down."
	saysSlackNo   = "Slack refused: %s."
)

const (
	saysCardUnlinked = "%s has no GitLab project any more. Connect one to act on its pipelines."
	saysLogGone      = "GitLab no longer has the log of this job."
	saysTooLong      = "There is more than Slack can show here."
	saysLogEmpty     = "The log of this job is empty."
	saysLogHidden    = "The log is not shown in a channel that is shared with another organisation."
)

// icons stand before every status; the shapes differ, not only the colours.
var icons = map[kovra.Status]string{
	kovra.Manual:    "✋",
	kovra.Scheduled: "⏰",
	kovra.Running:   "🔵",
	kovra.Canceling: "🔵",
	kovra.Success:   "✅",
	kovra.Failed:    "❌",
	kovra.Canceled:  "🚫",
	kovra.Skipped:   "⏭️",
}

func icon(s kovra.Status) string {
	switch i, ok := icons[s]; {
	case ok:
		return i
	case s.Known(), s == "":
		return "⏳"
	default:
		return "❔"
	}
}

// statusWords is one of the five words, with GitLab's own where that tells more.
func statusWords(s kovra.Status) string {
	if s == "" {
		return string(kovra.ShownPending)
	}
	if !s.Known() {
		return prose(string(s), 40)
	}
	if exact := s.Exact(); exact != "" {
		return fmt.Sprintf("%s (%s)", s.Shown(), strings.ReplaceAll(exact, "_", " "))
	}
	return string(s.Shown())
}

// reasonWords says in plain words why a job failed.
func reasonWords(reason string) string {
	switch reason {
	case "", "unknown_failure":
		return ""
	case "script_failure":
		return "script failed"
	case "runner_system_failure":
		return "the runner had a problem"
	case "stuck_or_timeout_failure":
		return "stuck or timed out"
	case "job_execution_timeout":
		return "timed out"
	case "api_failure":
		return "GitLab had a problem"
	case "missing_dependency_failure":
		return "a job that it depends on is missing"
	case "runner_unsupported":
		return "the runner is too old"
	case "stale_schedule":
		return "a schedule that is out of date"
	case "archived_failure":
		return "too old to run"
	case "unmet_prerequisites":
		return "something that it needs is missing"
	case "scheduler_failure":
		return "no runner could be given"
	case "data_integrity_failure":
		return "GitLab's data of it are damaged"
	case "forward_deployment_failure":
		return "a newer deployment came first"
	case "image_pull_failure":
		return "its image could not be pulled"
	case "downstream_pipeline_creation_failed":
		return "the downstream pipeline could not be made"
	case "upstream_bridge_project_not_found", "downstream_bridge_project_not_found":
		return "the downstream project was not found"
	case "insufficient_bridge_permissions":
		return "not allowed to start the downstream pipeline"
	default:
		return prose(strings.ReplaceAll(reason, "_", " "), maxName)
	}
}

// retriedWords says what became of the next attempt at a failed job.
func retriedWords(s kovra.Status) string {
	switch s {
	case kovra.Success:
		return "✅ Retried · passed"
	case kovra.Failed:
		return "❌ Retried · failed again"
	case kovra.Canceled:
		return "🚫 Retried · canceled"
	case kovra.Skipped:
		return "⏭️ Retried · skipped"
	default: // it runs, or waits for what it needs to run
		return icon(s) + " Retried · " + strings.ToLower(statusWords(s))
	}
}

// resultWords says how an attempt at the pipeline ended.
func resultWords(r kovra.Result, attempt int) string {
	word := statusWords(r.Status)
	if r.Status == kovra.Success {
		word = "Passed"
	}
	if r.Duration > 0 {
		switch r.Status {
		case kovra.Canceled:
			word += " after " + span(r.Duration)
		default:
			word += " in " + span(r.Duration)
		}
	}
	if attempt > 1 {
		word += fmt.Sprintf(" · attempt %d", attempt)
	}
	return word
}

// deedWords says what somebody did. In a thread the pipeline need not be named.
func deedWords(a kovra.Action, job string, inThread bool) string {
	who, what := actor(a.By), "the pipeline"
	if inThread {
		what = "this pipeline"
	}
	switch a.Kind {
	case kovra.ActCancel:
		return "🚫 " + who + " canceled " + what
	case kovra.ActRetry:
		return "🔁 " + who + " retried " + what
	case kovra.ActRetryJob:
		return "🔁 " + who + " retried the job " + code(job, maxRef)
	case kovra.ActPlay:
		return "▶️ " + who + " started the job " + code(job, maxRef)
	case kovra.ActRun:
		return "▶️ " + who + " started " + what
	default:
		return who + " did " + prose(string(a.Kind), maxName)
	}
}

// Sentences of mrkdwn: they are shown as they are, and what is put into them is escaped before.
const (
	saysConnect         = "*%s* has no GitLab project yet. Connect one to see and run its pipelines and builds."
	saysNoPipelines     = "No pipeline yet. Start one with *Run Pipeline*, or push a commit."
	saysNoPipelinesOf   = "No pipeline of %s yet. Start one with *Run Pipeline*, or push a commit."
	saysNoPipelinesNear = "No pipeline of %s yet. Did you mean a command, as in %s?"
	saysNoAppsYet       = "No app yet. An administrator links one with `/kovra link web group/web`, in the channel that wants to hear of it."
	saysNoChannel       = "No channel hears of it. `/kovra subscribe` in a channel changes that."
	saysNoSubscriptions = "No channel hears of anything yet. `/kovra link` or `/kovra subscribe` in a channel changes that."
	saysNoAudit         = "Nothing was done yet."
	saysNoJobs          = "No jobs are known yet. View in GitLab shows whether there are any."
	saysPlayConfirm     = "%s will run on %s."
	saysWhichApp        = "Which app is meant by %s?"
	saysWhichAppTyped   = "Which app is meant? Name it in the command:"
	saysMoreApps        = "and %d more; name the app in the command"
	saysHelp            = "What I understand"
	saysHelpFoot        = "An id can also be `#id` or a pasted GitLab address. In a channel with one app its name can be left out."
	saysSure            = "%s?"
	saysMoved           = "%s has moved on to %s since; a retry runs the older commit. *Run Pipeline* runs the new one."
	saysAppCreated      = "The app *%s* is new."
	saysHookCreated     = "The webhook is set up."
	saysHookFound       = "The webhook was there already."
	saysHookRemoved     = "The webhook is taken away."
	saysHookKept        = "The webhook stays."
	saysHookByHand      = "⚠️ *The webhook has to be set up by hand*"
	saysHookSecret      = "the value of KOVRA_GITLAB_WEBHOOK_SECRET" //nolint:gosec // the name of a variable, not a secret
	saysHookEvents      = "Pipeline events, Job events, Push events"
	saysHookUnknown     = "none known; without it news comes late"
	saysExisting        = "%s from before: listed by `/pipeline`, but without a thread."
	saysThisDirect      = "this direct message"
	saysInvite          = "⚠️ I cannot post in %s yet. Type `/invite @kovra` there."
	saysPaused          = "I can post nothing more about %s in %s: %s. The subscription is paused; once that is mended, type `/kovra subscribe` there."
	saysPausedAll       = "I can post nothing more about %s in %s: %s. The subscriptions are paused; once that is mended, type `/kovra subscribe` there for each app."
	saysStale           = "This button is of an earlier attempt, so nothing was done."
	saysLookAgain       = "I am asking GitLab whether that is still so."
	saysLogsShown       = "Excerpts and log links are shown in this channel."
	saysLogsUnknown     = "Excerpts and log links are shown in this channel, unless it turns out to be shared with another organisation; I have not looked yet."
	saysLogsHidden      = "Excerpts and log links are not shown in this channel, because it is shared with another organisation. An administrator can change that: `/kovra logs on`"
	saysLogsAllowed     = "Excerpts and log links are shown in this channel, though it is shared with another organisation: an administrator allowed it. To take that back: `/kovra logs off`"
	saysLogsStay        = "Excerpts and log links are shown in this channel, and would be if it were shared with another organisation: an administrator allowed it. To take that back: `/kovra logs off`"
	saysOtherAttempt    = "The button is of an earlier attempt; now it is attempt %d."
)

var helpHeads = map[string]string{GroupPipeline: "Pipelines", GroupBuild: "Builds", GroupKovra: "Apps and channels"}

// aboutBuild says what each verb of builds does.
var aboutBuild = map[string]string{
	VerbList:     "the newest builds",
	VerbTrigger:  "build a branch or tag now",
	VerbCancel:   "cancel a build",
	VerbRebuild:  "build the same commit again",
	VerbLog:      "the log of a build",
	VerbDeploy:   "roll out the image of a build",
	VerbRollback: "roll back to the image before; auto-deploy pauses",
	VerbResume:   "resume auto-deploy after a roll back",
	VerbSettings: "how an app is built and deployed",
}

// about says what each verb does, but for those of builds.
var about = map[string]string{
	VerbList:          "the newest pipelines",
	VerbRun:           "start a pipeline",
	VerbJobs:          "the jobs of a pipeline",
	VerbCancel:        "cancel a pipeline",
	VerbRetry:         "run the failed and canceled jobs again",
	VerbRetryJob:      "run one failed job again",
	VerbPlay:          "start a manual job",
	VerbLog:           "the log of a job",
	VerbLink:          "link an app to a GitLab project and subscribe this channel",
	VerbUnlink:        "take the project away from an app; the app stays",
	VerbApps:          "all apps",
	VerbApp:           "one app in detail",
	VerbAppCreate:     "an app without a project",
	VerbAppDelete:     "delete an app",
	VerbSubscribe:     "post an app's news in this channel",
	VerbUnsubscribe:   "stop posting an app's news in this channel",
	VerbSubscriptions: "which channel hears of what",
	VerbLogs:          "show or hide logs in a shared channel; alone: how it is",
	VerbAudit:         "who did what",
	VerbConnect:       "act with your own GitLab account",
	VerbDisconnect:    "forget your GitLab account",
	VerbNotify:        "direct messages about your pipelines",
	VerbWhy:           "whether you may do something, and why",
	VerbHooks:         "whether GitLab's webhooks work, for administrators",
}

func broadcastWords(b kovra.Broadcast) string {
	switch b {
	case kovra.BroadcastOff:
		return "no news in the channel"
	case kovra.BroadcastAll:
		return "news of every ref in the channel"
	default:
		return "news of default and protected branches and tags in the channel"
	}
}

// phrase is one action in the forms in which it is spoken of.
type phrase struct {
	going   string // Canceling pipeline #1
	done    string // Pipeline #1 is being canceled.
	not     string // Pipeline #1 was not canceled.
	already string // Pipeline #1 was already canceled
	plain   string // Cancel pipeline #1
}

// actionPhrase speaks of the action of d.
func actionPhrase(d Deed) phrase {
	a := d.Action
	if ofBuilds(a.Kind) {
		return buildPhrase(d)
	}
	if p, ok := peoplePhrase(a); ok {
		return p
	}
	app := "*" + prose(cmp.Or(a.App, d.App.Name), maxName) + "*"
	pipeline := "the pipeline"
	if d.Run.Remote != 0 {
		pipeline = "pipeline " + pipelineLink(&d.Run)
	}
	whole := upper(pipeline)
	job := "job " + code(cmp.Or(d.JobName, a.Params.JobName, fmt.Sprintf("#%d", a.Job)), maxRef)
	here := channel(a.Channel)
	place := here // at the beginning of a sentence
	if kovra.IsDirect(a.Channel) {
		here, place = saysThisDirect, upper(saysThisDirect)
	}
	hears := place + " hears of it."
	if a.Channel == "" || a.Outcome.Direct {
		hears = fmt.Sprintf(saysLinkedAlone, prose(a.App, maxName))
	}
	project := code(cmp.Or(a.Outcome.Project, d.Project.Path, a.Params.Project), maxRef)
	switch a.Kind {
	case kovra.ActRun:
		on := ""
		if ref := cmp.Or(a.Params.Ref, a.Outcome.Ref); ref != "" {
			on = " on " + code(ref, maxRef)
		}
		started := "A pipeline"
		if d.Run.Remote != 0 {
			started = whole
		} else if a.Outcome.Remote != 0 {
			started = "Pipeline " + link(a.Outcome.URL, fmt.Sprintf("#%d", a.Outcome.Remote))
		}
		return phrase{"Starting a pipeline of " + app + on, started + " of " + app + on + " is started.", "No pipeline of " + app + on + " was started.", "A pipeline of " + app + on + " was already started", "Start a pipeline"}
	case kovra.ActCancel:
		return phrase{"Canceling " + pipeline, whole + " is being canceled.", whole + " was not canceled.", whole + " was already canceled", "Cancel the pipeline"}
	case kovra.ActRetry:
		return phrase{"Retrying " + pipeline, "The failed and canceled jobs of " + pipeline + " run again.", whole + " was not retried.", whole + " was already retried", "Retry the pipeline"}
	case kovra.ActRetryJob:
		return phrase{"Retrying " + job, "The " + job + " runs again.", "The " + job + " was not retried.", "The " + job + " was already retried", "Retry the job"}
	case kovra.ActPlay:
		return phrase{"Starting " + job, "The " + job + " is started.", "The " + job + " was not started.", "The " + job + " was already started", "Play the job"}
	case kovra.ActLink:
		return phrase{"Linking " + app + " to " + project, app + " is linked to " + project + ". " + hears, app + " was not linked to " + project + ".", app + " was already linked", "Link the app"}
	case kovra.ActUnlink:
		return phrase{"Unlinking " + app, app + " has no GitLab project any more. The app stays.", app + " was not unlinked.", app + " was already unlinked", "Unlink the app"}
	case kovra.ActCreateApp:
		return phrase{"Creating " + app, app + " is created. It has no GitLab project yet.", app + " was not created.", app + " was already created", "Create the app"}
	case kovra.ActDeleteApp:
		return phrase{"Deleting " + app, app + " is deleted.", app + " was not deleted.", app + " was already deleted", "Delete the app"}
	case kovra.ActSubscribe:
		return phrase{"Subscribing " + here + " to " + app, place + " hears of " + app + ": " + dots(selects(a.Params.Filter), newsWords(a.Params.Filter)) + ".", place + " was not subscribed to " + app + ".", place + " was already subscribed to " + app, "Subscribe the channel"}
	case kovra.ActUnsubscribe:
		if a.Params.Subscription != 0 {
			what := fmt.Sprintf("the subscription #%d of %s", a.Params.Subscription, app)
			return phrase{"Removing " + what, upper(what) + " is removed.", upper(what) + " was not removed.", upper(what) + " was already removed", "Remove the subscription"}
		}
		return phrase{"Unsubscribing " + here + " from " + app, place + " hears no more of " + app + ".", place + " was not unsubscribed from " + app + ".", place + " was already unsubscribed from " + app, "Unsubscribe the channel"}
	case kovra.ActShowLogs:
		return phrase{"Switching the logs on in " + here, "Excerpts and log links are shown in " + here + ", also while it is shared with another organisation.", "The logs in " + here + " were not switched on.", "The logs in " + here + " were already switched on", "Show the logs"}
	case kovra.ActHideLogs:
		return phrase{"Switching the logs off in " + here, "Excerpts and log links are not shown in " + here + " while it is shared with another organisation.", "The logs in " + here + " were not switched off.", "The logs in " + here + " were already switched off", "Hide the logs"}
	default:
		kind := prose(string(a.Kind), maxName)
		return phrase{"Doing " + kind, "Done: " + kind + ".", "Not done: " + kind + ".", "Already done: " + kind, "Do it"}
	}
}

func confirmWords(k kovra.ActionKind) string {
	switch k {
	case kovra.ActLink:
		return "Yes, link it"
	case kovra.ActUnlink:
		return "Yes, unlink it"
	case kovra.ActDeleteApp:
		return "Yes, delete it"
	case kovra.ActDeploy:
		return "Yes, deploy it"
	case kovra.ActRollBack:
		return "Yes, roll back"
	default:
		return "Yes, do it"
	}
}

// logsWords says whether logs are shown in a channel, and why.
func logsWords(c kovra.Channel) string {
	switch {
	case c.LogsAllowed && c.Shared:
		return saysLogsAllowed
	case c.LogsAllowed:
		return saysLogsStay
	case c.Shared:
		return saysLogsHidden
	case c.CheckedAt.IsZero():
		return saysLogsUnknown
	default:
		return saysLogsShown
	}
}

// auditWords says what was done, in the record.
func auditWords(a kovra.Action, r *kovra.Run) string {
	if ofBuilds(a.Kind) {
		return buildAuditWords(a)
	}
	if words, ok := peopleAudit(a); ok {
		return words
	}
	what := ""
	if r.Remote != 0 {
		what = " pipeline " + pipelineLink(r)
	}
	app := " *" + prose(a.App, maxName) + "*"
	job := " job " + code(cmp.Or(a.Params.JobName, fmt.Sprintf("#%d", a.Job)), maxName)
	switch a.Kind {
	case kovra.ActRun:
		ref := ""
		if a.Params.Ref != "" {
			ref = " on " + code(a.Params.Ref, maxName)
		}
		return "start" + cmp.Or(what, " a pipeline") + " of" + app + ref
	case kovra.ActCancel:
		return "cancel" + cmp.Or(what, " a pipeline") + " of" + app
	case kovra.ActRetry:
		return "retry" + cmp.Or(what, " a pipeline") + " of" + app
	case kovra.ActRetryJob:
		return "retry" + job + " of" + app
	case kovra.ActPlay:
		return "play" + job + " of" + app
	case kovra.ActLink:
		return "link" + app + " to " + code(cmp.Or(a.Outcome.Project, a.Params.Project), maxName)
	case kovra.ActUnlink:
		return "unlink" + app
	case kovra.ActCreateApp:
		return "create" + app
	case kovra.ActDeleteApp:
		return "delete" + app
	case kovra.ActSubscribe:
		return "subscribe " + channel(a.Channel) + " to" + app
	case kovra.ActUnsubscribe:
		return "unsubscribe " + channel(a.Channel) + " from" + app
	case kovra.ActShowLogs:
		return "show logs in " + channel(a.Channel) + ", also while it is shared"
	case kovra.ActHideLogs:
		return "hide logs in " + channel(a.Channel) + " while it is shared"
	default:
		return prose(string(a.Kind), maxName) + app
	}
}

// nowWords says how it stands with a pipeline now.
func nowWords(r *kovra.Run) string {
	return dots(pipelineLink(r)+" is now "+icon(r.Status)+" *"+statusWords(r.Status)+"*", refText(r))
}

// unavailableWords says why something is not possible now.
func unavailableWords(u Unavailable) string {
	r := &u.View.Run
	pipeline := "Pipeline " + pipelineLink(r)
	state := "*" + statusWords(r.Status) + "*"
	job, jobState := "The job", ""
	if u.Job != nil {
		job, jobState = "The job "+code(u.Job.Name, maxRef), "*"+statusWords(u.Job.Status)+"*"
	}
	switch {
	case u.View.App.Project == 0:
		return fmt.Sprintf(saysConnect, prose(appName(u.View), maxName))
	case !linked(u.View):
		return pipeline + " is of a project that this app is no longer linked to."
	case u.Kind == kovra.ActCancel && r.Status == kovra.Canceling:
		return pipeline + " is being canceled already."
	case u.Kind == kovra.ActCancel:
		return pipeline + " cannot be canceled: it is " + state + " now. Only Pending and Running ones can be."
	case u.Kind == kovra.ActRetry:
		return pipeline + " cannot be retried: it is " + state + " now. Only Failed and Canceled ones can be."
	case u.Kind == kovra.ActRetryJob && u.Job != nil && u.Job.Status == kovra.Failed:
		return job + " cannot be retried: a newer attempt exists."
	case u.Kind == kovra.ActRetryJob:
		return job + " cannot be retried: it is " + cmp.Or(jobState, "gone") + " now. Only Failed ones can be."
	case u.Kind == kovra.ActPlay:
		return job + " cannot be started: it is " + cmp.Or(jobState, "gone") + " now. Only manual ones can be."
	default:
		return "This is not possible now: the pipeline is " + state + "."
	}
}
