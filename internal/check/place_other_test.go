//go:build !linux

package check_test

// linuxCases are produced on Linux alone.
func linuxCases() []problem {
	return []problem{{id: "database.file.not_writable"}, {id: "database.disk.low"}}
}
