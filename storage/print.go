package storage

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"

	"kovra.dev/chatops/internal/kovra"
)

// finderBlock is so small that the hashes of its places stay near the processor.
const finderBlock = 2 << 10

// printKey makes prints; there is one per encryption key.
type printKey struct {
	sum  []byte // of the keyed hash
	pad  []byte // of what hides Roll
	base uint64 // of the rolling hash; odd, so that none of its powers is zero
}

func newPrintKey(key []byte) printKey {
	base := binary.BigEndian.Uint64(subkey(key, "fingerprint base"))
	return printKey{sum: subkey(key, "fingerprint"), pad: subkey(key, "fingerprint pad"), base: base | 1}
}

func (k printKey) sumOf(value string) string {
	h := hmac.New(sha256.New, k.sum)
	h.Write([]byte(value))
	return base64.RawStdEncoding.EncodeToString(h.Sum(nil)[:16])
}

// padOf is what Roll of the print with that sum is hidden with.
func (k printKey) padOf(sum string) uint64 {
	h := hmac.New(sha256.New, k.pad)
	h.Write([]byte(sum))
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// rollOf is a polynomial in base, modulo 2^64, whose coefficients are the bytes.
func (k printKey) rollOf(value string) uint64 {
	var h uint64
	for i := range len(value) {
		h = h*k.base + uint64(value[i])
	}
	return h
}

func (k printKey) power(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= k.base
	}
	return p
}

// Print returns what is kept of a value that is wiped; [DB.Finder] finds the value in a
// text by it. Without the encryption key it tells the value's length and nothing else:
// Sum is a keyed hash, and Roll, a hash that would be too simple to be shown, is hidden
// with a pad that only the key and Sum give. With the key Roll tells nothing that Sum
// does not. Where there is no encryption key the print finds nothing.
func (db *DB) Print(value string) kovra.Print {
	keys := db.sealer.Load().prints
	if len(keys) == 0 {
		return kovra.Print{Len: len(value)}
	}
	k := keys[0]
	sum := k.sumOf(value)
	return kovra.Print{Len: len(value), Sum: sum, Roll: k.rollOf(value) ^ k.padOf(sum)}
}

// Finder finds values in texts by their prints. A text is looked at once per encryption
// key and length of a value. Prints without Roll, made by older versions, are slow: they
// cost a keyed hash per byte of the text. A Finder serves one goroutine.
type Finder struct {
	keys   []keyFinder
	slow   []slowPrint
	least  int      // length of the shortest value
	most   int      // and of the longest
	rolled []uint64 // scratch
	found  [][2]int // scratch
}

// keyFinder looks for values under one key.
type keyFinder struct {
	key    printKey
	groups []lengthGroup
}

// lengthGroup is all sought values of one length.
type lengthGroup struct {
	n     int
	power uint64 // base to the n
	want  []sought
	// some has a bit for the highest six bits of each hash that is sought: one look at
	// it tells most places that none of them is there.
	some uint64
}

// sought is a value that is looked for.
type sought struct {
	roll  uint64
	sum   string
	value string // once it was found
}

type slowPrint struct {
	key printKey
	n   int
	sum string
}

// Finder returns one for the values that have these prints, under any of the keys.
func (db *DB) Finder(prints []kovra.Print) *Finder {
	f := &Finder{}
	prints = slices.DeleteFunc(slices.Clone(prints), func(p kovra.Print) bool { return p.Len <= 0 || p.Sum == "" })
	for i, p := range prints {
		if i == 0 || p.Len < f.least {
			f.least = p.Len
		}
		f.most = max(f.most, p.Len)
	}
	for _, k := range db.sealer.Load().prints {
		kf := keyFinder{key: k}
		for _, p := range prints {
			if p.Roll == 0 {
				f.slow = append(f.slow, slowPrint{key: k, n: p.Len, sum: p.Sum})
			} else {
				kf.add(p)
			}
		}
		if len(kf.groups) > 0 {
			f.keys = append(f.keys, kf)
		}
	}
	return f
}

