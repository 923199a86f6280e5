package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"kovra.dev/chatops/internal/joblog"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// Traces reads the logs of jobs.
type Traces interface {
	// Job reads one job and the id of its pipeline.
	Job(ctx context.Context, project, job int64) (kovra.Job, int64, error)
	// Trace is the log of a job from its start; the caller closes it.
	Trace(ctx context.Context, project, job int64) (io.ReadCloser, error)
}

const (
	// readFor is how long after it was last heard of a reader is taken to be there.
	readFor = 45 * time.Second
	// keepTrying is for how long a log that nobody reads is fetched, if that fails.
	keepTrying = 7 * 24 * time.Hour
	// tryAgain is for how long a log that could not be had is not asked for when it is opened.
	tryAgain = 5 * time.Minute
	// readTrace bounds the reading of one trace. GitLab gives no part of it, so what is
	// cut short begins anew.
	readTrace = 9 * time.Minute

	shortPause = 3 * time.Second  // while lines come
	longPause  = 30 * time.Second // the pauses grow up to it while none come
	// idle is how many times as long as a fetch took the pause after it is at least.
	idle = 10
)

// LogPass is more than one pass of [Logs] takes.
const LogPass = readTrace + time.Minute

// What readers of a log are told in place of lines, or after them.
const (
	noteHidden   = "GitLab does not show this job any more."
	notePart     = "GitLab does not show this job any more; this is what was kept of its log."
	noteShorter  = "GitLab does not have the whole log any more; this is what was kept of it."
	noteEmpty    = "GitLab has no log of this job."
	noteUnbegun  = "The job has not started yet."
	noteSkipped  = "The job was skipped, so it has no log."
	noteOld      = "The job is older than logs are kept, so its log is not fetched."
	noteSilent   = "GitLab does not answer at the moment; trying again."
	noteRefused  = "GitLab does not accept the bot's token at the moment; trying again."
	noteTooLarge = "GitLab did not give the whole log in time; trying again."
	noteGivenUp  = "GitLab did not give this log."
)

// Logs fetches the logs of jobs into the store of logs.
type Logs struct{ *Dispatch }

// Logs returns the reconciler of logs; its key is our id of the log. A pass may take
// as long as [LogPass].
func (d *Dispatch) Logs() Logs { return Logs{d} }

// WantedSince is the time from which on a reader must have been heard of for a log to be fetched.
func (d *Dispatch) WantedSince() time.Time { return d.db.Now().Add(-readFor) }

// Reconcile fetches what a log has more than is kept of it, while it is read or
// to be kept, and asks to be called again until its job has ended.
func (l Logs) Reconcile(ctx context.Context, id int64) (time.Duration, error) {
	log, err := l.logs.Log(ctx, id)
	if err != nil {
		return 0, ignoreNotFound(err)
	}
	switch {
	case log.Done || log.Key.Kind.Steps():
		return 0, nil
	case l.wanted(log):
	case log.Kept:
		return 0, l.giveUp(ctx, log)
	default:
		return 0, nil
	}
	// A pause longer than the one that was asked for is one that the clock makes, being set back.
	if wait := log.NextAt.Sub(l.db.Now()); wait > 0 && wait <= max(log.Pause, 2*readLog) {
		return wait, nil
	}
	f, err := l.fetching(ctx, log)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, readTrace)
	defer cancel()
	err = f.fetch(ctx)
	return f.after, err
}

func (l Logs) wanted(log kovra.Log) bool {
	return log.ReadAt.After(l.WantedSince()) || log.Kept && l.db.Now().Sub(log.CreatedAt) < keepTrying
}

// giveUp ends a log that could not be fetched for long. Who opens it has it tried again.
func (l Logs) giveUp(ctx context.Context, log kovra.Log) error {
	f := &fetching{Logs: l, log: log}
	return f.note(ctx, func(log *kovra.Log) { ended(log, noteGivenUp, false, f.db.Now()) })
}

