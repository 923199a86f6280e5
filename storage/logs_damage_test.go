package storage

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kovra.dev/chatops/internal/kovra"
)

// TestDamagedStore: whatever has happened to the file, a store is there after the start.
func TestDamagedStore(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for name, damage := range map[string]func(b []byte) []byte{
		"zeroed":      func(b []byte) []byte { clear(b); return b },
		"noise":       func(b []byte) []byte { return noise(r, b) },
		"text":        func([]byte) []byte { return []byte(strings.Repeat("hello world\n", 1000)) },
		"half":        func(b []byte) []byte { return b[:len(b)/2] },
		"cut oddly":   func(b []byte) []byte { return b[:len(b)/2+777] },
		"one page":    func(b []byte) []byte { return b[:4096] },
		"head noise":  func(b []byte) []byte { noise(r, b[100:4096]); return b },
		"head zeroed": func(b []byte) []byte { clear(b[:4096]); return b },
		"tables":      func(b []byte) []byte { noise(r, b[4096:80<<10]); return b },
		"tables zero": func(b []byte) []byte { clear(b[4096 : 80<<10]); return b },
	} {
		t.Run(name, func(t *testing.T) {
			var told bytes.Buffer
			o := LogsOptions{Path: filepath.Join(t.TempDir(), "logs.db"), Log: slog.New(slog.NewTextHandler(&told, nil))}
			for range 2 { // once more, where one lies aside already
				l := testLogs(t, o)
				l.fill(t, 1, benchLines(20_000))
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				b, err := os.ReadFile(o.Path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(o.Path, damage(b), 0o600); err != nil {
					t.Fatal(err)
				}
				told.Reset()
				l = testLogs(t, o)
				id := l.fill(t, 2, benchLines(100))
				if lines, err := l.Lines(t.Context(), id, 1, 100); len(lines) != 100 || err != nil {
					t.Errorf("%d lines, %v", len(lines), err)
				}
				if _, err := os.Stat(o.Path + ".damaged"); err != nil || !strings.Contains(told.String(), ".damaged") {
					t.Errorf("%v; told: %s", err, &told)
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				told.Reset()
				l = testLogs(t, o) // is whole
				if _, err := l.Log(t.Context(), id); err != nil || told.Len() > 0 {
					t.Errorf("%v; told: %s", err, &told)
				}
				if err := errors.Join(l.Close(), os.Remove(o.Path)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func noise(r *rand.Rand, b []byte) []byte {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestDamageMetLater: lines that cannot be read are found when they are thrown away. The store goes on
// as far as it can, and is put aside at the next start.
func TestDamageMetLater(t *testing.T) {
	var told bytes.Buffer
	o := LogsOptions{Path: filepath.Join(t.TempDir(), "logs.db"), MaxTotal: 1, Log: slog.New(slog.NewTextHandler(&told, nil))}
	l := testLogs(t, o)
	id := l.fill(t, 1, benchLines(100_000))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	for at := len(b) / 2; at < len(b)*3/4; at += 4096 {
		noise(rand.New(rand.NewPCG(1, 1)), b[at:at+4096])
	}
	if err := os.WriteFile(o.Path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	l = testLogs(t, o)
	if lines, err := l.Lines(t.Context(), id, 1, 10); len(lines) != 10 || err != nil || told.Len() > 0 {
		t.Fatalf("%d lines, %v; told: %s", len(lines), err, &told)
	}
	for range 2 {
		if _, err := l.Prune(t.Context()); !isDamage(err) {
			t.Fatalf("prune: %v", err)
		}
	}
	if n := strings.Count(told.String(), "next start"); n != 1 {
		t.Errorf("told %d times: %s", n, &told)
	}
	if _, err := l.Touch(t.Context(), kovra.LogKey{Kind: kovra.JobLog, Project: 1, ID: 2}); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = testLogs(t, o)
	if _, err := os.Stat(o.Path + ".damaged"); err != nil {
		t.Error(err)
	}
	if n, err := l.Size(t.Context()); n != 0 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if gone, err := l.Prune(t.Context()); gone != 0 || err != nil {
		t.Errorf("prune of the new one: %d, %v", gone, err)
	}
}

// TestStoreThatCannotBePutAside: the operator must see to that.
func TestStoreThatCannotBePutAside(t *testing.T) {
	o := LogsOptions{Path: filepath.Join(t.TempDir(), "logs.db")}
	if err := errors.Join(os.WriteFile(o.Path, bytes.Repeat([]byte("x"), 8192), 0o600), os.MkdirAll(o.Path+".damaged/x", 0o700)); err != nil {
		t.Fatal(err)
	}
	_, err := OpenLogs(t.Context(), o)
	if _, ok := errors.AsType[*os.LinkError](err); !ok || !isDamage(err) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(o.Path); errors.Is(err, fs.ErrNotExist) {
		t.Error("it is gone")
	}
}
