package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

var alice = kovra.Person{ID: "U1", Name: "Alice"}

// asks proposes an action about web and has it carried out.
func (s *shop) asks(a kovra.Action) kovra.Action {
	s.t.Helper()
	a.App, a.By = "web", alice
	id := s.propose(a)
	s.pump()
	return s.action(id)
}

func (s *shop) settings() (v kovra.BuildSettings) {
	s.t.Helper()
	s.update(func(tx *storage.Tx) (err error) {
		v, err = tx.BuildSettings("web")
		return err
	})
	return v
}

// The branch that nobody named is that of the settings, else main, else the project's own; the answer names it.
func TestActBuild(t *testing.T) {
	for name, c := range map[string]struct {
		ref      string
		branch   string
		has      []string
		want     string
		kind     kovra.ErrorKind
		sentence string
	}{
		"settings":       {branch: "release", has: []string{"release", "main"}, want: "release"},
		"main":           {branch: "release", has: []string{"main", "trunk"}, want: "main"},
		"project's own":  {branch: "release", has: []string{"trunk"}, want: "trunk"},
		"named":          {ref: "dev", branch: "release", has: []string{"dev", "release"}, want: "dev"},
		"named, missing": {ref: "dev", branch: "main", has: []string{"main"}, kind: kovra.NotFound, sentence: "group/web has no branch called dev."},
		"none":           {branch: "release", kind: kovra.NotFound, sentence: "group/web has no branch called release."},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.set("web", func(v *kovra.BuildSettings) { v.Branch, v.Args = c.branch, []kovra.BuildArg{{Key: "MODE", Value: "x"}} })
			s.update(func(tx *storage.Tx) error {
				p, err := tx.Project(web)
				p.DefaultBranch = "trunk"
				return errors.Join(err, tx.SaveProject(p))
			})
			clear(s.commits)
			for i, ref := range c.has {
				s.commits[ref] = commit(10 + i)
			}
			a := s.asks(kovra.Action{Kind: kovra.ActBuild, Params: kovra.Params{Ref: c.ref}})
			if c.kind != "" {
				wantEnd(t, a, kovra.ActionFailed, c.kind)
				if a.Outcome.Reason != c.sentence {
					t.Errorf("reason %q, want %q", a.Outcome.Reason, c.sentence)
				}
				return
			}
			wantEnd(t, a, kovra.ActionDone, "")
			b := s.build(a.Outcome.Build)
			if a.Outcome.Ref != c.want || a.Outcome.Commit != s.commits[c.want].SHA || b.Spec.Branch != c.want || b.Spec.Commit != a.Outcome.Commit {
				t.Errorf("outcome %+v, build %+v; want %s", a.Outcome, b.Spec, c.want)
			}
			if b.Trigger != kovra.ByHand || b.By != alice || b.Title != s.commits[c.want].Title || len(b.Spec.Args) != 1 {
				t.Errorf("build %+v", b)
			}
		})
	}
}

