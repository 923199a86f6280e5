package joblog

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

const (
	maxFurther      = 3 // matches shown beside the first
	maxFurtherLines = 4 // lines of each
	nearWeight      = 3 // what weighs so much less than the heaviest is as good; the error stream weighs that
	otherWeight     = 5 // what weighs so much less and is of another kind is left out
	firstLines      = 6 // of the block behind the first match, before anything else is shown
	moreLines       = 9 // of it, before the blocks of other matches
	maxDecisive     = 5
	maxFill         = 18 // lines up to which what is spare is shown
	closeBy         = 4  // lines before the main match in which weaker ones are worth showing
)

// excerpt chooses the lines, after the last line was seen.
func (c *cutter) excerpt() Excerpt {
	e := Excerpt{Total: c.scan.n, Truncated: len(c.over) > 0}
	p := picker{lines: c.opts.MaxLines, bytes: c.opts.MaxBytes}
	if c.end != nil {
		p.must(*c.end, c.opts.MaxBytes/3)
	}
	for _, line := range c.over {
		p.must(line, c.opts.MaxBytes/4)
	}
	if f := c.cause(); len(f.hits) > 0 {
		e.First = p.addFound(f)
		p.addLasting(c.lasting)
	} else {
		p.addLasting(c.lasting)
		e.First = p.addTail(c.lastLines())
	}
	e.Lines = p.result()
	e.Truncated = e.Truncated || p.refused
	if e.First == 0 && len(e.Lines) > 0 {
		e.First = e.Lines[0].N
	}
	return e
}

// cause gives the matches that explain the end, none if nothing does.
func (c *cutter) cause() found {
	end := ""
	if c.end != nil {
		end = c.end.text
	}
	switch {
	case strings.HasPrefix(end, "Job succeeded"), strings.Contains(end, "execution took longer than"), len(c.over) > 0:
		return found{}
	case strings.Contains(end, "(system failure)") && heaviest(c.hits) < goodWeight:
		return found{}
	}
	if heaviest(c.earlier.hits) > 0 && heaviest(c.hits) < sureWeight && c.printed <= briefLines+1 {
		return c.earlier // the command itself is one of the lines counted
	}
	return c.found
}

func (c *cutter) lastLines() []shown {
	n := tailLines
	if c.end == nil {
		n++ // the last line takes the place of the one that ended the job
	}
	if lines := c.tail(&c.recent, n); len(lines) > 0 {
		if c.command != nil && c.command.n < lines[0].n {
			lines[0] = *c.command // rather than one line more
		}
		return lines
	}
	if c.end != nil {
		return nil
	}
	return c.tail(&c.rest, n)
}

// picker collects lines within bounds.
type picker struct {
	lines, bytes int
	chosen       []shown // sorted by number
	refused      bool
}

// addFound shows the first of the heaviest matches with what belongs to it, what sums up,
// then other matches as far as there is room, and gives the line of the first.
func (p *picker) addFound(f found) int {
	hits := f.hits
	slices.SortFunc(hits, func(a, b *hit) int { return cmp.Compare(a.n, b.n) })
	least := heaviest(hits) - nearWeight
	first := slices.IndexFunc(hits, func(h *hit) bool { return h.weight >= least })
	main := hits[first]
	p.must(main.line, p.bytes)
	if last := main.exception(); last != nil {
		p.add(*last)
	}
	p.addAll(main.behind[:min(len(main.behind), firstLines)])
	for _, line := range []*shown{main.command, main.heading} {
		if line != nil {
			p.add(*line)
		}
	}
	for _, line := range slices.Backward(main.before) {
		p.add(line)
	}
	for _, sum := range f.sums {
		p.addAll(sum.lines)
	}
	if place := cmp.Or(placeIn(main.behind), placeIn(main.spare)); place != nil {
		p.add(*place)
	}
	further := p.further(main, hits[first+1:])
	p.addDecisive(main)
	for _, h := range further {
		if last := h.exception(); last != nil {
			p.add(*last) // without it the rest says nothing
		}
		p.add(h.line)
		p.addAll(h.before)
		p.addAll(h.behind[:min(len(h.behind), 1)])
	}
	p.addAll(main.behind[:min(len(main.behind), moreLines)])
	for _, h := range further {
		p.addAll(h.behind[:min(len(h.behind), maxFurtherLines)])
	}
	p.addAll(main.behind)
	p.fill(main, hits[:first])
	return main.n
}

// decisiveLine is what a reader of a failure looks for: what was wanted and what came, the
// reason, the mark below the place.
var decisiveLine = regexp.MustCompile(`^(?:E {3}|\s*[-+] {0,8}[^\s+-])|(?i)^\s*(?:expected|received|actual|got|want|wanted|left|right|obtained|found|required|reason|detail|message|caused by|note|\S*error)\b[^:=]{0,12}[:=]` +
	`|\^|~~~|^\s*>\s*\d+ \|`)

