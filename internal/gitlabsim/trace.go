package gitlabsim

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// trace is what a job has written so far. Output in bulk is kept as how to make it.
type trace struct{ parts []tracePart }

// tracePart is text, or output in bulk.
type tracePart struct {
	text string
	bulk *bulk
}

func textTrace(text string) trace {
	var t trace
	t.add(text)
	return t
}

func (t *trace) add(text string) {
	if text == "" {
		return
	}
	if last := len(t.parts) - 1; last >= 0 && t.parts[last].bulk == nil {
		t.parts[last].text += text
		return
	}
	t.parts = append(t.parts, tracePart{text: text})
}

func (t *trace) append(more trace) {
	for _, p := range more.parts {
		if p.bulk != nil {
			t.parts = append(t.parts, p)
			continue
		}
		t.add(p.text)
	}
}

// snapshot is a copy that stays as it is.
func (t trace) snapshot() trace { return trace{slices.Clone(t.parts)} }

func (t trace) empty() bool { return len(t.parts) == 0 }

func (t trace) size() int64 {
	var n int64
	for _, p := range t.parts {
		n += int64(len(p.text))
		if p.bulk != nil {
			n += p.bulk.size
		}
	}
	return n
}

// String is the text; in place of output in bulk it says how much there is.
func (t trace) String() string {
	if len(t.parts) == 1 && t.parts[0].bulk == nil {
		return t.parts[0].text
	}
	var b strings.Builder
	for _, p := range t.parts {
		b.WriteString(p.text)
		if p.bulk != nil {
			fmt.Fprintf(&b, "[%d lines, %d bytes]\n", p.bulk.lines, p.bulk.size)
		}
	}
	return b.String()
}

// plain reports whether there is no output in bulk.
func (t trace) plain() bool {
	return !slices.ContainsFunc(t.parts, func(p tracePart) bool { return p.bulk != nil })
}

// reader reads all of it and makes output in bulk on the way.
func (t trace) reader() io.Reader {
	list := make([]io.Reader, 0, len(t.parts))
	for _, p := range t.parts {
		if p.bulk != nil {
			list = append(list, p.bulk.reader())
			continue
		}
		list = append(list, strings.NewReader(p.text))
	}
	return io.MultiReader(list...)
}

// tracer writes steps as a runner does.
type tracer struct {
	out     trace
	at      time.Time
	stamped bool
	joined  map[string]bool // streams whose next write continues a line
}

// perLine is what a line takes.
const perLine = 1370 * time.Microsecond

