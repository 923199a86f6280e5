package joblog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

const (
	bufferBytes = 256 << 10

	// An open line waits for its continuation, and the lines after it wait
	// with it, so that numbers follow beginnings. These bound the wait.
	maxWaiting      = 64
	maxWaitingBytes = 256 << 10

	// A stamped line this long may go on in the next entry of its stream:
	// the runner parts lines at 8 KiB, stamp included.
	partedBytes = 8<<10 - stampBytes
)

// rawLine is one line of the log. Its text has neither carriage returns nor
// section markers, but may hold escape sequences and invalid UTF-8; it is valid
// until the next call of next.
type rawLine struct {
	n         int
	text      []byte
	escapes   bool // text may hold ESC
	painted   bool // plain and spans are given
	open      bool // the log ended before the line did
	depth     int
	plain     []byte
	spans     []Span
	stream    byte
	origin    byte
	header    bool
	collapsed bool
	section   string
}

// waiting is a line whose end may be still to come.
type waiting struct {
	stamp stamp
	buf   lineBuffer
	done  bool
}

// scanner reads lines. It is the only place that knows the formats.
type scanner struct {
	read func([]byte) (int, error)
	buf  []byte
	r, w int // buf[r:w] is unread
	seen int // buf[r:seen] has no line feed
	err  error

	escAt, crAt int // next ESC and CR at or after r, as far as known

	decided bool
	stamped bool

	long  lineBuffer
	queue []*waiting
	held  int // bytes in queue
	spare []*waiting

	n         int
	open      bool // the log has ended; the lines to come may not be whole
	paint     bool // colours are wanted
	plain     bool // there are neither stamps nor sections
	canvas    canvas
	sections  sections
	header    bool // the next line is the title of the section just opened
	collapsed bool
	direct    rawLine   // the usual line, given out where it is
	lines     []rawLine // made of one logical line, to be given out
	given     int
	scratch   []byte
}

func newScanner(read func([]byte) (int, error)) *scanner {
	return &scanner{read: read, buf: make([]byte, bufferBytes), escAt: -1, crAt: -1}
}

// next gives the next line, valid until it is called again. After the last one it gives io.EOF, or the error of
// the source; lines before a failed read are given first.
func (s *scanner) next() (*rawLine, error) {
	for {
		if s.given < len(s.lines) {
			s.given++
			return &s.lines[s.given-1], nil
		}
		if len(s.queue) > 0 && s.release() {
			continue
		}
		direct, err := s.entry()
		if err != nil {
			if len(s.queue) > 0 {
				s.queue[0].done, s.open = true, true
				continue
			}
			return nil, err
		}
		if direct {
			return &s.direct, nil
		}
	}
}

// release turns the first line of the queue into lines if it is complete, or
// has kept the others waiting for too long.
func (s *scanner) release() bool {
	first := s.queue[0]
	if !first.done && len(s.queue) <= maxWaiting && s.held <= maxWaitingBytes {
		return false
	}
	s.queue = append(s.queue[:0], s.queue[1:]...)
	s.held -= len(first.buf.raw)
	text := first.buf.line()
	s.split(text, first.stamp)
	if cap(first.buf.raw) <= MaxLineBytes {
		s.spare = append(s.spare, first) // its text stays valid: nothing is reused before the lines are given out
	}
	return true
}

// entry reads one physical line. The usual one (complete, no marker) goes
// to direct; all others go through the queue or through split.
func (s *scanner) entry() (direct bool, err error) {
	text, st, escapes, returns, err := s.physical()
	if err != nil {
		return false, err
	}
	if escapes && len(text) > 0 && s.r == s.w && !s.visible(text) {
		text = bytes.Clone(text) // looking on may write over it
		if s.ends() && !s.plain && !bytes.Contains(text, sectionWord) {
			return false, nil // the colour reset with which traces end is not a line
		}
	}
	if s.stamped && st.ok {
		if st.more && s.resume(text, st, returns) {
			return false, nil
		}
		s.complete(st)
		if returns || len(text) >= partedBytes {
			s.enqueue(text, st, false)
			return false, nil
		}
	}
	if len(s.queue) > 0 {
		s.enqueue(text, st, true)
		return false, nil
	}
	if escapes || returns || s.header || !s.plain && maybeMarker(text) {
		s.split(text, st)
		return false, nil
	}
	if s.canvas.pen != (pen{}) {
		s.begin()
		s.push(text, st)
		return false, nil
	}
	s.n++
	s.direct = rawLine{
		n: s.n, text: text, open: s.open, stream: st.stream, origin: st.origin,
		section: s.sections.inner(), depth: len(s.sections.open),
	}
	return true, nil
}

