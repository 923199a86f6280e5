package storage

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// names lists the files of a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// filled is a database with a linked project and a person's tokens, closed again.
func filled(t *testing.T, key []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kovra.db")
	db, err := Open(t.Context(), Options{Path: path, Key: [][]byte{key}})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(t.Context(), func(tx *Tx) error {
		if err := tx.Connect("U1", kovra.GitLabUser{ID: 7, Username: "ann"}, kovra.TokenPair{Access: "a", Refresh: "r", Expires: time.Now()}); err != nil {
			return err
		}
		return tx.SaveProject(kovra.Project{ID: 42, Path: "group/web"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// A look changes nothing: not the file, not what lies beside it, and nothing can be written.
func TestPeekChangesNothing(t *testing.T) {
	path := filled(t, []byte(strings.Repeat("k", 32)))
	before, files := read(t, path), names(t, filepath.Dir(path))
	db, schema, err := Peek(t.Context(), Options{Path: path, Key: [][]byte{[]byte(strings.Repeat("k", 32))}})
	if err != nil || db == nil || schema.Have != schema.Newest {
		t.Fatalf("Peek: %v, schema %+v, %v", db, schema, err)
	}
	err = db.Read(t.Context(), func(tx *Tx) error {
		if p, err := tx.Project(42); err != nil || p.Path != "group/web" {
			t.Errorf("project %+v, %v", p, err)
		}
		all, locked, err := tx.Sealed()
		if all != 1 || locked != 0 {
			t.Errorf("%d sealed, %d locked, want 1 and 0", all, locked)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := db.Update(t.Context(), func(tx *Tx) error { return tx.SaveProject(kovra.Project{ID: 43}) }); err == nil {
		t.Error("it could be written")
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if got := read(t, path); got != before {
		t.Error("the file is another one")
	}
	if got := names(t, filepath.Dir(path)); !slices.Equal(got, files) {
		t.Errorf("files %v, want %v", got, files)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Beside a server: what it has committed is seen, and it goes on.
func TestPeekBesideAServer(t *testing.T) {
	path := filled(t, []byte(strings.Repeat("k", 32)))
	server, err := Open(t.Context(), Options{Path: path, Key: [][]byte{[]byte(strings.Repeat("k", 32))}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	save := func(id int64) {
		if err := server.Update(t.Context(), func(tx *Tx) error { return tx.SaveProject(kovra.Project{ID: id, Path: "new"}) }); err != nil {
			t.Fatal(err)
		}
	}
	save(43)
	db, _, err := Peek(t.Context(), Options{Path: path, Key: [][]byte{[]byte(strings.Repeat("x", 32))}})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Read(t.Context(), func(tx *Tx) error {
		if _, err := tx.Project(43); err != nil {
			t.Errorf("what was just committed: %v", err)
		}
		if all, locked, err := tx.Sealed(); all != 1 || locked != 1 || err != nil {
			t.Errorf("%d sealed, %d locked, %v; the key is another one", all, locked, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	save(44)
}

// What is not ours to read is told and left as it is.
func TestPeekAtOtherSchemas(t *testing.T) {
	key := [][]byte{[]byte(strings.Repeat("k", 32))}
	path := filled(t, key[0])
	db, err := Open(t.Context(), Options{Path: path, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(t.Context(), func(tx *Tx) error {
		_, err := tx.exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (900, 1)")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	peeked, schema, err := Peek(t.Context(), Options{Path: path, Key: key})
	if peeked != nil || err != nil || schema.Have != 900 || schema.Newest >= 900 {
		t.Errorf("a newer one: %v, %+v, %v", peeked, schema, err)
	}
	empty := filepath.Join(t.TempDir(), "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if peeked, schema, err := Peek(t.Context(), Options{Path: empty}); peeked != nil || err != nil || schema.Have != 0 {
		t.Errorf("an empty one: %v, %+v, %v", peeked, schema, err)
	}
	if err := os.WriteFile(empty, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if peeked, _, err := Peek(t.Context(), Options{Path: empty}); peeked != nil || err == nil {
		t.Errorf("garbage: %v, %v", peeked, err)
	}
	if _, _, err := Peek(t.Context(), Options{Path: filepath.Join(t.TempDir(), "none.db")}); err == nil {
		t.Error("a file that is not there could be opened")
	}
}

// A look at a backup that was put in the place of a database whose server was killed: the log that this one left is not the
// backup's, and gets into it neither now nor later.
func TestPeekAtARestoreOverAKilledServer(t *testing.T) {
	lost := openNew(t)
	write(t, lost, add("before"))
	path := filepath.Join(t.TempDir(), "kovra.db")
	if _, err := Backup(t.Context(), pathOf(t, lost), path); err != nil {
		t.Fatal(err)
	}
	write(t, lost, fill)
	for _, end := range []string{"-wal", "-shm"} {
		if err := os.WriteFile(path+end, []byte(read(t, pathOf(t, lost)+end)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	backup := read(t, path)
	db, _, err := Peek(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if got := added(t, db); !slices.Equal(got, []string{"before"}) {
		t.Errorf("it sees %q", got)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if read(t, path) != backup {
		t.Error("the backup was changed")
	}
	if got := added(t, openAt(t, Options{Path: path, Lock: true})); !slices.Equal(got, []string{"before"}) {
		t.Errorf("a server sees %q", got)
	}
}
