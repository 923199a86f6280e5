package joblog

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// closed gives the lines before the first that is open.
func closed(lines []Line) []Line {
	if i := slices.IndexFunc(lines, func(l Line) bool { return l.Open }); i >= 0 {
		return lines[:i]
	}
	return lines
}

func TestReaderOpen(t *testing.T) {
	cases := []struct {
		name, log string
		want      int // lines before the first open one
		all       int
	}{
		{"nothing", "", 0, 0},
		{"whole", "a\nb\n", 2, 2},
		{"half a line", "a\nb", 1, 2},
		{"half a colour", "a\n\x1b[3", 1, 1},
		{"half a marker", "a\nwork section_start:1:x", 1, 2},
		{"a marker alone is no line", "a\nsection_start:1:x\r\x1b[0K\n", 1, 1},
		{"stamped", at + "01O a\n" + at + "01O b\n", 2, 2},
		{"half a stamp", at + "01O a\n" + at + "01", 1, 2},
		{"may be continued", at + "01O a\n" + at + "01O b\r\n", 1, 2},
		{"waits behind one that may be", at + "01O a\n" + at + "01O b\r\n" + at + "01E c\n" + at + "01E d\n", 1, 4},
		{"was continued", at + "01O b\r\n" + at + "01E c\n" + at + "01O+d\n", 2, 2},
		{"its continuation is half", at + "01O b\r\n" + at + "01O+d", 0, 1},
		{"long, may be continued", at + "01O " + strings.Repeat("x", 8192) + "\n", 0, 1},
		{"over all bounds", strings.Repeat("x", 200_000), 0, 1},
		{"colour reset at the end", at + "01O a\n" + at + "00O \x1b[0;m\n", 1, 1},
		{"colour reset before the end", at + "01O a\n" + at + "00O \x1b[0;m\n" + at + "01O b\n", 3, 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			lines := readAll(t, strings.NewReader(c.log))
			if got := len(closed(lines)); got != c.want || len(lines) != c.all {
				t.Errorf("%d of %d lines are closed, want %d of %d", got, len(lines), c.want, c.all)
			}
		})
	}
}

func TestReaderDepth(t *testing.T) {
	log := "a\nsection_start:1:step_script\r\x1b[0Kb\nsection_start:1:mine\r\x1b[0Kc\nd\nsection_end:2:mine\r\x1b[0Ke\nsection_end:3:step_script\r\x1b[0Kf\n"
	var got []int
	for _, l := range readAll(t, strings.NewReader(log)) {
		got = append(got, l.Depth)
	}
	if diff := cmp.Diff([]int{0, 1, 2, 2, 1, 0}, got); diff != "" {
		t.Error(diff)
	}
}

// checkLive compares what a prefix of a log says for certain with the whole log.
func checkLive(t *testing.T, log []byte, whole []Line, size int) {
	t.Helper()
	sure := closed(readAll(t, bytes.NewReader(log[:size])))
	if len(sure) > len(whole) {
		t.Fatalf("the first %d bytes have %d lines for certain, the log has %d", size, len(sure), len(whole))
	}
	if diff := cmp.Diff(whole[:len(sure)], sure, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("the first %d bytes (-whole +prefix):\n%.2000s", size, diff)
	}
}

func TestReaderLive(t *testing.T) {
	var queue strings.Builder
	queue.WriteString(at + "01O half\r\n")
	for range 70 {
		queue.WriteString(at + "01E x\n")
	}
	queue.WriteString(at + "01O+late\n" + at + "01O end\n")
	logs := []string{queue.String()}
	for _, c := range logCases(t) {
		if len(c.trace) < 4<<10 {
			logs = append(logs, c.trace, stamped(c.trace))
		}
	}
	for _, log := range logs {
		whole := readAll(t, strings.NewReader(log))
		for size := 0; size <= len(log); size += 1 + len(log)/80 {
			checkLive(t, []byte(log), whole, size)
		}
	}
}

func FuzzLive(f *testing.F) {
	for i, c := range logCases(f) {
		f.Add([]byte(c.trace), 100*i, false)
		f.Add([]byte(stamped(c.trace)), 130*i, false)
	}
	f.Add([]byte(at+"01O a\r\n"+at+"01E b\n"+at+"01O+c\r\n"), 60, true)
	f.Add([]byte("\x1b[31ma\x1b[0msection_end:1:a\r\x1b[0Kx\n"), 12, true)
	f.Fuzz(func(t *testing.T, data []byte, size int, grow bool) {
		if grow && len(data) > 0 && len(data) < 1<<10 {
			data = bytes.Repeat(data, 80<<10/len(data))
		}
		size = max(0, size) % (len(data) + 1)
		whole := readAll(t, bytes.NewReader(data))
		for _, end := range []int{size, len(data) - size, bytes.LastIndexByte(data[:size], '\n') + 1} {
			checkLive(t, data, whole, end)
		}
	})
}
