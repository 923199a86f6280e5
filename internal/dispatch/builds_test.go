package dispatch

import (
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

// From the push to the rollout.
func TestBuildLife(t *testing.T) {
	s := newShop(t)
	s.deploying()
	s.push(1, 0)
	s.pump()
	b := s.build(1)
	if b.Phase != kovra.PhaseMade || b.Spec.Image != registry+"/web:"+b.ShortSHA() || b.Spec.CloneURL != "https://gitlab.example/group/web.git" {
		t.Fatalf("made: phase %d, image %q, clone %q", b.Phase, b.Spec.Image, b.Spec.CloneURL)
	}
	run := s.on(b)
	if diff := cmp.Diff(b.Spec, run.build.Spec); diff != "" {
		t.Errorf("given to the cluster (-stored +given)\n%s", diff)
	}
	log, _ := s.text(b.LogKey())
	if !log.Kept || log.Done {
		t.Errorf("the log is not kept from the start: %+v", log)
	}
	run.builds(s.now)
	s.sweep()
	if b = s.wantBuild(1, kovra.BuildBuilding, ""); b.Steps[0].FirstLine != 1 || b.Steps[1].FirstLine != 4 {
		t.Errorf("steps %+v", b.Steps)
	}
	if want := []string{"Cloning", "HEAD is now at abcdef01", "STEP 1/2: FROM debian", "STEP 2/2: RUN make"}; !slices.Equal(b.Tail, want) {
		t.Errorf("tail %q, want %q", b.Tail, want)
	}
	s.later(time.Minute)
	run.succeeds(s.now)
	s.sweep()
	b = s.wantBuild(1, kovra.BuildSucceeded, "")
	if !b.LogDone || b.Tail != nil || b.Digest == "" || b.Dockerfile != "Dockerfile" || b.Duration() != time.Minute || b.Steps[2].FirstLine != 7 {
		t.Errorf("ended: %+v", b)
	}
	log, lines := s.text(b.LogKey())
	want := []string{
		"# clone", "Cloning", "HEAD is now at abcdef01", "# build-and-push · build", "STEP 1/2: FROM debian", "STEP 2/2: RUN make",
		"# build-and-push · push", "pushed",
	}
	if diff := cmp.Diff(want, lines); diff != "" || !log.Done || log.Note != "" || log.Subject.Status != kovra.Success {
		t.Errorf("log %+v (-want +got)\n%s", log, diff)
	}
	d := s.deployments(1)
	if len(d) != 1 || d[0].Image != b.ImageByDigest() || d[0].Kind != kovra.AutoDeploy || d[0].From != "old@sha256:0" || d[0].Phase != kovra.PhaseMade {
		t.Fatalf("deployments %+v", d)
	}
	r := s.runs[d[0].Name]
	r.step("deploy", "patch", kovra.Success)
	r.step("deploy", "rollout", kovra.Success)
	r.writes("deploy", "rollout", "rolled out")
	r.Status, r.Results = kovra.BuildSucceeded, map[string]string{kovra.ResultPreviousImage: "old@sha256:1"}
	s.sweep()
	if d = s.deployments(1); d[0].Status != kovra.BuildSucceeded || d[0].From != "old@sha256:1" || !d[0].LogDone || !d[0].CanRollBack() {
		t.Errorf("deployed: %+v", d[0])
	}
	if len(s.starts) != 2 {
		t.Errorf("made %q", s.starts)
	}
	s.rests()
}

// What the cluster does not accept has failed, with the words that say what to mend.
func TestBuildRefused(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"invalid":      {kovra.Errorf(kovra.Invalid, "There is no Pipeline kovra-build."), "There is no Pipeline kovra-build."},
		"denied":       {kovra.Errorf(kovra.Denied, "The service account may not create PipelineRuns."), "The service account may not create PipelineRuns."},
		"no namespace": {kovra.Errorf(kovra.NotFound, "There is no namespace kovra-builds."), "There is no namespace kovra-builds."},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.startErr = always(c.err)
			b := s.add(1)
			s.pump()
			b = s.wantBuild(b.ID, kovra.BuildFailed, kovra.ReasonRefused)
			if b.Message != c.want || !b.LogDone {
				t.Errorf("message %q, log done %v; want %q", b.Message, b.LogDone, c.want)
			}
			s.rests()
		})
	}
}

