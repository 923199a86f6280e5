package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// Builds brings builds from our queue to their end on the cluster.
type Builds struct{ *Dispatch }

// Builds returns the reconciler of builds ([kovra.RefBuild]); its key is the number of the build.
func (d *Dispatch) Builds() Builds { return Builds{d} }

// Reconcile brings one build nearer to its end: it waits for its turn, is made on the cluster, is looked at whenever
// something may have changed, and when it has ended its log is waited for, and its excerpt cut. What was decided is
// saved before the cluster is asked, so a pass may break off anywhere.
func (b Builds) Reconcile(ctx context.Context, id int64) (time.Duration, error) {
	build, err := b.load(ctx, id)
	if err != nil {
		return 0, ignoreNotFound(err)
	}
	var after time.Duration
	if build.Phase == kovra.PhaseQueued && !build.Status.Final() {
		if build, err = b.takeTurn(ctx, id); err != nil {
			return 0, err
		}
	}
	if build.Phase == kovra.PhaseStarted {
		if build, after, err = b.start(ctx, build); err != nil {
			return 0, err
		}
	}
	if build.Phase == kovra.PhaseMade {
		if build, after, err = b.look(ctx, build); err != nil {
			return 0, err
		}
	}
	if build.Status.Final() {
		return b.settle(ctx, build)
	}
	return after, b.driven(ctx, build)
}

func (b Builds) load(ctx context.Context, id int64) (kovra.Build, error) {
	var build kovra.Build
	err := b.db.Read(ctx, func(tx *storage.Tx) (err error) {
		build, err = tx.Build(id)
		return err
	})
	return build, err
}

// change gives fn the build as it is now, and saves it if fn reports true.
func (b Builds) change(ctx context.Context, id int64, fn func(*storage.Tx, *kovra.Build) (bool, error)) (kovra.Build, error) {
	var build kovra.Build
	err := b.db.Update(ctx, func(tx *storage.Tx) (err error) {
		if build, err = tx.Build(id); err != nil {
			return err
		}
		changed, err := fn(tx, &build)
		if err != nil || !changed {
			return err
		}
		return tx.SaveBuild(&build)
	})
	return build, err
}

// driven records that all there was to do for this version of the build is done.
func (b Builds) driven(ctx context.Context, build kovra.Build) error {
	if build.DrivenVersion >= build.Version {
		return nil
	}
	return b.db.Update(ctx, func(tx *storage.Tx) error { return tx.SetBuildDriven(build.ID, build.Version) })
}

// takeTurn has a build leave the queue if its turn has come. One that shall not be built any more ends.
func (b Builds) takeTurn(ctx context.Context, id int64) (kovra.Build, error) {
	var build kovra.Build
	err := b.db.Update(ctx, func(tx *storage.Tx) (err error) {
		if build, err = tx.Build(id); err != nil || build.Phase != kovra.PhaseQueued || build.Status.Final() {
			return err
		}
		why, err := b.pointless(tx, &build)
		if err != nil {
			return err
		}
		if why != "" || build.Cancel.Wanted {
			build.End(kovra.BuildCancelled, cancelReason(&build), cmp.Or(why, cancelMessage(&build)), b.db.Now())
			return tx.SaveBuild(&build)
		}
		next, err := tx.TakeTurn(id, b.opts.BuildsAtOnce)
		if err != nil || !next {
			return err
		}
		build, err = tx.Build(id)
		return err
	})
	return build, err
}

// pointless says why a build is not begun any more; "" if it is.
func (b Builds) pointless(tx *storage.Tx, build *kovra.Build) (string, error) {
	if b.world.Cluster == nil {
		return buildsOff, nil
	}
	app, err := tx.App(build.App)
	if kovra.KindOf(err) == kovra.NotFound {
		return fmt.Sprintf("%s was deleted.", build.App), nil
	}
	if err == nil && app.Project != build.Project {
		return fmt.Sprintf("%s is linked to another GitLab project now.", build.App), nil
	}
	return "", err
}

// start makes the PipelineRun of a build whose turn has come. Class: by name. It is decided and saved first what is
// made; a call whose end was not seen is repeated and finds its own object.
func (b Builds) start(ctx context.Context, build kovra.Build) (kovra.Build, time.Duration, error) {
	if b.world.Cluster == nil {
		build, err := b.note(ctx, build.ID, kovra.ReasonSilent, buildsOff)
		return build, 0, err
	}
	title := b.title(ctx, build)
	build, err := b.change(ctx, build.ID, func(tx *storage.Tx, o *kovra.Build) (bool, error) {
		named := o.Title == "" && title != ""
		o.Title = cmp.Or(o.Title, title)
		ready, err := b.prepare(tx, o)
		return ready || named, err
	})
	if err != nil || build.Status.Final() {
		return build, 0, err
	}
	if build.Cancel.Wanted {
		return b.unstart(ctx, build)
	}
	err = b.world.Cluster.StartBuild(ctx, build)
	if err == nil {
		build, err = b.change(ctx, build.ID, b.made)
		return build, 0, err
	}
	return b.notStarted(ctx, build, err)
}

