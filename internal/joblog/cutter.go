package joblog

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

const (
	recentLines   = 16 // lines remembered for the context of what comes
	tailLines     = 10 // of these, shown when nothing looks like an error
	maxHits       = 8  // matches kept of one command
	redWeight     = 30 // a red line that no pattern knows
	goodWeight    = 70
	stderrBonus   = 3
	sureWeight    = 80
	briefLines    = 3  // lines that a last command may print and still only report what others did
	suspectWeight = 50 // what weighs less is no more than a word that often stands in errors

	maxTraceback = 500 // what is longer is none
)

// shown is a line made ready to be shown: masked and cut to length.
type shown struct {
	n      int
	text   string
	indent int
	blank  bool
}

// hit is one match with the lines that belong to it.
type hit struct {
	n       int
	weight  int
	block   block
	left    int // lines still to take
	after   int
	taken   int
	before  []shown // nearest last
	line    shown
	behind  []shown
	command *shown
}

// recent keeps the last lines of the log as they came.
type recent struct {
	slots [recentLines]slot
	count int
}

type slot struct {
	n       int
	text    []byte
	hidden  bool // within a private key
	command bool
}

func (r *recent) push(n int, text []byte, hidden, command bool) {
	s := &r.slots[r.count%recentLines]
	r.count++
	s.n, s.hidden, s.command = n, hidden, command
	if cap(s.text) > 8<<10 && len(text) < 1<<10 {
		s.text = nil // one long line must not be paid for until the end
	}
	s.text = append(s.text[:0], text...)
}

// back gives the line i steps ago (0 is the last), nil if there is none.
func (r *recent) back(i int) *slot {
	if i >= min(r.count, recentLines) {
		return nil
	}
	return &r.slots[(r.count-1-i)%recentLines]
}

// cutter looks at every line once and keeps what an excerpt may need.
type cutter struct {
	scan *scanner
	know *Knowledge
	opts Options
	mask *Masker

	changes int // of the sections, as last seen
	base    string
	phase   phase

	recent  recent
	rest    recent // lines of clean-up sections
	command *shown
	printed int    // lines since the command
	hits    []*hit // of the present command
	open    []*hit // of these, the ones that still take lines
	earlier []*hit // of the best command before it
	end     *shown
	over    []shown // what the runner said when it stopped collecting
	overDue int

	scratch []byte
}

func newCutter(scan *scanner, know *Knowledge, opts Options) *cutter {
	return &cutter{scan: scan, know: know, opts: opts, mask: opts.Mask.Fork()}
}

// look is what is known of the present line.
type look struct {
	*rawLine
	raw      []byte // without escape sequences
	red      bool
	command  bool
	hidden   bool // within a private key
	interest interest

	// What follows is known after taking a closer look.
	masked string
	match  *pattern
	at     int // where it matches
}

// line takes the next line. Almost all lines end after the filter and a copy
// into recent; this path makes no garbage unless lines are wanted outside.
func (c *cutter) line(l *rawLine) error {
	if c.changes != c.scan.sections.changes {
		c.enter()
	}
	v := look{rawLine: l, raw: l.text, hidden: c.mask.key.inside}
	if l.escapes {
		v.red = startsRed(l.text)
		c.scratch = stripEscapes(c.scratch[:0], l.text)
		v.raw = c.scratch
	}
	v.command = len(v.raw) > 2 && v.raw[0] == '$' && v.raw[1] == ' '
	v.interest = c.know.glance(v.raw)
	near := v.interest != noInterest || v.red || v.hidden || v.command || len(c.open) > 0 || c.overDue > 0
	switch {
	case c.opts.Each != nil:
		if err := c.handOver(&v); err != nil {
			return err
		}
	case near:
		v.masked = c.mask.Line(plainText(v.raw))
		v.match, v.at = c.know.match(v.masked, v.interest, c.floor(l.stream))
	}
	if near && c.consider(&v) || l.header && !v.command || isChatter(v.raw) {
		return nil
	}
	if c.phase == phaseCleanup {
		c.rest.push(l.n, v.raw, v.hidden, v.command)
		return nil
	}
	c.recent.push(l.n, v.raw, v.hidden, v.command)
	c.printed++
	return nil
}

// handOver takes a closer look at the line and gives it to Options.Each.
func (c *cutter) handOver(v *look) error {
	out := v.line()
	v.masked = c.mask.Line(out.Text)
	out.Spans = moveSpans(out.Spans, out.Text, v.masked)
	out.Text = v.masked
	v.match, v.at = c.know.match(v.masked, v.interest, 0)
	out.Suspect = v.match != nil && v.match.weight >= suspectWeight && v.match.block != jobPassed
	if err := c.opts.Each(out); err != nil {
		return fmt.Errorf("hand over line %d: %w", out.N, err)
	}
	return nil
}

// enter follows the sections. A section of the runner that begins says that the
// one before it went well, so what was found there is forgotten.
func (c *cutter) enter() {
	c.changes = c.scan.sections.changes
	base := c.scan.sections.base()
	if base == c.base {
		return
	}
	c.base = base
	c.closeHits()
	if base == "" {
		c.phase = phaseWork
		return
	}
	c.phase = sectionPhase(base)
	if c.phase == phaseWork && isRunnerSection(base) {
		c.hits, c.earlier, c.command = nil, nil, nil
		c.recent.count = 0
	}
}

// isChatter tells what runners say of themselves. It asks for the first letter
// before anything else, since every line comes here.
func isChatter(text []byte) bool {
	if len(text) < 8 || text[0] != 'U' && text[0] != 'E' && text[0] != 'R' {
		return false
	}
	for _, start := range [...]string{"Using effective pull policy", "Using docker image", "Using Docker executor", "Using Kubernetes", "Executing \"step_", "Running with gitlab-runner", "Running on runner-"} {
		if bytes.HasPrefix(text, []byte(start)) {
			return true
		}
	}
	return false
}

