package main

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

func TestBackup(t *testing.T) {
	path := journal(t)
	dir := t.TempDir()
	to := filepath.Join(dir, "today.db")
	out, err := call(t, "backup", to)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`today\.db: \d+ KiB, schema \d+, checked; it holds what was committed before \d{4}-`,
		`without the logs, .*kovra-logs\.db: --logs copies them too`,
		`keep with it: the value of KOVRA_ENCRYPTION_KEY;`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%s\ndoes not match %s", out, want)
		}
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	t.Setenv("KOVRA_DATABASE_URL", "sqlite:"+to)
	if list, err := call(t, "deliveries", "list"); err != nil || strings.Count(list, "\n") != 5 {
		t.Errorf("in the backup: %q, %v", list, err)
	}

	t.Setenv("KOVRA_DATABASE_URL", "sqlite:"+path)
	if err := os.WriteFile(path+".key", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = call(t, "backup", "--logs", filepath.Join(dir, "second.db"))
	if err != nil || !strings.Contains(out, "there are no logs yet") || !strings.Contains(out, "keep with it: "+path+".key (or, if it is set, ") {
		t.Errorf("%s, %v", out, err)
	}
}

// TestBackupToStandardOutput: for a container that nothing can be copied out of. Nothing is left beside the database.
func TestBackupToStandardOutput(t *testing.T) {
	path := journal(t)
	var out, said bytes.Buffer
	cmd := root()
	cmd.SetArgs([]string{"backup", "-"})
	cmd.SetOut(&out)
	cmd.SetErr(&said)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(said.String(), "standard output: ") || !strings.Contains(said.String(), "keep with it") {
		t.Errorf("it says %s", said.String())
	}
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(to, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KOVRA_DATABASE_URL", "sqlite:"+to)
	if list, err := call(t, "deliveries", "list"); err != nil || strings.Count(list, "\n") != 5 {
		t.Errorf("in the backup: %q, %v", list, err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".backup*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestBackupRefuses(t *testing.T) {
	path := journal(t)
	for want, args := range map[string][]string{
		"is there already; a backup overwrites nothing": {"backup", path},
		"accepts 1 arg(s)":      {"backup"},
		"name a FILE":           {"backup", "-", "--logs"},
		"no such file":          {"backup", filepath.Join(t.TempDir(), "no", "x.db")},
		"there is no database ": {"backup", filepath.Join(t.TempDir(), "x.db")},
	} {
		if strings.HasPrefix(want, "there is no") {
			t.Setenv("KOVRA_DATABASE_URL", "sqlite:"+filepath.Join(t.TempDir(), "none.db"))
		} else {
			t.Setenv("KOVRA_DATABASE_URL", "sqlite:"+path)
		}
		if out, err := call(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %s, %v, want %s", args, out, err, want)
		}
	}
}

// of makes the database of a server out of the dump of a schema.
func of(t *testing.T, dump string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "storage", "testdata", dump))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kovra.db")
	t.Setenv("KOVRA_DATABASE_URL", "sqlite:"+path)
	sqlite(t, path, string(text))
	return path
}

func sqlite(t *testing.T, path, statements string) {
	t.Helper()
	pool, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = pool.ExecContext(t.Context(), statements)
	if err := errors.Join(err, pool.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestMigrate(t *testing.T) {
	path := of(t, "schema-4.sql")
	if out, err := call(t, "migrate", "--status"); err != nil || !strings.Contains(out, "schema 4, this version knows ") || !strings.Contains(out, "kovra migrate brings it up to date") {
		t.Errorf("%s, %v", out, err)
	}
	if _, err := call(t, "deliveries", "list"); err == nil || !strings.Contains(err.Error(), "older version of kovra (schema 4, ") {
		t.Errorf("beside a server of the version before: %v", err)
	}
	to := filepath.Join(t.TempDir(), "old.db")
	if out, err := call(t, "backup", to); err != nil || !strings.Contains(out, "schema 4 does not say of itself that it is a backup") {
		t.Errorf("%s, %v", out, err)
	}
	if out, err := call(t, "migrate"); err != nil || !strings.Contains(out, "upgraded from schema 4 to ") || !strings.Contains(out, "as it was before: "+path+".before-5") {
		t.Errorf("%s, %v", out, err)
	}
	for args, want := range map[string]string{"migrate": "nothing is to be done", "migrate --status": "nothing is to be done", "deliveries list": "dead"} {
		if out, err := call(t, strings.Fields(args)...); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %s, %v", args, out, err)
		}
	}
	of(t, "schema-4.sql")
	if out, err := call(t, "migrate", "--no-copy"); err != nil || !strings.Contains(out, "without a copy") {
		t.Errorf("%s, %v", out, err)
	}
}

// TestNewerDatabase: every command says what is the matter, and how to go back.
func TestNewerDatabase(t *testing.T) {
	path := journal(t)
	sqlite(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (900, 1)")
	for name, value := range map[string]string{
		"KOVRA_SLACK_BOT_TOKEN": "xoxb-1", "KOVRA_SLACK_SIGNING_SECRET": "s", "KOVRA_GITLAB_URL": "https://gitlab.example",
		"KOVRA_GITLAB_TOKEN": "glpat-1", "KOVRA_GITLAB_WEBHOOK_SECRET": "h", "KOVRA_LISTEN": "127.0.0.1:0", "KOVRA_ADMINS": "U1",
	} {
		t.Setenv(name, value)
	}
	for _, args := range [][]string{{"serve"}, {"deliveries", "list"}, {"migrate"}, {"restored", "2026-01-01T00:00:00Z"}} {
		_, err := call(t, args...)
		for _, want := range []string{"written by a newer version of kovra (schema 900", "install that version again", "put back a copy from before that upgrade: " + path + ".before-"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v does not say %s", args, err, want)
			}
		}
	}
	if out, err := call(t, "migrate", "--status"); err != nil || !strings.Contains(out, "schema 900, ") || !strings.Contains(out, "newer version of kovra") {
		t.Errorf("%s, %v", out, err)
	}
	if out, err := call(t, "backup", filepath.Join(t.TempDir(), "x.db")); err != nil || !strings.Contains(out, "written by a newer version of kovra") {
		t.Errorf("%s, %v", out, err)
	}
}

// TestBesideAServer: what changes the schema or marks the database waits for the server to stop; what looks does not.
func TestBesideAServer(t *testing.T) {
	path := journal(t)
	server, err := storage.Open(t.Context(), storage.Options{Path: path, Lock: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"migrate"}, {"restored", "2026-01-01T00:00:00Z"}} {
		if _, err := call(t, args...); err == nil || !strings.Contains(err.Error(), "another kovra serves it already") || !strings.HasSuffix(err.Error(), ": stop it first") {
			t.Errorf("%q: %v", args, err)
		}
	}
	for _, args := range [][]string{{"migrate", "--status"}, {"deliveries", "list"}, {"deliveries", "replay", "2"}, {"backup", filepath.Join(t.TempDir(), "x.db")}} {
		if _, err := call(t, args...); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRestored(t *testing.T) {
	path := journal(t)
	for _, word := range []string{"yesterday", "2026-11-29", time.Now().Add(time.Hour).Format(time.RFC3339)} {
		if _, err := call(t, "restored", word); err == nil || !strings.Contains(err.Error(), "is no time before now") {
			t.Errorf("%s: %v", word, err)
		}
	}
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	if out, err := call(t, "restored", at.Format(time.RFC3339)); err != nil || !strings.Contains(out, "for a copy of "+at.Format(time.RFC3339)) {
		t.Errorf("%s, %v", out, err)
	}
	change(t, path, func(tx *storage.Tx) error {
		r, first, err := tx.BeginRestored()
		if !first || !r.Since.Equal(at) {
			t.Errorf("the next start sees %+v, %t", r, first)
		}
		return err
	})
	change(t, path, func(tx *storage.Tx) error {
		if _, again, err := tx.BeginRestored(); again || err != nil {
			t.Errorf("the start after it: %t, %v", again, err)
		}
		_, err := tx.AddDelivery(kovra.Delivery{Key: "k", Kind: "Push Hook", Body: []byte("{}"), At: at})
		return err
	})
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 KiB", 1: "1 KiB", 1025: "2 KiB", 10 << 20: "10 MiB", 500 << 20: "500 MiB", 20 << 30: "20 GiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
