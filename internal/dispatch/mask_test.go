package dispatch

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

func TestInjectedValuesAreHidden(t *testing.T) {
	db, err := storage.Open(t.Context(), storage.Options{Path: filepath.Join(t.TempDir(), "kovra.db"), Key: [][]byte{make([]byte, 32)}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	d := New(db, World{}, Options{})
	prints := d.prints([]kovra.Variable{{Key: "TOKEN", Value: "s3cret-väl"}, {Key: "SHORT", Value: "on"}})
	e := kovra.Excerpt{Lines: []kovra.ExcerptLine{
		{N: 1, Text: "curl -H s3cret-väl/s3cret-väl on"}, {Hidden: 3}, {N: 5, Text: "s3cret-vä"}, {N: 6, Text: ""},
	}}
	want := []kovra.ExcerptLine{
		{N: 1, Text: "curl -H [MASKED]/[MASKED] on"}, {Hidden: 3}, {N: 5, Text: "s3cret-vä"}, {N: 6, Text: ""},
	}
	if diff := cmp.Diff(want, d.hide(e, prints).Lines); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
