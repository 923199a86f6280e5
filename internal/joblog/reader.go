package joblog

import (
	"io"
	"slices"
)

// Line is one line as people see it: the stamp is taken off, continuations are
// joined, redraws resolved, section markers and escape sequences gone.
type Line struct {
	// N counts from 1. Lines that hold nothing but section markers do not count.
	N int
	// Text is valid UTF-8 without control characters other than tab. A line
	// longer than MaxLineBytes ends with a note that says how much was cut.
	Text string
	// Stream is 'O' or 'E' where the log tells them apart, else 0.
	Stream byte
	// Origin tells who wrote the line, where Stream is known: 0 the runner,
	// 1 the job's script, 15 and up its services.
	Origin byte
	// Section is the innermost section that the line is in, "" outside of all.
	Section string
	// Header marks the title of the section that begins with this line,
	// Collapsed that the section asks to be shown folded.
	Header, Collapsed bool
	// Depth counts the open sections around the line, its own as a header included.
	Depth int
	// Spans are the colours of the line, in order, not overlapping, none plain.
	Spans []Span
	// Open: the log ended before the line was known to be complete; when the log grows, so
	// may the line, and the lines after it may become others.
	Open bool
	// Suspect: the line looks like an error. Only [Options.Each] is told.
	Suspect bool
}

// Reader reads the lines of a log. The lines do not depend on how the source
// parts its bytes, but for the last ones of a log that still grows: those before
// the first that is Open are the same however much of the log there is. It uses the
// same small amount of memory for any log.
type Reader struct {
	scan *scanner
}

// NewReader reads from r, which nobody else may read meanwhile.
func NewReader(r io.Reader) *Reader {
	scan := newScanner(r.Read)
	scan.paint = true
	return &Reader{scan: scan}
}

// Next returns the next line, io.EOF after the last one, or the error of the
// source (wrapped) after the lines before it.
func (r *Reader) Next() (Line, error) {
	raw, err := r.scan.next()
	if err != nil {
		return Line{}, err
	}
	return raw.line(), nil
}

// line makes a line that stays valid. Its scanner must paint.
func (l *rawLine) line() Line {
	out := Line{
		N: l.n, Stream: l.stream, Origin: l.origin, Section: l.section,
		Header: l.header, Collapsed: l.collapsed, Depth: l.depth, Open: l.open,
	}
	if !l.painted {
		out.Text = plainText(l.text)
		return out
	}
	out.Text = string(l.plain)
	if len(l.spans) > 0 {
		out.Spans = slices.Clone(l.spans)
	}
	return out
}
