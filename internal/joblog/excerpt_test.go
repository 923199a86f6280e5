package joblog

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// TestExcerptsOfFixtures reads real logs; an index names the lines that a
// person would want to see, as physical lines of the file.
func TestExcerptsOfFixtures(t *testing.T) {
	root := os.Getenv("KOVRA_TEST_FIXTURES")
	if root == "" {
		t.Skip("KOVRA_TEST_FIXTURES is not set")
	}
	index, err := os.Open(filepath.Join(root, "logs", "index.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer index.Close()
	table := csv.NewReader(index)
	table.Comma, table.LazyQuotes, table.FieldsPerRecord = '\t', true, -1
	rows, err := table.ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatal(len(rows), err)
	}
	for _, row := range rows[1:] {
		t.Run(row[0], func(t *testing.T) {
			log, err := os.ReadFile(filepath.Join(root, "logs", row[0]))
			if err != nil {
				t.Fatal(err)
			}
			e := cut(t, string(log), Options{})
			checkBounds(t, e, Options{})
			t.Logf("first %d\n%s", e.First, e)
			all := strings.Join(shownTexts(e), "\n")
			for _, n := range lineRange(t, row[2]) {
				physical := strings.Split(string(log), "\n")[n-1]
				want := readAll(t, strings.NewReader(physical))[0].Text
				if !strings.Contains(all, want) && !strings.Contains(all, strings.TrimSuffix(want, Masked)) {
					t.Errorf("line %d of the file is not shown: %s", n, want)
				}
			}
		})
	}
}

func lineRange(t *testing.T, text string) []int {
	t.Helper()
	if text == "-" {
		return nil
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	a, err1 := strconv.Atoi(from)
	b, err2 := strconv.Atoi(to)
	if err1 != nil || err2 != nil {
		t.Fatalf("bad range %q", text)
	}
	var out []int
	for n := a; n <= b; n++ {
		out = append(out, n)
	}
	return out
}

// checkBounds holds for any excerpt.
func checkBounds(tb testing.TB, e Excerpt, o Options) {
	tb.Helper()
	o = o.withDefaults()
	if len(e.Lines) > o.MaxLines {
		tb.Fatalf("%d lines, allowed are %d", len(e.Lines), o.MaxLines)
	}
	size, last := 0, 0
	for i, l := range e.Lines {
		size += len(l.Text)
		checkText(tb, l.Text)
		switch {
		case len(l.Text) > o.MaxLineBytes:
			tb.Fatalf("line of %d bytes, allowed are %d", len(l.Text), o.MaxLineBytes)
		case l.Hidden > 0 && (l.Text != "" || l.N != 0 || i == 0 || i == len(e.Lines)-1):
			tb.Fatalf("bad mark of hidden lines %+v", l)
		case l.Hidden > 0:
			last += l.Hidden
		case l.N != last+1 && i > 0:
			tb.Fatalf("line %d follows %d", l.N, last)
		default:
			last = l.N
		}
	}
	if size > o.MaxBytes {
		tb.Fatalf("%d bytes, allowed are %d", size, o.MaxBytes)
	}
	if last > e.Total || len(e.Lines) > 0 && (e.First < 1 || e.First > e.Total) {
		tb.Fatalf("last line %d, first %d of %d", last, e.First, e.Total)
	}
}

func TestCutNothing(t *testing.T) {
	if diff := cmp.Diff(Excerpt{}, cut(t, "", Options{})); diff != "" {
		t.Error(diff)
	}
	if got := cut(t, "", Options{}).String(); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestCutNumbersEqualTheReaders(t *testing.T) {
	for _, c := range logCases(t) {
		for _, trace := range []string{c.trace, stamped(c.trace)} {
			lines := readAll(t, strings.NewReader(trace))
			e := cut(t, trace, Options{})
			checkBounds(t, e, Options{})
			if e.Total != len(lines) {
				t.Errorf("%s: total %d, the reader has %d", c.name, e.Total, len(lines))
			}
			for _, l := range e.Lines {
				if l.Hidden == 0 && !strings.Contains(l.Text, Masked) && lines[l.N-1].Text != l.Text {
					t.Errorf("%s: line %d is %q, the reader has %q", c.name, l.N, l.Text, lines[l.N-1].Text)
				}
			}
		}
	}
}

func TestCutTail(t *testing.T) {
	var b strings.Builder
	for i := range 30 {
		fmt.Fprintf(&b, "step %d\n", i+1)
	}
	e := cut(t, b.String()+"\n\n", Options{})
	if e.First != 20 || len(e.Lines) != 11 || e.Lines[10].Text != "step 30" {
		t.Errorf("got first %d\n%s", e.First, e)
	}
	cleanup := cut(t, "section_start:1:after_script\r\x1b[0KAfter\nleft over\nerror: of the clean-up\n", Options{})
	if got := shownTexts(cleanup); len(got) != 2 || got[1] != "error: of the clean-up" {
		t.Errorf("a log of nothing but clean-up: %q", got)
	}
}

func TestCutPhases(t *testing.T) {
	const script = "section_start:1:step_script\r\x1b[0KRun\n\x1b[32;1m$ make\x1b[0;m\nmake is done\nsection_end:1:step_script\r\x1b[0K"
	cases := []struct{ name, log, must, mustNot string }{
		{
			"upload fails after a good script", script + "section_start:2:upload_artifacts_on_success\r\x1b[0KUploading artifacts\nERROR: Uploading artifacts as \"archive\" to coordinator... 413 Request Entity Too Large\nFATAL: too large\nsection_end:2:upload_artifacts_on_success\r\x1b[0K\x1b[31;1mERROR: Job failed: exit code 1\n",
			"413 Request Entity Too Large", "make is done",
		},
		{
			"system failure", script + "\x1b[31;1mERROR: Job failed (system failure): pods \"runner-1\" not found\n",
			"ERROR: Job failed (system failure)", "",
		},
		{
			"after_script is never the cause", script[:len(script)-34] + "Killed\n" + "section_end:1:step_script\r\x1b[0Ksection_start:2:after_script\r\x1b[0KAfter\n$ rm x\nrm: can't remove 'x': No such file or directory\nsection_end:2:after_script\r\x1b[0K\x1b[31;1mERROR: Job failed: exit code 137\n",
			"Killed", "can't remove",
		},
		{"success", script + "\x1b[32;1mJob succeeded\n", "Job succeeded", ""},
		{"red without a word", "$ ./check\nfine\n\x1b[31mtwo boxes differ\x1b[0m\n" + strings.Repeat("\x1b[32mok\x1b[0m then\n", 40), "two boxes differ", ""},
		{"stderr counts a little more", at + "01O failed to load the banner\n" + at + "01O " + strings.Repeat("x\n"+at+"01O ", 20) + "\n" + at + "01E failed to load the cart\n", "the cart", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := cut(t, c.log, Options{})
			all := strings.Join(shownTexts(e), "\n")
			if !strings.Contains(all, c.must) || c.mustNot != "" && strings.Contains(all, c.mustNot) {
				t.Errorf("want %q, not %q:\n%s", c.must, c.mustNot, e)
			}
		})
	}
}

func TestCutBounds(t *testing.T) {
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, "main.c:%d:1: error: %s wrong\n    %d | code\n", i+1, strings.Repeat("very ", 100), i)
	}
	b.WriteString("ERROR: Job failed: exit code 1\n")
	for _, o := range []Options{{}, {MaxLines: 1}, {MaxLines: 3}, {MaxBytes: 5}, {MaxBytes: 100}, {MaxLineBytes: 1}, {MaxLines: 500, MaxBytes: 1 << 20, MaxLineBytes: 1 << 20}} {
		e := cut(t, b.String(), o)
		checkBounds(t, e, o)
		if !e.Truncated || len(e.Lines) == 0 {
			t.Errorf("%+v: truncated %v\n%s", o, e.Truncated, e)
		}
	}
}

