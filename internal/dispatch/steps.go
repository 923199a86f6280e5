package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// StepLogPass is more than one pass of [StepLogs] takes. A pass lasts as long as the run whose steps it
// follows, so its loop needs a worker for each run that may be under way; it need not be given time when the program stops.
const StepLogPass = followFor + time.Minute

// followFor bounds one pass; the next one reads on.
const followFor = 30 * time.Minute

// What readers of a step log are told in place of lines, or after them.
const (
	noteWaits     = "It has not started yet."
	noteNeverMade = "It never started, so it has no log."
	noteNoSteps   = "Its steps wrote nothing that could still be read."
	notePartSteps = "The cluster did not give the rest of the log."
)

// StepLogs keeps what the steps of builds and deployments write, while they write it: when a run is cancelled its pods go, and
// their logs with them.
type StepLogs struct{ *Dispatch }

// StepLogs returns the reconciler of step logs ([kovra.RefStepLog]); its key is our id of the log. A pass may take as long as
// [StepLogPass].
func (d *Dispatch) StepLogs() StepLogs { return StepLogs{d} }

// stepSource is the run that writes a log.
type stepSource struct {
	ref     kovra.ClusterRef
	phase   kovra.BuildPhase
	made    bool // the cluster had it
	final   bool
	seen    time.Time
	subject kovra.LogSubject
	secrets []string
	tail    []string
	// tell writes what the log shows into the build or deployment. known: it has all the steps that firsts
	// names; shown: it has the tail, where there is one.
	tell func(ctx context.Context, firsts map[string]int, tail []string) (known, shown bool, err error)
	// kick has it looked at.
	kick func(tx *storage.Tx)
}

// Reconcile follows the steps of one run until it has ended. It reads on from the cursor that is kept with the lines.
func (s StepLogs) Reconcile(ctx context.Context, id int64) (time.Duration, error) {
	log, err := s.logs.Log(ctx, id)
	if err != nil || log.Done || !log.Key.Kind.Steps() || s.world.Steps == nil {
		return 0, ignoreNotFound(err)
	}
	of, err := s.source(ctx, log.Key)
	switch {
	case kovra.KindOf(err) == kovra.NotFound:
		return 0, s.note(ctx, log, func(log *kovra.Log) { log.Done, log.Note = true, kovra.PublicText(err) })
	case err != nil:
		return 0, err
	case !of.made && of.final:
		return 0, s.note(ctx, log, func(log *kovra.Log) { log.Done, log.Note, log.Subject = true, noteNeverMade, of.subject })
	case !of.made:
		return 0, s.note(ctx, log, func(log *kovra.Log) { log.Note, log.Subject = noteWaits, of.subject })
	}
	f, err := s.newFollowing(ctx, log, of)
	if err != nil {
		return 0, fmt.Errorf("take up the log of %s: %w", log.Key, err)
	}
	return f.run(ctx)
}

// run follows, and judges how that ended.
func (f *following) run(ctx context.Context) (time.Duration, error) {
	inner, cancel := context.WithTimeout(ctx, followFor)
	defer cancel()
	f.following.begin(f.log.ID)
	f.takeUp(inner)
	err := f.world.Steps.Follow(inner, f.of.ref, f.log.Cursor, func(l kovra.StepLine) error { return f.take(inner, l) })
	f.stop(inner)
	f.following.end(f.log.ID)
	switch {
	case f.full:
		return 0, f.done(ctx, "")
	case f.err != nil:
		return 0, fmt.Errorf("keep the log of %s: %w", f.log.Key, f.err)
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case inner.Err() != nil:
		return time.Millisecond, nil // only this pass is over
	}
	of, again := f.source(ctx, f.log.Key)
	if again != nil {
		return 0, again
	}
	f.of = of
	switch {
	case err == nil && !of.final: // the end is not known here yet
		return lookSoon, f.db.Update(ctx, func(tx *storage.Tx) error { of.kick(tx); return nil })
	case err == nil:
		return 0, f.done(ctx, "")
	case of.final && f.waited(of.seen):
		f.opts.Log.WarnContext(ctx, "log given up", "log", f.log.Key.String(), "err", err)
		return 0, f.done(ctx, notePartSteps)
	case f.added > 0 && kovra.KindOf(err) == kovra.Unavailable:
		return lookSoon, nil // it broke off; that lines came shows that all is well
	}
	err = fmt.Errorf("follow the log of %s: %w", f.log.Key, err)
	return 0, errors.Join(err, f.note(ctx, f.log, func(log *kovra.Log) { log.Note = kovra.PublicText(err) }))
}

