package joblog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func readAll(tb testing.TB, r io.Reader) []Line {
	tb.Helper()
	var lines []Line
	reader := NewReader(r)
	for {
		line, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			tb.Fatal(err)
		}
		lines = append(lines, line)
	}
}

// brief writes lines as "section|text" with marks for stream and header.
func brief(lines []Line) []string {
	var out []string
	for _, l := range lines {
		mark := ""
		if l.Stream != 0 {
			mark = fmt.Sprintf("%02x%c ", l.Origin, l.Stream)
		}
		if l.Header {
			mark += "# "
		}
		if l.Collapsed {
			mark += "> "
		}
		out = append(out, l.Section+"|"+mark+l.Text)
	}
	return out
}

const at = "2026-03-01T10:00:00.000001Z "

func TestReader(t *testing.T) {
	cases := []struct {
		name, log string
		want      []string
	}{
		{"empty", "", nil},
		{"no line feed at the end", "a\nb", []string{"|a", "|b"}},
		{"empty lines", "\n\na\n", []string{"|", "|", "|a"}},
		{"colours, links and titles", "\x1b[31;1mred\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x07 \x1b(Bplain\x1b", []string{"|red link plain"}},
		{"damaged escapes", "a\x1b[31\nb\x1b]never ends\nc\x1b[\x01d\x1b\x1b[mé\n", []string{"|a", "|b", "|cdé"}},
		{"control characters", "a\x00b\x08c\td\u009be\u202ef\n", []string{"|abc\tdef"}},
		{"not UTF-8", "a\xff\xfeb\xc3\n", []string{"|a\ufffd\ufffdb\ufffd"}},
		{"redrawn", "10%\r 50%\r100%\nnext\n", []string{"|100%", "|next"}},
		{"CR LF is one line end", "a\r\nb\r\r\n\r\nc\r", []string{"|a", "|b", "|", "|c"}},
		{"last colour reset is no line", "a\n\x1b[0;m", []string{"|a"}},
		{
			"sections", "section_start:1:step_script\r\x1b[0K\x1b[0K\x1b[36;1mRun\x1b[0;m\nwork\nsection_end:2:step_script\r\x1b[0Ksection_start:2:after_script[collapsed=true]\r\x1b[0KAfter\nsection_end:3:after_script\r\x1b[0K\nend\n",
			[]string{"step_script|# Run", "step_script|work", "after_script|# > After", "|end"},
		},
		{
			"nested sections", "section_start:1:step_script\r\x1b[0Ka\nsection_start:1:one\r\x1b[0Kb\nsection_start:1:two[hide_duration=true,collapsed=true]\r\x1b[0Kc\nsection_end:2:two\r\x1b[0K\nd\nsection_end:2:step_script\r\x1b[0Ke",
			[]string{"step_script|# a", "one|# b", "two|# > c", "one|d", "|e"},
		},
		{"text before a marker", "work without line endsection_end:2:x\r\x1b[0Ksection_start:3:y\r\x1b[0KNext\n", []string{"|work without line end", "y|# Next"}},
		{"progress before a marker", "1%\r2%\rsection_start:3:y\r\x1b[0KNext\n", []string{"|2%", "y|# Next"}},
		{"pasted: carriage returns lost", "section_start:1:a\n\x1b[0K\x1b[0K\x1b[36;1mTitle\x1b[0;m\nsection_end:2:a\n\x1b[0Ksection_start:2:b\n\x1b[0KNext\n", []string{"a|# Title", "b|# Next"}},
		{"pasted: escapes lost", "section_start:1:a\r[0KTitle\n[0Ksection_end:1:a\n", []string{"a|# Title"}},
		{
			"ends without starts, starts without ends", "section_end:1:a\r\x1b[0Kx\nsection_start:1:mine\r\x1b[0Ky\nsection_start:1:get_sources\r\x1b[0Kz\nsection_end:1:get_sources\r\x1b[0Kw\n",
			[]string{"|x", "mine|# y", "get_sources|# z", "|w"},
		},
		{
			"text about markers", "see section_start:12:name for more\nsection_start:x:y\nsection_start:1:\nsection_start:1:a[b\nsection_end:1\nprint section_start:1:a\nsection_start:1:a b\n",
			[]string{"|see section_start:12:name for more", "|section_start:x:y", "|section_start:1:", "|section_start:1:a[b", "|section_end:1", "|print section_start:1:a", "|section_start:1:a b"},
		},
		{
			"stamped", at + "00O section_start:1:step_script\r\x1b[0K\n" + at + "00O+\x1b[36;1mRun\x1b[0;m\n" + at + "01O out\n" + at + "01E err\n" + at + "0fO service\n",
			[]string{"step_script|00O # Run", "step_script|01O out", "step_script|01E err", "step_script|0fO service"},
		},
		{"decimals of all lengths", "2026-03-01T10:00:00.1Z 01O a\n2026-03-01T10:00:00.123456789Z 01O b\n", []string{"|01O a", "|01O b"}},
		{"continuation of its own stream", at + "01O half\r\n" + at + "01E other\n" + at + "01E more\n" + at + "01O+whole\n" + at + "01O last\n", []string{"|01O whole", "|01E other", "|01E more", "|01O last"}},
		{"continuation of nothing", at + "01O a\n" + at + "01E+b\n" + at + "01O+c\n", []string{"|01O a", "|01E b", "|01O c"}},
		{"open lines end with their stream's next", at + "01O a\r\n" + at + "01O b\r\n" + at + "01O+c\r\n" + at + "01O d\n", []string{"|01O a", "|01O c", "|01O d"}},
		{"the notice of the limit has no stamp", at + "01O a\n\n\x1b[33;1mJob's log exceeded limit\n", []string{"|01O a", "|", "|Job's log exceeded limit"}},
		{"first line decides", "a\n" + at + "01O b\n", []string{"|a", "|" + at + "01O b"}},
		{"almost stamps", "2026-03-01T10:00:00.000001Z 01X a\n", []string{"|2026-03-01T10:00:00.000001Z 01X a"}},
		{"time of another system", "2022-08-14T08:47:08.5691841Z text here and more\n", []string{"|2022-08-14T08:47:08.5691841Z text here and more"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"whole":   strings.NewReader(c.log),
				"by byte": iotest.OneByteReader(strings.NewReader(c.log)),
				"early":   iotest.DataErrReader(strings.NewReader(c.log)),
			} {
				lines := readAll(t, r)
				if diff := cmp.Diff(c.want, brief(lines)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
				for i, l := range lines {
					if l.N != i+1 {
						t.Errorf("line %d has number %d", i+1, l.N)
					}
				}
			}
		})
	}
}

