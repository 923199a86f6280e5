package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/mattn/go-sqlite3"
)

// condemned marks, as user_version, a store in which damage was met while it was used. It goes on as far
// as it can, and the next start puts it aside.
const condemned = 1

var errCondemned = errors.New("parts of it are missing or could not be read before")

// isDamage reports whether the file of a store is not what SQLite has written.
func isDamage(err error) bool {
	e, ok := errors.AsType[sqlite3.Error](err)
	return ok && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB) || errors.Is(err, errCondemned)
}

// checkLogs reads all that is small of a store that is there already. To read all lines would take minutes.
func checkLogs(ctx context.Context, pool *sql.DB) error {
	var version, tables int
	err := pool.QueryRowContext(ctx, "SELECT user_version, (SELECT count(*) FROM sqlite_master WHERE name = 'total') FROM pragma_user_version").Scan(&version, &tables)
	switch {
	case err != nil:
		return err
	case version == condemned:
		return errCondemned
	case tables == 0: // a new one
		return nil
	}
	for _, query := range []string{
		"SELECT count(*) FROM goose_db_version NOT INDEXED WHERE tstamp > 0",
		"SELECT count(*) FROM logs NOT INDEXED WHERE doc <> ''",
		"SELECT count(*) FROM chunks",
		"SELECT count(*) FROM sections",
		"SELECT count(*) FROM gone",
		"SELECT size FROM total",
	} {
		switch err := pool.QueryRowContext(ctx, query).Scan(new(int)); {
		case errors.Is(err, sql.ErrNoRows):
			return errCondemned
		case err != nil:
			return err
		}
	}
	return nil
}

// condemnStore has the store put aside at the next start if err tells of damage: otherwise
// it could never again get rid of what cannot be read.
func (l *Logs) condemnStore(ctx context.Context, w *conn, err error) {
	if !isDamage(err) || l.damaged.Swap(true) {
		return
	}
	_, marked := w.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", condemned))
	l.o.Log.ErrorContext(ctx, "the store of logs is damaged: it will be put aside at the next start", "err", errors.Join(err, marked))
}

// putAside moves the files of a store out of the way, over those that were put there before.
func putAside(path string) (string, error) {
	aside := path + ".damaged"
	for _, end := range []string{"-wal", "-shm", ""} { // the database last: until then it is tried again
		err := os.Rename(path+end, aside+end)
		if errors.Is(err, fs.ErrNotExist) {
			err = os.Remove(aside + end)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("put damaged logs aside: %w", err)
		}
	}
	return aside, nil
}
