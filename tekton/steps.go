package tekton

import (
	"cmp"
	"context"
	"fmt"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"

	"kovra.dev/chatops/internal/kovra"
)

// Follow calls each for every line of every step, in the order of the steps, from the cursor on ("": from the first line), and goes on
// while the run does: lines come as they are written. No line is left out or told twice. It returns nil once the run has ended, or is
// gone, and everything that can be had was told; an error of kind Unavailable when it should be called again later, with the last
// cursor; and the error of each. Where something of a log was lost with its pod, a line says so.
//
// One log is open at a time, so tasks that run beside each other are told one after the other.
func (c *Client) Follow(ctx context.Context, r kovra.ClusterRef, from string, each func(kovra.StepLine) error) error {
	at, err := parseCursor(from)
	if err != nil {
		return err
	}
	f := &follower{c: c, ref: r, each: each, at: at}
	for {
		seen, err := f.look(ctx)
		switch {
		case kovra.KindOf(err) == kovra.NotFound:
			return f.lost("The PipelineRun is gone; the end of the log may be missing.")
		case err != nil:
			return err
		}
		ended, err := f.readOn(ctx, seen)
		if err != nil || ended {
			return err
		}
		if err := pause(ctx, c.o.Poll); err != nil {
			return err
		}
	}
}

// follower tells the log of one run.
type follower struct {
	c    *Client
	ref  kovra.ClusterRef
	each func(kovra.StepLine) error
	at   cursor
	// whole: the log of the step at the cursor was read to an end of its own, so nothing is missing should the pod be gone now.
	whole bool
}

func (f *follower) look(ctx context.Context) (*sight, error) {
	ctx, cancel := f.c.within(ctx)
	defer cancel()
	return f.c.see(ctx, f.ref)
}

// attempt is one step in one attempt of its task.
type attempt struct {
	task, step     string
	n              int
	pod, container string
	state          attemptState
}

type attemptState int

const (
	toCome  attemptState = iota // it may run yet
	skipped                     // it never ran, and never will
	runs
	ended
)

func (a attempt) is(c cursor) bool { return a.task == c.task && a.step == c.step && a.n == c.attempt }

// attempts are all steps of the run in the order in which they are told, those of earlier attempts first.
func (s *sight) attempts() []attempt {
	var all []attempt
	for _, task := range s.tasks() {
		list := s.taskRuns[task.Name]
		if len(list) == 0 {
			all = append(all, attempt{task: task.Name, state: s.never()})
		}
		for i, tr := range list {
			label := taskLabel(task, i, len(list))
			for n, earlier := range tr.Status.RetriesStatus {
				before := tr.DeepCopy()
				before.Status = earlier
				all = append(all, attemptsOf(label, n, before, skipped)...)
			}
			all = append(all, attemptsOf(label, len(tr.Status.RetriesStatus), tr, s.never())...)
		}
	}
	return all
}

// never is the state of a step that has not run: there is no hope once the run has ended.
func (s *sight) never() attemptState {
	if s.final() {
		return skipped
	}
	return toCome
}

func attemptsOf(task string, n int, tr *v1.TaskRun, never attemptState) []attempt {
	if tr.IsDone() {
		never = skipped
	}
	if len(tr.Status.Steps) == 0 {
		return []attempt{{task: task, n: n, state: never}}
	}
	steps := stepsOfTaskRun(task, tr)
	all := make([]attempt, 0, len(steps))
	for i, state := range tr.Status.Steps {
		a := attempt{task: task, step: steps[i].Name, n: n, pod: tr.Status.PodName, state: never}
		a.container = cmp.Or(state.Container, "step-"+steps[i].Name)
		switch {
		case steps[i].StartedAt.IsZero(): // it waits, or was never let run
		case steps[i].Status.Final():
			a.state = ended
		default:
			a.state = runs
		}
		if steps[i].Status == kovra.Skipped {
			a.state = skipped
		}
		all = append(all, a)
	}
	return all
}

// readOn reads all that can be read now. It reports whether that was everything there will ever be.
func (f *follower) readOn(ctx context.Context, s *sight) (bool, error) {
	list := s.attempts()
	first := 0
	if f.at.task != "" {
		first = position(list, f.at)
	}
	if first < 0 { // its TaskRun was deleted: what was told must not be told again
		if !s.final() {
			return false, nil
		}
		return true, f.lost("The TaskRun is gone; the end of the log may be missing.")
	}
	for _, a := range list[first:] {
		switch {
		case a.state == skipped || a.is(f.at) && f.at.done:
			continue
		case a.state == toCome:
			return false, nil
		}
		done, err := f.read(ctx, a)
		if err != nil || !done {
			return false, err
		}
	}
	return s.final(), nil
}

func position(list []attempt, c cursor) int {
	for i, a := range list {
		if a.is(c) {
			return i
		}
	}
	return -1
}

// read tells one step from the cursor on. It reports whether there is nothing more to come of it.
func (f *follower) read(ctx context.Context, a attempt) (bool, error) {
	if !a.is(f.at) {
		if err := f.begin(a); err != nil {
			return false, err
		}
	}
	// Only a log that was opened after the step had ended is known to be whole.
	err := f.stream(ctx, a)
	switch {
	case isGone(err):
		if a.state != ended {
			return false, nil // the next look tells how it ended
		}
		if f.whole {
			f.at.done = true
			return true, nil
		}
		return true, f.lost(fmt.Sprintf("The pod is gone; %s.", f.missing()))
	case isNotYet(err) || err == errBroken: //nolint:errorlint // both are ours
		return false, nil
	case err != nil:
		return false, err
	case a.state == ended:
		f.at.done = true
		return true, nil
	default:
		f.whole = true
		return false, nil
	}
}

// begin tells the title of a step.
func (f *follower) begin(a attempt) error {
	f.at, f.whole = cursor{task: a.task, step: a.step, attempt: a.n}, false
	title := "Step " + a.step
	if a.n > 0 {
		title = fmt.Sprintf("%s, attempt %d", title, a.n+1)
	}
	return f.each(kovra.StepLine{Task: a.task, Step: a.step, Begins: true, Text: title, Cursor: f.at.String()})
}

// lost tells that something of the step at the cursor is missing.
func (f *follower) lost(text string) error {
	if f.at.task == "" || f.at.done {
		return nil
	}
	f.at.done = true
	return f.each(kovra.StepLine{Task: f.at.task, Step: f.at.step, Text: text, Cursor: f.at.String()})
}

func (f *follower) missing() string {
	if f.at.newest.IsZero() {
		return "what this step wrote is lost"
	}
	return "the end of what this step wrote may be missing"
}

// pause waits; its error is that of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
