package storage

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// openPool opens a database file.
func openPool(path, dsn string) (*sql.DB, error) {
	if err := dropForeignLog(path); err != nil {
		return nil, err
	}
	return sql.Open("sqlite3", dsn)
}

// makePool opens a database file, and makes it where there is none.
func makePool(path, dsn string) (*sql.DB, error) {
	if err := private(path); err != nil {
		return nil, err
	}
	return openPool(path, dsn)
}

// private makes the file of a database that is new, so that its owner alone may read it. SQLite would let everybody;
// what it puts beside a file has the rights of the file. Those of a file that is there are the administrator's.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // as the administrator named it
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err // callers name the file
	}
	return f.Close()
}

// Of the header of a database file (https://sqlite.org/fileformat2.html, section 1.3).
const (
	headerMagic  = "SQLite format 3\x00"
	headerFormat = 18 // the byte that tells how it is written
	formatLegacy = 1  // without a write-ahead log
)

// dropForeignLog removes a write-ahead log that is not the database's: a backup was put in the place of a database whose
// server was killed, and the log of that one was left. SQLite would mix the two. Backups are files without a log, and
// every database that was opened for use has one.
func dropForeignLog(path string) error {
	legacy, err := isLegacy(path)
	if err != nil || !legacy {
		return err
	}
	for _, end := range []string{"-wal", "-shm"} {
		if err := os.Remove(path + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the log of another database: %w", err)
		}
	}
	return nil
}

func isLegacy(path string) (legacy bool, err error) {
	f, err := os.Open(path) //nolint:gosec // the database that the administrator named
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	header := make([]byte, headerFormat+1)
	if _, err := io.ReadFull(f, header); err != nil {
		return false, nil // a new file, or none of SQLite's: that is told later
	}
	return string(header[:len(headerMagic)]) == headerMagic && header[headerFormat] == formatLegacy, nil
}
