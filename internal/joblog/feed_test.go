package joblog

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// feedAll gives the lines of a log, fed one by one.
func feedAll(tb testing.TB, log string, mask *Masker) []Line {
	tb.Helper()
	f, err := NewFeed(0, mask, nil)
	if err != nil {
		tb.Fatal(err)
	}
	var out []Line
	for text := range strings.Lines(log) {
		line, err := f.Line(strings.TrimSuffix(text, "\n"))
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, line)
	}
	return out
}

// A log that is fed line by line has the lines of one that is read as a whole.
func TestFeedGivesTheLinesOfCut(t *testing.T) {
	logs := map[string]string{
		"redraws":     "0%\r50%\r100%\nnext\r\n\x1b[31mred\nstill red\x1b[0m\nplain\n",
		"not UTF-8":   "a\xffb\xc3\n\n\ttab\x07\n",
		"long":        strings.Repeat("x", 3*MaxLineBytes) + "\n" + strings.Repeat("1%\r", MaxLineBytes) + "done\n",
		"private key": "-----BEGIN RSA PRIVATE KEY-----\n" + strings.Repeat("QUJD", 16) + "\n-----END RSA PRIVATE KEY-----\nafter\n",
		"markers":     "section_start:1:step_script\r\x1b[0KTitle\nsection_start:2:x\nsection_end:1:step_script\r\x1b[0Kend\n",
		"stamps":      "2026-03-01T10:00:00.123456Z 01E looks stamped\nand goes on\n",
		"hushed":      "stderr | a.test.ts > x\nError: expected\n\nError: real\n",
		"secrets":     "token glpat-abcdefghijkl\npassword=hunter22\n",
	}
	for _, c := range logCases(t) {
		logs[c.name] = strings.TrimSuffix(c.trace, "\n") + "\n"
	}
	for name, log := range logs {
		t.Run(name, func(t *testing.T) {
			want, _ := eachLine(t, log, Options{Plain: true, Mask: NewMasker([]string{"hunter22"})})
			got := feedAll(t, log, NewMasker([]string{"hunter22"}))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("fed line by line (-whole +fed)\n%s", diff)
			}
		})
	}
}

// In a plain log every line counts, whatever it looks like: numbers are those of its line feeds.
func TestPlainNumbers(t *testing.T) {
	log := "2026-03-01T10:00:00.123456Z 00O section_start:1:step_script\nsection_start:1:after_script\n[0Ksection_end:1:x\n\nmain.go:3:1: undefined: x\nsection_end:2:after_script\n"
	lines, e := eachLine(t, log, Options{Plain: true})
	var got []string
	for _, l := range lines {
		got = append(got, strconv.Itoa(l.N)+" "+l.Text)
	}
	var want []string
	for text := range strings.Lines(log) {
		want = append(want, strconv.Itoa(len(want)+1)+" "+strings.TrimSuffix(text, "\n"))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got)\n%s", diff)
	}
	if e.Total != 6 || e.First != 5 {
		t.Errorf("total %d, first %d; want 6 and 5: %s", e.Total, e.First, e)
	}
	if quick, err := Cut(t.Context(), strings.NewReader(log), Options{Plain: true}); err != nil || quick.String() != e.String() {
		t.Errorf("without Each the excerpt is another one: %v\n%s\n%s", err, quick, e)
	}
}

// Who reads on within a private key goes on to hide it, and stops where it ends.
func TestFeedResume(t *testing.T) {
	key := strings.Repeat("QUJD", 16)
	log := "before\n-----BEGIN RSA PRIVATE KEY-----\n" + key + "\n" + key + "\n-----END RSA PRIVATE KEY-----\nafter\n"
	whole := feedAll(t, log, nil)
	texts := strings.Split(strings.TrimSuffix(log, "\n"), "\n")
	for at := 1; at < len(texts); at++ {
		f, err := NewFeed(at, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		f.Resume(whole[at-1].Text)
		for i := at; i < len(texts); i++ {
			line, err := f.Line(texts[i])
			if err != nil {
				t.Fatal(err)
			}
			if line.N != i+1 {
				t.Errorf("after %d: line %d is called %d", at, i+1, line.N)
			}
			if hidden := strings.Contains(texts[i], "QUJD"); hidden && line.Text != Masked {
				t.Errorf("after %d: line %d shows %q", at, i+1, line.Text)
			}
			if at < 5 && line.Text != whole[i].Text {
				t.Errorf("after %d: line %d is %q, want %q", at, i+1, line.Text, whole[i].Text)
			}
		}
	}
}