func (t *tracer) write(st step) {
	if st.bulk > 0 {
		t.out.parts = append(t.out.parts, tracePart{bulk: newBulk(st.bulk, t.at, t.stamped)})
		t.at = t.at.Add(time.Duration(st.bulk) * bulkEvery)
		return
	}
	text := strings.ReplaceAll(st.text, unixMark, strconv.FormatInt(t.at.Unix(), 10))
	if !t.stamped {
		if !st.open {
			text += "\n"
		}
		t.out.add(text)
		return
	}
	sign := " "
	if t.joined[st.stream] {
		sign = "+"
	}
	if t.joined == nil {
		t.joined = map[string]bool{}
	}
	t.joined[st.stream] = st.open
	t.at = t.at.Add(perLine)
	t.out.add(stamp(t.at) + " " + st.stream + sign + text + "\n")
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000000Z") }

// bulk is output of a script in bulk: what a replay of recorded requests prints. It is the same whenever it is read.
type bulk struct {
	lines   int
	at      time.Time
	stamped bool
	size    int64 // in bytes
}

const (
	// bulkLines is how long the "big" log is, without what stands around it.
	bulkLines = 1_000_000
	bulkPiece = 64 << 10 // bytes that are made at once
	bulkEvery = 5 * time.Microsecond
	// bulkCause is the line at which the replay finds what it fails for.
	bulkCause = 733_118
)

func newBulk(lines int, at time.Time, stamped bool) *bulk {
	b := &bulk{lines: lines, at: at, stamped: stamped}
	b.size, _ = io.Copy(io.Discard, b.reader()) // neither of the two fails
	return b
}

func (b *bulk) reader() io.Reader { return &bulkReader{b: b} }

// bulkReader makes the lines piece by piece.
type bulkReader struct {
	b    *bulk
	next int // line
	buf  []byte
	left []byte // of buf
}

func (r *bulkReader) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		if r.next == r.b.lines {
			return 0, io.EOF
		}
		r.buf = r.buf[:0]
		for r.next < r.b.lines && len(r.buf) < bulkPiece {
			r.buf = r.b.line(r.buf, r.next)
			r.next++
		}
		r.left = r.buf
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

var (
	bulkMethods = []string{"GET  ", "GET  ", "GET  ", "GET  ", "GET  ", "POST ", "PUT  ", "PATCH"}
	bulkPaths   = []string{
		"/api/catalog/items/", "/api/carts/", "/api/orders/", "/api/vouchers/", "/api/customers/", "/api/stock/", "/api/prices/", "/img/",
	}
	bulkWords = map[int]string{200: "200", 304: "304", 404: yellow + "404" + reset, 503: red + "503" + reset}
)

// line appends the line with an index to buf.
func (b *bulk) line(buf []byte, i int) []byte {
	at := b.at.Add(time.Duration(i) * bulkEvery)
	dice := scatter(uint64(i))
	status, stream := 200, scriptOut
	switch {
	case dice%4099 == 0:
		status = 503
	case dice%61 == 0:
		status = 404
	case dice%7 == 0:
		status = 304
	}
	if dice%9973 == 0 {
		stream = scriptErr
	}
	if b.stamped {
		buf = at.UTC().AppendFormat(buf, "2006-01-02T15:04:05.000000Z")
		buf = append(buf, ' ')
		buf = append(buf, stream...)
		buf = append(buf, ' ')
	}
	switch {
	case i == bulkCause:
		buf = append(buf, red+"FAIL"+reset+": GET /api/orders/48213 answers 200, but its body differs from the recorded one: total is 1998, was 1798"...)
	case i%20_000 == 19_999:
		buf = append(buf, cyan...)
		buf = strconv.AppendInt(buf, int64(i+1), 10)
		buf = append(buf, " of 1000000 requests replayed"+reset...)
	case stream == scriptErr:
		buf = append(buf, "replay: worker "...)
		buf = strconv.AppendUint(buf, dice%32, 10)
		buf = append(buf, ": connection was reset by the server, it is tried again"...)
	default:
		buf = b.request(buf, i, dice, status)
	}
	return append(buf, '\n')
}

// request appends a replayed request: "#0000042 GET   /api/orders/9412         200    12 ms".
func (b *bulk) request(buf []byte, i int, dice uint64, status int) []byte {
	buf = append(buf, '#')
	for n := 1_000_000; n > i+1 && n > 1; n /= 10 {
		buf = append(buf, '0')
	}
	buf = strconv.AppendInt(buf, int64(i+1), 10)
	buf = append(buf, ' ')
	buf = append(buf, bulkMethods[dice>>8%8]...)
	buf = append(buf, ' ')
	from := len(buf)
	buf = append(buf, bulkPaths[dice>>16%8]...)
	buf = strconv.AppendUint(buf, dice>>24%100_000, 10)
	buf = append(buf, bytes.Repeat([]byte{' '}, max(28-(len(buf)-from), 1))...)
	buf = append(buf, bulkWords[status]...)
	buf = append(buf, ' ')
	took := dice >> 40 % 90
	if status == 503 {
		took += 2000
	}
	buf = append(buf, bytes.Repeat([]byte{' '}, 5-len(strconv.FormatUint(took, 10)))...)
	buf = strconv.AppendUint(buf, took, 10)
	return append(buf, " ms"...)
}

// scatter turns an index into bits that look like chance.
func scatter(x uint64) uint64 {
	x = (x + 1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