func TestReaderStampDetails(t *testing.T) {
	for _, bad := range []string{
		"2026-03-01T10:00:00.Z 01O text that goes on",
		"2026-03-01T10:00:00.000001Z 0gO text",
		"2026-03-01T10:00:00.000001Z g0O text",
		"2026-03-01T10:00:00.000001Z 01O-text",
		"2026-0x-01T10:00:00.000001Z 01O text",
		"2026-03-01T10:00:00.0000012345Z 01O text",
	} {
		if parseStamp([]byte(bad)).ok {
			t.Errorf("%q was taken for a stamp", bad)
		}
	}
	got := parseStamp([]byte("2026-03-01T10:00:00.000001Z FfE+text"))
	if want := (stamp{ok: true, stream: 'E', origin: 255, more: true, length: 32}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestReaderBothFormatsAgree(t *testing.T) {
	for _, c := range logCases(t) {
		plain, marked := readAll(t, strings.NewReader(c.trace)), readAll(t, strings.NewReader(stamped(c.trace)))
		var want, got []string
		for _, l := range plain {
			want = append(want, l.Section+"|"+l.Text)
		}
		for _, l := range marked {
			got = append(got, l.Section+"|"+l.Text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-plain +stamped):\n%s", c.name, diff)
		}
	}
}

func TestReaderPartedLine(t *testing.T) {
	part := strings.Repeat("x", 8192)
	log := at + "01O " + part + "\n" + at + "01E between\n" + at + "01O+" + part + "\n" + at + "01O+end\n" + at + "01O next\n"
	lines := readAll(t, strings.NewReader(log))
	if len(lines) != 3 || lines[0].Text != part+part+"end" || lines[1].Text != "between" || lines[2].Text != "next" {
		t.Errorf("got %d lines", len(lines))
	}
}

func TestReaderDoesNotWaitForever(t *testing.T) {
	var b strings.Builder
	b.WriteString(at + "01O half\r\n")
	for i := range 500 {
		fmt.Fprintf(&b, "%s01E line %d\n", at, i)
	}
	b.WriteString(at + "01O+late\n")
	lines := readAll(t, strings.NewReader(b.String()))
	if len(lines) != 502 || lines[0].Text != "half" || lines[501].Text != "late" {
		t.Errorf("got %d lines, first %q, last %q", len(lines), lines[0].Text, lines[len(lines)-1].Text)
	}
}

func TestReaderLongLines(t *testing.T) {
	long := strings.Repeat("wörd ", 40_000)
	cases := []struct {
		name, log string
		check     func([]Line) bool
	}{
		{"cut with a note", long + "\nnext\n", func(l []Line) bool {
			return len(l) == 2 && len(l[0].Text) < MaxLineBytes+100 && strings.HasSuffix(l[0].Text, " bytes cut]") && strings.HasPrefix(l[0].Text, "wörd wörd") && l[1].Text == "next"
		}},
		{"stamped", at + "01O " + long + "\n" + at + "01O next\n", func(l []Line) bool {
			return len(l) == 2 && l[0].Stream == 'O' && strings.HasSuffix(l[0].Text, " bytes cut]") && l[1].Text == "next"
		}},
		{"no spaces", strings.Repeat("ß", 100_000), func(l []Line) bool {
			return len(l) == 1 && utf8.ValidString(l[0].Text) && !strings.Contains(l[0].Text, "\ufffd") && len(l[0].Text) < MaxLineBytes
		}},
		{"a long bar that is redrawn", strings.Repeat("12%\r", 50_000) + "done\r\nnext\n", func(l []Line) bool {
			return len(l) == 2 && l[0].Text == "done" && l[1].Text == "next"
		}},
		{"a long drawing forgotten", long + "\rshort\n", func(l []Line) bool { return len(l) == 1 && l[0].Text == "short" }},
		{"a marker after a long bar", strings.Repeat("12%\r", 50_000) + "section_end:1:a\r\x1b[0Ksection_start:1:b\r\x1b[0KTitle\n", func(l []Line) bool {
			return len(l) == 1 && l[0].Text == "Title" && l[0].Section == "b" && l[0].Header
		}},
		{"a marker after long text", long + "section_start:1:b\r\x1b[0KTitle\n", func(l []Line) bool {
			return len(l) == 2 && strings.HasSuffix(l[0].Text, "cut]") && l[0].Section == "" && l[1].Text == "Title" && l[1].Section == "b"
		}},
		{"many markers", strings.Repeat(long[:4000]+"section_start:1:b\r", 200) + "end\n", func(l []Line) bool {
			return len(l) > 1 && l[len(l)-1].Text == "end"
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			lines := readAll(t, strings.NewReader(c.log))
			if !c.check(lines) {
				for _, l := range lines {
					t.Errorf("%d %s %d bytes …%q", l.N, l.Section, len(l.Text), l.Text[max(0, len(l.Text)-40):])
				}
			}
			parted := readAll(t, &pieces{data: []byte(c.log), rnd: rand.New(rand.NewPCG(7, 7))})
			if diff := cmp.Diff(lines, parted); diff != "" {
				t.Errorf("differs when parted:\n%.2000s", diff)
			}
		})
	}
}

// pieces reads data in pieces of random length.
type pieces struct {
	data []byte
	rnd  *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := min(len(b), len(p.data), 1+p.rnd.IntN(100_000)>>p.rnd.IntN(17))
	n = copy(b[:max(n, 1)], p.data)
	p.data = p.data[n:]
	return n, nil
}

func TestReaderErrors(t *testing.T) {
	broken := errors.New("connection lost")
	for _, tail := range []string{"half", at + "01O half\r\n", strings.Repeat("long ", 30_000)} {
		r := NewReader(io.MultiReader(strings.NewReader(at+"01O a\n"+tail), iotest.ErrReader(broken)))
		if line, err := r.Next(); err != nil || line.Text != "a" {
			t.Errorf("got %v, %v before the failure", line, err)
		}
		var err error
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "read log") {
			t.Errorf("got error %v", err)
		}
		if _, again := r.Next(); !errors.Is(again, broken) {
			t.Errorf("got %v when asked again", again)
		}
	}
	if _, err := NewReader(stuck{}).Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v from a source that gives nothing", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// TestReaderMemory reads one line of 100 MB and then a million others, which takes no
// more memory than a short log does.
func TestReaderMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 200 MB")
	}
	log := func() io.Reader {
		return io.MultiReader(
			io.LimitReader(&again{text: []byte("x\x1b[31my ")}, 100_000_000), strings.NewReader("\n"),
			io.LimitReader(&again{text: []byte("an ordinary line of a log, as long as such lines are in the mean, with all that stands before them\n")}, 100_000_000),
		)
	}
	if size := allocatedBy(func() {
		if _, err := Cut(t.Context(), log(), Options{}); err != nil {
			t.Error(err)
		}
	}); size > 4<<20 {
		t.Errorf("an excerpt allocates %d bytes", size)
	}
	lines, longest := 0, 0
	reader := NewReader(log())
	for {
		line, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		lines, longest = lines+1, max(longest, len(line.Text))
	}
	if lines < 1_000_000 || longest > MaxLineBytes+100 {
		t.Errorf("%d lines, the longest of %d bytes", lines, longest)
	}
}

