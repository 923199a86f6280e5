package joblog

import (
	"encoding/binary"
	"strings"
)

const (
	gramBytes = 3 // the shortest secret prefix that is looked for, and what is looked at of each
	gramMask  = 1<<(8*gramBytes) - 1
	gramBits  = 14
	gramMul   = 0x9e3779b97f4a7c15
)

// grams tells at a glance which secrets cannot stand in a line. Of each literal
// it knows three bytes that are rare in logs, and it looks for those at every
// place of the line, whatever the case of letters.
type grams struct {
	seen [1 << gramBits / 64]uint64
	who  map[uint64]uint32 // three bytes to the marks of those that asked for them
}

func newGrams() *grams { return &grams{who: map[uint64]uint32{}} }

// add notes literal, three bytes at least, under the bits of mark.
func (g *grams) add(literal string, mark uint32) {
	best := rarestPart(literal, gramBytes)
	key := gram3(literal[best], literal[best+1], literal[best+2])
	g.who[key] |= mark
	slot := key * gramMul >> (64 - gramBits)
	g.seen[slot/64] |= 1 << (slot % 64)
}

// rarestPart gives where in literal the size bytes stand that logs have most seldom.
func rarestPart(literal string, size int) int {
	best, most := 0, -1
	for i := range len(literal) - size + 1 {
		if r := rarity(literal[i : i+size]); r > most {
			best, most = i, r
		}
	}
	return best
}

// rarity is greater for bytes that logs seldom have.
func rarity(s string) int {
	sum := 0
	for i := range len(s) {
		c := s[i] | foldByte
		if at := strings.IndexByte("etaoinsrhldcumfpgwybvkxjqz", c); at >= 0 {
			sum += at
		} else {
			sum += 28
		}
	}
	return sum
}

func gram3(a, b, c byte) uint64 {
	return (uint64(a) | uint64(b)<<8 | uint64(c)<<16) | foldMask>>8
}

// marks gives the marks of all literals that may stand in text.
func (g *grams) marks(text []byte) uint32 {
	marks := uint32(0)
	rest := text
	for len(rest) >= 8 {
		w := binary.LittleEndian.Uint64(rest) | foldMask<<32 | foldMask
		a, b, c := w&gramMask, w>>8&gramMask, w>>16&gramMask
		d, e, f := w>>24&gramMask, w>>32&gramMask, w>>40 // six of the eight bytes begin one
		if g.has(a)|g.has(b)|g.has(c)|g.has(d)|g.has(e)|g.has(f) != 0 {
			for _, key := range [...]uint64{a, b, c, d, e, f} {
				if g.has(key) != 0 {
					marks |= g.who[key]
				}
			}
		}
		rest = rest[6:]
	}
	for len(rest) >= gramBytes {
		if key := gram3(rest[0], rest[1], rest[2]); g.has(key) != 0 {
			marks |= g.who[key]
		}
		rest = rest[1:]
	}
	return marks
}

// has is 1 if key may be known, else 0.
func (g *grams) has(key uint64) uint64 {
	slot := key * gramMul >> (64 - gramBits)
	return g.seen[slot/64] >> (slot % 64) & 1
}
