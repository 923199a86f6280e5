package storage

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

//go:embed logmigrations/*.sql
var logMigrations embed.FS

// LogsOptions say where logs are kept, and how much of them.
type LogsOptions struct {
	Path      string        // of the SQLite file; it is made when missing
	MaxLog    int64         // bytes of text that are kept of one log, line feeds included; 0: 100 MB
	MaxTotal  int64         // bytes on disk of all logs together; 0: 10 GiB
	Retention time.Duration // after which a log is thrown away; 0: 90 days
	Now       func() time.Time
	Log       *slog.Logger // hears of a store that is damaged; nil: nobody does
}

// Logs keeps logs, in a database file of their own so that their bytes never hold up
// state: compressed chunks of lines, with an index by line number. Its methods may be called from any goroutine.
type Logs struct {
	sql  *sql.DB
	o    LogsOptions
	pack *packer

	writer  chan *conn // holds the one writing connection when nobody writes
	readers chan *conn
	closed  chan struct{} // closed when Close has the writer

	cache   chunkCache
	touches touches
	watches watches

	onChange func(id int64)
	onSteps  func(id int64)
	damaged  atomic.Bool // it was met, and told
}

// OpenLogs opens the store and brings its schema up to date. A store that was written
// by a newer version is refused. One that is damaged is put aside, with ".damaged" after its name, for a new one: logs may
// be lost, and nothing else is to wait for them.
func OpenLogs(ctx context.Context, o LogsOptions) (*Logs, error) {
	if o.MaxLog <= 0 {
		o.MaxLog = 100_000_000
	}
	if o.MaxTotal <= 0 {
		o.MaxTotal = 10 << 30
	}
	if o.Retention <= 0 {
		o.Retention = 90 * 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	path, err := filepath.Abs(o.Path) // so that no name has a meaning of its own, like ":memory:"
	if err != nil {
		return nil, fmt.Errorf("open logs %s: %w", o.Path, err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l, err := openLogs(ctx, o, path)
	if !isDamage(err) {
		return l, err
	}
	aside, moved := putAside(path)
	if moved != nil {
		return nil, errors.Join(err, moved)
	}
	o.Log.ErrorContext(ctx, "the store of logs is damaged: it was put aside, and a new one begun", "aside", aside, "err", err)
	return openLogs(ctx, o, path)
}

func openLogs(ctx context.Context, o LogsOptions, path string) (*Logs, error) {
	pack, err := newPacker()
	if err != nil {
		return nil, fmt.Errorf("open logs %s: %w", o.Path, err)
	}
	pool, err := makePool(path, logsDSN(path))
	if err != nil {
		return nil, fmt.Errorf("open logs %s: %w", o.Path, err)
	}
	l := &Logs{
		sql: pool, o: o, pack: pack,
		writer: make(chan *conn, 1), readers: make(chan *conn, readers), closed: make(chan struct{}),
		cache: newChunkCache(), touches: newTouches(), watches: newWatches(),
		onChange: func(int64) {}, onSteps: func(int64) {},
	}
	if err := l.start(ctx, path); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return l, nil
}

// logsDSN: NORMAL, because what a power cut may take are the last commits alone, whole
// ones, and lines are fetched again from where the log then ends; many small appends are
// spared the wait for the disk. With incremental vacuum the pages of logs that
// were thrown away are given back to the disk. Caches are small since lines lie on pages that are read once.
func logsDSN(path string) string {
	q := url.Values{
		"_journal_mode": {"WAL"}, "_synchronous": {"NORMAL"}, "_busy_timeout": {"30000"},
		"_auto_vacuum": {"2"}, "_cache_size": {"-1000"},
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

func (l *Logs) start(ctx context.Context, path string) error {
	if err := checkLogs(ctx, l.sql); err != nil {
		return fmt.Errorf("check logs %s: %w", path, err)
	}
	if err := migrate(ctx, l.sql, logMigrations, "logmigrations"); err != nil {
		return fmt.Errorf("prepare logs %s: %w", path, err)
	}
	w, err := newConn(ctx, l.sql)
	if err != nil {
		return fmt.Errorf("open logs %s: %w", path, err)
	}
	l.writer <- w
	if _, err := w.ExecContext(ctx, "PRAGMA journal_size_limit = 67108864"); err != nil {
		return fmt.Errorf("open logs %s: %w", path, err)
	}
	for range readers {
		r, err := newConn(ctx, l.sql)
		if err != nil {
			return fmt.Errorf("open logs %s: %w", path, err)
		}
		if _, err := r.ExecContext(ctx, "PRAGMA query_only = 1"); err != nil {
			return fmt.Errorf("open logs %s: %w", path, err)
		}
		l.readers <- r
	}
	return nil
}

// Close waits for the writer and the readers in hand and closes the store. Calls that
// come later fail, and those that wait end. To close it again does nothing.
func (l *Logs) Close() error {
	var w *conn
	select {
	case w = <-l.writer:
		close(l.closed)
	case <-l.closed:
		return nil
	}
	errs := []error{w.Close()}
	for range readers {
		errs = append(errs, (<-l.readers).Close())
	}
	return errors.Join(append(errs, l.sql.Close())...)
}

// OnChange sets who hears of logs of jobs that the loops may have to look at: those newly wanted or
// read, or to be looked at sooner. It is set once, before use; fn must not block and must not call the store.
func (l *Logs) OnChange(fn func(id int64)) { l.onChange = fn }

// OnSteps is OnChange for the logs of builds and deployments.
func (l *Logs) OnSteps(fn func(id int64)) { l.onSteps = fn }

// KickSteps has the log of a build or deployment looked at soon.
func (l *Logs) KickSteps(id int64) { l.onSteps(id) }

// notify tells the loop that a log belongs to.
func (l *Logs) notify(log *kovra.Log) {
	if log.Key.Kind.Steps() {
		l.onSteps(log.ID)
	} else {
		l.onChange(log.ID)
	}
}

// update runs fn in a transaction of the one writer.
func (l *Logs) update(ctx context.Context, fn func(*Tx) error) (err error) {
	w, err := l.take(ctx, l.writer)
	if err != nil {
		return err
	}
	defer func() { l.writer <- w }()
	inner := context.WithoutCancel(ctx) // a cancelled statement would leave the connection in doubt
	if _, err := w.exec(inner, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	committed := false
	defer func() { // also when fn panics
		if !committed {
			_, back := w.exec(inner, "ROLLBACK")
			err = errors.Join(err, back)
			l.condemnStore(inner, w, err)
		}
	}()
	if err = fn(&Tx{conn: w, ctx: inner, now: l.o.Now()}); err != nil {
		return err
	}
	if _, err := w.exec(inner, "COMMIT"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	committed = true
	return nil
}

// read runs fn on a snapshot.
func (l *Logs) read(ctx context.Context, fn func(*Tx) error) error {
	r, err := l.take(ctx, l.readers)
	if err != nil {
		return err
	}
	defer func() { l.readers <- r }()
	inner := context.WithoutCancel(ctx)
	if _, err := r.exec(inner, "BEGIN"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _, _ = r.exec(inner, "ROLLBACK") }()
	return fn(&Tx{conn: r, ctx: inner, now: l.o.Now()})
}

func (l *Logs) take(ctx context.Context, from chan *conn) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case c := <-from:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.closed:
		return nil, errClosed
	}
}

// touches remembers when logs were last touched, so that few writes say that many read.
type touches struct {
	mu sync.Mutex
	at map[kovra.LogKey]time.Time
}

const (
	touchEvery  = 10 * time.Second
	mostTouches = 10_000
)

func newTouches() touches { return touches{at: map[kovra.LogKey]time.Time{}} }

// due reports whether the touch of a log is to be written, and takes it for written.
func (t *touches) due(key kovra.LogKey, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at, ok := t.at[key]; ok && now.Sub(at) < touchEvery && !now.Before(at) {
		return false
	}
	if len(t.at) >= mostTouches {
		clear(t.at) // costs some writes more, once in a while
	}
	t.at[key] = now
	return true
}

func (t *touches) forget(key kovra.LogKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.at, key)
}

// watches are the logs that somebody waits for.
type watches struct {
	mu sync.Mutex
	of map[int64]*watch
}

type watch struct {
	waiting int
	changed chan struct{} // closed and replaced after each change
	log     kovra.Log     // as of the last change that was told, so that those who wake need not read it
	gone    bool
}

func newWatches() watches { return watches{of: map[int64]*watch{}} }

func (w *watches) enter(id int64) *watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.of[id]
	if one == nil {
		one = &watch{changed: make(chan struct{})}
		w.of[id] = one
	}
	one.waiting++
	return one
}

func (w *watches) leave(id int64, one *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if one.waiting--; one.waiting == 0 {
		delete(w.of, id)
	}
}

func (w *watches) look(one *watch) (log kovra.Log, gone bool, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return one.log, one.gone, one.changed
}

// tell wakes those who wait for a log.
func (w *watches) tell(log kovra.Log) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if one := w.of[log.ID]; one != nil && log.Version > one.log.Version {
		one.log = log
		close(one.changed)
		one.changed = make(chan struct{})
	}
}

func (w *watches) tellGone(id int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if one := w.of[id]; one != nil && !one.gone {
		one.gone = true
		close(one.changed)
		one.changed = make(chan struct{})
	}
}
