package joblog

import (
	"regexp"
	"slices"
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
	spare   []shown // what came after the block, shown if there is room
	full    bool    // the block is complete
	own     bool    // of a goroutine: a call of the job's own code was found
	command *shown
	heading *shown
	test    string // the Go test that was running
}

// take adds a line behind the hit, to its block or to what is spare; false: it wants no more.
func (h *hit) take(line shown) bool {
	if isBoundary(line.text) {
		return false
	}
	if h.worker != "" {
		rest, ok := strings.CutPrefix(line.text, h.worker)
		if !ok {
			h.taken++
			return h.taken < maxForeign // another worker
		}
		line.indent = indentOf(rest)
	}
	if !h.full {
		h.full = !h.takeOwn(line)
		if !h.full || len(h.behind) > 0 && h.behind[len(h.behind)-1].n == line.n {
			return true
		}
	}
	if h.kind.own || h.block == goroutine {
		return false
	}
	return h.takeAs(&h.spare, line) && len(h.spare) < maxSpare
}

// takeOwn adds a line to the block; false: the block is complete.
func (h *hit) takeOwn(line shown) bool {
	if h.left <= 0 {
		return false
	}
	switch h.block {
	case goroutine:
		return h.takeGoroutine(line)
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
	return h.takeAs(&h.behind, line) && h.left > 0
}

// takeAs adds a line to list, but for what says nothing here.
func (h *hit) takeAs(list *[]shown, line shown) bool {
	last := h.n
	if n := len(*list); n > 0 {
		last = (*list)[n-1].n
	}
	mark := stepMark(line.text)
	if isForeign(line.text) || mark != "" && mark != stepMark(h.line.text) || line.blank && last != line.n-1 {
		h.taken++
		return h.taken < maxForeign
	}
	*list = append(*list, line)
	if !line.blank {
		h.left--
	}
	return len(*list) < maxBlock
}

// foreignLine is what stands in a block and says nothing: calls within libraries, tests that passed.
var foreignLine = regexp.MustCompile(`^\s*at (?:java\.|javax\.|jdk\.|sun\.|java\.base/|kotlin\.|scala\.|groovy\.|System\.|Microsoft\.|Xunit\.|NUnit\.|` +
	`org\.(?:junit|gradle|apache|opentest4j|assertj|hamcrest|mockito|testng|springframework|hibernate|codehaus)\.)` +
	`|^\s+at .*(?:node_modules/|\(?node:internal|\(internal/)|^\s*# .*/gems/|^\s*--- (?:PASS|SKIP): |^\s*=== (?:RUN|CONT|NAME|PAUSE) ` +
	`|^\s*\d+/\d+ Test +#\d+: .* Passed|^\s+Start +\d+: |^\[?(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d\S* .*\b(?:INFO|WARN(?:ING)?|DEBUG|TRACE|warning)\b|^\s*(?:✓|✔|√) `)

func isForeign(text string) bool {
	trimmed := strings.TrimLeft(text, " \t")
	if trimmed == "" || strings.IndexByte("a#-=S[0123456789\xe2", trimmed[0]) < 0 {
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
	case strings.HasPrefix(text, "goroutine ") && h.own, strings.HasPrefix(text, "FAIL"), strings.HasPrefix(text, "exit status"):
		return false
	case line.blank:
	case strings.HasPrefix(text, "\t/"), strings.HasPrefix(text, "\t_testmain"):
		if isOwnPlace(text) && h.call.n == line.n-1 {
			h.behind = append(h.behind, h.call, line)
			h.left -= 2
			h.own = true
		}
	case isCall, strings.HasPrefix(text, "created by "):
		h.call = line
	case h.call.n == 0 && !strings.HasPrefix(text, "goroutine "):
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

// exception is the last line of a traceback, nil for other blocks.
func (h *hit) exception() *shown {
	if h.block != traceback {
		return nil
	}
	for i := range slices.Backward(h.behind) {
		if !h.behind[i].blank {
			return &h.behind[i]
		}
	}
	return nil
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
	for _, start := range [...]string{"=== ", "=====", "_____", "--- PASS", "ok  \t", "PASS", "╵", "[INFO] ", "⎯⎯⎯⎯", "npm error A complete log", "npm ERR! A complete log"} {
		if strings.HasPrefix(text, start) {
			return true
		}
	}
	if strings.HasPrefix(text, "-----") && strings.Contains(text, " Captured ") {
		return true // what the test and the application printed
	}
	return len(text) >= 8 && strings.Trim(text, ".") == "" // the progress of tests
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
