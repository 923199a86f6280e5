package storage

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Two texts are the same but for upper and lower case when their folded forms are the same bytes.
// Folding takes each rune to one of those that Unicode's simple folding calls equal to it:
// the lower-case ASCII letter if there is one, so that ASCII needs no table. Bytes that
// are no UTF-8 stay as they are, and line feeds stay line feeds.

// foldASCII folds the ASCII letters of src, eight bytes at a time, into dst, and reports whether
// all of src is ASCII.
func foldASCII(dst, src []byte) ([]byte, bool) {
	const (
		high = 0x8080808080808080
		ones = 0x0101010101010101
	)
	dst = slices.Grow(dst[:0], len(src))[:len(src)]
	var seen uint64
	i := 0
	for ; i+8 <= len(src) && i+8 <= len(dst); i += 8 {
		x := binary.LittleEndian.Uint64(src[i : i+8])
		seen |= x
		low := x &^ high
		letters := (low + (0x80-'A')*ones) &^ (low + (0x80-'Z'-1)*ones) & high &^ x
		binary.LittleEndian.PutUint64(dst[i:i+8], x|letters>>2) // 0x80>>2 is what tells a from A
	}
	for ; i < len(src); i++ {
		c := src[i]
		seen |= uint64(c)
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		dst[i] = c
	}
	return dst, seen&high == 0
}

// strangers are the runes beyond ASCII that fold to an ASCII letter: to k and s.
var strangers = [][]byte{[]byte("\u212a"), []byte("\u017f")}

func hasStrangers(text []byte) bool {
	return bytes.Contains(text, strangers[0]) || bytes.Contains(text, strangers[1])
}

// fold folds all of src into dst, and reports whether every rune has kept its place.
func fold(dst, src []byte) (out []byte, level bool) {
	table := foldings()
	dst, level = dst[:0], true
	for len(src) > 0 {
		if c := src[0]; c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c |= 0x20
			}
			dst, src = append(dst, c), src[1:]
			continue
		}
		r, n := utf8.DecodeRune(src)
		if r == utf8.RuneError {
			dst, src = append(dst, src[:n]...), src[n:]
			continue
		}
		var f rune
		if int(r) < len(table) {
			f = rune(table[r])
		} else {
			f = foldRune(r)
		}
		if f == r {
			dst = append(dst, src[:n]...)
		} else {
			level = level && utf8.RuneLen(f) == n
			dst = utf8.AppendRune(dst, f)
		}
		src = src[n:]
	}
	return dst, level
}

// foldings holds the folded form of the runes of the basic plane; none leaves it.
var foldings = sync.OnceValue(func() *[1 << 16]uint16 {
	var table [1 << 16]uint16
	for r := range table {
		table[r] = uint16(foldRune(rune(r)))
	}
	return &table
})

func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if 'A' <= least && least <= 'Z' {
		least |= 0x20
	}
	return least
}

// unfold takes places in the folded form of text, in order, to those in text.
func unfold(text string, hits [][2]int) {
	at, folded := 0, 0
	to := func(place int) int {
		for folded < place && at < len(text) {
			r, n := utf8.DecodeRuneInString(text[at:])
			at += n
			if r == utf8.RuneError {
				folded += n
			} else {
				folded += utf8.RuneLen(foldRune(r))
			}
		}
		return at
	}
	for i := range hits {
		hits[i][0] = to(hits[i][0])
		hits[i][1] = to(hits[i][1])
	}
}
