//go:build linux || darwin

package app

import "syscall"

// diskOf is the size of the volume that a directory is on, and what of it we may still write, in bytes.
func diskOf(dir string) (size, free float64, ok bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, false
	}
	return float64(s.Blocks) * float64(s.Bsize), float64(s.Bavail) * float64(s.Bsize), true
}
