package storage

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// benchLines are lines as jobs write them: commands, tests, downloads, traces.
func benchLines(n int) []kovra.LogLine {
	r := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		return []string{"cache", "module", "handler", "request", "Übung", "token", "worker", "index", "schema", "client"}[r.IntN(10)]
	}
	lines := make([]kovra.LogLine, n)
	for i := range lines {
		l := &lines[i]
		l.N = i + 1
		l.Stream = 'O'
		switch r.IntN(8) {
		case 0:
			l.Text = fmt.Sprintf("ok  \tgitlab.example.com/group/%s/internal/%s\t%d.%03ds\tcoverage: %d.%d%% of statements in ./...", word(), word(), r.IntN(9), r.IntN(1000), r.IntN(100), r.IntN(10))
		case 1:
			l.Text = fmt.Sprintf("=== RUN   Test%s/%s_%06d/with_the_%s_that_is_kept_for_%d_seconds_and_more", word(), word(), r.IntN(1e6), word(), r.IntN(60))
		case 2:
			l.Text = fmt.Sprintf("Downloading https://registry.example.com/%s/-/%s-%d.%d.%d.tgz (sha512-%016x%016x)", word(), word(), r.IntN(20), r.IntN(20), r.IntN(99), r.Uint64(), r.Uint64())
		case 3:
			l.Text = fmt.Sprintf("2026-11-23T09:%02d:%02d.%06dZ level=info msg=\"%s of the %s was written\" id=%d took=%dms", r.IntN(60), r.IntN(60), r.IntN(1e6), word(), word(), r.IntN(1e9), r.IntN(5000))
			l.Spans = []kovra.LogSpan{{From: 0, To: 27, Style: 3}, {From: 28, To: 38, Style: 9}}
		case 4:
			l.Text = fmt.Sprintf("    --- PASS: Test%s/%s_%06d (%d.%02ds)   %s %s %s %s and nothing is to be said of it", word(), word(), r.IntN(1e6), r.IntN(9), r.IntN(100), word(), word(), word(), word())
		case 5:
			l.Text = fmt.Sprintf("\tat com.example.%s.%s.run(%s.java:%d) ~[%s-%d.%d.jar:na] in a thread named %s-%d", word(), word(), word(), r.IntN(2000), word(), r.IntN(9), r.IntN(9), word(), r.IntN(64))
			l.Stream = 'E'
		case 6:
			l.Text = fmt.Sprintf("$ docker build --pull --tag registry.example.com/%s/%s:%08x --build-arg VERSION=%d .", word(), word(), r.Uint32(), r.IntN(1000))
		default:
			l.Text = fmt.Sprintf("%s %s %s %s %s %s %s %d", word(), word(), word(), word(), word(), word(), word(), r.IntN(1e9))
		}
		if i%(n/10) == n/20 {
			l.Text = "--- FAIL: panic: The Needle was found: exit code 137"
			l.Suspect = true
		}
	}
	return lines
}

func benchLogs(b *testing.B) *Logs {
	b.Helper()
	l, err := OpenLogs(b.Context(), LogsOptions{Path: filepath.Join(b.TempDir(), "logs.db"), MaxLog: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	})
	return l
}

func benchAppend(b *testing.B, l *Logs, job int64, lines []kovra.LogLine, step int) kovra.Log {
	b.Helper()
	log, err := l.Touch(b.Context(), kovra.LogKey{Kind: kovra.JobLog, Project: 1, ID: job})
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(lines); i += step {
		if _, err := l.Append(b.Context(), log.ID, lines[i:min(len(lines), i+step)]); err != nil {
			b.Fatal(err)
		}
	}
	if log, err = l.Log(b.Context(), log.ID); err != nil {
		b.Fatal(err)
	}
	return log
}

