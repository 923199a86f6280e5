package dispatch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"kovra.dev/chatops/internal/joblog"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const (
	// burst is how many changes a run that does not become quiet may gather before it is read all the same.
	burst = 50
	// readLog bounds the reading of one log; it leaves the loop time to record what came of it.
	readLog = 40 * time.Second
	// replicas is for how long GitLab may not know yet what it has just told: it reads from copies of its database.
	replicas = 15 * time.Second
	// fresh is for how long after its end the log of a job that was allowed to fail is kept on
	// occasion; later one that was thrown away for room would be fetched again and again.
	fresh = 24 * time.Hour
	// Bounds of an excerpt in Slack: with numbers and fence it stays well under the
	// 3,000 characters of a section.
	excerptLines = 20
	excerptBytes = 2200
)

// Runs brings what we know of a pipeline up to what GitLab knows.
type Runs struct{ *Dispatch }

// Runs returns the reconciler of runs; its key is our id of the run.
func (d *Dispatch) Runs() Runs { return Runs{d} }

// Reconcile re-reads the run where there is a doubt and cuts the excerpts of its failed jobs.
func (r Runs) Reconcile(ctx context.Context, id int64) (time.Duration, error) {
	s, err := r.look(ctx, id)
	if err != nil {
		return 0, ignoreNotFound(err)
	}
	if !s.linked {
		return 0, r.leave(ctx, s.run)
	}
	r.hasten(ctx, s.run)
	if err := r.match(ctx, s.run); err != nil {
		return 0, err
	}
	var after time.Duration
	if s.run.WantsRead() || len(s.failed) > 0 {
		if wait := r.settle(s.run); wait > 0 {
			return wait, nil
		}
		if after, err = r.readOrForget(ctx, s.run); err != nil {
			return 0, err
		}
		if s, err = r.look(ctx, id); err != nil {
			return 0, err
		}
	}
	var errs []error // a log that cannot be read holds up no other
	for i, j := range s.failed {
		errs = append(errs, r.cut(ctx, s.run, j, i+s.cut >= kovra.MaxFailures))
	}
	for _, j := range s.allowed {
		r.keepLater(ctx, s.run, j)
	}
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	return after, r.driven(ctx, s.run)
}

// situation is what Reconcile needs to know of a run.
type situation struct {
	run     kovra.Run
	linked  bool        // an app still cares for its project
	failed  []kovra.Job // failed ones whose log nobody has read, by id
	allowed []kovra.Job // those that were allowed to fail, of late
	cut     int         // how many failures have been reported
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
			case j.Status != kovra.Failed || j.Bridge || j.Log != kovra.LogUnread:
			case j.Counts():
				s.failed = append(s.failed, j)
			case r.db.Now().Sub(j.FinishedAt) < fresh:
				s.allowed = append(s.allowed, j)
			}
		}
		return err
	})
	return s, err
}

// threaded reports whether anybody sees the run: it has a thread, or is the child of one that has.
func threaded(tx *storage.Tx, run kovra.Run) (bool, error) {
	top, known, err := topmost(tx, run)
	if err != nil || !known {
		return false, err
	}
	threads, err := tx.ThreadsOfRun(top.ID)
	return len(threads) > 0, err
}

// topmost returns the run that a child pipeline belongs to, or the run itself; known is
// false while nobody knows it. A parent is older than its child; what is said to be
// otherwise could go in a circle.
func topmost(tx *storage.Tx, run kovra.Run) (top kovra.Run, known bool, err error) {
	for run.Child() {
		if run.Parent.Pipeline >= run.Remote {
			return run, false, nil
		}
		run, err = tx.RunByRemote(run.Project, run.Parent.Pipeline)
		if err != nil {
			return run, false, ignoreNotFound(err)
		}
	}
	return run, true, nil
}

// settle says how long to wait until the hooks of a burst have come: one question
// for many doubts. A run that is new is not made to wait, nor is one whose burst does
// not end.
func (r Runs) settle(run kovra.Run) time.Duration {
	if run.DrivenVersion == 0 || run.Version-run.DrivenVersion > burst {
		return 0
	}
	return kovra.Left(run.ObservedAt, r.opts.Settle, r.db.Now())
}

// readOrForget re-reads a run. One that GitLab no longer has stays as it is, and is
// asked for again when the others had their turn. After > 0 means that hooks came in
// between: what was read may be old already.
func (r Runs) readOrForget(ctx context.Context, run kovra.Run) (time.Duration, error) {
	fresh, err := r.reread(ctx, run)
	if notShown(err) && r.db.Now().Sub(run.ObservedAt) >= replicas {
		r.opts.Log.WarnContext(ctx, "gitlab does not show a pipeline that it told us of", "run", run.ID, "project", run.Project, "err", err)
		return 0, r.db.Update(ctx, func(tx *storage.Tx) error {
			if err := tx.Forget(run.ID); err != nil {
				return err
			}
			return tx.Heard(run.ID)
		})
	}
	if err != nil {
		return 0, fmt.Errorf("re-read pipeline %d of project %d: %w", run.Remote, run.Project, err)
	}
	if fresh.Stale {
		return r.opts.Settle, nil
	}
	return 0, nil
}