// Every action about builds says why it is not possible.
func TestBuildActionsRefused(t *testing.T) {
	all := []kovra.ActionKind{
		kovra.ActBuild, kovra.ActCancelBuild, kovra.ActRebuild, kovra.ActDeploy, kovra.ActRollBack, kovra.ActBuildSetting, kovra.ActResumeDeploy,
	}
	t.Run("builds are off", func(t *testing.T) {
		s := newShop(t)
		b := s.built(1)
		s.d.world.Cluster = nil
		for _, kind := range all {
			a := s.asks(kovra.Action{Kind: kind, Build: b.ID})
			wantEnd(t, a, kovra.ActionFailed, kovra.Conflict)
			if a.Outcome.Reason != buildsOff {
				t.Errorf("%s: %q", kind, a.Outcome.Reason)
			}
		}
	})
	t.Run("denied", func(t *testing.T) {
		s := newShop(t)
		b := s.built(1)
		s.gate = errDenied
		for _, kind := range all {
			wantEnd(t, s.asks(kovra.Action{Kind: kind, Build: b.ID, Params: kovra.Params{Sure: true}}), kovra.ActionFailed, kovra.Denied)
		}
		if len(s.starts) != 1 {
			t.Errorf("made %q", s.starts)
		}
	})
	t.Run("of another app", func(t *testing.T) {
		s := newShop(t)
		s.link("api", 8)
		b := s.built(1)
		s.update(func(tx *storage.Tx) error {
			o, _, err := tx.AddBuild(kovra.NewBuild(kovra.DefaultBuildSettings("api"), 8, "main", false, commit(5)), "", false)
			b = o
			return err
		})
		for _, kind := range []kovra.ActionKind{kovra.ActCancelBuild, kovra.ActRebuild, kovra.ActDeploy} {
			a := s.asks(kovra.Action{Kind: kind, Build: b.ID})
			wantEnd(t, a, kovra.ActionFailed, kovra.Conflict)
			if want := fmt.Sprintf("Build #%d is of api, not of web.", b.ID); a.Outcome.Reason != want {
				t.Errorf("%s: %q, want %q", kind, a.Outcome.Reason, want)
			}
		}
	})
	t.Run("not now", func(t *testing.T) {
		s := newShop(t)
		open, ended := s.add(1), s.built(2)
		for _, c := range []struct {
			kind  kovra.ActionKind
			build int64
			want  string
		}{
			{kovra.ActRebuild, open.ID, "Build #1 is Pending now; only one that has ended can be built again."},
			{kovra.ActDeploy, open.ID, "Build #1 is Pending and has no image that could be deployed."},
			{kovra.ActCancelBuild, ended.ID, "Build #2 is Succeeded now; only a pending or building one can be cancelled."},
			{kovra.ActDeploy, ended.ID, "web has no Deployment to update yet: name it in the settings of builds."},
			{kovra.ActRollBack, ended.ID, "There is nothing to roll back: web was not deployed from here, or the image before is not known."},
			{kovra.ActResumeDeploy, 0, "Auto-deploy of web is not paused."},
		} {
			a := s.asks(kovra.Action{Kind: c.kind, Build: c.build})
			wantEnd(t, a, kovra.ActionFailed, kovra.Conflict)
			if a.Outcome.Reason != c.want {
				t.Errorf("%s: %q, want %q", c.kind, a.Outcome.Reason, c.want)
			}
		}
	})
	t.Run("no registry", func(t *testing.T) {
		s := newShop(t)
		b := s.built(1)
		s.d.opts.Registry = ""
		for _, kind := range []kovra.ActionKind{kovra.ActBuild, kovra.ActRebuild} {
			wantEnd(t, s.asks(kovra.Action{Kind: kind, Build: b.ID}), kovra.ActionFailed, kovra.Conflict)
		}
	})
}

// The same commit again, by the settings of now.
func TestActRebuild(t *testing.T) {
	s := newShop(t)
	b := s.built(1)
	s.set("web", func(v *kovra.BuildSettings) { v.Dockerfile = "docker/Dockerfile" })
	s.commits["main"] = commit(9)
	a := s.asks(kovra.Action{Kind: kovra.ActRebuild, Build: b.ID})
	wantEnd(t, a, kovra.ActionDone, "")
	again := s.build(a.Outcome.Build)
	if again.ID == b.ID || again.Of != b.ID || again.Spec.Commit != b.Spec.Commit || again.Title != b.Title || again.Trigger != kovra.ByRebuild ||
		again.Spec.Dockerfile != "docker/Dockerfile" || again.Name == b.Name {
		t.Errorf("again: %+v", again)
	}
}

// Deploy asks first, with what runs now and what will; if that changes before the answer it asks again.
func TestActDeploy(t *testing.T) {
	s := newShop(t)
	b := s.built(1)
	s.set("web", func(v *kovra.BuildSettings) { v.Target = kovra.DeployTarget{Namespace: "shop", Deployment: "web"} })
	a := s.asks(kovra.Action{Kind: kovra.ActDeploy, Build: b.ID})
	wantEnd(t, a, kovra.ActionAsks, "")
	want := kovra.Outcome{
		Build: b.ID, Target: shopTarget, From: "old@sha256:0", Image: b.ImageByDigest(), Reason: fmt.Sprintf("Deploy build #%d to shop/web?", b.ID),
	}
	if diff := cmp.Diff(want, a.Outcome); diff != "" {
		t.Errorf("asked (-want +got)\n%s", diff)
	}
	sure := kovra.Action{Kind: kovra.ActDeploy, Build: b.ID, Params: kovra.Params{
		Sure: true, From: a.Outcome.From, Target: a.Outcome.Target, Image: a.Outcome.Image,
	}}
	s.targets["shop/web"] = kovra.TargetState{Image: "other@sha256:1", Containers: []string{"app"}}
	a = s.asks(sure)
	wantEnd(t, a, kovra.ActionAsks, "")
	if a.Outcome.From != "other@sha256:1" || !strings.HasPrefix(a.Outcome.Reason, "It has changed meanwhile.") || len(s.deployments(b.ID)) != 0 {
		t.Errorf("asked again: %+v", a.Outcome)
	}
	sure.Params.From = a.Outcome.From
	a = s.asks(sure)
	wantEnd(t, a, kovra.ActionDone, "")
	d := s.deployment(a.Outcome.Deployment)
	if d.Kind != kovra.Deploy || d.Target != shopTarget || d.Image != b.ImageByDigest() || d.From != "other@sha256:1" || d.By != alice || d.Build != b.ID {
		t.Errorf("deployment %+v", d)
	}
	// What is being deployed is not deployed once more.
	wantEnd(t, s.asks(kovra.Action{Kind: kovra.ActDeploy, Build: b.ID}), kovra.ActionFailed, kovra.Conflict)
	s.sweep()
	s.ends(d.ID, kovra.BuildSucceeded)
	// Somebody who says yes before they were asked is asked all the same.
	a = s.asks(kovra.Action{Kind: kovra.ActDeploy, Build: b.ID, Params: kovra.Params{Sure: true}})
	wantEnd(t, a, kovra.ActionAsks, "")
}

