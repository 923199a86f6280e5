package check_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"kovra.dev/chatops/internal/check"
)

// linuxCases need a disk of their own: a small one, and one that cannot be written. A thread can have that on Linux alone.
func linuxCases() []problem {
	return []problem{
		{id: "database.file.not_writable", what: "read-only file system"},
		{id: "database.disk.low", what: "are free"},
	}
}

// disks are the options of the disks, by case.
var disks = map[string]struct {
	options string
	flags   uintptr
}{
	"database.file.not_writable": {"size=1g", syscall.MS_RDONLY},
	"database.disk.low":          {"size=16m", 0},
}

// TestOwnDisks mounts a disk that one thread alone sees, which ends with it.
func TestOwnDisks(t *testing.T) {
	for _, c := range linuxCases() {
		t.Run(c.id, func(t *testing.T) {
			w := newWorld(t)
			dir := filepath.Join(w.dir, "disk")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			w.env["KOVRA_DATABASE_URL"] = "sqlite:" + filepath.Join(dir, "kovra.db")
			var r check.Report
			done := make(chan error)
			go func() {
				runtime.LockOSThread() // never unlocked
				err := mount(dir, c.id)
				if err == nil {
					r = w.run()
				}
				done <- err
			}()
			err := <-done
			if errors.Is(err, syscall.EPERM) {
				t.Skipf("a disk cannot be mounted here: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			judge(t, c, r)
		})
	}
}

func mount(dir, id string) error {
	if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
		return err
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	return syscall.Mount("tmpfs", dir, "tmpfs", disks[id].flags, disks[id].options)
}

// Who is not root can try the other way in which a directory is not theirs.
func TestDirectoryOfSomebodyElse(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere; TestOwnDisks has a disk that not even root may write")
	}
	w := newWorld(t)
	dir := filepath.Join(w.dir, "theirs")
	if err := os.Mkdir(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	w.env["KOVRA_DATABASE_URL"] = "sqlite:" + filepath.Join(dir, "kovra.db")
	judge(t, problem{id: "database.file.not_writable", what: "permission denied"}, w.run())
}
