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
	strongWeight  = 90 // what counts even where it is further in than its tool writes it
	briefLines    = 3  // lines that a last command may print and still only report what others did
	suspectWeight = 50 // what weighs less is no more than a word that often stands in errors

	maxTraceback = 500 // what is longer is none
	maxHush      = 200
	maxForeign   = 60 // calls of code that is not the job's, left out of one block
	maxSums      = 3
	maxHeadings  = 64 // steps that run at the same time
	maxLasting   = 2
	maxBlock     = 40
	maxSpare     = 12
	farContext   = 8 // of so many lines before a match, empty ones are no end
)

// shown is a line made ready to be shown: masked and cut to length.
type shown struct {
	n      int
	text   string
	indent int
	blank  bool
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

// found is what one command printed that may explain a failure.
type found struct {
	hits []*hit
	sums []summary
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
	found          // by the present command
	open    []*hit // of its hits, the ones that still take lines
	earlier found  // by the best command before it
	lasting []*hit // of any section
	heads   map[string]shown
	hush    hush
	acquits bool // the lines that come name tests that passed in the end
	end     *shown
	over    []shown // what the runner said when it stopped collecting
	overDue int

	scratch []byte
}

func newCutter(scan *scanner, know *Knowledge, opts Options) *cutter {
	return &cutter{scan: scan, know: know, opts: opts, mask: opts.Mask.Fork(), heads: map[string]shown{}}
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
	worker string
	hushed bool
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
	near := v.interest != noInterest || v.red || v.hidden || v.command || len(c.open) > 0 || c.overDue > 0 || c.acquits
	v.hushed = c.hush.on && c.hushes(v.raw)
	switch {
	case c.opts.Each != nil:
		if err := c.handOver(&v); err != nil {
			return err
		}
	case near:
		v.masked = c.mask.Line(plainText(v.raw))
		c.find(&v, c.floor(l.stream))
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

// find looks for the pattern that the line fits.
func (c *cutter) find(v *look, floor int) {
	v.match, v.at, v.worker = c.know.match(v.masked, v.interest, floor)
	if v.hushed && v.match != nil && v.match.block < jobEnd {
		v.match = nil
	}
}

// handOver takes a closer look at the line and gives it to Options.Each.
func (c *cutter) handOver(v *look) error {
	out := v.line()
	v.masked = c.mask.Line(out.Text)
	out.Spans = moveSpans(out.Spans, out.Text, v.masked)
	out.Text = v.masked
	c.find(v, 0)
	out.Suspect = v.match != nil && v.match.weight >= suspectWeight && v.match.block != jobPassed && !v.match.controls()
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
	c.hush.on, c.acquits = false, false
	if base == "" {
		c.phase = phaseWork
		return
	}
	c.phase = sectionPhase(base)
	if c.phase == phaseWork && isRunnerSection(base) {
		c.found, c.earlier, c.command = found{}, found{}, nil
		c.recent.count = 0
		clear(c.heads)
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
	if c.acquits {
		c.acquit(line)
	}
	switch {
	case p != nil && p.controls():
		c.control(p, line)
	case p != nil && p.weight > c.floor(v.stream):
		c.admit(line, p.weight+bonus(v.stream), p, v.worker)
	case v.red && !line.blank && !v.hushed:
		c.admit(line, redWeight, &redLine, "")
	}
	if p != nil && p.sums > 0 {
		c.sumUp(p, line)
	}
	if mark, ok := c.know.heading(v.masked); ok && len(c.heads) < maxHeadings {
		c.heads[mark] = line
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
	if best >= sureWeight && best >= heaviest(c.earlier.hits) && !isTolerated(c.command) {
		c.earlier = c.found
	}
	c.found, c.printed = found{}, 0
	c.hush.on, c.acquits = false, false
	clear(c.heads)
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
func (c *cutter) admit(line shown, weight int, p *pattern, worker string) {
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
		c.drop(last)
	}
	h := &hit{
		n: line.n, weight: weight, kind: p, block: p.block, left: p.after, after: p.after,
		line: line, command: c.command, worker: worker, heading: c.headingOf(line),
	}
	if head, ok := c.heads["==="]; ok {
		h.test = testName(head.text)
	}
	if p.block == indented && strings.Contains(line.text, "--- FAIL: ") {
		c.convict(h)
	}
	if worker != "" {
		h.line.indent = indentOf(line.text[len(worker):])
	}
	h.before = c.context(p.before, stepMark(line.text))
	c.hits = append(c.hits, h)
	if p.lasts && len(c.lasting) < maxLasting {
		c.lasting = append(c.lasting, h)
	}
	c.open = append(c.open, h)
}

// headingOf finds what line stands under.
func (c *cutter) headingOf(line shown) *shown {
	mark, _, _ := strings.Cut(line.text, " ")
	for _, mark := range [...]string{mark, ""} {
		if head, ok := c.heads[mark]; ok {
			return &head
		}
	}
	return nil
}

// context gives up to n lines before the present one, as far as they belong to it.
// Lines of other steps than mark do not.
func (c *cutter) context(n int, mark string) []shown {
	var lines []shown
	for i := 0; len(lines) < n; i++ {
		s := c.recent.back(i)
		if s == nil || s.command {
			break
		}
		line := c.remembered(s)
		if other := stepMark(line.text); mark != "" && other != "" && other != mark {
			continue
		}
		if line.blank && n < farContext || isBoundary(line.text) {
			break
		}
		lines = append(lines, line)
	}
	slices.Reverse(lines)
	return lines
}

func (c *cutter) remembered(s *slot) shown {
	if s.hidden {
		return shown{n: s.n, text: Masked}
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
