package kovra

import (
	"regexp"
	"time"
)

// ActionKind names what a person asked for.
type ActionKind string

// Every action that changes something. Each is recorded, permitted, done once and
// answered in the same way.
const (
	ActRun         ActionKind = "run"       // start a pipeline
	ActCancel      ActionKind = "cancel"    // cancel a pipeline
	ActRetry       ActionKind = "retry"     // retry a pipeline's failed and canceled jobs
	ActRetryJob    ActionKind = "retry_job" // retry one job
	ActPlay        ActionKind = "play"      // start a manual job
	ActLink        ActionKind = "link"
	ActUnlink      ActionKind = "unlink"
	ActCreateApp   ActionKind = "create_app"
	ActDeleteApp   ActionKind = "delete_app"
	ActSubscribe   ActionKind = "subscribe"
	ActUnsubscribe ActionKind = "unsubscribe"
	ActShowLogs    ActionKind = "show_logs" // in the channel, also while it is shared with others
	ActHideLogs    ActionKind = "hide_logs" // in the channel, while it is shared with others

	ActBuild        ActionKind = "build"         // start a build of a branch
	ActCancelBuild  ActionKind = "cancel_build"  // Pending or Building
	ActRebuild      ActionKind = "rebuild"       // the same commit again
	ActDeploy       ActionKind = "deploy"        // the image of a build, without building
	ActRollBack     ActionKind = "roll_back"     // to the image before; pauses auto-deploy
	ActBuildSetting ActionKind = "build_setting" // change settings; Params.Settings is all of them
	ActResumeDeploy ActionKind = "resume_deploy" // auto-deploy goes on

	ActConnect     ActionKind = "connect"      // the person's GitLab account
	ActDisconnect  ActionKind = "disconnect"   // and forget its tokens
	ActNotify      ActionKind = "notify"       // Params.Notify: of which own pipelines the person is told
	ActWatch       ActionKind = "watch"        // be told how a run or build ends
	ActEnableHooks ActionKind = "enable_hooks" // of all projects: those that GitLab switched off, or that are not as they should be

	ActHelp ActionKind = "help" // be told what can be asked for in a merge request
)

// Permission is what an action needs (PRODUCT.md I2).
type Permission string

// The permissions, each with who has it without and with OAuth. A policy file narrows them by their [Permission.Level].
const (
	MaySelf  Permission = "self"  // what concerns the person alone: everybody of the organisation
	MayRead  Permission = "read"  // members of a subscribed channel
	MayAct   Permission = "act"   // the same; with OAuth whoever is connected, and GitLab decides
	MayBuild Permission = "build" // as MayAct; with OAuth Developers of the project
	MayAdmin Permission = "admin" // administrators; with OAuth Maintainers of the project, and who made an app without one
	// MayLink is MayAdmin, but for an app without a project and without settings of builds, with OAuth: whoever is
	// connected. Their role in the project that it shall have decides, and is asked where that is known.
	MayLink Permission = "link"
	MayOwn  Permission = "own" // administrators, always
)

// Level is the word of the policy file under which a permission falls; "" for what no policy can take.
func (p Permission) Level() Permission {
	switch p {
	case MayBuild:
		return MayAct
	case MayOwn, MayLink:
		return MayAdmin
	case MaySelf:
		return ""
	default:
		return p
	}
}

// Permission returns what a person needs for the action.
func (k ActionKind) Permission() Permission {
	switch k {
	case ActRun, ActCancel, ActRetry, ActRetryJob, ActPlay:
		return MayAct
	case ActBuild, ActCancelBuild, ActRebuild:
		return MayBuild
	case ActWatch:
		return MayRead
	case ActConnect, ActDisconnect, ActNotify, ActHelp:
		return MaySelf
	case ActLink:
		return MayLink
	case ActShowLogs, ActHideLogs, ActEnableHooks:
		return MayOwn
	default:
		return MayAdmin
	}
}

// ActionState is how far an action is.
type ActionState string

// The states of an action. Only Wanted and Tried are looked at by dispatch.
const (
	ActionWanted ActionState = "wanted" // recorded; nothing done yet
	ActionTried  ActionState = "tried"  // the effect was started, its end is not known
	ActionDone   ActionState = "done"
	ActionFailed ActionState = "failed" // Outcome.Reason says why; the lock is free again
	ActionAsks   ActionState = "asks"   // needs a confirmation: a second action with Params.Sure
	// ActionWaits is for the person to connect their GitLab account; its lock is free meanwhile. It is wanted
	// again once they have.
	ActionWaits ActionState = "waits"
)

