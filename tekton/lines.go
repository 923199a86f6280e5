package tekton

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"time"
)

// maxPiece is the longest line that is told in one piece. Longer ones are told in pieces of exactly this size, so that a
// second reading cuts them at the same places.
const maxPiece = 1 << 20

// maxStamp is more than a time takes at the start of a line.
const maxStamp = 40

// piece is a line of a log, or a part of a long one.
type piece struct {
	text string
	at   time.Time // zero: the line had no time
	// open: the stream ended before the line did.
	open bool
}

// lineReader cuts a log that was asked for with times into lines. It holds one piece in memory.
type lineReader struct {
	r    *bufio.Reader
	buf  []byte
	at   time.Time
	long bool // the line goes on after a piece that was told
}

func newLineReader(r io.Reader) *lineReader { return &lineReader{r: bufio.NewReaderSize(r, 64<<10)} }

// next returns the next piece. Its error is the stream's; a piece whose text is not empty may come with it.
func (l *lineReader) next() (piece, error) {
	for {
		if p, ok := l.take(); ok {
			return p, nil
		}
		chunk, err := l.r.ReadSlice('\n')
		l.buf = append(l.buf, chunk...)
		failed := err != nil && !errors.Is(err, bufio.ErrBufferFull)
		if !l.long && l.at.IsZero() {
			l.stamp(failed)
		}
		if failed && len(l.buf) <= maxPiece && !bytes.HasSuffix(l.buf, []byte{'\n'}) {
			p := piece{text: string(l.buf), at: l.at, open: true}
			l.buf = l.buf[:0]
			return p, err
		}
	}
}

// take takes a piece out of what was read, if there is a whole one.
func (l *lineReader) take() (piece, bool) {
	ended := bytes.HasSuffix(l.buf, []byte{'\n'})
	switch {
	case len(l.buf) > maxPiece && (!ended || len(l.buf) > maxPiece+1):
		p := piece{text: string(l.buf[:maxPiece]), at: l.at}
		l.buf = append(l.buf[:0], l.buf[maxPiece:]...)
		l.long = true
		return p, true
	case ended && l.long && len(l.buf) == 1: // the last piece took all of the line
		l.reset()
		return piece{}, false
	case ended:
		p := piece{text: string(l.buf[:len(l.buf)-1]), at: l.at}
		l.reset()
		return p, true
	default:
		return piece{}, false
	}
}

// stamp takes the time off the start of a line, once enough of it has been read.
func (l *lineReader) stamp(all bool) {
	i := bytes.IndexByte(l.buf, ' ')
	if i < 0 {
		i = len(bytes.TrimSuffix(l.buf, []byte{'\n'})) // an empty line may be a time alone
		if !all && i == len(l.buf) && i < maxStamp {
			return
		}
	}
	at, err := time.Parse(time.RFC3339Nano, string(l.buf[:min(i, maxStamp)]))
	if err != nil {
		return
	}
	l.at = at.UTC()
	if i < len(l.buf) && l.buf[i] == ' ' {
		i++
	}
	l.buf = append(l.buf[:0], l.buf[i:]...)
}

func (l *lineReader) reset() {
	l.buf, l.at, l.long = l.buf[:0], time.Time{}, false
}

// apiWords are what the API server and the kubelet write into a log, with status 200, when they cannot read it.
var apiWords = regexp.MustCompile(`^(unable to retrieve container logs for |failed to (try resolving symlinks|open log file|create fsnotify watcher|watch file)|rpc error: |Internal Error: )`)

// isTrouble reports whether a line is no line of the step, but tells that its log cannot be read.
func (p piece) isTrouble() bool { return p.at.IsZero() && apiWords.MatchString(p.text) }
