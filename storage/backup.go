package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-sqlite3"
)

// Copy is a copy of a database, whole in one file.
type Copy struct {
	Size   int64 // in bytes
	Schema int64
	Newest int64     // the newest schema that this version knows
	At     time.Time // it holds all that was committed before
	// Marked says that the copy knows itself to be one: a server that is started from it looks in Slack for what was
	// posted since. Databases of schemas before 5, and logs, have no place for the mark.
	Marked bool

	temp string // where it is until it is placed
}

// Backup writes a consistent copy of the database at from, which may be in use, to a new file, readable by its owner
// alone. Writers are not held up: the copy is read from one snapshot. It is complete and checked before it gets its
// name; a copy that fails leaves nothing. What is there already is never overwritten.
func Backup(ctx context.Context, from, to string) (Copy, error) {
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return Copy{}, errors.Join(fmt.Errorf("%s is there already; a backup overwrites nothing", to), err)
	}
	c, err := writeCopy(ctx, from, to)
	if err != nil {
		return Copy{}, err
	}
	return c, c.place(to, moveNew)
}

// BackupTo writes a copy as [Backup] makes it. It is made beside the database, where there is room, and nothing is written
// before it is complete and checked.
func BackupTo(ctx context.Context, from string, to io.Writer) (Copy, error) {
	c, err := writeCopy(ctx, from, from)
	if err != nil {
		return Copy{}, err
	}
	f, err := os.Open(c.temp)
	if err := errors.Join(err, c.drop()); err != nil { // who holds it open still reads it
		return Copy{}, fmt.Errorf("read the copy: %w", err)
	}
	if c.Size, err = io.Copy(to, f); err != nil {
		err = fmt.Errorf("write the copy: %w", err)
	}
	return c, errors.Join(err, f.Close())
}

// abandoned is how long after the last write nobody writes a copy any more.
const abandoned = time.Hour

// sweepCopies removes what processes that were killed have left of copies of a database, beside it.
func sweepCopies(path string) error {
	dir, base := filepath.Split(path)
	all, err := os.ReadDir(filepath.Clean(dir))
	for _, left := range all {
		if name := left.Name(); !strings.HasPrefix(name, "."+base+".") || !strings.Contains(name, ".part") {
			continue
		}
		info, gone := left.Info()
		if gone == nil && time.Since(info.ModTime()) > abandoned {
			err = errors.Join(err, os.Remove(filepath.Join(dir, left.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("remove the rest of a copy that was not finished: %w", err)
	}
	return nil
}

// moveNew gives a file a name that is free. It does not overwrite what took the name meanwhile.
func moveNew(from, to string) error {
	if err := os.Link(from, to); err == nil {
		return os.Remove(from)
	}
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already", to)
	}
	return os.Rename(from, to) // a file system without links
}

// writeCopy makes a copy beside where it shall be, under a name of its own, and checks it.
func writeCopy(ctx context.Context, from, to string) (c Copy, err error) {
	f, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+".*.part")
	if err != nil {
		return c, fmt.Errorf("copy database: %w", err)
	}
	c.temp, err = filepath.Abs(f.Name())
	if err := errors.Join(err, f.Close()); err != nil {
		return c, fmt.Errorf("copy database: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("copy database %s: %w", from, readable(err, to))
			err = errors.Join(err, c.drop())
		}
	}()
	if c.At, err = vacuumInto(ctx, from, c.temp); err != nil {
		return c, err
	}
	if err := c.finish(ctx); err != nil {
		return c, err
	}
	return c, syncFile(c.temp)
}

// vacuumInto has SQLite write all of a database into an empty file, in one read transaction.
func vacuumInto(ctx context.Context, from, to string) (at time.Time, err error) {
	pool, err := openExisting(from)
	if err != nil {
		return at, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	at = time.Now()
	_, err = pool.ExecContext(ctx, "VACUUM INTO ?", to)
	return at, err
}

// finish marks a copy and checks that SQLite can read all of it.
func (c *Copy) finish(ctx context.Context) (err error) {
	pool, err := sql.Open("sqlite3", dsnWith(c.temp, map[string]string{"mode": "rw", "_journal_mode": "DELETE", "_synchronous": "FULL"}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	s, err := schemaIn(ctx, pool, migrations, "migrations")
	if err != nil {
		return err
	}
	c.Schema, c.Newest = s.Have, s.Newest
	var meta int
	if err := pool.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE name = 'meta'").Scan(&meta); err != nil {
		return err
	}
	if c.Marked = meta > 0; c.Marked {
		if _, err := pool.ExecContext(ctx, markCopied, stamp(c.At)); err != nil {
			return fmt.Errorf("mark it as a copy: %w", err)
		}
	}
	return check(ctx, pool)
}

// check has SQLite read all of a database and compare its indexes with its tables.
func check(ctx context.Context, pool *sql.DB) error {
	var first string
	if err := pool.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&first); err != nil {
		return fmt.Errorf("check it: %w", err)
	}
	if first != "ok" {
		return fmt.Errorf("the copy is damaged, as the database may be: %s", first)
	}
	return nil
}

// place gives a finished copy its name.
func (c *Copy) place(to string, move func(from, to string) error) error {
	info, err := os.Stat(c.temp)
	if err == nil {
		c.Size = info.Size()
		err = move(c.temp, to)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keep the copy: %w", err), c.drop())
	}
	return syncFile(filepath.Dir(to))
}

// drop removes what was written of a copy.
func (c *Copy) drop() error {
	var errs []error
	for _, end := range []string{"", "-journal", "-wal", "-shm"} {
		if err := os.Remove(c.temp + end); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// syncFile has the disk keep a file, or which names are in a folder.
func syncFile(path string) error {
	f, err := os.Open(path) //nolint:gosec // a file of ours
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// readable says of a full disk that it is full.
func readable(err error, to string) error {
	e, ok := errors.AsType[sqlite3.Error](err)
	if ok && e.Code == sqlite3.ErrFull || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("there is no room left in %s: %w", filepath.Dir(to), err)
	}
	return err
}
