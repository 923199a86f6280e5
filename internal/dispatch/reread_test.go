package dispatch

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

func TestProjectReRead(t *testing.T) {
	p := newPeers(t)
	p.link("web", web)
	mark := morning.Add(-time.Hour)
	p.update(func(tx *storage.Tx) error {
		return tx.SaveProject(kovra.Project{ID: web, Path: "group/old", DefaultBranch: "master", Watermark: mark, LinkedAt: morning})
	})
	read := pipeline(5, kovra.Running)
	read.Run.UpdatedAt = mark
	seen := p.observe(whole(read))
	var since time.Time
	p.changed = func(s time.Time) ([]kovra.Run, time.Time, error) {
		since = s
		return []kovra.Run{
			{Project: web, Remote: 5, Status: kovra.Running, UpdatedAt: mark.Add(time.Minute)}, // touched since it was read
			{Project: web, Remote: 6, Status: kovra.Running, UpdatedAt: mark.Add(time.Minute)}, // never heard of
		}, mark.Add(time.Minute), nil
	}
	d := p.dispatch()
	after, err := d.Projects().Reconcile(t.Context(), web)
	if err != nil || after != 4*time.Minute {
		t.Fatalf("after %s, %v", after, err)
	}
	if want := mark.Add(-overlap); !since.Equal(want) {
		t.Errorf("asked since %s, want %s", since, want)
	}
	k := p.saved(web)
	want := kovra.Project{ID: web, Path: "group/web", DefaultBranch: "main", Watermark: mark.Add(time.Minute), ReadAt: morning, LinkedAt: morning}
	if diff := cmp.Diff(want, k); diff != "" {
		t.Errorf("project (-want +got):\n%s", diff)
	}
	if run, _ := p.run(seen.ID); !run.Stale {
		t.Error("a pipeline that was touched is not read again")
	}
	p.update(func(tx *storage.Tx) error {
		run, err := tx.RunByRemote(web, 6)
		if !run.WantsRead() {
			t.Error("a pipeline that no webhook told of is not read")
		}
		return err
	})
}

