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
	alone     block = iota // the line, and what stands close to it in the same paragraph
	following              // so many lines after it, whatever they are
	indented               // as long as lines are empty or further in
	paragraph              // up to an empty line
	traceback              // indented lines and the one after them; the end of a long one counts
	jobEnd                 // the line with which the job ended; not a cause
	jobOver                // a remark of the runner after which the log says nothing of the cause
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

// knowledge is a compiled set of patterns.
type knowledge struct {
	patterns []pattern
	quiets   []quiet
	filter   *filter
}

// known is the built-in knowledge, compiled when the first log is read.
var known = sync.OnceValues(func() (*knowledge, error) { return newKnowledge(knownPatterns, knownQuiets) })

func newKnowledge(patterns []pattern, quiets []quiet) (*knowledge, error) {
	k := &knowledge{}
	var literals []string
	for _, p := range patterns {
		re, err := regexp.Compile(p.expr)
		if err != nil {
			return nil, fmt.Errorf("pattern %s: %w", p.name, err)
		}
		p.re = re
		if from, ok := strings.CutPrefix(p.expr, "^"); ok {
			if re, err := regexp.Compile(from); err == nil {
				p.start, _ = re.LiteralPrefix()
			}
		}
		k.patterns = append(k.patterns, p)
		literals = append(literals, p.any...)
	}
	most := 0
	for i := range slices.Backward(k.patterns) {
		most = max(most, k.patterns[i].weight)
		k.patterns[i].rest = most
	}
	for _, q := range quiets {
		re, err := regexp.Compile(q.expr)
		if err != nil {
			return nil, fmt.Errorf("quiet pattern %s: %w", q.name, err)
		}
		q.re = re
		if q.unless != "" {
			if q.not, err = regexp.Compile(q.unless); err != nil {
				return nil, fmt.Errorf("quiet pattern %s: %w", q.name, err)
			}
		}
		k.quiets = append(k.quiets, q)
	}
	f, err := newFilter(append(literals, "-----begin ")) // private keys are followed from their first line
	if err != nil {
		return nil, fmt.Errorf("build filter: %w", err)
	}
	k.filter = f
	return k, nil
}

// match gives the pattern that text fits, nil if none does, and where in text.
// Patterns of no more than floor are not worth finding.
func (k *knowledge) match(text string, floor int) (*pattern, int) {
	subject := bareMessage(text)
	if subject == "" || isEcho(subject) {
		return nil, 0
	}
	lower := strings.ToLower(subject)
	for i := range k.patterns {
		p := &k.patterns[i]
		if p.rest <= floor {
			return nil, 0
		}
		if !strings.HasPrefix(subject, p.start) || !containsAny(lower, p.any) {
			continue
		}
		at := p.re.FindStringIndex(subject)
		if at == nil {
			continue
		}
		if k.silenced(p, lower) {
			return nil, 0
		}
		return p, at[0] + len(text) - len(subject)
	}
	return nil, 0
}

func (k *knowledge) silenced(p *pattern, lower string) bool {
	if p.block == jobEnd || p.block == jobOver {
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
