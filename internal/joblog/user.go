package joblog

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

const (
	maxAround    = 15   // lines of context that a pattern may ask for before a match
	maxBehind    = 50   // and after it
	maxLiterals  = 64   // taken from one expression
	maxUserBytes = 4096 // of one expression
)

// Pattern is what users add to the knowledge: lines that are errors, or that are not.
// Where several fit a line the first counts, and each counts more than what is built
// in, but for the lines with which runners end a job. Commands that a shell repeats ("$ make", "+ make") are
// never tried.
type Pattern struct {
	Name string // for messages about the pattern; no two may have the same
	// Contains: only a line with one of these is tried, whatever the case of letters. If it is
	// empty, what every match of Expr must contain is found in Expr itself; where there is nothing, as in
	// \d+ or (?:a|b)+, every line of every log is tried, which takes several times as long.
	Contains []string
	// Expr is a regular expression as of package regexp. It is tried on the line without the
	// time of day and such that tools put before every line, and on the whole line. Empty: Contains says all.
	Expr string
	// Weight: 100, or 0 for short, is a certain cause, 50 a hint. Among the matches of the
	// command that failed the first of the heaviest is shown.
	Weight int
	// Before and After are the lines shown around the match, at most 15 and 50.
	Before, After int
	// Quiet: the line is no error, whatever else may fit it. The other fields but Name, Contains and
	// Expr are not used.
	Quiet bool
}

// Compile gives the built-in knowledge with the patterns of a user added. The error
// tells all that is wrong, a line for each problem, with the name of the pattern.
func Compile(extra []Pattern) (*Knowledge, error) {
	var problems []error
	var own []pattern
	names := map[string]bool{}
	for i, p := range extra {
		name := fmt.Sprintf("%q", p.Name)
		switch {
		case p.Name == "":
			name = fmt.Sprintf("%d", i+1)
			problems = append(problems, fmt.Errorf("pattern %s: has no name", name))
		case names[p.Name]:
			problems = append(problems, fmt.Errorf("pattern %s: another one has the same name", name))
		}
		names[p.Name] = true
		compiled, err := p.compile()
		if err != nil {
			problems = append(problems, fmt.Errorf("pattern %s: %w", name, err))
		}
		own = append(own, compiled)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	ends := len(jobPatterns)
	return newKnowledge(slices.Concat(knownPatterns[:ends], own, knownPatterns[ends:]), knownQuiets, knownHeadings)
}

func (p Pattern) compile() (pattern, error) {
	out := pattern{name: p.Name, own: true, expr: p.Expr, weight: p.Weight, block: following, before: p.Before, after: p.After}
	if out.weight == 0 {
		out.weight = 100
	}
	if p.Quiet {
		out.block, out.weight, out.before, out.after = never, 0, 0, 0
	}
	tree, err := syntax.Parse(p.Expr, syntax.Perl)
	switch {
	case err != nil:
		return out, fmt.Errorf("expression %q: %w", p.Expr, err)
	case len(p.Expr) > maxUserBytes:
		return out, fmt.Errorf("expression of %d bytes, at most %d are taken", len(p.Expr), maxUserBytes)
	case p.Expr == "" && len(p.Contains) == 0:
		return out, errors.New("neither an expression nor what lines contain is given")
	case p.Weight < 0 || p.Weight > 100:
		return out, fmt.Errorf("weight %d is not within 1 and 100", p.Weight)
	case p.Before < 0 || p.Before > maxAround:
		return out, fmt.Errorf("%d lines before are not within 0 and %d", p.Before, maxAround)
	case p.After < 0 || p.After > maxBehind:
		return out, fmt.Errorf("%d lines after are not within 0 and %d", p.After, maxBehind)
	case slices.Contains(p.Contains, ""):
		return out, errors.New("an empty text stands among what lines contain")
	}
	for _, l := range p.Contains {
		out.any = append(out.any, strings.ToLower(l))
	}
	if p.Expr == "" {
		quoted := make([]string, len(p.Contains))
		for i, l := range p.Contains {
			quoted[i] = regexp.QuoteMeta(l)
		}
		out.expr = "(?i)" + strings.Join(quoted, "|")
	}
	out.seek = seekable(out.any)
	if len(p.Contains) == 0 {
		out.seek = seekable(required(tree.Simplify()))
	}
	return out, nil
}

// seekable turns literals into such that filter and grams find in bytes of
// both cases: letters of ASCII alone, three of them at least. nil: one of them has no such part.
func seekable(literals []string) []string {
	var out []string
	for _, l := range literals {
		best := ""
		for part := range strings.FieldsFuncSeq(l, func(r rune) bool { return r >= 0x80 }) {
			if len(part) > len(best) {
				best = part
			}
		}
		if len(best) < gramBytes {
			return nil
		}
		out = append(out, strings.ToLower(best))
	}
	return out
}

// required gives literals of which every match of the expression contains one at
// least, nil if it is not known or too little to tell.
func required(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		return []string{string(re.Rune)}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0])
		}
	case syntax.OpConcat:
		return requiredOfConcat(re.Sub)
	case syntax.OpAlternate:
		return requiredOfAlternate(re.Sub)
	default: // classes and such: too many strings
	}
	return nil
}

// requiredOfConcat takes the part whose literals are longest.
func requiredOfConcat(parts []*syntax.Regexp) []string {
	var best []string
	longest := 0
	for _, part := range parts {
		literals := required(part)
		if n := shortest(seekable(literals)); n > longest {
			best, longest = literals, n
		}
	}
	return best
}

func requiredOfAlternate(choices []*syntax.Regexp) []string {
	var all []string
	for _, choice := range choices {
		literals := required(choice)
		if len(literals) == 0 || len(all)+len(literals) > maxLiterals {
			return nil
		}
		all = append(all, literals...)
	}
	return all
}

// shortest gives the length of the shortest literal, 0 if there is none.
func shortest(literals []string) int {
	least := 0
	for i, l := range literals {
		if i == 0 || len(l) < least {
			least = len(l)
		}
	}
	return least
}