// fetching is one pass over one log.
type fetching struct {
	Logs
	log   kovra.Log
	job   kovra.Job // as we know it, later as GitLab tells it
	run   kovra.Run // zero if we do not know it
	began time.Time
	after time.Duration
}

func (l Logs) fetching(ctx context.Context, log kovra.Log) (*fetching, error) {
	f := &fetching{Logs: l, log: log, began: l.db.Now()}
	err := l.db.Read(ctx, func(tx *storage.Tx) (err error) {
		if f.job, err = tx.Job(log.Key.Project, log.Key.ID); err != nil {
			return ignoreNotFound(err)
		}
		f.run, err = tx.Run(f.job.Run)
		return ignoreNotFound(err)
	})
	return f, err
}

// fetch asks for the job first: if it has ended before its log is opened, the log is whole.
func (f *fetching) fetch(ctx context.Context) error {
	job, pipeline, err := f.world.Traces.Job(ctx, f.log.Key.Project, f.log.Key.ID)
	if err != nil {
		return f.failed(ctx, "read", err)
	}
	job.Run = f.job.Run
	f.job = job
	if err := f.tell(ctx, subjectOf(job, pipeline, f.run.Ref)); err != nil {
		return err
	}
	switch {
	case f.old():
		return f.end(ctx, noteOld)
	case job.Status == kovra.Skipped: // it may come back to life
		return f.pause(ctx, noteSkipped, false)
	case job.Status.Known() && job.Status.Rank() < kovra.Running.Rank():
		return f.pause(ctx, noteUnbegun, false)
	}
	return f.read(ctx)
}

// old reports whether the log would be thrown away at once.
func (f *fetching) old() bool {
	at := f.job.FinishedAt
	if at.IsZero() {
		at = f.job.CreatedAt
	}
	return !at.IsZero() && f.db.Now().Sub(at) > f.opts.Retention
}

// read copies the lines that are not kept yet.
func (f *fetching) read(ctx context.Context) error {
	mask, err := f.masker(ctx, f.job.Run)
	if err != nil {
		return fmt.Errorf("mask the log of %s: %w", f.log.Key, err)
	}
	opened := f.db.Now()
	trace, err := f.world.Traces.Trace(ctx, f.log.Key.Project, f.log.Key.ID)
	if err != nil {
		return f.failed(ctx, "open the log of", err)
	}
	defer func() { _ = trace.Close() }() // it was read; there is nothing left to lose
	k := &keeper{Dispatch: f.Dispatch, log: f.log, final: f.job.Status.Final()}
	_, err = joblog.Cut(ctx, trace, joblog.Options{Mask: mask, Knowledge: f.opts.Knowledge, Each: func(line joblog.Line) error {
		if err := k.take(ctx, line); err != nil {
			return err
		}
		if k.full {
			return errFull
		}
		return nil
	}})
	f.began = opened
	if k.err == nil && ctx.Err() == nil {
		k.err = k.flush(ctx)
	}
	f.log.Streams = f.log.Streams || k.streams
	switch {
	case k.err != nil:
		return fmt.Errorf("keep the log of %s: %w", f.log.Key, k.err)
	case k.full:
		return f.end(ctx, "")
	case err != nil:
		return f.failed(ctx, "read the log of", err)
	case k.final:
		return f.end(ctx, k.note())
	}
	return f.pause(ctx, "", k.added > 0)
}

// failed judges an error of GitLab's.
func (f *fetching) failed(ctx context.Context, what string, err error) error {
	if notShown(err) {
		return f.gone(ctx, err)
	}
	if errors.Is(err, context.Canceled) {
		return err // we were stopped
	}
	note := noteSilent
	switch {
	case errors.Is(err, kovra.ErrToken):
		note = noteRefused
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		note = noteTooLarge
	case kovra.KindOf(err) != kovra.Unavailable:
		note = kovra.PublicText(err)
	}
	// A time for the next try beside the error: readers kick the loop, whatever it waits for.
	var wait time.Duration
	if e, ok := errors.AsType[*kovra.Error](err); ok {
		wait = e.Retry
	}
	if note != noteTooLarge {
		f.began = f.db.Now() // to wait in vain is no fetching
	}
	ctx = context.WithoutCancel(ctx) // its time may be over
	return errors.Join(fmt.Errorf("%s %s: %w", what, f.log.Key, err), f.pauseFor(ctx, note, max(wait, f.next(false))))
}

