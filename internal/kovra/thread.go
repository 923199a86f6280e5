package kovra

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Thread is one run, build, subject or notice in one channel: a parent message and its replies.
// Of Run, Build, Subject and Notice one is set.
type Thread struct {
	ID      int64
	Run     int64
	Build   int64
	Subject int64
	Notice  int64
	Channel string // or @ and a person, for what is told to them alone
	App     string // the app whose subscription made it

	Version      int64  // grows when what is shown may have changed
	ShownVersion int64  // what the projector has shown
	ShownBy      int    // the renderer that showed it
	Broken       string // a permanent refusal by Slack; "": fine
	Broadcast    Broadcast
	Quiet        bool // a parent without replies
	CreatedAt    time.Time
}

// personal begins the channel of a thread that one person alone sees.
const personal = "@"

// PersonalChannel is the channel of threads that are told to one person alone.
func PersonalChannel(slackUser string) string { return personal + slackUser }

// Person returns the Slack user whom the thread is for, if it is for one alone.
func (t Thread) Person() (slackUser string, ok bool) { return strings.CutPrefix(t.Channel, personal) }

// Slot is one message of a thread.
type Slot struct {
	Key     string
	TS      string // Slack's id of the message; "": not known to exist
	Digest  string // of what was last shown
	Nonce   string // of a post that was started; "" once its end is known
	NonceAt time.Time
	// Broadcast says that the message was also sent to the channel.
	Broadcast bool
}

// Keys of slots.
const (
	SlotCard       = "card"          // the parent
	SlotRest       = "failures/rest" // failures beyond the tenth
	slotFailure    = "failure/"
	slotResult     = "result/"
	slotAction     = "action/"
	SlotTail       = "tail" // the live tail of a build
	slotStep       = "step/"
	slotDeployment = "deployment/"
	MaxFailures    = 10 // failure replies of one run
	slotIDBase     = 10
	resultNoTime   = "0"
)

// FailureSlot is the reply about one failed attempt at a job.
func FailureSlot(job int64) string { return slotFailure + strconv.FormatInt(job, slotIDBase) }

// StepSlot is the reply about the failed step of a build.
func StepSlot(s Step) string { return slotStep + s.Key() }

// DeploymentSlot is the reply about one deployment.
func DeploymentSlot(deployment int64) string {
	return slotDeployment + strconv.FormatInt(deployment, slotIDBase)
}

// ActionSlot is the reply about one thing that somebody did.
func ActionSlot(action int64) string { return slotAction + strconv.FormatInt(action, slotIDBase) }

// ResultSlot is the reply about one end of the run. It is named after the time of
// the end, which GitLab tells alike in hooks and API.
func ResultSlot(r Result) string {
	if r.FinishedAt.IsZero() {
		return slotResult + resultNoTime
	}
	return slotResult + strconv.FormatInt(r.FinishedAt.Unix(), slotIDBase)
}

// View is everything that a thread shows: state, and nothing but state.
type View struct {
	Thread   Thread
	App      App
	Project  Project
	Run      Run
	Jobs     []Job // all attempts
	Children []Child
	Actions  []Action // on this run and on jobs of its children, oldest first, without those that are only asked
	Slots    map[string]Slot
	// Build is what the thread is about, where it is not a pipeline; Run is then zero.
	Build       *Build
	Deployments []Deployment  // of the build, oldest first
	Settings    BuildSettings // of the app
	// LastDeployment is the newest one of the app, of whatever build: it alone can be rolled back. 0: there was none.
	LastDeployment int64
	// Subject is what the thread is about, where it is neither pipeline nor build.
	Subject *Subject
	// Notice is what the thread is about, where it is something that an administrator is told. Hooks are then the webhooks
	// of all linked projects, and Token is the bot's own.
	Notice *Notice
	Hooks  []ProjectHook
	Token  TokenSight
	// Starter is the Slack user who started the pipeline. Matched says that it is known whether there is one.
	Starter string
	Matched bool
	// NoLogs: the channel may see neither excerpts nor links to logs.
	NoLogs bool
}

// Child is a child pipeline under its trigger job.
type Child struct {
	Run  Run
	Jobs []Job
}

// Trigger returns the job that started a child: one of the pipeline, or of another child. false: it is not known.
func (v *View) Trigger(c *Child) (of *Child, trigger Job, known bool) {
	jobs := v.Jobs
	if p := c.Run.Parent.Pipeline; p != 0 && p != v.Run.Remote {
		i := slices.IndexFunc(v.Children, func(o Child) bool { return o.Run.Remote == c.Run.Parent.Pipeline && o.Run.Remote < c.Run.Remote })
		if i < 0 {
			return nil, Job{}, false
		}
		of, jobs = &v.Children[i], v.Children[i].Jobs
	}
	for _, j := range jobs {
		if j.Bridge && (j.ID == c.Run.Parent.Job && j.ID != 0 || j.Downstream.Pipeline == c.Run.Remote && c.Run.Remote != 0) {
			return of, j, true
		}
	}
	return of, Job{}, false
}

// Left reports whether a child was left behind: its trigger job was retried, or that of what it hangs below, and
// another child stands in its place.
func (v *View) Left(c *Child) bool {
	of, j, known := v.Trigger(c)
	if known {
		jobs := v.Jobs
		if of != nil {
			jobs = of.Jobs
		}
		if _, again := Successor(j, jobs); again {
			return true
		}
	}
	return of != nil && v.Left(of)
}
