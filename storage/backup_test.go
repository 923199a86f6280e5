package storage

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBackupWhileWritten copies a database that is written to all the time: each copy is whole, and holds what was
// committed before it was begun.
func TestBackupWhileWritten(t *testing.T) {
	db := openNew(t)
	path := pathOf(t, db)
	write(t, db, fill)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			if err := db.Update(ctx, add(fmt.Sprint("while ", i))); err != nil {
				ended <- err
				return
			}
		}
	}()
	for i := range 3 {
		write(t, db, add(fmt.Sprint("before ", i)))
		to := filepath.Join(t.TempDir(), "copy.db")
		c, err := Backup(t.Context(), path, to)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(to)
		if err != nil || info.Size() != c.Size || info.Mode().Perm() != 0o600 || c.Schema != newestSchema(t) || !c.Marked {
			t.Errorf("%+v, %v, %v", c, info, err)
		}
		alone(t, to)
		got := added(t, openAt(t, Options{Path: to, Beside: true}))
		if want := fmt.Sprint("before ", i); !strings.Contains(strings.Join(got, ","), want) {
			t.Errorf("the copy does not hold %q", want)
		}
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// pathOf is the file of a database.
func pathOf(t *testing.T, db *DB) string {
	t.Helper()
	return texts(t, db.sql, "SELECT file FROM pragma_database_list WHERE name = 'main'")[0]
}

// alone checks that there is nothing in a folder but one file.
func alone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("beside %s: %v, %v", path, entries, err)
	}
}

// TestServerSweepsCopies: what killed processes have left of copies goes when a server starts; what is young may be written.
func TestServerSweepsCopies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kovra.db")
	dir, long := filepath.Dir(path), time.Now().Add(-2*abandoned)
	for name, gone := range map[string]bool{
		".kovra.db.1.part": true, ".kovra.db.before-5.2.part-journal": true, ".kovra.db.old": false, ".other.db.1.part": false, "kovra.db.part": false,
	} {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name), nil, 0o600), os.Chtimes(filepath.Join(dir, name), long, long)); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := os.Stat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) != gone {
				t.Errorf("%s: %v", name, err)
			}
		}()
	}
	young := filepath.Join(dir, ".kovra.db.3.part")
	if err := os.WriteFile(young, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	openAt(t, Options{Path: path, Lock: true})
	if _, err := os.Stat(young); err != nil {
		t.Error(err)
	}
}

func TestBackupOverwritesNothing(t *testing.T) {
	path := pathOf(t, openNew(t))
	dir := t.TempDir()
	to := filepath.Join(dir, "copy.db")
	for name, make := range map[string]func() error{
		"a file": func() error { return os.WriteFile(to, []byte("mine"), 0o600) },
		"a link": func() error { return os.Symlink(filepath.Join(dir, "nowhere"), to) },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if _, err := Backup(t.Context(), path, to); err == nil || !strings.Contains(err.Error(), "is there already") {
			t.Errorf("%s: %v", name, err)
		}
		alone(t, to)
		if err := os.Remove(to); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBackupTakesNoNameOfOthers: what took the name while the copy was written is not overwritten.
func TestBackupTakesNoNameOfOthers(t *testing.T) {
	to := filepath.Join(t.TempDir(), "copy.db")
	c, err := writeCopy(t.Context(), pathOf(t, openNew(t)), to)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.place(to, moveNew); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("%v", err)
	}
	alone(t, to)
	if text, err := os.ReadFile(to); err != nil || string(text) != "mine" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestBackupFails: whatever is wrong, nothing is left behind.
func TestBackupFails(t *testing.T) {
	good := pathOf(t, openNew(t))
	junk := filepath.Join(t.TempDir(), "junk.db")
	if err := os.WriteFile(junk, []byte(strings.Repeat("no database", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		ctx      context.Context //nolint:containedctx // of one call
		from, to string
		says     string
	}{
		"no database":  {t.Context(), filepath.Join(t.TempDir(), "none.db"), filepath.Join(dir, "x.db"), "no such file"},
		"not one":      {t.Context(), junk, filepath.Join(dir, "x.db"), "not a database"},
		"interrupted":  {cancelled, good, filepath.Join(dir, "x.db"), "cancel"},
		"no such path": {t.Context(), good, filepath.Join(dir, "no", "x.db"), "no such file"},
	} {
		if _, err := Backup(c.ctx, c.from, c.to); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestBackupFindsDamage: a database that SQLite cannot read all of gives no backup that looks like one.
func TestBackupFindsDamage(t *testing.T) {
	db := openNew(t)
	path := pathOf(t, db)
	write(t, db, func(tx *Tx) error {
		var errs []error
		for i := range 200 {
			errs = append(errs, add(fmt.Sprint(i, strings.Repeat("k", 200)))(tx))
		}
		return errors.Join(errs...)
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(strings.Repeat("\xff", 40_000)), info.Size()/2); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := Backup(t.Context(), path, filepath.Join(dir, "copy.db")); err == nil || !strings.Contains(err.Error(), "malformed") {
		t.Errorf("%v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestBackupOfLogs: the store of logs is copied in the same way.
func TestBackupOfLogs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs.db")
	logs, err := OpenLogs(t.Context(), LogsOptions{Path: path, MaxTotal: 1 << 20, Retention: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	to := filepath.Join(t.TempDir(), "copy.db")
	c, err := Backup(t.Context(), path, to)
	if err != nil || c.Marked || c.Schema != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	again, err := OpenLogs(t.Context(), LogsOptions{Path: to, MaxTotal: 1 << 20, Retention: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// largeBytes is the size of the database whose backup is measured.
const largeBytes = 500 << 20

// TestBackupHoldsUpNobody copies 500 MB while a writer goes on, and measures its slowest commit. It shares the disk with the
// copy; a lock would hold it up for as long as that takes.
func TestBackupHoldsUpNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("writes a gigabyte")
	}
	db := openNew(t)
	path := pathOf(t, db)
	large(t, db.sql)
	done := make(chan error, 1)
	begun := time.Now()
	go func() {
		_, err := Backup(t.Context(), path, filepath.Join(t.TempDir(), "copy.db"))
		done <- err
	}()
	var slowest time.Duration
	commits := 0
	for {
		select {
		case err := <-done:
			took := time.Since(begun)
			t.Logf("copied in %v; meanwhile %d commits, the slowest took %v", took.Round(time.Millisecond), commits, slowest.Round(time.Millisecond))
			if err != nil || slowest > took/2 && slowest > 500*time.Millisecond || commits == 0 {
				t.Errorf("%v; the slowest of %d commits took %v", err, commits, slowest)
			}
			return
		default:
		}
		at := time.Now()
		write(t, db, add(fmt.Sprint("while ", commits)))
		commits++
		slowest = max(slowest, time.Since(at))
	}
}

// large fills a database with webhooks that do not compress.
func large(t *testing.T, pool *sql.DB) {
	t.Helper()
	const each = 1 << 20
	body := make([]byte, each)
	for i := range largeBytes / each {
		_, _ = rand.Read(body)
		_, err := pool.ExecContext(t.Context(), "INSERT INTO deliveries (key, kind, body, at, outcome) VALUES (?, 'Push Hook', ?, 1, 'same')", fmt.Sprint("large ", i), body)
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadableErrors(t *testing.T) {
	for _, err := range []error{errors.New("x"), fs.ErrPermission} {
		if got := readable(err, "/backups/x.db"); !errors.Is(got, err) || strings.Contains(got.Error(), "room") {
			t.Errorf("%v became %v", err, got)
		}
	}
}