// A cluster that is away is tried again, which people see, and given up in the end; what may have been made is taken back then.
func TestBuildUnavailable(t *testing.T) {
	away := kovra.Errorf(kovra.Unavailable, "The cluster could not be reached.")
	t.Run("comes back", func(t *testing.T) {
		s := newShop(t)
		s.startErr = always(away)
		b := s.add(1)
		s.pump()
		ref := kovra.Ref{Kind: kovra.RefBuild, ID: b.ID}
		if b = s.wantBuild(b.ID, kovra.BuildPending, kovra.ReasonSilent); b.Message != "The cluster could not be reached." || !errors.Is(s.errs[ref], away) {
			t.Errorf("message %q, error %v", b.Message, s.errs[ref])
		}
		version := b.Version
		s.pass(ref)
		if b = s.build(b.ID); b.Version != version {
			t.Error("the same trouble is shown anew with every try")
		}
		s.startErr = nil
		s.later(9 * time.Minute)
		s.pass(ref)
		s.pump()
		if b = s.wantBuild(b.ID, kovra.BuildPending, ""); b.Phase != kovra.PhaseMade || b.Message != "" {
			t.Errorf("phase %d, message %q", b.Phase, b.Message)
		}
	})
	t.Run("stays away", func(t *testing.T) {
		s := newShop(t)
		s.startErr = always(kovra.Errorf(kovra.Unclear, "The cluster did not answer in time.")) // and makes it all the same
		s.cancelErr = always(away)
		b := s.add(1)
		s.pump()
		s.later(10 * time.Minute)
		s.sweep()
		b = s.wantBuild(b.ID, kovra.BuildFailed, kovra.ReasonSilent)
		if run := s.on(b); run.cancels != 0 || !s.isDirty(kovra.Ref{Kind: kovra.RefBuild, ID: b.ID}) {
			t.Error("it is left running")
		}
		s.cancelErr = nil
		s.sweep()
		if run := s.on(b); run.cancels != 1 {
			t.Errorf("cancelled %d times", run.cancels)
		}
		s.rests()
	})
	t.Run("while it runs", func(t *testing.T) {
		s := newShop(t)
		b := s.add(1)
		s.pump()
		s.lookErr = always(away)
		s.later(24 * time.Hour)
		s.sweep()
		if b = s.wantBuild(b.ID, kovra.BuildPending, ""); s.errs[kovra.Ref{Kind: kovra.RefBuild, ID: b.ID}] == nil {
			t.Error("not asked again")
		}
	})
}

// A PipelineRun that is gone was deleted; one that was made a moment ago may not be seen yet.
func TestBuildLost(t *testing.T) {
	s := newShop(t)
	b := s.add(1)
	s.pump()
	s.on(b).builds(s.now)
	s.sweep()
	delete(s.runs, b.Name)
	s.sweep()
	s.wantBuild(b.ID, kovra.BuildBuilding, "")
	if got := s.after[kovra.Ref{Kind: kovra.RefBuild, ID: b.ID}]; got != lookSoon {
		t.Errorf("looked at again after %v", got)
	}
	s.later(replicas)
	s.sweep()
	b = s.wantBuild(b.ID, kovra.BuildFailed, kovra.ReasonLost)
	if b.Message == "" || !b.LogDone || b.Steps[1].Status != kovra.Canceled {
		t.Errorf("ended: %+v", b)
	}
	if _, lines := s.text(b.LogKey()); len(lines) != 6 {
		t.Errorf("what was kept of its log: %q", lines)
	}
	s.rests()
}

