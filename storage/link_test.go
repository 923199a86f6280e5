package storage

import (
	"bytes"
	"encoding/base64"
	"math"
	"testing"

	"kovra.dev/chatops/internal/kovra"
)

func linkDB(t *testing.T, keys ...byte) *DB {
	t.Helper()
	var raw [][]byte
	for _, k := range keys {
		raw = append(raw, bytes.Repeat([]byte{k}, 32))
	}
	return keyed(t, raw...)
}

func TestLogLink(t *testing.T) {
	db := linkDB(t, 1)
	for _, want := range []kovra.LogKey{
		{Kind: kovra.JobLog, Project: 1, ID: 1},
		{Kind: kovra.JobLog, Project: 278964, ID: 12_345_678_901},
		{Kind: kovra.JobLog, Project: math.MaxInt64, ID: math.MaxInt64},
	} {
		link := db.LogLink(want)
		if got, ok := db.OpenLink(link); !ok || got != want {
			t.Errorf("%s: got %v, %v, want %v", link, got, ok, want)
		}
		if link != db.LogLink(want) {
			t.Error("the link of a log changes")
		}
	}
	if link := db.LogLink(kovra.LogKey{Kind: "other", ID: 1}); link != "" {
		t.Errorf("a link for a kind that does not exist: %q", link)
	}
	if link := linkDB(t).LogLink(kovra.LogKey{Kind: kovra.JobLog, Project: 1, ID: 1}); link != "" {
		t.Errorf("a link without a key: %q", link)
	}
}

// A link opens one log: whatever is changed of it, it opens none.
func TestLogLinkCannotBeMade(t *testing.T) {
	db := linkDB(t, 1)
	key := kovra.LogKey{Kind: kovra.JobLog, Project: 77, ID: 4711}
	link := db.LogLink(key)
	raw, err := base64.RawURLEncoding.DecodeString(link)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(raw) * 8 {
		forged := bytes.Clone(raw)
		forged[bit/8] ^= 1 << (bit % 8)
		if got, ok := db.OpenLink(base64.RawURLEncoding.EncodeToString(forged)); ok {
			t.Fatalf("with bit %d changed it opens %v", bit, got)
		}
	}
	for _, bad := range []string{"", "-", "j", link[:len(link)-1], link + "A", link + "=", link + "\n", link[:4] + "\r\n" + link[4:], "../" + link, base64.StdEncoding.EncodeToString(raw) + " ", "💥"} {
		if got, ok := db.OpenLink(bad); ok {
			t.Errorf("%q opens %v", bad, got)
		}
	}
	if _, ok := linkDB(t, 2).OpenLink(link); ok {
		t.Error("another key opens it")
	}
	if got, ok := linkDB(t, 2, 1).OpenLink(link); !ok || got != key {
		t.Error("a key that is rotated out does not open it")
	}
	for _, odd := range [][]byte{{'j'}, {'j', 1}, {'j', 1, 1, 1}, {'x', 1, 1}} {
		signed := append(bytes.Clone(odd), signLink(db.sealer.Load().links[0], odd)...)
		if got, ok := db.OpenLink(base64.RawURLEncoding.EncodeToString(signed)); ok {
			t.Errorf("%q signed by us opens %v", odd, got)
		}
	}
}
