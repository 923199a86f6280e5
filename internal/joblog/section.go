package joblog

import (
	"bytes"
	"slices"
)

const (
	maxSectionDepth = 16
	maxSectionName  = 128
)

// marker is one section_start or section_end of a log.
type marker struct {
	start     bool
	name      string
	collapsed bool
}

var sectionWord = []byte("section_")

// markerEnd tells how a marker ends.
type markerEnd byte

const (
	notMarker  markerEnd = iota // only text about a marker
	bareMarker                  // by the end of the line: pasted traces have lost the rest
	trueMarker                  // by a carriage return or an erase sequence, as runners write it
)

// parseMarker reads the marker at the start of b. Its length covers the
// carriage return and the erase sequence that belong to it.
func parseMarker(b []byte) (m marker, length int, end markerEnd) {
	rest, ok := bytes.CutPrefix(b, []byte("section_start:"))
	m.start = ok
	if !ok {
		if rest, ok = bytes.CutPrefix(b, []byte("section_end:")); !ok {
			return marker{}, 0, notMarker
		}
	}
	digits := span(rest, isDigit)
	if digits == 0 || digits > 20 || digits >= len(rest) || rest[digits] != ':' {
		return marker{}, 0, notMarker
	}
	rest = rest[digits+1:]
	name := span(rest, isNameByte)
	if name == 0 || name > maxSectionName {
		return marker{}, 0, notMarker
	}
	m.name = string(rest[:name])
	rest = rest[name:]
	if len(rest) > 0 && rest[0] == '[' && !bytes.HasPrefix(rest, []byte("[0K")) {
		closing := bytes.IndexByte(rest, ']')
		if closing < 0 || closing > 256 {
			return marker{}, 0, notMarker
		}
		m.collapsed = bytes.Contains(rest[:closing], []byte("collapsed=true"))
		rest = rest[closing+1:]
	}
	after := bytes.TrimLeft(rest, "\r")
	if erased, ok := bytes.CutPrefix(bytes.TrimPrefix(after, []byte{esc}), []byte("[0K")); ok {
		after = erased
	}
	switch {
	case len(after) < len(rest):
		return m, len(b) - len(after), trueMarker
	case len(rest) == 0:
		return m, len(b), bareMarker
	}
	return marker{}, 0, notMarker
}

func span(b []byte, ok func(byte) bool) int {
	for i, c := range b {
		if !ok(c) {
			return i
		}
	}
	return len(b)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c) || c == '_' || c == '-' || c == '.'
}

// phase says what a section of the runner means for the cause of a failure.
type phase byte

const (
	phaseWork    phase = iota // the job itself and what has to succeed before it
	phaseCleanup              // runs whatever happened; never the cause
)

// isRunnerSection tells the sections that the runner opens, one after the
// other and never nested, from those that scripts open.
func isRunnerSection(name string) bool {
	switch name {
	case "resolve_secrets", "prepare_executor", "prepare_script", "get_sources", "restore_cache",
		"download_artifacts", "build_script", "step_script", "step_release", "upload_artifacts_on_success":
		return true
	}
	return sectionPhase(name) == phaseCleanup
}

func sectionPhase(name string) phase {
	switch name {
	case "after_script", "archive_cache", "archive_cache_on_failure", "upload_artifacts_on_failure", "cleanup_file_variables":
		return phaseCleanup
	}
	return phaseWork
}

// sections is the stack of open sections. Damaged logs are taken as they
// come: an end without a start is ignored, a section of the runner closes
// whatever was left open.
type sections struct {
	open    []string
	changes int // counts what apply did, so that a reader can see at a glance that something changed
}

func (s *sections) apply(m marker) {
	s.changes++
	if !m.start {
		if i := slices.Index(s.open, m.name); i >= 0 {
			s.open = s.open[:i]
		}
		return
	}
	if isRunnerSection(m.name) {
		s.open = s.open[:0]
	}
	if len(s.open) < maxSectionDepth {
		s.open = append(s.open, m.name)
	}
}

// inner is the section that lines are in now, "" outside of all.
func (s *sections) inner() string {
	if len(s.open) == 0 {
		return ""
	}
	return s.open[len(s.open)-1]
}

// base is the outermost open section.
func (s *sections) base() string {
	if len(s.open) == 0 {
		return ""
	}
	return s.open[0]
}