// WaitFor is how long an action waits for its person to connect.
const WaitFor = 15 * time.Minute

// Person is who acts, as Slack names them.
type Person struct {
	ID         string `json:"id"`
	Name       string `json:"name,omitempty"`
	Team       string `json:"team,omitempty"`       // of the person, not of the channel
	Enterprise string `json:"enterprise,omitempty"` // "" without Enterprise Grid
	// GitLab is set, and ID is "", of somebody who spoke in GitLab and not in Slack.
	GitLab GitLabUser `json:"gitlab,omitzero"`
	// Operator is set, and ID is "", of somebody at the command line; see [Operator].
	Operator string `json:"operator,omitempty"`
}

var operatorName = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.@+-]{0,59}$`)

// Operator is who works at the command line, by the name under which it is recorded. Such a person has the database and the
// bot's tokens in their hands anyway, so they may do everything, with the bot's GitLab user. Only the command line makes
// them: what comes from Slack and GitLab fills other fields of a [Person]. An error is of kind [Invalid].
func Operator(name string) (Person, error) {
	if !operatorName.MatchString(name) {
		return Person{}, Errorf(Invalid, "%q is no name to record: 1 to 60 letters, digits and _ . @ + - are.", name)
	}
	return Person{Name: name + " (command line)", Operator: name}, nil
}

// IsOperator reports whether the person works at the command line.
func (p Person) IsOperator() bool { return p.Operator != "" && p.ID == "" && p.GitLab == GitLabUser{} }

// Action is one thing that a person asked for: the record, the wish and the
// lock in one row.
type Action struct {
	ID      int64
	Kind    ActionKind
	App     string
	Run     int64 // ours; 0: not about a run
	Build   int64 // 0: not about a build
	Job     int64 // GitLab's; 0: not about a job
	By      Person
	Channel string // where it was asked
	// Lock makes the wish happen once: of the actions with the same lock only one
	// that has not failed can exist. "": no lock.
	Lock    string
	Params  Params
	State   ActionState
	Outcome Outcome

	// CreatedAt is when it was asked for; of one that waits, since when, or when it was asked for last; and of one that waited,
	// when its person had connected: patience begins there.
	CreatedAt  time.Time
	TriedAt    time.Time // when the effect was started
	FinishedAt time.Time

	// ReplyURL is Slack's response_url for the late answer; it is a capability and
	// kept encrypted. Answered is set before the answer is sent: at most once.
	ReplyURL string
	Answered bool
	// Late says that nobody waits inside a request any more: the answer, when
	// there is one, goes to ReplyURL or into an ephemeral message.
	Late bool
}

// Supersedes reports whether somebody who asked for b before means a in its place: the same, of the same thing, whatever they gave
// with it. A ref that is not named may be any.
func (a Action) Supersedes(b Action) bool {
	if a.Kind != b.Kind || a.App != b.App || a.Run != b.Run || a.Build != b.Build || a.Job != b.Job {
		return false
	}
	switch a.Kind {
	case ActConnect:
		return false // who has connected has done all of them
	case ActLink, ActShowLogs, ActHideLogs:
		return a.Channel == b.Channel
	case ActSubscribe, ActUnsubscribe:
		which := a.Params.Subscription
		return a.Channel == b.Channel && which == b.Params.Subscription && (which != 0 || a.Params.Filter.Key() == b.Params.Filter.Key())
	default:
		return a.Params.Ref == b.Params.Ref || a.Params.Ref == "" || b.Params.Ref == ""
	}
}

// Params are the words of the wish.
type Params struct {
	Project   string            `json:"project,omitempty"` // path or id, for link
	Ref       string            `json:"ref,omitempty"`
	Variables []string          `json:"variables,omitempty"` // names alone; the values are kept encrypted until used
	Inputs    map[string]string `json:"inputs,omitempty"`
	// Filter is what a subscription selects; Subscription is the one that is changed or taken away. 0: a new one, or all
	// of the app in the channel.
	Filter       Filter `json:"filter,omitzero"`
	Subscription int64  `json:"subscription,omitempty"`
	Notify       Notify `json:"notify,omitempty"`
	// Thread of Slack is where it was asked and where it is answered; "": in the channel.
	Thread string `json:"thread,omitempty"`
	// Message is the message of Slack in which it was said, as channel/ts; "": it was not said.
	Message string   `json:"message,omitempty"`
	Comment *Comment `json:"comment,omitempty"` // where it was asked, if that was in GitLab
	Sure    bool     `json:"sure,omitempty"`    // a question was answered with yes
	// Jobs are the failed jobs that a retry is about; it is done once any of them has a successor.
	Jobs []int64 `json:"jobs,omitempty"`
	// JobName is the name of the job that a job action is about.
	JobName string `json:"job_name,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	// Prints are the fingerprints of the values, by which a log that shows one is masked.
	Prints []Print `json:"prints,omitempty"`
	// As is the GitLab user name under which a new pipeline was asked for.
	As string `json:"as,omitempty"`
	// Floor is the write-ahead mark of a new pipeline: the highest pipeline id of
	// the project before it was asked for.
	Floor int64 `json:"floor,omitempty"`

	// Settings are what settings of builds shall be, all of them.
	Settings *BuildSettings `json:"settings,omitempty"`
	// Target, Image and From are what a deployment is asked for with: where, what, and what was shown as running
	// when it was confirmed. Deployment is the one that a roll back takes back; 0: the newest.
	Target     DeployTarget `json:"target,omitzero"`
	Image      string       `json:"image,omitempty"`
	From       string       `json:"from,omitempty"`
	Deployment int64        `json:"deployment,omitempty"`
}

