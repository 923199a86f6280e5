package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"kovra.dev/chatops/internal/kovra"
)

// mostSections bounds the foldable parts of one log.
const mostSections = 10_000

// Append adds lines, which must follow one another; those whose numbers are kept
// already are skipped, so that a source may be read again from its start. A line feed
// within a line becomes a space. Beyond the most that is
// kept of a log nothing is added: full is then true, the log Truncated. A gap between what is kept and the first
// line is an error, after which nothing of lines is kept.
func (l *Logs) Append(ctx context.Context, id int64, lines []kovra.LogLine) (full bool, err error) {
	return l.append(ctx, id, lines, nil)
}

// AppendAt is Append for a log that is followed: cursor, from where its source is read on, is
// kept in the same transaction as the lines.
func (l *Logs) AppendAt(ctx context.Context, id int64, lines []kovra.LogLine, cursor string) (full bool, err error) {
	return l.append(ctx, id, lines, &cursor)
}

func (l *Logs) append(ctx context.Context, id int64, lines []kovra.LogLine, cursor *string) (full bool, err error) {
	for i := range lines {
		if lines[i].N != lines[0].N+i || lines[i].N < 1 {
			return false, fmt.Errorf("append to log %d: line %d is followed by line %d", id, lines[max(i, 1)-1].N, lines[i].N)
		}
	}
	a := appending{logs: l, cursor: cursor}
	err = l.update(ctx, func(tx *Tx) (err error) {
		if a.log, err = logByID(tx, id); err != nil {
			return err
		}
		if err := a.run(tx, lines); err != nil {
			return fmt.Errorf("append to log %d: %w", id, err)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	if a.tail != nil {
		l.cache.put(id, a.tail)
	}
	l.watches.tell(a.log.Log)
	return a.log.Truncated, nil
}

// appending is one call of Append.
type appending struct {
	logs *Logs
	log  keptLog
	grow *growing
	old  int64 // size on disk of the chunk that is replaced
	tail *chunk
	// cursor is where the source is read on from; nil: it is not followed.
	cursor *string
}

func (a *appending) run(tx *Tx, lines []kovra.LogLine) error {
	if len(lines) > 0 && lines[0].N > a.log.Lines+1 {
		return fmt.Errorf("line %d comes where line %d is due", lines[0].N, a.log.Lines+1)
	}
	if len(lines) > 0 {
		lines = lines[min(len(lines), a.log.Lines+1-lines[0].N):]
	}
	moved := a.cursor != nil && *a.cursor != a.log.Cursor
	if moved {
		a.log.Cursor = *a.cursor
	}
	if a.log.Truncated {
		lines = nil
	}
	if len(lines) == 0 && !moved {
		return nil
	}
	lines = a.within(lines)
	if len(lines) > 0 {
		if err := a.open(tx, &lines[0]); err != nil {
			return err
		}
	}
	for i := range lines {
		if !a.grow.fits(&lines[i]) {
			if err := a.flush(tx); err != nil {
				return err
			}
			a.grow = &growing{first: lines[i].N}
		}
		a.grow.add(&lines[i])
	}
	if len(lines) > 0 {
		if err := a.flush(tx); err != nil {
			return err
		}
		a.tail = a.grow.chunk()
	}
	if err := a.sections(tx, lines); err != nil {
		return err
	}
	a.log.Lines += len(lines)
	return saveLog(tx, &a.log)
}

// within returns the lines that the log has room for.
func (a *appending) within(lines []kovra.LogLine) []kovra.LogLine {
	for i := range lines {
		n := int64(len(lines[i].Text)) + 1
		if a.log.Bytes+n > a.logs.o.MaxLog {
			a.log.Truncated = true
			return lines[:i]
		}
		a.log.Bytes += n
	}
	return lines
}

// open finds the chunk that the next line belongs to.
func (a *appending) open(tx *Tx, next *kovra.LogLine) error {
	a.grow = &growing{first: next.N}
	if a.log.Lines == 0 {
		return nil
	}
	var first, count, size int
	err := tx.row("SELECT first, lines, bytes, size FROM chunks WHERE log = ? AND first <= ? ORDER BY first DESC LIMIT 1", a.log.ID, a.log.Lines).
		Scan(&first, &count, &size, &a.old)
	if err != nil {
		return fmt.Errorf("find line %d: %w", a.log.Lines, err)
	}
	if count >= chunkLines || size+len(next.Text)+1 > chunkBytes {
		a.old = 0
		return nil
	}
	c, err := a.logs.loadChunk(tx, a.log.ID, first, count)
	if err != nil {
		return err
	}
	a.grow, err = regrow(c)
	return err
}

// flush writes the chunk, over its older self if there is one.
func (a *appending) flush(tx *Tx) error {
	p := a.grow.pack(a.logs.pack)
	size := p.sizeOnDisk()
	_, err := tx.exec("INSERT OR REPLACE INTO chunks (log, first, lines, bytes, size, text, marks) VALUES (?, ?, ?, ?, ?, ?, ?)",
		a.log.ID, p.first, p.lines, p.bytes, size, p.text, p.marks)
	a.log.size += size - a.old
	a.old = 0
	return err
}

// openSection is one that may still grow.
type openSection struct{ first, depth int }

// sections begins and ends sections as the lines say.
func (a *appending) sections(tx *Tx, lines []kovra.LogLine) error {
	var open []openSection // the innermost last
	if a.log.sections > 0 {
		var err error
		open, err = list(tx, func(s scanner) (o openSection, err error) {
			err = s.Scan(&o.first, &o.depth)
			return o, err
		}, "SELECT first, depth FROM sections WHERE log = ? AND last = 0 ORDER BY first", a.log.ID)
		if err != nil {
			return err
		}
	}
	for i := range lines {
		line := &lines[i]
		depth := line.Depth
		if line.Header {
			depth = max(1, depth)
		}
		for n := len(open); n > 0; n-- {
			o := open[n-1]
			if o.depth < depth || o.depth == depth && !line.Header {
				break
			}
			if _, err := tx.exec("UPDATE sections SET last = ? WHERE log = ? AND first = ?", line.N-1, a.log.ID, o.first); err != nil {
				return err
			}
			open = open[:n-1]
		}
		if !line.Header || a.log.sections >= mostSections {
			continue
		}
		_, err := tx.exec("INSERT INTO sections (log, first, last, depth, collapsed) VALUES (?, ?, 0, ?, ?)",
			a.log.ID, line.N, depth, flag(line.Collapsed))
		if err != nil {
			return err
		}
		a.log.sections++
		open = append(open, openSection{line.N, depth})
	}
	return nil
}

// Sections returns the foldable parts of the log, by their first lines; at most 10,000.
func (l *Logs) Sections(ctx context.Context, id int64) ([]kovra.LogSection, error) {
	var out []kovra.LogSection
	err := l.read(ctx, func(tx *Tx) error {
		g, err := logByID(tx, id)
		if err != nil || g.sections == 0 {
			return err
		}
		out, err = list(tx, func(s scanner) (o kovra.LogSection, err error) {
			err = s.Scan(&o.From, &o.To, &o.Depth, &o.Collapsed)
			if o.To == 0 {
				o.To, o.Open = g.Lines, !g.Done && !g.Truncated
			}
			return o, err
		}, "SELECT first, last, depth, collapsed FROM sections WHERE log = ? ORDER BY first", id)
		return err
	})
	return out, err
}

// loadChunk returns a chunk that is stored with at least count lines.
func (l *Logs) loadChunk(tx *Tx, id int64, first, count int) (*chunk, error) {
	if c := l.cache.get(id, first, count); c != nil {
		return c, nil
	}
	p := packed{first: first}
	err := tx.row("SELECT lines, bytes, text, marks FROM chunks WHERE log = ? AND first = ?", id, first).
		Scan(&p.lines, &p.bytes, &p.text, &p.marks)
	if err == nil {
		var c *chunk
		if c, err = l.pack.chunk(&p); err == nil {
			l.cache.put(id, c)
			return c, nil
		}
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = errDamaged
	}
	return nil, fmt.Errorf("read line %d of log %d: %w", first, id, err)
}

func (p *packer) chunk(from *packed) (*chunk, error) {
	text, err := p.unpackText(from, nil)
	if err != nil {
		return nil, err
	}
	marks, err := p.unpack(from.marks, nil)
	if err != nil {
		return nil, err
	}
	c := &chunk{first: from.first, count: from.lines, text: string(text), marks: marks}
	_, err = c.all()
	return c, err
}