// What was read already is not read again, however often GitLab lists it: the overlap must cost nothing.
func TestProjectReReadOfWhatIsKnown(t *testing.T) {
	p := newPeers(t)
	p.link("web", web)
	o := pipeline(5, kovra.Success)
	o.Run.UpdatedAt = morning
	run := p.observe(whole(o))
	p.changed = func(s time.Time) ([]kovra.Run, time.Time, error) {
		if !s.IsZero() {
			t.Errorf("asked since %s; of a project without a mark everything is new", s)
		}
		return []kovra.Run{{Project: web, Remote: 5, Status: kovra.Success, UpdatedAt: morning}}, s, nil
	}
	if _, err := p.dispatch().Projects().Reconcile(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	if now, _ := p.run(run.ID); now.Stale || now.Version != run.Version {
		t.Errorf("stale %v, version %d after %d", now.Stale, now.Version, run.Version)
	}
}

func TestProjectReReadFails(t *testing.T) {
	for name, fail := range map[string]func(p *peers){
		"changes": func(p *peers) {
			p.changed = func(time.Time) ([]kovra.Run, time.Time, error) { return nil, time.Time{}, errBusy }
		},
		"project": func(p *peers) { p.project = func(string) (kovra.Project, error) { return kovra.Project{}, errBusy } },
	} {
		p := newPeers(t)
		p.link("web", web)
		before := p.saved(web)
		fail(p)
		if _, err := p.dispatch().Projects().Reconcile(t.Context(), web); kovra.KindOf(err) != kovra.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(before, p.saved(web)); diff != "" {
			t.Errorf("%s: it counts as read (-want +got):\n%s", name, diff)
		}
	}
}

func TestNobodyCares(t *testing.T) {
	p := newPeers(t)
	p.link("web", web, "C1")
	run := p.observe(pipeline(5, kovra.Failed, failedJobs...))
	p.update(func(tx *storage.Tx) error {
		if err := tx.MarkStale(run.ID); err != nil {
			return err
		}
		return tx.SaveApp(kovra.App{Name: "web"})
	})
	d := p.dispatch()
	if after, err := d.Projects().Reconcile(t.Context(), web); err != nil || after != 0 {
		t.Errorf("project: again after %s, %v", after, err)
	}
	for range 3 {
		if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.calls) != 0 {
		t.Errorf("GitLab was called: %q", p.calls)
	}
	if p.isDirty(kovra.Ref{Kind: kovra.RefRun, ID: run.ID}) {
		t.Error("the run is looked at for ever")
	}
}

func TestRunThatIsNot(t *testing.T) {
	if after, err := newPeers(t).dispatch().Runs().Reconcile(t.Context(), 99); after != 0 || err != nil { // it was forgotten
		t.Errorf("looked at again after %v, %v", after, err)
	}
}

func TestReReadWaitsForGitLab(t *testing.T) {
	p := newPeers(t)
	p.link("web", web, "C1")
	run := p.observe(pipeline(5, kovra.Running))
	p.pipeline = func(int64) (kovra.Observation, error) { return kovra.Observation{}, errBusy }
	p.later(time.Hour)
	if _, err := p.dispatch().Runs().Reconcile(t.Context(), run.ID); kovra.KindOf(err) != kovra.Unavailable {
		t.Error(err)
	}
	if now, _ := p.run(run.ID); !now.WantsRead() {
		t.Error("the doubt is forgotten")
	}
}

// failing is a failed run with a thread and one job whose log is to be read.
func failing(t *testing.T) (*peers, *Dispatch, kovra.Run) {
	t.Helper()
	p := newPeers(t)
	p.link("web", web, "C1")
	o := pipeline(5, kovra.Failed, failedJobs[0])
	p.pipeline = func(int64) (kovra.Observation, error) { return whole(o), nil }
	return p, p.dispatch(), p.observe(o)
}

func TestLogThatGitLabRefuses(t *testing.T) {
	for name, err := range map[string]error{"not found": errGone, "denied": errDenied} {
		p, d, run := failing(t)
		p.trace = func(int64) (io.ReadCloser, error) { return nil, err }
		if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, jobs := p.run(run.ID); jobs[0].Log != kovra.LogGone || jobs[0].Excerpt.Note != kovra.PublicText(err) {
			t.Errorf("%s: %q, %q", name, jobs[0].Log, jobs[0].Excerpt.Note)
		}
	}
}

// A log that comes too slowly is waited for, and in the end done without.
func TestLogThatComesTooSlowly(t *testing.T) {
	p, _, run := failing(t)
	p.trace = func(int64) (io.ReadCloser, error) {
		return io.NopCloser(iotest.ErrReader(context.DeadlineExceeded)), nil
	}
	d := p.dispatch()
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err == nil {
		t.Error("nobody would try again")
	}
	p.later(10 * time.Minute)
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	if _, jobs := p.run(run.ID); jobs[0].Log != kovra.LogGone || jobs[0].Excerpt.Note != "GitLab did not give the log in time." {
		t.Errorf("%q, %q", jobs[0].Log, jobs[0].Excerpt.Note)
	}
}

// One that takes all the time of each pass is done without, too.
func TestLogThatTakesWholePasses(t *testing.T) {
	p, d, run := failing(t)
	pass := func() {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		p.trace = func(int64) (io.ReadCloser, error) { <-ctx.Done(); return nil, ctx.Err() }
		_, _ = d.Runs().Reconcile(ctx, run.ID)
	}
	pass()
	p.later(11 * time.Minute)
	pass()
	if _, jobs := p.run(run.ID); jobs[0].Log != kovra.LogGone {
		t.Errorf("after eleven minutes the log is %q", jobs[0].Log)
	}
}

// A job that failed while nobody was there has its whole time from when its log is first asked for.
func TestLogOfAJobThatFailedLongAgo(t *testing.T) {
	p, d, run := failing(t)
	p.later(time.Hour)
	trace := p.trace
	p.trace = func(int64) (io.ReadCloser, error) { return nil, errBusy }
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); kovra.KindOf(err) != kovra.Unavailable {
		t.Errorf("the first time: %v", err)
	}
	p.later(9 * time.Minute)
	p.trace = trace
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	if _, jobs := p.run(run.ID); jobs[0].Log != kovra.LogCut {
		t.Errorf("%q, %q", jobs[0].Log, jobs[0].Excerpt.Note)
	}
	if len(d.vain.since) > 0 {
		t.Errorf("it is remembered: %v", d.vain.since)
	}
}