// A build that somebody asked for is deployed by itself only where that person might deploy, and from the branch of the settings.
func TestHandBuildsAreNotDeployedByTheBackDoor(t *testing.T) {
	for _, tt := range []struct {
		name, ref string
		member    bool
		want      int
	}{
		{"administrator", "", false, 1},
		{"administrator, another branch", "topic", false, 0},
		{"member", "", true, 0},
		{"member, another branch", "topic", true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShop(t)
			s.deploying()
			s.commits["main"], s.commits["topic"] = commit(1), commit(2)
			s.member = tt.member
			a := s.asks(kovra.Action{Kind: kovra.ActBuild, Params: kovra.Params{Ref: tt.ref}})
			wantEnd(t, a, kovra.ActionDone, "")
			b := s.build(a.Outcome.Build)
			s.on(b).succeeds(s.now)
			s.sweep()
			if got := len(s.deployments(b.ID)); got != tt.want {
				t.Errorf("%d deployments, want %d", got, tt.want)
			}
			if tt.want > 0 {
				return
			}
			a = s.asks(kovra.Action{Kind: kovra.ActRebuild, Build: b.ID})
			again := s.build(a.Outcome.Build)
			s.on(again).succeeds(s.now)
			s.sweep()
			if got := len(s.deployments(again.ID)); got != 0 {
				t.Errorf("the rebuild: %d deployments", got)
			}
		})
	}
}

// What was to be cancelled and ended well all the same is not deployed.
func TestCancelledTooLateIsNotDeployed(t *testing.T) {
	s := newShop(t)
	s.deploying()
	b := s.add(1)
	s.pump()
	wantEnd(t, s.asks(kovra.Action{Kind: kovra.ActCancelBuild, Build: b.ID}), kovra.ActionDone, "")
	s.on(b).succeeds(s.now)
	s.sweep()
	if b = s.build(b.ID); b.Status != kovra.BuildSucceeded || len(s.deployments(b.ID)) != 0 || !strings.Contains(b.Message, "Not deployed") {
		t.Errorf("%s %q, %d deployments", b.Status, b.Message, len(s.deployments(b.ID)))
	}
}

func TestActDeployRefused(t *testing.T) {
	s := newShop(t)
	b := s.built(1)
	s.set("web", func(v *kovra.BuildSettings) { v.Target = kovra.DeployTarget{Namespace: "shop", Deployment: "web"} })
	for want, state := range map[string]kovra.TargetState{
		"belongs to Flux":     {Image: "x", Owner: "Flux", Containers: []string{"app"}},
		"has 2 containers":    {Image: "x", Containers: []string{"app", "proxy"}},
		"There is no Deploym": {},
	} {
		if s.targets["shop/web"] = state; state.Image == "" {
			clear(s.targets)
		}
		a := s.asks(kovra.Action{Kind: kovra.ActDeploy, Build: b.ID})
		if a.State != kovra.ActionFailed || !strings.Contains(a.Outcome.Reason, want) {
			t.Errorf("%s: %q, want %q", a.State, a.Outcome.Reason, want)
		}
	}
	s.targets["shop/web"] = kovra.TargetState{Image: "x", Owner: "Flux", Containers: []string{"app"}}
	s.set("web", func(v *kovra.BuildSettings) { v.AllowManaged = true })
	a := s.asks(kovra.Action{Kind: kovra.ActDeploy, Build: b.ID})
	wantEnd(t, a, kovra.ActionAsks, "")
}

