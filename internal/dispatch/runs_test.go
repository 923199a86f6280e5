package dispatch

import (
	"io"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// A pipeline that claims to be its own parent, and two that claim each other, must not
// hold up a worker for good.
func TestParentsInACircleEnd(t *testing.T) {
	w := newWorld(t)
	w.link("web", web, "C1")
	child := func(id, parent int64) kovra.Run {
		o := pipeline(id, kovra.Running)
		o.Run.Parent = kovra.Parent{Project: web, Pipeline: parent, Job: 1}
		return w.observe(o)
	}
	runs := []kovra.Run{child(5, 5), child(6, 7), child(7, 6)}
	w.now = w.now.Add(time.Minute)
	for _, r := range runs {
		done := make(chan error, 1)
		d := w.dispatch()
		go func() {
			_, err := d.Runs().Reconcile(t.Context(), r.ID)
			done <- err
		}()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("pipeline %d holds its worker", r.Remote)
		}
	}
}

var failedJobs = []kovra.Job{
	{ID: 51, Name: "unit", Status: kovra.Failed, FinishedAt: morning}, {ID: 52, Name: "lint", Status: kovra.Failed},
}

// A log that GitLab does not give holds up no other log, and in the end its job is told of without it.
func TestUnreadableLogHoldsUpNothing(t *testing.T) {
	w := newWorld(t)
	w.link("web", web, "C1")
	o := pipeline(5, kovra.Failed, failedJobs...)
	w.pipeline = func(int64) (kovra.Observation, error) { return whole(o), nil }
	w.trace = func(job int64) (io.ReadCloser, error) {
		if job == 51 {
			return nil, kovra.Errorf(kovra.Unavailable, "GitLab is in trouble (500).")
		}
		return io.NopCloser(strings.NewReader("boom")), nil
	}
	run := w.observe(o)
	d := w.dispatch()
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err == nil {
		t.Error("no error for the log that cannot be read: nobody would try again")
	}
	if _, jobs := w.run(run.ID); jobs[1].Log != kovra.LogCut {
		t.Errorf("the other log: %q, want it cut", jobs[1].Log)
	}
	w.now = w.now.Add(11 * time.Minute)
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Error(err)
	}
	_, jobs := w.run(run.ID)
	if jobs[0].Log != kovra.LogGone || jobs[0].Excerpt.Note == "" {
		t.Errorf("after ten minutes: %q %q, want the failure told with the reason", jobs[0].Log, jobs[0].Excerpt.Note)
	}
}

// While hooks keep coming the logs of failed jobs are read all the same.
func TestExcerptDoesNotWaitForTheLastHook(t *testing.T) {
	w := newWorld(t)
	w.link("web", web, "C1")
	o := pipeline(5, kovra.Running, failedJobs[0], kovra.Job{ID: 60, Name: "deploy", Status: kovra.Running})
	w.pipeline = func(int64) (kovra.Observation, error) {
		w.observe(kovra.Observation{Run: kovra.Run{Project: web, Remote: 5}, Jobs: []kovra.Job{
			{ID: 1000 + int64(len(w.calls)), Name: "hook during the re-read", Status: kovra.Pending},
		}})
		return whole(o), nil
	}
	run := w.observe(o)
	d := w.dispatch()
	for i := range 200 {
		w.now = w.now.Add(100 * time.Millisecond)
		w.observe(kovra.Observation{Run: kovra.Run{Project: web, Remote: 5}, Jobs: []kovra.Job{
			{ID: 100 + int64(i), Name: "step " + string(rune('a'+i)), Status: kovra.Running},
		}})
		if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, jobs := w.run(run.ID); jobs[0].Log != kovra.LogCut {
		t.Error("20 seconds of hooks, and the failure is not told of")
	}
	if n := strings.Count(strings.Join(w.calls, ","), "read"); n > 20 {
		t.Errorf("GitLab was asked %d times in 20 seconds", n)
	}
}

// A child pipeline may be read before anybody knew its parent; its failures are told of when the parent comes.
func TestFailureOfAChildBeforeItsParent(t *testing.T) {
	w := newWorld(t)
	w.link("web", web, "C1")
	child := pipeline(6, kovra.Failed, failedJobs[0])
	child.Run.Source, child.Run.Parent = "parent_pipeline", kovra.Parent{Project: web, Pipeline: 5}
	parent := pipeline(5, kovra.Running)
	w.pipeline = func(id int64) (kovra.Observation, error) {
		if id == 6 {
			return whole(child), nil
		}
		return whole(parent), nil
	}
	run := w.observe(child)
	d := w.dispatch()
	reconcile := func() {
		t.Helper()
		if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil {
			t.Fatal(err)
		}
	}
	reconcile()
	w.observe(parent)
	dirty := false
	for ref, err := range w.db.Dirty(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		dirty = dirty || ref == kovra.Ref{Kind: kovra.RefRun, ID: run.ID}
	}
	if !dirty {
		t.Fatal("nobody looks at the child again")
	}
	w.now = w.now.Add(time.Minute)
	reconcile()
	if _, jobs := w.run(run.ID); jobs[0].Log != kovra.LogCut {
		t.Errorf("log of the child's job: %q, want it cut", jobs[0].Log)
	}
}

// A pipeline that GitLab does not show is not asked for in every sweep, ahead of all others.
func TestForgottenPipelineGoesToTheEndOfTheQueue(t *testing.T) {
	w := newWorld(t)
	w.link("web", web, "C1")
	gone := w.observe(pipeline(5, kovra.Running))
	w.now = w.now.Add(time.Minute)
	other := w.observe(pipeline(6, kovra.Running))
	w.now = w.now.Add(10 * time.Minute)
	if _, err := w.dispatch().Runs().Reconcile(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	var quiet []int64
	w.update(func(tx *storage.Tx) (err error) {
		quiet, err = tx.QuietRuns(w.now.Add(-5*time.Minute), 1)
		return err
	})
	if len(quiet) != 1 || quiet[0] != other.ID {
		t.Errorf("quiet runs: %v, want %d", quiet, other.ID)
	}
}

// A value that we gave to the pipeline never shows in an excerpt.
func TestExcerptHidesWhatWeInjected(t *testing.T) {
	w := newWorld(t)
	w.link("web", web, "C1")
	o := pipeline(5, kovra.Failed, failedJobs[0])
	w.pipeline = func(int64) (kovra.Observation, error) { return whole(o), nil }
	w.trace = func(int64) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("login with s3cret-value failed")), nil
	}
	run := w.observe(o)
	d := w.dispatch()
	w.propose(kovra.Action{Kind: kovra.ActRun, App: "web", Run: run.ID, Params: kovra.Params{
		Prints: d.prints([]kovra.Variable{{Key: "PASSWORD", Value: "s3cret-value"}}),
	}})
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	_, jobs := w.run(run.ID)
	if got := jobs[0].Excerpt.Lines; len(got) != 1 || got[0].Text != "login with [MASKED] failed" {
		t.Errorf("excerpt: %+v", got)
	}
}

