package storage

import (
	"bufio"
	"errors"
	goflag "flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// holdLock is the database that a process of TestLockOfAnotherProcess serves.
var holdLock = goflag.String("holdlock", "", "database to lock; set by TestLockOfAnotherProcess")

func TestLock(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	first, err := Open(t.Context(), Options{Path: path, Lock: true})
	if err != nil {
		t.Fatal(err)
	}
	byAnotherName := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, byAnotherName); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, byAnotherName} {
		_, err := Open(t.Context(), Options{Path: p, Lock: true})
		if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("%s: another kovra serves it already (process %d)", p, os.Getpid())) {
			t.Errorf("%s: %v", p, err)
		}
	}
	write(t, openAt(t, Options{Path: path, Beside: true}), add("beside")) // commands beside a server need no lock
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again := openAt(t, Options{Path: path, Lock: true})
	if got := added(t, again); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// TestLockOfAnotherProcess: a process that is killed leaves its lock file, and no lock.
func TestLockOfAnotherProcess(t *testing.T) {
	if *holdLock != "" {
		db, err := Open(t.Context(), Options{Path: *holdLock, Lock: true})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		fmt.Println("locked")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // it is killed meanwhile
		return
	}
	path := filepath.Join(t.TempDir(), "state.db")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := exec.CommandContext(t.Context(), self, "-test.run", "^TestLockOfAnotherProcess$", "-holdlock", path)
	in, noIn := other.StdinPipe()
	out, noOut := other.StdoutPipe()
	if err := errors.Join(noIn, noOut, other.Start()); err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("%q, %v", line, err)
	}
	_, err = Open(t.Context(), Options{Path: path, Lock: true})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("(process %d)", other.Process.Pid)) {
		t.Errorf("while it runs: %v", err)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // it was killed
	if _, err := os.Stat(path + ".lock"); err != nil {
		t.Error(err)
	}
	openAt(t, Options{Path: path, Lock: true})
}

func TestLockFails(t *testing.T) {
	if _, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "no", "state.db"), Lock: true}); err == nil || !strings.Contains(err.Error(), "lock database") {
		t.Errorf("%v", err)
	}
}
