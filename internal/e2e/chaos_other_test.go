//go:build !linux

package e2e

import "testing"

// quickDir is a folder of the test.
func quickDir(t *testing.T) string {
	t.Helper()
	return t.TempDir()
}