// A token that GitLab does not accept says nothing of the pipeline: with a new one all is read.
func TestTokenRefusedForgetsNothing(t *testing.T) {
	w := newWorld(t)
	w.link("web", web, "C1")
	o := pipeline(5, kovra.Failed, failedJobs[0])
	refused := &kovra.Error{Kind: kovra.Denied, Public: "GitLab does not accept the bot's token.", Err: kovra.ErrToken}
	w.pipeline = func(int64) (kovra.Observation, error) { return kovra.Observation{}, refused }
	run := w.observe(o)
	d := w.dispatch()
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err == nil {
		t.Error("no error: nobody would try again")
	}
	w.pipeline = func(int64) (kovra.Observation, error) { return whole(o), nil }
	w.trace = func(int64) (io.ReadCloser, error) { return nil, refused }
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err == nil {
		t.Error("no error: nobody would try again")
	}
	w.trace = nil
	w.now = w.now.Add(time.Minute)
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Error(err)
	}
	if run, jobs := w.run(run.ID); run.WantsRead() || jobs[0].Log != kovra.LogCut {
		t.Errorf("wants a read: %v, log: %q", run.WantsRead(), jobs[0].Log)
	}
}

// GitLab may not know yet, when it is asked, what its webhook has just told.
func TestNewPipelineIsNotForgottenAtOnce(t *testing.T) {
	w := newWorld(t)
	w.link("web", web, "C1")
	run := w.observe(pipeline(5, kovra.Running))
	d := w.dispatch()
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err == nil {
		t.Error("no error: nobody would try again")
	}
	w.now = w.now.Add(time.Minute)
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Error(err)
	}
	if run, _ := w.run(run.ID); run.WantsRead() {
		t.Error("asked for for ever")
	}
}

// However long the log, its excerpt fits into a message.
func TestExcerptFits(t *testing.T) {
	w := newWorld(t)
	w.link("web", web, "C1")
	o := pipeline(5, kovra.Failed, failedJobs[0])
	w.pipeline = func(int64) (kovra.Observation, error) { return whole(o), nil }
	w.trace = func(int64) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(strings.Repeat("all is well\n", 500) +
			"--- FAIL: TestPay (0.01s)\n    pay_test.go:12: got 3, want 4\nFAIL\n" + strings.Repeat("error: "+strings.Repeat("long ", 60)+"\n", 60))), nil
	}
	run := w.observe(o)
	if _, err := w.dispatch().Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	_, jobs := w.run(run.ID)
	e := jobs[0].Excerpt
	size, text := 0, ""
	for _, l := range e.Lines {
		size += len(l.Text)
		text += l.Text + "\n"
	}
	if e.Total != 563 || len(e.Lines) > excerptLines || size > excerptBytes || !strings.Contains(text, "got 3, want 4") {
		t.Errorf("%d lines of %d:\n%s", len(e.Lines), e.Total, text)
	}
}
