package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// manyLines are enough for some chunks.
func manyLines(n int) []kovra.LogLine {
	lines := make([]kovra.LogLine, n)
	for i := range lines {
		lines[i] = kovra.LogLine{N: i + 1, Text: fmt.Sprintf("line %d of many", i+1), Stream: "OE"[i%2], Depth: i % 4}
		if i%100 == 99 {
			lines[i].Text += strings.Repeat(" and more", 2000)
			lines[i].Spans = []kovra.LogSpan{{From: 0, To: 4, Style: uint16(i)}}
		}
	}
	return lines
}

func (w *logWorld) many(job int64, lines []kovra.LogLine, step int) int64 {
	w.t.Helper()
	id := w.touch(job).ID
	for part := range slices.Chunk(lines, step) {
		w.append(id, part...)
	}
	return id
}

func testLogLines(w *logWorld) {
	all := manyLines(10_000)
	id := w.many(5, all, 1234)
	for _, c := range []struct{ from, n, wantFrom, wantTo int }{
		{1, 1, 1, 1},
		{0, 2, 1, 2},
		{-7, 2, 1, 2},
		{5000, 300, 5000, 5299},
		{9999, 100, 9999, 10_000},
		{10_000, 1, 10_000, 10_000},
		{10_001, 100, 1, 0},
		{1 << 40, 100, 1, 0},
		{5, 0, 1, 0},
		{5, -1, 1, 0},
	} {
		w.same(fmt.Sprintf("%d from %d", c.n, c.from), all[c.wantFrom-1:c.wantTo], w.lines(id, c.from, c.n))
	}
	at, err := w.logs.LinesAt(w.t.Context(), id, []int{-1, 0, 1, 2, 4000, 4001, 9000, 10_000, 10_001, 1 << 40})
	w.must(err)
	w.same("lines at", []kovra.LogLine{all[0], all[1], all[3999], all[4000], all[8999], all[9999]}, at)
	at, err = w.logs.LinesAt(w.t.Context(), id, []int{9000, 3, 3})
	w.must(err)
	w.same("in another order", []kovra.LogLine{all[8999], all[2], all[2]}, at)
	var want strings.Builder
	for _, l := range all {
		want.WriteString(l.Text + "\n")
	}
	if got := w.text(id); got != want.String() {
		w.t.Errorf("the text has %d bytes, want %d", len(got), want.Len())
	}
	if log := w.log(id); log.Bytes != int64(want.Len()) {
		w.t.Errorf("the log says %d bytes, want %d", log.Bytes, want.Len())
	}
}

func testLogLinesBounded(w *logWorld) {
	const mega = 1 << 20
	id := w.touch(5).ID
	for i := range 8 {
		w.append(id, kovra.LogLine{N: i + 1, Text: strings.Repeat("x", mega+i)})
	}
	w.append(id, kovra.LogLine{N: 9, Text: strings.Repeat("y", 6*mega)}, kovra.LogLine{N: 10})
	for from := 1; from <= 10; {
		lines := w.lines(id, from, 100)
		if len(lines) == 0 || lines[0].N != from {
			w.t.Fatalf("no line %d", from)
		}
		size := 0
		for _, l := range lines {
			size += len(l.Text)
		}
		if size > 4*mega && len(lines) > 1 {
			w.t.Errorf("%d lines of %d bytes", len(lines), size)
		}
		from += len(lines)
	}
	at, err := w.logs.LinesAt(w.t.Context(), id, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	w.must(err)
	if len(at) != 4 || at[3].N != 4 {
		w.t.Errorf("%d lines at their places, of a megabyte each; want 4", len(at))
	}
}

func testLogSections(w *logWorld) {
	head := func(n, depth int, collapsed bool) kovra.LogLine {
		return kovra.LogLine{N: n, Header: true, Depth: depth, Collapsed: collapsed}
	}
	line := func(n, depth int) kovra.LogLine { return kovra.LogLine{N: n, Depth: depth} }
	lines := []kovra.LogLine{
		line(1, 0), head(2, 1, false), line(3, 1), head(4, 2, true), line(5, 2), line(6, 1),
		head(7, 1, false), line(8, 1), line(9, 0), line(10, 2), head(11, 0, false), line(12, 1), head(13, 3, false), line(14, 4),
	}
	want := []kovra.LogSection{
		{From: 2, To: 6, Depth: 1},
		{From: 4, To: 5, Depth: 2, Collapsed: true},
		{From: 7, To: 8, Depth: 1},
		{From: 11, To: 14, Depth: 1, Open: true},
		{From: 13, To: 14, Depth: 3, Open: true},
	}
	for step := 1; step <= len(lines); step++ {
		id := w.many(int64(step), lines, step)
		got, err := w.logs.Sections(w.t.Context(), id)
		w.must(err)
		w.same(fmt.Sprintf("%d at a time", step), want, got)
	}
	id := w.many(1, nil, 1)
	w.must(w.logs.Note(w.t.Context(), id, func(l *kovra.Log) { l.Done = true }))
	want[3].Open, want[4].Open = false, false
	got, err := w.logs.Sections(w.t.Context(), id)
	w.must(err)
	w.same("done", want, got)
	none, err := w.logs.Sections(w.t.Context(), w.filled(99, "a"))
	w.must(err)
	w.same("none", []kovra.LogSection{}, none)
}

func testLogSectionsBounded(w *logWorld) {
	lines := make([]kovra.LogLine, 11_000)
	for i := range lines {
		lines[i] = kovra.LogLine{N: i + 1, Header: true, Depth: 1 + i%2}
	}
	id := w.many(5, append(lines, kovra.LogLine{N: 11_001}), 3000)
	got, err := w.logs.Sections(w.t.Context(), id)
	w.must(err)
	if len(got) != 10_000 || got[9999].To != 10_000 || got[9999].Open || got[9998].Open {
		w.t.Errorf("%d sections, the last is %+v", len(got), got[len(got)-1])
	}
}

func testLogAwait(w *logWorld) {
	log := w.touch(5)
	got, err := w.logs.Await(w.t.Context(), log.ID, 0)
	w.must(err)
	w.same("at once", log, got)
	for what, change := range map[string]func() error{
		"lines": func() error {
			_, err := w.logs.Append(w.t.Context(), log.ID, logLines(w.log(log.ID).Lines+1, "a"))
			return err
		},
		"a note": func() error {
			return w.logs.Note(w.t.Context(), log.ID, func(l *kovra.Log) { l.Note += "!" })
		},
		"keep": func() error {
			_, err := w.logs.Keep(w.t.Context(), log.Key, kovra.LogSubject{})
			return err
		},
	} {
		old := w.log(log.ID)
		woken := make(chan kovra.Log)
		go func() {
			got, err := w.logs.Await(w.t.Context(), log.ID, old.Version)
			if err != nil {
				w.t.Error(err)
			}
			woken <- got
		}()
		w.must(change())
		if got := <-woken; got != w.log(log.ID) || got.Version <= old.Version {
			w.t.Errorf("%s woke with %+v", what, got)
		}
	}
}

// testLogAwaitMany follows one log with many readers, who must all get every line.
func testLogAwaitMany(w *logWorld) {
	const readers, lines = 200, 50
	id := w.touch(5).ID
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			var log kovra.Log
			seen := 0
			for !log.Done || seen < log.Lines {
				got, err := w.logs.Lines(w.t.Context(), id, seen+1, 7)
				if err == nil && len(got) == 0 && !log.Done {
					log, err = w.logs.Await(w.t.Context(), id, log.Version)
				}
				if err != nil {
					w.t.Error(err)
					return
				}
				for _, l := range got {
					if seen++; l.N != seen || l.Text != fmt.Sprint(seen) {
						w.t.Errorf("line %d is %+v", seen, l)
						return
					}
				}
			}
			if seen != lines {
				w.t.Errorf("a reader saw %d lines", seen)
			}
		})
	}
	for i := range lines {
		w.append(id, kovra.LogLine{N: i + 1, Text: fmt.Sprint(i + 1)})
	}
	w.must(w.logs.Note(w.t.Context(), id, func(l *kovra.Log) { l.Done = true }))
	all.Wait()
}

