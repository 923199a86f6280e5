package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// written is a run of three steps with all that logs are made of.
func written(r *rand.Rand) []kovra.StepLine {
	var lines []kovra.StepLine
	for _, step := range []string{"clone", "build", "push"} {
		lines = append(lines, kovra.StepLine{Task: "t", Step: step, Begins: true})
		for i := range r.IntN(30) {
			text := []string{
				fmt.Sprintf("line %d", i), "", "\x1b[32mgreen", "0%\r50%\r100%", "section_start:1:step_script\r\x1b[0KTitle", "not \xff UTF-8",
				"token glpat-abcdefghijklmnop", "the password is hunter22 here", "error: broken",
				"-----BEGIN RSA PRIVATE KEY-----", strings.Repeat("QUJD", 16), "-----END RSA PRIVATE KEY-----", "t · build",
			}[r.IntN(13)]
			lines = append(lines, kovra.StepLine{Task: "t", Step: step, Text: text})
		}
	}
	return lines
}

// followed keeps the log of a run whose stream breaks off before some lines, and returns it.
func (s *shop) followed(lines []kovra.StepLine, breaks func() bool) []kovra.LogLine {
	s.t.Helper()
	s.set("web", func(v *kovra.BuildSettings) {
		v.Args = []kovra.BuildArg{{Key: "DB_PASSWORD", Value: "hunter22"}, {Key: "MODE", Value: "release"}}
	})
	b := s.add(1)
	s.pump()
	run := s.on(b)
	run.lines, run.Status = lines, kovra.BuildSucceeded
	s.followErr = func(int) error {
		if breaks() {
			return errBusy
		}
		return nil
	}
	for range 1000 {
		s.sweepOnce()
		if log, _ := s.text(b.LogKey()); log.Done {
			all, err := s.logs.Lines(s.t.Context(), log.ID, 1, 10_000)
			if err != nil {
				s.t.Fatal(err)
			}
			return all
		}
	}
	s.t.Fatal("the log does not end")
	return nil
}

// However often a stream breaks off, no line is missing or there twice, and no secret shows.
func TestStepLogResumes(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		lines := written(r)
		whole := newShop(t).followed(slices.Clone(lines), func() bool { return false })
		got := newShop(t).followed(slices.Clone(lines), func() bool { return r.IntN(6) == 0 })
		if len(whole) != len(lines) || len(got) != len(lines) {
			t.Fatalf("seed %d: %d lines were written; kept %d, and %d when it broke off", seed, len(lines), len(whole), len(got))
		}
		for i, l := range got {
			raw := lines[i]
			if l.N != i+1 || l.Header != raw.Begins || l.Depth != 1 {
				t.Errorf("seed %d: line %d is %+v, and was %+v", seed, i+1, l, raw)
			}
			if raw.Begins && l.Text != "t · "+raw.Step {
				t.Errorf("seed %d: header %q", seed, l.Text)
			}
			for _, secret := range []string{"hunter22", "glpat-abc", "QUJDQUJD"} {
				if strings.Contains(l.Text, secret) && (secret != "QUJDQUJD" || whole[i].Text != l.Text) {
					t.Errorf("seed %d: line %d shows %q", seed, i+1, l.Text)
				}
			}
			// More may be hidden after a break: it could have been in a private key.
			if l.Text != whole[i].Text && l.Text != "[MASKED]" {
				t.Errorf("seed %d: line %d is %q, want %q", seed, i+1, l.Text, whole[i].Text)
			}
		}
	}
}

// live is a run whose lines come when the test says so.
type live struct {
	*cluster
	lines chan string
	ended chan struct{}
}

