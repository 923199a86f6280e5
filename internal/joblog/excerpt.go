package joblog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Defaults and bounds of Options.
const (
	defaultLines     = 20
	defaultBytes     = 2500
	defaultLineBytes = 400
	minLineBytes     = 40
)

// Options bounds an excerpt. The zero value means 20 lines, 2500 bytes of
// text, 400 bytes of one line, and only well-known kinds of secrets masked.
type Options struct {
	MaxLines     int // lines shown, marks of hidden lines included
	MaxBytes     int // text of all lines together
	MaxLineBytes int // text of one line; 40 at least
	// Mask hides secrets. Cut works on a fork of it, so that one Masker
	// serves many calls at a time.
	Mask *Masker
	// Knowledge tells errors from other lines; nil: what is built in.
	Knowledge *Knowledge
	// Plain: the log is text in lines and nothing else. What looks like a stamp or a section marker in it
	// is the text of a line.
	Plain bool
	// Each, if set, is called with every line of the log in order, masked, with its colours
	// and with Suspect, before Cut goes on to the next. Its error ends Cut.
	Each func(Line) error
}

func (o Options) withDefaults() Options {
	if o.MaxLines <= 0 {
		o.MaxLines = defaultLines
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultBytes
	}
	if o.MaxLineBytes <= 0 {
		o.MaxLineBytes = defaultLineBytes
	}
	o.MaxLineBytes = min(max(o.MaxLineBytes, minLineBytes), MaxLineBytes)
	if o.Mask == nil {
		o.Mask = NewMasker(nil)
	}
	return o
}

// Excerpt is the part of a log that explains how its job ended.
type Excerpt struct {
	Lines []ExcerptLine
	// Total counts the lines of the whole log.
	Total int
	// First is the line at which to open the viewer, 0 for an empty excerpt.
	First int
	// Truncated is set where more would belong to the excerpt: a bound of
	// Options was reached, or the runner stopped collecting the log.
	Truncated bool
}

// ExcerptLine is a line of the log, or stands for lines that are left out.
type ExcerptLine struct {
	N      int    // number of the line as in Line, 0 for hidden lines
	Text   string // masked, valid UTF-8, no control characters but tabs
	Hidden int    // more than 0: so many lines are left out here, and there is no text
}

// String gives the excerpt as plain text with line numbers, each line ended by
// a line feed.
func (e Excerpt) String() string {
	width := 0
	for _, l := range e.Lines {
		width = max(width, len(strconv.Itoa(l.N)))
	}
	var b strings.Builder
	for _, l := range e.Lines {
		switch {
		case l.Hidden == 1:
			b.WriteString("… 1 line hidden …\n")
		case l.Hidden > 0:
			fmt.Fprintf(&b, "… %d lines hidden …\n", l.Hidden)
		case l.Text == "":
			fmt.Fprintf(&b, "%*d\n", width, l.N)
		default:
			fmt.Fprintf(&b, "%*d  %s\n", width, l.N, l.Text)
		}
	}
	return b.String()
}

// Cut reads the log r to its end, once, and gives its excerpt: the first error
// of what failed, the command that ran, and the line that ended the job. Where
// nothing looks like an error, the last lines before the end stand for it. It
// needs the same memory for any log. When reading or Options.Each fails, or ctx
// ends, the error says so and the excerpt is empty.
func Cut(ctx context.Context, r io.Reader, o Options) (Excerpt, error) {
	k := o.Knowledge
	if k == nil {
		var err error
		if k, err = known(); err != nil {
			return Excerpt{}, err // unreachable: the built-in patterns are tested to compile
		}
	}
	scan := newScanner(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	})
	scan.paint, scan.plain = o.Each != nil, o.Plain
	c := newCutter(scan, k, o.withDefaults())
	for {
		line, err := scan.next()
		if errors.Is(err, io.EOF) {
			return c.excerpt(), nil
		}
		if err != nil {
			return Excerpt{}, fmt.Errorf("cut excerpt: %w", err)
		}
		if err := c.line(line); err != nil {
			return Excerpt{}, fmt.Errorf("cut excerpt: %w", err)
		}
	}
}
