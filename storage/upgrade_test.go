package storage

import (
	"database/sql"
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
