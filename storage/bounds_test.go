package storage

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

func openForBounds(t *testing.T) *DB {
	t.Helper()
	db, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "kovra.db"), Key: [][]byte{make([]byte, 32)}})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// However large the bodies, the intake holds only a few of them in memory, and all come in turn.
func TestPendingDeliveriesAreBoundedInBytes(t *testing.T) {
	db := openForBounds(t)
	defer func() { _ = db.Close() }()
	body := make([]byte, 3<<20)
	const all = 8
	for i := range all {
		err := db.Update(t.Context(), func(tx *Tx) error {
			_, err := tx.AddDelivery(kovra.Delivery{Key: fmt.Sprint(i), Body: body})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	for {
		var got []kovra.Delivery
		err := db.Update(t.Context(), func(tx *Tx) (err error) {
			if got, err = tx.PendingDeliveries(200); err != nil {
				return err
			}
			for _, d := range got {
				if err := tx.SettleDelivery(d.ID, kovra.DeliverySame, "", 0); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > 3 {
			t.Fatalf("%d bodies of 3 MiB at once", len(got))
		}
		if len(got) == 0 {
			break
		}
		seen += len(got)
	}
	if seen != all {
		t.Errorf("%d of %d came", seen, all)
	}
}

// The record of one app or run is found without reading that of all others.
func TestActionsAreFoundByIndex(t *testing.T) {
	db := openForBounds(t)
	defer func() { _ = db.Close() }()
	for name, q := range map[string]ActionQuery{
		"actions_app": {App: "web", Limit: 9}, "actions_run": {Run: 5, Before: 7, Limit: 9},
	} {
		queries := statements(t, db, func(tx *Tx) error { _, err := tx.Actions(q); return err })
		if len(queries) != 1 {
			t.Fatalf("%s: statements %q", name, queries)
		}
		if got := plan(t, db, queries[0]); !strings.Contains(got, name) || strings.Contains(got, "TEMP B-TREE") {
			t.Errorf("plan %q does not use %s", got, name)
		}
	}
}

// Who is late hears that the database is closed, instead of waiting for ever.
func TestClosedDatabaseAnswers(t *testing.T) {
	db := openForBounds(t)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() { done <- db.Update(t.Context(), func(*Tx) error { return nil }) }()
	go func() { done <- db.Read(t.Context(), func(*Tx) error { return nil }) }()
	for range 2 {
		select {
		case err := <-done:
			if err == nil {
				t.Error("no error from a closed database")
			}
		case <-time.After(30 * time.Second):
			t.Fatal("it waits")
		}
	}
}
