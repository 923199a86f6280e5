//go:build !linux && !darwin

package app

// diskOf is not known here.
func diskOf(string) (size, free float64, ok bool) { return 0, 0, false }
