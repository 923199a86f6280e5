package storage

import (
	"database/sql"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"kovra.dev/chatops/internal/kovra"
)

// before makes a database file as the version that knew so many schemas left it.
func before(t *testing.T, schema int64, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "old.db")
	pool, err := sql.Open("sqlite3", dsn(path))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, pool, files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := pool.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return path
}

// TestUpgradeFromBeforeBuilds: what a database held before there were builds is there afterwards, and builds work.
func TestUpgradeFromBeforeBuilds(t *testing.T) {
	path := before(t, 2,
		`INSERT INTO projects (id, path, doc) VALUES (7, 'group/web', '{"Path":"group/web"}')`,
		`INSERT INTO apps (name, project, created_by, created_at) VALUES ('web', 7, 'U1', 1)`,
		`INSERT INTO subscriptions (app, channel, broadcast, floor, created_by, created_at) VALUES ('web', 'C1', 'all', 3, 'U1', 1)`,
		`INSERT INTO runs (id, project, remote, ref, kind, status, final, child, parent, verdict, observed_at, stale, version, driven_version, doc)
			VALUES (4, 7, 5, 'main', 'branch', 'running', 0, 0, 0, '', 1, 0, 3, 3, '{"title":"Fix it"}')`,
		`INSERT INTO threads (id, run, channel, app, version, shown_version, shown_by, broken, broadcast, created_at) VALUES
			(9, 4, 'C1', 'web', 3, 2, 1, '', 'all', 1790000000000), (11, 4, 'C2', 'web', 3, 3, 1, 'archived', 'on', 1790000000000)`,
		`INSERT INTO slots (thread, key, ts, digest, nonce, nonce_at, broadcast) VALUES (9, 'card', '17.1', 'd', '', 0, 0)`,
		`INSERT INTO actions (id, kind, app, run, job, channel, lock, state, answered, created_at, finished_at, doc)
			VALUES (6, 'retry', 'web', 4, 0, 'C1', 'retry/4', 'done', 1, 5, 6, '{}')`,
	)
	db := openAt(t, Options{Path: path})
	if err := db.Read(t.Context(), func(tx *Tx) error { return checkUpgraded(t, tx) }); err != nil {
		t.Fatal(err)
	}
	var dirty []kovra.Ref
	for ref, err := range db.Dirty(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		dirty = append(dirty, ref)
	}
	if diff := cmp.Diff([]kovra.Ref{{Kind: kovra.RefThread, ID: 9}}, dirty); diff != "" {
		t.Errorf("what is to be done (-want +got):\n%s", diff)
	}
	write(t, db, func(tx *Tx) error {
		b, _, err := tx.AddBuild(kovra.NewBuild(kovra.DefaultBuildSettings("web"), 7, "main", false, kovra.Commit{SHA: "c0ffee"}), "", false)
		if err != nil {
			return err
		}
		threads, err := tx.ThreadsOfBuild(b.ID)
		if len(threads) != 1 || threads[0].ID <= 11 || threads[0].Channel != "C1" {
			t.Errorf("threads of a build: %+v", threads)
		}
		return err
	})
}

func checkUpgraded(t *testing.T, tx *Tx) error {
	t.Helper()
	threads, err := tx.ThreadsOfRun(4)
	if err != nil {
		return err
	}
	at := unstamp(1790000000000)
	want := []kovra.Thread{
		{ID: 9, Run: 4, Channel: "C1", App: "web", Version: 3, ShownVersion: 2, ShownBy: 1, Broadcast: kovra.BroadcastAll, CreatedAt: at},
		{ID: 11, Run: 4, Channel: "C2", App: "web", Version: 3, ShownVersion: 3, ShownBy: 1, Broken: "archived", Broadcast: kovra.BroadcastOn, CreatedAt: at},
	}
	if diff := cmp.Diff(want, threads); diff != "" {
		t.Errorf("threads (-want +got):\n%s", diff)
	}
	v, err := tx.View(9)
	if err != nil {
		return err
	}
	if v.Run.Title != "Fix it" || v.Project.Path != "group/web" || v.Slots[kovra.SlotCard].TS != "17.1" || v.Build != nil {
		t.Errorf("view: run %+v, project %+v, slots %+v, build %+v", v.Run, v.Project, v.Slots, v.Build)
	}
	if len(v.Actions) != 1 || v.Actions[0].ID != 6 || v.Actions[0].Run != 4 || v.Actions[0].Build != 0 {
		t.Errorf("actions %+v", v.Actions)
	}
	found, err := tx.ThreadAt("C1", "17.1")
	if found.ID != 9 {
		t.Errorf("thread of the message: %+v", found)
	}
	return err
}