// Print is the fingerprint of one line of a value that is not kept; storage makes it and knows the value again.
type Print struct {
	Len int    `json:"len"` // in bytes
	Sum string `json:"sum"` // a keyed hash
	// Roll is another hash, hidden, by which long texts are looked through quickly; 0 in
	// prints of older versions.
	Roll uint64 `json:"roll,omitempty"`
}

// Outcome is what came of an action.
type Outcome struct {
	Kind   ErrorKind `json:"kind,omitempty"`   // of a failed one
	Reason string    `json:"reason,omitempty"` // a sentence for people: why it failed, what is asked, or what else to know
	Remote int64     `json:"remote,omitempty"` // the pipeline or job that came of it
	Run    int64     `json:"run,omitempty"`    // our id of that pipeline
	URL    string    `json:"url,omitempty"`
	As     string    `json:"as,omitempty"` // GitLab user name of the person, where it was done with their own account

	Project string `json:"project,omitempty"` // path of the project that was linked or unlinked
	Created bool   `json:"created,omitempty"` // the app is new
	// Hook says what became of the project's webhook, HookNote why it is not there.
	Hook     HookState `json:"hook,omitempty"`
	HookNote string    `json:"hook_note,omitempty"`
	// Member says whether the bot can post in the channel.
	Member   bool `json:"member,omitempty"`
	Direct   bool `json:"direct,omitempty"`   // it was linked in a direct message, which hears of nothing
	Existing int  `json:"existing,omitempty"` // pipelines that were there before the link
	// Mended and Broken are how many webhooks send again, and how many could not be brought to that.
	Mended int `json:"mended,omitempty"`
	Broken int `json:"broken,omitempty"`
	// Moved is the commit that the branch points to now, where a retry runs an older one.
	Moved string `json:"moved,omitempty"`
	Ref   string `json:"ref,omitempty"`

	Build      int64  `json:"build,omitempty"`      // that was started
	Deployment int64  `json:"deployment,omitempty"` // that was started
	Commit     string `json:"commit,omitempty"`
	// Target, From and Image are what a deployment is about, in a question too: where, the image now, the image to be.
	Target DeployTarget `json:"target,omitzero"`
	From   string       `json:"from,omitempty"`
	Image  string       `json:"image,omitempty"`
	// Changes says in words what was changed, a line each; values of build arguments are not among them.
	Changes string `json:"changes,omitempty"`
}

// HookState says what became of a project's webhook.
type HookState string

// The states of a hook after a link or unlink.
const (
	HookCreated HookState = "created"
	HookFound   HookState = "found"
	HookByHand  HookState = "by_hand" // must be set up by hand; HookNote says why
	HookRemoved HookState = "removed"
	HookKept    HookState = "kept"
)

// Open reports whether dispatch still has to do something.
func (a *Action) Open() bool { return a.State == ActionWanted || a.State == ActionTried }

// Variable is a CI variable with its value; the value is a secret until it was used.
type Variable struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}