// BenchmarkLogs measures one log of a million lines; its searches are compared with
// the same search through the bare text in memory.
func BenchmarkLogs(b *testing.B) {
	n := 1_000_000
	if testing.Short() {
		n = 50_000
	}
	lines := benchLines(n)
	l := benchLogs(b)
	log := benchAppend(b, l, 1, lines, 2000)
	size, err := l.Size(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var text []byte
	for block, err := range l.Text(b.Context(), log.ID) {
		if err != nil {
			b.Fatal(err)
		}
		text = append(text, block...)
	}
	b.Run("Append", func(b *testing.B) {
		b.SetBytes(log.Bytes)
		for i := 0; b.Loop(); i++ {
			benchAppend(b, l, int64(100+i), lines, 2000)
		}
		b.ReportMetric(float64(log.Bytes)/float64(size), "x-smaller")
	})
	b.Run("AppendOneToGrowing", func(b *testing.B) {
		tail := benchAppend(b, l, 99, lines[:1900], 1900)
		for i := 0; b.Loop(); i++ {
			line := lines[i%1000]
			line.N = 1901 + i
			if _, err := l.Append(b.Context(), tail.ID, []kovra.LogLine{line}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Lines200", func(b *testing.B) {
		r := rand.New(rand.NewPCG(3, 4))
		for b.Loop() {
			if _, err := l.Lines(b.Context(), log.ID, 1+r.IntN(n-200), 200); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("LinesHot", func(b *testing.B) {
		for b.Loop() {
			if _, err := l.Lines(b.Context(), log.ID, n-5, 200); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Text", func(b *testing.B) {
		b.SetBytes(log.Bytes)
		for b.Loop() {
			for _, err := range l.Text(b.Context(), log.ID) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	for name, q := range map[string]LogQuery{
		"Plain":        {Text: "the needle was"},
		"PlainCommon":  {Text: "handler"},
		"PlainCase":    {Text: "The Needle was", Case: true},
		"PlainUnicode": {Text: "übung of"},
		"Regex":        {Text: `exit code [1-9]\d*`, Regex: true},
		"RegexEither":  {Text: `panic:|fatal error|--- FAIL`, Regex: true},
		"RegexBare":    {Text: `[0-9]{7}Z`, Regex: true, Case: true},
		"RegexNothing": {Text: `[^a-z]{40}`, Regex: true},
	} {
		b.Run("Search"+name, func(b *testing.B) { benchSearch(b, l, log.ID, q, text) })
	}
}

func benchSearch(b *testing.B, l *Logs, id int64, q LogQuery, text []byte) {
	b.Helper()
	b.SetBytes(int64(len(text)))
	var first time.Duration
	hits := 0
	for b.Loop() {
		begin := time.Now()
		found := 0
		for h, err := range l.Search(b.Context(), id, q) {
			if err != nil {
				b.Fatal(err)
			}
			if found == 0 && len(h.Numbers) > 0 {
				first = time.Since(begin)
			}
			found += len(h.Numbers)
		}
		hits = found
	}
	took := b.Elapsed() / time.Duration(b.N)
	b.ReportMetric(float64(hits), "hits")
	b.ReportMetric(float64(first.Microseconds())/1000, "first-ms")
	begin := time.Now()
	bare := bareSearch(q, text)
	b.ReportMetric(float64(took)/float64(time.Since(begin)), "x-bare")
	if bare != hits {
		b.Errorf("the bare search found %d lines, ours %d", bare, hits)
	}
}

// bareSearch is what the standard library does with lines in memory.
func bareSearch(q LogQuery, text []byte) (hits int) {
	needle := []byte(q.Text)
	var re *regexp.Regexp
	if q.Regex {
		pattern := q.Text
		if !q.Case {
			pattern = "(?i)" + pattern
		}
		re = regexp.MustCompile(pattern)
	} else if !q.Case {
		needle, text = bytes.ToLower(needle), bytes.ToLower(text)
	}
	for line := range bytes.Lines(text) {
		line = bytes.TrimSuffix(line, lineFeed)
		if re != nil && re.Match(line) || re == nil && bytes.Contains(line, needle) {
			hits++
		}
	}
	return hits
}

// BenchmarkAwait wakes many readers of one log.
func BenchmarkAwait(b *testing.B) {
	const many = 200
	l := benchLogs(b)
	log := benchAppend(b, l, 1, benchLines(1000), 1000)
	lines := benchLines(100_000)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	seen := make(chan error, many)
	for range many {
		go func() {
			for at := log; ; {
				next, err := l.Await(ctx, at.ID, at.Version)
				if err == nil {
					_, err = l.Lines(ctx, at.ID, at.Lines+1, 100)
				}
				if ctx.Err() != nil {
					return
				}
				at = next
				seen <- err
			}
		}()
	}
	for i := 0; b.Loop(); i++ {
		if _, err := l.Append(ctx, log.ID, lines[1000+i:1001+i]); err != nil {
			b.Fatal(err)
		}
		for range many {
			if err := <-seen; err != nil {
				b.Fatal(err)
			}
		}
	}
}
