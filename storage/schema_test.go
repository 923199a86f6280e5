package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// old makes a database file of the oldest schema that has a dump.
func old(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kovra.db")
	if err := loaded(t, oldestDump, path).Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestUpgradeKeepsACopy: before an upgrade the database is copied beside itself; the copy is what the version before can
// go on with. Only the newest is kept.
func TestUpgradeKeepsACopy(t *testing.T) {
	path := old(t)
	stale := path + ".before-3"
	others := []string{path + ".backup", path + ".before-upgrade", path + ".before-2.db", path + ".before-3.key"}
	for _, p := range append(others, stale) {
		if err := os.WriteFile(p, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := SchemaOf(t.Context(), path); err != nil || s != (Schema{Have: oldestDump, Newest: newestSchema(t)}) {
		t.Errorf("before: %+v, %v", s, err)
	}
	db := openAt(t, Options{Path: path})
	want := Upgrade{From: oldestDump, To: newestSchema(t), Copy: path + fmt.Sprintf(".before-%d", oldestDump+1)}
	if got := db.Upgrade(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if s, err := SchemaOf(t.Context(), want.Copy); err != nil || s.Have != oldestDump {
		t.Errorf("the copy: %+v, %v", s, err)
	}
	if s, err := SchemaOf(t.Context(), path); err != nil || s.Have != s.Newest {
		t.Errorf("after: %+v, %v", s, err)
	}
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("the copy from before an older upgrade: %v", err)
	}
	for _, other := range others {
		if _, err := os.Stat(other); err != nil {
			t.Errorf("a file of somebody else: %v", err)
		}
	}
	if got := openAt(t, Options{Path: path}).Upgrade(); got.From != got.To || got.Copy != "" {
		t.Errorf("the second time: %+v", got)
	}
}

// TestUpgradeThatWasKilled: one that goes on keeps the copy from before its first migration, which the old version needs.
func TestUpgradeThatWasKilled(t *testing.T) {
	const before = 3
	path := filepath.Join(t.TempDir(), "kovra.db")
	pool, err := makePool(path, "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	db := &DB{sql: pool}
	p, err := provider(pool, migrations, "migrations")
	if err == nil {
		_, err = p.UpTo(t.Context(), before)
	}
	if err != nil {
		t.Fatal(err)
	}
	first, err := db.copyBefore(t.Context(), path, before+1)
	if err == nil {
		_, err = p.UpByOne(t.Context())
	}
	if err := errors.Join(err, pool.Close()); err != nil {
		t.Fatal(err)
	}
	if got := openAt(t, Options{Path: path}).Upgrade(); got.From != before+1 || got.Copy != first {
		t.Errorf("%+v, want the copy %s", got, first)
	}
	if s, err := SchemaOf(t.Context(), first); err != nil || s.Have != before {
		t.Errorf("the copy: %+v, %v", s, err)
	}
	if left, err := filepath.Glob(path + ".before*"); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestUpgradeWithoutACopy(t *testing.T) {
	for name, path := range map[string]string{"wanted so": old(t), "a new database": filepath.Join(t.TempDir(), "kovra.db")} {
		db := openAt(t, Options{Path: path, NoCopy: name == "wanted so"})
		if u := db.Upgrade(); u.Copy != "" || u.From == u.To {
			t.Errorf("%s: %+v", name, u)
		}
		if left, err := filepath.Glob(path + ".before*"); err != nil || len(left) > 0 {
			t.Errorf("%s: %v, %v", name, left, err)
		}
	}
}

// TestBesideChangesNoSchema: a command of a newer version does not pull the schema from under a server that runs.
func TestBesideChangesNoSchema(t *testing.T) {
	path := old(t)
	_, err := Open(t.Context(), Options{Path: path, Beside: true})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("older version of kovra (schema %d, ", oldestDump)) || !strings.Contains(err.Error(), "kovra migrate") {
		t.Errorf("%v", err)
	}
	if s, err := SchemaOf(t.Context(), path); err != nil || s.Have != oldestDump {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestNewerSchemaSaysTheWayBack: the words name the copy that the upgrade has left.
func TestNewerSchemaSaysTheWayBack(t *testing.T) {
	db := openNew(t)
	path := pathOf(t, db)
	newer := newestSchema(t) + 2
	write(t, db, func(tx *Tx) error {
		_, err := tx.exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (?, 1)", newer)
		return err
	})
	for _, o := range []Options{{Path: path}, {Path: path, Beside: true}, {Path: path, Lock: true}} {
		_, err := Open(t.Context(), o)
		for _, want := range []string{"written by a newer version of kovra", "install that version again", fmt.Sprintf("%s.before-%d", path, newer-1), "a backup of yours"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v does not say %s", o, err, want)
			}
		}
	}
	if s, err := SchemaOf(t.Context(), path); err != nil || s.Have != newer {
		t.Errorf("%+v, %v", s, err)
	}
	if c, err := Backup(t.Context(), path, filepath.Join(t.TempDir(), "copy.db")); err != nil || c.Schema != newer {
		t.Errorf("a backup of it: %+v, %v", c, err)
	}
}