func (l *live) Follow(ctx context.Context, _ kovra.ClusterRef, cursor string, each func(kovra.StepLine) error) error {
	n := len(cursor)
	for {
		select {
		case text := <-l.lines:
			n++
			if err := each(kovra.StepLine{Task: "build", Step: "build", Text: text, Cursor: strings.Repeat("x", n)}); err != nil {
				return err
			}
		case <-l.ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// playLive runs a story with a log that is being followed.
func playLive(t *testing.T, story func(s *shop, l *live, b kovra.Build)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		l := &live{cluster: s.cluster, lines: make(chan string), ended: make(chan struct{})}
		s.d.world.Steps = l
		b := s.add(1)
		s.pass(kovra.Ref{Kind: kovra.RefBuild, ID: b.ID})
		run := s.on(b)
		run.Status = kovra.BuildBuilding
		run.step("build", "build", kovra.Running)
		s.pass(kovra.Ref{Kind: kovra.RefBuild, ID: b.ID})
		story(s, l, s.build(b.ID))
	})
}

// follow follows in the background until the returned function is called.
func (s *shop) follow(b kovra.Build) (stop func() error) {
	ctx, cancel := context.WithCancel(s.t.Context())
	log, _ := s.text(b.LogKey())
	done := make(chan error)
	go func() {
		_, err := s.d.StepLogs().Reconcile(ctx, log.ID)
		done <- err
	}()
	return func() error {
		cancel()
		return <-done
	}
}

// Lines are there for live readers soon, also if no more of them come, and what came is kept when the program stops.
func TestStepLogIsLive(t *testing.T) {
	playLive(t, func(s *shop, l *live, b kovra.Build) {
		stop := s.follow(b)
		l.lines <- "one"
		l.lines <- "two"
		time.Sleep(time.Second)
		synctest.Wait()
		if _, lines := s.text(b.LogKey()); !slices.Equal(lines, []string{"# build", "one", "two"}) {
			t.Errorf("after a second: %q", lines)
		}
		if b := s.build(b.ID); b.Steps[0].FirstLine != 1 || !slices.Equal(b.Tail, []string{"one", "two"}) {
			t.Errorf("the build knows of line %d, and %q", b.Steps[0].FirstLine, b.Tail)
		}
		l.lines <- "three"
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("stopped: %v", err)
		}
		log, lines := s.text(b.LogKey())
		if !slices.Equal(lines, []string{"# build", "one", "two", "three"}) || log.Cursor != "xxx" || log.Done {
			t.Errorf("kept %q up to %q", lines, log.Cursor)
		}
		stop = s.follow(b) // another life reads on
		l.lines <- "four"
		_ = stop()
		if _, lines := s.text(b.LogKey()); len(lines) != 5 || lines[4] != "four" {
			t.Errorf("in the end %q", lines)
		}
	})
}

// Who reads live gets each line soon, also while the build's tail waits for its turn.
func TestStepLogStaysLive(t *testing.T) {
	playLive(t, func(s *shop, l *live, b kovra.Build) {
		stop := s.follow(b)
		for n := range 20 {
			l.lines <- fmt.Sprint("line ", n)
			time.Sleep(700 * time.Millisecond)
			synctest.Wait()
			if _, lines := s.text(b.LogKey()); len(lines) != n+2 {
				t.Errorf("line %d is not there after 700 ms; there are %d", n, len(lines))
			}
		}
		_ = stop()
	})
}

