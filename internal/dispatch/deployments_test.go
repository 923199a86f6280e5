package dispatch

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// built is a build whose image was pushed.
func (s *shop) built(n int) kovra.Build {
	s.t.Helper()
	b := s.add(n)
	s.pump()
	s.on(b).succeeds(s.now)
	s.sweep()
	return s.build(b.ID)
}

// deploys records a deployment to the usual target.
func (s *shop) deploys(kind kovra.DeploymentKind, build int64) (d kovra.Deployment) {
	s.t.Helper()
	s.update(func(tx *storage.Tx) (err error) {
		d, err = tx.AddDeployment(kovra.Deployment{Build: build, App: "web", Kind: kind, Target: shopTarget, Image: registry + "/web@sha256:1"})
		return err
	})
	return d
}

func (s *shop) deployment(id int64) (d kovra.Deployment) {
	s.t.Helper()
	s.update(func(tx *storage.Tx) (err error) {
		d, err = tx.Deployment(id)
		return err
	})
	return d
}

// phases are those of deployments, by status and phase.
func (s *shop) phases(ids ...int64) []kovra.BuildPhase {
	var out []kovra.BuildPhase
	for _, id := range ids {
		out = append(out, s.deployment(id).Phase)
	}
	return out
}

// rolls has a deployment end.
func (s *shop) rolls(d kovra.Deployment, status kovra.BuildStatus) {
	s.t.Helper()
	r := s.runs[d.Name]
	if r == nil {
		s.t.Fatalf("deployment %d was not made: %+v", d.ID, s.deployment(d.ID))
	}
	r.Status, r.FinishedAt = status, s.now
	s.sweep()
}

// One at a time, the older first; of automatic ones that wait only the newest is made.
func TestDeploymentsTakeTurns(t *testing.T) {
	s := newShop(t)
	b := s.built(1)
	s.deploying()
	first, auto, asked, newest := s.deploys(kovra.Deploy, b.ID), s.deploys(kovra.AutoDeploy, b.ID), s.deploys(kovra.Deploy, b.ID), s.deploys(kovra.AutoDeploy, b.ID)
	other := first
	s.update(func(tx *storage.Tx) (err error) {
		o := kovra.Deployment{Build: b.ID, App: "web", Kind: kovra.Deploy, Target: shopTarget, Image: "x"}
		o.Target.Deployment = "worker"
		s.targets["shop/worker"] = s.targets["shop/web"]
		other, err = tx.AddDeployment(o)
		return err
	})
	s.sweep()
	want := []kovra.BuildPhase{kovra.PhaseMade, kovra.PhaseEnded, kovra.PhaseQueued, kovra.PhaseQueued, kovra.PhaseMade}
	if got := s.phases(first.ID, auto.ID, asked.ID, newest.ID, other.ID); !slices.Equal(got, want) {
		t.Errorf("at first %v, want %v", got, want)
	}
	if d := s.deployment(auto.ID); d.Status != kovra.BuildCancelled || d.Reason != kovra.ReasonSuperseded || !strings.Contains(d.Message, "Superseded by") || !d.LogDone {
		t.Errorf("superseded: %+v", d)
	}
	s.rolls(first, kovra.BuildFailed)
	s.rolls(asked, kovra.BuildSucceeded)
	s.rolls(newest, kovra.BuildSucceeded)
	s.rolls(other, kovra.BuildSucceeded)
	if len(s.starts) != 5 { // the build, and four of them
		t.Errorf("made %q", s.starts)
	}
	s.rests()
}

// A failed rollout is explained by what its step wrote, with the viewer's numbers.
func TestDeploymentFails(t *testing.T) {
	s := newShop(t)
	b := s.built(1)
	d := s.deploys(kovra.Deploy, b.ID)
	s.sweep()
	r := s.runs[d.Name]
	r.step("deploy", "patch", kovra.Success)
	r.step("deploy", "rollout", kovra.Failed)
	r.writes("deploy", "patch", "was old@sha256:0")
	r.writes("deploy", "rollout", "waiting", "ERROR: Failed to pull image: ErrImagePull", "pod web-1 says: no such manifest")
	r.Message = "The image cannot be pulled."
	s.rolls(d, kovra.BuildFailed)
	d = s.deployment(d.ID)
	log, lines := s.text(d.LogKey())
	if !d.LogDone || !log.Done || log.Key.Kind != kovra.DeploymentLog || d.Message != "The image cannot be pulled." || !d.CanRollBack() {
		t.Fatalf("ended: %+v, log %+v", d, log)
	}
	want := []string{"# deploy · patch", "was old@sha256:0", "# deploy · rollout", "waiting", "ERROR: Failed to pull image: ErrImagePull", "pod web-1 says: no such manifest"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("log (-want +got)\n%s", diff)
	}
	if d.Excerpt.First != 5 || d.Steps[1].FirstLine != 3 || d.Steps[1].Log != kovra.LogCut {
		t.Errorf("excerpt %+v, steps %+v", d.Excerpt, d.Steps)
	}
	for _, l := range d.Excerpt.Lines {
		if l.N > 0 && lines[l.N-1] != l.Text {
			t.Errorf("line %d of the viewer is %q, not %q", l.N, lines[l.N-1], l.Text)
		}
	}
	s.rests()
}

