package dispatch

import (
	"context"
	"fmt"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// Runs brings what we know of a pipeline up to what GitLab knows.
type Runs struct{ *Dispatch }

// Runs returns the reconciler of runs; its key is our id of the run.
func (d *Dispatch) Runs() Runs { return Runs{d} }

// Reconcile re-reads the run where there is a doubt and cuts the excerpts of its failed jobs.
func (r Runs) Reconcile(ctx context.Context, id int64) (time.Duration, error) {
	s, err := r.look(ctx, id)
	if err != nil {
		return 0, err
	}
	if !s.linked {
		return 0, r.driven(ctx, s.run)
	}
	if s.run.WantsRead() || len(s.failed) > 0 {
		if wait := r.settle(s.run); wait > 0 {
			return wait, nil
		}
		if after, err := r.readOrForget(ctx, s.run); after > 0 || err != nil {
			return after, err
		}
		if s, err = r.look(ctx, id); err != nil {
			return 0, err
		}
	}
	for i, j := range s.failed {
		if err := r.cut(ctx, j, i+s.cut >= kovra.MaxFailures); err != nil {
			return 0, err
		}
	}
	return 0, r.driven(ctx, s.run)
}

// situation is what Reconcile needs to know of a run.
type situation struct {
	run    kovra.Run
	linked bool        // an app still cares for its project
	failed []kovra.Job // failed ones whose log nobody has read, by id
	cut    int         // how many failures have been reported
}

func (r Runs) look(ctx context.Context, id int64) (situation, error) {
	var s situation
	err := r.db.Read(ctx, func(tx *storage.Tx) error {
		var err error
		if s.run, err = tx.Run(id); err != nil {
			return err
		}
		apps, err := tx.AppsOfProject(s.run.Project)
		if err != nil {
			return err
		}
		s.linked = len(apps) > 0
		watched, err := threaded(tx, s.run)
		if err != nil || !watched {
			return err
		}
		jobs, err := tx.Jobs(id)
		for _, j := range jobs {
			switch {
			case j.Log == kovra.LogCut || j.Log == kovra.LogGone:
				s.cut++
			case j.Status == kovra.Failed && j.Counts() && !j.Bridge && j.Log == kovra.LogUnread:
				s.failed = append(s.failed, j)
			}
		}
		return err
	})
	return s, err
}

// threaded reports whether anybody sees the run: it has a thread, or is the child of one that has.
func threaded(tx *storage.Tx, run kovra.Run) (bool, error) {
	for run.Child() {
		parent, err := tx.RunByRemote(run.Project, run.Parent.Pipeline)
		if err != nil {
			return false, ignoreNotFound(err)
		}
		run = parent
	}
	threads, err := tx.ThreadsOfRun(run.ID)
	return len(threads) > 0, err
}

// settle says how long to wait until the hooks of a burst have come: one question
// for many doubts. A run that was never read is not made to wait.
func (r Runs) settle(run kovra.Run) time.Duration {
	if !run.Read {
		return 0
	}
	return r.opts.Settle - r.db.Now().Sub(run.ObservedAt)
}

// readOrForget re-reads a run. One that GitLab no longer has stays as it is. After > 0
// means that hooks came in between.
func (r Runs) readOrForget(ctx context.Context, run kovra.Run) (time.Duration, error) {
	fresh, err := r.reread(ctx, run)
	switch kovra.KindOf(err) {
	case kovra.NotFound, kovra.Denied:
		r.opts.Log.WarnContext(ctx, "gitlab does not show a pipeline that it told us of", "run", run.ID, "project", run.Project, "err", err)
		return 0, r.db.Update(ctx, func(tx *storage.Tx) error { return tx.Forget(run.ID) })
	}
	if err != nil {
		return 0, fmt.Errorf("re-read pipeline %d of project %d: %w", run.Remote, run.Project, err)
	}
	if fresh.Stale {
		return r.opts.Settle, nil
	}
	return 0, nil
}

// cut reads the log of a failed job and records the lines that explain the
// failure. A job that GitLab has retried by itself is folded into its successor; of
// those beyond the tenth only the fact is recorded.
func (r Runs) cut(ctx context.Context, j kovra.Job, beyond bool) error {
	state, excerpt, err := r.excerpt(ctx, j, beyond)
	if err != nil {
		return fmt.Errorf("cut excerpt of job %d: %w", j.ID, err)
	}
	return r.db.Update(ctx, func(tx *storage.Tx) error {
		jobs, err := tx.Jobs(j.Run)
		if err != nil {
			return err
		}
		if _, again := kovra.Successor(j, jobs); again {
			state, excerpt = kovra.LogFolded, kovra.Excerpt{}
		}
		return tx.SetExcerpt(j.Project, j.ID, state, excerpt)
	})
}

func (r Runs) excerpt(ctx context.Context, j kovra.Job, beyond bool) (kovra.LogState, kovra.Excerpt, error) {
	if beyond {
		return kovra.LogGone, kovra.Excerpt{}, nil
	}
	trace, err := r.world.Pipelines.Trace(ctx, j.Project, j.ID)
	switch kovra.KindOf(err) {
	case kovra.NotFound, kovra.Denied:
		return kovra.LogGone, kovra.Excerpt{Note: kovra.PublicText(err)}, nil
	}
	if err != nil {
		return "", kovra.Excerpt{}, err
	}
	defer func() { _ = trace.Close() }() // it was read; there is nothing left to lose
	e, err := r.world.Excerpt(ctx, trace)
	if err != nil {
		return "", e, err
	}
	prints, err := r.injected(ctx, j.Run)
	return kovra.LogCut, r.hide(e, prints), err
}

func (r Runs) driven(ctx context.Context, run kovra.Run) error {
	if run.DrivenVersion >= run.Version && !run.Stale {
		return nil
	}
	return r.db.Update(ctx, func(tx *storage.Tx) error {
		if run.Stale { // of a project that nobody cares for
			if err := tx.Forget(run.ID); err != nil {
				return err
			}
		}
		return tx.SetDriven(run.ID, run.Version)
	})
}

func ignoreNotFound(err error) error {
	if kovra.KindOf(err) == kovra.NotFound {
		return nil
	}
	return err
}
