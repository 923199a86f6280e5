package storage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrLocked says that another process serves the database.
var ErrLocked = errors.New("another kovra serves it already")

// lock makes this process the only one that serves a database. What is locked is a file beside it, which stays:
// SQLite has locks of its own on the database.
func lock(database string) (*os.File, error) {
	path := database + ".lock"
	if real, err := filepath.EvalSymlinks(database); err == nil {
		path = real + ".lock" // one database, one lock, by whatever name it is called
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // beside the database that the administrator named
	if err != nil {
		return nil, fmt.Errorf("lock database: %w", err)
	}
	free, err := flock(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	if !free {
		return nil, errors.Join(locked(f), f.Close())
	}
	if err := errors.Join(f.Truncate(0), writeTo(f, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

func writeTo(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// locked names the process that holds the lock, as it told.
func locked(f *os.File) error {
	text, _ := io.ReadAll(io.LimitReader(f, 20)) // for people; without it they know enough
	pid := strings.TrimSpace(string(text))
	if pid == "" {
		return ErrLocked
	}
	return fmt.Errorf("%w (process %s)", ErrLocked, pid)
}
