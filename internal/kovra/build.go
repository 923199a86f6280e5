package kovra

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// BuildStatus is the state of a build or of a deployment, as people see it
// (PRODUCT.md section 4).
type BuildStatus string

// The five states.
const (
	BuildPending   BuildStatus = "Pending"  // not started: in our queue, or its pods do not run yet
	BuildBuilding  BuildStatus = "Building" // of a deployment: it rolls out
	BuildSucceeded BuildStatus = "Succeeded"
	BuildFailed    BuildStatus = "Failed" // timeouts and invalid specs included
	BuildCancelled BuildStatus = "Cancelled"
)

// Final reports whether nothing moves any more. A build never comes back to life; to build the same commit
// again is another build.
func (s BuildStatus) Final() bool {
	return s == BuildSucceeded || s == BuildFailed || s == BuildCancelled
}

// Status is GitLab's word that says the same, as steps and logs have it.
func (s BuildStatus) Status() Status {
	switch s {
	case BuildPending:
		return Pending
	case BuildBuilding:
		return Running
	case BuildSucceeded:
		return Success
	case BuildCancelled:
		return Canceled
	default:
		return Failed
	}
}

// BuildTrigger says why there is a build.
type BuildTrigger string

// The triggers.
const (
	ByPush    BuildTrigger = "push"
	ByHand    BuildTrigger = "hand"
	ByRebuild BuildTrigger = "rebuild"
)

// BuildSpec is what is built, as it was decided when the build was asked for. Later
// changes of the settings do not reach it.
type BuildSpec struct {
	CloneURL   string     `json:"clone_url"`
	Branch     string     `json:"branch"` // or tag
	Tag        bool       `json:"tag,omitempty"`
	Commit     string     `json:"commit"` // full id; exactly this one is cloned
	Image      string     `json:"image"`  // with its tag: registry.example.com/team/web:1a2b3c4d
	Dockerfile string     `json:"dockerfile,omitempty"`
	Context    string     `json:"context,omitempty"`
	Args       []BuildArg `json:"args,omitempty"`
	Secrets    []string   `json:"secrets,omitempty"` // names of Kubernetes Secrets
	// Tenancy of the app at that time; "" the defaults.
	Namespace      string `json:"namespace,omitempty"`
	ServiceAccount string `json:"service_account,omitempty"`
	Registry       string `json:"registry,omitempty"` // image prefix
	// Deploy says that the image is deployed once it is pushed, and where.
	Deploy bool         `json:"deploy,omitempty"`
	Target DeployTarget `json:"target,omitzero"`
	// AllowManaged: also where Argo CD, Flux or Helm own the Deployment.
	AllowManaged bool `json:"allow_managed,omitempty"`
}

// BuildArg is one ARG of a Dockerfile.
type BuildArg struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Secret reports whether the argument looks like a secret, so that logs must not show its value.
func (a BuildArg) Secret() bool { return looksSecret(a) }

