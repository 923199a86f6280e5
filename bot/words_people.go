package bot

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
)

// Sentences about people and threads.
const (
	saysConnectFor      = "🔑 *%s?* GitLab decides what you may do, so connect your GitLab account first. Then it goes on by itself."
	saysConnectOnly     = "🔑 Connect your GitLab account, and I act in your name: GitLab decides what you may."
	saysConnectFirst    = "🔑 First connect your GitLab account: this is done in your name. Then ask again."
	saysConnectFoot     = "The link is for you alone and works for 15 minutes."
	saysNoConnect       = "Nobody can connect here just now. An administrator finds the reason in the log of the bot."
	saysNothingToDo     = "There is nothing to do here: no pipeline belongs to this thread."
	saysNotOurThread    = "This message belongs to no thread of mine. The shortcut works on pipelines, builds and merge requests that I tell of."
	saysPipelineThread  = "This thread is about a pipeline, and %q is about builds. What I can do here: @kovra help"
	saysNearJob         = "There is no job %q in this pipeline. Did you mean %s?"
	saysNoJobHere       = "There is no job %q in this pipeline. All of them: @kovra jobs"
	saysNearInThread    = "I do not understand %q here. Did you mean @kovra %s?"
	saysUnknownInThread = "I do not understand %q here. What I can do: %s."
	saysThreadFoot      = "Or write, in the thread: %s"
	saysNearWhy         = "I know no action %q. Did you mean %s?"
	saysUnknownWhy      = "I know no action %q. I know: %s."
	saysNoWhy           = "I cannot explain that here."
	saysBadNotify       = "Write /kovra notify me failures, all or off."
)

// labelConnectAccount is the button that leads to GitLab's sign-in.
const labelConnectAccount = "Connect GitLab account"

// whyWords are the actions that `/kovra why` knows, and what they need.
var whyWords = map[string]kovra.Permission{
	"read": kovra.MayRead, "run": kovra.MayAct, "cancel": kovra.MayAct, "retry": kovra.MayAct, "retry-job": kovra.MayAct, "play": kovra.MayAct,
	"build": kovra.MayBuild, "trigger": kovra.MayBuild, "rebuild": kovra.MayBuild, "deploy": kovra.MayAdmin, "rollback": kovra.MayAdmin,
	"link": kovra.MayLink, "unlink": kovra.MayAdmin, "subscribe": kovra.MayAdmin, "settings": kovra.MayAdmin, "delete": kovra.MayAdmin, "logs": kovra.MayOwn, "hooks": kovra.MayOwn,
}

func permissionOf(word string) (kovra.Permission, bool) {
	p, ok := whyWords[strings.ToLower(word)]
	return p, ok
}

func sortedWhyWords() []string { return slices.Sorted(maps.Keys(whyWords)) }

// RenderWhy answers `/kovra why`.
func RenderWhy(action, app string, lines []string) Answer {
	head := fmt.Sprintf("*May you %s %s?*", prose(strings.ToLower(action), maxName), prose(app, maxName))
	text := []string{head}
	for _, l := range lines {
		text = append(text, "• "+prose(l, maxReason))
	}
	return fit(Answer{Text: head, Blocks: []slack.Block{section(text...)}})
}

// connectBlocks ask somebody to connect: why, the way, and what to know of it.
func connectBlocks(text, address string) Answer {
	way := open("connect_account", address, labelConnectAccount)
	if way == nil {
		return notice("🔒 " + escape(saysNoConnect))
	}
	way.Style = slack.StylePrimary
	return fit(Answer{Text: text, Blocks: append(row([]slack.Block{section(text)}, way), contextLine(saysConnectFoot))})
}

// renderPrompt asks the person of an action to connect.
func renderPrompt(d Deed) Answer {
	if d.Action.Kind == kovra.ActConnect {
		return connectBlocks(saysConnectOnly, d.Connect)
	}
	return connectBlocks(fmt.Sprintf(saysConnectFor, actionPhrase(d).plain), d.Connect)
}

// RenderThreadActions shows what can be done now with what a thread is about.
func RenderThreadActions(v kovra.View) Answer {
	head := headline(v)
	verbs := runThreadVerbs
	blocks := []slack.Block{section(head)}
	if v.Build != nil {
		verbs = buildThreadVerbs
	}
	blocks = row(blocks, cardButtons(v)...)
	if v.Build == nil {
		blocks = row(blocks, failedJobButtons(v)...)
	}
	var said []string
	for _, w := range verbs {
		said = append(said, "`@kovra "+w+"`")
	}
	return fit(Answer{Text: head, Blocks: append(blocks, contextLine(fmt.Sprintf(saysThreadFoot, strings.Join(said, " "))))})
}

// jobsInMenu is how many failed jobs get a button among the actions of a thread.
const jobsInMenu = 5

func failedJobButtons(v kovra.View) []*slack.ButtonBlockElement {
	var out []*slack.ButtonBlockElement
	for _, j := range kovra.CurrentJobs(v.Run.Stages, v.Jobs) {
		if j.Status == kovra.Failed && linked(v) && len(out) < jobsInMenu {
			b := retryJobButton(&v.Run, j)
			b.Text = plainText(clip("Retry job "+clean(j.Name), maxButtonText))
			out = append(out, b)
		}
	}
	return out
}

// peoplePhrase speaks of an action that is about the person alone.
func peoplePhrase(a kovra.Action) (phrase, bool) {
	switch a.Kind {
	case kovra.ActConnect:
		return phrase{"Connecting your GitLab account", "You are connected to GitLab as " + prose(a.Outcome.As, maxName) + ".", "You were not connected.", "You were already connected", "Connect"}, true
	case kovra.ActDisconnect:
		return phrase{"Disconnecting your GitLab account", "Your GitLab account is disconnected; its tokens are taken back.", "You were not disconnected.", "You were already disconnected", "Disconnect"}, true
	case kovra.ActNotify:
		return phrase{"Changing your notifications", notifyWords(a.Params.Notify), "Your notifications were not changed.", "Your notifications were already changed", "Change your notifications"}, true
	case kovra.ActWatch:
		return phrase{"Watching", "I tell you in a direct message how it ends.", "It is not watched.", "You were already watching it", "Watch it"}, true
	case kovra.ActEnableHooks:
		return enablePhrase(a), true
	default:
		return phrase{}, false
	}
}

func notifyWords(n kovra.Notify) string {
	switch n {
	case kovra.NotifyAll:
		return "I tell you in a direct message how each of your pipelines ends."
	case kovra.NotifyFailures:
		return "I tell you in a direct message when a pipeline of yours fails."
	default:
		return "I send you no more direct messages about your pipelines."
	}
}

// peopleAudit says what was done, in the record.
func peopleAudit(a kovra.Action) (string, bool) {
	switch a.Kind {
	case kovra.ActConnect:
		return "connect a GitLab account", true
	case kovra.ActDisconnect:
		return "disconnect the GitLab account", true
	case kovra.ActNotify:
		return "be told of own pipelines: " + prose(string(a.Params.Notify), maxName), true
	case kovra.ActWatch:
		return "watch a run of *" + prose(a.App, maxName) + "*", true
	case kovra.ActEnableHooks:
		return "enable webhooks", true
	default:
		return "", false
	}
}

// actor names who did something: a person of Slack, or one who spoke in GitLab.
func actor(p kovra.Person) string {
	return mention(p.ID, cmp.Or(p.Name, p.GitLab.Name, p.GitLab.Username))
}