// A build hears of the first lines of a step that writes no more, although it learns only later that it runs.
func TestTailOfASilentStep(t *testing.T) {
	playLive(t, func(s *shop, l *live, b kovra.Build) {
		change := func(status kovra.BuildStatus, steps []kovra.Step) {
			t.Helper()
			if _, err := s.d.Builds().change(s.t.Context(), b.ID, func(_ *storage.Tx, o *kovra.Build) (bool, error) {
				o.Status, o.Steps = status, steps
				return true, nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		change(kovra.BuildPending, nil) // the lines come before the cluster tells
		stop := s.follow(b)
		l.lines <- "one"
		time.Sleep(2 * time.Second)
		change(kovra.BuildBuilding, b.Steps)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if b := s.build(b.ID); b.Steps[0].FirstLine != 1 || !slices.Equal(b.Tail, []string{"one"}) {
			t.Errorf("the build knows of line %d, and %q", b.Steps[0].FirstLine, b.Tail)
		}
		_ = stop()
	})
}

// What a pass had no time to tell the next one tells, also if no line comes any more.
func TestTailOutlivesItsPass(t *testing.T) {
	playLive(t, func(s *shop, l *live, b kovra.Build) {
		stop := s.follow(b)
		l.lines <- "one"
		time.Sleep(time.Second)
		synctest.Wait()
		l.lines <- "two"
		time.Sleep(time.Second)
		_ = stop()
		stop = s.follow(b)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if b := s.build(b.ID); !slices.Equal(b.Tail, []string{"one", "two"}) {
			t.Errorf("the tail is %q", b.Tail)
		}
		_ = stop()
	})
}

// The tail is the newest lines, every few seconds at most, and not when nothing new came.
func TestTailIsThrottled(t *testing.T) {
	playLive(t, func(s *shop, l *live, b kovra.Build) {
		stop := s.follow(b)
		saved := 0
		version := s.build(b.ID).Version
		for i := range 120 { // a minute of lines
			l.lines <- fmt.Sprintf("line %d of a log", i)
			time.Sleep(500 * time.Millisecond)
			synctest.Wait()
			if v := s.build(b.ID).Version; v != version {
				saved, version = saved+1, v
			}
		}
		if saved < 10 || saved > 15 {
			t.Errorf("saved %d times in a minute", saved)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		b = s.build(b.ID)
		if b.Version > version+1 || len(b.Tail) != tailLines || b.Tail[7] != "line 119 of a log" {
			t.Errorf("tail %q after %d more versions", b.Tail, b.Version-version)
		}
		l.lines <- strings.Repeat("ä", 200)
		l.lines <- ""
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if last := s.build(b.ID).Tail[7]; last != strings.Repeat("ä", tailLineBytes/2)+"…" {
			t.Errorf("a long line is shown as %q", last)
		}
		_ = stop()
	})
}

// A stream that ends before we know that the run has is no end; what opens too early says so.
func TestStepLogEnds(t *testing.T) {
	s := newShop(t)
	for n := range 3 {
		s.add(n)
	}
	waits := s.add(9)
	if _, err := s.logs.Touch(t.Context(), waits.LogKey()); err != nil {
		t.Fatal(err)
	}
	s.pump()
	log, _ := s.text(waits.LogKey())
	if log.Done || log.Note != noteWaits || log.Subject.Status != kovra.Pending {
		t.Errorf("waiting: %+v", log)
	}
	wantEnd(t, s.cancelled(waits.ID), kovra.ActionDone, "")
	log, err := s.logs.Touch(t.Context(), waits.LogKey())
	if err != nil {
		t.Fatal(err)
	}
	s.pass(kovra.Ref{Kind: kovra.RefStepLog, ID: log.ID})
	if log, _ = s.text(waits.LogKey()); !log.Done || log.Note != noteNeverMade {
		t.Errorf("never made: %+v", log)
	}
	b := s.build(1)
	run := s.on(b)
	delete(s.runs, b.Name) // the informers do not show it yet
	s.sweep()
	if log, _ = s.text(b.LogKey()); log.Done {
		t.Errorf("done too early: %+v", log)
	}
	s.runs[b.Name] = run
	run.Status = kovra.BuildFailed
	s.sweep()
	if log, _ = s.text(b.LogKey()); !log.Done || log.Note != noteNoSteps || log.Subject.Status != kovra.Failed {
		t.Errorf("ended: %+v", log)
	}
	other, err := s.logs.Touch(t.Context(), kovra.LogKey{Kind: kovra.BuildLog, Project: web, ID: 999})
	if err != nil {
		t.Fatal(err)
	}
	s.pump()
	if other, _ = s.text(other.Key); !other.Done || other.Note == "" {
		t.Errorf("of nothing: %+v", other)
	}
}

// Who opens the log of a build that is not followed has it followed.
func TestOpenedStepLogIsFollowed(t *testing.T) {
	s := newShop(t)
	b := s.add(1)
	s.pump()
	s.on(b).builds(s.now)
	s.restart()
	s.later(time.Minute)
	if _, err := s.logs.Touch(t.Context(), b.LogKey()); err != nil {
		t.Fatal(err)
	}
	s.pump()
	if _, lines := s.text(b.LogKey()); len(lines) != 6 {
		t.Errorf("kept %q", lines)
	}
}

// A log that is longer than what is kept of one ends there.
func TestStepLogFull(t *testing.T) {
	s := newShop(t)
	s.openLogs(100)
	s.logs.OnSteps(func(id int64) { s.kicked = append(s.kicked, kovra.Ref{Kind: kovra.RefStepLog, ID: id}) })
	s.restart()
	b := s.add(1)
	s.pump()
	run := s.on(b)
	run.builds(s.now)
	run.failsAt(s.now, strings.Repeat("x", 90), "error: never seen")
	s.sweep()
	log, lines := s.text(b.LogKey())
	if !log.Done || !log.Truncated || len(lines) == 0 {
		t.Errorf("log %+v", log)
	}
	if b = s.build(b.ID); !b.LogDone {
		t.Error("the build waits for it")
	}
	s.rests()
}

// The cluster may not let us read: people are told, and it is tried again.
func TestStepLogRefused(t *testing.T) {
	s := newShop(t)
	b := s.add(1)
	s.pump()
	s.on(b).builds(s.now)
	s.followErr = func(int) error { return kovra.Errorf(kovra.Denied, "The bot may not read the logs of pods.") }
	s.sweep()
	log, _ := s.text(b.LogKey())
	if log.Done || log.Note != "The bot may not read the logs of pods." || s.errs[kovra.Ref{Kind: kovra.RefStepLog, ID: log.ID}] == nil {
		t.Errorf("log %+v", log)
	}
	s.followErr = nil
	s.sweep()
	if log, lines := s.text(b.LogKey()); len(lines) != 6 {
		t.Errorf("log %+v: %q", log, lines)
	}
}

// What is overdue: what nobody has heard of, and logs that are not whole.
func TestOverdue(t *testing.T) {
	s := newShop(t)
	b := s.add(1)
	s.pump()
	log, _ := s.text(b.LogKey())
	overdue := func() []kovra.Ref {
		refs, err := s.d.Overdue(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return refs
	}
	step := kovra.Ref{Kind: kovra.RefStepLog, ID: log.ID}
	if diff := cmp.Diff([]kovra.Ref{step}, overdue()); diff != "" {
		t.Errorf("heard of just now (-want +got)\n%s", diff)
	}
	s.later(2 * time.Minute)
	build := kovra.Ref{Kind: kovra.RefBuild, ID: b.ID}
	if diff := cmp.Diff([]kovra.Ref{build, step}, overdue()); diff != "" {
		t.Errorf("quiet for long (-want +got)\n%s", diff)
	}
	s.on(b).builds(s.now)
	s.sweep()
	s.later(time.Second)
	s.restart()
	if diff := cmp.Diff([]kovra.Ref{build, step}, overdue()); diff != "" {
		t.Errorf("in another life (-want +got)\n%s", diff)
	}
	s.on(b).succeeds(s.now)
	s.sweep()
	s.later(time.Hour)
	if got := overdue(); len(got) != 0 {
		t.Errorf("ended: %+v", got)
	}
}

// Logs of builds are no business of the loop that asks GitLab, though their numbers may be those of jobs.
func TestStepLogsAreNotFetched(t *testing.T) {
	s := newShop(t)
	b := s.add(1)
	s.pump()
	if _, err := s.logs.Touch(t.Context(), b.LogKey()); err != nil {
		t.Fatal(err)
	}
	log, _ := s.text(b.LogKey())
	if after, err := s.d.Logs().Reconcile(t.Context(), log.ID); err != nil || after != 0 || s.count("job") != 0 {
		t.Errorf("after %v, %v; calls %q", after, err, s.calls)
	}
	run := s.observe(whole(pipeline(5, kovra.Running, kovra.Job{ID: b.ID, Name: "unit", Status: kovra.Failed})))
	if _, err := s.d.Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Log(err)
	}
	if now, _ := s.text(b.LogKey()); now.Subject != log.Subject {
		t.Errorf("subject %+v", now.Subject)
	}
	ids, err := s.logs.Open(t.Context(), morning.Add(-time.Hour), 100)
	if err != nil || slices.Contains(ids, log.ID) {
		t.Errorf("among the logs of jobs: %v, %v", ids, err)
	}
}
