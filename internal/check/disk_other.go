//go:build !linux && !darwin

package check

// freeBytes is not known here.
func freeBytes(string) (uint64, bool) { return 0, false }

// writable is not known here; the server finds out at its start.
func writable(string) error { return nil }
