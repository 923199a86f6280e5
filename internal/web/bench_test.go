package web

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// million is a log of 1,000,000 lines such as a job writes.
func (w *world) million() {
	w.Helper()
	log := w.keep()
	for n := 1; n <= 1_000_000; n += 1000 {
		var lines []kovra.LogLine
		for i := n; i < n+1000; i++ {
			l := kovra.LogLine{N: i, Text: fmt.Sprintf("2026-03-01T12:00:%02d.%03dZ [worker-%d] compiled module %d of the project in %d ms", i/1000%60, i%1000, i%16, i, i*7919%997)}
			if i%997 == 0 {
				l.Text = fmt.Sprintf("ERROR: test %d failed: expected 1, got 2", i)
				l.Suspect, l.Spans = true, []kovra.LogSpan{{From: 0, To: 5, Style: 2 | 1<<10}}
			}
			lines = append(lines, l)
		}
		w.add(log.ID, lines...)
	}
	w.done(log.ID)
}

// heapPeak looks at the heap until the returned function is called, which tells the most it has seen, in MB.
func heapPeak() func() float64 {
	stop, done := make(chan struct{}), make(chan float64)
	go func() {
		var peak uint64
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			select {
			case <-stop:
				done <- float64(peak) / 1e6
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() float64 {
		close(stop)
		return <-done
	}
}

// BenchmarkMillionLines is the server's part of what a reader of a log of 1,000,000 lines waits for; the
// ratios are to the second that is promised.
func BenchmarkMillionLines(b *testing.B) {
	w := newWorld(b).serve()
	w.million()
	fetch := func(rest string) int64 {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, w.url(rest), nil)
		w.must(err)
		res, err := w.server.Client().Transport.RoundTrip(req)
		w.must(err)
		defer res.Body.Close()
		n, err := io.Copy(io.Discard, res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			b.Fatal(res.Status, err)
		}
		return n
	}
	for _, c := range []struct {
		name  string
		rests []string
	}{
		{"first screen", []string{"", "/info", "/lines?from=1&n=200"}},
		{"last screen", []string{"", "/info", "/lines?from=999801&n=200"}},
		{"filter", []string{"/search?q=error"}},
		{"filter all", []string{"/search?q=m"}},
		{"filter none", []string{"/search?q=nothing+of+that+kind"}},
		{"filter case", []string{"/search?q=ERROR&case=1"}},
		{"filter regex", []string{`/search?q=test+\d%2B7+failed&regex=1`}},
		{"raw", []string{"/raw"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			peak := heapPeak()
			for b.Loop() {
				for _, rest := range c.rests {
					fetch(rest)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "of-1s")
			b.ReportMetric(peak(), "heap-MB")
		})
	}
}

// BenchmarkFanOut is one live log that grows by 10,000 lines, and many who follow it.
func BenchmarkFanOut(b *testing.B) {
	for _, readers := range []int{200, 1000} {
		b.Run(fmt.Sprintf("%d readers", readers), func(b *testing.B) {
			const total = 10_000
			for b.Loop() {
				b.StopTimer()
				w := newWorld(b).serve()
				log := w.keep()
				var ready, all sync.WaitGroup
				var received atomic.Int64
				ready.Add(readers)
				for range readers {
					all.Go(func() {
						r, err := w.connect(b.Context(), "")
						ready.Done()
						if err != nil {
							b.Error(err)
							return
						}
						scan := bufio.NewScanner(r.Reader)
						for scan.Scan() {
							if strings.HasPrefix(scan.Text(), "id:") {
								received.Add(1)
							}
							if scan.Text() == "event: end" {
								return
							}
						}
						b.Error("no end", scan.Err())
					})
				}
				ready.Wait()
				peak := heapPeak()
				b.StartTimer()
				began := time.Now()
				for n := 1; n <= total; n += 250 {
					w.add(log.ID, numbered(n, n+249)...)
				}
				w.done(log.ID)
				all.Wait()
				took := time.Since(began)
				b.StopTimer()
				if received.Load() != int64(total*readers) {
					b.Errorf("%d lines arrived, want %d", received.Load(), total*readers)
				}
				b.ReportMetric(float64(received.Load())/took.Seconds(), "lines/s")
				b.ReportMetric(peak(), "heap-MB")
				b.StartTimer()
			}
		})
	}
}
