package e2e

import (
	"os"
	"syscall"
	"testing"
)

// enoughMemory is what must be free where files are kept in memory.
const enoughMemory = 1 << 30

// quickDir is a folder of the test. Databases that are thrown away within a second need no
// disk: they lie in memory, where there is room.
func quickDir(t *testing.T) string {
	t.Helper()
	const memory = "/dev/shm"
	var s syscall.Statfs_t
	if err := syscall.Statfs(memory, &s); err != nil || s.Bavail*uint64(s.Bsize) < enoughMemory {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "kovra-chaos-") //nolint:usetesting // it lies where tests have no folder
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove %s: %v", dir, err)
		}
	})
	return dir
}
