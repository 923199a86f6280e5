package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// wish is a deployment that somebody asks for.
type wish struct {
	deployment kovra.Deployment
	// what is asked, and what will be said of it besides.
	question, besides string
	also              func(*storage.Tx) error
}

// settings returns those of the action's app, or why it cannot be deployed.
func (a Actions) settings(ctx context.Context, act kovra.Action) (kovra.BuildSettings, error) {
	var s kovra.BuildSettings
	if a.world.Cluster == nil {
		return s, errBuildsOff
	}
	err := a.db.Read(ctx, func(tx *storage.Tx) (err error) {
		if _, err = tx.App(act.App); err != nil {
			return err
		}
		s, err = tx.BuildSettings(act.App)
		return err
	})
	return s, err
}

// deploy asks for the image of a build to be deployed. Class: the deployment is recorded together with the end of the
// action, so once.
func (a Actions) deploy(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	b, err := a.buildOf(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	if !b.CanDeploy() {
		return end{}, 0, kovra.Errorf(kovra.Conflict, "Build #%d is %s and has no image that could be deployed.", b.ID, b.Status)
	}
	s, err := a.settings(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	if s.Target.IsZero() {
		return end{}, 0, kovra.Errorf(kovra.Conflict, "%s has no Deployment to update yet: name it in the settings of builds.", act.App)
	}
	target, state, err := a.target(ctx, s.Target, s.AllowManaged)
	if err != nil {
		return end{}, 0, err
	}
	if err := a.db.Read(ctx, func(tx *storage.Tx) error { return deploying(tx, target, b.ImageByDigest()) }); err != nil {
		return end{}, 0, err
	}
	w := wish{
		question: fmt.Sprintf("Deploy build #%d to %s?", b.ID, target.Name()),
		also:     func(tx *storage.Tx) error { return deploying(tx, target, b.ImageByDigest()) }, // the next pass tells the person
	}
	w.deployment = kovra.Deployment{
		Build: b.ID, App: b.App, Kind: kovra.Deploy, Target: target, Image: b.ImageByDigest(), From: state.Image,
		AllowManaged: s.AllowManaged, By: act.By,
	}
	return confirmed(act, w)
}

// deploying refuses an image that is being deployed to the target already.
func deploying(tx *storage.Tx, target kovra.DeployTarget, image string) error {
	open, err := tx.OpenDeployments()
	for i := range open {
		if o := &open[i]; o.Target.Same(target) && o.Image == image {
			by := cmp.Or(o.By.Name, "auto-deploy")
			return kovra.Errorf(kovra.Conflict, "That image is being deployed to %s already, by %s.", target.Name(), by)
		}
	}
	return err
}

// rollBack asks for the image before the present one to be deployed again. Auto-deploy then pauses: the next
// build would undo it.
func (a Actions) rollBack(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	s, err := a.settings(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	all, err := a.deployed(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	target, state, err := a.target(ctx, all[0].Target, s.AllowManaged)
	if err != nil {
		return end{}, 0, err
	}
	back, err := takenBack(all, cmp.Or(state.Image, lastImage(all)), act.Params.Deployment != 0)
	if err != nil {
		return end{}, 0, err
	}
	w := wish{question: fmt.Sprintf("Roll %s back?", target.Name()), besides: " Auto-deploy then pauses until somebody resumes it."}
	w.deployment = kovra.Deployment{
		Build: back.Build, App: back.App, Kind: kovra.RollBack, Target: target, Image: back.From, From: state.Image,
		AllowManaged: s.AllowManaged, By: act.By,
	}
	w.also = func(tx *storage.Tx) error { return pause(tx, act) }
	return confirmed(act, w)
}

// deployed returns the deployments that a roll back may take back, newest first: the one that was named, or those of the
// target that was deployed to last.
func (a Actions) deployed(ctx context.Context, act kovra.Action) ([]kovra.Deployment, error) {
	var all, found []kovra.Deployment
	err := a.db.Read(ctx, func(tx *storage.Tx) (err error) {
		if all, err = tx.DeploymentsOfApp(act.App, lastDeployments); err != nil || act.Params.Deployment == 0 {
			return err
		}
		one, err := tx.Deployment(act.Params.Deployment)
		if err == nil && one.App != act.App {
			err = kovra.Errorf(kovra.Conflict, "That deployment is of %s, not of %s.", one.App, act.App)
		}
		found = []kovra.Deployment{one}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, d := range all {
		wanted := act.Build == 0 || d.Build == act.Build
		if act.Params.Deployment == 0 && wanted && d.CanRollBack() && (len(found) == 0 || d.Target.Same(found[0].Target)) {
			found = append(found, d)
		}
	}
	if len(found) == 0 || !found[0].CanRollBack() {
		return nil, kovra.Errorf(kovra.Conflict, "There is nothing to roll back: %s was not deployed from here, or the image before is not known.", act.App)
	}
	for _, d := range all {
		if !d.Status.Final() && d.Target.Same(found[0].Target) {
			return nil, kovra.Errorf(kovra.Conflict, "A deployment to %s is under way; it can be rolled back when it has ended.", d.Target.Name())
		}
	}
	return found, nil
}

// lastImage is what a target runs as far as we know.
func lastImage(all []kovra.Deployment) string {
	for _, d := range all {
		if d.Status == kovra.BuildSucceeded {
			return d.Image
		}
	}
	return ""
}

// takenBack chooses the deployment to take back: the newest that brought the image that runs now. Roll backs are not
// taken back themselves, so that one more goes further back.
func takenBack(all []kovra.Deployment, image string, named bool) (kovra.Deployment, error) {
	if named && all[0].From == image {
		return all[0], kovra.Errorf(kovra.Conflict, "%s runs the image of before already.", all[0].Target.Name())
	}
	if named {
		return all[0], nil
	}
	var newest *kovra.Deployment
	for i := range all {
		d := &all[i]
		if d.Kind == kovra.RollBack || d.From == image {
			continue
		}
		if d.Image == image {
			return *d, nil
		}
		if newest == nil {
			newest = d
		}
	}
	if newest == nil || all[0].Kind == kovra.RollBack && all[0].Image == image {
		return kovra.Deployment{}, kovra.Errorf(kovra.Conflict, "There is nothing to roll back: the image before the one that %s runs is not known.", all[0].Target.Name())
	}
	return *newest, nil
}

// confirmed is the end of an action that deploys: a question with what runs now and what will, or, once that was answered and is
// still so, the deployment.
func confirmed(act kovra.Action, w wish) (end, time.Duration, error) {
	d := w.deployment
	out := kovra.Outcome{Build: d.Build, Target: d.Target, From: d.From, Image: d.Image}
	p := act.Params
	changed := p.From != d.From || p.Image != "" && p.Image != d.Image || !p.Target.IsZero() && p.Target != d.Target
	if !p.Sure || changed {
		switch {
		case p.Sure && p.From != "":
			out.Reason = "It has changed meanwhile. " + w.question
		case d.From == d.Image:
			out.Reason = w.question + " It runs that image already."
		default:
			out.Reason = w.question
		}
		out.Reason += w.besides
		return end{State: kovra.ActionAsks, Outcome: out}, 0, nil
	}
	e := done(out)
	e.also = func(tx *storage.Tx, out *kovra.Outcome) error {
		if w.also != nil {
			if err := w.also(tx); err != nil {
				return err
			}
		}
		d, err := tx.AddDeployment(d)
		out.Deployment = d.ID
		return err
	}
	return e, 0, nil
}

// pause stops auto-deploy until somebody resumes it.
func pause(tx *storage.Tx, act kovra.Action) error {
	return pauseDeploy(tx, act.App, true, act.By)
}

func pauseDeploy(tx *storage.Tx, app string, paused bool, by kovra.Person) error {
	s, err := tx.BuildSettings(app)
	if err != nil {
		return err
	}
	head, err := tx.BuildHead(app)
	if err != nil {
		return err
	}
	s.Paused, s.PausedBy, s.PausedByRestore = paused, by, false
	return tx.SaveBuildSettings(s, head)
}

// resumeDeploy takes back that auto-deploy is paused. Class: by precondition.
func (a Actions) resumeDeploy(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	s, err := a.settings(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	if !s.Paused {
		return end{}, 0, kovra.Errorf(kovra.Conflict, "Auto-deploy of %s is not paused.", act.App)
	}
	e := done(kovra.Outcome{})
	e.also = func(tx *storage.Tx, _ *kovra.Outcome) error { return pauseDeploy(tx, act.App, false, kovra.Person{}) }
	return e, 0, nil
}
