package storage

import (
	"errors"
	goflag "flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// smallDisk is a folder on a disk of four megabytes, in the process that TestFullDisk starts.
var smallDisk = goflag.String("smalldisk", "", "folder on a full disk; set by TestFullDisk")

// TestFullDisk runs TestOnFullDisk where a disk of four megabytes can be mounted: in a name space of its own, which needs no rights.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	script := `mount -t tmpfs -o size=4m kovra "$1" && exec "$2" -test.run '^TestOnFullDisk$' -smalldisk "$1"`
	if err := exec.CommandContext(t.Context(), "unshare", "-rm", "sh", "-c", `mount -t tmpfs -o size=4m kovra "$0"`, dir).Run(); err != nil {
		t.Skipf("no disk can be mounted here: %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "unshare", "-rm", "sh", "-c", script, "sh", dir, self).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestOnFullDisk: a backup that finds no room says so and leaves nothing, and a database that cannot be copied before
// its upgrade is left as it is.
func TestOnFullDisk(t *testing.T) {
	if *smallDisk == "" {
		t.Skip("TestFullDisk runs it")
	}
	db := openNew(t)
	write(t, db, func(tx *Tx) error { return errors.Join(add(strings.Repeat("k", 5<<20))(tx), fill(tx)) })
	_, err := Backup(t.Context(), pathOf(t, db), filepath.Join(*smallDisk, "copy.db"))
	if err == nil || !strings.Contains(err.Error(), "there is no room left in "+*smallDisk) {
		t.Errorf("backup: %v", err)
	}
	if entries, err := os.ReadDir(*smallDisk); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}

	path := filepath.Join(*smallDisk, "old.db")
	pool := loaded(t, oldestDump, path)
	if _, err := pool.ExecContext(t.Context(), "UPDATE deliveries SET body = randomblob(250000)"); err != nil {
		t.Fatal(err)
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
	fillDisk(t, 200_000)
	_, err = Open(t.Context(), Options{Path: path})
	if err == nil || !strings.Contains(err.Error(), "could not be copied before, and nothing was changed") || !strings.Contains(err.Error(), "no room left") {
		t.Errorf("upgrade: %v", err)
	}
	if s, err := SchemaOf(t.Context(), path); err != nil || s.Have != oldestDump {
		t.Errorf("after the refused upgrade: %+v, %v", s, err)
	}
	if left, err := filepath.Glob(filepath.Join(*smallDisk, "*before*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// fillDisk leaves so many bytes free.
func fillDisk(t *testing.T, free int64) {
	t.Helper()
	f, err := os.Create(filepath.Join(*smallDisk, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var size int64
	for err == nil {
		var n int
		n, err = f.Write(make([]byte, 4096))
		size += int64(n)
	}
	if err := f.Truncate(size - free); err != nil || size < free {
		t.Fatalf("%d bytes of ballast: %v", size, err)
	}
}
