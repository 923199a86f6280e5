package joblog

import (
	"bytes"
	"unicode/utf8"
)

const (
	plain Style = 0

	bold      Style = 1 << 10
	dim       Style = 1 << 11
	italic    Style = 1 << 12
	underline Style = 1 << 13
	strike    Style = 1 << 14

	backShift = 5

	black Style = 1 // the first of the sixteen colours
	white Style = 8

	maxSpans        = 500 // of one line; what follows is plain
	maxHeldColours  = 256 // bytes of sequences kept of what was drawn over or cut
	maxColourParams = 32  // of one sequence
)

// pen is the state of a terminal that says how the next text will look.
type pen struct {
	text, back Style // 0: none; 1 to 16
	marks      Style
	inverse    bool
}

func (p pen) style() Style {
	text, back := p.text, p.back
	if p.inverse {
		text, back = back, text
		if text == 0 {
			text = black
		}
		if back == 0 {
			back = white
		}
	}
	return text | back<<backShift | p.marks
}

// skim takes over the colours of what is not shown itself.
func (p *pen) skim(line []byte) {
	for {
		i := bytes.IndexByte(line, esc)
		if i < 0 {
			return
		}
		n := escapeLen(line[i:])
		p.apply(line[i : i+n])
		line = line[i+n:]
	}
}

// apply changes the pen as an escape sequence says; most say nothing of colours.
func (p *pen) apply(seq []byte) {
	if !isColours(seq) {
		return
	}
	var held [maxColourParams]uint16
	params := colourParams(held[:0], seq[2:len(seq)-1])
	for len(params) > 0 {
		used := 1
		switch v := params[0]; {
		case v == 38 || v == 48 || v == 58:
			var colour Style
			colour, used = extendedColour(params)
			switch {
			case colour == 0 || v == 58:
			case v == 38:
				p.text = colour
			default:
				p.back = colour
			}
		case v >= 30:
			p.colour(v)
		default:
			p.mark(v)
		}
		params = params[used:]
	}
}

// isColours tells the sequences ESC [ numbers m from all others.
func isColours(seq []byte) bool {
	last := len(seq) - 1
	return last >= 2 && seq[1] == '[' && seq[last] == 'm' && (isDigit(seq[2]) || seq[2] == ';' || seq[2] == ':' || last == 2)
}

// colour is for the parameters from 30 on that stand alone.
func (p *pen) colour(v uint16) {
	switch {
	case v <= 37:
		p.text = black + Style(v-30)
	case v == 39:
		p.text = 0
	case v >= 40 && v <= 47:
		p.back = black + Style(v-40)
	case v == 49:
		p.back = 0
	case v >= 90 && v <= 97:
		p.text = black + 8 + Style(v-90)
	case v >= 100 && v <= 107:
		p.back = black + 8 + Style(v-100)
	}
}

// mark is for the parameters under 30.
func (p *pen) mark(v uint16) {
	switch v {
	case 0:
		*p = pen{}
	case 1:
		p.marks |= bold
	case 2:
		p.marks |= dim
	case 3:
		p.marks |= italic
	case 4, 21:
		p.marks |= underline
	case 7:
		p.inverse = true
	case 9:
		p.marks |= strike
	case 22:
		p.marks &^= bold | dim
	case 23:
		p.marks &^= italic
	case 24:
		p.marks &^= underline
	case 27:
		p.inverse = false
	case 29:
		p.marks &^= strike
	}
}

// colourParams reads numbers parted by semicolons or colons. A missing one is 0; the
// empty colour space in 38:2::r:g:b is left out.
func colourParams(dst []uint16, b []byte) []uint16 {
	value := uint16(0)
	for i := 0; ; i++ {
		if i < len(b) && isDigit(b[i]) {
			value = min(value*10+uint16(b[i]-'0'), 999) // no number with a meaning is greater
			continue
		}
		if i < len(b) && b[i] != ';' && b[i] != ':' {
			return dst // a private sequence
		}
		omitted := i < len(b) && b[i] == ':' && i > 0 && b[i-1] == ':'
		if !omitted && len(dst) < cap(dst) {
			dst = append(dst, value)
		}
		if i >= len(b) {
			return dst
		}
		value = 0
	}
}

// extendedColour reads 38;5;n and 38;2;r;g;b (48 and 58 likewise) and tells how many
// parameters it took. Colour 0: damaged.
func extendedColour(params []uint16) (colour Style, used int) {
	switch {
	case len(params) >= 3 && params[1] == 5:
		return nearestOf256(params[2]), 3
	case len(params) >= 5 && params[1] == 2:
		return nearest(params[2], params[3], params[4]), 5
	}
	return 0, len(params)
}

func nearestOf256(n uint16) Style {
	switch {
	case n > 255:
		return 0
	case n < 16:
		return black + Style(n)
	case n >= 232:
		grey := 8 + 10*(n-232)
		return nearest(grey, grey, grey)
	}
	level := func(v uint16) uint16 {
		if v == 0 {
			return 0
		}
		return 55 + 40*v
	}
	n -= 16
	return nearest(level(n/36), level(n/6%6), level(n%6))
}

