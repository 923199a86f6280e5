package joblog

import (
	"cmp"
	"slices"
	"strings"
)

const (
	maxFurther      = 3 // matches shown beside the first
	maxFurtherLines = 3 // lines of each
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
	if hits := c.cause(); len(hits) > 0 {
		e.First = p.addHits(hits)
	} else {
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
func (c *cutter) cause() []*hit {
	end := ""
	if c.end != nil {
		end = c.end.text
	}
	switch {
	case strings.HasPrefix(end, "Job succeeded"), strings.Contains(end, "execution took longer than"), len(c.over) > 0:
		return nil
	case strings.Contains(end, "(system failure)") && heaviest(c.hits) < goodWeight:
		return nil
	}
	if heaviest(c.earlier) > 0 && heaviest(c.hits) < sureWeight && c.printed <= briefLines+1 {
		return c.earlier // the command itself is one of the lines counted
	}
	return c.hits
}

func (c *cutter) lastLines() []shown {
	n := tailLines
	if c.end == nil {
		n++ // the last line takes the place of the one that ended the job
	}
	if lines := c.tail(&c.recent, n); len(lines) > 0 {
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

// addHits shows the first of the heaviest matches with its block, then others as
// far as there is room, and gives the line of the first.
func (p *picker) addHits(hits []*hit) int {
	slices.SortFunc(hits, func(a, b *hit) int { return cmp.Compare(a.n, b.n) })
	least := heaviest(hits) * 9 / 10
	first := slices.IndexFunc(hits, func(h *hit) bool { return h.weight >= least })
	main := hits[first]
	p.must(main.line, p.bytes)
	p.addAll(main.behind)
	for _, line := range slices.Backward(main.before) {
		p.add(line)
	}
	if main.command != nil {
		p.add(*main.command)
	}
	further := 0
	said := map[string]bool{bareMessage(main.line.text): true}
	for _, h := range hits[first+1:] {
		message := bareMessage(h.line.text)
		if h.weight*10 < main.weight*8 || p.has(h.n) || said[message] {
			continue
		}
		said[message] = true
		if further++; further > maxFurther {
			p.refused = true
			break
		}
		p.add(h.line)
		p.addAll(h.behind[:min(len(h.behind), maxFurtherLines)])
	}
	return main.n
}

// addTail shows the last lines, the very last first if there is not room for all.
func (p *picker) addTail(lines []shown) int {
	first := 0
	for _, line := range slices.Backward(lines) {
		if !p.add(line) {
			break
		}
		first = line.n
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
