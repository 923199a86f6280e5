package storage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kovra.dev/chatops/internal/kovra"
)

// openFiles counts the descriptors that this process has below a folder.
func openFiles(t *testing.T, dir string) int {
	t.Helper()
	links, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("no /proc here: %v", err)
	}
	n := 0
	for _, l := range links {
		if target, err := os.Readlink(filepath.Join("/proc/self/fd", l.Name())); err == nil && strings.HasPrefix(target, dir) {
			n++
		}
	}
	return n
}

func TestCloseLetsGoOfTheFiles(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(t.Context(), Options{Path: filepath.Join(dir, "kovra.db")})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(t.Context(), func(tx *Tx) error { return tx.SaveApp(kovra.App{Name: "web"}) })
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if openFiles(t, dir) == 0 {
		t.Fatal("an open database has no open file: the test sees nothing")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if n := openFiles(t, dir); n != 0 {
		t.Errorf("%d files are still open after Close", n)
	}
}
