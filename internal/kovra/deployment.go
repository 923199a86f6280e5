package kovra

import (
	"fmt"
	"slices"
	"time"
)

// DeployTarget is the Deployment that shall run an app's image.
type DeployTarget struct {
	Namespace  string `json:"namespace,omitempty"`
	Deployment string `json:"deployment,omitempty"`
	Container  string `json:"container,omitempty"`
}

// IsZero reports whether no target is set.
func (t DeployTarget) IsZero() bool { return t == DeployTarget{} }

// String names the Deployment for people, as in prod/web (container app).
func (t DeployTarget) String() string {
	switch {
	case t.IsZero():
		return "none"
	case t.Container == "":
		return t.Namespace + "/" + t.Deployment
	default:
		return fmt.Sprintf("%s/%s (container %s)", t.Namespace, t.Deployment, t.Container)
	}
}

// Same reports whether both name the same Deployment, whatever its container.
func (t DeployTarget) Same(o DeployTarget) bool {
	return t.Namespace == o.Namespace && t.Deployment == o.Deployment
}

// Name is the Deployment without its container, as in prod/web.
func (t DeployTarget) Name() string { return t.Namespace + "/" + t.Deployment }

// DeploymentKind says why an image is deployed.
type DeploymentKind string

// The kinds.
const (
	AutoDeploy DeploymentKind = "auto"     // after its build
	Deploy     DeploymentKind = "deploy"   // somebody asked for it
	RollBack   DeploymentKind = "rollback" // to the image before
)

// Deployment is one change of an app's Deployment to an image: a PipelineRun of its own, shown in the
// thread of a build. In its own words: Building means rolling out, Succeeded rolled out.
type Deployment struct {
	ID    int64  `json:"-"` // ours
	Build int64  `json:"-"` // in whose thread it is shown
	App   string `json:"-"`

	Name   string         `json:"name"` // of the PipelineRun
	Kind   DeploymentKind `json:"kind"`
	Target DeployTarget   `json:"target"`
	Image  string         `json:"image"` // by digest
	// From is the image that was there before, as far as it is known.
	From string `json:"from,omitempty"`
	// AllowManaged: also where Argo CD, Flux or Helm own the Deployment.
	AllowManaged bool   `json:"allow_managed,omitempty"`
	By           Person `json:"by,omitzero"`

	Status          BuildStatus `json:"status"`
	Phase           BuildPhase  `json:"phase"`
	Reason, Message string
	Steps           []Step  `json:"steps,omitempty"`
	Excerpt         Excerpt `json:"excerpt,omitzero"` // of the failed step

	CreatedAt  time.Time `json:"created_at,omitzero"`
	QueuedAt   time.Time `json:"queued_at,omitzero"` // its turn came
	StartedAt  time.Time `json:"started_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	SeenAt     time.Time `json:"seen_at,omitzero"` // when the cluster last told of it
	// TroubleAt is since when the cluster refuses to tell of it; zero: it does not.
	TroubleAt time.Time `json:"trouble_at,omitzero"`
	LogDone   bool      `json:"log_done,omitempty"`

	LogURL        string `json:"-"`
	Version       int64  `json:"-"`
	DrivenVersion int64  `json:"-"`
}

// ResultPreviousImage is the result of the Pipeline kovra-deploy that names the image before.
const ResultPreviousImage = "PREVIOUS_IMAGE"

// LogKey names the log of the deployment.
func (d *Deployment) LogKey() LogKey { return LogKey{Kind: DeploymentLog, ID: d.ID} }

// LogSubject is what the log of the deployment is the log of.
func (d *Deployment) LogSubject() LogSubject {
	what := "deploy to"
	if d.Kind == RollBack {
		what = "roll back"
	}
	return LogSubject{
		Name: fmt.Sprintf("%s · %s %s", d.App, what, d.Target), Status: d.Status.Status(), Build: d.Build,
		StartedAt: d.StartedAt, FinishedAt: d.FinishedAt, Duration: d.Duration(),
	}
}

// Duration is how long it took; 0 while it rolls out.
func (d *Deployment) Duration() time.Duration {
	if d.StartedAt.IsZero() || d.FinishedAt.IsZero() {
		return 0
	}
	return max(0, d.FinishedAt.Sub(d.StartedAt))
}

// Ref names the deployment's PipelineRun. It lives in the default namespace of builds, whose account may change Deployments, also
// where the app is built in one of its own.
func (d *Deployment) Ref() ClusterRef { return ClusterRef{Name: d.Name} }

// CanRollBack reports whether Roll back is offered: it changed the image, or tried to, and what was before is known.
func (d *Deployment) CanRollBack() bool {
	return d.Status.Final() && d.From != "" && d.From != d.Image
}

// Observe takes what the cluster tells of the deployment's PipelineRun; see [Build.Observe].
func (d *Deployment) Observe(c ClusterRun, now time.Time) bool {
	if d.Status.Final() {
		return false
	}
	old := *d
	d.Phase = max(d.Phase, PhaseMade)
	d.Status, d.Reason, d.Message = c.Status, c.Reason, c.Message
	d.Steps = mergeSteps(d.Steps, c.Steps)
	setString(&d.From, c.Results[ResultPreviousImage])
	setTime(&d.StartedAt, c.StartedAt)
	if c.Status.Final() {
		d.Phase, d.FinishedAt = PhaseEnded, c.FinishedAt
		if d.FinishedAt.IsZero() {
			d.FinishedAt = now
		}
		closeSteps(d.Steps, c.Status)
	}
	changed := d.Phase != old.Phase || d.Status != old.Status || d.Reason != old.Reason || d.Message != old.Message || d.From != old.From ||
		!d.StartedAt.Equal(old.StartedAt) || !slices.EqualFunc(d.Steps, old.Steps, sameStep)
	if changed {
		d.SeenAt = now
	}
	return changed
}

// FailedStep returns the step that the deployment failed in.
func (d *Deployment) FailedStep() (Step, bool) { return failedStep(d.Steps) }

// End ends a deployment without a word of the cluster; see [Build.End].
func (d *Deployment) End(s BuildStatus, reason, message string, now time.Time) {
	d.Status, d.Reason, d.Message = s, reason, message
	d.Phase, d.FinishedAt = PhaseEnded, now
	closeSteps(d.Steps, s)
}

// TargetState is a Deployment as the cluster has it now.
type TargetState struct {
	Image string // that the container runs
	// Owner is who manages the Deployment (Argo CD, Flux, Helm); "": nobody that we know of.
	Owner      string
	Containers []string
}
