package joblog

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

const esc = 0x1b

// stripEscapes appends line to dst without terminal escape sequences.
func stripEscapes(dst, line []byte) []byte {
	for {
		i := bytes.IndexByte(line, esc)
		if i < 0 {
			return append(dst, line...)
		}
		dst = append(dst, line[:i]...)
		line = line[i+escapeLen(line[i:]):]
	}
}

// escapeLen gives the length of the escape sequence at the start of b, whose
// first byte is ESC. A sequence that never ends reaches to the end of b if it
// carries a string, else it is the two bytes that began it.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return len(b)
	}
	switch b[1] {
	case '[':
		return controlLen(b)
	case ']', 'P', '_', '^', 'X':
		return stringLen(b)
	}
	i := 1
	for i < len(b) && b[i] >= 0x20 && b[i] <= 0x2f {
		i++
	}
	if i < len(b) && b[i] >= 0x30 && b[i] <= 0x7e {
		return i + 1
	}
	return i
}

// controlLen measures ESC [ parameters intermediates final.
func controlLen(b []byte) int {
	i := 2
	for i < len(b) && b[i] >= 0x20 && b[i] <= 0x3f {
		i++
	}
	if i < len(b) && b[i] >= 0x40 && b[i] <= 0x7e {
		return i + 1
	}
	return i // damaged: what follows is text again
}

// stringLen measures titles, links and the like, ended by BEL or ESC \.
func stringLen(b []byte) int {
	for i := 2; i < len(b); i++ {
		if b[i] == 0x07 {
			return i + 1
		}
		if b[i] == esc {
			if i+1 < len(b) && b[i+1] == '\\' {
				return i + 2
			}
			return i
		}
	}
	return len(b)
}

// startsRed tells whether the first escape sequences of line colour it red.
func startsRed(line []byte) bool {
	for len(line) > 3 && line[0] == esc {
		n := escapeLen(line)
		seq := line[:n]
		line = line[n:]
		if n < 4 || seq[n-1] != 'm' {
			continue
		}
		for param := range bytes.SplitSeq(seq[2:n-1], []byte{';'}) {
			if string(param) == "31" || string(param) == "91" {
				return true
			}
		}
	}
	return false
}

// plainText turns a line without escape sequences into what may be shown:
// valid UTF-8, tabs kept, every other control character gone.
func plainText(line []byte) string {
	if isPlain(line) {
		return string(line)
	}
	var b strings.Builder
	b.Grow(len(line))
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		line = line[n:]
		if isControl(r) {
			continue
		}
		b.WriteRune(r) // an invalid byte becomes U+FFFD
	}
	return b.String()
}

// isPlain tells whether line is ASCII without control characters other than tab. Nearly
// all lines are, so eight bytes are looked at together.
func isPlain(line []byte) bool {
	const each, high = 0x0101010101010101, 0x8080808080808080
	for len(line) >= 8 {
		w := binary.LittleEndian.Uint64(line)
		if (w|(w-0x20*each)|(w+each))&high != 0 && !isPlainBytes(line[:8]) { // 0x80 and up, under 0x20, or 0x7f
			return false
		}
		line = line[8:]
	}
	return isPlainBytes(line)
}

func isPlainBytes(line []byte) bool {
	for _, c := range line {
		if c < 0x20 && c != '\t' || c >= 0x7f {
			return false
		}
	}
	return true
}

// isControl covers C0 and C1 (U+009B begins escape sequences as well), and the
// characters that reorder text, with which a log could show what it does not say.
func isControl(r rune) bool {
	switch {
	case r == '\t':
		return false
	case r < 0x20, r >= 0x7f && r <= 0x9f:
		return true
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true
	}
	return false
}

// lastDrawing gives what a terminal shows at the end of a line that was redrawn
// by carriage returns: all after the last one, not counting those at the end.
func lastDrawing(line []byte) []byte {
	line = bytes.TrimRight(line, "\r")
	return line[bytes.LastIndexByte(line, '\r')+1:]
}

// cutText shortens s to at most limit bytes (the mark of the cut included),
// keeping the byte offset at in sight and runes whole.
func cutText(s string, limit, at int) string {
	const mark = "…"
	if len(s) <= limit {
		return s
	}
	room := limit - 2*len(mark)
	if room <= 0 {
		return ""
	}
	from := 0
	if at > room*3/4 {
		from = min(at-room/4, len(s)-room)
	}
	for from > 0 && !utf8.RuneStart(s[from]) {
		from--
	}
	to := min(from+room, len(s))
	for to > from && to < len(s) && !utf8.RuneStart(s[to]) {
		to--
	}
	out := s[from:to]
	if from > 0 {
		out = mark + out
	}
	if to < len(s) {
		out += mark
	}
	return out
}