// gone: GitLab does not show the job. Of one that is new here it may not know yet.
func (f *fetching) gone(ctx context.Context, err error) error {
	note := noteHidden
	if kovra.KindOf(err) == kovra.Denied {
		note = kovra.PublicText(err)
	}
	if log, err := f.logs.Log(ctx, f.log.ID); err == nil && log.Lines > 0 {
		note = notePart
	}
	if f.log.Subject == (kovra.LogSubject{}) {
		if err := f.tell(ctx, subjectOf(f.job, f.run.Remote, f.run.Ref)); err != nil {
			return err
		}
	}
	if f.db.Now().Sub(f.log.CreatedAt) < replicas {
		return f.pause(ctx, note, false)
	}
	return f.end(ctx, note)
}

// tell records what the log is the log of.
func (f *fetching) tell(ctx context.Context, s kovra.LogSubject) error {
	s.Ref = cmp.Or(s.Ref, f.log.Subject.Ref)
	if s == f.log.Subject {
		return nil
	}
	f.log.Subject = s
	return f.note(ctx, func(log *kovra.Log) { log.Subject = s })
}

// end records that nothing will be added any more. Where something is missing, which note
// says, whoever opens the log later has it tried again.
func (f *fetching) end(ctx context.Context, note string) error {
	return f.note(ctx, func(log *kovra.Log) { ended(log, note, f.log.Streams, f.db.Now().Add(tryAgain)) })
}

func ended(log *kovra.Log, note string, streams bool, again time.Time) {
	if note == "" {
		again = time.Time{}
	}
	log.Done, log.Note, log.NextAt, log.Streams = true, note, again, log.Streams || streams
}

// pause records when GitLab may be asked again; new says that lines came.
func (f *fetching) pause(ctx context.Context, note string, lines bool) error {
	return f.pauseFor(ctx, note, f.next(lines))
}

func (f *fetching) pauseFor(ctx context.Context, note string, wait time.Duration) error {
	at := f.db.Now().Add(wait)
	err := f.note(ctx, func(log *kovra.Log) {
		if log.NextAt.Equal(f.log.NextAt) {
			log.NextAt = at
		} else {
			at = log.NextAt // somebody knew better while we were reading
		}
		log.Pause, log.Note, log.Streams = wait, note, log.Streams || f.log.Streams
	})
	f.after = max(at.Sub(f.db.Now()), time.Millisecond) // 0 would mean never
	return err
}

// next is the pause after this pass: short while lines come, longer from pass to pass while none come, and never so
// short that fetching is most of what is done.
func (f *fetching) next(lines bool) time.Duration {
	wait := shortPause
	rested := f.began.Sub(f.log.NextAt) > time.Minute // nobody read it for a while
	if !lines && !rested {
		wait = min(max(f.log.Pause, shortPause)*3/2, longPause)
	}
	return max(wait, idle*f.db.Now().Sub(f.began))
}

// note changes what is known of the log, unless another reader of it, who cut an excerpt, has come
// to its end meanwhile.
func (f *fetching) note(ctx context.Context, change func(*kovra.Log)) error {
	err := f.logs.Note(ctx, f.log.ID, func(log *kovra.Log) {
		if !log.Done {
			change(log)
		}
	})
	if err != nil {
		return fmt.Errorf("note the state of the log of %s: %w", f.log.Key, err)
	}
	return nil
}

func subjectOf(j kovra.Job, pipeline int64, ref string) kovra.LogSubject {
	return kovra.LogSubject{
		Name: j.Name, Stage: j.Stage, Status: j.Status, Pipeline: pipeline, Ref: ref, URL: j.URL,
		StartedAt: j.StartedAt, FinishedAt: j.FinishedAt, Duration: j.Duration,
	}
}