// title is that of the commit, where the push did not tell it; "" if GitLab does not either.
func (b Builds) title(ctx context.Context, build kovra.Build) string {
	if build.Title != "" {
		return ""
	}
	c, _ := b.world.Commits.Commit(ctx, build.Project, build.Spec.Commit) // it is built without a title as well
	return c.Title
}

// notStarted judges why the cluster did not make the PipelineRun. What it refuses has failed; one that does not
// answer is asked again for Options.GiveUp.
func (b Builds) notStarted(ctx context.Context, build kovra.Build, err error) (kovra.Build, time.Duration, error) {
	if ctx.Err() != nil {
		return build, 0, err
	}
	reason, message, last := b.refusal(err, build.QueuedAt)
	if !last {
		_, noted := b.note(ctx, build.ID, reason, message)
		return build, 0, errors.Join(fmt.Errorf("start build %d: %w", build.ID, err), noted)
	}
	build, saved := b.change(ctx, build.ID, func(_ *storage.Tx, o *kovra.Build) (bool, error) {
		o.End(kovra.BuildFailed, reason, message, b.db.Now())
		return true, nil
	})
	return build, 0, errors.Join(saved, unexpected(err))
}

// unstart ends a build that shall end and may not have been made yet: it is looked for first. Should it come to
// light later it is cancelled then.
func (b Builds) unstart(ctx context.Context, build kovra.Build) (kovra.Build, time.Duration, error) {
	_, err := b.world.Cluster.Look(ctx, build.Ref())
	switch {
	case err == nil:
		build, err = b.change(ctx, build.ID, b.made)
		return build, 0, err
	case kovra.KindOf(err) != kovra.NotFound && !b.waited(build.QueuedAt):
		return build, 0, fmt.Errorf("look for build %d: %w", build.ID, err)
	}
	build, err = b.change(ctx, build.ID, b.endCancelled)
	return build, 0, err
}

func (b Builds) endCancelled(_ *storage.Tx, build *kovra.Build) (bool, error) {
	build.End(kovra.BuildCancelled, cancelReason(build), cancelMessage(build), b.db.Now())
	return true, nil
}

// made records that the cluster has the PipelineRun.
func (b Builds) made(_ *storage.Tx, build *kovra.Build) (bool, error) {
	if build.Phase != kovra.PhaseStarted {
		return false, nil
	}
	build.Phase, build.SeenAt = kovra.PhaseMade, b.db.Now()
	build.Reason, build.Message = "", ""
	return true, nil
}

// note shows why a build has not begun.
func (b Builds) note(ctx context.Context, id int64, reason, message string) (kovra.Build, error) {
	return b.change(ctx, id, func(_ *storage.Tx, build *kovra.Build) (bool, error) {
		same := build.Reason == reason && build.Message == message
		build.Reason, build.Message = reason, message
		return !same && !build.Status.Final(), nil
	})
}

// look takes over what the cluster knows of a build. Its log is followed from the moment on that it is made.
func (b Builds) look(ctx context.Context, build kovra.Build) (kovra.Build, time.Duration, error) {
	if b.world.Cluster == nil {
		return build, 0, nil // what it does nobody can see now
	}
	log := b.follow(ctx, build.LogKey(), buildSubject(&build))
	c, err := b.world.Cluster.Look(ctx, build.Ref())
	switch {
	case err == nil:
	case kovra.KindOf(err) != kovra.NotFound:
		build, noted := b.change(ctx, build.ID, func(_ *storage.Tx, o *kovra.Build) (bool, error) { return b.refused(o, err), nil })
		return build, 0, errors.Join(fmt.Errorf("look at build %d: %w", build.ID, err), noted)
	case b.db.Now().Sub(build.SeenAt) < replicas:
		return build, lookSoon, nil // it was made just now, and is not to be seen everywhere
	default:
		build, err = b.change(ctx, build.ID, b.lost)
		return build, 0, err
	}
	if build, err = b.change(ctx, build.ID, func(tx *storage.Tx, o *kovra.Build) (bool, error) { return b.observe(tx, o, c) }); err != nil {
		return build, 0, err
	}
	if build.Status.Final() || !build.Cancel.Wanted || c.Cancelling {
		return build, b.again(build.Status), nil
	}
	after, err := b.cancelRun(ctx, build.Ref(), log)
	return build, after, err
}

