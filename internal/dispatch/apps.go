package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// existing is how many pipelines of before are listed after a link.
const existing = 20

func (a Actions) createApp(_ context.Context, act kovra.Action) (end, time.Duration, error) {
	if err := kovra.CheckAppName(act.App); err != nil {
		return end{}, 0, err
	}
	e := done(kovra.Outcome{Created: true})
	e.also = func(tx *storage.Tx, out *kovra.Outcome) (err error) {
		out.Created, err = ensureApp(tx, act)
		return err
	}
	return e, 0, nil
}

// ensureApp makes the app and reports whether it is new.
func ensureApp(tx *storage.Tx, act kovra.Action) (bool, error) {
	_, err := tx.App(act.App)
	if kovra.KindOf(err) != kovra.NotFound {
		return false, err
	}
	return true, tx.SaveApp(kovra.App{Name: act.App, CreatedBy: act.By.ID, CreatedAt: act.CreatedAt})
}

// link connects an app with a GitLab project, subscribes the channel and sets up the
// project's webhook. Class: by precondition; all of its steps can be repeated.
func (a Actions) link(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	if err := kovra.CheckAppName(act.App); err != nil {
		return end{}, 0, err
	}
	hand, project, err := a.linkable(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	old, err := a.linkedTo(ctx, act.App)
	if err != nil {
		return end{}, 0, err
	}
	if old.ID != 0 && old.ID != project.ID && !act.Params.Sure {
		return end{State: kovra.ActionAsks, Outcome: kovra.Outcome{
			Project: project.Path,
			Reason:  fmt.Sprintf("%s is linked to %s. Link it to %s instead?", act.App, old.Path, project.Path),
		}}, 0, nil
	}
	latest, err := a.world.Pipelines.Latest(ctx, project.ID, existing)
	if err != nil {
		return end{}, 0, err
	}
	out := kovra.Outcome{Project: project.Path, URL: project.URL, Existing: len(latest), As: hand.as()}
	hook, err := a.hook(ctx, hand, act, project.ID, &out)
	if err != nil {
		return end{}, 0, err
	}
	project.Hook, project.HookOurs = hook.ID, hook.Ours
	if act.Channel != "" {
		out.Member, err = a.join(ctx, act)
		if out.Direct = errors.Is(err, kovra.ErrDirect); out.Direct {
			act.Channel, err = "", nil // it is linked all the same, and nobody is subscribed
		}
		if err != nil {
			return end{}, 0, err
		}
	}
	e := done(out)
	e.also = func(tx *storage.Tx, out *kovra.Outcome) error { return saveLink(tx, act, project, old, latest, out) }
	_, _, err = a.dropHook(ctx, hand, act, old, project.ID)
	return e, 0, err
}

// linkedTo returns the project that an app is linked to; a zero one if none.
func (a Actions) linkedTo(ctx context.Context, name string) (kovra.Project, error) {
	var p kovra.Project
	err := a.db.Read(ctx, func(tx *storage.Tx) error {
		app, err := tx.App(name)
		if err != nil || app.Project == 0 {
			return ignoreNotFound(err)
		}
		p, err = tx.Project(app.Project)
		return ignoreNotFound(err)
	})
	return p, err
}

// linkable is the project that the person wants to link, as they see it, and what they act with. With an account of
// their own they must be Maintainers there, and the bot must be able to read it, too.
func (a Actions) linkable(ctx context.Context, act kovra.Action) (Hand, kovra.Project, error) {
	hand, err := a.hand(ctx, act)
	if err != nil {
		return hand, kovra.Project{}, err
	}
	p, err := hand.Links.Project(ctx, act.Params.Project)
	if err != nil || !hand.Own {
		return hand, p, err
	}
	level, err := hand.Links.Level(ctx, p.ID)
	if err != nil {
		return hand, p, err
	}
	if level < maintainer {
		return hand, p, kovra.Errorf(kovra.Denied, "Only Maintainers of %s may link it, and you are not one of them.", p.Path)
	}
	if _, err = a.world.Links.Project(ctx, strconv.FormatInt(p.ID, 10)); notShown(err) {
		return hand, p, kovra.Errorf(kovra.Conflict, "The bot's own GitLab user cannot see %s. Add it there as a member, at least as Reporter, and link again.", p.Path)
	}
	return hand, p, err
}

// saveLink writes the link. Pipelines that exist already are listed but get no
// thread: every subscription starts above the newest of them.
func saveLink(tx *storage.Tx, act kovra.Action, p, old kovra.Project, latest []kovra.Run, out *kovra.Outcome) error {
	created, err := ensureApp(tx, act)
	if err != nil {
		return err
	}
	out.Created = created
	if known, err := tx.Project(p.ID); err == nil {
		p.Watermark, p.ReadAt, p.LinkedAt = known.Watermark, known.ReadAt, known.LinkedAt
		p.HookOurs = p.HookOurs || known.HookOurs && known.Hook == p.Hook
		p.Seen = known.Seen
	} else if kovra.KindOf(err) != kovra.NotFound {
		return err
	}
	others, err := tx.AppsOfProject(p.ID)
	if err != nil {
		return err
	}
	if len(others) == 0 { // what happened while nobody cared is not made up for
		p.Watermark, p.ReadAt, p.LinkedAt = watermarkOf(latest), time.Time{}, act.CreatedAt
		p.Seen = kovra.HookSight{}
	}
	p.Seen.At = time.Time{} // it may be another hook now
	if err := tx.SaveProject(p); err != nil {
		return err
	}
	app, err := tx.App(act.App)
	if err != nil {
		return err
	}
	app.Project = p.ID
	if err := tx.SaveApp(app); err != nil {
		return err
	}
	if out.Hook == kovra.HookCreated { // it is looked at soon all the same
		if err := tx.SawHook(p.ID, kovra.HookSight{Health: kovra.HealthFine}); err != nil {
			return err
		}
	}
	if err := subscribeFrom(tx, act, floorOf(latest), old.ID == p.ID); err != nil {
		return err
	}
	for _, r := range latest {
		if _, _, err := tx.Observe(kovra.Observation{Run: r}); err != nil {
			return err
		}
	}
	tx.KickProject(p.ID)
	return nil
}

// watermarkOf is when, by GitLab's clock, the newest pipelines last changed.
func watermarkOf(latest []kovra.Run) time.Time {
	var at time.Time
	for _, r := range latest {
		if r.UpdatedAt.After(at) {
			at = r.UpdatedAt
		}
	}
	return at
}

func floorOf(latest []kovra.Run) int64 {
	var floor int64
	for _, r := range latest {
		floor = max(floor, r.Remote)
	}
	return floor
}

// subscribeFrom subscribes the action's channel, and, where the app changes its
// project, lets all its channels start anew.
func subscribeFrom(tx *storage.Tx, act kovra.Action, floor int64, same bool) error {
	subs, err := tx.Subscriptions(storage.SubscriptionQuery{App: act.App})
	if err != nil {
		return err
	}
	for _, s := range subs {
		if same {
			break
		}
		s.Floor = floor
		if err := tx.SaveSubscription(s); err != nil {
			return err
		}
	}
	if act.Channel == "" {
		return nil
	}
	here := func(s kovra.Subscription) bool { return s.Channel == act.Channel }
	if act.Kind == kovra.ActLink && act.Params.Filter.String() == "" && slices.ContainsFunc(subs, here) {
		return tx.ResumeSubscriptions(act.Channel) // it has chosen what it wants to hear
	}
	mine, err := subscriptionOf(subs, act, floor)
	if err != nil {
		return err
	}
	if !same {
		mine.Floor = floor
	}
	return tx.SaveSubscription(mine)
}

// subscriptionOf is the subscription that an action wants, which changes the one that is named, or the one that selects the same.
func subscriptionOf(subs []kovra.Subscription, act kovra.Action, floor int64) (kovra.Subscription, error) {
	mine := kovra.Subscription{
		App: act.App, Channel: act.Channel, Filter: act.Params.Filter, Floor: floor, CreatedBy: act.By.ID, CreatedAt: act.CreatedAt,
	}
	for _, s := range subs {
		if s.Channel != act.Channel || s.ID != act.Params.Subscription && (act.Params.Subscription != 0 || s.Filter.Key() != mine.Filter.Key()) {
			continue
		}
		f := mine.Filter
		f.Broadcast = cmp.Or(f.Broadcast, s.Filter.Broadcast)
		mine = s
		mine.Filter, mine.Paused = f, ""
	}
	if mine.ID != act.Params.Subscription && act.Params.Subscription != 0 {
		return mine, kovra.Errorf(kovra.Conflict, "This subscription is gone.")
	}
	return mine, nil
}

// subscribable returns the app of an action, or why its channel cannot be subscribed, before anybody else is asked.
func subscribable(tx *storage.Tx, act kovra.Action) (kovra.App, error) {
	app, err := tx.App(act.App)
	if err != nil {
		return app, err
	}
	subs, err := tx.Subscriptions(storage.SubscriptionQuery{App: act.App})
	if err != nil {
		return app, err
	}
	mine, err := subscriptionOf(subs, act, 0)
	if err != nil {
		return app, err
	}
	return app, tx.CheckSubscription(mine)
}

// dropHook takes away the hook that we made when no other app needs it, and reports
// whether it is gone. Class: by precondition; a hook that is gone already is fine, and one
// that cannot be taken away is left to its owners, with the reason in note.
func (a Actions) dropHook(ctx context.Context, hand Hand, act kovra.Action, p kovra.Project, keep int64) (gone bool, note string, err error) {
	if p.ID == 0 || p.ID == keep || !p.HookOurs || p.Hook == 0 {
		return false, "", nil
	}
	var others []kovra.App
	err = a.db.Read(ctx, func(tx *storage.Tx) (err error) {
		others, err = tx.AppsOfProject(p.ID)
		return err
	})
	if err != nil {
		return false, "", err
	}
	for _, o := range others {
		if o.Name != act.App {
			return false, "", nil
		}
	}
	err = hand.Links.RemoveHook(ctx, p.ID, p.Hook)
	switch kovra.KindOf(err) {
	case kovra.NotFound:
		return true, "", nil
	case kovra.Denied:
		return false, kovra.PublicText(err), nil
	default: // the hook is gone, or the next try may succeed
		return err == nil, "", err
	}
}

func (a Actions) unlink(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	p, err := a.project(ctx, act.App)
	if err != nil {
		return end{}, 0, err
	}
	hand, err := a.hand(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	gone, note, err := a.dropHook(ctx, hand, act, p, 0)
	if err != nil {
		return end{}, 0, err
	}
	e := done(kovra.Outcome{Project: p.Path, Hook: kovra.HookKept, Reason: note, As: hand.as()})
	e.also = func(tx *storage.Tx, out *kovra.Outcome) error { return dropLink(tx, act.App, p, gone, out) }
	return e, 0, nil
}

// dropLink takes the project away from an app and forgets a hook that is gone.
func dropLink(tx *storage.Tx, name string, p kovra.Project, gone bool, out *kovra.Outcome) error {
	app, err := tx.App(name)
	if err != nil {
		return ignoreNotFound(err)
	}
	app.Project = 0
	if err := tx.SaveApp(app); err != nil {
		return err
	}
	if !gone {
		return nil
	}
	out.Hook = kovra.HookRemoved
	if p, err = tx.Project(p.ID); err != nil { // it may have been re-read meanwhile
		return ignoreNotFound(err)
	}
	p.Hook, p.HookOurs = 0, false
	return tx.SaveProject(p)
}

func (a Actions) deleteApp(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	if !act.Params.Sure {
		return end{State: kovra.ActionAsks, Outcome: kovra.Outcome{
			Reason: fmt.Sprintf("Delete %s with its subscriptions? Its GitLab project and its messages stay.", act.App),
		}}, 0, nil
	}
	p, err := a.linkedTo(ctx, act.App)
	if err != nil {
		return end{}, 0, err
	}
	hand, err := a.hand(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	gone, note, err := a.dropHook(ctx, hand, act, p, 0)
	if err != nil {
		return end{}, 0, err
	}
	e := done(kovra.Outcome{Project: p.Path, Reason: note})
	e.also = func(tx *storage.Tx, out *kovra.Outcome) error {
		if p.ID != 0 {
			if err := dropLink(tx, act.App, p, gone, out); err != nil {
				return err
			}
		}
		if err := cancelAll(tx, act, a.db.Now()); err != nil {
			return err
		}
		return tx.DeleteApp(act.App)
	}
	return e, 0, nil
}

func (a Actions) subscribe(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	var app kovra.App
	err := a.db.Read(ctx, func(tx *storage.Tx) (err error) {
		app, err = subscribable(tx, act)
		return err
	})
	if err != nil {
		return end{}, 0, err
	}
	var latest []kovra.Run
	if app.Project != 0 {
		if latest, err = a.world.Pipelines.Latest(ctx, app.Project, 1); err != nil {
			return end{}, 0, err
		}
	}
	member, err := a.join(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	out := kovra.Outcome{Member: member}
	var hook Hook
	if app.Project != 0 && act.Params.Filter.Relays() {
		hand, err := a.hand(ctx, act)
		if err != nil {
			return end{}, 0, err
		}
		if hook, err = a.hook(ctx, hand, act, app.Project, &out); err != nil {
			return end{}, 0, err
		}
	}
	e := done(out)
	e.also = func(tx *storage.Tx, _ *kovra.Outcome) error {
		return errors.Join(saveHook(tx, app.Project, hook), subscribeFrom(tx, act, floorOf(latest), true))
	}
	return e, 0, nil
}

// saveHook remembers a hook that was made anew, so that it is taken away in the end.
func saveHook(tx *storage.Tx, project int64, hook Hook) error {
	if hook.ID == 0 {
		return nil
	}
	p, err := tx.Project(project)
	if err != nil || p.Hook == hook.ID {
		return ignoreNotFound(err)
	}
	p.Hook, p.HookOurs = hook.ID, hook.Ours
	return tx.SaveProject(p)
}

func (a Actions) unsubscribe(_ context.Context, act kovra.Action) (end, time.Duration, error) {
	e := done(kovra.Outcome{})
	e.also = func(tx *storage.Tx, out *kovra.Outcome) error {
		had, err := tx.DeleteSubscriptions(act.App, act.Channel, act.Params.Subscription)
		if err == nil && had == 0 {
			out.Reason = "This channel was not subscribed to " + act.App + "."
		}
		return err
	}
	return e, 0, nil
}
