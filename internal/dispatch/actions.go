package dispatch

import (
	"cmp"
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

	kovra.ActConnect:    Actions.connect,
	kovra.ActDisconnect: Actions.disconnect,
	kovra.ActNotify:     Actions.notify,
	kovra.ActWatch:      Actions.watch,
	kovra.ActHelp:       Actions.help,

	kovra.ActEnableHooks: Actions.enableHooks,
}

// Reconcile brings one action nearer to its end.
func (a Actions) Reconcile(ctx context.Context, id int64) (time.Duration, error) {
	var act kovra.Action
	err := a.db.Read(ctx, func(tx *storage.Tx) (err error) {
		act, err = tx.Action(id)
		return err
	})
	if err != nil || !act.Open() && act.State != kovra.ActionWaits {
		return 0, err
	}
	if act.State == kovra.ActionWaits {
		return a.waitOn(ctx, act)
	}
	e, after, err := a.attempt(ctx, act)
	if err == nil && e.State == "" {
		return after, nil
	}
	if err == nil {
		if err = a.finish(ctx, act, e); err == nil || !isRefusal(err) {
			return 0, err
		}
	}
	if kovra.KindOf(err) == kovra.Unconnected {
		if err = a.wait(ctx, act, err); err == nil {
			return 0, nil
		}
	}
	switch {
	case mayPass(err) && a.db.Now().Sub(begun(act)) < a.patience(act):
		return 0, err
	case ctx.Err() != nil:
		return 0, err // we were stopped; the next life goes on
	}
	return 0, errors.Join(a.finish(ctx, act, failed(act, err)), unexpected(err))
}

// begun is when the patience with an action begins. A start may have happened, and is looked for as long as anything is tried.
func begun(act kovra.Action) time.Time {
	if act.Kind == kovra.ActRun && act.State == kovra.ActionTried {
		return act.TriedAt
	}
	return act.CreatedAt
}

// failed is the end of an action that could not be done, or of which nobody could tell.
func failed(act kovra.Action, why error) end {
	out := kovra.Outcome{Kind: kovra.KindOf(why), Reason: kovra.PublicText(why), Ref: act.Params.Ref}
	if act.State == kovra.ActionTried && mayPass(why) {
		what := "done"
		if act.Kind == kovra.ActRun {
			what = "started"
		}
		out.Kind, out.Reason = kovra.Unclear, out.Reason+" Whether it was "+what+" is not known: look at GitLab before you try again."
	}
	return end{State: kovra.ActionFailed, Outcome: out}
}

// attempt checks the permission, right before the effect, and takes the step. An
// effect that was started is followed up even if the person may no longer start it.
func (a Actions) attempt(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	if first, err := a.isTurn(ctx, act); err != nil || !first {
		return end{}, 0, err
	}
	if act.State == kovra.ActionWanted {
		if err := a.genuine(ctx, act); err != nil {
			return end{}, 0, err
		}
		if err := a.world.Gate.May(ctx, act.By, act.Kind.Permission(), act.App); err != nil {
			return end{}, 0, err
		}
		if err := a.guarded(ctx, act); err != nil {
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

// isRefusal reports whether an error says for good that something cannot be done, and why.
func isRefusal(err error) bool { return kovra.KindOf(err) != kovra.Internal && !mayPass(err) }

// unexpected is err when it is our fault, so that the loop logs it once.
func unexpected(err error) error {
	if kovra.KindOf(err) == kovra.Internal {
		return err
	}
	return nil
}

func (a Actions) finish(ctx context.Context, act kovra.Action, e end) error {
	return a.finishIf(ctx, act, e, func(now kovra.Action) bool { return now.Open() })
}

// finishIf ends an action that is still what it has to be, and counts it.
func (a Actions) finishIf(ctx context.Context, act kovra.Action, e end, still func(now kovra.Action) bool) error {
	ended := false
	err := a.db.Update(ctx, func(tx *storage.Tx) error {
		now, err := tx.Action(act.ID)
		if ended = err == nil && still(now); !ended {
			return err
		}
		if e.also != nil {
			if err := e.also(tx, &e.Outcome); err != nil {
				return err
			}
		}
		return tx.FinishAction(act.ID, e.State, e.Outcome)
	})
	if err == nil && ended {
		a.opts.Counted(act.Kind, e.word())
	}
	return err
}

// word is the end as a word of metrics.
func (e end) word() string {
	if e.State == kovra.ActionFailed {
		return string(cmp.Or(e.Outcome.Kind, kovra.Internal))
	}
	return string(e.State)
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
