package storage

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"

	"kovra.dev/chatops/internal/kovra"
)

// mostText bounds the text of one answer.
const mostText = 4 << 20

// Lines returns up to n lines from number from on; fewer at the end of the log and where they would be
// more than about 4 MB of text. Their Spans are shared: nobody may change them.
func (l *Logs) Lines(ctx context.Context, id int64, from, n int) ([]kovra.LogLine, error) {
	from = max(from, 1)
	var out []kovra.LogLine
	err := l.read(ctx, func(tx *Tx) error {
		text := 0
		for len(out) < n && text < mostText {
			if err := ctx.Err(); err != nil {
				return err
			}
			lines, err := l.linesAround(tx, id, from)
			if err != nil || len(lines) == 0 {
				return err
			}
			lines = lines[from-lines[0].N:]
			for i := range lines {
				size := len(lines[i].Text) + 1
				if len(out) == n || len(out) > 0 && text+size > mostText {
					return nil
				}
				text += size
				out = append(out, lines[i])
			}
			from += len(lines)
		}
		return nil
	})
	return out, err
}

// LinesAt returns the lines with these numbers, given in rising order; those that do not exist are left out, and
// the last of them where they would be more than about 4 MB of text. Their Spans are shared: nobody may change them.
func (l *Logs) LinesAt(ctx context.Context, id int64, numbers []int) ([]kovra.LogLine, error) {
	var out []kovra.LogLine
	err := l.read(ctx, func(tx *Tx) error {
		var lines []kovra.LogLine // of the chunk in hand
		text := 0
		for _, n := range numbers {
			if n < 1 {
				continue
			}
			if text >= mostText {
				return nil
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if len(lines) == 0 || n < lines[0].N || n > lines[len(lines)-1].N {
				var err error
				if lines, err = l.linesAround(tx, id, n); err != nil {
					return err
				}
			}
			if len(lines) > 0 {
				line := lines[n-lines[0].N]
				text += len(line.Text) + 1
				out = append(out, line)
			}
		}
		return nil
	})
	return out, err
}

// linesAround returns the lines of the chunk that holds line n; none beyond the end of the log.
func (l *Logs) linesAround(tx *Tx, id int64, n int) ([]kovra.LogLine, error) {
	var first, count int
	err := tx.row("SELECT first, lines FROM chunks WHERE log = ? AND first <= ? ORDER BY first DESC LIMIT 1", id, n).Scan(&first, &count)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("read line %d of log %d: %w", n, id, err)
	}
	if err != nil || n >= first+count {
		log, err := logByID(tx, id)
		if err == nil && n <= log.Lines {
			err = fmt.Errorf("read line %d of log %d: %w: it is missing", n, id, errDamaged)
		}
		return nil, err
	}
	c, err := l.loadChunk(tx, id, first, count)
	if err != nil {
		return nil, err
	}
	return c.all()
}

// Text yields the plain text of the log in blocks of whole lines, each line ended by a
// line feed. A block is valid until the next. Lines that are added meanwhile are left out.
func (l *Logs) Text(ctx context.Context, id int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		log, err := l.Log(ctx, id)
		if err != nil {
			yield(nil, err)
			return
		}
		var text []byte
		for next := 1; next <= log.Lines; {
			chunks, err := l.fetch(ctx, id, next, log.Lines, 1)
			if err != nil {
				yield(nil, err)
				return
			}
			c := &chunks[0]
			if text, err = l.pack.unpackText(c, text); err != nil {
				yield(nil, fmt.Errorf("read line %d of log %d: %w", next, id, err))
				return
			}
			next = c.first + c.lines
			if !yield(text[:endOfLines(text, min(c.lines, log.Lines+1-c.first))], nil) {
				return
			}
		}
	}
}

// endOfLines is where the first n lines of text end.
func endOfLines(text []byte, n int) int {
	at := 0
	for range n {
		at += bytes.IndexByte(text[at:], '\n') + 1
	}
	return at
}

// fetch returns up to n packed chunks without their marks, from the one that holds line next on
// to the one that holds line end. They follow one another; there is at least one.
func (l *Logs) fetch(ctx context.Context, id int64, next, end, n int) ([]packed, error) {
	var out []packed
	err := l.read(ctx, func(tx *Tx) (err error) {
		out, err = list(tx, func(s scanner) (p packed, err error) {
			err = s.Scan(&p.first, &p.lines, &p.bytes, &p.text)
			return p, err
		}, `SELECT first, lines, bytes, text FROM chunks WHERE log = ?1
			AND first >= (SELECT max(first) FROM chunks WHERE log = ?1 AND first <= ?2) AND first <= ?3 ORDER BY first LIMIT ?4`, id, next, end, n)
		if err == nil && len(out) == 0 {
			_, err = logByID(tx, id) // thrown away meanwhile?
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range out {
		if p := &out[i]; p.first > next || p.first+p.lines <= next || i > 0 && p.first != next {
			return nil, fmt.Errorf("read line %d of log %d: %w: it is missing", next, id, errDamaged)
		}
		next = out[i].first + out[i].lines
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("read line %d of log %d: %w: it is missing", next, id, errDamaged)
	}
	return out, nil
}