// TestUpgradeFromBeforePeople: what a database held before people had accounts is there afterwards.
func TestUpgradeFromBeforePeople(t *testing.T) {
	path := before(t, 3,
		`INSERT INTO projects (id, path, doc) VALUES (7, 'group/web', '{"Path":"group/web"}')`,
		`INSERT INTO apps (name, project, created_by, created_at) VALUES ('web', 7, 'U1', 1), ('api', 7, 'U1', 1)`,
		`INSERT INTO subscriptions (id, app, channel, broadcast, floor, paused, created_by, created_at) VALUES
			(2, 'web', 'C1', 'all', 3, '', 'U1', 1790000000000), (5, 'api', 'C2', 'off', 0, 'archived', 'U2', 1790000000000)`,
		`INSERT INTO runs (id, project, remote, ref, kind, status, final, child, parent, verdict, observed_at, stale, version, driven_version, doc)
			VALUES (4, 7, 5, 'main', 'branch', 'running', 0, 0, 0, '', 1, 0, 3, 3, '{"title":"Fix it"}')`,
		`INSERT INTO builds (id, app, project, ref, phase, final, verdict, version, driven_version, doc) VALUES (1, 'web', 7, 'main', 0, 0, '', 2, 2, '{}')`,
		`INSERT INTO threads (id, run, build, channel, app, version, shown_version, shown_by, broken, broadcast, created_at) VALUES
			(9, 4, 0, 'C1', 'web', 3, 2, 1, '', 'all', 1790000000000), (11, 0, 1, 'C1', 'web', 3, 3, 1, 'archived', 'on', 1790000000000)`,
		`INSERT INTO slots (thread, key, ts, digest, nonce, nonce_at, broadcast) VALUES (9, 'card', '17.1', 'd', '', 0, 0)`,
		`INSERT INTO actions (id, kind, app, run, job, channel, lock, state, answered, created_at, finished_at, doc)
			VALUES (6, 'retry', 'web', 4, 0, 'C1', 'retry/4', 'done', 1, 5, 6, '{}'), (7, 'cancel', 'web', 4, 0, 'C1', 'cancel/4', 'wanted', 0, 5, 0, '{}')`,
	)
	db := openAt(t, Options{Path: path})
	at := unstamp(1790000000000)
	err := db.Read(t.Context(), func(tx *Tx) error {
		subs, err := tx.Subscriptions(SubscriptionQuery{})
		want := []kovra.Subscription{
			{ID: 5, App: "api", Channel: "C2", Filter: kovra.Filter{Broadcast: kovra.BroadcastOff}, Paused: "archived", CreatedBy: "U2", CreatedAt: at},
			{ID: 2, App: "web", Channel: "C1", Filter: kovra.Filter{Broadcast: kovra.BroadcastAll}, Floor: 3, CreatedBy: "U1", CreatedAt: at},
		}
		if diff := cmp.Diff(want, subs); diff != "" {
			t.Errorf("subscriptions (-want +got):\n%s", diff)
		}
		ofRun, failed := tx.ThreadsOfRun(4)
		ofBuild, failedToo := tx.ThreadsOfBuild(1)
		threads := []kovra.Thread{
			{ID: 9, Run: 4, Channel: "C1", App: "web", Version: 3, ShownVersion: 2, ShownBy: 1, Broadcast: kovra.BroadcastAll, CreatedAt: at},
			{ID: 11, Build: 1, Channel: "C1", App: "web", Version: 3, ShownVersion: 3, ShownBy: 1, Broken: "archived", Broadcast: kovra.BroadcastOn, CreatedAt: at},
		}
		if diff := cmp.Diff(threads, append(ofRun, ofBuild...)); diff != "" {
			t.Errorf("threads (-want +got):\n%s", diff)
		}
		message, noMessage := tx.ThreadAt("C1", "17.1")
		if message.ID != 9 {
			t.Errorf("thread of the message: %+v", message)
		}
		first, held, noLock := tx.lockedBy("cancel/4")
		if first.ID != 7 || !held {
			t.Errorf("the lock: %+v, %t", first, held)
		}
		return errors.Join(err, failed, failedToo, noMessage, noLock)
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, db, func(tx *Tx) error {
		// The channel's usual subscription is changed, not doubled; another one gets an id of its own.
		usual := kovra.Subscription{App: "web", Channel: "C1", Filter: kovra.Filter{Quiet: true}}
		tags := kovra.Subscription{App: "web", Channel: "C1", Filter: kovra.Filter{Topics: []kovra.Topic{kovra.TopicTags}}}
		if err := errors.Join(tx.SaveSubscription(usual), tx.SaveSubscription(tags)); err != nil {
			return err
		}
		subs, err := tx.Subscriptions(SubscriptionQuery{App: "web"})
		if len(subs) != 2 || subs[0].ID != 2 || subs[1].ID <= 5 {
			t.Errorf("subscriptions: %+v", subs)
		}
		_, _, failed := tx.Observe(kovra.Observation{Run: kovra.Run{Project: 7, Remote: 5, Status: kovra.Success, FinishedAt: at}})
		return errors.Join(err, failed)
	})
}

// TestUpgradeFromBeforeNotices: every thread is there afterwards, of whatever it is, and notices have theirs.
func TestUpgradeFromBeforeNotices(t *testing.T) {
	path := before(t, 4,
		`INSERT INTO projects (id, path, doc) VALUES (7, 'group/web', '{"Path":"group/web","Hook":3,"HookOurs":true}')`,
		`INSERT INTO apps (name, project, created_by, created_at) VALUES ('web', 7, 'U1', 1)`,
		`INSERT INTO runs (id, project, remote, ref, kind, status, final, child, parent, verdict, observed_at, stale, version, driven_version, doc)
			VALUES (4, 7, 5, 'main', 'branch', 'running', 0, 0, 0, '', 1, 0, 3, 3, '{"title":"Fix it"}')`,
		`INSERT INTO builds (id, app, project, ref, phase, final, verdict, version, driven_version, doc) VALUES (1, 'web', 7, 'main', 0, 0, '', 2, 2, '{}')`,
		`INSERT INTO subjects (id, project, kind, key, version, at, doc) VALUES (2, 7, 'tag', 'v1', 1, 1790000000000, '{}')`,
		`INSERT INTO threads (id, run, build, subject, channel, app, version, shown_version, shown_by, broken, broadcast, quiet, created_at) VALUES
			(9, 4, 0, 0, '@U1', 'web', 3, 2, 1, '', 'off', 0, 1790000000000), (11, 0, 1, 0, 'C1', 'web', 3, 3, 1, 'archived', 'on', 1, 1790000000000),
			(12, 0, 0, 2, 'C1', 'web', 5, 5, 2, '', 'on', 0, 1790000000000)`,
		`INSERT INTO slots (thread, key, ts, digest, nonce, nonce_at, broadcast) VALUES (12, 'card', '17.1', 'd', '', 0, 0)`,
	)
	db := openAt(t, Options{Path: path})
	at := unstamp(1790000000000)
	want := []kovra.Thread{
		{ID: 9, Run: 4, Channel: "@U1", App: "web", Version: 3, ShownVersion: 2, ShownBy: 1, Broadcast: kovra.BroadcastOff, CreatedAt: at},
		{ID: 11, Build: 1, Channel: "C1", App: "web", Version: 3, ShownVersion: 3, ShownBy: 1, Broken: "archived", Broadcast: kovra.BroadcastOn, Quiet: true, CreatedAt: at},
		{ID: 12, Subject: 2, Channel: "C1", App: "web", Version: 5, ShownVersion: 5, ShownBy: 2, Broadcast: kovra.BroadcastOn, CreatedAt: at},
	}
	write(t, db, func(tx *Tx) error {
		var got []kovra.Thread
		for _, w := range want {
			v, err := tx.View(w.ID)
			if err != nil {
				return err
			}
			got = append(got, v.Thread)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("threads (-want +got):\n%s", diff)
		}
		p, failed := tx.Project(7)
		if p.Seen.Is() != kovra.HealthUnknown || !p.Seen.At.IsZero() {
			t.Errorf("what is known of the webhook: %+v", p.Seen)
		}
		err := errors.Join(failed, tx.SawHook(7, kovra.HookSight{Health: kovra.HealthDisabled}), tx.TellNotice(1, []string{"U1"}))
		if err != nil {
			return err
		}
		v, err := tx.View(13)
		if v.Thread.Notice != 1 || v.Thread.Channel != "@U1" {
			t.Errorf("thread of a notice: %+v", v.Thread)
		}
		return err
	})
}