// nearest gives the one of the sixteen colours that says the same: its hue, and
// whether it is bright. A distance in space would turn soft colours into grey.
func nearest(r, g, b uint16) Style {
	most, least := max(r, g, b), min(r, g, b)
	if most > 255 {
		return 0
	}
	if most-least < 32+most/8 {
		switch {
		case most < 64:
			return black
		case most < 152:
			return black + 8 // what terminals call bright black
		case most < 224:
			return white
		}
		return white + 8
	}
	middle := (most + least) / 2
	hue := black
	for i, v := range [...]uint16{r, g, b} {
		if v > middle {
			hue += 1 << i
		}
	}
	if most >= 224 {
		hue += 8
	}
	return hue
}

// appendColours appends the colour sequences of text to dst, which holds nothing
// else. Where they are many, the last ones count.
func appendColours(dst, text []byte) []byte {
	for {
		i := bytes.IndexByte(text, esc)
		if i < 0 {
			break
		}
		n := escapeLen(text[i:])
		if seq := text[i : i+n]; isColours(seq) && n <= maxHeldColours/2 {
			dst = append(dst, seq...)
		}
		text = text[i+n:]
		if len(dst) > 2*maxHeldColours {
			dst = lastColours(dst)
		}
	}
	return lastColours(dst)
}

func lastColours(held []byte) []byte {
	for len(held) > maxHeldColours {
		held = held[1+bytes.IndexByte(held[1:], esc):]
	}
	return held
}

// canvas turns raw lines into text and spans. It may be used for several lines before
// it is cleared.
type canvas struct {
	pen   pen
	bare  []byte
	text  []byte
	spans []Span
}

func (c *canvas) clear() { c.text, c.spans = c.text[:0], c.spans[:0] }

// draw gives what line shows, as plainText does, and its colours. Both are valid until
// the canvas is cleared.
func (c *canvas) draw(line []byte) ([]byte, []Span) {
	c.bare = c.bare[:0]
	first := len(c.spans)
	for {
		i := bytes.IndexByte(line, esc)
		part := line
		if i >= 0 {
			part = line[:i]
		}
		if style := c.pen.style(); style != plain && len(part) > 0 && len(c.spans)-first < maxSpans {
			c.spans = append(c.spans, Span{From: len(c.bare), To: len(c.bare) + len(part), Style: style})
		}
		c.bare = append(c.bare, part...)
		if i < 0 {
			break
		}
		n := escapeLen(line[i:])
		c.pen.apply(line[i : i+n])
		line = line[i+n:]
	}
	from := len(c.text)
	c.appendPlain(c.spans[first:])
	kept := mergeSpans(c.spans[first:])
	c.spans = c.spans[:first+len(kept)]
	return c.text[from:len(c.text):len(c.text)], c.spans[first:len(c.spans):len(c.spans)]
}

// appendPlain appends c.bare to c.text as plainText would, and moves the spans along.
func (c *canvas) appendPlain(spans []Span) {
	if isPlain(c.bare) {
		c.text = append(c.text, c.bare...)
		return
	}
	base := len(c.text)
	bound := 0 // 2i is the beginning of span i, 2i+1 its end
	move := func(upTo int) {
		for ; bound < 2*len(spans); bound++ {
			place := &spans[bound/2].From
			if bound%2 == 1 {
				place = &spans[bound/2].To
			}
			if *place > upTo {
				return
			}
			*place = len(c.text) - base
		}
	}
	for i := 0; i < len(c.bare); {
		move(i)
		r, n := utf8.DecodeRune(c.bare[i:])
		i += n
		if !isControl(r) {
			c.text = utf8.AppendRune(c.text, r)
		}
	}
	move(len(c.bare))
}

// mergeSpans drops empty spans and joins neighbours that look the same, in place.
func mergeSpans(spans []Span) []Span {
	kept := spans[:0]
	for _, s := range spans {
		switch last := len(kept) - 1; {
		case s.From >= s.To:
		case last >= 0 && kept[last].To == s.From && kept[last].Style == s.Style:
			kept[last].To = s.To
		default:
			kept = append(kept, s)
		}
	}
	return kept
}

// moveSpans fits the spans of before to after, which is before with some of it
// replaced. What was replaced loses its colours.
func moveSpans(spans []Span, before, after string) []Span {
	if len(spans) == 0 || before == after {
		return spans
	}
	same := min(len(before), len(after))
	head := 0
	for head < same && before[head] == after[head] {
		head++
	}
	for head > 0 && (head < len(before) && !utf8.RuneStart(before[head]) || head < len(after) && !utf8.RuneStart(after[head])) {
		head--
	}
	tail := 0
	for tail < same-head && before[len(before)-1-tail] == after[len(after)-1-tail] {
		tail++
	}
	for tail > 0 && !utf8.RuneStart(before[len(before)-tail]) {
		tail--
	}
	var moved []Span
	shift := len(after) - len(before)
	for _, s := range spans {
		if s.From < head {
			moved = append(moved, Span{From: s.From, To: min(s.To, head), Style: s.Style})
		}
		if rest := len(before) - tail; s.To > rest {
			moved = append(moved, Span{From: max(s.From, rest) + shift, To: s.To + shift, Style: s.Style})
		}
	}
	return mergeSpans(moved)
}
