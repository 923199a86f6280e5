package storage

import (
	"bytes"
	lru "container/list"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"kovra.dev/chatops/internal/kovra"
)

// A chunk is ended before the line that would make it larger than this.
const (
	chunkBytes = 256 << 10
	chunkLines = 4096
)

var errDamaged = errors.New("what is stored is damaged")

// packer compresses and decompresses blocks. It may be used from any goroutine.
type packer struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// mostUnpacked bounds what a damaged block can ask for.
const mostUnpacked = 1 << 30

func newPacker() (*packer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(512<<10))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(readers), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(mostUnpacked))
	return &packer{enc, dec}, err
}

func (p *packer) pack(block []byte) []byte { return p.enc.EncodeAll(block, nil) }

func (p *packer) unpack(block, into []byte) ([]byte, error) {
	out, err := p.dec.DecodeAll(block, into[:0])
	if err != nil {
		return into[:0], fmt.Errorf("%w: %w", errDamaged, err)
	}
	return out, nil
}

// packed is a chunk as it is stored; marks are left out where nobody asks for them.
type packed struct {
	first, lines, bytes int
	text, marks         []byte
}

// sizeOnDisk is about what SQLite needs for it: whole pages where it does not fit on a page
// with others, and a share of the page and of the indexes where it does.
func (p *packed) sizeOnDisk() int64 {
	const page, row = 4096, 512
	n := int64(len(p.text)+len(p.marks)) + row
	if n <= page {
		return n
	}
	return (n + page - 1) / page * page
}

// unpackText returns the text of the chunk, in into if it fits.
func (p *packer) unpackText(c *packed, into []byte) ([]byte, error) {
	text, err := p.unpack(c.text, into)
	switch n := bytes.Count(text, lineFeed); {
	case err != nil:
		return text, err
	case len(text) != c.bytes:
		return text, fmt.Errorf("%w: %d bytes instead of %d", errDamaged, len(text), c.bytes)
	case n == 0 || n != c.lines || text[c.bytes-1] != '\n':
		return text, fmt.Errorf("%w: %d lines instead of %d", errDamaged, n, c.lines)
	}
	return text, nil
}

var lineFeed = []byte{'\n'}

// chunk is one that was unpacked. It never changes.
type chunk struct {
	first int
	count int
	text  string
	marks []byte

	once  sync.Once
	lines []kovra.LogLine
	err   error
}

// all returns the lines, which are the same for all who ask.
func (c *chunk) all() ([]kovra.LogLine, error) {
	c.once.Do(func() { c.lines, c.err = c.decode() })
	return c.lines, c.err
}

func (c *chunk) decode() ([]kovra.LogLine, error) {
	lines := make([]kovra.LogLine, c.count)
	rest := c.text
	for i := range lines {
		n := strings.IndexByte(rest, '\n')
		if n < 0 {
			return nil, fmt.Errorf("%w: its text ends early", errDamaged)
		}
		lines[i].N, lines[i].Text, rest = c.first+i, rest[:n], rest[n+1:]
	}
	return lines, decodeMarks(c.marks, lines)
}

// cost is about what it takes of memory, its lines included.
func (c *chunk) cost() int { return len(c.text) + 9*len(c.marks) + 80*c.count }

// growing is a chunk while lines are added.
type growing struct {
	first int
	count int
	text  []byte
	marks []byte
	depth int // of the last line
}

// regrow goes on with a chunk.
func regrow(c *chunk) (*growing, error) {
	lines, err := c.all()
	if err != nil {
		return nil, err
	}
	g := &growing{first: c.first, count: c.count, depth: lines[len(lines)-1].Depth}
	g.text = append(make([]byte, 0, chunkBytes), c.text...)
	g.marks = append(make([]byte, 0, len(c.marks)+chunkLines), c.marks...)
	return g, nil
}

// fits reports whether the line belongs to the chunk; the first always does.
func (g *growing) fits(line *kovra.LogLine) bool {
	return g.count == 0 || g.count < chunkLines && len(g.text)+len(line.Text)+1 <= chunkBytes
}

func (g *growing) add(line *kovra.LogLine) {
	from := len(g.text)
	g.text = append(g.text, line.Text...)
	for i := bytes.IndexByte(g.text[from:], '\n'); i >= 0; i = bytes.IndexByte(g.text[from:], '\n') {
		from += i
		g.text[from] = ' '
	}
	g.text = append(g.text, '\n')
	g.marks = appendMarks(g.marks, line, g.depth)
	g.depth = line.Depth
	g.count++
}

func (g *growing) pack(p *packer) packed {
	return packed{first: g.first, lines: g.count, bytes: len(g.text), text: p.pack(g.text), marks: p.pack(g.marks)}
}

func (g *growing) chunk() *chunk {
	return &chunk{first: g.first, count: g.count, text: string(g.text), marks: g.marks}
}

// The marks of a line begin with a byte of these; what they announce follows in their order.
const (
	markStream    = 3 // two bits: none, O, E, or one that follows
	markSuspect   = 4
	markHeader    = 8
	markCollapsed = 16
	markDepth     = 32 // other than that of the line before
	markSpans     = 64
)

