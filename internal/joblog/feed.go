package joblog

// Feed makes lines of a log that comes one line at a time and is followed while it is written:
// text with terminal escapes and redraws, but without stamps and sections. What looks like a section marker
// in it is text. Use one Feed for each part of the log that stands for itself.
type Feed struct {
	cut    *cutter
	canvas canvas
	long   lineBuffer
	n      int
	out    Line
}

// NewFeed returns a Feed whose first line has the number after the given one. It works on a fork
// of the mask.
func NewFeed(after int, mask *Masker, k *Knowledge) (*Feed, error) {
	if k == nil {
		var err error
		if k, err = known(); err != nil {
			return nil, err // unreachable: the built-in patterns are tested to compile
		}
	}
	f := &Feed{n: after}
	each := func(l Line) error {
		f.out = l
		return nil
	}
	f.cut = newCutter(&scanner{}, k, Options{Mask: mask, Each: each}.withDefaults())
	return f, nil
}

// Resume says that last was the line before, as another Feed gave it. If all of it was hidden, it may have been part of
// a private key that goes on.
func (f *Feed) Resume(last string) {
	if last == Masked {
		f.cut.mask.key = keyState{inside: true}
	}
}

// Line returns the next line, from its text without the line feed: masked, with its colours and with Suspect.
func (f *Feed) Line(text string) (Line, error) {
	raw := []byte(text)
	if len(raw) > MaxLineBytes {
		f.long.reset()
		f.long.add(raw)
		raw = f.long.line()
	}
	drawing := lastDrawing(raw)
	f.canvas.clear()
	f.canvas.pen.skim(raw[:len(raw)-len(drawing)])
	f.n++
	l := rawLine{n: f.n, text: drawing, escapes: true, painted: true}
	l.plain, l.spans = f.canvas.draw(drawing)
	if err := f.cut.line(&l); err != nil {
		return Line{}, err
	}
	return f.out, nil
}