func TestBuildWithoutARegistry(t *testing.T) {
	s := newShop(t)
	s.d.opts.Registry = ""
	b := s.add(1)
	s.pump()
	if b = s.wantBuild(b.ID, kovra.BuildFailed, kovra.ReasonRefused); !strings.Contains(b.Message, "KOVRA_REGISTRY") || len(s.starts) != 0 {
		t.Errorf("message %q, made %q", b.Message, s.starts)
	}
	s.set("web", func(v *kovra.BuildSettings) { v.Registry = "reg.example.com:5000/own" })
	b = s.add(2)
	s.pump()
	if b = s.build(b.ID); b.Spec.Image != "reg.example.com:5000/own/web:"+b.ShortSHA() {
		t.Errorf("image %q", b.Spec.Image)
	}
}

// Without a cluster nothing is begun, and nothing that has begun is called lost.
func TestBuildsOff(t *testing.T) {
	s := newShop(t)
	made := s.add(1)
	s.pump()
	waits := s.add(2)
	s.d.world.Cluster, s.d.world.Steps = nil, nil
	s.sweep()
	s.wantBuild(made.ID, kovra.BuildPending, "")
	if b := s.wantBuild(waits.ID, kovra.BuildCancelled, kovra.ReasonCancelled); b.Message != buildsOff {
		t.Errorf("message %q", b.Message)
	}
}

// A build is of the project that the app is linked to when its turn comes.
func TestBuildOfAnotherProject(t *testing.T) {
	s := newShop(t)
	moved, gone := s.add(1), s.add(2)
	s.update(func(tx *storage.Tx) error { return tx.SaveApp(kovra.App{Name: "web", Project: 8}) })
	s.pass(kovra.Ref{Kind: kovra.RefBuild, ID: moved.ID})
	s.update(func(tx *storage.Tx) error { return tx.DeleteApp("web") })
	s.pass(kovra.Ref{Kind: kovra.RefBuild, ID: gone.ID})
	for id, want := range map[int64]string{moved.ID: "web is linked to another GitLab project now.", gone.ID: "web was deleted."} {
		if b := s.wantBuild(id, kovra.BuildCancelled, kovra.ReasonCancelled); b.Message != want {
			t.Errorf("message %q, want %q", b.Message, want)
		}
	}
	if len(s.starts) != 0 {
		t.Errorf("made %q", s.starts)
	}
}

// Twenty at once: the oldest first, never more than three under way, and each is made once.
func TestBuildQueue(t *testing.T) {
	s := newShop(t)
	var ids []int64
	for n := range 20 {
		ids = append(ids, s.add(n).ID)
	}
	s.pump()
	if len(s.starts) != 3 || s.build(ids[3]).Place != 1 || s.build(ids[19]).Place != 17 {
		t.Errorf("made %q; the next is at place %d, the last at %d", s.starts, s.build(ids[3]).Place, s.build(ids[19]).Place)
	}
	for round := range 20 {
		s.later(time.Second)
		for i, id := range ids {
			b := s.build(id)
			if b.Phase != kovra.PhaseMade || b.Status.Final() {
				continue
			}
			if (i+round)%2 == 0 {
				s.on(b).failsAt(s.now)
			} else {
				s.on(b).succeeds(s.now)
			}
		}
		s.sweep()
	}
	for _, id := range ids {
		if b := s.build(id); !b.Status.Final() {
			t.Errorf("build %d: %s, phase %d", id, b.Status, b.Phase)
		}
	}
	if s.most > 3 || len(s.starts) != 20 {
		t.Errorf("%d were under way at once; made %d", s.most, len(s.starts))
	}
	s.rests()
}

// cancelled marks a build as somebody's click does.
func (s *shop) cancelled(id int64) kovra.Action {
	s.t.Helper()
	act := s.propose(kovra.Action{Kind: kovra.ActCancelBuild, App: "web", Build: id, By: kovra.Person{ID: "U1", Name: "Alice"}})
	s.pump()
	return s.action(act)
}

func TestCancelQueuedBuild(t *testing.T) {
	s := newShop(t)
	for n := range 3 {
		s.add(n)
	}
	b := s.add(9)
	s.pump()
	wantEnd(t, s.cancelled(b.ID), kovra.ActionDone, "")
	if b = s.wantBuild(b.ID, kovra.BuildCancelled, kovra.ReasonCancelled); b.Message != "Cancelled by Alice." || !b.LogDone {
		t.Errorf("ended: %+v", b)
	}
	if len(s.starts) != 3 {
		t.Errorf("made %q", s.starts)
	}
	wantEnd(t, s.cancelled(b.ID), kovra.ActionFailed, kovra.Conflict)
	s.rests()
}

