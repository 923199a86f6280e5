package storage

import (
	"context"
	"fmt"
	"math"
	"time"
)

const (
	// pruneLogs, pruneChunks and prunePages bound one transaction of Prune, between which writers have their turn.
	pruneLogs   = 64
	pruneChunks = 64
	prunePages  = 512

	// beingRead is how long ago somebody was heard of who is taken to be reading still.
	beingRead = time.Minute
)

// Prune throws away what is older than the retention, then the oldest logs until all fit into
// the total, and reports how many went. A log is as old as its CreatedAt. One that is not done and
// was read within the last minute is not thrown away for room.
func (l *Logs) Prune(ctx context.Context) (gone int, err error) {
	return l.prune(ctx, l.tooOld, l.tooMuch)
}

// PruneForRoom is [Logs.Prune] without a look at the clock.
func (l *Logs) PruneForRoom(ctx context.Context) (gone int, err error) {
	return l.prune(ctx, l.tooMuch)
}

func (l *Logs) prune(ctx context.Context, condemned ...func(*Tx) ([]int64, error)) (gone int, err error) {
	for _, condemn := range condemned {
		for {
			ids, err := l.condemn(ctx, condemn)
			gone += len(ids)
			if err != nil {
				return gone, fmt.Errorf("prune logs: %w", err)
			}
			if len(ids) < pruneLogs {
				break
			}
		}
	}
	if err := l.sweep(ctx); err != nil {
		return gone, fmt.Errorf("prune logs: %w", err)
	}
	if err := l.shrink(ctx); err != nil {
		return gone, fmt.Errorf("prune logs: %w", err)
	}
	return gone, nil
}

// condemn takes the logs that pick names out of the table; their lines go later.
func (l *Logs) condemn(ctx context.Context, pick func(*Tx) ([]int64, error)) ([]int64, error) {
	var ids []int64
	err := l.update(ctx, func(tx *Tx) (err error) {
		if ids, err = pick(tx); err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := tx.exec("INSERT INTO gone (log) VALUES (?)", id); err != nil {
				return err
			}
			if _, err := tx.exec("DELETE FROM logs WHERE id = ?", id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		l.cache.forget(id)
		l.watches.tellGone(id)
	}
	return ids, nil
}

func (l *Logs) tooOld(tx *Tx) ([]int64, error) {
	return list(tx, scanID, "SELECT id FROM logs WHERE created_at < ? ORDER BY created_at, id LIMIT ?", stamp(tx.now.Add(-l.o.Retention)), pruneLogs)
}

func (l *Logs) tooMuch(tx *Tx) ([]int64, error) {
	total, err := tx.int("SELECT size FROM total")
	if err != nil || total <= l.o.MaxTotal {
		return nil, err
	}
	var ids []int64
	err = tx.each(func(s scanner) error {
		var id, size int64
		if err := s.Scan(&id, &size); err != nil || total <= l.o.MaxTotal {
			return err
		}
		ids, total = append(ids, id), total-size
		return nil
	}, "SELECT id, size FROM logs WHERE size > 0 AND NOT (done = 0 AND read_at > ?) ORDER BY created_at, id LIMIT ?", stamp(tx.now.Add(-beingRead)), pruneLogs)
	return ids, err
}

// sweep removes the lines of the logs that are gone, also of those that an earlier run left.
func (l *Logs) sweep(ctx context.Context) error {
	for more := true; more; {
		err := l.update(ctx, func(tx *Tx) error {
			id, err := tx.int("SELECT log FROM gone ORDER BY log LIMIT 1")
			if more = id != 0; err != nil || !more {
				return err
			}
			r, err := tx.exec("DELETE FROM chunks WHERE rowid IN (SELECT rowid FROM chunks WHERE log = ? LIMIT ?)", id, pruneChunks)
			if err != nil {
				return err
			}
			if n, err := r.RowsAffected(); err != nil || n == pruneChunks {
				return err
			}
			if _, err := tx.exec("DELETE FROM sections WHERE log = ?", id); err != nil {
				return err
			}
			_, err = tx.exec("DELETE FROM gone WHERE log = ?", id)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// shrink gives free pages back to the disk.
func (l *Logs) shrink(ctx context.Context) error {
	last := int64(math.MaxInt64)
	for more := true; more; {
		err := l.update(ctx, func(tx *Tx) error {
			free, err := tx.int("PRAGMA freelist_count")
			if more = free > prunePages && free < last; err != nil || free == 0 || free >= last {
				return err
			}
			last = free
			// Each row is a page that was moved.
			return tx.each(func(scanner) error { return nil }, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", prunePages))
		})
		if err != nil {
			return err
		}
	}
	return l.checkpoint(ctx)
}

// checkpoint lets the file itself become smaller, unless readers are in the way; then
// a later one does.
func (l *Logs) checkpoint(ctx context.Context) error {
	w, err := l.take(ctx, l.writer)
	if err != nil {
		return err
	}
	defer func() { l.writer <- w }()
	tx := &Tx{conn: w, ctx: context.WithoutCancel(ctx)}
	var busy, log, moved int
	return tx.row("PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &log, &moved)
}
