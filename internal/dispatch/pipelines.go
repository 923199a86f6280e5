package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// lookEvery is the pause between two looks for a pipeline that may have been started.
const lookEvery = time.Second

// run starts a pipeline. Class: write-ahead intent. The intent is stored with the
// highest pipeline id before GitLab is asked; after an unclear end the pipeline is
// looked for above that id. It is never asked for twice.
func (a Actions) run(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	p, err := a.project(ctx, act.App)
	if err != nil {
		return end{}, 0, err
	}
	if act.Params.Ref == "" {
		act.Params.Ref = p.DefaultBranch
	}
	if act.State == kovra.ActionTried {
		return a.adopt(ctx, act, p)
	}
	hand, err := a.hand(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	act.Params.As = hand.as()
	vars, err := a.variables(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	act.Params.Prints = a.prints(vars)
	if act.Params.Floor, err = a.world.Starts.HighestPipeline(ctx, p.ID); err != nil {
		return end{}, 0, err
	}
	if first, err := a.intend(ctx, act, p.ID); err != nil || !first {
		return end{}, lookEvery, err
	}
	id, url, err := hand.Controls.CreatePipeline(ctx, p.ID, act.Params.Ref, vars, act.Params.Inputs)
	switch kovra.KindOf(err) {
	case kovra.Unavailable, kovra.Unconnected:
		return end{}, 0, a.untried(ctx, act, err)
	case kovra.Unclear:
		return end{}, lookEvery, nil
	default: // done, or an error that the caller is to see
	}
	if err != nil {
		return end{}, 0, err
	}
	return started(act, p, id, url), 0, nil
}

// untried takes back that the effect was started: GitLab said no before it did anything.
// The next try asks for the permission again.
func (a Actions) untried(ctx context.Context, act kovra.Action, err error) error {
	return errors.Join(err, a.db.Update(ctx, func(tx *storage.Tx) error { return tx.UntryAction(act.ID) }))
}

// intend writes the intent ahead of the effect. It reports false while another start
// on the same ref of the project has an unknown end: adoption could not tell the two
// pipelines apart.
func (a Actions) intend(ctx context.Context, act kovra.Action, project int64) (bool, error) {
	first := true
	err := a.db.Update(ctx, func(tx *storage.Tx) error {
		open, err := tx.OpenActions(kovra.ActRun)
		if err != nil {
			return err
		}
		for _, o := range open {
			if o.State != kovra.ActionTried || o.Params.Ref != act.Params.Ref {
				continue
			}
			other, err := tx.App(o.App)
			if err = ignoreNotFound(err); err != nil {
				return err
			}
			if other.Project == project {
				first = false
				return nil
			}
		}
		return tx.TryAction(act.ID, act.Params)
	})
	return first, err
}

func (a Actions) variables(ctx context.Context, act kovra.Action) ([]kovra.Variable, error) {
	var vars []kovra.Variable
	err := a.db.Read(ctx, func(tx *storage.Tx) error {
		secret, err := tx.Secret(act.ID)
		if err != nil || secret == nil {
			return err
		}
		return json.Unmarshal(secret, &vars)
	})
	if err != nil {
		return nil, fmt.Errorf("read variables of action %d: %w", act.ID, err)
	}
	return vars, nil
}

// adopt finds out whether a start whose end is not known has happened.
func (a Actions) adopt(ctx context.Context, act kovra.Action, p kovra.Project) (end, time.Duration, error) {
	above := act.Params.Floor
	for {
		id, found, err := a.world.Starts.FindPipeline(ctx, p.ID, above, act.Params.Ref, act.Params.As)
		if err != nil {
			return end{}, 0, err
		}
		if !found {
			break
		}
		taken, err := a.startedByAnother(ctx, p.ID, id, act.ID)
		if err != nil {
			return end{}, 0, err
		}
		if !taken {
			return started(act, p, id, ""), 0, nil
		}
		above = id
	}
	if kovra.Left(act.TriedAt, a.opts.LookFor, a.db.Now()) > 0 {
		return end{}, lookEvery, nil
	}
	return end{}, 0, kovra.Errorf(kovra.Conflict,
		"GitLab did not say whether the pipeline was started, and none is to be seen. Please look there before you try again.")
}

// startedByAnother reports whether a pipeline is known to come from another action.
func (a Actions) startedByAnother(ctx context.Context, project, pipeline, act int64) (bool, error) {
	taken := false
	err := a.db.Read(ctx, func(tx *storage.Tx) error {
		run, err := tx.RunByRemote(project, pipeline)
		if err != nil {
			return ignoreNotFound(err)
		}
		actions, err := tx.Actions(storage.ActionQuery{Run: run.ID, Limit: 100})
		for _, o := range actions {
			taken = taken || o.ID != act && o.Kind == kovra.ActRun && o.State == kovra.ActionDone
		}
		return err
	})
	return taken, err
}

// started records the new pipeline together with the end of the action, so that its
// thread appears at once; everything else about it is read from GitLab.
func started(act kovra.Action, p kovra.Project, id int64, url string) end {
	e := done(kovra.Outcome{Remote: id, URL: url, Ref: act.Params.Ref, As: act.Params.As})
	e.also = func(tx *storage.Tx, out *kovra.Outcome) error {
		run, _, err := tx.Observe(kovra.Observation{Run: kovra.Run{
			Project: p.ID, Remote: id, Ref: act.Params.Ref, Status: kovra.Created, URL: url, Source: "api",
		}})
		out.Run = run.ID
		return err
	}
	return e
}

// rereads is how often an action asks GitLab anew because hooks came in between.
const rereads = 3

// fresh re-reads the run of an action, so that it is judged by what GitLab says now. The
// permission was for the app, so the run must be of its project, now.
func (a Actions) fresh(ctx context.Context, act kovra.Action) (kovra.Run, []kovra.Job, error) {
	p, err := a.project(ctx, act.App)
	if err != nil {
		return kovra.Run{}, nil, err
	}
	var run kovra.Run
	err = a.db.Read(ctx, func(tx *storage.Tx) (err error) {
		run, err = tx.Run(act.Run)
		return err
	})
	if err != nil {
		return run, nil, err
	}
	if run.Project != p.ID {
		return run, nil, kovra.Errorf(kovra.Conflict, "Pipeline #%d is of another GitLab project; %s is linked to %s now.", run.Remote, act.App, p.Path)
	}
	for range rereads {
		if run, err = a.reread(ctx, run); err != nil {
			return run, nil, err
		}
		if !run.Stale {
			break
		}
	}
	var jobs []kovra.Job
	err = a.db.Read(ctx, func(tx *storage.Tx) (err error) {
		jobs, err = tx.Jobs(run.ID)
		return err
	})
	return run, jobs, err
}

// control is what retry, cancel, retry job and play have in common. Class: by
// precondition. It acts only if GitLab's present state still asks for it, and
// after an unclear end the state tells whether it was done.
func (a Actions) control(ctx context.Context, act kovra.Action, already, possible func(kovra.Run, []kovra.Job) bool,
	do func(Controls, kovra.Run) error,
) (end, time.Duration, error) {
	run, jobs, err := a.fresh(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	out := kovra.Outcome{Remote: run.Remote, URL: run.URL, Run: run.ID, As: act.Params.As}
	if act.State == kovra.ActionTried && already(run, jobs) {
		return done(out), 0, nil // whether its person has an account still or not
	}
	hand, err := a.hand(ctx, act)
	if kovra.KindOf(err) == kovra.Unconnected {
		return end{}, 0, a.untried(ctx, act, err)
	}
	if err != nil {
		return end{}, 0, err
	}
	act.Params.As, out.As = hand.as(), hand.as()
	if !possible(run, jobs) {
		return end{}, 0, kovra.Errorf(kovra.Conflict, "%s", notNow(act, run, jobs))
	}
	if err := a.db.Update(ctx, func(tx *storage.Tx) error { return tx.TryAction(act.ID, act.Params) }); err != nil {
		return end{}, 0, err
	}
	switch err := do(hand.Controls, run); kovra.KindOf(err) {
	case kovra.Unavailable, kovra.Unconnected:
		return end{}, 0, a.untried(ctx, act, err)
	default:
		if err != nil {
			return end{}, 0, err
		}
	}
	if act.Kind == kovra.ActRetry || act.Kind == kovra.ActRetryJob {
		out.Moved = a.moved(ctx, run)
	}
	return end{State: kovra.ActionDone, Outcome: out, also: func(tx *storage.Tx, _ *kovra.Outcome) error {
		return tx.MarkStale(run.ID)
	}}, 0, nil
}

// moved is the commit that the run's branch points to now, if it is another one. Not
// knowing is no reason to fail what has been done. The commit of a merge request's pipeline may be of a merge that is on
// no branch, and its branch may be of another project.
func (a Actions) moved(ctx context.Context, run kovra.Run) string {
	if run.Kind() != "branch" || run.Ref == "" {
		return ""
	}
	head, err := a.world.Pipelines.Head(ctx, run.Project, run.Ref)
	if err != nil || head == run.SHA {
		return ""
	}
	return head
}

func (a Actions) retry(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	already := func(run kovra.Run, jobs []kovra.Job) bool {
		return succeeded(act.Params.Jobs, jobs) || !run.Status.CanRetry()
	}
	possible := func(run kovra.Run, jobs []kovra.Job) bool {
		return run.Status.CanRetry() && !succeeded(act.Params.Jobs, jobs)
	}
	return a.control(ctx, act, already, possible, func(c Controls, run kovra.Run) error {
		return c.RetryPipeline(ctx, run.Project, run.Remote)
	})
}

// succeeded reports whether one of the jobs has a next attempt.
func succeeded(ids []int64, jobs []kovra.Job) bool {
	for _, id := range ids {
		if j, ok := byID(jobs, id); ok {
			if _, again := kovra.Successor(j, jobs); again {
				return true
			}
		}
	}
	return false
}

func byID(jobs []kovra.Job, id int64) (kovra.Job, bool) {
	for _, j := range jobs {
		if j.ID == id {
			return j, true
		}
	}
	return kovra.Job{}, false
}

func (a Actions) cancel(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	already := func(run kovra.Run, _ []kovra.Job) bool { return !run.Status.CanCancel() }
	possible := func(run kovra.Run, _ []kovra.Job) bool { return run.Status.CanCancel() }
	return a.control(ctx, act, already, possible, func(c Controls, run kovra.Run) error {
		return c.CancelPipeline(ctx, run.Project, run.Remote)
	})
}

func (a Actions) retryJob(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	already := func(_ kovra.Run, jobs []kovra.Job) bool { return succeeded([]int64{act.Job}, jobs) }
	possible := func(_ kovra.Run, jobs []kovra.Job) bool {
		j, ok := byID(jobs, act.Job)
		return ok && j.Status.CanRetry() && !succeeded([]int64{act.Job}, jobs)
	}
	return a.control(ctx, act, already, possible, func(c Controls, run kovra.Run) error {
		return c.RetryJob(ctx, run.Project, act.Job)
	})
}

func (a Actions) play(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	possible := func(_ kovra.Run, jobs []kovra.Job) bool {
		j, ok := byID(jobs, act.Job)
		return ok && j.Status == kovra.Manual
	}
	already := func(run kovra.Run, jobs []kovra.Job) bool { return !possible(run, jobs) }
	return a.control(ctx, act, already, possible, func(c Controls, run kovra.Run) error {
		return c.PlayJob(ctx, run.Project, act.Job)
	})
}

// notNow says why an action is not possible in the present state, and what the state is.
func notNow(act kovra.Action, run kovra.Run, jobs []kovra.Job) string {
	pipeline := fmt.Sprintf("Pipeline #%d", run.Remote)
	switch act.Kind {
	case kovra.ActRetry:
		return fmt.Sprintf("%s is %s now; only a failed or canceled one can be retried.", pipeline, word(run.Status))
	case kovra.ActCancel:
		return fmt.Sprintf("%s is %s now; only a pending or running one can be canceled.", pipeline, word(run.Status))
	default: // what is left is about a job
	}
	j, ok := byID(jobs, act.Job)
	if !ok {
		return fmt.Sprintf("%s has no job #%d.", pipeline, act.Job)
	}
	if next, again := kovra.Successor(j, jobs); again && act.Kind == kovra.ActRetryJob {
		return fmt.Sprintf("Job %s was retried already; the new one is %s.", j.Name, word(next.Status))
	}
	if act.Kind == kovra.ActPlay {
		return fmt.Sprintf("Job %s is %s now; only a manual job can be played.", j.Name, word(j.Status))
	}
	return fmt.Sprintf("Job %s is %s now; only a failed one can be retried.", j.Name, word(j.Status))
}

func word(s kovra.Status) string {
	if exact := s.Exact(); exact != "" {
		return exact
	}
	return string(s.Shown())
}