// The log is followed before the run is cancelled, and kept up to its end; how it ended is what the cluster says, but for
// a failed task, which does not make a cancelled build a failed one.
func TestCancelRunningBuild(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(r *pipelineRun)
		status kovra.BuildStatus
		reason string
	}{
		"cancelled":       {func(r *pipelineRun) { r.Status = kovra.BuildCancelled }, kovra.BuildCancelled, kovra.ReasonCancelled},
		"had failed":      {func(r *pipelineRun) { r.failsAt(morning, "make: *** [all] Error 2") }, kovra.BuildCancelled, kovra.ReasonCancelled},
		"was faster":      {func(r *pipelineRun) { r.succeeds(morning) }, kovra.BuildSucceeded, ""},
		"failed before":   {func(r *pipelineRun) { r.Cancelling = false; r.failsAt(morning, "make: *** [all] Error 2") }, kovra.BuildFailed, "Failed"},
		"run was deleted": {nil, kovra.BuildCancelled, kovra.ReasonCancelled},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			b := s.add(1)
			s.pump()
			run := s.on(b)
			run.builds(s.now)
			s.sweep()
			log, _ := s.text(b.LogKey())
			wantEnd(t, s.cancelled(b.ID), kovra.ActionDone, "")
			ref := kovra.Ref{Kind: kovra.RefBuild, ID: b.ID}
			if run.cancels != 0 || s.after[ref] != askFollower {
				t.Fatalf("cancelled before the log is followed: %d, looked at after %v", run.cancels, s.after[ref])
			}
			s.d.following.begin(log.ID)
			s.pass(ref)
			s.pass(ref)
			if run.cancels != 1 {
				t.Errorf("cancelled %d times", run.cancels)
			}
			s.d.following.end(log.ID)
			if second := s.cancelled(b.ID); !strings.Contains(second.Outcome.Reason, "being cancelled already") {
				t.Errorf("second click: %+v", second.Outcome)
			}
			run.writes("build-and-push", "build", "the last words")
			if s.later(replicas); c.end == nil {
				delete(s.runs, b.Name)
			} else {
				c.end(run)
			}
			s.sweep()
			b = s.wantBuild(b.ID, c.status, c.reason)
			_, lines := s.text(b.LogKey())
			if kept := slices.Contains(lines, "the last words"); kept != (c.end != nil) {
				t.Errorf("log %q", lines)
			}
			if step, _ := b.FailedStep(); c.status == kovra.BuildCancelled && step.Log != kovra.LogUnread {
				t.Errorf("the step of a cancelled build is explained: %+v", step)
			}
			s.rests()
		})
	}
}

// A cancel does not wait for ever for a log that nobody follows.
func TestCancelWithoutAFollower(t *testing.T) {
	s := newShop(t)
	b := s.add(1)
	s.pass(kovra.Ref{Kind: kovra.RefBuild, ID: b.ID})
	s.update(func(tx *storage.Tx) error {
		o, err := tx.Build(b.ID)
		return errors.Join(err, markCancelled(tx, &o, kovra.Person{}, s.now))
	})
	ref := kovra.Ref{Kind: kovra.RefBuild, ID: b.ID}
	s.pass(ref)
	s.later(patience - time.Second)
	s.pass(ref)
	if run := s.on(b); run.cancels != 0 {
		t.Error("too early")
	}
	s.later(time.Second)
	s.pass(ref)
	if run := s.on(b); run.cancels != 1 {
		t.Errorf("cancelled %d times", run.cancels)
	}
}

