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

// Deployments brings deployments to their end, one at a time for each target.
type Deployments struct{ *Dispatch }

// Deployments returns the reconciler of deployments ([kovra.RefDeployment]); its key is their id.
func (d *Dispatch) Deployments() Deployments { return Deployments{d} }

// Reconcile brings one deployment nearer to its end, as [Builds.Reconcile] does it with builds.
func (d Deployments) Reconcile(ctx context.Context, id int64) (time.Duration, error) {
	dep, err := d.load(ctx, id)
	if err != nil {
		return 0, ignoreNotFound(err)
	}
	var after time.Duration
	if dep.Phase == kovra.PhaseQueued && !dep.Status.Final() {
		if dep, err = d.takeTurn(ctx, id); err != nil {
			return 0, err
		}
	}
	if dep.Phase == kovra.PhaseStarted {
		if dep, err = d.start(ctx, dep); err != nil {
			return 0, err
		}
	}
	if dep.Phase == kovra.PhaseMade {
		if dep, after, err = d.look(ctx, dep); err != nil {
			return 0, err
		}
	}
	if dep.Status.Final() {
		return d.settle(ctx, dep)
	}
	return after, d.driven(ctx, dep)
}

func (d Deployments) load(ctx context.Context, id int64) (kovra.Deployment, error) {
	var dep kovra.Deployment
	err := d.db.Read(ctx, func(tx *storage.Tx) (err error) {
		dep, err = tx.Deployment(id)
		return err
	})
	return dep, err
}

// change gives fn the deployment as it is now, and saves it if fn reports true.
func (d Deployments) change(ctx context.Context, id int64, fn func(*storage.Tx, *kovra.Deployment) (bool, error)) (kovra.Deployment, error) {
	var dep kovra.Deployment
	err := d.db.Update(ctx, func(tx *storage.Tx) (err error) {
		if dep, err = tx.Deployment(id); err != nil {
			return err
		}
		changed, err := fn(tx, &dep)
		if err != nil || !changed {
			return err
		}
		return tx.SaveDeployment(&dep)
	})
	return dep, err
}

func (d Deployments) end(ctx context.Context, id int64, s kovra.BuildStatus, reason, message string) (kovra.Deployment, error) {
	return d.change(ctx, id, func(_ *storage.Tx, dep *kovra.Deployment) (bool, error) {
		moves := !dep.Status.Final()
		if moves {
			dep.End(s, reason, message, d.db.Now())
		}
		return moves, nil
	})
}

func (d Deployments) driven(ctx context.Context, dep kovra.Deployment) error {
	if dep.DrivenVersion >= dep.Version {
		return nil
	}
	return d.db.Update(ctx, func(tx *storage.Tx) error { return tx.SetDeploymentDriven(dep.ID, dep.Version) })
}

// takeTurn begins a deployment if nothing else is done with its target and none before it waits. One that newer ones
// have made pointless ends.
func (d Deployments) takeTurn(ctx context.Context, id int64) (kovra.Deployment, error) {
	return d.change(ctx, id, func(tx *storage.Tx, dep *kovra.Deployment) (bool, error) {
		if dep.Phase != kovra.PhaseQueued || dep.Status.Final() {
			return false, nil
		}
		open, err := tx.OpenDeployments()
		if err != nil {
			return false, err
		}
		why, err := d.pointless(tx, dep, open)
		if err != nil {
			return false, err
		}
		if why != "" {
			dep.End(kovra.BuildCancelled, kovra.ReasonSuperseded, why, d.db.Now())
			return true, nil
		}
		for i := range open {
			o := &open[i]
			waits := o.Phase == kovra.PhaseQueued
			if o.ID == dep.ID || !o.Target.Same(dep.Target) || waits && o.ID > dep.ID {
				continue
			}
			if waits {
				tx.KickDeployment(o.ID) // this one may have made it pointless
			}
			return false, nil // its end has this one looked at
		}
		dep.Phase, dep.QueuedAt = kovra.PhaseStarted, d.db.Now()
		return true, nil
	})
}

// pointless says why a deployment that waits is not begun any more; "" if it is. What a person asked for is.
func (d Deployments) pointless(tx *storage.Tx, dep *kovra.Deployment, open []kovra.Deployment) (string, error) {
	if d.world.Cluster == nil {
		return buildsOff, nil
	}
	if dep.Kind != kovra.AutoDeploy {
		return "", nil
	}
	s, err := tx.BuildSettings(dep.App)
	if err != nil {
		return "", err
	}
	if s.Paused {
		return "Auto-deploy has been paused since " + s.PausedSince() + ".", nil
	}
	if !s.AutoDeploy {
		return "Auto-deploy was switched off.", nil
	}
	for i := range open {
		if o := &open[i]; o.ID > dep.ID && o.Target.Same(dep.Target) {
			return fmt.Sprintf("Superseded by a deployment of build #%d.", o.Build), nil
		}
	}
	return "", nil
}

// start makes the PipelineRun of a deployment whose turn has come. Class: by name. The target is looked at before, once
// it is known that nobody else changes it: what runs there now is what a roll back goes back to.
func (d Deployments) start(ctx context.Context, dep kovra.Deployment) (kovra.Deployment, error) {
	if d.world.Cluster == nil {
		return dep, nil
	}
	if _, err := d.world.Cluster.Look(ctx, dep.Ref()); err == nil { // a life before this one made it
		return d.change(ctx, dep.ID, d.made)
	}
	target, state, err := d.target(ctx, dep.Target, dep.AllowManaged)
	if err != nil {
		return d.notStarted(ctx, dep, err)
	}
	dep, err = d.change(ctx, dep.ID, func(_ *storage.Tx, o *kovra.Deployment) (bool, error) {
		from := cmp.Or(state.Image, o.From)
		changed := o.Target != target || o.From != from
		o.Target, o.From = target, from
		return changed, nil
	})
	if err != nil {
		return dep, err
	}
	if err := d.world.Cluster.StartDeployment(ctx, dep); err != nil {
		return d.notStarted(ctx, dep, err)
	}
	return d.change(ctx, dep.ID, d.made)
}