// Build is one container-image build of an app: one PipelineRun, which we make. Unlike a
// [Run] it is ours: we say when it starts, and the cluster tells how it goes.
type Build struct {
	ID      int64  `json:"-"` // ours, and the number that people say: #12
	App     string `json:"-"`
	Project int64  `json:"-"` // GitLab's

	// Name is that of the PipelineRun, decided before it is made and never used twice.
	Name    string       `json:"name"`
	Spec    BuildSpec    `json:"spec"`
	Trigger BuildTrigger `json:"trigger"`
	// Before is the commit that the branch was at before the push: it tells older pushes from newer ones.
	Before string `json:"before,omitempty"`
	// Of is the build that this one repeats; 0: none.
	Of int64 `json:"of,omitempty"`

	Title  string     `json:"title,omitempty"` // first line of the commit message
	Author GitLabUser `json:"author,omitzero"`
	Pusher GitLabUser `json:"pusher,omitzero"` // who pushed, of an automatic build
	By     Person     `json:"by,omitzero"`     // who asked for it in Slack

	Status BuildStatus `json:"status"`
	// Phase is what we have done about it; it grows.
	Phase BuildPhase `json:"phase"`
	// Reason is a word for machines (Tekton's, or one of ours), Message a sentence for people: why it is pending,
	// has failed or was cancelled.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Cancel says that it shall end, by whom, or by which newer build of the branch.
	Cancel BuildCancel `json:"cancel,omitzero"`

	Steps      []Step `json:"steps,omitempty"` // in order
	Digest     string `json:"digest,omitempty"`
	Dockerfile string `json:"dockerfile,omitempty"` // the one that was found
	News       News   `json:"news,omitempty"`

	CreatedAt  time.Time `json:"created_at,omitzero"`  // asked for
	QueuedAt   time.Time `json:"queued_at,omitzero"`   // given to the cluster
	StartedAt  time.Time `json:"started_at,omitzero"`  // the first step runs
	FinishedAt time.Time `json:"finished_at,omitzero"` // zero while it moves
	SeenAt     time.Time `json:"seen_at,omitzero"`     // when the cluster last told of it

	// TroubleAt is since when the cluster refuses to tell of it; zero: it does not.
	TroubleAt time.Time `json:"trouble_at,omitzero"`

	// LogDone: the whole log is kept. Until then the thread has no excerpt.
	LogDone bool `json:"log_done,omitempty"`
	// LogLines is how many lines the log has, once it is kept as a whole.
	LogLines int `json:"log_lines,omitempty"`
	// Tail is the newest lines of the log, for the thread.
	Tail []string `json:"tail,omitempty"`

	// Place in our queue, from 1; 0: not in it. Storage fills it in.
	Place int `json:"-"`
	// LogURL is the page of our viewer; "" where there is none.
	LogURL        string `json:"-"`
	Version       int64  `json:"-"` // grows with every change that somebody may see
	DrivenVersion int64  `json:"-"` // what dispatch has looked at
}

// BuildPhase is how far we have come with a build.
type BuildPhase int

// The phases.
const (
	PhaseQueued  BuildPhase = iota // waits for its turn; there is no PipelineRun
	PhaseStarted                   // its turn has come; the PipelineRun is made, or will be
	PhaseMade                      // the cluster has the PipelineRun
	PhaseEnded                     // final; nothing is left to do but its log and its deployment
)

// BuildCancel is the wish that a build ends.
type BuildCancel struct {
	Wanted bool   `json:"wanted,omitempty"`
	By     Person `json:"by,omitzero"`
	Newer  int64  `json:"newer,omitempty"` // the build that superseded it; 0: a person did it
}

// LogKey names the log of the build: all steps, in order.
func (b *Build) LogKey() LogKey { return LogKey{Kind: BuildLog, Project: b.Project, ID: b.ID} }

// LogSubject is what the log of the build is the log of. The address at GitLab is left to the caller.
func (b *Build) LogSubject() LogSubject {
	return LogSubject{
		Name: fmt.Sprintf("%s · build #%d", b.App, b.ID), Status: b.Status.Status(), Ref: b.Spec.Branch, Commit: b.Spec.Commit,
		StartedAt: b.StartedAt, FinishedAt: b.FinishedAt, Duration: b.Duration(),
	}
}

// ShortSHA is the first eight characters of the commit, as GitLab shows it.
func (b *Build) ShortSHA() string { return ShortSHA(b.Spec.Commit) }

// ImageByDigest is the image as it is deployed, repository@sha256:…; "" until it is pushed.
func (b *Build) ImageByDigest() string {
	if b.Digest == "" {
		return ""
	}
	return Repository(b.Spec.Image) + "@" + b.Digest
}

// CanCancel reports whether Cancel is offered: Pending or Building, and nobody has asked for it.
func (b *Build) CanCancel() bool { return !b.Status.Final() && !b.Cancel.Wanted }

// CanRebuild reports whether Rebuild is offered.
func (b *Build) CanRebuild() bool { return b.Status.Final() }

// CanDeploy reports whether Deploy is offered: there is an image.
func (b *Build) CanDeploy() bool { return b.Status == BuildSucceeded && b.Digest != "" }

// Duration is how long the build ran, without its wait in the queue; 0 while it runs.
func (b *Build) Duration() time.Duration {
	if b.StartedAt.IsZero() || b.FinishedAt.IsZero() {
		return 0
	}
	return max(0, b.FinishedAt.Sub(b.StartedAt))
}

