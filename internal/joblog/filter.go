package joblog

import (
	"encoding/binary"
	"fmt"
)

// minLiteral is the shortest literal that filter can look for: it looks at four
// bytes from every second place, so five are needed to be seen for certain.
const minLiteral = 5

// filter answers quickly whether a line holds one of many literals, whatever
// the case of its letters. It never misses one; because letters are folded
// crudely it is in rare cases wrong the other way. Nearly every line of a log
// ends here, so this sets the speed of the whole excerpt.
type filter struct {
	seen   [1 << seenBits / 64]uint64 // a bit for the hash of each gram in places; small, to stay in the cache
	places map[uint32][]place
}

// place says that a literal has its four bytes at an offset.
type place struct {
	literal []byte // folded
	offset  int
}

const (
	seenBits  = 16
	seenShift = 32 - seenBits
	seenMul   = 2246822519

	// foldMask makes letters of both cases equal.
	foldMask = 0x20202020
	foldByte = 0x20
)

func newFilter(literals []string) (*filter, error) {
	f := &filter{places: map[uint32][]place{}}
	for _, l := range literals {
		if len(l) < minLiteral {
			return nil, fmt.Errorf("literal %q is shorter than %d bytes", l, minLiteral)
		}
		folded := []byte(l)
		for i := range folded {
			folded[i] |= foldByte
		}
		rarest := rarestPart(l, minLiteral)
		for offset := rarest; offset < rarest+2; offset++ {
			g := gram(folded[offset:])
			f.places[g] = append(f.places[g], place{folded, offset})
			slot := g * seenMul >> seenShift
			f.seen[slot/64] |= 1 << (slot % 64)
		}
	}
	return f, nil
}

func gram(b []byte) uint32 { return binary.LittleEndian.Uint32(b) | foldMask }

// match tells whether line holds one of the literals.
func (f *filter) match(line []byte) bool {
	rest := line
	for len(rest) >= 4 {
		g := gram(rest)
		slot := g * seenMul >> seenShift
		if f.seen[slot/64]>>(slot%64)&1 != 0 && f.confirm(g, line, len(line)-len(rest)) {
			return true
		}
		if len(rest) < 6 {
			break // a literal that begins here would not fit
		}
		rest = rest[2:]
	}
	return false
}

// confirm compares the literals that have g with the line, where g stands at at.
func (f *filter) confirm(g uint32, line []byte, at int) bool {
	for _, p := range f.places[g] {
		from := at - p.offset
		if from < 0 || len(line)-from < len(p.literal) {
			continue
		}
		same := true
		for i, c := range p.literal {
			if line[from+i]|foldByte != c {
				same = false
				break
			}
		}
		if same {
			return true
		}
	}
	return false
}