// Cancelled between its turn and the answer of the cluster: it is looked for first.
func TestCancelWhileItIsMade(t *testing.T) {
	for name, there := range map[string]bool{"not made": false, "made": true} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.startErr = always(errBusy)
			if there {
				s.startErr = always(errUnclear)
			}
			b := s.add(1)
			s.pump()
			wantEnd(t, s.cancelled(b.ID), kovra.ActionDone, "")
			s.startErr = nil
			made := len(s.starts)
			s.sweep()
			s.later(patience)
			s.sweep()
			if there {
				if run := s.on(b); run.cancels != 1 || len(s.starts) != made {
					t.Errorf("cancelled %d times, made %q", run.cancels, s.starts)
				}
				return
			}
			s.wantBuild(b.ID, kovra.BuildCancelled, kovra.ReasonCancelled)
			if len(s.runs) != 0 {
				t.Errorf("made %q", s.starts)
			}
			s.rests()
		})
	}
}

// A newer push supersedes what waits; three pushes in any order end with the newest deployed.
func TestPushesOutOfOrder(t *testing.T) {
	for _, order := range [][]int{{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}} {
		for _, supersede := range []bool{true, false} {
			t.Run(fmt.Sprint(order, supersede), func(t *testing.T) {
				s := newShop(t)
				s.deploying()
				s.set("web", func(v *kovra.BuildSettings) { v.Supersede = supersede })
				s.push(0, 100)
				s.pump()
				for _, n := range slices.Concat(order, order) { // told twice
					s.push(n, n-1)
				}
				s.pump()
				for range 6 {
					s.later(time.Minute)
					// The newest ends first.
					for _, n := range []int{3, 2, 1, 0} {
						for _, r := range s.runs {
							if r.Status.Final() || r.build.ID != 0 && r.build.Spec.Commit != commit(n).SHA {
								continue
							}
							r.succeeds(s.now)
							s.sweep()
						}
					}
				}
				last := ""
				for id := int64(1); id <= 4; id++ {
					b := s.build(id)
					for _, d := range s.deployments(id) {
						if d.Status == kovra.BuildSucceeded {
							last = b.Spec.Commit
						}
					}
					if !b.Status.Final() {
						t.Errorf("build %d is %s", id, b.Status)
					}
					if b.Spec.Commit == commit(3).SHA && b.Status != kovra.BuildSucceeded {
						t.Errorf("the newest commit is %s: %s", b.Status, b.Message)
					}
				}
				var deployed []string
				s.update(func(tx *storage.Tx) error {
					all, err := tx.DeploymentsOfApp("web", 20)
					for _, d := range all {
						if d.Status == kovra.BuildSucceeded {
							deployed = append(deployed, s.runs[d.Name].deploy.Image)
							b, more := tx.Build(d.Build)
							err = errors.Join(err, more)
							last = b.Spec.Commit
							break
						}
					}
					return err
				})
				if last != commit(3).SHA || len(deployed) != 1 {
					t.Errorf("deployed at last: %s, want the newest commit", last)
				}
				s.rests()
			})
		}
	}
}

// An older commit that is built later does not take the place of a newer one; a later one does.
func TestAutoDeployOfAnOlderCommit(t *testing.T) {
	s := newShop(t)
	s.deploying()
	older, newer := s.add(1), s.add(2)
	s.pump()
	s.on(newer).succeeds(s.now)
	s.sweep()
	s.on(older).succeeds(s.now)
	s.sweep()
	if d := s.deployments(newer.ID); len(d) != 1 {
		t.Errorf("the newer was deployed %d times", len(d))
	}
	b := s.build(older.ID)
	if want := fmt.Sprintf("Not deployed: build #%d is newer, and was deployed before.", newer.ID); b.Message != want || len(s.deployments(older.ID)) != 0 {
		t.Errorf("the older: %q, %+v; want %q", b.Message, s.deployments(older.ID), want)
	}
	again := s.propose(kovra.Action{Kind: kovra.ActRebuild, App: "web", Build: older.ID})
	s.pump()
	id := s.action(again).Outcome.Build
	s.on(s.build(id)).succeeds(s.now)
	s.sweep()
	if d := s.deployments(id); len(d) != 0 {
		t.Errorf("to build an older commit again is not to deploy it: %+v", d)
	}
	if failed := s.deployments(newer.ID)[0]; true {
		s.runs[failed.Name].Status = kovra.BuildFailed
		s.sweep()
	}
	last := s.add(3)
	s.pump()
	s.on(last).succeeds(s.now)
	s.sweep()
	if d := s.deployments(last.ID); len(d) != 1 {
		t.Errorf("the newest was deployed %d times: %q", len(d), s.build(last.ID).Message)
	}
}