// FailedStep returns the step that the build failed in.
func (b *Build) FailedStep() (Step, bool) { return failedStep(b.Steps) }

func failedStep(steps []Step) (Step, bool) {
	i := slices.IndexFunc(steps, func(s Step) bool { return s.Status == Failed })
	if i < 0 {
		return Step{}, false
	}
	return steps[i], true
}

// Step is one step of a build or deployment. Its status is one of GitLab's words, so that steps
// are shown as jobs are: Pending, Running, Success, Failed, Canceled, Skipped.
type Step struct {
	Task       string    `json:"task"` // the name of the task in its pipeline
	Name       string    `json:"name"`
	Status     Status    `json:"status"`
	Reason     string    `json:"reason,omitempty"`  // a word for machines
	Message    string    `json:"message,omitempty"` // a sentence for people
	StartedAt  time.Time `json:"started_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	// FirstLine is its first line in the log, from 1; 0: it has written nothing yet.
	FirstLine int      `json:"first_line,omitempty"`
	Log       LogState `json:"log,omitempty"`
	Excerpt   Excerpt  `json:"excerpt,omitzero"`
}

// Key tells the step from the others of its run.
func (s Step) Key() string { return s.Task + "/" + s.Name }

// Title is what people call the step: the header of its section in the log.
func (s Step) Title() string {
	if s.Name == "" || s.Name == s.Task {
		return s.Task
	}
	return s.Task + " · " + s.Name
}

// Duration is how long the step ran; 0 while it runs.
func (s Step) Duration() time.Duration {
	if s.StartedAt.IsZero() || s.FinishedAt.IsZero() {
		return 0
	}
	return max(0, s.FinishedAt.Sub(s.StartedAt))
}

// ClusterRun is what the cluster tells of a PipelineRun, all of it: it is the truth of its moment.
type ClusterRun struct {
	Namespace, Name string
	Status          BuildStatus
	Reason, Message string
	Cancelling      bool
	Steps           []Step // in order; without excerpts
	Results         map[string]string
	CreatedAt       time.Time
	StartedAt       time.Time // of the first step that ran
	FinishedAt      time.Time
}

// Observe takes what the cluster tells of the build's PipelineRun. It reports whether anything
// changed that somebody may see. A state that was final stays: what the cluster says later (a
// PipelineRun that was deleted) is no news.
func (b *Build) Observe(c ClusterRun, now time.Time) bool {
	if b.Status.Final() {
		return false
	}
	old := *b
	b.Phase = max(b.Phase, PhaseMade)
	b.Status, b.Reason, b.Message = c.Status, c.Reason, c.Message
	b.Steps = mergeSteps(b.Steps, c.Steps)
	setString(&b.Digest, c.Results[ResultDigest])
	setString(&b.Dockerfile, c.Results[ResultDockerfile])
	setTime(&b.StartedAt, c.StartedAt)
	if c.Status.Final() {
		b.Phase, b.FinishedAt = PhaseEnded, c.FinishedAt
		if b.FinishedAt.IsZero() {
			b.FinishedAt = now
		}
		closeSteps(b.Steps, c.Status)
	}
	changed := b.Phase != old.Phase || b.Status != old.Status || b.Reason != old.Reason || b.Message != old.Message || b.Digest != old.Digest ||
		b.Dockerfile != old.Dockerfile || !b.StartedAt.Equal(old.StartedAt) || !slices.EqualFunc(b.Steps, old.Steps, sameStep)
	if changed {
		b.SeenAt = now
	}
	return changed
}

// Names of the results of the Pipeline kovra-build (manifests/tekton).
const (
	ResultImage      = "IMAGE_URL"
	ResultDigest     = "IMAGE_DIGEST"
	ResultCommit     = "COMMIT"
	ResultDockerfile = "DOCKERFILE"
)

// End ends a build without a word of the cluster: it never was there, is lost, or could not be made.
func (b *Build) End(s BuildStatus, reason, message string, now time.Time) {
	b.Status, b.Reason, b.Message = s, reason, message
	b.Phase, b.FinishedAt = PhaseEnded, now
	closeSteps(b.Steps, s)
}

// closeSteps ends the steps of which the cluster told no end: their pods are gone. Those that had not begun were skipped.
func closeSteps(steps []Step, end BuildStatus) {
	for i := range steps {
		switch s := &steps[i]; {
		case s.Status.Final():
		case end == BuildSucceeded:
			s.Status = Success
		case s.StartedAt.IsZero():
			s.Status = Skipped
		default:
			s.Status = Canceled
		}
	}
}

// mergeSteps takes the cluster's steps and keeps what we know of their logs. A step that the
// cluster does not tell of any more, since its pod is gone, stays as it was. One that never ran does not, if the
// cluster tells of others of its task: as long as the steps of a task are not known, the task is told of as one step.
func mergeSteps(old, told []Step) []Step {
	known, tasks := map[string]Step{}, map[string]bool{}
	for _, s := range told {
		tasks[s.Task] = true
	}
	for _, s := range old {
		known[s.Key()] = s
	}
	out := make([]Step, 0, max(len(old), len(told)))
	for _, s := range told {
		if was, ok := known[s.Key()]; ok {
			s.FirstLine, s.Log, s.Excerpt = was.FirstLine, was.Log, was.Excerpt
			s.StartedAt = cmpTime(s.StartedAt, was.StartedAt)
			s.FinishedAt = cmpTime(s.FinishedAt, was.FinishedAt)
			delete(known, s.Key())
		}
		out = append(out, s)
	}
	for _, s := range old {
		guess := tasks[s.Task] && s.StartedAt.IsZero() && s.FirstLine == 0
		if _, gone := known[s.Key()]; gone && !guess {
			out = append(out, s)
		}
	}
	return out
}

func cmpTime(told, was time.Time) time.Time {
	if told.IsZero() {
		return was
	}
	return told
}

func sameStep(a, b Step) bool {
	return a.Key() == b.Key() && a.Status == b.Status && a.Reason == b.Reason && a.Message == b.Message &&
		a.StartedAt.Equal(b.StartedAt) && a.FinishedAt.Equal(b.FinishedAt)
}

// Bounds of the names of PipelineRuns.
const (
	runNameMost = 40 // characters
	runNameRoom = 18 // of the app's name among them
)

// RunName is the name of a PipelineRun: valid in Kubernetes, also as a label, at most 40 characters, and its own
// by the salt, 8 characters of a-z and 0-9, also among those of an earlier database. kind is "b" or "d".
func RunName(app, kind string, id int64, salt string) string {
	end := fmt.Sprintf("-%s%d-%s", kind, id, salt)
	room := min(len(app), runNameRoom, runNameMost-len(end))
	return strings.TrimRight(app[:room], "-") + end
}

// NewBuild is a build of a commit by the settings as they are now. Image and clone address are decided
// when its turn comes.
func NewBuild(s BuildSettings, project int64, ref string, tag bool, c Commit) Build {
	return Build{
		App: s.App, Project: project, Title: c.Title, Author: c.Author,
		Spec: BuildSpec{
			Branch: ref, Tag: tag, Commit: c.SHA, Dockerfile: s.Dockerfile, Context: s.Context,
			Args: slices.Clone(s.Args), Secrets: slices.Clone(s.Secrets),
			Namespace: s.Namespace, ServiceAccount: s.ServiceAccount, Registry: s.Registry,
			Deploy: s.AutoDeploy && !s.Paused, Target: s.Target, AllowManaged: s.AllowManaged,
		},
	}
}

// Words of ours for why a build or deployment ended without the cluster.
const (
	ReasonSuperseded = "Superseded"
	ReasonCancelled  = "Cancelled"
	ReasonLost       = "Lost"        // the PipelineRun was deleted
	ReasonRefused    = "Refused"     // the cluster did not accept it, or would not have
	ReasonSilent     = "Unavailable" // the cluster does not answer
)

// ClusterRef names a PipelineRun. An empty namespace is the default one.
type ClusterRef struct{ Namespace, Name string }

// Ref names the build's PipelineRun.
func (b *Build) Ref() ClusterRef { return ClusterRef{b.Spec.Namespace, b.Name} }

// StepLine is one line that a step wrote.
type StepLine struct {
	Task, Step string
	// Begins marks the first line of a step: a title of ours, not the step's own text.
	Begins bool
	Text   string // as it was written, without its line feed; not cleaned, not masked
	// Cursor is where to read on after this line.
	Cursor string
}
