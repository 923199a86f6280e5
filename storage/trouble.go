package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"

	"kovra.dev/chatops/internal/kovra"
)

// ErrStuck is the cause of every error that says that the database takes no changes, as when the disk is full. Nothing of
// such an update is kept. Errors with it are of kind [kovra.Unavailable]: what was asked may be asked again.
var ErrStuck = errors.New("the database takes no changes")

const saysStuck = "I cannot write anything down at the moment, so nothing was done. Try again later. If that does not help, tell an administrator: the disk may be full."

// stuckCodes are SQLite's words for a file that cannot be written.
var stuckCodes = map[sqlite3.ErrNo]bool{
	sqlite3.ErrFull: true, sqlite3.ErrIoErr: true, sqlite3.ErrReadonly: true, sqlite3.ErrCantOpen: true,
}

// stuckError is a cause that was told by [DB.OnTrouble], and need not be logged again by everybody who meets it.
type stuckError struct{ err error }

func (e *stuckError) Error() string   { return fmt.Sprintf("%v: %v", ErrStuck, e.err) }
func (e *stuckError) Unwrap() []error { return []error{ErrStuck, e.err} }

// Told implements what package reconcile asks of an error that somebody else logs.
func (e *stuckError) Told() bool { return true }

// stuck makes an error that can be told to people of what keeps the database from being written.
func stuck(err error) error {
	return &kovra.Error{Kind: kovra.Unavailable, Public: saysStuck, Err: &stuckError{err}}
}

// isStuck reports whether a statement failed because the file cannot be written.
func isStuck(err error) bool {
	e, ok := errors.AsType[sqlite3.Error](err)
	return ok && stuckCodes[e.Code]
}

// OnTrouble sets who hears when the database begins to take no changes (err is why), and when it takes them again (nil). It is
// set once, before use; fn must not block and must not call the database.
func (db *DB) OnTrouble(fn func(err error)) { db.onTrouble = fn }

// judge notes, after a commit, that the database took no changes. That it takes them again is found out by [DB.Writable] alone: small
// changes may still pass where webhooks do not.
func (db *DB) judge(batch []*update, err error) {
	for _, u := range batch {
		if isStuck(u.err) {
			u.err = stuck(u.err)
			err = errors.Join(err, u.err)
		}
	}
	if err != nil && !db.trouble.Swap(true) {
		db.onTrouble(err)
	}
}

const (
	probeKey  = "kovra-space-probe"
	probeSize = 64 << 10 // a large webhook of the usual kind
)

// Writable returns nil if the database takes changes. After trouble it tries: it writes as much as a webhook needs, and takes it
// away again.
func (db *DB) Writable(ctx context.Context) error {
	if !db.trouble.Load() {
		return nil
	}
	err := db.Update(ctx, func(tx *Tx) error {
		if err := tx.dropProbe(); err != nil {
			return err
		}
		_, err := tx.exec("INSERT INTO deliveries (key, kind, body, at, outcome, settled) VALUES (?1, 'probe', zeroblob(?2), ?3, 'ignored', ?3)",
			probeKey, probeSize, stamp(tx.now))
		return err
	})
	if err == nil {
		err = db.Update(ctx, func(tx *Tx) error { return tx.dropProbe() })
	}
	if err == nil && db.trouble.Swap(false) {
		db.onTrouble(nil)
	}
	return err
}

func (tx *Tx) dropProbe() error {
	_, err := tx.exec("DELETE FROM deliveries WHERE key = ?", probeKey)
	return err
}
