// Package joblog turns the bytes of a CI job's log into lines, masks what is
// secret in them, and cuts the excerpt that explains a failure.
//
// It owns the reading of log formats (plain traces, traces with time stamps
// and streams, section markers, terminal escapes, redrawn progress lines), the
// numbering of lines, the masking of secrets and the choice of lines worth
// showing. The excerpt and the viewer number lines alike because both read
// through the same scanner.
//
// Use NewReader to walk through all lines, NewMasker to hide secrets in lines
// that leave the program, and Cut for an excerpt in one pass over the log.
//
// It never holds a whole log, however large, never fails because a log is
// damaged, and knows nothing of runs, chats or where a log comes from.
package joblog
