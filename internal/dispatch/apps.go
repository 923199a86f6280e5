package dispatch

import (
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
	project, err := a.world.Links.Project(ctx, act.Params.Project)
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
	out := kovra.Outcome{Project: project.Path, URL: project.URL, Existing: len(latest)}
	hook := a.hook(ctx, project.ID, &project, &out)
	if kovra.KindOf(hook) == kovra.Unavailable {
		return end{}, 0, hook
	}
	if act.Channel != "" {
		if out.Member, err = a.world.Channels.Join(ctx, act.Channel); err != nil {
			return end{}, 0, err
		}
	}
	e := done(out)
	e.also = func(tx *storage.Tx, out *kovra.Outcome) error { return saveLink(tx, act, project, old, latest, out) }
	_, _, err = a.dropHook(ctx, act, old, project.ID)
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

// hook makes the project's webhook or finds it, and records in out what to tell. A
// refusal is no failure of the link: the hook can be set up by hand.
func (a Actions) hook(ctx context.Context, id int64, p *kovra.Project, out *kovra.Outcome) error {
	out.Hook = kovra.HookByHand
	if a.opts.HookURL == "" {
		out.HookNote = "KOVRA_PUBLIC_URL is not set, so I cannot tell GitLab where to send its events"
		return nil
	}
	tags, err := a.buildsTags(ctx, id)
	if err != nil {
		return err
	}
	hook, err := a.world.Links.EnsureHook(ctx, id, a.opts.HookURL, tags)
	if err != nil {
		out.HookNote = kovra.PublicText(err)
		return err
	}
	p.Hook, p.HookOurs, out.Hook = hook.ID, hook.Ours, kovra.HookFound
	if hook.Created {
		out.Hook = kovra.HookCreated
	}
	return nil
}

// buildsTags reports whether an app of the project builds tags.
func (a Actions) buildsTags(ctx context.Context, project int64) (bool, error) {
	tags := false
	err := a.db.Read(ctx, func(tx *storage.Tx) error {
		apps, err := tx.AppsOfProject(project)
		for _, app := range apps {
			s, failed := tx.BuildSettings(app.Name)
			tags, err = tags || s.Tags != "", errors.Join(err, failed)
		}
		return err
	})
	return tags, err
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
	} else if kovra.KindOf(err) != kovra.NotFound {
		return err
	}
	others, err := tx.AppsOfProject(p.ID)
	if err != nil {
		return err
	}
	if len(others) == 0 { // what happened while nobody cared is not made up for
		p.Watermark, p.ReadAt, p.LinkedAt = watermarkOf(latest), time.Time{}, act.CreatedAt
	}
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
// project, lets all its other channels start anew as well.
func subscribeFrom(tx *storage.Tx, act kovra.Action, floor int64, same bool) error {
	subs, err := tx.Subscriptions(storage.SubscriptionQuery{App: act.App})
	if err != nil {
		return err
	}
	mine := kovra.Subscription{App: act.App, Channel: act.Channel, Floor: floor, CreatedBy: act.By.ID, CreatedAt: act.CreatedAt}
	for _, s := range subs {
		if s.Channel == act.Channel {
			mine = s
			mine.Paused = ""
		}
		if same {
			continue
		}
		s.Floor = floor
		mine.Floor = floor
		if err := tx.SaveSubscription(s); err != nil {
			return err
		}
	}
	if act.Channel == "" {
		return nil
	}
	if act.Params.Broadcast != "" {
		mine.Broadcast = act.Params.Broadcast
	}
	return tx.SaveSubscription(mine)
}

// dropHook takes away the hook that we made when no other app needs it, and reports
// whether it is gone. Class: by precondition; a hook that is gone already is fine, and one
// that cannot be taken away is left to its owners, with the reason in note.
func (a Actions) dropHook(ctx context.Context, act kovra.Action, p kovra.Project, keep int64) (gone bool, note string, err error) {
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
	err = a.world.Links.RemoveHook(ctx, p.ID, p.Hook)
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
	gone, note, err := a.dropHook(ctx, act, p, 0)
	if err != nil {
		return end{}, 0, err
	}
	e := done(kovra.Outcome{Project: p.Path, Hook: kovra.HookKept, Reason: note})
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
	gone, note, err := a.dropHook(ctx, act, p, 0)
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
		app, err = tx.App(act.App)
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
	member, err := a.world.Channels.Join(ctx, act.Channel)
	if err != nil {
		return end{}, 0, err
	}
	e := done(kovra.Outcome{Member: member})
	e.also = func(tx *storage.Tx, _ *kovra.Outcome) error { return subscribeFrom(tx, act, floorOf(latest), true) }
	return e, 0, nil
}

func (a Actions) unsubscribe(_ context.Context, act kovra.Action) (end, time.Duration, error) {
	e := done(kovra.Outcome{})
	e.also = func(tx *storage.Tx, out *kovra.Outcome) error {
		had, err := tx.DeleteSubscription(act.App, act.Channel)
		if err == nil && !had {
			out.Reason = "This channel was not subscribed to " + act.App + "."
		}
		return err
	}
	return e, 0, nil
}

// Projects finds what no webhook told.
type Projects struct{ *Dispatch }

// Projects returns the reconciler of projects; its key is GitLab's project id.
func (d *Dispatch) Projects() Projects { return Projects{d} }

// overlap is how far a re-read reaches back before the watermark: GitLab's clock and
// its transactions may be a little behind what it told last time.
const overlap = 2 * time.Minute

// foldedAtOnce keeps a project with much news from holding up webhooks.
const foldedAtOnce = 100

// Reconcile re-reads what changed in a project since its watermark, and asks to be
// called again after Options.Resync. The first pass after a start always reads.
func (p Projects) Reconcile(ctx context.Context, id int64) (time.Duration, error) {
	project, linked, err := p.load(ctx, id)
	if err != nil || !linked {
		return 0, err
	}
	if wait := p.opts.Resync - p.db.Now().Sub(project.ReadAt); wait > 0 && !project.ReadAt.Before(p.born) {
		return wait, nil
	}
	var since time.Time // of a project that had no pipeline when it was linked everything is new
	if !project.Watermark.IsZero() {
		since = project.Watermark.Add(-overlap)
	}
	runs, upTo, err := p.world.Pipelines.Changed(ctx, id, since)
	if err != nil {
		return 0, fmt.Errorf("re-read project %d: %w", id, err)
	}
	now, err := p.world.Links.Project(ctx, strconv.FormatInt(id, 10))
	if err != nil {
		return 0, fmt.Errorf("re-read project %d: %w", id, err)
	}
	if err := p.heads(ctx, id); err != nil {
		return 0, fmt.Errorf("re-read branches of project %d: %w", id, err)
	}
	for some := range slices.Chunk(runs, foldedAtOnce) {
		if err := p.db.Update(ctx, func(tx *storage.Tx) error { return foldChanged(tx, some) }); err != nil {
			return 0, fmt.Errorf("fold changes of project %d: %w", id, err)
		}
	}
	err = p.db.Update(ctx, func(tx *storage.Tx) error {
		project, err := tx.Project(id)
		if err != nil {
			return err
		}
		project.Path, project.Name, project.URL, project.DefaultBranch = now.Path, now.Name, now.URL, now.DefaultBranch
		project.ReadAt = p.db.Now()
		if upTo.After(project.Watermark) {
			project.Watermark = upTo
		}
		return tx.SaveProject(project)
	})
	return p.opts.Resync, err
}

func (p Projects) load(ctx context.Context, id int64) (project kovra.Project, linked bool, err error) {
	err = p.db.Read(ctx, func(tx *storage.Tx) error {
		apps, err := tx.AppsOfProject(id)
		if err != nil || len(apps) == 0 {
			return err
		}
		linked = true
		project, err = tx.Project(id)
		return err
	})
	return project, linked, err
}

// foldChanged takes a list of changed pipelines as hints. One that GitLab has
// touched since it was read is read again, even if its own word is the same.
func foldChanged(tx *storage.Tx, runs []kovra.Run) error {
	for _, r := range runs {
		run, _, err := tx.Observe(kovra.Observation{Run: r})
		if err != nil {
			return err
		}
		if run.Stale || !r.UpdatedAt.After(run.UpdatedAt) {
			continue
		}
		if err := tx.MarkStale(run.ID); err != nil {
			return err
		}
	}
	return nil
}