func TestAutoDeploySkipped(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(s *shop, r *pipelineRun)
		want      string
	}{
		"paused": {func(s *shop, _ *pipelineRun) { s.set("web", func(v *kovra.BuildSettings) { v.Paused = true }) }, "Not deployed: auto-deploy has been paused since a roll back."},
		"restored": {
			func(s *shop, _ *pipelineRun) {
				s.set("web", func(v *kovra.BuildSettings) { v.Paused, v.PausedByRestore = true, true })
			},
			"Not deployed: auto-deploy has been paused since the database was restored from a backup.",
		},
		"no digest": {func(_ *shop, r *pipelineRun) { r.Results = nil }, "Not deployed: the cluster did not tell the digest of the image."},
		"deleted":   {func(s *shop, _ *pipelineRun) { s.update(func(tx *storage.Tx) error { return tx.DeleteApp("web") }) }, "Not deployed: web was deleted."},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.deploying()
			b := s.add(1)
			s.pump()
			r := s.on(b)
			r.succeeds(s.now)
			c.meanwhile(s, r)
			s.sweep()
			if b = s.wantBuild(b.ID, kovra.BuildSucceeded, ""); b.Message != c.want || len(s.deployments(b.ID)) != 0 {
				t.Errorf("message %q, deployments %+v; want %q", b.Message, s.deployments(b.ID), c.want)
			}
		})
	}
}

// Of a build whose step failed the lines that explain it are shown, with the viewer's numbers.
func TestExcerptOfAStep(t *testing.T) {
	s := newShop(t)
	b := s.add(1)
	s.pump()
	r := s.on(b)
	r.builds(s.now)
	s.sweep()
	r.failsAt(s.now, "section_start:1:step_script", "\x1b[31mmain.c:7:2: error: 'x' undeclared\x1b[0m", "make: *** [all] Error 1")
	r.writes("push", "", "not this one: error: 1")
	s.sweep()
	b = s.wantBuild(b.ID, kovra.BuildFailed, "Failed")
	step, ok := b.FailedStep()
	if !ok || step.Log != kovra.LogCut || !b.LogDone || step.FirstLine != 4 {
		t.Fatalf("step %+v", step)
	}
	_, lines := s.text(b.LogKey())
	found := false
	for _, l := range step.Excerpt.Lines {
		if l.N > 0 && lines[l.N-1] != l.Text {
			t.Errorf("line %d of the viewer is %q, not %q", l.N, lines[l.N-1], l.Text)
		}
		found = found || strings.Contains(l.Text, "main.c:7:2: error")
		if strings.Contains(l.Text, "not this one") {
			t.Error("a line of another step")
		}
	}
	if !found || lines[step.Excerpt.First-1] != "main.c:7:2: error: 'x' undeclared" || step.Excerpt.Total != len(lines) {
		t.Errorf("excerpt %+v of %q", step.Excerpt, lines)
	}
	s.rests()
}

