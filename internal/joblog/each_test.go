package joblog

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// eachLine cuts an excerpt and keeps all lines.
func eachLine(tb testing.TB, log string, o Options) ([]Line, Excerpt) {
	tb.Helper()
	var lines []Line
	o.Each = func(l Line) error {
		lines = append(lines, l)
		return nil
	}
	return lines, cut(tb, log, o)
}

// TestEachGivesTheReadersLines: where nothing is masked, lines are the reader's, and the excerpt
// is the one that Cut gives alone.
func TestEachGivesTheReadersLines(t *testing.T) {
	for _, c := range logCases(t) {
		for _, f := range formatsOf(c) {
			want := readAll(t, strings.NewReader(f.trace))
			got, e := eachLine(t, f.trace, Options{})
			mask := NewMasker(nil)
			for i := range want {
				if text := mask.Line(want[i].Text); text != want[i].Text {
					want[i].Text, want[i].Spans = text, moveSpans(want[i].Spans, want[i].Text, text)
				}
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Line{}, "Suspect")); diff != "" {
				t.Errorf("%s/%s (-reader +each)\n%.2000s", c.name, f.name, diff)
			}
			if diff := cmp.Diff(cut(t, f.trace, Options{}), e); diff != "" {
				t.Errorf("%s/%s: the excerpt differs\n%s", c.name, f.name, diff)
			}
		}
	}
}

func TestEachSuspects(t *testing.T) {
	log := "fine\nerror: broken\n0 errors\n$ echo error: not really\nJob succeeded\nWARNING: retrying\n--- FAIL: TestX (0.1s)\nmine is broken\nnot mine error: x\n\x1b[31mred\x1b[0m\nERROR: Job failed: exit code 1\n"
	k, err := Compile([]Pattern{{Name: "mine", Contains: []string{"MINE IS"}}, {Name: "theirs", Expr: "^not mine", Quiet: true}})
	if err != nil {
		t.Fatal(err)
	}
	lines, _ := eachLine(t, log, Options{Knowledge: k})
	var got []string
	for _, l := range lines {
		if l.Suspect {
			got = append(got, l.Text)
		}
	}
	want := []string{"error: broken", "--- FAIL: TestX (0.1s)", "mine is broken", "ERROR: Job failed: exit code 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEachMasks(t *testing.T) {
	const key = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW"
	log := "\x1b[31mtoken\x1b[0m glpat-Abcdefghij0123456789 \x1b[32mend\x1b[0m\n-----BEGIN RSA PRIVATE KEY-----\n\x1b[31m" + key +
		"\x1b[0m\n-----END RSA PRIVATE KEY-----\nafter\nERROR: Job failed: exit code 1\n"
	lines, _ := eachLine(t, log, Options{})
	var got []string
	for _, l := range lines {
		checkSpans(t, l)
		got = append(got, l.Text+"|"+spansOf(l.Spans))
	}
	want := []string{"token [MASKED] end|0-5:f2 15-18:f3", "[MASKED]|", "[MASKED]|", "[MASKED]|", "after|", "ERROR: Job failed: exit code 1|"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEachFails(t *testing.T) {
	full := errors.New("disk full")
	seen := 0
	e, err := Cut(t.Context(), strings.NewReader("a\nb\nc\n"), Options{Each: func(Line) error {
		if seen++; seen == 2 {
			return full
		}
		return nil
	}})
	if !errors.Is(err, full) || !strings.Contains(err.Error(), "line 2") || seen != 2 || len(e.Lines) != 0 {
		t.Errorf("got %v after %d lines", err, seen)
	}
}

func TestEachTellsOpenLines(t *testing.T) {
	lines, _ := eachLine(t, "a\nb", Options{})
	if len(lines) != 2 || lines[0].Open || !lines[1].Open {
		t.Errorf("got %+v", lines)
	}
}
