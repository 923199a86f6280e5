package bot

import (
	"fmt"
	"strings"

	"kovra.dev/chatops/internal/kovra"
)

// Groups of commands: the slash command that they belong to.
const (
	GroupKovra    = "kovra"
	GroupPipeline = "pipeline"
	GroupBuild    = "build"
)

// Verbs of commands.
const (
	VerbHelp = "help" // in every group

	VerbList     = "list" // pipelines or builds; also for no verb at all
	VerbRun      = "run"
	VerbJobs     = "jobs"
	VerbCancel   = "cancel"
	VerbRetry    = "retry"
	VerbRetryJob = "retry-job"
	VerbPlay     = "play"
	VerbLog      = "log"

	VerbLink          = "link"
	VerbUnlink        = "unlink"
	VerbApps          = "apps"
	VerbApp           = "app"
	VerbAppCreate     = "app-create"
	VerbAppDelete     = "app-delete"
	VerbSubscribe     = "subscribe"
	VerbUnsubscribe   = "unsubscribe"
	VerbSubscriptions = "subscriptions"
	VerbLogs          = "logs"
	VerbAudit         = "audit"
	VerbConnect       = "connect"
	VerbDisconnect    = "disconnect"
	VerbNotify        = "notify"
	VerbWhy           = "why"
	VerbHooks         = "hooks"

	// Of builds; list, cancel and log are verbs of theirs, too.
	VerbTrigger  = "trigger"
	VerbRebuild  = "rebuild"
	VerbDeploy   = "deploy"
	VerbRollback = "rollback"
	VerbSettings = "settings"
	VerbResume   = "resume"
)

// Var is a variable or an input of a new pipeline.
type Var struct {
	Key   string
	Value string
}

// Command is a slash command as it was typed. [Parse] makes it; its zero value means nothing.
type Command struct {
	Group string
	Verb  string
	// Words are the positional words; [Command.Resolve] tells apps, refs and ids apart.
	Words  []string
	Vars   []Var
	Inputs []Var
	Filter kovra.Filter // what a channel is to hear; Broadcast "": not said
	// Subscription is the one that is meant; 0: none is named.
	Subscription int64
	Sure         bool // a question is answered beforehand, with --yes
}

// WithApp returns the command with the app named first, for an answer that asks which one is meant.
func (c Command) WithApp(app string) Command {
	c.Words = append([]string{app}, c.Words...)
	return c
}

// String returns the command as one could type it: Parse understands it and gives the same Command.
// Characters that Slack escapes in what people type are escaped.
func (c Command) String() string {
	return slackEscaper.Replace(c.typed())
}

// typed is the command as a person sees it while typing.
func (c Command) typed() string {
	parts := []string{"/" + c.Group, strings.Replace(c.Verb, "app-", "app ", 1)}
	for _, w := range c.Words {
		parts = append(parts, quote(w, true))
	}
	for _, v := range c.Vars {
		parts = append(parts, v.Key+"="+quote(v.Value, false))
	}
	for _, v := range c.Inputs {
		parts = append(parts, inputPrefix+v.Key+"="+quote(v.Value, false))
	}
	if c.Subscription != 0 {
		parts = append(parts, fmt.Sprintf("#%d", c.Subscription))
	}
	parts = append(parts, filterWords(c.Filter)...)
	if c.Sure {
		parts = append(parts, sureWord)
	}
	return strings.Join(parts, " ")
}

