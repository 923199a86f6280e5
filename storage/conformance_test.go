package storage_test

import (
	"testing"

	"kovra.dev/chatops/storage"
	"kovra.dev/chatops/storage/storagetest"
)

func TestSQLite(t *testing.T) {
	storagetest.Run(t, func(t *testing.T, o storage.Options) *storage.DB {
		t.Helper()
		db, err := storage.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return db
	})
}
