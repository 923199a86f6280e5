package storage

import (
	"context"
	"fmt"
)

// ChangedElsewhere reports whether somebody else, such as a command beside a running server, has committed to the database
// since [Open], or since it was last asked. Of that no notice comes, so whoever wants to hear of it soon
// has to ask. SQLite counts for each connection what other connections commit, and all of ours is committed by one.
func (db *DB) ChangedElsewhere(ctx context.Context) (bool, error) {
	select {
	case w := <-db.writer:
		defer func() { db.writer <- w }()
		return db.elsewhere(ctx, w)
	case <-ctx.Done():
		return false, ctx.Err()
	case <-db.closed:
		return false, errClosed
	}
}

// elsewhere looks at the count of the writing connection, and remembers it.
func (db *DB) elsewhere(ctx context.Context, w *conn) (changed bool, err error) {
	tx := &Tx{db: db, conn: w, ctx: context.WithoutCancel(ctx), now: db.now()} // a cancelled statement would leave the connection in doubt
	version, err := tx.int("PRAGMA data_version")
	if err != nil {
		return false, fmt.Errorf("look for changes of others: %w", err)
	}
	changed = version != db.version
	db.version = version
	return changed, nil
}
