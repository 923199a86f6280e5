package dispatch

import (
	"context"
	"errors"
	"time"

	"kovra.dev/chatops/internal/joblog"
	"kovra.dev/chatops/internal/kovra"
)

// How many lines are kept in one step, at most, and how long one waits for others: a
// reader is to see a large log arrive.
const (
	batchLines = 1000
	batchBytes = 256 << 10
	batchFor   = time.Second
)

var errFull = errors.New("no more of this log is kept")

// keeper copies the lines of a log into the store as they are read.
type keeper struct {
	*Dispatch
	log   kovra.Log // as it was
	final bool      // the log does not grow any more

	batch []kovra.LogLine
	bytes int
	since time.Time // when the first line of the batch came

	seen    int  // lines of the log
	added   int  // lines that are kept now and were not before
	streams bool // the log tells its streams apart
	unended bool // a line was seen that may still grow
	full    bool
	err     error // of the store; nothing more is kept then
}

// take takes the next line.
func (k *keeper) take(ctx context.Context, l joblog.Line) error {
	k.seen = l.N
	k.streams = k.streams || l.Stream != 0
	k.unended = k.unended || l.Open && !k.final
	if l.N <= k.log.Lines || k.unended || k.full || k.err != nil {
		return k.err
	}
	if len(k.batch) == 0 {
		k.since = k.db.Now()
	}
	k.batch = append(k.batch, kept(l))
	k.bytes += len(l.Text)
	if len(k.batch) >= batchLines || k.bytes >= batchBytes || k.db.Now().Sub(k.since) >= batchFor {
		k.err = k.flush(ctx)
	}
	return k.err
}

// flush writes the lines that wait.
func (k *keeper) flush(ctx context.Context) error {
	if len(k.batch) == 0 {
		return nil
	}
	full, err := k.logs.Append(ctx, k.log.ID, k.batch)
	if err != nil {
		return err
	}
	k.added += len(k.batch)
	k.full = full
	clear(k.batch)
	k.batch, k.bytes = k.batch[:0], 0
	return nil
}

// note is what readers are told of a log that was read to its end.
func (k *keeper) note() string {
	switch {
	case k.seen < k.log.Lines:
		return noteShorter
	case k.seen == 0:
		return noteEmpty
	}
	return ""
}

func kept(l joblog.Line) kovra.LogLine {
	line := kovra.LogLine{
		N: l.N, Text: l.Text, Stream: l.Stream, Suspect: l.Suspect, Header: l.Header, Collapsed: l.Collapsed, Depth: l.Depth,
	}
	if len(l.Spans) > 0 {
		line.Spans = make([]kovra.LogSpan, 0, len(l.Spans))
	}
	for _, s := range l.Spans {
		line.Spans = append(line.Spans, kovra.LogSpan{From: s.From, To: s.To, Style: uint16(s.Style)})
	}
	return line
}

// alongside keeps the log of a failed job while its excerpt is cut. Whatever goes
// wrong with the store, the excerpt is cut all the same, and the loop of logs makes good
// what can be made good.
func (r Runs) alongside(ctx context.Context, run kovra.Run, j kovra.Job) *keeper {
	log, err := r.logs.Keep(ctx, j.LogKey(), subjectOf(j, run.Remote, run.Ref))
	if err == nil && !log.Done {
		at := r.db.Now().Add(2 * readLog) // the loop of logs does not read it too, unless this fails
		err = r.logs.Note(ctx, log.ID, func(log *kovra.Log) { log.NextAt = at })
	}
	k := &keeper{Dispatch: r.Dispatch, log: log, final: true, err: err}
	k.complain(ctx)
	k.full = log.Done // all that is to be kept is there
	return k
}

// line takes the next line; no error stops the reader.
func (k *keeper) line(ctx context.Context, l joblog.Line) error {
	if k.err == nil && !k.full && k.take(ctx, l) != nil {
		k.complain(ctx)
	}
	k.seen = l.N
	return nil
}

// finish records that the whole log was read.
func (k *keeper) finish(ctx context.Context) {
	if k.err != nil || k.log.Done {
		return
	}
	if k.err = k.flush(ctx); k.err == nil {
		k.err = k.logs.Note(ctx, k.log.ID, func(log *kovra.Log) { ended(log, k.note(), k.streams, k.db.Now().Add(tryAgain)) })
	}
	k.complain(ctx)
}

func (k *keeper) complain(ctx context.Context) {
	if k.err != nil {
		k.opts.Log.WarnContext(ctx, "cannot keep a log", "log", k.log.Key.String(), "err", k.err)
	}
}

// keepLater has the log of a failed job fetched by the loop of logs, in its own time: they may
// be many, and whoever opens one has it fetched at once.
func (r Runs) keepLater(ctx context.Context, run kovra.Run, j kovra.Job) {
	log, err := r.logs.Find(ctx, j.LogKey())
	if err == nil && log.Kept {
		return
	}
	if err == nil || kovra.KindOf(err) == kovra.NotFound {
		_, err = r.logs.Keep(ctx, j.LogKey(), subjectOf(j, run.Remote, run.Ref))
	}
	if err != nil {
		r.opts.Log.WarnContext(ctx, "cannot keep a log", "log", j.LogKey().String(), "err", err)
	}
}