// sure asks for a roll back and answers the question with yes.
func (s *shop) rollsBack(p kovra.Params) kovra.Action {
	s.t.Helper()
	a := s.asks(kovra.Action{Kind: kovra.ActRollBack, Params: p})
	if a.State != kovra.ActionAsks {
		return a
	}
	p.Sure, p.From, p.Target, p.Image = true, a.Outcome.From, a.Outcome.Target, a.Outcome.Image
	return s.asks(kovra.Action{Kind: kovra.ActRollBack, Params: p})
}

// runs is what the target runs now.
func (s *shop) nowRuns(image string) {
	s.targets["shop/web"] = kovra.TargetState{Image: image, Containers: []string{"app"}}
}

// ends ends a deployment as the cluster does it.
func (s *shop) ends(id int64, status kovra.BuildStatus) {
	s.t.Helper()
	d := s.deployment(id)
	if status == kovra.BuildSucceeded {
		s.nowRuns(d.Image)
	}
	s.rolls(d, status)
}

// A roll back deploys the image before, pauses auto-deploy, and one more goes further back.
func TestActRollBack(t *testing.T) {
	s := newShop(t)
	s.deploying()
	s.nowRuns("image-0")
	var deployed []int64
	for n := range 2 {
		b := s.built(n + 1)
		d := s.deployments(b.ID)[0]
		s.update(func(tx *storage.Tx) error {
			o, err := tx.Deployment(d.ID)
			o.Image = fmt.Sprintf("image-%d", n+1)
			return errors.Join(err, tx.SaveDeployment(&o))
		})
		if n == 1 {
			a := s.asks(kovra.Action{Kind: kovra.ActRollBack})
			wantEnd(t, a, kovra.ActionFailed, kovra.Conflict)
			if !strings.Contains(a.Outcome.Reason, "under way") {
				t.Errorf("reason %q", a.Outcome.Reason)
			}
		}
		s.ends(d.ID, kovra.BuildSucceeded)
		deployed = append(deployed, d.ID)
	}
	a := s.asks(kovra.Action{Kind: kovra.ActRollBack})
	wantEnd(t, a, kovra.ActionAsks, "")
	if a.Outcome.From != "image-2" || a.Outcome.Image != "image-1" || a.Outcome.Target != shopTarget || !strings.Contains(a.Outcome.Reason, "pauses") {
		t.Errorf("asked %+v", a.Outcome)
	}
	if s.settings().Paused {
		t.Error("paused by a question")
	}
	for i, want := range []string{"image-1", "image-0"} {
		a = s.rollsBack(kovra.Params{})
		wantEnd(t, a, kovra.ActionDone, "")
		d := s.deployment(a.Outcome.Deployment)
		if d.Kind != kovra.RollBack || d.Image != want || d.By != alice || d.Build != s.deployment(deployed[1-i]).Build {
			t.Errorf("roll back %d: %+v, want %s", i+1, d, want)
		}
		s.sweep()
		s.ends(d.ID, kovra.BuildSucceeded)
	}
	wantEnd(t, s.rollsBack(kovra.Params{}), kovra.ActionFailed, kovra.Conflict)
	if v := s.settings(); !v.Paused || v.PausedBy != alice || !v.Enabled {
		t.Errorf("settings %+v", v)
	}
	b := s.built(3)
	if len(s.deployments(b.ID)) != 0 {
		t.Error("deployed while paused")
	}
	wantEnd(t, s.asks(kovra.Action{Kind: kovra.ActResumeDeploy}), kovra.ActionDone, "")
	if v := s.settings(); v.Paused || v.PausedBy != (kovra.Person{}) {
		t.Errorf("settings %+v", v)
	}
	b = s.built(4)
	if len(s.deployments(b.ID)) != 1 {
		t.Errorf("not deployed after all: %q", b.Message)
	}
}

