package storage

import (
	"context"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

const logColumns = "id, kind, project, remote, lines, bytes, size, done, kept, read_at, created_at, next_at, version, doc"

// keptLog is a log with what is nobody else's business.
type keptLog struct {
	kovra.Log
	size     int64 // on disk
	sections int   // that are kept
}

// logDoc is what no query asks for.
type logDoc struct {
	Subject   kovra.LogSubject `json:"subject,omitzero"`
	Truncated bool             `json:"truncated,omitempty"`
	Streams   bool             `json:"streams,omitempty"`
	Note      string           `json:"note,omitempty"`
	Pause     time.Duration    `json:"pause,omitempty"`
	Sections  int              `json:"sections,omitempty"`
	Cursor    string           `json:"cursor,omitempty"`
}

func (g *keptLog) doc() (string, error) {
	return encode(logDoc{g.Subject, g.Truncated, g.Streams, g.Note, g.Pause, g.sections, g.Cursor})
}

func scanLog(s scanner) (keptLog, error) {
	var g keptLog
	var done, kept, read, created, next int64
	var doc string
	err := s.Scan(&g.ID, &g.Key.Kind, &g.Key.Project, &g.Key.ID, &g.Lines, &g.Bytes, &g.size, &done, &kept, &read, &created, &next, &g.Version, &doc)
	if err != nil {
		return g, err
	}
	var d logDoc
	err = decode(doc, &d)
	g.Subject, g.Truncated, g.Streams, g.Note, g.Pause, g.sections = d.Subject, d.Truncated, d.Streams, d.Note, d.Pause, d.Sections
	g.Done, g.Kept, g.Cursor = done != 0, kept != 0, d.Cursor
	g.ReadAt, g.CreatedAt, g.NextAt = unstamp(read), unstamp(created), unstamp(next)
	return g, err
}

func logByID(tx *Tx, id int64) (keptLog, error) {
	g, err := scanLog(tx.row("SELECT "+logColumns+" FROM logs WHERE id = ?", id))
	return g, found(err, "The log is not kept any more.")
}

func logByKey(tx *Tx, key kovra.LogKey) (keptLog, error) {
	g, err := scanLog(tx.row("SELECT "+logColumns+" FROM logs WHERE kind = ? AND project = ? AND remote = ?", string(key.Kind), key.Project, key.ID))
	return g, found(err, "The log of %s is not kept.", key)
}

// makeLog returns the log of key, whose row is made if need be.
func makeLog(tx *Tx, key kovra.LogKey) (keptLog, error) {
	_, err := tx.exec("INSERT INTO logs (kind, project, remote, created_at, doc) VALUES (?, ?, ?, ?, '{}') ON CONFLICT DO NOTHING",
		string(key.Kind), key.Project, key.ID, stamp(tx.now))
	if err != nil {
		return keptLog{}, err
	}
	return logByKey(tx, key)
}

// saveLog writes all but the key and the times at which it was made and read.
func saveLog(tx *Tx, g *keptLog) error {
	doc, err := g.doc()
	if err != nil {
		return err
	}
	g.Version++
	_, err = tx.exec("UPDATE logs SET lines = ?, bytes = ?, size = ?, done = ?, kept = ?, next_at = ?, version = ?, doc = ? WHERE id = ?",
		g.Lines, g.Bytes, g.size, flag(g.Done), flag(g.Kept), stamp(g.NextAt), g.Version, doc, g.ID)
	g.NextAt = unstamp(stamp(g.NextAt))
	return err
}

// Touch notes that somebody reads the log, whose row is made if need be. Within ten
// seconds of the last time nothing is written. Nobody waits for it, so the version stays, unless the log
// is one that was done and whose source may be asked again: it is not done then any more.
func (l *Logs) Touch(ctx context.Context, key kovra.LogKey) (kovra.Log, error) {
	if !l.touches.due(key, l.o.Now()) {
		log, err := l.Find(ctx, key)
		if kovra.KindOf(err) != kovra.NotFound {
			return log, err
		}
	}
	var g keptLog
	again := false
	err := l.update(ctx, func(tx *Tx) (err error) {
		if g, err = makeLog(tx, key); err != nil {
			return err
		}
		if g.Done && !g.NextAt.IsZero() && !g.NextAt.After(tx.now) {
			g.Done, again = false, true
			if err := saveLog(tx, &g); err != nil {
				return err
			}
		}
		g.ReadAt = unstamp(max(stamp(g.ReadAt), stamp(tx.now)))
		_, err = tx.exec("UPDATE logs SET read_at = ? WHERE id = ?", stamp(g.ReadAt), g.ID)
		return err
	})
	if err != nil {
		l.touches.forget(key)
		return kovra.Log{}, err
	}
	if again {
		l.watches.tell(g.Log)
	}
	if !g.Done {
		l.notify(&g.Log)
	}
	return g.Log, nil
}

// Keep wants the log also if nobody reads it. Its row is made if need be. The loops are not told: the
// caller fetches it, or [Logs.Open] gives it its turn. An empty subject leaves what was known.
func (l *Logs) Keep(ctx context.Context, key kovra.LogKey, subject kovra.LogSubject) (kovra.Log, error) {
	log, _, err := l.keep(ctx, key, subject)
	return log, err
}

// Follow is [Logs.Keep] for a log that is followed while it is written: the loops are told of
// one that was not kept before.
func (l *Logs) Follow(ctx context.Context, key kovra.LogKey, subject kovra.LogSubject) (kovra.Log, error) {
	log, fresh, err := l.keep(ctx, key, subject)
	if fresh && !log.Done {
		l.notify(&log)
	}
	return log, err
}

// keep reports also whether the log was not kept before.
func (l *Logs) keep(ctx context.Context, key kovra.LogKey, subject kovra.LogSubject) (log kovra.Log, fresh bool, err error) {
	var g keptLog
	err = l.update(ctx, func(tx *Tx) (err error) {
		if g, err = makeLog(tx, key); err != nil {
			return err
		}
		old, err := g.doc()
		if err != nil {
			return err
		}
		if subject != (kovra.LogSubject{}) {
			g.Subject = subject
		}
		doc, err := g.doc()
		fresh = !g.Kept
		if err != nil || doc == old && g.Kept {
			return err
		}
		g.Kept = true
		return saveLog(tx, &g)
	})
	if err != nil {
		return kovra.Log{}, false, err
	}
	l.watches.tell(g.Log)
	return g.Log, fresh, nil
}

// Find returns the log of key, an error of kind NotFound if there is none.
func (l *Logs) Find(ctx context.Context, key kovra.LogKey) (kovra.Log, error) {
	var g keptLog
	err := l.read(ctx, func(tx *Tx) (err error) {
		g, err = logByKey(tx, key)
		return err
	})
	return g.Log, err
}

// Log returns a log by our id, an error of kind NotFound if it is gone.
func (l *Logs) Log(ctx context.Context, id int64) (kovra.Log, error) {
	var g keptLog
	err := l.read(ctx, func(tx *Tx) (err error) {
		g, err = logByID(tx, id)
		return err
	})
	return g.Log, err
}

// Note changes what is known of a log beside its lines: Subject, Done, Streams,
// Note, NextAt and Pause are taken over from what change leaves; other fields are not.
// Readers that wait are woken; OnChange hears of a log whose NextAt comes sooner. Where nothing
// changed nothing is written.
func (l *Logs) Note(ctx context.Context, id int64, change func(*kovra.Log)) error {
	var g keptLog
	var next int64
	err := l.update(ctx, func(tx *Tx) (err error) {
		if g, err = logByID(tx, id); err != nil {
			return err
		}
		old, err := g.doc()
		if err != nil {
			return err
		}
		done := g.Done
		next = stamp(g.NextAt)
		to := g.Log
		change(&to)
		g.Subject, g.Done, g.Streams, g.Note, g.NextAt, g.Pause = to.Subject, to.Done, to.Streams, to.Note, to.NextAt, to.Pause
		doc, err := g.doc()
		if err != nil || doc == old && done == g.Done && next == stamp(g.NextAt) {
			return err
		}
		return saveLog(tx, &g)
	})
	if err != nil {
		return err
	}
	l.watches.tell(g.Log)
	if !g.Done && stamp(g.NextAt) < next {
		l.notify(&g.Log)
	}
	return nil
}

// Await returns the log as soon as its version is above version, or ctx ends.
func (l *Logs) Await(ctx context.Context, id, version int64) (kovra.Log, error) {
	w := l.watches.enter(id)
	defer l.watches.leave(id, w)
	_, _, changed := l.watches.look(w)
	log, err := l.Log(ctx, id)
	for gone := false; ; log, gone, changed = l.watches.look(w) {
		if gone {
			err = kovra.Errorf(kovra.NotFound, "The log is not kept any more.")
		}
		if err != nil || log.Version > version {
			return log, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return log, ctx.Err()
		case <-l.closed:
			return log, errClosed
		}
	}
}

// Open returns the logs of jobs that are not done and that are to be looked at: those that somebody reads, then
// those to be kept whose time has come, at most so many of them, so that readers need not wait for them,
// the one that was tried least lately first. Read means heard of after since.
func (l *Logs) Open(ctx context.Context, since time.Time, mostKept int) ([]int64, error) {
	var ids []int64
	err := l.read(ctx, func(tx *Tx) (err error) {
		if ids, err = list(tx, scanID, "SELECT id FROM logs WHERE done = 0 AND kind = 'job' AND read_at > ?", stamp(since)); err != nil {
			return err
		}
		kept, err := list(tx, scanID, "SELECT id FROM logs WHERE done = 0 AND kept = 1 AND kind = 'job' AND next_at <= ? AND read_at <= ? ORDER BY next_at LIMIT ?",
			stamp(tx.now), stamp(since), mostKept)
		ids = append(ids, kept...)
		return err
	})
	return ids, err
}

// OpenSteps returns the logs of builds and deployments that are to be followed, since they are not done.
func (l *Logs) OpenSteps(ctx context.Context) ([]int64, error) {
	var ids []int64
	err := l.read(ctx, func(tx *Tx) (err error) {
		ids, err = list(tx, scanID, "SELECT id FROM logs WHERE done = 0 AND kept = 1 AND kind <> 'job' ORDER BY id")
		return err
	})
	return ids, err
}

// Read returns the logs of jobs that are not done and that somebody reads, which means heard of after since.
func (l *Logs) Read(ctx context.Context, since time.Time) ([]kovra.Log, error) {
	var out []kovra.Log
	err := l.read(ctx, func(tx *Tx) (err error) {
		out, err = list(tx, func(s scanner) (kovra.Log, error) {
			g, err := scanLog(s)
			return g.Log, err
		}, "SELECT "+logColumns+" FROM logs WHERE done = 0 AND kind = 'job' AND read_at > ?", stamp(since))
		return err
	})
	return out, err
}

// Size is how many bytes on disk the kept lines take.
func (l *Logs) Size(ctx context.Context) (int64, error) {
	var n int64
	err := l.read(ctx, func(tx *Tx) (err error) {
		n, err = tx.int("SELECT size FROM total")
		return err
	})
	return n, err
}