// ends tells whether all is read.
func (s *scanner) ends() bool {
	for s.r == s.w && s.err == nil {
		s.fill()
	}
	return s.r == s.w
}

// maybeMarker is for lines without carriage returns and escapes: pasted traces
// have lost them, and a marker then stands alone on its line.
func maybeMarker(text []byte) bool {
	return len(text) > 0 && (text[0] == 's' || text[0] == '[') && bytes.Contains(text, sectionWord)
}

// resume appends a continuation to the open line of its stream. False: there is
// none, and the entry is a line of its own.
func (s *scanner) resume(text []byte, st stamp, returns bool) bool {
	for _, q := range slices.Backward(s.queue) {
		if q.done || q.stamp.stream != st.stream || q.stamp.origin != st.origin {
			continue
		}
		before := len(q.buf.raw)
		q.buf.add(text)
		s.held += len(q.buf.raw) - before
		q.done = !returns && len(text) < partedBytes
		return true
	}
	return false
}

// complete ends the open line of the stream in which a new one begins.
func (s *scanner) complete(st stamp) {
	for _, q := range s.queue {
		if q.stamp.stream == st.stream && q.stamp.origin == st.origin {
			q.done = true
		}
	}
}

func (s *scanner) enqueue(text []byte, st stamp, done bool) {
	q := &waiting{}
	if last := len(s.spare) - 1; last >= 0 {
		q, s.spare = s.spare[last], s.spare[:last]
		q.buf.reset()
	}
	q.stamp, q.done = st, done
	q.buf.add(text)
	s.held += len(q.buf.raw)
	s.queue = append(s.queue, q)
}

// split takes the section markers out of a logical line. Text before a marker
// is a line of its own; a line that held nothing but markers is none.
func (s *scanner) split(text []byte, st stamp) {
	s.begin()
	if s.plain {
		s.push(text, st)
		return
	}
	found := false
	from := 0
	for pos := 0; ; {
		i := bytes.Index(text[pos:], sectionWord)
		if i < 0 {
			break
		}
		pos += i
		m, n, end := parseMarker(text[pos:])
		if end == notMarker || end == bareMarker && s.visible(text[from:pos]) {
			pos += len(sectionWord)
			continue
		}
		s.pushVisible(text[from:pos], st)
		s.sections.apply(m)
		if m.start && isRunnerSection(m.name) {
			s.canvas.pen = pen{}
		}
		s.header, s.collapsed = m.start, m.collapsed
		found = true
		pos += n
		from = pos
	}
	if found {
		s.pushVisible(text[from:], st)
		return
	}
	s.push(text[from:], st)
}

// begin forgets the lines made before.
func (s *scanner) begin() {
	s.lines, s.given = s.lines[:0], 0
	s.canvas.clear()
}

// pushVisible makes a line of text if there is anything to see.
func (s *scanner) pushVisible(text []byte, st stamp) {
	if s.visible(lastDrawing(text)) {
		s.push(text, st)
	} else if s.paint {
		s.canvas.pen.skim(text)
	}
}

// visible tells whether anything of text would be shown. An erase sequence that
// has lost its ESC would not.
func (s *scanner) visible(text []byte) bool {
	s.scratch = stripEscapes(s.scratch[:0], text)
	left := s.scratch
	for bytes.HasPrefix(left, []byte("[0K")) {
		left = left[len("[0K"):]
	}
	for _, c := range left {
		if c > 0x20 && c != 0x7f {
			return true
		}
	}
	return false
}

