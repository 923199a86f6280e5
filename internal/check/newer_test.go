package check_test

import (
	"database/sql"

	_ "github.com/mattn/go-sqlite3" // the driver
)

// newer makes a database look as if a later version had written it.
func newer(w *world, path string) {
	w.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		w.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(w.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (900, 1)"); err != nil {
		w.Fatal(err)
	}
}
