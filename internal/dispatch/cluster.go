package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
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

// buildsOff is why nothing is built.
const buildsOff = "Builds are off: no Kubernetes cluster is configured (KOVRA_KUBECONFIG)."

const (
	// lookSoon is the pause before something is looked at that was made, or asked for, just now.
	lookSoon = time.Second
	// patience is how long a cancel waits until the log is followed: with its pods a run's log goes.
	patience = 5 * time.Second
	// askFollower is the pause between two looks whether it is.
	askFollower = 200 * time.Millisecond
)

// refusal judges an error of the cluster about something that it was to make: a word for machines, a sentence for
// people, and whether that is the end. since is when it was first to be made.
func (d *Dispatch) refusal(err error, since time.Time) (reason, message string, last bool) {
	switch kovra.KindOf(err) {
	case kovra.Invalid, kovra.Denied, kovra.NotFound, kovra.Conflict:
		if !errors.Is(err, kovra.ErrToken) {
			return kovra.ReasonRefused, kovra.PublicText(err), true
		}
	default: // it may pass
	}
	return kovra.ReasonSilent, kovra.PublicText(err), d.waited(since)
}

// waited reports whether something has been tried for so long that it is given up. While we were not there nothing was.
func (d *Dispatch) waited(since time.Time) bool {
	if since.Before(d.born) {
		since = d.born
	}
	return d.db.Now().Sub(since) >= d.opts.GiveUp
}

// follow has the steps of a run followed. That logs are in trouble holds up no build.
func (d *Dispatch) follow(ctx context.Context, key kovra.LogKey, subject kovra.LogSubject) kovra.Log {
	log, err := d.logs.Follow(ctx, key, subject)
	if err != nil {
		d.opts.Log.WarnContext(ctx, "cannot keep a log", "log", key.String(), "err", err)
	}
	return log
}

// cancelRun asks a PipelineRun to end. Class: by precondition; the caller has seen that it goes on. It waits a little for
// the log to be followed, since the pods go with the run. after says when to look again.
func (d *Dispatch) cancelRun(ctx context.Context, r kovra.ClusterRef, log kovra.Log) (after time.Duration, err error) {
	if log.ID != 0 && !log.Done && !d.following.ready(log.ID, d.db.Now()) {
		d.logs.KickSteps(log.ID)
		return askFollower, nil
	}
	if err := d.world.Cluster.Cancel(ctx, r); err != nil {
		return 0, fmt.Errorf("cancel %s: %w", r.Name, err)
	}
	return d.opts.LookAgain, nil
}

// again is after what time a run is looked at though no notice came. Why a pod does not start is told by events alone, of which
// no notice comes.
func (d *Dispatch) again(s kovra.BuildStatus) time.Duration {
	if s == kovra.BuildPending {
		return min(d.opts.LookAgain, d.opts.LookPending)
	}
	return d.opts.LookAgain
}

// followed knows the step logs that are followed now.
type followed struct {
	mu    sync.Mutex
	now   map[int64]bool
	asked map[int64]time.Time // when somebody first waited for one
}

func newFollowed() *followed {
	return &followed{now: map[int64]bool{}, asked: map[int64]time.Time{}}
}

// ready reports whether the log is followed, or was waited for long enough.
func (f *followed) ready(log int64, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	since, waiting := f.asked[log]
	switch {
	case f.now[log] || waiting && now.Sub(since) >= patience:
		delete(f.asked, log)
		return true
	case !waiting:
		f.asked[log] = now
	}
	return false
}

func (f *followed) begin(log int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now[log] = true
}

func (f *followed) end(log int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.now, log)
}

// Overdue returns what has to be looked at though no notice may have told of it: builds and deployments under way
// of which nothing was heard for Options.LookAgain, and step logs that are not whole. The sweep reminds the loops of
// them, at the start too.
func (d *Dispatch) Overdue(ctx context.Context) ([]kovra.Ref, error) {
	var refs []kovra.Ref
	quiet := d.db.Now().Add(-d.opts.LookAgain)
	before := func(at time.Time) bool { return !at.After(quiet) || at.Before(d.born) }
	err := d.db.Read(ctx, func(tx *storage.Tx) error {
		builds, err := tx.OpenBuilds()
		if err != nil {
			return err
		}
		for i := range builds {
			if before(builds[i].SeenAt) {
				refs = append(refs, kovra.Ref{Kind: kovra.RefBuild, ID: builds[i].ID})
			}
		}
		deployments, err := tx.OpenDeployments()
		for i := range deployments {
			if before(deployments[i].SeenAt) {
				refs = append(refs, kovra.Ref{Kind: kovra.RefDeployment, ID: deployments[i].ID})
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	logs, err := d.logs.OpenSteps(ctx)
	for _, id := range logs {
		refs = append(refs, kovra.Ref{Kind: kovra.RefStepLog, ID: id})
	}
	return refs, err
}
