package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// Tx is a transaction. It is valid only inside the function that got it.
type Tx struct {
	db   *DB
	conn *conn
	ctx  context.Context //nolint:containedctx // a transaction lives inside one call
	now  time.Time
	refs []kovra.Ref
}

// touch notes what the transaction changed, for those who are told after the commit.
func (tx *Tx) touch(kind kovra.RefKind, id int64) {
	tx.refs = append(tx.refs, kovra.Ref{Kind: kind, ID: id})
}

func (tx *Tx) exec(query string, args ...any) (sql.Result, error) {
	return tx.conn.exec(tx.ctx, query, args...)
}

// row is a query for one row; its error comes out of Scan.
func (tx *Tx) row(query string, args ...any) scanner {
	s, err := tx.conn.stmt(tx.ctx, query)
	if err != nil {
		return failedRow{err}
	}
	return s.QueryRowContext(tx.ctx, args...)
}

type scanner interface{ Scan(dst ...any) error }

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

// each calls scan for every row of a query.
func (tx *Tx) each(scan func(scanner) error, query string, args ...any) (err error) {
	s, err := tx.conn.stmt(tx.ctx, query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(tx.ctx, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// list collects what scan makes of every row.
func list[T any](tx *Tx, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	var out []T
	err := tx.each(func(s scanner) error {
		v, err := scan(s)
		if err != nil {
			return err
		}
		out = append(out, v)
		return nil
	}, query, args...)
	return out, err
}

// noRows is err, or "no rows" when there is none.
func noRows(err error) error {
	if err == nil {
		return sql.ErrNoRows
	}
	return err
}

func (tx *Tx) int(query string, args ...any) (int64, error) {
	var n int64
	err := tx.row(query, args...).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

// found turns "no rows" into an error of kind NotFound with a sentence for people.
func found(err error, format string, args ...any) error {
	if errors.Is(err, sql.ErrNoRows) {
		return kovra.Errorf(kovra.NotFound, format, args...)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
	}
	return nil
}

// stamp is how a time is stored: milliseconds since 1970, 0 for the zero time.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func unstamp(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode %T: %w", v, err)
	}
	return string(b), nil
}

func decode(doc string, v any) error {
	if err := json.Unmarshal([]byte(doc), v); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	return nil
}
