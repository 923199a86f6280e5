//go:build linux || darwin

package check

import "syscall"

// freeBytes is how much an ordinary user may still write into the file system of a directory.
func freeBytes(dir string) (uint64, bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return s.Bavail * uint64(s.Bsize), true //nolint:gosec // the size of a block is positive
}

// mayWrite asks for the right to write, W_OK of access(2).
const mayWrite = 2

// writable is an error when we may not write a file, or into a directory.
func writable(path string) error { return syscall.Access(path, mayWrite) }
