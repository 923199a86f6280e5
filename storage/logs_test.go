package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kovra.dev/chatops/internal/kovra"
)

func testLogs(t *testing.T, o LogsOptions) *Logs {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "logs.db")
	}
	l, err := OpenLogs(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *Logs) fill(t *testing.T, job int64, lines []kovra.LogLine) int64 {
	t.Helper()
	log, err := l.Keep(t.Context(), kovra.LogKey{Kind: kovra.JobLog, Project: 1, ID: job}, kovra.LogSubject{})
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(lines, 3000) {
		if _, err := l.Append(t.Context(), log.ID, part); err != nil {
			t.Fatal(err)
		}
	}
	return log.ID
}

// tamper changes what is stored behind the back of the store.
func (l *Logs) tamper(t *testing.T, query string, args ...any) {
	t.Helper()
	err := l.update(t.Context(), func(tx *Tx) error {
		_, err := tx.exec(query, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	l.cache = newChunkCache()
}

func TestLogsOfANewerVersionAreRefused(t *testing.T) {
	o := LogsOptions{Path: filepath.Join(t.TempDir(), "logs.db")}
	l := testLogs(t, o)
	l.tamper(t, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := OpenLogs(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "newer version of kovra (schema 99") {
		t.Errorf("got %v", err)
	}
	o.Path = filepath.Join(o.Path, "no", "such", "folder")
	if _, err := OpenLogs(t.Context(), o); err == nil || !strings.Contains(err.Error(), o.Path) {
		t.Errorf("got %v", err)
	}
}

func TestLogsCloseLetsGoOfTheFiles(t *testing.T) {
	dir := t.TempDir()
	l := testLogs(t, LogsOptions{Path: filepath.Join(dir, "logs.db")})
	id := l.fill(t, 1, benchLines(10_000))
	for _, err := range l.Search(t.Context(), id, LogQuery{Text: "a"}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if openFiles(t, dir) == 0 {
		t.Fatal("an open store has no open file: the test sees nothing")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := openFiles(t, dir); n != 0 {
		t.Errorf("%d files are still open after Close", n)
	}
}

// TestLogsAfterACrash opens a copy of the files that was taken while they were written.
func TestLogsAfterACrash(t *testing.T) {
	o := LogsOptions{Path: filepath.Join(t.TempDir(), "logs.db")}
	l := testLogs(t, o)
	lines := benchLines(10_000)
	id := l.fill(t, 1, lines)
	crashed := filepath.Join(t.TempDir(), "logs.db")
	for _, end := range []string{"", "-wal"} {
		b, err := os.ReadFile(o.Path + end)
		if err != nil {
			t.Fatal(err)
		}
		if end != "" {
			b = b[:len(b)-3000] // the last frame was half written
		}
		if err := os.WriteFile(crashed+end, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l = testLogs(t, LogsOptions{Path: crashed})
	log, err := l.Log(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if log.Lines != 9000 {
		t.Errorf("%d lines are left, want those of all appends but the last", log.Lines)
	}
	if full, err := l.Append(t.Context(), id, lines); full || err != nil {
		t.Errorf("full %v, %v", full, err)
	}
	n := 0
	for block, err := range l.Text(t.Context(), id) {
		if err != nil {
			t.Fatal(err)
		}
		n += bytes.Count(block, lineFeed)
	}
	if n != len(lines) {
		t.Errorf("%d lines after the source was read again", n)
	}
}

// TestLogPlans: what is asked often is found by an index, in order.
func TestLogPlans(t *testing.T) {
	l := testLogs(t, LogsOptions{})
	for _, query := range []string{
		"SELECT " + logColumns + " FROM logs WHERE kind = 'job' AND project = 1 AND remote = 1",
		"SELECT first, lines FROM chunks WHERE log = 1 AND first <= 5 ORDER BY first DESC LIMIT 1",
		`SELECT first, text FROM chunks WHERE log = 1 AND first >= (SELECT max(first) FROM chunks WHERE log = 1 AND first <= 5)
			AND first <= 9 ORDER BY first LIMIT 4`,
		"SELECT first, depth FROM sections WHERE log = 1 AND last = 0 ORDER BY first",
		"SELECT id FROM logs WHERE done = 0 AND read_at > 5",
		"SELECT id FROM logs WHERE done = 0 AND kept = 1 AND next_at <= 5 AND read_at <= 5 ORDER BY next_at LIMIT 5",
		"SELECT id FROM logs WHERE created_at < 5 ORDER BY created_at, id LIMIT 64",
		"SELECT id, size FROM logs WHERE size > 0 AND NOT (done = 0 AND read_at > 5) ORDER BY created_at, id LIMIT 64",
	} {
		err := l.read(t.Context(), func(tx *Tx) error {
			return tx.each(func(s scanner) error {
				var id, parent, unused int
				var detail string
				err := s.Scan(&id, &parent, &unused, &detail)
				if strings.HasPrefix(detail, "SCAN") && !strings.Contains(detail, "USING INDEX") || strings.Contains(detail, "TEMP B-TREE") {
					t.Errorf("%s: %s", query, detail)
				}
				return err
			}, "EXPLAIN QUERY PLAN "+query)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestLogSearchersEnd looks for goroutines right after a search was left, cancelled or ended.
func TestLogSearchersEnd(t *testing.T) {
	l := testLogs(t, LogsOptions{})
	id := l.fill(t, 1, benchLines(60_000))
	before := goleak.IgnoreCurrent()
	for _, leave := range []int{0, 1, 3, 1000} {
		parts := 0
		for _, err := range l.Search(t.Context(), id, LogQuery{Text: "e"}) {
			if err != nil {
				t.Fatal(err)
			}
			if parts++; parts > leave {
				break
			}
		}
		goleak.VerifyNone(t, before)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var last error
	for _, err := range l.Search(ctx, id, LogQuery{Text: "(e.*)+x$", Regex: true}) {
		cancel()
		last = err
	}
	cancel()
	if !errors.Is(last, context.Canceled) {
		t.Errorf("the search ended with %v", last)
	}
	goleak.VerifyNone(t, before)
}

// TestDamagedLog expects an error that names the log and a line, wherever the damage is.
func TestDamagedLog(t *testing.T) {
	pack, err := newPacker()
	if err != nil {
		t.Fatal(err)
	}
	none := pack.pack(nil)
	short := pack.pack([]byte("short\n"))
	huge := pack.pack(bytes.Repeat([]byte("x\n"), 10_000_000))
	for name, c := range map[string]struct {
		set  string
		args []any
		text bool // searches see it too
	}{
		"text is noise":      {"text = randomblob(3000)", nil, true},
		"text is empty":      {"text = x''", nil, true},
		"text is cut":        {"text = substr(text, 1, length(text) - 9)", nil, true},
		"text of another":    {"text = ?", []any{short}, true},
		"text too large":     {"text = ?", []any{huge}, true},
		"lines are too many": {"lines = lines + 1", nil, true},
		"nothing is left":    {"lines = 0, bytes = 0, text = ?, marks = ?", []any{none, none}, true},
		"lines are too few":  {"lines = lines - 1", nil, true},
		"marks are noise":    {"marks = randomblob(300)", nil, false},
		"marks of another":   {"marks = ?", []any{short}, false},
		"number is wrong":    {"first = first + 1", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := testLogs(t, LogsOptions{})
			id := l.fill(t, 1, benchLines(10_000))
			l.tamper(t, "UPDATE chunks SET "+c.set+" WHERE first = (SELECT max(first) FROM chunks)", c.args...)
			var errs []error
			collect := func(err error) {
				if err != nil {
					errs = append(errs, err)
				}
			}
			for at := 1; at < 10_000; at += 500 {
				_, err := l.Lines(t.Context(), id, at, 500)
				collect(err)
			}
			if len(errs) == 0 {
				t.Error("lines were read")
			}
			_, err := l.Append(t.Context(), id, []kovra.LogLine{{N: 10_001, Text: "more"}})
			collect(err)
			known := len(errs)
			for _, err := range l.Text(t.Context(), id) {
				collect(err)
			}
			for _, err := range l.Search(t.Context(), id, LogQuery{Text: "a"}) {
				collect(err)
			}
			if c.text && len(errs) < known+2 {
				t.Error("the text was read")
			}
			named := regexp.MustCompile(fmt.Sprintf(`line \d+ of log %d\b`, id))
			for _, err := range errs {
				if !named.MatchString(err.Error()) || !errors.Is(err, errDamaged) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}

func TestPruneGivesDiskBack(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	o := LogsOptions{Path: filepath.Join(t.TempDir(), "logs.db"), Retention: time.Hour, Now: func() time.Time { return now }}
	l := testLogs(t, o)
	size := func() int64 {
		info, err := os.Stat(o.Path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	if err := l.shrink(t.Context()); err != nil {
		t.Fatal(err)
	}
	empty := size()
	for job := range int64(5) {
		l.fill(t, job, benchLines(20_000))
	}
	if err := l.checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	told, err := l.Size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if full := size() - empty; told < full*9/10 || told > full*11/10 {
		t.Errorf("the lines take %d bytes on disk, Size says %d", full, told)
	}
	now = now.Add(2 * time.Hour)
	// The first run is ended after its first step, as by a crash.
	if _, err := l.condemn(t.Context(), l.tooOld); err != nil {
		t.Fatal(err)
	}
	if gone, err := l.Prune(t.Context()); gone != 0 || err != nil {
		t.Errorf("%d went: %v", gone, err)
	}
	if left := size() - empty; left > 64<<10 {
		t.Errorf("%d bytes are left on disk", left)
	}
	for _, table := range []string{"chunks", "sections", "gone", "logs"} {
		err := l.read(t.Context(), func(tx *Tx) error {
			if n, err := tx.int("SELECT count(*) FROM " + table); n != 0 || err != nil {
				t.Errorf("%d rows are left in %s: %v", n, table, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestChunkCacheIsBounded(t *testing.T) {
	c := newChunkCache()
	put := func(log int64, first, count, size int) {
		c.put(log, &chunk{first: first, count: count, text: strings.Repeat("x", size)})
	}
	put(1, 1, 10, 1000)
	put(1, 1, 5, 500) // from an older snapshot
	if got := c.get(1, 1, 10); got == nil || got.count != 10 {
		t.Errorf("got %+v", got)
	}
	if got := c.get(1, 1, 11); got != nil {
		t.Errorf("a chunk of %d lines for 11", got.count)
	}
	put(1, 1, 11, 1100)
	if got := c.get(1, 1, 11); got == nil {
		t.Error("the newer one is missing")
	}
	put(2, 1, 1, mostCached) // too large to be kept
	for i := range 100 {
		put(3, i, 1, 1<<20)
		c.get(1, 1, 1) // stays, since it is used
	}
	if c.cost > mostCached || len(c.of) != c.order.Len() || len(c.of) < 10 {
		t.Errorf("%d chunks of %d bytes, %d in order", len(c.of), c.cost, c.order.Len())
	}
	if c.get(1, 1, 1) == nil || c.get(2, 1, 1) != nil || c.get(3, 0, 1) != nil {
		t.Error("the wrong ones were dropped")
	}
	c.forget(3)
	c.forget(1)
	if c.cost != 0 || len(c.of) != 0 || c.order.Len() != 0 {
		t.Errorf("%d chunks of %d bytes are left", len(c.of), c.cost)
	}
}

func TestTouchesAreBounded(t *testing.T) {
	tt := newTouches()
	now := time.Now()
	for i := range int64(3 * mostTouches) {
		if !tt.due(kovra.LogKey{ID: i}, now) {
			t.Fatalf("touch %d is not due", i)
		}
	}
	if len(tt.at) > mostTouches {
		t.Errorf("%d touches are remembered", len(tt.at))
	}
	if tt.due(kovra.LogKey{ID: 3*mostTouches - 1}, now.Add(time.Second)) {
		t.Error("due again after a second")
	}
	if !tt.due(kovra.LogKey{ID: 3*mostTouches - 1}, now.Add(-time.Hour)) {
		t.Error("not due after the clock was set back")
	}
}

// TestFold compares folding with the standard library for every rune.
func TestFold(t *testing.T) {
	for r := range rune(0x20000) {
		folded, _ := fold(nil, []byte(string(r)))
		if !strings.EqualFold(string(r), string(folded)) {
			t.Fatalf("%U folds to %U", r, []rune(string(folded)))
		}
		other := []rune(strings.ToUpper(string(r)))[0]
		if strings.EqualFold(string(r), string(other)) {
			if f, _ := fold(nil, []byte(string(other))); !bytes.Equal(f, folded) {
				t.Fatalf("%U and %U are equal, yet fold to %x and %x", r, other, folded, f)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		text := make([]byte, r.IntN(40))
		for i := range text {
			text[i] = byte(r.IntN(128))
		}
		got, ascii := foldASCII(nil, text)
		if want := bytes.ToLower(text); !ascii || !bytes.Equal(got, want) {
			t.Fatalf("%q folds to %q", text, got)
		}
	}
}

// FuzzLogMatcher compares the three ways in which a matcher looks at lines: through a whole
// block, line by line, and for places.
func FuzzLogMatcher(f *testing.F) {
	for _, text := range []string{"a line\nAnother\n", "\u212a\u017f\u1e9e\n\xff\xc3\n", "ÜBUNG k\n\nüben K\n"} {
		for _, q := range []string{"a", "k", "ü", "^a", "s+$", "(ab|K)n", "[^x]*", "\ufffd", "Ü|\u212a", "a(?i)b", `\x{17f}.`} {
			f.Add(text, q, true, true)
			f.Add(text, q, true, false)
			f.Add(text, q, false, false)
		}
	}
	f.Fuzz(func(t *testing.T, text, query string, regex, exact bool) {
		m, err := NewMatcher(LogQuery{Text: query, Regex: regex, Case: exact})
		if err != nil {
			if kovra.KindOf(err) != kovra.Invalid {
				t.Error(err)
			}
			return
		}
		text += "\n"
		var s scratch
		got, err := m.scan(t.Context(), []byte(text), &s, nil)
		if err != nil {
			t.Fatal(err)
		}
		var want []int
		for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
			matches := m.matches([]byte(line), &s)
			if matches {
				want = append(want, i)
			}
			found := m.Find(line, 100)
			if len(found) > 0 && !matches || !regex && query != "" && matches != (len(found) > 0) {
				t.Errorf("%q finds %v in %q, matches: %v", query, found, line, matches)
			}
			for _, p := range found {
				if !regex && !exact && !strings.EqualFold(line[p[0]:p[1]], query) {
					t.Errorf("%q finds %q", query, line[p[0]:p[1]])
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q through %q: lines %v, one by one %v", query, text, got, want)
		}
	})
}

// FuzzLogMarks expects that no marks, however damaged, do harm.
func FuzzLogMarks(f *testing.F) {
	var marks []byte
	for _, l := range []kovra.LogLine{{Stream: 'Q', Depth: 3, Spans: []kovra.LogSpan{{From: 1, To: 2, Style: 3}}}, {Stream: 'E'}} {
		marks = appendMarks(marks, &l, 0)
	}
	f.Add(marks, 2)
	f.Add([]byte{markSpans, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 1)
	f.Fuzz(func(t *testing.T, marks []byte, n int) {
		lines := make([]kovra.LogLine, max(0, min(n, 1000)))
		if err := decodeMarks(marks, lines); err != nil {
			return
		}
		var again []byte
		depth := 0
		for i := range lines {
			again = appendMarks(again, &lines[i], depth)
			depth = lines[i].Depth
		}
		if err := decodeMarks(again, make([]kovra.LogLine, len(lines))); err != nil {
			t.Errorf("%x is written as %x: %v", marks, again, err)
		}
	})
}

func TestFindBehindEmptyMatches(t *testing.T) {
	m, err := NewMatcher(LogQuery{Text: "x*", Regex: true})
	if err != nil {
		t.Fatal(err)
	}
	got := m.Find(strings.Repeat("a", 5000)+"xX"+strings.Repeat("a", 5000), 3)
	if want := [][2]int{{5000, 5002}}; !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	m.Find(strings.Repeat("a", 100_000), 3) // ends soon, whatever it finds
}

func TestRequiredLiterals(t *testing.T) {
	for pattern, want := range map[string][]string{
		"error":           {"error"},
		"err(or)?":        {"err"},
		"panic:|fatal":    {"panic:", "fatal"},
		"(a|bc)+x{2,}":    {"x"},
		"a*b?":            nil,
		"a|b*":            nil,
		`\d+ms took`:      {"ms took"},
		"^$":              nil,
		"\ufffdx":         nil,
		"longer.*in":      {"longer"},
		"(?:x{0,3}) end$": {" end"},
	} {
		m, err := NewMatcher(LogQuery{Text: pattern, Regex: true, Case: true})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range m.needles {
			got = append(got, string(n.text))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q needs one of %q, want %q", pattern, got, want)
		}
	}
}

// TestLogsRestoredOverAKilledServer: likewise for a copy of the logs; the log of the lost store does not get into it.
func TestLogsRestoredOverAKilledServer(t *testing.T) {
	lost := filepath.Join(t.TempDir(), "logs.db")
	l := testLogs(t, LogsOptions{Path: lost})
	l.fill(t, 1, []kovra.LogLine{{N: 1, Text: "kept"}})
	path := filepath.Join(t.TempDir(), "logs.db")
	if _, err := Backup(t.Context(), lost, path); err != nil {
		t.Fatal(err)
	}
	l.fill(t, 2, []kovra.LogLine{{N: 1, Text: "lost"}})
	for _, end := range []string{"-wal", "-shm"} {
		text, err := os.ReadFile(lost + end)
		if err != nil || len(text) == 0 {
			t.Fatalf("%s: %d bytes, %v", end, len(text), err)
		}
		if err := os.WriteFile(path+end, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	restored := testLogs(t, LogsOptions{Path: path})
	for job, kept := range map[int64]bool{1: true, 2: false} {
		_, err := restored.Find(t.Context(), kovra.LogKey{Kind: kovra.JobLog, Project: 1, ID: job})
		if kept && err != nil || !kept && kovra.KindOf(err) != kovra.NotFound {
			t.Errorf("job %d: %v", job, err)
		}
	}
}