// quote puts a word into quotes where the tokenizer would not give it back otherwise.
// An empty value needs none.
func quote(s string, word bool) string {
	if s == "" && !word {
		return s
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return isSpace(r) || r == '"' || r == '\'' || r == '\\' }) {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// spec says what words a verb takes.
type spec struct {
	group, verb string
	usage       string // after the verb
	example     string
	min, max    int // words
	shape       shape
	needs       string // what is missing when there are too few words
}

// shape is how the words of a verb are read.
type shape int

const (
	shapeNone        shape = iota
	shapeRef               // [app] [ref]
	shapePipeline          // [app] <pipeline>
	shapeJob               // [app] <job>
	shapeApp               // [app], the channel's if left out
	shapeMaybeApp          // [app], all if left out
	shapeNewApp            // <app> that need not exist
	shapeLink              // <app> <project>
	shapeSwitch            // [on|off]
	shapeBuild             // [app] <build>
	shapeNotify            // [me] failures|all|off
	shapeWhy               // <action> [app]
	shapeUnsubscribe       // [app], or a subscription
)

// specs are all commands, in the order in which help shows them.
var specs = []spec{
	{GroupPipeline, VerbList, "[app] [ref]", "/pipeline web main", 0, 2, shapeRef, ""},
	{GroupPipeline, VerbRun, "[app] [ref] [KEY=VALUE ...] [input:NAME=VALUE ...]", "/pipeline run web main ENV=staging", 0, 2, shapeRef, ""},
	{GroupPipeline, VerbJobs, "[app] <pipeline>", "/pipeline jobs 1234", 1, 2, shapePipeline, "Which pipeline?"},
	{GroupPipeline, VerbCancel, "[app] <pipeline>", "/pipeline cancel 1234", 1, 2, shapePipeline, "Which pipeline?"},
	{GroupPipeline, VerbRetry, "[app] <pipeline>", "/pipeline retry 1234", 1, 2, shapePipeline, "Which pipeline?"},
	{GroupPipeline, VerbRetryJob, "[app] <job>", "/pipeline retry-job 5678", 1, 2, shapeJob, "Which job?"},
	{GroupPipeline, VerbPlay, "[app] <job>", "/pipeline play 5678", 1, 2, shapeJob, "Which job?"},
	{GroupPipeline, VerbLog, "[app] <job>", "/pipeline log 5678", 1, 2, shapeJob, "Which job?"},
	{GroupBuild, VerbList, "[app]", "/build web", 0, 1, shapeApp, ""},
	{GroupBuild, VerbTrigger, "[app] [branch]", "/build trigger web main", 0, 2, shapeRef, ""},
	{GroupBuild, VerbCancel, "[app] <build>", "/build cancel 12", 1, 2, shapeBuild, "Which build?"},
	{GroupBuild, VerbRebuild, "[app] <build>", "/build rebuild 12", 1, 2, shapeBuild, "Which build?"},
	{GroupBuild, VerbLog, "[app] <build>", "/build log 12", 1, 2, shapeBuild, "Which build?"},
	{GroupBuild, VerbDeploy, "[app] <build>", "/build deploy 12", 1, 2, shapeBuild, "Which build?"},
	{GroupBuild, VerbRollback, "[app]", "/build rollback web", 0, 1, shapeApp, ""},
	{GroupBuild, VerbResume, "[app]", "/build resume web", 0, 1, shapeApp, ""},
	{GroupBuild, VerbSettings, "[app]", "/build settings web", 0, 1, shapeApp, ""},
	{GroupKovra, VerbLink, "<app> <group/project or URL> [broadcast:on|off|all]", "/kovra link web group/web", 1, 2, shapeLink, "Which app, and which GitLab project?"},
	{GroupKovra, VerbUnlink, "[app]", "/kovra unlink web", 0, 1, shapeApp, ""},
	{GroupKovra, VerbApps, "", "/kovra apps", 0, 0, shapeNone, ""},
	{GroupKovra, VerbApp, "<app>", "/kovra app web", 0, 1, shapeApp, ""},
	{GroupKovra, VerbAppCreate, "<app>", "/kovra app create web", 1, 1, shapeNewApp, "What is the app to be called?"},
	{GroupKovra, VerbAppDelete, "<app>", "/kovra app delete web", 1, 1, shapeApp, "Which app?"},
	{GroupKovra, VerbSubscribe, "[app] [pipelines] [builds] [merge_requests] [tags] [deployments] [releases] [pushes] [ref:glob] [source:word] [by:user] [by:!bots] [only:failures|changes] [broadcast:on|off|all] [quiet]", "/kovra subscribe web pipelines ref:main only:failures", 0, 1, shapeApp, ""},
	{GroupKovra, VerbUnsubscribe, "[app] [#subscription]", "/kovra unsubscribe web", 0, 1, shapeUnsubscribe, ""},
	{GroupKovra, VerbSubscriptions, "[app]", "/kovra subscriptions", 0, 1, shapeMaybeApp, ""},
	{GroupKovra, VerbLogs, "[on|off]", "/kovra logs on", 0, 1, shapeSwitch, ""},
	{GroupKovra, VerbAudit, "[app]", "/kovra audit web", 0, 1, shapeMaybeApp, ""},
	{GroupKovra, VerbConnect, "", "/kovra connect", 0, 0, shapeNone, ""},
	{GroupKovra, VerbDisconnect, "", "/kovra disconnect", 0, 0, shapeNone, ""},
	{GroupKovra, VerbNotify, "me failures|all|off", "/kovra notify me failures", 1, 2, shapeNotify, "Of what?"},
	{GroupKovra, VerbWhy, "<action> [app]", "/kovra why deploy web", 1, 2, shapeWhy, "Which action?"},
	{GroupKovra, VerbHooks, "", "/kovra hooks", 0, 0, shapeNone, ""},
}

func specOf(group, verb string) (spec, bool) {
	for _, s := range specs {
		if s.group == group && s.verb == verb {
			return s, true
		}
	}
	return spec{group: group, verb: verb}, false
}

// usageLine is the command with its words, as help shows it.
func (s spec) usageLine() string {
	verb := strings.Replace(s.verb, "app-", "app ", 1)
	if s.verb == VerbList {
		verb = ""
	}
	return strings.Join(strings.Fields("/"+s.group+" "+verb+" "+s.usage), " ")
}
