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
	"io/fs"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver
	"github.com/pressly/goose/v3"

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
	// Interrupt, if set, is asked before and after each commit; an error before it
	// undoes the transaction, one after it only hides that it was made. Tests kill
	// the program with it.
	Interrupt func(committed bool) error
}

// DB is the open state. Its methods may be called from any goroutine.
type DB struct {
	sql    *sql.DB
	now    func() time.Time
	sealer *sealer
	viewer string

	interrupt func(committed bool) error

	writer  chan *conn // holds the one writing connection when nobody writes
	readers chan *conn
	closed  chan struct{} // closed when Close has the writer

	mu      sync.Mutex
	waiting []*update
	changed chan struct{} // closed and replaced after each commit

	onChange func([]kovra.Ref)
	commits  atomic.Int64
}

// Open opens the database and brings its schema up to date. A database that was
// written by a newer version is refused.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Interrupt == nil {
		o.Interrupt = func(bool) error { return nil }
	}
	s, err := newSealer(o.Key)
	if err != nil {
		return nil, err
	}
	path, err := filepath.Abs(o.Path) // so that no name has a meaning of its own, like ":memory:"
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", o.Path, err)
	}
	pool, err := sql.Open("sqlite3", dsn(path))
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", o.Path, err)
	}
	db := &DB{
		sql: pool, now: o.Now, sealer: s, viewer: o.Viewer, interrupt: o.Interrupt,
		writer: make(chan *conn, 1), readers: make(chan *conn, readers), closed: make(chan struct{}),
		changed: make(chan struct{}), onChange: func([]kovra.Ref) {},
	}
	if err := db.start(ctx, o.Path); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return db, nil
}

// dsn: FULL, because a webhook is answered after its commit, and NORMAL may lose
// the last commits in a power cut.
func dsn(path string) string {
	q := url.Values{
		"_journal_mode": {"WAL"}, "_synchronous": {"FULL"}, "_busy_timeout": {"30000"},
		"_foreign_keys": {"on"}, "_cache_size": {"-8000"},
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

func (db *DB) start(ctx context.Context, path string) error {
	if err := migrate(ctx, db.sql, migrations, "migrations"); err != nil {
		return fmt.Errorf("prepare database %s: %w", path, err)
	}
	w, err := newConn(ctx, db.sql)
	if err != nil {
		return fmt.Errorf("open database %s: %w", path, err)
	}
	db.writer <- w
	for range readers {
		r, err := newConn(ctx, db.sql)
		if err != nil {
			return fmt.Errorf("open database %s: %w", path, err)
		}
		if _, err := r.ExecContext(ctx, "PRAGMA query_only = 1"); err != nil {
			return fmt.Errorf("open database %s: %w", path, err)
		}
		db.readers <- r
	}
	return nil
}

// migrate brings a schema up to date with the numbered files of a folder.
func migrate(ctx context.Context, pool *sql.DB, from embed.FS, folder string) error {
	files, err := fs.Sub(from, folder)
	if err != nil {
		return err // unreachable: the folder is embedded
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, pool, files)
	if err != nil {
		return err
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	sources := p.ListSources()
	if newest := sources[len(sources)-1].Version; have > newest {
		return fmt.Errorf("it was written by a newer version of kovra (schema %d, this one knows %d): install that version again", have, newest)
	}
	_, err = p.Up(ctx)
	return err
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
	return errors.Join(append(errs, db.sql.Close())...)
}

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
