package joblog

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkAgainstGrep compares Cut with the search for a few error words by grep, on a
// stamped trace of 100 MB and 1,000,000 lines in the page cache. One iteration is a
// comparison of several rounds in turns; ratio is our speed by that of grep, the
// median of the rounds. Cut masks kinds and ten values, and knows patterns of a user.
func BenchmarkAgainstGrep(b *testing.B) {
	grep, err := exec.LookPath("grep")
	if err != nil {
		b.Skip("there is no grep")
	}
	trace := benchTrace(100_000_000)
	file := filepath.Join(b.TempDir(), "trace.log")
	if err := os.WriteFile(file, trace, 0o600); err != nil {
		b.Fatal(err)
	}
	lines := bytes.Count(trace, []byte("\n"))
	b.Logf("%d bytes, %d lines; %s, LC_ALL=%q LANG=%q", len(trace), lines, grep, os.Getenv("LC_ALL"), os.Getenv("LANG"))
	if lines < 1_000_000 {
		b.Fatal("too few lines")
	}
	o := Options{Mask: benchMask(), Knowledge: benchKnowledge(b)}
	const rounds = 7
	for b.Loop() {
		var ratios, ours, theirs []float64
		for range rounds {
			they, we := timeGrep(b, grep, file), timeCut(b, file, o)
			ratios = append(ratios, they.Seconds()/we.Seconds())
			ours = append(ours, float64(len(trace))/1e6/we.Seconds())
			theirs = append(theirs, float64(len(trace))/1e6/they.Seconds())
		}
		b.ReportMetric(median(ratios), "ratio")
		b.ReportMetric(median(ours), "cut-MB/s")
		b.ReportMetric(median(theirs), "grep-MB/s")
	}
	b.ReportMetric(float64(allocated(b, trace[:10_000_000], o)), "B-for-10MB")
	b.ReportMetric(float64(allocated(b, trace, o)), "B-for-100MB")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func timeGrep(b *testing.B, grep, file string) time.Duration {
	b.Helper()
	start := time.Now()
	out, err := exec.CommandContext(b.Context(), grep, "-ciE", "error|fatal|panic|failed", file).Output() // a pipe: for /dev/null grep stops at the first match
	took := time.Since(start)
	if err != nil || len(strings.TrimSpace(string(out))) < 4 {
		b.Fatalf("grep says %q, %v", out, err)
	}
	return took
}

func timeCut(b *testing.B, file string, o Options) time.Duration {
	b.Helper()
	start := time.Now()
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	e, err := Cut(b.Context(), f, o)
	if err != nil || len(e.Lines) == 0 {
		b.Fatal(e, err)
	}
	return time.Since(start)
}

// allocated gives the bytes that Cut allocates for a log, all in all.
func allocated(b *testing.B, log []byte, o Options) uint64 {
	b.Helper()
	return allocatedBy(func() {
		if _, err := Cut(b.Context(), bytes.NewReader(log), o); err != nil {
			b.Fatal(err)
		}
	})
}

func benchKnowledge(tb testing.TB) *Knowledge {
	tb.Helper()
	k, err := Compile([]Pattern{
		{Name: "chunk", Contains: []string{"chunk missing"}, Weight: 90, Before: 1, After: 2},
		{Name: "ledger", Expr: `ledger \d+ (?:out of balance|locked)`},
		{Name: "known flake", Contains: []string{"flaky proxy"}, Quiet: true},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return k
}
