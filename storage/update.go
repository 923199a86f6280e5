package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"kovra.dev/chatops/internal/kovra"
)

var errClosed = errors.New("the database is closed")

// mostTogether bounds one commit, so that the first of many does not wait for all.
const mostTogether = 256

// update is one caller's part of a group commit.
type update struct {
	ctx   context.Context //nolint:containedctx // belongs to the call that waits for it
	fn    func(*Tx) error
	err   error
	panic any
	refs  []kovra.Ref
	done  chan struct{}
}

// Update runs fn in a write transaction and returns after the commit is durable.
// When fn fails nothing of it is kept and its error is returned. fn may run
// together with others' updates in one commit, must not keep tx, and must not
// call the database by any other way.
//
// Whoever finds the writer free commits for all who wait; so many concurrent
// callers share one fsync, without a goroutine that does it. When ctx ends before
// fn was begun, or the database is closed, fn is not run.
func (db *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u := &update{ctx: ctx, fn: fn, done: make(chan struct{})}
	db.mu.Lock()
	db.waiting = append(db.waiting, u)
	db.mu.Unlock()
	for {
		select {
		case <-u.done:
			return u.end()
		case w := <-db.writer:
			db.commit(w) //nolint:contextcheck // it serves many callers; the end of one must not end it
			db.writer <- w
		case <-ctx.Done():
			if db.leave(u) {
				return ctx.Err()
			}
			<-u.done
			return u.end()
		case <-db.closed:
			if db.leave(u) {
				return errClosed
			}
			<-u.done
			return u.end()
		}
	}
}

// end is what the caller gets once u is done.
func (u *update) end() error {
	if u.panic != nil {
		panic(u.panic)
	}
	return u.err
}

// leave removes u from the queue; it reports false when u was taken out of it before.
func (db *DB) leave(u *update) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	i := slices.Index(db.waiting, u)
	if i < 0 {
		return false
	}
	db.waiting = slices.Delete(db.waiting, i, i+1)
	return true
}

// take removes the updates of the next commit from the queue.
func (db *DB) take() []*update {
	db.mu.Lock()
	defer db.mu.Unlock()
	n := min(len(db.waiting), mostTogether)
	batch := slices.Clone(db.waiting[:n])
	db.waiting = slices.Delete(db.waiting, 0, n)
	return batch
}

// commit runs the waiting updates in one transaction and tells everybody.
func (db *DB) commit(w *conn) {
	batch := db.take()
	if len(batch) == 0 {
		return
	}
	err := db.transact(w, batch)
	if err != nil {
		err = stuck(err)
	}
	db.judge(batch, err)
	var refs []kovra.Ref
	known := map[kovra.Ref]bool{}
	for _, u := range batch {
		if err != nil {
			u.err = errors.Join(u.err, err)
		}
		for _, r := range u.refs {
			if err == nil && !known[r] {
				known[r] = true
				refs = append(refs, r)
			}
		}
	}
	if err == nil {
		db.commits.Add(1)
		db.announce(refs)
	}
	for _, u := range batch {
		close(u.done)
	}
}

func (db *DB) announce(refs []kovra.Ref) {
	db.mu.Lock()
	close(db.changed)
	db.changed = make(chan struct{})
	db.mu.Unlock()
	if len(refs) > 0 {
		db.onChange(refs)
	}
}

// transact runs all of batch in one transaction. A failing update is rolled back alone.
func (db *DB) transact(w *conn, batch []*update) (err error) {
	// The commit serves many callers: the end of one of them must not end it.
	ctx := context.WithoutCancel(batch[0].ctx)
	if _, err := w.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	for _, u := range batch {
		if err := db.apply(ctx, w, u); err != nil {
			_, back := w.exec(ctx, "ROLLBACK")
			return errors.Join(err, back)
		}
	}
	err = db.interrupt(false)
	if err == nil {
		_, err = w.exec(ctx, "COMMIT")
	}
	if err != nil {
		_, back := w.exec(ctx, "ROLLBACK")
		return errors.Join(fmt.Errorf("commit: %w", err), back)
	}
	return db.interrupt(true)
}

// apply runs one update inside a savepoint. The error it returns is the
// database's, not the update's.
func (db *DB) apply(ctx context.Context, w *conn, u *update) error {
	if u.err = u.ctx.Err(); u.err != nil {
		return nil //nolint:nilerr // the update's own error, for its caller alone
	}
	if _, err := w.exec(ctx, "SAVEPOINT u"); err != nil {
		return err
	}
	tx := &Tx{db: db, conn: w, ctx: ctx, now: db.now()}
	u.run(tx)
	if u.err != nil || u.panic != nil {
		if _, err := w.exec(ctx, "ROLLBACK TO u"); err != nil {
			return err
		}
	} else {
		u.refs = tx.refs
	}
	_, err := w.exec(ctx, "RELEASE u")
	return err
}

// run calls fn and keeps a panic for the caller whose fn it is.
func (u *update) run(tx *Tx) {
	defer func() {
		if p := recover(); p != nil {
			u.panic = p
		}
	}()
	u.err = u.fn(tx)
}

// Read runs fn on a snapshot. Methods that write fail in it.
func (db *DB) Read(ctx context.Context, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var r *conn
	select {
	case r = <-db.readers:
	case <-ctx.Done():
		return ctx.Err()
	case <-db.closed:
		return errClosed
	}
	defer func() { db.readers <- r }()
	inner := context.WithoutCancel(ctx) // a cancelled statement would leave the connection in doubt
	if _, err := r.exec(inner, "BEGIN"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _, _ = r.exec(inner, "ROLLBACK") }()
	return fn(&Tx{db: db, conn: r, ctx: inner, now: db.now()})
}

// Await calls done on a fresh snapshot now and after each commit until it reports
// true. It returns done's error, or ctx.Err() when ctx ends first.
func (db *DB) Await(ctx context.Context, done func(*Tx) (bool, error)) error {
	for {
		db.mu.Lock()
		changed := db.changed
		db.mu.Unlock()
		var ok bool
		err := db.Read(ctx, func(tx *Tx) (err error) {
			ok, err = done(tx)
			return err
		})
		if err != nil || ok {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-db.closed:
			return errClosed
		}
	}
}

// conn is a connection with its prepared statements.
type conn struct {
	*sql.Conn
	prepared map[string]*sql.Stmt
}

func newConn(ctx context.Context, pool *sql.DB) (*conn, error) {
	c, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, prepared: map[string]*sql.Stmt{}}, nil
}

// Close ends the statements before the connection: SQLite keeps its files open for as
// long as one of them lives.
func (c *conn) Close() error {
	var errs []error
	for _, s := range c.prepared {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.Conn.Close())...)
}

// stmt prepares a statement once per connection. Statements are constants of this
// package, so the map stays small.
func (c *conn) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := c.prepared[query]; ok {
		return s, nil
	}
	s, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", query, err)
	}
	c.prepared[query] = s
	return s, nil
}

func (c *conn) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := c.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}
