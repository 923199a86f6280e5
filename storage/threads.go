package storage

import (
	"kovra.dev/chatops/internal/kovra"
)

const threadColumns = "id, run, build, channel, app, version, shown_version, shown_by, broken, broadcast, created_at"

func scanThread(s scanner) (kovra.Thread, error) {
	var t kovra.Thread
	var at int64
	err := s.Scan(&t.ID, &t.Run, &t.Build, &t.Channel, &t.App, &t.Version, &t.ShownVersion, &t.ShownBy, &t.Broken, &t.Broadcast, &at)
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
	for _, s := range subs {
		if !s.Wants(&r) {
			continue
		}
		res, err := tx.exec(`INSERT INTO threads (run, channel, app, version, shown_version, shown_by, broadcast, created_at)
			VALUES (?, ?, ?, 1, 0, 0, ?, ?) ON CONFLICT (run, build, channel) DO NOTHING`,
			r.ID, s.Channel, s.App, string(s.Broadcast), stamp(tx.now))
		if err != nil {
			return err
		}
		made, err := res.RowsAffected()
		if err == nil && made > 0 {
			err = tx.wakeChildren(r.Project, r.Remote)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bumpThreads makes all threads of a run dirty.
func (tx *Tx) bumpThreads(run int64) error {
	ids, err := list(tx, scanID, "UPDATE threads SET version = version + 1 WHERE run = ? AND run <> 0 RETURNING id", run)
	for _, id := range ids {
		tx.touch(kovra.RefThread, id)
	}
	return err
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
	return err
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
	v.NoLogs = !c.ShowsLogs()
	slots, err := list(tx, scanSlot, "SELECT key, ts, digest, nonce, nonce_at, broadcast FROM slots WHERE thread = ?", thread)
	for _, s := range slots {
		v.Slots[s.Key] = s
	}
	return v, err
}

func (tx *Tx) viewOf(t kovra.Thread) (kovra.View, error) {
	if t.Build != 0 {
		return tx.BuildView(t.Build)
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
	v.Actions, err = list(tx, tx.scanAction, "SELECT "+actionColumns+" FROM actions WHERE run = ? AND run <> 0 AND state = 'done' ORDER BY id", run)
	return v, err
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
	return list(tx, scanThread, "SELECT "+threadColumns+" FROM threads WHERE run = ? AND run <> 0 ORDER BY build, channel", run)
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