// What cannot be deployed ends with the words that say what to mend; what may pass is tried again.
func TestDeploymentNotStarted(t *testing.T) {
	for name, c := range map[string]struct {
		break_ func(s *shop)
		want   string
	}{
		"no such Deployment": {func(s *shop) { clear(s.targets) }, "There is no Deployment shop/web."},
		"belongs to another": {func(s *shop) {
			s.targets["shop/web"] = kovra.TargetState{Image: "x", Owner: "Argo CD", Containers: []string{"app"}}
		}, "The Deployment shop/web belongs to Argo CD, which would undo the change. Deploy it there, or allow it in the settings of builds."},
		"no such container": {func(s *shop) {
			s.targets["shop/web"] = kovra.TargetState{Image: "x", Containers: []string{"a", "b"}}
		}, `The Deployment shop/web has no container "app"; it has a, b.`},
		"refused":    {func(s *shop) { s.startErr = always(errDenied) }, "The bot may not do this."},
		"stays away": {func(s *shop) { s.startErr = always(errBusy) }, "GitLab could not be reached."},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			b := s.built(1)
			c.break_(s)
			d := s.deploys(kovra.Deploy, b.ID)
			s.sweep()
			s.later(10 * time.Minute)
			s.sweep()
			if d = s.deployment(d.ID); d.Status != kovra.BuildFailed || d.Message != c.want || !d.LogDone {
				t.Errorf("%s %q, want %q", d.Status, d.Message, c.want)
			}
			s.rests()
		})
	}
}

// A Deployment that we may not see is deployed all the same: the account of the cluster may.
func TestDeploymentUnseen(t *testing.T) {
	s := newShop(t)
	s.targetErr = errDenied
	b := s.built(1)
	d := s.deploys(kovra.Deploy, b.ID)
	s.sweep()
	r := s.runs[d.Name]
	if r == nil {
		t.Fatalf("%+v", s.deployment(d.ID))
	}
	r.Results = map[string]string{kovra.ResultPreviousImage: "old@sha256:7"}
	s.rolls(d, kovra.BuildSucceeded)
	if d = s.deployment(d.ID); d.From != "old@sha256:7" {
		t.Errorf("from %q", d.From)
	}
}

func TestDeploymentLost(t *testing.T) {
	s := newShop(t)
	b := s.built(1)
	d := s.deploys(kovra.Deploy, b.ID)
	s.sweep()
	delete(s.runs, d.Name)
	s.sweep()
	if d = s.deployment(d.ID); d.Status.Final() {
		t.Errorf("lost too early: %+v", d)
	}
	s.later(replicas)
	s.sweep()
	if d = s.deployment(d.ID); d.Status != kovra.BuildFailed || d.Reason != kovra.ReasonLost || d.Message == "" || !d.LogDone {
		t.Errorf("lost: %+v", d)
	}
	s.rests()
}

// A right that was taken away may be given back; a deployment of which nothing can be known for long ends, so that its target is free.
func TestDeploymentUntold(t *testing.T) {
	s := newShop(t)
	b := s.built(1)
	d := s.deploys(kovra.Deploy, b.ID)
	s.sweep()
	ref := kovra.Ref{Kind: kovra.RefDeployment, ID: d.ID}
	s.lookErr = always(errDenied)
	s.pass(ref)
	if d = s.deployment(d.ID); d.Status.Final() || d.Message != "The bot may not do this." {
		t.Errorf("while nothing is told: %s %q", d.Status, d.Message)
	}
	s.lookErr = nil
	s.pass(ref)
	if d = s.deployment(d.ID); d.Message != "" || !d.TroubleAt.IsZero() {
		t.Errorf("mended: %+v", d)
	}
	s.lookErr = always(errDenied)
	s.pass(ref)
	s.later(s.d.opts.GiveUp)
	s.pass(ref)
	if d = s.deployment(d.ID); d.Status != kovra.BuildFailed || d.Reason != kovra.ReasonLost || !strings.Contains(d.Message, "The bot may not do this.") {
		t.Errorf("given up: %s %s %q", d.Status, d.Reason, d.Message)
	}
}

// An automatic deployment that waits while a roll back pauses them is not made.
func TestDeploymentPaused(t *testing.T) {
	s := newShop(t)
	b := s.built(1)
	s.deploying()
	running := s.deploys(kovra.Deploy, b.ID)
	s.sweep()
	waits := s.deploys(kovra.AutoDeploy, b.ID)
	s.sweep()
	s.set("web", func(v *kovra.BuildSettings) { v.Paused = true })
	s.rolls(running, kovra.BuildSucceeded)
	if d := s.deployment(waits.ID); d.Status != kovra.BuildCancelled || d.Message != "Auto-deploy has been paused since a roll back." {
		t.Errorf("%s %q", d.Status, d.Message)
	}
}