func (f *keyFinder) add(p kovra.Print) {
	i := slices.IndexFunc(f.groups, func(g lengthGroup) bool { return g.n == p.Len })
	if i < 0 {
		i = len(f.groups)
		f.groups = append(f.groups, lengthGroup{n: p.Len, power: f.key.power(p.Len)})
	}
	g := &f.groups[i]
	if slices.ContainsFunc(g.want, func(w sought) bool { return w.sum == p.Sum }) {
		return
	}
	roll := p.Roll ^ f.key.padOf(p.Sum)
	g.want = append(g.want, sought{roll: roll, sum: p.Sum})
	g.some |= 1 << (roll >> 58)
}

// Empty reports whether there is nothing to look for.
func (f *Finder) Empty() bool { return len(f.keys) == 0 && len(f.slow) == 0 }

// Find returns the places of text, in bytes, in order, that hold any of the values.
// Those that overlap are one. They are valid until the next call.
func (f *Finder) Find(text string) [][2]int {
	f.found = f.found[:0]
	if f.Empty() || len(text) < f.least {
		return nil
	}
	// Block by block, however long the text: a block is followed by what a value that begins
	// at its end may need.
	block := max(finderBlock, 4*f.most)
	for from := 0; len(text)-from >= f.least; from += block {
		f.findIn(text[from:min(len(text)-from, block+f.most-1)+from], from)
	}
	for _, p := range f.slow {
		f.found = p.find(f.found, text)
	}
	return merged(f.found)
}

func (f *Finder) findIn(part string, from int) {
	for i := range f.keys {
		k := &f.keys[i]
		f.rolled = k.key.prefixes(f.rolled[:0], part)
		for j := range k.groups {
			before := len(f.found)
			f.found = k.groups[j].find(f.found, f.rolled, part, k.key)
			for i := range f.found[before:] {
				f.found[before+i][0] += from
				f.found[before+i][1] += from
			}
		}
	}
}

// prefixes appends the hashes of text[:0], text[:1] and so on to dst.
func (k printKey) prefixes(dst []uint64, text string) []uint64 {
	dst = slices.Grow(dst, len(text)+1)
	h := uint64(0)
	dst = append(dst, h)
	for i := range len(text) {
		h = h*k.base + uint64(text[i])
		dst = append(dst, h)
	}
	return dst
}

// find looks at every place where a value of the group may begin. The hash of a part of a text
// follows from those of the texts that end where it begins and ends.
func (g *lengthGroup) find(found [][2]int, prefixes []uint64, text string, key printKey) [][2]int {
	if g.n >= len(prefixes) {
		return found
	}
	ends := prefixes[g.n:]
	begins := prefixes[:len(ends)]
	power, some := g.power, g.some
	for i, end := range ends {
		roll := end - begins[i]*power
		if some>>(roll>>58)&1 != 0 && g.has(roll, text[i:i+g.n], key) {
			found = append(found, [2]int{i, i + g.n})
		}
	}
	return found
}

func (g *lengthGroup) has(roll uint64, part string, key printKey) bool {
	for i := range g.want {
		w := &g.want[i]
		switch {
		case w.roll != roll:
		case w.value != "":
			if w.value == part {
				return true
			}
		case hmac.Equal([]byte(key.sumOf(part)), []byte(w.sum)):
			w.value = string([]byte(part)) // a copy: the text may be large
			return true
		}
	}
	return false
}

func (p slowPrint) find(found [][2]int, text string) [][2]int {
	for i := 0; i+p.n <= len(text); i++ {
		if hmac.Equal([]byte(p.key.sumOf(text[i:i+p.n])), []byte(p.sum)) {
			found = append(found, [2]int{i, i + p.n})
		}
	}
	return found
}

// merged sorts places and joins those that overlap.
func merged(places [][2]int) [][2]int {
	if len(places) < 2 {
		return places
	}
	slices.SortFunc(places, func(a, b [2]int) int { return a[0] - b[0] })
	out := places[:1]
	for _, p := range places[1:] {
		last := &out[len(out)-1]
		if p[0] < last[1] {
			last[1] = max(last[1], p[1])
			continue
		}
		out = append(out, p)
	}
	return out
}