// push makes a line of the last drawing of text.
func (s *scanner) push(text []byte, st stamp) {
	drawing := lastDrawing(text)
	s.n++
	l := rawLine{
		n: s.n, text: drawing, escapes: true, open: s.open, stream: st.stream, origin: st.origin,
		header: s.header, collapsed: s.header && s.collapsed, section: s.sections.inner(), depth: len(s.sections.open),
	}
	if s.paint {
		over := len(bytes.TrimRight(text, "\r")) - len(drawing)
		s.canvas.pen.skim(text[:over])
		l.painted = true
		l.plain, l.spans = s.canvas.draw(drawing)
	}
	s.lines = append(s.lines, l)
	s.header = false
}

// physical reads up to the next line feed and takes the stamp off.
func (s *scanner) physical() (text []byte, st stamp, escapes, returns bool, err error) {
	for {
		if i := bytes.IndexByte(s.buf[s.seen:s.w], '\n'); i >= 0 {
			from, end := s.r, s.seen+i
			if end-from > MaxLineBytes {
				break
			}
			s.r, s.seen = end+1, end+1
			st, text = s.takeStamp(s.buf[from:end])
			return text, st, s.has(&s.escAt, esc, from, end), s.has(&s.crAt, '\r', from, end), nil
		}
		s.seen = s.w
		if s.w-s.r > MaxLineBytes {
			break
		}
		if s.err == nil {
			s.fill()
			continue
		}
		if !errors.Is(s.err, io.EOF) || s.r == s.w {
			return nil, stamp{}, false, false, s.err
		}
		from := s.r
		s.r, s.seen = s.w, s.w
		st, text = s.takeStamp(s.buf[from:s.w])
		if !s.visible(lastDrawing(text)) && len(text) > 0 && !bytes.Contains(text, sectionWord) {
			return nil, stamp{}, false, false, s.err // as in entry
		}
		s.open = true
		return text, st, true, true, nil
	}
	text, st, err = s.overlong()
	return text, st, true, bytes.IndexByte(text, '\r') >= 0 || len(text) >= partedBytes, err
}

// overlong reads a physical line that is longer than MaxLineBytes.
func (s *scanner) overlong() ([]byte, stamp, error) {
	st, text := s.takeStamp(s.buf[s.r:s.w])
	s.r = s.w - len(text)
	s.long.reset()
	for {
		if i := bytes.IndexByte(s.buf[s.r:s.w], '\n'); i >= 0 {
			s.long.add(s.buf[s.r : s.r+i])
			s.r += i + 1
			s.seen = s.r
			return s.long.line(), st, nil
		}
		s.long.add(s.buf[s.r:s.w])
		s.r, s.seen = s.w, s.w
		if errors.Is(s.err, io.EOF) {
			s.open = true
			return s.long.line(), st, nil
		}
		if s.err != nil {
			return nil, st, s.err
		}
		s.fill()
	}
}

// has tells whether c stands in buf[from:to]. at remembers the next c, so that
// the buffer is searched once and not line by line.
func (s *scanner) has(at *int, c byte, from, to int) bool {
	if *at < from {
		i := bytes.IndexByte(s.buf[from:s.w], c)
		if i < 0 {
			i = s.w - from
		}
		*at = from + i
	}
	return *at < to
}

// fill reads more. It moves what is unread to the front first.
func (s *scanner) fill() {
	copy(s.buf, s.buf[s.r:s.w])
	s.w -= s.r
	s.seen -= s.r
	s.r, s.escAt, s.crAt = 0, -1, -1
	for range 100 {
		n, err := s.read(s.buf[s.w:])
		s.w += n
		if err != nil && !errors.Is(err, io.EOF) {
			err = fmt.Errorf("read log: %w", err)
		}
		if n > 0 || err != nil {
			s.err = err
			return
		}
	}
	s.err = fmt.Errorf("read log: %w", io.ErrNoProgress)
}

// takeStamp takes the stamp off the front of a physical line. Whether a log is
// stamped is decided by its first line.
func (s *scanner) takeStamp(line []byte) (stamp, []byte) {
	if !s.decided {
		s.decided = true
		s.stamped = !s.plain && parseStamp(line).ok
	}
	if !s.stamped {
		return stamp{}, line
	}
	st := parseStamp(line)
	return st, line[st.length:]
}
