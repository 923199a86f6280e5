package storage

import (
	"context"
	"errors"
	"fmt"
)

// Peek opens a database to look at it, beside a running server or without one. Nothing in it can be
// changed by the DB that it gives, and its schema stays as it is: where that is not the one that
// this program knows, there is no DB (nil) and no error, and the Schema tells the difference.
// The database must exist. Only the log of another database, see dropForeignLog, is taken away: to look would mix the two.
func Peek(ctx context.Context, o Options) (*DB, Schema, error) {
	db, path, err := newDB(o)
	if err != nil {
		return nil, Schema{}, err
	}
	if db.sql, err = openPool(path, peekDSN(path)); err != nil {
		return nil, Schema{}, fmt.Errorf("open database %s: %w", o.Path, err)
	}
	schema, err := schemaIn(ctx, db.sql, migrations, "migrations")
	if err != nil || schema.Have != schema.Newest {
		return nil, schema, errors.Join(err, db.sql.Close())
	}
	if err := db.connect(ctx); err != nil {
		return nil, schema, errors.Join(fmt.Errorf("open database %s: %w", o.Path, err), db.sql.Close())
	}
	return db, schema, nil
}

// peekDSN refuses every statement that would write. The mode is rw all the same: a reader, too, makes SQLite's two
// files beside the database, and only such a one takes them away when it is the last to leave.
func peekDSN(path string) string {
	return dsnWith(path, map[string]string{"mode": "rw", "_query_only": "1", "_busy_timeout": "5000"})
}

// Sealed counts the people whose tokens are kept, and those of them whose tokens no key opens.
func (tx *Tx) Sealed() (all, locked int, err error) {
	people, err := tx.Accounts()
	if err != nil {
		return 0, 0, err
	}
	for _, a := range people {
		var sealed []byte
		if err := tx.row("SELECT tokens FROM people WHERE slack = ?", a.Slack).Scan(&sealed); err != nil {
			return all, locked, err
		}
		if len(sealed) == 0 {
			continue
		}
		all++
		if _, opened, err := tx.Tokens(a.Slack); err != nil || !opened {
			locked++
		}
	}
	return all, locked, nil
}