// cut reads the log of a failed job, keeps it, and records the lines that explain the
// failure. A job that GitLab has retried by itself is folded into its successor; of
// those beyond the tenth only the fact is recorded; their logs are kept later. A log that GitLab does not give for
// Options.GiveUp since it was first asked for is done without: the failure must be told of.
func (r Runs) cut(ctx context.Context, run kovra.Run, j kovra.Job, beyond bool) error {
	state, excerpt, err := kovra.LogGone, kovra.Excerpt{}, error(nil)
	if beyond {
		r.keepLater(ctx, run, j)
	} else {
		state, excerpt, err = r.excerpt(ctx, run, j)
	}
	if err != nil {
		long := r.vain.long(j.ID, r.db.Now(), r.opts.GiveUp) // also of those that the pass had no time for
		if errors.Is(ctx.Err(), context.Canceled) || !long { // we are stopped, or try again
			return fmt.Errorf("cut excerpt of job %d: %w", j.ID, err)
		}
		ctx = context.WithoutCancel(ctx) // the time of this pass may be over, as it was in those before
		r.opts.Log.WarnContext(ctx, "log given up", "run", run.ID, "job", j.ID, "err", err)
		r.keepLater(ctx, run, j)
		state, excerpt = kovra.LogGone, kovra.Excerpt{Note: whyGone(err)}
	}
	r.vain.forget(j.ID)
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

// vain knows since when the logs of jobs are asked for in vain. A job may have ended long before anybody told us of it.
type vain struct {
	mu    sync.Mutex
	since map[int64]time.Time // by job
}

// long reports whether that has been so for as long as limit.
func (v *vain) long(job int64, now time.Time, limit time.Duration) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, known := v.since[job]; !known {
		// Of runs that nobody cares for any more nobody asks again.
		maps.DeleteFunc(v.since, func(_ int64, at time.Time) bool { return now.Sub(at) > 2*limit })
		v.since[job] = now
	}
	return now.Sub(v.since[job]) >= limit
}

func (v *vain) forget(job int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.since, job)
}

func whyGone(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "GitLab did not give the log in time."
	}
	return kovra.PublicText(err)
}

// excerpt reads the log once, for both: the lines for Slack and what is kept for readers.
func (r Runs) excerpt(ctx context.Context, run kovra.Run, j kovra.Job) (kovra.LogState, kovra.Excerpt, error) {
	mask, err := r.masker(ctx, j.Run)
	if err != nil {
		return "", kovra.Excerpt{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, readLog)
	defer cancel()
	trace, err := r.world.Traces.Trace(ctx, j.Project, j.ID)
	if notShown(err) {
		return kovra.LogGone, kovra.Excerpt{Note: kovra.PublicText(err)}, nil
	}
	if err != nil {
		return "", kovra.Excerpt{}, err
	}
	defer func() { _ = trace.Close() }() // it was read; there is nothing left to lose
	keep := r.alongside(ctx, run, j)
	cut, err := joblog.Cut(ctx, trace, joblog.Options{
		MaxLines: excerptLines, MaxBytes: excerptBytes, Mask: mask, Knowledge: r.opts.Knowledge,
		Each: func(line joblog.Line) error { return keep.line(ctx, line) },
	})
	if err != nil {
		return "", kovra.Excerpt{}, err
	}
	keep.finish(ctx)
	e := kovra.Excerpt{Total: cut.Total, First: cut.First}
	for _, l := range cut.Lines {
		e.Lines = append(e.Lines, kovra.ExcerptLine{N: l.N, Text: l.Text, Hidden: l.Hidden})
	}
	return kovra.LogCut, e, nil
}

// hasten has the logs of jobs that have ended looked at at once where somebody reads them;
// the loop of logs may be resting, since no lines came. It does so once per log: then the end is known there.
func (r Runs) hasten(ctx context.Context, run kovra.Run) {
	logs, err := r.logs.Read(ctx, r.WantedSince())
	for _, log := range logs {
		if log.Key.Project != run.Project || log.Subject.Status.Final() {
			continue
		}
		var j kovra.Job
		err = errors.Join(err, r.db.Read(ctx, func(tx *storage.Tx) (err error) {
			j, err = tx.Job(log.Key.Project, log.Key.ID)
			return ignoreNotFound(err)
		}))
		if j.Run == run.ID && j.Status.Final() {
			err = errors.Join(err, r.logs.Note(ctx, log.ID, func(log *kovra.Log) {
				log.Subject, log.NextAt = subjectOf(j, run.Remote, run.Ref), r.db.Now()
			}))
		}
	}
	if err != nil {
		r.opts.Log.WarnContext(ctx, "logs are looked at late", "run", run.ID, "err", err)
	}
}

// driven records that all there was to do for this version of the run is done. A doubt
// that came meanwhile stays.
func (r Runs) driven(ctx context.Context, run kovra.Run) error {
	if run.DrivenVersion >= run.Version {
		return nil
	}
	return r.db.Update(ctx, func(tx *storage.Tx) error { return tx.SetDriven(run.ID, run.Version) })
}

// leave drops what is open about a run of a project that nobody cares for.
func (r Runs) leave(ctx context.Context, run kovra.Run) error {
	if run.Stale {
		return r.db.Update(ctx, func(tx *storage.Tx) error { return tx.Forget(run.ID) }) // a new version: we come again
	}
	return r.driven(ctx, run)
}

// notShown reports whether GitLab does not show a thing, and will not. That it does not
// accept our token is nothing that the thing is to blame for.
func notShown(err error) bool {
	kind := kovra.KindOf(err)
	return err != nil && (kind == kovra.NotFound || kind == kovra.Denied) && !errors.Is(err, kovra.ErrToken)
}

func ignoreNotFound(err error) error {
	if kovra.KindOf(err) == kovra.NotFound {
		return nil
	}
	return err
}
