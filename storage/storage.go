// Package storage keeps all durable state: applications, webhook deliveries,
// runs and jobs, threads and their messages, and what people asked for.
//
// It is used through [DB.Update] and [DB.Read], which hand out a [Tx] whose
// methods speak in the types of package kovra. Concurrent updates are committed
// together; each caller returns only after the commit is on disk. After a commit
// the function given to [DB.OnChange] hears what changed, and [DB.Dirty] can always
// tell again what is still to be done, so a notice may be lost at any time.
// Versions are bumped here and nowhere else. [Logs] keeps logs likewise, in a file of
// their own.
//
// It never calls anybody, leaves no goroutine behind (a search over a log uses two
// while it runs) and knows neither HTTP nor Slack, GitLab or Kubernetes.
package storage

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver

	"kovra.dev/chatops/internal/kovra"
)

//go:embed migrations/*.sql
var migrations embed.FS

const readers = 4

// Options say where the state is.
type Options struct {
	Path string   // of the SQLite file; it is made when missing
	Key  [][]byte // 32 bytes each; the first seals, all open. None: secrets cannot be kept
	Now  func() time.Time
	// Viewer is where our log viewer is, with a slash at its end; the links to logs that
	// jobs carry begin with it. "": jobs carry none.
	Viewer string
	// Lock makes this process the only one that serves the database, until Close: another that wants the same gets
	// [ErrLocked]. Commands beside a server do without it.
	Lock bool
	// Beside leaves the schema as it is, for commands beside a server of perhaps another version; one that is not the
	// present one is refused.
	Beside bool
	// NoCopy upgrades an older schema without a copy beside the database.
	NoCopy bool
	// Interrupt, if set, is asked before and after each commit; an error before it
	// undoes the transaction, one after it only hides that it was made. Tests kill
	// the program with it.
	Interrupt func(committed bool) error
}

// DB is the open state. Its methods may be called from any goroutine.
type DB struct {
	sql    *sql.DB
	now    func() time.Time
	sealer atomic.Pointer[sealer]
	viewer string

	interrupt func(committed bool) error
	lock      *os.File // nil: not locked
	upgraded  Upgrade

	writer  chan *conn // holds the one writing connection when nobody writes
	readers chan *conn
	closed  chan struct{} // closed when Close has the writer

	mu      sync.Mutex
	waiting []*update
	changed chan struct{} // closed and replaced after each commit

	onChange  func([]kovra.Ref)
	onTrouble func(error)
	trouble   atomic.Bool // a commit failed, and no probe has passed since
	commits   atomic.Int64
	version   int64 // SQLite's, of what others commit; for the holder of the writer
}

// Open opens the database and brings its schema up to date; what it has to change it copies before, beside the
// database. A database that was written by a newer version is refused.
func Open(ctx context.Context, o Options) (*DB, error) {
	db, path, err := newDB(o)
	if err != nil {
		return nil, err
	}
	if db.lock, err = lockFor(o, path); err != nil {
		return nil, fmt.Errorf("open database %s: %w", o.Path, err)
	}
	if db.sql, err = makePool(path, dsn(path)); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", o.Path, err), unlock(db.lock))
	}
	if err := db.start(ctx, o); err != nil {
		return nil, errors.Join(err, db.sql.Close(), unlock(db.lock))
	}
	return db, nil
}

// newDB is a DB that has no connections yet, and the path of its file.
func newDB(o Options) (db *DB, path string, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Interrupt == nil {
		o.Interrupt = func(bool) error { return nil }
	}
	s, err := newSealer(o.Key)
	if err != nil {
		return nil, "", err
	}
	path, err = filepath.Abs(o.Path) // so that no name has a meaning of its own, like ":memory:"
	if err != nil {
		return nil, "", fmt.Errorf("open database %s: %w", o.Path, err)
	}
	db = &DB{
		now: o.Now, viewer: o.Viewer, interrupt: o.Interrupt,
		writer: make(chan *conn, 1), readers: make(chan *conn, readers), closed: make(chan struct{}),
		changed: make(chan struct{}), onChange: func([]kovra.Ref) {}, onTrouble: func(error) {},
	}
	db.sealer.Store(s)
	return db, path, nil
}

// lockFor is the lock that was asked for; nil: none. Who has it finds the place beside the database clean.
func lockFor(o Options, path string) (*os.File, error) {
	if !o.Lock {
		return nil, nil //nolint:nilnil // no lock, and no error
	}
	held, err := lock(path)
	if err != nil {
		return nil, err
	}
	if err := sweepCopies(path); err != nil {
		return nil, errors.Join(err, unlock(held))
	}
	return held, nil
}

func unlock(held *os.File) error {
	if held == nil {
		return nil
	}
	return held.Close()
}

// busyTimeout is how long, in milliseconds, a lock of another process is waited for.
const busyTimeout = "30000"

// dsn: FULL, because a webhook is answered after its commit, and NORMAL may lose
// the last commits in a power cut.
func dsn(path string) string {
	return dsnWith(path, map[string]string{
		"_journal_mode": "WAL", "_synchronous": "FULL", "_busy_timeout": busyTimeout, "_foreign_keys": "on", "_cache_size": "-8000",
	})
}

func dsnWith(path string, options map[string]string) string {
	q := url.Values{}
	for k, v := range options {
		q.Set(k, v)
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

func (db *DB) start(ctx context.Context, o Options) error {
	if err := db.upgrade(ctx, o); err != nil {
		return fmt.Errorf("prepare database %s: %w", o.Path, err)
	}
	if err := db.connect(ctx); err != nil {
		return fmt.Errorf("open database %s: %w", o.Path, err)
	}
	return nil
}

// connect makes the connections that are kept: one that writes, and those that read.
func (db *DB) connect(ctx context.Context) error {
	w, err := newConn(ctx, db.sql)
	if err != nil {
		return err
	}
	if _, err := db.elsewhere(ctx, w); err != nil {
		return err
	}
	db.writer <- w
	for range readers {
		r, err := newConn(ctx, db.sql)
		if err != nil {
			return err
		}
		if _, err := r.ExecContext(ctx, "PRAGMA query_only = 1"); err != nil {
			return err
		}
		db.readers <- r
	}
	return nil
}

// Close waits for the transactions in hand and closes the database. Updates that
// were not begun, and calls that come later, fail. To close it again does nothing.
func (db *DB) Close() error {
	var w *conn
	select {
	case w = <-db.writer:
		close(db.closed)
	case <-db.closed:
		return nil
	}
	errs := []error{w.Close()}
	for range readers {
		errs = append(errs, (<-db.readers).Close())
	}
	return errors.Join(append(errs, db.sql.Close(), unlock(db.lock))...)
}

// Upgrade is what Open did to the schema.
func (db *DB) Upgrade() Upgrade { return db.upgraded }

// OnChange sets who hears of changes after each commit. It is set once, before use;
// fn must not block and must not call the database.
func (db *DB) OnChange(fn func([]kovra.Ref)) { db.onChange = fn }

// Now is the clock that the database was opened with.
func (db *DB) Now() time.Time { return db.now() }

// Commits is the number of write transactions that were committed since Open;
// group commit makes it smaller than the number of updates.
func (db *DB) Commits() int64 { return db.commits.Load() }

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	return db.Read(ctx, func(tx *Tx) error { return tx.row("SELECT 1").Scan(new(int)) })
}