// addDecisive shows the lines of the main block, and behind it, that tell most.
func (p *picker) addDecisive(main *hit) {
	n := 0
	for _, line := range append(slices.Clip(main.behind), main.spare...) {
		if n < maxDecisive && !p.has(line.n) && decisiveLine.MatchString(line.text) && p.add(line) {
			n++
		}
	}
}

// fill takes the room that is left for what follows the main block, and for weaker matches
// that came before it.
func (p *picker) fill(main *hit, earlier []*hit) {
	for i, line := range main.spare {
		if p.size() >= maxFill {
			break
		}
		if line.blank && (i+1 == len(main.spare) || main.spare[i+1].blank) || !p.add(line) {
			break
		}
	}
	for _, h := range slices.Backward(earlier) {
		if h.weight*10 >= main.weight*8 && main.n-h.n <= closeBy && p.size() < maxFill {
			p.add(h.line)
		}
	}
}

func (p *picker) size() int { return len(p.chosen) + gaps(p.chosen) }

var sourcePlace = regexp.MustCompile(`(?:^|[\s(/"'])[\w.@+-]+\.[A-Za-z]{1,6}:\d+`)

// placeIn gives the first line that names a line of source, nil if none does.
func placeIn(lines []shown) *shown {
	for i := range lines {
		if sourcePlace.MatchString(lines[i].text) {
			return &lines[i]
		}
	}
	return nil
}

// further gives the matches that are about as heavy as main and say something else, those
// of its kind first.
func (p *picker) further(main *hit, hits []*hit) []*hit {
	var same, other []*hit
	said := map[string]bool{bareMessage(main.line.text): true}
	for _, h := range hits {
		message := bareMessage(h.line.text)
		if h.weight*10 < main.weight*8 || p.has(h.n) || said[message] {
			continue
		}
		said[message] = true
		switch {
		case h.kind == main.kind:
			same = append(same, h)
		case h.weight >= main.weight-otherWeight:
			other = append(other, h)
		}
	}
	all := append(same, other...)
	if len(all) > maxFurther {
		p.refused = true
		all = all[:maxFurther]
	}
	return all
}

// addLasting shows what went wrong before the section that failed.
func (p *picker) addLasting(hits []*hit) {
	for _, h := range hits {
		p.add(h.line)
		p.addAll(h.behind[:min(len(h.behind), maxFurtherLines)])
	}
}

// addTail shows the last lines, the very last first if there is not room for all.
func (p *picker) addTail(lines []shown) int {
	first := 0
	for _, line := range slices.Backward(lines) {
		if !p.add(line) {
			break
		}
		if first == 0 || first == line.n+1 {
			first = line.n // not the command far above
		}
	}
	return first
}

func (p *picker) addAll(lines []shown) {
	for len(lines) > 0 && lines[len(lines)-1].blank {
		lines = lines[:len(lines)-1]
	}
	for _, line := range lines {
		if !p.add(line) {
			return
		}
	}
}

func (p *picker) has(n int) bool {
	_, ok := slices.BinarySearchFunc(p.chosen, n, func(s shown, n int) int { return cmp.Compare(s.n, n) })
	return ok
}

// must shows a line, cut to limit bytes if need be; only MaxLines stops it.
func (p *picker) must(line shown, limit int) {
	line.text = cutText(line.text, min(limit, p.bytes), 0)
	p.add(line)
}

// add shows a line if there is room for it and for the mark of a gap that it makes.
func (p *picker) add(line shown) bool {
	i, ok := slices.BinarySearchFunc(p.chosen, line.n, func(s shown, n int) int { return cmp.Compare(s.n, n) })
	if ok {
		return true
	}
	chosen := slices.Insert(slices.Clone(p.chosen), i, line)
	if len(line.text) > p.bytes || len(chosen)+gaps(chosen) > p.lines {
		p.refused = true
		return false
	}
	p.chosen = chosen
	p.bytes -= len(line.text)
	return true
}

func gaps(lines []shown) int {
	n := 0
	for i := 1; i < len(lines); i++ {
		if lines[i].n != lines[i-1].n+1 {
			n++
		}
	}
	return n
}

func (p *picker) result() []ExcerptLine {
	var out []ExcerptLine
	for i, line := range p.chosen {
		if i > 0 && line.n > p.chosen[i-1].n+1 {
			out = append(out, ExcerptLine{Hidden: line.n - p.chosen[i-1].n - 1})
		}
		out = append(out, ExcerptLine{N: line.n, Text: line.text})
	}
	return out
}