// Logs that come too slowly are given up together: the time of one that a pass did not come to runs as well.
func TestLogsThatComeTooSlowlyTogether(t *testing.T) {
	p := newPeers(t)
	p.link("web", web, "C1")
	o := pipeline(5, kovra.Failed, failedJobs...)
	p.pipeline = func(int64) (kovra.Observation, error) { return whole(o), nil }
	run, d := p.observe(o), p.dispatch()
	ctx, end := context.WithCancel(t.Context())
	p.trace = func(int64) (io.ReadCloser, error) {
		end() // the time of the pass is over
		return nil, errBusy
	}
	if _, err := d.Runs().Reconcile(ctx, run.ID); err == nil {
		t.Error("nobody would try again")
	}
	p.later(10 * time.Minute)
	p.trace = func(int64) (io.ReadCloser, error) { return nil, errBusy }
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Error(err)
	}
	_, jobs := p.run(run.ID)
	for _, j := range jobs {
		if j.Log != kovra.LogGone {
			t.Errorf("%s: %q", j.Name, j.Log)
		}
	}
}

// A job that GitLab retried while its log was read is nobody's failure any more.
func TestLogOfARetriedJobIsFolded(t *testing.T) {
	p, d, run := failing(t)
	p.trace = func(int64) (io.ReadCloser, error) {
		p.observe(kovra.Observation{Run: kovra.Run{Project: web, Remote: 5}, Jobs: []kovra.Job{unit(61, kovra.Pending)}})
		return io.NopCloser(strings.NewReader("boom")), nil
	}
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	if _, jobs := p.run(run.ID); jobs[0].Log != kovra.LogFolded || len(jobs[0].Excerpt.Lines) != 0 {
		t.Errorf("%q, %+v", jobs[0].Log, jobs[0].Excerpt)
	}
}

// Of those beyond the tenth the log is not even asked for.
func TestLogsBeyondTheTenthAreNotRead(t *testing.T) {
	p := newPeers(t)
	p.link("web", web, "C1")
	o := pipeline(5, kovra.Failed)
	for i := range int64(13) {
		o.Jobs = append(o.Jobs, kovra.Job{ID: 51 + i, Name: string(rune('a' + i)), Status: kovra.Failed, FinishedAt: morning})
	}
	p.pipeline = func(int64) (kovra.Observation, error) { return whole(o), nil }
	run := p.observe(o)
	if _, err := p.dispatch().Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	if n := p.count("trace"); n != kovra.MaxFailures {
		t.Errorf("%d logs were read", n)
	}
	_, jobs := p.run(run.ID)
	for i, j := range jobs {
		if want := map[bool]kovra.LogState{true: kovra.LogCut, false: kovra.LogGone}[i < kovra.MaxFailures]; j.Log != want {
			t.Errorf("job %d: %q, want %q", j.ID, j.Log, want)
		}
	}
}

// Without a thread nobody sees the failure, so no log is asked for.
func TestNoThreadNoLog(t *testing.T) {
	p := newPeers(t)
	p.link("web", web)
	o := pipeline(5, kovra.Failed, failedJobs...)
	p.pipeline = func(int64) (kovra.Observation, error) { return whole(o), nil }
	run := p.observe(o)
	if _, err := p.dispatch().Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	if p.count("trace") != 0 {
		t.Errorf("calls %q", p.calls)
	}
}

