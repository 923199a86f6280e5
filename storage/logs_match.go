package storage

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"
	"unicode/utf8"

	"kovra.dev/chatops/internal/kovra"
)

const (
	mostQuery   = 1000 // bytes
	mostProgram = 5000 // steps of a regular expression, about
	mostNeedles = 16
)

// LogQuery is what is looked for in a log.
type LogQuery struct {
	Text  string
	Regex bool // Text is a regular expression in RE2's syntax
	Case  bool // upper and lower case differ
	From  int  // the line to begin with
}

// Matcher finds the matches of a query within one line. It may be used from any goroutine.
type Matcher struct {
	every bool           // every line matches
	re    *regexp.Regexp // nil: needles has the one text that is looked for
	// needles, one of which is in every line that matches; nil: not known.
	needles []needle
	fold    bool // needles are folded
}

// needle is a text that is looked for.
type needle struct {
	text []byte
	// ascii: it is found too where only the ASCII letters of a text were folded, if that
	// has no strangers in it; alone: whatever else is in it.
	ascii, alone bool
}

func newNeedle(text []byte) needle {
	n := needle{text: text, ascii: true}
	for _, c := range text {
		n.ascii = n.ascii && c < utf8.RuneSelf
	}
	n.alone = n.ascii && !bytes.ContainsAny(text, "ks")
	return n
}

// NewMatcher prepares a query; an error of kind Invalid says what is wrong with it.
func NewMatcher(q LogQuery) (*Matcher, error) {
	switch {
	case len(q.Text) > mostQuery:
		return nil, kovra.Errorf(kovra.Invalid, "That is too long to look for: at most 1,000 bytes.")
	case !utf8.ValidString(q.Text):
		return nil, kovra.Errorf(kovra.Invalid, "That is not valid text (UTF-8).")
	case q.Regex:
		return newRegexMatcher(q)
	case q.Text == "":
		return &Matcher{every: true}, nil
	}
	m := &Matcher{fold: !q.Case}
	text := []byte(q.Text)
	if m.fold {
		text, _ = fold(nil, text)
	}
	m.needles = []needle{newNeedle(text)}
	return m, nil
}

func newRegexMatcher(q LogQuery) (*Matcher, error) {
	flags := syntax.Perl
	if !q.Case {
		flags |= syntax.FoldCase
	}
	tree, err := syntax.Parse(q.Text, flags)
	if err != nil {
		return nil, wrongPattern(err)
	}
	if weight(tree) > mostProgram {
		return nil, kovra.Errorf(kovra.Invalid, "The regular expression repeats too much: make its counts smaller.")
	}
	pattern := q.Text
	if !q.Case {
		pattern = "(?i)" + pattern
	}
	m := &Matcher{}
	if m.re, err = regexp.Compile(pattern); err != nil {
		return nil, wrongPattern(err)
	}
	required := literals(tree)
	for _, l := range required {
		m.fold = m.fold || l.fold
	}
	for _, l := range required {
		text := []byte(l.text)
		if m.fold {
			text, _ = fold(nil, text)
		}
		m.needles = append(m.needles, newNeedle(text))
	}
	return m, nil
}

func wrongPattern(err error) error {
	e, ok := errors.AsType[*syntax.Error](err)
	if !ok {
		return kovra.Errorf(kovra.Invalid, "The regular expression cannot be read.")
	}
	return kovra.Errorf(kovra.Invalid, "The regular expression cannot be read: %s: %q.", e.Code, e.Expr)
}

// weight is about how many steps an expression compiles to. It stops counting beyond the most.
func weight(re *syntax.Regexp) int {
	n := 1
	if re.Op == syntax.OpLiteral {
		n = len(re.Rune)
	}
	for _, sub := range re.Sub {
		if n += weight(sub); n > mostProgram {
			return n
		}
	}
	if re.Op == syntax.OpRepeat {
		n *= max(1, re.Min, re.Max)
	}
	return n
}

type literal struct {
	text string
	fold bool
}

// literals returns texts one of which is in everything that the expression matches;
// nil when none are known.
func literals(re *syntax.Regexp) []literal {
	switch re.Op {
	case syntax.OpLiteral:
		if slices.Contains(re.Rune, utf8.RuneError) { // it matches bytes that are no UTF-8 too
			return nil
		}
		return []literal{{string(re.Rune), re.Flags&syntax.FoldCase != 0}}
	case syntax.OpCapture, syntax.OpPlus:
		return literals(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min == 0 {
			return nil
		}
		return literals(re.Sub[0])
	case syntax.OpConcat:
		var best []literal
		for _, sub := range re.Sub {
			if l := literals(sub); better(l, best) {
				best = l
			}
		}
		return best
	case syntax.OpAlternate:
		var all []literal
		for _, sub := range re.Sub {
			l := literals(sub)
			if l == nil || len(all)+len(l) > mostNeedles {
				return nil
			}
			all = append(all, l...)
		}
		return all
	default:
		return nil
	}
}

// better: the longer the shortest of them, the fewer lines have one.
func better(a, b []literal) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) > 0
	}
	length := func(ls []literal) int {
		n := len(ls[0].text)
		for _, l := range ls {
			n = min(n, len(l.text))
		}
		return n
	}
	if la, lb := length(a), length(b); la != lb {
		return la > lb
	}
	return len(a) < len(b)
}