func testLogAwaitEnds(w *logWorld) {
	w.restart(func(o *storage.LogsOptions) { o.Retention = time.Hour })
	log := w.touch(5)
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error)
	await := func(ctx context.Context) {
		go func() {
			_, err := w.logs.Await(ctx, log.ID, log.Version)
			ended <- err
		}()
	}
	await(ctx)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		w.t.Errorf("cancelled: %v", err)
	}
	await(w.t.Context())
	w.pass(2 * time.Hour)
	if _, err := w.logs.Prune(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if err := <-ended; kovra.KindOf(err) != kovra.NotFound {
		w.t.Errorf("thrown away: %v", err)
	}
	log = w.touch(5)
	await(w.t.Context())
	w.must(w.logs.Close())
	if err := <-ended; err == nil {
		w.t.Error("closed: no error")
	}
}

func testLogCancelled(w *logWorld) {
	id := w.filled(5, "a")
	ctx, cancel := context.WithCancel(w.t.Context())
	cancel()
	w.allFail(ctx, id, context.Canceled)
	w.same("the store goes on", "a\n", w.text(id))
}

func testLogClosed(w *logWorld) {
	id := w.filled(5, "a")
	w.must(w.logs.Close())
	w.must(w.logs.Close())
	w.allFail(w.t.Context(), id, nil)
}

// allFail expects that every method fails, with want if it is given.
func (w *logWorld) allFail(ctx context.Context, id int64, want error) {
	w.t.Helper()
	_, touch := w.logs.Touch(ctx, jobLog(77))
	_, keep := w.logs.Keep(ctx, jobLog(5), kovra.LogSubject{})
	_, find := w.logs.Find(ctx, jobLog(5))
	_, log := w.logs.Log(ctx, id)
	_, add := w.logs.Append(ctx, id, logLines(2, "b"))
	_, await := w.logs.Await(ctx, id, 1<<40)
	_, lines := w.logs.Lines(ctx, id, 1, 1)
	_, at := w.logs.LinesAt(ctx, id, []int{1})
	_, sections := w.logs.Sections(ctx, id)
	_, prune := w.logs.Prune(ctx)
	_, size := w.logs.Size(ctx)
	_, open := w.logs.Open(ctx, morning, 1)
	_, read := w.logs.Read(ctx, morning)
	for what, err := range map[string]error{
		"Touch": touch, "Keep": keep, "Find": find, "Log": log, "Append": add, "Await": await, "Lines": lines, "LinesAt": at,
		"Sections": sections, "Prune": prune, "Size": size, "Open": open, "Read": read,
		"Note":   w.logs.Note(ctx, id, func(l *kovra.Log) { l.Note = "x" }),
		"Text":   lastError(w.logs.Text(ctx, id)),
		"Search": lastError(w.logs.Search(ctx, id, storage.LogQuery{})),
	} {
		if err == nil || want != nil && !errors.Is(err, want) {
			w.t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
}