const streamFollows = 3

func appendMarks(b []byte, line *kovra.LogLine, depth int) []byte {
	m := byte(0)
	switch line.Stream {
	case 0:
	case 'O':
		m = 1
	case 'E':
		m = 2
	default:
		m = streamFollows
	}
	for _, f := range []struct {
		set bool
		bit byte
	}{
		{line.Suspect, markSuspect},
		{line.Header, markHeader},
		{line.Collapsed, markCollapsed},
		{line.Depth != depth, markDepth},
		{len(line.Spans) > 0, markSpans},
	} {
		if f.set {
			m |= f.bit
		}
	}
	b = append(b, m)
	if m&markStream == streamFollows {
		b = append(b, line.Stream)
	}
	if m&markDepth != 0 {
		b = binary.AppendVarint(b, int64(line.Depth))
	}
	if m&markSpans != 0 {
		b = binary.AppendUvarint(b, uint64(len(line.Spans)))
		at := 0
		for _, s := range line.Spans {
			b = binary.AppendVarint(b, int64(s.From-at))
			b = binary.AppendVarint(b, int64(s.To-s.From))
			b = binary.AppendUvarint(b, uint64(s.Style))
			at = s.To
		}
	}
	return b
}

func decodeMarks(b []byte, lines []kovra.LogLine) error {
	r := markReader{b: b}
	depth := 0
	for i := range lines {
		line := &lines[i]
		m := r.byte()
		switch m & markStream {
		case 0:
		case 1:
			line.Stream = 'O'
		case 2:
			line.Stream = 'E'
		default:
			line.Stream = r.byte()
		}
		line.Suspect, line.Header, line.Collapsed = m&markSuspect != 0, m&markHeader != 0, m&markCollapsed != 0
		if m&markDepth != 0 {
			depth = r.int()
		}
		line.Depth = depth
		if m&markSpans != 0 {
			line.Spans = r.spans()
		}
	}
	if r.bad || len(r.b) != 0 {
		return fmt.Errorf("%w: marks of lines", errDamaged)
	}
	return nil
}

// markReader reads marks; after the first that is damaged all are zero.
type markReader struct {
	b    []byte
	bad  bool
	pool []kovra.LogSpan
}

func (r *markReader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	m := r.b[0]
	r.b = r.b[1:]
	return m
}

func (r *markReader) int() int {
	n, used := binary.Varint(r.b)
	return int(r.used(n, used))
}

func (r *markReader) used(n int64, used int) int64 {
	if used <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[used:]
	return n
}

func (r *markReader) uint() uint64 {
	n, used := binary.Uvarint(r.b)
	if r.used(0, used); r.bad {
		return 0
	}
	return n
}

// spans takes many from one piece of memory.
func (r *markReader) spans() []kovra.LogSpan {
	n := r.uint()
	if n > uint64(len(r.b)) { // each takes three bytes and more
		r.bad, r.b = true, nil
		return nil
	}
	count := int(n) //nolint:gosec // not above a length
	if cap(r.pool)-len(r.pool) < count {
		r.pool = make([]kovra.LogSpan, 0, max(count, 256))
	}
	from := len(r.pool)
	at := 0
	for range count {
		var s kovra.LogSpan
		s.From = at + r.int()
		s.To = s.From + r.int()
		s.Style = uint16(r.uint()) //nolint:gosec // it was one
		at = s.To
		r.pool = append(r.pool, s)
	}
	return r.pool[from:len(r.pool):len(r.pool)]
}

// chunkCache keeps the chunks that were used last, so that many readers of one log
// unpack it once.
type chunkCache struct {
	mu    sync.Mutex
	of    map[chunkKey]*lru.Element
	order *lru.List // of *cached, the one used last in front
	cost  int
}

type chunkKey struct {
	log   int64
	first int
}

type cached struct {
	key chunkKey
	*chunk
}

const mostCached = 16 << 20 // bytes

func newChunkCache() chunkCache {
	return chunkCache{of: map[chunkKey]*lru.Element{}, order: lru.New()}
}

// get returns the chunk if it is at hand with at least so many lines.
func (c *chunkCache) get(log int64, first, count int) *chunk {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.of[chunkKey{log, first}]
	if e == nil || e.Value.(*cached).count < count {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).chunk
}

func (c *chunkCache) put(log int64, one *chunk) {
	key := chunkKey{log, one.first}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.of[key]; e != nil {
		if e.Value.(*cached).count >= one.count {
			return // a reader of an older snapshot came late
		}
		c.drop(e)
	}
	if one.cost() > mostCached/2 {
		return
	}
	c.of[key] = c.order.PushFront(&cached{key, one})
	c.cost += one.cost()
	for c.cost > mostCached {
		c.drop(c.order.Back())
	}
}

func (c *chunkCache) drop(e *lru.Element) {
	one := c.order.Remove(e).(*cached)
	delete(c.of, one.key)
	c.cost -= one.cost()
}

// forget drops all chunks of a log.
func (c *chunkCache) forget(log int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, e := range c.of {
		if key.log == log {
			c.drop(e)
		}
	}
}
