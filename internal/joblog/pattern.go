package joblog

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// block says how far the lines that belong to a match reach.
type block byte

const (
	alone      block = iota // the line, and what stands close to it in the same paragraph
	following               // so many lines after it, whatever they are
	indented                // as long as lines are empty or further in
	paragraph               // up to an empty line
	traceback               // indented lines and the one after them; the end of a long one counts
	goroutine               // what a Go program prints as it dies: the calls of its own code count
	cancel                  // no error: it says that the one just before it does no harm
	passed                  // no error: the test that it names has passed, whatever it said
	acquit                  // no error: the tests named behind it have passed in the end
	hushText                // no error, nor are the lines up to an empty one: the output of a test that may pass
	hushDeeper              // likewise, as long as lines are empty or further in
	never                   // no error at all; only users say so of a line
	jobEnd                  // the line with which the job failed; not a cause
	jobPassed               // the line with which it succeeded
	jobOver                 // a remark of the runner after which the log says nothing of the cause
)

// pattern is one entry of the knowledge base. The first that matches a line
// decides, so the special ones stand before the general ones.
type pattern struct {
	name string
	// any: a line without one of these (lower case, five bytes at least) cannot match.
	any  []string
	expr string
	// weight: 100 is the cause itself in a form that cannot be mistaken, 50 is
	// a hint; what is under 80 is silenced by the quiet patterns more easily.
	weight        int
	block         block
	before, after int
	// sums: lines of the kind sum up what failed, and are shown beside the cause: the last
	// one (1), or the first so many.
	sums int
	// lasts: what it found may be the cause of failures in later sections.
	lasts bool

	own  bool     // of a user: not silenced
	seek []string // of a user, in place of any: what is looked for before the line is taken apart; nil: nothing can be

	re    *regexp.Regexp
	start string // what every match begins the line with, as far as expr says so literally
	rest  int    // the greatest weight of this and all later patterns
}

// quiet is what looks like an error and is none.
type quiet struct {
	name   string
	any    []string
	expr   string // of the line in lower case
	unless string // a line that matches this as well is heard
	below  int    // patterns of at least this weight are heard

	re, not *regexp.Regexp
}

// heading is a line that names what is going on below it: a task, a step, a file of tests.
type heading struct {
	name string
	any  []string
	expr string // what the first group matches, if there is one, stands before the lines that belong to it

	re *regexp.Regexp
}

// Knowledge is what Cut knows of errors. It does not change, so that it may be used by
// many at a time.
type Knowledge struct {
	patterns []pattern
	quiets   []quiet
	headings []heading
	filter   *filter
	short    *grams    // literals that are too short for filter; nil: none
	slow     []pattern // those of patterns without a literal
}

// known is the built-in knowledge, compiled when the first log is read.
var known = sync.OnceValues(func() (*Knowledge, error) { return newKnowledge(knownPatterns, knownQuiets, knownHeadings) })

func newKnowledge(patterns []pattern, quiets []quiet, headings []heading) (*Knowledge, error) {
	k := &Knowledge{}
	literals := []string{"-----begin "} // private keys are followed from their first line
	for _, p := range patterns {
		if err := p.ready(); err != nil {
			return nil, fmt.Errorf("pattern %s: %w", p.name, err)
		}
		k.patterns = append(k.patterns, p)
		if p.own {
			literals = append(literals, k.seek(p)...)
		} else {
			literals = append(literals, p.any...)
		}
	}
	for _, list := range [][]pattern{k.patterns, k.slow} {
		most := 0
		for i := range slices.Backward(list) {
			if list[i].controls() {
				most = endWeight // it decides, however little else would count
			}
			most = max(most, list[i].weight)
			list[i].rest = most
		}
	}
	for _, q := range quiets {
		if err := q.ready(); err != nil {
			return nil, fmt.Errorf("quiet pattern %s: %w", q.name, err)
		}
		k.quiets = append(k.quiets, q)
	}
	for _, h := range headings {
		var err error
		if h.re, err = regexp.Compile(h.expr); err != nil {
			return nil, fmt.Errorf("heading %s: %w", h.name, err)
		}
		k.headings = append(k.headings, h)
		literals = append(literals, h.any...)
	}
	f, err := newFilter(literals)
	if err != nil {
		return nil, fmt.Errorf("build filter: %w", err)
	}
	k.filter = f
	return k, nil
}

// seek notes how lines for the pattern of a user are found, and gives the literals that
// filter can look for.
func (k *Knowledge) seek(p pattern) []string {
	if len(p.seek) == 0 {
		k.slow = append(k.slow, p)
		return nil
	}
	if shortest(p.seek) >= minLiteral {
		return p.seek
	}
	if k.short == nil {
		k.short = newGrams()
	}
	for _, l := range p.seek {
		k.short.add(l, 1)
	}
	return nil
}

// controls tells patterns that are no error, but say what is one.
func (p *pattern) controls() bool { return p.block >= cancel && p.block <= never }

func (p *pattern) ready() error {
	re, err := regexp.Compile(p.expr)
	if err != nil {
		return err
	}
	p.re = re
	if from, ok := strings.CutPrefix(p.expr, "^"); ok && !p.own {
		if re, err := regexp.Compile(from); err == nil {
			p.start, _ = re.LiteralPrefix()
		}
	}
	return nil
}

func (q *quiet) ready() (err error) {
	if q.re, err = regexp.Compile(q.expr); err == nil && q.unless != "" {
		q.not, err = regexp.Compile(q.unless)
	}
	return err
}

// interest says how closely a line must be looked at.
type interest byte

const (
	noInterest   interest = iota
	slowInterest          // some patterns are tried at every line
	fullInterest
)

