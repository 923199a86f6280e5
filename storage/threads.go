package storage

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

const threadColumns = "id, run, build, subject, notice, channel, app, version, shown_version, shown_by, broken, broadcast, quiet, created_at"

func scanThread(s scanner) (kovra.Thread, error) {
	var t kovra.Thread
	var at int64
	err := s.Scan(&t.ID, &t.Run, &t.Build, &t.Subject, &t.Notice, &t.Channel, &t.App, &t.Version, &t.ShownVersion, &t.ShownBy, &t.Broken,
		&t.Broadcast, &t.Quiet, &at)
	t.CreatedAt = unstamp(at)
	return t, err
}

// makeThreads gives the run a thread in every channel that wants it and has none
// yet. A run of which only a job was told has no status; it waits for one.
func (tx *Tx) makeThreads(r kovra.Run) error {
	if r.Status == "" {
		return nil
	}
	subs, err := tx.Subscriptions(SubscriptionQuery{Project: r.Project})
	if err != nil {
		return err
	}
	wishes := kovra.Wishes(subs, func(s kovra.Subscription) bool { return s.Wants(&r) })
	own, err := tx.ownWish(r, subs)
	if err != nil {
		return err
	}
	for _, w := range append(wishes, own...) {
		made, err := tx.makeThread(kovra.Thread{Run: r.ID}, w)
		if err == nil && made {
			err = tx.wakeChildren(r.Project, r.Remote)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// makeThread makes the thread that a channel wishes for, unless it is there: then how loud it is follows
// the wish. It reports whether the thread is new.
func (tx *Tx) makeThread(of kovra.Thread, w kovra.Wish) (bool, error) {
	res, err := tx.exec(`INSERT INTO threads (run, build, subject, notice, channel, app, version, shown_version, shown_by, broadcast, quiet, created_at)
		VALUES (?, ?, ?, ?, ?, ?, 1, 0, 0, ?, ?, ?) ON CONFLICT (run, build, subject, notice, channel) DO NOTHING`,
		of.Run, of.Build, of.Subject, of.Notice, w.Channel, w.App, string(w.Broadcast), flag(w.Quiet), stamp(tx.now))
	if err != nil {
		return false, err
	}
	if made, err := res.RowsAffected(); err != nil || made > 0 {
		return made > 0, err
	}
	_, err = tx.exec("UPDATE threads SET broadcast = ?, quiet = ? WHERE run = ? AND build = ? AND subject = ? AND notice = ? AND channel = ?",
		string(w.Broadcast), flag(w.Quiet), of.Run, of.Build, of.Subject, of.Notice, w.Channel)
	return false, err
}

// ownWish is that of the person who started the run, if they want to be told of their own.
func (tx *Tx) ownWish(r kovra.Run, subs []kovra.Subscription) ([]kovra.Wish, error) {
	if r.By.ID == 0 || len(subs) == 0 || r.Child() {
		return nil, nil
	}
	m, known, err := tx.Match(r.By.ID)
	if err != nil || !known || m.Slack == "" {
		return nil, err
	}
	a, err := tx.Account(m.Slack)
	if err != nil || a.Notify == kovra.NotifyOff || r.CreatedAt.Before(a.NotifySince.Truncate(time.Second)) {
		return nil, err
	}
	failures := kovra.Subscription{Filter: kovra.Filter{Only: kovra.OnlyFailures}}
	if a.Notify == kovra.NotifyFailures && !failures.Wants(&r) {
		return nil, nil
	}
	return []kovra.Wish{{Channel: kovra.PersonalChannel(m.Slack), App: subs[0].App, Broadcast: kovra.BroadcastOff}}, nil
}

// WatchRun has a person told how a run goes on. It reports whether that is new.
func (tx *Tx) WatchRun(run int64, app, slackUser string) (bool, error) {
	return tx.watch(kovra.Thread{Run: run}, app, slackUser)
}

// WatchBuild has a person told how a build goes on. It reports whether that is new.
func (tx *Tx) WatchBuild(build int64, app, slackUser string) (bool, error) {
	return tx.watch(kovra.Thread{Build: build}, app, slackUser)
}

func (tx *Tx) watch(of kovra.Thread, app, slackUser string) (bool, error) {
	made, err := tx.makeThread(of, kovra.Wish{Channel: kovra.PersonalChannel(slackUser), App: app, Broadcast: kovra.BroadcastOff})
	if err != nil || !made {
		return made, err
	}
	if of.Build != 0 {
		return made, tx.bumpBuildThreads(of.Build)
	}
	return made, tx.bumpThreads(of.Run)
}

// bumpThreads makes all threads of a run dirty.
func (tx *Tx) bumpThreads(run int64) error {
	ids, err := list(tx, scanID, "UPDATE threads SET version = version + 1 WHERE run = ? AND run <> 0 RETURNING id", run)
	for _, id := range ids {
		tx.touch(kovra.RefThread, id)
	}
	return errors.Join(err, tx.bumpHomesOfRun(run))
}

// bumpHomesOfRun has those see it who look at the run's app.
func (tx *Tx) bumpHomesOfRun(run int64) error {
	project, err := tx.int("SELECT project FROM runs WHERE id = ?", run)
	return errors.Join(err, tx.bumpHomesOf(project))
}

// bumpedOfApp is how many of an app's threads, the newest, show at once that the app
// was linked elsewhere or is gone.
const bumpedOfApp = 50

func (tx *Tx) bumpThreadsOf(app string) error {
	ids, err := list(tx, scanID, `UPDATE threads SET version = version + 1 WHERE id IN (
		SELECT id FROM threads WHERE app = ? ORDER BY id DESC LIMIT ?) RETURNING id`, app, bumpedOfApp)
	for _, id := range ids {
		tx.touch(kovra.RefThread, id)
	}
	return errors.Join(err, tx.bumpHomes(app))
}

// mendThreads makes the broken threads of a channel dirty again: its configuration changed.
func (tx *Tx) mendThreads(channel string) error {
	ids, err := list(tx, scanID, "UPDATE threads SET broken = '', version = version + 1 WHERE channel = ? AND broken <> '' RETURNING id", channel)
	for _, id := range ids {
		tx.touch(kovra.RefThread, id)
	}
	return err
}

// RenderAgain makes every thread dirty that an older renderer has shown, newest
// first up to a limit, so that a new layout reaches the messages that people still see.
func (tx *Tx) RenderAgain(renderer, limit int) error {
	_, err := tx.exec(`UPDATE threads SET version = version + 1 WHERE id IN (
		SELECT id FROM threads WHERE broken = '' ORDER BY id DESC LIMIT ?2) AND shown_by < ?1 AND shown_by <> 0`, renderer, limit)
	return err
}

// View returns everything that a thread shows.
func (tx *Tx) View(thread int64) (kovra.View, error) {
	t, err := scanThread(tx.row("SELECT "+threadColumns+" FROM threads WHERE id = ?", thread))
	if err != nil {
		return kovra.View{}, found(err, "There is no thread %d.", thread)
	}
	v, err := tx.viewOf(t)
	if err != nil {
		return v, err
	}
	v.Thread = t
	c, err := tx.Channel(t.Channel)
	if err != nil {
		return v, err
	}
	_, alone := t.Person()
	v.NoLogs = !c.ShowsLogs() && !alone
	slots, err := list(tx, scanSlot, "SELECT key, ts, digest, nonce, nonce_at, broadcast FROM slots WHERE thread = ?", thread)
	for _, s := range slots {
		v.Slots[s.Key] = s
	}
	return v, err
}

func (tx *Tx) viewOf(t kovra.Thread) (kovra.View, error) {
	switch {
	case t.Build != 0:
		return tx.BuildView(t.Build)
	case t.Notice != 0:
		return tx.noticeView(t.Notice)
	case t.Subject != 0:
		return tx.SubjectView(t.Subject, t.App)
	}
	return tx.RunView(t.Run, t.App)
}

// RunView returns what a private answer shows of a run: a view without a thread, and
// with logs, since only people of our own organisation are answered. An app that is
// gone leaves its name.
func (tx *Tx) RunView(run int64, app string) (kovra.View, error) {
	r, err := tx.Run(run)
	if err != nil {
		return kovra.View{}, err
	}
	v, err := tx.emptyView(app, r.Project)
	if err != nil {
		return v, err
	}
	v.Run = r
	if v.Jobs, err = tx.Jobs(run); err != nil {
		return v, err
	}
	if v.Children, err = tx.Children(run); err != nil {
		return v, err
	}
	v.Starter, v.Matched = r.Starter, r.StarterKnown || r.By.ID == 0
	if v.Actions, err = tx.doneActions(run); err != nil {
		return v, err
	}
	for _, c := range v.Children {
		below, err := tx.doneActions(c.Run.ID)
		if err != nil {
			return v, err
		}
		v.Actions = append(v.Actions, slices.DeleteFunc(below, func(a kovra.Action) bool { return a.Job == 0 })...)
	}
	slices.SortFunc(v.Actions, func(a, b kovra.Action) int { return cmp.Compare(a.ID, b.ID) })
	return v, nil
}

func (tx *Tx) doneActions(run int64) ([]kovra.Action, error) {
	return list(tx, tx.scanAction, "SELECT "+actionColumns+" FROM actions WHERE run = ? AND run <> 0 AND state = 'done' ORDER BY id", run)
}

// emptyView is a view that shows nothing yet: of an app, which may be gone, and a project, which may be unknown.
func (tx *Tx) emptyView(app string, project int64) (kovra.View, error) {
	v := kovra.View{Slots: map[string]kovra.Slot{}}
	var err error
	if v.App, err = tx.App(app); err != nil {
		if kovra.KindOf(err) != kovra.NotFound {
			return v, err
		}
		v.App = kovra.App{Name: app}
	}
	if v.Project, err = tx.Project(project); err != nil && kovra.KindOf(err) != kovra.NotFound {
		return v, err
	}
	return v, nil
}

func scanSlot(s scanner) (kovra.Slot, error) {
	var v kovra.Slot
	var at, broadcast int64
	err := s.Scan(&v.Key, &v.TS, &v.Digest, &v.Nonce, &at, &broadcast)
	v.NonceAt, v.Broadcast = unstamp(at), broadcast != 0
	return v, err
}

// ThreadAt returns the thread that a message belongs to, by the message's own id.
func (tx *Tx) ThreadAt(channel, ts string) (kovra.Thread, error) {
	t, err := scanThread(tx.row(`SELECT `+threadColumns+` FROM threads WHERE channel = ? AND id IN (SELECT thread FROM slots WHERE ts = ? AND ts <> '')`, channel, ts))
	return t, found(err, "This message belongs to no thread of ours.")
}

// ThreadsOfRun returns the run's threads by channel.
func (tx *Tx) ThreadsOfRun(run int64) ([]kovra.Thread, error) {
	return list(tx, scanThread, "SELECT "+threadColumns+" FROM threads WHERE run = ? AND run <> 0 ORDER BY build, subject, notice, channel", run)
}

// SaveSlot records what is known of one message of a thread.
func (tx *Tx) SaveSlot(thread int64, s kovra.Slot) error {
	_, err := tx.exec(`INSERT INTO slots (thread, key, ts, digest, nonce, nonce_at, broadcast) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (thread, key) DO UPDATE SET ts = excluded.ts, digest = excluded.digest, nonce = excluded.nonce,
		nonce_at = excluded.nonce_at, broadcast = excluded.broadcast`,
		thread, s.Key, s.TS, s.Digest, s.Nonce, stamp(s.NonceAt), flag(s.Broadcast))
	return err
}

// SetShown records that a version of the thread is on screen.
func (tx *Tx) SetShown(thread, version int64, renderer int) error {
	_, err := tx.exec("UPDATE threads SET shown_version = max(shown_version, ?), shown_by = ? WHERE id = ?", version, renderer, thread)
	return err
}

// BreakThread records that Slack refuses the thread for good; it leaves the dirty
// set until its channel's configuration changes.
func (tx *Tx) BreakThread(thread int64, reason string) error {
	_, err := tx.exec("UPDATE threads SET broken = ? WHERE id = ?", reason, thread)
	return err
}