// A deployment that is named is taken back; one of another app is not.
func TestActRollBackNamed(t *testing.T) {
	s := newShop(t)
	s.deploying()
	s.nowRuns("image-0")
	b := s.built(1)
	d := s.deployments(b.ID)[0]
	s.ends(d.ID, kovra.BuildFailed) // it did not roll out, and the Deployment is changed
	s.nowRuns(d.Image)
	a := s.rollsBack(kovra.Params{Deployment: d.ID})
	wantEnd(t, a, kovra.ActionDone, "")
	if back := s.deployment(a.Outcome.Deployment); back.Image != "image-0" {
		t.Errorf("back to %q", back.Image)
	}
	s.sweep()
	s.ends(a.Outcome.Deployment, kovra.BuildSucceeded)
	a = s.rollsBack(kovra.Params{Deployment: d.ID})
	wantEnd(t, a, kovra.ActionFailed, kovra.Conflict)
	if want := "shop/web runs the image of before already."; a.Outcome.Reason != want {
		t.Errorf("reason %q, want %q", a.Outcome.Reason, want)
	}
	s.link("api", 8)
	var foreign kovra.Deployment
	s.update(func(tx *storage.Tx) (err error) {
		foreign, err = tx.AddDeployment(kovra.Deployment{Build: b.ID, App: "api", Target: shopTarget, Image: "x", From: "y"})
		return err
	})
	wantEnd(t, s.rollsBack(kovra.Params{Deployment: foreign.ID}), kovra.ActionFailed, kovra.Conflict)
}

// Settings are replaced as a whole, if nobody has changed them meanwhile; what changed is told without values.
func TestActBuildSetting(t *testing.T) {
	s := newShop(t)
	shown := s.settings()
	want := shown
	want.Enabled, want.Branch, want.Dockerfile, want.AutoDeploy, want.Target = true, "release", "docker/Dockerfile", true, shopTarget
	want.Args = []kovra.BuildArg{{Key: "MODE", Value: "release"}, {Key: "API_TOKEN", Value: "very-secret-value"}}
	want.Registry = "reg.example.com/own"
	s.commits["release"] = commit(7)
	a := s.asks(kovra.Action{Kind: kovra.ActBuildSetting, Params: kovra.Params{Settings: &want}})
	wantEnd(t, a, kovra.ActionDone, "")
	changes := []string{
		"Automatic builds: off → on", "Branch: main → release", "Dockerfile path: auto-detected → docker/Dockerfile", "Auto-deploy: off → on",
		"Build argument MODE: added", "Build argument API_TOKEN: added", "Deployment: none → shop/web (container app)",
		"Image prefix: the default → reg.example.com/own",
	}
	if diff := cmp.Diff(changes, strings.Split(a.Outcome.Changes, "\n")); diff != "" {
		t.Errorf("changes (-want +got)\n%s", diff)
	}
	if !strings.Contains(a.Outcome.Reason, "API_TOKEN looks like a secret") {
		t.Errorf("no warning: %q", a.Outcome.Reason)
	}
	want.ChangedBy, want.ChangedAt = alice, s.now
	got := s.settings()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got)\n%s", diff)
	}
	s.update(func(tx *storage.Tx) error {
		if head, err := tx.BuildHead("web"); err != nil || head != commit(7).SHA {
			t.Errorf("head %q, %v: what the branch has would be built", head, err)
		}
		return nil
	})

	s.later(time.Minute)
	stale := shown
	stale.Dockerfile = "Containerfile"
	a = s.asks(kovra.Action{Kind: kovra.ActBuildSetting, Params: kovra.Params{Settings: &stale}})
	wantEnd(t, a, kovra.ActionFailed, kovra.Conflict)
	if !strings.HasPrefix(a.Outcome.Reason, "Alice has changed the settings meanwhile.") {
		t.Errorf("reason %q", a.Outcome.Reason)
	}
	same := got
	a = s.asks(kovra.Action{Kind: kovra.ActBuildSetting, Params: kovra.Params{Settings: &same}})
	wantEnd(t, a, kovra.ActionDone, "")
	if a.Outcome.Changes != "" || !s.settings().ChangedAt.Equal(got.ChangedAt) {
		t.Errorf("nothing changed, and it is told: %+v", a.Outcome)
	}
	args := got
	args.Args = []kovra.BuildArg{{Key: "MODE", Value: "debug"}}
	a = s.asks(kovra.Action{Kind: kovra.ActBuildSetting, Params: kovra.Params{Settings: &args}})
	if a.Outcome.Changes != "Build argument MODE: another value\nBuild argument API_TOKEN: removed" {
		t.Errorf("changes %q", a.Outcome.Changes)
	}
}

