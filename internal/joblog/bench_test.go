package joblog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
)

// benchTrace is a stamped GitLab trace of about size bytes: 100 bytes a line,
// colours and redraws here and there, 0.4 % of the lines with error words.
func benchTrace(size int) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	b.Grow(size + 1<<10)
	line := func(n int, flag, text string) {
		fmt.Fprintf(&b, "2026-03-01T10:%02d:%02d.%06dZ 01O%s%s\n", n/60000%60, n/1000%60, n%1000*1000, flag, text)
	}
	line(0, " ", "section_start:1767000000:step_script\r\x1b[0K")
	line(0, "+", "\x1b[36;1mExecuting \"step_script\" stage of the job script\x1b[0;m")
	line(0, " ", "\x1b[32;1m$ npm ci\x1b[0;m")
	for n := 1; b.Len() < size; n++ {
		switch {
		case n%250 == 0:
			line(n, " ", fmt.Sprintf("src/page%d.ts: failed to load chunk %d, error code %d", n%97, n, rnd.IntN(500)))
		case n%40 == 0:
			line(n, " ", fmt.Sprintf("\x1b[32m✓\x1b[0m renders page %d \x1b[90m(%d ms)\x1b[0m and leaves the cart as it was", n, rnd.IntN(90)))
		case n%500 == 1:
			line(n, " ", fmt.Sprintf("%d%%\r", n%100))
			line(n, "+", fmt.Sprintf("%d%% of the packages are linked\r", n%100+1))
			line(n, "+", "all packages are linked")
		default:
			line(n, " ", fmt.Sprintf("npm http fetch GET 200 https://npm.example/pkg-%d %dms (cache)", rnd.IntN(1e6), rnd.IntN(900)))
		}
	}
	line(0, " ", "section_end:1767000900:step_script\r\x1b[0K")
	line(0, "+", "\x1b[31;1mERROR: Job failed: exit code 1\x1b[0;m")
	return b.Bytes()
}

func BenchmarkCut(b *testing.B) {
	trace := benchTrace(32 << 20)
	b.SetBytes(int64(len(trace)))
	b.ReportAllocs()
	for b.Loop() {
		e, err := Cut(b.Context(), bytes.NewReader(trace), Options{Mask: NewMasker([]string{"a secret of ours"})})
		if err != nil || len(e.Lines) == 0 {
			b.Fatal(e, err)
		}
	}
}

// BenchmarkCutEach cuts an excerpt and takes all lines, masked and coloured.
func BenchmarkCutEach(b *testing.B) {
	trace := benchTrace(32 << 20)
	b.SetBytes(int64(len(trace)))
	for b.Loop() {
		size := 0
		o := Options{Mask: benchMask(), Each: func(l Line) error {
			size += len(l.Text)
			return nil
		}}
		if _, err := Cut(b.Context(), bytes.NewReader(trace), o); err != nil || size < len(trace)/2 {
			b.Fatal(size, err)
		}
	}
}

// benchMask hides ten values that a job was given.
func benchMask() *Masker {
	values := make([]string, 10)
	for i := range values {
		values[i] = fmt.Sprintf("value %d of ours: %x", i, 1e9+i)
	}
	return NewMasker(values)
}

func BenchmarkReader(b *testing.B) {
	trace := benchTrace(32 << 20)
	b.SetBytes(int64(len(trace)))
	for b.Loop() {
		r := NewReader(bytes.NewReader(trace))
		for {
			if _, err := r.Next(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkMasker(b *testing.B) {
	m := NewMasker([]string{"a secret of ours"})
	line := "npm http fetch GET 200 https://registry.example.com/pkg-12345 17ms (cache hit)"
	for b.Loop() {
		m.Line(line)
	}
}
