package dispatch

import (
	"context"
	"errors"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// Actions carries out what people asked for.
type Actions struct{ *Dispatch }

// Actions returns the reconciler of actions; its key is the action's id.
func (d *Dispatch) Actions() Actions { return Actions{d} }

// step tries to bring an action to its end. after > 0 asks to be called again; an
// error of kind Unavailable or Unclear is tried again as well; any other error
// is the end, and its public sentence is the reason.
type step func(a Actions, ctx context.Context, act kovra.Action) (end, time.Duration, error)

// end is how an action ended: State is empty while it has not.
type end struct {
	State   kovra.ActionState
	Outcome kovra.Outcome
	// also is written in the same transaction as the end.
	also func(*storage.Tx, *kovra.Outcome) error
}

func done(o kovra.Outcome) end { return end{State: kovra.ActionDone, Outcome: o} }

// steps is every action that there is.
var steps = map[kovra.ActionKind]step{
	kovra.ActRun:         Actions.run,
	kovra.ActRetry:       Actions.retry,
	kovra.ActCancel:      Actions.cancel,
	kovra.ActRetryJob:    Actions.retryJob,
	kovra.ActPlay:        Actions.play,
	kovra.ActLink:        Actions.link,
	kovra.ActUnlink:      Actions.unlink,
	kovra.ActCreateApp:   Actions.createApp,
	kovra.ActDeleteApp:   Actions.deleteApp,
	kovra.ActSubscribe:   Actions.subscribe,
	kovra.ActUnsubscribe: Actions.unsubscribe,
	kovra.ActShowLogs:    Actions.showLogs,
	kovra.ActHideLogs:    Actions.hideLogs,

	kovra.ActBuild:        Actions.build,
	kovra.ActCancelBuild:  Actions.cancelBuild,
	kovra.ActRebuild:      Actions.rebuild,
	kovra.ActDeploy:       Actions.deploy,
	kovra.ActRollBack:     Actions.rollBack,
	kovra.ActBuildSetting: Actions.buildSetting,
	kovra.ActResumeDeploy: Actions.resumeDeploy,
}

// Reconcile brings one action nearer to its end.
func (a Actions) Reconcile(ctx context.Context, id int64) (time.Duration, error) {
	var act kovra.Action
	err := a.db.Read(ctx, func(tx *storage.Tx) (err error) {
		act, err = tx.Action(id)
		return err
	})
	if err != nil || !act.Open() {
		return 0, err
	}
	e, after, err := a.attempt(ctx, act)
	switch {
	case err == nil && e.State == "":
		return after, nil
	case err == nil:
		return 0, a.finish(ctx, act, e)
	case mayPass(err) && a.db.Now().Sub(act.CreatedAt) < a.opts.GiveUp:
		return 0, err
	case ctx.Err() != nil:
		return 0, err // we were stopped; the next life goes on
	}
	return 0, errors.Join(a.finish(ctx, act, end{State: kovra.ActionFailed, Outcome: kovra.Outcome{
		Kind: kovra.KindOf(err), Reason: kovra.PublicText(err), Ref: act.Params.Ref,
	}}), unexpected(err))
}

// attempt checks the permission, right before the effect, and takes the step. An
// effect that was started is followed up even if the person may no longer start it.
func (a Actions) attempt(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	if act.State == kovra.ActionWanted {
		if err := a.world.Gate.May(ctx, act.By, act.Kind.Permission(), act.App); err != nil {
			return end{}, 0, err
		}
	}
	take, known := steps[act.Kind]
	if !known {
		return end{}, 0, kovra.Errorf(kovra.Invalid, "This version cannot %s.", act.Kind)
	}
	return take(a, ctx, act)
}

// mayPass reports whether trying again makes sense.
func mayPass(err error) bool {
	k := kovra.KindOf(err)
	return k == kovra.Unavailable || k == kovra.Unclear
}

// unexpected is err when it is our fault, so that the loop logs it once.
func unexpected(err error) error {
	if kovra.KindOf(err) == kovra.Internal {
		return err
	}
	return nil
}

func (a Actions) finish(ctx context.Context, act kovra.Action, e end) error {
	return a.db.Update(ctx, func(tx *storage.Tx) error {
		now, err := tx.Action(act.ID)
		if err != nil || !now.Open() {
			return err
		}
		if e.also != nil {
			if err := e.also(tx, &e.Outcome); err != nil {
				return err
			}
		}
		return tx.FinishAction(act.ID, e.State, e.Outcome)
	})
}

// project returns the project that the action's app is linked to.
func (a Actions) project(ctx context.Context, app string) (kovra.Project, error) {
	var p kovra.Project
	err := a.db.Read(ctx, func(tx *storage.Tx) error {
		found, err := tx.App(app)
		if err != nil {
			return err
		}
		if found.Project == 0 {
			return kovra.Errorf(kovra.Conflict, "%s has no GitLab project yet.", app)
		}
		p, err = tx.Project(found.Project)
		return err
	})
	return p, err
}