// refused notes that the cluster refuses to tell of a build.
func (b Builds) refused(build *kovra.Build, err error) bool {
	if build.Status.Final() {
		return false
	}
	noted, over := b.untold(&build.TroubleAt, &build.Message, err)
	if over {
		build.SeenAt = b.db.Now()
		build.End(kovra.BuildFailed, kovra.ReasonLost, saysUntold+kovra.PublicText(err), build.SeenAt)
	}
	return noted || over
}

const saysUntold = "The cluster does not tell how it goes any more: "

// untold notes since when the cluster refuses to tell of a run, and why. It may be a right that somebody mends; one of which nothing
// can be known for long is over, so that it does not keep its place for good.
func (d *Dispatch) untold(since *time.Time, message *string, err error) (noted, over bool) {
	if kind := kovra.KindOf(err); kind != kovra.Denied && kind != kovra.Invalid {
		return false, false
	}
	if since.IsZero() {
		*since, *message = d.db.Now(), kovra.PublicText(err)
		return true, false
	}
	return false, d.db.Now().Sub(*since) >= d.opts.GiveUp
}

// observe takes what the cluster tells. The cluster calls a run that had a failed task Failed, also if it was
// cancelled; whether somebody wanted it to end we know better. With the end it is decided, once, whether the image is deployed.
func (b Builds) observe(tx *storage.Tx, build *kovra.Build, c kovra.ClusterRun) (bool, error) {
	cancelled := c.Status == kovra.BuildCancelled || c.Status == kovra.BuildFailed && c.Cancelling
	if build.Cancel.Wanted && cancelled {
		c.Status, c.Reason, c.Message = kovra.BuildCancelled, cancelReason(build), cancelMessage(build)
	}
	mended := !build.TroubleAt.IsZero()
	build.TroubleAt = time.Time{}
	if !build.Observe(c, b.db.Now()) {
		return mended, nil
	}
	return true, b.autoDeploy(tx, build)
}

// lost ends a build whose PipelineRun was deleted.
func (b Builds) lost(_ *storage.Tx, build *kovra.Build) (bool, error) {
	if build.Status.Final() {
		return false, nil
	}
	build.SeenAt = b.db.Now()
	if build.Cancel.Wanted {
		build.End(kovra.BuildCancelled, cancelReason(build), cancelMessage(build), b.db.Now())
	} else {
		build.End(kovra.BuildFailed, kovra.ReasonLost, "Its PipelineRun was deleted from the cluster before it ended.", b.db.Now())
	}
	return true, nil
}

func cancelReason(build *kovra.Build) string {
	if build.Cancel.Newer != 0 {
		return kovra.ReasonSuperseded
	}
	return kovra.ReasonCancelled
}

func cancelMessage(build *kovra.Build) string {
	switch {
	case build.Cancel.Newer != 0:
		return fmt.Sprintf("Superseded by build #%d.", build.Cancel.Newer)
	case build.Cancel.By.Name != "":
		return fmt.Sprintf("Cancelled by %s.", build.Cancel.By.Name)
	}
	return ""
}

// settle does what is left when a build has ended: its log is waited for, then the lines that explain a failure are cut
// from it. The news of a failure do not wait longer than Options.Notice; the excerpt is then added later.
func (b Builds) settle(ctx context.Context, build kovra.Build) (time.Duration, error) {
	if build.SeenAt.IsZero() {
		return 0, b.leave(ctx, build)
	}
	if build.LogDone {
		return 0, b.driven(ctx, build)
	}
	failed, _ := build.FailedStep()
	if build.Status != kovra.BuildFailed {
		failed = kovra.Step{}
	}
	e, err := b.ending(ctx, build.LogKey(), buildSubject(&build), build.SeenAt, failed)
	if err != nil {
		return 0, err
	}
	build, err = b.change(ctx, build.ID, func(_ *storage.Tx, o *kovra.Build) (bool, error) {
		changed := e.apply(o.Steps)
		if e.after == 0 {
			o.LogDone, o.Tail, o.LogLines = true, nil, e.lines
		}
		return changed || e.after == 0, nil
	})
	if err != nil || e.after > 0 {
		return e.after, err // not driven: the excerpt is missing
	}
	return 0, b.driven(ctx, build)
}

// leave is done with a build that ended here before it was known to be made: it has no log. In case it was made its
// PipelineRun is cancelled. Class: by precondition.
func (b Builds) leave(ctx context.Context, build kovra.Build) error {
	build, err := b.change(ctx, build.ID, func(_ *storage.Tx, o *kovra.Build) (bool, error) {
		changed := !o.LogDone
		o.LogDone = true
		return changed, nil
	})
	if err != nil {
		return err
	}
	if !build.QueuedAt.IsZero() && build.Reason != kovra.ReasonRefused && b.world.Cluster != nil {
		if err := b.world.Cluster.Cancel(ctx, build.Ref()); err != nil {
			return fmt.Errorf("cancel what may have been made of build %d: %w", build.ID, err)
		}
	}
	return b.driven(ctx, build)
}
