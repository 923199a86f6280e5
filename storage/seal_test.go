package storage

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"kovra.dev/chatops/internal/kovra"
)

// proposeSecret records an action with a secret and a reply address.
func proposeSecret(t *testing.T, db *DB, secret string) int64 {
	t.Helper()
	var id int64
	write(t, db, func(tx *Tx) error {
		a, _, err := tx.Propose(kovra.Action{Kind: kovra.ActRun, ReplyURL: "https://reply.example/" + secret}, []byte(secret))
		id = a.ID
		return err
	})
	return id
}

// unseal returns the secret and the reply address of an action.
func unseal(t *testing.T, db *DB, id int64) (secret, reply string, err error) {
	t.Helper()
	readErr := db.Read(t.Context(), func(tx *Tx) error {
		a, readErr := tx.Action(id)
		if readErr != nil {
			return readErr
		}
		var s []byte
		s, err = tx.Secret(id)
		secret, reply = string(s), a.ReplyURL
		return nil
	})
	if readErr != nil {
		t.Fatal(readErr)
	}
	return secret, reply, err
}

func TestRotatedKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	with := func(keys ...[]byte) *DB {
		db, err := Open(t.Context(), Options{Path: path, Key: keys})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	done := func(db *DB) {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	check := func(db *DB, id int64, want string) {
		t.Helper()
		secret, reply, err := unseal(t, db, id)
		if err != nil || secret != want || reply != "https://reply.example/"+want {
			t.Errorf("secret %q, reply %q, error %v; want %q", secret, reply, err, want)
		}
	}
	db := with(key(1))
	before := proposeSecret(t, db, "old")
	done(db)

	db = with(key(2), key(1))
	check(db, before, "old")
	after := proposeSecret(t, db, "new")
	done(db)

	db = with(key(2))
	check(db, after, "new")
	secret, reply, err := unseal(t, db, before) // the action itself is not lost
	if err == nil || !strings.Contains(err.Error(), "key that is not configured") || secret != "" || reply != "" {
		t.Errorf("with a lost key: secret %q, reply %q, error %v", secret, reply, err)
	}
	done(db)

	db = with()
	if _, _, err := unseal(t, db, after); err == nil {
		t.Error("opened without a key")
	}
	err = db.Update(t.Context(), func(tx *Tx) error {
		_, _, err := tx.Propose(kovra.Action{Kind: kovra.ActRun}, []byte("s"))
		return err
	})
	if !errors.Is(err, errNoKey) {
		t.Errorf("a secret without a key: %v", err)
	}
	err = db.Update(t.Context(), func(tx *Tx) error {
		_, _, err := tx.Propose(kovra.Action{Kind: kovra.ActRun, ReplyURL: "https://reply.example"}, nil)
		return err
	})
	if !errors.Is(err, errNoKey) {
		t.Errorf("a reply address without a key: %v", err)
	}
	write(t, db, func(tx *Tx) error {
		_, _, err := tx.Propose(kovra.Action{Kind: kovra.ActCancel}, nil)
		return err
	})
	done(db)
}

// keyed has keys and no database.
func keyed(tb testing.TB, keys ...[]byte) *DB {
	tb.Helper()
	db := &DB{}
	if err := db.SetKeys(keys); err != nil {
		tb.Fatal(err)
	}
	return db
}

// TestSetKeys: while it runs, a new key seals, and the old one still opens as long as it is given.
func TestSetKeys(t *testing.T) {
	db := openNew(t) // with key 1
	before := proposeSecret(t, db, "old")
	link := db.LogLink(kovra.LogKey{Kind: kovra.JobLog, Project: 1, ID: 2})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(db.SetKeys([][]byte{key(2), key(1)}))
	after := proposeSecret(t, db, "new")
	for id, want := range map[int64]string{before: "old", after: "new"} {
		if secret, _, err := unseal(t, db, id); err != nil || secret != want {
			t.Errorf("secret %q, %v; want %q", secret, err, want)
		}
	}
	if _, ok := db.OpenLink(link); !ok {
		t.Error("a link of before opens nothing")
	}
	if err := db.SetKeys([][]byte{[]byte("short")}); err == nil {
		t.Error("a key that is none is taken")
	}
	must(db.SetKeys([][]byte{key(2)}))
	if secret, _, err := unseal(t, db, after); err != nil || secret != "new" {
		t.Errorf("with the new key alone: %q, %v", secret, err)
	}
	if _, _, err := unseal(t, db, before); err == nil {
		t.Error("a key that was taken away still opens")
	}
}

func TestDamagedSeals(t *testing.T) {
	db := openNew(t)
	a, b := proposeSecret(t, db, "secret of a"), proposeSecret(t, db, "secret of b")
	for _, c := range []struct{ name, set, want string }{
		{"too short", "x'0102'", "damaged"},
		{"only a key's name", "substr(secret, 1, 4)", "open sealed value"},
		{"cut", "substr(secret, 1, length(secret) - 1)", "open sealed value"},
		{"longer", "CAST(secret || x'00' AS BLOB)", "open sealed value"},
		{"of another action", "(SELECT secret FROM actions WHERE id = 2)", "open sealed value"},
		{"another use", "reply_url", "open sealed value"},
		{"in the clear", "CAST('secret of a' AS BLOB)", "not configured"},
	} {
		write(t, db, func(tx *Tx) error {
			_, err := tx.exec("UPDATE actions SET secret = "+c.set+" WHERE id = ?", a)
			return err
		})
		secret, _, err := unseal(t, db, a)
		if err == nil || !strings.Contains(err.Error(), c.want) || secret != "" {
			t.Errorf("%s: secret %q, error %v, want %q", c.name, secret, err, c.want)
		}
		write(t, db, func(tx *Tx) error {
			sealed, err := db.sealer.Load().seal(secretUse(a), []byte("secret of a"))
			if err != nil {
				return err
			}
			_, err = tx.exec("UPDATE actions SET secret = ? WHERE id = ?", sealed, a)
			return err
		})
	}
	if secret, _, err := unseal(t, db, b); err != nil || secret != "secret of b" {
		t.Errorf("the other: %q, %v", secret, err)
	}
}

func TestSealedAlikeLooksDifferent(t *testing.T) {
	s, err := newSealer([][]byte{key(1)})
	if err != nil {
		t.Fatal(err)
	}
	a, errA := s.seal("use", []byte("same"))
	b, errB := s.seal("use", []byte("same"))
	if errA != nil || errB != nil || string(a) == string(b) {
		t.Errorf("sealed twice: %x, %x (%v, %v)", a, b, errA, errB)
	}
	if empty, err := s.seal("use", []byte{}); err != nil || len(empty) == 0 {
		t.Errorf("an empty secret: %x, %v", empty, err)
	}
	if none, err := s.seal("use", nil); none != nil || err != nil {
		t.Errorf("no secret: %x, %v", none, err)
	}
}