// Find returns the places in text that match, in bytes, in order, not overlapping, none empty, at most limit.
// In a line of ten kilobytes and more, those behind thousands of empty matches of a regular expression may be left out.
func (m *Matcher) Find(text string, limit int) [][2]int {
	if m.every || limit <= 0 {
		return nil
	}
	if m.re != nil {
		return m.findRegex(text, limit)
	}
	var s scratch
	folded, level := m.folded([]byte(text), &s)
	needle := m.needles[0].text
	var out [][2]int
	for at := 0; len(out) < limit; {
		i := bytes.Index(folded[at:], needle)
		if i < 0 {
			break
		}
		out = append(out, [2]int{at + i, at + i + len(needle)})
		at += i + len(needle)
	}
	if !level {
		unfold(text, out)
	}
	return out
}

// mostCleared bounds how many bytes package regexp clears for one line: it is about the length of the text for
// each place that it finds, and an expression like x* finds an empty one everywhere.
const mostCleared = 128 << 20

// findRegex asks for more places at a time until enough of them are not empty.
func (m *Matcher) findRegex(text string, limit int) [][2]int {
	limit = min(limit, len(text)) // there are no more, none being empty
	for n := limit + 1; ; n *= 2 {
		found := m.re.FindAllStringIndex(text, n)
		var out [][2]int
		for _, f := range found {
			if f[0] < f[1] && len(out) < limit {
				out = append(out, [2]int{f[0], f[1]})
			}
		}
		if len(out) == limit || len(found) < n || n > mostCleared/len(text) {
			return out
		}
	}
}

// scratch is memory for one goroutine.
type scratch struct{ text, folded []byte }

// folded returns text as needles are looked for in it, and whether all has kept its place.
func (m *Matcher) folded(text []byte, s *scratch) (out []byte, level bool) {
	if !m.fold {
		return text, true
	}
	var ascii bool
	s.folded, ascii = foldASCII(s.folded, text)
	if ascii || m.foldsAs(text) {
		return s.folded, true
	}
	s.folded, level = fold(s.folded, text)
	return s.folded, level
}

// foldsAs reports whether to fold the ASCII letters of text is enough to find all needles.
func (m *Matcher) foldsAs(text []byte) bool {
	ascii, alone := true, true
	for i := range m.needles {
		ascii, alone = ascii && m.needles[i].ascii, alone && m.needles[i].alone
	}
	return alone || ascii && !hasStrangers(text)
}

// matches reports whether one line matches.
func (m *Matcher) matches(line []byte, s *scratch) bool {
	switch {
	case m.every:
		return true
	case m.re != nil:
		return m.re.Match(line)
	default:
		folded, _ := m.folded(line, s)
		return bytes.Contains(folded, m.needles[0].text)
	}
}

// scan appends to hits the places, from 0, of the lines of text that match.
func (m *Matcher) scan(ctx context.Context, text []byte, s *scratch, hits []int) ([]int, error) {
	if m.every || m.needles == nil {
		return m.scanLines(ctx, text, s, hits)
	}
	folded, level := m.folded(text, s)
	if m.re != nil && !level { // the places of lines are not known
		return m.scanLines(ctx, text, s, hits)
	}
	if m.re == nil && bytes.IndexByte(m.needles[0].text, '\n') >= 0 {
		return hits, nil // no line has a line feed in it
	}
	f := finder{needles: m.needles, next: make([]int, len(m.needles))}
	line, looked := 0, 0
	for from := 0; from < len(folded); line++ {
		at := f.find(folded, from)
		if at < 0 {
			break
		}
		line += bytes.Count(folded[from:at], lineFeed)
		end := at + bytes.IndexByte(folded[at:], '\n')
		if m.re == nil {
			hits = append(hits, line)
		} else {
			if looked++; looked%256 == 0 && ctx.Err() != nil {
				return hits, ctx.Err()
			}
			begin := from + bytes.LastIndexByte(folded[from:at], '\n') + 1
			if m.re.Match(text[begin:end]) {
				hits = append(hits, line)
			}
		}
		from = end + 1
	}
	return hits, nil
}

// scanLines looks at each line by itself.
func (m *Matcher) scanLines(ctx context.Context, text []byte, s *scratch, hits []int) ([]int, error) {
	for i := 0; len(text) > 0; i++ {
		if i%256 == 0 && ctx.Err() != nil {
			return hits, ctx.Err()
		}
		n := bytes.IndexByte(text, '\n')
		if m.matches(text[:n], s) {
			hits = append(hits, i)
		}
		text = text[n+1:]
	}
	return hits, nil
}

// finder finds the first of some needles. Each looks at the text once, however often it is asked.
type finder struct {
	needles []needle
	next    []int // where each was found last; beyond the text: nowhere
}

// find returns the first place from from on, or -1. From rises from call to call.
func (f *finder) find(text []byte, from int) int {
	first := len(text)
	for i := range f.needles {
		if f.next[i] < from || from == 0 {
			at := bytes.Index(text[from:], f.needles[i].text)
			f.next[i] = from + at
			if at < 0 {
				f.next[i] = len(text)
			}
		}
		first = min(first, f.next[i])
	}
	if first == len(text) {
		return -1
	}
	return first
}