// consider keeps what an excerpt may need of a line. True: the line says how the
// job ended, and is not part of what led there.
func (c *cutter) consider(v *look) bool {
	if c.overDue > 0 {
		c.overDue--
		c.over = append(c.over, c.show(v.n, v.masked, 0))
		return true
	}
	if v.command && c.phase == phaseWork {
		c.nextCommand(v.n, v.masked)
		return false
	}
	p := v.match
	line := c.show(v.n, v.masked, v.at)
	if p != nil && p.block >= jobEnd {
		c.ended(p, line)
		return true
	}
	if c.phase == phaseCleanup {
		return false
	}
	c.extend(line)
	switch {
	case p != nil && p.block == never:
	case p != nil && p.weight > c.floor(v.stream):
		c.admit(line, p.weight+bonus(v.stream), p)
	case v.red && !line.blank:
		c.admit(line, redWeight, &redLine)
	}
	return false
}

// redLine is a line that nothing marks but its colour.
var redLine = pattern{name: "red", before: 2, after: 2}

func (c *cutter) show(n int, text string, at int) shown {
	message := bareMessage(text)
	indent := indentOf(message)
	return shown{n: n, text: cutText(text, c.opts.MaxLineBytes, at), indent: indent, blank: indent == len(message)}
}

func (c *cutter) ended(p *pattern, line shown) {
	c.closeHits()
	if p.block == jobOver {
		c.over = []shown{line}
		c.overDue = 1
		return
	}
	c.end = &line
}

func (c *cutter) closeHits() { c.open = c.open[:0] }

// nextCommand begins what another command prints. The script stops at the
// command that fails, so the last one counts most.
func (c *cutter) nextCommand(n int, text string) {
	c.closeHits()
	best := heaviest(c.hits)
	if best >= sureWeight && best >= heaviest(c.earlier) && !isTolerated(c.command) {
		c.earlier = c.hits
	}
	c.hits, c.printed = nil, 0
	line := c.show(n, text, 0)
	c.command = &line
}

// isTolerated tells commands that may fail without an effect on the script.
func isTolerated(command *shown) bool {
	return command != nil && (strings.Contains(command.text, "|| true") || strings.Contains(command.text, "|| :") || strings.Contains(command.text, "|| echo"))
}

func heaviest(hits []*hit) int {
	best := 0
	for _, h := range hits {
		best = max(best, h.weight)
	}
	return best
}

// extend gives line to the hits before it that still take lines.
func (c *cutter) extend(line shown) {
	if len(c.open) == 0 {
		return
	}
	c.open = slices.DeleteFunc(c.open, func(h *hit) bool { return !h.take(line) })
}

// take adds a line behind the hit; false: the hit is complete.
func (h *hit) take(line shown) bool {
	if h.left <= 0 || isBoundary(line.text) {
		return false
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
	h.behind = append(h.behind, line)
	h.left--
	return h.left > 0
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

// bonus is what a match weighs more for standing in the error stream.
func bonus(stream byte) int {
	if stream == 'E' {
		return stderrBonus
	}
	return 0
}

// floor is the weight that a pattern must exceed for a match in stream to be kept.
func (c *cutter) floor(stream byte) int {
	if len(c.hits) < maxHits {
		return 0
	}
	least := c.hits[0].weight
	for _, h := range c.hits {
		least = min(least, h.weight)
	}
	return least - bonus(stream)
}

// admit keeps a match, unless enough are kept that are as heavy and earlier.
func (c *cutter) admit(line shown, weight int, p *pattern) {
	if len(c.hits) >= maxHits {
		last := 0
		for i, h := range c.hits {
			if h.weight <= c.hits[last].weight {
				last = i
			}
		}
		if c.hits[last].weight >= weight {
			return
		}
		dropped := c.hits[last]
		c.hits = slices.Delete(c.hits, last, last+1)
		c.open = slices.DeleteFunc(c.open, func(h *hit) bool { return h == dropped })
	}
	h := &hit{
		n: line.n, weight: weight, block: p.block, left: p.after, after: p.after,
		line: line, command: c.command,
	}
	h.before = c.context(p.before)
	c.hits = append(c.hits, h)
	if h.left > 0 {
		c.open = append(c.open, h)
	}
}

// context gives up to n lines before the present one, as far as they belong to it.
func (c *cutter) context(n int) []shown {
	var lines []shown
	for i := range n {
		s := c.recent.back(i)
		if s == nil || s.command {
			break
		}
		line := c.remembered(s)
		if line.blank || isBoundary(line.text) {
			break
		}
		lines = append(lines, line)
	}
	slices.Reverse(lines)
	return lines
}

func (c *cutter) remembered(s *slot) shown {
	if s.hidden {
		return shown{n: s.n, text: masked}
	}
	return c.show(s.n, c.mask.replace(plainText(s.text)), 0)
}

// tail gives the last lines that r remembers, from the last command on.
func (c *cutter) tail(r *recent, n int) []shown {
	var lines []shown
	for i := 0; len(lines) < n; i++ {
		s := r.back(i)
		if s == nil {
			break
		}
		line := c.remembered(s)
		if len(lines) > 0 || !line.blank {
			lines = append(lines, line)
		}
		if s.command && len(lines) > 1 {
			break
		}
	}
	slices.Reverse(lines)
	for len(lines) > 0 && lines[0].blank {
		lines = lines[1:]
	}
	return lines
}
