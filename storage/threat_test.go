package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"kovra.dev/chatops/internal/kovra"
)

// TestTextIsNeverSQL: what people type is a value, in whatever query.
func TestTextIsNeverSQL(t *testing.T) {
	db := openNew(t)
	save := func(tx *Tx) error {
		if err := tx.SaveProject(kovra.Project{ID: 7, Path: "group/web"}); err != nil {
			return err
		}
		if err := tx.SaveApp(kovra.App{Name: "web", Project: 7}); err != nil {
			return err
		}
		_, _, err := tx.Observe(kovra.Observation{Run: kovra.Run{Project: 7, Remote: 1, Ref: "main", Status: kovra.Running}})
		return err
	}
	if err := db.Update(t.Context(), save); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"' OR '1'='1", `" OR 1=1 --`, "'; DROP TABLE runs; --", "main' --", "%", "_", "*", "ma\x00in", "WEB", "Web", " web", "web ", "ｗeb", "main/*", "?1", ":a", "$1"} {
		err := db.Update(t.Context(), func(tx *Tx) error {
			runs, err := tx.Runs(RunQuery{Project: 7, Ref: text, Limit: 10})
			if err != nil || len(runs) != 0 {
				t.Errorf("%q: %d runs, %v", text, len(runs), err)
			}
			builds, err := tx.Builds(BuildQuery{App: text, Limit: 10})
			if err != nil || len(builds) != 0 {
				t.Errorf("%q: %d builds, %v", text, len(builds), err)
			}
			actions, err := tx.Actions(ActionQuery{App: text, Limit: 10})
			if err != nil || len(actions) != 0 {
				t.Errorf("%q: %d actions, %v", text, len(actions), err)
			}
			if app, err := tx.App(text); kovra.KindOf(err) != kovra.NotFound {
				t.Errorf("%q is the app %q, %v", text, app.Name, err)
			}
			subscriptions, err := tx.Subscriptions(SubscriptionQuery{App: text})
			if err != nil || len(subscriptions) != 0 {
				t.Errorf("%q: %d subscriptions, %v", text, len(subscriptions), err)
			}
			if _, known, err := tx.Tokens(text); known || err != nil {
				t.Errorf("%q has tokens: %v", text, err)
			}
			_, err = tx.AddDelivery(kovra.Delivery{Key: text, Kind: text, Body: []byte(text)})
			return err
		})
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	err := db.Read(t.Context(), func(tx *Tx) error {
		runs, err := tx.Runs(RunQuery{Project: 7, Ref: "main", Limit: 10})
		if len(runs) != 1 {
			t.Errorf("%d runs are left", len(runs))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestFilesAreTheOwners: nobody else on the machine reads what is kept, and the rights that an administrator gave stay.
func TestFilesAreTheOwners(t *testing.T) {
	dir := t.TempDir()
	given := filepath.Join(dir, "given.db")
	if err := errors.Join(os.WriteFile(given, nil, 0o600), os.Chmod(given, 0o640)); err != nil { // whatever the umask
		t.Fatal(err)
	}
	for _, path := range []string{given, filepath.Join(dir, "state.db")} {
		write(t, openAt(t, Options{Path: path, Lock: true}), add("kept"))
	}
	logs, err := OpenLogs(t.Context(), LogsOptions{Path: filepath.Join(dir, "logs.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = logs.Close() })
	want := map[string]fs.FileMode{
		"given.db": 0o640, "given.db-wal": 0o640, "given.db-shm": 0o640, "given.db.lock": 0o600,
		"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600, "state.db.lock": 0o600,
		"logs.db": 0o600, "logs.db-wal": 0o600, "logs.db-shm": 0o600,
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != len(want) {
		t.Errorf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != want[f.Name()] {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
}
