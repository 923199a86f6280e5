package storage_test

import (
	"testing"

	"kovra.dev/chatops/storage"
	"kovra.dev/chatops/storage/storagetest"
)

func TestSQLiteLogs(t *testing.T) {
	storagetest.RunLogs(t, func(t *testing.T, o storage.LogsOptions) *storage.Logs {
		t.Helper()
		l, err := storage.OpenLogs(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
}
