package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"kovra.dev/chatops/internal/joblog"
	"kovra.dev/chatops/internal/kovra"
)

const (
	// flushAfter is for how long lines wait for others; those who read live are not to notice.
	flushAfter = 300 * time.Millisecond

	// tellEvery is the pause between two tries to say where a step begins that is not known yet.
	tellEvery = time.Second

	tailLines     = 8
	tailLineBytes = 160
)

// following is one pass over the log of a run: lines are made ready as they come and kept in batches, each with the
// cursor after it.
type following struct {
	StepLogs
	log  kovra.Log
	of   stepSource
	mask *joblog.Masker

	mu     sync.Mutex // the batch is also written when no more lines come for a while
	feed   *joblog.Feed
	title  string // of the step that writes
	n      int    // number of the last line
	batch  []kovra.LogLine
	bytes  int
	cursor string
	timer  *time.Timer
	due    time.Time // when it rings
	over   bool      // the pass has ended
	full   bool
	added  int
	err    error // of a store

	firsts map[string]int // first lines of steps, by title
	told   bool           // the build knows them
	tail   []string
	asked  time.Time // when it was last told anything
	tailed time.Time // when it was last told of the tail
	stale  bool      // the build has an older tail
}

// newFollowing takes up the log where it ends.
func (s StepLogs) newFollowing(ctx context.Context, log kovra.Log, of stepSource) (*following, error) {
	f := &following{
		StepLogs: s, log: log, of: of, mask: joblog.NewMasker(of.secrets), n: log.Lines, cursor: log.Cursor,
		firsts: map[string]int{}, full: log.Truncated,
	}
	if log.Lines == 0 {
		return f, nil
	}
	parts, err := s.stepParts(ctx, log.ID)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		f.firsts[p.title], f.title = p.first, p.title
	}
	from := max(1, log.Lines-tailLines+1)
	last, err := s.logs.Lines(ctx, log.ID, from, log.Lines-from+1)
	if err != nil {
		return nil, err
	}
	if len(last) == 0 || last[len(last)-1].N != log.Lines {
		return nil, errLineGone
	}
	for _, l := range last {
		if !l.Header {
			f.show(l.Text)
		}
	}
	f.stale = len(f.tail) > 0 && !slices.Equal(f.tail, of.tail)
	if f.feed, err = joblog.NewFeed(f.n, f.mask, s.opts.Knowledge); err != nil {
		return nil, err
	}
	f.feed.Resume(last[len(last)-1].Text)
	return f, nil
}

var errLineGone = errors.New("the last line of the log is missing")

// take is called with every line of the run, in order.
func (f *following) take(ctx context.Context, l kovra.StepLine) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil && f.full {
		f.err = errFull
	}
	if f.err != nil {
		return f.err
	}
	if f.err = f.add(l); f.err != nil {
		return f.err
	}
	if len(f.batch) >= batchLines || f.bytes >= batchBytes {
		f.flush(ctx)
	} else {
		f.arm(ctx, flushAfter)
	}
	return f.err
}

// add makes a line ready. Each step is a section; its header is ours, whatever the step writes.
func (f *following) add(l kovra.StepLine) error {
	title := kovra.Step{Task: l.Task, Name: l.Step}.Title()
	if l.Begins || title != f.title || f.feed == nil {
		f.n++
		feed, err := joblog.NewFeed(f.n, f.mask, f.opts.Knowledge)
		if err != nil {
			return err
		}
		f.feed, f.title, f.firsts[title], f.told = feed, title, f.n, false
		f.put(kovra.LogLine{N: f.n, Text: title, Header: true, Depth: 1}, l.Cursor)
	}
	if l.Begins {
		return nil
	}
	line, err := f.feed.Line(l.Text)
	if err != nil {
		return fmt.Errorf("read line %d of %s: %w", f.n+1, title, err)
	}
	f.n = line.N
	line.Depth = 1
	f.put(kept(line), l.Cursor)
	f.show(line.Text)
	return nil
}

func (f *following) put(line kovra.LogLine, cursor string) {
	f.batch = append(f.batch, line)
	f.bytes += len(line.Text)
	f.cursor = cursor
}

// show makes a line the newest of the tail.
func (f *following) show(text string) {
	if text == "" || f.log.Key.Kind != kovra.BuildLog {
		return // a deployment has no tail
	}
	if len(text) > tailLineBytes {
		end := tailLineBytes
		for !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + "…"
	}
	if len(f.tail) >= tailLines {
		f.tail = f.tail[len(f.tail)-tailLines+1:]
	}
	f.tail = append(slices.Clip(f.tail), text)
	f.stale = true
}

// arm has what waits written after a while at most, also if no line comes. The timer ends with the pass, see stop.
func (f *following) arm(ctx context.Context, wait time.Duration) {
	due := time.Now().Add(wait)
	if f.over || f.timer != nil && !due.Before(f.due) {
		return
	}
	f.due = due
	if f.timer != nil {
		f.timer.Reset(wait)
		return
	}
	f.timer = time.AfterFunc(wait, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.timer = nil
		if !f.over && f.err == nil {
			f.flush(ctx)
		}
	})
}

// takeUp has told soon what the pass before may not have told any more: the step may write no more for a long time.
func (f *following) takeUp(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stale || len(f.firsts) > 0 {
		f.arm(ctx, flushAfter)
	}
}

// stop ends the pass: what waits is written, and nothing is written later.
func (f *following) stop(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	if f.timer != nil {
		f.timer.Stop()
	}
	if f.err == nil {
		f.flush(ctx)
	}
}

// flush writes the lines that wait, and tells the build what it is to know of them.
func (f *following) flush(ctx context.Context) {
	ctx = context.WithoutCancel(ctx) // what came is kept, also when we are stopped
	if len(f.batch) > 0 {
		f.full, f.err = f.logs.AppendAt(ctx, f.log.ID, f.batch, f.cursor)
		if f.err != nil {
			return
		}
		if f.added == 0 && f.log.Note != "" { // it was about there being none
			if f.err = f.note(ctx, f.log, func(log *kovra.Log) { log.Note = "" }); f.err != nil {
				return
			}
		}
		f.added += len(f.batch)
		clear(f.batch)
		f.batch, f.bytes = f.batch[:0], 0
	}
	f.err = f.tell(ctx)
}

// tell lets the build or deployment know where steps begin, soon, and what the newest lines are, now and then.
func (f *following) tell(ctx context.Context) error {
	var tail []string
	if f.stale && time.Since(f.tailed) >= f.opts.Tail {
		tail = f.tail
	}
	if tail != nil || !f.told && time.Since(f.asked) >= tellEvery {
		known, shown, err := f.of.tell(ctx, f.firsts, tail)
		if err != nil {
			return fmt.Errorf("tell of the log of %s: %w", f.log.Key, err)
		}
		f.told, f.asked = known, time.Now()
		if tail != nil {
			f.tailed, f.stale = f.asked, !shown
		}
	}
	if f.stale {
		f.arm(ctx, f.opts.Tail-time.Since(f.tailed))
	}
	if !f.told { // the cluster tells of a step later than it writes
		f.arm(ctx, f.opts.Tail)
	}
	return nil
}
