package joblog

import (
	"regexp"
	"strings"
)

// hit is one match with the lines that belong to it.
type hit struct {
	n       int
	weight  int
	kind    *pattern
	block   block
	left    int // lines still to take
	after   int
	taken   int
	call    shown   // of a goroutine: the function whose place comes next
	worker  string  // of several, the one that wrote the line: what its lines begin with
	before  []shown // nearest last
	line    shown
	behind  []shown
	command *shown
	heading *shown
	test    string // the Go test that was running
}

// take adds a line behind the hit; false: the hit is complete.
func (h *hit) take(line shown) bool {
	if h.left <= 0 || isBoundary(line.text) {
		return false
	}
	if h.block == goroutine {
		return h.takeGoroutine(line)
	}
	if h.worker != "" {
		rest, ok := strings.CutPrefix(line.text, h.worker)
		if !ok {
			h.taken++
			return h.taken < maxForeign // another worker
		}
		line.indent = indentOf(rest)
	}
	switch h.block {
	case alone, paragraph:
		if line.blank {
			return false
		}
	case indented:
		if !line.blank && line.indent <= h.line.indent {
			return false
		}
	case traceback:
		return h.takeCall(line)
	default: // the other blocks end by their count, not by what a line looks like
	}
	if mark := stepMark(line.text); isForeign(line.text) || mark != "" && mark != stepMark(h.line.text) {
		h.taken++
		return h.taken < maxForeign
	}
	h.behind = append(h.behind, line)
	h.left--
	return h.left > 0
}

// foreignLine is what stands in a block and says nothing: calls within libraries, tests that passed.
var foreignLine = regexp.MustCompile(`^\s*at (?:java\.|javax\.|jdk\.|sun\.|java\.base/|kotlin\.|scala\.|groovy\.|System\.|Microsoft\.|Xunit\.|NUnit\.|` +
	`org\.(?:junit|gradle|apache|opentest4j|assertj|hamcrest|mockito|testng|springframework|hibernate|codehaus)\.)` +
	`|^\s+at .*(?:node_modules/|\(?node:internal|\(internal/)|^\s*# .*/gems/|^\s*--- (?:PASS|SKIP): |^\s*=== (?:RUN|CONT|NAME|PAUSE) `)

func isForeign(text string) bool {
	trimmed := strings.TrimLeft(text, " \t")
	if trimmed == "" || trimmed[0] != 'a' && trimmed[0] != '#' && trimmed[0] != '-' && trimmed[0] != '=' {
		return false
	}
	return foreignLine.MatchString(text)
}

// takeGoroutine adds what a Go program says before its calls, and of these the ones in its
// own code: two lines each, the second with the place.
func (h *hit) takeGoroutine(line shown) bool {
	h.taken++
	text := line.text
	isCall := strings.HasSuffix(text, ")") && !strings.HasPrefix(text, "\t") && !strings.HasPrefix(text, "[")
	switch {
	case strings.HasPrefix(text, "goroutine ") && h.call.n > 0, strings.HasPrefix(text, "FAIL"), strings.HasPrefix(text, "exit status"):
		return false
	case line.blank:
	case strings.HasPrefix(text, "\t/"), strings.HasPrefix(text, "\t_testmain"):
		if isOwnPlace(text) && h.call.n == line.n-1 {
			h.behind = append(h.behind, h.call, line)
			h.left -= 2
		}
	case isCall, strings.HasPrefix(text, "created by "):
		h.call = line
	case h.call.n == 0:
		h.behind = append(h.behind, line)
		h.left--
	}
	return h.left > 0 && h.taken < maxTraceback/5
}

// isOwnPlace tells the job's own Go files from those of Go and of modules.
func isOwnPlace(text string) bool {
	for _, part := range [...]string{"/go/src/", "/pkg/mod/", "/vendor/", "_testmain.go", "/go/libexec/", "/lib/go"} {
		if strings.Contains(text, part) {
			return false
		}
	}
	return true
}

// takeCall adds a line of a traceback. The exception comes last, and before it
// the innermost calls, which tell most; so the first ones make room.
func (h *hit) takeCall(line shown) bool {
	if len(h.behind) >= h.after {
		h.behind = append(h.behind[:0], h.behind[1:]...)
	}
	h.behind = append(h.behind, line)
	h.taken++
	return h.taken < maxTraceback && (line.blank || line.indent > h.line.indent)
}

func indentOf(text string) int {
	n := 0
	for n < len(text) && (text[n] == ' ' || text[n] == '\t') {
		n++
	}
	return n
}

// isBoundary tells lines at which something else begins.
func isBoundary(text string) bool {
	for _, start := range [...]string{"=== ", "=====", "_____", "--- PASS", "ok  \t", "PASS", "╵", "npm error A complete log", "npm ERR! A complete log"} {
		if strings.HasPrefix(text, start) {
			return true
		}
	}
	return false
}

// stepMark gives what BuildKit puts before the lines of one step, "" for other lines.
func stepMark(text string) string {
	if !strings.HasPrefix(text, "#") {
		return ""
	}
	mark, _, _ := strings.Cut(text, " ")
	if strings.Trim(mark[1:], "0123456789") != "" {
		return ""
	}
	return mark
}