// done records that the log is whole, and has the build cut its excerpt from it.
func (f *following) done(ctx context.Context, note string) error {
	if note == "" && f.n == 0 {
		note = noteNoSteps
	}
	err := f.note(ctx, f.log, func(log *kovra.Log) { log.Done, log.Note, log.Subject = true, note, f.of.subject })
	if err != nil {
		return err
	}
	return f.db.Update(ctx, func(tx *storage.Tx) error { f.of.kick(tx); return nil })
}

func (s StepLogs) note(ctx context.Context, log kovra.Log, change func(*kovra.Log)) error {
	if err := s.logs.Note(ctx, log.ID, change); err != nil {
		return fmt.Errorf("note the state of the log of %s: %w", log.Key, ignoreNotFound(err))
	}
	return nil
}

// source finds the run that writes a log.
func (s StepLogs) source(ctx context.Context, key kovra.LogKey) (stepSource, error) {
	if key.Kind == kovra.BuildLog {
		return s.buildSource(ctx, key)
	}
	return s.deploymentSource(ctx, key)
}

func (s StepLogs) buildSource(ctx context.Context, key kovra.LogKey) (stepSource, error) {
	b, err := s.Builds().load(ctx, key.ID)
	if err != nil {
		return stepSource{}, err
	}
	if b.LogKey() != key {
		return stepSource{}, kovra.Errorf(kovra.NotFound, "There is no such log.")
	}
	of := stepSource{
		ref: b.Ref(), phase: b.Phase, made: !b.SeenAt.IsZero(), final: b.Status.Final(), seen: b.SeenAt, subject: buildSubject(&b),
		tail: b.Tail,
		kick: func(tx *storage.Tx) { tx.KickBuild(b.ID) },
	}
	for _, a := range b.Spec.Args {
		if a.Secret() {
			of.secrets = append(of.secrets, a.Value)
		}
	}
	of.tell = func(ctx context.Context, firsts map[string]int, tail []string) (known, shown bool, err error) {
		_, err = s.Builds().change(ctx, b.ID, func(_ *storage.Tx, o *kovra.Build) (bool, error) {
			var changed bool
			changed, known = tellFirsts(o.Steps, firsts)
			shown = o.Status == kovra.BuildBuilding
			if shown && tail != nil && !slices.Equal(o.Tail, tail) {
				o.Tail, changed = tail, true
			}
			return changed, nil
		})
		return known, shown, err
	}
	return of, nil
}

func (s StepLogs) deploymentSource(ctx context.Context, key kovra.LogKey) (stepSource, error) {
	d, err := s.Deployments().load(ctx, key.ID)
	if err != nil {
		return stepSource{}, err
	}
	if d.LogKey() != key {
		return stepSource{}, kovra.Errorf(kovra.NotFound, "There is no such log.")
	}
	of := stepSource{
		ref: d.Ref(), phase: d.Phase, made: !d.SeenAt.IsZero(), final: d.Status.Final(), seen: d.SeenAt, subject: d.LogSubject(),
		kick: func(tx *storage.Tx) { tx.KickDeployment(d.ID) },
	}
	of.tell = func(ctx context.Context, firsts map[string]int, _ []string) (known, shown bool, err error) {
		_, err = s.Deployments().change(ctx, d.ID, func(_ *storage.Tx, o *kovra.Deployment) (bool, error) {
			var changed bool
			changed, known = tellFirsts(o.Steps, firsts)
			return changed, nil
		})
		return known, true, err
	}
	return of, nil
}

// tellFirsts writes first lines into the steps. Steps that the cluster has not told of yet are not known.
func tellFirsts(steps []kovra.Step, firsts map[string]int) (changed, known bool) {
	found := 0
	for i := range steps {
		first, ok := firsts[steps[i].Title()]
		if !ok {
			continue
		}
		found++
		if steps[i].FirstLine != first {
			steps[i].FirstLine, changed = first, true
		}
	}
	return changed, found >= len(firsts)
}

// buildSubject is what the log of a build is the log of, with the page of its commit at GitLab.
func buildSubject(b *kovra.Build) kovra.LogSubject {
	s := b.LogSubject()
	if at, ok := strings.CutSuffix(b.Spec.CloneURL, ".git"); ok {
		s.URL = at + "/-/commit/" + b.Spec.Commit
	}
	return s
}
