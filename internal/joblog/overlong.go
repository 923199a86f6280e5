package joblog

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

const (
	// MaxLineBytes is how much of one line is kept. What is longer is cut,
	// and a note at its end says by how much.
	MaxLineBytes = 64 << 10

	tailBytes = maxSectionName + 300 // a marker with its options fits
)

// lineBuffer collects one line that comes in parts, in bounded memory. What it
// holds in the end depends on the bytes alone, not on how they were parted.
type lineBuffer struct {
	raw    []byte
	strict bool // over MaxLineBytes: redraws are resolved as they come

	keep int    // in strict: raw[:keep] is done with (text and marker)
	lost int    // in strict: bytes of the present drawing that did not fit
	tail []byte // in strict: the end of what did not fit, in case a marker stands there
	cr   bool   // in strict: a carriage return came, nothing after it yet
}

func (b *lineBuffer) reset() {
	*b = lineBuffer{raw: b.raw[:0], tail: b.tail[:0]}
}

func (b *lineBuffer) add(part []byte) {
	if !b.strict {
		if len(b.raw)+len(part) <= MaxLineBytes {
			b.raw = append(b.raw, part...)
			return
		}
		b.strict = true
		held := bytes.Clone(b.raw)
		b.raw = b.raw[:0]
		b.addStrict(held)
	}
	b.addStrict(part)
}

func (b *lineBuffer) addStrict(part []byte) {
	for len(part) > 0 {
		i := bytes.IndexByte(part, '\r')
		if i < 0 {
			b.draw(part)
			return
		}
		b.draw(part[:i])
		b.cr = true
		part = part[i+1:]
	}
}

// draw adds text that has no carriage return in it.
func (b *lineBuffer) draw(text []byte) {
	if len(text) == 0 {
		return
	}
	if b.cr {
		b.redraw()
	}
	room := max(0, min(len(text), MaxLineBytes-(len(b.raw)-b.keep)))
	b.raw = append(b.raw, text[:room]...)
	text = text[room:]
	b.lost += len(text)
	b.tail = append(b.tail, text[max(0, len(text)-tailBytes):]...)
	if over := len(b.tail) - tailBytes; over > 0 {
		b.tail = append(b.tail[:0], b.tail[over:]...)
	}
}

// redraw forgets the present drawing but for the colours it has set, unless it ends
// in a section marker, whose carriage return is not a redraw.
func (b *lineBuffer) redraw() {
	b.cr = false
	end := b.raw[b.keep:]
	if b.lost > 0 {
		end = b.tail
	}
	mark := trailingMarker(end)
	if mark == nil || b.keep > MaxLineBytes {
		colours := appendColours(appendColours(nil, b.raw[b.keep:]), b.tail)
		b.raw = append(b.raw[:b.keep], colours...)
	} else {
		mark = bytes.Clone(mark)
		b.note()
		if !bytes.HasSuffix(b.raw, mark) {
			b.raw = append(b.raw, mark...)
		}
		b.raw = append(b.raw, '\r')
		b.keep = len(b.raw)
	}
	b.lost, b.tail = 0, b.tail[:0]
}

// trailingMarker gives the marker at the end of text, nil if there is none.
func trailingMarker(text []byte) []byte {
	text = text[max(0, len(text)-tailBytes):]
	i := bytes.LastIndex(text, sectionWord)
	if i < 0 {
		return nil
	}
	if _, n, end := parseMarker(text[i:]); end == notMarker || n != len(text)-i {
		return nil
	}
	return text[i:]
}

// note ends a drawing that did not fit, and with it the colours that were set in what is
// cut, as far as its end tells them. The last word goes too: it may be half
// of a secret, which nobody would recognise.
func (b *lineBuffer) note() {
	if b.lost == 0 {
		return
	}
	drawn := b.raw[b.keep:]
	least := len(drawn) - len(drawn)/4
	end := least
	if i := bytes.LastIndexByte(drawn[least:], ' '); i >= 0 {
		end = least + i
	}
	for end > 0 && !utf8.RuneStart(drawn[end]) {
		end--
	}
	lost := b.lost + len(drawn) - end
	colours := appendColours(appendColours(nil, drawn[end:]), b.tail)
	b.raw = fmt.Appendf(b.raw[:b.keep+end], " … [%d bytes cut]", lost)
	b.raw = append(b.raw, colours...)
}

// line gives the collected line; b must be reset before it is used again.
func (b *lineBuffer) line() []byte {
	if b.strict {
		b.note()
		b.lost = 0
	}
	return b.raw
}