// made records that the cluster has the PipelineRun.
func (d Deployments) made(_ *storage.Tx, o *kovra.Deployment) (bool, error) {
	if o.Phase != kovra.PhaseStarted {
		return false, nil
	}
	o.Phase, o.SeenAt, o.Reason, o.Message = kovra.PhaseMade, d.db.Now(), "", ""
	return true, nil
}

func (d Deployments) notStarted(ctx context.Context, dep kovra.Deployment, err error) (kovra.Deployment, error) {
	if ctx.Err() != nil {
		return dep, err
	}
	reason, message, last := d.refusal(err, dep.QueuedAt)
	if last {
		dep, saved := d.end(ctx, dep.ID, kovra.BuildFailed, reason, message)
		return dep, errors.Join(saved, unexpected(err))
	}
	_, noted := d.change(ctx, dep.ID, func(_ *storage.Tx, o *kovra.Deployment) (bool, error) {
		same := o.Reason == reason && o.Message == message
		o.Reason, o.Message = reason, message
		return !same && !o.Status.Final(), nil
	})
	return dep, errors.Join(fmt.Errorf("start deployment %d: %w", dep.ID, err), noted)
}

// look takes over what the cluster knows of a deployment.
func (d Deployments) look(ctx context.Context, dep kovra.Deployment) (kovra.Deployment, time.Duration, error) {
	if d.world.Cluster == nil {
		return dep, 0, nil
	}
	d.follow(ctx, dep.LogKey(), dep.LogSubject())
	c, err := d.world.Cluster.Look(ctx, dep.Ref())
	switch {
	case err == nil:
	case kovra.KindOf(err) != kovra.NotFound:
		dep, noted := d.change(ctx, dep.ID, func(_ *storage.Tx, o *kovra.Deployment) (bool, error) { return d.refused(o, err), nil })
		return dep, 0, errors.Join(fmt.Errorf("look at deployment %d: %w", dep.ID, err), noted)
	case d.db.Now().Sub(dep.SeenAt) < replicas:
		return dep, lookSoon, nil
	default:
		dep, err = d.change(ctx, dep.ID, func(_ *storage.Tx, o *kovra.Deployment) (bool, error) {
			moves := !o.Status.Final()
			if moves {
				o.SeenAt = d.db.Now()
				o.End(kovra.BuildFailed, kovra.ReasonLost, "Its PipelineRun was deleted from the cluster before it ended.", d.db.Now())
			}
			return moves, nil
		})
		return dep, 0, err
	}
	dep, err = d.change(ctx, dep.ID, func(_ *storage.Tx, o *kovra.Deployment) (bool, error) {
		mended := !o.TroubleAt.IsZero()
		o.TroubleAt = time.Time{}
		return o.Observe(c, d.db.Now()) || mended, nil
	})
	return dep, d.again(dep.Status), err
}

// refused notes that the cluster refuses to tell of a deployment.
func (d Deployments) refused(o *kovra.Deployment, err error) bool {
	if o.Status.Final() {
		return false
	}
	noted, over := d.untold(&o.TroubleAt, &o.Message, err)
	if over {
		o.SeenAt = d.db.Now()
		o.End(kovra.BuildFailed, kovra.ReasonLost, saysUntold+kovra.PublicText(err), o.SeenAt)
	}
	return noted || over
}

// settle does what is left when a deployment has ended; see [Builds].
func (d Deployments) settle(ctx context.Context, dep kovra.Deployment) (time.Duration, error) {
	if dep.SeenAt.IsZero() {
		return 0, d.leave(ctx, dep)
	}
	if dep.LogDone {
		return 0, d.driven(ctx, dep)
	}
	failed, _ := dep.FailedStep()
	if dep.Status != kovra.BuildFailed {
		failed = kovra.Step{}
	}
	e, err := d.ending(ctx, dep.LogKey(), dep.LogSubject(), dep.SeenAt, failed)
	if err != nil {
		return 0, err
	}
	dep, err = d.change(ctx, dep.ID, func(_ *storage.Tx, o *kovra.Deployment) (bool, error) {
		changed := e.apply(o.Steps)
		if s, ok := o.FailedStep(); ok && s.Log != kovra.LogUnread {
			o.Excerpt = s.Excerpt
		}
		o.LogDone = e.after == 0
		return changed || o.LogDone, nil
	})
	if err != nil || e.after > 0 {
		return e.after, err
	}
	return 0, d.driven(ctx, dep)
}

// leave is done with a deployment that ended here before it was known to be made. Class: by precondition.
func (d Deployments) leave(ctx context.Context, dep kovra.Deployment) error {
	dep, err := d.change(ctx, dep.ID, func(_ *storage.Tx, o *kovra.Deployment) (bool, error) {
		changed := !o.LogDone
		o.LogDone = true
		return changed, nil
	})
	if err != nil {
		return err
	}
	if !dep.QueuedAt.IsZero() && dep.Reason != kovra.ReasonRefused && d.world.Cluster != nil {
		if err := d.world.Cluster.Cancel(ctx, dep.Ref()); err != nil {
			return fmt.Errorf("cancel what may have been made of deployment %d: %w", dep.ID, err)
		}
	}
	return d.driven(ctx, dep)
}