// The news of a failure wait a little for the log, then go without; the lines are added when they come.
func TestExcerptComesLater(t *testing.T) {
	s := newShop(t)
	b := s.add(1)
	s.pump()
	r := s.on(b)
	r.builds(s.now)
	s.sweep()
	s.followErr = func(int) error { return errBusy }
	r.failsAt(s.now, "main.c:7:2: error: 'x' undeclared")
	s.sweep()
	ref := kovra.Ref{Kind: kovra.RefBuild, ID: b.ID}
	step := func() kovra.Step {
		b := s.build(b.ID)
		f, _ := b.FailedStep()
		return f
	}
	if f := step(); f.Log != kovra.LogUnread || s.after[ref] != 30*time.Second {
		t.Errorf("at once: %+v, again after %v", f, s.after[ref])
	}
	s.later(30 * time.Second)
	s.sweep()
	if f := step(); f.Log != kovra.LogGone || f.Excerpt.Note != noteNotYet || s.build(b.ID).LogDone {
		t.Errorf("after 30 s: %+v", f)
	}
	version := s.build(b.ID).Version
	s.later(time.Second)
	s.sweep()
	if b := s.build(b.ID); b.Version != version {
		t.Error("shown anew for nothing")
	}
	s.followErr = nil
	s.sweep()
	if f := step(); f.Log != kovra.LogCut || f.Excerpt.First != 7 || !s.build(b.ID).LogDone {
		t.Errorf("in the end: %+v", f)
	}
	s.rests()
}

// A log that does not come is done without, and what there is of it is used.
func TestExcerptGivenUp(t *testing.T) {
	s := newShop(t)
	b := s.add(1)
	s.pump()
	r := s.on(b)
	r.builds(s.now)
	r.failsAt(s.now, "main.c:7:2: error: 'x' undeclared")
	s.followErr = func(int) error { return errBusy }
	s.sweep()
	s.later(10 * time.Minute)
	s.sweep()
	b = s.build(b.ID)
	if f, _ := b.FailedStep(); f.Log != kovra.LogGone || f.Excerpt.Note == noteNotYet || f.Excerpt.Note == "" || !b.LogDone {
		t.Errorf("step %+v", f)
	}
	if log, _ := s.text(b.LogKey()); !log.Done || log.Note != notePartSteps {
		t.Errorf("log %+v", log)
	}
	s.rests()
}

// Whatever moment the program dies at: one PipelineRun for each build and deployment, the log whole, one excerpt.
func TestBuildSurvivesDeath(t *testing.T) {
	script := func(s *shop) {
		s.push(1, 0)
		s.sweepOnce()
		for range 3 {
			s.advance()
			s.sweepOnce()
		}
	}
	whole := newShop(t)
	whole.deploying()
	script(whole)
	_, want := whole.text(kovra.LogKey{Kind: kovra.BuildLog, Project: web, ID: 1})
	for at := 1; ; at++ {
		died := false
		for _, hidden := range []bool{false, true} {
			died = dies(t, at, hidden, script, want) || died
		}
		if !died {
			if at < 10 {
				t.Errorf("there were only %d commits to die at", at)
			}
			return
		}
	}
}

// advance has every run do the next thing.
func (s *shop) advance() {
	for _, r := range s.runs {
		switch {
		case r.build.ID != 0 && len(r.lines) == 0:
			r.builds(s.now)
		case !r.Status.Final():
			r.succeeds(s.now)
		}
	}
}

// dies plays a script in which the program dies at a commit, and then goes on; it reports whether there were so many commits.
func dies(t *testing.T, at int, hidden bool, script func(*shop), want []string) bool {
	t.Helper()
	s := newShop(t)
	s.deploying()
	dead := errors.New("killed")
	n := 0
	s.interrupt = func(committed bool) error {
		if committed == hidden {
			n++
		}
		if n >= at {
			return dead // and everything after it
		}
		return nil
	}
	script(s)
	died := n >= at
	s.interrupt = nil
	s.restart()
	s.sweepOnce()
	for range 4 {
		s.later(time.Minute)
		s.advance()
		s.sweepOnce()
	}
	if len(s.runs) != 2 {
		t.Errorf("died at %d (hidden %v): made %q", at, hidden, s.starts)
	}
	b := s.wantBuild(1, kovra.BuildSucceeded, "")
	if _, lines := s.text(b.LogKey()); !slices.Equal(lines, want) {
		t.Errorf("died at %d (hidden %v): log (-want +got)\n%s", at, hidden, cmp.Diff(want, lines))
	}
	if d := s.deployments(1); len(d) != 1 || d[0].Status != kovra.BuildSucceeded || !d[0].LogDone || !b.LogDone {
		t.Errorf("died at %d (hidden %v): %+v", at, hidden, d)
	}
	s.rests()
	return died
}