func TestActBuildSettingInvalid(t *testing.T) {
	s := newShop(t)
	v := s.settings()
	v.Dockerfile, v.AutoDeploy = "../Dockerfile", true
	a := s.asks(kovra.Action{Kind: kovra.ActBuildSetting, Params: kovra.Params{Settings: &v}})
	wantEnd(t, a, kovra.ActionFailed, kovra.Invalid)
	for _, want := range []string{"must stay inside the repository", "Auto-deploy needs to know the Deployment"} {
		if !strings.Contains(a.Outcome.Reason, want) {
			t.Errorf("reason %q does not say %q", a.Outcome.Reason, want)
		}
	}
	wantEnd(t, s.asks(kovra.Action{Kind: kovra.ActBuildSetting}), kovra.ActionFailed, kovra.Invalid)
	v = s.settings()
	v.Enabled, v.Branch = true, "nowhere"
	a = s.asks(kovra.Action{Kind: kovra.ActBuildSetting, Params: kovra.Params{Settings: &v}})
	wantEnd(t, a, kovra.ActionDone, "")
	if a.Outcome.Reason != `GitLab shows no branch "nowhere" yet.` {
		t.Errorf("reason %q", a.Outcome.Reason)
	}
}

// A pause by a roll back is no business of the form.
func TestActBuildSettingKeepsThePause(t *testing.T) {
	s := newShop(t)
	v := s.settings()
	s.set("web", func(v *kovra.BuildSettings) { v.Paused, v.PausedBy = true, alice })
	v.Dockerfile = "Containerfile"
	wantEnd(t, s.asks(kovra.Action{Kind: kovra.ActBuildSetting, Params: kovra.Params{Settings: &v}}), kovra.ActionDone, "")
	if got := s.settings(); !got.Paused || got.PausedBy != alice || got.Dockerfile != "Containerfile" {
		t.Errorf("settings %+v", got)
	}
}

// What is open of an app that is deleted ends.
func TestDeleteAppEndsBuilds(t *testing.T) {
	s := newShop(t)
	done := s.built(1)
	running := s.add(2)
	s.pump()
	made := s.deploys(kovra.Deploy, done.ID)
	s.sweep()
	waits := s.deploys(kovra.Deploy, done.ID)
	queued := []int64{s.add(3).ID, s.add(4).ID, s.add(5).ID}
	a := s.propose(kovra.Action{Kind: kovra.ActDeleteApp, App: "web", By: alice, Params: kovra.Params{Sure: true}})
	s.pass(kovra.Ref{Kind: kovra.RefAction, ID: a})
	wantEnd(t, s.action(a), kovra.ActionDone, "")
	for _, id := range queued {
		s.wantBuild(id, kovra.BuildCancelled, kovra.ReasonCancelled)
	}
	if b := s.build(running.ID); !b.Cancel.Wanted || b.Status.Final() {
		t.Errorf("running: %+v", b)
	}
	if got, want := s.phases(made.ID, waits.ID), []kovra.BuildPhase{kovra.PhaseMade, kovra.PhaseEnded}; !slices.Equal(got, want) {
		t.Errorf("deployments %v, want %v", got, want)
	}
}

// A push that no webhook told of is found when the project is read again; what the branch had before is not built.
func TestHeads(t *testing.T) {
	s := newShop(t)
	s.set("web", func(v *kovra.BuildSettings) { v.Enabled = true })
	read := func() int {
		s.t.Helper()
		s.later(time.Hour)
		if _, err := s.d.Projects().Reconcile(t.Context(), web); err != nil {
			t.Fatal(err)
		}
		n := 0
		s.update(func(tx *storage.Tx) error {
			all, err := tx.Builds(storage.BuildQuery{App: "web", Limit: 10})
			n = len(all)
			return err
		})
		return n
	}
	if n := read(); n != 0 {
		t.Errorf("at first %d builds", n)
	}
	s.commits["main"] = commit(2)
	for range 2 {
		if n := read(); n != 1 {
			t.Errorf("after a push: %d builds", n)
		}
	}
	if b := s.build(1); b.Spec.Commit != commit(2).SHA || b.Title != "Commit 2" || b.Trigger != kovra.ByPush {
		t.Errorf("build %+v", b)
	}
	s.push(2, 1) // the webhook after all
	s.push(3, 2)
	s.commits["main"] = commit(3)
	if n := read(); n != 2 {
		t.Errorf("with webhooks: %d builds", n)
	}
	clear(s.commits)
	if n := read(); n != 2 {
		t.Errorf("without the branch: %d builds", n)
	}
	s.commits["main"] = commit(4)
	s.d.world.Cluster = nil
	if n := read(); n != 2 {
		t.Errorf("with builds off: %d builds", n)
	}
}