// again gives its text again and again.
type again struct {
	text []byte
	at   int
}

func (a *again) Read(p []byte) (int, error) {
	for n := 0; n < len(p); {
		copied := copy(p[n:], a.text[a.at:])
		n, a.at = n+copied, (a.at+copied)%len(a.text)
	}
	return len(p), nil
}

// allocatedBy gives the bytes that fn allocates, all in all.
func allocatedBy(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func FuzzReader(f *testing.F) {
	for _, c := range logCases(f) {
		f.Add([]byte(c.trace), uint64(1), false)
		f.Add([]byte(stamped(c.trace)), uint64(2), false)
	}
	f.Add([]byte("12%\rsection_end:1:a\r\x1b[0Kx\n"), uint64(3), true)
	f.Add([]byte(at+"01O a\r\n"+at+"01O+b\n"), uint64(4), true)
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, grow bool) {
		if grow && len(data) > 0 && len(data) < 1<<10 {
			data = bytes.Repeat(data, 200<<10/len(data)) // reach what is over the bounds
		}
		whole := readAll(t, bytes.NewReader(data))
		parted := readAll(t, &pieces{data: data, rnd: rand.New(rand.NewPCG(seed, 1))})
		if diff := cmp.Diff(whole, parted); diff != "" {
			t.Fatalf("differs when parted:\n%s", diff)
		}
		for i, l := range whole {
			if l.N != i+1 || len(l.Text) > 4*MaxLineBytes {
				t.Fatalf("line %d: number %d, %d bytes", i+1, l.N, len(l.Text))
			}
			checkText(t, l.Text)
			checkSpans(t, l)
			if l.Depth < 0 || l.Depth > maxSectionDepth || (l.Depth == 0) != (l.Section == "") {
				t.Fatalf("line %d: depth %d in section %q", i+1, l.Depth, l.Section)
			}
		}
	})
}

func checkText(tb testing.TB, text string) {
	tb.Helper()
	if !utf8.ValidString(text) {
		tb.Fatalf("not UTF-8: %q", text)
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return isControl(r) || r == '\n' || r == '\r' }); i >= 0 {
		tb.Fatalf("control character at %d of %q", i, text)
	}
}

func TestIsPlain(t *testing.T) {
	for c := range 256 {
		for place := range 11 {
			line := []byte("abc\tdef ghi")
			line[place] = byte(c)
			if got, want := isPlain(line), c == '\t' || c >= 0x20 && c < 0x7f; got != want {
				t.Fatalf("byte %#x at %d: got %v", c, place, got)
			}
		}
	}
}