// glance tells quickly, and as a rule rightly, that no pattern fits a line.
func (k *Knowledge) glance(line []byte) interest {
	switch {
	case k.filter.match(line), k.short != nil && k.short.marks(line) != 0:
		return fullInterest
	case len(k.slow) > 0:
		return slowInterest
	}
	return noInterest
}

// match gives the pattern that text fits, nil if none does, where in text, and the
// name of the worker in front of it, if it fits without that only. Patterns of no more than
// floor are not worth finding. how is what glance said.
func (k *Knowledge) match(text string, how interest, floor int) (p *pattern, at int, worker string) {
	if how == noInterest {
		return nil, 0, ""
	}
	patterns := k.patterns
	if how == slowInterest {
		patterns = k.slow
	}
	subject := bareMessage(text)
	if subject == "" || isEcho(subject) {
		return nil, 0, ""
	}
	p, at = k.matchIn(patterns, text, subject, floor)
	if p != nil && (p.weight >= sureWeight || p.controls()) {
		return p, at, ""
	}
	if inner := workerMessage(subject); len(inner) < len(subject) {
		better, place := k.matchIn(patterns, text, inner, floor)
		if better != nil && better.block < jobEnd && (p == nil || better.weight > p.weight) && (subject[0] != ' ' || better.weight >= strongWeight) {
			return better, place, strings.TrimRight(text[:len(text)-len(inner)], " ")
		}
	}
	return p, at, ""
}

// matchIn is match for a subject, which is the end of text.
func (k *Knowledge) matchIn(patterns []pattern, text, subject string, floor int) (*pattern, int) {
	lower := strings.ToLower(subject)
	for i := range patterns {
		p := &patterns[i]
		if p.rest <= floor {
			return nil, 0
		}
		if !strings.HasPrefix(subject, p.start) || !p.own && !containsAny(lower, p.any) {
			continue
		}
		at := p.find(text, subject)
		if at < 0 {
			continue
		}
		if k.silenced(p, lower) {
			return nil, 0
		}
		return p, at
	}
	return nil, 0
}

// heading tells whether text is one, and what the lines that belong to it begin with.
func (k *Knowledge) heading(text string) (mark string, ok bool) {
	lower := ""
	for i := range k.headings {
		h := &k.headings[i]
		if lower == "" {
			lower = strings.ToLower(text)
		}
		if !containsAny(lower, h.any) {
			continue
		}
		if m := h.re.FindStringSubmatch(text); m != nil {
			if len(m) > 1 {
				mark = m[1]
			}
			return mark, true
		}
	}
	return "", false
}

// find gives where in text the pattern fits, -1 if it does not.
func (p *pattern) find(text, subject string) int {
	if p.own {
		return p.findOwn(text, subject)
	}
	if at := p.re.FindStringIndex(subject); at != nil {
		return at[0] + len(text) - len(subject)
	}
	return -1
}

// findOwn is find for the pattern of a user, who need not know what is taken off lines.
func (p *pattern) findOwn(text, subject string) int {
	if !containsAny(strings.ToLower(text), p.any) {
		return -1
	}
	if at := p.re.FindStringIndex(subject); at != nil {
		return at[0] + len(text) - len(subject)
	}
	if at := p.re.FindStringIndex(text); at != nil && len(subject) < len(text) {
		return at[0]
	}
	return -1
}

func (k *Knowledge) silenced(p *pattern, lower string) bool {
	if p.own || p.block >= cancel {
		return false
	}
	for i := range k.quiets {
		q := &k.quiets[i]
		if p.weight >= q.below || !containsAny(lower, q.any) || !q.re.MatchString(lower) {
			continue
		}
		if q.not == nil || !q.not.MatchString(lower) {
			return true
		}
	}
	return false
}

// containsAny is true for an empty list too: no literal, no condition.
func containsAny(s string, any []string) bool {
	for _, l := range any {
		if strings.Contains(s, l) {
			return true
		}
	}
	return len(any) == 0
}

// isEcho tells commands that a shell repeats (set -x) from what they print.
func isEcho(text string) bool {
	return strings.HasPrefix(text, "$ ") || strings.HasPrefix(text, "+ ") || strings.HasPrefix(text, "++ ")
}

var messagePrefix = regexp.MustCompile(`^(?:\[[0-9;]*m)*` + // colours that lost their ESC
	`(?:#\d+ (?:\d+\.\d+ )?|\d+\.\d{2,3} )?` + // BuildKit: step and seconds
	`(?:\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?[ \t]|\[?\d\d:\d\d:\d\d(?:[.,]\d+)?\]?[ \t])?` + // time of day
	`(?:│ )?(?:\[[0-9;]*m)*`) // Terraform's box

// bareMessage takes off what tools put before every line. The rest is a suffix of text.
func bareMessage(text string) string {
	if text == "" || text[0] > ' ' && text[0] != '[' && text[0] != '#' && (text[0] < '0' || text[0] > '9') && text[0] < 0x80 {
		return text
	}
	if text[0] == ' ' || text[0] == '\t' {
		return text
	}
	return text[len(messagePrefix.FindString(text)):]
}

var workerPrefix = regexp.MustCompile(`^(?:@?[\w.-]+(?:/[\w.-]+)* [\w:-]+: ?` + // pnpm: folder and script
	`|@?[\w./-]+:[\w-]+(?::[\w-]+)*: ` + // turbo: package and task
	`|[\w.-]+ +\| ` + // compose: container
	`|\[[\w:@/.-]+\] ` + // concurrently, lerna: package
	`| {2,12})`) // nx and others: indented

// workerMessage takes off the name of the one of several workers that wrote the line.
func workerMessage(subject string) string {
	return subject[len(workerPrefix.FindString(subject)):]
}