// A tag is built of which no webhook came, once; none that was there when the settings were changed, or that is of another day.
func TestTagsThatNoWebhookTold(t *testing.T) {
	s := newShop(t)
	s.set("web", func(v *kovra.BuildSettings) { v.Enabled, v.AutoDeploy, v.Tags, v.ChangedAt = true, true, "v*", s.now })
	made := func(name string, n int, after time.Duration) {
		s.tags = append(s.tags, kovra.Tag{Name: name, Commit: commit(n), MadeAt: s.now.Add(after)})
	}
	made("v1", 1, -time.Minute)
	made("v2", 2, time.Second)
	made("nightly", 3, time.Second)
	read := func(want ...string) {
		t.Helper()
		s.later(5 * time.Minute)
		if _, err := s.d.Projects().Reconcile(t.Context(), web); err != nil {
			t.Fatal(err)
		}
		var got []string
		s.update(func(tx *storage.Tx) error {
			all, err := tx.Builds(storage.BuildQuery{App: "web", Limit: 10})
			for _, b := range all {
				got = append(got, fmt.Sprintf("%s %v %s", b.Spec.Branch, b.Spec.Tag, b.Title))
			}
			return err
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	read("v2 true Commit 2")
	s.update(func(tx *storage.Tx) error { // the webhook after all
		_, err := tx.TakePush(kovra.Push{Project: web, Ref: "v2", Tag: true, After: commit(2).SHA, Title: "Commit 2"})
		return err
	})
	read("v2 true Commit 2")
	s.later(48 * time.Hour)
	made("v5", 6, -time.Minute) // GitLab lists the newest first
	made("v4", 5, -time.Hour)
	made("v3", 4, -30*time.Hour)
	read("v5 true Commit 6", "v4 true Commit 5", "v2 true Commit 2")
	if b := s.build(3); b.Spec.Deploy {
		t.Error("it would be deployed over what was pushed since")
	}
	s.set("web", func(v *kovra.BuildSettings) { v.Tags = "" })
	made("v6", 7, 0)
	read("v5 true Commit 6", "v4 true Commit 5", "v2 true Commit 2")
}

// What an app's new project has already is not built, neither branches nor tags.
func TestTagsOfANewProject(t *testing.T) {
	s := newShop(t)
	s.set("web", func(v *kovra.BuildSettings) { v.Enabled, v.Tags, v.ChangedAt = true, "v*", s.now.Add(-time.Hour) })
	s.tags = []kovra.Tag{{Name: "v1", Commit: commit(7), MadeAt: s.now.Add(-time.Minute)}}
	s.update(func(tx *storage.Tx) error {
		return errors.Join(tx.SaveApp(kovra.App{Name: "web"}), tx.SaveApp(kovra.App{Name: "web", Project: web}))
	})
	s.later(5 * time.Minute)
	if _, err := s.d.Projects().Reconcile(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	s.update(func(tx *storage.Tx) error {
		all, err := tx.Builds(storage.BuildQuery{App: "web", Limit: 10})
		if len(all) != 0 {
			t.Errorf("builds %+v", all)
		}
		return err
	})
}

// GitLab is away while branches are read: the project is read again soon, and what it told of pipelines is not lost.
func TestHeadsUnavailable(t *testing.T) {
	s := newShop(t)
	s.changed = func(time.Time) ([]kovra.Run, time.Time, error) {
		return []kovra.Run{{Project: web, Remote: 5, Status: kovra.Running, UpdatedAt: morning}}, morning, nil
	}
	s.set("web", func(v *kovra.BuildSettings) { v.Enabled = true })
	s.commitErr = errBusy
	if _, err := s.d.Projects().Reconcile(t.Context(), web); !errors.Is(err, errBusy) {
		t.Errorf("error %v", err)
	}
	if p := s.saved(web); !p.ReadAt.IsZero() {
		t.Error("it counts as read")
	}
	if err := s.db.Read(t.Context(), func(tx *storage.Tx) error {
		runs, err := tx.Runs(storage.RunQuery{Project: web, Limit: 10})
		if len(runs) != 1 {
			t.Errorf("%d pipelines are known, want 1", len(runs))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// maintainers may all but what is for administrators of the bot.
type maintainers struct{}

func (maintainers) May(_ context.Context, _ kovra.Person, need kovra.Permission, _ string) error {
	if need == kovra.MayOwn {
		return kovra.Errorf(kovra.Denied, "Only administrators of this bot may do that.")
	}
	return nil
}

// TestAppsDoNotReachForEachOther: a Maintainer of one project takes neither the build secrets nor the Deployment of another app.
func TestAppsDoNotReachForEachOther(t *testing.T) {
	s := newShop(t)
	s.link("api", 8, "C1")
	s.set("api", func(v *kovra.BuildSettings) {
		v.Secrets, v.Target = []string{"npm", "api-signing"}, kovra.DeployTarget{Namespace: "shop", Deployment: "api"}
	})
	s.set("web", func(v *kovra.BuildSettings) { v.Secrets = []string{"npm"} })
	tests := []struct {
		name   string
		change func(*kovra.BuildSettings)
		reason string // of the refusal; "": it is done
	}{
		{"its secret", func(v *kovra.BuildSettings) { v.Secrets = []string{"npm", "api-signing"} }, "The Secret api-signing is in the settings of another app."},
		{"its Deployment", func(v *kovra.BuildSettings) {
			v.Target = kovra.DeployTarget{Namespace: "shop", Deployment: "api"}
		}, "The Deployment shop/api is in the settings of another app."},
		{"another container of its Deployment", func(v *kovra.BuildSettings) {
			v.Target = kovra.DeployTarget{Namespace: "shop", Deployment: "api", Container: "side"}
		}, "The Deployment shop/api is in the settings of another app."},
		{"its namespace", func(v *kovra.BuildSettings) { v.Namespace = "api-builds" }, "Only administrators of this bot may do that."},
		{"its account", func(v *kovra.BuildSettings) { v.ServiceAccount = "api" }, "Only administrators of this bot may do that."},
		{"its registry", func(v *kovra.BuildSettings) { v.Registry = "reg.example.com/api" }, "Only administrators of this bot may do that."},
		{"what it shares already", func(v *kovra.BuildSettings) { v.Dockerfile = "Containerfile" }, ""},
		{"a secret of its own", func(v *kovra.BuildSettings) { v.Secrets = []string{"npm", "web-signing"} }, ""},
		{"a Deployment of its own", func(v *kovra.BuildSettings) {
			v.Target = kovra.DeployTarget{Namespace: "shop", Deployment: "web"}
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := s.settings()
			tt.change(&v)
			s.d.world.Gate = maintainers{}
			a := s.asks(kovra.Action{Kind: kovra.ActBuildSetting, Params: kovra.Params{Settings: &v}})
			if tt.reason == "" {
				wantEnd(t, a, kovra.ActionDone, "")
				return
			}
			wantEnd(t, a, kovra.ActionFailed, kovra.Denied)
			if !strings.HasPrefix(a.Outcome.Reason, tt.reason) {
				t.Errorf("reason %q, want %q", a.Outcome.Reason, tt.reason)
			}
		})
	}
	s.d.world.Gate = s.peers // an administrator may
	v := s.settings()
	v.Secrets = []string{"npm", "api-signing"}
	wantEnd(t, s.asks(kovra.Action{Kind: kovra.ActBuildSetting, Params: kovra.Params{Settings: &v}}), kovra.ActionDone, "")
}

// TestNoTwoAppsHaveOneImage: neither as its image nor as the cache of it, whatever prefixes administrators gave them.
func TestNoTwoAppsHaveOneImage(t *testing.T) {
	s := newShop(t)
	names := []string{"web", "api", "web-cache", "web-api", "team", "a"}
	for i, name := range names[1:] {
		s.link(name, int64(20+i), "C1")
	}
	prefixes := []string{"reg.example.com", "reg.example.com/web", "reg.example.com/team", "reg.example.com/team/web", "other.example.com:5000/team"}
	whose := map[string]string{}
	s.update(func(tx *storage.Tx) error {
		for _, name := range names {
			for _, prefix := range prefixes {
				for _, slash := range []string{"", "/"} {
					repository, err := s.d.repository(tx, name, prefix+slash)
					if err != nil {
						return err
					}
					for _, image := range []string{repository, repository + "_cache"} {
						if owner := whose[image]; owner != "" && owner != name {
							t.Errorf("%s is the image of %s and of %s", image, owner, name)
						}
						whose[image] = name
					}
				}
			}
		}
		return nil
	})
	if want := 2 * len(names) * len(prefixes); len(whose) != want {
		t.Errorf("%d images, want %d", len(whose), want)
	}
}
