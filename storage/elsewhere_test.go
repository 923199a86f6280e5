package storage

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

// TestChangedElsewhere: what this database commits itself is no news, what another one commits is, once.
func TestChangedElsewhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kovra.db")
	open := func() *DB {
		db, err := Open(t.Context(), Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	server, command := open(), open()
	write(t, command, add("z"))
	changed := func(what string, want bool) {
		t.Helper()
		got, err := server.ChangedElsewhere(t.Context())
		if err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", what, got, err, want)
		}
	}
	changed("since it was opened", true)
	changed("once", false)
	write(t, server, add("a"))
	changed("after a commit of our own", false)
	if err := command.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	changed("after a read of another", false)
	write(t, command, add("b"))
	changed("after a commit of another", true)
	changed("asked again", false)
	write(t, server, add("c"))
	changed("after one more of our own", false)

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	held := <-server.writer
	if _, err := server.ChangedElsewhere(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("while somebody writes: error %v", err)
	}
	server.writer <- held
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.ChangedElsewhere(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("closed: error %v", err)
	}
}
