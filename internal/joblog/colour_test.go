package joblog

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// spansOf writes spans as "from-to:what".
func spansOf(spans []Span) string {
	var out []string
	for _, s := range spans {
		out = append(out, fmt.Sprintf("%d-%d:%s", s.From, s.To, styleName(s.Style)))
	}
	return strings.Join(out, " ")
}

func styleName(s Style) string {
	var out []string
	if text := s & 31; text != 0 {
		out = append(out, fmt.Sprintf("f%d", text))
	}
	if back := s >> backShift & 31; back != 0 {
		out = append(out, fmt.Sprintf("b%d", back))
	}
	for i, name := range []string{"bold", "dim", "italic", "underline", "strike"} {
		if s&(bold<<i) != 0 {
			out = append(out, name)
		}
	}
	return strings.Join(out, ",")
}

func TestReaderColours(t *testing.T) {
	cases := []struct {
		name, log string
		want      []string // a text and its spans
	}{
		{"plain", "a\x1b[0mb\n", []string{"ab|"}},
		{"the sixteen", "\x1b[30ma\x1b[37mb\x1b[90mc\x1b[97md\x1b[39me\x1b[41mf\x1b[107mg\x1b[49mh\n", []string{"abcdefgh|0-1:f1 1-2:f8 2-3:f9 3-4:f16 5-6:b2 6-7:b16"}},
		{
			"marks", "\x1b[1ma\x1b[2mb\x1b[22;3mc\x1b[23;4md\x1b[24;9me\x1b[29mf\x1b[21mg\x1b[mh\n",
			[]string{"abcdefgh|0-1:bold 1-2:bold,dim 2-3:italic 3-4:underline 4-5:strike 6-7:underline"},
		},
		{"several at once", "\x1b[1;31;44mx\x1b[0;32my\x1b[;mz\n", []string{"xyz|0-1:f2,b5,bold 1-2:f3"}},
		{"inverse", "\x1b[7ma\x1b[31mb\x1b[42mc\x1b[27md\x1b[0;44;7me\n", []string{"abcde|0-1:f1,b8 1-2:f1,b2 2-3:f3,b2 3-4:f2,b3 4-5:f5,b8"}},
		{
			"256 colours", "\x1b[38;5;1ma\x1b[38;5;9mb\x1b[38;5;208mc\x1b[38;5;240md\x1b[48;5;21me\x1b[38;5;255mf\x1b[38;5;232mg\x1b[38;5;300mh\n",
			[]string{"abcdefgh|0-1:f2 1-2:f10 2-3:f12 3-4:f9 4-5:f9,b13 5-6:f16,b13 6-8:f1,b13"},
		},
		{
			"true colours", "\x1b[38;2;200;0;0ma\x1b[38:2::250:80:80mb\x1b[38:2:150:195:121mc\x1b[38;2;1;2md\x1b[0;38;2;999;0;0me\x1b[58;5;9mf\x1b[48;2;120;120;120mg\n",
			[]string{"abcdefg|0-1:f2 1-2:f10 2-4:f3 6-7:b9"},
		},
		{"other sequences", "\x1b[31m\x1b[2Ka\x1b[?25lb\x1b[>4;2mc\x1b]0;[32mtitle\x07d\x1b[3\n", []string{"abcd|0-4:f2"}},
		{"carried on", "\x1b[31ma\nb\n\nc\x1b[0md\ne\n", []string{"a|0-1:f2", "b|0-1:f2", "|", "cd|0-1:f2", "e|"}},
		{"carried over a redraw", "\x1b[31m10%\r20%\n30%\x1b[0m\rdone\n", []string{"20%|0-3:f2", "done|"}},
		{"carried over what is not shown", "\x1b[32m10%\x1b[1m\r\nx\n", []string{"10%|0-3:f3", "x|0-1:f3,bold"}},
		{"runes", "\x1b[31mé\x1b[0mü\x1b[32m\xff\x1b[0mz\n", []string{"éü\ufffdz|0-2:f2 4-7:f3"}},
		{"a rune in two colours", "\x1b[31m\xc3\x1b[32m\xa9z\n", []string{"éz|0-2:f2 2-3:f3"}},
		{"control characters", "\x1b[31ma\x07\x1b[0m\x07\x1b[31mb\x1b[32m\x08\n", []string{"ab|0-2:f2"}},
		{
			"sections of the runner start plain", "\x1b[31msection_start:1:step_script\r\x1b[0Ka\nsection_start:1:mine\r\x1b[0K\x1b[35mb\nc\nsection_end:1:mine\r\x1b[0Ksection_start:1:after_script\r\x1b[0Kd\n",
			[]string{"a|", "b|0-1:f6", "c|0-1:f6", "d|"},
		},
		{"marker lines count", "section_start:1:mine\r\x1b[0K\x1b[33m\na\x1b[0msection_end:1:mine\r\x1b[0K\x1b[34m\nb\n", []string{"a|0-1:f4", "b|0-1:f5"}},
		{"stamped", at + "01O \x1b[31mx\n" + at + "01O y\r\n" + at + "01O+z\n" + at + "01O w\x1b[0m\n", []string{"x|0-1:f2", "z|0-1:f2", "w|0-1:f2"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, l := range readAll(t, strings.NewReader(c.log)) {
				checkSpans(t, l)
				got = append(got, l.Text+"|"+spansOf(l.Spans))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func checkSpans(tb testing.TB, l Line) {
	tb.Helper()
	last := Span{}
	for _, s := range l.Spans {
		switch {
		case s.From < last.To || s.From >= s.To || s.To > len(l.Text):
			tb.Fatalf("span %+v after %+v in %d bytes", s, last, len(l.Text))
		case s.Style == plain || s.Style&31 > 16 || s.Style>>backShift&31 > 16 || s.Style >= strike<<1:
			tb.Fatalf("style %#x", s.Style)
		case s.From == last.To && s.Style == last.Style:
			tb.Fatalf("spans %+v and %+v are one", last, s)
		case !utf8.RuneStart(l.Text[s.From]) || s.To < len(l.Text) && !utf8.RuneStart(l.Text[s.To]):
			tb.Fatalf("span %+v parts a letter", s)
		}
		last = s
	}
	if len(l.Spans) > maxSpans {
		tb.Fatalf("%d spans", len(l.Spans))
	}
}

func TestReaderBoundsSpans(t *testing.T) {
	lines := readAll(t, strings.NewReader(strings.Repeat("\x1b[31ma\x1b[32mb", 5000)+"\nnext\n"))
	if n := len(lines[0].Spans); n != maxSpans {
		t.Errorf("%d spans", n)
	}
	if got := spansOf(lines[1].Spans); got != "0-4:f3" {
		t.Errorf("the next line has %s", got)
	}
}

// TestReaderColoursOfLongLines: the end of a line that is cut, and drawings that are
// over, still say how the next text looks.
func TestReaderColoursOfLongLines(t *testing.T) {
	long := strings.Repeat("words ", 30_000)
	cases := []struct{ log, want string }{
		{"\x1b[31m" + long + "\x1b[0m\nnext\n", ""},
		{long + "\x1b[31m\nnext\n", "0-4:f2"},
		{long + "\x1b[31m\rshort\nnext\n", "0-4:f2"},
		{strings.Repeat("\x1b[32m12%\x1b[33m\r", 20_000) + "\nnext\n", "0-4:f4"},
	}
	for i, c := range cases {
		for _, prefix := range []string{"", at + "01O "} {
			log := prefix + strings.ReplaceAll(c.log, "\nnext", "\n"+prefix+"next")
			lines := readAll(t, strings.NewReader(log))
			last := lines[len(lines)-1]
			if got := spansOf(last.Spans); got != c.want || last.Text != "next" {
				t.Errorf("%d: %q looks %s, want %s", i, last.Text, got, c.want)
			}
			parted := readAll(t, &pieces{data: []byte(log), rnd: rand.New(rand.NewPCG(3, 1))})
			if diff := cmp.Diff(lines, parted); diff != "" {
				t.Errorf("%d: differs when parted\n%.1000s", i, diff)
			}
		}
	}
}

func TestMoveSpans(t *testing.T) {
	cases := []struct {
		before, after, spans, want string
	}{
		{"a secret b", "a [MASKED] b", "0-1:f2 9-10:f3", "0-1:f2 11-12:f3"},
		{"a secret b", "a [MASKED] b", "0-10:f2", "0-2:f2 10-12:f2"},
		{"a secret b", "a [MASKED] b", "3-5:f2", ""},
		{"a secret b", "a [MASKED] b", "0-5:f2 5-10:f3", "0-2:f2 10-12:f3"},
		{"secret", "[MASKED]", "0-6:f2", ""},
		{"aaa", "aa", "0-3:f2", "0-2:f2"},
		{"xéy", "xèy", "0-1:f2 1-3:f3 3-4:f4", "0-1:f2 3-4:f4"},
		{"same", "same", "1-2:f2", "1-2:f2"},
	}
	for _, c := range cases {
		if got := spansOf(moveSpans(parseSpans(t, c.spans), c.before, c.after)); got != c.want {
			t.Errorf("%q to %q: %s becomes %s, want %s", c.before, c.after, c.spans, got, c.want)
		}
	}
}

func parseSpans(t *testing.T, text string) []Span {
	t.Helper()
	var out []Span
	for part := range strings.FieldsSeq(text) {
		var s Span
		if _, err := fmt.Sscanf(part, "%d-%d:f%d", &s.From, &s.To, &s.Style); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}
