package kovra

import (
	"strconv"
	"time"
)

// Thread is one run or build in one channel: a parent message and its replies.
type Thread struct {
	ID      int64
	Run     int64 // 0: the thread is of a build
	Build   int64 // 0: the thread is of a pipeline
	Channel string
	App     string // the app whose subscription made it

	Version      int64  // grows when what is shown may have changed
	ShownVersion int64  // what the projector has shown
	ShownBy      int    // the renderer that showed it
	Broken       string // a permanent refusal by Slack; "": fine
	Broadcast    Broadcast
	CreatedAt    time.Time
}

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
	Actions  []Action // on this run, oldest first, without those that are only asked
	Slots    map[string]Slot
	// Build is what the thread is about, where it is not a pipeline; Run is then zero.
	Build       *Build
	Deployments []Deployment  // of the build, oldest first
	Settings    BuildSettings // of the app
	// LastDeployment is the newest one of the app, of whatever build: it alone can be rolled back. 0: there was none.
	LastDeployment int64
	// NoLogs: the channel may see neither excerpts nor links to logs.
	NoLogs bool
}

// Child is a child pipeline under its trigger job.
type Child struct {
	Run  Run
	Jobs []Job
}
