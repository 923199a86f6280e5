package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// buildable returns what a build of the action's app needs to know, or why it cannot be built.
func (a Actions) buildable(ctx context.Context, act kovra.Action) (kovra.Project, kovra.BuildSettings, error) {
	var s kovra.BuildSettings
	if a.world.Cluster == nil {
		return kovra.Project{}, s, errBuildsOff
	}
	p, err := a.project(ctx, act.App)
	if err != nil {
		return p, s, err
	}
	err = a.db.Read(ctx, func(tx *storage.Tx) (err error) {
		if s, err = tx.BuildSettings(act.App); err != nil {
			return err
		}
		_, err = a.repository(tx, act.App, s.Registry)
		return err
	})
	return p, s, err
}

var errBuildsOff = kovra.Errorf(kovra.Conflict, buildsOff)

// build queues a build of the newest commit of a branch. Class: the build is recorded together with the end of the
// action, so once; what it does to the cluster is the business of [Builds].
func (a Actions) build(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	p, s, err := a.buildable(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	ref, c, err := a.head(ctx, p, s, act.Params.Ref)
	if err != nil {
		return end{}, 0, err
	}
	deploys := a.mayDeploy(ctx, act, s, ref, false)
	e := done(kovra.Outcome{Ref: ref, Commit: c.SHA})
	e.also = func(tx *storage.Tx, out *kovra.Outcome) error {
		b := kovra.NewBuild(s, p.ID, ref, false, c)
		b.Spec.Deploy = b.Spec.Deploy && deploys
		b.Trigger, b.By = kovra.ByHand, act.By
		b, _, err := tx.AddBuild(b, "", false)
		out.Build = b.ID
		return err
	}
	return e, 0, nil
}

// mayDeploy reports whether a build that somebody asked for is deployed by itself, as one that was pushed is: it is of the branch that is
// deployed, and its asker might deploy it as well. Others have the Deploy button for it.
func (a Actions) mayDeploy(ctx context.Context, act kovra.Action, s kovra.BuildSettings, ref string, tag bool) bool {
	return s.AutoDeploy && !tag && ref == s.Branch && a.world.Gate.May(ctx, act.By, kovra.MayAdmin, act.App) == nil
}

// head resolves the branch to build. One that nobody named is that of the settings, else main, else the
// project's own.
func (a Actions) head(ctx context.Context, p kovra.Project, s kovra.BuildSettings, ref string) (string, kovra.Commit, error) {
	names := []string{ref}
	if ref == "" {
		names = []string{s.Branch, kovra.DefaultBuildBranch, p.DefaultBranch}
	}
	for i, name := range names {
		if name == "" || slices.Contains(names[:i], name) {
			continue
		}
		c, err := a.world.Commits.Commit(ctx, p.ID, name)
		if err == nil {
			return name, c, nil
		}
		if kovra.KindOf(err) != kovra.NotFound {
			return "", c, err
		}
	}
	return "", kovra.Commit{}, kovra.Errorf(kovra.NotFound, "%s has no branch called %s.", p.Path, cmp.Or(ref, s.Branch, kovra.DefaultBuildBranch))
}

// buildOf returns the build that an action is about. The permission was for the app, so the build must be of it.
func (a Actions) buildOf(ctx context.Context, act kovra.Action) (kovra.Build, error) {
	if a.world.Cluster == nil {
		return kovra.Build{}, errBuildsOff
	}
	b, err := a.Builds().load(ctx, act.Build)
	if err == nil && b.App != act.App {
		err = kovra.Errorf(kovra.Conflict, "Build #%d is of %s, not of %s.", b.ID, b.App, act.App)
	}
	return b, err
}

// cancelBuild records the wish that a build ends; one that waits in our queue has ended with it. Class: by precondition; it is
// looked at again in the transaction.
func (a Actions) cancelBuild(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	b, err := a.buildOf(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	if err := cancellable(&b); err != nil {
		return end{}, 0, err
	}
	e := done(kovra.Outcome{Build: b.ID, Ref: b.Spec.Branch, Commit: b.Spec.Commit})
	e.also = func(tx *storage.Tx, _ *kovra.Outcome) error {
		b, err := tx.Build(act.Build)
		if err != nil {
			return err
		}
		if err := cancellable(&b); err != nil {
			return err // the next pass tells the person
		}
		return markCancelled(tx, &b, act.By, a.db.Now())
	}
	return e, 0, nil
}

func cancellable(b *kovra.Build) error {
	switch {
	case b.Status.Final():
		return kovra.Errorf(kovra.Conflict, "Build #%d is %s now; only a pending or building one can be cancelled.", b.ID, b.Status)
	case b.Cancel.Newer != 0:
		return kovra.Errorf(kovra.Conflict, "Build #%d is being cancelled already: build #%d is newer.", b.ID, b.Cancel.Newer)
	case b.Cancel.Wanted:
		return kovra.Errorf(kovra.Conflict, "Build #%d is being cancelled already.", b.ID)
	}
	return nil
}

// markCancelled marks a build that shall end.
func markCancelled(tx *storage.Tx, b *kovra.Build, by kovra.Person, now time.Time) error {
	b.Cancel = kovra.BuildCancel{Wanted: true, By: by}
	if b.Phase == kovra.PhaseQueued {
		b.End(kovra.BuildCancelled, cancelReason(b), cancelMessage(b), now)
	}
	return tx.SaveBuild(b)
}

// rebuild queues a build of the same commit, by the settings as they are now.
func (a Actions) rebuild(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	b, err := a.buildOf(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	if !b.CanRebuild() {
		return end{}, 0, kovra.Errorf(kovra.Conflict, "Build #%d is %s now; only one that has ended can be built again.", b.ID, b.Status)
	}
	p, s, err := a.buildable(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	if b.Project != p.ID {
		return end{}, 0, kovra.Errorf(kovra.Conflict, "Build #%d is of another GitLab project; %s is linked to %s now.", b.ID, act.App, p.Path)
	}
	deploys := a.mayDeploy(ctx, act, s, b.Spec.Branch, b.Spec.Tag)
	e := done(kovra.Outcome{Ref: b.Spec.Branch, Commit: b.Spec.Commit})
	e.also = func(tx *storage.Tx, out *kovra.Outcome) error {
		again := kovra.NewBuild(s, p.ID, b.Spec.Branch, b.Spec.Tag, kovra.Commit{SHA: b.Spec.Commit, Title: b.Title, Author: b.Author})
		again.Spec.Deploy = again.Spec.Deploy && deploys
		again.Trigger, again.By, again.Of = kovra.ByRebuild, act.By, b.ID
		again, _, err := tx.AddBuild(again, "", false)
		out.Build = again.ID
		return err
	}
	return e, 0, nil
}

// cancelAll ends what is open of an app that is deleted.
func cancelAll(tx *storage.Tx, act kovra.Action, now time.Time) error {
	builds, err := tx.OpenBuilds()
	if err != nil {
		return err
	}
	for i := range builds {
		if b := &builds[i]; b.App == act.App && !b.Cancel.Wanted {
			if err := markCancelled(tx, b, act.By, now); err != nil {
				return err
			}
		}
	}
	deployments, err := tx.OpenDeployments()
	if err != nil {
		return err
	}
	for i := range deployments {
		d := &deployments[i]
		if d.App != act.App || d.Phase != kovra.PhaseQueued {
			continue
		}
		d.End(kovra.BuildCancelled, kovra.ReasonCancelled, fmt.Sprintf("%s was deleted.", act.App), now)
		if err := tx.SaveDeployment(d); err != nil {
			return err
		}
	}
	return nil
}
