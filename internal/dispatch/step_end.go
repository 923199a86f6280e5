package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"kovra.dev/chatops/internal/joblog"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// What is said in place of an excerpt of a step.
const (
	noteNotYet    = "The log is not complete yet; the lines follow."
	noteNoStepLog = "There is no log of this step."
)

// runEnd is what the log of a run that has ended tells of its steps.
type runEnd struct {
	lines   int            // of the log
	firsts  map[string]int // first lines of steps, by their titles
	failed  string         // key of the step that failed; "": none
	log     kovra.LogState
	excerpt kovra.Excerpt
	// after > 0: that is not all yet; look again then.
	after time.Duration
}

// apply writes it into the steps, and reports whether anything changed.
func (e runEnd) apply(steps []kovra.Step) bool {
	changed := false
	for i := range steps {
		s := &steps[i]
		if first := e.firsts[s.Title()]; first != 0 && s.FirstLine != first {
			s.FirstLine, changed = first, true
		}
		if e.failed != "" && s.Key() == e.failed && (s.Log == kovra.LogUnread || e.after == 0) {
			s.Log, s.Excerpt, changed = e.log, e.excerpt, true
		}
	}
	return changed
}

// ending reads what the log of a run that has ended tells of its steps; failed is the one to explain, if it has a name. It waits
// for the log to be whole, but not for ever: when Options.Notice is over the failure is told of without lines, and after
// Options.GiveUp with those that there are. since is when we saw the end.
func (d *Dispatch) ending(ctx context.Context, key kovra.LogKey, subject kovra.LogSubject, since time.Time, failed kovra.Step) (runEnd, error) {
	log := d.follow(ctx, key, subject)
	e := runEnd{lines: log.Lines}
	if failed.Task != "" {
		e.failed = failed.Key()
	}
	waited := d.db.Now().Sub(since)
	switch {
	case log.Done:
	case waited < d.opts.Notice:
		return runEnd{after: d.opts.Notice - waited}, nil
	case waited < d.opts.GiveUp:
		e.log, e.excerpt, e.after = kovra.LogGone, kovra.Excerpt{Note: noteNotYet}, d.opts.GiveUp-waited
		return e, nil
	}
	var err error
	if log.ID != 0 {
		err = d.readEnd(ctx, log, failed, &e)
	}
	if err != nil && ctx.Err() != nil {
		return runEnd{}, err
	}
	if err != nil { // a store in trouble holds up nothing
		d.opts.Log.WarnContext(ctx, "no excerpt of a step", "log", key.String(), "err", err)
	}
	if e.failed != "" && e.log != kovra.LogCut {
		e.log, e.excerpt = kovra.LogGone, kovra.Excerpt{Note: cmp.Or(log.Note, noteNoStepLog)}
	}
	return e, nil
}

// readEnd finds the steps in the log and cuts the excerpt of the failed one.
func (d *Dispatch) readEnd(ctx context.Context, log kovra.Log, failed kovra.Step, e *runEnd) error {
	parts, err := d.stepParts(ctx, log.ID)
	if err != nil {
		return err
	}
	e.firsts = map[string]int{}
	for _, p := range parts {
		e.firsts[p.title] = p.first
		if e.failed == "" || p.title != failed.Title() {
			continue
		}
		if e.excerpt, err = d.stepExcerpt(ctx, log, p); err != nil {
			return err
		}
		if e.log = kovra.LogCut; len(e.excerpt.Lines) == 0 {
			e.log = kovra.LogGone
		}
	}
	return nil
}

// stepPart is where a step stands in a log: from its header to its last line.
type stepPart struct {
	title       string
	first, last int
}

// stepParts returns the parts of a step log, in order. Only headers of ours begin one.
func (d *Dispatch) stepParts(ctx context.Context, log int64) ([]stepPart, error) {
	sections, err := d.logs.Sections(ctx, log)
	if err != nil {
		return nil, err
	}
	numbers := make([]int, 0, len(sections))
	for _, s := range sections {
		numbers = append(numbers, s.From)
	}
	headers, err := d.logs.LinesAt(ctx, log, numbers)
	if err != nil {
		return nil, err
	}
	parts := make([]stepPart, 0, len(headers))
	for i, h := range headers {
		parts = append(parts, stepPart{title: h.Text, first: h.N, last: sections[i].To})
	}
	return parts, nil
}

// stepExcerpt cuts the lines that explain why a step failed. It reads the kept lines, so that their numbers are the viewer's.
func (d *Dispatch) stepExcerpt(ctx context.Context, log kovra.Log, part stepPart) (kovra.Excerpt, error) {
	r := &keptText{logs: d.logs, log: log.ID, next: part.first + 1, last: part.last}
	cut, err := joblog.Cut(ctx, readerFunc(func(p []byte) (int, error) { return r.read(ctx, p) }), joblog.Options{
		MaxLines: excerptLines, MaxBytes: excerptBytes, Knowledge: d.opts.Knowledge, Plain: true,
	})
	if err != nil {
		return kovra.Excerpt{}, fmt.Errorf("cut excerpt of %s: %w", part.title, err)
	}
	e := kovra.Excerpt{Total: log.Lines}
	if cut.First > 0 {
		e.First = part.first + cut.First
	}
	for _, l := range cut.Lines {
		line := kovra.ExcerptLine{Text: l.Text, Hidden: l.Hidden}
		if l.N > 0 {
			line.N = part.first + l.N
		}
		e.Lines = append(e.Lines, line)
	}
	return e, nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// linesAtOnce are read together.
const linesAtOnce = 2000

// keptText reads kept lines as text, each ended by a line feed.
type keptText struct {
	logs       *storage.Logs
	log        int64
	next, last int
	text       []byte
}

func (k *keptText) read(ctx context.Context, p []byte) (int, error) {
	if len(k.text) == 0 {
		if k.next > k.last {
			return 0, io.EOF
		}
		lines, err := k.logs.Lines(ctx, k.log, k.next, min(linesAtOnce, k.last-k.next+1))
		if err != nil {
			return 0, err
		}
		if len(lines) == 0 {
			return 0, io.EOF
		}
		k.next += len(lines)
		for i := range lines {
			k.text = append(append(k.text, lines[i].Text...), '\n')
		}
	}
	n := copy(p, k.text)
	k.text = k.text[n:]
	return n, nil
}