func TestCutShowsTheMatchOfALongLine(t *testing.T) {
	line := strings.Repeat("é ", 900) + "Permission denied" + strings.Repeat(" ü", 900)
	e := cut(t, line+"\n", Options{})
	if got := shownTexts(e)[0]; !strings.Contains(got, "Permission denied") || !strings.HasPrefix(got, "…") || !strings.HasSuffix(got, "…") {
		t.Errorf("got %q", got)
	}
	checkBounds(t, e, Options{})
}

func TestExcerptString(t *testing.T) {
	e := Excerpt{Lines: []ExcerptLine{{N: 9, Text: "nine"}, {N: 10}, {Hidden: 1}, {N: 12, Text: "twelve"}, {Hidden: 7}, {N: 20, Text: "end"}}}
	want := " 9  nine\n10\n… 1 line hidden …\n12  twelve\n… 7 lines hidden …\n20  end\n"
	if diff := cmp.Diff(want, e.String()); diff != "" {
		t.Error(diff)
	}
}

func TestCutErrors(t *testing.T) {
	broken := errors.New("connection lost")
	e, err := Cut(t.Context(), io.MultiReader(strings.NewReader("error: x\n"), iotest.ErrReader(broken)), Options{})
	if !errors.Is(err, broken) || len(e.Lines) != 0 {
		t.Errorf("got %v, %v", e, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Cut(ctx, strings.NewReader("error: x\n"), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestKnowledgeQuiet(t *testing.T) {
	k, err := known()
	if err != nil {
		t.Fatal(err)
	}
	quiet := []string{
		"0 errors, 3 warnings", "found 0 vulnerabilities", "Tests run: 3, Failures: 0, Errors: 0", "no errors found", "compiled without errors",
		"error handling is on", "ERROR: No files to upload", "WARNING: Retrying... error=invalid argument", "npm warn deprecated x: error prone",
		"ok  \texample.com/errors\t0.01s", "PASS src/error.test.js", "   Compiling failure v0.1.8", "Setting up libgpg-error0:amd64", "--- PASS: TestFailed (0.00s)",
		"$ echo error: not really", "+ echo fatal: neither", "[ERROR] Re-run Maven using the -X switch", "attempt 2/5 failed: connection refused", "time=10:00 level=info msg=\"error rate 0\"",
		"test parse::error ... ok", "THE SOFTWARE IS PROVIDED WITHOUT WARRANTY, licence terminated", "12 passed", "an ordinary line", "",
	}
	for _, line := range quiet {
		if p, _, _ := k.match(line, fullInterest, 0); p != nil && !p.controls() {
			t.Errorf("%q is taken for %s (%d)", line, p.name, p.weight)
		}
	}
	loud := map[string]string{
		"2 failed, 0 errors":                            "failed tests",
		"Tests run: 3, Failures: 1, Errors: 0":          "", // any
		"2026-03-01 10:00:00,123 ERROR cart is broken":  "severe",
		"#12 4.201 sh: vite: not found":                 "shell",
		"giving up after 5 retries: connection refused": "network",
		"panic: boom": "go panic",
		"curl: (6) Could not resolve host: example": "curl",
		"[31mE       ValueError: x":                 "pytest detail",
	}
	for line, want := range loud {
		p, _, _ := k.match(line, fullInterest, 0)
		if p == nil || want != "" && p.name != want {
			t.Errorf("%q: got %+v, want %s", line, p, want)
		}
	}
}

func TestKnowledgeRefusesBadPatterns(t *testing.T) {
	good := pattern{name: "good", any: []string{"literal"}, expr: "x"}
	bad := []struct {
		patterns []pattern
		quiets   []quiet
		headings []heading
	}{
		{patterns: []pattern{{name: "bad", any: []string{"literal"}, expr: "("}}},
		{patterns: []pattern{{name: "bad", any: []string{"abcd"}, expr: "x"}}},
		{patterns: []pattern{good}, quiets: []quiet{{expr: "("}}},
		{patterns: []pattern{good}, quiets: []quiet{{expr: "x", unless: "("}}},
		{patterns: []pattern{good}, headings: []heading{{expr: "("}}},
	}
	for _, b := range bad {
		if _, err := newKnowledge(b.patterns, b.quiets, b.headings); err == nil {
			t.Errorf("%+v was taken", b)
		}
	}
}

// TestKnowledgeIsWellFormed keeps the table honest: literals are lower case, and
// a line that matches an expression passes the filter.
func TestKnowledgeIsWellFormed(t *testing.T) {
	names := map[string]bool{}
	for _, p := range knownPatterns {
		if names[p.name] || (p.weight < 1) != p.controls() || p.weight > 100 && p.weight != endWeight || len(p.any) == 0 {
			t.Errorf("pattern %+v", p)
		}
		names[p.name] = true
		for _, l := range p.any {
			if l != strings.ToLower(l) {
				t.Errorf("%s: literal %q is not lower case", p.name, l)
			}
		}
	}
}

func TestFilterMissesNothing(t *testing.T) {
	f, err := newFilter([]string{"error", "No Space", "fail\t", "  ● "})
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"error", "ERROR", "no space", "FAIL\t", "  ● "} {
		for pad := range 9 {
			for end := range 9 {
				line := strings.Repeat("x", pad) + word + strings.Repeat("y", end)
				if !f.match([]byte(line)) {
					t.Errorf("%q is missed", line)
				}
			}
		}
	}
	for _, line := range []string{"", "erro", "err or", "terrors of old"[:5], "nospace", "fail"} {
		if f.match([]byte(line)) {
			t.Errorf("%q is taken", line)
		}
	}
}

func FuzzExcerpt(f *testing.F) {
	const token, ours, key = "glpat-Abcdefghij0123456789", "our own, quite secret value", "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW"
	for _, c := range logCases(f) {
		f.Add([]byte(c.trace), uint64(1), 20, 2500)
		f.Add([]byte(stamped(c.trace)), uint64(2), 5, 300)
	}
	f.Add([]byte("error: ① and ② and\n③\nfatal: x\n"), uint64(3), 20, 2500)
	f.Add([]byte("$ x ①\nPermission denied ②\x1b[31m②\n③ Killed ①①"), uint64(3), 1, 10)
	knowledge, err := Compile([]Pattern{
		{Name: "short", Contains: []string{"not"}, Weight: 60, Before: 3, After: 3},
		{Name: "slow", Expr: `^[a-c]+$`},
		{Name: "quiet", Expr: `(?i)permission|panic`, Quiet: true},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, lines, size int) {
		log := strings.NewReplacer(
			"①", " "+token+" ", "②", ours, "③", "\n-----BEGIN RSA PRIVATE KEY-----\n"+key+"\n-----END RSA PRIVATE KEY-----\n",
		).Replace(string(data))
		o := Options{MaxLines: lines % 100, MaxBytes: size % 10_000, Mask: NewMasker([]string{ours})}
		if seed%2 == 1 {
			o.Knowledge = knowledge
		}
		whole := cut(t, log, o)
		checkBounds(t, whole, o)
		each, same := eachLine(t, log, o)
		if diff := cmp.Diff(whole, same); diff != "" {
			t.Fatalf("differs when lines are handed over:\n%s", diff)
		}
		text := whole.String()
		for _, l := range each {
			checkText(t, l.Text)
			checkSpans(t, l)
			text += l.Text + "\n"
		}
		for _, secret := range []string{token, ours, key} {
			if strings.Contains(text, secret) && strings.Count(string(data), secret) == 0 {
				t.Fatalf("shows a secret:\n%s", text)
			}
		}
		parted, err := Cut(t.Context(), &pieces{data: []byte(log), rnd: rand.New(rand.NewPCG(seed, 1))}, o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole, parted); diff != "" {
			t.Fatalf("differs when parted:\n%s", diff)
		}
		if strings.ContainsRune(text, esc) {
			t.Fatal("escape byte")
		}
	})
}