// A burst of hooks costs one question, after it.
func TestBurstIsOneQuestion(t *testing.T) {
	p := newPeers(t)
	p.link("web", web, "C1")
	o := pipeline(5, kovra.Running)
	p.pipeline = func(int64) (kovra.Observation, error) { return whole(o), nil }
	run := p.observe(o)
	d := p.dispatch()
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil || p.count("read") != 1 {
		t.Fatalf("a new run: %v, %q", err, p.calls)
	}
	p.later(time.Minute)
	p.observe(pipeline(5, kovra.Manual)) // a doubt
	after, err := d.Runs().Reconcile(t.Context(), run.ID)
	if err != nil || after != 500*time.Millisecond || p.count("read") != 1 {
		t.Errorf("in the burst: again after %s, %v, %q", after, err, p.calls)
	}
	p.later(after)
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil || p.count("read") != 2 {
		t.Errorf("after the burst: %v, %q", err, p.calls)
	}
}

// A run that changed while it was read is read again, soon.
func TestHookDuringAReRead(t *testing.T) {
	p := newPeers(t)
	p.link("web", web, "C1")
	o := pipeline(5, kovra.Running)
	p.pipeline = func(int64) (kovra.Observation, error) {
		p.observe(kovra.Observation{Run: kovra.Run{Project: web, Remote: 5, Title: "meanwhile"}})
		return whole(o), nil
	}
	run := p.observe(o)
	if after, err := p.dispatch().Runs().Reconcile(t.Context(), run.ID); err != nil || after != 500*time.Millisecond {
		t.Errorf("again after %s, %v", after, err)
	}
	if now, _ := p.run(run.ID); !now.Stale {
		t.Error("an outdated answer was taken for the truth")
	}
}

// A parent that nobody told us of: the child waits for it, silently.
func TestChildOfNobody(t *testing.T) {
	p := newPeers(t)
	p.link("web", web, "C1")
	o := pipeline(6, kovra.Failed, failedJobs[0])
	o.Run.Source, o.Run.Parent = "parent_pipeline", kovra.Parent{Project: web, Pipeline: 5}
	p.pipeline = func(int64) (kovra.Observation, error) { return whole(o), nil }
	run := p.observe(o)
	if _, err := p.dispatch().Runs().Reconcile(t.Context(), run.ID); err != nil || p.count("trace") != 0 {
		t.Errorf("%v, calls %q", err, p.calls)
	}
	if prints, err := p.dispatch().injected(t.Context(), run.ID); err != nil || len(prints) != 0 {
		t.Errorf("prints %v, %v", prints, err)
	}
}

// A loop that is told to stop leaves the action to its next life.
func TestStoppedActionGoesOn(t *testing.T) {
	p := newPeers(t)
	p.link("web", web)
	id := p.wishStart("main")
	ctx, stop := context.WithCancel(t.Context())
	p.highest = func() (int64, error) {
		stop()
		return 0, context.Canceled
	}
	if _, err := p.dispatch().Actions().Reconcile(ctx, id); err == nil {
		t.Error("no error: nobody would try again")
	}
	if a := p.action(id); !a.Open() {
		t.Errorf("state %q", a.State)
	}
}

// Give up is about time alone: the first failure after it ends the action.
func TestActionGivesUpAfterItsTime(t *testing.T) {
	p := newPeers(t)
	p.link("web", web)
	p.highest = func() (int64, error) { return 0, errBusy }
	d, id := p.dispatch(), p.wishStart("main")
	passes := 0
	for p.step(d, id) {
		passes++
		p.later(time.Minute)
	}
	wantEnd(t, p.action(id), kovra.ActionFailed, kovra.Unavailable)
	if passes != 10 {
		t.Errorf("%d passes, a minute each", passes)
	}
}
