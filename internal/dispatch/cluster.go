package dispatch

import (
	"context"

	"kovra.dev/chatops/internal/kovra"
)

// Cluster runs builds and deployments as PipelineRuns. Its errors are [kovra.Error]s.
type Cluster interface {
	// StartBuild makes the PipelineRun of a build. Class: by name; a second call, also from another life of the
	// program, finds the first one's object and returns nil. An error of kind Invalid or Denied is the cluster's last word.
	StartBuild(ctx context.Context, b kovra.Build) error
	// StartDeployment makes the PipelineRun of a deployment, likewise.
	StartDeployment(ctx context.Context, d kovra.Deployment) error
	// Cancel asks a PipelineRun to end. Class: by precondition; one that has ended, or is gone, is no error.
	Cancel(ctx context.Context, r kovra.ClusterRef) error
	// Look is what the cluster knows of a PipelineRun now; an error of kind NotFound when it has none.
	Look(ctx context.Context, r kovra.ClusterRef) (kovra.ClusterRun, error)
}

// Steps reads what the steps of a PipelineRun write.
type Steps interface {
	// Follow calls each for every line of every step, in the order of the steps, from the cursor on ("": from the first
	// line), and goes on while the run does: lines come as they are written. No line is left out or told twice. It returns
	// nil once the run has ended, or is gone, and everything that can be had was told; an error of kind Unavailable when it
	// should be called again later, with the last cursor; and the error of each.
	Follow(ctx context.Context, r kovra.ClusterRef, cursor string, each func(kovra.StepLine) error) error
}

// Targets looks at the Deployments that images are deployed to.
type Targets interface {
	// Target is a Deployment as it is now; NotFound when there is none, Denied when we may not see it.
	Target(ctx context.Context, t kovra.DeployTarget) (kovra.TargetState, error)
}
